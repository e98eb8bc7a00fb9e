package migration

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/offkey/offkey/internal/apikey"
	"github.com/offkey/offkey/internal/audit"
	"github.com/offkey/offkey/internal/policy"
)

// Calendar is what comes, and what came, as `stage calendar` prints it.
type Calendar struct {
	Pause         *policy.Pause     `json:"pause"`
	Steps         []policy.Step     `json:"steps"` // those to come first, then the latest that came
	Brownouts     []BrownoutItem    `json:"brownouts"`
	Freeze        *time.Time        `json:"freeze_new"`
	Guards        []string          `json:"stop_if"`
	SelfExtension string            `json:"self_extension"` // how long, "" for not at all
	Live          LiveCounts        `json:"live"`
	Exceptions    int               `json:"exceptions"`
	Widened       []policy.Widening `json:"widened"`
}

// stepsShown is how many steps that came are shown.
const stepsShown = 30

// Calendar says what comes.
func (r *Road) Calendar(ctx context.Context) (Calendar, error) {
	rules, now := r.Rules(), r.Now()
	c := Calendar{
		Steps: []policy.Step{}, Freeze: instant(rules.Freeze), Guards: append([]string{}, rules.Guards...),
		Live: r.Live(), Widened: append([]policy.Widening{}, rules.Widened...),
	}
	if rules.Paused() {
		c.Pause = &rules.Pause
	}
	if rules.SelfExtension > 0 {
		c.SelfExtension = (time.Duration(rules.SelfExtension) * time.Second).String()
	}
	var err error
	if c.Brownouts, err = r.Brownouts(ctx); err != nil {
		return c, err
	}
	exceptions, err := r.Exceptions(ctx)
	if err != nil {
		return c, err
	}
	c.Exceptions = len(exceptions)
	var came []policy.Step
	for _, s := range rules.Steps {
		if s.At.After(now) {
			c.Steps = append(c.Steps, s)
		} else {
			came = append(came, s)
		}
	}
	slices.SortStableFunc(c.Steps, func(a, b policy.Step) int { return a.At.Compare(b.At) })
	slices.SortStableFunc(came, func(a, b policy.Step) int { return b.At.Compare(a.At) })
	c.Steps = append(c.Steps, came[:min(len(came), stepsShown)]...)
	return c, nil
}

// What can be wrong with a change of the calendar.
var (
	ErrNoStep    = errors.New("no such step that is still to come")
	ErrNotPaused = errors.New("the campaign is not paused")
)

// CancelStep takes a step that is to come out of the calendar.
func (r *Road) CancelStep(ctx context.Context, id, actor string, dryRun bool) (step policy.Step, err error) {
	change := func(s *policy.Settings) error {
		at := slices.IndexFunc(s.Steps, func(step policy.Step) bool { return step.ID == id && id != "" && step.At.After(r.Now()) })
		if at < 0 {
			return ErrNoStep
		}
		step = s.Steps[at]
		s.Steps = slices.Delete(slices.Clone(s.Steps), at, at+1)
		return nil
	}
	if dryRun {
		_, err = r.changed(ctx, r.Rules(), change)
		return step, err
	}
	_, err = r.Store.UpdateSettings(ctx, change, audit.Event{Actor: actor, Action: "stage.cancelled", Object: id, Detail: map[string]string{"step": id}})
	return step, err
}

// PauseOrder stops the campaign, or lets it go on.
type PauseOrder struct {
	Back      time.Duration // for a pause: what came so lately is taken back too
	AsPlanned bool          // for the way on: steps keep their dates, and those that were due come at once
	Reason    string
	Actor     string
	DryRun    bool
}

// PauseResult says what a pause, or its end, changes.
type PauseResult struct {
	Pause   *policy.Pause `json:"pause"` // null: the campaign goes on
	Changed int           `json:"changed"`
	// Dropped are the steps that the pause took back: set them anew if they are
	// wanted. Moved are those with another date now.
	Dropped []policy.Step `json:"dropped"`
	Moved   []policy.Step `json:"moved"`
	DryRun  bool          `json:"dry_run,omitempty"`
}

// Pause stops the campaign within the second: no planned step comes, no brownout
// refuses anybody, and what came within Back is taken back.
func (r *Road) Pause(ctx context.Context, o PauseOrder) (PauseResult, error) {
	now := r.Now()
	res := PauseResult{Dropped: []policy.Step{}, Moved: []policy.Step{}, DryRun: o.DryRun}
	pause := policy.Pause{At: now, Back: now.Add(-max(o.Back, 0)), By: o.Actor, Reason: o.Reason}
	return r.changePause(ctx, res, o, "campaign.paused", func(s *policy.Settings, res *PauseResult) error {
		if s.Paused() {
			return ErrPaused
		}
		s.Pause = pause
		s.Windows = slices.Clone(s.Windows)
		for i := range s.Windows {
			if w := &s.Windows[i]; stateOf(*w, now) == BrownoutRunning {
				w.To, w.Ended = now, true
			}
		}
		res.Pause = &pause
		return nil
	})
}

