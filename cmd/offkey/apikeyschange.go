package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
)

type apikeysMapCmd struct {
	operatorFlags
	ID     string `arg:"" optional:"" name:"id" help:"Id of the apikey, a unique beginning of it, or its label."`
	Client string `xor:"to" placeholder:"CLIENT" help:"The client that replaces it: id, unique beginning or name."`
	None   bool   `xor:"to" help:"Take the mapping back."`
	Auto   bool   `xor:"to" help:"All apikeys that have no client, each to the one that fits."`
	By     string `placeholder:"HOW" enum:",owner,label,csv" default:"" help:"With --auto: owner (the one client of its owner), label (the one client of that name) or csv (a list says)."`
	File   string `type:"path" placeholder:"FILE" help:"With --by csv: a list with the columns apikey and client; - is standard input."`
	DryRun bool   `help:"Change nothing."`
}

func (apikeysMapCmd) Help() string {
	return `Examples:
  offkey apikeys map ak_019ab --client billing
  offkey apikeys map ak_019ab --none
  offkey apikeys map --auto --by owner --dry-run
  offkey apikeys map --auto --by csv --file pairs.csv

Both share rate limits and the subject in the audit from then on. Several apikeys may be mapped to one client.
` + "`offkey upgrade`" + ` maps by itself.`
}

// Run maps.
func (c *apikeysMapCmd) Run(ctx context.Context, t *terminal) error {
	if c.Auto {
		return c.mapAll(ctx, t)
	}
	if c.ID == "" {
		return wrongUsage("which apikey?", "give its id, as `offkey apikeys list` shows it, or --auto for all")
	}
	if c.Client == "" && !c.None {
		return wrongUsage("which client replaces it?", "give --client CLIENT, or --none to take the mapping back")
	}
	var raw json.RawMessage
	err := c.connect().send(ctx, "POST", at("/apikeys/%s/map", c.ID), parameters("dry_run", whenTrue(c.DryRun)), map[string]string{"client": c.Client}, &raw)
	if err != nil {
		return err
	}
	return t.finishAPIKey(raw, c.DryRun, func(k apikeyDoc) string {
		if k.ClientID == "" {
			return fmt.Sprintf("apikey ...%s is mapped to no client", k.Last4)
		}
		return fmt.Sprintf("apikey ...%s is mapped to client %s", k.Last4, k.ClientID)
	})
}

type apikeysExtendCmd struct {
	operatorFlags
	ID     string `arg:"" name:"id" help:"Id of the apikey, a unique beginning of it, or its label."`
	Until  string `required:"" placeholder:"DATE" help:"Its new end, as in 2027-12-31."`
	Reason string `required:"" placeholder:"TEXT" help:"Why; it is written into the audit."`
	DryRun bool   `help:"Change nothing."`
}

func (apikeysExtendCmd) Help() string {
	return `Examples:
  offkey apikeys extend ak_019ab --until 2027-12-31 --reason "release in December, Ana agreed"

The date is announced to its callers, and the exception is in the audit with its reason.`
}

// Run extends.
func (c *apikeysExtendCmd) Run(ctx context.Context, t *terminal) error {
	var raw json.RawMessage
	err := c.connect().send(ctx, "POST", at("/apikeys/%s/extend", c.ID), parameters("dry_run", whenTrue(c.DryRun)), map[string]string{"until": c.Until, "reason": c.Reason}, &raw)
	if err != nil {
		return err
	}
	return t.finishAPIKey(raw, c.DryRun, func(k apikeyDoc) string {
		return fmt.Sprintf("apikey ...%s may be used until %s, stage %s", k.Last4, day(k.Until), k.Stage)
	})
}

type apikeysRevokeCmd struct {
	operatorFlags
	IDs    []string `arg:"" name:"id" help:"Ids of apikeys, unique beginnings of them, or labels."`
	Reason string   `placeholder:"TEXT" help:"Why; it is written into the audit."`
	Yes    bool     `help:"Do not ask."`
	DryRun bool     `help:"Change nothing, show what would stop."`
}

func (apikeysRevokeCmd) Help() string {
	return `Examples:
  offkey apikeys revoke ak_019ab --dry-run
  offkey apikeys revoke ak_019ab ak_019cd --reason "unused since March" --yes

They are refused from now on and open nothing, upgrade included. Until they are deleted it can be taken back, with
` + "`offkey stage set inherit --apikey ID`" + `. For a leak use ` + "`offkey apikeys block`" + `: it also stops what was made with them.`
}

