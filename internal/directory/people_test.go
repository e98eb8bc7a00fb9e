package directory_test

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/offkey/offkey/internal/directory"
	"golang.org/x/crypto/bcrypt"
)

func TestPasswordsAreChecked(t *testing.T) {
	w := newWorld(t)
	w.person("Ana", anasPassword)
	w.person("bob", "")
	for _, tc := range []struct {
		name, login, password string
		want                  error
	}{
		{"by the name", "Ana", anasPassword, nil},
		{"in any letter case, with space around", " aNA ", anasPassword, nil},
		{"by the address", "ANA@example.com", anasPassword, nil},
		{"another password", "ana", anasPassword + " ", directory.ErrWrong},
		{"none", "ana", "", directory.ErrWrong},
		{"somebody without one", "bob", "", directory.ErrWrong},
		{"nobody", "carol", anasPassword, directory.ErrWrong},
		{"no name", "", anasPassword, directory.ErrWrong},
		{"a name without end", strings.Repeat("a", 10_000), anasPassword, directory.ErrWrong},
		{"a name that is no text", "\xff\x00", anasPassword, directory.ErrWrong},
		{"the id, which is no name", "pe_1", anasPassword, directory.ErrWrong},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s, err := w.CheckPassword(t.Context(), tc.login, tc.password)
			if !errors.Is(err, tc.want) || (err == nil) != (tc.want == nil) || err == nil && s.Name != "Ana" {
				t.Errorf("%+v, %v", s, err)
			}
			if err != nil && err.Error() != directory.ErrWrong.Error() {
				t.Errorf("it says more than that it is wrong: %v", err)
			}
		})
	}
}

func TestOnlyWhoHasThePasswordIsToldThatTheAccountIsDisabled(t *testing.T) {
	w := newWorld(t)
	w.person("ana", anasPassword, func(a *directory.Account) { a.Status = directory.Disabled })
	if _, err := w.CheckPassword(t.Context(), "ana", anasPassword); !errors.Is(err, directory.ErrDisabled) {
		t.Error(err)
	}
	if _, err := w.CheckPassword(t.Context(), "ana", "a wrong password"); !errors.Is(err, directory.ErrWrong) {
		t.Error(err)
	}
}

func TestNobodyTakesAsLongAsSomebodyAtTheDoor(t *testing.T) {
	w := newWorld(t)
	w.person("ana", anasPassword)
	// As in TestNobodyTakesAsLongAsSomebody.
	quickest := map[string]time.Duration{"ana": time.Hour, "nobody": time.Hour}
	for range 7 {
		for login := range quickest {
			began := time.Now()
			if _, err := w.CheckPassword(t.Context(), login, "a wrong password"); !errors.Is(err, directory.ErrWrong) {
				t.Fatal(err)
			}
			quickest[login] = min(quickest[login], time.Since(began))
		}
	}
	if somebody, nobody := quickest["ana"], quickest["nobody"]; somebody > 10*nobody || nobody > 10*somebody {
		t.Errorf("somebody takes %v, nobody %v", somebody, nobody)
	}
}

func TestAHashOfAnotherProgramIsMadeAnewAtSignIn(t *testing.T) {
	w := newWorld(t)
	raw, err := bcrypt.GenerateFromPassword([]byte(anasPassword), bcrypt.MinCost)
	w.ok(err)
	hash, err := directory.ParsePasswordHash(string(raw))
	w.ok(err)
	p := w.person("ana", "", func(a *directory.Account) { a.Password = hash })
	for range 2 {
		if _, err := w.CheckPassword(t.Context(), "ana", "wrong password"); !errors.Is(err, directory.ErrWrong) {
			t.Fatal(err)
		}
		if a, err := w.Account(t.Context(), p.ID); err != nil || !a.Password.Outdated() {
			t.Fatalf("a wrong password has changed the hash: %v", err)
		}
	}
	for range 2 {
		_, err = w.CheckPassword(t.Context(), "ana", anasPassword)
		w.ok(err)
		if a, err := w.Account(t.Context(), p.ID); err != nil || a.Password.Outdated() {
			t.Fatalf("the hash is the old one: %v", err)
		}
	}
	if list, err := w.db.Revocations(t.Context(), w.now()); err != nil || len(list) != 0 {
		t.Errorf("it has ended what began before: %v", list)
	}
}

