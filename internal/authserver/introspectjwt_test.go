package authserver_test

import (
	"encoding/base64"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/offkey/offkey/internal/client"
	"github.com/offkey/offkey/internal/jose"
	"github.com/offkey/offkey/internal/oauth"
)

func TestASignedIntrospectionIsNoToken(t *testing.T) {
	// checklist_132
	w := newWorld(t)
	_, header := w.withSecret(billing())
	_, reader := w.withSecret(client.Client{ID: "rs", Resources: []string{api}})
	issued := w.token(header, "scope", "read:orders").ok()
	ask := func(token string, accept ...string) answer {
		h := reader.Clone()
		h["Accept"] = accept
		return w.post("/introspect", h, values("token", token))
	}
	a := ask(issued, "application/json;q=0.5, application/Token-Introspection+JWT")
	if a.status != http.StatusOK || a.header.Get("Content-Type") != "application/token-introspection+jwt" || a.header.Get("Cache-Control") != "no-store" {
		t.Fatalf("got %d %v %s", a.status, a.header, a.body)
	}
	rawHeader, err := base64.RawURLEncoding.DecodeString(strings.SplitN(a.body, ".", 2)[0])
	if err != nil || !strings.Contains(string(rawHeader), `"typ":"token-introspection+jwt"`) {
		t.Errorf("header %s, %v", rawHeader, err)
	}
	parsed, err := jose.Parse(a.body, jose.AccessTokenAlgorithms...)
	if err != nil {
		t.Fatal(err)
	}
	key, ok := w.manager.Current().Find(parsed.Header().KeyID, w.now())
	if !ok {
		t.Fatal("signed with a key that is not published")
	}
	if _, err := parsed.Verify(key); err != nil {
		t.Fatal(err)
	}
	c := claims(t, a.body)
	about, _ := c["token_introspection"].(map[string]any)
	if c["iss"] != issuerURL || c["aud"] != "rs" || c["iat"] != float64(w.now().Unix()) || c["sub"] != nil || c["exp"] != nil || len(c) != 4 {
		t.Errorf("claims %v", c)
	}
	if about["active"] != true || about["scope"] != "read:orders" || about["sub"] != "billing" {
		t.Errorf("token_introspection %v", about)
	}
	if _, err := w.verifier.Verify(a.body); err == nil {
		t.Error("it opens the API")
	}
	t.Run("an inactive token is signed as such, and nothing else", func(t *testing.T) {
		c := claims(t, ask("x", "application/token-introspection+jwt").body)
		if about, _ := c["token_introspection"].(map[string]any); len(about) != 1 || about["active"] != false {
			t.Errorf("%v", c)
		}
	})
	t.Run("whoever does not ask for it gets JSON", func(t *testing.T) {
		for _, accept := range []string{"", "*/*", "application/json", "application/jwt", "text/token-introspection+jwt"} {
			if a := ask(issued, accept); a.json["active"] != true {
				t.Errorf("%q: %s", accept, a.body)
			}
		}
	})
	t.Run("errors are JSON", func(t *testing.T) {
		w.post("/introspect", http.Header{"Accept": {"application/token-introspection+jwt"}}, values("token", issued)).refused(401, "invalid_client", "")
	})
	t.Run("the metadata says how it is signed", func(t *testing.T) {
		if got := w.get("/.well-known/oauth-authorization-server").json["introspection_signing_alg_values_supported"]; got == nil || got.([]any)[0] != "ES256" {
			t.Errorf("%v", got)
		}
	})
}

func TestIntrospectionTellsWhoActs(t *testing.T) {
	// checklist_96
	w := newChain(t)
	issued := w.trade(w.stock, w.trade(w.orders, w.ofAna()).ok(), "resource", api).ok()
	a := w.post("/introspect", w.stock, values("token", issued))
	if !strings.Contains(a.body, `"act":{"sub":"stock","act":{"sub":"orders"}}`) {
		t.Errorf("got %s", a.body)
	}
}

func TestAClientRevokesOnlySoFast(t *testing.T) {
	w := newWorld(t)
	_, header := w.withSecret(billing())
	_, other := w.withSecret(client.Client{ID: "other", Scopes: oauth.Scope{"read:orders"}})
	revoke := func(h http.Header) answer { return w.post("/revoke", h, values("token", w.token(h).ok())) }
	for range 200 {
		if a := revoke(header); a.status != http.StatusOK {
			t.Fatalf("%d %s", a.status, a.body)
		}
	}
	issued := w.token(header).ok()
	a := w.post("/revoke", header, values("token", issued))
	a.refused(429, "temporarily_unavailable", "not revoked")
	if a.header.Get("Retry-After") != "1" {
		t.Errorf("Retry-After %q", a.header.Get("Retry-After"))
	}
	if _, err := w.verifier.Verify(issued); err != nil {
		t.Error("it is revoked all the same")
	}
	for range 300 { // what is no token, or another's, leaves nothing
		if a := w.post("/revoke", header, values("token", "x")); a.status != http.StatusOK {
			t.Fatalf("%d %s", a.status, a.body)
		}
	}
	if a := revoke(other); a.status != http.StatusOK {
		t.Errorf("another client: %d %s", a.status, a.body)
	}
	w.advance(time.Second)
	if a := w.post("/revoke", header, values("token", issued)); a.status != http.StatusOK {
		t.Errorf("%d %s", a.status, a.body)
	}
}
