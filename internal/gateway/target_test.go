package gateway

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/offkey/offkey/internal/apikey"
	"github.com/offkey/offkey/internal/policy"
	"golang.org/x/net/http/httpguts"
)

// rawAPI is an API that answers any request line with 200, and keeps the lines
// as they came.
type rawAPI struct {
	mu    sync.Mutex
	lines []string
	heads []string
}

func newRawAPI(t testing.TB) (*rawAPI, string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	api := &rawAPI{}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go api.serve(conn)
		}
	}()
	return api, "http://" + l.Addr().String()
}

func (a *rawAPI) serve(conn net.Conn) {
	defer conn.Close()
	r := bufio.NewReader(conn)
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return
		}
		head := line
		for {
			header, err := r.ReadString('\n')
			if err != nil {
				return
			}
			if head += header; header == "\r\n" {
				break
			}
		}
		a.mu.Lock()
		a.lines, a.heads = append(a.lines, strings.TrimRight(line, "\r\n")), append(a.heads, head)
		a.mu.Unlock()
		if _, err := io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"); err != nil {
			return
		}
	}
}

// last is the last request line, and forgets it.
func (a *rawAPI) last() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.lines) == 0 {
		return ""
	}
	line := a.lines[len(a.lines)-1]
	a.lines = nil
	return line
}

// oddTargets can each be read in two ways.
var oddTargets = []string{
	"/public/../admin", "/public/%2e%2e/admin", "/public%2f..%2fadmin", "//admin", "/./admin", "/admin/.", "/admin%2F",
	"/admin;x=1", "/a%5cadmin", "/%c0%af", "/admin%00", "/admin#frag", `/admin\x`, "/a//b", "/a%252e%252e/b",
	"/a%3fb", "/a%23b", "/a%3bb", `//a"b{c`, "//admin?x=//y", "/\xff\xfe",
}

// plainTargets are read in one way, and are sent as they came all the same.
var plainTargets = []string{
	"/", "/v1/orders/7", "/v1/orders/", "/a%41", "/%7euser", "/a+b", "/a%20b", "/a:b@c", "/a?", "/a?a=1;token=s", "/a?token=s&a=%zz",
	"/a?x=http://other/", "/a?/../b", "/a?a=%00", "/%E2%82%AC", "/a?q=\"<>", "/A", "/a,b=c!$&'()*",
	`/a"b<c>d^e` + "`f{g|h}",
}

// TestG01BytesJudgedAreBytesForwarded sends targets to an API that keeps the
// request line: in observe every one arrives as it came; once enforced, those
// that can be read in two ways do not arrive.
func TestG01BytesJudgedAreBytesForwarded(t *testing.T) {
	api, upstream := newRawAPI(t)
	w := newWorld(t, func(w *world) { w.upstream = upstream }).serve()
	for _, target := range append(append([]string(nil), oddTargets...), plainTargets...) {
		t.Run("observed "+target, func(t *testing.T) {
			if got := w.get(target); got.StatusCode != http.StatusOK {
				t.Fatalf("status %d %s", got.StatusCode, got.body)
			}
			if got, want := api.last(), "GET "+target+" HTTP/1.1"; got != want {
				t.Errorf("the API got %q, want %q", got, want)
			}
		})
	}
	w.setRules(policy.Ruleset{Stage: apikey.Observe, Enforce: policy.On}, "/** -> open")
	for _, target := range oddTargets {
		t.Run("checklist_177 G-02 enforced "+target, func(t *testing.T) {
			got := w.get(target)
			if p := got.problem(t); p.Code != policy.CodeAmbiguousRequest || got.StatusCode != http.StatusBadRequest {
				t.Errorf("status %d code %s", got.StatusCode, p.Code)
			}
			if line := api.last(); line != "" {
				t.Errorf("the API got %q", line)
			}
		})
	}
	for _, target := range plainTargets {
		t.Run("enforced "+target, func(t *testing.T) {
			if got := w.get(target); got.StatusCode != http.StatusOK {
				t.Fatalf("status %d %s", got.StatusCode, got.body)
			}
			if got, want := api.last(), "GET "+target+" HTTP/1.1"; got != want {
				t.Errorf("the API got %q, want %q", got, want)
			}
		})
	}
}

