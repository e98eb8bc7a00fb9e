package migration

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/offkey/offkey/internal/apikey"
	"github.com/offkey/offkey/internal/client"
	"github.com/offkey/offkey/internal/oauth"
	"github.com/offkey/offkey/internal/policy"
	"github.com/offkey/offkey/internal/traffic"
)

const day = 24 * time.Hour

func acme(w *world) {
	w.Helper()
	w.cohort(CohortChange{Name: "acme", Match: policy.Match{Owners: []string{"Acme"}}})
}

func (w *world) tend() {
	w.Helper()
	if err := w.Tend(w.ctx); err != nil {
		w.Fatal(err)
	}
}

// decided is the answer to a call with an apikey now.
func (w *world) decided(id string) string {
	w.Helper()
	d := w.ruleset().Decide(policy.OfAPIKey(w.key(id)), policy.Call{Method: "GET", Path: "/v1/orders", At: w.now()})
	return d.Code
}

func TestABrownoutRefusesWhoWasToldAndNobodyElse(t *testing.T) {
	w := newWorld(t)
	a, b := w.inUse("a", owner("Acme")), w.inUse("b", owner("Globex"))
	acme(w)
	order := BrownoutOrder{Cohort: "acme", For: 10 * time.Minute, Actor: "os:0"}
	if _, err := w.Brownout(w.ctx, order); !errors.Is(err, ErrNoBrownout) {
		t.Fatalf("nobody is in the stage: %v", err)
	}
	w.setStage(StageChange{Stage: apikey.Brownout, All: true})
	dry := order
	dry.DryRun = true
	res, err := w.Brownout(w.ctx, dry)
	if err != nil || res.APIKeys != 1 || res.Preview.WouldDeny != 1 || res.Preview.Callers[0].ID != a.ID || res.Expected != 1 || res.Preview.Callers[0].Reason != policy.CodeAPIKeyBrownout {
		t.Fatalf("%+v, %v", res, err)
	}
	if w.decided(a.ID) != policy.CodeNotEnforced {
		t.Error("a preview refuses")
	}
	if res, err = w.Brownout(w.ctx, order); err != nil || res.State != BrownoutRunning {
		t.Fatalf("%+v, %v", res, err)
	}
	if w.decided(a.ID) != policy.CodeAPIKeyBrownout || w.decided(b.ID) != policy.CodeNotEnforced {
		t.Error("it refuses the wrong ones")
	}
	w.pass(time.Minute)
	if list, err := w.CancelBrownout(w.ctx, res.ID, "support", "os:0", false); err != nil || len(list) != 1 || w.decided(a.ID) != policy.CodeNotEnforced {
		t.Errorf("%v, %v", list, err)
	}
	if _, err := w.CancelBrownout(w.ctx, res.ID, "", "os:0", false); !errors.Is(err, ErrNoWindow) {
		t.Error(err)
	}
	order.From = w.now().Add(time.Hour)
	if res, err = w.Brownout(w.ctx, order); err != nil || res.State != BrownoutPlanned {
		t.Fatal(err)
	}
	w.pass(time.Hour + time.Second)
	if w.tend(); w.decided(a.ID) != policy.CodeAPIKeyBrownout {
		t.Error("it did not begin")
	}
	w.pass(10 * time.Minute)
	if w.tend(); w.decided(a.ID) != policy.CodeNotEnforced {
		t.Error("it did not end")
	}
	for _, action := range []string{"brownout.began", "brownout.cancelled", "brownout.scheduled", "brownout.ended"} {
		if !slices.Contains(w.audited(), action) {
			t.Errorf("%s is not in the audit: %v", action, w.audited())
		}
	}
	for name, o := range map[string]BrownoutOrder{
		"no length": {}, "8 days": {For: 8 * day}, "the past": {For: time.Minute, From: w.now().Add(-time.Minute)}, "no such cohort": {For: time.Minute, Cohort: "x"},
	} {
		if _, err := w.Brownout(w.ctx, o); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
}

func TestACalendarMovesPausesAndGoesOn(t *testing.T) {
	w := newWorld(t)
	a, b := w.learnt("a", owner("Acme")), w.learnt("b", owner("Globex"))
	acme(w)
	for stage, at := range map[apikey.Stage]time.Duration{apikey.Warn: day, apikey.UpgradeOnly: 5 * day, apikey.Retired: 9 * day} {
		w.setStage(StageChange{Stage: stage, Cohort: "acme", At: noon.Add(at)})
	}
	w.setStage(StageChange{Stage: apikey.Warn, All: true, At: noon.Add(2 * day)})
	w.pass(2 * day)
	w.tend()
	s, err := w.db.Settings(w.ctx)
	if err != nil || s.Stage != apikey.Warn || !s.StageSince.Equal(noon.Add(2*day)) {
		t.Errorf("an older release would not see the stage of all: %+v, %v", s, err)
	}
	if n := len(slices.DeleteFunc(w.audited(), func(action string) bool { return action != "campaign.step" })); n != 2 {
		t.Errorf("%d steps in the audit", n)
	}
	w.tend()
	if n := len(slices.DeleteFunc(w.audited(), func(action string) bool { return action != "campaign.step" })); n != 2 {
		t.Errorf("again: %d steps in the audit", n)
	}
	w.pass(3*day + time.Hour)
	if w.stageOf(a.ID) != apikey.UpgradeOnly {
		t.Fatal(w.stageOf(a.ID))
	}
	w.tend()
	// stopped, with what came today
	dry, err := w.Pause(w.ctx, PauseOrder{Back: day, DryRun: true})
	if err != nil || dry.Changed != 1 || w.stageOf(a.ID) != apikey.UpgradeOnly {
		t.Errorf("%+v, %v", dry, err)
	}
	if _, err := w.Pause(w.ctx, PauseOrder{Back: day, Actor: "os:0", Reason: "support"}); err != nil || w.stageOf(a.ID) != apikey.Warn {
		t.Fatal(err, w.stageOf(a.ID))
	}
	if _, err := w.Pause(w.ctx, PauseOrder{}); !errors.Is(err, ErrPaused) {
		t.Error(err)
	}
	w.pass(10 * day)
	if w.tend(); w.stageOf(a.ID) != apikey.Warn || w.stageOf(b.ID) != apikey.Warn {
		t.Error("it went on while paused")
	}
	c, err := w.Calendar(w.ctx)
	if err != nil || c.Pause == nil || c.Pause.Reason != "support" {
		t.Errorf("%+v, %v", c, err)
	}
	res, err := w.Resume(w.ctx, PauseOrder{Actor: "os:0"})
	if err != nil || res.Pause != nil || len(res.Dropped) != 1 || len(res.Moved) != 1 || res.Changed != 0 || w.stageOf(a.ID) != apikey.Warn {
		t.Fatalf("%+v, %v", res, err)
	}
	if !res.Moved[0].At.Equal(noon.Add(19 * day)) {
		t.Errorf("moved to %s", res.Moved[0].At)
	}
	if _, err := w.Resume(w.ctx, PauseOrder{}); !errors.Is(err, ErrNotPaused) {
		t.Error(err)
	}
	step, err := w.CancelStep(w.ctx, res.Moved[0].ID, "os:0", false)
	if err != nil || step.Stage != apikey.Retired {
		t.Errorf("%+v, %v", step, err)
	}
	if _, err := w.CancelStep(w.ctx, step.ID, "os:0", false); !errors.Is(err, ErrNoStep) {
		t.Error(err)
	}
	w.pass(10 * day)
	if w.stageOf(a.ID) != apikey.Warn {
		t.Error("the cancelled step came")
	}
}

func TestAPauseTakesTheStageOfAllBackAndAResumeKeepsItThere(t *testing.T) {
	w := newWorld(t)
	k := w.learnt("a")
	w.setStage(StageChange{Stage: apikey.Warn, All: true})
	w.pass(10 * day)
	w.setStage(StageChange{Stage: apikey.Retired, All: true})
	w.pass(time.Hour)
	if _, err := w.Pause(w.ctx, PauseOrder{Back: day}); err != nil || w.stageOf(k.ID) != apikey.Warn {
		t.Fatal(err, w.stageOf(k.ID))
	}
	w.pass(time.Hour)
	if _, err := w.Resume(w.ctx, PauseOrder{}); err != nil || w.stageOf(k.ID) != apikey.Warn {
		t.Fatal(err, w.stageOf(k.ID))
	}
}

func TestGuardsPauseACampaignAndTellTheOperators(t *testing.T) {
	for _, tt := range []struct {
		name, guard string
		rows        func(w *world, id string) []traffic.Row
		paused      bool
	}{
		{"a share of calls", "refused > 1% of calls", func(w *world, id string) []traffic.Row {
			return []traffic.Row{seen(id, "GET", "/x", 2, at(w.now()), denied(policy.CodeAPIKeyRetired)), seen("other", "GET", "/x", 98, at(w.now()))}
		}, true},
		{"too small a share", "refused > 2% of calls", func(w *world, id string) []traffic.Row {
			return []traffic.Row{seen(id, "GET", "/x", 2, at(w.now()), denied(policy.CodeAPIKeyRetired)), seen("other", "GET", "/x", 98, at(w.now()))}
		}, false},
		{"a share of too few calls", "refused > 1% of calls", func(w *world, id string) []traffic.Row {
			return []traffic.Row{seen(id, "GET", "/x", 5, at(w.now()), denied(policy.CodeAPIKeyRetired))}
		}, false},
		{"calls of one owner", "refused > 4 of owner", func(w *world, id string) []traffic.Row {
			return []traffic.Row{seen(id, "GET", "/x", 5, at(w.now()), denied(policy.CodeAPIKeyRetired))}
		}, true},
		{"calls of one apikey, long ago", "refused > 4 of apikey in 1m", func(w *world, id string) []traffic.Row {
			return []traffic.Row{seen(id, "GET", "/x", 5, at(w.now().Add(-3*time.Minute)), denied(policy.CodeAPIKeyRetired))}
		}, false},
		{"errors of the API", "errors > 10% of calls", func(w *world, id string) []traffic.Row {
			return []traffic.Row{seen(id, "GET", "/x", 50, at(w.now()), status(502))}
		}, true},
		{"what is counted in shadow", "would_deny > 9", func(w *world, id string) []traffic.Row {
			return []traffic.Row{seen(id, "GET", "/x", 10, at(w.now()), outcome("shadow:insufficient_scope"))}
		}, true},
		{"made-up apikeys stop nothing", "refused > 4", func(w *world, _ string) []traffic.Row {
			return []traffic.Row{seen("", "GET", "/x", 500, at(w.now()), kind(traffic.KindUnknown), denied(policy.CodeAPIKeyUnknown))}
		}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			var told string
			w.Alarm = func(_ context.Context, subject, text string) { told = subject + "\n" + text }
			w.Road.APIKey = func(id string) *apikey.Key { k, _ := w.db.APIKey(w.ctx, id); return k }
			k := w.learnt("a", owner("Acme"))
			w.setStage(StageChange{Stage: apikey.Retired, All: true})
			w.pass(time.Minute)
			if _, err := w.SetGuards(w.ctx, []string{tt.guard}, "os:0"); err != nil {
				t.Fatal(err)
			}
			w.Count(tt.rows(w, k.ID))
			w.tend()
			rules := w.ruleset()
			if rules.Paused() != tt.paused || strings.Contains(told, tt.guard) != tt.paused {
				t.Fatalf("paused %v, told %q, live %+v", rules.Paused(), told, w.Live())
			}
			if !tt.paused {
				return
			}
			if w.stageOf(k.ID) != apikey.Observe {
				t.Error("what came within the day is not taken back")
			}
			if _, err := w.Resume(w.ctx, PauseOrder{}); err != nil {
				t.Fatal(err)
			}
			if w.tend(); w.ruleset().Paused() {
				t.Error("the same calls pause it again")
			}
		})
	}
}

