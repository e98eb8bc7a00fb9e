package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/offkey/offkey/internal/config"
)

const ordersDocument = `openapi: 3.1.0
info: {title: Orders, version: "1"}
servers: [{url: "https://{region}.api.example.com/v1", variables: {region: {default: eu}}}]
security: [{key: []}]
paths:
  /health:
    get: {security: [], responses: {}}
  /orders:
    parameters: [{name: page, in: query}]
    get: {responses: {}}
    post: {security: [{key: []}, {oauth: ["orders:write", "orders:audit"]}], responses: {}}
  /orders/{id}:
    get: {responses: {}}
    delete: {responses: {}}
  /orders/special:
    get: {security: [{oidc: ["special"]}], responses: {}}
  /orders/{id}:publish:
    post: {responses: {}}
  /orders/{id}:archive:
    post: {responses: {}}
components:
  securitySchemes:
    key: {type: apiKey, in: header, name: X-Orders-Key}
    q: {type: apiKey, in: query, name: api_key}
    auth: {type: apiKey, in: header, name: Authorization}
    user: {type: http, scheme: Basic}
    bearer: {type: http, scheme: bearer}
    oauth: {type: oauth2, flows: {clientCredentials: {tokenUrl: "https://a.example/token", scopes: {"orders:write": w}}}}
    oidc: {type: openIdConnect, openIdConnectUrl: "https://a.example"}
`

// written loads the file that init has written.
func written(t *testing.T, args ...string) *config.Loaded {
	t.Helper()
	out := filepath.Join(t.TempDir(), "offkey.yaml")
	offkey(t, append([]string{"init", "--out", out}, args...)...).want(t, exitOK)
	loaded, err := config.Load(out, nil)
	if err != nil {
		t.Fatal(err)
	}
	return loaded
}

func document(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "openapi.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestInitWritesAFileThatWorks(t *testing.T) {
	loaded := written(t)
	if u := loaded.Gateway.Upstreams["api"].URL; u != "http://127.0.0.1:8080" {
		t.Errorf("the upstream is %s", u)
	}
	if len(loaded.Gateway.Routes) != 0 || len(loaded.APIKeys.Where) != 1 || loaded.Migration.Upgrade != "on" {
		t.Errorf("it says %+v %+v %+v", loaded.Gateway.Routes, loaded.APIKeys.Where, loaded.Migration)
	}
	if u := written(t, "--upstream", "http://10.0.0.1:9000").Gateway.Upstreams["api"].URL; u != "http://10.0.0.1:9000" {
		t.Errorf("the upstream is %s", u)
	}
}

func TestInitReadsRoutesScopesAndPlacesFromOpenAPI(t *testing.T) {
	loaded := written(t, "--from-openapi", document(t, ordersDocument))
	var got []string
	for _, r := range loaded.Gateway.Routes {
		got = append(got, strings.TrimSpace(fmt.Sprintf("%s [%s] %s", r.Match, strings.Join(r.Scopes, " "), r.Auth)))
	}
	want := []string{ // scopes that are declared win
		"GET /v1/health [] none",
		"GET /v1/orders [read:orders]",
		"POST /v1/orders [orders:audit orders:write]",
		"GET /v1/orders/special [special]",
		"POST /v1/orders/* [create:orders]",
		"GET /v1/orders/{id} [read:orders]",
		"DELETE /v1/orders/{id} [delete:orders]",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("routes are\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if u := loaded.Gateway.Upstreams["api"].URL; u != "https://eu.api.example.com" {
		t.Errorf("the upstream is %s", u)
	}
	if got := fmt.Sprint(loaded.APIKeys.Where); got != "[{basic   } {header X-Orders-Key  } {query api_key  }]" {
		t.Errorf("apikeys travel in %s", got)
	}
}

func TestInitReadsJSONToo(t *testing.T) {
	raw, err := json.Marshal(map[string]any{"openapi": "3.0.3", "paths": map[string]any{"/a/{b}": map[string]any{"get": map[string]any{}, "x-note": "n", "summary": "s"}}})
	if err != nil {
		t.Fatal(err)
	}
	if routes := written(t, "--from-openapi", document(t, string(raw))).Gateway.Routes; len(routes) != 1 || routes[0].Match != "GET /a/{b}" || routes[0].Scopes[0] != "read:a" {
		t.Errorf("routes are %+v", routes)
	}
}

func TestInitRefusesWhatItCannotRead(t *testing.T) {
	for name, tt := range map[string]struct{ text, says string }{
		"Swagger 2":             {"swagger: '2.0'\npaths: {/a: {get: {}}}", "OpenAPI 3"},
		"another document":      {"hello: world", "openapi: 3.x"},
		"no paths":              {"openapi: 3.0.0", "no paths"},
		"no YAML":               {"a: [", "cannot be read"},
		"a path that is none":   {"openapi: 3.0.0\npaths: {a b: {get: {}}}", "/"},
		"security that is none": {"openapi: 3.0.0\npaths: {/a: {get: {security: 7}}}", "GET /a"},
	} {
		t.Run(name, func(t *testing.T) {
			out := filepath.Join(t.TempDir(), "offkey.yaml")
			offkey(t, "init", "--out", out, "--from-openapi", document(t, tt.text)).want(t, exitUsage, tt.says)
			if _, err := os.Stat(out); err == nil {
				t.Error("a file was written")
			}
		})
	}
	offkey(t, "init", "--out", "-", "--from-openapi", filepath.Join(t.TempDir(), "none")).want(t, exitUsage, "no such file")
	offkey(t, "init", "--out", "-", "--upstream", "localhost").want(t, exitUsage, "--upstream")
}

func TestInitReplacesNothingUnasked(t *testing.T) {
	out := filepath.Join(t.TempDir(), "offkey.yaml")
	if err := os.WriteFile(out, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	offkey(t, "init", "--out", out).want(t, exitFailed, "--force")
	if raw, _ := os.ReadFile(out); string(raw) != "mine" {
		t.Errorf("the file is now %q", raw)
	}
	offkey(t, "init", "--out", out, "--force").want(t, exitOK)
	offkey(t, "config", "validate", out).want(t, exitOK, "is valid")
	if r := offkey(t, "init", "--out", "-"); !strings.HasPrefix(r.out, "# offkey.yaml") {
		t.Errorf("stdout is %s", r.out)
	}
}

func FuzzOpenAPI(f *testing.F) {
	f.Add([]byte(ordersDocument))
	f.Add([]byte(`{"openapi":"3.0.0","paths":{"/a/{b}.{c}":{"get":{"security":[{}]}}}}`))
	f.Add([]byte("openapi: 3.0.0\npaths: {/a: {get: &x {security: *x}}}"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		facts, err := readOpenAPI("openapi.yaml", raw)
		if err != nil {
			return
		}
		if _, err := config.Parse("offkey.yaml", []byte(beginning("http://127.0.0.1:8080", facts)), nil); err != nil {
			t.Errorf("the file that comes of it does not work: %v", err)
		}
	})
}
