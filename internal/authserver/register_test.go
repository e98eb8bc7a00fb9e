package authserver_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/offkey/offkey/internal/authserver"
	"github.com/offkey/offkey/internal/jose"
	"github.com/offkey/offkey/internal/oauth"
	"github.com/offkey/offkey/internal/secret"
)

// goodMetadata is what the upgrade command sends.
func goodMetadata(t testing.TB) map[string]any {
	t.Helper()
	key, err := jose.GenerateSigningKey(jose.ES256)
	if err != nil {
		t.Fatal(err)
	}
	return map[string]any{
		"client_name": "billing", "token_endpoint_auth_method": "private_key_jwt", "grant_types": []string{"client_credentials"},
		"jwks": jose.KeySet{Keys: []jose.PublicKey{key.Public()}}, "software_id": "offkey",
	}
}

func with(md map[string]any, name string, value any) map[string]any {
	out := map[string]any{}
	for k, v := range md {
		out[k] = v
	}
	if value == nil {
		delete(out, name)
		return out
	}
	out[name] = value
	return out
}

func (w *world) register(t testing.TB, apikey string, md any, authorization ...string) answer {
	t.Helper()
	raw, ok := md.(string)
	if !ok {
		encoded, err := json.Marshal(md)
		if err != nil {
			t.Fatal(err)
		}
		raw = string(encoded)
	}
	r := httptest.NewRequest(http.MethodPost, "/register", strings.NewReader(raw))
	r.Header.Set("Content-Type", "application/json")
	if apikey != "" {
		authorization = append(authorization, "Bearer "+apikey)
	}
	r.Header["Authorization"] = authorization
	return w.do(r)
}

func TestChecklist178(t *testing.T) {
	w := newWorld(t)
	t.Run("checklist_178 201 with all that is registered", func(t *testing.T) {
		md := goodMetadata(t)
		a := w.register(t, "old-key", md)
		if a.status != http.StatusCreated {
			t.Fatalf("%d %s", a.status, a.body)
		}
		for name, want := range map[string]any{
			"client_id": "cl_new", "client_id_issued_at": 1.8e9, "client_name": "billing", "token_endpoint_auth_method": "private_key_jwt",
			"scope": "read:orders", "software_id": "offkey", "offkey_status": nil, "offkey_reason": nil, "client_secret": nil,
		} {
			if a.json[name] != want {
				t.Errorf("%s is %v, want %v", name, a.json[name], want)
			}
		}
		if grants, _ := a.json["grant_types"].([]any); len(grants) != 1 || grants[0] != "client_credentials" {
			t.Errorf("grant_types %v", a.json["grant_types"])
		}
		if jwks, _ := a.json["jwks"].(map[string]any); jwks == nil || len(jwks["keys"].([]any)) != 1 {
			t.Errorf("jwks %v", a.json["jwks"])
		}
		if w.road.source.String() != "192.0.2.1" {
			t.Errorf("source %v", w.road.source)
		}
	})
	t.Run("checklist_184 how the client manages itself is told once, to whoever made it", func(t *testing.T) {
		var q *world
		w := newWorld(t, func(o *authserver.Options) { o.SelfRegistered = lateStore{&q} })
		a := w.register(t, "old-key", goodMetadata(t)).made()
		if !secret.WellFormed(a.text("registration_access_token")) || a.text("registration_client_uri") != issuerURL+"/register/cl_new" {
			t.Errorf("%s", a.body)
		}
		if a := w.register(t, "old-key", with(goodMetadata(t), "software_id", "again")).made(); a.json["registration_access_token"] != nil || a.json["registration_client_uri"] != nil {
			t.Errorf("whoever has the public keys is given the client: %s", a.body)
		}
	})
	t.Run("checklist_178 what the server adds is stated", func(t *testing.T) {
		a := w.register(t, "old-key", with(with(goodMetadata(t), "token_endpoint_auth_method", nil), "grant_types", nil))
		if a.status != http.StatusCreated || a.json["token_endpoint_auth_method"] != "private_key_jwt" || a.json["grant_types"] == nil {
			t.Errorf("%d %s", a.status, a.body)
		}
	})
	t.Run("checklist_181 unknown metadata is ignored", func(t *testing.T) {
		if a := w.register(t, "old-key", with(goodMetadata(t), "post_logout_colour", "blue")); a.status != http.StatusCreated {
			t.Errorf("%d %s", a.status, a.body)
		}
	})
	t.Run("checklist_182 a client that waits is 201 and says so", func(t *testing.T) {
		a := w.register(t, "old-key", with(goodMetadata(t), "software_id", "second"))
		if a.status != http.StatusCreated || a.json["offkey_status"] != "pending" || a.json["offkey_reason"] != "it is the second client of this apikey" {
			t.Errorf("%d %s", a.status, a.body)
		}
	})
	t.Run("checklist_182 scopes that wait are apart from those granted", func(t *testing.T) {
		a := w.register(t, "old-key", with(goodMetadata(t), "software_id", "writer"))
		if a.json["scope"] != "read:orders" || a.json["offkey_pending_scope"] != "create:orders" || a.json["offkey_status"] != nil || a.json["offkey_reason"] == nil {
			t.Errorf("%d %s", a.status, a.body)
		}
	})
}

