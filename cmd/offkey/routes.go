package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/offkey/offkey/internal/app"
	"github.com/offkey/offkey/internal/config"
	"github.com/offkey/offkey/internal/oauth"
	"github.com/offkey/offkey/internal/policy"
)

// routesCmd groups what operators do about routes and their scopes.
type routesCmd struct {
	List    routesListCmd    `cmd:"" help:"List the rules, and what was seen without one."`
	Set     routesSetCmd     `cmd:"" help:"Say which scopes a route needs."`
	Unset   routesUnsetCmd   `cmd:"" help:"Remove a rule."`
	Enforce routesEnforceCmd `cmd:"" help:"Say how far the rules are enforced."`
	Test    routesTestCmd    `cmd:"" help:"Say how a call would be answered, without making it."`
}

type routeDoc struct {
	Match    string   `json:"match"`
	Scopes   []string `json:"scopes"`
	Auth     string   `json:"auth"`
	Enforce  string   `json:"enforce"`
	AsAll    bool     `json:"enforce_inherited"`
	Source   string   `json:"source"`
	Calls    int64    `json:"calls"`
	Warnings []string `json:"warnings"`
	DPoP     string   `json:"dpop"`
	ACR      []string `json:"acr"`
	MaxAge   int64    `json:"max_age"`
}

// more is what a route asks of a token beside its scopes, in words.
func (r routeDoc) more() string {
	var b strings.Builder
	if r.DPoP == "required" {
		b.WriteString(", bound to a DPoP key")
	}
	if len(r.ACR) > 0 {
		b.WriteString(", signed in by " + strings.Join(r.ACR, " or "))
	}
	if r.MaxAge > 0 {
		b.WriteString(", at most " + config.Duration(time.Duration(r.MaxAge)*time.Second).String() + " ago")
	}
	return b.String()
}

type routesListCmd struct {
	operatorFlags
	listFlags
	Source string `placeholder:"SOURCE" help:"Only of file, set or observed."`
	Sort   string `placeholder:"BY" enum:",order,match,calls" default:"" help:"order (default: as they are tried), match or calls."`
}

func (routesListCmd) Help() string {
	return `Examples:
  offkey routes list
  offkey routes list --source observed --sort calls
  offkey routes list --json | jq -r '.routes[] | select(.source == "observed") | .match'

The first rule that matches decides: those of the file in its order, then those set here, the closest first. Routes of
source observed were seen in traffic and have no rule; the scopes are a proposal.`
}

// Run lists.
func (c *routesListCmd) Run(ctx context.Context, t *terminal) error {
	found, err := c.connect().list(ctx, "/routes", "routes", parameters("source", c.Source, "sort", c.Sort, "after", c.After), c.Limit)
	if err != nil {
		return err
	}
	return c.show(t, "routes", found, []string{"match", "method", "template", "scopes", "auth", "enforce", "source", "calls"}, func() error {
		var rows [][]string
		for _, item := range found.items {
			var r routeDoc
			if err := json.Unmarshal(item, &r); err != nil {
				return err
			}
			scopes := strings.Join(r.Scopes, " ")
			if r.Auth == "none" {
				scopes = "(open)"
			}
			calls := ""
			if r.Source == policy.SourceObserved {
				calls = thousands(r.Calls)
			}
			enforce := r.Enforce
			if r.AsAll {
				enforce += ", as all"
			}
			rows = append(rows, []string{r.Match, orDash(strings.TrimPrefix(scopes+r.more(), ", ")), enforce, r.Source, calls})
		}
		if len(rows) == 0 {
			t.say("No routes. They show up here as calls come in; `offkey routes set` makes a rule.")
			return nil
		}
		return writeTable(t.Out, []column{{head: "ROUTE"}, {head: "SCOPES"}, {head: "ENFORCE"}, {head: "SOURCE"}, {head: "CALLS", right: true}}, rows)
	})
}

