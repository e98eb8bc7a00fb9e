package main

import (
	"context"
	"encoding/json"
	"strings"
	"time"
)

// callsCmd answers the audit question: who called what.
type callsCmd struct {
	operatorFlags
	APIKey string `name:"apikey" xor:"whose" placeholder:"ID" help:"Of this apikey: id, unique beginning or label."`
	Client string `xor:"whose" placeholder:"CLIENT" help:"Of this client: id, unique beginning or name."`
	Since  string `default:"24h" placeholder:"TIME" help:"Since then: 12h, 30d, 2027-09-30 or 2027-09-30T14:00:00Z. Default 24h."`
	CSV    bool   `name:"csv" xor:"form" help:"Print CSV with a heading."`
	JSONL  bool   `name:"jsonl" xor:"form" help:"Print one JSON object per line."`
	Limit  int    `default:"100" placeholder:"N" help:"The most to list; 0 lists all. Default 100."`
}

func (callsCmd) Help() string {
	return `Examples:
  offkey calls --client billing --since 7d
  offkey calls --apikey ak_019ab --since 2027-09-01 --csv
  offkey calls --since 1h

From all recorded calls, not a sample, counted by the hour: what a credential did at each operation.`
}

type callUse struct {
	Kind     string           `json:"kind"`
	ID       string           `json:"id"`
	Method   string           `json:"method"`
	Template string           `json:"template"`
	Calls    int64            `json:"calls"`
	Refused  int64            `json:"refused"`
	Statuses map[string]int64 `json:"statuses"`
	First    time.Time        `json:"first"`
	Last     time.Time        `json:"last"`
	Sources  []string         `json:"sources"`
	Agents   []string         `json:"user_agents"`
}

// Run lists.
func (c *callsCmd) Run(ctx context.Context, t *terminal) error {
	var answer struct {
		Calls  []json.RawMessage `json:"calls"`
		Window json.RawMessage   `json:"window"`
		Beyond int64             `json:"beyond"`
	}
	if err := c.connect().get(ctx, "/calls", parameters("apikey", c.APIKey, "client", c.Client, "since", c.Since), &answer); err != nil {
		return err
	}
	all := answer.Calls
	if c.Limit > 0 && len(all) > c.Limit {
		all = all[:c.Limit]
	}
	if t.JSON && !c.CSV && !c.JSONL {
		return t.document(map[string]any{"calls": all, "window": answer.Window, "beyond": answer.Beyond, "next": nil})
	}
	list := listFlags{CSV: c.CSV, JSONL: c.JSONL}
	return list.show(t, "calls", listing{items: all}, []string{"kind", "id", "method", "template", "calls", "refused", "statuses", "first", "last", "sources", "user_agents"}, func() error {
		if len(all) == 0 {
			t.say("No calls since then.")
			return nil
		}
		rows := make([][]string, len(all))
		for i, item := range all {
			var u callUse
			if err := json.Unmarshal(item, &u); err != nil {
				return err
			}
			rows[i] = []string{u.Method + " " + u.Template, thousands(u.Calls), thousands(u.Refused), orDash(u.ID), ago(t.Now(), u.Last), strings.Join(u.Sources[:min(3, len(u.Sources))], " "), strings.Join(u.Agents[:min(2, len(u.Agents))], ", ")}
		}
		if err := writeTable(t.Out, []column{{head: "OPERATION"}, {head: "CALLS", right: true}, {head: "REFUSED", right: true}, {head: "BY"}, {head: "LAST"}, {head: "FROM"}, {head: "WITH"}}, rows); err != nil {
			return err
		}
		if len(all) < len(answer.Calls) {
			t.say("There are more: --limit 0 lists all.")
		}
		if answer.Beyond > 0 {
			t.say("%s are of operations beyond those that are told apart.", count(answer.Beyond, "call"))
		}
		return nil
	})
}
