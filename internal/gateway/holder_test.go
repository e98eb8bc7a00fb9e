package gateway

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/offkey/offkey/internal/apikey"
	"github.com/offkey/offkey/internal/client"
	"github.com/offkey/offkey/internal/jose"
	"github.com/offkey/offkey/internal/policy"
	"github.com/offkey/offkey/internal/token"
)

// holder is a caller with a DPoP key and a token that is bound to it.
type holder struct {
	w     *world
	key   *jose.SigningKey
	token string
}

func (w *world) bind(t testing.TB, to token.Confirmation, change ...func(*token.Authorization)) string {
	t.Helper()
	a := token.Authorization{Client: &client.Client{ID: "cl_1"}, Scope: []string{"read:orders"}, Resources: []string{testResource}, Life: time.Hour, Confirmation: to}
	for _, f := range change {
		f(&a)
	}
	issued, err := w.ours.Issue(a)
	if err != nil {
		t.Fatal(err)
	}
	return issued.Token
}

func (w *world) holder(t testing.TB) *holder {
	t.Helper()
	key, err := jose.GenerateSigningKey(jose.ES256)
	if err != nil {
		t.Fatal(err)
	}
	return &holder{w, key, w.bind(t, token.Confirmation{JKT: key.Public().Thumbprint()})}
}

var proofs atomic.Int64

// proof is for a GET of the path at the resource; more changes claims.
func (h *holder) proof(t testing.TB, path string, more ...any) string {
	t.Helper()
	sum := sha256.Sum256([]byte(h.token))
	c := map[string]any{
		"jti": "p" + strconv.FormatInt(proofs.Add(1), 10), "htm": "GET", "htu": testResource + path, "iat": h.w.now().Unix(),
		"ath": base64.RawURLEncoding.EncodeToString(sum[:]),
	}
	for i := 0; i < len(more); i += 2 {
		c[more[i].(string)] = more[i+1]
	}
	raw, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	proof, err := h.key.SignSelfSigned("dpop+jwt", raw)
	if err != nil {
		t.Fatal(err)
	}
	return proof
}

// ask is get with headers as names and values by turns.
func (w *world) ask(target string, headers ...string) reply {
	w.Helper()
	var lines []string
	for i := 0; i < len(headers); i += 2 {
		lines = append(lines, headers[i]+": "+headers[i+1])
	}
	return w.get(target, lines...)
}

func (h *holder) call(path, proof string, more ...string) reply {
	return h.w.ask(path, append([]string{"Authorization", "DPoP " + h.token, "DPoP", proof}, more...)...)
}

