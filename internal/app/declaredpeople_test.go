package app

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/offkey/offkey/internal/audit"
	"github.com/offkey/offkey/internal/directory"
	"github.com/offkey/offkey/internal/token"
	"golang.org/x/crypto/bcrypt"
)

const anasPassword = "paper boats in the harbour"

// put writes a file beside the configuration.
func (p *process) put(name, text string) {
	p.Helper()
	if err := os.WriteFile(filepath.Join(filepath.Dir(p.file), name), []byte(text), 0o600); err != nil {
		p.Fatal(err)
	}
}

func (p *process) reloads() {
	p.Helper()
	if err := p.Reload(p.Context()); err != nil {
		p.Fatal(err)
	}
}

func (p *process) account(login string) *directory.Account {
	p.Helper()
	s, err := p.views.people.Find(p.Context(), login)
	if err != nil {
		p.Fatal(err)
	}
	a, err := p.views.people.Account(p.Context(), s.ID)
	if err != nil {
		p.Fatal(err)
	}
	return a
}

// signsIn reports whether a password lets somebody in.
func (p *process) signsIn(login, password string) bool {
	p.Helper()
	_, err := p.views.people.CheckPassword(p.Context(), login, password)
	if err != nil && !errors.Is(err, directory.ErrWrong) {
		p.Fatal(err)
	}
	return err == nil
}

// entries counts the audit entries of an action.
func (p *process) entries(action string) (n int) {
	p.Helper()
	all, err := p.db.AuditEntries(p.Context(), 0, 10_000)
	if err != nil {
		p.Fatal(err)
	}
	for _, e := range all {
		if e.Action == action {
			n++
		}
		for _, hidden := range []string{anasPassword, "argon2id", "JBSWY3DP"} {
			if strings.Contains(string(e.Detail), hidden) {
				p.Errorf("%s holds a secret: %s", e.Action, e.Detail)
			}
		}
	}
	return n
}

const twoPeople = `people:
  groups: [{name: buyers, scopes: [read:orders], mfa: any}, {name: everyone, session_idle: 30m}]
  users:
    - {name: ana, email: ana@example.com, password_file: ana.password, totp_secret_file: ana.totp, groups: [admins, buyers], claims: {given_name: Ana}}
    - {name: bob, groups: [buyers]}
`

func TestPeopleOfTheFileAreThere(t *testing.T) {
	p := runProcess(t, "")
	p.put("ana.password", anasPassword+"\n")
	p.put("ana.totp", "JBSW Y3DP EHPK 3PXP JBSW Y3DP EHPK 3PXP\n")
	p.write(twoPeople)
	p.reloads()
	ana := p.account("ANA@example.com")
	standing, err := p.views.people.Standing(t.Context(), ana.ID)
	if err != nil {
		t.Fatal(err)
	}
	if f := ana.Factors(); !f.Password || !f.TOTP || !ana.EmailVerified || ana.Source != directory.SourceFile || ana.Status != directory.Active {
		t.Errorf("%+v, %+v", ana.Person, f)
	}
	if !standing.Has(directory.RoleAdmin) || !standing.MayGrant.Has("read:orders") || standing.Policy.MFA != directory.MFAAny || standing.Policy.SessionIdle != directory.Span(30*time.Minute) {
		t.Errorf("%+v", standing)
	}
	if !p.signsIn("ana", anasPassword) || p.signsIn("bob", "") {
		t.Error("the password")
	}
	if bob := p.account("bob"); bob.Factors() != (directory.Factors{}) {
		t.Errorf("bob has %+v", bob.Factors())
	}

	before, declared := p.account("ana").Password.Reveal(), p.entries("person.declared")
	p.reloads()
	if p.account("ana").Password.Reveal() != before || p.entries("person.declared") != declared || p.entries("group.declared") != 2 {
		t.Error("what is the same in the file was declared again")
	}
	p.put("ana.password", anasPassword) // written again, the same
	p.reloads()
	if p.account("ana").Password.Reveal() != before || len(p.revoked()) != 0 {
		t.Error("the same password in a file written anew was hashed again, or ended something")
	}
	p.put("ana.password", "another good password")
	p.put("ana.totp", "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ")
	p.reloads()
	if p.signsIn("ana", anasPassword) || !p.signsIn("ana", "another good password") || len(p.revoked()) != 1 {
		t.Error("another password in the file is not in force, or ended nothing")
	}
	if again := p.account("ana"); again.ID != ana.ID || string(again.TOTP.Sealed) == string(ana.TOTP.Sealed) {
		t.Error("the app is the old one, or the person is another")
	}
}

func (p *process) revoked() (ids []string) {
	p.Helper()
	list, err := p.db.Revocations(p.Context(), p.Now())
	if err != nil {
		p.Fatal(err)
	}
	for _, r := range list {
		if r.Kind == token.RevokePerson {
			ids = append(ids, r.ID)
		}
	}
	return ids
}

