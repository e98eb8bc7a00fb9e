package authserver_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/offkey/offkey/internal/authserver"
	"github.com/offkey/offkey/internal/client"
	"github.com/offkey/offkey/internal/jose"
	"github.com/offkey/offkey/internal/oauth"
	"github.com/offkey/offkey/internal/token"
)

// prover makes DPoP proofs with one key.
type prover struct {
	w   *world
	key *jose.SigningKey
}

func (w *world) prover(alg jose.Algorithm) *prover {
	w.t.Helper()
	key, err := jose.GenerateSigningKey(alg)
	if err != nil {
		w.t.Fatal(err)
	}
	return &prover{w, key}
}

func (p *prover) jkt() string { return p.key.Public().Thumbprint() }

// proof is for a POST to the token endpoint, unless more says otherwise.
func (p *prover) proof(more ...any) string {
	p.w.t.Helper()
	c := map[string]any{"jti": "p" + strconv.FormatInt(serial.Add(1), 10), "htm": "POST", "htu": issuerURL + "/token", "iat": p.w.now().Unix()}
	for i := 0; i < len(more); i += 2 {
		c[more[i].(string)] = more[i+1]
	}
	raw, err := json.Marshal(c)
	if err != nil {
		p.w.t.Fatal(err)
	}
	proof, err := p.key.SignSelfSigned(oauth.TypDPoPProof, raw)
	if err != nil {
		p.w.t.Fatal(err)
	}
	return proof
}

// proving is header with a DPoP header beside.
func proving(header http.Header, proofs ...string) http.Header {
	h := header.Clone()
	if h == nil {
		h = http.Header{}
	}
	h["Dpop"] = proofs
	return h
}

func cnf(t testing.TB, jwt string) map[string]any {
	t.Helper()
	c, _ := claims(t, jwt)["cnf"].(map[string]any)
	return c
}

func TestATokenIsBoundToTheKeyOfTheProof(t *testing.T) {
	w := newWorld(t)
	_, basic := w.withSecret(billing())
	p := w.prover(jose.ES256)
	a := w.token(proving(basic, p.proof()))
	if got := cnf(t, a.ok())["jkt"]; got != p.jkt() || a.json["token_type"] != "DPoP" {
		t.Errorf("checklist_152: cnf.jkt %v, token_type %v", got, a.json["token_type"])
	}
	if a := w.token(basic); a.json["token_type"] != "Bearer" || cnf(t, a.ok()) != nil {
		t.Errorf("checklist_8: without a proof: %s", a.body)
	}
	w.token(proving(basic, p.proof("htu", issuerURL+"/par"))).refused(400, "invalid_dpop_proof", "htu")
	w.token(proving(basic, p.proof(), p.proof())).refused(400, "invalid_dpop_proof", "more than once")
	w.token(proving(basic, "x")).refused(400, "invalid_dpop_proof", "can be read")
	w.token(proving(basic, "")).refused(400, "invalid_dpop_proof", "can be read")
	once := p.proof()
	w.token(proving(basic, once)).ok()
	w.token(proving(basic, once)).refused(400, "invalid_dpop_proof", "used before")
	w.token(proving(basic, p.proof("iat", w.now().Unix()-61))).refused(400, "invalid_dpop_proof", "ago")
	t.Run("checklist_131 introspection says what it is bound to", func(t *testing.T) {
		got := w.post("/introspect", basic, values("token", a.ok())).json
		bound, _ := got["cnf"].(map[string]any)
		if got["token_type"] != "DPoP" || bound["jkt"] != p.jkt() {
			t.Errorf("%v", got)
		}
	})
	t.Run("checklist_152 an exchanged apikey gives a bound token too", func(t *testing.T) {
		a := w.post("/token", proving(nil, p.proof()), values("grant_type", oauth.GrantTokenExchange, "subject_token", "old-key", "subject_token_type", oauth.TypeAPIKey))
		if cnf(t, a.ok())["jkt"] != p.jkt() || a.json["token_type"] != "DPoP" {
			t.Error(a.body)
		}
	})
}

func TestAClientOfBoundTokensGetsNoOthers(t *testing.T) {
	// checklist_152
	w := newWorld(t)
	c := billing()
	c.DPoPBound = true
	_, basic := w.withSecret(c)
	w.token(basic).refused(400, "invalid_dpop_proof", "send a proof")
	w.token(proving(basic, w.prover(jose.EdDSA).proof())).ok()
}

