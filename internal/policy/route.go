package policy

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/offkey/offkey/internal/oauth"
)

// Enforce says what becomes of a call that the rules would refuse.
type Enforce uint8

const (
	// Unset takes the setting of the next wider level.
	Unset Enforce = iota
	// Off lets the call pass.
	Off
	// Shadow lets the call pass and counts it.
	Shadow
	// On refuses the call.
	On
)

var enforceNames = [...]string{"", "off", "shadow", "on"}

func (e Enforce) String() string { return enforceNames[e] }

// MarshalText writes the setting's name.
func (e Enforce) MarshalText() ([]byte, error) { return []byte(e.String()), nil }

// UnmarshalText reads off, shadow, on or, for Unset, nothing.
func (e *Enforce) UnmarshalText(b []byte) error {
	i := slices.Index(enforceNames[:], string(b))
	if i < 0 {
		return fmt.Errorf("enforce is %q: it is off, shadow or on", b)
	}
	*e = Enforce(i)
	return nil
}

// Where a Route comes from.
const (
	SourceFile     = "file"     // the configuration, read-only elsewhere
	SourceSet      = "set"      // routes set
	SourceObserved = "observed" // proposed from traffic, decides nothing
)

// Route is a method and a path pattern with the scopes that a token needs for
// it. In a pattern `{name}` and `*` stand for one segment, a last `**` for any
// number of segments, none included.
type Route struct {
	Method   string      `json:"method"`   // "" is any; GET also takes HEAD
	Template string      `json:"template"` // "/v1/orders/{id}"
	Scopes   oauth.Scope `json:"scopes"`   // all of them are needed
	Open     bool        `json:"-"`        // auth: none, passes without a credential
	Enforce  Enforce     `json:"enforce"`
	Source   string      `json:"source"`

	segments []string
}

// ParseRoute reads `GET /v1/orders/**` or a path alone, which is any method.
func ParseRoute(match string) (Route, error) {
	method, path, found := strings.Cut(strings.TrimSpace(match), " ")
	if !found {
		method, path = "", method
	}
	path = strings.TrimSpace(path)
	switch {
	case !strings.HasPrefix(path, "/"):
		return Route{}, fmt.Errorf("route %q: the path starts with /, as in %q", match, "GET /v1/orders/**")
	case strings.ContainsAny(path, "?#"):
		return Route{}, fmt.Errorf("route %q: a route is matched against the path only, without query or fragment", match)
	case method != strings.ToUpper(method):
		return Route{}, fmt.Errorf("route %q: methods are upper case, write %s", match, strings.ToUpper(method))
	}
	r := Route{Method: method, Template: path, segments: strings.Split(path[1:], "/")}
	for i, s := range r.segments {
		switch {
		case s == "**" && i != len(r.segments)-1:
			return Route{}, fmt.Errorf("route %q: ** stands only at the end", match)
		case s == "." || s == "..":
			return Route{}, fmt.Errorf("route %q: %s can never match, dot segments are refused", match, s)
		case s == "" && i != len(r.segments)-1:
			return Route{}, fmt.Errorf("route %q: an empty segment (//) can never match", match)
		}
	}
	return r, nil
}

// Match is the route as it is written: its identity.
func (r *Route) Match() string {
	if r.Method == "" {
		return r.Template
	}
	return r.Method + " " + r.Template
}

// matches reports whether the route is for the method and canonical path.
func (r *Route) matches(method, path string) bool {
	if r.Method != "" && r.Method != method && (r.Method != "GET" || method != "HEAD") {
		return false
	}
	rest := path[1:] // canonical paths start with /
	for i, want := range r.segments {
		if want == "**" {
			return true
		}
		segment, after, more := strings.Cut(rest, "/")
		if want != segment && (segment == "" || !isWildcard(want)) {
			return false
		}
		if i == len(r.segments)-1 {
			return !more
		}
		if !more {
			return r.segments[i+1] == "**" && i+2 == len(r.segments)
		}
		rest = after
	}
	return false
}

// isWildcard reports whether a pattern's segment stands for any one segment.
func isWildcard(segment string) bool {
	return segment == "*" || (len(segment) > 1 && segment[0] == '{' && segment[len(segment)-1] == '}')
}

// bySpecificity orders routes so that the first match is the closest one:
// literals before wildcards, longer before shorter, a method before any.
func bySpecificity(a, b *Route) int {
	for i := range min(len(a.segments), len(b.segments)) {
		if c := cmp.Compare(segmentRank(a.segments[i]), segmentRank(b.segments[i])); c != 0 {
			return c
		}
	}
	return cmp.Or(
		cmp.Compare(len(b.segments), len(a.segments)),
		cmp.Compare(b.Method, a.Method),
		cmp.Compare(a.Template, b.Template),
	)
}

func segmentRank(s string) int {
	switch {
	case s == "**":
		return 2
	case isWildcard(s):
		return 1
	}
	return 0
}
