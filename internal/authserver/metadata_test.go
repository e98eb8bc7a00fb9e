package authserver_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/offkey/offkey/internal/audit"
	"github.com/offkey/offkey/internal/authserver"
	"github.com/offkey/offkey/internal/jose"
	"github.com/offkey/offkey/internal/oauth"
)

func TestChecklist159to166(t *testing.T) {
	for _, tt := range []struct {
		issuer string
		paths  []string
		token  string
	}{
		{issuerURL, []string{"/.well-known/oauth-authorization-server", "/.well-known/openid-configuration"}, "/token"},
		{issuerURL + "/tenant/a", []string{
			"/.well-known/oauth-authorization-server/tenant/a", "/.well-known/openid-configuration/tenant/a",
			"/tenant/a/.well-known/openid-configuration", "/tenant/a/.well-known/oauth-authorization-server",
		}, "/tenant/a/token"},
		{issuerURL + "/", []string{"/.well-known/oauth-authorization-server"}, "/token"},
		{"http://127.0.0.1:8485", []string{"/.well-known/oauth-authorization-server"}, "/token"},
	} {
		w := newWorld(t, func(o *authserver.Options) { o.Issuer = tt.issuer })
		for _, path := range tt.paths {
			t.Run("checklist_159 "+tt.issuer+" at "+path, func(t *testing.T) {
				a := w.get(path)
				if a.status != 200 || a.json["issuer"] != tt.issuer {
					t.Fatalf("%d %s", a.status, a.body)
				}
				base := strings.TrimSuffix(tt.issuer, "/")
				for name, value := range a.json {
					if s, ok := value.(string); ok && name != "issuer" && !strings.HasPrefix(s, base+"/") {
						t.Errorf("checklist_10: %s is %q, not below the issuer", name, s)
					}
				}
				u, err := url.Parse(a.json["token_endpoint"].(string))
				if err != nil || u.Path != tt.token {
					t.Errorf("token_endpoint %v", a.json["token_endpoint"])
				}
				w.post(u.Path, nil, nil).refused(401, "invalid_client", "")
			})
		}
	}
	w := newWorld(t)
	a := w.get("/.well-known/oauth-authorization-server")
	t.Run("checklist_160 nothing is null, and only response_types_supported is empty", func(t *testing.T) {
		for name, value := range a.json {
			list, isList := value.([]any)
			if value == nil || isList && len(list) == 0 && name != "response_types_supported" || strings.HasSuffix(name, "_supported") && !isList {
				t.Errorf("%s is %v", name, value)
			}
		}
		if list, ok := a.json["response_types_supported"].([]any); !ok || len(list) != 0 {
			t.Errorf("response_types_supported is %v", a.json["response_types_supported"])
		}
	})
	t.Run("checklist_161 every endpoint that is named is there", func(t *testing.T) {
		for name, value := range a.json {
			if endpoint, ok := value.(string); ok && (strings.HasSuffix(name, "_endpoint") || name == "jwks_uri") {
				u, err := url.Parse(endpoint)
				if err != nil {
					t.Fatal(err)
				}
				if got := w.get(u.Path).status; got == http.StatusNotFound {
					t.Errorf("%s: %d", name, got)
				}
			}
		}
	})
	t.Run("checklist_161 every grant that is named is there", func(t *testing.T) {
		_, header := w.withSecret(billing())
		for _, g := range a.json["grant_types_supported"].([]any) {
			got := w.post("/token", header, values("grant_type", g.(string)))
			if got.json["error"] == "unsupported_grant_type" {
				t.Errorf("%v: %s", g, got.body)
			}
		}
	})
	t.Run("checklist_161 every algorithm that is named is there, at each endpoint", func(t *testing.T) {
		for _, endpoint := range []string{"token", "introspection", "revocation"} {
			algs, _ := a.json[endpoint+"_endpoint_auth_signing_alg_values_supported"].([]any)
			methods, _ := a.json[endpoint+"_endpoint_auth_methods_supported"].([]any)
			if len(algs) != len(jose.Names(jose.ClientAlgorithms)) || len(methods) != 3 {
				t.Errorf("%s: %v, %v", endpoint, algs, methods)
			}
		}
		for _, alg := range jose.ClientAlgorithms {
			c := billing()
			c.ID = "by-" + string(alg)
			_, key := w.withKey(c, alg)
			w.post("/token", nil, merged(w.assertion(c.ID, key), values("grant_type", oauth.GrantClientCredentials))).ok()
		}
	})
	t.Run("checklist_166 anybody may read and keep it for a while", func(t *testing.T) {
		for _, path := range []string{"/.well-known/oauth-authorization-server", "/jwks"} {
			a := w.get(path)
			if a.header.Get("Access-Control-Allow-Origin") != "*" || a.header.Get("Cache-Control") != "public, max-age=300" {
				t.Errorf("%s: %v", path, a.header)
			}
		}
	})
	t.Run("scopes are named where they are known", func(t *testing.T) {
		w := newWorld(t, func(o *authserver.Options) {
			o.ScopesSupported = func() oauth.Scope { return oauth.Scope{"read:orders"} }
		})
		if got, _ := w.get("/.well-known/oauth-authorization-server").json["scopes_supported"].([]any); len(got) != 1 {
			t.Errorf("%v", got)
		}
	})
}

