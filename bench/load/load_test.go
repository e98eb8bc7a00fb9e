package load

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func get(addr string) func(int) []byte {
	raw := []byte("GET /v1/orders HTTP/1.1\r\nHost: " + addr + "\r\n\r\n")
	return func(int) []byte { return raw }
}

func addrOf(s *httptest.Server) string { return strings.TrimPrefix(s.URL, "http://") }

func TestEachRequestIsSentOnceOverKeptConnections(t *testing.T) {
	var opened atomic.Int64
	seen := make([]atomic.Int64, 100)
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var i int
		_, _ = fmt.Sscanf(r.URL.Path, "/%d", &i)
		seen[i].Add(1)
		_, _ = io.WriteString(w, strings.Repeat("x", i))
		if i%2 == 0 {
			w.(http.Flusher).Flush() // in chunks
			_, _ = io.WriteString(w, "more")
		}
	}))
	s.Config.ConnContext = func(ctx context.Context, _ net.Conn) context.Context { opened.Add(1); return ctx }
	s.Start()
	defer s.Close()

	result, err := Load{Addr: addrOf(s), Connections: 3, Requests: len(seen), Status: 200, Request: func(i int) []byte {
		return fmt.Appendf(nil, "GET /%d HTTP/1.1\r\nHost: x\r\n\r\n", i)
	}}.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for i := range seen {
		if n := seen[i].Load(); n != 1 {
			t.Errorf("request %d was sent %d times", i, n)
		}
	}
	if result.Requests != len(seen) || result.P50 <= 0 || result.P99 < result.P50 || result.Took <= 0 {
		t.Errorf("%+v", result)
	}
	if n := opened.Load(); n != 3 {
		t.Errorf("%d connections, not 3", n)
	}
}

func TestAnAnswerThatIsNotAsExpectedEndsTheRun(t *testing.T) {
	tests := []struct {
		name    string
		handler http.HandlerFunc
		want    string
	}{
		{"another status", func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no such client", http.StatusUnauthorized) }, "status 401, not 200: no such client"},
		{"a connection that closes", func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Connection", "close") }, "closes the connection"},
		{"an answer that breaks off", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "10")
			_, _ = io.WriteString(w, "1234")
			panic(http.ErrAbortHandler)
		}, "EOF"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := httptest.NewServer(tt.handler)
			defer s.Close()
			_, err := Load{Addr: addrOf(s), Connections: 2, Requests: 50, Status: 200, Request: get(addrOf(s))}.Run(t.Context())
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

func TestNobodyThereIsAnError(t *testing.T) {
	s := httptest.NewServer(nil)
	addr := addrOf(s)
	s.Close()
	if _, err := (Load{Addr: addr, Connections: 1, Requests: 1, Status: 200, Request: get(addr)}).Run(t.Context()); err == nil {
		t.Error("no error")
	}
}

func TestQuantilesAreOfTheWhole(t *testing.T) {
	var times []time.Duration
	for i := range 200 {
		times = append(times, time.Duration(i))
	}
	if p50, p99 := quantile(times, 0.5), quantile(times, 0.99); p50 != 100 || p99 != 198 {
		t.Errorf("p50 %d, p99 %d", p50, p99)
	}
	if quantile(nil, 0.5) != 0 {
		t.Error("none is not zero")
	}
}

func TestAProcessTellsItsTimeAndMemory(t *testing.T) {
	if _, err := os.Stat("/proc/self/stat"); err != nil {
		t.Skip("there is no /proc here; the figures are read from it")
	}
	self := Process(os.Getpid())
	before, err := self.CPU()
	if err != nil {
		t.Fatal(err)
	}
	after := before
	for end := time.Now().Add(10 * time.Second); after == before && err == nil && time.Now().Before(end); {
		after, err = self.CPU() // asking is work
	}
	if err != nil || after <= before {
		t.Errorf("ten seconds of work were counted as %v (%v)", after-before, err)
	}
	if rss, err := self.RSS(); err != nil || rss < 1<<20 {
		t.Errorf("rss %d, %v", rss, err)
	}
}
