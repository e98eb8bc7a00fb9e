package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// clientsCmd groups what operators do about clients.
type clientsCmd struct {
	List    clientsListCmd    `cmd:"" help:"List the clients."`
	Show    clientsShowCmd    `cmd:"" help:"Show a client."`
	Create  clientsCreateCmd  `cmd:"" help:"Make a client."`
	Update  clientsUpdateCmd  `cmd:"" help:"Change a client."`
	Rotate  clientsRotateCmd  `cmd:"" help:"Give a client a new secret or key beside the old one."`
	Approve clientsApproveCmd `cmd:"" help:"Let a client have what it waits for."`
	Widen   clientsWidenCmd   `cmd:"" help:"Give a client scopes for a time."`
	Disable clientsDisableCmd `cmd:"" help:"Refuse a client and all its tokens."`
	Enable  clientsEnableCmd  `cmd:"" help:"Take a disabled client back."`
	Revoke  clientsRevokeCmd  `cmd:"" help:"Refuse what a client was issued until now."`
	Delete  clientsDeleteCmd  `cmd:"" help:"Delete a client."`

	RegistrationToken registrationTokenCmd `cmd:"" name:"registration-token" help:"Tokens with which clients register themselves: create, list, revoke."`
}

type clientDoc struct {
	ID            string    `json:"client_id"`
	Name          string    `json:"name"`
	Owner         string    `json:"owner"`
	Status        string    `json:"status"`
	Auth          string    `json:"auth"`
	Audience      string    `json:"audience"`
	JWKSURI       string    `json:"jwks_uri"`
	Grants        []string  `json:"grants"`
	Scopes        []string  `json:"scopes"`
	DefaultScopes []string  `json:"default_scopes"`
	PendingScopes []string  `json:"pending_scopes"`
	PendingReason string    `json:"pending_reason"`
	Resources     []string  `json:"resources"`
	RedirectURIs  []string  `json:"redirect_uris"`
	PostLogout    []string  `json:"post_logout_redirect_uris"`
	Backchannel   string    `json:"backchannel_logout_uri"`
	PKCEOptional  bool      `json:"pkce_optional"`
	APIKeyID      string    `json:"apikey_id"`
	Software      string    `json:"software_id"`
	Source        string    `json:"source"`
	Created       time.Time `json:"created"`
	LastUsed      time.Time `json:"last_used"`
	Credentials   []struct {
		ID       string    `json:"id"`
		Kind     string    `json:"kind"`
		Created  time.Time `json:"created"`
		Expires  time.Time `json:"expires"`
		LastUsed time.Time `json:"last_used"`
	} `json:"credentials"`
	Secret string `json:"client_secret"`
}

var clientMembers = []string{"client_id", "name", "owner", "status", "auth", "scopes", "pending_scopes", "source", "apikey_id", "created", "last_used"}

type clientsListCmd struct {
	operatorFlags
	listFlags
	Owner  string `placeholder:"NAME" help:"Only of this owner."`
	Status string `placeholder:"STATUS" help:"Only active, pending or disabled ones."`
	Sort   string `placeholder:"BY" help:"created (default), name, owner or last_used (latest first)."`
}

func (clientsListCmd) Help() string {
	return `Examples:
  offkey clients list
  offkey clients list --status pending
  offkey clients list --sort last_used --limit 0 --csv > clients.csv`
}

// Run lists.
func (c *clientsListCmd) Run(ctx context.Context, t *terminal) error {
	query := parameters("owner", c.Owner, "status", c.Status, "sort", c.Sort, "after", c.After)
	found, err := c.connect().list(ctx, "/clients", "clients", query, c.Limit)
	if err != nil {
		return err
	}
	return c.show(t, "clients", found, clientMembers, func() error {
		var rows [][]string
		for _, item := range found.items {
			var d clientDoc
			if err := json.Unmarshal(item, &d); err != nil {
				return err
			}
			rows = append(rows, []string{d.ID, d.Name, orDash(d.Owner), d.statusWords(), d.Auth, ago(t.Now(), d.LastUsed), orDash(strings.Join(d.Scopes, " "))})
		}
		if len(rows) == 0 {
			t.say("No clients. A caller makes its own with `offkey upgrade`; `offkey clients create` makes one for it.")
			return nil
		}
		return writeTable(t.Out, []column{{head: "CLIENT"}, {head: "NAME"}, {head: "OWNER"}, {head: "STATUS"}, {head: "AUTH"}, {head: "LAST USED"}, {head: "SCOPES"}}, rows)
	})
}