type routesSetCmd struct {
	operatorFlags
	Match   string   `arg:"" help:"Method and path pattern, as in \"GET /v1/orders/**\"."`
	Scopes  []string `arg:"" optional:"" name:"scope" help:"Scopes that a token needs, all of them."`
	Open    bool     `help:"Calls pass without a credential."`
	Enforce string   `enum:",off,shadow,on" default:"" placeholder:"HOW" help:"off, shadow or on, for this route alone."`
	DPoP    bool     `name:"dpop" help:"Tokens must be bound to a DPoP key."`
	ACR     []string `name:"acr" placeholder:"ACR" help:"How the token's person must have signed in: one of these. May be given several times."`
	MaxAge  string   `name:"max-age" placeholder:"TIME" help:"How long ago that may be, as in 10m."`
	DryRun  bool     `help:"Change nothing."`
}

func (routesSetCmd) Help() string {
	return `Examples:
  offkey routes set "GET /v1/orders/**" read:orders
  offkey routes set "POST /v1/orders" create:orders --enforce shadow
  offkey routes set "GET /health" --open
  offkey routes set "POST /v1/payments" create:payments --dpop --max-age 10m

In a pattern {name} and * stand for one segment, ** at the end for any number. GET also takes HEAD. A route without
a method is for all of them.`
}

// Run sets.
func (c *routesSetCmd) Run(ctx context.Context, t *terminal) error {
	body := map[string]any{"match": c.Match, "scopes": append([]string{}, c.Scopes...)}
	if c.Open {
		body["auth"] = "none"
	}
	if c.Enforce != "" {
		body["enforce"] = c.Enforce
	}
	if c.DPoP {
		body["dpop"] = "required"
	}
	if len(c.ACR) > 0 {
		body["acr"] = c.ACR
	}
	if c.MaxAge != "" {
		var age config.Duration
		if err := age.UnmarshalText([]byte(c.MaxAge)); err != nil {
			return wrongUsage("--max-age "+err.Error(), "")
		}
		body["max_age"] = int64(time.Duration(age) / time.Second)
	}
	var raw json.RawMessage
	if err := c.connect().send(ctx, "PUT", "/routes", parameters("dry_run", whenTrue(c.DryRun)), body, &raw); err != nil {
		return err
	}
	if t.JSON {
		return t.document(raw)
	}
	var r routeDoc
	if err := json.Unmarshal(raw, &r); err != nil {
		return err
	}
	for _, w := range r.Warnings {
		t.warn("%s", w)
	}
	needs := "needs " + strings.Join(r.Scopes, " ")
	switch {
	case r.Auth == "none":
		needs = "is open"
	case len(r.Scopes) == 0:
		needs = "needs a credential and no scope"
	}
	needs += r.more()
	if c.DryRun {
		t.say("%s would say: %s. Nothing was changed.", r.Match, needs)
		return nil
	}
	t.done("%s %s", r.Match, needs)
	return nil
}

type routesUnsetCmd struct {
	operatorFlags
	Match  string `arg:"" help:"The rule, as routes list shows it."`
	DryRun bool   `help:"Change nothing."`
}

func (routesUnsetCmd) Help() string {
	return `Examples:
  offkey routes unset "GET /v1/orders/**"`
}

// Run removes.
func (c *routesUnsetCmd) Run(ctx context.Context, t *terminal) error {
	var raw json.RawMessage
	if err := c.connect().send(ctx, "DELETE", "/routes", parameters("match", c.Match, "dry_run", whenTrue(c.DryRun)), nil, &raw); err != nil {
		return err
	}
	switch {
	case t.JSON:
		return t.document(raw)
	case c.DryRun:
		t.say("The rule %s would be removed. Nothing was changed.", c.Match)
	default:
		t.done("rule %s removed", c.Match)
	}
	return nil
}

type routesEnforceCmd struct {
	operatorFlags
	Enforce string `arg:"" enum:"off,shadow,on,inherit" help:"off: calls pass. shadow: what would be refused is counted. on: it is refused. inherit takes back a setting of a route or client."`
	Route   string `xor:"of" placeholder:"MATCH" help:"Of this route alone."`
	Client  string `xor:"of" placeholder:"CLIENT" help:"Of this client alone."`
	DryRun  bool   `help:"Change nothing."`
}

func (routesEnforceCmd) Help() string {
	return `Examples:
  offkey plan observe --enforce on         # first see whose calls would be refused
  offkey routes enforce shadow
  offkey routes enforce on --client billing
  offkey routes enforce off                # takes it back within a second

What is set for a client wins over what is set for a route, and that over what is set for all.`
}

