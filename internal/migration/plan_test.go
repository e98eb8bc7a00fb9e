package migration

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/offkey/offkey/internal/apikey"
	"github.com/offkey/offkey/internal/client"
	"github.com/offkey/offkey/internal/oauth"
	"github.com/offkey/offkey/internal/policy"
	"github.com/offkey/offkey/internal/traffic"
)

// known is who is asked about: ak_1 unmapped, ak_2 mapped to cl_2, ak_own with a
// stage of its own; cl_2 may read orders, cl_off is disabled.
func known() callers {
	return callers{
		apikeys: map[string]*apikey.Key{
			"ak_1": {ID: "ak_1"}, "ak_2": {ID: "ak_2", ClientID: "cl_2"}, "ak_own": {ID: "ak_own", Stage: apikey.Warn}, "ak_gone": {ID: "ak_gone", Stage: apikey.Retired},
		},
		clients: map[string]*client.Client{
			"cl_2":   {ID: "cl_2", Status: client.Active, Scopes: oauth.Scope{"read:orders"}},
			"cl_off": {ID: "cl_off", Status: client.Disabled, Scopes: oauth.Scope{"read:orders"}},
		},
	}
}

func planRules(t testing.TB, rs policy.Ruleset) *policy.Ruleset {
	health := route(t, "GET /v1/health")
	health.Open = true
	return rs.Build([]policy.Route{health, route(t, "GET /v1/orders/**", "read:orders"), route(t, "POST /v1/orders", "create:orders")}, nil)
}

func planOf(t testing.TB, q PlanRequest, rules *policy.Ruleset, rows ...traffic.Row) Plan {
	t.Helper()
	f, err := newPlanFold(q, rules, known())
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rows {
		f.add(r)
	}
	p := f.result()
	checkSums(t, p)
	return p
}

func checkSums(t testing.TB, p Plan) {
	t.Helper()
	sum := func(list []PlanCaller) (n int64) {
		for _, c := range list {
			n += c.Calls
		}
		return n
	}
	if p.Allowed+p.WouldDeny+p.Undecidable != p.Calls || sum(p.Callers) != p.WouldDeny || sum(p.Undecided) != p.Undecidable {
		t.Errorf("%d allowed, %d refused (%d named), %d undecidable (%d named) of %d calls",
			p.Allowed, p.WouldDeny, sum(p.Callers), p.Undecidable, sum(p.Undecided), p.Calls)
	}
}

// A flush that learns an apikey takes its earlier calls from the unknown ones.
func TestPlanLeavesOutWhoseCallsWereAllMoved(t *testing.T) {
	unknown := func(calls int64) traffic.Row {
		row := seen("", "GET", "/v1/orders/{id}", calls)
		row.Credential = traffic.Credential{Kind: traffic.KindUnknown}
		return row
	}
	p := planOf(t, PlanRequest{Stage: apikey.Retired}, planRules(t, policy.Ruleset{Stage: apikey.Observe}), unknown(3), unknown(-3), seen("ak_1", "GET", "/v1/orders/{id}", 3))
	if len(p.Callers) != 1 || p.Callers[0].ID != "ak_1" || p.Calls != 3 {
		t.Errorf("%d calls, refused %+v", p.Calls, p.Callers)
	}
}

func TestPlanJudgesAnExchangedTokenAsItsClients(t *testing.T) {
	exempt := policy.Ruleset{Stage: apikey.Observe, Enforce: policy.On, ClientEnforce: map[string]policy.Enforce{"cl_2": policy.Off}}
	p := planOf(t, PlanRequest{Stage: apikey.Warn}, planRules(t, exempt), seen("ak_2", "GET", "/v1/users", 3, kind(traffic.KindClient)))
	if p.Allowed != 3 {
		t.Errorf("of 3 calls %d are allowed: %+v %+v", p.Allowed, p.Callers, p.Undecided)
	}
}

