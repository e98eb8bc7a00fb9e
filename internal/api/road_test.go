package api_test

import (
	"strings"
	"testing"
	"time"

	"github.com/offkey/offkey/internal/migration"
)

func TestTheStatusCountsApikeysAndCalls(t *testing.T) {
	w := newWorld(t)
	a := w.apikey("some-key-0123456789-abcd", "", "")
	w.apikey("some-key-0123456789-efgh", "", "")
	w.calls(a, 5, "GET", "/v1/orders", "header:X-API-Key", time.Hour)
	w.ask(200, "POST", "/stage", map[string]any{"stage": "warn", "all": true, "until": "2027-09-30"})
	d := w.ask(200, "GET", "/status", nil)
	keys, _ := d["apikeys"].(map[string]any)
	calls, _ := d["calls"].(map[string]any)
	if d.text("stage") != "warn" || document(keys).number("total") != 2 || document(keys).number("used_30d") != 1 || document(calls).number("apikey") != 5 {
		t.Errorf("status is %v", d)
	}
	if next, _ := d["next"].(map[string]any); document(next).text("at") != "2027-09-30T00:00:00Z" {
		t.Errorf("next is %v, want the announced end", next)
	}
}

func TestAPlanSaysWhoseCallsWouldFailAndChangesNothing(t *testing.T) {
	w := newWorld(t)
	a := w.apikey("some-key-0123456789-abcd", "nightly", "")
	b := w.apikey("some-key-0123456789-efgh", "", "")
	w.calls(a, 5, "GET", "/v1/orders", "header:X-API-Key", time.Hour)
	w.calls(b, 7, "POST", "/v1/orders", "header:X-API-Key", 20*24*time.Hour)
	w.unchanged(func() {
		for _, tt := range []struct {
			name          string
			question      map[string]any
			calls, denied int64
		}{
			{"all, in the usual window", map[string]any{"stage": "retired"}, 5, 5},
			{"all, in a longer window", map[string]any{"stage": "retired", "window": "30d"}, 12, 12},
			{"one, by its label", map[string]any{"stage": "retired", "apikeys": []string{"nightly"}, "window": "30d"}, 5, 5},
			{"a stage that passes", map[string]any{"stage": "warn", "window": "30d"}, 12, 0},
			{"a stage that passes, with rules enforced", map[string]any{"stage": "observe", "enforce": "on"}, 5, 5},
			{"as it is", map[string]any{"stage": "inherit"}, 5, 0},
		} {
			w.run(t, tt.name, func(t *testing.T) {
				if d := w.ask(200, "POST", "/plan", tt.question); d.number("calls") != tt.calls || d.number("would_deny") != tt.denied {
					t.Errorf("of %d calls %d would be refused, want %d of %d", d.number("calls"), d.number("would_deny"), tt.denied, tt.calls)
				}
			})
		}
	})
	w.refused(400, "POST", "/plan", map[string]any{"stage": "gone"}, "upgrade_only")
	w.refused(400, "POST", "/plan", map[string]any{}, "stage")
	w.refused(400, "POST", "/plan", map[string]any{"stage": "retired", "window": "0d"}, "window")
	w.refused(400, "POST", "/plan", map[string]any{"stage": "retired", "enforce": "maybe"}, "shadow")
	w.refused(404, "POST", "/plan", map[string]any{"stage": "retired", "apikeys": []string{"ak_nobody"}}, "ak_nobody")
}

