package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/offkey/offkey/internal/jose"
)

const issuer = "http://floor.example"

func newFloor(t *testing.T) (*server, *jose.SigningKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	secretFile, keyFile := filepath.Join(dir, "secret"), filepath.Join(dir, "key.pem")
	if err := os.WriteFile(secretFile, []byte("a secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public}), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := newServer(issuer, "bench", secretFile, keyFile)
	if err != nil {
		t.Fatal(err)
	}
	signing, err := jose.NewSigningKey(key, "bench", jose.ES256)
	if err != nil {
		t.Fatal(err)
	}
	return s, signing
}

func ask(s *server, form url.Values, secret string) *httptest.ResponseRecorder {
	form.Set("grant_type", "client_credentials")
	form.Set("scope", "read:orders")
	r := httptest.NewRequest(http.MethodPost, "/token", strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if secret != "" {
		r.SetBasicAuth("bench", secret)
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w
}

// The comparison is honest only if the floor gives out tokens that others
// accept, and gives them to nobody else.
func TestATokenOfTheFloorIsOneThatTheGatewaysLibraryVerifies(t *testing.T) {
	s, _ := newFloor(t)
	w := ask(s, url.Values{}, "a secret")
	var got answer
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || w.Code != 200 || got.ExpiresIn != 900 || got.Scope != "read:orders" {
		t.Fatalf("%d %s (%v)", w.Code, w.Body, err)
	}
	jwt, err := jose.Parse(got.AccessToken, jose.ES256)
	if err != nil {
		t.Fatal(err)
	}
	own, err := jose.NewSigningKey(s.signing, "1", jose.ES256)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := jwt.Verify(own.Public()); err != nil {
		t.Error(err)
	}
}

func TestTheFloorRefusesAWrongSecret(t *testing.T) {
	s, _ := newFloor(t)
	for _, secret := range []string{"", "another secret"} {
		if w := ask(s, url.Values{}, secret); w.Code != http.StatusUnauthorized {
			t.Errorf("%q: %d", secret, w.Code)
		}
	}
}

func TestTheFloorVerifiesAnAssertionAndSpendsIt(t *testing.T) {
	s, key := newFloor(t)
	other, err := jose.GenerateSigningKey(jose.ES256)
	if err != nil {
		t.Fatal(err)
	}
	signed := func(by *jose.SigningKey, change func(map[string]any)) string {
		claims := map[string]any{"iss": "bench", "sub": "bench", "aud": issuer, "jti": rand.Text(), "exp": time.Now().Add(time.Minute).Unix()}
		change(claims)
		payload, _ := json.Marshal(claims)
		raw, err := by.Sign("JWT", payload)
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	present := func(raw string) int {
		return ask(s, url.Values{"client_assertion_type": {assertionType}, "client_assertion": {raw}}, "").Code
	}
	good := signed(key, func(map[string]any) {})
	if code := present(good); code != 200 {
		t.Fatalf("a good one: %d", code)
	}
	for name, raw := range map[string]string{
		"spent":            good,
		"by another key":   signed(other, func(map[string]any) {}),
		"another audience": signed(key, func(c map[string]any) { c["aud"] = "http://other.example" }),
		"expired":          signed(key, func(c map[string]any) { c["exp"] = time.Now().Add(-time.Minute).Unix() }),
		"not a JWT":        "a.b",
	} {
		if code := present(raw); code != http.StatusUnauthorized {
			t.Errorf("%s: %d", name, code)
		}
	}
}
