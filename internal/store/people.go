package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"

	"github.com/offkey/offkey/internal/audit"
	"github.com/offkey/offkey/internal/directory"
	"github.com/offkey/offkey/internal/secret"
	"github.com/offkey/offkey/internal/token"
)

const personColumns = `id, name, email, email_verified, status, claims, source, created, updated, last_sign_in`

// Standing returns a person with the groups they are in, or
// directory.ErrNotFound.
func (db *DB) Standing(ctx context.Context, id string) (standing *directory.Standing, err error) {
	err = db.snapshot(ctx, func(s *session) error {
		standing, err = s.standing(id)
		return err
	})
	return standing, err
}

func (s *session) standing(id string) (*directory.Standing, error) {
	p, err := s.person(id)
	if err != nil {
		return nil, err
	}
	groups := make([]directory.Group, 0, len(p.Groups)+1)
	for _, name := range append([]string{directory.Everyone}, p.Groups...) {
		g, err := s.group(name)
		if err != nil {
			return nil, err
		}
		groups = append(groups, g)
	}
	return directory.StandingOf(p, groups), nil
}

// PersonID returns the id of the person with that name or address, as
// directory.LoginOf writes it, or directory.ErrNotFound.
func (db *DB) PersonID(ctx context.Context, login string) (id string, err error) {
	err = db.view(ctx, func(s *session) error {
		return s.one(`SELECT person_id FROM person_login WHERE login = ?`, args{login}, &id)
	})
	if errors.Is(err, sql.ErrNoRows) {
		err = directory.ErrNotFound
	}
	return id, err
}

// Peopled reports whether there is anybody.
func (db *DB) Peopled(ctx context.Context) (peopled bool, err error) {
	err = db.view(ctx, func(s *session) error {
		peopled, err = s.peopled()
		return err
	})
	return peopled, err
}

func (s *session) peopled() (bool, error) {
	var id string
	err := s.one(`SELECT id FROM person WHERE id > '' ORDER BY id LIMIT 1`, nil, &id)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	return true, err
}

// People returns a page of people in the order of their ids, and the cursor of
// the next page, "" on the last.
func (db *DB) People(ctx context.Context, f directory.Filter) (people []*directory.Person, next string, err error) {
	limit := pageSize(f.Limit)
	err = db.snapshot(ctx, func(s *session) error {
		return s.people(&people, `SELECT `+personColumns+` FROM person
			WHERE id > ? AND (? = '' OR status = ?) AND (? = '' OR source = ?)
				AND (? = '' OR EXISTS (SELECT 1 FROM person_group WHERE person_id = person.id AND group_name = ?)) ORDER BY id LIMIT ?`,
			f.After, f.Status, f.Status, f.Source, f.Source, f.Group, f.Group, limit+1)
	})
	if len(people) > limit {
		people = people[:limit]
		next = people[limit-1].ID
	}
	return people, next, err
}

func (s *session) person(id string) (*directory.Person, error) {
	var found []*directory.Person
	if err := s.people(&found, `SELECT `+personColumns+` FROM person WHERE id = ?`, id); err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("person %s: %w", id, directory.ErrNotFound)
	}
	return found[0], nil
}

// people appends the people that a query over personColumns finds, with their
// groups.
func (s *session) people(to *[]*directory.Person, query string, a ...any) error {
	first := len(*to)
	if err := s.each(query, a, func(scan func(...any) error) error {
		var p directory.Person
		var claims []byte
		var created, updated, signedIn int64
		if err := scan(&p.ID, &p.Name, &p.Email, &p.EmailVerified, (*string)(&p.Status), &claims, &p.Source, &created, &updated, &signedIn); err != nil {
			return err
		}
		p.Created, p.Updated, p.LastSignIn = instant(created), instant(updated), instant(signedIn)
		if string(claims) != "{}" {
			if err := json.Unmarshal(claims, &p.Claims); err != nil {
				return fmt.Errorf("person %s: claims: %w", p.ID, err)
			}
		}
		*to = append(*to, &p)
		return nil
	}); err != nil {
		return err
	}
	for _, p := range (*to)[first:] {
		if err := s.each(`SELECT group_name FROM person_group WHERE person_id = ? ORDER BY group_name`, args{p.ID}, func(scan func(...any) error) error {
			var name string
			defer func() { p.Groups = append(p.Groups, name) }()
			return scan(&name)
		}); err != nil {
			return err
		}
	}
	return nil
}

// Account returns a person with how they can prove themselves, or
// directory.ErrNotFound.
func (db *DB) Account(ctx context.Context, id string) (a *directory.Account, err error) {
	err = db.snapshot(ctx, func(s *session) error {
		a, err = s.account(id)
		return err
	})
	return a, err
}