func TestAStageIsSetAndTakenBack(t *testing.T) {
	w := newWorld(t)
	a := w.apikey("some-key-0123456789-abcd", "nightly", "")
	w.apikey("some-key-0123456789-efgh", "", "")
	stage := func() string { return w.ask(200, "GET", "/apikeys/"+a, nil).text("stage") }

	w.unchanged(func() {
		if d := w.ask(200, "POST", "/stage?dry_run=true", map[string]any{"stage": "retired", "apikeys": []string{"nightly"}}); d.number("changed") != 1 {
			t.Errorf("the dry run says %v", d)
		}
	})
	w.ask(200, "POST", "/stage", map[string]any{"stage": "retired", "apikeys": []string{"nightly"}})
	if stage() != "retired" {
		t.Errorf("its stage is %s", stage())
	}
	if d := w.ask(200, "POST", "/stage", map[string]any{"stage": "warn", "all": true}); d.number("changed") != 1 || d.number("kept") != 1 {
		t.Errorf("setting all says %v, want one moved and one kept", d)
	}
	w.audited("stage.set")
	w.ask(200, "POST", "/stage", map[string]any{"stage": "inherit", "apikeys": []string{a}})
	if stage() != "warn" {
		t.Errorf("given back to all its stage is %s", stage())
	}
	for name, body := range map[string]map[string]any{
		"for nobody": {"stage": "warn"}, "for one and all": {"stage": "warn", "apikeys": []string{a}, "all": true},
		"a stage that is not known": {"stage": "gone", "all": true}, "blocked for all": {"stage": "blocked", "all": true},
		"inherit for all":        {"stage": "inherit", "all": true},
		"an end that has passed": {"stage": "warn", "all": true, "until": "2020-01-01"}, "an end that is no date": {"stage": "warn", "all": true, "until": "soon"},
	} {
		w.run(t, name, func(t *testing.T) { w.unchanged(func() { w.refused(400, "POST", "/stage", body) }) })
	}
	w.refused(404, "POST", "/stage", map[string]any{"stage": "warn", "apikeys": []string{"ak_nobody"}}, "ak_nobody")
}

func TestAStageOfTheFileIsReadOnlyHere(t *testing.T) {
	w := newWorldWith(t, plainConfig+"migration: {stage: warn}\n")
	id := w.apikey("some-key-0123456789-abcd", "", "")
	w.refused(409, "POST", "/stage", map[string]any{"stage": "observe", "all": true}, "declared_in_file", "migration.stage", "offkey.yaml:5")
	w.ask(200, "POST", "/stage", map[string]any{"stage": "retired", "apikeys": []string{id}})
}

func TestRoutesAreListedAsTheyAreTriedThenWhatWasSeen(t *testing.T) {
	w := newWorldWith(t, strings.Replace(plainConfig, "gateway:\n", "gateway:\n  routes: [{match: \"GET /health\", auth: none}, {match: \"GET /v1/**\", scopes: [read:all]}]\n", 1))
	id := w.apikey("some-key-0123456789-abcd", "", "")
	w.calls(id, 5, "POST", "/v1/orders", "header:X-API-Key", time.Hour)
	w.calls(id, 9, "GET", "/v2/users/{id}", "header:X-API-Key", time.Hour)
	w.calls(id, 2, "GET", "/v1/orders", "header:X-API-Key", time.Hour)
	w.ask(200, "PUT", "/routes", map[string]any{"match": "POST /v1/**", "scopes": []string{"create:all"}})
	w.ask(200, "PUT", "/routes", map[string]any{"match": "POST /v1/special", "scopes": []string{"create:special"}})

	d := w.ask(200, "GET", "/routes", nil)
	got := column(d.list("routes"), "match")
	want := "GET /health|GET /v1/**|POST /v1/special|POST /v1/**|GET /v2/users/{id}"
	if strings.Join(got, "|") != want {
		t.Errorf("routes are %v, want %s", got, want)
	}
	last := d.list("routes")[4]
	if last.text("source") != "observed" || strings.Join(last.texts("scopes"), " ") != "read:users" || last.number("calls") != 9 {
		t.Errorf("what was seen is %v", last)
	}
	if first := d.list("routes")[0]; first.text("auth") != "none" || first.text("source") != "file" {
		t.Errorf("the rule of the file is %v", first)
	}
	w.ask(200, "POST", "/routes/enforce", map[string]string{"enforce": "shadow"})
	w.ask(200, "POST", "/routes/enforce", map[string]string{"enforce": "on", "route": "POST /v1/special"})
	for _, r := range w.ask(200, "GET", "/routes", nil).list("routes") {
		own := r.text("match") == "POST /v1/special"
		if want := map[bool]string{true: "on", false: "shadow"}[own]; r.text("enforce") != want || (r["enforce_inherited"] == true) == own {
			t.Errorf("%s is enforced %s, inherited %v", r.text("match"), r.text("enforce"), r["enforce_inherited"])
		}
	}
	for query, want := range map[string]string{
		"source=file": "GET /health|GET /v1/**", "source=set": "POST /v1/special|POST /v1/**", "source=observed": "GET /v2/users/{id}",
		"sort=calls&limit=1": "GET /v2/users/{id}", "source=set&sort=match": "POST /v1/**|POST /v1/special", "limit=1": "GET /health",
	} {
		if got := strings.Join(column(w.ask(200, "GET", "/routes?"+query, nil).list("routes"), "match"), "|"); got != want {
			t.Errorf("%s lists %s, want %s", query, got, want)
		}
	}
	w.refused(400, "GET", "/routes?source=moon", nil, "observed")
}