func TestWhoWasRetiredLongAgoStopsNothing(t *testing.T) {
	w := newWorld(t)
	w.Road.APIKey = func(id string) *apikey.Key { k, _ := w.db.APIKey(w.ctx, id); return k }
	k := w.learnt("a", owner("Acme"))
	w.setStage(StageChange{Stage: apikey.Retired, All: true})
	if _, err := w.SetGuards(w.ctx, []string{"refused > 0"}, "os:0"); err != nil {
		t.Fatal(err)
	}
	w.pass(25 * time.Hour)
	w.Count([]traffic.Row{seen(k.ID, "GET", "/x", 500, at(w.now()), denied(policy.CodeAPIKeyRetired))})
	if w.tend(); w.ruleset().Paused() {
		t.Error("paused")
	}
}

func TestParseGuard(t *testing.T) {
	for _, bad := range []string{"", "refused", "refused > -1", "refused > 1 of clients", "calls > 1", "refused > 1 in 2h", "refused > 1 in 0m", "refused > 1% of owner", "refused > 1; drop"} {
		if g, err := parseGuard(bad); err == nil {
			t.Errorf("%q is %+v", bad, g)
		}
	}
	g, err := parseGuard("  refused  >  0.1%   of calls  in 10m ")
	if err != nil || g.text != "refused > 0.1% of calls in 10m" || g.limit != 0.1 || g.within != 10*time.Minute || g.per != "calls" {
		t.Errorf("%+v, %v", g, err)
	}
}

