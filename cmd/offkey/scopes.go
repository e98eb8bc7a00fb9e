package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/offkey/offkey/internal/app"
)

// scopesCmd groups what finds scopes, and says what they are.
type scopesCmd struct {
	Design   scopesDesignCmd   `cmd:"" help:"Propose scopes for the API's operations."`
	Infer    scopesInferCmd    `cmd:"" help:"Say which scopes each caller needs, by what it called."`
	Describe scopesDescribeCmd `cmd:"" help:"Say what a scope opens, in words that people read."`
}

// sourceFlags say what scopes are found from.
type sourceFlags struct {
	OpenAPI string `name:"openapi" type:"path" placeholder:"FILE" help:"The API's document: OpenAPI 3 or Swagger 2, YAML or JSON."`
	Routes  string `type:"path" placeholder:"FILE" help:"Rules from a file; their scopes stay as they are."`
	Traffic string `type:"path" placeholder:"FILE" help:"Recorded calls from a file, one JSON object per line; - is standard input. No running offkey is asked."`
	Actions string `enum:"auto,fine,coarse" default:"auto" placeholder:"HOW" help:"fine: read, create, update, delete, admin. coarse: read, write. auto: fine, unless that makes more than 150 scopes."`
}

// sources opens the files that are given.
func (f sourceFlags) sources(t *terminal) (s app.ScopeSources, err error) {
	s.Actions = app.ScopeActions(f.Actions)
	if f.OpenAPI != "" {
		if s.OpenAPI, err = t.readInput(f.OpenAPI, maxOpenAPI); err != nil {
			return s, err
		}
	}
	if f.Routes != "" {
		if s.Routes, err = readRoutes(f.Routes); err != nil {
			return s, err
		}
	}
	switch f.Traffic {
	case "":
	case "-":
		raw, err := io.ReadAll(io.LimitReader(t.In, maxTrafficInput+1)) // it is read twice
		if err != nil {
			return s, err
		}
		if len(raw) > maxTrafficInput {
			return s, wrongUsage(fmt.Sprintf("standard input has more than %d MiB", maxTrafficInput>>20), "give a file")
		}
		s.Traffic = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(raw)), nil }
	default:
		if _, err := os.Stat(f.Traffic); err != nil {
			return s, wrongUsage("the file "+f.Traffic+" cannot be read: "+fileCause(err), "check the path")
		}
		s.Traffic = func() (io.ReadCloser, error) { return os.Open(f.Traffic) }
	}
	return s, nil
}

const maxTrafficInput = 256 << 20

type scopesDesignCmd struct {
	operatorFlags
	sourceFlags
}

func (scopesDesignCmd) Help() string {
	return `Examples:
  offkey scopes design                                # from what the running offkey has seen
  offkey scopes design --openapi openapi.yaml --json
  offkey scopes design --traffic observations.jsonl

Scopes that the document or the routes declare stay. Others are named action:resource, as in read:orders. Nothing is
changed: take them over with ` + "`offkey routes set`" + ` or in the configuration.`
}

// Run designs.
func (c *scopesDesignCmd) Run(ctx context.Context, t *terminal) error {
	s, err := c.sources(t)
	if err != nil {
		return err
	}
	var d app.Design
	if c.OpenAPI == "" && c.Routes == "" && c.Traffic == "" {
		err = c.connect().stream(ctx, "POST", "/scopes/design", parameters("actions", c.Actions), "", nil, &d)
	} else if d, err = app.DesignScopes(s); err != nil {
		err = wrongUsage(err.Error(), "give OpenAPI 3 or Swagger 2, or one observation per line")
	}
	if err != nil {
		return err
	}
	if t.JSON {
		return t.document(d)
	}
	var rows [][]string
	for _, s := range d.Scopes {
		rows = append(rows, []string{s.Name, thousands(int64(s.Operations)), s.Description})
	}
	if len(rows) == 0 {
		t.say("No operations are known that need a scope.")
		return nil
	}
	if err := writeTable(t.Out, []column{{head: "SCOPE"}, {head: "OPERATIONS", right: true}, {head: "FOR"}}, rows); err != nil {
		return err
	}
	rows = nil
	for _, op := range d.Operations {
		rows = append(rows, []string{op.Method, op.Template, orDash(anyOf(op.AnyOf))})
	}
	fmt.Fprintln(t.Out)
	return writeTable(t.Out, []column{{head: "METHOD"}, {head: "TEMPLATE"}, {head: "SCOPES"}}, rows)
}

// anyOf writes alternatives of scopes for a person.
func anyOf(alternatives [][]string) string {
	var out []string
	for _, all := range alternatives {
		out = append(out, strings.Join(all, " "))
	}
	return strings.Join(out, " | ")
}

type scopesInferCmd struct {
	operatorFlags
	sourceFlags
	APIKey []string `name:"apikey" sep:"none" placeholder:"ID" help:"Only the callers of this apikey; repeat for several."`
	Window string   `placeholder:"TIME" help:"How far back. Default 30d, or the whole traffic file."`
	Strict bool     `help:"Nothing beyond what was observed."`
}

func (scopesInferCmd) Help() string {
	return `Examples:
  offkey scopes infer
  offkey scopes infer --apikey ak_019ab --strict
  offkey scopes infer --openapi openapi.yaml --traffic observations.jsonl --json

For each caller the least set of scopes that opens what it called with success. Callers that share an apikey are told
apart. What is proposed beyond the observed is marked, with the reason. Nothing is changed.`
}

