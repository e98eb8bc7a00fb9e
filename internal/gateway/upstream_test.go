package gateway

import (
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/coder/websocket"
)

// tlsWorld is a gateway in front of an API that speaks HTTP/1.1 and HTTP/2 over
// TLS, with a certificate of its own.
func tlsWorld(t *testing.T, change func(*Upstream), h http.HandlerFunc) *world {
	api := httptest.NewUnstartedServer(h)
	api.EnableHTTP2 = true
	api.StartTLS()
	t.Cleanup(func() { api.CloseClientConnections(); api.Close() })
	return newWorld(t, func(w *world) {
		w.upstream = api.URL
		u := &w.options.Upstreams[0]
		u.RootCAs = x509.NewCertPool()
		u.RootCAs.AddCert(api.Certificate())
		u.OwnHost = true
		change(u)
	}).serve()
}

func TestAnAPIBehindTLS(t *testing.T) {
	echo := func(rw http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(rw, "%s %s %s %s", r.Proto, r.RequestURI, r.Header.Get("X-API-Key"), body)
	}
	t.Run("HTTP/1.1, so that a call stays what it was", func(t *testing.T) {
		w := tlsWorld(t, func(*Upstream) {}, echo)
		if got := w.get("/a;b?c=%zz", "X-API-Key: sk_live_abcdefgh1234"); got.body != "HTTP/1.1 /a;b?c=%zz sk_live_abcdefgh1234 " {
			t.Errorf("%d %q", got.StatusCode, got.body)
		}
	})
	t.Run("a target that net/http would change", func(t *testing.T) {
		w := tlsWorld(t, func(*Upstream) {}, echo)
		got := w.raw("POST //a\"b{c HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 4\r\n\r\nbody")
		if got.body != `HTTP/1.1 //a"b{c  body` {
			t.Errorf("%d %q", got.StatusCode, got.body)
		}
	})
	t.Run("HTTP/2 for gRPC", func(t *testing.T) {
		w := tlsWorld(t, func(*Upstream) {}, echo)
		req, _ := http.NewRequestWithContext(t.Context(), "POST", "http://"+w.addr+"/pkg.Service/Method", strings.NewReader("x"))
		req.Header.Set("Content-Type", "application/grpc")
		res, err := h2cClient(t).RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		if body, _ := io.ReadAll(res.Body); string(body) != "HTTP/2.0 /pkg.Service/Method  x" {
			t.Errorf("%q", body)
		}
	})
	t.Run("HTTP/2 for every call that came in it, if asked for", func(t *testing.T) {
		w := tlsWorld(t, func(u *Upstream) { u.HTTP2 = true }, echo)
		req, _ := http.NewRequestWithContext(t.Context(), "GET", "http://"+w.addr+"/a", nil)
		res, err := h2cClient(t).RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		if body, _ := io.ReadAll(res.Body); !strings.HasPrefix(string(body), "HTTP/2.0 /a") {
			t.Errorf("%q", body)
		}
		if got := w.get("/a"); !strings.HasPrefix(got.body, "HTTP/1.1 /a") {
			t.Errorf("a call in HTTP/1.1 reached it as %q", got.body)
		}
	})
	t.Run("WebSocket", func(t *testing.T) {
		w := tlsWorld(t, func(*Upstream) {}, func(rw http.ResponseWriter, r *http.Request) {
			conn, err := websocket.Accept(rw, r, &websocket.AcceptOptions{InsecureSkipVerify: true})
			if err != nil {
				t.Error(err)
				return
			}
			_ = conn.Write(r.Context(), websocket.MessageText, []byte("hello"))
			_ = conn.Close(websocket.StatusNormalClosure, "")
		})
		conn, _, err := websocket.Dial(t.Context(), "ws://"+w.addr+"/", nil)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.CloseNow()
		if _, data, err := conn.Read(t.Context()); err != nil || string(data) != "hello" {
			t.Errorf("%q %v", data, err)
		}
	})
	t.Run("a certificate that nobody vouches for", func(t *testing.T) {
		w := tlsWorld(t, func(u *Upstream) { u.RootCAs = x509.NewCertPool() }, echo)
		for _, target := range []string{"/", `//a"b{c`} {
			if p := w.get(target, "X-API-Key: sk_live_abcdefgh1234").problem(t); p.Code != codeUpstreamUnavailable {
				t.Errorf("%s: code %s", target, p.Code)
			}
		}
	})
}

// TestAnIdleConnectionThatTheAPICloses costs no call: an API may close a
// connection that waits at any time.
func TestAnIdleConnectionThatTheAPICloses(t *testing.T) {
	w := newWorld(t, nil).serve()
	calls := 0
	w.handle(func(rw http.ResponseWriter, r *http.Request) {
		calls++
		_, _ = io.Copy(io.Discard, r.Body)
		conn, buf, err := http.NewResponseController(rw).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		_, _ = buf.WriteString("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
		_ = buf.Flush()
		_ = conn.Close() // without having said so
	})
	for range 50 {
		if got := w.get("/"); got.StatusCode != http.StatusOK {
			t.Fatalf("status %d", got.StatusCode)
		}
	}
	if calls != 50 {
		t.Errorf("the API got %d calls for 50", calls)
	}
}

func TestUpstreamsByHost(t *testing.T) {
	w := newWorld(t, func(w *world) {
		_, first := newRawAPI(t)
		w.upstream = first
		w.options.Upstreams = []Upstream{{Name: "api", Hosts: []string{"API.example.com"}}, {Name: "rest"}}
	}).build()
	for host, want := range map[string]string{
		"api.example.com": "api", "Api.Example.Com:8443": "api", "api.example.com.": "api", "other.example": "rest", "": "rest", "[::1]:80": "rest",
	} {
		if got := w.gateway.upstreams.of(host).Name; got != want {
			t.Errorf("%q: %s, want %s", host, got, want)
		}
	}
}

func TestNewNamesWhatIsMissing(t *testing.T) {
	for name, change := range map[string]func(*Options){
		"resource \"api.example.com\"": func(o *Options) { o.Resource = "api.example.com" },
		"are needed":                   func(o *Options) { o.Reader = nil },
		"no upstream":                  func(o *Options) { o.Upstreams = nil },
	} {
		w := newWorld(t, func(w *world) { w.upstream = "http://127.0.0.1:1" }).build()
		o := w.options
		change(&o)
		if _, err := New(o); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%v, want %s", err, name)
		}
	}
}