func FuzzParseGuard(f *testing.F) {
	f.Add("refused > 0.1% of calls in 10m")
	f.Fuzz(func(t *testing.T, text string) {
		g, err := parseGuard(text)
		if err != nil {
			return
		}
		again, err := parseGuard(g.text)
		if err != nil || again != g {
			t.Errorf("%q: %+v, then %+v, %v", text, g, again, err)
		}
	})
}

func TestNewAPIKeysAreRefusedAfterTheFreeze(t *testing.T) {
	w := newWorld(t)
	old := w.learnt("old")
	if err := w.Freeze(w.ctx, noon.Add(day), "os:0"); err != nil {
		t.Fatal(err)
	}
	w.pass(2 * day)
	fresh := w.inUse("fresh")
	if w.decided(fresh.ID) != policy.CodeNotEnforced {
		t.Error("in observe nothing is refused")
	}
	w.setStage(StageChange{Stage: apikey.Warn, All: true})
	if w.decided(fresh.ID) != policy.CodeAPIKeyNew || w.decided(old.ID) != policy.CodeNotEnforced {
		t.Errorf("%s, %s", w.decided(fresh.ID), w.decided(old.ID))
	}
	p, err := w.Plan(w.ctx, PlanRequest{At: w.now()})
	if err != nil || p.WouldDeny != 1 || p.Callers[0].Reason != policy.CodeAPIKeyNew {
		t.Errorf("%+v, %v", p, err)
	}
	if w.register("fresh").Status != client.Active {
		t.Error("the upgrade is closed to it")
	}
	w.move(fresh.ID, apikey.Warn)
	if w.decided(fresh.ID) != policy.CodeNotEnforced {
		t.Error("an operator's word does not count")
	}
	if err := w.Freeze(w.ctx, time.Time{}, "os:0"); err != nil || !w.ruleset().Freeze.IsZero() {
		t.Error(err)
	}
}

