package migration

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/offkey/offkey/internal/apikey"
	"github.com/offkey/offkey/internal/audit"
	"github.com/offkey/offkey/internal/policy"
)

// BrownoutOrder asks for a window in which apikeys in stage brownout are refused.
type BrownoutOrder struct {
	Cohort string       // "" is all
	Share  policy.Share // of them
	From   time.Time    // zero is now
	For    time.Duration
	Reason string
	Actor  string
	DryRun bool
}

// BrownoutItem is a window and what it does.
type BrownoutItem struct {
	policy.Window
	State   string `json:"state"`   // planned, running, over
	APIKeys int    `json:"apikeys"` // in stage brownout when it begins, and in it
}

// BrownoutResult says what a window will do, or with DryRun would.
type BrownoutResult struct {
	BrownoutItem
	// Expected is how many calls it refuses if they come as evenly as in the days
	// of Preview, which says whose.
	Expected int64 `json:"expected"`
	Preview  Plan  `json:"preview"`
	DryRun   bool  `json:"dry_run,omitempty"`
}

// The states of a window.
const (
	BrownoutPlanned = "planned"
	BrownoutRunning = "running"
	BrownoutOver    = "over"
)

// longestBrownout bounds a window: what is refused for longer is a stage.
const longestBrownout = 7 * 24 * time.Hour

// keepWindows is how long windows that are over are listed.
const keepWindows = 90 * 24 * time.Hour

// What can be wrong with a brownout.
var (
	ErrBrownoutLength = errors.New("a brownout lasts from a second to 7 days")
	ErrNoBrownout     = errors.New("no apikey of it is in stage brownout then, so that it would refuse nobody")
	ErrNoWindow       = errors.New("no such brownout that is planned or runs")
	ErrManyWindows    = fmt.Errorf("%d brownouts are planned already", policy.MaxWindows)
	ErrPaused         = errors.New("the campaign is paused")
)

// Brownout plans a window, or begins one.
func (r *Road) Brownout(ctx context.Context, o BrownoutOrder) (BrownoutResult, error) {
	now := r.Now()
	if o.From.IsZero() {
		o.From = now
	}
	w := policy.Window{
		ID: "br_" + shortID(), Cohort: o.Cohort, Share: o.Share, From: o.From.UTC().Truncate(time.Microsecond), Reason: o.Reason,
	}
	w.To = w.From.Add(o.For)
	res := BrownoutResult{BrownoutItem: BrownoutItem{Window: w}, DryRun: o.DryRun}
	rules := r.Rules()
	switch {
	case o.For < time.Second || o.For > longestBrownout:
		return res, ErrBrownoutLength
	case o.From.Before(now):
		return res, ErrPast
	case o.Cohort != "" && rules.Campaign.Cohort(o.Cohort) == nil:
		return res, fmt.Errorf("%s: %w", o.Cohort, policy.ErrNoCohort)
	case rules.Paused() && !o.DryRun:
		return res, ErrPaused
	}
	var err error
	if res.APIKeys, err = r.inBrownout(ctx, rules, w); err != nil {
		return res, err
	}
	if res.APIKeys == 0 {
		return res, ErrNoBrownout
	}
	if res.Preview, err = r.Plan(ctx, PlanRequest{Cohort: o.Cohort, Share: o.Share, At: w.From, window: &w}); err != nil {
		return res, err
	}
	res.State = stateOf(w, now)
	res.Expected = expected(res.Preview, o.For)
	if o.DryRun {
		return res, nil
	}
	action := "brownout.scheduled"
	if w.Began = !w.From.After(now); w.Began {
		action = "brownout.began"
	}
	res.Window = w
	_, err = r.Store.UpdateSettings(ctx, func(s *policy.Settings) error { return addWindow(s, w, now) },
		audit.Event{Actor: o.Actor, Action: action, Object: targetName(w.Cohort, w.Share), Detail: w})
	return res, err
}

func addWindow(s *policy.Settings, w policy.Window, now time.Time) error {
	s.Windows = slices.DeleteFunc(slices.Clone(s.Windows), func(old policy.Window) bool { return now.Sub(old.To) > keepWindows })
	if len(s.Windows) >= policy.MaxWindows {
		return ErrManyWindows
	}
	s.Windows = append(s.Windows, w)
	return nil
}

// shortID tells things of a campaign apart.
func shortID() string { return strings.ToLower(rand.Text()[:8]) }

// inBrownout counts the apikeys that a window refuses when it begins.
func (r *Road) inBrownout(ctx context.Context, rules *policy.Ruleset, w policy.Window) (n int, err error) {
	err = r.eachAPIKey(ctx, func(k *apikey.Key) error {
		if rules.InCohort(k, w.Cohort, w.Share) && rules.StageOf(k, w.From) == apikey.Brownout {
			n++
		}
		return nil
	})
	return n, err
}

// expected is how many of the calls that were recorded fall into a time of that
// length.
func expected(p Plan, length time.Duration) int64 {
	days := p.Window.To.Sub(p.Window.From)
	if days <= 0 || p.WouldDeny == 0 {
		return 0
	}
	return max(int64(float64(p.WouldDeny)*float64(length)/float64(days)), 1)
}

func stateOf(w policy.Window, now time.Time) string {
	switch {
	case now.Before(w.From):
		return BrownoutPlanned
	case now.Before(w.To):
		return BrownoutRunning
	}
	return BrownoutOver
}

// Brownouts lists the windows, the next first.
func (r *Road) Brownouts(ctx context.Context) ([]BrownoutItem, error) {
	rules, now := r.Rules(), r.Now()
	items := []BrownoutItem{}
	for _, w := range rules.Windows {
		item := BrownoutItem{Window: w, State: stateOf(w, now)}
		var err error
		if item.State != BrownoutOver {
			if item.APIKeys, err = r.inBrownout(ctx, rules, w); err != nil {
				return nil, err
			}
		}
		items = append(items, item)
	}
	slices.SortStableFunc(items, func(a, b BrownoutItem) int { return b.From.Compare(a.From) })
	return items, nil
}

// CancelBrownout ends a window that runs, at once, and forgets one that is
// planned; without an id all of them.
func (r *Road) CancelBrownout(ctx context.Context, id, reason, actor string, dryRun bool) (cancelled []BrownoutItem, err error) {
	now := r.Now()
	change := func(s *policy.Settings) error {
		cancelled = cancelled[:0]
		s.Windows = slices.Clone(s.Windows)
		s.Windows = slices.DeleteFunc(s.Windows, func(w policy.Window) bool {
			if state := stateOf(w, now); state == BrownoutOver || id != "" && w.ID != id {
				return false
			}
			cancelled = append(cancelled, BrownoutItem{Window: w, State: stateOf(w, now)})
			return now.Before(w.From)
		})
		for i := range s.Windows {
			if w := &s.Windows[i]; stateOf(*w, now) == BrownoutRunning && (id == "" || w.ID == id) {
				w.To, w.Ended = now, true
			}
		}
		if len(cancelled) == 0 {
			return ErrNoWindow
		}
		return nil
	}
	if dryRun {
		_, err := r.changed(ctx, r.Rules(), change)
		return cancelled, err
	}
	object := "all"
	if id != "" {
		object = id
	}
	_, err = r.Store.UpdateSettings(ctx, change, audit.Event{Actor: actor, Action: "brownout.cancelled", Object: object, Detail: map[string]string{"reason": reason}})
	return cancelled, err
}
