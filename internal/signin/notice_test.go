package signin_test

import (
	"net/http"
	"slices"
	"testing"
)

func TestPeopleAreToldOfANewBrowserAndOfWhatChanges(t *testing.T) {
	w := newWorld(t)
	ana := w.person("ana", anasPassword)
	told := func(want ...string) {
		t.Helper()
		if got := w.mail.told(); !slices.Equal(got, want) {
			t.Errorf("told %q, want %q", got, want)
		}
	}
	w.mail.told() // her first password
	b := w.browser()
	b.header.Set("User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0")
	b.header.Set("Accept-Language", "de")
	b.get("/account").login("ana", anasPassword).at("/account")
	if n := w.mail.notices; len(n) != 1 || n[0].Program != "Firefox, Linux" || n[0].Network != "198.51.100.7" || n[0].Language != "de" || !n[0].At.Equal(w.now()) {
		t.Errorf("told %+v", n)
	}
	told("ana: new_browser")
	t.Run("not again in the same browser, nor of a wrong password", func(t *testing.T) {
		b.get("/signout").send(`id="logout-confirm"`, "decision", "yes")
		b.get("/account").login("ana", "a wrong password").is(http.StatusUnauthorized)
		b.get("/account").login("ana", anasPassword).at("/account")
		told()
	})
	app := w.withApp(ana)
	told("ana: totp_set")
	codes, err := w.people.NewRecoveryCodes(t.Context(), ana.ID)
	w.ok(err)
	told("ana: recovery_made")
	other := w.browser()
	p := other.get("/account").login("ana", anasPassword)
	t.Run("that somebody has the password, and not the second factor", func(t *testing.T) {
		for range 5 {
			p = p.send(`id="otp"`, "otp", "000000")
		}
		told("ana: second_not_reached")
	})
	t.Run("of a recovery code, and the browser that it opened", func(t *testing.T) {
		w.advance(20 * 60e9)
		other.get("/account").login("ana", anasPassword).send(`id="recovery"`, "recovery", codes[0]).at("/account")
		told("ana: recovery_used", "ana: new_browser")
	})
	t.Run("not of a code of the app", func(t *testing.T) {
		other.get("/signout").send(`id="logout-confirm"`, "decision", "yes")
		other.get("/account").login("ana", anasPassword).send(`id="otp"`, "otp", codeOf(t, app, w.now())).at("/account")
		told()
	})
	other.get("/account").send("/account/app/remove").at("/account")
	told("ana: totp_removed")
}
