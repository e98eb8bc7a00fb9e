package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
)

// cohortsCmd groups what is done about sets of apikeys that move together.
type cohortsCmd struct {
	List   cohortsListCmd   `cmd:"" help:"The cohorts, in the order in which they are asked."`
	Set    cohortsSetCmd    `cmd:"" help:"Make a cohort, or say anew who is in it."`
	Delete cohortsDeleteCmd `cmd:"" help:"Remove a cohort; its apikeys follow the next that they are in, or all."`
}

type cohortDoc struct {
	Name  string `json:"name"`
	Match struct {
		Owners   []string `json:"owners"`
		Labels   []string `json:"labels"`
		Prefixes []string `json:"prefixes"`
		Share    string   `json:"share"`
		Chosen   string   `json:"chosen"`
	} `json:"match"`
	APIKeys int64            `json:"apikeys"`
	Moved   int64            `json:"moved"`
	Stages  map[string]int64 `json:"stages"`
	Next    *stepDoc         `json:"next"`
}

type stepDoc struct {
	ID     string `json:"id"`
	Cohort string `json:"cohort"`
	Share  string `json:"share"`
	Stage  string `json:"stage"`
	At     string `json:"at"`
	Done   bool   `json:"done"`
}

// who says whom a cohort takes.
func (c cohortDoc) who() string {
	var parts []string
	for _, p := range []struct {
		name   string
		values []string
	}{{"owner", c.Match.Owners}, {"label", c.Match.Labels}, {"prefix", c.Match.Prefixes}} {
		if len(p.values) > 0 {
			parts = append(parts, p.name+" "+strings.Join(p.values, " or "))
		}
	}
	if c.Match.Share != "" {
		parts = append(parts, c.Match.Share)
	}
	if c.Match.Chosen != "" {
		parts = append(parts, c.Match.Chosen)
	}
	return printable(strings.Join(parts, ", "))
}

type cohortsListCmd struct{ operatorFlags }

func (cohortsListCmd) Help() string {
	return `Examples:
  offkey stage cohorts list
  offkey stage cohorts list --json`
}

// Run lists.
func (c *cohortsListCmd) Run(ctx context.Context, t *terminal) error {
	var raw json.RawMessage
	if err := c.connect().get(ctx, "/cohorts", nil, &raw); err != nil {
		return err
	}
	if t.JSON {
		return t.document(raw)
	}
	var list struct {
		Cohorts []cohortDoc `json:"cohorts"`
	}
	if err := json.Unmarshal(raw, &list); err != nil {
		return err
	}
	if len(list.Cohorts) == 0 {
		t.say("No cohorts: `offkey stage cohorts set NAME --owner OWNER` makes one.")
		return nil
	}
	var rows [][]string
	for _, item := range list.Cohorts {
		next := "-"
		if item.Next != nil {
			next = item.Next.Stage + ", " + item.Next.At
		}
		rows = append(rows, []string{item.Name, item.who(), thousands(item.APIKeys), byStageWords(item.Stages), next})
	}
	return writeTable(t.Out, []column{{head: "COHORT"}, {head: "WHO"}, {head: "APIKEYS", right: true}, {head: "STAGES"}, {head: "NEXT"}}, rows)
}

// byStageWords lists counts in the order of the road.
func byStageWords(stages map[string]int64) string {
	var parts []string
	for _, name := range stageOrder {
		if n := stages[name]; n > 0 {
			parts = append(parts, fmt.Sprintf("%s %s", thousands(n), name))
		}
	}
	if len(parts) == 0 {
		return "-"
	}
	return strings.Join(parts, ", ")
}

type cohortsSetCmd struct {
	operatorFlags
	Name   string   `arg:"" help:"Name of the cohort."`
	Owner  []string `sep:"none" placeholder:"OWNER" help:"Apikeys of this owner; repeat for several."`
	Label  []string `sep:"none" placeholder:"LABEL" help:"Apikeys with this label; repeat for several."`
	Prefix []string `sep:"none" placeholder:"PREFIX" help:"Apikeys that begin like this, as in sk_test_; repeat for several."`
	Share  string   `placeholder:"PERCENT" help:"This share of all apikeys, as in 5%."`
	APIKey []string `name:"apikey" sep:"none" placeholder:"ID" help:"This apikey: id, unique beginning or label. Repeat for several."`
	Route  []string `sep:"none" placeholder:"ROUTE" help:"Apikeys that called this in the last 30 days, as in 'GET /v1/admin/**'."`
	Unused string   `placeholder:"TIME" help:"Apikeys that made no call for so long, as in 30d."`
	Before string   `placeholder:"NAME" help:"Ask it before this cohort. A new one comes last."`
	DryRun bool     `help:"Change nothing."`
}

func (cohortsSetCmd) Help() string {
	return `Examples:
  offkey stage cohorts set partners --owner "Acme Ltd" --owner Globex
  offkey stage cohorts set quiet --unused 30d --before partners
  offkey stage cohorts set test --prefix sk_test_
  offkey stage cohorts set admin --route "GET /v1/admin/**" --dry-run

An apikey is in a cohort if it meets all that is asked: one of the owners, one of the labels, one of the prefixes, the
share. --apikey, --route and --unused put apikeys into it by name, now; run it again to choose anew. Of several cohorts
that an apikey is in, the first with a stage holds.`
}

// Run sets.
func (c *cohortsSetCmd) Run(ctx context.Context, t *terminal) error {
	body := map[string]any{
		"owners": c.Owner, "labels": c.Label, "prefixes": c.Prefix, "share": c.Share,
		"apikeys": c.APIKey, "routes": c.Route, "unused": c.Unused, "before": c.Before,
	}
	var raw json.RawMessage
	if err := c.connect().send(ctx, "PUT", at("/cohorts/%s", c.Name), parameters("dry_run", whenTrue(c.DryRun)), body, &raw); err != nil {
		return err
	}
	return t.finishCohort(raw, c.DryRun, "cohort %s has %s, %s another stage")
}

type cohortsDeleteCmd struct {
	operatorFlags
	Name   string `arg:"" help:"Name of the cohort."`
	DryRun bool   `help:"Change nothing."`
}

func (cohortsDeleteCmd) Help() string {
	return `Examples:
  offkey stage cohorts delete partners --dry-run
  offkey stage cohorts delete partners

Its steps and its brownouts go with it.`
}

// Run deletes.
func (c *cohortsDeleteCmd) Run(ctx context.Context, t *terminal) error {
	var raw json.RawMessage
	if err := c.connect().send(ctx, "DELETE", at("/cohorts/%s", c.Name), parameters("dry_run", whenTrue(c.DryRun)), nil, &raw); err != nil {
		return err
	}
	return t.finishCohort(raw, c.DryRun, "cohort %s with %s is deleted, %s another stage")
}

// finishCohort shows what became of a cohort.
func (t *terminal) finishCohort(raw json.RawMessage, dryRun bool, form string) error {
	if t.JSON {
		return t.document(raw)
	}
	var d cohortDoc
	if err := json.Unmarshal(raw, &d); err != nil {
		return err
	}
	have := "have"
	if d.Moved == 1 {
		have = "has"
	}
	words := printable(fmt.Sprintf(form, d.Name, count(d.APIKeys, "apikey"), thousands(d.Moved)+" of all "+have))
	if dryRun {
		t.say("Would be: %s. Nothing was changed.", words)
		return nil
	}
	t.done("%s", words)
	return nil
}
