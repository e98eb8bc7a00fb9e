package oauthclient_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/offkey/offkey/internal/token"
	"github.com/offkey/offkey/sdk/go/oauthclient"
)

// With tokens that nobody else can use, whoever sees them.
func ExampleConfig_dPoP() {
	key, err := oauthclient.NewDPoPKey() // new for every process
	if err != nil {
		log.Fatal(err)
	}
	config := &oauthclient.Config{
		Issuer: "https://auth.example.com", ClientID: "billing", KeyFile: "/run/secrets/billing.pem",
		Scopes: []string{"read:orders"}, Resource: "https://api.example.com",
		DPoPKey: key,
	}
	http.DefaultClient.Transport = config.Transport(nil)
}

// With a certificate that proves the client, and that its tokens are bound to.
func ExampleConfig_mutualTLS() {
	certificate, err := tls.LoadX509KeyPair("edge.pem", "edge.key")
	if err != nil {
		log.Fatal(err)
	}
	config := &oauthclient.Config{
		Issuer: "https://auth.example.com", ClientID: "edge", AuthMethod: oauthclient.SelfSignedTLSClientAuth,
		TLS:    &tls.Config{Certificates: []tls.Certificate{certificate}},
		Scopes: []string{"read:orders"}, Resource: "https://api.example.com",
	}
	http.DefaultClient.Transport = config.Transport(nil)
}

// bindingWorld is an issuer that binds tokens to keys and an API that wants
// proofs; both ask for nonces.
type bindingWorld struct {
	t      *testing.T
	url    string
	asked  []string // what came, in order
	nonces map[string]string
}

func newBindingWorld(t *testing.T) *bindingWorld {
	w := &bindingWorld{t: t, nonces: map[string]string{"/token": "issuer 1", "/orders": "api 1"}}
	s := httptest.NewServer(w)
	t.Cleanup(s.Close)
	w.url = s.URL
	return w
}

const boundToken = "a-token-of-the-issuer"

func (w *bindingWorld) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	refuse := func(status int, code string) {
		w.asked = append(w.asked, r.URL.Path+" "+code)
		rw.Header().Set("DPoP-Nonce", w.nonces[r.URL.Path])
		if status == http.StatusUnauthorized {
			rw.Header().Set("WWW-Authenticate", fmt.Sprintf("DPoP error=%q, algs=\"ES256\"", code))
		}
		rw.WriteHeader(status)
		_ = json.NewEncoder(rw).Encode(map[string]string{"error": code})
	}
	want := token.ProofRequest{Method: r.Method, URL: w.url + r.URL.Path, At: time.Now()}
	status := http.StatusBadRequest
	if r.URL.Path == "/orders" {
		status, want.AccessToken = http.StatusUnauthorized, boundToken
		if r.Header.Get("Authorization") != "DPoP "+boundToken {
			refuse(status, "invalid_token")
			return
		}
	}
	proof, err := token.CheckProof(r.Header.Values("DPoP"), want)
	switch {
	case err != nil:
		w.t.Errorf("%s: %v", r.URL.Path, err)
		refuse(status, "invalid_dpop_proof")
		return
	case proof.Nonce != w.nonces[r.URL.Path]:
		refuse(status, "use_dpop_nonce")
		return
	}
	body, _ := io.ReadAll(r.Body)
	w.asked = append(w.asked, strings.TrimSpace(r.URL.Path+" "+string(body)))
	if r.URL.Path == "/token" {
		w.asked[len(w.asked)-1] = "/token ok"
		rw.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(rw, `{"access_token":"`+boundToken+`","token_type":"DPoP","expires_in":600}`)
	}
}

func (w *bindingWorld) config(t *testing.T) *oauthclient.Config {
	key, err := oauthclient.NewDPoPKey()
	if err != nil {
		t.Fatal(err)
	}
	return &oauthclient.Config{TokenURL: w.url + "/token", ClientID: "billing", Secret: "a-secret-of-some-length", Resource: w.url, DPoPKey: key}
}

func TestTokensAreBoundAndNoncesAnswered(t *testing.T) {
	// checklist_150
	w := newBindingWorld(t)
	client := w.config(t).Client()
	for range 2 {
		resp, err := client.Post(w.url+"/orders?page=2", "text/plain", strings.NewReader("order"))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			t.Errorf("%s", resp.Status)
		}
	}
	w.nonces["/orders"] = "api 2"
	resp, err := client.Get(w.url + "/orders")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	want := "/token use_dpop_nonce|/token ok|/orders use_dpop_nonce|/orders order|/orders order|/orders use_dpop_nonce|/orders"
	if got := strings.Join(w.asked, "|"); got != want {
		t.Errorf("asked\n%s, want\n%s", got, want)
	}
}

func TestANonceThatIsNeverRightIsNotTriedForEver(t *testing.T) {
	tries := 0
	s := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		tries++
		rw.Header().Set("DPoP-Nonce", fmt.Sprint("nonce ", tries))
		rw.WriteHeader(http.StatusBadRequest)
		_, _ = io.WriteString(rw, `{"error":"use_dpop_nonce"}`)
	}))
	t.Cleanup(s.Close)
	w := &bindingWorld{url: s.URL}
	if _, err := w.config(t).NewToken(background(t)); explained(t, err).Code != "use_dpop_nonce" || tries != 2 {
		t.Errorf("%d tries: %v", tries, err)
	}
}

func TestABearerTokenIsNoBoundOne(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(rw, `{"access_token":"x","token_type":"Bearer"}`)
	}))
	t.Cleanup(s.Close)
	w := &bindingWorld{url: s.URL}
	if _, err := w.config(t).NewToken(background(t)); explained(t, err).Code != "not_supported" {
		t.Error(err)
	}
}

func TestACertificateProvesTheClientAtTheAlias(t *testing.T) {
	// checklist_31, checklist_35
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "edge"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, &template, &template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	var plain, mutual *httptest.Server
	mutual = httptest.NewUnstartedServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if len(r.TLS.PeerCertificates) != 1 || r.FormValue("client_id") != "edge" || r.FormValue("client_assertion") != "" || r.Header.Get("Authorization") != "" {
			rw.WriteHeader(http.StatusUnauthorized)
			_, _ = io.WriteString(rw, `{"error":"invalid_client"}`)
			return
		}
		_, _ = io.WriteString(rw, `{"access_token":"x","token_type":"Bearer"}`)
	}))
	mutual.TLS = &tls.Config{ClientAuth: tls.RequestClientCert}
	mutual.StartTLS()
	t.Cleanup(mutual.Close)
	plain = httptest.NewTLSServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		_ = json.NewEncoder(rw).Encode(map[string]any{
			"issuer": plain.URL, "token_endpoint": plain.URL + "/token", "mtls_endpoint_aliases": map[string]string{"token_endpoint": mutual.URL + "/token"},
		})
	}))
	t.Cleanup(plain.Close)
	roots := x509.NewCertPool()
	roots.AddCert(plain.Certificate())
	roots.AddCert(mutual.Certificate())
	config := &oauthclient.Config{
		Issuer: plain.URL, ClientID: "edge", AuthMethod: oauthclient.SelfSignedTLSClientAuth,
		TLS: &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}},
	}
	if _, err := config.NewToken(background(t)); err != nil {
		t.Error(err)
	}
	config = &oauthclient.Config{Issuer: plain.URL, ClientID: "edge", AuthMethod: oauthclient.TLSClientAuth, TLS: &tls.Config{RootCAs: roots}}
	if _, err := config.NewToken(background(t)); explained(t, err).Code != "bad_config" {
		t.Errorf("without a certificate: %v", err)
	}
}
