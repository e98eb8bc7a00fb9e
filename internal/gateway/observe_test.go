package gateway

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/offkey/offkey/internal/apikey"
	"github.com/offkey/offkey/internal/policy"
	"github.com/offkey/offkey/internal/traffic"
)

func TestWhatIsCounted(t *testing.T) {
	w := newWorld(t, nil).serve()
	w.setRules(policy.Ruleset{Stage: apikey.Observe, Enforce: policy.Shadow, UpstreamVouches: true}, "GET /v1/orders/** -> read:orders")
	w.know("sk_live_abcdefgh1234", apikey.Key{ID: "ak_1"})
	w.know("sk_live_retired00002", apikey.Key{ID: "ak_2", Stage: apikey.Retired})
	w.handle(func(rw http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/missing" {
			rw.WriteHeader(http.StatusNotFound)
		}
	})
	local := netip.MustParsePrefix("127.0.0.0/24")
	tests := []struct {
		name, target string
		lines        []string
		want         traffic.Row
	}{
		{"an apikey", "/v1/orders/7?secret=x", []string{"X-API-Key: sk_live_abcdefgh1234", "User-Agent: shop/1"}, traffic.Row{
			Credential: traffic.Credential{Kind: "apikey", ID: "ak_1"}, Template: "/v1/orders/{id}", Status: 200,
			UserAgent: "shop/1", Source: local, Carrier: "header:X-API-Key"}},
		{"an apikey in the query", "/v1/orders/7?api_key=sk_live_abcdefgh1234", nil, traffic.Row{
			Credential: traffic.Credential{Kind: "apikey", ID: "ak_1"}, Template: "/v1/orders/{id}", Status: 200, Source: local, Carrier: "query:api_key"}},
		{"an apikey in the path, where its query should be", "/v1/orders;api_key=abcdefghijkl", []string{"X-API-Key: sk_live_abcdefgh1234"}, traffic.Row{
			Credential: traffic.Credential{Kind: "apikey", ID: "ak_1"}, Template: "/v1/orders;api_key=[apikey]", Status: 200, Source: local, Carrier: "header:X-API-Key",
			Outcome: "shadow:ambiguous_request"}},
		{"a token", "/v1/orders/7", []string{"Authorization: Bearer " + w.issue(t, w.ours, "cl_1", time.Hour, "read:orders")}, traffic.Row{
			Credential: traffic.Credential{Kind: "client", ID: "cl_1"}, Template: "/v1/orders/{id}", Status: 200, Source: local}},
		{"a token that lacks a scope", "/v1/orders/7", []string{"Authorization: Bearer " + w.issue(t, w.ours, "cl_1", time.Hour)}, traffic.Row{
			Credential: traffic.Credential{Kind: "client", ID: "cl_1"}, Template: "/v1/orders/{id}", Status: 200, Source: local, Outcome: "shadow:insufficient_scope"}},
		{"nobody, on a route", "/v1/orders/7", []string{"User-Agent: x"}, traffic.Row{
			Credential: traffic.Credential{Kind: "none"}, Template: "/v1/orders/{id}", Status: 200, Outcome: "shadow:credential_missing"}},
		{"nobody, anywhere", "/wp-admin/login", nil, traffic.Row{
			Credential: traffic.Credential{Kind: "none"}, Template: "/**", Status: 200, Outcome: "shadow:credential_missing"}},
		{"an unknown apikey", "/v1/orders/7", []string{"X-API-Key: sk_live_nobodyknows00", "User-Agent: x"}, traffic.Row{
			Credential: traffic.Credential{Kind: "unknown"}, Template: "/v1/orders/{id}", Status: 200, Carrier: "header:X-API-Key"}},
		{"a refused apikey", "/v1/orders/7", []string{"X-API-Key: sk_live_retired00002"}, traffic.Row{
			Credential: traffic.Credential{Kind: "apikey", ID: "ak_2"}, Template: "/v1/orders/{id}", Status: 401, Source: local,
			Carrier: "header:X-API-Key", Outcome: "denied:apikey_retired"}},
		{"an answer of the API", "/missing", []string{"X-API-Key: sk_live_abcdefgh1234"}, traffic.Row{
			Credential: traffic.Credential{Kind: "apikey", ID: "ak_1"}, Template: "/missing", Status: 404, Source: local, Carrier: "header:X-API-Key",
			Outcome: "shadow:unknown_route"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w.rows()
			w.get(tt.target, tt.lines...)
			tt.want.Method, tt.want.Calls, tt.want.Hour, tt.want.First, tt.want.Last = "GET", 1, w.now().Truncate(time.Hour), w.now(), w.now()
			if diff := cmp.Diff([]traffic.Row{tt.want}, w.rows(), cmpopts.EquateComparable(netip.Prefix{})); diff != "" {
				t.Error(diff)
			}
		})
	}
	t.Run("what somebody known has called is told apart for others too", func(t *testing.T) {
		w.get("/v1/shops/7", "X-API-Key: sk_live_abcdefgh1234")
		w.rows()
		w.get("/v1/shops/8")
		if rows := w.rows(); len(rows) != 1 || rows[0].Template != "/v1/shops/{id}" {
			t.Errorf("%+v", rows)
		}
	})
	t.Run("what was never judged is in the metrics alone", func(t *testing.T) {
		w.rows()
		w.send("TRACE", "/")
		if rows := w.rows(); len(rows) != 0 {
			t.Errorf("%+v", rows)
		}
	})
}

