package policy

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/offkey/offkey/internal/apikey"
	"github.com/offkey/offkey/internal/oauth"
)

// Campaign is stages over a calendar: which apikeys move together, and when.
// Every date of the road is here, so that what is announced, refused and told
// cannot say different things.
type Campaign struct {
	Cohorts []Cohort `json:"cohorts,omitempty"` // in the order in which they are asked
	Steps   []Step   `json:"steps,omitempty"`   // those taken are kept: the way back needs them
	Windows []Window `json:"brownouts,omitempty"`
	Pause   Pause    `json:"pause,omitzero"`
	// Freeze is the moment from which on apikeys that come up are new ones, which
	// are refused from stage warn on; zero: none.
	Freeze time.Time `json:"freeze_new,omitzero"`
	// Guards pause the campaign when one of them is met: "refused > 0.1% of calls".
	Guards []string `json:"stop_if,omitempty"`
	// SelfExtension is how many seconds whoever holds an apikey may give it by
	// themselves, once; 0: not at all.
	SelfExtension int64      `json:"self_extension,omitempty"`
	Widened       []Widening `json:"widened,omitempty"`
}

// Widening is scopes that a client was given for a time.
type Widening struct {
	Client string      `json:"client"`
	Scopes oauth.Scope `json:"scopes"`
	Until  time.Time   `json:"until"`
	At     time.Time   `json:"at"`
	By     string      `json:"by"`
	Reason string      `json:"reason,omitempty"`
}

// Cohort is a set of apikeys that are moved together.
type Cohort struct {
	Name    string    `json:"name"`
	Match   Match     `json:"match"`
	Created time.Time `json:"created,omitzero"`
}

// Match says which apikeys are in a cohort: those that meet everything it asks,
// each by one of the values given. The zero Match takes nobody.
type Match struct {
	Owners   []string `json:"owners,omitempty"`
	Labels   []string `json:"labels,omitempty"`
	Prefixes []string `json:"prefixes,omitempty"`
	Share    Share    `json:"share,omitzero"`
	// Named takes the apikeys that were put into the cohort, by id, by what they
	// called or because they called nothing; Chosen says how, for people.
	Named  bool   `json:"named,omitempty"`
	Chosen string `json:"chosen,omitempty"`
	// Quiet members were put in because they called nothing: who calls again
	// while that passes leaves.
	Quiet bool `json:"quiet,omitempty"`
}

// takes reports whether k is in the cohort of that name.
func (m *Match) takes(name string, k *apikey.Key) bool {
	if k == nil || m.takesNobody() {
		return false
	}
	return (!m.Named || k.Cohort == name) &&
		(len(m.Owners) == 0 || k.Owner != "" && slices.Contains(m.Owners, k.Owner)) &&
		(len(m.Labels) == 0 || k.Label != "" && slices.Contains(m.Labels, k.Label)) &&
		(len(m.Prefixes) == 0 || hasPrefix(k.Prefix, m.Prefixes)) && m.Share.takes(k)
}

func (m *Match) takesNobody() bool {
	return !m.Named && len(m.Owners)+len(m.Labels)+len(m.Prefixes) == 0 && m.Share == 0
}

func hasPrefix(s string, prefixes []string) bool {
	for _, p := range prefixes {
		if p != "" && strings.HasPrefix(s, p) {
			return true
		}
	}
	return false
}

// Step moves a cohort to a stage at a moment. Of the steps that have come and
// take an apikey the latest holds.
type Step struct {
	Cohort string       `json:"cohort,omitempty"` // "" is all
	Share  Share        `json:"share,omitzero"`   // of the cohort
	Stage  apikey.Stage `json:"stage"`            // Inherit: what holds without the cohort
	At     time.Time    `json:"at"`
	Set    time.Time    `json:"set,omitzero"`   // when it was put into the calendar
	ID     string       `json:"id,omitempty"`   // of a planned one
	Done   bool         `json:"done,omitempty"` // it came, and is in the audit
}

// Planned reports whether a step was set for later than when it was set.
func (s Step) Planned() bool { return s.At.After(s.Set) }

// Window is an announced time in which apikeys in stage brownout are refused,
// From included, To not.
type Window struct {
	From   time.Time `json:"from"`
	To     time.Time `json:"to"`
	ID     string    `json:"id,omitempty"`
	Cohort string    `json:"cohort,omitempty"` // "" is all
	Share  Share     `json:"share,omitzero"`
	Reason string    `json:"reason,omitempty"`
	// Began and Ended say that these are in the audit.
	Began bool `json:"began,omitempty"`
	Ended bool `json:"ended,omitempty"`
}

// Pause stops a campaign: planned steps that had not come at Back do not come,
// and no window refuses anybody. Back is before At where the pause also takes
// back what came lately. What an operator sets meanwhile holds.
type Pause struct {
	At     time.Time `json:"at,omitzero"` // zero: the campaign goes on
	Back   time.Time `json:"back,omitzero"`
	By     string    `json:"by,omitempty"`
	Reason string    `json:"reason,omitempty"`
}

func (c *Campaign) clone() Campaign {
	other := *c
	other.Cohorts, other.Steps, other.Windows = slices.Clone(c.Cohorts), slices.Clone(c.Steps), slices.Clone(c.Windows)
	other.Guards, other.Widened = slices.Clone(c.Guards), slices.Clone(c.Widened)
	return other
}

// Paused reports whether the campaign stands still.
func (c *Campaign) Paused() bool { return !c.Pause.At.IsZero() }

// stopped reports whether the pause keeps a step from holding.
func (p Pause) stopped(s Step) bool {
	switch {
	case p.At.IsZero() || !s.At.After(p.Back):
		return false
	case s.Planned():
		return true
	}
	return s.Set.Before(p.At) // set by hand before the pause, and taken back with it
}

// Limits of a campaign.
const (
	MaxCohorts = 100
	MaxSteps   = 1000
	MaxWindows = 200
	MaxGuards  = 20
	MaxWidened = 500

	maxCohortName = 64
	maxMatches    = 1000
)

// ErrNoCohort is what is said of a cohort that is not there.
var ErrNoCohort = errors.New("no such cohort")

// Cohort returns the cohort of that name, nil if there is none.
func (c *Campaign) Cohort(name string) *Cohort {
	for i := range c.Cohorts {
		if c.Cohorts[i].Name == name {
			return &c.Cohorts[i]
		}
	}
	return nil
}

// Check reports what is wrong with a cohort.
func (c Cohort) Check() error {
	switch {
	case c.Name == "" || len(c.Name) > maxCohortName || strings.ContainsFunc(c.Name, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-' && r != '_' && r != '.'
	}):
		return fmt.Errorf("cohort %q: a name has small letters, digits, -, _ and . and at most %d of them", c.Name, maxCohortName)
	case c.Match.takesNobody():
		return fmt.Errorf("cohort %s takes nobody: say an owner, a label, a prefix, a share or apikeys", c.Name)
	case len(c.Match.Owners)+len(c.Match.Labels)+len(c.Match.Prefixes) > maxMatches:
		return fmt.Errorf("cohort %s: more than %d owners, labels and prefixes", c.Name, maxMatches)
	}
	for _, value := range slices.Concat(c.Match.Owners, c.Match.Labels, c.Match.Prefixes) {
		if strings.TrimSpace(value) == "" {
			return fmt.Errorf("cohort %s: an owner, label or prefix is empty", c.Name)
		}
	}
	return nil
}
