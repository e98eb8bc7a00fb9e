package migration

import (
	"fmt"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/offkey/offkey/internal/traffic"
)

// ordersDesign is a vocabulary in which several scopes open the same.
func ordersDesign() Design {
	return DesignScopes([]APIOperation{
		{Method: "GET", Template: "/orders/{id}", Declared: [][]string{{"orders:read"}, {"orders:write"}, {"everything:admin"}}},
		{Method: "POST", Template: "/orders", Declared: [][]string{{"orders:write"}, {"everything:admin"}}},
		{Method: "GET", Template: "/users/{id}", Declared: [][]string{{"users:read"}, {"everything:admin"}}},
		{Method: "DELETE", Template: "/users/{id}", Declared: [][]string{{"users:write", "audit:write"}, {"everything:admin"}}},
		{Method: "GET", Template: "/health", Open: true},
	}, ActionsAuto)
}

func observed(id, agent, source, method, path string, status int, day int) traffic.Observation {
	return traffic.Observation{At: noon.Add(time.Duration(day) * 24 * time.Hour), Credential: traffic.Credential{Kind: traffic.KindAPIKey, ID: id}, Method: method, Path: path,
		Status: status, UserAgent: agent, Source: netip.MustParsePrefix(source), Carrier: "header:X-API-Key"}
}

func inferOf(o InferOptions, calls ...traffic.Observation) []InferredCaller {
	i := NewInferrer(ordersDesign(), o)
	for _, c := range calls {
		i.Add(c)
	}
	return i.Result().Callers
}

func TestInferredScopes(t *testing.T) {
	call := func(method, path string, status int) traffic.Observation {
		return observed("ak_1", "curl/8", "203.0.113.0/24", method, path, status, 0)
	}
	for _, tt := range []struct {
		name  string
		calls []traffic.Observation
		want  string
	}{
		{"the lesser of those that open the same", []traffic.Observation{call("GET", "/orders/7", 200)}, "orders:read"},
		{"what writes reads too, and beside it stands what only reads", []traffic.Observation{call("GET", "/orders/7", 200), call("POST", "/orders", 201)}, "orders:read orders:write"},
		{"two together are less than everything", []traffic.Observation{call("DELETE", "/users/7", 204)}, "audit:write users:write"},
		{"HEAD is a GET", []traffic.Observation{call("HEAD", "/orders/7", 200)}, "orders:read"},
		{"what was refused gives nothing", []traffic.Observation{call("GET", "/orders/7", 200), call("DELETE", "/users/7", 403), call("GET", "/users/7", 404)}, "orders:read"},
		{"what is open needs nothing", []traffic.Observation{call("GET", "/health", 200)}, ""},
		{"OPTIONS, which everybody may", []traffic.Observation{call("GET", "/health", 200), call("OPTIONS", "/users/7", 204)}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := inferOf(InferOptions{Strict: true}, tt.calls...)
			if len(got) != 1 || strings.Join(got[0].Scopes, " ") != tt.want || !got[0].Exact || got[0].Explained != 1 {
				t.Errorf("%+v", got)
			}
		})
	}
}

func TestWhatIsNotExplainedIsNamed(t *testing.T) {
	got := inferOf(InferOptions{}, observed("ak_1", "curl/8", "203.0.113.0/24", "GET", "/orders/7", 200, 0), observed("ak_1", "curl/8", "203.0.113.0/24", "GET", "/secret", 200, 0))
	if len(got) != 1 || got[0].Explained != 0.5 || len(got[0].Unexplained) != 1 || got[0].Unexplained[0].Path != "/secret" {
		t.Fatalf("%+v", got)
	}
	if len(got[0].NotSeen) == 0 || got[0].OpensUnused != 0 {
		t.Errorf("not seen %v, opens %d unused", got[0].NotSeen, got[0].OpensUnused)
	}
}

func TestWhatIsBeyondTheObservedIsMarkedAndExplained(t *testing.T) {
	var operations []APIOperation
	for i := range 40 { // enough operations for a budget
		operations = append(operations, APIOperation{Method: "GET", Template: fmt.Sprintf("/reports/r%d", i), Declared: [][]string{{"reports:read"}}})
	}
	operations = append(operations, APIOperation{Method: "GET", Template: "/orders/{id}", Declared: [][]string{{"orders:read"}}}, APIOperation{Method: "POST", Template: "/orders", Declared: [][]string{{"orders:write"}}})
	for strict, want := range map[bool]string{false: "orders:read orders:write reports:read", true: "orders:write reports:read"} {
		i := NewInferrer(DesignScopes(operations, ActionsAuto), InferOptions{Strict: strict})
		i.Add(observed("ak_1", "curl/8", "203.0.113.0/24", "POST", "/orders", 201, 0))
		i.Add(observed("ak_1", "curl/8", "203.0.113.0/24", "GET", "/reports/r1", 200, 0))
		c := i.Result().Callers[0]
		if strings.Join(c.Scopes, " ") != want || len(c.Beyond) != map[bool]int{false: 1, true: 0}[strict] {
			t.Fatalf("strict %v: %v, beyond %v", strict, c.Scopes, c.Beyond)
		}
		if !strict && (c.Beyond[0].Scope != "orders:read" || c.Beyond[0].Opens != 1 || c.Beyond[0].Why != "it has orders:write, and who changes a thing reads it") {
			t.Errorf("%+v", c.Beyond)
		}
	}
}

