package storetest

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/offkey/offkey/internal/audit"
	"github.com/offkey/offkey/internal/directory"
	"github.com/offkey/offkey/internal/oauth"
	"github.com/offkey/offkey/internal/secret"
	"github.com/offkey/offkey/internal/store"
	"github.com/offkey/offkey/internal/token"
)

// A hash as store and directory hand it on; of which password does not matter.
const someHash = "$2b$04$EGdrhbKUv8Oc9vGiXX0HQOxSg445d458Muh7DAHskb6QbtCvdxcie"

// anAccount is a person with something in every field.
func anAccount(t testing.TB, id string) *directory.Account {
	hash, err := directory.ParsePasswordHash(someHash)
	if err != nil {
		t.Fatal(err)
	}
	return &directory.Account{
		Person: &directory.Person{
			ID: id, Name: "Ana-" + id, Email: id + "@Example.com", EmailVerified: true, Status: directory.Active, Groups: []string{"admins"},
			Claims: map[string]json.RawMessage{"given_name": json.RawMessage(`"Ana"`), "address": json.RawMessage(`{"country":"FR"}`)},
			Source: directory.SourceAPI, Created: noon, Updated: noon.Add(time.Hour), LastSignIn: noon.Add(2 * time.Hour),
		},
		Password: hash, PasswordMark: "of a file", TOTP: directory.TOTP{Sealed: []byte{1, 2, 3}, Step: 7, Created: noon},
		Recovery: []secret.Hash{secret.HashOf("one"), secret.HashOf("two")},
		Passkeys: []directory.Passkey{
			{ID: []byte(id + " a"), Key: []byte{9}, SignCount: 4_000_000_000, AAGUID: []byte("0123456789abcdef"), Transports: []string{"usb", "nfc"}, Name: "blue key", Eligible: true, BackedUp: true, Created: noon, LastUsed: noon},
			{ID: []byte(id + " b"), Key: []byte{8}, Name: "phone", Created: noon},
		},
	}
}

// plainAccount is a person with as little as possible.
func plainAccount(id string) *directory.Account {
	return &directory.Account{Person: &directory.Person{ID: id, Name: id, Status: directory.Active, Source: directory.SourceAPI, Created: noon}}
}

// shownAccount is an account as it is compared: with what JSON leaves out.
func shownAccount(a *directory.Account) any {
	p := *a.Person
	p.Created, p.Updated, p.LastSignIn = kept(p.Created), kept(p.Updated), kept(p.LastSignIn)
	all := map[string]any{"person": p, "password": a.Password.Reveal(), "mark": a.PasswordMark,
		"totp": fmt.Sprint(a.TOTP.Sealed, a.TOTP.Step, kept(a.TOTP.Created)), "end": a.End}
	var recovery []string
	for _, hash := range a.Recovery {
		recovery = append(recovery, hash.String())
	}
	slices.Sort(recovery)
	all["recovery"] = recovery
	var passkeys []string
	for _, k := range a.Passkeys {
		passkeys = append(passkeys, fmt.Sprintf("%s %v %d %s %v %s %v %v %v %v", k.ID, k.Key, k.SignCount, k.AAGUID, k.Transports, k.Name, k.Eligible, k.BackedUp, kept(k.Created), kept(k.LastUsed)))
	}
	slices.Sort(passkeys)
	all["passkeys"] = passkeys
	return all
}

// havePeople creates accounts.
func (b *trial) havePeople(accounts ...*directory.Account) {
	b.t.Helper()
	for _, a := range accounts {
		b.ok(b.CreateAccount(b.ctx(), a, did("person.created")))
	}
}

func (b *trial) account(id string) *directory.Account {
	b.t.Helper()
	a, err := b.Account(b.ctx(), id)
	b.ok(err)
	return a
}