// AccountOfPasskey returns the account that has that passkey, or
// directory.ErrNoPasskey.
func (db *DB) AccountOfPasskey(ctx context.Context, credentialID []byte) (a *directory.Account, err error) {
	err = db.snapshot(ctx, func(s *session) error {
		var id string
		err := s.one(`SELECT person_id FROM passkey WHERE id = ?`, args{credentialID}, &id)
		if errors.Is(err, sql.ErrNoRows) {
			return directory.ErrNoPasskey
		}
		if err == nil {
			a, err = s.account(id)
		}
		return err
	})
	return a, err
}

// CreateAccount adds a person. It returns directory.ErrExists if the name or
// the address is another's, directory.ErrNoGroup for a group that is not there.
func (db *DB) CreateAccount(ctx context.Context, a *directory.Account, e audit.Event) error {
	return db.change(ctx, func(x *tx) error {
		if err := x.insertAccount(a); err != nil {
			return err
		}
		return x.record(e)
	})
}

// CreateFirstAccount adds a person for a link for setup, which is spent, while
// there is nobody. Otherwise it returns directory.ErrSpent.
func (db *DB) CreateFirstAccount(ctx context.Context, link secret.Hash, a *directory.Account, e audit.Event) error {
	return db.change(ctx, func(x *tx) error {
		if peopled, err := x.peopled(); err != nil {
			return err
		} else if peopled {
			return directory.ErrSpent
		}
		if _, err := x.spendLink(link, directory.ForSetup); err != nil {
			return err
		}
		if err := x.insertAccount(a); err != nil {
			return err
		}
		return x.record(e)
	})
}

// UpdateAccount lets update change an account, with nobody changing it in
// between, and returns it as it then is. The error of update leaves all as it
// was. Somebody who is disabled by it, comes into a group that forbids sign-in, or
// whose account says End, loses what began before in the same step. The detail of e is written down after update
// has run; without an Action nothing is.
func (db *DB) UpdateAccount(ctx context.Context, id string, update func(*directory.Account) error, e audit.Event) (a *directory.Account, err error) {
	err = db.change(ctx, func(x *tx) error {
		a, err = x.changeAccount(id, update, e)
		return err
	})
	if err != nil {
		return nil, err
	}
	return a, nil
}

func (x *tx) changeAccount(id string, update func(*directory.Account) error, e audit.Event) (*directory.Account, error) {
	a, err := x.account(id)
	if err != nil {
		return nil, err
	}
	before, err := x.account(id)
	if err != nil {
		return nil, err
	}
	was, err := x.standing(id)
	if err != nil {
		return nil, err
	}
	if err := update(a); err != nil {
		return nil, err
	}
	if a.ID != id {
		return nil, fmt.Errorf("person %s: the id became %q: ids do not change", id, a.ID)
	}
	if err := x.writeAccount(a, before); err != nil {
		return nil, err
	}
	is, err := x.standing(id)
	if err != nil {
		return nil, err
	}
	shut := was.Open() == nil && is.Open() != nil // disabled, or in a group that forbids it
	if a.End || shut || a.Status == directory.Disabled && before.Status != directory.Disabled {
		if err := x.endPerson(id); err != nil {
			return nil, err
		}
	}
	if a, err = x.account(id); err != nil { // as it was stored, times to the microsecond
		return nil, err
	}
	if e.Action == "" {
		return a, nil
	}
	return a, x.record(e)
}

// DeletePerson removes a person with all that they can prove themselves with;
// what was issued for them is revoked.
func (db *DB) DeletePerson(ctx context.Context, id string, e audit.Event) error {
	return db.change(ctx, func(x *tx) error {
		if _, err := x.person(id); err != nil {
			return err
		}
		if err := x.endPerson(id); err != nil {
			return err
		}
		for _, remove := range []string{
			`DELETE FROM person_link WHERE purpose IN ('invite', 'reset', 'email', 'address') AND person_id = ?`, `DELETE FROM consent WHERE person_id = ?`, `DELETE FROM person WHERE id = ?`,
		} {
			if _, err := x.exec(remove, id); err != nil {
				return err
			}
		}
		if err := x.changed(ChangePerson, id); err != nil {
			return err
		}
		return x.record(e)
	})
}

// EndPerson ends the sessions of a person and revokes what was issued for them.
func (db *DB) EndPerson(ctx context.Context, id string, e audit.Event) error {
	return db.change(ctx, func(x *tx) error {
		if _, err := x.person(id); err != nil {
			return err
		}
		if err := x.endPerson(id); err != nil {
			return err
		}
		return x.record(e)
	})
}

// endPerson ends what began for a person until now, in one transaction with why:
// sessions, tokens and grants.
func (x *tx) endPerson(id string) error {
	if _, err := x.endSessionsOf(id, ""); err != nil {
		return err
	}
	return x.revokeAll(token.RevokePerson, id)
}

// NoteSignIn remembers that a person signs in now.
func (db *DB) NoteSignIn(ctx context.Context, id string) error {
	return db.change(ctx, func(x *tx) error {
		_, err := x.exec(`UPDATE person SET last_sign_in = ? WHERE id = ? AND last_sign_in < ?`, micros(x.now), id, micros(x.now))
		return err
	})
}

