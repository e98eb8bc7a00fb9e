package migration

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/offkey/offkey/internal/oauth"
	"github.com/offkey/offkey/internal/policy"
	"github.com/offkey/offkey/internal/traffic"
	"go.yaml.in/yaml/v3"
)

// BadLine is a line of a file that could not be read.
type BadLine struct {
	Line    int    `json:"line"`
	Problem string `json:"problem"`
}

// FilePlan is a Plan made from files alone. Lines that could not be read are
// counted, and the first hundred named.
type FilePlan struct {
	Plan
	Lines     int       `json:"lines"` // with an observation, outside of the window too
	Malformed int       `json:"malformed"`
	BadLines  []BadLine `json:"bad_lines"`
}

// maxBadLines is how many unreadable lines are named.
const maxBadLines = 100

// PlanFiles is Plan for recorded calls in a traffic file under the rules given.
// An apikey in it is taken for known and for following the stage of all; which
// scopes a client may ask for a file does not say. A window that is not given is
// that of the file.
func PlanFiles(q PlanRequest, rules *policy.Ruleset, observations io.Reader) (FilePlan, error) {
	fold, err := newPlanFold(q, rules, callers{unlisted: true})
	if err != nil {
		return FilePlan{}, err
	}
	p := FilePlan{BadLines: []BadLine{}}
	err = traffic.ReadObservations(observations, func(line int, o traffic.Observation, problem error) error {
		switch {
		case problem != nil:
			p.Malformed++
			if len(p.BadLines) < maxBadLines {
				p.BadLines = append(p.BadLines, BadLine{line, problem.Error()})
			}
			return nil
		case o.At.Before(q.Window.From) || !q.Window.To.IsZero() && !o.At.Before(q.Window.To):
		default:
			fold.addCall(o)
		}
		p.Lines++
		return nil
	})
	if err != nil {
		return FilePlan{}, fmt.Errorf("traffic file: %w", err)
	}
	if fold.Window.From.IsZero() {
		fold.Window.From = fold.coverage.first
	}
	if fold.Window.To.IsZero() && !fold.coverage.last.IsZero() {
		fold.Window.To = fold.coverage.last.Add(time.Microsecond)
	}
	p.Plan = fold.result()
	return p, nil
}

// fileRoute is a route as the configuration and `routes list --json` write it.
type fileRoute struct {
	Match    string         `yaml:"match" json:"match"`
	Method   string         `yaml:"method" json:"method"` // with Template, in place of Match
	Template string         `yaml:"template" json:"template"`
	Scopes   names          `yaml:"scopes" json:"scopes"`
	Auth     string         `yaml:"auth" json:"auth"` // "none" opens the route
	Enforce  policy.Enforce `yaml:"enforce" json:"enforce"`
	// As `routes list --json` writes them: the setting is that of all, and a
	// route that was only observed decides nothing.
	Inherited bool     `yaml:"enforce_inherited" json:"enforce_inherited"`
	DPoP      string   `yaml:"dpop" json:"dpop"`
	ACR       []string `yaml:"acr" json:"acr"`
	MaxAge    seconds  `yaml:"max_age" json:"max_age"`
	Source    string   `yaml:"source" json:"source"`
}

// seconds is a number of them, as `routes list --json` writes it, or a time as
// the configuration does: 10m.
type seconds int64

func (s *seconds) UnmarshalYAML(value *yaml.Node) error {
	var n int64
	if value.Decode(&n) == nil {
		*s = seconds(n)
		return nil
	}
	if days, ok := strings.CutSuffix(value.Value, "d"); ok {
		n, err := strconv.ParseInt(days, 10, 32)
		*s = seconds(n * 24 * 60 * 60)
		return err
	}
	d, err := time.ParseDuration(value.Value)
	*s = seconds(d / time.Second)
	return err
}

// names is a list of scopes, or one string with spaces between them.
type names []string

func (n *names) UnmarshalYAML(value *yaml.Node) error {
	var one string
	if value.Kind == yaml.ScalarNode {
		if err := value.Decode(&one); err != nil {
			return err
		}
		scope, err := oauth.ParseScope(one)
		*n = names(scope)
		return err
	}
	return value.Decode((*[]string)(n))
}

func (n *names) UnmarshalJSON(b []byte) error {
	if b[0] != '"' {
		return json.Unmarshal(b, (*[]string)(n))
	}
	var one string
	if err := json.Unmarshal(b, &one); err != nil {
		return err
	}
	scope, err := oauth.ParseScope(one)
	*n = names(scope)
	return err
}

