package app

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/offkey/offkey/internal/config"
	"github.com/offkey/offkey/internal/oauth"
	"github.com/offkey/offkey/internal/token"
)

// authority makes the certificates of a test.
type authority struct {
	*testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	dir  string
}

func newAuthority(t *testing.T) *authority {
	a := &authority{T: t, dir: t.TempDir()}
	ca := a.issue(x509.Certificate{Subject: pkix.Name{CommonName: "authority"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign})
	a.cert, a.key = ca.Leaf, ca.PrivateKey.(*ecdsa.PrivateKey)
	return a
}

// issue makes a certificate and its key; the first signs itself.
func (a *authority) issue(template x509.Certificate) tls.Certificate {
	a.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.Fatal(err)
	}
	template.SerialNumber = big.NewInt(time.Now().UnixNano())
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = &template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, &template, parent, &key.PublicKey, signer)
	if err != nil {
		a.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		a.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

// file writes the certificate, and with key the private one, as PEM.
func (a *authority) file(name string, c *x509.Certificate) string {
	a.Helper()
	return a.write(name, "CERTIFICATE", c.Raw)
}

func (a *authority) write(name, block string, der []byte) string {
	a.Helper()
	path := filepath.Join(a.dir, name)
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: block, Bytes: der}), 0o600); err != nil {
		a.Fatal(err)
	}
	return path
}

// client is a caller that trusts the authority, with a certificate or without.
func (a *authority) client(cert *tls.Certificate, change ...func(*tls.Config)) *http.Client {
	roots := x509.NewCertPool()
	roots.AddCert(a.cert)
	c := &tls.Config{RootCAs: roots}
	if cert != nil {
		c.Certificates = []tls.Certificate{*cert}
	}
	for _, f := range change {
		f(c)
	}
	transport := &http.Transport{TLSClientConfig: c, ForceAttemptHTTP2: true}
	a.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: patience}
}

// startBound starts an offkey; TLS ends in it unless change says otherwise.
func startBound(t *testing.T, a *authority, change func(*config.Config)) (*App, *Listeners) {
	t.Helper()
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = json.NewEncoder(w).Encode(r.Header)
	}))
	t.Cleanup(upstream.Close)
	dir, err := os.MkdirTemp("", "") // short, for the socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	const free = "127.0.0.1:0"
	where := config.Listen{Gateway: free, Issuer: free, Admin: free, Ops: free, MTLS: free}
	c := config.Default()
	c.TLS.Mode = "files"
	c.Listen.MTLS = free
	c.Clients = []config.Client{}
	change(&c)
	where.MTLS = c.Listen.MTLS
	l, err := Bind(where)
	if err != nil {
		t.Fatal(err)
	}
	scheme := "http"
	if c.TLS.Mode == "files" {
		scheme = "https"
		server := a.issue(x509.Certificate{Subject: pkix.Name{CommonName: "offkey"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}})
		key, err := x509.MarshalPKCS8PrivateKey(server.PrivateKey)
		if err != nil {
			t.Fatal(err)
		}
		c.TLS.Cert, c.TLS.Key = a.file("server.pem", server.Leaf), a.write("server.key", "PRIVATE KEY", key)
	}
	c.Issuer, c.Gateway.Resource = URLOf(l.Issuer, scheme), URLOf(l.Gateway, scheme)
	c.Storage.DSN = "sqlite://" + filepath.Join(dir, "data", "offkey.db")
	c.Gateway.Upstreams = map[string]config.Upstream{"api": {URL: upstream.URL}}
	cfg, err := config.New(c, nil)
	if err != nil {
		t.Fatal(err)
	}
	running, err := Start(t.Context(), cfg, l, Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := running.Stop(ctx); err != nil {
			t.Error(err)
		}
	})
	return running, l
}

// document is the JSON of a URL.
func document(t *testing.T, c *http.Client, url string) map[string]any {
	t.Helper()
	resp, err := c.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	return decoded(t, resp)
}

func decoded(t *testing.T, resp *http.Response) map[string]any {
	t.Helper()
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	var m map[string]any
	if err := json.Unmarshal(raw, &m); err != nil {
		t.Fatalf("%d: %v in %q", resp.StatusCode, err, raw)
	}
	return m
}

func askToken(t *testing.T, c *http.Client, endpoint, id string) map[string]any {
	t.Helper()
	resp, err := c.PostForm(endpoint, url.Values{"grant_type": {oauth.GrantClientCredentials}, "client_id": {id}, "scope": {"read:orders"}})
	if err != nil {
		t.Fatal(err)
	}
	return decoded(t, resp)
}

