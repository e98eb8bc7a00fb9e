package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
)

// aboutFlags are what is said of somebody who is made.
type aboutFlags struct {
	operatorFlags
	Name   string   `arg:"" help:"What is typed to sign in."`
	Email  string   `placeholder:"ADDRESS" help:"Email address."`
	Groups string   `placeholder:"LIST" help:"Groups, separated by spaces."`
	Claim  []string `sep:"none" placeholder:"NAME=VALUE" help:"A standard claim, as in given_name=Ana; repeat for several."`
	DryRun bool     `help:"Make nobody, only check."`
}

func (c aboutFlags) body() (map[string]any, error) {
	claims, err := claimsOf(c.Claim)
	if err != nil {
		return nil, err
	}
	return map[string]any{"name": c.Name, "email": c.Email, "groups": strings.Fields(c.Groups), "claims": claims}, nil
}

// claimsOf reads NAME=VALUE; a value that is JSON and no text is taken as it is,
// an empty one takes the claim away.
func claimsOf(given []string) (map[string]any, error) {
	claims := map[string]any{}
	for _, pair := range given {
		name, value, ok := strings.Cut(pair, "=")
		if !ok {
			return nil, wrongUsage("--claim wants NAME=VALUE", "write it as --claim given_name=Ana")
		}
		var document any
		switch err := json.Unmarshal([]byte(value), &document); {
		case value == "":
			claims[name] = nil
		case err == nil && (strings.HasPrefix(value, "{") || value == "true" || value == "false"):
			claims[name] = json.RawMessage(value)
		default:
			claims[name] = value
		}
	}
	return claims, nil
}

type peopleInviteCmd struct {
	aboutFlags
	NoMail bool `help:"Only print the link, send no mail."`
}

func (peopleInviteCmd) Help() string {
	return `Examples:
  offkey people invite ana --email ana@example.com --groups "buyers"
  offkey people invite ana        sends another link to somebody who has not come yet

The link opens once, within seven days. It is printed, and with --email also sent.`
}

// Run invites.
func (c *peopleInviteCmd) Run(ctx context.Context, t *terminal) error {
	body, err := c.body()
	if err != nil {
		return err
	}
	body["mail"] = !c.NoMail
	var raw json.RawMessage
	if err := c.connect().send(ctx, "POST", "/people/invite", parameters("dry_run", whenTrue(c.DryRun)), body, &raw); err != nil {
		return err
	}
	return t.finishPerson(raw, c.DryRun, func(d personDoc) string { return d.Name + " is invited" })
}

type peopleCreateCmd struct {
	aboutFlags
	PasswordStdin     bool `xor:"password" required:"" help:"Read the password from standard input."`
	PasswordHashStdin bool `xor:"password" required:"" help:"Read the hash of the password from standard input: argon2id, argon2i, bcrypt or PBKDF2."`
	EmailVerified     bool `help:"The address is known to be theirs."`
}

func (peopleCreateCmd) Help() string {
	return `Examples:
  offkey people create ana --email ana@example.com --password-stdin < ana.password
  offkey people create ana --password-hash-stdin < ana.hash

A password is never an argument, where others could see it. To let somebody choose it: ` + "`offkey people invite`" + `.
A program, or a service account, has no password and is a client: ` + "`offkey clients create`."
}

// Run creates.
func (c *peopleCreateCmd) Run(ctx context.Context, t *terminal) error {
	body, err := c.body()
	if err != nil {
		return err
	}
	member := "password"
	if c.PasswordHashStdin {
		member = "password_hash"
	}
	if body[member], err = t.readPassword(); err != nil {
		return err
	}
	if c.EmailVerified {
		body["email_verified"] = true
	}
	var raw json.RawMessage
	if err := c.connect().send(ctx, "POST", "/people", parameters("dry_run", whenTrue(c.DryRun)), body, &raw); err != nil {
		return err
	}
	return t.finishPerson(raw, c.DryRun, func(d personDoc) string { return fmt.Sprintf("%s made (%s)", d.Name, d.ID) })
}

// readPassword reads one line from standard input.
func (t *terminal) readPassword() (string, error) {
	raw, err := io.ReadAll(io.LimitReader(t.In, 4097))
	if err != nil {
		return "", failed("cannot_read", "standard input cannot be read", "", err)
	}
	text := strings.TrimRight(string(raw), "\r\n")
	if text == "" || len(raw) > 4096 {
		return "", wrongUsage("standard input holds no password, or more than one can be", "write it there, as in `offkey people create ana --password-stdin < ana.password`")
	}
	return text, nil
}