func TestOf64ProofsWithOneJTIOneIsGood(t *testing.T) {
	// checklist_146
	w := newWorld(t)
	_, basic := w.withSecret(billing())
	proof := w.prover(jose.ES256).proof()
	var good atomic.Int32
	var wg sync.WaitGroup
	for range 64 {
		wg.Go(func() {
			if w.token(proving(basic, proof)).status == http.StatusOK {
				good.Add(1)
			}
		})
	}
	wg.Wait()
	if good.Load() != 1 {
		t.Errorf("%d were good", good.Load())
	}
}

func TestANonceIsAskedForAndRenewed(t *testing.T) {
	// checklist_150
	w := newWorld(t, func(o *authserver.Options) { o.Nonces = token.NewNonces([]byte("nonces of the issuer")) })
	c, key := w.withKey(billing(), jose.ES256)
	p := w.prover(jose.ES256)
	form := merged(w.assertion(c.ID, key), values("grant_type", oauth.GrantClientCredentials))
	a := w.post("/token", proving(nil, p.proof()), form)
	a.refused(400, "use_dpop_nonce", "nonce")
	nonce := a.header.Get("DPoP-Nonce")
	if nonce == "" {
		t.Fatal("no DPoP-Nonce")
	}
	again := w.post("/token", proving(nil, p.proof("nonce", nonce)), form)
	again.ok() // the refusal has not spent the assertion
	if got := again.header.Get("DPoP-Nonce"); got != "" {
		t.Errorf("the nonce is current, and %q is handed out", got)
	}
	w.advance(token.NonceWindow)
	later := w.post("/token", proving(nil, p.proof("nonce", nonce)), merged(w.assertion(c.ID, key), values("grant_type", oauth.GrantClientCredentials)))
	later.ok()
	if got := later.header.Get("DPoP-Nonce"); got == "" || got == nonce {
		t.Errorf("the nonce is old, and %q is handed out", got)
	}
	w.post("/token", proving(nil, p.proof("nonce", "made up")), form).refused(400, "use_dpop_nonce", "")
	if got := a.header.Get("Access-Control-Expose-Headers"); !strings.Contains(got, "DPoP-Nonce") {
		t.Errorf("scripts may read %q", got)
	}
}

func TestTheMetadataSaysWhatTokensAreBoundBy(t *testing.T) {
	// checklist_35, checklist_152, checklist_157, checklist_161
	plain := newWorld(t).get("/.well-known/oauth-authorization-server").json
	if plain["dpop_signing_alg_values_supported"] == nil || plain["tls_client_certificate_bound_access_tokens"] != nil || plain["mtls_endpoint_aliases"] != nil ||
		strings.Contains(str(plain["token_endpoint_auth_methods_supported"]), "tls") {
		t.Errorf("without mTLS: %v", plain)
	}
	md := newWorld(t, func(o *authserver.Options) {
		o.MutualTLS, o.MTLSBase, o.ClientCAs = true, "https://auth.example.com:8488", x509.NewCertPool()
	}).get("/.well-known/openid-configuration").json
	aliases, _ := md["mtls_endpoint_aliases"].(map[string]any)
	methods := str(md["token_endpoint_auth_methods_supported"])
	if md["tls_client_certificate_bound_access_tokens"] != true || aliases["token_endpoint"] != "https://auth.example.com:8488/token" ||
		!strings.Contains(methods, "self_signed_tls_client_auth") || !strings.Contains(methods, `"tls_client_auth"`) {
		t.Errorf("with mTLS: %v", md)
	}
}

func str(v any) string { raw, _ := json.Marshal(v); return string(raw) }