func TestAHolderExtendsOnce(t *testing.T) {
	w := newWorld(t)
	k := w.inUse(value)
	extend := func(reason string) error { _, err := w.ExtendHeld(w.ctx, value, reason); return err }
	if err := extend("release in May"); err == nil || !strings.Contains(err.Error(), "grants no extensions") {
		t.Errorf("not let: %v", err)
	}
	if err := w.SetSelfExtension(w.ctx, 30*day, "os:0"); err != nil {
		t.Fatal(err)
	}
	w.setStage(StageChange{Stage: apikey.Retired, All: true, At: noon.Add(5 * day)})
	if err := extend(""); err == nil {
		t.Error("without a reason")
	}
	h, err := w.ExtendHeld(w.ctx, value, "release in May")
	if err != nil || h.Until == nil || !h.Until.Equal(noon.Add(35*day)) {
		t.Fatalf("%+v, %v", h, err)
	}
	var refused *oauth.Error
	if err := extend("again"); !errors.As(err, &refused) || refused.Code != oauth.CodeAccessDenied {
		t.Errorf("twice: %v", err)
	}
	if list, err := w.Exceptions(w.ctx); err != nil || len(list) != 1 || list[0].Owner != "Acme" || list[0].Reason != "release in May" || list[0].ID != k.ID {
		t.Errorf("%+v, %v", list, err)
	}
	w.pass(34 * day)
	if w.stageOf(k.ID) != apikey.Warn {
		t.Error(w.stageOf(k.ID))
	}
	w.pass(day)
	if w.stageOf(k.ID) != apikey.Retired {
		t.Error(w.stageOf(k.ID))
	}
	if err := extend("once more"); err == nil {
		t.Error("after its end")
	}
}

func TestExtendingIsRaced(t *testing.T) {
	w := newWorld(t)
	w.inUse(value)
	if err := w.SetSelfExtension(w.ctx, day, "os:0"); err != nil {
		t.Fatal(err)
	}
	const many = 64
	won := make(chan bool, many)
	for range many {
		go func() { _, err := w.ExtendHeld(w.ctx, value, "x"); won <- err == nil }()
	}
	n := 0
	for range many {
		if <-won {
			n++
		}
	}
	if n != 1 {
		t.Errorf("%d of %d were granted", n, many)
	}
}

