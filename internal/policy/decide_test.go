package policy

import (
	"net/http"
	"testing"
	"time"

	"github.com/offkey/offkey/internal/apikey"
	"github.com/offkey/offkey/internal/oauth"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// rules are one open route, one without scope and one that asks for a scope.
func rules(t testing.TB, rs Ruleset) *Ruleset {
	t.Helper()
	health := mustRoute(t, "GET /v1/health")
	health.Open = true
	return rs.Build([]Route{health, mustRoute(t, "GET /v1/any"), mustRoute(t, "GET /v1/orders/**", "read:orders"), mustRoute(t, "POST /v1/both", "a", "b")}, nil)
}

func get(path string) Call { return Call{Method: "GET", Path: path, At: noon} }

func TestDecideOnCredentials(t *testing.T) {
	known := Principal{Kind: KnownAPIKey, ID: "ak_1"}
	unknown := Principal{Kind: UnknownAPIKey}
	token := func(scope ...string) Principal {
		return Principal{Kind: TokenClient, ID: "cl_1", ClientID: "cl_1", Scope: scope}
	}
	with := func(p Principal, fault string) Principal { p.Fault = fault; return p }
	tests := []struct {
		name      string
		principal Principal
		path      string
		// the answers with enforce off, shadow and on; a denial reads "401 code"
		off, shadow, on string
	}{
		{"G-13 no credential", Principal{}, "/v1/orders/7", "not_enforced", "not_enforced credential_missing", "401 credential_missing"},
		{"G-13 no credential, open route", Principal{}, "/v1/health", "not_enforced", "not_enforced", "open_route"},
		{"G-13 no credential, no route", Principal{}, "/v2/x", "not_enforced", "not_enforced credential_missing", "401 credential_missing"},
		{"G-13 good apikey", known, "/v1/orders/7", "not_enforced", "not_enforced", "apikey"},
		{"good apikey, open route", known, "/v1/health", "not_enforced", "not_enforced", "open_route"},
		{"good apikey, no route", known, "/v2/x", "not_enforced", "not_enforced unknown_route", "403 unknown_route"},
		{"G-13 bad apikey", unknown, "/v1/orders/7", "not_enforced", "not_enforced apikey_unknown", "401 apikey_unknown"},
		{"bad apikey, no route", unknown, "/v2/x", "not_enforced", "not_enforced apikey_unknown", "401 apikey_unknown"},
		{"bad apikey, open route", unknown, "/v1/health", "not_enforced", "not_enforced", "open_route"},
		{"G-13 good token", token("read:orders"), "/v1/orders/7", "not_enforced", "not_enforced", "token"},
		{"checklist_171 token without the scope", token("read:users"), "/v1/orders/7", "not_enforced", "not_enforced insufficient_scope", "403 insufficient_scope"},
		{"token without any scope", token(), "/v1/orders/7", "not_enforced", "not_enforced insufficient_scope", "403 insufficient_scope"},
		{"token without any scope, route without scope", token(), "/v1/any", "not_enforced", "not_enforced", "token"},
		{"token, no route", token("read:orders"), "/v2/x", "not_enforced", "not_enforced unknown_route", "403 unknown_route"},
		{"G-13 expired token", Principal{Kind: BadToken}, "/v1/orders/7", "401 invalid_token", "401 invalid_token", "401 invalid_token"},
		{"G-13 expired token on an open route", Principal{Kind: BadToken}, "/v1/health", "401 invalid_token", "401 invalid_token", "401 invalid_token"},
		{"foreign token", Principal{Kind: ForeignToken}, "/v1/orders/7", "not_enforced", "not_enforced token_foreign", "401 token_foreign"},
		{"foreign token, open route", Principal{Kind: ForeignToken}, "/v1/health", "not_enforced", "not_enforced", "open_route"},
		{"checklist_174 good token and another client's apikey", with(token("read:orders"), CodeCredentialConflict), "/v1/orders/7", "401 credential_conflict", "401 credential_conflict", "401 credential_conflict"},
		{"checklist_174 the same on an open route", with(token("read:orders"), CodeCredentialConflict), "/v1/health", "401 credential_conflict", "401 credential_conflict", "401 credential_conflict"},
		{"checklist_174 expired token and good apikey", with(Principal{Kind: BadToken, ID: "ak_1"}, CodeCredentialConflict), "/v1/orders/7", "401 invalid_token", "401 invalid_token", "401 invalid_token"},
		{"G-14 apikey sent twice", with(known, CodeCredentialDuplicate), "/v1/orders/7", "not_enforced credential_duplicate", "not_enforced credential_duplicate", "400 credential_duplicate"},
		{"checklist_169 token sent twice", with(token("read:orders"), CodeCredentialDuplicate), "/v1/orders/7", "not_enforced credential_duplicate", "not_enforced credential_duplicate", "400 credential_duplicate"},
		{"G-14 apikey sent twice, open route", with(known, CodeCredentialDuplicate), "/v1/health", "not_enforced credential_duplicate", "not_enforced credential_duplicate", "400 credential_duplicate"},
		{"a kind that does not exist", Principal{Kind: 99}, "/v1/orders/7", "not_enforced", "not_enforced insufficient_scope", "403 insufficient_scope"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for enforce, want := range map[Enforce]string{Unset: tt.off, Off: tt.off, Shadow: tt.shadow, On: tt.on} {
				rs := rules(t, Ruleset{Stage: apikey.Observe, Enforce: enforce})
				if got := short(rs.Decide(tt.principal, get(tt.path))); got != want {
					t.Errorf("enforce %v: %q, want %q", enforce, got, want)
				}
			}
		})
	}
}

