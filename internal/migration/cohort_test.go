package migration

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/offkey/offkey/internal/apikey"
	"github.com/offkey/offkey/internal/policy"
)

func owner(name string) func(*apikey.Key) { return func(k *apikey.Key) { k.Owner = name } }

// cohort makes one that must be made.
func (w *world) cohort(c CohortChange) CohortResult {
	w.Helper()
	res, err := w.SetCohort(w.ctx, c)
	if err != nil {
		w.Fatal(err)
	}
	return res
}

// set moves apikeys that must be moved.
func (w *world) setStage(c StageChange) StageResult {
	w.Helper()
	res, err := w.SetStage(w.ctx, c)
	if err != nil {
		w.Fatal(err)
	}
	return res
}

func (w *world) stageOf(id string) apikey.Stage {
	w.Helper()
	return w.ruleset().StageOf(w.key(id), w.now())
}

func TestACohortMovesTogetherAndBack(t *testing.T) {
	w := newWorld(t)
	a, b, c := w.learnt("a", owner("Acme")), w.learnt("b", owner("Acme")), w.learnt("c", owner("Globex"))
	own := w.learnt("own", owner("Acme"), func(k *apikey.Key) { k.Stage = apikey.Warn })
	if res := w.cohort(CohortChange{Name: "acme", Match: policy.Match{Owners: []string{"Acme"}}, DryRun: true}); res.APIKeys != 3 || len(w.ruleset().Campaign.Cohorts) != 0 {
		t.Errorf("%+v", res)
	}
	w.cohort(CohortChange{Name: "acme", Match: policy.Match{Owners: []string{"Acme"}}, Actor: "os:0"})
	if res := w.setStage(StageChange{Stage: apikey.UpgradeOnly, Cohort: "acme", DryRun: true}); res.Changed != 2 || res.Kept != 1 || w.stageOf(a.ID) != apikey.Observe {
		t.Errorf("%+v", res)
	}
	w.setStage(StageChange{Stage: apikey.UpgradeOnly, Cohort: "acme", Actor: "os:0"})
	for id, want := range map[string]apikey.Stage{a.ID: apikey.UpgradeOnly, b.ID: apikey.UpgradeOnly, c.ID: apikey.Observe, own.ID: apikey.Warn} {
		if got := w.stageOf(id); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	w.pass(time.Minute)
	if res := w.setStage(StageChange{Stage: apikey.Inherit, Cohort: "acme"}); res.Changed != 2 || w.stageOf(a.ID) != apikey.Observe {
		t.Errorf("back: %+v", res)
	}
	d, err := w.Show(w.ctx, own.ID)
	if err != nil || d.Cohort != "acme" || d.StageBy != policy.ByAPIKey {
		t.Errorf("%+v, %v", d.Item, err)
	}
	list, err := w.Cohorts(w.ctx)
	if err != nil || len(list) != 1 || list[0].APIKeys != 3 || list[0].Stages["warn"] != 1 {
		t.Errorf("%+v, %v", list, err)
	}
}

func TestAStepComesAtItsDateByItself(t *testing.T) {
	w := newWorld(t)
	a, b := w.learnt("a", owner("Acme")), w.learnt("b", owner("Globex"))
	w.cohort(CohortChange{Name: "acme", Match: policy.Match{Owners: []string{"Acme"}}})
	if res := w.setStage(StageChange{Stage: apikey.Retired, Cohort: "acme", At: noon.Add(48 * time.Hour)}); res.Changed != 1 || res.At == nil {
		t.Errorf("%+v", res)
	}
	w.setStage(StageChange{Stage: apikey.Warn, All: true, At: noon.Add(24 * time.Hour)})
	if w.stageOf(a.ID) != apikey.Observe {
		t.Error("it came too soon")
	}
	w.pass(24 * time.Hour)
	if w.stageOf(a.ID) != apikey.Warn || w.stageOf(b.ID) != apikey.Warn {
		t.Error("the step of all did not come")
	}
	w.pass(24 * time.Hour)
	if w.stageOf(a.ID) != apikey.Retired || w.stageOf(b.ID) != apikey.Warn {
		t.Error("the step of the cohort did not come")
	}
	if a := w.audited(); !slices.Contains(a, "stage.planned") || !slices.Contains(a, "cohort.set") {
		t.Errorf("audited %v", a)
	}
}

func TestACohortByWhatItsAPIKeysDid(t *testing.T) {
	w := newWorld(t)
	admin, quiet := w.inUse("admin"), w.learnt("quiet")
	w.calls(seen(admin.ID, "GET", "/v1/admin/users", 3, at(w.now().Add(-time.Hour))))
	w.pass(40 * 24 * time.Hour)
	busy := w.inUse("busy")
	w.calls(seen(admin.ID, "GET", "/v1/admin/users", 3, at(w.now().Add(-time.Hour))))
	if res := w.cohort(CohortChange{Name: "quiet", Unused: w.now().Add(-30 * 24 * time.Hour)}); res.APIKeys != 1 {
		t.Errorf("%+v", res)
	}
	if w.key(quiet.ID).Cohort != "quiet" || w.key(busy.ID).Cohort != "" {
		t.Error("the wrong ones are quiet")
	}
	if res := w.cohort(CohortChange{Name: "admin", Routes: []policy.Route{route(t, "GET /v1/admin/**")}, Before: "quiet"}); res.APIKeys != 1 || w.key(admin.ID).Cohort != "admin" {
		t.Errorf("%+v", res)
	}
	if names := w.ruleset().Campaign.Cohorts; names[0].Name != "admin" {
		t.Errorf("%+v", names)
	}
	w.setStage(StageChange{Stage: apikey.Retired, Cohort: "quiet"})
	if w.stageOf(quiet.ID) != apikey.Retired || w.stageOf(busy.ID) != apikey.Observe {
		t.Error("not the quiet ones were retired")
	}
	// chosen anew: those that are not meant any more leave
	if res := w.cohort(CohortChange{Name: "quiet", IDs: []string{busy.ID}}); res.APIKeys != 1 || res.Moved != 2 || w.key(quiet.ID).Cohort != "" {
		t.Errorf("%+v", res)
	}
	res, err := w.DeleteCohort(w.ctx, "quiet", "os:0", false)
	if err != nil || res.Moved != 1 || w.key(busy.ID).Cohort != "" || w.stageOf(busy.ID) != apikey.Observe || len(w.ruleset().Steps) != 0 {
		t.Errorf("%+v, %v", res, err)
	}
	if _, err := w.DeleteCohort(w.ctx, "quiet", "os:0", false); !errors.Is(err, policy.ErrNoCohort) {
		t.Error(err)
	}
}

func TestPlanOfACohortIsWhatSettingItDoes(t *testing.T) {
	w := newWorld(t)
	a, b := w.inUse("a", owner("Acme")), w.inUse("b", owner("Globex"))
	w.learnt("silent", owner("Acme"))
	w.cohort(CohortChange{Name: "acme", Match: policy.Match{Owners: []string{"Acme"}}})
	p, err := w.Plan(w.ctx, PlanRequest{Stage: apikey.Retired, Cohort: "acme"})
	if err != nil || p.Calls != 1 || p.WouldDeny != 1 || p.Callers[0].ID != a.ID || p.APIKeys.Refused != 1 {
		t.Fatalf("%+v, %v", p, err)
	}
	if !slices.Contains(p.NotCovered, "1 of 2 apikeys, which made no call") {
		t.Errorf("%q", p.NotCovered)
	}
	w.setStage(StageChange{Stage: apikey.Retired, Cohort: "acme", At: noon.Add(24 * time.Hour)})
	for at, want := range map[time.Time]int64{noon: 0, noon.Add(25 * time.Hour): 1} {
		if p, err := w.Plan(w.ctx, PlanRequest{At: at}); err != nil || p.Calls != 2 || p.WouldDeny != want {
			t.Errorf("at %s: %+v, %v", at, p, err)
		}
	}
	if p, err := w.Plan(w.ctx, PlanRequest{Stage: apikey.Retired, Share: 10_000}); err != nil || p.WouldDeny != 2 {
		t.Errorf("%+v, %v", p, err)
	}
	if _, err := w.Plan(w.ctx, PlanRequest{Stage: apikey.Retired, Cohort: "none"}); !errors.Is(err, policy.ErrNoCohort) {
		t.Error(err)
	}
	drafted, err := w.Plan(w.ctx, PlanRequest{Enforce: policy.On, Routes: []policy.Route{route(t, "GET /v1/other")}})
	if err != nil || drafted.WouldDeny != 2 || drafted.Callers[0].Reason != policy.CodeUnknownRoute {
		t.Errorf("%+v, %v", drafted, err)
	}
	_ = b
}

func TestStageChangesOfManyThatAreRefused(t *testing.T) {
	w := newWorld(t)
	a := w.learnt("a", owner("Acme"))
	w.cohort(CohortChange{Name: "acme", Match: policy.Match{Owners: []string{"Acme"}}})
	for name, tt := range map[string]struct {
		c    StageChange
		want error
	}{
		"a cohort that is not there":    {StageChange{Stage: apikey.Warn, Cohort: "none"}, policy.ErrNoCohort},
		"a cohort and all":              {StageChange{Stage: apikey.Warn, Cohort: "acme", All: true}, ErrNoTarget},
		"a cohort and an apikey":        {StageChange{Stage: apikey.Warn, Cohort: "acme", IDs: []string{a.ID}}, ErrNoTarget},
		"a blocked cohort":              {StageChange{Stage: apikey.Blocked, Cohort: "acme"}, ErrStageOfAll},
		"a share that inherits":         {StageChange{Stage: apikey.Inherit, Share: 500}, ErrStageOfAll},
		"a date for one apikey":         {StageChange{Stage: apikey.Warn, IDs: []string{a.ID}, At: noon.Add(time.Hour)}, ErrDateOfOne},
		"a date that has passed":        {StageChange{Stage: apikey.Warn, Cohort: "acme", At: noon}, ErrPast},
		"an end that is no step":        {StageChange{Stage: apikey.Warn, Cohort: "acme", Until: noon.Add(time.Hour)}, ErrUntilOfCohort},
		"more steps than there is room": {StageChange{Stage: apikey.Warn, Cohort: "acme", At: noon.Add(time.Hour)}, ErrFullCalendar},
	} {
		t.Run(name, func(t *testing.T) {
			if tt.want == ErrFullCalendar {
				if _, err := w.db.UpdateSettings(w.ctx, func(s *policy.Settings) error {
					s.Steps = slices.Repeat([]policy.Step{{Stage: apikey.Warn, At: noon.Add(time.Hour), Set: noon}}, policy.MaxSteps)
					return nil
				}, did()); err != nil {
					t.Fatal(err)
				}
				defer func() {
					if _, err := w.db.UpdateSettings(w.ctx, func(s *policy.Settings) error { s.Steps = nil; return nil }, did()); err != nil {
						t.Fatal(err)
					}
				}()
			}
			if _, err := w.SetStage(w.ctx, tt.c); !errors.Is(err, tt.want) {
				t.Errorf("%v, want %v", err, tt.want)
			}
		})
	}
}