func TestABoundTokenPassesWithAProofOfItsKeyAlone(t *testing.T) {
	w := newWorld(t, nil).serve()
	w.setRules(policy.Ruleset{Stage: apikey.Observe, Enforce: policy.On}, "GET /v1/orders/** -> read:orders")
	var seen http.Header
	w.handle(func(rw http.ResponseWriter, r *http.Request) { seen = r.Header.Clone() })
	h, other := w.holder(t), w.holder(t)
	const path = "/v1/orders/7"
	if got := h.call(path+"?page=2", h.proof(t, path)); got.StatusCode != http.StatusOK {
		t.Fatalf("%d %s", got.StatusCode, got.body)
	}
	if seen.Get("X-Offkey-Client") != "cl_1" || seen.Get("Authorization") != "" || seen.Get("Dpop") != "" {
		t.Errorf("checklist_176: the API sees %v", seen)
	}
	if got := w.ask(path, "Authorization", "dpop "+h.token, "DPoP", h.proof(t, path, "htu", "http://"+testHost+path)); got.StatusCode != http.StatusOK {
		t.Errorf("checklist_7: as the connection saw it: %d %s", got.StatusCode, got.body)
	}
	once := h.proof(t, path)
	h.call(path, once)
	bearer := w.bind(t, token.Confirmation{})
	for name, tt := range map[string]struct {
		got          reply
		code, reason string
	}{
		"checklist_148 sent as Bearer":            {w.ask(path, "Authorization", "Bearer "+h.token, "DPoP", h.proof(t, path)), "invalid_token", "under the scheme DPoP"},
		"checklist_149 without a proof":           {w.ask(path, "Authorization", "DPoP "+h.token), "invalid_dpop_proof", "is needed"},
		"checklist_144 with two":                  {h.call(path, h.proof(t, path), "DPoP", h.proof(t, path)), "invalid_dpop_proof", "more than once"},
		"checklist_146 used before":               {h.call(path, once), "invalid_dpop_proof", "used before"},
		"checklist_147 of another key":            {h.call(path, other.proof(t, path, "ath", "x")), "invalid_dpop_proof", "ath"},
		"checklist_145 for another path":          {h.call(path, h.proof(t, "/v1/orders/8")), "invalid_dpop_proof", "htu"},
		"checklist_145 for another method":        {h.call(path, h.proof(t, path, "htm", "POST")), "invalid_dpop_proof", "htm"},
		"checklist_145 from two minutes ago":      {h.call(path, h.proof(t, path, "iat", w.now().Unix()-120)), "invalid_dpop_proof", "ago"},
		"checklist_153 for a host that is no one": {h.call(path, h.proof(t, path, "htu", "https://elsewhere.example.com"+path)), "invalid_dpop_proof", "htu"},
		"a bearer token under DPoP":               {w.ask(path, "Authorization", "DPoP "+bearer, "DPoP", h.proof(t, path)), "invalid_token", "not bound"},
	} {
		t.Run(name, func(t *testing.T) {
			p := tt.got.problem(t)
			if tt.got.StatusCode != http.StatusUnauthorized || p.Code != tt.code || !strings.Contains(p.Detail, tt.reason) {
				t.Errorf("%d %s: %s", tt.got.StatusCode, p.Code, p.Detail)
			}
			challenge := tt.got.Header.Get("Www-Authenticate")
			for _, part := range []string{"DPoP ", `error="` + tt.code + `"`, `algs="ES256 `, "resource_metadata="} {
				if !strings.Contains(challenge, part) {
					t.Errorf("checklist_149: challenge %q lacks %q", challenge, part)
				}
			}
		})
	}
	t.Run("checklist_147 G-15 a remembered token opens nothing for whoever has another key", func(t *testing.T) {
		sum := sha256.Sum256([]byte(h.token))
		if p := h.call(path, other.proof(t, path, "ath", base64.RawURLEncoding.EncodeToString(sum[:]))).problem(t); !strings.Contains(p.Detail, "Another key") && !strings.Contains(p.Detail, "another key") {
			t.Errorf("%s: %s", p.Code, p.Detail)
		}
	})
}

func TestOf64CallsWithOneProofOnePasses(t *testing.T) {
	// checklist_146
	w := newWorld(t, nil).serve()
	h := w.holder(t)
	proof := h.proof(t, "/a")
	var good atomic.Int32
	var wg sync.WaitGroup
	for range 64 {
		wg.Go(func() {
			if h.call("/a", proof).StatusCode == http.StatusOK {
				good.Add(1)
			}
		})
	}
	wg.Wait()
	if good.Load() != 1 {
		t.Errorf("%d passed", good.Load())
	}
}