func TestPlan(t *testing.T) {
	observe := policy.Ruleset{Stage: apikey.Observe, UpstreamVouches: true}
	get := func(id string, changes ...func(*traffic.Row)) traffic.Row {
		return seen(id, "GET", "/v1/orders/{id}", 3, changes...)
	}
	tests := []struct {
		name string
		ask  PlanRequest
		row  traffic.Row
		want string // "allowed", "denied CODE" or "undecidable REASON"
		fix  string // what the fix says
	}{
		{"observe refuses nothing", PlanRequest{Stage: apikey.Observe}, get("ak_1"), "allowed", ""},
		{"warn refuses nothing", PlanRequest{Stage: apikey.Warn}, get("ak_1"), "allowed", ""},
		{"brownout refuses while its window lasts", PlanRequest{Stage: apikey.Brownout}, get("ak_1"), "denied apikey_brownout", "offkey upgrade"},
		{"upgrade_only refuses an apikey", PlanRequest{Stage: apikey.UpgradeOnly}, get("ak_1"), "denied apikey_upgrade_only", "offkey apikeys map ak_1"},
		{"retired refuses an apikey", PlanRequest{Stage: apikey.Retired}, get("ak_1"), "denied apikey_retired", "offkey upgrade"},
		{"also one that has a client and is still sent", PlanRequest{Stage: apikey.Retired}, get("ak_2"), "denied apikey_retired", "client cl_2 is there"},
		{"also on a route that nobody knows", PlanRequest{Stage: apikey.Retired}, seen("ak_1", "GET", "/v9", 1), "denied apikey_retired", ""},
		{"also on an open route", PlanRequest{Stage: apikey.Retired}, seen("ak_1", "GET", "/v1/health", 1), "denied apikey_retired", ""},
		{"also where the path was not kept", PlanRequest{Stage: apikey.Retired}, seen("ak_1", "*", "/**", 1), "denied apikey_retired", ""},
		{"an apikey with a stage of its own keeps it", PlanRequest{Stage: apikey.Retired}, get("ak_own"), "allowed", ""},
		{"also when all go back", PlanRequest{Stage: apikey.Observe}, get("ak_gone"), "denied apikey_retired", ""},
		{"unless it is asked about", PlanRequest{Stage: apikey.Observe, IDs: []string{"ak_gone"}}, get("ak_gone"), "allowed", ""},
		{"asked about by id", PlanRequest{Stage: apikey.Retired, IDs: []string{"ak_own"}}, get("ak_own"), "denied apikey_retired", ""},
		{"inherit by id gives the stage of all", PlanRequest{Stage: apikey.Inherit, IDs: []string{"ak_gone"}}, get("ak_gone"), "allowed", ""},
		{"tokens go on", PlanRequest{Stage: apikey.Retired}, get("cl_2", kind(traffic.KindClient)), "allowed", ""},
		{"an unknown apikey takes the stage of all", PlanRequest{Stage: apikey.Retired}, get("", kind(traffic.KindUnknown)), "denied apikey_unknown", "apikeys import"},
		{"an apikey that was deleted is unknown", PlanRequest{Stage: apikey.Retired}, get("ak_deleted"), "denied apikey_unknown", ""},
		{"no credential is not about stages", PlanRequest{Stage: apikey.Retired}, get("", kind(traffic.KindNone)), "allowed", ""},
		{"a token falls with its apikey", PlanRequest{Stage: apikey.Retired}, get("ak_1", kind(traffic.KindClient)), "denied invalid_token", ""},
		{"also where the apikey has a client", PlanRequest{Stage: apikey.Retired}, get("ak_2", kind(traffic.KindClient)), "denied invalid_token", ""},
		{"a token of an apikey asked about", PlanRequest{Stage: apikey.Retired, IDs: []string{"ak_1"}}, get("ak_1", kind(traffic.KindClient)), "denied invalid_token", ""},

		{"enforced: no credential", PlanRequest{Enforce: policy.On}, get("", kind(traffic.KindNone)), "denied credential_missing", "auth none"},
		{"enforced: an apikey opens every route", PlanRequest{Enforce: policy.On}, get("ak_1"), "allowed", ""},
		{"enforced: but not without a route", PlanRequest{Enforce: policy.On}, seen("ak_1", "GET", "/v1/users", 1), "denied unknown_route", `offkey routes set "GET /v1/users" read:users`},
		{"enforced: a token with the scope", PlanRequest{Enforce: policy.On}, get("cl_2", kind(traffic.KindClient)), "allowed", ""},
		{"enforced: a token without it", PlanRequest{Enforce: policy.On}, seen("cl_2", "POST", "/v1/orders", 1, kind(traffic.KindClient)), "denied insufficient_scope", `clients update cl_2 --scopes "read:orders create:orders"`},
		{"enforced: a token that had less than its client may ask for", PlanRequest{Enforce: policy.On}, get("cl_2", kind(traffic.KindClient), outcome("shadow:insufficient_scope")), "undecidable scope_unknown", ""},
		{"not enforced: that does not matter", PlanRequest{Stage: apikey.Warn}, get("cl_2", kind(traffic.KindClient), outcome("shadow:insufficient_scope")), "allowed", ""},
		{"enforced: a client that is disabled", PlanRequest{Enforce: policy.On}, get("cl_off", kind(traffic.KindClient)), "denied invalid_token", "cl_off is disabled"},
		{"enforced: a client that is deleted", PlanRequest{Enforce: policy.On}, get("cl_none", kind(traffic.KindClient)), "undecidable client_deleted", ""},
		{"enforced: a client that is deleted, without a route", PlanRequest{Enforce: policy.On}, seen("cl_none", "GET", "/v1/users", 1, kind(traffic.KindClient)), "denied unknown_route", ""},
		{"enforced: a path that was not kept", PlanRequest{Enforce: policy.On}, seen("ak_1", "*", "/**", 1), "undecidable route_unknown", "--traffic"},
		{"enforced: part of it was kept", PlanRequest{Enforce: policy.On}, seen("ak_1", "GET", "/v1/orders/{id}/**", 1), "allowed", ""},
		{"enforced: a target that was ambiguous", PlanRequest{Enforce: policy.On}, get("ak_1", outcome("shadow:ambiguous_request")), "denied ambiguous_request", ""},
		{"enforced: an apikey sent twice", PlanRequest{Enforce: policy.On}, get("ak_1", outcome("shadow:credential_duplicate")), "denied credential_duplicate", ""},
		{"enforced: a foreign token", PlanRequest{Enforce: policy.On}, get("", kind(traffic.KindNone), outcome("shadow:token_foreign")), "denied token_foreign", ""},
		{"a bad token is refused in any case", PlanRequest{Stage: apikey.Observe}, get("", kind(traffic.KindNone), outcome("denied:invalid_token")), "denied invalid_token", ""},
		{"what was refused then may pass now", PlanRequest{Stage: apikey.Observe}, get("ak_1", outcome("denied:apikey_retired"), status(401)), "allowed", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := planOf(t, tt.ask, planRules(t, observe), tt.row)
			got, fix := "allowed", ""
			if len(p.Callers) == 1 {
				got, fix = "denied "+p.Callers[0].Reason, p.Callers[0].Fix
			}
			if len(p.Undecided) == 1 {
				got, fix = "undecidable "+p.Undecided[0].Reason, p.Undecided[0].Fix
			}
			if got != tt.want || p.Calls != tt.row.Calls {
				t.Errorf("%q of %d calls, want %q", got, p.Calls, tt.want)
			}
			if !strings.Contains(fix, tt.fix) || (got != "allowed" && fix == "") {
				t.Errorf("fix %q, want %q in it", fix, tt.fix)
			}
		})
	}
}

