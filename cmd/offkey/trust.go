package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// trustCmd groups what operators do about tokens of other issuers.
type trustCmd struct {
	List    trustListCmd    `cmd:"" help:"List the trust rules."`
	Add     trustAddCmd     `cmd:"" help:"Let tokens of another issuer stand for a client."`
	Show    trustShowCmd    `cmd:"" help:"Show a trust rule."`
	Test    trustTestCmd    `cmd:"" help:"Say what would become of a token, and why."`
	Disable trustDisableCmd `cmd:"" help:"Trust a rule no longer, and revoke the tokens of its client."`
	Enable  trustEnableCmd  `cmd:"" help:"Trust a disabled rule again."`
	Remove  trustRemoveCmd  `cmd:"" help:"Remove a trust rule, and revoke the tokens of its client."`
}

type trustDoc struct {
	ID       string   `json:"id"`
	Name     string   `json:"name"`
	For      string   `json:"for"`
	ClientID string   `json:"client_id"`
	Kind     string   `json:"kind"`
	Issuer   string   `json:"issuer"`
	JWKSURI  string   `json:"jwks_uri"`
	Keys     []string `json:"keys"`
	Audience []string `json:"audience"`
	Subject  string   `json:"subject"`
	Where    []struct {
		Claim string   `json:"claim"`
		AnyOf []string `json:"any_of"`
	} `json:"where"`
	MaxAge   string    `json:"max_age"`
	Reusable bool      `json:"reusable"`
	Disabled bool      `json:"disabled"`
	Source   string    `json:"source"`
	Created  time.Time `json:"created"`
}

func (d trustDoc) status() string {
	if d.Disabled {
		return "disabled"
	}
	return "active"
}

// standsFor is what its tokens are good for.
func (d trustDoc) standsFor() string {
	if d.For == "client" {
		return d.ClientID
	}
	return d.For
}

func (d trustDoc) print(t *terminal) error {
	rows := [][2]string{
		{"rule", d.ID}, {"name", d.Name}, {"status", d.status()}, {"stands for", d.standsFor()}, {"issuer", d.Issuer}, {"keys from", d.JWKSURI}, {"keys", strings.Join(d.Keys, " ")},
		{"audience", strings.Join(d.Audience, " ")}, {"subject", d.Subject},
	}
	for _, c := range d.Where {
		rows = append(rows, [2]string{"claim", c.Claim + " is " + strings.Join(c.AnyOf, " or ")})
	}
	once := "once"
	if d.Reusable {
		once = "until it expires"
	}
	rows = append(rows, [2]string{"max age", d.MaxAge}, [2]string{"a token is good", once}, [2]string{"source", d.Source}, [2]string{"created", day(d.Created)})
	return writePairs(t.Out, rows)
}

var trustMembers = []string{"id", "name", "for", "client_id", "issuer", "subject", "audience", "disabled", "source", "created"}

type trustListCmd struct {
	operatorFlags
	listFlags
	Client string `placeholder:"CLIENT" help:"Only for this client."`
}

func (trustListCmd) Help() string {
	return `Examples:
  offkey trust list
  offkey trust list --client deploy --json`
}

// Run lists.
func (c *trustListCmd) Run(ctx context.Context, t *terminal) error {
	found, err := c.connect().list(ctx, "/trust", "trust", parameters("client", c.Client, "after", c.After), c.Limit)
	if err != nil {
		return err
	}
	return c.show(t, "trust", found, trustMembers, func() error {
		var rows [][]string
		for _, item := range found.items {
			var d trustDoc
			if err := json.Unmarshal(item, &d); err != nil {
				return err
			}
			rows = append(rows, []string{d.ID, d.Name, d.status(), d.standsFor(), d.Issuer, d.Subject})
		}
		if len(rows) == 0 {
			t.say("No trust rules. `offkey trust add` lets a workload come with the token that its platform gives it.")
			return nil
		}
		return writeTable(t.Out, []column{{head: "RULE"}, {head: "NAME"}, {head: "STATUS"}, {head: "STANDS FOR"}, {head: "ISSUER"}, {head: "SUBJECT"}}, rows)
	})
}

