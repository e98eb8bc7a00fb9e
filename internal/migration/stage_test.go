package migration

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/offkey/offkey/internal/apikey"
	"github.com/offkey/offkey/internal/client"
	"github.com/offkey/offkey/internal/policy"
	"github.com/offkey/offkey/internal/token"
)

func TestSetStageOfSome(t *testing.T) {
	w := newWorld(t)
	a, b, c := w.learnt("a"), w.learnt("b"), w.learnt("c")
	res, err := w.SetStage(w.ctx, StageChange{Stage: apikey.Warn, IDs: []string{b.ID, a.ID, a.ID}, Until: noon.Add(30 * 24 * time.Hour), Actor: "os:0", Reason: "spring"})
	if err != nil || res.Changed != 2 || res.Kept != 0 || res.Stage != apikey.Warn {
		t.Fatalf("%+v, %v", res, err)
	}
	for id, want := range map[string]apikey.Stage{a.ID: apikey.Warn, b.ID: apikey.Warn, c.ID: apikey.Inherit} {
		if k := w.key(id); k.Stage != want || (want == apikey.Warn) != k.StageSince.Equal(noon) || k.Until.IsZero() != (want == apikey.Inherit) {
			t.Errorf("%+v", k)
		}
	}
	w.pass(time.Hour)
	if res = w.move(a.ID, apikey.Warn); res.Changed != 0 || res.Kept != 1 || !w.key(a.ID).StageSince.Equal(noon) {
		t.Errorf("again: %+v", res)
	}
	if res = w.move(a.ID, apikey.Retired); res.Changed != 1 || !w.key(a.ID).Revoked.Equal(w.now()) || w.key(a.ID).Until.IsZero() {
		t.Errorf("%+v, %+v", res, w.key(a.ID))
	}
	if w.move(a.ID, apikey.Observe); !w.key(a.ID).Revoked.IsZero() || !w.key(a.ID).Until.IsZero() {
		t.Errorf("the way back left %+v", w.key(a.ID))
	}
	if w.move(a.ID, apikey.Inherit); w.key(a.ID).Stage != apikey.Inherit {
		t.Errorf("%+v", w.key(a.ID))
	}
}

func TestSetStageOfSomeChangesAllOrNothing(t *testing.T) {
	w := newWorld(t)
	a := w.learnt("a")
	_, err := w.SetStage(w.ctx, StageChange{Stage: apikey.Retired, IDs: []string{a.ID, "ak_none"}})
	if !errors.Is(err, apikey.ErrNotFound) || w.key(a.ID).Stage != apikey.Inherit {
		t.Errorf("error %v, %v", err, w.key(a.ID).Stage)
	}
}

func TestSetStageOfAllLeavesThoseWithAStageOfTheirOwn(t *testing.T) {
	w := newWorld(t)
	for i := range 3 {
		w.learnt(fmt.Sprint("follows", i))
	}
	own := w.learnt("own", func(k *apikey.Key) { k.Stage = apikey.Warn })
	until := noon.Add(time.Hour)
	res, err := w.SetStage(w.ctx, StageChange{Stage: apikey.UpgradeOnly, All: true, Until: until, Actor: "os:0"})
	if err != nil || res.Changed != 3 || res.Kept != 1 {
		t.Fatalf("%+v, %v", res, err)
	}
	s, err := w.db.Settings(w.ctx)
	if err != nil || s.Stage != apikey.UpgradeOnly || !s.StageSince.Equal(noon) || !s.StageUntil.Equal(until) {
		t.Errorf("%+v, %v", s, err)
	}
	if rs := w.ruleset(); rs.StageOf(own, noon) != apikey.Warn || rs.StageOf(nil, noon) != apikey.UpgradeOnly {
		t.Errorf("%+v", rs)
	}
	// back, at once
	if res = w.moveAll(apikey.Observe); res.Changed != 3 || w.ruleset().Stage != apikey.Observe {
		t.Errorf("%+v", res)
	}
	if s, _ = w.db.Settings(w.ctx); !s.StageUntil.IsZero() {
		t.Errorf("the end is still announced: %+v", s)
	}
	if a := w.audited(); !slices.Contains(a, "stage.set") {
		t.Errorf("audited %v", a)
	}
}

func TestADryRunChangesNothing(t *testing.T) {
	w := newWorld(t)
	a := w.learnt("a")
	before := len(w.audited())
	for _, c := range []StageChange{
		{Stage: apikey.Retired, All: true, DryRun: true}, {Stage: apikey.Retired, IDs: []string{a.ID}, DryRun: true}, {Stage: apikey.Blocked, IDs: []string{a.ID}, DryRun: true},
	} {
		res, err := w.SetStage(w.ctx, c)
		if err != nil || res.Changed != 1 || !res.DryRun {
			t.Errorf("%+v, %v", res, err)
		}
	}
	if w.key(a.ID).Stage != apikey.Inherit || w.ruleset().Stage != apikey.Observe || len(w.audited()) != before {
		t.Error("something changed")
	}
}

