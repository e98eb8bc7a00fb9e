package gateway

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/offkey/offkey/internal/apikey"
	"github.com/offkey/offkey/internal/policy"
)

// callersRequests are what callers send, in all the ways that reach an API.
var callersRequests = []string{
	"GET / HTTP/1.1\nHost: api.example.com\n\n", "GET / HTTP/1.0\nHost: api.example.com\n\n", "GET / HTTP/1.0\n\n", "GET //a/b?c=d HTTP/1.1\nHost: API.Example.com:8080\n\n", "GET /a|b{c}\"<>^`\\?x=\"<>| HTTP/1.1\nHost: [::1]:80\n\n",
	"GET /%2e%2E/a%00;b?a=1;b=%zz&&c HTTP/1.1\nHost: a\n\n", "GET //a\"b HTTP/1.1\nHost: a\n\n", "GET /? HTTP/1.1\nHost: a\n\n", "GET /\xff?\xfe HTTP/1.1\nHost: a\n\n", "GET http://api.example.com/abs HTTP/1.1\nHost: api.example.com\n\n",
	"HEAD / HTTP/1.1\nHost: a\n\n", "OPTIONS /a HTTP/1.1\nHost: a\n\n", "DELETE / HTTP/1.1\nHost: a\n\n", "PROPFIND / HTTP/1.1\nHost: a\nDepth: 1\n\n", "get / HTTP/1.1\nHost: a\n\n", "M-SEARCH / HTTP/1.1\nHost: a\n\n", "REPORT / HTTP/1.1\nHost: a\nContent-Length: 2\n\nxy",
	"POST / HTTP/1.1\nHost: a\n\n", "POST / HTTP/1.1\nHost: a\nContent-Length: 0\n\n", "PUT / HTTP/1.1\nHost: a\nContent-Length: 3\n\nabc", "PATCH / HTTP/1.1\nHost: a\nTransfer-Encoding: chunked\n\n3\nabc\n0\n\n", "POST / HTTP/1.1\nHost: a\nTransfer-Encoding: chunked\n\n0\n\n",
	"GET / HTTP/1.1\nHost: a\nContent-Length: 0\n\n", "GET / HTTP/1.1\nHost: a\nContent-Length: 3\n\nabc", "DELETE / HTTP/1.1\nHost: a\nContent-Length: 3\n\nabc", "GET / HTTP/1.1\nHost: a\nTransfer-Encoding: chunked\n\n3\nabc\n0\n\n", "GET / HTTP/1.1\nHost: a\nTransfer-Encoding: chunked\n\n0\n\n", "DELETE / HTTP/1.1\nHost: a\nTransfer-Encoding: chunked\n\n3\nabc\n0\n\n",
	"POST / HTTP/1.1\nHost: a\nTrailer: X-Sum\nTransfer-Encoding: chunked\n\n3\nabc\n0\nX-Sum: 1\n\n", "POST / HTTP/1.1\nHost: a\nTransfer-Encoding: chunked\n\n3\nabc\n0\nX-Late: 1\n\n", "POST / HTTP/1.1\nHost: a\nTransfer-Encoding: chunked\n\n3;ext=1\nabc\n0\n\n",
	"POST / HTTP/1.1\nHost: a\nContent-Length: 200000\n\n" + strings.Repeat("0123456789", 20_000), "POST / HTTP/1.1\nHost: a\nTransfer-Encoding: chunked\n\n30d40\n" + strings.Repeat("0123456789", 20_000) + "\n0\n\n",
	"GET / HTTP/1.1\nHost: a\nUser-Agent:\n\n", "GET / HTTP/1.1\nHost: a\nUser-Agent: a\nUser-Agent: b\n\n", "GET / HTTP/1.1\nHost: a\nuser-agent: curl/8\nAccept: */*\nACCEPT-encoding: gzip\nx-lower: 1\nX_Under: 2\n\n",
	"GET / HTTP/1.1\nHost: a\nB: 1\nA: 2\nB: 3\nA:\nC:   spaces  inside \t\nD: caf\xe9\n\n", "GET / HTTP/1.1\nHost: a\nCookie: a=1\nCookie: b=2\nX-API-Key: sk_live_abcdefgh1234\n\n", "GET /?api_key=sk_live_abcdefgh1234 HTTP/1.1\nHost: a\nReferer: http://a/?api_key=sk_live_abcdefgh1234\n\n",
	"GET / HTTP/1.1\nHost: a\nConnection: keep-alive, X-Hop\nX-Hop: 1\nKeep-Alive: 5\nProxy-Connection: x\nProxy-Authorization: y\nProxy-Authenticate: z\n\n", "GET / HTTP/1.1\nHost: a\nConnection: Authorization, X-API-Key\nAuthorization: Basic dTpw\nX-API-Key: sk_live_abcdefgh1234\n\n",
	"GET / HTTP/1.1\nHost: a\nX-Forwarded-For: 1.2.3.4\nX-Forwarded-Host: b\nX-Forwarded-Proto: https\nForwarded: for=1\nX-Real-IP: 1.1.1.1\nX-Offkey-Client: forged\nx_offkey_scopes: forged\n\n",
	"GET / HTTP/1.1\nHost: a\nTE: trailers\n\n", "GET / HTTP/1.1\nHost: a\nTE: gzip\n\n", "GET / HTTP/1.1\nHost: a\nConnection: Upgrade\nUpgrade: websocket\n\n", "GET / HTTP/1.1\nHost: a\nConnection: Upgrade, HTTP2-Settings\nUpgrade: h2c\nHTTP2-Settings: AA\n\n", "GET / HTTP/1.1\nHost: a\nUpgrade: foo\n\n",
	"POST / HTTP/1.1\nHost: a\nIdempotency-Key: 1\n\n", "GET / HTTP/1.1\nHost: a\nX: " + strings.Repeat("y", 40_000) + "\n\n", "GET /" + strings.Repeat("long/", 5000) + " HTTP/1.1\nHost: a\n\n", "GET / HTTP/1.1\nHost: b\xfccher.example\n\n", "GET / HTTP/1.1\nHost: [fe80::1%25en0]:80\n\n", "GET / HTTP/1.1\nHost: a_b.example\n\n",
	"POST / HTTP/1.1\nHost: a\nContent-Type: application/x-www-form-urlencoded\nContent-Length: 3\n\na=b",
}