func TestAPlanForSomeCountsTheirCallsOnly(t *testing.T) {
	rows := []traffic.Row{seen("ak_1", "GET", "/v1/x", 5), seen("ak_2", "GET", "/v1/x", 7), seen("cl_2", "GET", "/v1/x", 9, kind(traffic.KindClient)), seen("", "GET", "/v1/x", 11, kind(traffic.KindNone))}
	p := planOf(t, PlanRequest{Stage: apikey.Retired, IDs: []string{"ak_1"}}, planRules(t, policy.Ruleset{Stage: apikey.Observe}), rows...)
	if p.Calls != 5 || p.WouldDeny != 5 || p.APIKeys != (PlanAPIKeys{Seen: 1, Refused: 1, Unclaimed: 1}) {
		t.Errorf("%+v", p)
	}
	all := planOf(t, PlanRequest{Stage: apikey.Retired}, planRules(t, policy.Ruleset{Stage: apikey.Observe}), rows...)
	if all.Calls != 32 || all.WouldDeny != 12 || all.Allowed != 20 || all.APIKeys != (PlanAPIKeys{Seen: 2, Refused: 2, Mapped: 1, Unclaimed: 1}) {
		t.Errorf("%+v", all)
	}
	if all.Callers[0].ID != "ak_2" || all.Callers[0].Route != "GET /v1/x" || all.Callers[1].ID != "ak_1" {
		t.Errorf("most calls do not come first: %+v", all.Callers)
	}
}