func TestG03OnlyTargetsThatNameAPath(t *testing.T) {
	api, upstream := newRawAPI(t)
	w := newWorld(t, func(w *world) {
		w.upstream = upstream
		w.options.Upstreams[0].Hosts = []string{testHost, "other.example.com:8443"}
	}).serve()
	tests := []struct {
		name, line, host string
		status           int
		arrives          string
	}{
		{"opaque", "GET http:http://internal-vhost/admin", testHost, 400, ""},
		{"asterisk", "OPTIONS *", testHost, 400, ""},
		{"authority", "GET api.example.com:443", testHost, 400, ""},
		{"CONNECT", "CONNECT internal:22", "internal:22", 405, ""},
		{"TRACE", "TRACE /", testHost, 405, ""},
		{"origin form", "GET /a", testHost, 200, "GET /a HTTP/1.1"},
		{"host in capitals with a port", "GET /a", "API.Example.com:8080", 200, "GET /a HTTP/1.1"},
		{"host with its port", "GET /a", "other.example.com:8443", 200, "GET /a HTTP/1.1"},
		{"host with another port", "GET /a", "other.example.com", 421, ""},
		{"unknown host", "GET /a", "evil.example.net", 421, ""},
		{"absolute for the configured host", "GET http://api.example.com/a?b", testHost, 200, "GET /a?b HTTP/1.1"},
		{"absolute without path", "GET http://api.example.com", testHost, 200, "GET / HTTP/1.1"},
		{"absolute for another host", "GET http://evil.example.net/a", "evil.example.net", 421, ""},
		{"absolute with two hosts", "GET http://evil.example.net/a", testHost, 400, ""},
		{"absolute with a user", "GET http://api.example.com@evil.example.net/a", "api.example.com", 400, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := w.raw(tt.line + " HTTP/1.1\r\nHost: " + tt.host + "\r\nConnection: close\r\n\r\n")
			if got.StatusCode != tt.status {
				t.Errorf("status %d, want %d: %s", got.StatusCode, tt.status, got.body)
			}
			if line := api.last(); line != tt.arrives {
				t.Errorf("the API got %q, want %q", line, tt.arrives)
			}
		})
	}
	t.Run("an absolute target needs a host that is configured by name", func(t *testing.T) {
		w := newWorld(t, func(w *world) { w.upstream = upstream }).serve()
		got := w.raw("GET http://other/admin HTTP/1.1\r\nHost: other\r\nConnection: close\r\n\r\n")
		if p := got.problem(t); p.Code != codeTargetRefused {
			t.Errorf("code %s", p.Code)
		}
	})
}

// TestG04NothingIsStrippedFromPaths: an upstream's URL has no path, so what was
// judged is what is sent.
func TestG04NothingIsStrippedFromPaths(t *testing.T) {
	for _, raw := range []string{"http://10.0.0.1/api", "http://10.0.0.1/api%2e/", "http://10.0.0.1/?a=b", "http://user@10.0.0.1", "ftp://10.0.0.1", "10.0.0.1:80"} {
		u, err := url.Parse(raw)
		if err != nil {
			u = &url.URL{Opaque: raw}
		}
		if _, err := newUpstreams(Options{Upstreams: []Upstream{{Name: "api", URL: u}}}); err == nil {
			t.Errorf("upstream %s was accepted", raw)
		}
	}
}

// TestG05ToG07TheRouteIsFoundByThePathAlone goes round a rule in the ways that
// have worked elsewhere.
func TestG05ToG07TheRouteIsFoundByThePathAlone(t *testing.T) {
	w := newWorld(t, nil).serve()
	w.setRules(policy.Ruleset{Stage: apikey.Observe, Enforce: policy.On}, "GET /public/** -> open", "GET /admin/users -> admin")
	tests := []struct {
		name, target string
		status       int
	}{
		{"G-05 a fragment does not widen a pattern", "/admin/users#/public/", 400},
		{"G-05 the query is not the path", "/admin/users?x=/public/", 401},
		{"G-05 an encoded fragment", "/public%23/../admin/users", 400},
		{"G-06 another case is another path", "/ADMIN/users", 401},
		{"G-06 another case of an open route", "/PUBLIC/x", 401},
		{"G-07 a matrix parameter", "/admin/users;x=/public/", 400},
		{"G-07 a trailing slash", "/admin/users/", 401},
		{"checklist_177 needless escapes", "/%61dmin/users", 401},
		{"checklist_177 dots", "/public/../admin/users", 400},
		{"checklist_177 encoded slash", "/public/..%2fadmin/users", 400},
		{"the open route", "/public/x", 200},
		{"the open route with needless escapes", "/%70ublic/x", 200},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := w.get(tt.target); got.StatusCode != tt.status {
				t.Errorf("%s: %d, want %d", tt.target, got.StatusCode, tt.status)
			}
		})
	}
}