// short writes a Decision for a table.
func short(d Decision) string {
	switch {
	case d.Denied() && d.Status == http.StatusBadRequest:
		return "400 " + d.Code
	case d.Denied() && d.Status == http.StatusUnauthorized:
		return "401 " + d.Code
	case d.Denied() && d.Status == http.StatusForbidden:
		return "403 " + d.Code
	case d.Denied():
		return "? " + d.Code
	case d.Shadow != "":
		return d.Code + " " + d.Shadow
	}
	return d.Code
}

func TestDecideOnStages(t *testing.T) {
	brownout := []Window{{From: noon, To: noon.Add(10 * time.Minute)}}
	tests := []struct {
		name      string
		all, own  apikey.Stage
		brownouts []Window
		at        time.Time
		known     string // the answer to a known apikey
		unknown   string // and to an unknown one
		announced bool   // to the known one
	}{
		{"observe passes", apikey.Observe, apikey.Inherit, nil, noon, "not_enforced", "not_enforced", false},
		{"warn passes and says so", apikey.Warn, apikey.Inherit, nil, noon, "not_enforced", "not_enforced", true},
		{"brownout passes outside its windows", apikey.Brownout, apikey.Inherit, brownout, noon.Add(-time.Second), "not_enforced", "not_enforced", true},
		{"brownout refuses from its start", apikey.Brownout, apikey.Inherit, brownout, noon, "401 apikey_brownout", "401 apikey_unknown", false},
		{"brownout passes from its end", apikey.Brownout, apikey.Inherit, brownout, noon.Add(10 * time.Minute), "not_enforced", "not_enforced", true},
		{"windows hold in brownout only", apikey.Warn, apikey.Inherit, brownout, noon, "not_enforced", "not_enforced", true},
		{"upgrade_only refuses", apikey.UpgradeOnly, apikey.Inherit, nil, noon, "401 apikey_upgrade_only", "401 apikey_unknown", false},
		{"retired refuses", apikey.Retired, apikey.Inherit, nil, noon, "401 apikey_retired", "401 apikey_unknown", false},
		{"blocked refuses", apikey.Blocked, apikey.Inherit, nil, noon, "401 apikey_blocked", "401 apikey_unknown", false},
		{"an apikey's own stage goes before the stage of all", apikey.Observe, apikey.Retired, nil, noon, "401 apikey_retired", "not_enforced", false},
		{"also where it is the milder one", apikey.Retired, apikey.Warn, nil, noon, "not_enforced", "401 apikey_unknown", true},
		{"no stage anywhere refuses", apikey.Inherit, apikey.Inherit, nil, noon, "401 apikey_blocked", "401 apikey_unknown", false},
		{"a stage that does not exist refuses", apikey.Observe, 99, nil, noon, "401 apikey_blocked", "not_enforced", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			rs := rules(t, Ruleset{Stage: tt.all, Campaign: Campaign{Windows: tt.brownouts}, UpstreamVouches: true})
			for _, path := range []string{"/v1/orders/7", "/v1/health", "/no/route"} {
				call := Call{Method: "GET", Path: path, At: tt.at}
				d := rs.Decide(Principal{Kind: KnownAPIKey, ID: "ak_1", Stage: tt.own}, call)
				if got := short(d); got != tt.known {
					t.Errorf("%s by a known apikey: %q, want %q", path, got, tt.known)
				}
				if d.Announce != tt.announced {
					t.Errorf("%s by a known apikey: announced %v, want %v", path, d.Announce, tt.announced)
				}
				if got := short(rs.Decide(Principal{Kind: UnknownAPIKey}, call)); got != tt.unknown {
					t.Errorf("%s by an unknown apikey: %q, want %q", path, got, tt.unknown)
				}
			}
		})
	}
}

