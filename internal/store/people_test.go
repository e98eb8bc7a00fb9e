package store

import (
	"testing"
	"time"

	"github.com/offkey/offkey/internal/directory"
	"github.com/offkey/offkey/internal/secret"
)

// usePeople calls every method about people.
func usePeople(t *testing.T, db *DB) {
	t.Helper()
	ctx, e, now := t.Context(), did("x"), time.Now()
	ok := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, hash := range []string{"setup", "setup"} {
		ok(db.AddLink(ctx, directory.Link{Hash: secret.HashOf(hash), Purpose: directory.ForSetup, Expires: now.Add(time.Hour)}, e))
	}
	ana := func(id string) *directory.Account {
		return &directory.Account{Person: &directory.Person{ID: id, Name: id, Groups: []string{"admins"}}, Recovery: []secret.Hash{secret.HashOf(id)}, Passkeys: []directory.Passkey{{ID: []byte(id), Key: []byte{1}}}}
	}
	ok(db.CreateFirstAccount(ctx, secret.HashOf("setup"), ana("pe_1"), e))
	ok(db.CreateAccount(ctx, ana("pe_2"), e))
	_, err := db.UpdateAccount(ctx, "pe_1", func(a *directory.Account) error { a.Recovery, a.Passkeys, a.End = nil, nil, true; return nil }, e)
	ok(err)
	ok(db.AddLink(ctx, directory.Link{Hash: secret.HashOf("x"), Purpose: directory.ForReset, PersonID: "pe_1", Expires: now.Add(time.Hour)}, e))
	_, err = db.Link(ctx, secret.HashOf("x"), directory.ForReset)
	ok(err)
	_, err = db.RedeemLink(ctx, secret.HashOf("x"), directory.ForReset, func(directory.Link, *directory.Standing, *directory.Account) error { return nil }, e)
	ok(err)
	_, err = db.AccountOfPasskey(ctx, []byte("pe_2"))
	ok(err)
	_, err = db.PersonID(ctx, "pe_2")
	ok(err)
	_, err = db.Standing(ctx, "pe_2")
	ok(err)
	_, _, err = db.People(ctx, directory.Filter{})
	ok(err)
	_, err = db.Peopled(ctx)
	ok(err)
	ok(db.NoteSignIn(ctx, "pe_1"))
	_, err = db.Groups(ctx)
	ok(err)
	_, err = db.Members(ctx)
	ok(err)
	_, err = db.UpdateGroup(ctx, "buyers", func(*directory.Group, bool) error { return nil }, e)
	ok(err)
	ok(db.DeleteGroup(ctx, "buyers", e))
	ok(db.EndPerson(ctx, "pe_1", e))
	ok(db.RevokeEverything(ctx, e))
	ok(db.DeletePerson(ctx, "pe_2", e))
}
