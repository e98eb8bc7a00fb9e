package api

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/offkey/offkey/internal/audit"
	"github.com/offkey/offkey/internal/oauth"
	"github.com/offkey/offkey/internal/policy"
)

// RuleStore is what the management of routes and of enforcement asks of
// storage.
type RuleStore interface {
	Settings(ctx context.Context) (policy.Settings, error)
	SetRoute(ctx context.Context, r policy.Route, e audit.Event) error
	DeleteRoute(ctx context.Context, match string, e audit.Event) error
	// UpdateSettings changes the settings in one step: change sees them as
	// they are.
	UpdateSettings(ctx context.Context, change func(*policy.Settings) error, e audit.Event) (policy.Settings, error)
}

// routeAnswer is a route as it is shown.
type routeAnswer struct {
	Match    string      `json:"match"`
	Method   string      `json:"method"`
	Template string      `json:"template"`
	Scopes   oauth.Scope `json:"scopes"`
	Auth     string      `json:"auth"`    // required or none
	Enforce  string      `json:"enforce"` // that holds for it
	// Inherited says that it has no setting of its own and takes that of all.
	Inherited bool   `json:"enforce_inherited,omitempty"`
	Source    string `json:"source"`
	DPoP      string `json:"dpop,omitempty"` // required
	// ACR and MaxAge, in seconds, are about the sign-in of the token's person.
	ACR    []string `json:"acr,omitempty"`
	MaxAge int64    `json:"max_age,omitempty"`
	// Calls is given for what was observed and is not yet a rule.
	Calls    int64    `json:"calls,omitempty"`
	DryRun   bool     `json:"dry_run,omitempty"`
	Warnings []string `json:"warnings,omitempty"`
}

func showRoute(r *policy.Route, rules *policy.Ruleset) routeAnswer {
	a := routeAnswer{
		Match: r.Match(), Method: r.Method, Template: r.Template, Scopes: orNone(r.Scopes), Auth: "required",
		Enforce: rules.EnforcementOf(r, "").String(), Inherited: r.Enforce == policy.Unset, Source: r.Source,
	}
	if r.Open {
		a.Auth = "none"
	}
	if r.DPoP {
		a.DPoP = "required"
	}
	a.ACR, a.MaxAge = r.ACR, r.MaxAge
	return a
}

var routeOrders = map[string]func(a, b routeAnswer) int{
	"order": nil, // as they are tried
	"match": func(a, b routeAnswer) int { return strings.Compare(a.Match, b.Match) },
	"calls": func(a, b routeAnswer) int { return cmp.Compare(b.Calls, a.Calls) }, // the most first
}

// listRoutes shows the rules in the order in which they are tried, then what
// was observed and is covered by none, with the scopes proposed for it.
func (s *Server) listRoutes(r *http.Request) (any, error) {
	q, err := readQuery(r, "source", "sort", "limit", "after")
	if err != nil {
		return nil, err
	}
	limit, err := q.number("limit", maxPage, maxPage)
	if err != nil {
		return nil, err
	}
	source := q.text("source")
	if !slices.Contains([]string{"", policy.SourceFile, policy.SourceSet, policy.SourceObserved}, source) {
		return nil, badRequest("it is file, set or observed", "the parameter \"source\" is %q", source)
	}
	rules := s.o.Ruleset()
	var all []routeAnswer
	for _, route := range rules.Routes() {
		all = append(all, showRoute(route, rules))
	}
	if source == "" || source == policy.SourceObserved {
		proposed, err := s.proposals(r.Context(), rules)
		if err != nil {
			return nil, err
		}
		all = append(all, proposed...)
	}
	if source != "" {
		all = slices.DeleteFunc(all, func(a routeAnswer) bool { return a.Source != source })
	}
	id := func(a routeAnswer) string { return a.Source + " " + a.Match }
	if by := q.text("sort"); by != "" && by != "order" {
		if err := sortBy(all, routeOrders, by, id); err != nil {
			return nil, err
		}
	}
	part, next, err := page(all, id, limit, q.text("after"))
	if err != nil {
		return nil, err
	}
	return struct {
		Routes []routeAnswer `json:"routes"`
		Next   *string       `json:"next"`
	}{orNone(part), next}, nil
}

// routeProposal is a route as an operator asks for it.
type routeProposal struct {
	Match   string          `json:"match"`
	Scopes  oauth.Scope     `json:"scopes"`
	Auth    string          `json:"auth"`    // required (default) or none
	Enforce *policy.Enforce `json:"enforce"` // left out: as it was
	DPoP    string          `json:"dpop"`    // required, or optional (default)
	ACR     []string        `json:"acr"`
	MaxAge  int64           `json:"max_age"` // seconds
}