type trustAddCmd struct {
	operatorFlags
	GitHub     string   `name:"github" xor:"from" placeholder:"ORG/REPO[:CONTEXT]" help:"Workflows of GitHub Actions."`
	GitLab     string   `name:"gitlab" xor:"from" placeholder:"GROUP/PROJECT[:CONTEXT]" help:"Jobs of GitLab CI at gitlab.com."`
	Kubernetes string   `xor:"from" placeholder:"URL" help:"Service accounts of a cluster, by its issuer; name them with --subject."`
	SPIFFE     string   `name:"spiffe" xor:"from" placeholder:"TRUST_DOMAIN[/PATH]" help:"Workloads of a SPIFFE trust domain; its bundle is at --jwks-uri or in --jwks-file."`
	Issuer     string   `xor:"from" placeholder:"URL" help:"Any other issuer of JWTs."`
	Client     string   `placeholder:"CLIENT" help:"The client that the tokens stand for; it has auth federated_jwt."`
	For        string   `placeholder:"USE" help:"client (default); statements: the issuer vouches for clients that register; people: its assertions let clients act for people who sign in there."`
	Name       string   `placeholder:"NAME" help:"For people. Default: where the tokens come from."`
	Subject    string   `placeholder:"PATTERN" help:"sub of the tokens; * stands for a part without : and /, a final ** for all that follows."`
	Claim      []string `sep:"none" placeholder:"NAME=PATTERN" help:"A claim that must match; repeat for several. /a/b is member b of claim a."`
	Audience   []string `sep:"none" placeholder:"AUD" help:"Audience that tokens may have; repeat for several. Default: our issuer."`
	JWKSURI    string   `name:"jwks-uri" xor:"keys" placeholder:"URL" help:"Where the issuer's keys are. Default: as its metadata says."`
	JWKSFile   string   `name:"jwks-file" xor:"keys" type:"path" placeholder:"FILE" help:"The issuer's public keys, where they cannot be fetched; - is stdin."`
	MaxAge     string   `placeholder:"TIME" help:"How long ago a token may have been made, as in 10m."`
	Reusable   *bool    `negatable:"" help:"A token may come again until it expires. Default: for Kubernetes and SPIFFE, which hand the same one out several times."`
	DryRun     bool     `help:"Add nothing, show how it would be."`
}

func (trustAddCmd) Help() string {
	return `Examples:
  offkey clients create --name deploy --auth federated_jwt --scopes "create:releases"
  offkey trust add --client deploy --github acme/shop:environment:production
  offkey trust add --client deploy --github acme/shop:ref:refs/heads/main --claim repository_id=74
  offkey trust add --client api --kubernetes https://k8s.example --subject system:serviceaccount:prod:api
  offkey trust add --client api --spiffe acme.example/ns/prod/sa/api --jwks-uri https://spire.acme.example/bundle
  offkey trust add --for people --issuer https://login.corp.example

The workload keeps no secret: it sends the token of its platform as client_assertion, or as the assertion of the grant
urn:ietf:params:oauth:grant-type:jwt-bearer. All that a rule says must hold; see with ` + "`offkey trust test`" + `.`
}

// from writes the source in one word, as the file has it.
func (c *trustAddCmd) from() string {
	for prefix, value := range map[string]string{"github:": c.GitHub, "gitlab:": c.GitLab, "kubernetes:": c.Kubernetes, "spiffe://": strings.TrimPrefix(c.SPIFFE, "spiffe://"), "": c.Issuer} {
		if value != "" {
			return prefix + value
		}
	}
	return ""
}