func TestAPlanForAnAPIKeyThatIsNotThereIsRefused(t *testing.T) {
	_, err := newPlanFold(PlanRequest{Stage: apikey.Retired, IDs: []string{"ak_9"}}, planRules(t, policy.Ruleset{}), known())
	if !errors.Is(err, apikey.ErrNotFound) || !strings.Contains(err.Error(), "ak_9") {
		t.Errorf("error %v", err)
	}
}

func TestTheRulesThatHoldAreNotChangedByAsking(t *testing.T) {
	rules := planRules(t, policy.Ruleset{Stage: apikey.Observe})
	planOf(t, PlanRequest{Stage: apikey.Retired, Enforce: policy.On}, rules, seen("ak_1", "GET", "/v1/x", 1))
	if rules.Stage != apikey.Observe || rules.Enforce != policy.Unset || rules.Strictness() != policy.Off {
		t.Errorf("%+v", rules)
	}
}

func TestAPlanIsBoundedAndItsSumsHold(t *testing.T) {
	f, err := newPlanFold(PlanRequest{Stage: apikey.Retired}, planRules(t, policy.Ruleset{Stage: apikey.Observe}), known())
	if err != nil {
		t.Fatal(err)
	}
	const many = maxPlanGroups + 5_000
	for i := range many {
		f.add(seen("ak_1", "GET", fmt.Sprint("/v1/r", i), 2))
	}
	p := f.result()
	checkSums(t, p)
	if len(p.Callers) > maxPlanGroups+1 || p.WouldDeny != 2*many || p.Callers[0].ID != "*" {
		t.Errorf("%d callers, %d calls, first %+v", len(p.Callers), p.WouldDeny, p.Callers[0])
	}
}