func (x *tx) insertAccount(a *directory.Account) error {
	if a.ID == "" {
		return errors.New("person without an id")
	}
	n, err := x.exec(`INSERT INTO person (id, name, email, email_verified, status, claims, source, created, updated, last_sign_in,
			password, password_mark, totp_sealed, totp_step, totp_created)
		VALUES (?, '', '', 0, '', '{}', '', ?, 0, ?, '', '', ?, 0, 0) ON CONFLICT (id) DO NOTHING`, a.ID, micros(a.Created), micros(a.LastSignIn), []byte{})
	if err != nil {
		return err
	}
	if n == 0 {
		return fmt.Errorf("person %s: %w", a.ID, directory.ErrExists)
	}
	return x.writeAccount(a, &directory.Account{Person: &directory.Person{ID: a.ID, Updated: a.Updated}})
}

// writeAccount writes what differs from how the account was before.
func (x *tx) writeAccount(a, before *directory.Account) error {
	a.Groups = memberships(a.Groups)
	if !reflect.DeepEqual(a.Person, before.Person) {
		if before.Name != "" { // not when it is made
			a.Updated = x.now
		}
		switch err := x.writePerson(a.Person); {
		case errors.Is(err, directory.ErrNoGroup), errors.Is(err, directory.ErrExists):
			return err // whoever gave the name knows whose it is
		case err != nil:
			return fmt.Errorf("person %s: %w", a.ID, err)
		}
	}
	sealed := a.TOTP.Sealed
	if sealed == nil {
		sealed = []byte{}
	}
	if _, err := x.exec(`UPDATE person SET password = ?, password_mark = ?, totp_sealed = ?, totp_step = ?, totp_created = ? WHERE id = ?`,
		a.Password.Reveal(), a.PasswordMark, sealed, a.TOTP.Step, micros(a.TOTP.Created), a.ID); err != nil {
		return err
	}
	if err := x.writeRecovery(a, before); err != nil {
		return err
	}
	return x.writePasskeys(a, before)
}

// memberships are the groups to be kept: everybody is in Everyone anyway.
func memberships(names []string) []string {
	kept := slices.DeleteFunc(slices.Clone(names), func(name string) bool { return name == directory.Everyone })
	slices.Sort(kept)
	if kept = slices.Compact(kept); len(kept) == 0 {
		return nil
	}
	return kept
}

func (x *tx) writePerson(p *directory.Person) error {
	claims := []byte("{}")
	if len(p.Claims) > 0 {
		var err error
		if claims, err = json.Marshal(p.Claims); err != nil {
			return fmt.Errorf("claims: %w", err)
		}
	}
	if _, err := x.exec(`UPDATE person SET name = ?, email = ?, email_verified = ?, status = ?, claims = ?, source = ?, created = ?, updated = ? WHERE id = ?`,
		p.Name, p.Email, boolean(p.EmailVerified), p.Status, string(claims), p.Source, micros(p.Created), micros(p.Updated), p.ID); err != nil {
		return err
	}
	if err := x.writeLogins(p); err != nil {
		return err
	}
	if _, err := x.exec(`DELETE FROM person_group WHERE person_id = ?`, p.ID); err != nil {
		return err
	}
	for _, name := range p.Groups {
		if _, err := x.group(name); err != nil {
			return err
		}
		if _, err := x.exec(`INSERT INTO person_group (person_id, group_name) VALUES (?, ?)`, p.ID, name); err != nil {
			return err
		}
	}
	return x.changed(ChangePerson, p.ID)
}

// writeLogins takes the name and the address for the person, or returns
// directory.ErrExists.
func (x *tx) writeLogins(p *directory.Person) error {
	if _, err := x.exec(`DELETE FROM person_login WHERE person_id = ?`, p.ID); err != nil {
		return err
	}
	logins := []string{directory.LoginOf(p.Name), directory.LoginOf(p.Email)}
	slices.Sort(logins)
	for _, login := range slices.Compact(logins) {
		if login == "" {
			continue
		}
		n, err := x.exec(`INSERT INTO person_login (login, person_id) VALUES (?, ?) ON CONFLICT (login) DO NOTHING`, login, p.ID)
		if err != nil {
			return err
		}
		if n == 0 {
			return directory.ErrExists
		}
	}
	return nil
}

func boolean(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// RevokeEverything refuses all that was issued until now, to whomever, and ends
// every session. Clean ends them one by one for who must be told.
func (db *DB) RevokeEverything(ctx context.Context, e audit.Event) error {
	return db.change(ctx, func(x *tx) error {
		if _, err := x.exec(`UPDATE browser_session SET expires = ?, ends = ? WHERE ends > ?`, micros(x.now), micros(x.now), micros(x.now)); err != nil {
			return err
		}
		if err := x.revokeAll(token.RevokeAll, token.All); err != nil {
			return err
		}
		return x.record(e)
	})
}