func (d clientDoc) statusWords() string {
	if d.Status == "active" && len(d.PendingScopes) > 0 {
		return "active, scopes wait"
	}
	return d.Status
}

// print shows one client to a person.
func (d clientDoc) print(t *terminal) error {
	rows := [][2]string{
		{"client_id", d.ID}, {"name", d.Name}, {"owner", d.Owner}, {"status", d.Status}, {"waits because", d.PendingReason},
		{"auth", d.Auth}, {"audience", d.Audience}, {"keys from", d.JWKSURI}, {"grants", strings.Join(d.Grants, " ")},
		{"scopes", strings.Join(d.Scopes, " ")}, {"by default", strings.Join(d.DefaultScopes, " ")}, {"scopes waiting", strings.Join(d.PendingScopes, " ")},
		{"resources", strings.Join(d.Resources, " ")}, {"redirects to", strings.Join(d.RedirectURIs, " ")},
		{"pkce", map[bool]string{true: "optional"}[d.PKCEOptional]}, {"after sign-out", strings.Join(d.PostLogout, " ")}, {"told of the end", d.Backchannel},
		{"replaces", d.APIKeyID}, {"software", d.Software}, {"source", d.Source},
		{"created", day(d.Created)}, {"last used", ago(t.Now(), d.LastUsed)},
	}
	for _, cr := range d.Credentials {
		line := fmt.Sprintf("%s %s, used %s", cr.Kind, cr.ID, ago(t.Now(), cr.LastUsed))
		if !cr.Expires.IsZero() {
			line += ", ends " + day(cr.Expires)
		}
		rows = append(rows, [2]string{"credential", line})
	}
	return writePairs(t.Out, rows)
}

// credentials are what a client is told once: its id and, if it has one, its
// secret.
func (t *terminal) credentials(raw json.RawMessage, secretIn string) error {
	var d clientDoc
	if err := json.Unmarshal(raw, &d); t.JSON || err != nil {
		return err
	}
	if d.Secret != "" {
		t.say("The secret is shown this once.")
	}
	if secretIn != "" {
		t.say("The secret is in %s.", secretIn)
	}
	return writePairs(t.Out, [][2]string{{"client_id", d.ID}, {"client_secret", d.Secret}})
}

// finish shows what became of a client: in JSON as it came, else as words.
func (t *terminal) finish(raw json.RawMessage, dryRun bool, words func(d clientDoc) string) error {
	if t.JSON {
		return t.document(raw)
	}
	var d clientDoc
	if err := json.Unmarshal(raw, &d); err != nil {
		return err
	}
	if dryRun {
		if err := d.print(t); err != nil {
			return err
		}
		t.say("This is how it would be. Nothing was changed.")
		return nil
	}
	t.done("%s", printable(words(d)))
	return nil
}

type clientsShowCmd struct {
	operatorFlags
	Client string `arg:"" help:"Client id, a unique beginning of it, or its name."`
}

func (clientsShowCmd) Help() string {
	return `Examples:
  offkey clients show billing
  offkey clients show cl_019ab --json`
}

// Run shows.
func (c *clientsShowCmd) Run(ctx context.Context, t *terminal) error {
	var raw json.RawMessage
	if err := c.connect().get(ctx, at("/clients/%s", c.Client), nil, &raw); err != nil {
		return err
	}
	if t.JSON {
		return t.document(raw)
	}
	var d clientDoc
	if err := json.Unmarshal(raw, &d); err != nil {
		return err
	}
	return d.print(t)
}