func TestACodeOfAnAppIsUsedOnce(t *testing.T) {
	w := newWorld(t)
	p := w.person("ana", anasPassword)
	if err := w.CheckTOTP(t.Context(), p.ID, "000000"); !errors.Is(err, directory.ErrWrong) {
		t.Errorf("without an app: %v", err)
	}
	code := w.totp(p.ID)
	now := code()
	var won, wrong atomic.Int64
	var all sync.WaitGroup
	for range 64 {
		all.Go(func() {
			switch err := w.CheckTOTP(t.Context(), p.ID, now); {
			case err == nil:
				won.Add(1)
			case errors.Is(err, directory.ErrWrong):
				wrong.Add(1)
			default:
				t.Error(err)
			}
		})
	}
	all.Wait()
	if won.Load() != 1 || wrong.Load() != 63 {
		t.Errorf("%d won, %d did not", won.Load(), wrong.Load())
	}
	w.pass(-30 * time.Second)
	if err := w.CheckTOTP(t.Context(), p.ID, code()); !errors.Is(err, directory.ErrWrong) {
		t.Errorf("one before it: %v", err)
	}
	w.pass(time.Minute)
	w.ok(w.CheckTOTP(t.Context(), p.ID, code()))
}

func TestAnAppIsTakenOnceItsCodeIsShown(t *testing.T) {
	w := newWorld(t)
	ana, bob := w.person("ana", ""), w.person("bob", "")
	key := directory.NewTOTPSecret()
	for name, err := range map[string]error{
		"a wrong code":             w.SetTOTP(t.Context(), ana.ID, w.SealTOTP(ana.ID, key), "12345x"),
		"one that was not sealed":  w.SetTOTP(t.Context(), ana.ID, []byte(key.Reveal()), "123456"),
		"one sealed for another":   w.SetTOTP(t.Context(), ana.ID, w.SealTOTP(bob.ID, key), "123456"),
		"a recovery code instead":  w.CheckTOTP(t.Context(), ana.ID, "x7k2-9mqt-4bwd"),
		"one of somebody who left": w.SetTOTP(t.Context(), "pe_0", w.SealTOTP("pe_0", key), "123456"),
	} {
		if !errors.Is(err, directory.ErrWrong) && !errors.Is(err, directory.ErrNotFound) {
			t.Errorf("%s: %v", name, err)
		}
	}
	code := w.totp(ana.ID)
	a, err := w.Account(t.Context(), ana.ID)
	w.ok(err)
	if f := a.Factors(); !f.TOTP || f.Password || !f.Second() || bytes.Contains(a.TOTP.Sealed, []byte(key.Reveal())) {
		t.Errorf("%+v", f)
	}
	w.ok(w.CheckTOTP(t.Context(), ana.ID, code()))
	w.ok(w.RemoveTOTP(t.Context(), ana.ID))
	w.pass(time.Minute)
	if err := w.CheckTOTP(t.Context(), ana.ID, code()); !errors.Is(err, directory.ErrWrong) {
		t.Errorf("after it was removed: %v", err)
	}
}

func TestRecoveryCodes(t *testing.T) {
	w := newWorld(t)
	ana, bob := w.person("ana", ""), w.person("bob", "")
	codes, err := w.NewRecoveryCodes(t.Context(), ana.ID)
	w.ok(err)
	if len(codes) != 10 || len(codes[0]) != 14 {
		t.Fatalf("%q", codes)
	}
	if _, err := w.CheckRecovery(t.Context(), bob.ID, codes[0]); !errors.Is(err, directory.ErrWrong) {
		t.Errorf("another's: %v", err)
	}
	var won atomic.Int64
	var all sync.WaitGroup
	for range 64 {
		all.Go(func() {
			left, err := w.CheckRecovery(t.Context(), ana.ID, codes[0])
			if err == nil && left == 9 {
				won.Add(1)
			} else if !errors.Is(err, directory.ErrWrong) {
				t.Errorf("%d, %v", left, err)
			}
		})
	}
	all.Wait()
	if won.Load() != 1 {
		t.Errorf("%d won", won.Load())
	}
	if left, err := w.CheckRecovery(t.Context(), ana.ID, " "+strings.ToUpper(strings.ReplaceAll(codes[1], "-", " "))); err != nil || left != 8 {
		t.Errorf("typed otherwise: %d, %v", left, err)
	}
	_, err = w.NewRecoveryCodes(t.Context(), ana.ID)
	w.ok(err)
	if _, err := w.CheckRecovery(t.Context(), ana.ID, codes[2]); !errors.Is(err, directory.ErrWrong) {
		t.Errorf("after new ones were made: %v", err)
	}
}

