package directory_test

import (
	"errors"
	"testing"

	"github.com/offkey/offkey/internal/directory"
)

// doors are all the ways in. Those that other packages open ask Standing: an
// upstream provider's sign-in and a device's approval before they make a
// session, a refresh before it issues.
func (w *world) doors() (id string, doors map[string]func() error) {
	w.t.Helper()
	ctx := w.t.Context()
	p := w.person("ana", anasPassword, func(a *directory.Account) {
		a.Passkeys = []directory.Passkey{{ID: []byte("blue"), Key: []byte{1}}}
	})
	code := w.totp(p.ID)
	codes, err := w.NewRecoveryCodes(ctx, p.ID)
	w.ok(err)
	reset, invite, verify := w.link(directory.ForReset, p.ID), w.link(directory.ForInvite, p.ID), w.link(directory.ForEmail, p.ID)
	open := func() error {
		s, err := w.Standing(ctx, p.ID)
		if err != nil {
			return err
		}
		return s.Open()
	}
	proof := directory.Proof{Password: "another good password"}
	return p.ID, map[string]func() error{
		"password":      func() error { _, err := w.CheckPassword(ctx, "ana", anasPassword); return err },
		"app":           func() error { return w.CheckTOTP(ctx, p.ID, code()) },
		"recovery code": func() error { _, err := w.CheckRecovery(ctx, p.ID, codes[0]); return err },
		"passkey":       func() error { _, err := w.UsePasskey(ctx, []byte("blue"), 0, false); return err },
		"another app":   func() error { k := directory.NewTOTPSecret(); return w.SetTOTP(ctx, p.ID, w.SealTOTP(p.ID, k), "") },
		"reset link":    func() error { _, err := w.Redeem(ctx, reset, directory.ForReset, proof); return err },
		"invite link":   func() error { _, err := w.Redeem(ctx, invite, directory.ForInvite, proof); return err },
		"email link":    func() error { _, err := w.VerifyEmail(ctx, verify); return err },
		"a new link":    func() error { _, _, err := w.NewLink(ctx, directory.ForReset, p.ID, did("x")); return err },
		"upstream":      open,
		"device":        open,
		"refresh":       open,
		"a new passkey": func() error {
			return w.AddPasskey(ctx, directory.Passkey{ID: []byte("red"), PersonID: p.ID, Key: []byte{1}})
		},
		"a new password": func() error { return w.SetPassword(ctx, p.ID, "yet another password") },
	}
}

func TestEveryDoorIsShut(t *testing.T) { // checklist_81 refresh after the person is disabled
	for name, tc := range map[string]struct {
		shut func(w *world, id string) error
		want error
	}{
		"of somebody disabled": {func(w *world, id string) error {
			_, err := w.db.UpdateAccount(w.t.Context(), id, func(a *directory.Account) error { a.Status = directory.Disabled; return nil }, did("person.disabled"))
			return err
		}, directory.ErrDisabled},
		"of the members of a group that forbids sign-in": {func(w *world, id string) error {
			if _, err := w.db.UpdateGroup(w.t.Context(), "robots", func(g *directory.Group, _ bool) error { g.Policy.Interactive = directory.Forbid; return nil }, did("group.set")); err != nil {
				return err
			}
			_, err := w.db.UpdateAccount(w.t.Context(), id, func(a *directory.Account) error { a.Groups = []string{"robots"}; return nil }, did("person.changed"))
			return err
		}, directory.ErrForbidden},
		"of all by the policy of everyone": {func(w *world, id string) error {
			_, err := w.db.UpdateGroup(w.t.Context(), directory.Everyone, func(g *directory.Group, _ bool) error { g.Policy.Interactive = directory.Forbid; return nil }, did("group.set"))
			return err
		}, directory.ErrForbidden},
		"of somebody deleted": {func(w *world, id string) error { return w.db.DeletePerson(w.t.Context(), id, did("person.deleted")) }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			id, doors := w.doors()
			w.ok(doors["refresh"]())
			w.ok(tc.shut(w, id))
			for door, enter := range doors {
				err := enter()
				switch {
				case err == nil:
					t.Errorf("%s is open", door)
				case tc.want != nil && !errors.Is(err, tc.want):
					t.Errorf("%s: %v, want %v", door, err, tc.want)
				}
			}
		})
	}
}

func TestEveryDoorIsOpenToWhomItShouldBe(t *testing.T) {
	_, doors := newWorld(t).doors()
	for door := range doors {
		t.Run(door, func(t *testing.T) {
			_, doors := newWorld(t).doors()
			if err := doors[door](); err != nil && door != "another app" {
				t.Error(err)
			}
		})
	}
}
