package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/offkey/offkey/internal/audit"
	"github.com/offkey/offkey/internal/directory"
	"github.com/offkey/offkey/internal/oauth"
	"github.com/offkey/offkey/internal/session"
	"github.com/offkey/offkey/internal/token"
)

// PeopleStore is what the management of people asks of storage, beside what a
// Directory does.
type PeopleStore interface {
	People(ctx context.Context, f directory.Filter) (people []*directory.Person, next string, err error)
	CreateAccount(ctx context.Context, a *directory.Account, e audit.Event) error
	DeletePerson(ctx context.Context, id string, e audit.Event) error
	EndPerson(ctx context.Context, id string, e audit.Event) error
	RevokeEverything(ctx context.Context, e audit.Event) error
	Revoke(ctx context.Context, r token.Revocation, e audit.Event) error
	SessionsOf(ctx context.Context, personID string, now time.Time) ([]session.Session, error)
	EndSession(ctx context.Context, id, personID string, e audit.Event) error

	Groups(ctx context.Context) ([]directory.Group, error)
	Members(ctx context.Context) (map[string]int, error)
	UpdateGroup(ctx context.Context, name string, update func(g *directory.Group, there bool) error, e audit.Event) (directory.Group, error)
	DeleteGroup(ctx context.Context, name string, e audit.Event) error
}

// personAnswer is a person as they are shown, with what holds for them and what
// they can prove themselves with. Link is there once, when it is made.
type personAnswer struct {
	*directory.Person
	Factors  *directory.Factors  `json:"factors,omitempty"`
	Passkeys []directory.Passkey `json:"passkeys,omitempty"`
	Policy   *directory.Policy   `json:"policy,omitempty"`
	Scopes   oauth.Scope         `json:"scopes,omitempty"` // that they may hand on
	Roles    []string            `json:"roles,omitempty"`
	Shut     string              `json:"shut,omitempty"` // why they cannot sign in
	Link     *linkAnswer         `json:"link,omitempty"`
	// Verification says that a link was sent to an address that is to be confirmed.
	Verification bool `json:"verification_mailed,omitempty"`
	DryRun       bool `json:"dry_run,omitempty"`
}

func (s *Server) listPeople(r *http.Request) (any, error) {
	q, err := readQuery(r, "group", "status", "source", "limit", "after")
	if err != nil {
		return nil, err
	}
	limit, err := q.number("limit", defaultPage, maxPage)
	if err != nil {
		return nil, err
	}
	f := directory.Filter{Group: q.text("group"), Status: directory.Status(q.text("status")), Source: q.text("source"), Limit: limit, After: q.text("after")}
	if !slices.Contains([]directory.Status{"", directory.Active, directory.Invited, directory.Disabled}, f.Status) {
		return nil, badRequest("", "the parameter \"status\" is %q: it is active, invited or disabled", f.Status)
	}
	people, next, err := s.store.People(r.Context(), f)
	if err != nil {
		return nil, err
	}
	list := struct {
		People []*directory.Person `json:"people"`
		Next   *string             `json:"next"`
	}{People: orNone(people)}
	if next != "" {
		list.Next = &next
	}
	return list, nil
}

// findPerson takes an id, a name or an address.
func (s *Server) findPerson(ctx context.Context, ref string) (*directory.Standing, error) {
	found, err := s.o.People.Standing(ctx, ref)
	if errors.Is(err, directory.ErrNotFound) {
		found, err = s.o.People.Find(ctx, ref)
	}
	if errors.Is(err, directory.ErrNotFound) {
		return nil, problem(http.StatusNotFound, "not_found", "see `offkey people list`: give a name, an email address or an id", "there is no person %q", ref)
	}
	return found, err
}

func (s *Server) showPerson(r *http.Request) (any, error) {
	if _, err := readQuery(r); err != nil {
		return nil, err
	}
	found, err := s.findPerson(r.Context(), r.PathValue("id"))
	if err != nil {
		return nil, err
	}
	account, err := s.o.People.Account(r.Context(), found.ID)
	if err != nil {
		return nil, err
	}
	factors := account.Factors()
	shown := personAnswer{Person: account.Person, Factors: &factors, Passkeys: account.Passkeys, Policy: &found.Policy, Scopes: found.MayGrant, Roles: found.Roles}
	if shut := found.Open(); shut != nil {
		shown.Shut = shut.Error()
	}
	return shown, nil
}

