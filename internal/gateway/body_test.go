package gateway

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// G-23: behind a body of which it cannot be told where it ends, nothing on the
// connection is a request.
func TestG23NothingIsServedBehindABrokenBody(t *testing.T) {
	const next = "GET /smuggled HTTP/1.1\r\nHost: api.example.com\r\nConnection: close\r\n\r\n"
	post := "POST /first HTTP/1.1\r\nHost: api.example.com\r\nTransfer-Encoding: chunked\r\n\r\n"
	tests := []struct{ name, send string }{
		{"a chunk longer than it says", post + "5\r\nhelloXX" + next},
		{"a chunk size that is no number", post + "zz\r\n" + next},
		{"a chunk line with a bare line feed", post + "5\nhello\r\n0\r\n\r\n" + next},
		{"a bad trailer", post + "0\r\nno colon\r\n\r\n" + next},
		{"more about chunks than in them", post + strings.Repeat(fmt.Sprintf("%x;%s\r\n%s\r\n", len(next), strings.Repeat("x", 4000), next), 8)},
	}
	for _, reads := range []bool{true, false} {
		for _, tt := range tests {
			t.Run(fmt.Sprintf("%s, API reads it %v", tt.name, reads), func(t *testing.T) {
				var smuggled atomic.Bool
				w := newWorld(t, nil)
				w.handle(func(rw http.ResponseWriter, r *http.Request) {
					smuggled.CompareAndSwap(false, r.URL.Path == "/smuggled")
					if reads {
						if _, err := io.Copy(io.Discard, r.Body); err != nil {
							return
						}
					}
					_, _ = io.WriteString(rw, "ok")
				})
				w.serve()
				conn := dial(t, w.addr)
				go func() { _, _ = io.WriteString(conn, tt.send) }()
				out, err := io.ReadAll(conn)
				if err != nil && !strings.Contains(err.Error(), "reset") {
					t.Fatalf("the connection stays open: %v", err)
				}
				if n := strings.Count(string(out), "HTTP/1.1 "); n > 1 || smuggled.Load() {
					t.Errorf("the bytes behind the body were served: %s", out)
				}
				if reads && (!strings.HasPrefix(string(out), "HTTP/1.1 400 ") || !strings.Contains(string(out), `"code":"ambiguous_framing"`)) {
					t.Errorf("answered %s", out)
				}
			})
		}
	}
	t.Run("behind a whole one the connection goes on", func(t *testing.T) {
		w := newWorld(t, nil).serve()
		conn := dial(t, w.addr)
		_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
		go func() { _, _ = io.WriteString(conn, post+"5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n"+next) }()
		out, err := io.ReadAll(conn)
		if err != nil || strings.Count(string(out), "HTTP/1.1 200 OK") != 2 {
			t.Errorf("%v: %s", err, out)
		}
	})
}

// G-09, G-10: some servers take trailers for headers.
func TestG10NoIdentityInTrailers(t *testing.T) {
	w := newWorld(t, nil)
	trailers := make(chan http.Header, 1)
	w.handle(func(rw http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		trailers <- r.Trailer
	})
	w.serve()
	for _, announced := range []string{"X-Sum", "X-Sum, X-Offkey-Client, X-Forwarded-For"} {
		w.raw("POST / HTTP/1.1\r\nHost: api.example.com\r\nConnection: close\r\nTrailer: " + announced + "\r\nTransfer-Encoding: chunked\r\n\r\n" +
			"1\r\na\r\n0\r\nX-Sum: 42\r\nX-Offkey-Client: forged\r\nx_offkey_scopes: forged\r\nX-Forwarded-For: forged\r\n\r\n")
		if got := <-trailers; len(got) != 1 || got.Get("X-Sum") != "42" {
			t.Errorf("announced %s: the API got %v", announced, got)
		}
	}
}