// Run enforces.
func (c *routesEnforceCmd) Run(ctx context.Context, t *terminal) error {
	body := map[string]string{"enforce": c.Enforce, "route": c.Route, "client": c.Client}
	var lost, all int64
	if c.Enforce == "on" && c.Route == "" && c.Client == "" && !t.JSON {
		lost, all = c.recorded(ctx)
	}
	var raw json.RawMessage
	if err := c.connect().send(ctx, "POST", "/routes/enforce", parameters("dry_run", whenTrue(c.DryRun)), body, &raw); err != nil {
		return err
	}
	of := "all routes and clients without a setting of their own"
	switch {
	case c.Route != "":
		of = "route " + c.Route
	case c.Client != "":
		of = "client " + c.Client
	}
	switch {
	case t.JSON:
		return t.document(raw)
	case c.DryRun:
		t.say("Enforcement of %s would be %s. Nothing was changed.", of, c.Enforce)
	default:
		t.done("enforcement of %s is %s", of, c.Enforce)
	}
	if lost > 0 {
		t.warn("of %s in 14 days %s would have been refused by it: `offkey plan observe --enforce on` says whose; `offkey routes enforce off` takes it back",
			count(all, "recorded call"), thousands(lost))
	}
	return nil
}

// recorded is how many of the recorded calls would be refused by routes and
// scopes, if all were enforced; 0 where nobody can tell. Somebody who enforces
// before there are rules refuses everything.
func (c *routesEnforceCmd) recorded(ctx context.Context) (lost, all int64) {
	var plan planDoc
	if err := c.connect().send(ctx, "POST", "/plan", nil, map[string]string{"stage": "inherit", "enforce": "on"}, &plan); err != nil {
		return 0, 0 // what is wrong shows in the change itself
	}
	for _, row := range plan.Callers {
		if !strings.HasPrefix(row.Reason, "apikey_") { // those are refused for their stage
			lost += row.Calls
		}
	}
	return lost, plan.Calls
}

type routesTestCmd struct {
	operatorFlags
	Method      string  `arg:"" help:"GET, POST, …"`
	Path        string  `arg:"" help:"As it is sent, as in /v1/orders/7."`
	APIKey      string  `name:"apikey" placeholder:"ID" xor:"who" help:"As a call with this apikey, by id."`
	APIKeyStdin bool    `name:"apikey-stdin" xor:"who" help:"As a call with the apikey on standard input."`
	TokenStdin  bool    `name:"token-stdin" xor:"who" help:"As a call with the token on standard input."`
	Client      string  `placeholder:"CLIENT" xor:"who" help:"As a call with a token of this client."`
	Scopes      *string `placeholder:"LIST" help:"With --client or --routes: the scopes of its token. Default: all it may ask for."`
	Routes      string  `type:"path" placeholder:"FILE" help:"Ask the rules in this file, without a running offkey."`
}

func (routesTestCmd) Help() string {
	return `Examples:
  offkey routes test GET /v1/orders/7
  offkey routes test POST /v1/orders --client billing --scopes "read:orders"
  offkey token | offkey routes test GET /v1/orders/7 --token-stdin
  offkey routes test GET /v1/orders/7 --routes routes.yaml --scopes "read:orders"

The function that answers is the one that the gateway asks. Exit code 0 whatever the answer is.`
}

type trialDoc struct {
	Decision string   `json:"decision"`
	Code     string   `json:"code"`
	Status   int      `json:"status,omitempty"`
	Rule     *string  `json:"rule"`
	Scopes   []string `json:"scopes"`
	Path     string   `json:"path"`
	Enforce  string   `json:"enforce"`
	Shadow   string   `json:"shadow,omitempty"`
	Problem  string   `json:"problem,omitempty"`
	Stage    string   `json:"stage,omitempty"`
}

