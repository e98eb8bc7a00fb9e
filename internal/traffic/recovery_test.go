package traffic

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// recover learns paths, each called n times, and returns the templates.
func recoverTemplates(n int, paths ...string) []string {
	r := NewRecovery()
	for _, p := range paths {
		method, path, found := strings.Cut(p, " ")
		if !found {
			method, path = "GET", p
		}
		for i := range n {
			r.Add(method, path, fmt.Sprint("ak_", i%3), 1)
		}
	}
	var out []string
	for _, op := range r.Operations() {
		if !slices.Contains(out, op.Template) {
			out = append(out, op.Template)
		}
	}
	return out
}

func below(format string, values ...string) (paths []string) {
	for _, v := range values {
		paths = append(paths, fmt.Sprintf(format, v))
	}
	return paths
}

func repos(owners ...string) (paths []string) {
	for _, owner := range owners {
		paths = append(paths, below("/repos/"+owner+"/%s/issues", slugs...)...)
	}
	return paths
}

var slugs = strings.Fields("blue-otter quick-river silent-sale old-guide summer-market great-forest")

func TestRecovery(t *testing.T) {
	names := strings.Fields("ana ben chloe dario emil fatima greta hugo ines")
	tests := []struct {
		name  string
		paths []string
		want  []string
	}{
		{"numbers", []string{"/v1/orders/7", "/v1/orders/8"}, []string{"/v1/orders/{id}"}},
		{"slugs that lead to the same places", append(below("/v1/shops/%s/orders", slugs...), below("/v1/shops/%s/stock", slugs...)...),
			[]string{"/v1/shops/{id}/orders", "/v1/shops/{id}/stock"}},
		{"names that are changed, below what is called itself", append(below("PATCH /v1/users/%s", names...), "/v1/users"), []string{"/v1/users", "/v1/users/{id}"}},
		{"a word beside parameters", append(append(below("/v1/users/%s", names...), below("DELETE /v1/users/%s", names...)...), "POST /v1/users/search", "/v1/users"),
			[]string{"/v1/users", "/v1/users/search", "/v1/users/{id}"}},
		{"two parameters behind one another", repos("octo", "acme", "initech", "hooli", "globex", "umbrella"),
			[]string{"/repos/{id}/{id}/issues"}},
		{"many words that are no parameter", below("/v1/metrics/%s", "cpu_usage", "memory_usage", "disk_read", "disk_write", "load_average", "uptime_seconds", "http_requests", "tcp_connections", "queue_length"),
			below("/v1/metrics/%s", "cpu_usage", "disk_read", "disk_write", "http_requests", "load_average", "memory_usage", "queue_length", "tcp_connections", "uptime_seconds")},
		{"collections stay", []string{"/v1/orders/7", "/v1/users/8", "/v1/items/9", "/v1/carts/10", "/v1/orders/7/lines", "/v1/carts/10/lines", "/v1/items/9/lines"},
			[]string{"/v1/carts/{id}", "/v1/carts/{id}/lines", "/v1/items/{id}", "/v1/items/{id}/lines", "/v1/orders/{id}", "/v1/orders/{id}/lines", "/v1/users/{id}"}},
		{"actions stay", []string{"POST /v1/orders/7/cancel", "POST /v1/orders/8/refund", "POST /v1/orders/9/ship", "POST /v1/orders/9/close"},
			[]string{"/v1/orders/{id}/cancel", "/v1/orders/{id}/close", "/v1/orders/{id}/refund", "/v1/orders/{id}/ship"}},
		{"parts of a segment", []string{"/v1/reports/17.json", "/v1/reports/18.json", "/v1/reports/17", "POST /v1/jobs/1234:cancel", "/odata/items(sku='a1',n=2)", "/odata/items(sku='b',n=3)"},
			[]string{"/odata/items(sku='{id}',n={id})", "/v1/jobs/{id}:cancel", "/v1/reports/{id}", "/v1/reports/{id}.json"}},
		{"versions that are dates", []string{"/admin/2026-01/orders/7", "/admin/2026-01/orders/8"}, []string{"/admin/2026-01/orders/{id}"}},
		{"what was recorded as a template", []string{"/v1/orders/{id}/lines", "/v1/orders/{id}"}, []string{"/v1/orders/{id}", "/v1/orders/{id}/lines"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := recoverTemplates(12, tt.paths...); !slices.Equal(got, tt.want) {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(tt.want, "\n"))
			}
		})
	}
}

func TestWhatWasRecoveredStaysUnderNewTraffic(t *testing.T) {
	r := NewRecovery()
	for _, p := range append(below("/v1/shops/%s/orders", slugs...), below("/v1/shops/%s/stock", slugs...)...) {
		r.Add("GET", p, "ak_1", 5)
	}
	before := r.Operations()
	for i := range 300 {
		r.Add("GET", fmt.Sprintf("/v1/shops/new-shop%d/orders", i), "ak_2", 1)
		r.Add("GET", fmt.Sprintf("/v1/other/%d", i), "ak_2", 1)
	}
	after := r.Operations()
	for _, op := range before {
		if !slices.ContainsFunc(after, func(o Recovered) bool { return o.Template == op.Template }) {
			t.Errorf("%s is gone", op.Template)
		}
	}
	if n := len(after); n != len(before)+1 {
		t.Errorf("%d templates, there were %d and one more", n, len(before))
	}
}

func TestRecoveryOfHostilePathsIsBounded(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	word := func() string {
		b := make([]byte, 6+rng.IntN(20))
		for i := range b {
			b[i] = "abcdefghijklmnopqrstuvwxyz"[rng.IntN(26)]
		}
		return string(b)
	}
	r := NewRecovery()
	for _, p := range append(below("/v1/shops/%s/orders", slugs...), below("/v1/shops/%s/stock", slugs...)...) {
		r.Add("GET", p, "ak_1", 500)
	}
	most := 0
	for range 40_000 {
		r.Add(word(), "/"+word()+"/"+word()+"/"+word(), word(), 1)
		most = max(most, r.places)
	}
	r.Add("GET", "/"+strings.Repeat("deep/", 1000), "ak", 1)
	if most > maxPlaces+maxDepth || r.places != size(r.root) {
		t.Errorf("%d places, counted %d", most, size(r.root))
	}
	if !slices.ContainsFunc(r.Operations(), func(o Recovered) bool { return o.Template == "/v1/shops/{id}/stock" }) {
		t.Error("what the API has is lost among made-up paths")
	}
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	if m.HeapAlloc > 96<<20 {
		t.Errorf("%d MiB", m.HeapAlloc>>20)
	}
	runtime.KeepAlive(r)
}

func FuzzRecovery(f *testing.F) {
	f.Add("GET", "/v1/orders/7\n/v1/a(b=1)/{id}.json\n//x:y/%2e/é")
	f.Fuzz(func(t *testing.T, method, paths string) {
		r := NewRecovery()
		for p := range strings.SplitSeq(paths, "\n") {
			r.Add(method, p, "ak", 1)
		}
		for _, op := range r.Operations() {
			if !strings.HasPrefix(op.Template, "/") || op.Calls <= 0 {
				t.Fatalf("%+v", op)
			}
		}
		if r.places != size(r.root) {
			t.Fatalf("%d places are counted, there are %d", r.places, size(r.root))
		}
	})
}
