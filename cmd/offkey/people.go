package main

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// peopleCmd groups what operators do about people.
type peopleCmd struct {
	List          peopleListCmd          `cmd:"" help:"List the people."`
	Show          peopleShowCmd          `cmd:"" help:"Show somebody: factors, policy, scopes."`
	Invite        peopleInviteCmd        `cmd:"" help:"Make somebody who chooses by a link how to sign in."`
	Create        peopleCreateCmd        `cmd:"" help:"Make somebody with a password."`
	Set           peopleSetCmd           `cmd:"" help:"Change somebody: name, address, groups, claims, password."`
	Disable       peopleDisableCmd       `cmd:"" help:"Shut somebody out, and refuse their tokens."`
	Enable        peopleEnableCmd        `cmd:"" help:"Let somebody in again."`
	Delete        peopleDeleteCmd        `cmd:"" help:"Delete somebody."`
	ResetPassword peopleResetPasswordCmd `cmd:"" help:"Make a link by which somebody chooses another password."`
	ResetMFA      peopleResetMFACmd      `cmd:"" name:"reset-mfa" help:"Take the authenticator app, passkeys and recovery codes from somebody."`
	Sessions      peopleSessionsCmd      `cmd:"" help:"Where somebody is signed in; --end ends one."`
	Revoke        peopleRevokeCmd        `cmd:"" help:"End somebody's sessions, and refuse what was issued for them until now."`
	Import        peopleImportCmd        `cmd:"" help:"Bring in people with the password hashes of another program."`
	Groups        peopleGroupsCmd        `cmd:"" help:"Groups and their policies: list, set, delete."`
	ServiceName   peopleServiceNameCmd   `cmd:"" help:"The name of what people sign in to, as they read it."`
}

func (peopleCmd) Help() string {
	return `People sign in; programs do not. A program, or a service account, is a client: ` + "`offkey clients create`."
}

type personDoc struct {
	ID            string                     `json:"id"`
	Name          string                     `json:"name"`
	Email         string                     `json:"email"`
	EmailVerified bool                       `json:"email_verified"`
	Status        string                     `json:"status"`
	Groups        []string                   `json:"groups"`
	Claims        map[string]json.RawMessage `json:"claims"`
	Source        string                     `json:"source"`
	Created       time.Time                  `json:"created"`
	LastSignIn    time.Time                  `json:"last_sign_in"`
	Factors       *struct {
		Password bool `json:"password"`
		TOTP     bool `json:"totp"`
		Passkeys int  `json:"passkeys"`
		Recovery int  `json:"recovery_codes"`
	} `json:"factors"`
	Policy map[string]string `json:"policy"`
	Scopes []string          `json:"scopes"`
	Roles  []string          `json:"roles"`
	Shut   string            `json:"shut"`
	Link   *linkDoc          `json:"link"`

	VerificationMailed bool `json:"verification_mailed"`
}

type linkDoc struct {
	URL     string    `json:"url"`
	Expires time.Time `json:"expires"`
	Mailed  bool      `json:"mailed"`
}

var personMembers = []string{"id", "name", "email", "email_verified", "status", "groups", "source", "created", "last_sign_in"}

type peopleListCmd struct {
	operatorFlags
	listFlags
	Group  string `placeholder:"NAME" help:"Only members of this group."`
	Status string `placeholder:"STATUS" help:"Only active, invited or disabled ones."`
}

func (peopleListCmd) Help() string {
	return `Examples:
  offkey people list
  offkey people list --group admins
  offkey people list --status invited --json`
}

// Run lists.
func (c *peopleListCmd) Run(ctx context.Context, t *terminal) error {
	found, err := c.connect().list(ctx, "/people", "people", parameters("group", c.Group, "status", c.Status, "after", c.After), c.Limit)
	if err != nil {
		return err
	}
	return c.show(t, "people", found, personMembers, func() error {
		rows := make([][]string, len(found.items))
		for i, item := range found.items {
			var d personDoc
			if err := json.Unmarshal(item, &d); err != nil {
				return err
			}
			rows[i] = []string{d.Name, orDash(d.Email), d.Status, orDash(strings.Join(d.Groups, " ")), ago(t.Now(), d.LastSignIn), d.Source}
		}
		return writeTable(t.Out, []column{{head: "NAME"}, {head: "EMAIL"}, {head: "STATUS"}, {head: "GROUPS"}, {head: "SIGNED IN"}, {head: "SOURCE"}}, rows)
	})
}

