package proxies

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/offkey/offkey/test/binary"
)

func TestMain(m *testing.M) { binary.Main(m) }

// world is an API that tells what it got, an offkey that may be asked, and the
// address of the proxy in front of both.
type world struct {
	*binary.Server
	api   *httptest.Server
	proxy string

	mu   sync.Mutex
	last *http.Request // that the API got
}

const page = "../../docs/how-to/beside-a-proxy.md"

// block is the first code block of the page in a language.
func block(t *testing.T, language string) string {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(text), "```"+language+"\n")
	code, _, closed := strings.Cut(rest, "```")
	if !found || !closed {
		t.Fatalf("%s has no block in %s", page, language)
	}
	return code
}

// program finds a program that `make setup` installs.
func program(t *testing.T, name string) string {
	t.Helper()
	for _, place := range []string{name, "/usr/sbin/" + name} { // where Debian has nginx, and not everybody looks
		if path, err := exec.LookPath(place); err == nil {
			return path
		}
	}
	if os.Getenv("OFFKEY_TEST_EXTRAS") == "1" {
		t.Fatalf("%s is missing: run `make setup`", name)
	}
	t.Skipf("%s is missing: run `make setup`, then this test runs too", name)
	return ""
}

func free(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{proxy: free(t)}
	w.api = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.mu.Lock()
		w.last = r
		w.mu.Unlock()
		switch r.Header.Get("X-Answer") {
		case "401":
			rw.Header().Set("WWW-Authenticate", `Basic realm="the API's own"`)
			rw.WriteHeader(http.StatusUnauthorized)
		case "403":
			rw.WriteHeader(http.StatusForbidden)
		}
		_, _ = fmt.Fprintf(rw, "%s %s", r.Method, r.RequestURI)
	}))
	t.Cleanup(w.api.Close)
	w.Server = binary.UpWith(t, []string{"OFFKEY_TRUSTED_PROXIES=127.0.0.0/8", "OFFKEY_GATEWAY_RESOURCE=http://" + w.proxy}, w.api.URL)
	w.CLI(t, nil, "routes", "set", "GET /v1/orders/{id}", "read:orders")
	w.CLI(t, nil, "routes", "set", "POST /v1/orders", "create:orders")
	w.CLI(t, nil, "routes", "set", "/admin/**", "admin:all")
	return w
}

func address(t *testing.T, raw string) string {
	t.Helper()
	u, err := url.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	return u.Host
}

// configured is the page's configuration with the addresses of this world.
func (w *world) configured(t *testing.T, language string) string {
	t.Helper()
	return strings.NewReplacer(
		"http://api.example.com:8000", "http://"+w.proxy, "127.0.0.1:8000", w.proxy,
		"127.0.0.1:8484", address(t, w.Gateway), "127.0.0.1:8080", address(t, w.api.URL),
	).Replace(block(t, language))
}

// run starts the proxy and waits until it listens.
func (w *world) run(t *testing.T, name string, args ...string) {
	t.Helper()
	cmd := exec.Command(name, args...)
	said := &strings.Builder{}
	cmd.Stdout, cmd.Stderr = said, said
	cmd.Env = append(os.Environ(), "HOME="+t.TempDir(), "XDG_DATA_HOME="+t.TempDir(), "XDG_CONFIG_HOME="+t.TempDir())
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { _ = cmd.Wait(); close(ended) }()
	t.Cleanup(func() { _ = cmd.Process.Signal(os.Interrupt); <-ended })
	for range 1000 {
		if conn, err := net.Dial("tcp", w.proxy); err == nil {
			_ = conn.Close()
			return
		}
		select {
		case <-ended:
			t.Fatalf("%s ended: %s", name, said)
		case <-time.After(10 * time.Millisecond):
		}
	}
	t.Fatalf("%s does not listen", name)
}

func nginx(t *testing.T) *world {
	path := program(t, "nginx")
	w := newWorld(t)
	dir := binary.Dir(t)
	config := fmt.Sprintf("daemon off; master_process off; pid %[1]s/pid; error_log %[1]s/error.log; events {}\nhttp { access_log off; client_body_temp_path %[1]s/b; proxy_temp_path %[1]s/p; fastcgi_temp_path %[1]s/f; uwsgi_temp_path %[1]s/u; scgi_temp_path %[1]s/s;\n%[2]s}\n",
		dir, w.configured(t, "nginx"))
	file := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	w.run(t, path, "-p", dir, "-c", file, "-e", filepath.Join(dir, "error.log"))
	return w
}

func caddy(t *testing.T) *world {
	path := program(t, "caddy")
	w := newWorld(t)
	file := filepath.Join(binary.Dir(t), "Caddyfile")
	if err := os.WriteFile(file, []byte("{\n\tadmin off\n\tauto_https off\n}\n"+w.configured(t, "caddyfile")), 0o600); err != nil {
		t.Fatal(err)
	}
	w.run(t, path, "run", "--adapter", "caddyfile", "--config", file)
	return w
}

