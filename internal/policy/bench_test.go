package policy

import (
	"fmt"
	"testing"

	"github.com/offkey/offkey/internal/apikey"
	"github.com/offkey/offkey/internal/oauth"
)

// fourHundred rules of a real API's shape: half of them share a first segment.
func fourHundred(tb testing.TB) *Ruleset {
	routes := make([]Route, 0, 400)
	for i := range 100 {
		for _, match := range []string{"GET /v1/things%d/**", "POST /v1/things%d", "GET /area%d/{id}", "DELETE /area%d/{id}"} {
			routes = append(routes, mustRoute(tb, fmt.Sprintf(match, i), "read:things"))
		}
	}
	return Ruleset{Stage: apikey.Observe, Enforce: On}.Build(nil, routes)
}

func BenchmarkMatch400Routes(b *testing.B) {
	rs := fourHundred(b)
	for _, path := range []string{"/area50/7", "/v1/things99/7/lines", "/v1/none/7", "/none"} {
		b.Run(path[1:], func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				rs.Match("GET", path)
			}
		})
	}
}

func BenchmarkDecide(b *testing.B) {
	rs := fourHundred(b)
	for name, p := range map[string]Principal{
		"apikey": {Kind: KnownAPIKey, ID: "ak_1"},
		"token":  {Kind: TokenClient, ID: "cl_1", ClientID: "cl_1", Scope: oauth.Scope{"a", "b", "read:things"}},
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				rs.Decide(p, Call{Method: "GET", Path: "/area50/7", At: noon})
			}
		})
	}
}

func TestDecideAllocatesNothing(t *testing.T) {
	rs := fourHundred(t)
	token := Principal{Kind: TokenClient, ID: "cl_1", ClientID: "cl_1", Scope: oauth.Scope{"read:things"}}
	for _, path := range []string{"/area50/7", "/v1/things99/7/lines/", "/none"} {
		if n := testing.AllocsPerRun(100, func() { rs.Decide(token, Call{Method: "GET", Path: path, At: noon}) }); n != 0 {
			t.Errorf("%s: %v allocations", path, n)
		}
	}
}