// personProposal is somebody as they are to be made. A password or the hash of
// one makes them active, an invitation lets them choose.
type personProposal struct {
	Name          string                     `json:"name"`
	Email         string                     `json:"email"`
	EmailVerified bool                       `json:"email_verified"`
	Groups        []string                   `json:"groups"`
	Claims        map[string]json.RawMessage `json:"claims"`
	Password      string                     `json:"password"`
	PasswordHash  string                     `json:"password_hash"`
	Mail          *bool                      `json:"mail"` // whether an invitation is sent; left out: if there is an address
}

func (p personProposal) person(now time.Time) (*directory.Person, error) {
	made := &directory.Person{
		ID: directory.NewID(), Name: p.Name, Email: p.Email, EmailVerified: p.EmailVerified && p.Email != "", Status: directory.Active,
		Groups: p.Groups, Claims: p.Claims, Source: directory.SourceAPI, Created: now,
	}
	if err := made.Check(); err != nil {
		return nil, badRequest("", "%v", err)
	}
	return made, nil
}

// dryRunOf reads the one parameter of what changes something.
func dryRunOf(r *http.Request) (bool, error) {
	q, err := readQuery(r, "dry_run")
	if err != nil {
		return false, err
	}
	return q.flag("dry_run")
}

func (s *Server) createPerson(r *http.Request) (any, error) {
	dryRun, err := dryRunOf(r)
	if err != nil {
		return nil, err
	}
	p, err := readJSON[personProposal](r)
	if err != nil {
		return nil, err
	}
	made, err := p.person(s.now())
	if err != nil {
		return nil, err
	}
	account := &directory.Account{Person: made}
	switch {
	case p.Password != "" && p.PasswordHash != "":
		return nil, badRequest("", "give a password or the hash of one, not both")
	case p.PasswordHash != "":
		account.Password, err = parseHash(p.PasswordHash)
	case p.Password != "":
		account.Password, err = s.newPassword(r.Context(), made, p.Password)
	default:
		return nil, badRequest("let them choose with `offkey people invite`; a program needs a client instead: `offkey clients create`", "somebody without a password could not sign in")
	}
	if err != nil {
		return nil, err
	}
	if dryRun {
		return personAnswer{Person: made, DryRun: true}, s.wouldFit(r.Context(), made)
	}
	if err := s.store.CreateAccount(r.Context(), account, event(r, "person.created", made.ID, about(made))); err != nil {
		return nil, err
	}
	return answer{http.StatusCreated, personAnswer{Person: made}}, nil
}

// about is what the audit says of somebody who is made or changed.
func about(p *directory.Person) map[string]any {
	return map[string]any{"name": p.Name, "email": p.Email, "groups": orNone(p.Groups)}
}

func parseHash(text string) (directory.PasswordHash, error) {
	hash, err := directory.ParsePasswordHash(text)
	if err != nil {
		return hash, badRequest("", "the password hash is %v", err)
	}
	return hash, nil
}

// newPassword holds a password to the policy and makes its hash.
func (s *Server) newPassword(ctx context.Context, p *directory.Person, password string) (directory.PasswordHash, error) {
	if err := s.o.People.CheckNew(p, password); err != nil {
		return directory.PasswordHash{}, err
	}
	return s.o.People.Hasher.Hash(ctx, password)
}

// wouldFit says for a dry run what the store would say.
func (s *Server) wouldFit(ctx context.Context, p *directory.Person) error {
	for _, login := range []string{p.Name, p.Email} {
		if login == "" {
			continue
		}
		if other, err := s.o.People.Find(ctx, login); err == nil && other.ID != p.ID {
			return directory.ErrExists
		} else if err != nil && !errors.Is(err, directory.ErrNotFound) {
			return err
		}
	}
	groups, err := s.store.Groups(ctx)
	if err != nil {
		return err
	}
	for _, name := range p.Groups {
		if !slices.ContainsFunc(groups, func(g directory.Group) bool { return g.Name == name }) {
			return fmt.Errorf("%w: %s", directory.ErrNoGroup, name)
		}
	}
	return nil
}

