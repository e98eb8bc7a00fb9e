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

// Tend does what a campaign needs somebody for: steps and windows that came are
// written into the audit, what was given for a time is taken back, and guards
// are asked. Which stage holds does not wait for it: Decide judges the moment.
func (r *Road) Tend(ctx context.Context) error {
	r.tending.Lock()
	defer r.tending.Unlock()
	return errors.Join(r.tendSteps(ctx), r.tendWindows(ctx), r.tendQuiet(ctx), r.tendWidened(ctx), r.watch(ctx), r.tendTelling(ctx))
}

// system is who acts for the calendar.
const system = "system"

func (r *Road) tendSteps(ctx context.Context) error {
	rules, now := r.Rules(), r.Now()
	due := func(s policy.Step) bool { return !s.Done && !s.At.After(now) }
	if rules.Paused() || !slices.ContainsFunc(rules.Steps, due) {
		return nil
	}
	steps := slices.Clone(rules.Steps)
	slices.SortStableFunc(steps, func(a, b policy.Step) int { return a.At.Compare(b.At) })
	for _, step := range steps {
		if !due(step) {
			continue
		}
		if err := r.take(ctx, step); err != nil && !errors.Is(err, errTaken) {
			return err
		}
	}
	return nil
}

func sameStep(a, b policy.Step) bool {
	return a.Cohort == b.Cohort && a.Share == b.Share && a.Stage == b.Stage && a.At.Equal(b.At) && a.ID == b.ID && a.Done == b.Done
}

var errTaken = errors.New("the step was taken, moved or cancelled meanwhile")

// take notes that a step came. One of all becomes the stage of all, which a
// release without a calendar understands too.
func (r *Road) take(ctx context.Context, step policy.Step) error {
	rules, moved := r.Rules(), 0
	if err := r.eachAPIKey(ctx, func(k *apikey.Key) error {
		if rules.StageOf(k, step.At) != rules.StageOf(k, step.At.Add(-time.Microsecond)) {
			moved++
		}
		return nil
	}); err != nil {
		return err
	}
	_, err := r.Store.UpdateSettings(ctx, func(s *policy.Settings) error {
		at := slices.IndexFunc(s.Steps, func(have policy.Step) bool { return sameStep(have, step) })
		if at < 0 || s.Paused() {
			return errTaken
		}
		s.Steps = slices.Clone(s.Steps)
		s.Steps[at].Done = true
		declared := r.StageDeclared != nil && r.StageDeclared()
		if step.Cohort == "" && step.Share == 0 && !declared && !step.At.Before(s.StageSince) {
			if s.Stage != apikey.Inherit {
				s.Steps = append(s.Steps, policy.Step{Stage: s.Stage, At: s.StageSince, Set: s.StageSince, Done: true})
			}
			s.Stage, s.StageSince = step.Stage, step.At
		}
		return trimSteps(s)
	}, audit.Event{Actor: system, Action: "campaign.step", Object: targetName(step.Cohort, step.Share), Detail: stageSet{
		Stage: step.Stage, Cohort: step.Cohort, Share: step.Share, At: step.At, Changed: moved,
	}})
	return err
}

// tendWindows notes that windows began and ended.
func (r *Road) tendWindows(ctx context.Context) error {
	rules, now := r.Rules(), r.Now()
	for _, w := range rules.Windows {
		var action string
		switch {
		case w.ID == "":
			continue
		case !w.Ended && !now.Before(w.To):
			action = "brownout.ended"
		case !w.Began && !now.Before(w.From) && !rules.Paused():
			action = "brownout.began"
		default:
			continue
		}
		if _, err := r.Store.UpdateSettings(ctx, func(s *policy.Settings) error {
			s.Windows = slices.Clone(s.Windows)
			for i := range s.Windows {
				if have := &s.Windows[i]; have.ID == w.ID {
					have.Began, have.Ended = true, have.Ended || action == "brownout.ended"
				}
			}
			return nil
		}, audit.Event{Actor: system, Action: action, Object: targetName(w.Cohort, w.Share), Detail: w}); err != nil {
			return err
		}
	}
	return nil
}

// quietEvery is how often quiet cohorts are looked through.
const quietEvery = time.Minute

// tendQuiet lets apikeys leave a cohort that they were put into for their
// silence, once they call again and as long as that passes.
func (r *Road) tendQuiet(ctx context.Context) error {
	rules, now := r.Rules(), r.Now()
	quiet := map[string]time.Time{}
	for _, c := range rules.Campaign.Cohorts {
		if c.Match.Quiet {
			quiet[c.Name] = c.Created
		}
	}
	if len(quiet) == 0 || now.Sub(r.quietSeen).Abs() < quietEvery {
		return nil
	}
	r.quietSeen = now
	var members []*apikey.Key
	if err := r.eachAPIKey(ctx, func(k *apikey.Key) error {
		if _, ok := quiet[k.Cohort]; ok && rules.StageOf(k, now).Passes() {
			members = append(members, k)
		}
		return nil
	}); err != nil {
		return err
	}
	uses, err := r.Store.APIKeyUses(ctx, idsOf(members))
	if err != nil {
		return err
	}
	var leave []string
	for _, k := range members {
		if uses[k.ID].Last.After(quiet[k.Cohort]) {
			leave = append(leave, k.ID)
		}
	}
	return r.assign(ctx, leave, "", system)
}
