package policy

import (
	"slices"
	"time"

	"github.com/offkey/offkey/internal/apikey"
)

// What says which stage an apikey has, in the order in which it is asked.
const (
	ByAPIKey    = "apikey"    // a stage of its own
	ByExtension = "extension" // an exception that was granted to it
	ByCohort    = "cohort"
	ByAll       = "all"
)

// Standing is the stage that holds for an apikey at a moment, and why.
type Standing struct {
	Stage  apikey.Stage
	By     string
	Cohort string    // the first that it is in, "" without one
	Since  time.Time // when Stage began; zero: always
	// Deprecated is since when, without a break, the apikey has been told that it
	// ends; zero: it has not.
	Deprecated time.Time
	// Sunset is its announced end; zero: none is.
	Sunset time.Time
}

// track is the steps of one cohort, or of all, the earliest first.
type track []Step

// at is the step that holds for k, nil if none does.
func (t track) at(k *apikey.Key, at time.Time) *Step {
	for i := len(t) - 1; i >= 0; i-- {
		if s := &t[i]; !s.At.After(at) && s.Share.takes(k) {
			return s
		}
	}
	return nil
}

// cohort is a Cohort ready to decide.
type cohort struct {
	Cohort
	track track
}

// prepare makes rs ready to decide after its settings were changed.
func (rs *Ruleset) prepare() {
	rs.strict = rs.strictest()
	rs.cohorts, rs.all = nil, nil
	for _, c := range rs.Campaign.Cohorts {
		rs.cohorts = append(rs.cohorts, cohort{c, rs.trackOf(c.Name)})
	}
	if all := rs.trackOf(""); len(all) > 0 || rs.Paused() {
		rs.all = all
		if base := (Step{Stage: rs.Stage, At: rs.Since, Set: rs.Since}); !rs.Pause.stopped(base) {
			at, _ := slices.BinarySearchFunc(all, base.At, func(s Step, at time.Time) int {
				if s.At.After(at) {
					return 1
				}
				return -1
			})
			rs.all = slices.Insert(all, at, base)
		}
		if len(rs.all) == 0 { // all of it taken back
			rs.all = track{{Stage: apikey.Observe}}
		}
	}
	rs.freeze = rs.Freeze
	if rs.Paused() && rs.Freeze.After(rs.Pause.Back) {
		rs.freeze = time.Time{}
	}
	rs.windows = nil
	for _, w := range rs.Windows {
		if !rs.Paused() || w.ID == "" { // a plan's has no id, and asks what if
			rs.windows = append(rs.windows, w)
		}
	}
}

// trackOf are the steps of a cohort that no pause keeps from coming.
func (rs *Ruleset) trackOf(name string) (t track) {
	for _, s := range rs.Steps {
		if s.Cohort == name && !rs.Pause.stopped(s) {
			t = append(t, s)
		}
	}
	slices.SortStableFunc(t, func(a, b Step) int { return a.At.Compare(b.At) })
	return t
}

// StageOf is the stage that holds for an apikey at a moment: its own, else that
// of its exception, else that of the first of its cohorts that has one, else
// that of all, each as the calendar has it then. nil is an apikey that offkey
// does not know.
func (rs *Ruleset) StageOf(k *apikey.Key, at time.Time) apikey.Stage {
	if k != nil && k.Stage != apikey.Inherit {
		return k.Stage
	}
	return rs.stageBeside(k, at)
}

// stageBeside is StageOf without a stage of the apikey's own.
func (rs *Ruleset) stageBeside(k *apikey.Key, at time.Time) apikey.Stage {
	stage := apikey.Inherit
	for i := range rs.cohorts {
		c := &rs.cohorts[i]
		if len(c.track) == 0 || !c.Match.takes(c.Name, k) {
			continue
		}
		if s := c.track.at(k, at); s != nil && s.Stage != apikey.Inherit {
			stage = s.Stage
			break
		}
	}
	if stage == apikey.Inherit {
		stage = rs.stageOfAll(k, at)
	}
	if k != nil && stage > apikey.Warn && k.Extension.Holds(at) {
		return apikey.Warn
	}
	return stage
}

func (rs *Ruleset) stageOfAll(k *apikey.Key, at time.Time) apikey.Stage {
	if len(rs.all) == 0 {
		return rs.Stage
	}
	if s := rs.all.at(k, at); s != nil {
		return s.Stage
	}
	return apikey.Observe // before the first step, or all of them taken back
}

// StageOfAll is the stage at a moment of apikeys that nothing else holds for,
// unknown ones among them, and since when.
func (rs *Ruleset) StageOfAll(at time.Time) (stage apikey.Stage, since time.Time) {
	if len(rs.all) == 0 {
		return rs.Stage, rs.Since
	}
	if s := rs.all.at(nil, at); s != nil {
		return s.Stage, s.At
	}
	return apikey.Observe, time.Time{}
}