func TestAClientIsWidenedForATime(t *testing.T) {
	w := newWorld(t, route(t, "GET /v1/orders/**", "read:orders"), route(t, "POST /v1/orders", "create:orders"))
	w.inUse(value)
	c := w.register(value)
	widen := func(o WidenOrder) (WidenResult, error) {
		o.ClientID, o.Actor, o.Reason = c.ID, "os:0", "invoice run"
		return w.Widen(w.ctx, o)
	}
	scopes := func() string {
		c, err := w.db.Client(w.ctx, c.ID)
		if err != nil {
			t.Fatal(err)
		}
		return c.Scopes.String()
	}
	if _, err := widen(WidenOrder{For: day}); !errors.Is(err, ErrNothingToGive) {
		t.Errorf("never refused: %v", err)
	}
	w.calls(seen(c.ID, "POST", "/v1/orders", 3, kind(traffic.KindClient), status(403), denied(policy.CodeInsufficientScope), at(w.now().Add(-time.Minute))))
	if res, err := widen(WidenOrder{For: day, DryRun: true}); err != nil || res.Refused != 3 || res.Scopes.String() != "create:orders" || scopes() != "read:orders" {
		t.Fatalf("%+v, %v", res, err)
	}
	if _, err := widen(WidenOrder{For: day}); err != nil || scopes() != "create:orders read:orders" && scopes() != "read:orders create:orders" {
		t.Fatal(err, scopes())
	}
	if _, err := widen(WidenOrder{For: 2 * day, Scopes: oauth.Scope{"admin"}}); err != nil {
		t.Fatal(err)
	}
	if list, err := w.Exceptions(w.ctx); err != nil || len(list) != 2 || fmt.Sprint(list[0].Scopes) != "[create:orders]" {
		t.Errorf("%+v, %v", list, err)
	}
	w.pass(day)
	if w.tend(); strings.Contains(scopes(), "create:orders") || !strings.Contains(scopes(), "admin") {
		t.Error(scopes())
	}
	w.pass(day)
	if w.tend(); scopes() != "read:orders" || len(w.ruleset().Widened) != 0 {
		t.Error(scopes())
	}
	if _, err := widen(WidenOrder{For: day, Scopes: oauth.Scope{"admin"}}); err != nil {
		t.Fatal(err)
	}
	if err := w.KeepScopes(w.ctx, c.ID, "os:0"); err != nil || len(w.ruleset().Widened) != 0 {
		t.Error(err)
	}
	w.pass(2 * day)
	if w.tend(); scopes() != "read:orders admin" {
		t.Errorf("what an operator has said is taken back: %s", scopes())
	}
	for name, o := range map[string]WidenOrder{"for too long": {For: 91 * day}, "for nothing": {}} {
		if _, err := widen(o); !errors.Is(err, ErrWidenLength) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestQuietOnesThatCallAgainLeaveTheirCohort(t *testing.T) {
	w := newWorld(t)
	sleeps, wakes := w.learnt("sleeps"), w.learnt("wakes")
	w.pass(40 * day)
	w.cohort(CohortChange{Name: "quiet", Unused: w.now().Add(-30 * day)})
	w.setStage(StageChange{Stage: apikey.Warn, Cohort: "quiet"})
	w.pass(time.Hour)
	w.calls(seen(wakes.ID, "GET", "/v1/orders", 1, at(w.now())))
	w.pass(time.Hour)
	if w.tend(); w.key(wakes.ID).Cohort != "" || w.key(sleeps.ID).Cohort != "quiet" {
		t.Errorf("%q %q", w.key(wakes.ID).Cohort, w.key(sleeps.ID).Cohort)
	}
	w.setStage(StageChange{Stage: apikey.Retired, Cohort: "quiet"})
	w.pass(time.Hour)
	w.calls(seen(sleeps.ID, "GET", "/v1/orders", 1, at(w.now()), denied(policy.CodeAPIKeyRetired)))
	w.pass(time.Hour)
	if w.tend(); w.stageOf(sleeps.ID) != apikey.Retired {
		t.Error("knocking revives what is retired")
	}
}

func denied(code string) func(*traffic.Row) {
	return func(r *traffic.Row) { r.Outcome, r.Status = "denied:"+code, 401 }
}
