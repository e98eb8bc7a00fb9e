package main

import (
	"context"
	"encoding/json"
	"fmt"
)

type scopesDescribeCmd struct {
	operatorFlags
	listFlags
	Name     string `arg:"" optional:"" help:"The scope; left out, what is said is listed."`
	Text     string `arg:"" optional:"" help:"What it opens, in the words of whoever is asked: \"see your orders\"."`
	Language string `placeholder:"CODE" help:"Only for people of this language, as in de. Default: for all that have no words of their own."`
	Remove   bool   `help:"Take back what is said of the scope, in that language."`
	DryRun   bool   `help:"Change nothing, check only."`
}

func (scopesDescribeCmd) Help() string {
	return `Examples:
  offkey scopes describe read:orders "see your orders"
  offkey scopes describe read:orders "Ihre Bestellungen sehen" --language de
  offkey scopes describe
  offkey scopes describe read:orders --language de --remove

People read it where they are asked to allow something: on the consent page, the device page, and their account. A scope that
nobody describes is put into words by its name: read:orders is "see orders".`
}

type scopeWordsDoc struct {
	Name        string `json:"name"`
	Language    string `json:"language"`
	Description string `json:"description"`
}

// Run describes, or lists.
func (c *scopesDescribeCmd) Run(ctx context.Context, t *terminal) error {
	switch {
	case c.Name == "" && (c.Remove || c.Language != ""):
		return wrongUsage("which scope?", "see `offkey scopes describe --help`")
	case c.Name == "":
		return c.list(ctx, t)
	case c.Remove == (c.Text != ""):
		return wrongUsage("say what the scope opens, or --remove it", "see `offkey scopes describe --help`")
	}
	var raw json.RawMessage
	if err := c.connect().send(ctx, "PUT", "/scopes", parameters("dry_run", whenTrue(c.DryRun)), scopeWordsDoc{c.Name, c.Language, c.Text}, &raw); err != nil {
		return err
	}
	switch {
	case t.JSON:
		return t.document(raw)
	case c.DryRun:
		t.say("Nothing was changed.")
	case c.Remove:
		t.done("nothing is said of %s any more", c.Name)
	default:
		t.done("people read of %s: %s", c.Name, printable(c.Text))
	}
	return nil
}

func (c *scopesDescribeCmd) list(ctx context.Context, t *terminal) error {
	found, err := c.connect().list(ctx, "/scopes", "scopes", parameters("after", c.After), c.Limit)
	if err != nil {
		return err
	}
	return c.show(t, "scopes", found, []string{"name", "language", "description"}, func() error {
		var rows [][]string
		for _, item := range found.items {
			var d scopeWordsDoc
			if err := json.Unmarshal(item, &d); err != nil {
				return err
			}
			rows = append(rows, []string{d.Name, orDash(d.Language), d.Description})
		}
		if len(rows) == 0 {
			t.say("No scope is described. People read what its name says; see `offkey scopes describe --help`.")
			return nil
		}
		return writeTable(t.Out, []column{{head: "SCOPE"}, {head: "LANGUAGE"}, {head: "PEOPLE READ"}}, rows)
	})
}

type peopleServiceNameCmd struct {
	operatorFlags
	Name   string `arg:"" optional:"" help:"The name; left out, the one there is is shown."`
	Remove bool   `help:"Take it back: the host of the issuer is shown again."`
	DryRun bool   `help:"Change nothing, check only."`
}

func (peopleServiceNameCmd) Help() string {
	return `Examples:
  offkey people service-name "Harbour Boats"
  offkey people service-name
  offkey people service-name --remove

People read it on every page of the issuer, and their authenticator app shows it beside its codes.`
}

// Run shows or sets.
func (c *peopleServiceNameCmd) Run(ctx context.Context, t *terminal) error {
	if c.Remove && c.Name != "" {
		return wrongUsage("a name, or --remove?", "")
	}
	var raw json.RawMessage
	var err error
	if c.Name == "" && !c.Remove {
		err = c.connect().get(ctx, "/service-name", nil, &raw)
	} else {
		err = c.connect().send(ctx, "PUT", "/service-name", parameters("dry_run", whenTrue(c.DryRun)), map[string]string{"name": c.Name}, &raw)
	}
	if err != nil {
		return err
	}
	if t.JSON {
		return t.document(raw)
	}
	var d struct{ Name string }
	if err := json.Unmarshal(raw, &d); err != nil {
		return err
	}
	switch {
	case c.DryRun:
		t.say("People would read: %s. Nothing was changed.", printable(d.Name))
	case c.Name == "" && !c.Remove:
		_, err := fmt.Fprintln(t.Out, printable(d.Name))
		return err
	default:
		t.done("people read: %s", printable(d.Name))
	}
	return nil
}
