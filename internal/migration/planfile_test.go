package migration

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/offkey/offkey/internal/apikey"
	"github.com/offkey/offkey/internal/policy"
)

const routesYAML = `
- {match: "GET /v1/health", auth: none}
- {match: "GET /v1/orders/**", scopes: [read:orders]}
- match: POST /v1/orders
  scopes: create:orders
  enforce: on
`

func TestReadRoutes(t *testing.T) {
	tests := []struct{ name, file, want, problem string }{
		{"a list", routesYAML, "GET /v1/health open; GET /v1/orders/** read:orders; POST /v1/orders create:orders on", ""},
		{"under routes", "routes:\n  - {match: GET /a, scopes: [x, y]}\n", "GET /a x y", ""},
		{"a whole configuration", "issuer: https://a.example\ngateway:\n  enforce: shadow\n  routes:\n    - {match: GET /a}\n", "GET /a", ""},
		{"the answer of routes list", `{"routes":[{"match":"GET /a","method":"GET","template":"/a","scopes":["x"],"auth":"required","enforce":"shadow","source":"file"}],"next":null}`, "GET /a x shadow", ""},
		{"a JSON list", `[{"match":"GET /a","scopes":[]}]`, "GET /a", ""},
		{"an object on each line", "{\"match\":\"GET /a\",\"scopes\":\"x y\"}\n\n{\"method\":\"POST\",\"template\":\"/b\",\"auth\":\"none\"}\n", "GET /a x y; POST /b open", ""},
		{"in the order given", "[{match: /b}, {match: /a}]", "/b; /a", ""},
		{"nothing", " \n", "", "it is empty"},
		{"no routes", "issuer: x\n", "", "it has no routes"},
		{"no YAML", "routes: [", "", "routes file"},
		{"a route that is none", "[{match: GET v1}]", "", "route 1: route \"GET v1\": the path starts with /"},
		{"no match", "[{scopes: [a]}]", "", "route 1"},
		{"a scope that is none", "[{match: GET /a, scopes: ['a b']}]", "", `"a b" is no scope name`},
		{"another auth", "[{match: GET /a, auth: maybe}]", "", `auth is "maybe"`},
		{"another enforce", "[{match: GET /a, enforce: perhaps}]", "", "perhaps"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			routes, err := ReadRoutes(strings.NewReader(tt.file))
			if tt.problem != "" {
				if err == nil || !strings.Contains(err.Error(), tt.problem) {
					t.Errorf("error %v, want %q", err, tt.problem)
				}
				return
			}
			var got []string
			for _, r := range routes {
				s := strings.TrimSpace(r.Match() + " " + r.Scopes.String())
				if r.Open {
					s += " open"
				}
				got = append(got, strings.TrimSpace(s+" "+r.Enforce.String()))
			}
			if s := strings.Join(got, "; "); s != tt.want || err != nil {
				t.Errorf("got %q, %v, want %q", s, err, tt.want)
			}
		})
	}
}

func FuzzReadRoutes(f *testing.F) {
	f.Add(routesYAML)
	f.Add(`{"routes":[{"match":"GET /a"}]}`)
	f.Add("{\"match\":\"GET /a\"}\n{\"match\":\"/\"}")
	f.Add("a: &a [*a]")
	f.Fuzz(func(t *testing.T, file string) {
		routes, err := ReadRoutes(strings.NewReader(file))
		if err == nil {
			policy.Ruleset{}.Build(routes, nil).Match("GET", "/a/b")
		}
	})
}

func line(id, method, path string, status int) string {
	return fmt.Sprintf(`{"at":"2026-11-20T12:00:00Z","credential":{"kind":"apikey","id":%q},"method":%q,"path":%q,"status":%d,"user_agent":"curl/8.7","source":"203.0.113.0/24","carrier":"header:X-API-Key"}`, id, method, path, status)
}