func TestPasskeys(t *testing.T) {
	w := newWorld(t)
	ana, bob := w.person("ana", ""), w.person("bob", "")
	k := directory.Passkey{ID: []byte("blue"), PersonID: ana.ID, Key: []byte{4, 2}, SignCount: 7, Name: "blue"}
	w.ok(w.AddPasskey(t.Context(), k))
	if err := w.AddPasskey(t.Context(), k); !errors.Is(err, directory.ErrExists) {
		t.Errorf("twice: %v", err)
	}
	k.PersonID = bob.ID
	if err := w.AddPasskey(t.Context(), k); !errors.Is(err, directory.ErrExists) {
		t.Errorf("another's: %v", err)
	}
	for _, tc := range []struct {
		name  string
		count uint32
		want  error
	}{{"the count goes up", 8, nil}, {"the same again", 8, directory.ErrCloned}, {"it goes down", 3, directory.ErrCloned}, {"it is gone", 0, directory.ErrCloned}, {"it goes up by many", 800, nil}} {
		if s, err := w.UsePasskey(t.Context(), []byte("blue"), tc.count, true); !errors.Is(err, tc.want) || (err == nil) != (tc.want == nil) || err == nil && s.ID != ana.ID {
			t.Errorf("%s: %v", tc.name, err)
		}
	}
	got, err := w.Passkey(t.Context(), []byte("blue"))
	w.ok(err)
	if got.SignCount != 800 || !got.BackedUp || !got.LastUsed.Equal(w.now()) || got.PersonID != ana.ID {
		t.Errorf("%+v", got)
	}
	w.ok(w.RenamePasskey(t.Context(), ana.ID, []byte("blue"), "red"))
	for _, err := range []error{w.RenamePasskey(t.Context(), bob.ID, []byte("blue"), "mine"), w.RemovePasskey(t.Context(), bob.ID, []byte("blue"))} {
		if !errors.Is(err, directory.ErrNoPasskey) {
			t.Errorf("another's: %v", err)
		}
	}
	w.ok(w.RemovePasskey(t.Context(), ana.ID, []byte("blue")))
	if _, err := w.UsePasskey(t.Context(), []byte("blue"), 900, true); !errors.Is(err, directory.ErrNoPasskey) {
		t.Errorf("after it was removed: %v", err)
	}
	for i := range directory.MostPasskeys {
		w.ok(w.AddPasskey(t.Context(), directory.Passkey{ID: []byte{byte(i)}, PersonID: ana.ID, Key: []byte{1}}))
	}
	if err := w.AddPasskey(t.Context(), directory.Passkey{ID: []byte("one more"), PersonID: ana.ID, Key: []byte{1}}); !errors.Is(err, directory.ErrTooMany) {
		t.Errorf("one more: %v", err)
	}
}

func TestAnotherPasswordEndsWhatBeganBefore(t *testing.T) { // checklist_81 refresh after a password reset
	w := newWorld(t)
	p := w.person("ana", anasPassword)
	ended := func() bool {
		list, err := w.db.Revocations(t.Context(), w.now())
		w.ok(err)
		return len(list) == 1 && list[0].Kind == "person" && list[0].ID == p.ID && list[0].Before.Equal(w.now())
	}
	w.pass(time.Hour)
	w.ok(w.SetPassword(t.Context(), p.ID, "another good password"))
	if !ended() {
		t.Error("a new password ends nothing")
	}
	w.pass(time.Hour)
	_, err := w.Redeem(t.Context(), w.link(directory.ForReset, p.ID), directory.ForReset, directory.Proof{Password: "yet another password"})
	w.ok(err)
	if !ended() {
		t.Error("a reset ends nothing")
	}
	for password, want := range map[string]error{anasPassword: directory.ErrWrong, "another good password": directory.ErrWrong, "yet another password": nil} {
		if _, err := w.CheckPassword(t.Context(), "ana", password); !errors.Is(err, want) {
			t.Errorf("%s: %v", password, err)
		}
	}
	for _, password := range []string{"short", "ana@example.com", "password123"} {
		if err := w.SetPassword(t.Context(), p.ID, password); !errors.Is(err, directory.ErrPassword) {
			t.Errorf("%s: %v", password, err)
		}
	}
}