func TestTheURLOfAProofIsTheOneThatTheCallerSaw(t *testing.T) {
	// checklist_153
	trusted := newWorld(t, func(w *world) { w.options.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")} }).serve()
	behind := []string{"X-Forwarded-Proto", "https", "X-Forwarded-Host", "api.public.example", "X-Forwarded-Port", "8443"}
	h := trusted.holder(t)
	if got := h.call("/a", h.proof(t, "/a", "htu", "https://api.public.example:8443/a"), behind...); got.StatusCode != http.StatusOK {
		t.Errorf("through a trusted proxy: %d %s", got.StatusCode, got.body)
	}
	w := newWorld(t, nil).serve()
	h = w.holder(t)
	if got := h.call("/a", h.proof(t, "/a", "htu", "https://api.public.example:8443/a"), behind...); got.StatusCode != http.StatusUnauthorized {
		t.Errorf("a stranger says where the call went: %d %s", got.StatusCode, got.body)
	}
	for _, evil := range []string{"evil.example", "evil.example:8484", "203.0.113.9", "[2001:db8::1]:443", "api.example.com.evil.example"} {
		// A server that a client was led to has its token, and a proof for itself.
		if got := h.call("/a", h.proof(t, "/a", "htu", "http://"+evil+"/a"), "Host", evil); got.StatusCode != http.StatusUnauthorized {
			t.Errorf("a proof for %s, passed on by it: %d", evil, got.StatusCode)
		}
	}
	for _, own := range []string{"127.0.0.1:8484", "localhost:8484", w.addr} {
		if got := h.call("/a", h.proof(t, "/a", "htu", "http://"+own+"/a"), "Host", own); got.StatusCode != http.StatusOK {
			t.Errorf("by an address of this machine, %s: %d %s", own, got.StatusCode, got.body)
		}
	}
	if got := h.call("/a", h.proof(t, "/a"), "Host", "offkey.internal:8484"); got.StatusCode != http.StatusOK {
		t.Errorf("a proof for the resource, by a proxy that writes a Host of its own: %d %s", got.StatusCode, got.body)
	}
	if got := h.call("/a%2Fb", h.proof(t, "/a%2fb")); got.StatusCode != http.StatusOK {
		t.Errorf("escapes in small letters: %d %s", got.StatusCode, got.body)
	}
}

func TestAGatewayAsksForItsOwnNonces(t *testing.T) {
	// checklist_150
	w := newWorld(t, func(w *world) { w.options.Nonces = token.NewNonces([]byte("of this gateway")) }).serve()
	h := w.holder(t)
	got := h.call("/a", h.proof(t, "/a"))
	nonce := got.Header.Get("DPoP-Nonce")
	if p := got.problem(t); p.Code != "use_dpop_nonce" || got.StatusCode != http.StatusUnauthorized || nonce == "" ||
		!strings.Contains(got.Header.Get("Www-Authenticate"), `error="use_dpop_nonce"`) {
		t.Fatalf("%d %s, nonce %q", got.StatusCode, got.body, nonce)
	}
	if got := h.call("/a", h.proof(t, "/a", "nonce", nonce)); got.StatusCode != http.StatusOK || got.Header.Get("DPoP-Nonce") != "" {
		t.Errorf("with the nonce: %d, another %q", got.StatusCode, got.Header.Get("DPoP-Nonce"))
	}
	w.advance(token.NonceWindow)
	if got := h.call("/a", h.proof(t, "/a", "nonce", nonce)); got.StatusCode != http.StatusOK || got.Header.Get("DPoP-Nonce") == "" {
		t.Errorf("with the old one: %d, another %q", got.StatusCode, got.Header.Get("DPoP-Nonce"))
	}
	of := token.NewNonces([]byte("of another gateway")).At(w.now())
	if p := h.call("/a", h.proof(t, "/a", "nonce", of)).problem(t); p.Code != "use_dpop_nonce" {
		t.Errorf("with another gateway's: %s", p.Code)
	}
}

func TestARouteMayAskForBoundTokens(t *testing.T) {
	w := newWorld(t, nil).serve()
	r, err := policy.ParseRoute("GET /bound")
	if err != nil {
		t.Fatal(err)
	}
	r.DPoP = true
	w.rules.Store(policy.Ruleset{Stage: apikey.Observe, Enforce: policy.On}.Build([]policy.Route{r}, nil))
	got := w.ask("/bound", "Authorization", "Bearer "+w.bind(t, token.Confirmation{}))
	if p := got.problem(t); p.Code != "dpop_required" || got.StatusCode != 401 || !strings.HasPrefix(got.Header.Get("Www-Authenticate"), "DPoP ") || p.Command != "offkey token --dpop" {
		t.Errorf("%d %s, challenge %q", got.StatusCode, got.body, got.Header.Get("Www-Authenticate"))
	}
	if got := w.get("/bound"); !strings.HasPrefix(got.Header.Get("Www-Authenticate"), "DPoP ") || strings.Contains(got.Header.Get("Www-Authenticate"), "error") {
		t.Errorf("checklist_170: without a credential: %q", got.Header.Get("Www-Authenticate"))
	}
	h := w.holder(t)
	if got := h.call("/bound", h.proof(t, "/bound")); got.StatusCode != http.StatusOK {
		t.Errorf("%d %s", got.StatusCode, got.body)
	}
	if got := w.get("/.well-known/oauth-protected-resource"); !strings.Contains(got.body, `"dpop_bound_access_tokens_required":true`) {
		t.Error(got.body)
	}
}

func TestARouteMayAskForAnotherSignIn(t *testing.T) {
	// checklist_175
	w := newWorld(t, nil).serve()
	r, err := policy.ParseRoute("GET /pay")
	if err != nil {
		t.Fatal(err)
	}
	r.ACR, r.MaxAge = []string{"urn:mfa", "urn:key"}, 300
	w.rules.Store(policy.Ruleset{Stage: apikey.Observe, Enforce: policy.On}.Build([]policy.Route{r}, nil))
	of := func(acr string, ago time.Duration) string {
		return w.bind(t, token.Confirmation{}, func(a *token.Authorization) {
			a.Login = token.Login{PersonID: "pe_1", ACR: acr, AuthTime: w.now().Add(-ago)}
		})
	}
	got := w.ask("/pay", "Authorization", "Bearer "+of("urn:pwd", time.Minute))
	challenge := got.Header.Get("Www-Authenticate")
	if p := got.problem(t); p.Code != "insufficient_user_authentication" || got.StatusCode != 401 ||
		!strings.Contains(challenge, `Bearer error="insufficient_user_authentication"`) || !strings.Contains(challenge, `acr_values="urn:mfa urn:key"`) || !strings.Contains(challenge, `max_age="300"`) {
		t.Errorf("%d %s, challenge %q", got.StatusCode, got.body, challenge)
	}
	if got := w.ask("/pay", "Authorization", "Bearer "+of("urn:mfa", 6*time.Minute)); got.StatusCode != 401 {
		t.Errorf("too old: %d", got.StatusCode)
	}
	if got := w.ask("/pay", "Authorization", "Bearer "+of("urn:mfa", time.Minute)); got.StatusCode != 200 {
		t.Errorf("as it should be: %d %s", got.StatusCode, got.body)
	}
}

// newCertificate makes a certificate for both ends of a connection.
func newCertificate(t testing.TB) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "edge"}, NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, &template, &template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

func TestATokenOfACertificatePassesOverItsConnectionAlone(t *testing.T) {
	// checklist_156
	w := newWorld(t, nil).build()
	server, mine, other := newCertificate(t), newCertificate(t), newCertificate(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := NewServer(w.gateway.Handler(), w.options.Log)
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = s.Serve(GuardTLSListener(l, &tls.Config{Certificates: []tls.Certificate{server}, ClientAuth: tls.RequestClientCert}, time.Second, nil))
	}()
	t.Cleanup(func() { _ = s.Close(); <-served })
	bound := w.bind(t, token.Confirmation{X5TS256: token.CertificateThumbprint(mine.Leaf.Raw)})
	roots := x509.NewCertPool()
	roots.AddCert(server.Leaf)
	for name, tt := range map[string]struct {
		cert   []tls.Certificate
		scheme string
		http2  bool
		want   int
	}{
		"its own":                          {[]tls.Certificate{mine}, "Bearer", false, 200},
		"its own, over HTTP/2":             {[]tls.Certificate{mine}, "Bearer", true, 200},
		"another":                          {[]tls.Certificate{other}, "Bearer", false, 401},
		"another, over HTTP/2":             {[]tls.Certificate{other}, "Bearer", true, 401},
		"none":                             {nil, "Bearer", false, 401},
		"its own under a scheme of others": {[]tls.Certificate{mine}, "DPoP", false, 401},
	} {
		transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, Certificates: tt.cert}, ForceAttemptHTTP2: tt.http2}
		req, err := http.NewRequest("GET", "https://"+l.Addr().String()+"/a", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", tt.scheme+" "+bound)
		resp, err := transport.RoundTrip(req)
		if err != nil {
			t.Fatal(name, err)
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		transport.CloseIdleConnections()
		if resp.StatusCode != tt.want {
			t.Errorf("%s: %d %s", name, resp.StatusCode, body)
		}
	}
}

func TestACertificateInAHeaderCountsFromTrustedProxiesAlone(t *testing.T) {
	// checklist_34
	mine := newCertificate(t)
	header := ":" + base64.StdEncoding.EncodeToString(mine.Leaf.Raw) + ":"
	for network, trusted := range map[string]bool{"127.0.0.0/8": true, "10.0.0.0/8": false} {
		w := newWorld(t, func(w *world) {
			w.options.TrustedProxies, w.options.CertificateHeader = []netip.Prefix{netip.MustParsePrefix(network)}, "Client-Cert"
		}).serve()
		var seen http.Header
		w.handle(func(rw http.ResponseWriter, r *http.Request) { seen = r.Header.Clone() })
		bound := w.bind(t, token.Confirmation{X5TS256: token.CertificateThumbprint(mine.Leaf.Raw)})
		got := w.ask("/a", "Authorization", "Bearer "+bound, "Client-Cert", header)
		if (got.StatusCode == http.StatusOK) != trusted {
			t.Errorf("from %s: %d %s", network, got.StatusCode, got.body)
		}
		w.ask("/a", "Client-Cert", header, "Client_Cert", header, "Client-Cert-Chain", header)
		if (seen.Get("Client-Cert") != "") != trusted || (seen.Get("Client-Cert-Chain") != "") != trusted || strings.Contains(strings.ToLower(fmt.Sprint(seen)), "client_cert") {
			t.Errorf("from %s the API sees %v", network, seen)
		}
		if p := w.ask("/a", "Authorization", "Bearer "+bound).problem(t); p.Code != "invalid_token" {
			t.Errorf("without the header: %s", p.Code)
		}
		if got := w.get("/.well-known/oauth-protected-resource"); !strings.Contains(got.body, `"tls_client_certificate_bound_access_tokens":true`) {
			t.Errorf("checklist_157: %s", got.body)
		}
	}
}

// BenchmarkDPoPCall is what the gateway adds to a call with a bound token and a
// proof: the token is remembered, the proof is new each time.
func BenchmarkDPoPCall(b *testing.B) {
	w := benchWorld(b).build()
	key, err := jose.GenerateSigningKey(jose.ES256)
	if err != nil {
		b.Fatal(err)
	}
	h := &holder{w, key, w.bind(b, token.Confirmation{JKT: key.Public().Thumbprint()}, func(a *token.Authorization) { a.Scope = []string{"GET:orders"} })}
	r := benchRequest("Authorization", "DPoP "+h.token)
	c := newCall(w.gateway)
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		r.Header["Dpop"] = []string{h.proof(b, "/v1/orders/7")}
		b.StartTimer()
		c.r, c.at, c.rules = r, w.now(), w.rules.Load()
		c.target = policy.ParseTarget(r.RequestURI)
		c.source, c.trusted = w.gateway.sourceOf(r)
		c.decide()
		if c.decision.Denied() {
			b.Fatal(c.decision.Code, c.badToken)
		}
		c.observe(http.StatusOK, "")
		c.reset()
	}
}

func FuzzPublicURL(f *testing.F) {
	f.Add("api.example.com", "https", "a, b", "8443")
	w := newWorld(f, nil).build()
	f.Fuzz(func(t *testing.T, host, proto, told, port string) {
		c := newCall(w.gateway)
		c.r = &http.Request{Host: host, Header: http.Header{"X-Forwarded-Proto": {proto}, "X-Forwarded-Host": {told}, "X-Forwarded-Port": {port}}}
		c.target, c.trusted = policy.ParseTarget("/a"), true
		if got, _ := c.publicURL(); !strings.HasSuffix(got, "/a") {
			t.Errorf("%q", got)
		}
	})
}