// Run infers.
func (c *scopesInferCmd) Run(ctx context.Context, t *terminal) error {
	s, err := c.sources(t)
	if err != nil {
		return err
	}
	o := app.InferOptions{Only: c.APIKey, Strict: c.Strict}
	if c.Window != "" {
		length, err := parseLength(c.Window)
		if err != nil {
			return wrongUsage("--window: "+err.Error(), "")
		}
		o.Window = app.Window{From: t.Now().Add(-length), To: t.Now()}
	}
	var found app.Inference
	switch {
	case c.Traffic != "":
		if found, err = app.InferScopes(s, o); err != nil {
			return wrongUsage(err.Error(), "give OpenAPI 3 or Swagger 2, and one observation per line")
		}
	case c.Routes != "":
		return wrongUsage("--routes goes with --traffic", "a running offkey has its own routes")
	default:
		query := parameters("actions", c.Actions, "window", c.Window, "strict", whenTrue(c.Strict), "apikey", strings.Join(c.APIKey, ","))
		if err = c.connect().stream(ctx, "POST", "/scopes/infer", query, "application/octet-stream", bytes.NewReader(s.OpenAPI), &found); err != nil {
			return err
		}
	}
	if t.JSON {
		return t.document(found)
	}
	return printInference(t, found)
}

func printInference(t *terminal, found app.Inference) error {
	for _, bad := range found.BadLines[:min(len(found.BadLines), 5)] {
		t.warn("line %d left out: %s", bad.Line, printable(bad.Problem))
	}
	if len(found.Callers) == 0 {
		t.say("No calls with a credential were answered with success.")
		return nil
	}
	var rows [][]string
	for _, c := range found.Callers {
		rows = append(rows, []string{c.ID, thousands(c.Calls), fmt.Sprintf("%.1f %%", 100*c.Explained), thousands(int64(c.OpensUnused)), orDash(strings.Join(c.Scopes, " "))})
	}
	if err := writeTable(t.Out, []column{{head: "CALLER"}, {head: "CALLS", right: true}, {head: "EXPLAINED", right: true}, {head: "UNUSED", right: true}, {head: "SCOPES"}}, rows); err != nil {
		return err
	}
	for _, c := range found.Callers {
		for _, b := range c.Beyond {
			fmt.Fprintf(t.Out, "\n%s: %s is beyond what was seen (%s), and opens %s more.", c.ID, b.Scope, b.Why, count(int64(b.Opens), "operation"))
		}
	}
	fmt.Fprintln(t.Out)
	if missing := found.Callers[0].NotSeen; len(missing) > 0 {
		t.say("Not seen in this window: %s.", strings.Join(missing, "; "))
	}
	return nil
}

// openapiCmd groups what is done with the API's document.
type openapiCmd struct {
	Rewrite openapiRewriteCmd `cmd:"" help:"Write OAuth and the scopes of operations into it."`
}

type openapiRewriteCmd struct {
	File   string `arg:"" type:"path" help:"OpenAPI 3 or Swagger 2, YAML or JSON; - is standard input."`
	Mode   string `enum:"add,deprecate,remove" default:"add" placeholder:"HOW" help:"add: OAuth beside apikeys. deprecate: the same, and apikeys are said to end. remove: OAuth in place of apikeys."`
	Issuer string `placeholder:"URL" default:"https://auth.example.com" help:"The issuer, whose token endpoint goes into the document. Default https://auth.example.com."`
	Routes string `type:"path" placeholder:"FILE" help:"Rules whose scopes are written. Default: those that scopes design proposes."`
	Action string `name:"actions" enum:"auto,fine,coarse" default:"auto" placeholder:"HOW" help:"As for scopes design."`
	Out    string `type:"path" default:"-" placeholder:"FILE" help:"Where it goes. Default standard output."`
}

func (openapiRewriteCmd) Help() string {
	return `Examples:
  offkey openapi rewrite openapi.yaml --issuer https://auth.example.com > openapi.oauth.yaml
  offkey openapi rewrite openapi.json --mode deprecate --out openapi.new.json
  offkey openapi rewrite openapi.yaml --mode remove --routes routes.yaml

Order and comments stay. An operation that declares scopes already keeps them.`
}

// Run rewrites.
func (c *openapiRewriteCmd) Run(_ context.Context, t *terminal) error {
	if t.JSON && c.Out == "-" {
		return wrongUsage("the document goes to standard output, and so would the JSON", "give --out FILE")
	}
	raw, err := t.readInput(c.File, maxOpenAPI)
	if err != nil {
		return err
	}
	f := sourceFlags{Routes: c.Routes, Actions: c.Action}
	s, err := f.sources(t)
	if err != nil {
		return err
	}
	s.OpenAPI = raw
	out, operations, err := app.RewriteOpenAPI(s, c.Mode, c.Issuer)
	if err != nil {
		return wrongUsage(c.File+": "+err.Error(), "give OpenAPI 3 or Swagger 2, in YAML or JSON")
	}
	if c.Out == "-" {
		_, err = t.Out.Write(out)
		return err
	}
	if err := os.WriteFile(c.Out, out, 0o644); err != nil {
		return failed("not_written", c.Out+" cannot be written: "+fileCause(err), "check the path", err)
	}
	if t.JSON {
		return t.document(json.RawMessage(fmt.Sprintf(`{"file":%q,"operations":%d}`, c.Out, operations)))
	}
	t.done("%s has the scopes of %s", c.Out, count(int64(operations), "operation"))
	return nil
}