func TestAPasswordOfTheFileIsChangedThere(t *testing.T) {
	w := newWorld(t)
	p := w.person("ana", anasPassword, func(a *directory.Account) { a.PasswordMark, a.Source = "x", directory.SourceFile })
	if err := w.SetPassword(t.Context(), p.ID, "another good password"); !errors.Is(err, directory.ErrDeclared) {
		t.Error(err)
	}
	if _, err := w.Redeem(t.Context(), w.link(directory.ForReset, p.ID), directory.ForReset, directory.Proof{Password: "another good password"}); !errors.Is(err, directory.ErrDeclared) {
		t.Error(err)
	}
}

func TestAnInvitationMakesSomebodyActive(t *testing.T) {
	w := newWorld(t)
	for name, proof := range map[string]directory.Proof{
		"password": {Password: anasPassword}, "passkey": {Passkey: &directory.Passkey{ID: []byte("blue"), Key: []byte{1}}},
	} {
		p := w.person(name, "", func(a *directory.Account) { a.Status = directory.Invited })
		raw := w.link(directory.ForInvite, p.ID)
		if _, err := w.Redeem(t.Context(), raw, directory.ForInvite, directory.Proof{Password: "short"}); !errors.Is(err, directory.ErrPassword) {
			t.Errorf("a bad password: %v", err)
		}
		if _, s, err := w.Link(t.Context(), raw, directory.ForInvite); err != nil || s.Status != directory.Invited {
			t.Errorf("the link is gone: %v", err)
		}
		s, err := w.Redeem(t.Context(), raw, directory.ForInvite, proof)
		if err != nil || s.Status != directory.Active || !s.EmailVerified {
			t.Errorf("%s: %+v, %v", name, s, err)
		}
		for _, raw := range []string{raw, raw + "x", "", "offkey_li_x"} {
			if _, err := w.Redeem(t.Context(), raw, directory.ForInvite, proof); !errors.Is(err, directory.ErrSpent) {
				t.Errorf("%s: %v", raw, err)
			}
		}
	}
	p := w.person("late", "", func(a *directory.Account) { a.Status = directory.Invited })
	for purpose, life := range map[directory.Purpose]time.Duration{directory.ForInvite: 7 * 24 * time.Hour, directory.ForReset: time.Hour, directory.ForEmail: 24 * time.Hour} {
		raw := w.link(purpose, p.ID)
		w.pass(life - time.Second)
		_, _, err := w.Link(t.Context(), raw, purpose)
		w.ok(err)
		w.pass(time.Second)
		if _, _, err := w.Link(t.Context(), raw, purpose); !errors.Is(err, directory.ErrSpent) {
			t.Errorf("a link for %s after %v: %v", purpose, life, err)
		}
	}
}

func TestALinkVerifiesTheAddressThatItWasSentTo(t *testing.T) {
	w := newWorld(t)
	p := w.person("ana", "")
	raw := w.link(directory.ForEmail, p.ID)
	if _, err := w.Redeem(t.Context(), raw, directory.ForEmail, directory.Proof{Password: anasPassword}); !errors.Is(err, directory.ErrSpent) {
		t.Errorf("it gives a password: %v", err)
	}
	_, err := w.db.UpdateAccount(t.Context(), p.ID, func(a *directory.Account) error { a.Email = "other@example.com"; return nil }, did("x"))
	w.ok(err)
	if _, err := w.VerifyEmail(t.Context(), raw); !errors.Is(err, directory.ErrSpent) {
		t.Errorf("of the address before: %v", err)
	}
	if s, err := w.VerifyEmail(t.Context(), w.link(directory.ForEmail, p.ID)); err != nil || !s.EmailVerified {
		t.Errorf("%+v, %v", s, err)
	}
}

func TestTheFirstAdministrator(t *testing.T) {
	w := newWorld(t)
	proof := directory.Proof{Password: anasPassword}
	before, _, err := w.NewSetupLink(t.Context())
	w.ok(err)
	raw, l, err := w.NewSetupLink(t.Context())
	w.ok(err)
	if l.Expires.Sub(w.now()) != 30*time.Minute {
		t.Errorf("good until %v", l.Expires)
	}
	if _, err := w.SetUp(t.Context(), before.Reveal(), "eve", "", proof); !errors.Is(err, directory.ErrSpent) {
		t.Errorf("the link of the start before: %v", err)
	}
	for name, err := range map[string]error{
		"a bad name":    func() error { _, err := w.SetUp(t.Context(), raw.Reveal(), "a b", "", proof); return err }(),
		"a bad address": func() error { _, err := w.SetUp(t.Context(), raw.Reveal(), "ana", "x", proof); return err }(),
		"a bad password": func() error {
			_, err := w.SetUp(t.Context(), raw.Reveal(), "ana", "", directory.Proof{Password: "ana"})
			return err
		}(),
	} {
		if !errors.Is(err, directory.ErrInvalid) && !errors.Is(err, directory.ErrPassword) {
			t.Errorf("%s: %v", name, err)
		}
	}
	s, err := w.SetUp(t.Context(), raw.Reveal(), "ana", "ana@example.com", proof)
	if err != nil || !s.Has(directory.RoleAdmin) || s.EmailVerified {
		t.Fatalf("%+v, %v", s, err)
	}
	if _, err := w.CheckPassword(t.Context(), "ana", anasPassword); err != nil {
		t.Error(err)
	}
	if _, err := w.SetUp(t.Context(), raw.Reveal(), "eve", "", proof); !errors.Is(err, directory.ErrSpent) {
		t.Errorf("again: %v", err)
	}
	if raw, _, err := w.NewSetupLink(t.Context()); err != nil || !raw.IsZero() {
		t.Errorf("a link although there is somebody: %v", err)
	}
}

