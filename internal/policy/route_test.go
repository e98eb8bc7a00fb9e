package policy

import (
	"strings"
	"testing"
)

func mustRoute(t testing.TB, match string, scopes ...string) Route {
	t.Helper()
	r, err := ParseRoute(match)
	if err != nil {
		t.Fatal(err)
	}
	r.Scopes = scopes
	return r
}

func TestParseRoute(t *testing.T) {
	tests := []struct {
		name, match      string
		method, template string // what is read
		problem          string // or what the error says
	}{
		{"method and path", "GET /v1/orders/**", "GET", "/v1/orders/**", ""},
		{"a path alone is every method", "/v1/orders", "", "/v1/orders", ""},
		{"the root", "GET /", "GET", "/", ""},
		{"everything", "/**", "", "/**", ""},
		{"named and unnamed segments", "/v1/{user}/files/*", "", "/v1/{user}/files/*", ""},
		{"space around is nothing", "  GET   /v1/x ", "GET", "/v1/x", ""},
		{"a slash at the end is nothing", "GET /v1/x/", "GET", "/v1/x", ""},
		{"G-01 a character that paths hold encoded", "GET /v1/größe/{id}", "GET", "/v1/gr%C3%B6%C3%9Fe/{id}", ""},
		{"G-01 an escape in small letters", "GET /v1/caf%c3%a9", "GET", "/v1/caf%C3%A9", ""},
		{"G-01 a needless escape", "GET /v1/%61dmin%3Arun", "GET", "/v1/admin:run", ""},
		{"G-01 a percent sign", "GET /v1/100%", "GET", "/v1/100%25", ""},
		{"methods beyond the usual", "M-SEARCH /v1/x", "M-SEARCH", "/v1/x", ""},

		{"nothing", "", "", "", "starts with /"},
		{"no path", "GET", "", "", "starts with /"},
		{"a URL", "GET https://api.example.com/v1", "", "", "starts with /"},
		{"path before method", "/v1/x GET", "", "", "starts with /"},
		{"a space in the path", "GET /v1/x y", "", "", "no spaces"},
		{"lower-case method", "get /v1/x", "", "", "write GET"},
		{"star as method", "* /v1/x", "", "", "is no method"},
		{"G-05 a query", "GET /v1/x?y=1", "", "", "without query or fragment"},
		{"G-05 a fragment", "GET /v1/x#y", "", "", "without query or fragment"},
		{"G-24 a control character", "GET /v1/x\x1b[2J", "", "", "control characters"},
		{"** in the middle", "GET /v1/**/x", "", "", "only at the end"},
		{"a dot segment", "GET /v1/../x", "", "", "can never match"},
		{"an encoded dot segment", "GET /v1/%2e%2E/x", "", "", "can never match"},
		{"an empty segment", "GET /v1//x", "", "", "can never match"},
		{"two slashes at the end", "GET /v1//", "", "", "can never match"},
		{"part of a segment", "GET /v1/orders*", "", "", "stand for a whole segment"},
		{"a name in part of a segment", "GET /v1/{id}.json", "", "", "stand for a whole segment"},
		{"two names in a segment", "GET /v1/{a}{b}", "", "", "stand for a whole segment"},
		{"an empty name", "GET /v1/{}", "", "", "stand for a whole segment"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r, err := ParseRoute(tt.match)
			switch {
			case tt.problem != "":
				if err == nil || !strings.Contains(err.Error(), tt.problem) {
					t.Fatalf("error %v, want one that says %q", err, tt.problem)
				}
			case err != nil:
				t.Fatal(err)
			case r.Method != tt.method || r.Template != tt.template:
				t.Fatalf("got %q %q, want %q %q", r.Method, r.Template, tt.method, tt.template)
			}
		})
	}
}