func (d personDoc) print(t *terminal) error {
	email := d.Email
	if email != "" && !d.EmailVerified {
		email += " (not verified)"
	}
	rows := [][2]string{
		{"name", d.Name}, {"id", d.ID}, {"email", email}, {"status", d.Status}, {"shut because", d.Shut}, {"groups", strings.Join(d.Groups, " ")},
		{"roles", strings.Join(d.Roles, " ")}, {"scopes", strings.Join(d.Scopes, " ")},
	}
	if f := d.Factors; f != nil {
		rows = append(rows, [2]string{"password", yesNo(f.Password)}, [2]string{"app", yesNo(f.TOTP)}, [2]string{"passkeys", fmt.Sprint(f.Passkeys)}, [2]string{"recovery codes", fmt.Sprint(f.Recovery)})
	}
	for _, name := range []string{"interactive", "mfa", "session_idle", "session_max", "reauth"} {
		rows = append(rows, [2]string{strings.ReplaceAll(name, "_", " "), d.Policy[name]})
	}
	for _, name := range slices.Sorted(maps.Keys(d.Claims)) {
		rows = append(rows, [2]string{name, string(d.Claims[name])})
	}
	return writePairs(t.Out, append(rows, [2]string{"source", d.Source}, [2]string{"created", day(d.Created)}, [2]string{"signed in", ago(t.Now(), d.LastSignIn)}))
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

type peopleShowCmd struct {
	operatorFlags
	Person string `arg:"" help:"Name, email address or id."`
}

func (peopleShowCmd) Help() string {
	return `Examples:
  offkey people show ana
  offkey people show ana@example.com --json`
}

// Run shows.
func (c *peopleShowCmd) Run(ctx context.Context, t *terminal) error {
	var raw json.RawMessage
	if err := c.connect().get(ctx, at("/people/%s", c.Person), nil, &raw); err != nil {
		return err
	}
	return t.finishPerson(raw, false, nil)
}

// finishPerson shows what became of somebody: in JSON as it came, else as words;
// without words, in full. A link goes to standard output, alone.
func (t *terminal) finishPerson(raw json.RawMessage, dryRun bool, words func(d personDoc) string) error {
	if t.JSON {
		return t.document(raw)
	}
	var d personDoc
	if err := json.Unmarshal(raw, &d); err != nil {
		return err
	}
	if dryRun || words == nil {
		if err := d.print(t); err != nil {
			return err
		}
		if dryRun {
			t.say("This is how it would be. Nothing was changed.")
		}
		return nil
	}
	t.done("%s", printable(words(d)))
	if d.Link == nil {
		return nil
	}
	if d.Link.Mailed {
		t.say("It was put into the outbox for %s, and is also here:", d.Email)
	}
	t.say("The link opens once, until %s. Whoever has it can use it: pass it on to %s alone.", d.Link.Expires.Format("2006-01-02 15:04 MST"), d.Name)
	_, err := fmt.Fprintln(t.Out, d.Link.URL)
	return err
}

// personFlags are those of every command that changes somebody.
type personFlags struct {
	operatorFlags
	Person string `arg:"" help:"Name, email address or id."`
	DryRun bool   `help:"Change nothing, show how it would be."`
}

func (c *personFlags) send(ctx context.Context, method, path string, body any) (raw json.RawMessage, err error) {
	err = c.connect().send(ctx, method, at(path, c.Person), parameters("dry_run", whenTrue(c.DryRun)), body, &raw)
	return raw, err
}

type peopleDisableCmd struct{ personFlags }

func (peopleDisableCmd) Help() string {
	return `Examples:
  offkey people disable ana --dry-run
  offkey people disable ana

Every way in is shut at once: sessions end, tokens and refresh tokens are refused, links open nothing. It works for
somebody whom the configuration file declares too, and stays over restarts. ` + "`offkey people enable`" + ` takes it back.`
}

// Run disables.
func (c *peopleDisableCmd) Run(ctx context.Context, t *terminal) error {
	raw, err := c.send(ctx, "POST", "/people/%s/disable", nil)
	if err != nil {
		return err
	}
	return t.finishPerson(raw, c.DryRun, func(d personDoc) string {
		return fmt.Sprintf("%s is disabled: sessions are ended and tokens refused; `offkey people enable` takes it back", d.Name)
	})
}

type peopleEnableCmd struct{ personFlags }

func (peopleEnableCmd) Help() string {
	return `Examples:
  offkey people enable ana

Sessions and tokens from before stay refused: they sign in anew.`
}

// Run enables.
func (c *peopleEnableCmd) Run(ctx context.Context, t *terminal) error {
	raw, err := c.send(ctx, "POST", "/people/%s/enable", nil)
	if err != nil {
		return err
	}
	return t.finishPerson(raw, c.DryRun, func(d personDoc) string {
		if d.Status == "invited" {
			return fmt.Sprintf("%s may come, by a link: `offkey people invite %s`", d.Name, d.Name)
		}
		return d.Name + " may sign in again"
	})
}

type peopleDeleteCmd struct {
	personFlags
	Yes bool `help:"Do not ask."`
}

func (peopleDeleteCmd) Help() string {
	return `Examples:
  offkey people delete ana --dry-run
  offkey people delete ana --yes

Clients and apikeys that they made stay: those belong to an owner, not to a person. What can be taken back is
` + "`offkey people disable`."
}

// Run deletes.
func (c *peopleDeleteCmd) Run(ctx context.Context, t *terminal) error {
	if !c.DryRun {
		if err := t.confirm(c.Yes, c.Person+" will be gone, with sessions and tokens. Delete them?"); err != nil {
			return err
		}
	}
	raw, err := c.send(ctx, "DELETE", "/people/%s", nil)
	if err != nil {
		return err
	}
	return t.finishPerson(raw, c.DryRun, func(d personDoc) string { return d.Name + " is deleted, sessions are ended and tokens refused" })
}

type peopleResetPasswordCmd struct {
	personFlags
	NoMail bool `help:"Only print the link, send no mail."`
}

func (peopleResetPasswordCmd) Help() string {
	return `Examples:
  offkey people reset-password ana
  offkey people reset-password ana --no-mail --json

The link opens once, within an hour. Once another password is chosen, sessions end and tokens are refused. The second
factor stays; ` + "`offkey people reset-mfa`" + ` takes it away. To set a password yourself: ` + "`offkey people set --password-stdin`."
}

// Run makes the link.
func (c *peopleResetPasswordCmd) Run(ctx context.Context, t *terminal) error {
	raw, err := c.send(ctx, "POST", "/people/%s/reset-password", map[string]any{"mail": !c.NoMail})
	if err != nil {
		return err
	}
	return t.finishPerson(raw, c.DryRun, func(d personDoc) string { return "there is a link for " + d.Name + " to choose another password" })
}

type peopleResetMFACmd struct {
	personFlags
	Yes bool `help:"Do not ask."`
}

func (peopleResetMFACmd) Help() string {
	return `Examples:
  offkey people reset-mfa ana --yes

For a second factor that is lost, or in other hands. Sessions end and tokens are refused. Somebody who signed in with a
passkey alone needs a link after that: ` + "`offkey people reset-password`."
}

// Run resets.
func (c *peopleResetMFACmd) Run(ctx context.Context, t *terminal) error {
	if !c.DryRun {
		if err := t.confirm(c.Yes, "Authenticator app, passkeys and recovery codes of "+c.Person+" will be gone. Take them away?"); err != nil {
			return err
		}
	}
	raw, err := c.send(ctx, "POST", "/people/%s/reset-mfa", nil)
	if err != nil {
		return err
	}
	return t.finishPerson(raw, c.DryRun, func(d personDoc) string { return d.Name + " has no second factor any more; sessions are ended" })
}
