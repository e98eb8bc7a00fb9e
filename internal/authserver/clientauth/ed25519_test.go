package clientauth

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"testing"

	"github.com/offkey/offkey/internal/client"
	"github.com/offkey/offkey/internal/jose"
	"github.com/offkey/offkey/internal/oauth"
)

// signRenamed signs as clients do that follow RFC 9864 §2.2, such as Node's
// openid-client 6: alg is Ed25519.
func signRenamed(t testing.TB, key ed25519.PrivateKey, claims map[string]any) string {
	t.Helper()
	raw, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	input := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"Ed25519","kid":"k1"}`)) + "." + base64.RawURLEncoding.EncodeToString(raw)
	return input + "." + base64.RawURLEncoding.EncodeToString(ed25519.Sign(key, []byte(input)))
}

func TestAssertionWithAlgEd25519ProvesAClient(t *testing.T) {
	w := newWorld(t)
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &client.Client{
		ID: "keyed", Status: client.Active, AuthMethod: oauth.AuthPrivateKeyJWT, Audience: client.Strict,
		Credentials: []client.Credential{{ID: "cr_1", Kind: client.KindJWK, Key: &jose.PublicKey{ID: "k1", Alg: jose.EdDSA, Key: public}}},
	}
	w.far.clients["keyed"] = c
	for _, pinned := range []jose.Algorithm{"", jose.EdDSA} {
		c.SigningAlg = pinned
		who, err := w.try(asserted(t, signRenamed(t, private, w.claims("keyed"))))
		wantClient(t, who, err, "keyed", oauth.AuthPrivateKeyJWT)
	}
	t.Run("checklist_26 not where another algorithm is registered", func(t *testing.T) {
		c.SigningAlg = jose.ES256
		who, err := w.try(asserted(t, signRenamed(t, private, w.claims("keyed"))))
		wantRefused(t, who, err, invalidClient, unprovedAssertion)
	})
	t.Run("checklist_26 not with another key, nor for nobody", func(t *testing.T) {
		c.SigningAlg = ""
		_, other, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		who, err := w.try(asserted(t, signRenamed(t, other, w.claims("keyed"))))
		wantRefused(t, who, err, invalidClient, unprovedAssertion)
		who, err = w.try(asserted(t, signRenamed(t, other, w.claims("nobody"))))
		wantRefused(t, who, err, invalidClient, unprovedAssertion)
	})
	t.Run("checklist_25 the jti is spent under either name", func(t *testing.T) {
		claims := w.claims("keyed")
		who, err := w.try(asserted(t, signRenamed(t, private, claims)))
		wantClient(t, who, err, "keyed", oauth.AuthPrivateKeyJWT)
		who, err = w.try(asserted(t, signRenamed(t, private, claims)))
		wantRefused(t, who, err, invalidClient, "jti")
	})
}