func TestALinkForTheFirstAdministratorOpensNothingOnceThereIsSomebody(t *testing.T) {
	w := newWorld(t)
	raw, _, err := w.NewSetupLink(t.Context())
	w.ok(err)
	if _, _, err := w.Link(t.Context(), raw.Reveal(), directory.ForSetup); err != nil {
		t.Fatalf("while there is nobody: %v", err)
	}
	w.person("ana", "")
	if _, _, err := w.Link(t.Context(), raw.Reveal(), directory.ForSetup); !errors.Is(err, directory.ErrSpent) {
		t.Errorf("the form is shown for %v", err)
	}
}

func TestSomebodyInUseIsReadOnceAndNeverOld(t *testing.T) {
	w := newWorld(t)
	p := w.person("ana", "")
	first, err := w.Standing(t.Context(), p.ID)
	w.ok(err)
	if again, err := w.Standing(t.Context(), p.ID); err != nil || again != first {
		t.Errorf("read again: %v", err)
	}
	_, err = w.db.UpdateAccount(t.Context(), p.ID, func(a *directory.Account) error { a.Name = "anna"; return nil }, did("x"))
	w.ok(err)
	if s, err := w.Standing(t.Context(), p.ID); err != nil || s.Name != "anna" {
		t.Errorf("as before the change: %v, %v", s, err)
	}
	_, err = w.db.UpdateGroup(t.Context(), directory.Everyone, func(g *directory.Group, _ bool) error { g.Policy.MFA = directory.MFAAny; return nil }, did("x"))
	w.ok(err)
	if s, err := w.Standing(t.Context(), p.ID); err != nil || s.Policy.MFA != directory.MFAAny {
		t.Errorf("as before the change of the group: %v, %v", s, err)
	}
	w.ok(w.db.DeletePerson(t.Context(), p.ID, did("x")))
	if _, err := w.Standing(t.Context(), p.ID); !errors.Is(err, directory.ErrNotFound) {
		t.Errorf("somebody deleted: %v", err)
	}
	if s, err := w.Find(t.Context(), "ANNA"); !errors.Is(err, directory.ErrNotFound) {
		t.Errorf("%v, %v", s, err)
	}
}

func TestThePeopleInMemoryAreBounded(t *testing.T) {
	w := newWorld(t)
	small := directory.New(directory.Options{Store: w.db, Master: w.Master, Hasher: w.Hasher, Now: w.now, Capacity: 4})
	for i := range 20 {
		p := w.person("p"+strings.Repeat("x", i), "")
		_, err := small.Standing(t.Context(), p.ID)
		w.ok(err)
		if _, err := small.Standing(t.Context(), "pe_made_up"); !errors.Is(err, directory.ErrNotFound) {
			t.Fatal(err)
		}
		if small.Held() > 4 {
			t.Fatalf("holds %d", small.Held())
		}
	}
}

func TestSecretsOfPeopleAreInNoLog(t *testing.T) {
	w := newWorld(t)
	p := w.person("ana", anasPassword)
	w.totp(p.ID)
	a, err := w.Account(t.Context(), p.ID)
	w.ok(err)
	var b bytes.Buffer
	slog.New(slog.NewJSONHandler(&b, nil)).Info("account", "account", a, "hash", a.Password)
	slog.New(slog.NewTextHandler(&b, nil)).Info("account", "account", a, "hash", a.Password)
	if strings.Contains(b.String(), "argon2id") {
		t.Errorf("logged: %s", &b)
	}
}