// Run asks.
func (c *routesTestCmd) Run(ctx context.Context, t *terminal) error {
	if c.Routes != "" {
		d, err := c.offline(t)
		if err != nil {
			return err
		}
		if t.JSON {
			return t.document(d)
		}
		return d.print(t)
	}
	body := map[string]any{"method": c.Method, "path": c.Path, "apikey": c.APIKey, "client": c.Client}
	if c.Scopes != nil {
		body["scopes"] = append([]string{}, strings.Fields(*c.Scopes)...)
	}
	for member, wanted := range map[string]bool{"apikey_secret": c.APIKeyStdin, "token": c.TokenStdin} {
		if wanted {
			secret, err := readSecret(t.In, "standard input")
			if err != nil {
				return err
			}
			body[member] = secret
		}
	}
	var raw json.RawMessage
	if err := c.connect().send(ctx, "POST", "/routes/test", nil, body, &raw); err != nil {
		return err
	}
	if t.JSON {
		return t.document(raw)
	}
	var d trialDoc
	if err := json.Unmarshal(raw, &d); err != nil {
		return err
	}
	return d.print(t)
}

func (d trialDoc) print(t *terminal) error {
	word, colour := "refused", "31"
	if d.Decision == "allow" {
		word, colour = "allowed", "32"
	}
	answer := t.paint(colour, word) + " (" + d.Code
	if d.Status != 0 {
		answer += fmt.Sprintf(", %d", d.Status)
	}
	if _, err := fmt.Fprintln(t.Out, answer+")"); err != nil {
		return err
	}
	rule := "none"
	if d.Rule != nil {
		rule = *d.Rule
	}
	shadow := ""
	if d.Shadow != "" {
		shadow = d.Shadow + " (counted as a refusal, not yet refused)"
	}
	return writePairs(t.Out, [][2]string{
		{"path", d.Path}, {"rule", rule}, {"needs", orDash(strings.Join(d.Scopes, " "))}, {"enforce", d.Enforce}, {"stage", d.Stage},
		{"shadow", shadow}, {"ambiguous", d.Problem},
	})
}

// offline asks the rules of a file, as strict as they can be: what is tested
// there are the rules, not what is in force somewhere.
func (c *routesTestCmd) offline(t *terminal) (trialDoc, error) {
	if c.APIKey != "" || c.APIKeyStdin || c.TokenStdin || c.Client != "" {
		return trialDoc{}, wrongUsage("a file knows no apikeys, clients and tokens", "leave them out; --scopes says what a token would have")
	}
	routes, err := readRoutes(c.Routes)
	if err != nil {
		return trialDoc{}, err
	}
	target := policy.ParseTarget(c.Path)
	if target.Refused() || c.Method != strings.ToUpper(c.Method) {
		return trialDoc{}, wrongUsage(fmt.Sprintf("%s %s is no call", c.Method, c.Path), "write it as GET /v1/orders/7")
	}
	who := policy.Principal{}
	if c.Scopes != nil {
		scope, err := oauth.ParseScope(*c.Scopes)
		if err != nil {
			var e *oauth.Error
			errors.As(err, &e)
			return trialDoc{}, wrongUsage("--scopes: "+e.Description, "")
		}
		who = policy.Principal{Kind: policy.TokenClient, Scope: scope}
	}
	rules := policy.Ruleset{Enforce: policy.On}.Build(routes, nil)
	d := rules.Decide(who, policy.Call{Method: c.Method, Path: target.Path, Problem: string(target.Problem), At: t.Now()})
	out := trialDoc{
		Decision: "deny", Code: d.Code, Status: d.Status, Scopes: []string{}, Path: target.Path, Problem: string(target.Problem),
		Enforce: rules.EnforcementOf(d.Route, "").String(), Shadow: d.Shadow,
	}
	if d.Allow {
		out.Decision = "allow"
	}
	if d.Route != nil {
		match := d.Route.Match()
		out.Rule, out.Scopes = &match, append(out.Scopes, d.Route.Scopes...)
	}
	return out, nil
}

// readRoutes reads the rules of a file.
func readRoutes(path string) ([]policy.Route, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, wrongUsage("the file "+path+" cannot be read: "+fileCause(err), "check the path")
	}
	defer file.Close()
	routes, err := app.ReadRoutes(file)
	if err != nil {
		return nil, wrongUsage(path+": "+err.Error(), "write routes as under gateway.routes of a configuration")
	}
	return routes, nil
}