// authority issues client certificates.
type authority struct {
	t    testing.TB
	w    *world
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func (w *world) authority() *authority {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		w.t.Fatal(err)
	}
	a := &authority{w.t, w, nil, key}
	a.cert = a.issue(&key.PublicKey, x509.Certificate{Subject: pkix.Name{CommonName: "authority"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign})
	return a
}

func (a *authority) issue(key any, template x509.Certificate) *x509.Certificate {
	a.t.Helper()
	template.SerialNumber = big.NewInt(serial.Add(1))
	if template.NotAfter.IsZero() {
		template.NotBefore, template.NotAfter = a.w.now().Add(-time.Hour), a.w.now().Add(time.Hour)
	}
	parent := a.cert
	if parent == nil {
		parent = &template
	}
	der, err := x509.CreateCertificate(rand.Reader, &template, parent, key, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return cert
}

func (a *authority) pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return pool
}

// edge is what a client holds.
func edge(change ...func(*x509.Certificate)) x509.Certificate {
	c := x509.Certificate{Subject: pkix.Name{CommonName: "edge", Organization: []string{"Acme"}}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	for _, f := range change {
		f(&c)
	}
	return c
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// over posts a token request over a TLS connection with that certificate.
func (w *world) over(cert *x509.Certificate, header http.Header, more ...string) answer {
	w.t.Helper()
	form := values(more...)
	if !form.Has("grant_type") {
		form.Set("grant_type", oauth.GrantClientCredentials)
	}
	r := httptest.NewRequest(http.MethodPost, "/token", strings.NewReader(form.Encode()))
	r.Header = proving(header, header["Dpop"]...)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.TLS = &tls.ConnectionState{}
	if cert != nil {
		r.TLS.PeerCertificates = []*x509.Certificate{cert}
	}
	return w.do(r)
}

func TestACertificateOfATrustedAuthorityProvesItsClient(t *testing.T) {
	// checklist_32
	w := newWorld(t, func(o *authserver.Options) { o.MutualTLS = true })
	ca, strangers := w.authority(), w.authority()
	w = newWorld(t, func(o *authserver.Options) { o.MutualTLS, o.ClientCAs = true, ca.pool() })
	c := billing()
	c.AuthMethod, c.TLS.DN = oauth.AuthTLSClient, "CN=edge,O=Acme"
	w.add(c)
	key := newKey(t)
	good := ca.issue(&key.PublicKey, edge())
	if a := w.over(good, nil, "client_id", "billing"); cnf(t, a.ok()) != nil {
		t.Error("bound although it was not asked for")
	}
	t.Run("checklist_31 client_id is needed", func(t *testing.T) {
		w.over(good, nil).refused(401, "invalid_client", "client_id is missing")
	})
	for name, cert := range map[string]*x509.Certificate{
		"checklist_32 of another authority": strangers.issue(&key.PublicKey, edge()),
		"checklist_32 with another subject": ca.issue(&key.PublicKey, edge(func(c *x509.Certificate) { c.Subject.CommonName = "edge2" })),
		"checklist_32 for servers only":     ca.issue(&key.PublicKey, edge(func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} })),
		"checklist_32 that has expired": ca.issue(&key.PublicKey, edge(func(c *x509.Certificate) {
			c.NotBefore, c.NotAfter = w.now().Add(-2*time.Hour), w.now().Add(-time.Hour)
		})),
		"checklist_32 signed by itself alone": (&authority{t, w, nil, key}).issue(&key.PublicKey, edge()),
	} {
		t.Run(name, func(t *testing.T) {
			w.over(cert, nil, "client_id", "billing").refused(401, "invalid_client", "is not the one")
		})
	}
	t.Run("checklist_18 no certificate", func(t *testing.T) {
		w.over(nil, nil, "client_id", "billing").refused(401, "invalid_client", "no client authentication")
	})
	t.Run("checklist_13 a secret beside the certificate", func(t *testing.T) {
		w.over(good, nil, "client_id", "billing", "client_secret", "x").refused(401, "invalid_client", "")
		w.over(good, nil, "client_id", "billing", "client_secret", "x", "client_assertion", "y").refused(400, "invalid_request", "more than one")
	})
	t.Run("an unknown client is answered alike", func(t *testing.T) {
		a := w.over(good, nil, "client_id", "nobody").refused(401, "invalid_client", "is not the one")
		b := w.over(strangers.issue(&key.PublicKey, edge()), nil, "client_id", "billing").refused(401, "invalid_client", "is not the one")
		if a != b {
			t.Errorf("%q and %q", a, b)
		}
	})
}

func TestASelfSignedCertificateProvesItsClientByItsKey(t *testing.T) {
	// checklist_33
	w := newWorld(t, func(o *authserver.Options) { o.MutualTLS = true })
	key, other := newKey(t), newKey(t)
	public := jose.PublicKey{ID: "edge", Key: &key.PublicKey}
	c := billing()
	c.AuthMethod = oauth.AuthSelfSignedTLSClient
	c.Credentials = []client.Credential{{ID: client.NewCredentialID(), Kind: client.KindJWK, Key: &public, Created: w.now()}}
	w.add(c)
	self := func(k *ecdsa.PrivateKey) *x509.Certificate {
		return (&authority{t, w, nil, k}).issue(&k.PublicKey, edge())
	}
	w.over(self(key), nil, "client_id", "billing").ok()
	w.over(self(key), nil, "client_id", "billing").ok() // made anew over the same key
	w.over(self(other), nil, "client_id", "billing").refused(401, "invalid_client", "is not the one")
	// RSA of 4096 bits, as many certificates are: nothing is verified with it here.
	large := &rsa.PublicKey{N: new(big.Int).SetBit(big.NewInt(serial.Add(1)|1), 4095, 1), E: 65537}
	set, err := jose.ParseCertificateKeySet([]byte(`{"keys":[` + str(jose.PublicKey{ID: "large", Key: large}) + `]}`))
	if err != nil {
		t.Fatal(err)
	}
	c.ID = "large"
	c.Credentials = []client.Credential{{ID: client.NewCredentialID(), Kind: client.KindJWK, Key: &set.Keys[0], Created: w.now()}}
	w.add(c)
	cert := (&authority{t, w, nil, key}).issue(large, edge())
	w.over(cert, nil, "client_id", "large").ok()
	w.over(cert, nil, "client_id", "billing").refused(401, "invalid_client", "is not the one")
	if _, err := w.db.UpdateClient(context.Background(), "billing", func(c *client.Client) error { c.Status = client.Disabled; return nil }, system); err != nil {
		t.Fatal(err)
	}
	w.over(self(key), nil, "client_id", "billing").refused(401, "invalid_client", "disabled")
}

func TestATokenIsBoundToTheCertificateOfTheConnection(t *testing.T) {
	w := newWorld(t, func(o *authserver.Options) { o.MutualTLS = true })
	key := newKey(t)
	cert := (&authority{t, w, nil, key}).issue(&key.PublicKey, edge())
	c := billing()
	c.CertificateBound = true
	_, basic := w.withSecret(c)
	a := w.over(cert, basic)
	if got := cnf(t, a.ok())["x5t#S256"]; got != token.CertificateThumbprint(cert.Raw) || a.json["token_type"] != "Bearer" {
		t.Errorf("checklist_155: %v, token_type %v", got, a.json["token_type"])
	}
	w.over(nil, basic).refused(400, "invalid_request", "mtls_endpoint_aliases")
	t.Run("checklist_154 a DPoP proof beside it wins", func(t *testing.T) {
		p := w.prover(jose.ES256)
		if got := cnf(t, w.over(cert, proving(basic, p.proof())).ok()); got["jkt"] != p.jkt() || got["x5t#S256"] != nil {
			t.Errorf("%v", got)
		}
	})
	t.Run("checklist_131 introspection says so", func(t *testing.T) {
		got, _ := w.post("/introspect", basic, values("token", a.ok())).json["cnf"].(map[string]any)
		if got["x5t#S256"] != token.CertificateThumbprint(cert.Raw) {
			t.Errorf("%v", got)
		}
	})
}

func TestAProofForTheAliasIsAProofForTheEndpoint(t *testing.T) {
	// checklist_35
	w := newWorld(t, func(o *authserver.Options) { o.MutualTLS, o.MTLSBase = true, "https://auth.example.com:8488" })
	_, basic := w.withSecret(billing())
	w.token(proving(basic, w.prover(jose.ES256).proof("htu", "https://auth.example.com:8488/token"))).ok()
}

func TestTheFAPIProfileHoldsATokenRequest(t *testing.T) {
	w := newWorld(t, func(o *authserver.Options) { o.MutualTLS = true })
	c := billing()
	c.Profile, c.Audience = client.ProfileFAPI2, client.Compat
	added, key := w.withKey(c, jose.ES256)
	p := w.prover(jose.ES256)
	ask := func(header http.Header) answer {
		form := merged(w.assertion(added.ID, key), values("grant_type", oauth.GrantClientCredentials))
		return w.post("/token", header, form)
	}
	t.Run("checklist_213 tokens are bound", func(t *testing.T) {
		ask(nil).refused(400, "invalid_request", "bound to their holder")
		ask(proving(nil, p.proof())).ok()
	})
	t.Run("checklist_213 RS256 signs no proof", func(t *testing.T) {
		ask(proving(nil, w.prover(jose.RS256).proof())).refused(400, "invalid_dpop_proof", "PS256")
		ask(proving(nil, w.prover(jose.PS256).proof())).ok()
	})
	t.Run("checklist_215 the audience is the issuer, whatever the registration allows", func(t *testing.T) {
		raw := str(map[string]any{"iss": added.ID, "sub": added.ID, "aud": issuerURL + "/token", "jti": "aud", "iat": w.now().Unix(), "exp": w.now().Unix() + 60})
		jwt, err := key.Sign(oauth.TypClientAuthentication, []byte(raw))
		if err != nil {
			t.Fatal(err)
		}
		w.post("/token", proving(nil, p.proof()), values("grant_type", oauth.GrantClientCredentials, "client_assertion_type", oauth.AssertionTypeJWTBearer, "client_assertion", jwt)).
			refused(401, "invalid_client", "must be the issuer")
	})
	t.Run("checklist_216 RS256 signs no assertion", func(t *testing.T) {
		c := billing()
		c.ID, c.Profile = "old", client.ProfileFAPI2
		added, key = w.withKey(c, jose.RS256)
		ask(proving(nil, p.proof())).refused(401, "invalid_client", "PS256")
	})
	t.Run("checklist_213 a secret does not do", func(t *testing.T) {
		c := billing()
		c.ID, c.Profile = "secret", client.ProfileFAPI2
		_, basic := w.withSecret(c)
		w.token(proving(basic, p.proof())).refused(400, "unauthorized_client", "private_key_jwt or mutual TLS")
	})
	t.Run("checklist_213 a certificate binds without being asked", func(t *testing.T) {
		key := newKey(t)
		cert := (&authority{t, w, nil, key}).issue(&key.PublicKey, edge())
		c := billing()
		c.ID, c.Profile, c.AuthMethod = "edge", client.ProfileFAPI2, oauth.AuthSelfSignedTLSClient
		c.Credentials = []client.Credential{{ID: "cr", Kind: client.KindJWK, Key: &jose.PublicKey{Key: &key.PublicKey}, Created: w.now()}}
		w.add(c)
		if got := cnf(t, w.over(cert, nil, "client_id", "edge").ok())["x5t#S256"]; got != token.CertificateThumbprint(cert.Raw) {
			t.Errorf("%v", got)
		}
	})
}

func TestAPublicClientGetsTokensBoundToItsCertificate(t *testing.T) {
	// checklist_158: it proves nothing by it, but that it still has the key.
	w := newPeopleWorld(t)
	c := cli()
	c.CertificateBound = true
	w.add(c)
	key := newKey(t)
	cert := (&authority{t, w.world, nil, key}).issue(&key.PublicKey, edge())
	code, shown := w.began("cli", "scope", "read:orders")
	w.answered(shown)
	w.poll("cli", code).refused(400, "invalid_request", "mtls_endpoint_aliases")
	a := w.over(cert, nil, "grant_type", oauth.GrantDeviceCode, "client_id", "cli", "device_code", code)
	if got := cnf(t, a.ok())["x5t#S256"]; got != token.CertificateThumbprint(cert.Raw) {
		t.Errorf("bound to %v", got)
	}
}

func TestIntrospectionSaysHowThePersonSignedIn(t *testing.T) {
	// checklist_175
	w := newWorld(t)
	c := billing()
	c.Resources = []string{api}
	_, basic := w.withSecret(c)
	issued, err := token.NewIssuer(issuerURL, w.manager.Current, w.now).Issue(token.Authorization{
		Client: &client.Client{ID: "app"}, Subject: "pe_1", Resources: []string{api}, Life: time.Minute,
		Login: token.Login{PersonID: "pe_1", ACR: "urn:mfa", AuthTime: w.now().Truncate(time.Second)},
	})
	if err != nil {
		t.Fatal(err)
	}
	got := w.post("/introspect", basic, values("token", issued.Token)).json
	if got["acr"] != "urn:mfa" || got["auth_time"] != float64(w.now().Unix()) {
		t.Errorf("%v", got)
	}
}
