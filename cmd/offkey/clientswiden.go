package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

type clientsWidenCmd struct {
	operatorFlags
	Client string `arg:"" help:"Client: id, unique beginning or name."`
	Scopes string `placeholder:"SCOPES" help:"What it gets for a time. Default: what its calls of the last 24 hours lacked."`
	For    string `required:"" placeholder:"TIME" help:"For how long, as in 7d; 90d at most."`
	Reason string `required:"" placeholder:"TEXT" help:"Why; it is written into the audit."`
	DryRun bool   `help:"Change nothing."`
}

func (clientsWidenCmd) Help() string {
	return `Examples:
  offkey clients widen billing --for 7d --reason "invoice run, Ana agreed" --dry-run
  offkey clients widen billing --scopes "create:invoices" --for 7d --reason "invoice run"

For a client whose calls are refused with insufficient_scope. It loses the scopes by itself again; ` + "`offkey stage\nexceptions`" + ` lists them.`
}

// Run widens.
func (c *clientsWidenCmd) Run(ctx context.Context, t *terminal) error {
	body := map[string]any{"scopes": strings.Fields(c.Scopes), "for": c.For, "reason": c.Reason}
	var raw json.RawMessage
	if err := c.connect().send(ctx, "POST", at("/clients/%s/widen", c.Client), parameters("dry_run", whenTrue(c.DryRun)), body, &raw); err != nil {
		return err
	}
	if t.JSON {
		return t.document(raw)
	}
	var d struct {
		Client  string    `json:"client"`
		Scopes  []string  `json:"scopes"`
		Until   time.Time `json:"until"`
		Refused int64     `json:"refused"`
	}
	if err := json.Unmarshal(raw, &d); err != nil {
		return err
	}
	words := fmt.Sprintf("client %s has %s until %s; %s lacked a scope in 24 hours", d.Client, strings.Join(d.Scopes, " "), day(d.Until), count(d.Refused, "call"))
	if c.DryRun {
		t.say("Would be: %s. Nothing was changed.", words)
		return nil
	}
	t.done("%s", words)
	return nil
}