// answer is what came back, and what the API got (nil if nothing).
type answer struct {
	*http.Response
	body string
	api  *http.Request
}

// call sends a request, with its target byte for byte, to the proxy.
func (w *world) call(t *testing.T, method, target string, lines ...string) answer {
	t.Helper()
	w.mu.Lock()
	w.last = nil
	w.mu.Unlock()
	conn, err := net.Dial("tcp", w.proxy)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	head := append([]string{method + " " + target + " HTTP/1.1", "Host: " + w.proxy, "Connection: close"}, lines...)
	if _, err := io.WriteString(conn, strings.Join(head, "\r\n")+"\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	res, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: method})
	if err != nil {
		t.Fatalf("%s %s: %v", method, target, err)
	}
	defer res.Body.Close()
	body, _ := io.ReadAll(res.Body)
	w.mu.Lock()
	defer w.mu.Unlock()
	return answer{res, string(body), w.last}
}

func (a answer) code(t *testing.T) string {
	t.Helper()
	var p struct {
		Code   string
		Status int
	}
	if err := json.Unmarshal([]byte(a.body), &p); err != nil || a.Header.Get("Content-Type") != "application/problem+json" || p.Status != a.StatusCode {
		t.Fatalf("%s, %v: %q is no problem document (%v)", a.Status, a.Header, a.body, err)
	}
	return p.Code
}

// token is one with a scope, of a client that is made for it.
func (w *world) token(t *testing.T, scope string) string {
	t.Helper()
	var made struct {
		ID     string `json:"client_id"`
		Secret string `json:"client_secret"`
	}
	w.CLI(t, &made, "clients", "create", "--name", "caller", "--auth", "client_secret_basic", "--scopes", scope)
	r, err := http.NewRequest(http.MethodPost, w.Issuer+"/token", strings.NewReader("grant_type=client_credentials&scope="+url.QueryEscape(scope)))
	if err != nil {
		t.Fatal(err)
	}
	r.SetBasicAuth(made.ID, made.Secret)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var got struct {
		Token string `json:"access_token"`
	}
	if err := json.NewDecoder(res.Body).Decode(&got); err != nil || got.Token == "" {
		t.Fatalf("no token: %s %v", res.Status, err)
	}
	return got.Token
}

const key = "sk_live_0123456789abcdef"

func TestNginxAsks(t *testing.T) { theRoad(t, nginx(t)) }
func TestCaddyAsks(t *testing.T) { theRoad(t, caddy(t)) }

// theRoad goes from observe to enforcement through a proxy.
func theRoad(t *testing.T, w *world) {
	t.Run("observe changes nothing", func(t *testing.T) {
		got := w.call(t, "GET", "/v1/orders/7?x=%zz;y&a=1", "X-API-Key: "+key)
		if got.StatusCode != 200 || got.body != "GET /v1/orders/7?x=%zz;y&a=1" || got.api.Header.Get("X-Api-Key") != key {
			t.Fatalf("%s %q", got.Status, got.body)
		}
		for name := range got.api.Header {
			if strings.HasPrefix(name, "X-Offkey") {
				t.Errorf("the API got %s", name)
			}
		}
		for _, name := range []string{"Deprecation", "Sunset", "Link", "Cache-Control", "Dpop-Nonce"} {
			if lines, there := got.Header[name]; there {
				t.Errorf("the answer has %s: %q", name, lines)
			}
		}
		for _, status := range []string{"401", "403"} {
			if got := w.call(t, "GET", "/v1/orders/7", "X-Answer: "+status); fmt.Sprint(got.StatusCode) != status || got.body != "GET /v1/orders/7" {
				t.Errorf("the API's own %s came as %s %q", status, got.Status, got.body)
			}
		}
	})
	w.CLI(t, nil, "stage", "set", "warn", "--all")
	t.Run("warn announces", func(t *testing.T) {
		got := w.call(t, "GET", "/v1/orders/7", "X-API-Key: "+key)
		if got.StatusCode != 200 || !strings.HasPrefix(got.Header.Get("Deprecation"), "@") || got.Header.Get("Cache-Control") != "private" {
			t.Errorf("%s %v", got.Status, got.Header)
		}
	})
	token := "Authorization: Bearer " + w.token(t, "read:orders")
	w.CLI(t, nil, "routes", "enforce", "on")
	t.Run("a token tells the API who calls", func(t *testing.T) {
		got := w.call(t, "GET", "/v1/orders/7", token)
		if got.StatusCode != 200 || got.api.Header.Get("X-Offkey-Scopes") != "read:orders" || !strings.HasPrefix(got.api.Header.Get("X-Offkey-Client"), "cl_") {
			t.Fatalf("%s %v", got.Status, got.api)
		}
	})
	t.Run("refusals come whole", func(t *testing.T) {
		got := w.call(t, "POST", "/v1/orders", token, "Content-Length: 0")
		if got.StatusCode != 403 || got.code(t) != "insufficient_scope" || got.api != nil || got.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s %v %s", got.Status, got.Header, got.body)
		}
		if challenges := got.Header["Www-Authenticate"]; len(challenges) != 1 || !strings.Contains(challenges[0], `scope="create:orders"`) {
			t.Errorf("challenged by %q", challenges)
		}
		got = w.call(t, "GET", "/v1/orders/7")
		if got.StatusCode != 401 || got.code(t) != "credential_missing" || got.api != nil {
			t.Errorf("%s %s", got.Status, got.body)
		}
		if challenges := got.Header["Www-Authenticate"]; len(challenges) != 1 || !strings.Contains(challenges[0], "resource_metadata=") {
			t.Errorf("challenged by %q", challenges)
		}
	})
	t.Run("G-08 a caller cannot say which call it is", func(t *testing.T) {
		for _, lines := range [][]string{
			{"X-Original-URI: /v1/orders/7", "X-Original-Method: GET", "X-Forwarded-Host: other.example"},
			{"X-Forwarded-Uri: /v1/orders/7", "X-Forwarded-Method: GET"},
			{"X-Envoy-Original-Path: /v1/orders/7", "X-Rewrite-URL: /v1/orders/7", "X-Original-URL: /v1/orders/7"},
			{"X_Original_URI: /v1/orders/7", "X_Forwarded_Uri: /v1/orders/7"},
			{"Connection: X-Original-URI, X-Original-Method, X-Forwarded-Uri, X-Forwarded-Method"},
		} {
			if got := w.call(t, "GET", "/admin/users", append(lines, token)...); got.StatusCode != 403 || got.api != nil {
				t.Errorf("with %q: %s", lines, got.Status)
			}
		}
	})
	t.Run("G-10 a caller cannot say who it is", func(t *testing.T) {
		got := w.call(t, "GET", "/v1/orders/7", token, "X-Offkey-Client: admin", "X_Offkey_Client: admin", "x-offkey-subject: admin", "X-Offkey-Scopes: admin:all")
		if got.StatusCode != 200 {
			t.Fatalf("%s %s", got.Status, got.body)
		}
		for name, lines := range got.api.Header {
			if strings.Contains(strings.Join(lines, " "), "admin") {
				t.Errorf("the API got %s: %q", name, lines)
			}
		}
	})
	t.Run("G-01 to G-07 a path is not read in two ways", func(t *testing.T) {
		for _, target := range []string{
			"/v1/orders/../../admin/users", "/v1/orders/%2e%2e/%2e%2e/admin/users", "/v1/orders/..%2f..%2fadmin", "/v1/orders/..;/..;/admin", "//admin/users",
			"/./admin/users", "/admin%2Fusers", "/v1/orders/%252e%252e/x", "/v1/orders/7%00", "/v1/orders/a%5c..%5cadmin", "/v1/orders/%c0%af", "/V1/orders/7", "/admin/users?/v1/orders/7",
			"/v1/orders/7%23/../../admin", "/v1/orders/7;x=1",
		} {
			if got := w.call(t, "GET", target, token); got.StatusCode < 400 || got.StatusCode >= 500 || got.api != nil {
				t.Errorf("%s: %s, and the API got %v", target, got.Status, got.api != nil)
			}
		}
		for _, method := range []string{"get", "TRACE", "DELETE"} {
			if got := w.call(t, method, "/v1/orders/7", token); got.StatusCode < 400 || got.api != nil {
				t.Errorf("%s: %s", method, got.Status)
			}
		}
		if got := w.call(t, "GET", "/v1/orders/7", token, "X-HTTP-Method-Override: DELETE"); got.StatusCode != 403 && got.StatusCode != 400 || got.api != nil {
			t.Errorf("an override: %s", got.Status)
		}
	})
	t.Run("G-14 two credentials are none", func(t *testing.T) {
		if got := w.call(t, "GET", "/v1/orders/7", token, "X-API-Key: a", "X-API-Key: "+key); got.StatusCode < 400 || got.api != nil {
			t.Errorf("%s", got.Status)
		}
	})
	t.Run("nobody outside asks, and the issuer is found", func(t *testing.T) {
		if got := w.call(t, "GET", "/_offkey/auth/nginx", token); got.StatusCode != 404 || got.api != nil {
			t.Errorf("%s", got.Status)
		}
		got := w.call(t, "GET", "/.well-known/oauth-protected-resource")
		var metadata struct {
			Servers []string `json:"authorization_servers"`
		}
		_ = json.Unmarshal([]byte(got.body), &metadata)
		if len(metadata.Servers) != 1 || metadata.Servers[0] != w.Issuer {
			t.Errorf("%s %s", got.Status, got.body)
		}
	})
	w.CLI(t, nil, "stage", "set", "retired", "--all")
	t.Run("a retired key is refused and says what to do", func(t *testing.T) {
		got := w.call(t, "GET", "/v1/orders/7", "X-API-Key: "+key)
		if got.StatusCode != 401 || got.code(t) != "apikey_unknown" || got.api != nil || got.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s %v %s", got.Status, got.Header, got.body)
		}
	})
}