func TestChecklist179to181(t *testing.T) {
	w := newWorld(t)
	good := goodMetadata(t)
	private := map[string]any{"keys": []any{map[string]any{"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA", "d": "AA"}}}
	tests := []struct {
		name string
		md   any
		code string
		want string
	}{
		{"checklist_179 no JSON", "grant_types=x", "invalid_client_metadata", "JSON object"},
		{"checklist_179 an array", "[]", "invalid_client_metadata", "JSON object"},
		{"checklist_179 a member twice", `{"client_name":"a","client_name":"b"}`, "invalid_client_metadata", "twice"},
		{"checklist_179 a software statement", with(good, "software_statement", "a.b.c"), "unapproved_software_statement", "leave software_statement out"},
		{"checklist_179 names that are no names", with(good, "client_name", "a\x1b[31mb"), "invalid_client_metadata", "printable"},
		{"checklist_179 names without end", with(good, "software_version", strings.Repeat("x", 201)), "invalid_client_metadata", "200 bytes"},
		{"checklist_180 jwks and jwks_uri", with(good, "jwks_uri", "https://a.example/jwks"), "invalid_client_metadata", "must not both be given"},
		{"checklist_180 no key", with(good, "jwks", nil), "invalid_client_metadata", "jwks is missing"},
		{"checklist_180 a private key", with(good, "jwks", private), "invalid_client_metadata", "private key"},
		{"checklist_180 no keys in the set", with(good, "jwks", map[string]any{"keys": []any{}}), "invalid_client_metadata", "jwks"},
		{"checklist_180 jwks_uri over http", with(with(good, "jwks", nil), "jwks_uri", "http://a.example/jwks"), "invalid_client_metadata", "https"},
		{"checklist_180 redirect with fragment", with(good, "redirect_uris", []string{"https://a.example/#x"}), "invalid_redirect_uri", "fragment"},
		{"checklist_180 redirect by script", with(good, "redirect_uris", []string{"javascript:alert(1)"}), "invalid_redirect_uri", "https"},
		{"checklist_180 redirect by data", with(good, "redirect_uris", []string{"data:text/html,x"}), "invalid_redirect_uri", "https"},
		{"checklist_180 redirect over http", with(good, "redirect_uris", []string{"http://a.example/"}), "invalid_redirect_uri", "https"},
		{"checklist_181 a grant that is not there", with(good, "grant_types", []string{"authorization_code"}), "invalid_client_metadata", "only be client_credentials"},
		{"checklist_181 a response type", with(good, "response_types", []string{"code"}), "invalid_client_metadata", "response_types"},
		{"a secret", with(with(good, "jwks", nil), "token_endpoint_auth_method", "client_secret_basic"), "invalid_client_metadata", "private_key_jwt"},
		{"a secret by leaving all out", map[string]any{"client_name": "a"}, "invalid_client_metadata", "private_key_jwt"},
		{"an algorithm that is not taken", with(good, "token_endpoint_auth_signing_alg", "HS256"), "invalid_client_metadata", "one of ES256"},
		{"a promise that would not be kept", with(good, "dpop_bound_access_tokens", true), "invalid_client_metadata", "dpop"},
		{"another such promise", with(good, "tls_client_certificate_bound_access_tokens", true), "invalid_client_metadata", "tls"},
		{"a scope that is none", with(good, "scope", "a\"b"), "invalid_client_metadata", "scope"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			before := len(w.road.seen)
			w.register(t, "old-key", tt.md).refused(400, tt.code, tt.want)
			if len(w.road.seen) != before {
				t.Error("registered")
			}
		})
	}
	t.Run("checklist_180 loopback redirects are harmless", func(t *testing.T) {
		md := with(good, "redirect_uris", []string{"https://a.example/cb", "http://127.0.0.1/cb", "http://[::1]:7/cb", "http://localhost/cb"})
		if a := w.register(t, "old-key", md); a.status != http.StatusCreated {
			t.Errorf("%d %s", a.status, a.body)
		}
	})
	t.Run("checklist_180 jwks_uri instead of jwks", func(t *testing.T) {
		a := w.register(t, "old-key", with(with(good, "jwks", nil), "jwks_uri", "https://a.example/jwks"))
		if a.status != http.StatusCreated || a.json["jwks_uri"] != "https://a.example/jwks" {
			t.Errorf("%d %s", a.status, a.body)
		}
	})
	t.Run("checklist_11 a form", func(t *testing.T) {
		a := w.post("/register", http.Header{"Authorization": {"Bearer old-key"}}, values("client_name", "a"))
		a.refused(400, "invalid_client_metadata", "application/json")
	})
}