// Run revokes.
func (c *apikeysRevokeCmd) Run(ctx context.Context, t *terminal) error {
	question := fmt.Sprintf("Retire %s? It is refused from then on.", count(len(c.IDs), "apikey"))
	return c.each(ctx, t, "/apikeys/%s/revoke", question, map[string]string{"reason": c.Reason}, func(s stopped) string {
		return fmt.Sprintf("apikey ...%s is retired; it had %s in 30 days", s.Last4, count(s.Calls, "call"))
	})
}

// each does one thing to each apikey, once somebody has said yes. What fails
// ends it; what was done before is shown.
func (c *apikeysRevokeCmd) each(ctx context.Context, t *terminal, path, question string, body map[string]string, words func(stopped) string) error {
	if !c.DryRun {
		if err := t.confirm(c.Yes, question); err != nil {
			return err
		}
	}
	var all []json.RawMessage
	var failure error
	for _, id := range c.IDs {
		var raw json.RawMessage
		if failure = c.connect().send(ctx, "POST", at(path, id), parameters("dry_run", whenTrue(c.DryRun)), body, &raw); failure != nil {
			break
		}
		all = append(all, raw)
		var s stopped
		if err := json.Unmarshal(raw, &s); err != nil {
			return err
		}
		if c.DryRun {
			t.say("Would be: %s", printable(words(s)))
		} else {
			t.done("%s", printable(words(s)))
		}
	}
	if t.JSON && len(all) > 0 {
		if err := t.document(map[string]any{"apikeys": all, "next": nil}); err != nil {
			return err
		}
	}
	if c.DryRun && failure == nil {
		t.say("Nothing was changed.")
	}
	return failure
}

// stopped is an apikey that was revoked or blocked, and what went with it.
type stopped struct {
	Last4    string   `json:"last4"`
	Calls    int64    `json:"calls"`
	Disabled []string `json:"clients_disabled"`
	Kept     []string `json:"clients_kept"`
}

type apikeysBlockCmd struct {
	apikeysRevokeCmd
	Since string `placeholder:"TIME" help:"When it may have leaked, as in 7d or 2027-09-30T14:00:00Z: clients made with it since then are disabled. Default: all that were ever made with it."`
}

func (apikeysBlockCmd) Help() string {
	return `Examples:
  offkey apikeys block ak_019ab --dry-run
  offkey apikeys block ak_019ab --since 2027-03-01 --reason "found in a public repository" --yes

For a leak. The apikey is refused at once and everywhere, the clients that were made with it since then are disabled,
and their tokens and its own are refused, in one step.`
}

// Run blocks.
func (c *apikeysBlockCmd) Run(ctx context.Context, t *terminal) error {
	question := fmt.Sprintf("Block %s, and disable the clients made with it?", count(len(c.IDs), "apikey"))
	return c.each(ctx, t, "/apikeys/%s/block", question, map[string]string{"reason": c.Reason, "since": c.Since}, func(s stopped) string {
		words := fmt.Sprintf("apikey ...%s is blocked; no client had been made with it since", s.Last4)
		if len(s.Disabled) > 0 {
			words = fmt.Sprintf("apikey ...%s is blocked, clients disabled: %s", s.Last4, strings.Join(s.Disabled, " "))
		}
		if len(s.Kept) > 0 {
			words += fmt.Sprintf("; made before, and still working: %s", strings.Join(s.Kept, " "))
		}
		return words
	})
}

// finishAPIKey shows what became of an apikey.
func (t *terminal) finishAPIKey(raw json.RawMessage, dryRun bool, words func(apikeyDoc) string) error {
	if t.JSON {
		return t.document(raw)
	}
	var k apikeyDoc
	if err := json.Unmarshal(raw, &k); err != nil {
		return err
	}
	if dryRun {
		t.say("Would be: %s. Nothing was changed.", printable(words(k)))
		return nil
	}
	t.done("%s", printable(words(k)))
	return nil
}

// openInput opens a file, or stdin for "-".
func (t *terminal) openInput(path string) (io.Reader, func() error, error) {
	if path == "-" {
		return t.In, func() error { return nil }, nil
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, nil, wrongUsage("the file "+path+" cannot be read: "+fileCause(err), "check the path")
	}
	return file, file.Close, nil
}
