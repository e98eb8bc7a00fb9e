package signin_test

import (
	"net/http"
	"testing"

	"github.com/offkey/offkey/internal/directory"
)

func TestAnAddressIsConfirmedFromTheAccountPage(t *testing.T) {
	w := newWorld(t)
	w.person("ana", anasPassword)
	b := w.signedIn("ana")
	_, form := b.get("/account").form("/account/address/verify")
	b.get("/account").at("/account", "not confirmed").send(`id="verify-address"`).at("/account/address/verify", `id="address-sent"`)
	sent := w.mail.sent()
	if len(sent) != 1 || sent[0].to != "ana@example.com" || sent[0].purpose != directory.ForEmail {
		t.Fatalf("got %+v", sent)
	}
	b.get(sent[0].path).send(`name="token"`).at("/verify", "confirmed")
	b.get("/account").never("not confirmed", `id="verify-address"`)
	b.post("/account/address/verify", form).at("/account")
	if sent := w.mail.sent(); len(sent) != 0 {
		t.Errorf("got %+v", sent)
	}
	t.Run("not more often than that", func(t *testing.T) {
		for range 4 {
			b.get("/account/address").send(`id="address-submit"`, "email", "next@example.com").is(http.StatusOK)
		}
		b.get("/account/address").send(`id="address-submit"`, "email", "next@example.com").is(http.StatusTooManyRequests)
	})
}

func TestAnotherAddressIsTakenOnceItIsProved(t *testing.T) {
	w := newWorld(t)
	ana := w.person("ana", anasPassword)
	w.person("ben", anasPassword)
	b := w.signedIn("ana")
	email := func() string {
		t.Helper()
		person, err := w.people.Standing(t.Context(), ana.ID)
		w.ok(err)
		return person.Email
	}
	ask := func(email string) page {
		t.Helper()
		return b.get("/account/address").at("/account/address").send(`id="address-submit"`, "email", email)
	}
	ask("no address").is(http.StatusBadRequest).at("/account/address", `id="email-error"`)
	ask("ana@example.com").is(http.StatusBadRequest)
	taken := ask("ben@example.com").is(http.StatusOK)
	if sent := w.mail.sent(); len(sent) != 0 {
		t.Errorf("sent to somebody else: %+v", sent)
	}
	p := ask("ana@elsewhere.example").is(http.StatusOK)
	if len(p.body)-len("ana@elsewhere.example") != len(taken.body)-len("ben@example.com") {
		t.Error("the page tells who has an address")
	}
	sent := w.mail.sent()
	if len(sent) != 1 || sent[0].to != "ana@elsewhere.example" {
		t.Fatalf("got %+v", sent)
	}
	if got := email(); got != "ana@example.com" {
		t.Fatalf("it is %s before it is proved", got)
	}
	t.Run("by nobody else: it may have been mistyped", func(t *testing.T) {
		w.browser().get(sent[0].path).at("/address", "Sign in as ana").never(`id="address-confirm"`)
		bens := w.signedIn("ben")
		bens.get(sent[0].path).at("/address").never(`id="address-confirm"`)
		action, form := b.get(sent[0].path).form(`id="address-confirm"`)
		bens.post(action, form).is(http.StatusBadRequest)
		if got := email(); got != "ana@example.com" {
			t.Errorf("it is %s", got)
		}
	})
	b.get(sent[0].path).send(`id="address-confirm"`).at("/address", "confirmed")
	if got := email(); got != "ana@elsewhere.example" {
		t.Errorf("it is %s", got)
	}
	b.get(sent[0].path).is(http.StatusBadRequest)
	t.Run("not where it was taken meanwhile", func(t *testing.T) {
		ask("third@example.com")
		sent := w.mail.sent()
		w.person("third", "")
		b.get(sent[0].path).send(`id="address-confirm"`).is(http.StatusConflict).at("/address", "another account")
	})
}

func TestTheAddressOfOthersIsNotChangedHere(t *testing.T) {
	for name, source := range map[string]string{"declared in the file": directory.SourceFile, "of a provider": "example"} {
		w := newWorld(t)
		w.person("ana", anasPassword, func(a *directory.Account) { a.Source = source })
		b := w.signedIn("ana")
		b.get("/account").never(`id="change-address"`)
		if p := b.get("/account/address").send(`id="address-submit"`, "email", "next@example.com").is(http.StatusForbidden); len(w.mail.sent()) != 0 {
			t.Errorf("%s: %s", name, p.body)
		}
	}
}

func TestTheFirstAddressIsToBeConfirmed(t *testing.T) {
	w := newWorld(t)
	raw, _, err := w.people.NewSetupLink(t.Context())
	w.ok(err)
	w.browser().get("/setup?token="+raw.Reveal()).send(`name="token"`, "username", "root", "email", "root@example.com", "password", anasPassword, "repeat", anasPassword).at("/signin")
	if sent := w.mail.sent(); len(sent) != 1 || sent[0].to != "root@example.com" || sent[0].purpose != directory.ForEmail {
		t.Errorf("got %+v", sent)
	}
}
