package main

import (
	"context"
	"encoding/json"
	"fmt"
)

// brownoutCmd groups what is done about short, announced refusals.
type brownoutCmd struct {
	Now      brownoutNowCmd      `cmd:"" help:"Begin one."`
	Schedule brownoutScheduleCmd `cmd:"" help:"Plan one."`
	List     brownoutListCmd     `cmd:"" help:"Those that are planned, run, or are over."`
	Cancel   brownoutCancelCmd   `cmd:"" help:"End one at once, or forget one that is planned."`
}

// brownoutDoc is a window, and what it does.
type brownoutDoc struct {
	ID       string  `json:"id"`
	Cohort   string  `json:"cohort"`
	Share    string  `json:"share"`
	From     string  `json:"from"`
	To       string  `json:"to"`
	State    string  `json:"state"`
	APIKeys  int64   `json:"apikeys"`
	Expected int64   `json:"expected"`
	Preview  planDoc `json:"preview"`
}

// brownoutFlags say whom and for how long.
type brownoutFlags struct {
	operatorFlags
	Cohort string `placeholder:"NAME" help:"The apikeys of this cohort. Default: all."`
	Share  string `placeholder:"PERCENT" help:"This share of them, as in 5%."`
	For    string `required:"" placeholder:"TIME" help:"For how long, as in 10m; 7d at most."`
	Reason string `placeholder:"TEXT" help:"Why; it is written into the audit."`
	DryRun bool   `help:"Change nothing, show who would be refused."`
}

func (c *brownoutFlags) order(ctx context.Context, t *terminal, at string) error {
	body := map[string]any{"cohort": c.Cohort, "share": c.Share, "for": c.For, "at": at, "reason": c.Reason}
	var raw json.RawMessage
	if err := c.connect().send(ctx, "POST", "/brownouts", parameters("dry_run", whenTrue(c.DryRun)), body, &raw); err != nil {
		return err
	}
	if t.JSON {
		return t.document(raw)
	}
	var d brownoutDoc
	if err := json.Unmarshal(raw, &d); err != nil {
		return err
	}
	words := fmt.Sprintf("brownout %s for %s, %s to %s: refuses %s, about %s", d.ID, target(d.Cohort, d.Share), d.From, d.To, count(d.APIKeys, "apikey"), count(d.Expected, "call"))
	if !c.DryRun {
		t.done("%s", words)
		return nil
	}
	t.say("Would be: %s. Nothing was changed.", words)
	if len(d.Preview.Callers) == 0 {
		t.say("None of them called in the days that were looked at.")
		return nil
	}
	return d.Preview.print(t)
}

type brownoutNowCmd struct{ brownoutFlags }

func (brownoutNowCmd) Help() string {
	return `Examples:
  offkey brownout now --for 10m --cohort partners --dry-run
  offkey brownout now --for 10m --cohort partners
  offkey brownout cancel --all

Refuses the apikeys that are in stage brownout, with apikey_brownout and Retry-After, until the time is over.`
}

// Run begins one.
func (c *brownoutNowCmd) Run(ctx context.Context, t *terminal) error { return c.order(ctx, t, "") }

type brownoutScheduleCmd struct {
	brownoutFlags
	At string `required:"" placeholder:"TIME" help:"When, as in 2027-07-06T14:00:00Z."`
}

func (brownoutScheduleCmd) Help() string {
	return `Examples:
  offkey brownout schedule --at 2027-07-06T14:00:00Z --for 10m
  offkey brownout schedule --at 2027-08-03T14:00:00Z --for 3h --cohort partners --dry-run

Refuses then the apikeys that are in stage brownout. A campaign that is paused has no brownouts.`
}

// Run plans one.
func (c *brownoutScheduleCmd) Run(ctx context.Context, t *terminal) error {
	return c.order(ctx, t, c.At)
}

type brownoutListCmd struct{ operatorFlags }

func (brownoutListCmd) Help() string {
	return `Examples:
  offkey brownout list
  offkey brownout list --json`
}

// Run lists.
func (c *brownoutListCmd) Run(ctx context.Context, t *terminal) error {
	var raw json.RawMessage
	if err := c.connect().get(ctx, "/brownouts", nil, &raw); err != nil {
		return err
	}
	return t.showBrownouts(raw)
}

func (t *terminal) showBrownouts(raw json.RawMessage) error {
	if t.JSON {
		return t.document(raw)
	}
	var list struct {
		Brownouts []brownoutDoc `json:"brownouts"`
	}
	if err := json.Unmarshal(raw, &list); err != nil {
		return err
	}
	if len(list.Brownouts) == 0 {
		t.say("No brownouts: `offkey brownout schedule` plans one.")
		return nil
	}
	var rows [][]string
	for _, b := range list.Brownouts {
		rows = append(rows, []string{b.ID, target(b.Cohort, b.Share), b.From, b.To, b.State, thousands(b.APIKeys)})
	}
	return writeTable(t.Out, []column{{head: "BROWNOUT"}, {head: "WHO"}, {head: "FROM"}, {head: "TO"}, {head: "STATE"}, {head: "APIKEYS", right: true}}, rows)
}

type brownoutCancelCmd struct {
	operatorFlags
	ID     string `arg:"" optional:"" help:"Id of the brownout."`
	All    bool   `help:"All that are planned or run."`
	Reason string `placeholder:"TEXT" help:"Why; it is written into the audit."`
	DryRun bool   `help:"Change nothing."`
}

func (brownoutCancelCmd) Help() string {
	return `Examples:
  offkey brownout cancel br_k3jx9a2b
  offkey brownout cancel --all --reason "support is flooded"

One that runs ends within a second, one that is planned does not come.`
}

// Run cancels.
func (c *brownoutCancelCmd) Run(ctx context.Context, t *terminal) error {
	if (c.ID == "") != c.All {
		return wrongUsage("which brownout?", "name one, or say --all")
	}
	var raw json.RawMessage
	err := c.connect().send(ctx, "POST", "/brownouts/cancel", parameters("dry_run", whenTrue(c.DryRun)), map[string]any{"id": c.ID, "all": c.All, "reason": c.Reason}, &raw)
	if err != nil {
		return err
	}
	if t.JSON {
		return t.document(raw)
	}
	var list struct {
		Brownouts []brownoutDoc `json:"brownouts"`
	}
	if err := json.Unmarshal(raw, &list); err != nil {
		return err
	}
	words := count(len(list.Brownouts), "brownout") + " cancelled"
	if c.DryRun {
		t.say("Would be: %s. Nothing was changed.", words)
		return nil
	}
	t.done("%s", words)
	return nil
}