func TestG18MethodsAndOverrides(t *testing.T) {
	w := newWorld(t, nil).serve()
	tests := []struct {
		name, method, target, line string
		problem                    policy.Problem
	}{
		{"lower case", "get", "/a", "A: b", problemMethod},
		{"unknown", "FETCH", "/a", "A: b", problemMethod},
		{"named by a route", "PURGE", "/cache", "A: b", ""},
		{"override header", "POST", "/a", "X-HTTP-Method-Override: DELETE", problemOverride},
		{"other override header", "POST", "/a", "X-Method-Override: PUT", problemOverride},
		{"override by the same method", "POST", "/a", "X-HTTP-Method-Override: POST", ""},
		{"override in the query", "POST", "/a?_method=delete", "A: b", problemOverride},
		{"override in the query, escaped", "POST", "/a?%5fmethod=delete", "A: b", problemOverride},
		{"override header with underscores", "POST", "/a", "X_HTTP_Method_Override: DELETE", problemOverride},
		{"override header with a dot", "POST", "/a", "X-HTTP.Method: DELETE", problemOverride},
		{"override in the query as PHP reads it", "POST", "/a?.method=delete", "A: b", problemOverride},
		{"override in the query behind a space", "POST", "/a?b=c;+%5Fmethod[]=delete", "A: b", problemOverride},
		{"override in the query by the same method", "POST", "/a?_method=POST", "A: b", ""},
		{"not an override", "POST", "/a?payment_method=card", "A: b", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w.setRules(policy.Ruleset{Stage: apikey.Observe}, "/a -> open", "PURGE /cache -> open")
			w.rows()
			if got := w.send(tt.method, tt.target, tt.line, "Content-Length: 0"); got.StatusCode != 200 {
				t.Errorf("while observing: %d", got.StatusCode)
			}
			shadow := ""
			if tt.problem != "" {
				shadow = "shadow:" + policy.CodeAmbiguousRequest
			}
			if rows := w.rows(); len(rows) != 1 || rows[0].Outcome != shadow {
				t.Errorf("counted as %+v", rows)
			}
			w.setRules(policy.Ruleset{Stage: apikey.Observe, Enforce: policy.On}, "/a -> open", "PURGE /cache -> open")
			got := w.send(tt.method, tt.target, tt.line, "Content-Length: 0")
			if tt.problem == "" {
				if got.StatusCode != 200 {
					t.Errorf("enforced: %d %s", got.StatusCode, got.body)
				}
				return
			}
			if p := got.problem(t); p.Code != policy.CodeAmbiguousRequest || !strings.Contains(p.Detail, string(tt.problem)) {
				t.Errorf("enforced: %+v", p)
			}
		})
	}
}