func testPeople(t *testing.T, open Open) {
	t.Run("an account reads back as it was written, also by another process", func(t *testing.T) {
		b := setUp(t, open)
		full, plain := anAccount(t, "pe_1"), plainAccount("pe_2")
		b.havePeople(full, plain)
		for range 2 {
			b.same("full", shownAccount(b.account("pe_1")), shownAccount(full))
			b.same("plain", shownAccount(b.account("pe_2")), shownAccount(plain))
			b.reopen()
		}
	})
	t.Run("an update reads back as it was returned", func(t *testing.T) {
		b := setUp(t, open)
		b.havePeople(plainAccount("pe_1"), anAccount(t, "pe_2"))
		b.clock.move(time.Hour)
		for _, id := range []string{"pe_1", "pe_2"} {
			want := anAccount(t, id)
			want.Groups, want.Name, want.Recovery, want.Passkeys[0].Name = nil, "somebody-"+id, want.Recovery[1:], "red key"
			want.Passkeys = append(want.Passkeys[:1], directory.Passkey{ID: []byte(id + " c"), Key: []byte{1}, Created: noon})
			updated, err := b.UpdateAccount(b.ctx(), id, func(a *directory.Account) error { *a = *want; p := *want.Person; a.Person = &p; return nil }, did("x"))
			b.ok(err)
			want.Updated = b.clock.now()
			if id == "pe_1" {
				want.LastSignIn = time.Time{} // is NoteSignIn's alone
			}
			b.same("updated", shownAccount(updated), shownAccount(want))
			b.same("read", shownAccount(b.account(id)), shownAccount(want))
		}
	})
	t.Run("somebody who is not there is not found", func(t *testing.T) {
		b := setUp(t, open)
		for _, err := range []error{
			func() error { _, err := b.Account(b.ctx(), "pe_1"); return err }(),
			func() error { _, err := b.Standing(b.ctx(), "pe_1"); return err }(),
			func() error { _, err := b.PersonID(b.ctx(), "ana"); return err }(),
			func() error {
				_, err := b.UpdateAccount(b.ctx(), "pe_1", func(*directory.Account) error { return nil }, did("x"))
				return err
			}(),
			b.DeletePerson(b.ctx(), "pe_1", did("x")),
			b.EndPerson(b.ctx(), "pe_1", did("x")),
		} {
			b.is(err, directory.ErrNotFound)
		}
		_, err := b.AccountOfPasskey(b.ctx(), []byte("x"))
		b.is(err, directory.ErrNoPasskey)
		b.ok(b.NoteSignIn(b.ctx(), "pe_1"))
	})
	t.Run("names and addresses are one space, without regard to letter case", func(t *testing.T) {
		b := setUp(t, open)
		ana := plainAccount("pe_1")
		ana.Name, ana.Email = "Ana", "ana@example.com"
		b.havePeople(ana)
		for login, want := range map[string]string{"ana": "pe_1", "ana@example.com": "pe_1", "Ana": "", "anna": ""} {
			id, err := b.PersonID(b.ctx(), login)
			if id != want || (want == "") != errors.Is(err, directory.ErrNotFound) {
				t.Errorf("%s: %q, %v", login, id, err)
			}
		}
		for i, other := range []struct{ name, email string }{{"ANA", ""}, {"bob", "ANA@example.com"}, {"ana@example.com", ""}, {"bob", "ana"}} {
			a := plainAccount(fmt.Sprintf("pe_2%d", i))
			a.Name, a.Email = other.name, other.email
			b.is(b.CreateAccount(b.ctx(), a, did("x")), directory.ErrExists)
			_, err := b.Account(b.ctx(), a.ID)
			b.is(err, directory.ErrNotFound)
		}
		bob := plainAccount("pe_3")
		b.havePeople(bob)
		_, err := b.UpdateAccount(b.ctx(), "pe_3", func(a *directory.Account) error { a.Email = "Ana@Example.com"; return nil }, did("x"))
		b.is(err, directory.ErrExists)
		_, err = b.UpdateAccount(b.ctx(), "pe_1", func(a *directory.Account) error { a.Name, a.Email = "anna", ""; return nil }, did("x"))
		b.ok(err)
		_, err = b.UpdateAccount(b.ctx(), "pe_3", func(a *directory.Account) error { a.Email = "Ana@Example.com"; return nil }, did("x"))
		b.ok(err)
	})
	t.Run("an id is not given twice, and a group must be there", func(t *testing.T) {
		b := setUp(t, open)
		b.havePeople(plainAccount("pe_1"))
		again := plainAccount("pe_1")
		again.Name = "other"
		b.is(b.CreateAccount(b.ctx(), again, did("x")), directory.ErrExists)
		lost := plainAccount("pe_2")
		lost.Groups = []string{"nowhere"}
		b.is(b.CreateAccount(b.ctx(), lost, did("x")), directory.ErrNoGroup)
	})
	t.Run("the error of an update leaves all as it was", func(t *testing.T) {
		b := setUp(t, open)
		b.havePeople(anAccount(t, "pe_1"))
		before, entries := shownAccount(b.account("pe_1")), len(b.entries())
		wrong := errors.New("no")
		_, err := b.UpdateAccount(b.ctx(), "pe_1", func(a *directory.Account) error { a.Name, a.Recovery, a.Passkeys = "x", nil, nil; return wrong }, did("x"))
		b.is(err, wrong)
		b.same("account", shownAccount(b.account("pe_1")), before)
		if len(b.entries()) != entries {
			t.Error("it was audited")
		}
	})
	t.Run("a passkey belongs to one person", func(t *testing.T) {
		b := setUp(t, open)
		b.havePeople(anAccount(t, "pe_1"), plainAccount("pe_2"))
		_, err := b.UpdateAccount(b.ctx(), "pe_2", func(a *directory.Account) error {
			a.Passkeys = []directory.Passkey{{ID: []byte("pe_1 a"), Key: []byte{1}}}
			return nil
		}, did("x"))
		b.is(err, directory.ErrExists)
		a, err := b.AccountOfPasskey(b.ctx(), []byte("pe_1 a"))
		b.ok(err)
		if a.ID != "pe_1" {
			t.Errorf("it is %s's", a.ID)
		}
	})
	t.Run("a list has pages and filters", func(t *testing.T) {
		b := setUp(t, open)
		for i := range 5 {
			a := plainAccount(fmt.Sprintf("pe_%d", i))
			if i%2 == 0 {
				a.Groups = []string{"admins"}
			} else {
				a.Status = directory.Disabled
			}
			b.havePeople(a)
		}
		list := func(f directory.Filter) (ids []string) {
			for {
				people, next, err := b.People(b.ctx(), f)
				b.ok(err)
				for _, p := range people {
					ids = append(ids, p.ID)
				}
				if f.After = next; next == "" {
					return ids
				}
			}
		}
		b.same("all", list(directory.Filter{Limit: 2}), []string{"pe_0", "pe_1", "pe_2", "pe_3", "pe_4"})
		b.same("admins", list(directory.Filter{Limit: 2, Group: "admins"}), []string{"pe_0", "pe_2", "pe_4"})
		b.same("disabled", list(directory.Filter{Status: directory.Disabled}), []string{"pe_1", "pe_3"})
		b.same("of the file", len(list(directory.Filter{Source: directory.SourceFile})), 0)
	})
	t.Run("disabling, ending and deleting revoke what was issued, in the same step", func(t *testing.T) { // checklist_81, checklist_212
		for name, end := range map[string]func(b *trial) error{
			"disable": func(b *trial) error {
				_, err := b.UpdateAccount(b.ctx(), "pe_1", func(a *directory.Account) error { a.Status = directory.Disabled; return nil }, did("person.disabled"))
				return err
			},
			"a group that forbids sign-in": func(b *trial) error {
				_, err := b.UpdateGroup(b.ctx(), "robots", func(g *directory.Group, _ bool) error { g.Policy.Interactive = directory.Forbid; return nil }, did("group.set"))
				b.ok(err)
				_, err = b.UpdateAccount(b.ctx(), "pe_1", func(a *directory.Account) error { a.Groups = append(a.Groups, "robots"); return nil }, did("person.changed"))
				return err
			},
			"another password": func(b *trial) error {
				_, err := b.UpdateAccount(b.ctx(), "pe_1", func(a *directory.Account) error { a.End = true; return nil }, did("person.password_set"))
				return err
			},
			"end":    func(b *trial) error { return b.EndPerson(b.ctx(), "pe_1", did("person.ended")) },
			"delete": func(b *trial) error { return b.DeletePerson(b.ctx(), "pe_1", did("person.deleted")) },
		} {
			t.Run(name, func(t *testing.T) {
				b := setUp(t, open)
				b.havePeople(anAccount(t, "pe_1"), plainAccount("pe_2"))
				var told []store.Change
				b.Subscribe(func(changes []store.Change) { told = append(told, changes...) })
				b.ok(end(b))
				b.same("revoked", b.revoked(), []string{token.RevokePerson + ":pe_1"})
				if !slices.ContainsFunc(told, func(c store.Change) bool {
					return c.Kind == store.ChangeRevocation && c.ID == token.RevokePerson+":pe_1"
				}) {
					t.Errorf("views were told %v", told)
				}
			})
		}
	})
	t.Run("who is deleted leaves nothing", func(t *testing.T) {
		b := setUp(t, open)
		b.havePeople(anAccount(t, "pe_1"))
		b.ok(b.AddLink(b.ctx(), aLink("pe_1", directory.ForReset, "x"), did("x")))
		b.ok(b.DeletePerson(b.ctx(), "pe_1", did("x")))
		_, err := b.Link(b.ctx(), secret.HashOf("x"), directory.ForReset)
		b.is(err, directory.ErrSpent)
		b.havePeople(anAccount(t, "pe_1")) // names, codes and passkeys are free again
		b.ok(b.Check(b.ctx()))
	})
	t.Run("when somebody signed in is noted and moves forward only", func(t *testing.T) {
		b := setUp(t, open)
		b.havePeople(plainAccount("pe_1"))
		changes := len(b.changes())
		b.ok(b.NoteSignIn(b.ctx(), "pe_1"))
		b.clock.move(-time.Hour)
		b.ok(b.NoteSignIn(b.ctx(), "pe_1"))
		if got := b.account("pe_1").LastSignIn; !got.Equal(kept(noon)) {
			t.Errorf("at %v", got)
		}
		if len(b.changes()) != changes {
			t.Error("views were told")
		}
	})
	t.Run("a change of the person is told, one of secrets alone is not", func(t *testing.T) {
		b := setUp(t, open)
		b.havePeople(anAccount(t, "pe_1"))
		var told []string
		b.Subscribe(func(changes []store.Change) {
			for _, c := range changes {
				told = append(told, c.Kind+":"+c.ID)
			}
		})
		_, err := b.UpdateAccount(b.ctx(), "pe_1", func(a *directory.Account) error { a.TOTP.Step++; return nil }, audit.Event{})
		b.ok(err)
		_, err = b.UpdateAccount(b.ctx(), "pe_1", func(a *directory.Account) error { a.Status = directory.Invited; return nil }, did("x"))
		b.ok(err)
		b.same("told", told, []string{"person:pe_1"})
	})
	t.Run("one of 64 that spend the same step, code or count wins", func(t *testing.T) {
		for name, spend := range map[string]func(a *directory.Account) bool{
			"step": func(a *directory.Account) bool { fresh := a.TOTP.Step < 8; a.TOTP.Step = 8; return fresh },
			"recovery code": func(a *directory.Account) bool {
				i := slices.Index(a.Recovery, secret.HashOf("one"))
				if i >= 0 {
					a.Recovery = slices.Delete(a.Recovery, i, i+1)
				}
				return i >= 0
			},
			"count of a passkey": func(a *directory.Account) bool {
				fresh := directory.CountHolds(a.Passkeys[0].SignCount, 4_000_000_001)
				a.Passkeys[0].SignCount = 4_000_000_001
				return fresh
			},
		} {
			t.Run(name, func(t *testing.T) {
				b := setUp(t, open)
				b.havePeople(anAccount(t, "pe_1"))
				var won atomic.Int64
				together(64, func(int) {
					_, err := b.UpdateAccount(b.ctx(), "pe_1", func(a *directory.Account) error {
						if !spend(a) {
							return directory.ErrSpent
						}
						return nil
					}, audit.Event{})
					switch {
					case err == nil:
						won.Add(1)
					case !errors.Is(err, directory.ErrSpent):
						t.Error(err)
					}
				})
				if won.Load() != 1 {
					t.Errorf("%d won", won.Load())
				}
			})
		}
	})
}