func TestChecklist183(t *testing.T) {
	w := newWorld(t)
	md := goodMetadata(t)
	t.Run("checklist_183 no apikey", func(t *testing.T) {
		a := w.register(t, "", md)
		a.refused(401, "invalid_token", "Authorization: Bearer")
		if got := a.header.Get("WWW-Authenticate"); got != "Bearer" {
			t.Errorf("WWW-Authenticate: %s, want it bare", got)
		}
	})
	t.Run("checklist_183 a wrong apikey", func(t *testing.T) {
		a := w.register(t, "stolen", md)
		a.refused(401, "invalid_token", "does not open registration")
		if got := a.header.Get("WWW-Authenticate"); !strings.HasPrefix(got, `Bearer error="invalid_token"`) {
			t.Errorf("WWW-Authenticate: %s", got)
		}
	})
	t.Run("checklist_183 only the header is read", func(t *testing.T) {
		r := httptest.NewRequest(http.MethodPost, "/register?access_token=old-key&apikey=old-key", strings.NewReader(`{"access_token":"old-key"}`))
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("X-API-Key", "old-key")
		w.do(r).refused(401, "invalid_token", "")
	})
	t.Run("another scheme", func(t *testing.T) {
		w.register(t, "", md, "ApiKey old-key").refused(401, "invalid_token", "Bearer")
		w.register(t, "", md, "Bearer ").refused(401, "invalid_token", "Bearer")
	})
	t.Run("two headers", func(t *testing.T) {
		w.register(t, "old-key", md, "Bearer other").refused(400, "invalid_request", "more than one")
	})
	t.Run("checklist_7 bearer in small letters", func(t *testing.T) {
		if a := w.register(t, "", md, "bearer old-key"); a.status != http.StatusCreated {
			t.Errorf("%d %s", a.status, a.body)
		}
	})
	t.Run("a failure of ours is a 500 without details", func(t *testing.T) {
		w := newWorld(t)
		w.road.broken = errors.New("disk gone")
		a := w.register(t, "old-key", md)
		if got := a.refused(500, "server_error", ""); strings.Contains(got, "disk") {
			t.Errorf("%q", got)
		}
	})
	t.Run("no registrar, no endpoint", func(t *testing.T) {
		w := newWorld(t, func(o *authserver.Options) { o.Registrar, o.Exchanger = nil, nil })
		if a := w.register(t, "old-key", md); a.status != http.StatusNotFound {
			t.Errorf("%d", a.status)
		}
		metadata := w.get("/.well-known/oauth-authorization-server")
		if metadata.json["registration_endpoint"] != nil {
			t.Errorf("checklist_161: %s", metadata.body)
		}
		w.post("/token", nil, values("grant_type", oauth.GrantTokenExchange, "subject_token", "old-key", "subject_token_type", oauth.TypeAPIKey)).
			refused(401, "invalid_client", "")
	})
}
