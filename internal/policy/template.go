package policy

import "strings"

// Candidates are the routes that a call recorded under a template may have been
// for, in the order in which they are tried: the last is one that it was for in
// any case, or nil if it may have had no route.
//
// In the template `{id}` is one segment of which isID holds, any other {name}
// or * is any one segment, and a last ** is any number of them. Method * is
// any method.
func (rs *Ruleset) Candidates(method, template string, isID func(segment string) bool) []*Route {
	if !strings.HasPrefix(template, "/") {
		template = "/**"
	}
	recorded := newRoute(method, template)
	var found []*Route
	for _, r := range rs.routes {
		switch r.overlap(&recorded, isID) {
		case all:
			return append(found, r)
		case some:
			found = append(found, r)
		}
	}
	return append(found, nil)
}

// overlap is how many of the calls under a template a route matches.
type overlap uint8

const (
	none overlap = iota
	some
	all
)

func (r *Route) overlap(recorded *Route, isID func(string) bool) overlap {
	found := all
	switch {
	case r.takesMethod(recorded.Method):
	case recorded.Method == "*":
		found = some
	default:
		return none
	}
	for i, want := range r.segments {
		if want == "**" {
			return found
		}
		if i == len(recorded.segments) {
			return none
		}
		got := recorded.segments[i]
		switch {
		case got == "**":
			return some
		case isWildcard(want):
			if got == "" {
				return none
			}
		case got == "{id}":
			if want == "" || !isID(want) {
				return none
			}
			found = some
		case isWildcard(got):
			found = some
		case got != want:
			return none
		}
	}
	switch rest := recorded.segments[len(r.segments):]; {
	case len(rest) == 0:
		return found
	case rest[0] == "**":
		return some
	}
	return none
}
