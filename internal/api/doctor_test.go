package api_test

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/offkey/offkey/internal/api"
)

// healthy surrounds w with an issuer, a gateway and an API that do as they
// should. Each can be bent.
func (w *world) healthy() (upstream *http.ServeMux, metadata map[string]any) {
	metadata = map[string]any{}
	upstream = http.NewServeMux()
	upstream.HandleFunc("/", func(rw http.ResponseWriter, _ *http.Request) {
		w.date(rw)
		rw.WriteHeader(http.StatusUnauthorized)
	})
	apiServer := far(w.t, upstream.ServeHTTP)
	front := far(w.t, func(rw http.ResponseWriter, r *http.Request) {
		w.date(rw)
		document, ok := metadata[r.URL.Path]
		if !ok {
			http.NotFound(rw, r)
			return
		}
		_ = json.NewEncoder(rw).Encode(document)
	})
	metadata["/.well-known/oauth-authorization-server"] = map[string]any{"issuer": front.URL, "jwks_uri": front.URL + "/jwks"}
	metadata["/jwks"] = w.ring.Current().Published(w.now())
	metadata["/.well-known/oauth-protected-resource"] = map[string]any{"resource": front.URL, "authorization_servers": []string{front.URL}}
	secret := filepath.Join(w.dir, "master.key")
	w.write(secret, "x")
	w.around = api.Surroundings{
		DataDir: w.dir, Secrets: []string{secret}, Issuer: front.URL, Resource: front.URL,
		Upstreams: []api.DoctorUpstream{{Name: "orders", URL: apiServer.URL}},
	}
	return upstream, metadata
}

func (w *world) date(rw http.ResponseWriter) {
	rw.Header().Set("Date", w.now().Format(http.TimeFormat))
}

// worst is the status of each check, the worst of several.
func (w *world) worst() (map[string]string, document) {
	d := w.ask(200, "GET", "/doctor", nil)
	rank := map[string]int{api.FindingOK: 1, api.FindingWarning: 2, api.FindingFailure: 3}
	worst := map[string]string{}
	for _, f := range d.list("findings") {
		if rank[f.text("status")] > rank[worst[f.text("check")]] {
			worst[f.text("check")] = f.text("status")
		}
		if f.text("status") != api.FindingOK && f.text("message") == "" {
			w.t.Errorf("a finding says nothing: %v", f)
		}
	}
	return worst, d
}

func TestADoctorFindsNothingWhereNothingIsWrong(t *testing.T) {
	w := newWorld(t)
	w.healthy()
	w.ask(200, "PUT", "/routes", map[string]any{"match": "GET /v1/orders", "scopes": []string{"read:orders"}})
	worst, d := w.worst()
	for check, status := range worst {
		if status != api.FindingOK && check != "upstream orders" { // test machines may have a second address
			t.Errorf("%s is %s", check, status)
		}
	}
	for _, check := range []string{"configuration", "data directory", "secret files", "database", "audit", "signing keys", "clock", "issuer", "gateway", "upstream orders", "ways round orders"} {
		if worst[check] == "" {
			t.Errorf("%s was not looked at", check)
		}
	}
	if d["ok"] != true {
		t.Error("it is not ok")
	}
}

