package signin_test

import (
	"context"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/offkey/offkey/internal/audit"
	"github.com/offkey/offkey/internal/directory"
	"github.com/offkey/offkey/internal/oauth"
	"github.com/offkey/offkey/internal/session"
	"github.com/offkey/offkey/internal/token"
)

// signedIn is a browser in which somebody is.
func (w *world) signedIn(name string) *browser {
	w.t.Helper()
	b := w.browser()
	b.get("/account").at("/signin").login(name, anasPassword).at("/account", name)
	return b
}

func TestSessionsOnTheAccountPage(t *testing.T) {
	w := newWorld(t)
	ana := w.person("ana", anasPassword)
	w.person("ben", anasPassword)
	b, other := w.signedIn("ana"), w.browser()
	other.header.Set("User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0")
	other.get("/account").login("ana", anasPassword)
	p := b.get("/account").at("/account", "Firefox, Linux", "this browser", "Sign out there", "Sign out everywhere else")
	_, form := p.form(`name="session"`)
	t.Run("of somebody else is not ended", func(t *testing.T) {
		w.signedIn("ben")
		bens := w.signedIn("ben")
		_, own := bens.get("/account").form(`/account/`)
		own.Set("session", form.Get("session"))
		bens.post("/account/sessions/end", own)
		other.get("/account").at("/account")
	})
	t.Run("ended elsewhere, its tokens are revoked", func(t *testing.T) {
		p.send(`name="session"`).at("/account").never("Firefox")
		other.get("/account").at("/signin")
		if !w.revoked(token.Claims{Login: token.Login{Session: form.Get("session")}}) {
			t.Error("not revoked")
		}
	})
	t.Run("all but this one", func(t *testing.T) {
		for range 2 {
			w.signedIn("ana")
		}
		b.get("/account").send("Sign out everywhere else").at("/account").never("Sign out there")
		list, err := w.db.SessionsOf(t.Context(), ana.ID, w.now())
		w.ok(err)
		if len(list) != 1 {
			t.Errorf("%d sessions", len(list))
		}
	})
}

func TestWhatWasAllowedIsTakenBack(t *testing.T) {
	w := newWorld(t)
	ana := w.person("ana", anasPassword)
	b := w.signedIn("ana")
	b.get("/account").at("/account", "You have allowed nothing yet")
	b.authorize(asks()).at("/consent").send(`id="consent-allow"`, "decision", "allow")
	issued := token.Claims{ClientID: "shop", Login: token.Login{PersonID: ana.ID}, IssuedAt: w.now().Truncate(time.Second)}
	b.get("/account").at("/account", "Shop &amp; Sons", "see your email address").send(`name="client"`).at("/account", "You have allowed nothing yet")
	if !w.revoked(issued) {
		t.Error("what was issued is not revoked")
	}
	b.authorize(asks()).at("/consent")
}

func TestChangesOfTheAccountWantARecentSignIn(t *testing.T) {
	w := newWorld(t)
	ana := w.person("ana", anasPassword)
	b := w.signedIn("ana")
	w.withApp(ana)
	_, form := b.get("/account").form(`/account/`)
	w.advance(10 * time.Minute)
	for _, path := range []string{"/account/password", "/account/app", "/account/passkeys"} {
		b.get(path).at("/signin", "Sign in again")
	}
	for _, path := range []string{"/account/app/remove", "/account/recovery", "/account/passkeys/remove", "/account/password"} {
		b.post(path, form).at("/signin", "Sign in again")
	}
	account, err := w.people.Account(t.Context(), ana.ID)
	w.ok(err)
	if account.TOTP.IsZero() || len(account.Recovery) != 0 {
		t.Error("something was changed")
	}
}