// FuzzGatewayTarget sends made-up targets and headers through the gateway, on
// real sockets on both sides. What reaches the API is what was sent; and what
// reaches it once everything is enforced has one reading, which a rule allowed.
func FuzzGatewayTarget(f *testing.F) {
	for _, target := range append(append([]string(nil), oddTargets...), plainTargets...) {
		f.Add("GET", target, "")
	}
	f.Add("POST", "/public/x?_method=DELETE", "X-HTTP-Method-Override: DELETE")
	f.Add("GET", "http://api.example.com/public", "Connection: X-API-Key")
	f.Add("GET", "http:http://other/admin", "Upgrade: h2c")
	api, upstream := newRawAPI(f)
	open := newWorld(f, func(w *world) { w.upstream = upstream }).build()
	strict := newWorld(f, func(w *world) { w.upstream = upstream }).build()
	strict.setRules(policy.Ruleset{Stage: apikey.Observe, Enforce: policy.On}, "/public/** -> open")
	f.Fuzz(func(t *testing.T, method, target, line string) {
		if len(target) > 2000 || len(line) > 500 || strings.ContainsAny(line, "\r\n") {
			return
		}
		raw := method + " " + target + " HTTP/1.1\r\nHost: " + testHost + "\r\n"
		if line != "" {
			raw += line + "\r\n"
		}
		r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(raw + "\r\n")))
		if err != nil || r.ContentLength != 0 {
			return // net/http refuses it, or waits for a body
		}
		for name := range r.Header {
			if !httpguts.ValidHeaderFieldName(name) {
				return // http.Server refuses it
			}
		}
		for _, w := range []*world{open, strict} {
			request := r.Clone(t.Context())
			request.RemoteAddr = "127.0.0.1:1"
			api.last()
			answer := httptest.NewRecorder()
			w.gateway.ServeHTTP(answer, request)
			got := api.last()
			parsed := policy.ParseTarget(r.RequestURI)
			if got == "" {
				if answer.Code == http.StatusOK {
					t.Fatalf("%q: 200, and the API saw nothing", r.RequestURI)
				}
				if w == open && answer.Code == http.StatusBadGateway {
					t.Fatalf("%q was not sent: %s %s", r.RequestURI, answer.Body, w.log)
				}
				continue
			}
			want := parsed.RawPath
			if want == "" {
				want = "/"
			}
			if parsed.HasQuery {
				want += "?" + parsed.RawQuery
			}
			if got != r.Method+" "+want+" HTTP/1.1" {
				t.Fatalf("%q: the API got %q, want target %q", r.RequestURI, got, want)
			}
			if w == strict {
				path := parsed.Path
				if parsed.Problem != "" || (path != "/public" && !strings.HasPrefix(path, "/public/")) {
					t.Fatalf("%q reached the API once enforced", r.RequestURI)
				}
			}
		}
	})
}

func TestExactTransport(t *testing.T) {
	release := make(chan struct{})
	w := newWorld(t, nil).serve()
	target := `//a"b{c?x=1`
	t.Run("a body, interim answers, trailers", func(t *testing.T) {
		w.handle(func(rw http.ResponseWriter, r *http.Request) {
			rw.Header().Set("Link", "</style.css>; rel=preload")
			rw.WriteHeader(http.StatusEarlyHints)
			rw.Header().Set("Trailer", "X-Sum")
			body, _ := io.ReadAll(r.Body)
			_, _ = rw.Write(body)
			rw.(http.Flusher).Flush()
			rw.Header().Set("X-Sum", "7")
		})
		conn, err := net.Dial("tcp", w.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
		_, _ = io.WriteString(conn, "POST "+target+" HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello")
		r := bufio.NewReader(conn)
		early, err := http.ReadResponse(r, nil)
		if err != nil || early.StatusCode != http.StatusEarlyHints {
			t.Fatalf("%v %v", early, err)
		}
		res, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(res.Body)
		if err != nil || string(body) != "hello" || res.Trailer.Get("X-Sum") != "7" {
			t.Errorf("%q %v %v", body, res.Trailer, err)
		}
	})
	t.Run("an API that is gone", func(t *testing.T) {
		w := newWorld(t, func(w *world) { w.upstream = "http://127.0.0.1:1" }).serve()
		if got := w.get(target); got.StatusCode != http.StatusBadGateway {
			t.Errorf("status %d", got.StatusCode)
		}
	})
	t.Run("a caller that leaves ends the call", func(t *testing.T) {
		gone := make(chan struct{})
		w.handle(func(_ http.ResponseWriter, r *http.Request) {
			select {
			case <-r.Context().Done():
			case <-release:
			}
			close(gone)
		})
		conn, err := net.Dial("tcp", w.addr)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(conn, "GET "+target+" HTTP/1.1\r\nHost: a\r\n\r\n")
		time.AfterFunc(20*time.Millisecond, func() { _ = conn.Close() })
		select {
		case <-gone:
		case <-time.After(10 * time.Second):
			t.Error("the API still works for a caller that has gone")
		}
	})
	close(release)
}