// Run adds.
func (c *trustAddCmd) Run(ctx context.Context, t *terminal) error {
	from := c.from()
	if from == "" {
		return wrongUsage("where the tokens come from was not given", "give one of --github, --gitlab, --kubernetes, --spiffe, --issuer")
	}
	where, err := conditions(c.Claim)
	if err != nil {
		return err
	}
	body := map[string]any{"from": from}
	for member, value := range map[string]string{"client": c.Client, "for": c.For, "name": c.Name, "subject": c.Subject, "jwks_uri": c.JWKSURI, "max_age": c.MaxAge} {
		if value != "" {
			body[member] = value
		}
	}
	if len(where) > 0 {
		body["where"] = where
	}
	if len(c.Audience) > 0 {
		body["audience"] = c.Audience
	}
	if c.Reusable != nil {
		body["reusable"] = *c.Reusable
	}
	if c.JWKSFile != "" {
		if body["jwks"], err = t.readJWKS(c.JWKSFile); err != nil {
			return err
		}
	}
	var raw json.RawMessage
	if err := c.connect().send(ctx, "POST", "/trust", parameters("dry_run", whenTrue(c.DryRun)), body, &raw); err != nil {
		return err
	}
	return t.finishTrust(raw, c.DryRun, func(d trustDoc) string {
		if d.For == "people" {
			return fmt.Sprintf("trust rule %s: assertions of %s let clients act for people who sign in by it", d.ID, d.Issuer)
		}
		return fmt.Sprintf("trust rule %s: tokens of %s with sub %s stand for %s", d.ID, d.Issuer, d.Subject, d.standsFor())
	})
}

// conditions reads NAME=PATTERN; the same name again is another value.
func conditions(claims []string) (map[string][]string, error) {
	where := map[string][]string{}
	for _, c := range claims {
		name, value, ok := strings.Cut(c, "=")
		if !ok || name == "" || value == "" {
			return nil, wrongUsage("--claim "+c+" is no condition", "write it as --claim repository_owner=acme")
		}
		where[name] = append(where[name], value)
	}
	return where, nil
}

// finishTrust shows what became of a rule.
func (t *terminal) finishTrust(raw json.RawMessage, dryRun bool, words func(d trustDoc) string) error {
	if t.JSON {
		return t.document(raw)
	}
	var d trustDoc
	if err := json.Unmarshal(raw, &d); err != nil {
		return err
	}
	if dryRun {
		if err := d.print(t); err != nil {
			return err
		}
		t.say("This is the rule. Nothing was changed.")
		return nil
	}
	t.done("%s", printable(words(d)))
	return nil
}

type trustShowCmd struct {
	operatorFlags
	Rule string `arg:"" help:"Its id, a unique beginning of it, or its name."`
}

func (trustShowCmd) Help() string { return "Examples:\n  offkey trust show github:acme/shop" }

// Run shows.
func (c *trustShowCmd) Run(ctx context.Context, t *terminal) error {
	var raw json.RawMessage
	if err := c.connect().get(ctx, at("/trust/%s", c.Rule), nil, &raw); err != nil {
		return err
	}
	if t.JSON {
		return t.document(raw)
	}
	var d trustDoc
	if err := json.Unmarshal(raw, &d); err != nil {
		return err
	}
	return d.print(t)
}

// trustChange is what the commands have in common that change a rule.
type trustChange struct {
	operatorFlags
	Rule   string `arg:"" help:"Its id, a unique beginning of it, or its name."`
	DryRun bool   `help:"Change nothing, only show the rule."`
}

func (c *trustChange) run(ctx context.Context, t *terminal, method, path, became string) error {
	var raw json.RawMessage
	if err := c.connect().send(ctx, method, at(path, c.Rule), parameters("dry_run", whenTrue(c.DryRun)), nil, &raw); err != nil {
		return err
	}
	return t.finishTrust(raw, c.DryRun, func(d trustDoc) string { return fmt.Sprintf("trust rule %s (%s) %s", d.Name, d.ID, became) })
}

type trustDisableCmd struct{ trustChange }

func (trustDisableCmd) Help() string { return "Examples:\n  offkey trust disable github:acme/shop" }

