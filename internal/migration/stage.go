package migration

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/offkey/offkey/internal/apikey"
	"github.com/offkey/offkey/internal/audit"
	"github.com/offkey/offkey/internal/policy"
)

// StageChange moves apikeys along the road, or back: those named, or a cohort, or
// all, or a share of a cohort or of all.
type StageChange struct {
	Stage  apikey.Stage
	IDs    []string // the apikeys, or
	Cohort string   // that cohort, or
	All    bool     // all that have no stage of their own
	Share  policy.Share
	At     time.Time // when, of a cohort or of all; zero is now
	Until  time.Time
	Since  time.Time // of a leak, for Blocked: what was made with the apikeys since goes too
	Actor  string
	Reason string // for the audit, may be empty
	DryRun bool
}

// StageResult says what a StageChange did, or with DryRun would do.
type StageResult struct {
	Stage    apikey.Stage `json:"stage"`
	Cohort   string       `json:"cohort,omitempty"`
	Share    policy.Share `json:"share,omitzero"`
	At       *time.Time   `json:"at,omitempty"` // where it is not now
	Changed  int          `json:"changed"`      // apikeys for which another stage holds
	Kept     int          `json:"kept"`         // apikeys that stay where they were
	Disabled []string     `json:"disabled_clients,omitempty"`
	DryRun   bool         `json:"dry_run,omitempty"`
}

// What SetStage can find wrong with a StageChange.
var (
	ErrNoTarget      = errors.New("say for which apikeys: by id, for a cohort, for a share or for all")
	ErrStageDeclared = errors.New("the configuration file sets the stage of all: change migration.stage there and reload, or take it out")
	ErrStageOfAll    = errors.New("this stage is for single apikeys")
	ErrDateOfOne     = errors.New("a date is for cohorts, shares and all: put the apikeys into a cohort")
	ErrUntilOfCohort = errors.New("the end of a cohort is a step of the calendar: set upgrade_only or retired for it, with a date")
	ErrPast          = errors.New("the date has passed")
	ErrFullCalendar  = errors.New("the calendar is full: cancel steps that are no longer wanted")
)

// stageSet is what the audit says about a StageChange.
type stageSet struct {
	Stage   apikey.Stage  `json:"stage"`
	Before  *apikey.Stage `json:"before,omitempty"`
	APIKeys []string      `json:"apikeys,omitempty"`
	Cohort  string        `json:"cohort,omitempty"`
	Share   policy.Share  `json:"share,omitzero"`
	At      time.Time     `json:"at,omitzero"`
	Until   time.Time     `json:"until,omitzero"`
	Since   time.Time     `json:"since,omitzero"`
	Reason  string        `json:"reason,omitempty"`
	Changed int           `json:"changed,omitempty"`
	Kept    int           `json:"kept,omitempty"`
}

// stageChunk is how many apikeys are moved in one transaction.
const stageChunk = 1000

// SetStage moves apikeys to a stage. It takes effect with the answer, or at the
// moment that is set, and so does the way back. Retiring and blocking end what
// the apikeys were exchanged for; blocking also disables the clients that were
// made with them since Since.
func (r *Road) SetStage(ctx context.Context, c StageChange) (StageResult, error) {
	together := c.All || c.Cohort != "" || c.Share != 0
	switch {
	case together == (len(c.IDs) > 0), c.All && (c.Cohort != "" || c.Share != 0):
		return StageResult{}, ErrNoTarget
	case together:
		return r.setStageTogether(ctx, c)
	case !c.At.IsZero():
		return StageResult{}, ErrDateOfOne
	}
	slices.Sort(c.IDs)
	return r.setStageOf(ctx, c, slices.Compact(c.IDs))
}

// setStageTogether moves a cohort, or all, or a share.
func (r *Road) setStageTogether(ctx context.Context, c StageChange) (StageResult, error) {
	now := r.Now()
	if err := r.checkTogether(c, now); err != nil {
		return StageResult{}, err
	}
	rules := r.Rules()
	res := StageResult{Stage: c.Stage, Cohort: c.Cohort, Share: c.Share, At: instant(c.At), DryRun: c.DryRun}
	before, _ := rules.StageOfAll(now)
	change := func(s *policy.Settings) error { return applyStage(s, c, now) }
	if err := r.countMoved(ctx, rules, change, c, &res); err != nil || c.DryRun {
		return res, err
	}
	detail := stageSet{Stage: c.Stage, Cohort: c.Cohort, Share: c.Share, At: c.At, Until: c.Until, Reason: c.Reason, Changed: res.Changed, Kept: res.Kept}
	if c.All {
		detail.Before = &before
	}
	action := "stage.set"
	if !c.At.IsZero() {
		action = "stage.planned"
	}
	_, err := r.Store.UpdateSettings(ctx, change, audit.Event{Actor: c.Actor, Action: action, Object: targetName(c.Cohort, c.Share), Detail: detail})
	return res, err
}

