package signin_test

import (
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/offkey/offkey/internal/directory"
)

// forgets asks for another password for that name.
func (b *browser) forgets(name string) page {
	b.w.t.Helper()
	return b.get("/forgot").at("/forgot").send(`id="forgot-submit"`, "username", name)
}

func TestAForgottenPasswordIsChosenAnewByMail(t *testing.T) {
	w := newWorld(t)
	ana := w.person("ana", anasPassword)
	b := w.browser()
	b.get("/signin").at("/signin", `href="/forgot"`)
	b.header.Set("Accept-Language", "de")
	b.forgets("").is(http.StatusBadRequest).at("/forgot", `id="username-error"`)
	b.forgets("ana").is(http.StatusOK).at("/forgot", `id="forgot-done"`, "unterwegs")
	b.header.Del("Accept-Language")
	sent := w.mail.sent()
	if len(sent) != 1 || sent[0].to != "ana@example.com" || sent[0].purpose != directory.ForReset || sent[0].language != "de" {
		t.Fatalf("got %+v", sent)
	}
	w.browser().get("/account").login("ana", anasPassword).at("/account") // until then the old one opens
	const chosen = "seven lamps along the quay"
	b.get(sent[0].path).at("/reset", "ana").send(`name="token"`, "password", chosen, "repeat", chosen).at("/signin").login("ana", chosen).at("/account")
	b.get(sent[0].path).is(http.StatusBadRequest)
	if account, err := w.people.Account(t.Context(), ana.ID); err != nil || !account.EmailVerified {
		t.Errorf("whoever opened it has read the mail: %+v, %v", account.Person, err)
	}
	t.Run("the address will do as a name", func(t *testing.T) {
		w.advance(time.Hour)
		b.forgets("Ana@Example.com")
		if sent := w.mail.sent(); len(sent) != 1 {
			t.Errorf("got %+v", sent)
		}
	})
	t.Run("a link is not good for an address that is not the person's any more", func(t *testing.T) {
		w.advance(time.Hour)
		b.forgets("ana")
		sent := w.mail.sent()
		_, err := w.db.UpdateAccount(t.Context(), ana.ID, func(a *directory.Account) error { a.Email = "ana@elsewhere.example"; return nil }, did)
		w.ok(err)
		const next = "nine bells over the water"
		b.get(sent[0].path).send(`name="token"`, "password", next, "repeat", next).is(http.StatusBadRequest)
	})
	t.Run("a form of another site asks for nothing", func(t *testing.T) {
		action, form := b.get("/forgot").form(`id="forgot-submit"`)
		form.Set("username", "ana")
		form.Set("csrf", "of another")
		b.post(action, form).is(http.StatusBadRequest)
		if sent := w.mail.sent(); len(sent) != 0 {
			t.Errorf("got %+v", sent)
		}
	})
}

// everyKind makes one account of each kind that is sent nothing.
func everyKind(w *world) (nothing []string) {
	w.group("shut", func(g *directory.Group) { g.Policy.Interactive = directory.Forbid })
	for name, change := range map[string]func(*directory.Account){
		"off":      func(a *directory.Account) { a.Status = directory.Disabled },
		"declared": func(a *directory.Account) { a.PasswordMark, a.Source = "file", directory.SourceFile },
		"nomail":   func(a *directory.Account) { a.Email = "" },
		"shut":     func(a *directory.Account) { a.Groups = append(a.Groups, "shut") },
		"root":     func(a *directory.Account) { a.Groups = append(a.Groups, directory.Admins) }, // at an address that is not proved
		"upstream": func(a *directory.Account) { a.Source, a.EmailVerified = "example", true },
	} {
		w.person(name, "", change)
		nothing = append(nothing, name)
	}
	return append(nothing, "nobody-at-all")
}