func TestMatch(t *testing.T) {
	rs := Ruleset{}.Build([]Route{
		mustRoute(t, "GET /v1/health"),
		mustRoute(t, "GET /v1/orders/{id}"),
		mustRoute(t, "POST /v1/orders"),
		mustRoute(t, "/v1/admin/**"),
		mustRoute(t, "GET /"),
		mustRoute(t, "GET /{tenant}/files/**"),
	}, nil)
	tests := []struct {
		name, method, path string
		want               string
	}{
		{"literal", "GET", "/v1/health", "GET /v1/health"},
		{"HEAD is asked like GET", "HEAD", "/v1/health", "GET /v1/health"},
		{"another method is another route", "POST", "/v1/health", ""},
		{"one segment for a name", "GET", "/v1/orders/7", "GET /v1/orders/{id}"},
		{"a name is not two segments", "GET", "/v1/orders/7/lines", ""},
		{"a name is not nothing", "GET", "/v1/orders/", ""},
		{"** is many segments", "PUT", "/v1/admin/users/7", "/v1/admin/**"},
		{"** is no segment", "PUT", "/v1/admin", "/v1/admin/**"},
		{"** ends at the segment", "PUT", "/v1/administrator", ""},
		{"the root", "GET", "/", "GET /"},
		{"a first segment that no rule names", "GET", "/acme/files/a/b", "GET /{tenant}/files/**"},
		{"a first segment that other rules name", "GET", "/v1/files/a", "GET /{tenant}/files/**"},
		{"G-06 letter case is told apart", "GET", "/V1/health", ""},
		{"G-06 and that of methods", "get", "/v1/health", ""},
		{"G-07 a slash at the end is the same route", "GET", "/v1/health/", "GET /v1/health"},
		{"G-07 also after a name", "GET", "/v1/orders/7/", "GET /v1/orders/{id}"},
		{"G-07 so do many", "GET", "/v1/health///", "GET /v1/health"},
		{"G-07 nothing but slashes is the root", "GET", "///", "GET /"},
		{"G-07 a matrix parameter is not the segment", "GET", "/v1/health;x=1", ""},
		{"G-01 an empty segment matches no name", "GET", "//files/x", ""},
		{"G-03 a star is no path", "OPTIONS", "*", ""},
		{"G-03 an empty path is no path", "GET", "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := ""
			if r := rs.Match(tt.method, tt.path); r != nil {
				got = r.Match()
			}
			if got != tt.want {
				t.Errorf("%s %s is %q, want %q", tt.method, tt.path, got, tt.want)
			}
		})
	}
}

func TestSetRoutesAreTriedClosestFirst(t *testing.T) {
	// every pair: the first must win for the call, whichever was set first
	tests := []struct{ name, closest, other, method, path string }{
		{"a literal before a name", "/v1/orders/search", "/v1/orders/{id}", "GET", "/v1/orders/search"},
		{"a name before **", "/v1/orders/{id}", "/v1/orders/**", "GET", "/v1/orders/7"},
		{"the exact path before ** below it", "/v1/orders", "/v1/orders/**", "GET", "/v1/orders"},
		{"the earlier literal", "/v1/orders/**", "/v1/{kind}/7", "GET", "/v1/orders/7"},
		{"a method before any", "GET /v1/orders", "/v1/orders", "GET", "/v1/orders"},
		{"HEAD before the GET that takes it", "HEAD /v1/orders", "GET /v1/orders", "HEAD", "/v1/orders"},
		{"a path before a method", "/v1/orders", "GET /v1/**", "GET", "/v1/orders"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a, b := mustRoute(t, tt.closest), mustRoute(t, tt.other)
			for _, set := range [][]Route{{a, b}, {b, a}} {
				if got := (Ruleset{}).Build(nil, set).Match(tt.method, tt.path); got == nil || got.Match() != tt.closest {
					t.Errorf("%s %s is %v, want %s", tt.method, tt.path, got, tt.closest)
				}
			}
		})
	}
}

