package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/offkey/offkey/internal/audit"
	"github.com/offkey/offkey/internal/config"
	"github.com/offkey/offkey/internal/directory"
	"github.com/offkey/offkey/internal/oauth"
	"github.com/offkey/offkey/internal/secret"
)

// declaredPeople are the groups and people of a file, with what they prove
// themselves with.
type declaredPeople struct {
	groups []directory.Group
	people []declaredPerson
}

type declaredPerson struct {
	*directory.Person
	password secret.Text // of a file, to be hashed
	hash     directory.PasswordHash
	mark     string      // what password or hash were made from; "": the password is the person's own
	totp     secret.Text // the zero Text: is the person's own
}

// readDeclaredPeople reads the people of the file and the files that it names,
// and refuses names that other people have. It changes nothing.
func (a *App) readDeclaredPeople(ctx context.Context, cfg *config.Loaded) (*declaredPeople, error) {
	all := new(declaredPeople)
	for _, g := range cfg.People.Groups {
		scopes, err := oauth.ParseScope(strings.Join(g.Scopes, " "))
		if err != nil {
			return nil, fmt.Errorf("people.groups: %s: %w", g.Name, err)
		}
		all.groups = append(all.groups, directory.Group{Name: g.Name, Scopes: scopes, Policy: g.Policy(), Source: directory.SourceFile})
	}
	if err := a.checkGroups(ctx, cfg); err != nil {
		return nil, err
	}
	for i, u := range cfg.People.Users {
		p, err := personOf(cfg, u)
		if err == nil {
			err = a.checkFreeName(ctx, p.Person)
		}
		if err != nil {
			return nil, fmt.Errorf("people.users[%d]: %w", i, err)
		}
		if p.password != (secret.Text{}) {
			if err := directory.CheckPassword(p.Person, p.password.Reveal()); err != nil {
				a.Log.Warn("a password of the configuration file is a weak one", "person", p.Name, "why", err)
			}
		}
		all.people = append(all.people, p)
	}
	return all, nil
}

// checkGroups refuses groups that neither the file nor the store has.
func (a *App) checkGroups(ctx context.Context, cfg *config.Loaded) error {
	there := map[string]bool{}
	groups, err := a.db.Groups(ctx)
	if err != nil {
		return fmt.Errorf("read the groups: %w", err)
	}
	for _, g := range groups {
		there[g.Name] = g.Source != directory.SourceFile || builtIn(g.Name) // one that only an older file had goes
	}
	for _, g := range cfg.People.Groups {
		there[g.Name] = true
	}
	for i, u := range cfg.People.Users {
		for _, name := range u.Groups {
			if !there[name] {
				return fmt.Errorf("people.users[%d].groups: there is no group %q; declare it in people.groups, or make it with `offkey people groups set %s`", i, name, name)
			}
		}
	}
	return nil
}

func builtIn(group string) bool { return group == directory.Everyone || group == directory.Admins }

// checkFreeName refuses the name or address of a person whom no file has
// declared.
func (a *App) checkFreeName(ctx context.Context, p *directory.Person) error {
	for _, login := range []string{p.Name, p.Email} {
		if login == "" {
			continue
		}
		have, err := a.views.people.Find(ctx, login)
		switch {
		case errors.Is(err, directory.ErrNotFound):
		case err != nil:
			return err
		case have.Source != directory.SourceFile:
			return fmt.Errorf("the name or address %q is of a person who was not declared in a file; choose another, or delete them with `offkey people delete %s`", login, have.Name)
		}
	}
	return nil
}

