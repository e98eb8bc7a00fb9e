package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// registrationTokenCmd groups what operators do about clients that register
// themselves.
type registrationTokenCmd struct {
	Create registrationTokenCreateCmd `cmd:"" help:"Make a token with which clients register themselves."`
	List   registrationTokenListCmd   `cmd:"" help:"List the registration tokens."`
	Revoke registrationTokenRevokeCmd `cmd:"" help:"End a registration token; its clients stay."`
}

type registrationTokenDoc struct {
	ID       string    `json:"id"`
	Name     string    `json:"name"`
	Scopes   []string  `json:"scopes"`
	UsesLeft int       `json:"uses_left"`
	Used     int       `json:"used"`
	Expires  time.Time `json:"expires"`
	Token    string    `json:"token"`
}

type registrationTokenCreateCmd struct {
	operatorFlags
	Name   string `required:"" placeholder:"NAME" help:"Who gets it."`
	Scopes string `placeholder:"LIST" help:"What its clients may ask for, separated by spaces, beside who a person is."`
	Uses   int    `default:"1" placeholder:"N" help:"How many clients may be registered with it. Default 1."`
	Life   string `default:"24h" placeholder:"TIME" help:"How long it is good, as in 24h or 30d. Default 24h."`
	DryRun bool   `help:"Make nothing, only check."`
}

func (registrationTokenCreateCmd) Help() string {
	return `Examples:
  offkey clients registration-token create --name "Acme's installer" --uses 20 --life 30d --scopes "read:orders" > token.txt

The token goes out with POST /register, as Authorization: Bearer. It is printed once, to standard output, and kept as a
hash only. features.registration must be token or open.`
}

// Run creates.
func (c *registrationTokenCreateCmd) Run(ctx context.Context, t *terminal) error {
	body := map[string]any{"name": c.Name, "scopes": append([]string{}, strings.Fields(c.Scopes)...), "uses": c.Uses, "life": c.Life}
	var raw json.RawMessage
	if err := c.connect().send(ctx, "POST", "/registration-tokens", parameters("dry_run", whenTrue(c.DryRun)), body, &raw); err != nil {
		return err
	}
	if t.JSON {
		return t.document(raw)
	}
	var d registrationTokenDoc
	if err := json.Unmarshal(raw, &d); err != nil {
		return err
	}
	if c.DryRun {
		t.say("It would be good for %d clients until %s. Nothing was changed.", d.UsesLeft, day(d.Expires))
		return nil
	}
	t.done("registration token %s is good for %d clients until %s; it is shown this once", d.ID, d.UsesLeft, day(d.Expires))
	_, err := fmt.Fprintln(t.Out, d.Token)
	return err
}

type registrationTokenListCmd struct {
	operatorFlags
	listFlags
}

func (registrationTokenListCmd) Help() string {
	return `Examples:
  offkey clients registration-token list
  offkey clients registration-token list --json`
}

// Run lists.
func (c *registrationTokenListCmd) Run(ctx context.Context, t *terminal) error {
	found, err := c.connect().list(ctx, "/registration-tokens", "registration_tokens", parameters("after", c.After), c.Limit)
	if err != nil {
		return err
	}
	return c.show(t, "registration_tokens", found, []string{"id", "name", "scopes", "uses_left", "used", "created", "expires"}, func() error {
		var rows [][]string
		for _, item := range found.items {
			var d registrationTokenDoc
			if err := json.Unmarshal(item, &d); err != nil {
				return err
			}
			rows = append(rows, []string{d.ID, d.Name, fmt.Sprint(d.UsesLeft), fmt.Sprint(d.Used), day(d.Expires), orDash(strings.Join(d.Scopes, " "))})
		}
		if len(rows) == 0 {
			t.say("No registration tokens.")
			return nil
		}
		return writeTable(t.Out, []column{{head: "TOKEN"}, {head: "NAME"}, {head: "USES LEFT"}, {head: "USED"}, {head: "EXPIRES"}, {head: "SCOPES"}}, rows)
	})
}

type registrationTokenRevokeCmd struct {
	operatorFlags
	Token  string `arg:"" help:"Its id, a unique beginning of it, or its name; never the token itself."`
	DryRun bool   `help:"Change nothing."`
}

func (registrationTokenRevokeCmd) Help() string {
	return `Examples:
  offkey clients registration-token revoke rt_019ab`
}

// Run revokes.
func (c *registrationTokenRevokeCmd) Run(ctx context.Context, t *terminal) error {
	var raw json.RawMessage
	if err := c.connect().send(ctx, "DELETE", at("/registration-tokens/%s", c.Token), parameters("dry_run", whenTrue(c.DryRun)), nil, &raw); err != nil {
		return err
	}
	if t.JSON {
		return t.document(raw)
	}
	var d registrationTokenDoc
	if err := json.Unmarshal(raw, &d); err != nil {
		return err
	}
	if c.DryRun {
		t.say("Registration token %s (%s) would end. Nothing was changed.", d.Name, d.ID)
		return nil
	}
	t.done("%s", printable(fmt.Sprintf("registration token %s (%s) is good for nothing any more", d.Name, d.ID)))
	return nil
}