// personChanges are what is to be different about somebody. What is left out
// stays.
type personChanges struct {
	Name         *string                    `json:"name"`
	Email        *string                    `json:"email"`
	Groups       *[]string                  `json:"groups"` // replaces those there were
	AddGroups    []string                   `json:"add_groups"`
	RemoveGroups []string                   `json:"remove_groups"`
	Claims       map[string]json.RawMessage `json:"claims"` // null takes one away
	Password     *string                    `json:"password"`
}

func (c personChanges) apply(p *directory.Person) error {
	if c.Name != nil {
		p.Name = *c.Name
	}
	if c.Email != nil && *c.Email != p.Email {
		p.Email, p.EmailVerified = *c.Email, false
	}
	if c.Groups != nil {
		p.Groups = *c.Groups
	}
	p.Groups = slices.DeleteFunc(slices.Concat(p.Groups, c.AddGroups), func(name string) bool { return slices.Contains(c.RemoveGroups, name) })
	claims := map[string]json.RawMessage{}
	for name, value := range p.Claims {
		claims[name] = value
	}
	for name, value := range c.Claims {
		if claims[name] = value; string(value) == "null" {
			delete(claims, name)
		}
	}
	if p.Claims = claims; len(claims) == 0 {
		p.Claims = nil
	}
	if err := p.Check(); err != nil {
		return badRequest("", "%v", err)
	}
	return nil
}

func (s *Server) updatePerson(r *http.Request) (any, error) {
	c, err := readJSON[personChanges](r)
	if err != nil {
		return nil, err
	}
	var hash *directory.PasswordHash
	if c.Password != nil {
		found, err := s.findPerson(r.Context(), r.PathValue("id"))
		if err != nil {
			return nil, err
		}
		made, err := s.newPassword(r.Context(), found.Person, *c.Password)
		if err != nil {
			return nil, err
		}
		hash = &made
	}
	detail, before := map[string]any{}, ""
	changed, err := s.changePerson(r, "person.changed", detail, func(a *directory.Account) error {
		if err := personFromFile(a.Person); err != nil {
			return err
		}
		before = a.Email
		if err := c.apply(a.Person); err != nil {
			return err
		}
		for name, value := range about(a.Person) {
			detail[name] = value
		}
		if hash != nil {
			detail["password"] = "changed"
			a.Password, a.End = *hash, true
		}
		return nil
	})
	if shown, ok := changed.(personAnswer); ok && !shown.DryRun && shown.Email != before {
		shown.Verification = s.askForAddress(r, shown.Person)
		changed = shown
	}
	return changed, err
}

// askForAddress sends somebody whose address an operator has changed a link by
// which it proves to be theirs, and reports whether it did.
func (s *Server) askForAddress(r *http.Request, p *directory.Person) bool {
	if p.Email == "" || p.Status != directory.Active {
		return false
	}
	_, err := s.makeLink(r.Context(), directory.ForEmail, p, true, event(r, "person.link_made", p.ID, nil))
	if err != nil { // who may not come in is sent none
		s.log.InfoContext(r.Context(), "a link to confirm an address is not sent", "person", p.ID, "why", err)
	}
	return err == nil
}

// personFromFile refuses to change whom the configuration declares.
func personFromFile(p *directory.Person) error {
	if p.Source != directory.SourceFile {
		return nil
	}
	return problem(http.StatusConflict, "declared_in_file", "change it there, then run `offkey config reload`", "%s is declared in the configuration file under people.users", p.Name)
}