// personOf is a declared person with the contents of their files.
func personOf(cfg *config.Loaded, u config.User) (declaredPerson, error) {
	p := declaredPerson{Person: u.Person()}
	if !u.PasswordHash.IsZero() {
		var err error
		if p.hash, err = directory.ParsePasswordHash(u.PasswordHash.Reveal()); err != nil {
			return p, fmt.Errorf("password_hash is %w", err)
		}
		p.mark = "hash " + secret.HashOf(u.PasswordHash.Reveal()).String()
	}
	if u.PasswordFile != "" {
		path := cfg.Path(u.PasswordFile)
		raw, err := readSmall(path)
		if err != nil {
			return p, fmt.Errorf("password_file: %w", err)
		}
		if p.password = secret.NewText(strings.TrimRight(raw, "\r\n")); p.password.IsZero() {
			return p, fmt.Errorf("password_file %s is empty", u.PasswordFile)
		}
		if p.mark, err = fileMark(path); err != nil {
			return p, fmt.Errorf("password_file: %w", err)
		}
	}
	if u.TOTPSecretFile != "" {
		raw, err := readSmall(cfg.Path(u.TOTPSecretFile))
		if err == nil {
			p.totp, err = directory.ParseTOTPSecret(raw)
		}
		if err != nil {
			return p, fmt.Errorf("totp_secret_file %s: %w", u.TOTPSecretFile, err)
		}
	}
	return p, nil
}

// readSmall reads a file that holds one secret.
func readSmall(path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	if info.Size() > 4096 {
		return "", errors.New("it has more than 4096 bytes, which no secret has")
	}
	raw, err := os.ReadFile(path)
	return string(raw), err
}

// fileMark is the same while a file was not written again. It says nothing of
// what is in it.
func fileMark(path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("file %s %d %d", secret.HashOf(path), info.Size(), info.ModTime().UnixNano()), nil
}

// declarePeople brings the store in line with the groups and people of the file,
// as declareClients does with clients.
func (a *App) declarePeople(ctx context.Context, all *declaredPeople) error {
	groups := map[string]bool{}
	for _, want := range all.groups {
		groups[want.Name] = true
		if err := a.declareGroup(ctx, want); err != nil {
			return fmt.Errorf("group %s: %w", want.Name, err)
		}
	}
	people := map[string]bool{}
	for _, want := range all.people {
		id, err := a.declarePerson(ctx, want)
		if err != nil {
			return fmt.Errorf("person %s: %w", want.Name, err)
		}
		people[id] = true
	}
	if err := a.withdrawPeople(ctx, people); err != nil {
		return err
	}
	return a.withdrawGroups(ctx, groups)
}

func (a *App) declareGroup(ctx context.Context, want directory.Group) error {
	groups, err := a.db.Groups(ctx)
	if err != nil {
		return err
	}
	if i := slices.IndexFunc(groups, func(g directory.Group) bool { return g.Name == want.Name }); i >= 0 && sameGroup(groups[i], want) {
		return nil
	}
	_, err = a.db.UpdateGroup(ctx, want.Name, func(g *directory.Group, _ bool) error {
		g.Scopes, g.Policy, g.Source = want.Scopes, want.Policy, want.Source // roles are not the file's
		return nil
	}, system("group.declared", want.Name))
	return err
}

func sameGroup(have, want directory.Group) bool {
	return slices.Equal(have.Scopes, want.Scopes) && have.Policy == want.Policy && have.Source == want.Source
}

func system(action, object string) audit.Event {
	return audit.Event{Actor: "system", Action: action, Object: object}
}

// declarePerson returns the id of the person. One who was disabled stays so.
func (a *App) declarePerson(ctx context.Context, want declaredPerson) (id string, err error) {
	id, err = a.db.PersonID(ctx, directory.LoginOf(want.Name))
	if errors.Is(err, directory.ErrNotFound) {
		return a.createDeclared(ctx, want)
	}
	if err != nil {
		return "", err
	}
	have, err := a.db.Account(ctx, id)
	if err != nil {
		return "", err
	}
	hash, err := a.hashDeclared(ctx, want, have)
	if err != nil {
		return "", err
	}
	changed := *have
	p := *have.Person
	changed.Person = &p
	if err := a.bring(&changed, want, hash); err != nil {
		return "", err
	}
	if reflect.DeepEqual(changed.Person, have.Person) && changed.Password.Reveal() == have.Password.Reveal() &&
		changed.PasswordMark == have.PasswordMark && slices.Equal(changed.TOTP.Sealed, have.TOTP.Sealed) {
		return id, nil
	}
	_, err = a.db.UpdateAccount(ctx, id, func(account *directory.Account) error {
		if account.Source != directory.SourceFile { // made meanwhile
			return directory.ErrExists
		}
		return a.bring(account, want, hash)
	}, system("person.declared", id))
	return id, err
}