func TestMetrics(t *testing.T) {
	w := newWorld(t, nil).serve()
	w.setRules(policy.Ruleset{Stage: apikey.Warn, Enforce: policy.Shadow}, "GET /a -> read:a")
	w.know("sk_live_abcdefgh1234", apikey.Key{ID: "ak_1"})
	w.get("/a", "X-API-Key: sk_live_abcdefgh1234")
	w.get("/a", "X-API-Key: sk_live_abcdefgh1234")
	w.get("/a")
	w.get("/a/../b")
	w.send("TRACE", "/")
	want := map[string]float64{
		"offkey_requests_total{apikey,not_enforced,warn}":      2,
		"offkey_requests_total{none,not_enforced,}":            2,
		"offkey_requests_total{none,method_refused,}":          1,
		"offkey_would_deny_total{credential_missing}":          1,
		"offkey_would_deny_total{ambiguous_request}":           1,
		"offkey_strict_problems_total{dot_segment}":            1,
		"offkey_requests_total{apikey_unknown,not_enforced,x}": 0,
	}
	got := w.counters()
	for name, n := range want {
		if got[name] != n {
			t.Errorf("%s = %v, want %v (all: %v)", name, got[name], n, got)
		}
	}
	again := newWorld(t, func(v *world) { v.options.Metrics = w.metrics }).serve()
	again.get("/a")
	if n := w.counters()["offkey_requests_total{none,not_enforced,}"]; n != 3 {
		t.Errorf("a gateway built anew after a reload counts %v, want 3", n)
	}
}

// counters reads the counters as name{values of the labels in order of the names}.
func (w *world) counters() map[string]float64 {
	families, err := w.metrics.Gather()
	if err != nil {
		w.Fatal(err)
	}
	counters := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			var values []string
			for _, l := range m.GetLabel() {
				values = append(values, l.GetValue())
			}
			counters[f.GetName()+"{"+strings.Join(values, ",")+"}"] = m.GetCounter().GetValue()
		}
	}
	return counters
}

// TestG24NothingForgesALogLine sends what could end a line, and reads the log
// line by line.
func TestG24NothingForgesALogLine(t *testing.T) {
	for _, form := range []string{"json", "text"} {
		t.Run(form, func(t *testing.T) {
			out := &lockedBuffer{}
			var handler slog.Handler = slog.NewJSONHandler(out, nil)
			if form == "text" {
				handler = slog.NewTextHandler(out, nil)
			}
			w := newWorld(t, func(w *world) { w.options.AccessLog = slog.New(handler) }).serve()
			ctx, stop := context.WithCancel(t.Context())
			ended := make(chan struct{})
			go func() { w.gateway.Run(ctx); close(ended) }()
			targets := []string{
				"/a%0d%0alevel=ERROR%20msg=forged", "/a\"b", "/%1b[31mred", "/\u2028line", "/\u202erotfel", "/a?b=%0aforged", "/\xff\x9b31m",
			}
			for _, target := range targets {
				w.get(target, "User-Agent: a\tb", "X-API-Key: sk_live_\xff\x9bjunk")
			}
			until(t, "all lines are written", func() bool { return strings.Count(out.String(), "\n") >= len(targets) })
			stop()
			<-ended
			lines := 0
			for scan := bufio.NewScanner(strings.NewReader(out.String())); scan.Scan(); {
				lines++
				for _, c := range scan.Bytes() {
					if c < ' ' || c == 0x7f {
						t.Errorf("a control character in %q", scan.Text())
					}
				}
				if form == "json" && !json.Valid(scan.Bytes()) {
					t.Errorf("no JSON: %q", scan.Text())
				}
			}
			if lines != len(targets) {
				t.Errorf("%d lines for %d calls:\n%s", lines, len(targets), out)
			}
		})
	}
}