func (r *Road) checkTogether(c StageChange, now time.Time) error {
	switch {
	case c.Stage == apikey.Inherit && c.Cohort == "":
		return fmt.Errorf("inherit: %w", ErrStageOfAll)
	case c.Stage == apikey.Blocked:
		return fmt.Errorf("blocked, after a leak: %w; retired refuses all", ErrStageOfAll)
	case c.Cohort == "" && r.StageDeclared != nil && r.StageDeclared():
		return ErrStageDeclared
	case !c.Until.IsZero() && !c.All:
		return ErrUntilOfCohort
	case !c.At.IsZero() && !c.At.After(now):
		return ErrPast
	case c.Cohort != "" && r.Rules().Campaign.Cohort(c.Cohort) == nil:
		return fmt.Errorf("%s: %w", c.Cohort, policy.ErrNoCohort)
	}
	return nil
}

// targetName is what a step or a window is about, in words.
func targetName(cohort string, share policy.Share) string {
	name := "all"
	if cohort != "" {
		name = "cohort " + cohort
	}
	if share != 0 {
		name = share.String() + " of " + name
	}
	return name
}

// applyStage changes the settings as c wants. The stage of all has a place of its
// own; everything else is a step.
func applyStage(s *policy.Settings, c StageChange, now time.Time) error {
	if c.Cohort != "" && s.Campaign.Cohort(c.Cohort) == nil { // deleted meanwhile
		return fmt.Errorf("%s: %w", c.Cohort, policy.ErrNoCohort)
	}
	if c.All && c.At.IsZero() {
		setBase(s, c.Stage, now)
		s.StageUntil = untilOf(c, s.StageUntil)
		return trimSteps(s)
	}
	step := policy.Step{Cohort: c.Cohort, Share: c.Share, Stage: c.Stage, At: c.At, Set: now}
	if step.ID = "st_" + shortID(); c.At.IsZero() {
		step.ID, step.At, step.Done = "", now, true
	}
	if c.All && !c.Until.IsZero() {
		s.StageUntil = c.Until
	}
	s.Steps = append(s.Steps, step)
	return trimSteps(s)
}

// setBase makes a stage that of all, and keeps the one before for the way back.
// Setting it again begins nothing anew, unless steps have moved all or some of
// them since.
func setBase(s *policy.Settings, stage apikey.Stage, at time.Time) {
	moved := slices.ContainsFunc(s.Steps, func(step policy.Step) bool {
		return step.Cohort == "" && !step.At.After(at) && !step.At.Before(s.StageSince)
	})
	if s.Stage == stage && !moved && !s.Paused() { // a pause may have taken it back
		return
	}
	if s.Stage != apikey.Inherit {
		s.Steps = append(s.Steps, policy.Step{Stage: s.Stage, At: s.StageSince, Set: s.StageSince, Done: true})
	}
	s.Stage, s.StageSince = stage, at
}

// trimSteps forgets the oldest steps that were taken, where there are too many.
func trimSteps(s *policy.Settings) error {
	for len(s.Steps) > policy.MaxSteps {
		i := slices.IndexFunc(s.Steps, func(step policy.Step) bool { return step.Done && superseded(s, step) })
		if i < 0 {
			return ErrFullCalendar
		}
		s.Steps = slices.Delete(s.Steps, i, i+1)
	}
	return nil
}

// superseded reports whether a later step that was taken holds in place of one.
func superseded(s *policy.Settings, old policy.Step) bool {
	if old.Cohort == "" && s.StageSince.After(old.At) {
		return true
	}
	return slices.ContainsFunc(s.Steps, func(step policy.Step) bool {
		return step.Done && step.Cohort == old.Cohort && step.At.After(old.At) && (step.Share == 0 || old.Share != 0 && step.Share >= old.Share)
	})
}