// TestRequestsAreThoseOfReverseProxy: the API gets the same bytes.
func TestRequestsAreThoseOfReverseProxy(t *testing.T) {
	for _, as := range []string{"a stranger", "a mapped apikey", "a token"} {
		t.Run("from "+as, func(t *testing.T) {
			var expires string // tokens of two worlds differ, and so do their names
			bothWays(t, func() *farSide { return newFarSide(t, okFarSide) }, func(t *testing.T, w *world, f *farSide) string {
				line := ""
				w.gateway.upstreams.fallback.StripQuery = true
				switch as {
				case "a mapped apikey":
					w.know("sk_live_abcdefgh1234", apikey.Key{ID: "ak_1", ClientID: "cl_1"})
				case "a token":
					line = "Authorization: Bearer " + w.issue(t, w.ours, "cl_1", time.Hour, "read:a") + "\n"
				}
				var out strings.Builder
				for _, request := range callersRequests {
					head, rest, _ := strings.Cut(request, "\n")
					request = strings.Replace(head+"\n"+line+rest, "\n", "\r\n", -1)
					out.WriteString(exchanged(t, w.addr, request) + "\n")
				}
				requests, _ := f.seen()
				for _, r := range requests {
					if i := strings.Index(r, "X-Offkey-Credential: token:"); i >= 0 {
						end := strings.IndexByte(r[i:], '\r')
						expires, r = r[i:i+end], r[:i]+r[i+end:]
					}
					fmt.Fprintf(&out, "%.3000q\n", strings.ReplaceAll(r, f.addr, "the API"))
				}
				return out.String()
			})
			if as == "a token" && expires == "" {
				t.Error("no call was made with a token")
			}
		})
	}
}

func okFarSide(conn net.Conn, _ *bufio.Reader, r *http.Request) bool {
	body := "ok"
	if r.Method == "HEAD" {
		body = ""
	}
	_, err := io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"+body)
	return err == nil
}

