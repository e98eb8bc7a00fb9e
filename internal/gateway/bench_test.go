package gateway

import (
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"testing"
	"time"

	"github.com/offkey/offkey/internal/apikey"
	"github.com/offkey/offkey/internal/policy"
)

// benchWorld has a thousand apikeys and forty routes, enforced.
func benchWorld(b *testing.B) *world {
	w := newWorld(b, nil)
	var routes []string
	for _, noun := range []string{"orders", "users", "invoices", "products", "carts", "shops", "teams", "roles", "files", "events"} {
		for _, method := range []string{"GET", "POST", "PUT", "DELETE"} {
			routes = append(routes, fmt.Sprintf("%s /v1/%s/{id} -> %s:%s", method, noun, method, noun))
		}
	}
	w.setRules(policy.Ruleset{Stage: apikey.Observe, Enforce: policy.On}, routes...)
	for i := range 1000 {
		w.know(fmt.Sprintf("sk_live_%012d", i), apikey.Key{ID: fmt.Sprintf("ak_%d", i), ClientID: "cl_1"})
	}
	return w
}

// decideAndCount is what the gateway adds to a proxied call: credential read,
// look-up, Decide, counters and observation.
func decideAndCount(b *testing.B, w *world, r *http.Request) {
	c := newCall(w.gateway)
	once := func() {
		c.r, c.at, c.rules = r, w.now(), w.rules.Load()
		c.target = policy.ParseTarget(r.RequestURI)
		c.source, c.trusted = w.gateway.sourceOf(r)
		if code := c.refusedAlways(); code != "" {
			b.Fatal(code)
		}
		c.decide()
		if c.decision.Denied() {
			b.Fatal(c.decision.Code)
		}
		c.observe(http.StatusOK, "")
		c.reset()
	}
	once() // rows and counters are there from the second call on
	b.ReportAllocs()
	for b.Loop() {
		once()
	}
}

func benchRequest(name, value string) *http.Request {
	r := httptest.NewRequest("GET", "/v1/orders/7?page=2", nil)
	r.Host, r.RemoteAddr = testHost, "203.0.113.7:1234"
	r.Header = http.Header{
		"Accept": {"*/*"}, "User-Agent": {"python-requests/2.32"}, "Accept-Encoding": {"gzip, deflate"},
		"X-Request-Id": {"f47ac10b"}, "Traceparent": {"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}, name: {value},
	}
	return r
}

func BenchmarkDecideAPIKey(b *testing.B) {
	w := benchWorld(b).build()
	decideAndCount(b, w, benchRequest("X-Api-Key", "sk_live_000000000777"))
}

func BenchmarkDecideTokenCached(b *testing.B) {
	w := benchWorld(b).build()
	decideAndCount(b, w, benchRequest("Authorization", "Bearer "+w.issue(b, w.ours, "cl_1", time.Hour, "GET:orders")))
}

// BenchmarkDecideUnknownAPIKey is G-19: an apikey that nobody knows costs what a
// known one does.
func BenchmarkDecideUnknownAPIKey(b *testing.B) {
	w := benchWorld(b)
	w.setRules(policy.Ruleset{Stage: apikey.Observe, UpstreamVouches: true}, "GET /v1/orders/{id} -> read:orders")
	decideAndCount(b, w.build(), benchRequest("X-Api-Key", "sk_live_nobodyknows0"))
}

// TestTheDecisionDoesNotAllocate holds the promise that the benchmarks measure.
func TestTheDecisionDoesNotAllocate(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	for name, tt := range map[string]struct {
		bench func(*testing.B)
		most  int64
	}{
		"apikey": {BenchmarkDecideAPIKey, 0}, "cached token": {BenchmarkDecideTokenCached, 1}, "unknown apikey": {BenchmarkDecideUnknownAPIKey, 0},
	} {
		if got := testing.Benchmark(tt.bench).AllocsPerOp(); got > tt.most {
			t.Errorf("%s: %d allocations, at most %d may be", name, got, tt.most)
		}
	}
}

const benchBody = 1040

func benchAPI(b *testing.B) *url.URL {
	body := make([]byte, benchBody)
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(body)
	}))
	b.Cleanup(api.Close)
	u, err := url.Parse(api.URL)
	if err != nil {
		b.Fatal(err)
	}
	return u
}

func benchHTTP(b *testing.B, addr string) {
	tr := &http.Transport{MaxIdleConnsPerHost: 64, DisableCompression: true}
	b.Cleanup(tr.CloseIdleConnections)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			r, _ := http.NewRequest("GET", "http://"+addr+"/v1/orders/7?page=2", nil)
			r.Header.Set("X-API-Key", "sk_live_000000000777")
			res, err := tr.RoundTrip(r)
			if err != nil {
				b.Error(err)
				return
			}
			_, _ = io.Copy(io.Discard, res.Body)
			_ = res.Body.Close()
		}
	})
}

// BenchmarkBareReverseProxy is the floor: what a careful Go program does.
func BenchmarkBareReverseProxy(b *testing.B) {
	api := benchAPI(b)
	proxy := &httputil.ReverseProxy{
		Rewrite:    func(p *httputil.ProxyRequest) { p.SetURL(api); p.Out.Host = p.In.Host; p.SetXForwarded() },
		Transport:  &http.Transport{MaxIdleConnsPerHost: maxIdlePerHost, DisableCompression: true, IdleConnTimeout: idleTimeout},
		BufferPool: buffers{}, ErrorLog: log.New(io.Discard, "", 0),
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	s := &http.Server{Handler: proxy}
	go func() { _ = s.Serve(l) }()
	b.Cleanup(func() { _ = s.Close() })
	benchHTTP(b, l.Addr().String())
}

func BenchmarkGatewayHTTP(b *testing.B) {
	w := benchWorld(b)
	w.upstream = benchAPI(b).String()
	w.serve()
	benchHTTP(b, w.addr)
}