// lived are the calls of one caller, one a day of each operation.
func lived(agent, source string, from, to int, operations ...string) (calls []traffic.Observation) {
	for day := from; day < to; day++ {
		for _, o := range operations {
			method, path, _ := strings.Cut(o, " ")
			calls = append(calls, observed("ak_1", agent, source, method, path, 200, day))
		}
	}
	return calls
}

func TestCallersBehindOneAPIKey(t *testing.T) {
	const a, b, c = "203.0.113.0/24", "198.51.100.0/24", "192.0.2.0/24"
	for _, tt := range []struct {
		name  string
		calls [][]traffic.Observation
		want  int
	}{
		{"a program in one network", [][]traffic.Observation{lived("sync/1.0", a, 0, 9, "GET /orders/7")}, 1},
		{"that is upgraded", [][]traffic.Observation{lived("sync/1.0", a, 0, 9, "GET /orders/7", "POST /orders"), lived("sync/2.0", a, 9, 20, "GET /orders/7", "POST /orders")}, 1},
		{"whose address moves", [][]traffic.Observation{lived("sync/1.0", a, 0, 9, "GET /orders/7", "POST /orders"), lived("sync/1.0", b, 9, 20, "GET /orders/7", "POST /orders")}, 1},
		{"on two machines", [][]traffic.Observation{lived("sync/1.0", a, 0, 20, "GET /orders/7", "POST /orders"), lived("sync/1.0", b, 0, 20, "GET /orders/7", "POST /orders")}, 1},
		{"that is rewritten", [][]traffic.Observation{lived("sync/1.0", a, 0, 9, "GET /orders/7", "POST /orders"), lived("sync-go/1.0", a, 9, 20, "GET /orders/7", "POST /orders")}, 1},
		{"two programs at the same time", [][]traffic.Observation{lived("sync/1.0", a, 0, 20, "GET /orders/7"), lived("report/1.0", a, 0, 20, "GET /orders/7")}, 2},
		{"one library, two jobs", [][]traffic.Observation{lived("python-requests/2.32", a, 0, 20, "POST /orders"), lived("python-requests/2.32", b, 0, 20, "GET /users/7", "DELETE /users/7")}, 2},
		{"three", [][]traffic.Observation{lived("sync/1.0", a, 0, 20, "GET /orders/7"), lived("report/1.0", b, 0, 20, "GET /users/7"), lived("curl/8", c, 3, 9, "POST /orders")}, 3},
		{"a stray call of a known program", [][]traffic.Observation{lived("sync/1.0", a, 0, 20, "GET /orders/7", "POST /orders"), lived("sync/1.0", c, 5, 6, "GET /orders/7")}, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := inferOf(InferOptions{Strict: true}, slices.Concat(tt.calls...)...)
			if len(got) != tt.want {
				t.Fatalf("%d callers: %+v", len(got), got)
			}
			ids := map[string]bool{}
			for _, c := range got {
				ids[c.ID] = true
				if c.Credential != "ak_1" || (c.ID == "ak_1") != (tt.want == 1) {
					t.Errorf("id %s of %s", c.ID, c.Credential)
				}
			}
			if len(ids) != tt.want {
				t.Errorf("ids %v", ids)
			}
		})
	}
}

func TestHostileTrafficIsInferredInBoundedMemory(t *testing.T) {
	i := NewInferrer(ordersDesign(), InferOptions{})
	long := strings.Repeat("x", 400)
	for n := range 60_000 {
		o := observed(fmt.Sprint("ak_", n%20_000), fmt.Sprint("agent", n, "/", n, long), "203.0.113.0/24", "GET", fmt.Sprint("/", n, long), 200, 0)
		o.Source, _ = netip.AddrFrom4([4]byte{byte(n), byte(n >> 8), byte(n >> 16), 0}).Prefix(24)
		i.Add(o)
	}
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	if m.HeapAlloc > 256<<20 {
		t.Errorf("%d MiB", m.HeapAlloc>>20)
	}
	if f := i.fold; len(f.folds) > maxCredentials || f.room.cells < -maxCredentials || f.dropped == 0 {
		t.Errorf("%d credentials, room %+v, %d calls dropped", len(f.folds), f.room, f.dropped)
	}
}

func TestAnOperationIsFoundByTheClosestTemplate(t *testing.T) {
	d := Design{}
	for _, template := range []string{"/users/{id}", "/users/me", "/users/{id}.json", "/jobs/{id}:cancel", "/apps(appid={v})/owners", "/a/{x}/c", "/a/b/{y}"} {
		d.Operations = append(d.Operations, DesignedOperation{Method: "GET", Template: template, AnyOf: [][]string{{"s"}}})
	}
	table := newOperationTable(d)
	for path, want := range map[string]string{
		"/users/7": "/users/{id}", "/users/me": "/users/me", "/users/7.json": "/users/{id}.json", "/jobs/9:cancel": "/jobs/{id}:cancel", "/apps(appid=42)/owners": "/apps(appid={v})/owners",
		"/a/b/c": "/a/b/{y}", "/a/z/c": "/a/{x}/c", "/users/": "", "/nothing": "", "/users/7/x": "",
	} {
		n, ok := table.find("GET", path)
		if ok != (want != "") || ok && table.operations[n].Template != want {
			t.Errorf("%s is for %d, %v, want %s", path, n, ok, want)
		}
	}
}