// A plan over recorded rows says of no call that it passes which the gateway
// would refuse, nor the other way round: it may only not know.
func TestAPlanAgreesWithTheGatewayCallByCall(t *testing.T) {
	rnd := rand.New(rand.NewPCG(7, 7))
	patterns := []string{"v1", "orders", "7", "*", "{id}", "a"}
	words := []string{"v1", "orders", "7", "8", "a", "b"}
	pick := func(from []string, most int) string {
		var b strings.Builder
		for range 1 + rnd.IntN(most) {
			b.WriteString("/" + from[rnd.IntN(len(from))])
		}
		return b.String()
	}
	var decided, undecided int64
	for range 500 {
		var routes []policy.Route
		for range 1 + rnd.IntN(6) {
			pattern := pick(patterns, 3)
			if rnd.IntN(3) == 0 {
				pattern += "/**"
			}
			r := route(t, []string{"", "GET ", "POST "}[rnd.IntN(3)]+pattern)
			if rnd.IntN(2) == 0 {
				r.Scopes = oauth.Scope{"read:orders"}
			}
			r.Open = rnd.IntN(6) == 0
			r.Enforce = policy.Enforce(rnd.IntN(4))
			routes = append(routes, r)
		}
		rules := policy.Ruleset{Stage: apikey.Observe, UpstreamVouches: rnd.IntN(2) == 0}.Build(routes, nil)
		q := PlanRequest{Stage: apikey.Stage(1 + rnd.IntN(6)), Enforce: policy.Enforce(rnd.IntN(4))}
		future := rules.With(func(rs *policy.Ruleset) {
			rs.Stage = q.Stage
			if q.Enforce != policy.Unset {
				rs.Enforce = q.Enforce
			}
			if q.Stage == apikey.Brownout {
				rs.Windows = []policy.Window{{To: noon.Add(time.Hour)}}
			}
		})
		who := known()
		tally := traffic.NewTally()
		truth := map[PlanCaller][2]int64{} // id and route -> passes, refused
		for range 40 {
			method, path := []string{"GET", "POST", "HEAD"}[rnd.IntN(3)], pick(words, 4)
			o := traffic.Observation{At: noon, Method: method, Path: path, Status: 200, UserAgent: "curl/8", Source: netip.MustParsePrefix("10.0.0.0/24")}
			var p policy.Principal
			switch rnd.IntN(4) {
			case 0:
				o.Credential = traffic.Credential{Kind: traffic.KindAPIKey, ID: "ak_1"}
				p = policy.OfAPIKey(who.apikeys["ak_1"])
			case 1:
				o.Credential = traffic.Credential{Kind: traffic.KindAPIKey, ID: "ak_own"}
				p = policy.OfAPIKey(who.apikeys["ak_own"])
			case 2:
				o.Credential = traffic.Credential{Kind: traffic.KindClient, ID: "cl_2"}
				p = policy.Principal{Kind: policy.TokenClient, ID: "cl_2", ClientID: "cl_2", Scope: who.clients["cl_2"].Scopes}
			case 3:
				o.Credential = traffic.Credential{Kind: traffic.KindNone}
			}
			template := tally.Templates.Of(path)
			tally.Add(o, template, true)
			d := future.Decide(p, policy.Call{Method: method, Path: path, At: noon})
			id := o.Credential.ID
			if id == "" {
				id = o.Credential.Kind
			}
			key := PlanCaller{ID: id, Route: method + " " + template}
			counts := truth[key]
			if d.Allow {
				counts[0]++
			} else {
				counts[1]++
			}
			truth[key] = counts
		}
		f, err := newPlanFold(q, rules, who)
		if err != nil {
			t.Fatal(err)
		}
		for _, row := range tally.Drain() {
			f.add(row)
		}
		p := f.result()
		checkSums(t, p)
		for _, c := range p.Callers {
			if n := truth[PlanCaller{ID: c.ID, Route: c.Route}]; n[0] != 0 {
				t.Fatalf("%v: plan refuses %+v; the gateway passes %d of them", routes, c, n[0])
			}
		}
		refused, open := map[PlanCaller]bool{}, map[PlanCaller]bool{}
		for _, c := range p.Callers {
			refused[PlanCaller{ID: c.ID, Route: c.Route}] = true
		}
		for _, c := range p.Undecided {
			open[PlanCaller{ID: c.ID, Route: c.Route}] = true
		}
		for key, n := range truth {
			if n[1] != 0 && !refused[key] && !open[key] {
				t.Fatalf("%v: plan passes %+v; the gateway refuses %d of them", routes, key, n[1])
			}
		}
		decided += p.Allowed + p.WouldDeny
		undecided += p.Undecidable
	}
	if decided < 9*undecided {
		t.Errorf("%d calls are decided, %d are not: a plan should know more", decided, undecided)
	}
}