func TestChecklist117AtTheEndpoint(t *testing.T) {
	w := newWorld(t)
	_, header := w.withSecret(billing())
	fetch := func() jose.KeySet {
		t.Helper()
		a := w.get("/jwks")
		if a.header.Get("Content-Type") != "application/jwk-set+json" {
			t.Errorf("Content-Type %q", a.header.Get("Content-Type"))
		}
		set, err := jose.ParseKeySet([]byte(a.body))
		if err != nil {
			t.Fatal(err)
		}
		return set
	}
	t.Run("checklist_117 tokens verify with what is published", func(t *testing.T) {
		parsed, err := jose.Parse(w.token(header).ok(), jose.ES256)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := parsed.Verify(fetch().Candidates(parsed.Header().KeyID, jose.ES256)...); err != nil {
			t.Error(err)
		}
	})
	t.Run("checklist_117 nothing private is published", func(t *testing.T) {
		var doc struct{ Keys []map[string]json.RawMessage }
		if err := json.Unmarshal([]byte(w.get("/jwks").body), &doc); err != nil {
			t.Fatal(err)
		}
		for _, k := range doc.Keys {
			for member := range k {
				if !strings.Contains(" kty crv x y kid alg use ", " "+member+" ") {
					t.Errorf("member %q", member)
				}
			}
		}
	})
	t.Run("checklist_117 rotated while tokens are in the air", func(t *testing.T) {
		before := w.token(header).ok()
		if _, err := w.manager.Rotate(t.Context(), false, audit.Event{Actor: "system", Action: "signing_key.rotated"}); err != nil {
			t.Fatal(err)
		}
		if n := len(fetch().Keys); n != 2 {
			t.Errorf("%d keys published ahead", n)
		}
		if old, same := keyOf(t, before), keyOf(t, w.token(header).ok()); old != same {
			t.Error("the new key signs at once")
		}
		w.advance(24 * time.Hour)
		if old, now := keyOf(t, before), keyOf(t, w.token(header).ok()); old == now {
			t.Error("the new key does not sign after a day")
		}
		if _, err := w.verifier.Verify(w.token(header).ok()); err != nil {
			t.Error(err)
		}
	})
}

func keyOf(t *testing.T, raw string) string {
	t.Helper()
	parsed, err := jose.Parse(raw, jose.ES256)
	if err != nil {
		t.Fatal(err)
	}
	return parsed.Header().KeyID
}

func TestMetadataIsOneDocument(t *testing.T) {
	w := newWorld(t)
	if a, b := w.get("/.well-known/oauth-authorization-server"), w.get("/.well-known/openid-configuration"); !bytes.Equal([]byte(a.body), []byte(b.body)) {
		t.Error("two names, two documents")
	}
}