// Resume lets the campaign go on. Steps that were to come move on by the days
// that the pause lasted, and by one more where they would be due at once; those that the pause took back, and brownouts that it kept
// from beginning, are forgotten.
func (r *Road) Resume(ctx context.Context, o PauseOrder) (PauseResult, error) {
	res := PauseResult{Dropped: []policy.Step{}, Moved: []policy.Step{}, DryRun: o.DryRun}
	return r.changePause(ctx, res, o, "campaign.resumed", func(s *policy.Settings, res *PauseResult) error {
		if !s.Paused() {
			return ErrNotPaused
		}
		res.Dropped, res.Moved = []policy.Step{}, []policy.Step{}
		resume(s, res, r.Now(), o.AsPlanned)
		return nil
	})
}

func (r *Road) changePause(ctx context.Context, res PauseResult, o PauseOrder, action string, change func(*policy.Settings, *PauseResult) error) (PauseResult, error) {
	rules, now := r.Rules(), r.Now()
	apply := func(s *policy.Settings) error { return change(s, &res) }
	after, err := r.changed(ctx, rules, apply)
	if err != nil {
		return res, err
	}
	if err := r.eachAPIKey(ctx, func(k *apikey.Key) error {
		if rules.StageOf(k, now) != after.StageOf(k, now) {
			res.Changed++
		}
		return nil
	}); err != nil || o.DryRun {
		return res, err
	}
	_, err = r.Store.UpdateSettings(ctx, apply, audit.Event{Actor: o.Actor, Action: action, Object: "campaign", Detail: struct {
		Reason  string `json:"reason,omitempty"`
		Back    string `json:"back,omitempty"`
		Changed int    `json:"changed"`
	}{o.Reason, lengthWords(o.Back), res.Changed}})
	return res, err
}

func lengthWords(d time.Duration) string {
	if d == 0 {
		return ""
	}
	return d.String()
}

// wholeDay keeps the time of day of what is moved.
const wholeDay = 24 * time.Hour

// resume ends a pause in the settings.
func resume(s *policy.Settings, res *PauseResult, now time.Time, asPlanned bool) {
	pause, lasted := s.Pause, now.Sub(s.Pause.At)
	steps := s.Steps
	s.Steps = nil
	for _, step := range steps {
		switch {
		case !step.At.After(pause.Back) || !step.Planned() && !step.Set.Before(pause.At):
		case !step.At.After(pause.At): // taken back by the pause
			res.Dropped = append(res.Dropped, step)
			continue
		case !asPlanned && step.Set.Before(pause.At):
			at := step.At.Add(lasted.Truncate(wholeDay))
			if !at.After(now) {
				at = at.Add(wholeDay)
			}
			if !at.Equal(step.At) {
				step.At = at
				res.Moved = append(res.Moved, step)
			}
		}
		s.Steps = append(s.Steps, step)
	}
	if s.StageSince.After(pause.Back) && s.StageSince.Before(pause.At) {
		res.Dropped = append(res.Dropped, policy.Step{Stage: s.Stage, At: s.StageSince, Set: s.StageSince, Done: true})
		dropBase(s)
	}
	s.Windows = slices.DeleteFunc(slices.Clone(s.Windows), func(w policy.Window) bool { return !w.Began && !w.From.After(now) })
	s.Pause = policy.Pause{}
}

// dropBase makes the stage of all the one before, of the steps that are left.
func dropBase(s *policy.Settings) {
	base := policy.Step{Stage: apikey.Observe}
	for _, step := range s.Steps {
		if step.Cohort == "" && step.Share == 0 && step.Done && !step.At.Before(base.At) {
			base = step
		}
	}
	s.Stage, s.StageSince = base.Stage, base.At
}

// Freeze says from when on apikeys that come up are refused; zero is not at all.
func (r *Road) Freeze(ctx context.Context, from time.Time, actor string) error {
	action := "campaign.freeze"
	if from.IsZero() {
		action = "campaign.unfrozen"
	}
	_, err := r.Store.UpdateSettings(ctx, func(s *policy.Settings) error {
		s.Freeze = from
		return nil
	}, audit.Event{Actor: actor, Action: action, Object: "apikeys", Detail: map[string]any{"from": instant(from)}})
	return err
}
