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

func (e Enforce) String() string {
	if int(e) < len(enforceNames) {
		return enforceNames[e]
	}
	return fmt.Sprintf("enforce(%d)", uint8(e))
}

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
	Demands

	segments []string
}

// ParseRoute reads `GET /v1/orders/**` or a path alone, which is any method. A
// slash at the end of the path means nothing, here as in Match, nor does the way
// in which a character is escaped.
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
	case strings.ContainsFunc(path, func(c rune) bool { return c <= ' ' || c == 0x7f }):
		return Route{}, fmt.Errorf("route %q: a path has no spaces or control characters", match)
	case method != strings.ToUpper(method):
		return Route{}, fmt.Errorf("route %q: methods are upper case, write %s", match, strings.ToUpper(method))
	case found && strings.Trim(method, "ABCDEFGHIJKLMNOPQRSTUVWXYZ-_") != "":
		return Route{}, fmt.Errorf("route %q: %q is no method; leave it out for a route of every method", match, method)
	}
	r := newRoute(method, path)
	for i, s := range r.segments {
		switch {
		case s == "**" && i != len(r.segments)-1:
			return Route{}, fmt.Errorf("route %q: ** stands only at the end", match)
		case s == "." || s == "..":
			return Route{}, fmt.Errorf("route %q: %s can never match, dot segments are refused", match, s)
		case s == "" && len(r.segments) > 1:
			return Route{}, fmt.Errorf("route %q: an empty segment (//) can never match", match)
		case s != "**" && !isWildcard(s) && strings.ContainsAny(s, "*{}"):
			return Route{}, fmt.Errorf("route %q: * and {name} stand for a whole segment, %q would only match itself", match, s)
		}
	}
	return r, nil
}

// newRoute splits a path that starts with a slash. What stands in it literally is
// written as in a canonical path, which it is compared with: `café`, `caf%c3%a9`
// and `caf%C3%A9` are one route.
func newRoute(method, path string) Route {
	if len(path) > 1 {
		path = strings.TrimSuffix(path, "/")
	}
	segments := strings.Split(path[1:], "/")
	for i, s := range segments {
		if !strings.ContainsAny(s, "*{}") {
			segments[i] = ParseTarget("/" + s).Path[1:]
		}
	}
	return Route{Method: method, Template: "/" + strings.Join(segments, "/"), segments: segments}
}

// Match is the route as it is written: its identity.
func (r *Route) Match() string {
	if r.Method == "" {
		return r.Template
	}
	return r.Method + " " + r.Template
}

// takesMethod reports whether the route is for calls of the method.
func (r *Route) takesMethod(method string) bool {
	return r.Method == "" || r.Method == method || (r.Method == "GET" && method == "HEAD")
}

// isWildcard reports whether a pattern's segment stands for any one segment.
func isWildcard(segment string) bool {
	n := len(segment)
	return segment == "*" || (n > 2 && segment[0] == '{' && strings.IndexByte(segment, '}') == n-1 && strings.LastIndexByte(segment, '{') == 0)
}

// bySpecificity orders routes so that the first match is the closest one:
// literals before wildcards, the end of the path before **, a method before any.
func bySpecificity(a, b *Route) int {
	for i := range max(len(a.segments), len(b.segments)) + 1 {
		if c := cmp.Compare(a.rank(i), b.rank(i)); c != 0 {
			return c
		}
	}
	return cmp.Or(cmp.Compare(b.Method, a.Method), cmp.Compare(a.Template, b.Template))
}

// rank is how much the i-th segment of the pattern leaves open.
func (r *Route) rank(i int) int {
	switch {
	case i >= len(r.segments):
		return 2
	case r.segments[i] == "**":
		return 3
	case isWildcard(r.segments[i]):
		return 1
	}
	return 0
}
