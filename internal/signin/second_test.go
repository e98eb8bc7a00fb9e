package signin_test

import (
	"context"
	"encoding/base32"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/offkey/offkey/internal/directory"
	"github.com/offkey/offkey/internal/session"
	"github.com/offkey/offkey/test/farside"
)

// codeOf is what an authenticator app shows for a secret in base32 (RFC 6238).
func codeOf(t testing.TB, text string, at time.Time) string {
	t.Helper()
	key, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(strings.ReplaceAll(text, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return farside.CodeOf(key, at)
}

// withApp gives somebody an authenticator app, and returns its secret.
func (w *world) withApp(p *directory.Person) string {
	w.t.Helper()
	key := directory.NewTOTPSecret()
	text := directory.TOTPText(key)
	w.ok(w.people.SetTOTP(context.Background(), p.ID, w.people.SealTOTP(p.ID, key), codeOf(w.t, text, w.now())))
	w.advance(time.Minute)
	return text
}

func TestSecondFactor(t *testing.T) {
	w := newWorld(t)
	ana := w.person("ana", anasPassword)
	app := w.withApp(ana)
	b := w.browser()
	p := b.authorize(asks()).login("ana", anasPassword).at("/signin/second", `id="otp"`, "ana")
	if b.cookie("__Host-offkey") != "" {
		t.Fatal("signed in by one of two factors")
	}
	t.Run("cannot be passed by", func(t *testing.T) {
		_, form := p.form(`id="otp"`)
		for _, path := range []string{"/consent", "/signin", "/signin/enrol", "/signin/choose"} {
			b.get(path + "?r=" + form.Get("r")).at("/signin/second")
		}
		b.get("/account").at("/signin")
	})
	t.Run("wrong", func(t *testing.T) {
		p.send(`id="otp"`, "otp", "000000").is(http.StatusUnauthorized).at("/signin/second", "not right", `aria-invalid="true"`, `id="otp-error"`)
	})
	code := codeOf(t, app, w.now())
	p.send(`id="otp"`, "otp", code[:3]+" "+code[3:]).at("/consent").send(`id="consent-allow"`, "decision", "allow")
	a := w.answer()
	if a.Login.ACR != session.ACRMFA || strings.Join(a.Login.AMR, " ") != "pwd otp mfa" {
		t.Errorf("got %+v", a.Login)
	}
	t.Run("a code is taken once", func(t *testing.T) {
		p := w.browser().authorize(asks()).login("ana", anasPassword).send(`id="otp"`, "otp", code)
		p.is(http.StatusUnauthorized).at("/signin/second")
	})
	t.Run("five wrong ones ask for the password again", func(t *testing.T) {
		p := w.browser().authorize(asks()).login("ana", anasPassword)
		for range 4 {
			p = p.send(`id="otp"`, "otp", "000000").is(http.StatusUnauthorized).at("/signin/second")
		}
		p.send(`id="otp"`, "otp", "000000").at("/signin/second", "Too many wrong codes", `id="password"`)
	})
	t.Run("guesses are bounded for all browsers together, and the owner's known one has its own", func(t *testing.T) {
		w.advance(time.Hour)
		for range 2 {
			p := w.browser().authorize(asks()).login("ana", anasPassword)
			for range 5 {
				p = p.send(`id="otp"`, "otp", "000000")
			}
		}
		p := w.browser().authorize(asks()).login("ana", anasPassword).at("/signin/second")
		if p = p.send(`id="otp"`, "otp", codeOf(t, app, w.now())).is(http.StatusTooManyRequests); p.header.Get("Retry-After") == "" {
			t.Error("no Retry-After")
		}
		b.authorize(asks(func(q *session.Request) { q.Demand.Prompt = []string{"login"} })).login("ana", anasPassword).
			send(`id="otp"`, "otp", codeOf(t, app, w.now())).at("/authorize/answer")
	})
}

func TestRecoveryCodeSignsInOnce(t *testing.T) {
	w := newWorld(t)
	ana := w.person("ana", anasPassword)
	w.withApp(ana)
	codes, err := w.people.NewRecoveryCodes(t.Context(), ana.ID)
	w.ok(err)
	p := w.browser().authorize(asks()).login("ana", anasPassword)
	p.send(`id="recovery"`, "recovery", "0000-0000-0000").is(http.StatusUnauthorized).at("/signin/second", `id="recovery-error"`)
	p.send(`id="recovery"`, "recovery", strings.ToUpper(codes[0])).at("/consent")
	p = w.browser().authorize(asks()).login("ana", anasPassword)
	p.send(`id="recovery"`, "recovery", codes[0]).is(http.StatusUnauthorized)
}

func TestPolicyDecidesHowStrongly(t *testing.T) {
	secretText := regexp.MustCompile(`id="totp-secret">([A-Z2-7 ]+)<`)
	w := newWorld(t)
	w.person("ana", anasPassword)
	w.group("buyers", func(g *directory.Group) { g.Policy.MFA = directory.MFAAny })
	b := w.browser()
	p := b.authorize(asks()).login("ana", anasPassword).at("/signin/enrol", "second factor", "<svg")
	found := secretText.FindStringSubmatch(p.body)
	if found == nil {
		t.Fatalf("no secret in %s", p.body)
	}
	if b.cookie("__Host-offkey") != "" {
		t.Fatal("signed in without the second factor")
	}
	p.send(`id="totp-secret"`, "otp", "000000").is(http.StatusBadRequest).at("/signin/enrol", `id="otp-error"`)
	p.send(`id="totp-secret"`, "otp", codeOf(t, found[1], w.now())).at("/consent").send(`id="consent-allow"`, "decision", "allow")
	if a := w.answer(); a.Login.ACR != session.ACRMFA {
		t.Errorf("got %+v", a.Login)
	}
	t.Run("a session of before is asked for the rest alone", func(t *testing.T) {
		w := newWorld(t)
		ana := w.person("ana", anasPassword)
		b := w.browser()
		b.authorize(asks()).login("ana", anasPassword).send(`id="consent-allow"`, "decision", "allow")
		app := w.withApp(ana)
		w.group("buyers", func(g *directory.Group) { g.Policy.MFA = directory.MFAAny })
		b.authorize(asks()).at("/signin/second").send(`id="otp"`, "otp", codeOf(t, app, w.now())).at("/authorize/answer")
	})
	t.Run("forbidden interactive sign-in", func(t *testing.T) {
		w := newWorld(t)
		w.person("ana", anasPassword)
		b := w.browser()
		b.authorize(asks()).login("ana", anasPassword).at("/consent")
		w.group("buyers", func(g *directory.Group) { g.Policy.Interactive = directory.Forbid })
		b.authorize(asks()).at("/signin").login("ana", anasPassword).is(http.StatusForbidden).at("/signin", "may not sign in")
		b.get("/account").at("/signin")
	})
	t.Run("idle and whole life", func(t *testing.T) {
		w := newWorld(t)
		w.person("ana", anasPassword)
		w.group("buyers", func(g *directory.Group) {
			g.Policy.SessionIdle, g.Policy.SessionMax = directory.Span(10*time.Minute), directory.Span(30*time.Minute)
		})
		b := w.browser()
		b.authorize(asks()).login("ana", anasPassword).send(`id="consent-allow"`, "decision", "allow")
		for range 3 {
			w.advance(9 * time.Minute)
			b.authorize(asks()).at("/authorize")
		}
		w.advance(4 * time.Minute)
		b.authorize(asks()).at("/signin").login("ana", anasPassword)
		w.advance(11 * time.Minute)
		b.authorize(asks()).at("/signin")
	})
}

func TestClassesThatAreAskedFor(t *testing.T) {
	w := newWorld(t)
	ana := w.person("ana", anasPassword)
	b := w.browser()
	b.authorize(asks()).login("ana", anasPassword).send(`id="consent-allow"`, "decision", "allow")
	want := func(essential bool, values ...string) session.Request {
		return asks(func(q *session.Request) { q.Demand.ACRValues, q.Demand.Essential = values, essential })
	}
	b.authorize(want(false, "urn:of:nobody", session.ACRPasskey)).at("/authorize", "answered at once")
	b.authorize(want(false, session.ACRMFA, session.ACRPassword)).at("/authorize", "answered at once") // as strong as can be
	b.authorize(want(true, session.ACRMFA)).at("/signin/enrol")                                        // what is missing can be set up
	app := w.withApp(ana)
	b.authorize(want(false, session.ACRMFA)).at("/signin/second").send(`id="otp"`, "otp", codeOf(t, app, w.now())).at("/authorize/answer")
	if a := w.answer(); a.Login.ACR != session.ACRMFA {
		t.Errorf("got %+v", a.Login)
	}
	b.authorize(want(true, session.ACRPassword)).at("/authorize", "answered at once")
	t.Run("one that cannot be reached goes back as such", func(t *testing.T) {
		p := b.authorize(want(true, "urn:of:nobody")).at("/signin/refused").is(http.StatusForbidden)
		p.send("/signin/refused").at("/authorize/answer")
		if a := w.answer(); a.Error != "unmet_authentication_requirements" {
			t.Errorf("got %+v", a)
		}
	})
}

func TestTheQRCodeHoldsWhatAppsRead(t *testing.T) {
	w := newWorld(t)
	w.person("ana", anasPassword)
	b := w.browser()
	b.get("/signin").at("/signin").login("ana", anasPassword).at("/account")
	p := b.get("/account/app").at("/account/app", `viewBox="0 0`, `id="totp-secret"`)
	p.never("otpauth:", "<img")
	_, form := p.form(`id="totp-secret"`)
	if len(form.Get("sealed")) < 60 {
		t.Errorf("sealed is %q", form.Get("sealed"))
	}
}