type peopleSetCmd struct {
	personFlags
	Name          *string  `placeholder:"NAME" help:"What is typed to sign in."`
	Email         *string  `placeholder:"ADDRESS" help:"Email address; not verified from then on."`
	Groups        *string  `placeholder:"LIST" help:"Groups, separated by spaces; replaces those there were."`
	AddGroup      []string `sep:"none" placeholder:"NAME" help:"A group more; repeat for several."`
	RemoveGroup   []string `sep:"none" placeholder:"NAME" help:"A group less; repeat for several."`
	Claim         []string `sep:"none" placeholder:"NAME=VALUE" help:"A standard claim; an empty value takes it away."`
	PasswordStdin bool     `help:"Read another password from standard input."`
}

func (peopleSetCmd) Help() string {
	return `Examples:
  offkey people set ana --add-group admins --dry-run
  offkey people set ana --email ana@example.com --claim given_name=Ana
  offkey people set ana --password-stdin < ana.password

What is taken away from somebody is in no token that is issued or refreshed from then on. Another password ends their
sessions, and refuses their tokens.`
}

// Run changes.
func (c *peopleSetCmd) Run(ctx context.Context, t *terminal) error {
	claims, err := claimsOf(c.Claim)
	if err != nil {
		return err
	}
	body := map[string]any{}
	for member, value := range map[string]*string{"name": c.Name, "email": c.Email} {
		if value != nil {
			body[member] = *value
		}
	}
	if c.Groups != nil {
		body["groups"] = append([]string{}, strings.Fields(*c.Groups)...)
	}
	for member, list := range map[string][]string{"add_groups": c.AddGroup, "remove_groups": c.RemoveGroup} {
		if len(list) > 0 {
			body[member] = list
		}
	}
	if len(claims) > 0 {
		body["claims"] = claims
	}
	if c.PasswordStdin {
		if body["password"], err = t.readPassword(); err != nil {
			return err
		}
	}
	if len(body) == 0 {
		return wrongUsage("what is to be different about them?", "see `offkey people set --help`")
	}
	raw, err := c.send(ctx, "PATCH", "/people/%s", body)
	if err != nil {
		return err
	}
	return t.finishPerson(raw, c.DryRun, func(d personDoc) string {
		if d.VerificationMailed {
			return d.Name + " is changed; a link to confirm the address was put into the outbox for " + d.Email
		}
		return d.Name + " is changed"
	})
}

type peopleImportCmd struct {
	operatorFlags
	File   string `arg:"" type:"path" help:"CSV with a heading, or JSONL; - is standard input."`
	DryRun bool   `help:"Bring in nobody, only check."`
}

func (peopleImportCmd) Help() string {
	return `Examples:
  offkey people import people.csv --dry-run
  offkey people import keycloak-users.jsonl

The columns of CSV are name, email, email_verified, groups, enabled, password_hash, totp_secret, and standard claims such
as given_name. A line of JSONL is an object with the same members, and "claims"; one of an export of Keycloak is understood
too. Hashes of argon2id, argon2i, bcrypt and PBKDF2 (PHC, passlib, Django, Keycloak) are checked as they are, and made anew
when their person signs in. Whoever is there already is left as they are. Without a hash somebody is invited: they need a
link, by ` + "`offkey people invite`."
}

// Run imports.
func (c *peopleImportCmd) Run(ctx context.Context, t *terminal) error {
	in := t.In
	if c.File != "-" {
		file, err := os.Open(c.File)
		if err != nil {
			return wrongUsage("the list cannot be read: "+err.Error(), "")
		}
		defer file.Close()
		in = file
	}
	var raw json.RawMessage
	if err := c.connect().stream(ctx, "POST", "/people/import", parameters("dry_run", whenTrue(c.DryRun)), "text/plain", in, &raw); err != nil {
		return err
	}
	if t.JSON {
		return t.document(raw)
	}
	var d struct {
		Lines, Added, Existing, Rejected int
		Problems                         []struct {
			Line    int
			Message string
		}
	}
	if err := json.Unmarshal(raw, &d); err != nil {
		return err
	}
	for _, p := range d.Problems {
		t.warn("line %d: %s", p.Line, p.Message)
	}
	if more := d.Rejected - len(d.Problems); more > 0 {
		t.warn("%d lines more", more)
	}
	words := "%d of %d are brought in, %d were there already, %d were refused"
	if c.DryRun {
		words = "%d of %d would be brought in, %d are there already, %d would be refused; nothing was changed"
	}
	t.done(words, d.Added, d.Lines, d.Existing, d.Rejected)
	return nil
}