// changeFlags are those of every command that changes a client.
type changeFlags struct {
	operatorFlags
	Client string `arg:"" help:"Client id, a unique beginning of it, or its name."`
	DryRun bool   `help:"Change nothing, show how it would be."`
}

func (c *changeFlags) send(ctx context.Context, method, path string, body any) (raw json.RawMessage, err error) {
	err = c.connect().send(ctx, method, at(path, c.Client), parameters("dry_run", whenTrue(c.DryRun)), body, &raw)
	return raw, err
}

type clientsApproveCmd struct {
	changeFlags
	Scopes *string `placeholder:"LIST" help:"Only these of the scopes that wait, separated by spaces; an empty list for none. Default: all."`
}

func (clientsApproveCmd) Help() string {
	return `Examples:
  offkey clients list --status pending
  offkey clients approve cl_019ab --dry-run
  offkey clients approve cl_019ab --scopes "read:orders"`
}

// Run approves.
func (c *clientsApproveCmd) Run(ctx context.Context, t *terminal) error {
	body := map[string]any{}
	if c.Scopes != nil {
		body["scopes"] = append([]string{}, strings.Fields(*c.Scopes)...)
	}
	raw, err := c.send(ctx, "POST", "/clients/%s/approve", body)
	if err != nil {
		return err
	}
	return t.finish(raw, c.DryRun, func(d clientDoc) string {
		return fmt.Sprintf("client %s (%s) may ask for: %s", d.Name, d.ID, orDash(strings.Join(d.Scopes, " ")))
	})
}

type clientsDisableCmd struct{ changeFlags }

func (clientsDisableCmd) Help() string {
	return `Examples:
  offkey clients disable billing --dry-run
  offkey clients disable billing

It gets no more tokens, and those that it has are refused at once. Take it back with ` + "`offkey clients enable`."
}

// Run disables.
func (c *clientsDisableCmd) Run(ctx context.Context, t *terminal) error {
	raw, err := c.send(ctx, "POST", "/clients/%s/disable", nil)
	if err != nil {
		return err
	}
	return t.finish(raw, c.DryRun, func(d clientDoc) string {
		return fmt.Sprintf("client %s (%s) is disabled, and its tokens are refused; `offkey clients enable` takes it back", d.Name, d.ID)
	})
}

type clientsEnableCmd struct{ changeFlags }

func (clientsEnableCmd) Help() string {
	return `Examples:
  offkey clients enable billing

Tokens that it had before stay refused; it asks for new ones.`
}

// Run enables.
func (c *clientsEnableCmd) Run(ctx context.Context, t *terminal) error {
	raw, err := c.send(ctx, "POST", "/clients/%s/enable", nil)
	if err != nil {
		return err
	}
	return t.finish(raw, c.DryRun, func(d clientDoc) string {
		if d.Status == "pending" {
			return fmt.Sprintf("client %s (%s) waits for approval: `offkey clients approve %s`", d.Name, d.ID, d.ID)
		}
		return fmt.Sprintf("client %s (%s) may ask for tokens again", d.Name, d.ID)
	})
}

type clientsDeleteCmd struct {
	changeFlags
	Yes bool `help:"Do not ask."`
}

func (clientsDeleteCmd) Help() string {
	return `Examples:
  offkey clients delete billing --dry-run
  offkey clients delete billing --yes

What can be taken back is ` + "`offkey clients disable`."
}

// Run deletes.
func (c *clientsDeleteCmd) Run(ctx context.Context, t *terminal) error {
	if !c.DryRun {
		if err := t.confirm(c.Yes, "Client "+c.Client+" will be gone, and its tokens refused. Delete it?"); err != nil {
			return err
		}
	}
	raw, err := c.send(ctx, "DELETE", "/clients/%s", nil)
	if err != nil {
		return err
	}
	return t.finish(raw, c.DryRun, func(d clientDoc) string {
		return fmt.Sprintf("client %s (%s) deleted, and its tokens refused", d.Name, d.ID)
	})
}