func TestNobodyLearnsWhoseForgottenPasswordWasSentFor(t *testing.T) {
	w := newWorld(t)
	w.person("ana", anasPassword)
	ask := func(name string) page {
		b := w.browser()
		b.forgets("ana") // so that the browser has its cookie
		return b.forgets(name)
	}
	nothing := everyKind(w)
	want := ask("ana").is(http.StatusOK)
	w.mail.sent()
	for _, name := range nothing {
		w.source = netip.AddrFrom4([4]byte{203, 0, 113, byte(len(name))})
		got := ask(name).is(http.StatusOK)
		if plain(got) != plain(want) || fmt.Sprint(got.header) != fmt.Sprint(want.header) {
			t.Errorf("%s gets\n%v\n%s\nand ana\n%v\n%s", name, got.header, plain(got), want.header, plain(want))
		}
	}
	for _, l := range w.mail.sent() {
		if slices.Contains(nothing, l.person) {
			t.Errorf("a link was sent for %+v", l)
		}
	}
}

// Nothing that depends on the name is done before the answer: for a name that
// somebody has there is a link to be made and a message to be written, which
// takes many times as long as the answer.
func TestAForgottenPasswordTakesAsLongForNobody(t *testing.T) {
	w := newWorld(t)
	const each = 40
	for i := range each {
		w.person(fmt.Sprint("ana", i), "")
	}
	took := map[string][]time.Duration{}
	p := w.browser().get("/forgot")
	for i := range each {
		w.source = netip.AddrFrom4([4]byte{203, 0, 113, byte(i)})
		for _, name := range []string{"ana", "bob"} {
			at := time.Now()
			p.send(`id="forgot-submit"`, "username", fmt.Sprint(name, i)).is(http.StatusOK)
			took[name] = append(took[name], time.Since(at))
		}
	}
	if sent := w.mail.sent(); len(sent) != each {
		t.Fatalf("%d were sent", len(sent))
	}
	middle := func(name string) time.Duration { return slices.Sorted(slices.Values(took[name]))[each/2] }
	ana, bob := middle("ana"), middle("bob")
	t.Logf("somebody %s, nobody %s", ana, bob)
	if ana > 2*bob+time.Millisecond || bob > 2*ana+time.Millisecond {
		t.Errorf("somebody takes %s, nobody %s", ana, bob)
	}
}

func TestAskingForPasswordsIsLimitedAndSpoilsNobodysLink(t *testing.T) {
	w := newWorld(t)
	w.person("ana", anasPassword)
	anas := w.signedIn("ana")
	w.mail.sent()
	asks := func(b *browser, n int) (sent []sentLink) {
		for i := range n {
			w.source = netip.AddrFrom4([4]byte{198, 51, 100, byte(100 + i)})
			b.forgets("ana").is(http.StatusOK)
		}
		return w.mail.sent()
	}
	sent := asks(w.browser(), 50)
	if len(sent) != 3 {
		t.Fatalf("%d messages, want 3", len(sent))
	}
	t.Run("the newest link stays good, and later there is another", func(t *testing.T) {
		anas.get(sent[2].path).is(http.StatusOK).at("/reset")
		w.advance(31 * time.Minute)
		anas.get(sent[2].path).is(http.StatusOK).at("/reset")
		if sent = asks(w.browser(), 50); len(sent) != 1 {
			t.Errorf("%d messages, want 1", len(sent))
		}
	})
	t.Run("who asks where they have signed in is sent one all the same", func(t *testing.T) {
		if sent := asks(anas, 1); len(sent) != 1 {
			t.Errorf("%d messages, want 1", len(sent))
		}
	})
	t.Run("one network asks so often", func(t *testing.T) {
		w.source = netip.MustParseAddr("192.0.2.9")
		b := w.browser()
		for i := range 20 {
			b.forgets(fmt.Sprint("nobody", i)).is(http.StatusOK)
		}
		if p := b.forgets("nobody").is(http.StatusTooManyRequests); p.header.Get("Retry-After") == "" {
			t.Error("no Retry-After")
		}
	})
	t.Run("and all networks together", func(t *testing.T) {
		for i := range 120 {
			w.person(fmt.Sprint("p", i), "")
		}
		b := w.browser()
		for i := range 120 {
			w.source = netip.AddrFrom4([4]byte{100, 64, 0, byte(i)})
			b.forgets(fmt.Sprint("p", i)).is(http.StatusOK)
		}
		if sent := w.mail.sent(); len(sent) > 105 || len(sent) < 90 {
			t.Errorf("%d messages, want a hundred", len(sent))
		}
	})
}