// demands are what it asks of a token beside its scopes.
func (p routeProposal) demands() (policy.Demands, error) {
	if p.DPoP != "" && p.DPoP != "required" && p.DPoP != "optional" {
		return policy.Demands{}, badRequest("it is required or optional", "dpop is %q", p.DPoP)
	}
	d := policy.Demands{DPoP: p.DPoP == "required", ACR: p.ACR, MaxAge: p.MaxAge}
	if err := d.Check(); err != nil {
		return policy.Demands{}, badRequest("", "%v", err)
	}
	return d, nil
}

func (p routeProposal) route(old *policy.Route) (policy.Route, error) {
	route, err := policy.ParseRoute(p.Match)
	if err != nil {
		return policy.Route{}, badRequest("", "%v", err)
	}
	if route.Scopes, err = oauth.ParseScope(strings.Join(p.Scopes, " ")); err != nil {
		return policy.Route{}, badRequest("", "scopes: %v", err)
	}
	if p.Auth != "" && p.Auth != "required" && p.Auth != "none" {
		return policy.Route{}, badRequest("it is required or none", "auth is %q", p.Auth)
	}
	if route.Demands, err = p.demands(); err != nil {
		return policy.Route{}, err
	}
	route.Open, route.Source = p.Auth == "none", policy.SourceSet
	if route.Open && (len(route.Scopes) > 0 || route.DPoP || route.StepUp()) {
		return policy.Route{}, badRequest("leave one of them out", "a route with auth none asks for nothing of a token")
	}
	if old != nil {
		route.Enforce = old.Enforce
	}
	if p.Enforce != nil {
		route.Enforce = *p.Enforce
	}
	return route, nil
}

// ruleOf finds the rule of that match.
func ruleOf(rules *policy.Ruleset, match string) *policy.Route {
	for _, r := range rules.Routes() {
		if r.Match() == match {
			return r
		}
	}
	return nil
}

func routeFromFile(r *policy.Route) error {
	if r == nil || r.Source != policy.SourceFile {
		return nil
	}
	return problem(http.StatusConflict, "declared_in_file", "change it there, then run `offkey config reload`", "route %s is declared in the configuration file under gateway.routes", r.Match())
}

func (s *Server) setRoute(r *http.Request) (any, error) {
	dryRun, err := onlyDryRun(r)
	if err != nil {
		return nil, err
	}
	p, err := readJSON[routeProposal](r)
	if err != nil {
		return nil, err
	}
	parsed, err := policy.ParseRoute(p.Match)
	if err != nil {
		return nil, badRequest("", "%v", err)
	}
	rules := s.o.Ruleset()
	old := ruleOf(rules, parsed.Match())
	if err := routeFromFile(old); err != nil {
		return nil, err
	}
	route, err := p.route(old)
	if err != nil {
		return nil, err
	}
	a := showRoute(&route, rules)
	a.DryRun = dryRun
	if first := coveredBy(rules, route); first != nil {
		a.Warnings = append(a.Warnings, fmt.Sprintf("calls of this route are decided by %s, which the configuration file declares before it", first.Match()))
	}
	if dryRun {
		return a, nil
	}
	return a, s.store.SetRoute(r.Context(), route, event(r, "route.set", route.Match(), a))
}

// coveredBy is the route of the file that takes a call made to fit the route,
// or nil.
func coveredBy(rules *policy.Ruleset, route policy.Route) *policy.Route {
	segments := strings.Split(route.Template, "/")
	for i, segment := range segments {
		if strings.ContainsAny(segment, "*{") {
			segments[i] = "example"
		}
	}
	method := route.Method
	if method == "" {
		method = "GET"
	}
	if first := rules.Match(method, strings.Join(segments, "/")); first != nil && first.Source == policy.SourceFile {
		return first
	}
	return nil
}

func (s *Server) unsetRoute(r *http.Request) (any, error) {
	q, err := readQuery(r, "match", "dry_run")
	if err != nil {
		return nil, err
	}
	dryRun, err := q.flag("dry_run")
	if err != nil {
		return nil, err
	}
	parsed, err := policy.ParseRoute(q.text("match"))
	if err != nil {
		return nil, badRequest("", "%v", err)
	}
	rules := s.o.Ruleset()
	old := ruleOf(rules, parsed.Match())
	if err := routeFromFile(old); err != nil {
		return nil, err
	}
	if old == nil {
		return nil, problem(http.StatusNotFound, "not_found", "see `offkey routes list`", "there is no route %q", parsed.Match())
	}
	a := showRoute(old, rules)
	a.DryRun = dryRun
	if dryRun {
		return a, nil
	}
	return a, s.store.DeleteRoute(r.Context(), old.Match(), event(r, "route.unset", old.Match(), a))
}