func (a *App) createDeclared(ctx context.Context, want declaredPerson) (string, error) {
	account := &directory.Account{Person: &directory.Person{
		ID: directory.NewID(), Status: directory.Active, Source: directory.SourceFile, Created: a.Now().UTC().Truncate(time.Microsecond),
	}}
	hash, err := a.hashDeclared(ctx, want, account)
	if err != nil {
		return "", err
	}
	if err := a.bring(account, want, hash); err != nil {
		return "", err
	}
	account.End = false
	return account.ID, a.db.CreateAccount(ctx, account, system("person.declared", account.ID))
}

// hashDeclared is the hash of a declared password: the one that is there while
// its file is the same, or holds the same password still.
func (a *App) hashDeclared(ctx context.Context, want declaredPerson, have *directory.Account) (directory.PasswordHash, error) {
	switch {
	case want.mark == have.PasswordMark || want.mark == "":
		return have.Password, nil
	case want.password.IsZero():
		return want.hash, nil
	case !have.Password.IsZero():
		same, err := a.views.people.Hasher.Matches(ctx, have.Password, want.password.Reveal())
		if err != nil || same {
			return have.Password, err
		}
	}
	return a.views.people.Hasher.Hash(ctx, want.password.Reveal())
}

// bring makes an account what the file says, and leaves what it does not say.
func (a *App) bring(account *directory.Account, want declaredPerson, hash directory.PasswordHash) error {
	p := account.Person
	p.Name, p.Email, p.Groups, p.Claims = want.Name, want.Email, want.Groups, want.Claims
	p.EmailVerified = want.EmailVerified
	if given := want.Claims["email_verified"]; given != nil {
		if err := json.Unmarshal(given, &p.EmailVerified); err != nil {
			return err
		}
	}
	if want.mark == "" && account.PasswordMark != "" {
		hash = directory.PasswordHash{} // it was the file's, and is gone from there
	}
	account.End = account.End || !account.Password.IsZero() && account.Password.Reveal() != hash.Reveal()
	account.Password, account.PasswordMark = hash, want.mark
	if want.totp.IsZero() {
		return nil
	}
	same, err := a.views.people.HasTOTP(account, want.totp)
	if err == nil && !same {
		account.TOTP = directory.TOTP{Sealed: a.views.people.SealTOTP(p.ID, want.totp), Created: a.Now()}
	}
	return err
}

// withdrawPeople deletes the people of the file that it no longer has.
func (a *App) withdrawPeople(ctx context.Context, declared map[string]bool) error {
	for after := ""; ; {
		page, next, err := a.db.People(ctx, directory.Filter{Source: directory.SourceFile, Limit: 500, After: after})
		if err != nil {
			return fmt.Errorf("read the people: %w", err)
		}
		for _, p := range page {
			if declared[p.ID] {
				continue
			}
			if err := a.db.DeletePerson(ctx, p.ID, system("person.withdrawn", p.ID)); err != nil {
				return fmt.Errorf("delete %s, whom the file no longer has: %w", p.Name, err)
			}
		}
		if next == "" {
			return nil
		}
		after = next
	}
}

// withdrawGroups deletes the groups of the file that it no longer has. Those
// that are always there ask nothing any more.
func (a *App) withdrawGroups(ctx context.Context, declared map[string]bool) error {
	groups, err := a.db.Groups(ctx)
	if err != nil {
		return fmt.Errorf("read the groups: %w", err)
	}
	for _, g := range groups {
		switch {
		case g.Source != directory.SourceFile || declared[g.Name]:
			continue
		case builtIn(g.Name):
			_, err = a.db.UpdateGroup(ctx, g.Name, func(g *directory.Group, _ bool) error {
				g.Scopes, g.Policy, g.Source = nil, directory.Policy{}, directory.SourceAPI
				return nil
			}, system("group.withdrawn", g.Name))
		default:
			err = a.db.DeleteGroup(ctx, g.Name, system("group.withdrawn", g.Name))
		}
		if err != nil {
			return fmt.Errorf("group %s, which the file no longer has: %w", g.Name, err)
		}
	}
	return nil
}
