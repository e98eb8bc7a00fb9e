// Package policy holds the rules of the road and answers them: which route a
// call is for, which scopes it needs, what an apikey's stage allows. Decide has
// no I/O and no clock, so that the gateway, the plan and a test get the same
// answer from the same facts.
//
// Finding out who is calling is the gateway's work; which rules there should be
// is migration's.
package policy

import (
	"slices"
	"strings"
	"time"

	"github.com/offkey/offkey/internal/apikey"
)

// Ruleset is everything that Decide needs. It is built once and never changed
// afterwards; its zero value refuses every call without a passing stage.
type Ruleset struct {
	Stage   apikey.Stage // of all: apikeys without a stage of their own, and unknown ones
	Since   time.Time    // when Stage was set
	Enforce Enforce      // of routes and clients without a setting of their own
	// UpstreamVouches lets apikeys that offkey does not know reach the API
	// while the stage of all passes, because the API itself judges them.
	UpstreamVouches bool
	ClientEnforce   map[string]Enforce // by client id
	Brownouts       []Window

	routes  []*Route
	byFirst map[string][]*Route // literal first segment -> candidates in order
	rest    []*Route            // candidates for every other first segment
	strict  Enforce             // the strictest setting anywhere
}

// Window is an announced time of refusal, From included, To not.
type Window struct{ From, To time.Time }

// Build makes the Ruleset ready to decide: fileRoutes keep their order and
// come first, setRoutes follow by specificity. The routes are copied.
func (rs Ruleset) Build(fileRoutes, setRoutes []Route) *Ruleset {
	set := make([]*Route, 0, len(setRoutes))
	for _, r := range setRoutes {
		set = append(set, &r)
	}
	slices.SortStableFunc(set, bySpecificity)
	rs.routes = make([]*Route, 0, len(fileRoutes)+len(set))
	for _, r := range fileRoutes {
		rs.routes = append(rs.routes, &r)
	}
	rs.routes = append(rs.routes, set...)

	rs.byFirst = map[string][]*Route{}
	for _, r := range rs.routes {
		if segmentRank(r.segments[0]) == 0 {
			rs.byFirst[r.segments[0]] = nil
		}
	}
	for _, r := range rs.routes {
		first := r.segments[0]
		if segmentRank(first) == 0 {
			rs.byFirst[first] = append(rs.byFirst[first], r)
			continue
		}
		rs.rest = append(rs.rest, r)
		for name := range rs.byFirst {
			rs.byFirst[name] = append(rs.byFirst[name], r)
		}
	}
	rs.strict = rs.Enforce
	for _, r := range rs.routes {
		rs.strict = max(rs.strict, r.Enforce)
	}
	for _, e := range rs.ClientEnforce {
		rs.strict = max(rs.strict, e)
	}
	return &rs
}

// Routes are the rules in the order in which they are tried.
func (rs *Ruleset) Routes() []*Route { return rs.routes }

// Match finds the route of a call by its canonical path, or nil.
func (rs *Ruleset) Match(method, path string) *Route {
	if path == "" || path[0] != '/' {
		return nil
	}
	first, _, _ := strings.Cut(path[1:], "/")
	candidates, ok := rs.byFirst[first]
	if !ok {
		candidates = rs.rest
	}
	for _, r := range candidates {
		if r.matches(method, path) {
			return r
		}
	}
	return nil
}

// EnforcementOf is the setting that holds for a call: the client's, else the
// route's, else the one of all. Without a route it is the one of all.
func (rs *Ruleset) EnforcementOf(r *Route, clientID string) Enforce {
	if e := rs.ClientEnforce[clientID]; e != Unset && clientID != "" {
		return e
	}
	if r != nil && r.Enforce != Unset {
		return r.Enforce
	}
	return max(rs.Enforce, Off)
}

// EnforcesEverywhere reports whether no call of a token can pass unchecked:
// the condition for handing an API a credential that opens all of it.
func (rs *Ruleset) EnforcesEverywhere() bool {
	if rs.Enforce != On {
		return false
	}
	for _, r := range rs.routes {
		if r.Enforce != Unset && r.Enforce != On {
			return false
		}
	}
	for _, e := range rs.ClientEnforce {
		if e != Unset && e != On {
			return false
		}
	}
	return true
}

// Strictness is the strictest setting of any route or client. Ambiguous
// targets are judged by it, since what they name cannot be told.
func (rs *Ruleset) Strictness() Enforce { return max(rs.strict, Off) }

// StageOf is the stage that holds for an apikey with that stage of its own.
func (rs *Ruleset) StageOf(own apikey.Stage) apikey.Stage {
	if own != apikey.Inherit {
		return own
	}
	return rs.Stage
}
