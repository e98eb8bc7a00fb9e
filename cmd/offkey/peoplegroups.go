package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
)

// peopleGroupsCmd groups what operators do about groups.
type peopleGroupsCmd struct {
	List   groupsListCmd   `cmd:"" help:"List the groups."`
	Set    groupsSetCmd    `cmd:"" help:"Make or change a group: scopes and policy."`
	Delete groupsDeleteCmd `cmd:"" help:"Delete a group; its members stay."`
}

type groupDoc struct {
	Name    string            `json:"name"`
	Scopes  []string          `json:"scopes"`
	Roles   []string          `json:"roles"`
	Policy  map[string]string `json:"policy"`
	Source  string            `json:"source"`
	Members int               `json:"members"`
}

func (d groupDoc) members() string {
	if d.Members < 0 {
		return "all"
	}
	return fmt.Sprint(d.Members)
}

// policy is what the group asks, in one line.
func (d groupDoc) policy() string {
	var parts []string
	for _, name := range []string{"interactive", "mfa", "session_idle", "session_max", "reauth"} {
		if d.Policy[name] != "" {
			parts = append(parts, name+"="+d.Policy[name])
		}
	}
	return orDash(strings.Join(parts, " "))
}

type groupsListCmd struct {
	operatorFlags
	listFlags
}

func (groupsListCmd) Help() string {
	return `Examples:
  offkey people groups list
  offkey people groups list --json`
}

// Run lists.
func (c *groupsListCmd) Run(ctx context.Context, t *terminal) error {
	found, err := c.connect().list(ctx, "/groups", "groups", parameters("after", c.After), c.Limit)
	if err != nil {
		return err
	}
	return c.show(t, "groups", found, []string{"name", "scopes", "roles", "policy", "source", "members"}, func() error {
		rows := make([][]string, len(found.items))
		for i, item := range found.items {
			var d groupDoc
			if err := json.Unmarshal(item, &d); err != nil {
				return err
			}
			rows[i] = []string{d.Name, d.members(), orDash(strings.Join(d.Scopes, " ")), orDash(strings.Join(d.Roles, " ")), d.policy(), d.Source}
		}
		return writeTable(t.Out, []column{{head: "GROUP"}, {head: "MEMBERS", right: true}, {head: "SCOPES"}, {head: "ROLES"}, {head: "POLICY"}, {head: "SOURCE"}}, rows)
	})
}

type groupsSetCmd struct {
	operatorFlags
	Group       string  `arg:"" help:"Its name. That of everyone is the policy for all."`
	Scopes      *string `placeholder:"LIST" help:"What its members may hand on to clients, separated by spaces; replaces what was there."`
	Roles       *string `placeholder:"LIST" help:"admin lets members operate offkey; empty for none."`
	Interactive *string `placeholder:"WHAT" help:"allow, or forbid: members cannot sign in, in any way."`
	MFA         *string `name:"mfa" placeholder:"WHAT" help:"none, any (a second factor or a passkey) or passkey."`
	SessionIdle *string `placeholder:"SPAN" help:"A session that is not used ends after this long, as in 15m."`
	SessionMax  *string `placeholder:"SPAN" help:"Every session ends after this long, as in 12h."`
	Reauth      *string `placeholder:"SPAN" help:"How old a sign-in may be for what is dangerous, as in 5m."`
	DryRun      bool    `help:"Change nothing, show how it would be."`
}

func (groupsSetCmd) Help() string {
	return `Examples:
  offkey people groups set buyers --scopes "read:orders create:orders"
  offkey people groups set admins --mfa passkey --session-idle 15m --session-max 8h
  offkey people groups set everyone --mfa any

Of somebody's groups the strictest holds, each setting by itself. An empty value says nothing from then on. Where no group
says anything: allow, none, 8h, 24h, 5m.`
}

// Run sets.
func (c *groupsSetCmd) Run(ctx context.Context, t *terminal) error {
	body := map[string]any{}
	for member, value := range map[string]*string{"interactive": c.Interactive, "mfa": c.MFA, "session_idle": c.SessionIdle, "session_max": c.SessionMax, "reauth": c.Reauth} {
		if value != nil {
			body[member] = *value
		}
	}
	for member, value := range map[string]*string{"scopes": c.Scopes, "roles": c.Roles} {
		if value != nil {
			body[member] = append([]string{}, strings.Fields(*value)...)
		}
	}
	var raw json.RawMessage
	if err := c.connect().send(ctx, "PUT", at("/groups/%s", c.Group), parameters("dry_run", whenTrue(c.DryRun)), body, &raw); err != nil {
		return err
	}
	return t.finishGroup(raw, c.DryRun, func(d groupDoc) string {
		return fmt.Sprintf("group %s: scopes %s, policy %s", d.Name, orDash(strings.Join(d.Scopes, " ")), d.policy())
	})
}

type groupsDeleteCmd struct {
	operatorFlags
	Group  string `arg:"" help:"Its name."`
	Yes    bool   `help:"Do not ask."`
	DryRun bool   `help:"Change nothing, show what would go."`
}

func (groupsDeleteCmd) Help() string {
	return `Examples:
  offkey people groups delete buyers --dry-run
  offkey people groups delete buyers --yes

Its members lose its scopes, and also what its policy asked of them.`
}

// Run deletes.
func (c *groupsDeleteCmd) Run(ctx context.Context, t *terminal) error {
	if !c.DryRun {
		if err := t.confirm(c.Yes, "The group "+c.Group+" will be gone, with what its policy asks. Delete it?"); err != nil {
			return err
		}
	}
	var raw json.RawMessage
	if err := c.connect().send(ctx, "DELETE", at("/groups/%s", c.Group), parameters("dry_run", whenTrue(c.DryRun)), nil, &raw); err != nil {
		return err
	}
	return t.finishGroup(raw, c.DryRun, func(d groupDoc) string {
		return fmt.Sprintf("group %s is deleted; it had %s members", d.Name, d.members())
	})
}

func (t *terminal) finishGroup(raw json.RawMessage, dryRun bool, words func(groupDoc) string) error {
	if t.JSON {
		return t.document(raw)
	}
	var d groupDoc
	if err := json.Unmarshal(raw, &d); err != nil {
		return err
	}
	t.done("%s", printable(words(d)))
	if dryRun {
		t.say("This is how it would be. Nothing was changed.")
	}
	return nil
}
