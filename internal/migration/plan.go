package migration

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/offkey/offkey/internal/apikey"
	"github.com/offkey/offkey/internal/client"
	"github.com/offkey/offkey/internal/policy"
	"github.com/offkey/offkey/internal/traffic"
)

// PlanRequest is a question: whose calls would fail if.
type PlanRequest struct {
	Stage apikey.Stage // Inherit: as the calendar has it at At
	// IDs are the apikeys that Stage would hold for, whatever stage they have;
	// else it is a cohort, or a share of it, or all that have none of their own.
	// Only the calls made with these apikeys are counted, unless it is all.
	IDs    []string
	Cohort string
	Share  policy.Share
	At     time.Time // the moment that is asked about; zero is now
	// Routes are asked about in place of those in force; nil leaves these.
	Routes []policy.Route
	// Enforce asks about other enforcement too; Unset leaves it as it is.
	Enforce policy.Enforce
	window  *policy.Window // a brownout that is asked about
	Window  Window         // of recorded calls; a zero end is now, a zero start 14 days before the end
}

// defaultPlanWindow is how far back a plan looks if it is not told.
const defaultPlanWindow = 14 * 24 * time.Hour

// Plan says whose calls would fail, as `plan` prints it. Allowed, WouldDeny and
// Undecidable add up to Calls.
type Plan struct {
	Stage       apikey.Stage   `json:"stage"`
	Cohort      string         `json:"cohort,omitempty"`
	Share       policy.Share   `json:"share,omitzero"`
	At          *time.Time     `json:"at"` // the moment asked about; null: that of each call
	Enforce     policy.Enforce `json:"enforce"`
	Window      Window         `json:"window"`
	Calls       int64          `json:"calls"`
	Allowed     int64          `json:"allowed"`
	WouldDeny   int64          `json:"would_deny"`
	Undecidable int64          `json:"undecidable"`
	// Ambiguous calls are among those above: the strict rules refuse them once
	// anything is enforced.
	Ambiguous  int64        `json:"ambiguous"`
	Callers    []PlanCaller `json:"callers"`   // whose calls would be refused, most first
	Undecided  []PlanCaller `json:"undecided"` // whose calls the record does not tell
	NotCovered []string     `json:"not_covered"`
	APIKeys    PlanAPIKeys  `json:"apikeys"`
}

// PlanCaller is the calls of one caller to one operation that would be refused
// for one reason.
type PlanCaller struct {
	ID     string `json:"id"` // of an apikey or client, or "none", "unknown"
	Route  string `json:"route"`
	Calls  int64  `json:"calls"`
	Reason string `json:"reason"` // the code of the refusal
	Fix    string `json:"fix"`
}

// PlanAPIKeys counts the apikeys in the recorded calls.
type PlanAPIKeys struct {
	Seen      int `json:"seen"`
	Refused   int `json:"refused"`   // with a call that would be
	Mapped    int `json:"mapped"`    // to a client
	Unclaimed int `json:"unclaimed"` // to none
}

// Plan asks the recorded calls again, under other rules.
func (r *Road) Plan(ctx context.Context, q PlanRequest) (Plan, error) {
	if q.At.IsZero() {
		q.At = r.Now()
	}
	if q.Window.To.IsZero() {
		q.Window.To = r.Now()
	}
	if q.Window.From.IsZero() {
		q.Window.From = q.Window.To.Add(-defaultPlanWindow)
	}
	callers, err := r.callers(ctx)
	if err != nil {
		return Plan{}, err
	}
	fold, err := newPlanFold(q, r.Rules(), callers)
	if err != nil {
		return Plan{}, err
	}
	if err := r.Store.Traffic(ctx, traffic.Filter{From: q.Window.From, To: q.Window.To}, func(row traffic.Row) error {
		fold.add(row)
		return nil
	}); err != nil {
		return Plan{}, err
	}
	return fold.result(), nil
}

// callers are the apikeys and clients that calls were recorded for, as they are
// now.
type callers struct {
	apikeys map[string]*apikey.Key
	clients map[string]*client.Client
	// unlisted: there is only a traffic file, and nobody to say who is who.
	unlisted bool
}

func (r *Road) callers(ctx context.Context) (callers, error) {
	c := callers{apikeys: map[string]*apikey.Key{}, clients: map[string]*client.Client{}}
	if err := r.eachAPIKey(ctx, func(k *apikey.Key) error { c.apikeys[k.ID] = k; return nil }); err != nil {
		return callers{}, err
	}
	for after := ""; ; {
		page, next, err := r.Store.Clients(ctx, client.Filter{Limit: 1000, After: after})
		if err != nil {
			return callers{}, err
		}
		for _, cl := range page {
			c.clients[cl.ID] = cl
		}
		if after = next; after == "" {
			return c, nil
		}
	}
}

