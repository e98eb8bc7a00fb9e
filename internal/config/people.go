package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/offkey/offkey/internal/directory"
	"github.com/offkey/offkey/internal/oauth"
	"github.com/offkey/offkey/internal/secret"
	"go.yaml.in/yaml/v3"
)

// People are those who may sign in.
type People struct {
	Groups []Group `yaml:"groups" doc:"Groups declared here are read-only elsewhere. The group everyone has all people in it; admins operate offkey."`
	Users  []User  `yaml:"users" doc:"People declared here are read-only elsewhere, but for being disabled."`
}

// Group is a group of people and what it asks of them; of several groups the
// strictest holds.
type Group struct {
	Name        string   `yaml:"name" doc:"Its name. That of everyone is the policy for all."`
	Scopes      []string `yaml:"scopes" doc:"What its members may hand on to clients."`
	Interactive string   `yaml:"interactive" enum:"allow,forbid" doc:"forbid: its members cannot sign in, in any way. Default: allow."`
	MFA         string   `yaml:"mfa" enum:"none,any,passkey" doc:"How its members prove themselves: with a password alone (default), with a second factor or a passkey, or with a passkey."`
	SessionIdle Duration `yaml:"session_idle" doc:"A session that is not used ends after this long. Default: 8h."`
	SessionMax  Duration `yaml:"session_max" doc:"Every session ends after this long. Default: 24h."`
	Reauth      Duration `yaml:"reauth" doc:"How old a sign-in may be for what is dangerous. Default: 5m."`
}

// User is a person declared in the file.
type User struct {
	Name           string      `yaml:"name" doc:"What is typed to sign in."`
	Email          string      `yaml:"email" doc:"Address; counts as verified."`
	PasswordFile   string      `yaml:"password_file" doc:"File with the password. Left out with password_hash, the password is the person's own."`
	PasswordHash   secret.Text `yaml:"password_hash" doc:"Hash of the password, instead: argon2id, argon2i, bcrypt or PBKDF2."`
	TOTPSecretFile string      `yaml:"totp_secret_file" doc:"File with the secret of an authenticator app, in base32."`
	Groups         []string    `yaml:"groups" doc:"Groups that the person is in."`
	Claims         Claims      `yaml:"claims" doc:"Standard claims, as in {given_name: Ana}."`
}

// Claims are what a person is said to be, as a JSON object.
type Claims struct{ document string }

// UnmarshalYAML reads the claims as a map.
func (c *Claims) UnmarshalYAML(n *yaml.Node) error {
	var values map[string]any
	if err := n.Decode(&values); err != nil {
		return errors.New("is a map from claims to their values")
	}
	raw, err := json.Marshal(values)
	c.document = string(raw)
	return err
}

// UnmarshalText reads the claims as JSON.
func (c *Claims) UnmarshalText(text []byte) error {
	var values map[string]json.RawMessage
	if err := json.Unmarshal(text, &values); err != nil {
		return errors.New("is no JSON object")
	}
	raw, err := json.Marshal(values)
	c.document = string(raw)
	return err
}

// MarshalText writes the claims as JSON, nothing for none.
func (c Claims) MarshalText() ([]byte, error) { return []byte(c.document), nil }

// Values are the claims one by one.
func (c Claims) Values() (values map[string]json.RawMessage) {
	if c.document == "" {
		return nil
	}
	_ = json.Unmarshal([]byte(c.document), &values) // it was written by json.Marshal
	return values
}

// Person is the user as a person. Its id, status and times are the store's.
func (u User) Person() *directory.Person {
	p := &directory.Person{Name: u.Name, Email: u.Email, EmailVerified: u.Email != "", Claims: u.Claims.Values(), Source: directory.SourceFile}
	p.Groups = slices.DeleteFunc(slices.Clone(u.Groups), func(name string) bool { return name == directory.Everyone })
	slices.Sort(p.Groups)
	if p.Groups = slices.Compact(p.Groups); len(p.Groups) == 0 {
		p.Groups = nil
	}
	return p
}

// Policy is what the group asks of its members.
func (g Group) Policy() directory.Policy {
	return directory.Policy{
		Interactive: directory.Interactive(g.Interactive), MFA: directory.MFA(g.MFA),
		SessionIdle: directory.Span(g.SessionIdle), SessionMax: directory.Span(g.SessionMax), Reauth: directory.Span(g.Reauth),
	}
}

func (c *checker) people() {
	names := map[string]bool{}
	for i, g := range c.l.People.Groups {
		at := fmt.Sprintf("people.groups[%d]", i)
		if err := directory.CheckGroupName(g.Name); err != nil {
			c.add(at+".name", "is wrong: "+err.Error(), "")
		} else if names[g.Name] {
			c.add(at+".name", fmt.Sprintf("repeats the group %q", g.Name), "")
		}
		names[g.Name] = true
		if _, err := oauth.ParseScope(strings.Join(g.Scopes, " ")); err != nil {
			c.add(at+".scopes", err.Error(), "")
		}
		if err := g.Policy().Check(); err != nil {
			c.add(at, "has a value that is none: "+err.Error(), "")
		}
	}
	logins := map[string]string{}
	for i, u := range c.l.People.Users {
		c.user(fmt.Sprintf("people.users[%d]", i), u, logins)
	}
}

func (c *checker) user(at string, u User, logins map[string]string) {
	if u.Name == "" {
		c.add(at+".name", "is missing", "write what the person types to sign in")
		return
	}
	if err := u.Person().Check(); err != nil {
		c.add(at, "is wrong: "+err.Error(), "")
	}
	for login := range maps.Keys(map[string]bool{directory.LoginOf(u.Name): true, directory.LoginOf(u.Email): true}) {
		if other, taken := logins[login]; taken && login != "" {
			c.add(at, fmt.Sprintf("has the name or address %q, which %s has", login, other), "")
		}
		logins[login] = at
	}
	if u.PasswordFile != "" && !u.PasswordHash.IsZero() {
		c.add(at, "has both password_file and password_hash", "keep one of them")
	}
	if !u.PasswordHash.IsZero() {
		if _, err := directory.ParsePasswordHash(u.PasswordHash.Reveal()); err != nil {
			c.add(at+".password_hash", "is "+err.Error(), "")
		}
	}
}