func TestARouteIsSetReplacedAndRemoved(t *testing.T) {
	w := newWorld(t)
	set := func(status int, body map[string]any) document { return w.ask(status, "PUT", "/routes", body) }
	w.unchanged(func() {
		w.ask(200, "PUT", "/routes?dry_run=true", map[string]any{"match": "GET /v1/orders"})
	})
	set(200, map[string]any{"match": "GET /v1/orders/", "scopes": []string{"read:orders"}, "enforce": "shadow"})
	if d := set(200, map[string]any{"match": "GET /v1/orders", "scopes": []string{"read:all"}}); d.text("enforce") != "shadow" || d["enforce_inherited"] != nil {
		t.Errorf("its own enforcement is now %q, want it kept", d.text("enforce"))
	}
	w.audited("route.set")
	if got := w.ask(200, "GET", "/routes", nil).list("routes"); len(got) != 1 || strings.Join(got[0].texts("scopes"), " ") != "read:all" {
		t.Errorf("routes are %v, want the one replaced", got)
	}
	for name, body := range map[string]map[string]any{
		"no path": {"match": "GET"}, "a query": {"match": "GET /a?b"}, "a scope that is none": {"match": "GET /a", "scopes": []string{`"`}},
		"open and with scopes": {"match": "GET /a", "scopes": []string{"x"}, "auth": "none"}, "an auth that is not known": {"match": "GET /a", "auth": "maybe"},
		"an enforcement that is not known": {"match": "GET /a", "enforce": "maybe"},
	} {
		w.run(t, name, func(t *testing.T) {
			w.unchanged(func() { w.refused(400, "PUT", "/routes", body) })
		})
	}
	w.unchanged(func() { w.ask(200, "DELETE", "/routes?match=GET+/v1/orders&dry_run=true", nil) })
	w.ask(200, "DELETE", "/routes?match=GET+/v1/orders", nil)
	w.audited("route.unset")
	w.refused(404, "DELETE", "/routes?match=GET+/v1/orders", nil, "GET /v1/orders")
	w.refused(400, "DELETE", "/routes", nil, "route")
}

func TestARouteOfTheFileIsReadOnlyHereAndCoversOthers(t *testing.T) {
	w := newWorldWith(t, strings.Replace(plainConfig, "gateway:\n", "gateway:\n  enforce: shadow\n  routes: [{match: \"GET /v1/**\", scopes: [read:all]}]\n", 1))
	w.refused(409, "PUT", "/routes", map[string]any{"match": "GET /v1/**", "scopes": []string{"x"}}, "declared_in_file", "gateway.routes")
	w.refused(409, "DELETE", "/routes?match=GET+/v1/**", nil, "gateway.routes")
	w.refused(409, "POST", "/routes/enforce", map[string]string{"enforce": "on", "route": "GET /v1/**"}, "gateway.routes")
	w.refused(409, "POST", "/routes/enforce", map[string]string{"enforce": "on"}, "gateway.enforce", "offkey.yaml:3")
	d := w.ask(200, "PUT", "/routes", map[string]any{"match": "GET /v1/orders/{id}", "scopes": []string{"read:orders"}})
	if warnings := strings.Join(d.texts("warnings"), " "); !strings.Contains(warnings, "GET /v1/**") {
		t.Errorf("it is not said that the file decides before it: %q", warnings)
	}
	if d := w.ask(200, "PUT", "/routes", map[string]any{"match": "POST /v1/orders", "scopes": []string{"create:orders"}}); len(d.texts("warnings")) != 0 {
		t.Errorf("a route that nothing covers warns: %v", d.texts("warnings"))
	}
}