func testGroups(t *testing.T, open Open) {
	set := func(g directory.Group) func(*directory.Group, bool) error {
		return func(to *directory.Group, _ bool) error {
			to.Scopes, to.Roles, to.Policy, to.Source = g.Scopes, g.Roles, g.Policy, g.Source
			return nil
		}
	}
	buyers := directory.Group{
		Name: "buyers", Scopes: oauth.Scope{"read:orders", "create:orders"}, Roles: []string{"admin"}, Source: directory.SourceAPI,
		Policy: directory.Policy{Interactive: directory.Forbid, MFA: directory.MFAPasskey, SessionIdle: directory.Span(15 * time.Minute), SessionMax: directory.Span(30 * 24 * time.Hour), Reauth: directory.Span(time.Minute)},
	}
	t.Run("everyone and admins are there from the start", func(t *testing.T) {
		b := setUp(t, open)
		groups, err := b.Groups(b.ctx())
		b.ok(err)
		b.same("groups", groups, []directory.Group{{Name: "admins", Roles: []string{directory.RoleAdmin}, Source: "api"}, {Name: "everyone", Source: "api"}})
	})
	t.Run("a group reads back as it was written, and its members stand with it", func(t *testing.T) {
		b := setUp(t, open)
		made, err := b.UpdateGroup(b.ctx(), "buyers", set(buyers), did("group.set"))
		b.ok(err)
		want := buyers
		want.Created = kept(noon)
		b.same("made", made, want)
		ana := plainAccount("pe_1")
		ana.Groups = []string{"buyers", "everyone", "buyers"}
		b.havePeople(ana, plainAccount("pe_2"))
		standing, err := b.Standing(b.ctx(), "pe_1")
		b.ok(err)
		b.is(standing.Open(), directory.ErrForbidden)
		b.same("groups", standing.Groups, []string{"buyers"})
		b.same("policy", standing.Policy, buyers.Policy)
		if !standing.MayGrant.Has("create:orders") || standing.Roles[0] != "admin" {
			t.Errorf("stands with %+v", standing)
		}
		_, err = b.UpdateGroup(b.ctx(), directory.Everyone, func(g *directory.Group, there bool) error {
			g.Scopes = oauth.Scope{"read:menu"}
			return nil
		}, did("x"))
		b.ok(err)
		other, err := b.Standing(b.ctx(), "pe_2")
		b.ok(err)
		if other.Open() != nil || !other.MayGrant.Has("read:menu") || other.MayGrant.Has("create:orders") {
			t.Errorf("the other stands with %+v", other)
		}
		members, err := b.Members(b.ctx())
		b.ok(err)
		b.same("members", members, map[string]int{"buyers": 1})
	})
	t.Run("a group that is deleted has no members, and its change is told", func(t *testing.T) {
		b := setUp(t, open)
		_, err := b.UpdateGroup(b.ctx(), "buyers", set(buyers), did("x"))
		b.ok(err)
		ana := plainAccount("pe_1")
		ana.Groups = []string{"buyers"}
		b.havePeople(ana)
		var told []string
		b.Subscribe(func(changes []store.Change) {
			for _, c := range changes {
				told = append(told, c.Kind+":"+c.ID)
			}
		})
		b.ok(b.DeleteGroup(b.ctx(), "buyers", did("x")))
		b.is(b.DeleteGroup(b.ctx(), "buyers", did("x")), directory.ErrNoGroup)
		if a := b.account("pe_1"); len(a.Groups) != 0 {
			t.Errorf("still in %v", a.Groups)
		}
		b.same("told", told, []string{"group:buyers"})
	})
}

