package main

import (
	"context"
	"encoding/json"
	"fmt"
	"time"
)

// signingCmd groups what is done about the keys that tokens are signed with.
type signingCmd struct {
	List   signingListCmd   `cmd:"" help:"List the signing keys."`
	Rotate signingRotateCmd `cmd:"" help:"Make the next signing key now."`
	Drop   signingDropCmd   `cmd:"" help:"Withdraw a signing key in an emergency: all its tokens are refused."`
}

type signingListCmd struct {
	operatorFlags
	listFlags
}

func (signingListCmd) Help() string {
	return `Examples:
  offkey signing list
  offkey signing list --json

States: next (published, signs later), signing, published (signs no more, its tokens are still believed), retired,
dropped (withdrawn in an emergency).`
}

type signingKey struct {
	KID      string    `json:"kid"`
	Alg      string    `json:"alg"`
	State    string    `json:"state"`
	Created  time.Time `json:"created"`
	SignFrom time.Time `json:"sign_from"`
}

// Run lists.
func (c *signingListCmd) Run(ctx context.Context, t *terminal) error {
	found, err := c.connect().list(ctx, "/signing", "keys", parameters("after", c.After), c.Limit)
	if err != nil {
		return err
	}
	return c.show(t, "keys", found, []string{"kid", "alg", "state", "created", "sign_from", "dropped"}, func() error {
		var rows [][]string
		for _, item := range found.items {
			var k signingKey
			if err := json.Unmarshal(item, &k); err != nil {
				return err
			}
			rows = append(rows, []string{k.KID, k.Alg, k.State, day(k.Created), day(k.SignFrom)})
		}
		return writeTable(t.Out, []column{{head: "KEY"}, {head: "ALG"}, {head: "STATE"}, {head: "CREATED"}, {head: "SIGNS FROM"}}, rows)
	})
}

type signingRotateCmd struct {
	operatorFlags
	Immediately bool `help:"Sign with it at once. Whoever caches the key set refuses new tokens until the cache expires."`
	DryRun      bool `help:"Change nothing."`
}

func (signingRotateCmd) Help() string {
	return `Examples:
  offkey signing rotate
  offkey signing rotate --immediately

The new key is published now and signs after signing.publish_ahead, so that everybody who checks tokens has it in
time. Tokens of the old key stay good.`
}

// Run rotates.
func (c *signingRotateCmd) Run(ctx context.Context, t *terminal) error {
	var raw json.RawMessage
	err := c.connect().send(ctx, "POST", "/signing/rotate", parameters("dry_run", whenTrue(c.DryRun)), map[string]bool{"immediately": c.Immediately}, &raw)
	if err != nil {
		return err
	}
	if t.JSON {
		return t.document(raw)
	}
	var k signingKey
	if err := json.Unmarshal(raw, &k); err != nil {
		return err
	}
	switch {
	case c.DryRun:
		t.say("A new signing key would be made. Nothing was changed.")
	case k.State == "signing":
		fmt.Fprintf(t.Out, "%s is published and signs\n", k.KID)
	default:
		fmt.Fprintf(t.Out, "%s is published and signs from %s\n", k.KID, day(k.SignFrom))
	}
	return nil
}

type signingDropCmd struct {
	operatorFlags
	KID    string `arg:"" name:"kid" help:"The key, or a beginning of its id."`
	Yes    bool   `help:"Do not ask."`
	DryRun bool   `help:"Change nothing."`
}

func (signingDropCmd) Help() string {
	return `Examples:
  offkey signing drop KID --dry-run
  offkey signing drop KID --yes

For a key that has leaked: it leaves the key set, and every token signed with it is refused from now on. If it was
the one that signs, a new one takes its place at once. To replace a healthy key use ` + "`offkey signing rotate`."
}

// Run drops.
func (c *signingDropCmd) Run(ctx context.Context, t *terminal) error {
	if !c.DryRun {
		if err := t.confirm(c.Yes, "Every token signed with "+c.KID+" will be refused. Drop it?"); err != nil {
			return err
		}
	}
	var raw json.RawMessage
	if err := c.connect().send(ctx, "POST", at("/signing/%s/drop", c.KID), parameters("dry_run", whenTrue(c.DryRun)), nil, &raw); err != nil {
		return err
	}
	if t.JSON {
		return t.document(raw)
	}
	var k signingKey
	if err := json.Unmarshal(raw, &k); err != nil {
		return err
	}
	if c.DryRun {
		t.say("%s would be dropped: it is %s now. Nothing was changed.", k.KID, k.State)
		return nil
	}
	t.done("%s dropped: its tokens are refused", k.KID)
	return nil
}
