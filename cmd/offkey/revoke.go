package main

import (
	"context"
	"encoding/json"
	"fmt"
	"time"
)

// revocationDoc says what is refused from now on.
type revocationDoc struct {
	Kind string `json:"kind"`
	ID   string `json:"id"`
	Name string `json:"name"`
}

// finishRevocation shows what is refused.
func (t *terminal) finishRevocation(raw json.RawMessage, dryRun bool, words func(revocationDoc) string) error {
	if t.JSON {
		return t.document(raw)
	}
	var d revocationDoc
	if err := json.Unmarshal(raw, &d); err != nil {
		return err
	}
	t.done("%s", printable(words(d)))
	if dryRun {
		t.say("This is how it would be. Nothing was changed.")
	}
	return nil
}

type peopleRevokeCmd struct{ personFlags }

func (peopleRevokeCmd) Help() string {
	return `Examples:
  offkey people revoke ana

They can sign in again at once; ` + "`offkey people disable`" + ` is to shut them out.`
}

// Run revokes.
func (c *peopleRevokeCmd) Run(ctx context.Context, t *terminal) error {
	raw, err := c.send(ctx, "POST", "/people/%s/revoke", nil)
	if err != nil {
		return err
	}
	return t.finishRevocation(raw, c.DryRun, func(d revocationDoc) string {
		return "sessions of " + d.Name + " are ended, and what was issued for them is refused"
	})
}

type clientsRevokeCmd struct{ changeFlags }

func (clientsRevokeCmd) Help() string {
	return `Examples:
  offkey clients revoke billing

It may ask for new tokens at once; ` + "`offkey clients disable`" + ` is to refuse it.`
}

// Run revokes.
func (c *clientsRevokeCmd) Run(ctx context.Context, t *terminal) error {
	raw, err := c.send(ctx, "POST", "/clients/%s/revoke", nil)
	if err != nil {
		return err
	}
	return t.finishRevocation(raw, c.DryRun, func(d revocationDoc) string {
		return fmt.Sprintf("what client %s (%s) was issued is refused", d.Name, d.ID)
	})
}

type revokeCmd struct {
	operatorFlags
	All    bool `required:"" help:"Everything, of everybody."`
	Yes    bool `help:"Do not ask."`
	DryRun bool `help:"Change nothing."`
}

func (revokeCmd) Help() string {
	return `Examples:
  offkey revoke --all --yes

Every token is refused, and every session ends, whoever's it is: for a signing key that got out, or a breach. Callers ask
for new tokens at once, people sign in anew. For less: ` + "`offkey people revoke`, `offkey clients revoke`, `offkey apikeys block`."
}

// Run revokes.
func (c *revokeCmd) Run(ctx context.Context, t *terminal) error {
	if !c.DryRun {
		if err := t.confirm(c.Yes, "Every token will be refused and every session ended, whoever's it is. Revoke everything?"); err != nil {
			return err
		}
	}
	var raw json.RawMessage
	if err := c.connect().send(ctx, "POST", "/revoke-all", parameters("dry_run", whenTrue(c.DryRun)), nil, &raw); err != nil {
		return err
	}
	return t.finishRevocation(raw, c.DryRun, func(revocationDoc) string {
		return "everything that was issued is refused, and every session is ended"
	})
}

type peopleSessionsCmd struct {
	personFlags
	listFlags
	End string `placeholder:"ID" help:"End this session, and refuse what was issued in it."`
}

func (peopleSessionsCmd) Help() string {
	return `Examples:
  offkey people sessions ana
  offkey people sessions ana --end se_019ab`
}

type sessionDoc struct {
	ID        string    `json:"id"`
	Created   time.Time `json:"created"`
	LastSeen  time.Time `json:"last_seen"`
	ACR       string    `json:"acr"`
	UserAgent string    `json:"user_agent"`
	Source    string    `json:"source"`
}

// Run lists, or ends one.
func (c *peopleSessionsCmd) Run(ctx context.Context, t *terminal) error {
	if c.End != "" {
		var raw json.RawMessage
		if err := c.connect().send(ctx, "DELETE", at("/people/%s/sessions/%s", c.Person, c.End), parameters("dry_run", whenTrue(c.DryRun)), nil, &raw); err != nil {
			return err
		}
		return t.finishRevocation(raw, c.DryRun, func(d revocationDoc) string {
			return fmt.Sprintf("session %s of %s is ended", d.ID, d.Name)
		})
	}
	found, err := c.connect().list(ctx, at("/people/%s/sessions", c.Person), "sessions", parameters("after", c.After), c.Limit)
	if err != nil {
		return err
	}
	return c.show(t, "sessions", found, []string{"id", "created", "last_seen", "expires", "auth_time", "acr", "amr", "user_agent", "source"}, func() error {
		rows := make([][]string, len(found.items))
		for i, item := range found.items {
			var d sessionDoc
			if err := json.Unmarshal(item, &d); err != nil {
				return err
			}
			rows[i] = []string{d.ID, day(d.Created), ago(t.Now(), d.LastSeen), d.ACR, orDash(d.Source), orDash(d.UserAgent)}
		}
		return writeTable(t.Out, []column{{head: "SESSION"}, {head: "SINCE"}, {head: "SEEN"}, {head: "HOW"}, {head: "FROM"}, {head: "WITH"}}, rows)
	})
}