func TestTheStageOfAllDoesNotTouchTokens(t *testing.T) {
	token := Principal{Kind: TokenClient, ID: "cl_1", ClientID: "cl_1", Scope: oauth.Scope{"read:orders"}}
	for stage := range apikey.Blocked + 1 {
		d := rules(t, Ruleset{Stage: stage, Enforce: On}).Decide(token, get("/v1/orders/7"))
		if !d.Allow || d.Announce || d.Stage != apikey.Inherit {
			t.Errorf("stage %v: %+v", stage, d)
		}
	}
}

func TestWhereTheUpstreamVouchesAnUnknownAPIKeyPassesOnlyWithTheStageOfAll(t *testing.T) {
	for stage, want := range map[apikey.Stage]string{
		apikey.Observe: "apikey_unverified", apikey.Warn: "apikey_unverified", apikey.UpgradeOnly: "401 apikey_unknown", apikey.Retired: "401 apikey_unknown",
	} {
		rs := rules(t, Ruleset{Stage: stage, Enforce: On, UpstreamVouches: true})
		if got := short(rs.Decide(Principal{Kind: UnknownAPIKey}, get("/v1/orders/7"))); got != want {
			t.Errorf("%v: %q, want %q", stage, got, want)
		}
		if d := rs.Decide(Principal{Kind: UnknownAPIKey}, get("/no/route")); d.Allow {
			t.Errorf("%v: passes without a route", stage)
		}
	}
}

func TestAllScopesOfARouteAreNeeded(t *testing.T) {
	rs := rules(t, Ruleset{Stage: apikey.Observe, Enforce: On})
	for scope, allowed := range map[string]bool{"": false, "a": false, "b": false, "a b": true, "b a": true, "c a b": true, "A B": false} {
		s, err := oauth.ParseScope(scope)
		if err != nil {
			t.Fatal(err)
		}
		d := rs.Decide(Principal{Kind: TokenClient, Scope: s}, Call{Method: "POST", Path: "/v1/both"})
		if d.Allow != allowed {
			t.Errorf("scope %q: allowed %v, want %v", scope, d.Allow, allowed)
		}
		if d.Route == nil || d.Route.Match() != "POST /v1/both" {
			t.Errorf("scope %q: the decision does not name its route", scope)
		}
	}
}

