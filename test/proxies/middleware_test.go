package proxies

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/offkey/offkey/sdk/go/resourceserver"
	"github.com/offkey/offkey/test/binary"
)

// send makes a request and returns its status, body and header.
func send(t *testing.T, method, target string, header ...string) (int, string, http.Header) {
	t.Helper()
	r, err := http.NewRequest(method, target, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, _ := io.ReadAll(res.Body)
	return res.StatusCode, string(body), res.Header
}

func caller(w http.ResponseWriter, r *http.Request) {
	c := resourceserver.CallerOf(r.Context())
	_, _ = fmt.Fprintf(w, "%s %v %s", c.ClientID, c.Scopes, c.Credential)
}

// TestAGoAPIChecksTokensItself: the middleware in an API, tokens of a real offkey,
// and that offkey asked about the keys that are still about.
func TestAGoAPIChecksTokensItself(t *testing.T) {
	var handler http.Handler
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { handler.ServeHTTP(w, r) }))
	defer api.Close()
	w := &world{proxy: address(t, api.URL)}
	w.Server = binary.UpWith(t, []string{"OFFKEY_TRUSTED_PROXIES=127.0.0.0/8", "OFFKEY_GATEWAY_RESOURCE=" + api.URL}, api.URL)
	rs, err := resourceserver.New(resourceserver.Config{
		Resource: api.URL, Issuer: w.Issuer, Offkey: w.Gateway, APIKeys: func(r *http.Request) bool { return r.Header.Get("X-API-Key") == key },
	})
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("GET /v1/orders", rs.ProtectFunc(caller, resourceserver.Scopes("read:orders")))
	mux.Handle("POST /v1/orders", rs.ProtectFunc(caller, resourceserver.Scopes("create:orders")))
	handler = mux
	bearer := "Bearer " + w.token(t, "read:orders")
	if status, body, _ := send(t, "GET", api.URL+"/v1/orders", "Authorization", bearer); status != 200 || !strings.Contains(body, "[read:orders] token:") {
		t.Errorf("%d %s", status, body)
	}
	if status, _, h := send(t, "POST", api.URL+"/v1/orders", "Authorization", bearer); status != 403 || !strings.Contains(h.Get("WWW-Authenticate"), `scope="create:orders"`) {
		t.Errorf("%d %v", status, h)
	}
	if status, _, h := send(t, "GET", api.URL+"/v1/orders"); status != 401 || !strings.Contains(h.Get("WWW-Authenticate"), "resource_metadata=") {
		t.Errorf("%d %v", status, h)
	}
	if status, body, h := send(t, "GET", api.URL+"/v1/orders", "X-API-Key", key); status != 200 || h.Get("Deprecation") != "" || !strings.Contains(body, "apikey") {
		t.Errorf("observe: %d %s %v", status, body, h)
	}
	w.CLI(t, nil, "stage", "set", "warn", "--all")
	if status, _, h := send(t, "GET", api.URL+"/v1/orders", "X-API-Key", key); status != 200 || h.Get("Deprecation") == "" {
		t.Errorf("warn: %d %v", status, h)
	}
	w.CLI(t, nil, "stage", "set", "retired", "--all")
	if status, body, h := send(t, "GET", api.URL+"/v1/orders", "X-API-Key", key); status != 401 || !strings.Contains(body, `"code":"apikey_unknown"`) || h.Get("WWW-Authenticate") == "" {
		t.Errorf("retired: %d %s", status, body)
	}
	if status, _, _ := send(t, "GET", api.URL+"/v1/orders", "Authorization", bearer); status != 200 {
		t.Errorf("a token after the end of keys: %d", status)
	}
}

// TestAGoAPIBelievesItsGateway: token_call jwt, from the gateway to the middleware.
func TestAGoAPIBelievesItsGateway(t *testing.T) {
	var handler http.Handler
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { handler.ServeHTTP(w, r) }))
	defer api.Close()
	dir, gateway, issuer := binary.Dir(t), free(t), free(t)
	config := filepath.Join(dir, "offkey.yaml")
	text, err := json.Marshal(map[string]any{
		"issuer": "http://" + issuer, "storage": map[string]any{"dsn": "sqlite://" + filepath.Join(dir, "data", "offkey.db")},
		"listen":  map[string]any{"gateway": gateway, "issuer": issuer, "admin": binary.Free, "ops": binary.Free},
		"gateway": map[string]any{"resource": "http://" + gateway, "upstreams": map[string]any{"api": map[string]any{"url": api.URL, "token_call": "jwt"}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(config, text, 0o600); err != nil { // JSON is YAML
		t.Fatal(err)
	}
	w := &world{}
	if w.Server, err = binary.Start(t, nil, "serve", "--config", config); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Stop(t) })
	rs, err := resourceserver.New(resourceserver.Config{
		Resource: "http://" + gateway, Issuer: "http://" + issuer,
		Gateway: resourceserver.Gateway{Issuer: "http://" + gateway + "/_offkey", JWKSURL: "http://" + gateway + "/_offkey/jwks", Audience: api.URL},
	})
	if err != nil {
		t.Fatal(err)
	}
	handler = rs.ProtectFunc(caller, resourceserver.Scopes("read:orders"))
	bearer := "Bearer " + w.token(t, "read:orders")
	for _, target := range []string{"/v1/orders?x=%zz;y", "/v1/orders", "/a%2fb"} {
		if status, body, _ := send(t, "GET", w.Gateway+target, "Authorization", bearer); status != 200 || !strings.Contains(body, "[read:orders] token:") {
			t.Errorf("%s: %d %s", target, status, body)
		}
	}
	u, _ := url.Parse(api.URL)
	if status, _, _ := send(t, "GET", u.String()+"/v1/orders", "X-Offkey-Client", "admin", "X-Offkey-Scopes", "read:orders"); status != 401 {
		t.Errorf("past the gateway, with its headers: %d", status)
	}
}