// TestConnectionsGoOn where the API lets them, and nowhere else.
func TestConnectionsGoOn(t *testing.T) {
	for _, tt := range []struct {
		answer string
		goesOn bool
	}{
		{"HTTP/1.1 200 OK\nContent-Length: 2\n\nok", true}, {"HTTP/1.1 200 OK\nContent-Length: 0\n\n", true}, {"HTTP/1.1 204 No Content\n\n", true}, {"HTTP/1.1 304 Not Modified\nContent-Length: 5\n\n", true},
		{"HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n2\nok\n0\n\n", true}, {"HTTP/1.1 200 OK\nTransfer-Encoding: chunked\nTrailer: X\n\n2\nok\n0\nX: 1\n\n", true},
		{"HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n2\nok\n0\nX: 1\n\n", true}, {"HTTP/1.1 103 Early Hints\n\nHTTP/1.1 200 OK\nContent-Length: 2\n\nok", true},
		{"HTTP/1.1 200 OK\nContent-Length: 70000\n\n" + strings.Repeat("x", 70000), true}, {"HTTP/1.1 200 OK\nConnection: keep-alive\nContent-Length: 2\n\nok", true},
		{"HTTP/1.1 200 OK\nConnection: close\nContent-Length: 2\n\nok", false}, {"HTTP/1.1 200 OK\nConnection: x, CLOSE\nContent-Length: 2\n\nok", false}, {"HTTP/1.0 200 OK\nContent-Length: 2\n\nok", false},
		{"HTTP/1.1 200 OK\nContent-Length: 2\n\nokHTTP/1.1 200 OK\nContent-Length: 2\n\nok", false}, {"HTTP/1.1 200 OK\nContent-Length: 2\nContent-Length: 2\n\nok", false}, {"HTTP/1.1 200 OK\nX: a␊Content-Length: 2\n\nok", false},
		{"HTTP/1.1 200 OK\nContent-Length: 60\nTransfer-Encoding: chunked\n\n2\nok\n0\n\n", false}, {"HTTP/1.1 204 No Content\nTransfer-Encoding: chunked\n\n", false},
	} {
		for _, method := range []string{"GET", "POST"} {
			t.Run(fmt.Sprintf("%s %.60q", method, tt.answer), func(t *testing.T) {
				f := newFarSide(t, func(conn net.Conn, _ *bufio.Reader, _ *http.Request) bool {
					_, err := io.WriteString(conn, onWire(tt.answer))
					return err == nil
				})
				w := newWorld(t, func(w *world) { w.upstream = "http://" + f.addr }).serve()
				if w.gateway.upstreams.fallback.lean == nil {
					t.Skip("this system has no lean client")
				}
				w.gateway.upstreams.fallback.lean.FreshTimeout = time.Minute // on a machine that is slow too
				for range 5 {
					exchanged(t, w.addr, method+" / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi")
				}
				want := 1
				if !tt.goesOn {
					want = 5
				}
				if _, conns := f.seen(); conns != want {
					t.Errorf("%d connections, want %d", conns, want)
				}
			})
		}
	}
}

