package app

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"testing"

	"github.com/offkey/offkey/internal/jose"
)

// A client that took the place of an apikey changes its own keys and leaves, and
// never becomes anything else.
func TestAnUpgradedClientManagesItself(t *testing.T) { // checklist_184
	w := newWorld(t, nil)
	w.enforce()
	key := newKey()
	id := w.learn(key)
	made, config := w.mustRegister(key, "orders-sync")
	if made.AccessToken == "" || made.ManageURL != w.Addresses().Issuer+"/register/"+made.ClientID {
		t.Fatalf("%+v", made)
	}
	manage := func(method string, body map[string]any) (int, map[string]any) {
		t.Helper()
		raw, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		r, err := http.NewRequest(method, made.ManageURL, bytes.NewReader(raw))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+string(made.AccessToken))
		r.Header.Set("Content-Type", "application/json")
		resp, err := noRedirects.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		var answer map[string]any
		if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil && err != io.EOF {
			t.Fatal(err)
		}
		return resp.StatusCode, answer
	}
	status, read := manage("GET", nil)
	if status != 200 || read["client_id"] != made.ClientID || read["scope"] != "read:orders" || read["token_endpoint_auth_method"] != "private_key_jwt" || read["jwks"] == nil {
		t.Fatalf("%d %v", status, read)
	}
	pair, err := jose.GenerateSigningKey(jose.ES256)
	if err != nil {
		t.Fatal(err)
	}
	change := func(pairs ...any) map[string]any {
		md := map[string]any{"client_id": made.ClientID, "client_name": "orders-sync 2", "jwks": jose.KeySet{Keys: []jose.PublicKey{pair.Public()}}}
		for i := 0; i < len(pairs); i += 2 {
			md[pairs[i].(string)] = pairs[i+1]
		}
		return md
	}
	for name, md := range map[string]map[string]any{
		"a secret": change("token_endpoint_auth_method", "client_secret_basic"), "a browser": change("redirect_uris", []string{"https://evil.example/cb"}),
		"people": change("grant_types", []string{"authorization_code"}), "keys elsewhere": change("jwks", nil, "jwks_uri", "https://evil.example/keys"),
		"no keys": change("jwks", nil), "nobody's": change("client_id", "cl_other"),
	} {
		if status, answer := manage("PUT", md); status != 400 {
			t.Errorf("%s: %d %v", name, status, answer)
		}
	}
	w.token(config) // all as it was
	status, answer := manage("PUT", change("scope", "read:orders admin:all"))
	if status != 200 || answer["scope"] != "read:orders" || answer["offkey_pending_scope"] != nil || answer["client_name"] != "orders-sync 2" {
		t.Errorf("%d %v", status, answer)
	}
	if _, err := config.NewToken(t.Context()); refusal(err) != "invalid_client" {
		t.Errorf("the key that was replaced: %v", err)
	}
	c, err := w.db.Client(t.Context(), made.ClientID)
	if err != nil || c.APIKeyID != id || c.Source != "upgrade" {
		t.Errorf("%+v, %v", c, err)
	}
	if status, _ := manage("DELETE", nil); status != 204 {
		t.Errorf("%d", status)
	}
	if status, _ := manage("GET", nil); status != 401 {
		t.Errorf("%d", status)
	}
	if a := w.call("GET", "/v1/orders", "X-API-Key", key); a.status != 200 {
		t.Errorf("the apikey of a client that left: %d %s", a.status, a.body)
	}
}