func TestADoctorFindsWhatIsWrong(t *testing.T) {
	type mux = *http.ServeMux
	type docs = map[string]any
	tests := []struct {
		name  string
		bend  func(w *world, upstream mux, metadata docs)
		check string
		want  string
		says  string
	}{
		{"the file has changed", func(w *world, _ mux, _ docs) { w.write(w.file, plainConfig+"tokens: {access: {ttl: 5m}}\n") }, "configuration", "warning", "config reload"},
		{"the file is not valid any more", func(w *world, _ mux, _ docs) { w.write(w.file, "isuer: x\n") }, "configuration", "failure", "isuer"},
		{"others can read the data directory", func(w *world, _ mux, _ docs) { chmod(w.t, w.dir, 0o755) }, "data directory", "failure", "chmod 700"},
		{"others can read a secret", func(w *world, _ mux, _ docs) { chmod(w.t, w.around.Secrets[0], 0o644) }, "secret files", "failure", "chmod 600"},
		{"a secret is gone", func(w *world, _ mux, _ docs) { w.around.Secrets[0] += ".gone" }, "secret files", "failure", "backup"},
		{"a signing key is overdue", func(w *world, _ mux, _ docs) { w.pass(91 * 24 * time.Hour) }, "signing keys", "warning", "signing rotate"},
		{"the issuer is another server", func(_ *world, _ mux, m docs) {
			m["/.well-known/oauth-authorization-server"] = map[string]any{"issuer": "https://other.example", "jwks_uri": "https://other.example/jwks"}
		}, "issuer", "failure", "https://other.example"},
		{"the issuer does not answer there", func(_ *world, _ mux, m docs) { delete(m, "/.well-known/oauth-authorization-server") }, "issuer", "failure", "404"},
		{"a cache holds an old key set", func(_ *world, _ mux, m docs) { m["/jwks"] = map[string]any{"keys": []any{}} }, "issuer", "failure", "cache"},
		{"the issuer is nowhere", func(w *world, _ mux, _ docs) { w.around.Issuer = "http://127.0.0.1:1" }, "issuer", "failure", "does not answer"},
		{"the gateway names another resource", func(w *world, _ mux, m docs) {
			m["/.well-known/oauth-protected-resource"] = map[string]any{"resource": "https://other.example", "authorization_servers": []string{w.around.Issuer}}
		}, "gateway", "failure", "https://other.example"},
		{"the gateway names another issuer", func(w *world, _ mux, m docs) {
			m["/.well-known/oauth-protected-resource"] = map[string]any{"resource": w.around.Resource, "authorization_servers": []string{"https://other.example"}}
		}, "gateway", "failure", "does not name the issuer"},
		{"a page answers in place of the gateway", func(w *world, _ mux, _ docs) {
			w.around.Resource = far(w.t, func(rw http.ResponseWriter, _ *http.Request) { _, _ = rw.Write([]byte("<html>")) }).URL
		}, "gateway", "failure", "no JSON"},
		{"the API is down", func(w *world, _ mux, _ docs) { w.around.Upstreams[0].URL = "http://127.0.0.1:1" }, "upstream orders", "failure", "does not answer"},
		{"the API is on the network", func(w *world, _ mux, _ docs) {
			target := strings.TrimPrefix(w.around.Upstreams[0].URL, "http://")
			w.around.Upstreams[0].HTTP = &http.Client{Transport: to(target)}
			w.around.Upstreams[0].URL = "http://api.internal:8080"
		}, "upstream orders", "warning", "goes round offkey"},
		{"the API answers without a credential", func(_ *world, u mux, _ docs) {
			u.HandleFunc("GET /v1/orders", func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(200) })
		}, "ways round orders", "warning", "GET /v1/orders"},
		{"the clock is off by a minute", func(w *world, u mux, _ docs) { u.HandleFunc("GET /{$}", dated(w, time.Minute)) }, "clock", "warning", "1m0s"},
		{"the clock is off by ten minutes", func(w *world, u mux, _ docs) { u.HandleFunc("GET /{$}", dated(w, -10*time.Minute)) }, "clock", "failure", "NTP"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			upstream, metadata := w.healthy()
			w.ask(200, "PUT", "/routes", map[string]any{"match": "GET /v1/orders", "scopes": []string{"read:orders"}})
			tt.bend(w, upstream, metadata)
			worst, d := w.worst()
			if worst[tt.check] != tt.want {
				t.Errorf("%s is %s, want %s", tt.check, worst[tt.check], tt.want)
			}
			if text := mustJSON(t, d); !strings.Contains(text, tt.says) {
				t.Errorf("it does not say %q: %s", tt.says, text)
			}
			if healthy := tt.want != api.FindingFailure; d["ok"] != healthy {
				t.Errorf("ok is %v, want %v", d["ok"], healthy)
			}
		})
	}
}

// dated answers with a clock that is off.
func dated(w *world, off time.Duration) http.HandlerFunc {
	return func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Date", w.now().Add(off).Format(http.TimeFormat))
	}
}

// to is a transport that reaches one address whatever is asked for.
func to(address string) http.RoundTripper { return redirected{address} }

type redirected struct{ address string }

func (r redirected) RoundTrip(req *http.Request) (*http.Response, error) {
	there := req.Clone(req.Context())
	there.URL.Host = r.address
	return http.DefaultTransport.RoundTrip(there)
}

func chmod(t testing.TB, path string, mode os.FileMode) {
	t.Helper()
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}