func aLink(personID string, purpose directory.Purpose, raw string) directory.Link {
	return directory.Link{Hash: secret.HashOf(raw), Purpose: purpose, PersonID: personID, Email: "ana@example.com", Created: noon, Expires: noon.Add(time.Hour)}
}

func testLinks(t *testing.T, open Open) {
	nothing := func(directory.Link, *directory.Standing, *directory.Account) error { return nil }
	t.Run("a link opens what it is for, once, in its time", func(t *testing.T) {
		b := setUp(t, open)
		b.havePeople(plainAccount("pe_1"))
		l := aLink("pe_1", directory.ForInvite, "x")
		b.ok(b.AddLink(b.ctx(), l, did("x")))
		got, err := b.Link(b.ctx(), l.Hash, directory.ForInvite)
		b.ok(err)
		l.Created, l.Expires = kept(l.Created), kept(l.Expires)
		b.same("link", got, l)
		for _, wrong := range []directory.Purpose{directory.ForReset, directory.ForSetup, directory.ForEmail, ""} {
			_, err := b.Link(b.ctx(), l.Hash, wrong)
			b.is(err, directory.ErrSpent)
			_, err = b.RedeemLink(b.ctx(), l.Hash, wrong, nothing, did("x"))
			b.is(err, directory.ErrSpent)
		}
		no := errors.New("no")
		_, err = b.RedeemLink(b.ctx(), l.Hash, directory.ForInvite, func(directory.Link, *directory.Standing, *directory.Account) error { return no }, did("x"))
		b.is(err, no) // and it can be used still
		a, err := b.RedeemLink(b.ctx(), l.Hash, directory.ForInvite, func(l directory.Link, s *directory.Standing, a *directory.Account) error {
			if s.ID != "pe_1" || l.Email != "ana@example.com" {
				t.Errorf("%+v of %+v", l, s)
			}
			a.EmailVerified = true
			return nil
		}, did("x"))
		b.ok(err)
		if !a.EmailVerified {
			t.Error("what it opened did not happen")
		}
		_, err = b.RedeemLink(b.ctx(), l.Hash, directory.ForInvite, nothing, did("x"))
		b.is(err, directory.ErrSpent)

		b.ok(b.AddLink(b.ctx(), aLink("pe_1", directory.ForInvite, "late"), did("x")))
		b.clock.move(time.Hour)
		_, err = b.RedeemLink(b.ctx(), secret.HashOf("late"), directory.ForInvite, nothing, did("x"))
		b.is(err, directory.ErrSpent)
	})
	t.Run("a newer link takes the place of the older of its purpose", func(t *testing.T) {
		b := setUp(t, open)
		b.havePeople(plainAccount("pe_1"))
		b.is(b.AddLink(b.ctx(), aLink("pe_9", directory.ForReset, "x"), did("x")), directory.ErrNotFound)
		for _, raw := range []string{"old", "new"} {
			b.ok(b.AddLink(b.ctx(), aLink("pe_1", directory.ForReset, raw), did("x")))
		}
		_, err := b.Link(b.ctx(), secret.HashOf("old"), directory.ForReset)
		b.is(err, directory.ErrSpent)
		_, err = b.Link(b.ctx(), secret.HashOf("new"), directory.ForReset)
		b.ok(err)
	})
	t.Run("one of 64 that redeem a link wins", func(t *testing.T) {
		b := setUp(t, open)
		b.havePeople(plainAccount("pe_1"))
		b.ok(b.AddLink(b.ctx(), aLink("pe_1", directory.ForReset, "x"), did("x")))
		var won atomic.Int64
		together(64, func(i int) {
			_, err := b.RedeemLink(b.ctx(), secret.HashOf("x"), directory.ForReset, func(_ directory.Link, _ *directory.Standing, a *directory.Account) error {
				a.Email = fmt.Sprintf("ana%d@example.com", i)
				return nil
			}, did("x"))
			if err == nil {
				won.Add(1)
			} else if !errors.Is(err, directory.ErrSpent) {
				t.Error(err)
			}
		})
		if won.Load() != 1 {
			t.Errorf("%d won", won.Load())
		}
	})
	t.Run("the first account is made once, and by the link alone", func(t *testing.T) {
		b := setUp(t, open)
		b.is(b.CreateFirstAccount(b.ctx(), secret.HashOf("x"), plainAccount("pe_1"), did("x")), directory.ErrSpent)
		b.ok(b.AddLink(b.ctx(), aLink("", directory.ForSetup, "x"), did("x")))
		var won atomic.Int64
		together(64, func(i int) {
			err := b.CreateFirstAccount(b.ctx(), secret.HashOf("x"), plainAccount(fmt.Sprintf("pe_%d", i)), did("x"))
			if err == nil {
				won.Add(1)
			} else if !errors.Is(err, directory.ErrSpent) {
				t.Error(err)
			}
		})
		if peopled, err := b.Peopled(b.ctx()); won.Load() != 1 || !peopled || err != nil {
			t.Errorf("%d won, %v, %v", won.Load(), peopled, err)
		}
		b.ok(b.AddLink(b.ctx(), aLink("", directory.ForSetup, "y"), did("x")))
		b.is(b.CreateFirstAccount(b.ctx(), secret.HashOf("y"), plainAccount("pe_100"), did("x")), directory.ErrSpent)
	})
	t.Run("old links are cleaned away", func(t *testing.T) {
		b := setUp(t, open)
		b.havePeople(plainAccount("pe_1"))
		b.ok(b.AddLink(b.ctx(), aLink("pe_1", directory.ForReset, "x"), did("x")))
		n, err := b.Clean(b.ctx(), noon.Add(2*time.Hour), 100)
		b.ok(err)
		if n != 1 {
			t.Errorf("%d deleted", n)
		}
	})
}