// StandingOf is StageOf with the reason and the dates. nil is an apikey that
// offkey does not know.
func (rs *Ruleset) StandingOf(k *apikey.Key, at time.Time) Standing {
	s := Standing{Stage: rs.StageOf(k, at), Cohort: rs.CohortOf(k)}
	if k != nil && k.Stage != apikey.Inherit {
		s.By, s.Since, s.Sunset = ByAPIKey, k.StageSince, k.Until
		if s.Stage >= apikey.Warn {
			s.Deprecated = k.StageSince
		}
		return s
	}
	s.By = ByAll
	for i := range rs.cohorts {
		c := &rs.cohorts[i]
		if len(c.track) == 0 || !c.Match.takes(c.Name, k) {
			continue
		}
		s.Sunset = sooner(s.Sunset, c.track.sunset(k, at))
		if step := c.track.at(k, at); step != nil && step.Stage != apikey.Inherit {
			s.By, s.Cohort, s.Since, s.Deprecated = ByCohort, c.Name, step.At, c.track.deprecated(k, at)
			break
		}
	}
	if s.By == ByAll {
		rs.standingOfAll(&s, k, at)
	}
	if k != nil && k.Extension.Holds(at) {
		s.Sunset = k.Extension.Until
		if rs.stageBeside(k, k.Extension.Until) > apikey.Warn || s.Sunset.IsZero() {
			s.By = ByExtension
		}
		s.Deprecated = earlier(s.Deprecated, k.Extension.Granted)
	} else if k != nil && !k.Until.IsZero() {
		s.Sunset = k.Until
	}
	return s
}

func (rs *Ruleset) standingOfAll(s *Standing, k *apikey.Key, at time.Time) {
	s.Sunset = sooner(s.Sunset, rs.all.sunset(k, at))
	if s.Sunset.IsZero() {
		s.Sunset = rs.Until
	}
	if len(rs.all) == 0 {
		s.Since = rs.Since
		if rs.Stage >= apikey.Warn {
			s.Deprecated = rs.Since
		}
		return
	}
	if step := rs.all.at(k, at); step != nil {
		s.Since, s.Deprecated = step.At, rs.all.deprecated(k, at)
	}
}

// CohortOf is the first cohort that k is in, "" if it is in none.
func (rs *Ruleset) CohortOf(k *apikey.Key) string {
	for i := range rs.cohorts {
		if c := &rs.cohorts[i]; c.Match.takes(c.Name, k) {
			return c.Name
		}
	}
	return ""
}

// InCohort reports whether k is in the cohort of that name and in that share of
// it; "" is all.
func (rs *Ruleset) InCohort(k *apikey.Key, name string, share Share) bool {
	if name == "" {
		return share.takes(k)
	}
	c := rs.Campaign.Cohort(name)
	return c != nil && c.Match.takes(name, k) && share.takes(k)
}

// deprecated is when the steps began that without a break announce an end.
func (t track) deprecated(k *apikey.Key, at time.Time) (since time.Time) {
	for i := len(t) - 1; i >= 0; i-- {
		s := &t[i]
		switch {
		case s.At.After(at) || !s.Share.takes(k):
		case s.Stage < apikey.Warn:
			return since
		default:
			since = s.At
		}
	}
	return since
}

// sunset is the next step that refuses k for good.
func (t track) sunset(k *apikey.Key, at time.Time) time.Time {
	for i := range t {
		if s := &t[i]; s.At.After(at) && s.Stage >= apikey.UpgradeOnly && s.Share.takes(k) {
			return s.At
		}
	}
	return time.Time{}
}

// sooner is the earlier of two times, of which a zero one is never.
func sooner(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

func earlier(a, b time.Time) time.Time { return sooner(a, b) }

// IsNew reports whether k came up after new apikeys were announced to be
// refused, and nothing was granted to it since.
func (rs *Ruleset) IsNew(k *apikey.Key, at time.Time) bool {
	return k != nil && !rs.freeze.IsZero() && !at.Before(rs.freeze) && !k.Created.Before(rs.freeze) &&
		k.Stage == apikey.Inherit && !k.Extension.Holds(at)
}

// inWindow is the window that refuses k at a moment, nil if there is none.
func (rs *Ruleset) inWindow(k *apikey.Key, at time.Time) *Window {
	for i := range rs.windows {
		w := &rs.windows[i]
		if !at.Before(w.From) && at.Before(w.To) && rs.InCohort(k, w.Cohort, w.Share) {
			return w
		}
	}
	return nil
}

// WindowOf is the window that refuses k at a moment, and whether there is one.
func (rs *Ruleset) WindowOf(k *apikey.Key, at time.Time) (Window, bool) {
	if w := rs.inWindow(k, at); w != nil {
		return *w, true
	}
	return Window{}, false
}