func TestEnforcementIsSetForAllForARouteAndForAClient(t *testing.T) {
	w := newWorld(t)
	w.ask(200, "PUT", "/routes", map[string]any{"match": "GET /v1/orders", "scopes": []string{"read:orders"}})
	c := w.client("billing", "client_secret_basic").text("client_id")
	decide := func() string {
		return w.ask(200, "POST", "/routes/test", map[string]any{"method": "GET", "path": "/v1/orders", "client": "billing", "scopes": []string{}}).text("decision")
	}
	set := func(body map[string]string) { w.ask(200, "POST", "/routes/enforce", body); w.audited("enforce.set") }
	for _, step := range []struct {
		body map[string]string
		want string
	}{
		{map[string]string{"enforce": "shadow"}, "allow"},
		{map[string]string{"enforce": "on"}, "deny"},
		{map[string]string{"enforce": "off", "client": "billing"}, "allow"},
		{map[string]string{"enforce": "inherit", "client": c}, "deny"},
		{map[string]string{"enforce": "off", "route": "GET /v1/orders"}, "allow"},
		{map[string]string{"enforce": "inherit", "route": "GET /v1/orders"}, "deny"},
		{map[string]string{"enforce": "off"}, "allow"},
	} {
		set(step.body)
		if got := decide(); got != step.want {
			t.Errorf("after %v a call without the scope is answered with %s, want %s", step.body, got, step.want)
		}
	}
	w.unchanged(func() {
		for _, body := range []map[string]string{{"enforce": "on"}, {"enforce": "on", "client": "billing"}, {"enforce": "on", "route": "GET /v1/orders"}} {
			w.ask(200, "POST", "/routes/enforce?dry_run=true", body)
		}
		w.refused(400, "POST", "/routes/enforce", map[string]string{"enforce": "inherit"}, "off, shadow or on")
		w.refused(400, "POST", "/routes/enforce", map[string]string{}, "missing")
		w.refused(400, "POST", "/routes/enforce", map[string]string{"enforce": "on", "client": "billing", "route": "GET /v1/orders"}, "leave one")
		w.refused(404, "POST", "/routes/enforce", map[string]string{"enforce": "on", "client": "nobody"}, "nobody")
		w.refused(404, "POST", "/routes/enforce", map[string]string{"enforce": "on", "route": "GET /v9"}, "routes set")
		w.refused(400, "POST", "/routes/enforce", map[string]string{"enforce": "on", "route": "v9"}, "starts with /")
	})
}

func TestTheListOfRoutesIsAFileOfRules(t *testing.T) {
	w := newWorld(t)
	id := w.apikey("some-key-0123456789-abcd", "", "")
	w.calls(id, 5, "GET", "/v2/users", "header:X-API-Key", time.Hour)
	w.ask(200, "PUT", "/routes", map[string]any{"match": "GET /health", "auth": "none"})
	w.ask(200, "PUT", "/routes", map[string]any{"match": "GET /v1/**", "scopes": []string{"read:all"}, "enforce": "on"})
	read, err := migration.ReadRoutes(strings.NewReader(mustJSON(t, w.ask(200, "GET", "/routes", nil))))
	if err != nil {
		t.Fatal(err)
	}
	rules := w.rules().Routes()
	if len(read) != len(rules) {
		t.Fatalf("%d rules are read, want %d", len(read), len(rules))
	}
	for i, r := range rules {
		if got := read[i]; got.Match() != r.Match() || !got.Scopes.Equal(r.Scopes) || got.Open != r.Open || got.Enforce != r.Enforce {
			t.Errorf("rule %d is read as %+v, want %+v", i, got, *r)
		}
	}
}