func TestTheAccessLogHoldsNoSecret(t *testing.T) {
	out := &lockedBuffer{}
	w := newWorld(t, func(w *world) { w.options.AccessLog = slog.New(slog.NewJSONHandler(out, nil)) }).serve()
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { w.gateway.Run(ctx); close(ended) }()
	const value = "sk_live_topsecretvalue99"
	k := w.know(value, apikey.Key{ID: "ak_1"})
	w.get("/v1/orders?api_key="+value+"&card=4111-1111-1111-1111", "Cookie: apikey="+value)
	w.get("/v1/orders/api_key="+value, "X-API-Key: "+value)
	until(t, "both lines are written", func() bool { return strings.Count(out.String(), "\n") == 2 })
	stop()
	<-ended
	for _, secret := range []string{value, "topsecret", "4111-1111", "card"} {
		if strings.Contains(out.String(), secret) {
			t.Errorf("%s is in the log:\n%s", secret, out)
		}
	}
	var line struct {
		Method, Path, Credential, ID, Decision string
		Status                                 int
	}
	if err := json.Unmarshal([]byte(firstOf(out.String())), &line); err != nil {
		t.Fatal(err)
	}
	if line.Method != "GET" || line.Path != "/v1/orders" || line.Status != 200 || line.Credential != "apikey" || line.ID != k.ID || line.Decision != "not_enforced" {
		t.Errorf("%+v", line)
	}
}

func firstOf(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}

func TestALineOfTheAccessLogIsBounded(t *testing.T) {
	out := &lockedBuffer{}
	w := newWorld(t, func(w *world) { w.options.AccessLog = slog.New(slog.NewJSONHandler(out, nil)) }).serve()
	long := strings.Repeat("X", 100_000)
	w.send(long, "/"+long+"?"+long)
	ctx, stop := context.WithCancel(context.Background())
	stop()
	w.gateway.access.run(ctx)
	if n := len(out.String()); n == 0 || n > 4000 {
		t.Errorf("%d bytes for one call", n)
	}
}

// TestAnAccessLogThatBlocksHoldsUpNoCall also counts what it had to drop.
func TestAnAccessLogThatBlocksHoldsUpNoCall(t *testing.T) {
	block := make(chan struct{})
	out := &lockedBuffer{}
	w := newWorld(t, func(w *world) {
		w.options.AccessLog = slog.New(slog.NewJSONHandler(writerFunc(func(p []byte) (int, error) {
			<-block
			return out.Write(p)
		}), nil))
	}).build()
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { w.gateway.Run(ctx); close(ended) }()
	c := newCall(w.gateway)
	for range accessBacklog + 100 {
		r, _ := http.NewRequest("GET", "/a", bytes.NewReader(nil))
		c.r, c.at, c.rules = r, w.now(), w.rules.Load()
		w.gateway.access.note(c)
		c.reset()
	}
	close(block)
	until(t, "the log catches up", func() bool { return strings.Count(out.String(), `"msg":"call"`) >= accessBacklog })
	stop()
	<-ended
	if !strings.Contains(out.String(), "access log lines dropped") {
		t.Error("what was dropped is not said")
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// TestG19AnUnknownAPIKeyIsLookedUpLikeAKnownOne: by its keyed hash alone, so that
// neither its beginning nor its being known shows in the time. The benchmarks
// measure both.
func TestG19AnUnknownAPIKeyIsLookedUpLikeAKnownOne(t *testing.T) {
	w := newWorld(t, nil).build()
	for i := range 1000 {
		w.know(fmt.Sprintf("sk_live_%012d", i), apikey.Key{})
	}
	for value, known := range map[string]bool{
		"sk_live_000000000007": true, "sk_live_00000000000": false, "sk_live_0000000000070": false, "SK_LIVE_000000000007": false, " ": false,
	} {
		c := newCall(w.gateway)
		c.r, c.rules = benchRequest("X-Api-Key", value), w.rules.Load()
		c.target = policy.ParseTarget("/")
		c.decide()
		if got := c.apikey != nil; got != known {
			t.Errorf("%q: known %v, want %v", value, got, known)
		}
	}
}