// routesDocument is a routes file: a configuration, its gateway section, or the
// answer of `routes list --json`.
type routesDocument struct {
	Routes  []fileRoute `yaml:"routes" json:"routes"`
	Gateway struct {
		Routes []fileRoute `yaml:"routes" json:"routes"`
	} `yaml:"gateway" json:"gateway"`
}

// maxRoutesFile bounds a routes file, in bytes.
const maxRoutesFile = 8 << 20

// ReadRoutes reads routes in the order in which they are tried: YAML or JSON
// with a list of them, alone or under routes or gateway.routes, or one JSON
// object on each line.
func ReadRoutes(r io.Reader) ([]policy.Route, error) {
	raw, err := io.ReadAll(io.LimitReader(r, maxRoutesFile+1))
	if err != nil {
		return nil, fmt.Errorf("routes file: %w", err)
	}
	if len(raw) > maxRoutesFile {
		return nil, fmt.Errorf("routes file: longer than %d MiB", maxRoutesFile>>20)
	}
	written, err := routesOf(raw)
	if err != nil {
		return nil, fmt.Errorf("routes file: %w", err)
	}
	routes := make([]policy.Route, 0, len(written))
	for i, w := range written {
		if w.Source == policy.SourceObserved {
			continue
		}
		route, err := w.route()
		if err != nil {
			return nil, fmt.Errorf("routes file: route %d: %w", i+1, err)
		}
		routes = append(routes, route)
	}
	return routes, nil
}

func routesOf(raw []byte) ([]fileRoute, error) {
	raw = bytes.TrimSpace(bytes.TrimPrefix(raw, []byte("\ufeff")))
	if len(raw) == 0 {
		return nil, errors.New("it is empty: a route looks like {match: \"GET /v1/orders/**\", scopes: [read:orders]}")
	}
	if raw[0] == '{' {
		if routes, ok := routesOfLines(raw); ok {
			return routes, nil
		}
	}
	var node yaml.Node
	if err := yaml.Unmarshal(raw, &node); err != nil {
		return nil, err
	}
	if len(node.Content) == 1 && node.Content[0].Kind == yaml.SequenceNode {
		var routes []fileRoute
		return routes, node.Decode(&routes)
	}
	var doc routesDocument
	if err := node.Decode(&doc); err != nil {
		return nil, err
	}
	routes := append(doc.Routes, doc.Gateway.Routes...)
	if len(routes) == 0 {
		return nil, errors.New("it has no routes: they are a list, alone or under routes or gateway.routes")
	}
	return routes, nil
}

// routesOfLines reads one route on each line; ok is false if it is not that.
func routesOfLines(raw []byte) (routes []fileRoute, ok bool) {
	for line := range bytes.Lines(raw) {
		if len(bytes.TrimSpace(line)) == 0 {
			continue
		}
		var r fileRoute
		if json.Unmarshal(line, &r) != nil || r.Match == "" && r.Template == "" {
			return nil, false
		}
		routes = append(routes, r)
	}
	return routes, true
}

func (w fileRoute) route() (policy.Route, error) {
	match := w.Match
	if match == "" {
		match = w.Method + " " + w.Template
	}
	r, err := policy.ParseRoute(match)
	if err != nil {
		return policy.Route{}, err
	}
	for _, name := range w.Scopes {
		if !oauth.IsScopeName(name) {
			return policy.Route{}, fmt.Errorf("%s: %q is no scope name", match, name)
		}
	}
	switch w.Auth {
	case "", "token", "required":
	case "none":
		r.Open = true
	default:
		return policy.Route{}, fmt.Errorf("%s: auth is %q: it is none, or left out", match, w.Auth)
	}
	r.Demands = policy.Demands{DPoP: w.DPoP == "required", ACR: w.ACR, MaxAge: int64(w.MaxAge)}
	if err := r.Demands.Check(); err != nil {
		return policy.Route{}, fmt.Errorf("%s: %w", match, err)
	}
	r.Scopes, r.Enforce, r.Source = oauth.Scope(w.Scopes), w.Enforce, policy.SourceFile
	if w.Inherited {
		r.Enforce = policy.Unset
	}
	return r, nil
}

// RoutesDocument is routes as ReadRoutes reads them.
func RoutesDocument(routes []policy.Route) any {
	written := make([]fileRoute, 0, len(routes))
	for _, r := range routes {
		w := fileRoute{Match: r.Match(), Scopes: names(r.Scopes), Enforce: r.Enforce, ACR: r.ACR, MaxAge: seconds(r.MaxAge)}
		if r.Open {
			w.Auth = "none"
		}
		if r.DPoP {
			w.DPoP = "required"
		}
		written = append(written, w)
	}
	return written
}