// eachAPIKey visits all apikeys, a page at a time.
func (r *Road) eachAPIKey(ctx context.Context, visit func(*apikey.Key) error) error {
	for after := ""; ; {
		page, next, err := r.Store.APIKeys(ctx, apikey.Filter{Limit: 1000, After: after})
		if err != nil {
			return err
		}
		for _, k := range page {
			if err := visit(k); err != nil {
				return err
			}
		}
		if after = next; after == "" {
			return nil
		}
	}
}

// planFold asks rows again, one after the other.
type planFold struct {
	PlanRequest
	rules      *policy.Ruleset // as they would be
	callers    callers
	only       map[string]bool // apikeys that are asked about, nil: all
	refused    map[string]struct{}
	candidates map[operation][]*policy.Route
	templates  traffic.Templates
	plan       Plan
	denied     map[PlanCaller]int64
	undecided  map[PlanCaller]int64
	seen       map[string]struct{}
	coverage   coverage
}

// Limits of what a plan holds; beyond them calls are counted together.
const (
	maxPlanGroups     = 20_000
	maxPlanCandidates = 50_000
	maxPlanAPIKeys    = 1_000_000
)

func newPlanFold(q PlanRequest, rules *policy.Ruleset, c callers) (*planFold, error) {
	f := &planFold{
		coverage:    withGaps(),
		PlanRequest: q, callers: c, candidates: map[operation][]*policy.Route{},
		denied: map[PlanCaller]int64{}, undecided: map[PlanCaller]int64{}, seen: map[string]struct{}{}, refused: map[string]struct{}{},
	}
	if err := f.choose(rules); err != nil {
		return nil, err
	}
	if q.Routes != nil {
		drafted := *rules
		rules = drafted.Build(q.Routes, nil)
	}
	f.rules = rules.With(f.change)
	return f, nil
}

// choose finds the apikeys that are asked about.
func (f *planFold) choose(rules *policy.Ruleset) error {
	switch {
	case f.IDs != nil:
		f.only = make(map[string]bool, len(f.IDs))
		for _, id := range f.IDs {
			if f.callers.apikeys[id] == nil && !f.callers.unlisted {
				return fmt.Errorf("apikey %s: %w", id, apikey.ErrNotFound)
			}
			f.only[id] = true
		}
	case f.Cohort != "" && rules.Campaign.Cohort(f.Cohort) == nil:
		return fmt.Errorf("%s: %w", f.Cohort, policy.ErrNoCohort)
	case f.Cohort != "" || f.Share != 0:
		f.only = map[string]bool{}
		for id, k := range f.callers.apikeys {
			if rules.InCohort(k, f.Cohort, f.Share) {
				f.only[id] = true
			}
		}
	}
	return nil
}

// change makes the rules those that are asked about.
func (f *planFold) change(rs *policy.Ruleset) {
	switch {
	case f.IDs != nil || f.Stage == apikey.Inherit: // each has its own, or as it is
	case f.Cohort == "" && f.Share == 0:
		rs.Stage, rs.Since = f.Stage, f.At
	default:
		rs.Steps = append(rs.Steps, policy.Step{Cohort: f.Cohort, Share: f.Share, Stage: f.Stage, At: f.At, Set: f.At})
	}
	if f.Enforce != policy.Unset {
		rs.Enforce = f.Enforce
	}
	if f.window != nil {
		w := *f.window
		w.ID = "" // what if
		rs.Windows = append(rs.Windows, w)
	}
	if f.Stage == apikey.Brownout { // as if its windows were always
		rs.Windows = []policy.Window{{To: time.Unix(1<<40, 0)}}
	}
}

// moment is when a call is judged: at the moment asked about, or without one
// when it was made.
func (f *planFold) moment(made time.Time) time.Time {
	if f.At.IsZero() {
		return made
	}
	return f.At
}

// add asks about the calls of one row.
func (f *planFold) add(row traffic.Row) {
	if f.only != nil && !f.only[row.Credential.ID] {
		return
	}
	f.coverage.add(row.First, row.Last)
	who := f.callerOf(row.Credential, row.Outcome)
	call := policy.Call{Method: row.Method, Path: row.Template, Problem: problemOf(row.Outcome), At: f.moment(row.Last)}
	decision, undecidable := f.decide(who, call, f.candidatesOf(row.Method, row.Template))
	f.count(who, operation{row.Method, row.Template}, row.Calls, decision, undecidable)
	if call.Problem != "" {
		f.plan.Ambiguous += row.Calls
	}
}

