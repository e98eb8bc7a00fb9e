package migration

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/offkey/offkey/internal/apikey"
	"github.com/offkey/offkey/internal/policy"
	"github.com/offkey/offkey/internal/traffic"
)

func fold(rows ...traffic.Row) *usage {
	u := newUsage(newSpace())
	for _, r := range rows {
		u.add(r)
	}
	return u
}

func TestAnItemSaysWhatAnAPIKeyDoes(t *testing.T) {
	rules := policy.Ruleset{Stage: apikey.Warn, Enforce: policy.Shadow, ClientEnforce: map[string]policy.Enforce{"cl_1": policy.On}}.Build(nil, nil)
	k := &apikey.Key{ID: "ak_1", Last4: "9f3c", Label: "orders", Owner: "Acme", ClientID: "cl_1", KnownBy: apikey.KnownByImport, Created: noon.Add(-90 * 24 * time.Hour)}
	got := itemOf(k, fold(
		seen("ak_1", "GET", "/v1/orders/{id}", 5, ago(50*time.Hour)),
		seen("ak_1", "GET", "/v1/orders/{id}", 2, agent(python), from("198.51.100.0/24"), ago(time.Hour)),
		seen("ak_1", "POST", "/v1/orders", 3, agent(python), from("203.0.113.0/24"), carrier("query:key"), ago(2*time.Hour)),
	), apikey.Use{First: noon.Add(-60 * 24 * time.Hour), Last: noon.Add(-2 * time.Hour)}, rules, noon)
	first, last := noon.Add(-60*24*time.Hour), noon.Add(-time.Hour)
	want := Item{
		ID: "ak_1", Last4: "9f3c", Label: "orders", Owner: "Acme", Stage: apikey.Warn, StageBy: "all", Enforce: policy.On,
		Carriers: []string{"header:X-API-Key", "query:key"}, FirstUsed: &first, LastUsed: &last, Calls: 10,
		Routes:     []RouteUse{{"GET", "/v1/orders/{id}", 7}, {"POST", "/v1/orders", 3}},
		UserAgents: []string{"curl/8.7", python}, Sources: []string{"203.0.113.0/24", "198.51.100.0/24"},
		Callers: 2, Flow: "client_credentials", Risks: []string{"query"}, ClientID: "cl_1", KnownBy: apikey.KnownByImport, Granted: []string{},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestAnAPIKeyThatWasNeverUsedHasNoTimesAndEmptyLists(t *testing.T) {
	got := itemOf(&apikey.Key{ID: "ak_1", Stage: apikey.Retired, Created: noon}, newUsage(newSpace()), apikey.Use{}, policy.Ruleset{Stage: apikey.Observe}.Build(nil, nil), noon)
	if got.FirstUsed != nil || got.LastUsed != nil || got.Routes == nil || got.Carriers == nil || got.UserAgents == nil || got.Sources == nil || got.Risks == nil {
		t.Errorf("%+v", got)
	}
	if got.Stage != apikey.Retired || !got.OwnStage || got.Enforce != policy.Off || got.Callers != 0 {
		t.Errorf("%+v", got)
	}
}

func TestRisksAndFlow(t *testing.T) {
	old := noon.Add(-100 * 24 * time.Hour)
	tests := []struct {
		name  string
		key   apikey.Key
		rows  []traffic.Row
		risks string
		flow  string
	}{
		{"a service with an owner", apikey.Key{Owner: "Acme"}, []traffic.Row{seen("", "GET", "/v1/x", 1)}, "", "client_credentials"},
		{"nobody to ask", apikey.Key{}, []traffic.Row{seen("", "GET", "/v1/x", 1)}, "no_owner", "client_credentials"},
		{"in the query", apikey.Key{Owner: "A"}, []traffic.Row{seen("", "GET", "/v1/x", 1, carrier("query:api_key"))}, "query", "client_credentials"},
		{"mostly from browsers", apikey.Key{Owner: "A"}, []traffic.Row{seen("", "GET", "/v1/x", 9, agent(firefox)), seen("", "GET", "/v1/x", 8)}, "browser", "authorization_code"},
		{"seldom from browsers", apikey.Key{Owner: "A"}, []traffic.Row{seen("", "GET", "/v1/x", 2, agent(firefox)), seen("", "GET", "/v1/x", 8)}, "browser", "client_credentials"},
		{"two programs on one network", apikey.Key{Owner: "A"}, []traffic.Row{seen("", "GET", "/v1/x", 1), seen("", "GET", "/v1/x", 1, agent(python))}, "", "client_credentials"},
		{"two programs on networks of their own", apikey.Key{Owner: "A"}, []traffic.Row{seen("", "GET", "/v1/x", 1), seen("", "GET", "/v1/x", 1, agent(python), from("198.51.100.0/24"))}, "shared", "client_credentials"},
		{"two programs with one network in common", apikey.Key{Owner: "A"}, []traffic.Row{
			seen("", "GET", "/v1/x", 1), seen("", "GET", "/v1/x", 1, agent(python), from("198.51.100.0/24")), seen("", "GET", "/v1/x", 1, agent(python)),
		}, "", "client_credentials"},
		{"one program that moves", apikey.Key{Owner: "A"}, []traffic.Row{seen("", "GET", "/v1/x", 1), seen("", "GET", "/v1/x", 1, from("198.51.100.0/24"))}, "", "client_credentials"},
		{"two versions are one program", apikey.Key{Owner: "A"}, []traffic.Row{seen("", "GET", "/v1/x", 1), seen("", "GET", "/v1/x", 1, agent("curl/7.88"), from("198.51.100.0/24"))}, "", "client_credentials"},
		{"opens administration", apikey.Key{Owner: "A"}, []traffic.Row{seen("", "GET", "/v1/admin/users", 1)}, "admin", "client_credentials"},
		{"tried administration", apikey.Key{Owner: "A"}, []traffic.Row{seen("", "GET", "/v1/admin/users", 1, status(403))}, "", "client_credentials"},
		{"no call for 30 days", apikey.Key{Owner: "A", Created: old}, []traffic.Row{seen("", "GET", "/v1/x", 1, ago(30*24*time.Hour))}, "unused", "client_credentials"},
		{"a call 29 days ago", apikey.Key{Owner: "A", Created: old}, []traffic.Row{seen("", "GET", "/v1/x", 1, ago(29*24*time.Hour))}, "", "client_credentials"},
		{"never a call", apikey.Key{Owner: "A", Created: old}, nil, "unused", "client_credentials"},
		{"brought in yesterday", apikey.Key{Owner: "A", Created: noon.Add(-24 * time.Hour)}, nil, "", "client_credentials"},
		{"everything", apikey.Key{}, []traffic.Row{
			seen("", "GET", "/v1/internal/x", 1, carrier("query:k")), seen("", "GET", "/v1/x", 5, agent(firefox), from("198.51.100.0/24")),
		}, "query browser shared admin no_owner", "authorization_code"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			u := fold(tt.rows...)
			if got := strings.Join(risksOf(&tt.key, u, u.last, noon), " "); got != tt.risks {
				t.Errorf("risks %q, want %q", got, tt.risks)
			}
			if got := flowOf(u); got != tt.flow {
				t.Errorf("flow %q, want %q", got, tt.flow)
			}
		})
	}
	if got := doubtful([]string{RiskQuery, RiskAdmin, RiskShared, RiskNoOwner, RiskBrowser, RiskUnused}); !slices.Equal(got, []string{RiskQuery, RiskShared, RiskBrowser}) {
		t.Errorf("in doubt are %v", got)
	}
}

func TestAFoldIsBoundedAndLosesNoCall(t *testing.T) {
	u := newUsage(newSpace())
	const many = 5_000
	for i := range many {
		u.add(seen("ak_1", "GET", fmt.Sprint("/v1/r", i), 2, agent(fmt.Sprint("agent", i, "/1")), carrier(fmt.Sprint("header:", i)),
			from(netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), 0}), 24).String())))
	}
	item := itemOf(&apikey.Key{ID: "ak_1"}, u, apikey.Use{}, policy.Ruleset{}.Build(nil, nil), noon)
	var calls int64
	for _, r := range item.Routes {
		calls += r.Calls
	}
	if item.Calls != 2*many || calls != 2*many {
		t.Errorf("%d calls, %d by route, want %d", item.Calls, calls, 2*many)
	}
	if len(item.Routes) > maxRoutes+1 || len(item.UserAgents) > maxAgents || len(item.Sources) > maxSources || item.Callers > maxPrograms {
		t.Errorf("%d routes, %d agents, %d sources, %d callers", len(item.Routes), len(item.UserAgents), len(item.Sources), item.Callers)
	}
	if !slices.ContainsFunc(item.Routes, func(r RouteUse) bool { return r.Method == "*" && r.Template == "/**" }) {
		t.Error("what is beyond the limit is not shown")
	}
}
