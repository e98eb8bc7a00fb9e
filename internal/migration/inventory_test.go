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

// item is itemOf with the callers that the fold tells apart.
func item(k *apikey.Key, u *usage, use apikey.Use, rules *policy.Ruleset) Item {
	return itemOf(standing{key: k, usage: u, use: use, callers: u.fold.callers(), now: noon}, rules)
}

func TestAnItemSaysWhatAnAPIKeyDoes(t *testing.T) {
	rules := policy.Ruleset{Stage: apikey.Warn, Enforce: policy.Shadow, ClientEnforce: map[string]policy.Enforce{"cl_1": policy.On}}.Build(nil, nil)
	k := &apikey.Key{ID: "ak_1", Last4: "9f3c", Label: "orders", Owner: "Acme", Contact: "ana@example.com", ClientID: "cl_1", KnownBy: apikey.KnownByImport, Created: noon.Add(-90 * 24 * time.Hour)}
	got := item(k, fold(
		seen("ak_1", "GET", "/v1/orders/{id}", 4, ago(50*time.Hour)),
		seen("ak_1", "GET", "/v1/orders/{id}", 1),
		seen("ak_1", "GET", "/v1/orders/{id}", 2, agent(python), from("198.51.100.0/24"), ago(time.Hour)),
		seen("ak_1", "POST", "/v1/orders", 3, agent(python), from("203.0.113.0/24"), carrier("query:key"), ago(2*time.Hour)),
	), apikey.Use{First: noon.Add(-60 * 24 * time.Hour), Last: noon.Add(-2 * time.Hour)}, rules)
	first, last := noon.Add(-60*24*time.Hour), noon.Add(-time.Hour)
	want := Item{
		ID: "ak_1", Last4: "9f3c", Label: "orders", Owner: "Acme", Stage: apikey.Warn, StageBy: "all", Enforce: policy.On,
		Carriers: []string{"header:X-API-Key", "query:key"}, FirstUsed: &first, LastUsed: &last, Calls: 10,
		Routes:     []RouteUse{{"GET", "/v1/orders/{id}", 7}, {"POST", "/v1/orders", 3}},
		UserAgents: []string{"curl/8.7", python}, Sources: []string{"203.0.113.0/24", "198.51.100.0/24"},
		Callers: 1, Flow: "client_credentials", Risks: []string{"query", "write"}, ClientID: "cl_1", KnownBy: apikey.KnownByImport, Contact: "ana@example.com", Granted: []string{},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestAnAPIKeyThatWasNeverUsedHasNoTimesAndEmptyLists(t *testing.T) {
	got := item(&apikey.Key{ID: "ak_1", Stage: apikey.Retired, Created: noon}, newUsage(newSpace()), apikey.Use{}, policy.Ruleset{Stage: apikey.Observe}.Build(nil, nil))
	if got.FirstUsed != nil || got.LastUsed != nil || got.Routes == nil || got.Carriers == nil || got.UserAgents == nil || got.Sources == nil || got.Risks == nil {
		t.Errorf("%+v", got)
	}
	if got.Stage != apikey.Retired || !got.OwnStage || got.Enforce != policy.Off || got.Callers != 0 {
		t.Errorf("%+v", got)
	}
}

func TestRisks(t *testing.T) {
	old, owned := noon.Add(-100*24*time.Hour), apikey.Key{Owner: "A", Contact: "a@example.com"}
	aged := owned
	aged.Created = old
	var networks []traffic.Row
	for i := range manyNetworks {
		networks = append(networks, seen("", "GET", "/v1/x", 1, from(fmt.Sprintf("203.0.%d.0/24", i))))
	}
	tests := []struct {
		name  string
		key   apikey.Key
		use   apikey.Use
		gone  bool
		rows  []traffic.Row
		risks string
	}{
		{name: "a service with an owner", key: owned, rows: []traffic.Row{seen("", "GET", "/v1/x", 1)}},
		{name: "nobody to ask", rows: []traffic.Row{seen("", "GET", "/v1/x", 1)}, risks: "no_owner"},
		{name: "no way to ask", key: apikey.Key{Owner: "A"}, rows: []traffic.Row{seen("", "GET", "/v1/x", 1)}, risks: "no_contact"},
		{name: "somebody who has left", key: owned, gone: true, rows: []traffic.Row{seen("", "GET", "/v1/x", 1)}, risks: "dead_owner"},
		{name: "in the query", key: owned, rows: []traffic.Row{seen("", "GET", "/v1/x", 1, carrier("query:api_key"))}, risks: "query"},
		{name: "seldom from browsers", key: owned, rows: []traffic.Row{seen("", "GET", "/v1/x", 2, agent(firefox)), seen("", "GET", "/v1/x", 8)}, risks: "browser"},
		{name: "from a page whatever it calls itself", key: owned, rows: []traffic.Row{seen("", "GET", "/v1/x", 1, page)}, risks: "browser"},
		{name: "from a page last week", key: owned, use: apikey.Use{LastBrowser: noon.Add(-7 * 24 * time.Hour)}, rows: []traffic.Row{seen("", "GET", "/v1/x", 1)}, risks: "browser"},
		{name: "from a page long ago", key: owned, use: apikey.Use{LastBrowser: old}, rows: []traffic.Row{seen("", "GET", "/v1/x", 1)}},
		{name: "without TLS", key: owned, rows: []traffic.Row{seen("", "GET", "/v1/x", 1, func(r *traffic.Row) { r.Plain = true })}, risks: "no_tls"},
		{name: "without TLS last week", key: owned, use: apikey.Use{LastPlain: noon.Add(-7 * 24 * time.Hour)}, rows: []traffic.Row{seen("", "GET", "/v1/x", 1)}, risks: "no_tls"},
		{name: "two programs on one network", key: owned, rows: []traffic.Row{seen("", "GET", "/v1/x", 1), seen("", "GET", "/v1/x", 1, agent(python))}},
		{name: "two programs on networks of their own", key: owned, rows: []traffic.Row{seen("", "GET", "/v1/x", 1), seen("", "GET", "/v1/x", 1, agent(python), from("198.51.100.0/24"))}, risks: "shared"},
		{name: "one program that does two things on two networks", key: owned, rows: []traffic.Row{
			seen("", "GET", "/v1/x", 50), seen("", "GET", "/v1/x", 50, ago(10*24*time.Hour)),
			seen("", "GET", "/v1/y", 50, from("198.51.100.0/24")), seen("", "GET", "/v1/y", 50, from("198.51.100.0/24"), ago(10*24*time.Hour)),
		}, risks: "shared"},
		{name: "two programs with one network in common", key: owned, rows: []traffic.Row{
			seen("", "GET", "/v1/x", 1), seen("", "GET", "/v1/x", 1, agent(python), from("198.51.100.0/24")), seen("", "GET", "/v1/x", 1, agent(python)),
		}},
		{name: "one program that moves", key: owned, rows: []traffic.Row{seen("", "GET", "/v1/x", 1), seen("", "GET", "/v1/x", 1, from("198.51.100.0/24"))}},
		{name: "two versions are one program", key: owned, rows: []traffic.Row{seen("", "GET", "/v1/x", 1), seen("", "GET", "/v1/x", 1, agent("curl/7.88"), from("198.51.100.0/24"))}},
		{name: "from many networks", key: owned, rows: networks, risks: "networks"},
		{name: "from fewer", key: owned, rows: networks[1:]},
		{name: "opens administration", key: owned, rows: []traffic.Row{seen("", "GET", "/v1/admin/users", 1)}, risks: "admin"},
		{name: "tried administration", key: owned, rows: []traffic.Row{seen("", "GET", "/v1/admin/users", 1, status(403))}},
		{name: "changes things", key: owned, rows: []traffic.Row{seen("", "POST", "/v1/x", 1)}, risks: "write"},
		{name: "tried to", key: owned, rows: []traffic.Row{seen("", "DELETE", "/v1/x/{id}", 1, status(403))}},
		{name: "asks by POST", key: owned, rows: []traffic.Row{seen("", "POST", "/v1/x/search", 1), seen("", "POST", "/v1/x:query", 1)}},
		{name: "no call for 30 days", key: aged, rows: []traffic.Row{seen("", "GET", "/v1/x", 1, ago(30*24*time.Hour))}, risks: "unused"},
		{name: "a call 29 days ago", key: aged, rows: []traffic.Row{seen("", "GET", "/v1/x", 1, ago(29*24*time.Hour))}},
		{name: "never a call", key: aged, risks: "unused unused_90d"},
		{name: "a call in the quarter before", key: apikey.Key{Owner: "A", Contact: "a", Created: noon.AddDate(-2, 0, 0)}, use: apikey.Use{Last: noon.Add(-91 * 24 * time.Hour)}, risks: "unused"},
		{name: "brought in yesterday", key: apikey.Key{Owner: "A", Contact: "a", Created: noon.Add(-24 * time.Hour)}},
		{name: "everything at once", rows: []traffic.Row{
			seen("", "PUT", "/v1/internal/x", 1, carrier("query:k")), seen("", "GET", "/v1/x", 5, agent(firefox), from("198.51.100.0/24")),
		}, risks: "query browser shared admin write no_owner"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			u := fold(tt.rows...)
			names, why := risksOf(standing{key: &tt.key, usage: u, use: tt.use, callers: u.fold.callers(), ownerGone: tt.gone, now: noon}.widened())
			if got := strings.Join(names, " "); got != tt.risks {
				t.Errorf("risks %q, want %q", got, tt.risks)
			}
			if len(why) != len(names) {
				t.Errorf("%d reasons for %d risks", len(why), len(names))
			}
		})
	}
	if got := doubtful([]string{RiskQuery, RiskAdmin, RiskShared, RiskNoOwner, RiskBrowser, RiskUnused, RiskWrite}); !slices.Equal(got, []string{RiskQuery, RiskShared, RiskBrowser}) {
		t.Errorf("in doubt are %v", got)
	}
}

func page(r *traffic.Row) { r.Browser = true }

func TestFlows(t *testing.T) {
	// at works on working days from nine to five, around makes calls at any time.
	at := func(name string) (rows []traffic.Row) {
		for day := range 20 {
			when := noon.AddDate(0, 0, -day)
			if d := when.Weekday(); d != time.Saturday && d != time.Sunday {
				rows = append(rows, seen("", "GET", "/v1/x", 3, agent(name), ago(noon.Sub(when)-time.Duration(day%5)*time.Hour)))
			}
		}
		return rows
	}
	around := func(name string) (rows []traffic.Row) {
		for hour := range 24 * 14 {
			rows = append(rows, seen("", "GET", "/v1/x", 1, agent(name), ago(time.Duration(hour)*time.Hour)))
		}
		return rows
	}
	one := func(name string, changes ...func(*traffic.Row)) []traffic.Row {
		return []traffic.Row{seen("", "GET", "/v1/x", 9, append(changes, agent(name))...)}
	}
	for _, tt := range []struct {
		name string
		rows []traffic.Row
		flow string
	}{
		{"a library", one(python), FlowClientCredentials},
		{"around the clock", around("orders-sync/4.1"), FlowClientCredentials},
		{"a browser", one(firefox), FlowCode},
		{"a page whose library names itself", one("axios/1.7", page), FlowCode},
		{"mostly a browser", append(one(firefox), seen("", "GET", "/v1/x", 8)), FlowCode},
		{"seldom a browser", []traffic.Row{seen("", "GET", "/v1/x", 2, agent(firefox)), seen("", "GET", "/v1/x", 8)}, FlowClientCredentials},
		{"GitHub Actions", one("acme-deploy/1 GitHub-Actions"), FlowFederation},
		{"an action that names its toolkit", one("actions/http-client"), FlowFederation},
		{"GitLab", one("gitlab-runner 17.4.0"), FlowFederation},
		{"AWS Lambda", one("aws-sdk-js/3.1 exec-env/AWS_Lambda_nodejs20.x"), FlowFederation},
		{"Zapier", one("Zapier"), FlowAgent},
		{"Grafana", one("Grafana/11.2"), FlowAgent},
		{"a device", one("ESP8266HTTPClient"), FlowAgent},
		{"Postman", one("PostmanRuntime/7.43"), FlowDevice},
		{"a command line of its own", one("acme-cli/2.1 darwin"), FlowDevice},
		{"PowerShell", one("Mozilla/5.0 (Windows NT; Windows NT 10.0; en-US) WindowsPowerShell/5.1.22621"), FlowDevice},
		{"curl in the hours of a person", at("curl/8.7"), FlowDevice},
		{"curl around the clock", around("curl/8.7"), FlowClientCredentials},
		{"curl once", one("curl/8.7"), FlowClientCredentials},
		{"a library in the hours of a person", at(python), FlowClientCredentials},
		{"nothing was seen", nil, FlowClientCredentials},
	} {
		t.Run(tt.name, func(t *testing.T) {
			callers := fold(tt.rows...).fold.callers()
			if got := mainFlow(callers); got != tt.flow {
				t.Errorf("flow %q, want %q", got, tt.flow)
			}
			for _, use := range callerUses(&apikey.Key{ID: "ak_1"}, callers) {
				if len(use.Evidence) == 0 || use.Flow == "" || !strings.HasPrefix(use.ID, "ak_1.") {
					t.Errorf("%+v", use)
				}
			}
		})
	}
}

// TestOneApikeyIsToldApartIntoItsCallers has three programs that do different
// things from networks of their own for a month.
func TestOneAPIKeyIsToldApartIntoItsCallers(t *testing.T) {
	w := newWorld(t)
	k := w.learnt("shared-apikey")
	for day := range 28 {
		for i, c := range []struct{ agent, network, template string }{
			{"billing/1.2", "203.0.113.0/24", "/v1/invoices"}, {firefox, "198.51.100.0/24", "/v1/orders"}, {"gitlab-runner 17", "192.0.2.0/24", "/v1/deploys"},
		} {
			w.calls(seen(k.ID, "GET", c.template, int64(20+i), agent(c.agent), from(c.network), ago(time.Duration(day)*24*time.Hour)))
		}
	}
	d, err := w.Show(w.ctx, k.ID)
	if err != nil {
		t.Fatal(err)
	}
	flows := []string{}
	for _, c := range d.CallerDetails {
		flows = append(flows, c.Flow)
	}
	if want := []string{FlowFederation, FlowCode, FlowClientCredentials}; d.Callers != 3 || !slices.Equal(flows, want) || d.Flow != FlowFederation {
		t.Errorf("%d callers with %v, main flow %s", d.Callers, flows, d.Flow)
	}
	if !slices.Contains(d.Risks, RiskShared) || d.RiskReasons[RiskShared] != "3 callers use it on networks of their own" {
		t.Errorf("%v, %v", d.Risks, d.RiskReasons)
	}
}

func TestAFoldIsBoundedAndLosesNoCall(t *testing.T) {
	u := newUsage(newSpace())
	const many = 5_000
	for i := range many {
		u.add(seen("ak_1", "GET", fmt.Sprint("/v1/r", i), 2, agent(fmt.Sprint("agent", i, "/1")), carrier(fmt.Sprint("header:", i)),
			from(netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), 0}), 24).String())))
	}
	got := item(&apikey.Key{ID: "ak_1"}, u, apikey.Use{}, policy.Ruleset{}.Build(nil, nil))
	var calls int64
	for _, r := range got.Routes {
		calls += r.Calls
	}
	if got.Calls != 2*many || calls != 2*many {
		t.Errorf("%d calls, %d by route, want %d", got.Calls, calls, 2*many)
	}
	if len(got.Routes) > maxRoutes+1 || len(got.UserAgents) > maxAgents || len(got.Sources) > maxSources || got.Callers > maxCells+1 {
		t.Errorf("%d routes, %d agents, %d sources, %d callers", len(got.Routes), len(got.UserAgents), len(got.Sources), got.Callers)
	}
	if !slices.ContainsFunc(got.Routes, func(r RouteUse) bool { return r.Method == "*" && r.Template == "/**" }) {
		t.Error("what is beyond the limit is not shown")
	}
}