func TestPlanFiles(t *testing.T) {
	routes, err := ReadRoutes(strings.NewReader(routesYAML))
	if err != nil {
		t.Fatal(err)
	}
	rules := policy.Ruleset{Stage: apikey.Observe}.Build(routes, nil)
	file := strings.Join([]string{
		line("a", "GET", "/v1/orders/7", 200), line("a", "GET", "/v1/orders/8", 200), line("b", "POST", "/v1/orders", 201),
		`{"at":"2026-11-21T00:00:00Z","credential":{"kind":"client","id":"c"},"method":"POST","path":"/v1/orders","status":201}`,
		`{"at":"2026-11-21T00:00:00Z","credential":{"kind":"client","id":"c"},"method":"GET","path":"/v1/orders/1","status":200}`,
		"oops", line("", "GET", "/v1/orders/7", 200), line("a", "GET", "/v1/orders/7", 7),
	}, "\n")
	p, err := PlanFiles(PlanRequest{Stage: apikey.Retired}, rules, strings.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	checkSums(t, p.Plan)
	if p.Lines != 5 || p.Malformed != 3 || len(p.BadLines) != 3 || p.BadLines[0].Line != 6 || p.BadLines[2].Line != 8 {
		t.Errorf("%d lines, %d malformed: %+v", p.Lines, p.Malformed, p.BadLines)
	}
	if p.Calls != 5 || p.WouldDeny != 3 || p.Allowed != 1 || p.Undecidable != 1 || p.APIKeys != (PlanAPIKeys{Seen: 2, Refused: 2, Unclaimed: 2}) {
		t.Errorf("%+v", p.Plan)
	}
	if want := (PlanCaller{"a", "GET /v1/orders/{id}", 2, "apikey_retired", p.Callers[0].Fix}); p.Callers[0] != want {
		t.Errorf("first caller %+v", p.Callers[0])
	}
	if u := p.Undecided[0]; u.ID != "c" || u.Reason != ReasonScopeUnknown {
		t.Errorf("undecided %+v", u)
	}
	if p.Window.From.Format("2006-01-02T15") != "2026-11-20T12" || p.Window.To.Format("2006-01-02T15") != "2026-11-21T00" {
		t.Errorf("window %+v", p.Window)
	}
}

func TestPlanFilesInAWindowAndForSome(t *testing.T) {
	rules := policy.Ruleset{Stage: apikey.Observe}.Build(nil, nil)
	file := line("a", "GET", "/x", 200) + "\n" + line("b", "GET", "/x", 200)
	q := PlanRequest{Stage: apikey.Retired, IDs: []string{"b"}}
	p, err := PlanFiles(q, rules, strings.NewReader(file))
	if err != nil || p.Calls != 1 || p.WouldDeny != 1 || p.Callers[0].ID != "b" {
		t.Errorf("%+v, %v", p, err)
	}
	q = PlanRequest{Stage: apikey.Retired, Window: Window{From: noon}}
	if p, err = PlanFiles(q, rules, strings.NewReader(file)); err != nil || p.Calls != 0 || p.Lines != 2 || len(p.NotCovered) != 1 {
		t.Errorf("%+v, %v", p, err)
	}
}

func TestALongListOfBadLinesIsCountedInFull(t *testing.T) {
	p, err := PlanFiles(PlanRequest{Stage: apikey.Warn}, policy.Ruleset{}.Build(nil, nil), strings.NewReader(strings.Repeat("no\n", 1_000)))
	if err != nil || p.Malformed != 1_000 || len(p.BadLines) != maxBadLines || p.BadLines[99].Line != 100 {
		t.Errorf("%d malformed, %d named, %v", p.Malformed, len(p.BadLines), err)
	}
}

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, errors.New("disk gone") }

func TestAFileThatCannotBeReadIsNoPlan(t *testing.T) {
	if _, err := PlanFiles(PlanRequest{}, policy.Ruleset{}.Build(nil, nil), brokenReader{}); err == nil || !strings.Contains(err.Error(), "disk gone") {
		t.Errorf("error %v", err)
	}
	if _, err := ReadRoutes(brokenReader{}); err == nil || !strings.Contains(err.Error(), "disk gone") {
		t.Errorf("error %v", err)
	}
}