func TestAClientProvesItselfByItsCertificate(t *testing.T) {
	a := newAuthority(t)
	selfSigned := (&authority{T: t}).issue(x509.Certificate{Subject: pkix.Name{CommonName: "edge"}})
	issued := a.issue(x509.Certificate{Subject: pkix.Name{CommonName: "corp", Organization: []string{"Acme"}}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	running, _ := startBound(t, a, func(c *config.Config) {
		c.TLS.ClientCA, c.TLS.ClientCertificates = a.file("ca.pem", a.cert), true
		c.Clients = []config.Client{
			{ID: "edge", Auth: oauth.AuthSelfSignedTLSClient, CertificateFile: a.file("edge.pem", selfSigned.Leaf), CertificateBound: true, Scopes: []string{"read:orders"}},
			{ID: "corp", Auth: oauth.AuthTLSClient, TLSSubject: "dn:CN=corp,O=Acme", Scopes: []string{"read:orders"}},
		}
	})
	issuer := running.Addresses().Issuer
	md := document(t, a.client(nil), issuer+"/.well-known/oauth-authorization-server")
	aliases, _ := md["mtls_endpoint_aliases"].(map[string]any)
	endpoint, _ := aliases["token_endpoint"].(string)
	if endpoint != running.Addresses().MTLS+"/token" {
		t.Fatalf("checklist_35: alias %q of %s", endpoint, running.Addresses().MTLS)
	}
	got := askToken(t, a.client(&selfSigned), endpoint, "edge")
	raw, _ := got["access_token"].(string)
	if raw == "" || tokenClaims(t, raw)["cnf"].(map[string]any)["x5t#S256"] != token.CertificateThumbprint(selfSigned.Leaf.Raw) {
		t.Errorf("checklist_155: %v", got)
	}
	t.Run("checklist_156 its token passes the gateway over its own connection alone", func(t *testing.T) {
		for _, tt := range []struct {
			cert *tls.Certificate
			want int
		}{{&selfSigned, http.StatusOK}, {&issued, http.StatusUnauthorized}, {nil, http.StatusUnauthorized}} {
			req, err := http.NewRequest(http.MethodGet, running.Addresses().Gateway+"/v1/orders", nil)
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Authorization", "Bearer "+raw)
			resp, err := a.client(tt.cert).Do(req)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if resp.StatusCode != tt.want {
				t.Errorf("got %d, want %d", resp.StatusCode, tt.want)
			}
		}
	})
	if got := askToken(t, a.client(&issued), endpoint, "corp"); got["access_token"] == nil {
		t.Errorf("checklist_32: %v", got)
	}
	for name, tt := range map[string]struct {
		cert     *tls.Certificate
		endpoint string
		id       string
	}{
		"another's certificate":       {&issued, endpoint, "edge"},
		"none":                        {nil, endpoint, "edge"},
		"where none is asked for":     {&selfSigned, issuer + "/token", "edge"},
		"self-signed for an issued's": {&selfSigned, endpoint, "corp"},
	} {
		if got := askToken(t, a.client(tt.cert), tt.endpoint, tt.id); got["error"] != "invalid_client" {
			t.Errorf("checklist_33: %s: %v", name, got)
		}
	}
	t.Run("checklist_217 TLS 1.2 has no suites but those of BCP 195", func(t *testing.T) {
		for suite, ok := range map[uint16]bool{
			tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256: true, tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA: false, tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256: false,
		} {
			c := a.client(nil, func(c *tls.Config) { c.MaxVersion, c.CipherSuites = tls.VersionTLS12, []uint16{suite} })
			resp, err := c.Get(issuer + "/jwks")
			if err == nil {
				resp.Body.Close()
			}
			if (err == nil) != ok {
				t.Errorf("%s: %v", tls.CipherSuiteName(suite), err)
			}
		}
		if resp, err := a.client(nil, func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS11, tls.VersionTLS11 }).Get(issuer + "/jwks"); err == nil {
			resp.Body.Close()
			t.Error("TLS 1.1 is spoken")
		}
	})
}

func TestACertificateThatAProxyPassesOnIsBelievedOfTrustedProxiesAlone(t *testing.T) {
	// checklist_34
	a := newAuthority(t)
	edge := (&authority{T: t}).issue(x509.Certificate{Subject: pkix.Name{CommonName: "edge"}})
	for name, trusted := range map[string]bool{"127.0.0.0/8": true, "10.0.0.0/8": false} {
		running, _ := startBound(t, a, func(c *config.Config) {
			c.TLS.Mode, c.Listen.MTLS, c.TLS.CertificateHeader, c.TLS.MTLSURL = "none", "", "X-SSL-Cert", "https://mtls.example.com"
			c.TrustedProxies = []netip.Prefix{netip.MustParsePrefix(name)}
			c.Clients = []config.Client{{ID: "edge", Auth: oauth.AuthSelfSignedTLSClient, CertificateFile: a.file("edge.pem", edge.Leaf), Scopes: []string{"read:orders"}}}
		})
		form := url.Values{"grant_type": {oauth.GrantClientCredentials}, "client_id": {"edge"}}
		req, err := http.NewRequest(http.MethodPost, running.Addresses().Issuer+"/token", strings.NewReader(form.Encode()))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.Header.Set("X-SSL-Cert", url.PathEscape(string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: edge.Leaf.Raw}))))
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		if got := decoded(t, resp); (got["access_token"] != nil) != trusted {
			t.Errorf("proxy in %s: %v", name, got)
		}
		if md := document(t, http.DefaultClient, running.Addresses().Issuer+"/.well-known/openid-configuration"); !strings.Contains(md["mtls_endpoint_aliases"].(map[string]any)["token_endpoint"].(string), "https://mtls.example.com/token") {
			t.Errorf("%v", md["mtls_endpoint_aliases"])
		}
	}
}

// tokenClaims reads a token without verifying it.
func tokenClaims(t *testing.T, raw string) map[string]any {
	t.Helper()
	parts := strings.Split(raw, ".")
	if len(parts) != 3 {
		t.Fatalf("no JWT: %q", raw)
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		t.Fatal(err)
	}
	var m map[string]any
	if err := json.Unmarshal(payload, &m); err != nil {
		t.Fatal(err)
	}
	return m
}
