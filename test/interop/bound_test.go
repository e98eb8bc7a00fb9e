package interop

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/offkey/offkey/test/binary"
)

// pair is a certificate that signed itself and its key, as PEM and as files.
type pair struct{ cert, key, certFile, keyFile string }

func newPair(t *testing.T, name string) pair {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, &template, &template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	p := pair{
		cert: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		key:  string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})),
	}
	dir := t.TempDir()
	p.certFile, p.keyFile = filepath.Join(dir, name+".pem"), filepath.Join(dir, name+".key")
	for file, text := range map[string]string{p.certFile: p.cert, p.keyFile: p.key} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return p
}

// newSecureWorld is an offkey that ends TLS itself, asks for certificates and
// for nonces, and knows two clients.
func newSecureWorld(t *testing.T) (w *binary.Server, server, edge pair, billing identity) {
	t.Helper()
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "ok") }))
	t.Cleanup(api.Close)
	server, edge = newPair(t, "server"), newPair(t, "edge")
	dir := binary.Dir(t)
	var set struct {
		Keys []struct {
			ID string `json:"kid"`
		} `json:"keys"`
	}
	binary.JSON(t, &set, "keygen", "--alg", "ES256", "--out", dir+"/billing.key", "--jwks", dir+"/billing.jwks")
	key, err := os.ReadFile(dir + "/billing.key")
	if err != nil {
		t.Fatal(err)
	}
	issuer, gateway, mtls := freeAddress(t), freeAddress(t), freeAddress(t)
	config := fmt.Sprintf(`
issuer: https://%[1]s
listen: {issuer: %[1]q, gateway: %[2]q, mtls: %[3]q, admin: "127.0.0.1:0", ops: "127.0.0.1:0"}
tls: {mode: files, cert: %[4]q, key: %[5]q, client_certificates: true}
features: {dpop_nonce: on}
storage: {dsn: "sqlite://data/offkey.db"}
gateway:
  resource: https://%[2]s
  upstreams: {api: {url: %[6]q}}
  enforce: on
  routes: [{match: "GET /v1/orders", scopes: ["read:orders"]}]
clients:
  - {id: billing, auth: private_key_jwt, jwks_file: billing.jwks, scopes: ["read:orders"], dpop_bound: true}
  - {id: edge, auth: self_signed_tls_client_auth, certificate_file: %[7]q, certificate_bound: true, scopes: ["read:orders"]}
`, issuer, gateway, mtls, server.certFile, server.keyFile, api.URL, edge.certFile)
	file := filepath.Join(dir, "offkey.yaml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	if w, err = binary.Start(t, nil, "serve", "--config", file); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Stop(t) })
	return w, server, edge, identity{ID: "billing", Key: string(key), KeyID: set.Keys[0].ID}
}

func TestNodeLibrariesUseBoundTokens(t *testing.T) {
	nodeScript(t, "bound.js") // before anything is started
	w, server, edge, billing := newSecureWorld(t)
	for _, library := range []string{"openid-client", "oauth4webapi"} {
		for bind, want := range map[string]struct{ client, kind, cnf string }{
			"dpop": {"billing", "dpop", "jkt"}, "mtls": {"edge", "bearer", "x5t#S256"},
		} {
			t.Run(library+" by "+bind, func(t *testing.T) {
				var got struct {
					TokenType   string   `json:"token_type"`
					CNF         []string `json:"cnf"`
					Status      int      `json:"status"`
					Again       int      `json:"again"`
					Bearer      int      `json:"bearer"`
					Error       string   `json:"error"`
					Description string   `json:"error_description"`
				}
				output(t, nodeScript(t, "bound.js"), map[string]any{
					"library": library, "bind": bind, "issuer": w.Issuer, "client": want.client, "scope": "read:orders", "resource": w.Gateway, "url": w.Gateway + "/v1/orders?page=2",
					"key": billing.Key, "kid": billing.KeyID, "alg": "ES256", "cert": edge.cert, "certKey": edge.key, "ca": server.cert,
				}, &got)
				if got.Error != "" || got.TokenType != want.kind || !slices.Equal(got.CNF, []string{want.cnf}) || got.Status != 200 || got.Again != 200 || got.Bearer != 401 {
					t.Errorf("%+v", got)
				}
			})
		}
	}
}