func TestChangingThePassword(t *testing.T) {
	w := newWorld(t)
	w.person("ana", anasPassword)
	b, other := w.signedIn("ana"), w.signedIn("ana")
	const next = "seven lamps along the quay"
	change := func(old, new, again string) page {
		t.Helper()
		return b.get("/account/password").at("/account/password").send(`id="old"`, "old", old, "password", new, "repeat", again)
	}
	for _, tc := range []struct{ name, old, new, again, says string }{
		{"the old one is wrong", "something else", next, next, `id="old-error"`},
		{"the two differ", anasPassword, next, next + "x", `id="repeat-error"`},
		{"there is none", anasPassword, "", "", `id="password-error"`},
		{"it is too short", anasPassword, "short", "short", `id="password-error"`},
		{"it is guessed first", anasPassword, "password123", "password123", `id="password-error"`},
	} {
		change(tc.old, tc.new, tc.again).is(http.StatusBadRequest).at("/account/password", tc.says).never(next)
	}
	change(anasPassword, next, next).at("/signin")
	other.get("/account").at("/signin")
	other.get("/account").login("ana", anasPassword).is(http.StatusUnauthorized)
	other.get("/account").login("ana", next).at("/account")
}

func TestAuthenticatorAppAndRecoveryCodes(t *testing.T) {
	w := newWorld(t)
	ana := w.person("ana", anasPassword)
	b := w.signedIn("ana")
	p := b.get("/account/app").at("/account/app", "<svg")
	found := regexp.MustCompile(`id="totp-secret">([A-Z2-7 ]+)<`).FindStringSubmatch(p.body)
	if found == nil {
		t.Fatal("no secret")
	}
	p.send(`id="otp"`, "otp", "000000").is(http.StatusBadRequest).at("/account/app", `id="otp-error"`)
	p.send(`id="otp"`, "otp", codeOf(t, found[1], w.now()), "sealed", "AAAA").is(http.StatusBadRequest)
	p = p.send(`id="otp"`, "otp", codeOf(t, found[1], w.now())).at("/account/app", "Your recovery codes")
	codes := regexp.MustCompile(`<li>([0-9a-z]{4}-[0-9a-z]{4}-[0-9a-z]{4})</li>`).FindAllStringSubmatch(p.body, -1)
	if len(codes) != directory.RecoveryCodes {
		t.Fatalf("%d codes in %s", len(codes), p.body)
	}
	b.get("/account").at("/account", "10 left").never(codes[0][1])
	w.browser().authorize(asks()).login("ana", anasPassword).send(`id="recovery"`, "recovery", codes[0][1]).at("/consent")
	p = b.get("/account").at("/account", "9 left").send("Make new ones").at("/account/recovery")
	p.never(codes[1][1])
	w.browser().authorize(asks()).login("ana", anasPassword).send(`id="recovery"`, "recovery", codes[1][1]).is(http.StatusUnauthorized)
	b.get("/account").send("/account/app/remove").at("/account").never("9 left")
	account, err := w.people.Account(t.Context(), ana.ID)
	w.ok(err)
	if !account.TOTP.IsZero() {
		t.Error("the app is still there")
	}
}

