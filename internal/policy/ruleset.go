// Package policy holds the rules of the road and answers them: which route a
// call is for, which scopes it needs, what an apikey's stage allows. Decide has
// no I/O and no clock, so that the gateway, the plan and a test get the same
// answer from the same facts.
//
// Finding out who is calling is the gateway's work; which rules there should be
// is migration's.
package policy

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/offkey/offkey/internal/apikey"
	"github.com/offkey/offkey/internal/oauth"
)

// Ruleset is everything that Decide needs. It is built once and never changed
// afterwards; its zero value refuses every call without a passing stage.
type Ruleset struct {
	Stage   apikey.Stage // of all: apikeys without a stage of their own, and unknown ones
	Since   time.Time    // when Stage was set
	Until   time.Time    // the announced end of all, zero when none is
	Enforce Enforce      // of routes and clients without a setting of their own
	// UpstreamVouches lets apikeys that offkey does not know reach the API
	// while the stage of all passes, because the API itself judges them.
	UpstreamVouches bool
	ClientEnforce   map[string]Enforce // by client id
	// Includes are the narrower scopes that a scope stands for too, as declared.
	// Build adds to each what those include.
	Includes map[string]oauth.Scope
	// Campaign moves apikeys on from Stage, and back.
	Campaign

	routes  []*Route // in the order in which they are tried
	root    *node    // the same, as they are found
	strict  Enforce  // the strictest setting anywhere
	cohorts []cohort // ready to decide
	all     track    // of all, with Stage; empty: Stage alone
	windows []Window // that are not paused
	freeze  time.Time
}

// Build makes the Ruleset ready to decide: fileRoutes keep their order and
// come first, setRoutes follow by specificity. Everything is copied. A route
// whose template does not start with a slash matches nothing and is left out.
func (rs Ruleset) Build(fileRoutes, setRoutes []Route) *Ruleset {
	set := ready(setRoutes)
	slices.SortStableFunc(set, bySpecificity)
	rs.routes = append(ready(fileRoutes), set...)
	rs.ClientEnforce, rs.Campaign = maps.Clone(rs.ClientEnforce), rs.Campaign.clone()
	rs.Includes = allIncluded(rs.Includes)

	rs.root = &node{}
	for order, r := range rs.routes {
		rs.root.plant(order, r)
	}
	rs.prepare()
	return &rs
}

// With returns rs as it would be with other settings. The routes stay.
func (rs *Ruleset) With(change func(*Ruleset)) *Ruleset {
	other := *rs
	other.ClientEnforce, other.Campaign = maps.Clone(rs.ClientEnforce), rs.Campaign.clone()
	change(&other)
	other.prepare()
	return &other
}

func (rs *Ruleset) strictest() Enforce {
	found := rs.Enforce
	for _, r := range rs.routes {
		found = max(found, r.Enforce)
	}
	for _, e := range rs.ClientEnforce {
		found = max(found, e)
	}
	return found
}

// ready copies routes, and splits those that were not made by ParseRoute.
func ready(routes []Route) []*Route {
	out := make([]*Route, 0, len(routes))
	for _, r := range routes {
		if !strings.HasPrefix(r.Template, "/") {
			continue
		}
		split := newRoute(r.Method, r.Template)
		r.Template, r.segments, r.Scopes = split.Template, split.segments, slices.Clone(r.Scopes)
		out = append(out, &r)
	}
	return out
}

// Routes are the rules in the order in which they are tried.
func (rs *Ruleset) Routes() []*Route { return rs.routes }

// Match finds the route of a call by its canonical path, or nil. Slashes at the
// end of the path change nothing, because most APIs answer both spellings
// alike: a caller could else choose a laxer rule with it.
func (rs *Ruleset) Match(method, path string) *Route {
	if path == "" || path[0] != '/' {
		return nil
	}
	for len(path) > 1 && path[len(path)-1] == '/' {
		path = path[:len(path)-1]
	}
	return rs.root.find(method, path[1:], true, ordered{}).Route
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