// TestWhatConnectionNames is RFC 9110 §7.6.1, which ReverseProxy holds only if
// the API keeps the connection.
func TestWhatConnectionNames(t *testing.T) {
	f := newFarSide(t, func(conn net.Conn, _ *bufio.Reader, _ *http.Request) bool {
		_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nConnection: X-Hop, close\r\nX-Hop: a\r\nPragma: no-cache\r\nContent-Length: 0\r\n\r\n")
		return false
	})
	w := newWorld(t, func(w *world) { w.upstream = "http://" + f.addr }).serve()
	if w.gateway.upstreams.fallback.lean == nil {
		t.Skip("this system has no lean client")
	}
	if got, want := exchanged(t, w.addr, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
		"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nPragma: no-cache\r\n\r\n0 bytes \"\", broken false, trailers map[]\r\nopen"; got != want {
		t.Errorf("%q", got) // no X-Hop, and no Cache-Control, which net/http would make up
	}
}

// live is one situation in which both sides act at once.
type live struct {
	name string
	far  func(*farSide, net.Conn, *bufio.Reader)
	run  func(t *testing.T, w *world, f *farSide) string
}

// hungUp waits for the end of its connection, and says whether what came before
// looks whole.
func hungUp(ended chan string) func(*farSide, net.Conn, *bufio.Reader) {
	return func(_ *farSide, conn net.Conn, in *bufio.Reader) {
		head, err := peekRequest(in)
		if err != nil {
			return
		}
		_, _ = in.Discard(len(head))
		rest, _ := io.ReadAll(in)
		ended <- fmt.Sprintf("whole %v", bytes.Contains(rest, []byte("0\r\n\r\n"))) // how much more came is chance
	}
}

var lives = []live{
	{"the API answers before it has read everything", func(_ *farSide, conn net.Conn, in *bufio.Reader) {
		if _, err := peekRequest(in); err == nil {
			_, _ = io.WriteString(conn, "HTTP/1.1 413 Too Large\r\nContent-Length: 5\r\nConnection: close\r\n\r\nlarge")
			_, _ = io.Copy(io.Discard, io.LimitReader(in, 1<<16))
		}
	}, func(t *testing.T, w *world, _ *farSide) string {
		conn := dial(t, w.addr)
		go func() {
			_, _ = io.WriteString(conn, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10000000\r\n\r\n"+strings.Repeat("x", 100_000))
		}()
		var out strings.Builder
		readAnswer(&out, bufio.NewReader(conn), "POST")
		return out.String()
	}},
	{"both speak at once", func(_ *farSide, conn net.Conn, in *bufio.Reader) {
		r, err := http.ReadRequest(in)
		if err != nil {
			return
		}
		_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
		for line := bufio.NewReader(r.Body); ; {
			s, err := line.ReadString('\n')
			if err != nil {
				_, _ = io.WriteString(conn, "0\r\n\r\n")
				return
			}
			fmt.Fprintf(conn, "%x\r\n%s\r\n", len(s), s)
		}
	}, func(t *testing.T, w *world, _ *farSide) string {
		body, send := io.Pipe()
		req, _ := http.NewRequestWithContext(t.Context(), "POST", "http://"+w.addr+"/", body)
		res, err := http.DefaultTransport.RoundTrip(req)
		if err != nil {
			return err.Error()
		}
		defer res.Body.Close()
		back := bufio.NewReader(res.Body)
		var out strings.Builder
		for i := range 20 {
			fmt.Fprintf(send, "line %d\n", i)
			s, err := back.ReadString('\n')
			fmt.Fprint(&out, s, err)
		}
		_ = send.Close()
		rest, err := io.ReadAll(back)
		return fmt.Sprint(out.String(), string(rest), err)
	}},
	{"the head reaches an API before a body that is slow to come", func(_ *farSide, conn net.Conn, in *bufio.Reader) {
		if _, err := peekRequest(in); err == nil {
			_, _ = io.WriteString(conn, "HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\nno")
			_, _ = io.Copy(io.Discard, in)
		}
	}, func(t *testing.T, w *world, _ *farSide) string {
		conn := dial(t, w.addr)
		_, _ = io.WriteString(conn, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n")
		var out strings.Builder
		readAnswer(&out, bufio.NewReader(conn), "POST")
		return out.String()
	}},
	{"a caller who sends a byte at a time", func(_ *farSide, conn net.Conn, in *bufio.Reader) {
		for { // a connection that ended unannounced would be a race between its end and its next use
			r, err := http.ReadRequest(in)
			if err != nil {
				return
			}
			body, err := io.ReadAll(r.Body)
			text := fmt.Sprintf("%s %v", body, err)
			fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(text), text)
		}
	}, func(t *testing.T, w *world, _ *farSide) string {
		var out strings.Builder
		for _, request := range []string{"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n0123456789", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n01234\r\n5\r\n56789\r\n0\r\n\r\n"} {
			conn := dial(t, w.addr)
			for i := range len(request) {
				_, _ = io.WriteString(conn, request[i:i+1])
			}
			readAnswer(&out, bufio.NewReader(conn), "POST")
		}
		return out.String()
	}},
	{"requests that come behind each other", func(_ *farSide, conn net.Conn, in *bufio.Reader) {
		for {
			r, err := http.ReadRequest(in)
			if err != nil {
				return
			}
			body, err := io.ReadAll(r.Body)
			text := fmt.Sprintf("%s %.20s %d %v", r.RequestURI, body, len(body), err)
			fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(text), text)
		}
	}, func(t *testing.T, w *world, _ *farSide) string {
		conn := dial(t, w.addr)
		var requests strings.Builder
		sizes := []int{1, 4000, 3, 5000, 0, 4096, 100_000, 2}
		for i, size := range sizes {
			fmt.Fprintf(&requests, "POST /%d HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s", i, size, strings.Repeat(fmt.Sprint(i), size))
		}
		go func() { _, _ = io.WriteString(conn, requests.String()) }()
		var out strings.Builder
		in := bufio.NewReader(conn)
		for range sizes {
			readAnswer(&out, in, "POST")
		}
		return out.String()
	}},
	{"a caller of HTTP/2", func(_ *farSide, conn net.Conn, in *bufio.Reader) {
		for {
			r, err := http.ReadRequest(in)
			if err != nil {
				return
			}
			body, err := io.ReadAll(r.Body)
			text := fmt.Sprintf("%s %s %v %d bytes %v", r.Method, r.RequestURI, r.TransferEncoding, len(body), err)
			fmt.Fprintf(conn, "HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\nX-Sum: 1\r\n\r\n", len(text), text)
		}
	}, func(t *testing.T, w *world, _ *farSide) string {
		var out strings.Builder
		h2 := h2cClient(t)
		for _, length := range []int64{0, 5, 1 << 20, -1} {
			req, _ := http.NewRequestWithContext(t.Context(), "POST", "http://"+w.addr+"/a?b;c", io.NopCloser(strings.NewReader(strings.Repeat("x", int(max(length, 9))))))
			if req.ContentLength = length; length == 0 {
				req.Body = nil
			} else if length > 0 {
				req.Body = io.NopCloser(strings.NewReader(strings.Repeat("x", int(length))))
			}
			res, err := h2.RoundTrip(req)
			if err != nil {
				return err.Error()
			}
			body, err := io.ReadAll(res.Body)
			_ = res.Body.Close()
			fmt.Fprintln(&out, res.StatusCode, res.Header, string(body), err, res.Trailer)
		}
		return out.String()
	}},
	{"the API breaks off", func(_ *farSide, conn net.Conn, in *bufio.Reader) {
		if _, err := peekRequest(in); err == nil {
			_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"+strings.Repeat("x", 50_000))
			_ = conn.(*net.TCPConn).SetLinger(0)
		}
	}, func(t *testing.T, w *world, _ *farSide) string {
		return exchanged(t, w.addr, "GET / HTTP/1.1\r\nHost: a\r\n\r\n", nextRequest)
	}},
	{"an event arrives before the next", func(_ *farSide, conn net.Conn, in *bufio.Reader) {
		if _, err := peekRequest(in); err != nil {
			return
		}
		_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 1000\r\n\r\n")
		_, _ = io.WriteString(conn, "data: 1\n\n")
		_, _ = io.Copy(io.Discard, in)
	}, func(t *testing.T, w *world, _ *farSide) string {
		conn := dial(t, w.addr)
		_, _ = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
		in := bufio.NewReader(conn)
		head, err := peekRequest(in)
		_, _ = in.Discard(len(head))
		event := make([]byte, len("data: 1\n\n"))
		_, err2 := io.ReadFull(in, event)
		return fmt.Sprintf("%s %v %q %v", head, err, event, err2)
	}},
	{"a stream's head arrives before its first byte", func(_ *farSide, conn net.Conn, in *bufio.Reader) {
		if _, err := peekRequest(in); err != nil {
			return
		}
		_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n") // half of a chunk's frame
		_, _ = io.Copy(io.Discard, in)
	}, func(t *testing.T, w *world, _ *farSide) string {
		conn := dial(t, w.addr)
		_, _ = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
		head, err := peekRequest(bufio.NewReader(conn))
		return fmt.Sprint(head, err)
	}},
}

func TestLiveCallsAreThoseOfReverseProxy(t *testing.T) {
	for _, l := range lives {
		t.Run(l.name, func(t *testing.T) {
			t.Parallel()
			bothWays(t, func() *farSide { return newRawFarSide(t, l.far) }, l.run)
		})
	}
}

// TestCallersWhoLeave: the API notices, whatever it is doing, and the call is
// counted once.
func TestCallersWhoLeave(t *testing.T) {
	tests := []struct{ name, send string }{
		{"while the API thinks", "GET /leave HTTP/1.1\r\nHost: a\r\n\r\n"},
		{"in the middle of a body", "POST /leave HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc"},
		{"in the middle of a chunk", "POST /leave HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc"},
		{"behind a whole body", "POST /leave HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ended := make(chan string, 2)
			bothWays(t, func() *farSide { return newRawFarSide(t, hungUp(ended)) }, func(t *testing.T, w *world, f *farSide) string {
				conn := dial(t, w.addr)
				_, _ = io.WriteString(conn, tt.send)
				until(t, "the API is called", func() bool { _, conns := f.seen(); return conns == 1 })
				time.Sleep(20 * time.Millisecond) // so that what was sent is on its way
				_ = conn.Close()
				var out string
				select {
				case out = <-ended:
				case <-time.After(10 * time.Second):
					t.Fatal("the API was left hanging")
				}
				var status int
				until(t, "the call is counted", func() bool {
					rows := w.rows()
					if len(rows) == 1 {
						status = rows[0].Status
					}
					return len(rows) > 0
				})
				return fmt.Sprint(out, status)
			})
		})
	}
	t.Run("in the middle of an answer", func(t *testing.T) {
		ended := make(chan error, 2)
		bothWays(t, func() *farSide {
			return newRawFarSide(t, func(_ *farSide, conn net.Conn, in *bufio.Reader) {
				if _, err := peekRequest(in); err != nil {
					return
				}
				_, err := io.WriteString(conn, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
				for err == nil {
					_, err = io.WriteString(conn, "400\r\n"+strings.Repeat("x", 0x400)+"\r\n")
				}
				ended <- err
			})
		}, func(t *testing.T, w *world, _ *farSide) string {
			conn := dial(t, w.addr)
			_, _ = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
			_, _ = io.ReadFull(conn, make([]byte, 100_000))
			_ = conn.Close()
			select {
			case <-ended:
				return "noticed"
			case <-time.After(10 * time.Second):
				return "the API goes on"
			}
		})
	})
}

// TestACallerWhoReadsSlowly holds the API up, and gets everything.
func TestACallerWhoReadsSlowly(t *testing.T) {
	const size = 64 << 20 // more than the buffers of the system hold
	sent := make(chan struct{}, 2)
	bothWays(t, func() *farSide {
		return newRawFarSide(t, func(_ *farSide, conn net.Conn, in *bufio.Reader) {
			if _, err := peekRequest(in); err == nil {
				fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", size)
				_, _ = conn.Write(make([]byte, size))
				sent <- struct{}{}
			}
		})
	}, func(t *testing.T, w *world, _ *farSide) string {
		conn := dial(t, w.addr)
		_, _ = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
		select {
		case <-sent:
			return "it was buffered"
		case <-time.After(200 * time.Millisecond):
		}
		_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
		res, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			return err.Error()
		}
		n, err := io.Copy(io.Discard, res.Body)
		<-sent
		return fmt.Sprint(n, err)
	})
}

