package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
)

// auditCmd shows who changed what.
type auditCmd struct {
	operatorFlags
	listFlags
	Since  string        `placeholder:"TIME" help:"Only since then: 12h, 30d, 2027-09-30 or 2027-09-30T14:00:00Z."`
	Actor  string        `placeholder:"WHO" help:"Only by this actor, as in os:1000 or client:ID."`
	Object string        `placeholder:"ID" help:"Only about this apikey, client, route or key."`
	Verify bool          `xor:"form" help:"Check the whole chain instead; exit code 6 if it is broken."`
	Follow bool          `help:"Go on with what happens from now on, until Ctrl-C."`
	Every  time.Duration `default:"1s" hidden:""`
}

func (auditCmd) Help() string {
	return `Examples:
  offkey audit --since 7d
  offkey audit --actor os:1000 --csv --limit 0
  offkey audit --verify
  offkey audit --follow --jsonl

The newest entries are shown, the oldest of them first. Each holds the hash of the one before: --verify finds what
was changed or removed. Note the head that it prints somewhere else to also find an end that was cut off.`
}

type auditEntry struct {
	Seq    int64           `json:"seq"`
	At     time.Time       `json:"at"`
	Actor  string          `json:"actor"`
	Action string          `json:"action"`
	Object string          `json:"object"`
	Detail json.RawMessage `json:"detail"`
}

var auditMembers = []string{"seq", "at", "actor", "action", "object", "detail"}

// Run lists, follows or verifies.
func (c *auditCmd) Run(ctx context.Context, t *terminal) error {
	o := c.connect()
	if c.Verify {
		return c.verify(ctx, t, o)
	}
	if c.Follow && (c.CSV || t.JSON) {
		return wrongUsage("--follow has no end, which --csv and --json need", "use --jsonl")
	}
	query := parameters("since", c.Since, "actor", c.Actor, "object", c.Object, "order", "desc", "after", c.After)
	found, err := o.list(ctx, "/audit", "entries", query, c.Limit)
	if err != nil {
		return err
	}
	slices.Reverse(found.items)
	if err := c.show(t, "entries", found, auditMembers, func() error { return auditLines(t, found.items) }); err != nil || !c.Follow {
		return err
	}
	return c.follow(ctx, t, o, found.items)
}

func auditLines(t *terminal, items []json.RawMessage) error {
	for _, item := range items {
		var e auditEntry
		if err := json.Unmarshal(item, &e); err != nil {
			return err
		}
		detail := string(e.Detail)
		if detail == "null" || detail == "{}" {
			detail = ""
		}
		line := fmt.Sprintf("%s  %-12s  %s  %s  %s", e.At.UTC().Format(time.DateTime), e.Actor, e.Action, e.Object, detail)
		if _, err := fmt.Fprintln(t.Out, printable(strings.TrimRight(line, " "))); err != nil {
			return err
		}
	}
	return nil
}

// follow asks for what came after the last entry shown, again and again.
func (c *auditCmd) follow(ctx context.Context, t *terminal, o *operator, shown []json.RawMessage) error {
	after := int64(0)
	if len(shown) == 0 {
		newest, err := o.list(ctx, "/audit", "entries", parameters("order", "desc"), 1)
		if err != nil {
			return err
		}
		shown = newest.items
	}
	for {
		for _, item := range shown {
			var e auditEntry
			if err := json.Unmarshal(item, &e); err != nil {
				return err
			}
			after = max(after, e.Seq)
		}
		select {
		case <-ctx.Done():
			return nil // Ctrl-C is how this ends
		case <-time.After(c.Every):
		}
		found, err := o.list(ctx, "/audit", "entries", parameters("actor", c.Actor, "object", c.Object, "after", fmt.Sprint(after)), 0)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		if err := c.show(t, "entries", listing{items: found.items}, auditMembers, func() error { return auditLines(t, found.items) }); err != nil {
			return err
		}
		shown = found.items
	}
}

func (c *auditCmd) verify(ctx context.Context, t *terminal, o *operator) error {
	var raw json.RawMessage
	if err := o.get(ctx, "/audit/verify", nil, &raw); err != nil {
		return err
	}
	var v struct {
		Entries int64
		OK      bool
		Head    struct {
			Seq  int64
			Hash string
		}
		Problem string
	}
	if err := json.Unmarshal(raw, &v); err != nil {
		return err
	}
	if t.JSON {
		if err := t.document(raw); err != nil {
			return err
		}
	} else if v.OK {
		fmt.Fprintf(t.Out, "%s entries, unbroken. Head %d %s\n", thousands(v.Entries), v.Head.Seq, v.Head.Hash)
	}
	if !v.OK {
		return &failure{exit: exitUnmet, code: "audit_broken", message: fmt.Sprintf("the audit log is broken after %d entries: %s", v.Entries, v.Problem), fix: "compare it with a copy; what was there cannot be told from the log alone"}
	}
	return nil
}