func TestWhoIsGoneFromTheFileIsGone(t *testing.T) {
	p := runProcess(t, "people: {groups: [{name: buyers}, {name: admins, mfa: passkey}], users: [{name: ana, groups: [buyers]}, {name: bob}]}\n")
	ana := p.account("ana")
	carol := &directory.Account{Person: &directory.Person{ID: directory.NewID(), Name: "carol", Status: directory.Active, Source: directory.SourceAPI, Groups: []string{"admins"}}}
	if err := p.db.CreateAccount(t.Context(), carol, audit.Event{Actor: "os:0", Action: "person.created"}); err != nil {
		t.Fatal(err)
	}
	p.write("people: {users: [{name: bob}]}\n")
	p.reloads()
	if _, err := p.views.people.Standing(t.Context(), ana.ID); !errors.Is(err, directory.ErrNotFound) {
		t.Errorf("ana: %v", err)
	}
	if got := p.revoked(); len(got) != 1 || got[0] != ana.ID {
		t.Errorf("what was issued for ana is good: %v", got)
	}
	p.account("bob")
	p.account("carol")
	groups, err := p.db.Groups(t.Context())
	if err != nil || len(groups) != 2 || groups[0].Policy.MFA != "" || len(groups[0].Roles) != 1 {
		t.Errorf("%+v, %v", groups, err)
	}
}

func TestSomebodyDisabledStaysSo(t *testing.T) {
	p := runProcess(t, "people: {users: [{name: ana}]}\n")
	if _, err := p.db.UpdateAccount(t.Context(), p.account("ana").ID, func(a *directory.Account) error { a.Status = directory.Disabled; return nil }, audit.Event{Actor: "os:0", Action: "person.disabled"}); err != nil {
		t.Fatal(err)
	}
	p.write("people: {users: [{name: ana, email: ana@example.com}]}\n")
	p.reloads()
	if ana := p.account("ana"); ana.Status != directory.Disabled || ana.Email == "" {
		t.Errorf("%+v", ana.Person)
	}
}

func TestAPasswordThatTheFileDoesNotGiveIsThePersonsOwn(t *testing.T) {
	hash, err := bcrypt.GenerateFromPassword([]byte(anasPassword), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	p := runProcess(t, "people: {users: [{name: ana}, {name: bob, password_hash: '"+string(hash)+"'}]}\n")
	if err := p.views.people.SetPassword(t.Context(), p.account("ana").ID, "her own good password"); err != nil {
		t.Fatal(err)
	}
	if !p.signsIn("bob", anasPassword) || p.account("bob").Password.Outdated() {
		t.Error("a hash of the file")
	}
	p.reloads()
	if !p.signsIn("ana", "her own good password") || p.account("bob").Password.Outdated() {
		t.Error("a reload has changed passwords that the file has not")
	}
	if err := p.views.people.SetPassword(t.Context(), p.account("bob").ID, "his own good password"); !errors.Is(err, directory.ErrDeclared) {
		t.Errorf("a password of the file: %v", err)
	}
	p.write("people: {users: [{name: ana}, {name: bob}]}\n")
	p.reloads()
	if p.signsIn("bob", anasPassword) || p.account("bob").PasswordMark != "" {
		t.Error("a password that is gone from the file opens")
	}
}

func TestAReloadWithPeopleThatCannotBeIsRefused(t *testing.T) {
	for name, tc := range map[string]struct{ people, want string }{
		"a password_file is missing":    {`users: [{name: ana, password_file: nowhere}]`, "password_file"},
		"a password_file is empty":      {`users: [{name: ana, password_file: empty}]`, "is empty"},
		"a totp_secret_file is no code": {`users: [{name: ana, totp_secret_file: junk}]`, "totp_secret_file"},
		"a group is not there":          {`users: [{name: ana, groups: [nowhere]}]`, "there is no group"},
		"the name is another's":         {`users: [{name: CAROL}]`, "offkey people delete carol"},
		"the address is another's":      {`users: [{name: ana, email: carol@example.com}]`, "offkey people delete carol"},
	} {
		t.Run(name, func(t *testing.T) {
			p := runProcess(t, "people: {users: [{name: old}]}\n")
			p.put("empty", "\n")
			p.put("junk", "not base32!")
			carol := &directory.Account{Person: &directory.Person{ID: directory.NewID(), Name: "carol", Email: "carol@example.com", Status: directory.Active, Source: directory.SourceAPI}}
			if err := p.db.CreateAccount(t.Context(), carol, audit.Event{Actor: "os:0", Action: "person.created"}); err != nil {
				t.Fatal(err)
			}
			p.write("people: {" + tc.people + "}\n")
			if err := p.Reload(t.Context()); err == nil || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), "not base32!") {
				t.Errorf("%v", err)
			}
			p.account("old")
		})
	}
}
