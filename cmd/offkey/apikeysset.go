package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
)

type apikeysSetCmd struct {
	operatorFlags
	IDs     []string `arg:"" optional:"" name:"id" help:"Ids of apikeys, unique beginnings of them, or labels."`
	Of      string   `placeholder:"OWNER" help:"All apikeys of this owner instead; - for those without one."`
	Owner   *string  `placeholder:"NAME" help:"The customer or team that they belong to; an empty one for nobody."`
	Contact *string  `placeholder:"MAIL" help:"Who is told about them."`
	Label   *string  `placeholder:"TEXT" help:"What people call one."`
	DryRun  bool     `help:"Change nothing."`
}

func (apikeysSetCmd) Help() string {
	return `Examples:
  offkey apikeys set ak_019ab --owner "Acme Ltd" --contact ops@acme.example
  offkey apikeys set --of "Acme Ltd" --contact new@acme.example

The owner of an apikey is asked before it is retired, and told what is made with it. For many at once import a list.`
}

// Run sets.
func (c *apikeysSetCmd) Run(ctx context.Context, t *terminal) error {
	body := map[string]any{"apikeys": c.IDs, "of_owner": c.Of}
	for name, value := range map[string]*string{"owner": c.Owner, "contact": c.Contact, "label": c.Label} {
		if value != nil {
			body[name] = *value
		}
	}
	var raw json.RawMessage
	if err := c.connect().send(ctx, "PATCH", "/apikeys", parameters("dry_run", whenTrue(c.DryRun)), body, &raw); err != nil {
		return err
	}
	if t.JSON {
		return t.document(raw)
	}
	var d struct{ APIKeys []string }
	if err := json.Unmarshal(raw, &d); err != nil {
		return err
	}
	if c.DryRun {
		t.say("Would be changed: %s. Nothing was.", count(len(d.APIKeys), "apikey"))
		return nil
	}
	t.done("%s changed", count(len(d.APIKeys), "apikey"))
	return nil
}

// mapAll maps every apikey that has no client to the one that fits.
func (c *apikeysMapCmd) mapAll(ctx context.Context, t *terminal) error {
	var list io.Reader = strings.NewReader("")
	switch {
	case c.ID != "":
		return wrongUsage("--auto is about all apikeys, and one is named", "leave one of them out")
	case c.By == "":
		return wrongUsage("how do they find their clients?", "give --by owner, --by label, or --by csv with --file")
	case (c.By == "csv") != (c.File != ""):
		return wrongUsage("--by csv and --file come together", "give both, or neither")
	case c.File != "":
		in, closeIn, err := t.openInput(c.File)
		if err != nil {
			return err
		}
		defer closeIn()
		list = in
	}
	var raw json.RawMessage
	if err := c.connect().stream(ctx, "POST", "/apikeys/map", parameters("by", c.By, "dry_run", whenTrue(c.DryRun)), "text/csv", list, &raw); err != nil {
		return err
	}
	if t.JSON {
		return t.document(raw)
	}
	var d struct {
		Mapped []struct {
			ID     string `json:"apikey_id"`
			Last4  string `json:"last4"`
			Client string `json:"client_id"`
			Name   string `json:"client_name"`
		}
		Already, Unmatched, Ambiguous int
		Problems                      []struct {
			Line    int
			Problem string
		}
	}
	if err := json.Unmarshal(raw, &d); err != nil {
		return err
	}
	for _, p := range d.Problems {
		t.warn("pair %d: %s", p.Line, printable(p.Problem))
	}
	var rows [][]string
	for _, m := range d.Mapped {
		rows = append(rows, []string{m.ID, "..." + m.Last4, m.Client, m.Name})
	}
	if len(rows) > 0 {
		if err := writeTable(t.Out, []column{{head: "ID"}, {head: "APIKEY"}, {head: "CLIENT"}, {head: "NAME"}}, rows); err != nil {
			return err
		}
	}
	words := fmt.Sprintf("%s mapped, %d had a client, %d fit none, %d fit several", count(len(d.Mapped), "apikey"), d.Already, d.Unmatched, d.Ambiguous)
	if c.DryRun {
		t.say("Would be: %s. Nothing was changed.", words)
		return nil
	}
	t.done("%s", words)
	return nil
}