// countMoved counts the apikeys that a change moves, of those that it is about.
func (r *Road) countMoved(ctx context.Context, rules *policy.Ruleset, change func(*policy.Settings) error, c StageChange, res *StageResult) error {
	at := c.At
	if at.IsZero() {
		at = r.Now()
	}
	after, err := r.changed(ctx, rules, change)
	if err != nil {
		return err
	}
	return r.eachAPIKey(ctx, func(k *apikey.Key) error {
		switch {
		case rules.StageOf(k, at) != after.StageOf(k, at):
			res.Changed++
		case rules.InCohort(k, c.Cohort, c.Share):
			res.Kept++
		}
		return nil
	})
}

// changed is rules as they would be with changed settings. What the file declares
// stays.
func (r *Road) changed(ctx context.Context, rules *policy.Ruleset, change func(*policy.Settings) error) (*policy.Ruleset, error) {
	settings, err := r.Store.Settings(ctx)
	if err != nil {
		return nil, err
	}
	if err := change(&settings); err != nil {
		return nil, err
	}
	return rules.With(func(rs *policy.Ruleset) {
		declared := r.StageDeclared != nil && r.StageDeclared()
		after := settings.Ruleset()
		if !declared {
			rs.Stage, rs.Since, rs.Until = after.Stage, after.Since, after.Until
		}
		rs.Campaign = after.Campaign
	}), nil
}

// untilOf is the announced end after a change: what it says, else what was said
// before, which going back to observe takes back.
func untilOf(c StageChange, before time.Time) time.Time {
	switch {
	case !c.Until.IsZero():
		return c.Until
	case c.Stage == apikey.Observe || c.Stage == apikey.Inherit:
		return time.Time{}
	}
	return before
}

func (r *Road) setStageOf(ctx context.Context, c StageChange, ids []string) (StageResult, error) {
	res := StageResult{Stage: c.Stage, DryRun: c.DryRun}
	keys, err := r.apikeysOf(ctx, ids)
	if err != nil {
		return res, err
	}
	var move []string
	for _, k := range keys {
		if k.Stage == c.Stage && (c.Until.IsZero() || c.Until.Equal(k.Until)) {
			res.Kept++
			continue
		}
		res.Changed++
		move = append(move, k.ID)
	}
	if c.DryRun {
		return res, nil
	}
	for chunk := range slices.Chunk(move, stageChunk) {
		if err := r.move(ctx, c, chunk, &res); err != nil {
			return res, err
		}
	}
	return res, nil
}

// apikeysOf reads apikeys by id; each must be there.
func (r *Road) apikeysOf(ctx context.Context, ids []string) ([]*apikey.Key, error) {
	keys := make([]*apikey.Key, 0, len(ids))
	for _, id := range ids {
		k, err := r.Store.APIKey(ctx, id)
		if err != nil {
			return nil, err
		}
		keys = append(keys, k)
	}
	return keys, nil
}

func (r *Road) move(ctx context.Context, c StageChange, ids []string, res *StageResult) error {
	if c.Stage == apikey.Blocked {
		for _, id := range ids {
			stopped, err := r.Store.ContainAPIKey(ctx, id, c.Since, audit.Event{
				Actor: c.Actor, Action: "apikey.blocked", Object: id, Detail: stageSet{Stage: c.Stage, Since: c.Since, Reason: c.Reason},
			})
			if err != nil {
				return err
			}
			res.Disabled = append(res.Disabled, stopped.Clients...)
		}
		return nil
	}
	now := r.Now()
	detail := stageSet{Stage: c.Stage, APIKeys: ids, Until: c.Until, Reason: c.Reason}
	object := ids[0]
	if len(ids) > 1 {
		object = fmt.Sprintf("%d apikeys", len(ids))
	}
	_, err := r.Store.UpdateAPIKeys(ctx, ids, func(k *apikey.Key) error {
		if k.Stage != c.Stage {
			k.Stage, k.StageSince = c.Stage, now
		}
		k.Until = untilOf(c, k.Until)
		k.Revoked = time.Time{}
		if c.Stage == apikey.Retired {
			k.Revoked = now
		}
		return nil
	}, audit.Event{Actor: c.Actor, Action: "apikey.stage_set", Object: object, Detail: detail})
	return err
}