// Run disables.
func (c *trustDisableCmd) Run(ctx context.Context, t *terminal) error {
	return c.run(ctx, t, "POST", "/trust/%s/disable", "is disabled, and the tokens of its client are refused")
}

type trustEnableCmd struct{ trustChange }

func (trustEnableCmd) Help() string { return "Examples:\n  offkey trust enable github:acme/shop" }

// Run enables.
func (c *trustEnableCmd) Run(ctx context.Context, t *terminal) error {
	return c.run(ctx, t, "POST", "/trust/%s/enable", "is in force again")
}

type trustRemoveCmd struct {
	trustChange
	Yes bool `help:"Do not ask."`
}

func (trustRemoveCmd) Help() string {
	return `Examples:
  offkey trust remove github:acme/shop --dry-run
  offkey trust remove github:acme/shop --yes`
}

// Run removes.
func (c *trustRemoveCmd) Run(ctx context.Context, t *terminal) error {
	if !c.DryRun {
		if err := t.confirm(c.Yes, "Trust rule "+c.Rule+" will be gone, and the tokens of its client refused. Remove it?"); err != nil {
			return err
		}
	}
	return c.run(ctx, t, "DELETE", "/trust/%s", "removed, and the tokens of its client are refused")
}

type trustTestCmd struct {
	operatorFlags
}

func (trustTestCmd) Help() string {
	return `Examples:
  offkey trust test < token.jwt
  kubectl create token api --audience https://auth.example.com | offkey trust test

The token is read from standard input. It is not spent and not kept. The exit code is 6 if no rule fits.`
}

// maxForeignToken bounds a token on standard input, in bytes.
const maxForeignToken = 64 << 10

type examinedDoc struct {
	Issuer   string `json:"issuer"`
	Subject  string `json:"subject"`
	Matched  string `json:"matched"`
	ClientID string `json:"client_id"`
	Reason   string `json:"reason"`
	Rules    []struct {
		ID         string `json:"id"`
		Name       string `json:"name"`
		Matches    bool   `json:"matches"`
		Conditions []struct {
			Condition string `json:"condition"`
			OK        bool   `json:"ok"`
			Want      string `json:"want"`
			Got       string `json:"got"`
		} `json:"conditions"`
	} `json:"rules"`
}

// Run tests.
func (c *trustTestCmd) Run(ctx context.Context, t *terminal) error {
	token, err := readUpTo(t.In, "standard input", maxForeignToken)
	if err != nil {
		return err
	}
	var raw json.RawMessage
	if err := c.connect().send(ctx, "POST", "/trust/test", nil, map[string]string{"token": strings.TrimSpace(string(token))}, &raw); err != nil {
		return err
	}
	var d examinedDoc
	if err := json.Unmarshal(raw, &d); err != nil {
		return err
	}
	if t.JSON {
		err = t.document(raw)
	} else {
		err = d.print(t)
	}
	if err == nil && d.Matched == "" {
		err = &failure{exit: exitUnmet, code: "no_trust", message: "the token stands for nobody: " + d.Reason}
	}
	return err
}

func (d examinedDoc) print(t *terminal) error {
	if err := writePairs(t.Out, [][2]string{{"issuer", d.Issuer}, {"subject", d.Subject}, {"stands for", d.ClientID}, {"by rule", d.Matched}}); err != nil {
		return err
	}
	for _, r := range d.Rules {
		fmt.Fprintf(t.Out, "\n%s\n", printable(r.ID+" "+r.Name))
		var rows [][]string
		for _, f := range r.Conditions {
			verdict := "ok"
			if !f.OK {
				verdict = "NO"
			}
			rows = append(rows, []string{f.Condition, verdict, f.Got, f.Want})
		}
		if err := writeTable(t.Out, []column{{head: "CONDITION"}, {head: ""}, {head: "TOKEN"}, {head: "RULE"}}, rows); err != nil {
			return err
		}
	}
	return nil
}