func TestLinks(t *testing.T) {
	const chosen = "seven lamps along the quay"
	w := newWorld(t)
	t.Run("set-up makes the first administrator, once", func(t *testing.T) {
		raw, _, err := w.people.NewSetupLink(t.Context())
		w.ok(err)
		path := "/setup?token=" + raw.Reveal()
		b := w.browser()
		b.get("/setup?token=offkey_li_nothing").is(http.StatusBadRequest).at("/setup", `id="error-page"`)
		for range 2 { // looking spends nothing
			b.get(path).at("/setup", "administrator")
		}
		p := b.get(path)
		p.send(`name="token"`, "username", "a b", "password", chosen, "repeat", chosen).is(http.StatusBadRequest).at("/setup", `id="username-error"`)
		p.send(`name="token"`, "username", "root", "password", "short", "repeat", "short").is(http.StatusBadRequest).at("/setup", `id="password-error"`, `value="root"`)
		p.send(`name="token"`, "username", "root", "email", "root@example.com", "password", chosen, "repeat", chosen).at("/signin").login("root", chosen).at("/account", "root@example.com")
		person, err := w.people.Find(t.Context(), "root")
		w.ok(err)
		if !person.Has(directory.RoleAdmin) {
			t.Errorf("got %+v", person)
		}
		p.send(`name="token"`, "username", "second", "password", chosen, "repeat", chosen).is(http.StatusBadRequest)
		if _, err := w.people.Find(t.Context(), "second"); err == nil {
			t.Error("there is a second one")
		}
	})
	t.Run("an invitation sets the password, once and in time", func(t *testing.T) {
		dan := w.person("dan", "", func(a *directory.Account) { a.Status = directory.Invited })
		raw, _, err := w.people.NewLink(t.Context(), directory.ForInvite, dan.ID, did)
		w.ok(err)
		b := w.browser()
		b.get("/reset?token=" + raw.Reveal()).is(http.StatusBadRequest) // it opens nothing else
		p := b.get("/invite?token="+raw.Reveal()).at("/invite", "dan")
		_, form := p.form(`name="token"`)
		form.Set("password", chosen)
		form.Set("repeat", chosen)
		form.Del("csrf")
		b.post("/invite", form).is(http.StatusBadRequest)
		p.send(`name="token"`, "password", chosen, "repeat", chosen).at("/signin").login("dan", chosen).at("/account")
		p.send(`name="token"`, "password", chosen, "repeat", chosen).is(http.StatusBadRequest)
	})
	t.Run("a reset ends what was there, and not the second factor", func(t *testing.T) {
		ana := w.person("ana", anasPassword)
		app := w.withApp(ana)
		b := w.browser()
		b.get("/account").login("ana", anasPassword).send(`id="otp"`, "otp", codeOf(t, app, w.now())).at("/account")
		raw, _, err := w.people.NewLink(t.Context(), directory.ForReset, ana.ID, did)
		w.ok(err)
		other := w.browser()
		other.get("/reset?token="+raw.Reveal()).at("/reset", "ana").send(`name="token"`, "password", chosen, "repeat", chosen).at("/signin")
		b.get("/account").at("/signin")
		other.get("/account").login("ana", chosen).at("/signin/second")
	})
	t.Run("an address is confirmed", func(t *testing.T) {
		eve := w.person("eve", anasPassword)
		raw, _, err := w.people.NewLink(t.Context(), directory.ForEmail, eve.ID, did)
		w.ok(err)
		b := w.browser()
		b.get("/verify?token="+raw.Reveal()).at("/verify", "eve@example.com")
		if s, err := w.people.Standing(t.Context(), eve.ID); err != nil || s.EmailVerified {
			t.Errorf("verified by looking: %+v, %v", s, err)
		}
		b.get("/verify?token="+raw.Reveal()).send(`name="token"`).at("/verify", "confirmed")
		if s, err := w.people.Standing(t.Context(), eve.ID); err != nil || !s.EmailVerified {
			t.Errorf("not verified: %+v, %v", s, err)
		}
		b.get("/verify?token=" + raw.Reveal()).is(http.StatusBadRequest)
	})
	t.Run("no link is in the log or the audit", func(t *testing.T) {
		entries, err := w.db.AuditEntries(t.Context(), 0, 1000)
		w.ok(err)
		for _, e := range entries {
			if strings.Contains(string(e.Detail), "offkey_li") {
				t.Errorf("%s holds a link", e.Action)
			}
		}
		if strings.Contains(w.log.String(), "offkey_li") {
			t.Error("the log holds a link")
		}
	})
}

func TestADisabledPersonIsOutAtOnce(t *testing.T) {
	w := newWorld(t)
	ana := w.person("ana", anasPassword)
	b := w.signedIn("ana")
	b.authorize(asks()).send(`id="consent-allow"`, "decision", "allow")
	_, err := w.db.UpdateAccount(context.Background(), ana.ID, func(a *directory.Account) error { a.Status = directory.Disabled; return nil }, audit.Event{Actor: "os:0", Action: "person.disabled"})
	w.ok(err)
	b.get("/account").at("/signin")
	b.authorize(asks(func(q *session.Request) { q.Demand.Prompt, q.Ask.Scope = []string{"none"}, oauth.Scope{"openid"} })).at("/authorize")
	if e := w.answers["at once"].Error; e != "login_required" {
		t.Errorf("got %q", e)
	}
}