// enforcement sets how far the rules are enforced: of one route, of one client,
// or of all.
type enforcement struct {
	Enforce string `json:"enforce"` // off, shadow, on; inherit for a route or a client
	Route   string `json:"route"`
	Client  string `json:"client"`
}

type enforcementAnswer struct {
	Enforce string `json:"enforce"`
	Route   string `json:"route,omitempty"`
	Client  string `json:"client,omitempty"`
	DryRun  bool   `json:"dry_run,omitempty"`
}

func (s *Server) enforce(r *http.Request) (any, error) {
	dryRun, err := onlyDryRun(r)
	if err != nil {
		return nil, err
	}
	p, err := readJSON[enforcement](r)
	if err != nil {
		return nil, err
	}
	var to policy.Enforce
	switch {
	case p.Route != "" && p.Client != "":
		return nil, badRequest("leave one of them out", "enforcement is of a route or of a client")
	case p.Enforce == "inherit" && (p.Route != "" || p.Client != ""):
	case p.Enforce == "":
		return nil, badRequest("it is off, shadow or on", "enforce is missing")
	default:
		if err := to.UnmarshalText([]byte(p.Enforce)); err != nil {
			return nil, badRequest("", "%v", err)
		}
	}
	a := enforcementAnswer{Enforce: p.Enforce, Route: p.Route, Client: p.Client, DryRun: dryRun}
	switch {
	case p.Route != "":
		return a, s.enforceRoute(r, p.Route, to, dryRun)
	case p.Client != "":
		c, err := s.findClient(r.Context(), p.Client)
		if err != nil {
			return nil, err
		}
		a.Client = c.ID
		return a, s.enforceClient(r, c.ID, to, dryRun)
	}
	if err := s.declared("gateway.enforce"); err != nil || dryRun {
		return a, err
	}
	_, err = s.store.UpdateSettings(r.Context(), func(set *policy.Settings) error {
		set.Enforce = to
		return nil
	}, event(r, "enforce.set", "all", a))
	return a, err
}

func (s *Server) enforceRoute(r *http.Request, match string, to policy.Enforce, dryRun bool) error {
	parsed, err := policy.ParseRoute(match)
	if err != nil {
		return badRequest("", "%v", err)
	}
	route := ruleOf(s.o.Ruleset(), parsed.Match())
	if route == nil {
		return problem(http.StatusNotFound, "not_found", fmt.Sprintf("make it with `offkey routes set %q SCOPE`", parsed.Match()), "there is no route %q", parsed.Match())
	}
	if err := routeFromFile(route); err != nil || dryRun {
		return err
	}
	changed := *route
	changed.Enforce = to
	return s.store.SetRoute(r.Context(), changed, event(r, "enforce.set", "route:"+changed.Match(), map[string]string{"enforce": to.String()}))
}

func (s *Server) enforceClient(r *http.Request, id string, to policy.Enforce, dryRun bool) error {
	if dryRun {
		return nil
	}
	_, err := s.store.UpdateSettings(r.Context(), func(set *policy.Settings) error {
		if to == policy.Unset {
			delete(set.ClientEnforce, id)
			return nil
		}
		if set.ClientEnforce == nil {
			set.ClientEnforce = map[string]policy.Enforce{}
		}
		set.ClientEnforce[id] = to
		return nil
	}, event(r, "enforce.set", "client:"+id, map[string]string{"enforce": to.String()}))
	return err
}

func onlyDryRun(r *http.Request) (bool, error) {
	q, err := readQuery(r, "dry_run")
	if err != nil {
		return false, err
	}
	return q.flag("dry_run")
}

// proposals are the operations that were seen and that no rule is for.
func (s *Server) proposals(ctx context.Context, rules *policy.Ruleset) ([]routeAnswer, error) {
	observed, err := s.o.Road.Observed(ctx)
	if err != nil {
		return nil, err
	}
	out := make([]routeAnswer, 0, len(observed))
	for _, o := range observed {
		out = append(out, routeAnswer{
			Match: o.Method + " " + o.Template, Method: o.Method, Template: o.Template, Scopes: orNone(o.Scopes),
			Auth: "required", Enforce: rules.EnforcementOf(nil, "").String(), Inherited: true, Source: policy.SourceObserved, Calls: o.Calls,
		})
	}
	return out, nil
}
