package policy

import (
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"
)

// naive says what a pattern matches in the slow and obvious way.
type naive struct {
	method string
	path   *regexp.Regexp
}

func naiveOf(r Route) naive {
	var b strings.Builder
	for segment := range strings.SplitSeq(r.Template[1:], "/") {
		switch {
		case segment == "**" && b.Len() == 0:
			b.WriteString("/.*")
		case segment == "**":
			b.WriteString("(/.*)?")
		case segment == "*" || strings.HasPrefix(segment, "{"):
			b.WriteString("/[^/]+")
		default:
			b.WriteString("/" + regexp.QuoteMeta(segment))
		}
	}
	return naive{r.Method, regexp.MustCompile("^" + b.String() + "/?$")}
}

func (n naive) matches(method, path string) bool {
	if path == "/" && n.path.String() == "^//?$" {
		return n.method == "" || n.method == method || n.method == "GET" && method == "HEAD"
	}
	return n.path.MatchString(path) && (n.method == "" || n.method == method || n.method == "GET" && method == "HEAD")
}

func randomPattern(rnd *rand.Rand, words []string) string {
	var b strings.Builder
	n := rnd.IntN(5)
	for range n {
		b.WriteByte('/')
		b.WriteString(words[rnd.IntN(len(words))])
	}
	if n == 0 || rnd.IntN(4) == 0 {
		b.WriteByte('/')
		if n == 0 && rnd.IntN(2) == 0 || n > 0 {
			b.WriteString("**")
		}
	}
	method := []string{"", "GET ", "HEAD ", "POST "}[rnd.IntN(4)]
	return method + b.String()
}

func randomPath(rnd *rand.Rand, words []string) string {
	var b strings.Builder
	for range rnd.IntN(6) {
		b.WriteByte('/')
		b.WriteString(words[rnd.IntN(len(words))])
	}
	if b.Len() == 0 || rnd.IntN(5) == 0 {
		b.WriteByte('/')
	}
	return b.String()
}

func TestMatchAgreesWithAnObviousMatcher(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 9))
	patterns, words := []string{"a", "b", "v1", "*", "{id}"}, []string{"a", "b", "v1", "c"}
	matched := 0
	for range 2_000 {
		routes := make([]Route, 1+rnd.IntN(12))
		obvious := make([]naive, len(routes))
		for i := range routes {
			routes[i] = mustRoute(t, randomPattern(rnd, patterns))
			obvious[i] = naiveOf(routes[i])
		}
		rs := Ruleset{}.Build(routes, nil)
		for range 40 {
			method, path := []string{"GET", "HEAD", "POST", "PUT"}[rnd.IntN(4)], randomPath(rnd, words)
			want := ""
			for i, r := range routes {
				if obvious[i].matches(method, path) {
					want = r.Match()
					matched++
					break
				}
			}
			got := ""
			if r := rs.Match(method, path); r != nil {
				got = r.Match()
			}
			if got != want {
				t.Fatalf("%s %s among %v: got %q, want %q", method, path, matches(routes), got, want)
			}
		}
	}
	if matched < 10_000 {
		t.Errorf("only %d of 80,000 calls had a route: the test says little", matched)
	}
}

func TestAmongSetRoutesNoNarrowerOneIsPassedOver(t *testing.T) {
	rnd := rand.New(rand.NewPCG(5, 1))
	patterns := []string{"a", "b", "*"}
	calls := everyCall([]string{"a", "b", "c"}, 5)
	for range 40 {
		routes := make([]Route, 2+rnd.IntN(6))
		covers := make([][]bool, len(routes))
		for i := range routes {
			routes[i] = mustRoute(t, randomPattern(rnd, patterns))
			n := naiveOf(routes[i])
			for _, c := range calls {
				covers[i] = append(covers[i], n.matches(c[0], c[1]))
			}
		}
		rs := Ruleset{}.Build(nil, routes)
		for j, c := range calls {
			got := rs.Match(c[0], c[1])
			for i, r := range routes {
				if !covers[i][j] {
					continue
				}
				if got == nil {
					t.Fatalf("%v has no route among %v", c, matches(routes))
				}
				chosen := indexOf(routes, got.Match())
				if narrower(covers[i], covers[chosen]) {
					t.Fatalf("%v is for %s, though the narrower %s is there", c, got.Match(), r.Match())
				}
			}
		}
	}
}

func everyCall(words []string, depth int) (calls [][2]string) {
	paths := []string{""}
	all := []string{"/"}
	for range depth {
		var next []string
		for _, p := range paths {
			for _, w := range words {
				next = append(next, p+"/"+w)
			}
		}
		paths = next
		all = append(all, next...)
	}
	for _, m := range []string{"GET", "HEAD", "POST", "PUT"} {
		for _, p := range all {
			calls = append(calls, [2]string{m, p})
		}
	}
	return calls
}

// narrower reports whether a is a true subset of b.
func narrower(a, b []bool) bool {
	smaller := false
	for i := range a {
		if a[i] && !b[i] {
			return false
		}
		smaller = smaller || b[i] && !a[i]
	}
	return smaller
}

func indexOf(routes []Route, match string) int {
	for i, r := range routes {
		if r.Match() == match {
			return i
		}
	}
	return -1
}

func matches(routes []Route) (out []string) {
	for _, r := range routes {
		out = append(out, r.Match())
	}
	return out
}

func TestCandidatesHoldTheRouteOfEveryCallUnderTheTemplate(t *testing.T) {
	isID := func(s string) bool { return s[0] >= '0' && s[0] <= '9' }
	rnd := rand.New(rand.NewPCG(8, 2))
	patterns := []string{"a", "b", "7", "*", "{id}"}
	certain := 0
	for range 4_000 {
		routes := make([]Route, 1+rnd.IntN(8))
		for i := range routes {
			routes[i] = mustRoute(t, randomPattern(rnd, patterns))
		}
		rs := Ruleset{}.Build(routes, nil)
		path := randomPath(rnd, []string{"a", "b", "7", "8"})
		method := []string{"GET", "HEAD", "POST"}[rnd.IntN(3)]
		template := recordedAs(path, isID, rnd.IntN(5))
		candidates := rs.Candidates(method, template, isID)
		got := rs.Match(method, path)
		found := false
		for _, c := range candidates {
			found = found || c == got
		}
		if !found {
			t.Fatalf("%s %s, recorded as %s, is for %v; candidates of %v are %v", method, path, template, got, matches(routes), candidates)
		}
		if len(candidates) == 1 {
			certain++
		}
	}
	if certain < 1_000 {
		t.Errorf("only %d of 4,000 templates had one candidate", certain)
	}
}

// recordedAs turns what isID into {id}, and what lies below depth into **.
func recordedAs(path string, isID func(string) bool, depth int) string {
	var out []string
	for i, s := range strings.Split(path[1:], "/") {
		if i > depth {
			return "/" + strings.Join(append(out, "**"), "/")
		}
		if s != "" && isID(s) {
			s = "{id}"
		}
		out = append(out, s)
	}
	return "/" + strings.Join(out, "/")
}