// addCall asks about one call of a traffic file.
func (f *planFold) addCall(o traffic.Observation) {
	if f.only != nil && !f.only[o.Credential.ID] {
		return
	}
	f.coverage.add(o.At, o.At)
	who := f.callerOf(o.Credential, o.Outcome)
	call := policy.Call{Method: o.Method, Path: o.Path, Problem: problemOf(o.Outcome), At: f.moment(o.At)}
	decision, undecidable := f.decide(who, call, []*policy.Route{f.rules.Match(o.Method, o.Path)})
	f.count(who, operation{o.Method, f.templates.Of(o.Path)}, 1, decision, undecidable)
	if call.Problem != "" {
		f.plan.Ambiguous++
	}
}

// decide asks policy about every route that the call may have been for, with the
// least and the most that its token may have had. If the answers differ the call is undecidable,
// and why is returned; else the answer is, a refusal rather than none.
func (f *planFold) decide(who planned, call policy.Call, candidates []*policy.Route) (d policy.Decision, undecidable string) {
	for i, route := range candidates {
		answer := f.rules.DecideOn(route, who.Principal, call)
		if answer.Allow != f.rules.DecideOn(route, who.atBest(route, call), call).Allow {
			return answer, who.unknown(answer)
		}
		if i > 0 && answer.Allow != d.Allow {
			return answer, ReasonRouteUnknown
		}
		if i == 0 {
			d = answer
		}
	}
	return d, ""
}

func (f *planFold) candidatesOf(method, template string) []*policy.Route {
	op := operation{method, template}
	found, ok := f.candidates[op]
	if !ok {
		found = f.rules.Candidates(method, template, traffic.IsIdentifier)
		if len(f.candidates) < maxPlanCandidates {
			f.candidates[op] = found
		}
	}
	return found
}

func (f *planFold) count(who planned, op operation, calls int64, d policy.Decision, undecidable string) {
	f.plan.Calls += calls
	if who.apikey && len(f.seen) < maxPlanAPIKeys {
		f.seen[who.id] = struct{}{}
	}
	route := op.method + " " + op.template
	switch {
	case undecidable != "":
		f.plan.Undecidable += calls
		group(f.undecided, PlanCaller{ID: who.id, Route: route, Reason: undecidable, Fix: undecidableFix(undecidable)}, calls)
	case d.Denied():
		f.plan.WouldDeny += calls
		if who.apikey && len(f.refused) < maxPlanAPIKeys {
			f.refused[who.id] = struct{}{}
		}
		group(f.denied, PlanCaller{ID: who.id, Route: route, Reason: d.Code, Fix: fixOf(who, op, d)}, calls)
	default:
		f.plan.Allowed += calls
	}
}

func group(groups map[PlanCaller]int64, g PlanCaller, calls int64) {
	tally(groups, g, PlanCaller{ID: "*", Route: "*", Reason: "more", Fix: "ask about fewer apikeys, or a shorter window"}, maxPlanGroups, calls)
}

func (f *planFold) result() Plan {
	p := f.plan
	p.Stage, p.Cohort, p.Share, p.At = f.Stage, f.Cohort, f.Share, instant(f.At)
	p.Enforce, p.Window = f.rules.EnforcementOf(nil, ""), f.Window
	p.Callers, p.Undecided = listed(f.denied), listed(f.undecided)
	p.NotCovered = f.coverage.missing(f.Window)
	if silent := len(f.only) - len(f.seen); silent > 0 {
		p.NotCovered = append(p.NotCovered, fmt.Sprintf("%d of %d apikeys, which made no call", silent, len(f.only)))
	}
	p.APIKeys.Refused = len(f.refused)
	for id := range f.seen {
		p.APIKeys.Seen++
		if k := f.callers.apikeys[id]; k != nil && k.ClientID != "" {
			p.APIKeys.Mapped++
		}
	}
	p.APIKeys.Unclaimed = p.APIKeys.Seen - p.APIKeys.Mapped
	return p
}

func listed(groups map[PlanCaller]int64) []PlanCaller {
	out := make([]PlanCaller, 0, len(groups))
	for g, calls := range groups {
		if calls == 0 {
			continue // all of them are counted under the apikey that was learnt since
		}
		g.Calls = calls
		out = append(out, g)
	}
	slices.SortFunc(out, func(a, b PlanCaller) int {
		return cmp.Or(cmp.Compare(b.Calls, a.Calls), cmp.Compare(a.ID, b.ID), cmp.Compare(a.Route, b.Route), cmp.Compare(a.Reason, b.Reason))
	})
	return out
}
