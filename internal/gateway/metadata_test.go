package gateway

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/offkey/offkey/internal/apikey"
	"github.com/offkey/offkey/internal/policy"
)

// TestResourceMetadata holds RFC 9728 §3.
func TestResourceMetadata(t *testing.T) {
	t.Run("checklist_163 checklist_164 the document of a resource without path", func(t *testing.T) {
		w := newWorld(t, nil).serve()
		w.setRules(policy.Ruleset{Stage: apikey.Observe}, "GET /a -> write:a read:a", "GET /b -> read:a", "GET /c -> open")
		got := w.get("/.well-known/oauth-protected-resource")
		var doc map[string]any
		if err := json.Unmarshal([]byte(got.body), &doc); err != nil {
			t.Fatalf("%v: %s", err, got.body)
		}
		want := map[string]any{
			"resource": testResource, "authorization_servers": []any{testIssuer},
			"scopes_supported": []any{"read:a", "write:a"}, "bearer_methods_supported": []any{"header"},
			"dpop_signing_alg_values_supported": []any{"ES256", "EdDSA", "Ed25519", "PS256", "RS256"},
		}
		if diff := cmp.Diff(want, doc); diff != "" {
			t.Error(diff)
		}
		if got.Header.Get("Content-Type") != "application/json" {
			t.Errorf("Content-Type %q", got.Header.Get("Content-Type"))
		}
	})
	t.Run("checklist_164 the path of the resource is inserted", func(t *testing.T) {
		w := newWorld(t, func(w *world) { w.options.Resource = testResource + "/v1/shop/" }).serve()
		got := w.get("/.well-known/oauth-protected-resource/v1/shop")
		if !strings.Contains(got.body, `"resource":"https://api.example.com/v1/shop/"`) {
			t.Errorf("checklist_163: the resource is not the identifier: %s", got.body)
		}
		if got := w.get("/.well-known/oauth-protected-resource"); got.body != "ok" {
			t.Errorf("another resource's document: %s", got.body)
		}
	})
	t.Run("checklist_220 checklist_224 it names an authorization server and what routes need, and never offline_access", func(t *testing.T) {
		w := newWorld(t, nil).serve()
		w.setRules(policy.Ruleset{Stage: apikey.Observe}, "POST /mcp -> use:tools offline_access", "GET /mcp -> use:tools")
		got := w.get("/.well-known/oauth-protected-resource")
		if !strings.Contains(got.body, `"scopes_supported":["use:tools"]`) || !strings.Contains(got.body, `"authorization_servers":["`+testIssuer+`"]`) {
			t.Error(got.body)
		}
	})
	t.Run("checklist_160 what is empty is absent", func(t *testing.T) {
		w := newWorld(t, nil).serve()
		if got := w.get("/.well-known/oauth-protected-resource"); strings.Contains(got.body, "scopes_supported") || strings.Contains(got.body, "null") {
			t.Error(got.body)
		}
	})
	t.Run("checklist_166 any origin, no credential, some caching", func(t *testing.T) {
		w := newWorld(t, nil).serve()
		w.setRules(policy.Ruleset{Stage: apikey.Retired, Enforce: policy.On})
		for _, method := range []string{"GET", "HEAD", "OPTIONS"} {
			got := w.send(method, "/.well-known/oauth-protected-resource", "Origin: https://app.example.org")
			if got.StatusCode >= 300 || got.Header.Get("Access-Control-Allow-Origin") != "*" {
				t.Errorf("%s: %d %v", method, got.StatusCode, got.Header)
			}
			if method != "OPTIONS" && got.Header.Get("Cache-Control") != "public, max-age=300" {
				t.Errorf("%s: Cache-Control %q", method, got.Header.Get("Cache-Control"))
			}
		}
		if got := w.send("POST", "/.well-known/oauth-protected-resource"); got.StatusCode != http.StatusMethodNotAllowed || got.Header.Get("Allow") == "" {
			t.Errorf("POST: %d", got.StatusCode)
		}
	})
	t.Run("checklist_165 the challenge leads to the document", func(t *testing.T) {
		w := newWorld(t, nil).serve()
		w.setRules(policy.Ruleset{Stage: apikey.Observe, Enforce: policy.On})
		challenge := w.get("/a").Header.Get("WWW-Authenticate")
		_, rest, _ := strings.Cut(challenge, `resource_metadata="`)
		url, _, _ := strings.Cut(rest, `"`)
		path, ok := strings.CutPrefix(url, testResource)
		if !ok {
			t.Fatalf("challenge %q", challenge)
		}
		if got := w.get(path); !strings.Contains(got.body, testIssuer) {
			t.Errorf("%s: %s", path, got.body)
		}
	})
	t.Run("another host's URL is the API's", func(t *testing.T) {
		w := newWorld(t, nil).serve()
		if got := w.get("/.well-known/oauth-protected-resource", "Host: other.example.com"); got.body != "ok" {
			t.Errorf("served for another host: %s", got.body)
		}
		if got := w.get("/.well-known/oauth-protected-resource", "Host: API.example.com:443"); got.body == "ok" {
			t.Error("not served for the same host spelled otherwise")
		}
	})
	t.Run("new rules, new scopes", func(t *testing.T) {
		w := newWorld(t, nil).serve()
		w.get("/.well-known/oauth-protected-resource")
		w.setRules(policy.Ruleset{Stage: apikey.Observe}, "GET /a -> read:new")
		if got := w.get("/.well-known/oauth-protected-resource"); !strings.Contains(got.body, "read:new") {
			t.Error(got.body)
		}
	})
}