func TestStageChangesThatAreRefused(t *testing.T) {
	w := newWorld(t)
	a := w.learnt("a")
	tests := []struct {
		name   string
		change StageChange
		want   error
	}{
		{"for nobody", StageChange{Stage: apikey.Warn}, ErrNoTarget},
		{"for some and for all", StageChange{Stage: apikey.Warn, IDs: []string{a.ID}, All: true}, ErrNoTarget},
		{"all inherit", StageChange{Stage: apikey.Inherit, All: true}, ErrStageOfAll},
		{"all blocked", StageChange{Stage: apikey.Blocked, All: true}, ErrStageOfAll},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := w.SetStage(w.ctx, tt.change); !errors.Is(err, tt.want) {
				t.Errorf("error %v", err)
			}
		})
	}
	t.Run("the file says", func(t *testing.T) {
		w.StageDeclared = func() bool { return true }
		if _, err := w.SetStage(w.ctx, StageChange{Stage: apikey.Warn, All: true}); !errors.Is(err, ErrStageDeclared) {
			t.Errorf("error %v", err)
		}
		if _, err := w.SetStage(w.ctx, StageChange{Stage: apikey.Warn, IDs: []string{a.ID}}); err != nil {
			t.Errorf("a single apikey: %v", err)
		}
	})
}

func TestRetiringAnAPIKeyEndsWhatItWasExchangedFor(t *testing.T) {
	for _, stage := range []apikey.Stage{apikey.Retired, apikey.Blocked} {
		t.Run(stage.String(), func(t *testing.T) {
			w := newWorld(t)
			k := w.inUse(value)
			exchanged, err := w.Exchange(w.ctx, value, nil, "")
			if err != nil {
				t.Fatal(err)
			}
			w.move(k.ID, stage)
			rows, err := w.db.Revocations(w.ctx, w.now())
			if err != nil {
				t.Fatal(err)
			}
			var revoked token.Revocations
			revoked.Add(rows...)
			if !revoked.Revoked(token.Claims{APIKeyID: exchanged.APIKeyID, ClientID: exchanged.Client.ID, IssuedAt: noon}) {
				t.Errorf("its token is good: %+v", rows)
			}
		})
	}
	t.Run("with all the others", func(t *testing.T) { // no row for each: the gateway asks policy about the apikey
		w := newWorld(t)
		w.inUse(value)
		a, err := w.Exchange(w.ctx, value, nil, "")
		if err != nil {
			t.Fatal(err)
		}
		w.moveAll(apikey.Retired)
		p := policy.OfExchangedToken(a.Client.ID, a.Scope, w.key(a.APIKeyID))
		if d := w.ruleset().Decide(p, policy.Call{Method: "GET", Path: "/v1/orders", At: noon}); d.Allow || d.Code != policy.CodeInvalidToken {
			t.Errorf("%+v", d)
		}
	})
}

func TestBlockingStopsWhatWasMadeSinceTheLeak(t *testing.T) {
	tests := []struct {
		name     string
		since    time.Duration // before now; 0 is not said
		disabled int
	}{
		{"since before the client", 2 * time.Hour, 1},
		{"since after the client", 30 * time.Minute, 0},
		{"since nobody knows when", 0, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			k := w.inUse(value)
			c := w.register(value)
			w.pass(time.Hour)
			change := StageChange{Stage: apikey.Blocked, IDs: []string{k.ID}, Actor: "os:0"}
			if tt.since > 0 {
				change.Since = w.now().Add(-tt.since)
			}
			res, err := w.SetStage(w.ctx, change)
			if err != nil || res.Changed != 1 || len(res.Disabled) != tt.disabled {
				t.Fatalf("%+v, %v", res, err)
			}
			stored, err := w.db.Client(w.ctx, c.ID)
			if err != nil || (stored.Status == client.Disabled) != (tt.disabled == 1) || w.key(k.ID).Stage != apikey.Blocked {
				t.Errorf("%+v, %v", stored, err)
			}
		})
	}
}

func TestManyAPIKeysAreMovedInParts(t *testing.T) {
	w := newWorld(t)
	values := make([]string, stageChunk+5)
	for i := range values {
		values[i] = fmt.Sprintf("live_%016d", i)
	}
	w.imported(values...)
	var ids []string
	if err := w.eachAPIKey(w.ctx, func(k *apikey.Key) error { ids = append(ids, k.ID); return nil }); err != nil {
		t.Fatal(err)
	}
	res, err := w.SetStage(w.ctx, StageChange{Stage: apikey.Warn, IDs: ids, Actor: "os:0"})
	if err != nil || res.Changed != len(values) || w.key(ids[len(ids)-1]).Stage != apikey.Warn {
		t.Errorf("%+v, %v", res, err)
	}
}