func TestAmbiguousRequestsAreCountedBeforeTheyAreRefused(t *testing.T) {
	// G-01, G-02: what a target names cannot be told, so that the strictest
	// setting of all judges it
	strictRoute := mustRoute(t, "/v1/strict")
	strictRoute.Enforce = On
	tests := []struct {
		name string
		rs   *Ruleset
		want string
	}{
		{"enforce off", rules(t, Ruleset{Stage: apikey.Observe}), "not_enforced ambiguous_request"},
		{"enforce shadow", rules(t, Ruleset{Stage: apikey.Observe, Enforce: Shadow}), "not_enforced ambiguous_request"},
		{"enforce on", rules(t, Ruleset{Stage: apikey.Observe, Enforce: On}), "400 ambiguous_request"},
		{"enforce on for one route", Ruleset{Stage: apikey.Observe}.Build(nil, []Route{strictRoute}), "400 ambiguous_request"},
		{"enforce on for one client", rules(t, Ruleset{Stage: apikey.Observe, ClientEnforce: map[string]Enforce{"cl_9": On}}), "400 ambiguous_request"},
		{"retired goes first", rules(t, Ruleset{Stage: apikey.Retired, Enforce: On}), "401 apikey_retired"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			call := Call{Method: "GET", Path: "/v1/health", Problem: "encoded slash", At: noon}
			if got := short(tt.rs.Decide(Principal{Kind: KnownAPIKey, ID: "ak_1"}, call)); got != tt.want {
				t.Errorf("%q, want %q", got, tt.want)
			}
		})
	}
}