// TestG28NothingOfOffkeyIsOpenedByATokenOfACaller: the management API is not on
// this listener, and no token changes that.
func TestG28NothingOfOffkeyIsOpenedByATokenOfACaller(t *testing.T) {
	w := newWorld(t, nil).serve()
	seen := ""
	w.handle(func(rw http.ResponseWriter, r *http.Request) { seen = r.URL.Path })
	line := "Authorization: Bearer " + w.issue(t, w.ours, "cl_1", time.Hour, "admin")
	for _, target := range []string{"/_offkey/auth", "/_offkey/api/v1/clients", "/%5foffkey/api"} {
		seen = ""
		if p := w.get(target, line).problem(t); p.Code != codeNotFound || seen != "" {
			t.Errorf("%s: code %s, the API saw %q", target, p.Code, seen)
		}
	}
	if w.get("/api/v1/clients", line); seen != "/api/v1/clients" {
		t.Error("/api/v1 on this listener is the API's own")
	}
}

// TestG16NoExceptionForHealthChecks: nothing but a route opens a path, whoever
// asks and however it calls itself.
func TestG16NoExceptionForHealthChecks(t *testing.T) {
	w := newWorld(t, nil).serve()
	w.setRules(policy.Ruleset{Stage: apikey.Observe, Enforce: policy.On}, "GET /healthz -> open", "/** -> all")
	for _, agent := range []string{"kube-probe/1.30", "GoogleHC/1.0", "ELB-HealthChecker/2.0"} {
		if got := w.get("/v1/orders", "User-Agent: "+agent); got.StatusCode != http.StatusUnauthorized {
			t.Errorf("%s: %d", agent, got.StatusCode)
		}
	}
	for _, target := range []string{"/livez", "/readyz", "/metrics", "/ping"} {
		if got := w.get(target); got.StatusCode != http.StatusUnauthorized {
			t.Errorf("%s: %d: offkey's own pages are on another listener", target, got.StatusCode)
		}
	}
	if got := w.get("/healthz"); got.StatusCode != http.StatusOK {
		t.Errorf("the declared route: %d", got.StatusCode)
	}
}

// TestG21Preflight: browsers ask without credential, and only declared origins
// and existing routes are let through.
func TestG21Preflight(t *testing.T) {
	w := newWorld(t, func(w *world) { w.options.PreflightOrigins = []string{"https://app.example.com"} }).serve()
	routes := []string{"GET /v1/orders -> read:orders", "DELETE /v1/orders/{id} -> delete:orders"}
	tests := []struct {
		name, target, origin, method string
		enforced                     int
	}{
		{"declared origin and route", "/v1/orders", "https://app.example.com", "GET", 200},
		{"other method of another route", "/v1/orders", "https://app.example.com", "DELETE", 401},
		{"another origin", "/v1/orders", "https://evil.example.net", "GET", 401},
		{"the origin as a prefix", "/v1/orders", "https://app.example.com.evil.net", "GET", 401},
		{"no such route", "/v1/other", "https://app.example.com", "GET", 401},
		{"no method asked for", "/v1/orders", "https://app.example.com", "", 401},
		{"ambiguous target", "/v1/x/../orders", "https://app.example.com", "GET", 400},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			lines := []string{"Origin: " + tt.origin}
			if tt.method != "" {
				lines = append(lines, "Access-Control-Request-Method: "+tt.method)
			}
			w.setRules(policy.Ruleset{Stage: apikey.Observe}, routes...)
			if got := w.send("OPTIONS", tt.target, lines...); got.StatusCode != 200 {
				t.Errorf("while observing: %d", got.StatusCode)
			}
			w.setRules(policy.Ruleset{Stage: apikey.Observe, Enforce: policy.On}, routes...)
			if got := w.send("OPTIONS", tt.target, lines...); got.StatusCode != tt.enforced {
				t.Errorf("enforced: %d, want %d", got.StatusCode, tt.enforced)
			}
		})
	}
	if got := w.send("GET", "/v1/orders", "Origin: https://app.example.com", "Access-Control-Request-Method: GET"); got.StatusCode != 401 {
		t.Errorf("a GET that looks like a preflight: %d", got.StatusCode)
	}
	t.Run("its page can read why it is refused, and no other page", func(t *testing.T) {
		for origin, want := range map[string]string{"https://app.example.com": "https://app.example.com", "https://evil.example.net": "", "null": ""} {
			got := w.send("GET", "/v1/orders", "Origin: "+origin)
			exposed := strings.Contains(got.Header.Get("Access-Control-Expose-Headers"), "WWW-Authenticate")
			if got.StatusCode != 401 || got.Header.Get("Access-Control-Allow-Origin") != want || exposed != (want != "") || (got.Header.Get("Vary") == "Origin") != (want != "") {
				t.Errorf("%s: %d %v", origin, got.StatusCode, got.Header)
			}
		}
		got := w.send("GET", "/v1/orders", "Origin: https://app.example.com", "Origin: https://evil.example.net")
		if got.Header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("two origins: %v", got.Header)
		}
	})
}