func TestFileRoutesKeepTheirOrderAndComeFirst(t *testing.T) {
	wide, close, set := mustRoute(t, "/v1/**"), mustRoute(t, "/v1/orders"), mustRoute(t, "GET /v1/orders")
	rs := Ruleset{}.Build([]Route{wide, close}, []Route{set})
	var got []string
	for _, r := range rs.Routes() {
		got = append(got, r.Match())
	}
	if want := "/v1/** | /v1/orders | GET /v1/orders"; strings.Join(got, " | ") != want {
		t.Errorf("order is %s, want %s", strings.Join(got, " | "), want)
	}
	if r := rs.Match("GET", "/v1/orders"); r.Match() != "/v1/**" {
		t.Errorf("matched %s, want the first in the file", r.Match())
	}
}

func TestARouteThatWasNotParsedIsMatchedLikeOneThatWas(t *testing.T) {
	rs := Ruleset{}.Build(nil, []Route{{Method: "GET", Template: "/v1/{id}/"}, {Template: "broken"}, {}})
	if n := len(rs.Routes()); n != 1 {
		t.Fatalf("%d routes, want those without a slash left out", n)
	}
	if rs.Match("GET", "/v1/7") == nil {
		t.Error("GET /v1/7 has no route")
	}
}

func TestARulesetDoesNotChangeWithWhatItWasBuiltFrom(t *testing.T) {
	routes := []Route{mustRoute(t, "/v1/x", "read:x")}
	clients := map[string]Enforce{"cl_1": On}
	rs := Ruleset{ClientEnforce: clients}.Build(routes, nil)
	routes[0].Scopes[0], routes[0].Template, clients["cl_1"] = "other", "/other", Off
	if r := rs.Match("GET", "/v1/x"); r == nil || r.Scopes[0] != "read:x" || rs.EnforcementOf(r, "cl_1") != On {
		t.Errorf("changed to %+v, %v", r, rs.EnforcementOf(r, "cl_1"))
	}
}

func FuzzParseRoute(f *testing.F) {
	for _, s := range []string{"GET /v1/orders/**", "/", "/**", "POST /{a}/*/", "get /x", "/a//b", "/{a}b", "\x00", "/\xff", "/a/%2e%2e"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, match string) {
		r, err := ParseRoute(match)
		if err != nil {
			return
		}
		again, err := ParseRoute(r.Match())
		if err != nil || again.Match() != r.Match() {
			t.Fatalf("%q is read as %q, which is read as %q, %v", match, r.Match(), again.Match(), err)
		}
		// what it stands for, it matches
		path := strings.NewReplacer("**", "x/y", "*", "x").Replace(r.Template)
		method := r.Method
		if method == "" {
			method = "GET"
		}
		rs := Ruleset{}.Build(nil, []Route{r})
		if rs.Match(method, path) == nil {
			t.Fatalf("%q does not match %s %q", r.Match(), method, path)
		}
		if c := rs.Candidates(method, r.Template, func(string) bool { return true }); c[0] == nil {
			t.Fatalf("%q is no candidate for itself", r.Match())
		}
	})
}

// G-01: however an operator writes a route, it is found by the path that means
// the same, and no laxer one in its place.
func TestARouteIsFoundInEverySpelling(t *testing.T) {
	for _, template := range []string{"/v1/größe", "/v1/gr%C3%B6%C3%9Fe", "/v1/gr%c3%b6%c3%9fe", "/%761/gr%C3%B6\u00dfe"} {
		open := mustRoute(t, "GET /v1/**")
		open.Open = true
		rs := Ruleset{Enforce: On}.Build([]Route{mustRoute(t, "GET "+template, "read:size"), open}, nil)
		for _, raw := range []string{"/v1/größe", "/v1/gr%C3%B6%C3%9Fe", "/v1/gr%c3%b6%C3%9fe", "/%76%31/größe/"} {
			target := ParseTarget(raw)
			if r := rs.Match("GET", target.Path); r == nil || r.Open || target.Problem != "" {
				t.Errorf("%s is not %s: %+v", raw, template, r)
			}
		}
	}
}
