package api_test

import (
	"strings"
	"testing"
	"time"

	"github.com/offkey/offkey/internal/client"
	"github.com/offkey/offkey/internal/oauth"
	"github.com/offkey/offkey/internal/token"
)

// issue makes an access token for a client.
func (w *world) issue(issuer, clientID string, scope ...string) string {
	w.t.Helper()
	return w.issueAs(issuer, token.Authorization{Client: &client.Client{ID: clientID}, Subject: clientID, Scope: oauth.Scope(scope)})
}

// issueAs makes one that says more.
func (w *world) issueAs(issuer string, a token.Authorization) string {
	w.t.Helper()
	a.Resources, a.Life = []string{resourceURL}, time.Hour
	made, err := token.NewIssuer(issuer, w.ring.Current, w.now).Issue(a)
	if err != nil {
		w.t.Fatal(err)
	}
	return made.Token
}

func TestATrialIsAnsweredAsTheGatewayWould(t *testing.T) {
	w := newWorldWith(t, strings.Replace(plainConfig, "gateway:\n",
		"gateway:\n  enforce: on\n  routes: [{match: \"GET /health\", auth: none}, {match: \"GET /v1/orders/**\", scopes: [read:orders]}, {match: \"GET /v1/bound\", dpop: required}, {match: \"GET /v1/strong\", acr: [urn:mfa], max_age: 5m}]\n", 1))
	const value = "some-key-0123456789-abcd"
	id := w.apikey(value, "nightly", "")
	retired := w.apikey("some-key-0123456789-efgh", "", "")
	w.ask(200, "POST", "/stage", map[string]any{"stage": "retired", "apikeys": []string{retired}})
	c := w.client("billing", "client_secret_basic").text("client_id")
	w.client("sealed", "client_secret_basic", "dpop_bound_access_tokens", true)
	bound := w.issueAs(issuerURL, token.Authorization{Client: &client.Client{ID: c}, Confirmation: token.Confirmation{JKT: "thumbprint"}})
	strong := w.issueAs(issuerURL, token.Authorization{Client: &client.Client{ID: c}, Login: token.Login{PersonID: "pe_1", ACR: "urn:mfa", AuthTime: w.now()}})

	tests := []struct {
		name           string
		body           map[string]any
		decision, code string
		rule           string
	}{
		{"an open route, nobody", map[string]any{"path": "/health"}, "allow", "open_route", "GET /health"},
		{"a route with scopes, nobody", map[string]any{"path": "/v1/orders/7"}, "deny", "credential_missing", "GET /v1/orders/**"},
		{"an apikey by id", map[string]any{"path": "/v1/orders/7", "apikey": id}, "allow", "apikey", "GET /v1/orders/**"},
		{"an apikey by label", map[string]any{"path": "/v1/orders/7", "apikey": "nightly"}, "allow", "apikey", "GET /v1/orders/**"},
		{"an apikey itself", map[string]any{"path": "/v1/orders/7", "apikey_secret": value}, "allow", "apikey", "GET /v1/orders/**"},
		{"an apikey that is not known", map[string]any{"path": "/v1/orders/7", "apikey_secret": "made-up-key-0123456789"}, "allow", "apikey_unverified", "GET /v1/orders/**"},
		{"an apikey that is retired", map[string]any{"path": "/v1/orders/7", "apikey": retired}, "deny", "apikey_retired", "GET /v1/orders/**"},
		{"a client with all its scopes", map[string]any{"path": "/v1/orders/7", "client": "billing"}, "allow", "token", "GET /v1/orders/**"},
		{"a client with none", map[string]any{"path": "/v1/orders/7", "client": "billing", "scopes": []string{}}, "deny", "insufficient_scope", "GET /v1/orders/**"},
		{"a token", map[string]any{"path": "/v1/orders/7", "token": w.issue(issuerURL, c, "read:orders")}, "allow", "token", "GET /v1/orders/**"},
		{"a token without the scope", map[string]any{"path": "/v1/orders/7", "token": w.issue(issuerURL, c)}, "deny", "insufficient_scope", "GET /v1/orders/**"},
		{"a token that was changed", map[string]any{"path": "/v1/orders/7", "token": w.issue(issuerURL, c, "read:orders") + "x"}, "deny", "invalid_token", "GET /v1/orders/**"},
		{"a token of another issuer", map[string]any{"path": "/v1/orders/7", "token": w.issue("https://other.example", c, "read:orders")}, "deny", "token_foreign", "GET /v1/orders/**"},
		{"a token where a bound one is needed", map[string]any{"path": "/v1/bound", "token": w.issue(issuerURL, c)}, "deny", "dpop_required", "GET /v1/bound"},
		{"a bound token", map[string]any{"path": "/v1/bound", "token": bound}, "allow", "token", "GET /v1/bound"},
		{"a client whose tokens may be bound or not", map[string]any{"path": "/v1/bound", "client": "billing"}, "deny", "dpop_required", "GET /v1/bound"},
		{"a client whose tokens are always bound", map[string]any{"path": "/v1/bound", "client": "sealed"}, "allow", "token", "GET /v1/bound"},
		{"checklist_175 a token without a person", map[string]any{"path": "/v1/strong", "token": bound}, "deny", "insufficient_user_authentication", "GET /v1/strong"},
		{"checklist_175 a person who signed in strongly", map[string]any{"path": "/v1/strong", "token": strong}, "allow", "token", "GET /v1/strong"},
		{"no rule", map[string]any{"path": "/v9", "client": "billing"}, "deny", "unknown_route", ""},
		{"a path that can be read in two ways", map[string]any{"path": "/v1/orders/../admin", "client": "billing"}, "deny", "ambiguous_request", "GET /v1/orders/**"},
		{"an escape that is not needed", map[string]any{"path": "/v1/%6Frders/7", "client": "billing"}, "allow", "token", "GET /v1/orders/**"},
	}
	for _, tt := range tests {
		w.run(t, tt.name, func(t *testing.T) {
			tt.body["method"] = "GET"
			d := w.ask(200, "POST", "/routes/test", tt.body)
			if d.text("decision") != tt.decision || d.text("code") != tt.code || d.text("rule") != tt.rule {
				t.Errorf("got %s (%s) by %q, want %s (%s) by %q", d.text("decision"), d.text("code"), d.text("rule"), tt.decision, tt.code, tt.rule)
			}
		})
	}
	if d := w.ask(200, "POST", "/routes/test", map[string]any{"method": "GET", "path": "/v1/%6Frders/7?a=b", "client": "billing"}); d.text("path") != "/v1/orders/7" {
		t.Errorf("the canonical path is %q", d.text("path"))
	}
	for name, body := range map[string]map[string]any{
		"no method": {"path": "/x"}, "a method in small letters": {"method": "get", "path": "/x"}, "no path": {"method": "GET"},
		"a path without a slash": {"method": "GET", "path": "x y"}, "two credentials": {"method": "GET", "path": "/x", "client": "billing", "apikey": id},
		"scopes of nobody": {"method": "GET", "path": "/x", "scopes": []string{"a"}},
	} {
		w.run(t, name, func(t *testing.T) { w.refused(400, "POST", "/routes/test", body) })
	}
	w.refused(404, "POST", "/routes/test", map[string]any{"method": "GET", "path": "/x", "apikey": "ak_nobody"}, "ak_nobody")
	w.refused(404, "POST", "/routes/test", map[string]any{"method": "GET", "path": "/x", "client": "nobody"}, "nobody")
}