// changePerson is what all changes of a person have in common. detail may be
// completed by change.
func (s *Server) changePerson(r *http.Request, action string, detail any, change func(*directory.Account) error) (any, error) {
	dryRun, err := dryRunOf(r)
	if err != nil {
		return nil, err
	}
	found, err := s.findPerson(r.Context(), r.PathValue("id"))
	if err != nil {
		return nil, err
	}
	if dryRun {
		account, err := s.o.People.Account(r.Context(), found.ID)
		if err == nil {
			err = change(account)
		}
		if err == nil {
			err = s.wouldFit(r.Context(), account.Person)
		}
		if err != nil {
			return nil, err
		}
		return personAnswer{Person: account.Person, DryRun: true}, nil
	}
	account, err := s.o.People.Update(r.Context(), found.ID, change, event(r, action, found.ID, detail))
	if err != nil {
		return nil, err
	}
	return personAnswer{Person: account.Person}, nil
}

// disablePerson shuts every door, also of whom the file declares: it is for when
// there is no time.
func (s *Server) disablePerson(r *http.Request) (any, error) {
	return s.changePerson(r, "person.disabled", nil, func(a *directory.Account) error {
		a.Status = directory.Disabled
		return nil
	})
}

func (s *Server) enablePerson(r *http.Request) (any, error) {
	return s.changePerson(r, "person.enabled", nil, func(a *directory.Account) error {
		if a.Status != directory.Disabled {
			return problem(http.StatusConflict, "not_disabled", "", "%s is %s, not disabled", a.Name, a.Status)
		}
		a.Status = directory.Active
		if f := a.Factors(); a.Source == directory.SourceAPI && !f.Password && f.Passkeys == 0 {
			a.Status = directory.Invited
		}
		return nil
	})
}

// resetMFA is for somebody whose second factor is lost or in other hands.
func (s *Server) resetMFA(r *http.Request) (any, error) {
	return s.changePerson(r, "person.mfa_reset", nil, func(a *directory.Account) error {
		a.TOTP, a.Recovery, a.Passkeys, a.End = directory.TOTP{}, nil, nil, true
		return nil
	})
}

func (s *Server) deletePerson(r *http.Request) (any, error) {
	dryRun, err := dryRunOf(r)
	if err != nil {
		return nil, err
	}
	found, err := s.findPerson(r.Context(), r.PathValue("id"))
	if err != nil {
		return nil, err
	}
	if err := personFromFile(found.Person); err != nil {
		return nil, err
	}
	if !dryRun {
		err = s.store.DeletePerson(r.Context(), found.ID, event(r, "person.deleted", found.ID, about(found.Person)))
	}
	return personAnswer{Person: found.Person, DryRun: dryRun}, err
}

// sessionAnswer is a browser session as it is shown.
type sessionAnswer struct {
	ID        string    `json:"id"`
	Created   time.Time `json:"created"`
	LastSeen  time.Time `json:"last_seen"`
	Expires   time.Time `json:"expires"`
	AuthTime  time.Time `json:"auth_time"`
	ACR       string    `json:"acr"`
	AMR       []string  `json:"amr"`
	UserAgent string    `json:"user_agent,omitempty"`
	Source    string    `json:"source,omitempty"`
}

func (s *Server) listSessions(r *http.Request) (any, error) {
	if _, err := readQuery(r, "limit", "after"); err != nil {
		return nil, err
	}
	found, err := s.findPerson(r.Context(), r.PathValue("id"))
	if err != nil {
		return nil, err
	}
	sessions, err := s.store.SessionsOf(r.Context(), found.ID, s.now())
	if err != nil {
		return nil, err
	}
	list := struct {
		Sessions []sessionAnswer `json:"sessions"`
		Next     *string         `json:"next"`
	}{Sessions: []sessionAnswer{}}
	for _, one := range sessions {
		list.Sessions = append(list.Sessions, sessionAnswer{
			ID: one.ID, Created: one.Created, LastSeen: one.LastSeen, Expires: one.Expires, AuthTime: one.AuthTime,
			ACR: one.ACR, AMR: orNone(one.AMR), UserAgent: one.UserAgent, Source: one.Source,
		})
	}
	return list, nil
}

// namesOf lists groups for an error.
func namesOf(groups []directory.Group) string {
	names := make([]string, len(groups))
	for i, g := range groups {
		names[i] = g.Name
	}
	return strings.Join(names, ", ")
}