// TestNothingIsLeftBehind: after calls of all sorts, broken ones too, there are
// no more goroutines and no more open files than before.
func TestNothingIsLeftBehind(t *testing.T) {
	var mu sync.Mutex
	n := 0
	answers := slices.Concat(misbehaving, apiAnswers)
	f := newFarSide(t, func(conn net.Conn, _ *bufio.Reader, r *http.Request) bool {
		mu.Lock()
		wire, keeps := answerTo(r.Method, answers[n%len(answers)])
		n++
		mu.Unlock()
		_, _ = io.WriteString(conn, wire)
		return keeps
	})
	w := newWorld(t, func(w *world) { w.upstream = "http://" + f.addr }).serve()
	w.setRules(policy.Ruleset{Stage: apikey.Observe, UpstreamVouches: true})
	once := func(i int) {
		requests := []string{"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 40\r\n\r\nbroken off"}
		conn, err := net.Dial("tcp", w.addr)
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		_, _ = io.WriteString(conn, requests[i%3])
		if i%3 != 2 && i%7 != 0 {
			_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second))
			_, _ = io.CopyN(io.Discard, conn, 20)
		}
	}
	for i := range 10 {
		once(i)
	}
	settled := func() (goroutines, files int) {
		w.gateway.CloseIdleConnections()
		list, _ := os.ReadDir("/proc/self/fd")
		return runtime.NumGoroutine(), len(list)
	}
	var goroutines, files int
	until(t, "the first calls are over", func() bool {
		g, f := settled()
		time.Sleep(20 * time.Millisecond)
		goroutines, files = settled()
		return g == goroutines && f == files
	})
	var all sync.WaitGroup
	for worker := range 8 {
		all.Go(func() {
			for i := range 100 {
				once(worker + i)
			}
		})
	}
	all.Wait()
	until(t, "everything is given back", func() bool {
		g, f := settled()
		return g <= goroutines && f <= files
	})
}