func TestEnforcementOf(t *testing.T) {
	route := func(e Enforce) *Route { return &Route{Enforce: e} }
	rs := &Ruleset{Enforce: Shadow, ClientEnforce: map[string]Enforce{"cl_off": Off, "cl_on": On, "cl_unset": Unset, "": On}}
	tests := []struct {
		name   string
		rs     *Ruleset
		route  *Route
		client string
		want   Enforce
	}{
		{"the setting of all", rs, nil, "", Shadow},
		{"the route's before that of all", rs, route(On), "", On},
		{"a route may be milder", rs, route(Off), "", Off},
		{"a route without a setting takes that of all", rs, route(Unset), "", Shadow},
		{"the client's before the route's", rs, route(On), "cl_off", Off},
		{"a client may be stricter", rs, route(Off), "cl_on", On},
		{"a client without a setting takes the route's", rs, route(On), "cl_unset", On},
		{"a client that is not listed takes the route's", rs, route(On), "cl_other", On},
		{"nobody is no client", rs, nil, "", Shadow},
		{"nothing set is off", &Ruleset{}, route(Unset), "cl_1", Off},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.rs.EnforcementOf(tt.route, tt.client); got != tt.want {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

func TestEnforcesEverywhereOnlyWithoutException(t *testing.T) {
	route := func(e Enforce) []Route {
		r := mustRoute(t, "/v1/x")
		r.Enforce = e
		return []Route{r}
	}
	tests := []struct {
		name string
		rs   *Ruleset
		want bool
	}{
		{"on", Ruleset{Enforce: On}.Build(route(Unset), nil), true},
		{"on, and on for the route", Ruleset{Enforce: On}.Build(nil, route(On)), true},
		{"shadow", Ruleset{Enforce: Shadow}.Build(route(On), nil), false},
		{"nothing set", Ruleset{}.Build(nil, nil), false},
		{"a route in shadow", Ruleset{Enforce: On}.Build(route(Shadow), nil), false},
		{"a route off", Ruleset{Enforce: On}.Build(nil, route(Off)), false},
		{"a client off", Ruleset{Enforce: On, ClientEnforce: map[string]Enforce{"cl_1": Off}}.Build(nil, nil), false},
		{"a client on", Ruleset{Enforce: On, ClientEnforce: map[string]Enforce{"cl_1": On}}.Build(nil, nil), true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.rs.EnforcesEverywhere(); got != tt.want {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

// everyPrincipal visits all that a call can bring.
func everyPrincipal(visit func(Principal)) {
	for kind := range ForeignToken + 2 {
		for _, fault := range []string{"", CodeCredentialConflict, CodeCredentialDuplicate} {
			for _, client := range []string{"", "cl_on", "cl_off"} {
				p := Principal{Kind: kind, ID: "id", ClientID: client, Fault: fault}
				visit(p)
				for stage := range apikey.Blocked + 2 {
					if kind == KnownAPIKey || kind == TokenClient {
						p.Stage, p.Exchanged = stage, kind == TokenClient
						visit(p)
					}
				}
				for _, scope := range []oauth.Scope{{"read:orders"}, {"a", "b"}} {
					if kind == TokenClient {
						p.Scope, p.Exchanged = scope, false
						visit(p)
					}
				}
			}
		}
	}
}

func TestWhatHoldsForEveryDecision(t *testing.T) {
	clients := map[string]Enforce{"cl_on": On, "cl_off": Off}
	for stage := range apikey.Blocked + 1 {
		for _, vouches := range []bool{false, true} {
			var all [On + 1]*Ruleset // without exceptions for clients
			var mixed [On + 1]*Ruleset
			for e := range On + 1 {
				all[e] = rules(t, Ruleset{Stage: stage, Enforce: e, UpstreamVouches: vouches})
				mixed[e] = rules(t, Ruleset{Stage: stage, Enforce: e, UpstreamVouches: vouches, ClientEnforce: clients})
			}
			for _, path := range []string{"/v1/health", "/v1/any", "/v1/orders/7", "/v2/none", ""} {
				for _, problem := range []string{"", "encoded slash"} {
					call := Call{Method: "GET", Path: path, Problem: problem, At: noon}
					everyPrincipal(func(p Principal) {
						for e := range On + 1 {
							d := mixed[e].Decide(p, call)
							holdsForOne(t, mixed[e], p, d)
							if e > Unset && all[e-1].Decide(p, call).Denied() && all[e].Decide(p, call).Allow {
								t.Fatalf("%+v %+v is refused with enforce %v, passes with %v", p, call, e-1, e)
							}
						}
						holdsWhenEnforced(t, all[On], p, call)
					})
				}
			}
		}
	}
}

func holdsForOne(t *testing.T, rs *Ruleset, p Principal, d Decision) {
	t.Helper()
	own := rs.StageOf(&apikey.Key{Stage: p.Stage}, noon)
	switch {
	case d.Code == "":
		t.Fatalf("%+v: no code", p)
	case d.Allow && d.Status != 0:
		t.Fatalf("%+v: passes with status %d", p, d.Status)
	case d.Denied() && d.Status != 400 && d.Status != 401 && d.Status != 403:
		t.Fatalf("%+v: refused with %d", p, d.Status)
	case d.Denied() && d.Announce:
		t.Fatalf("%+v: a refusal is announced", p)
	case p.Kind == KnownAPIKey && !own.Passes() && d.Allow:
		t.Fatalf("%+v: passes in stage %v", p, own)
	case p.Kind == BadToken && d.Allow:
		t.Fatalf("%+v: a bad token passes", p)
	case p.Kind == TokenClient && p.Exchanged && !own.OpensUpgrade() && d.Allow:
		t.Fatalf("%+v: a token outlives its apikey", p)
	case p.Kind == TokenClient && p.Fault == CodeCredentialConflict && d.Allow:
		t.Fatalf("%+v: a conflict passes", p)
	case rs.Strictness() < On && own.Passes() && (p.Kind == KnownAPIKey || p.Kind == Nobody || p.Kind == ForeignToken) && d.Denied():
		t.Fatalf("%+v: refused with %s though nothing is enforced", p, d.Code)
	}
}

func holdsWhenEnforced(t *testing.T, rs *Ruleset, p Principal, c Call) {
	t.Helper()
	d := rs.Decide(p, c)
	if d.Denied() {
		return
	}
	switch {
	case c.Problem != "" || p.Fault != "":
		t.Fatalf("%+v %+v passes", p, c)
	case d.Route == nil:
		t.Fatalf("%+v %+v passes without a route", p, c)
	case d.Route.Open:
	case p.Kind == Nobody || p.Kind == ForeignToken || p.Kind > ForeignToken:
		t.Fatalf("%+v %+v passes", p, c)
	case p.Kind == TokenClient && !p.Scope.Covers(d.Route.Scopes):
		t.Fatalf("%+v %+v passes without the scope", p, c)
	case p.Kind == UnknownAPIKey && !rs.UpstreamVouches:
		t.Fatalf("%+v %+v passes though nobody vouches for it", p, c)
	}
}

func TestOfAPIKey(t *testing.T) {
	if p := OfAPIKey(nil); p.Kind != UnknownAPIKey || p.ID != "" {
		t.Errorf("nil is %+v", p)
	}
	p := OfAPIKey(&apikey.Key{ID: "ak_1", ClientID: "cl_1", Stage: apikey.Warn})
	if p.Kind != KnownAPIKey || p.ID != "ak_1" || p.ClientID != "cl_1" || p.Stage != apikey.Warn {
		t.Errorf("got %+v", p)
	}
}

func TestATokenFallsWithTheAPIKeyThatItWasExchangedFor(t *testing.T) {
	own := func(s apikey.Stage) *apikey.Key { return &apikey.Key{ID: "ak_1", Stage: s} }
	tests := []struct {
		name string
		all  apikey.Stage
		from *apikey.Key
		want string
	}{
		{"observe", apikey.Observe, own(apikey.Inherit), "token"},
		{"upgrade_only", apikey.UpgradeOnly, own(apikey.Inherit), "token"},
		{"all retired", apikey.Retired, own(apikey.Inherit), "401 invalid_token"},
		{"its own stage retired", apikey.Observe, own(apikey.Retired), "401 invalid_token"},
		{"blocked", apikey.Observe, own(apikey.Blocked), "401 invalid_token"},
		{"all retired, but not this one", apikey.Retired, own(apikey.Warn), "token"},
		{"gone", apikey.Observe, nil, "401 invalid_token"},
		{"refused by the API", apikey.Observe, &apikey.Key{ID: "ak_1", Suspended: true}, "401 invalid_token"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := OfExchangedToken("ak_1", oauth.Scope{"read:orders"}, tt.from)
			if got := short(rules(t, Ruleset{Stage: tt.all, Enforce: On}).Decide(p, get("/v1/orders/7"))); got != tt.want {
				t.Errorf("%q, want %q", got, tt.want)
			}
		})
	}
}

func TestWithChangesACopy(t *testing.T) {
	rs := rules(t, Ruleset{Stage: apikey.Observe, ClientEnforce: map[string]Enforce{"cl_1": Off}})
	other := rs.With(func(r *Ruleset) { r.Stage, r.Enforce, r.ClientEnforce["cl_1"] = apikey.Retired, On, Shadow })
	if rs.Stage != apikey.Observe || rs.Strictness() != Off || rs.ClientEnforce["cl_1"] != Off {
		t.Errorf("the original became %+v", rs)
	}
	if other.Strictness() != On || other.Match("GET", "/v1/any") == nil || other.EnforcementOf(nil, "cl_1") != Shadow {
		t.Errorf("the copy is %+v", other)
	}
}

func TestEnforceNames(t *testing.T) {
	for e := range On + 1 {
		b, err := e.MarshalText()
		var got Enforce
		if err != nil || got.UnmarshalText(b) != nil || got != e {
			t.Errorf("%d is written %q and read %d", e, b, got)
		}
	}
	var e Enforce
	if err := e.UnmarshalText([]byte("yes")); err == nil {
		t.Error("yes is read")
	}
	if s := Enforce(77).String(); s != "enforce(77)" {
		t.Errorf("77 is written %q", s)
	}
}
