package signin_test

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/offkey/offkey/internal/directory"
	"github.com/offkey/offkey/internal/oauth"
	"github.com/offkey/offkey/internal/session"
	"github.com/offkey/offkey/internal/signin"
)

func TestWhoHasASecondFactorProvesItBeforeAddingAnother(t *testing.T) {
	w := newWorld(t)
	ana := w.person("ana", anasPassword)
	app := w.withApp(ana)
	w.group("buyers", func(g *directory.Group) { g.Policy.MFA = directory.MFAPasskey })
	a := newAuthenticator(t)
	b := w.browser()
	p := b.authorize(asks()).login("ana", anasPassword).at("/signin/second", `id="otp"`)
	t.Run("with the password alone no passkey is added", func(t *testing.T) {
		_, form := p.form(`id="otp"`)
		form.Set("response", "{}")
		b.post("/signin/enrol", form).at("/signin/second")
		b.get("/signin/enrol?r=" + form.Get("r")).at("/signin/second")
		p.send(`id="otp"`, "otp", "000000").is(http.StatusUnauthorized)
		if b.cookie("__Host-offkey") != "" {
			t.Fatal("signed in")
		}
	})
	p = p.send(`id="otp"`, "otp", codeOf(t, app, w.now())).at("/signin/enrol").never(`id="totp-secret"`)
	if b.cookie("__Host-offkey") != "" {
		t.Fatal("signed in by a code where a passkey is asked for")
	}
	p.send(`data-passkey="create"`, "response", a.Create(p.options())).at("/consent").send(`id="consent-allow"`, "decision", "allow")
	if got := w.answer(); got.Login.ACR != session.ACRPasskey {
		t.Errorf("got %+v", got.Login)
	}
	t.Run("a recovery code stands in for the app", func(t *testing.T) {
		w := newWorld(t)
		ana := w.person("ana", anasPassword)
		w.withApp(ana)
		codes, err := w.people.NewRecoveryCodes(t.Context(), ana.ID)
		w.ok(err)
		w.group("buyers", func(g *directory.Group) { g.Policy.MFA = directory.MFAPasskey })
		p := w.browser().authorize(asks()).login("ana", anasPassword).at("/signin/second")
		p.send(`id="recovery"`, "recovery", codes[0]).at("/signin/enrol")
	})
}

// Failed guesses at one of the names of an account must not show at the other.
func TestTwoNamesOfOneAccountAreNotTold(t *testing.T) {
	w := newWorld(t)
	w.person("ana", anasPassword)
	p := w.browser().authorize(asks())
	for range 10 {
		p.login("ana", "a wrong password").is(http.StatusUnauthorized)
	}
	p.login("ana", "a wrong password").is(http.StatusTooManyRequests)
	p.login("ana@example.com", "a wrong password").is(http.StatusUnauthorized)
	p.login("ben@example.com", "a wrong password").is(http.StatusUnauthorized) // whom nobody knows
}

func TestALogoutFormAnswersNothingElse(t *testing.T) {
	w := newWorld(t)
	w.person("ana", anasPassword)
	b := w.browser()
	p := b.authorize(asks()).login("ana", anasPassword).at("/consent")
	_, form := p.form(`id="consent-allow"`)
	form.Set("decision", "yes")
	b.post("/signout", form).at("/consent")
	if a := w.answer(); a != nil {
		t.Errorf("answered without consent: %+v", a)
	}
}

// checklist_38: a loopback address, or a scheme, is whose program took it.
func TestAProgramThatProvesNothingIsAskedAboutEachTime(t *testing.T) {
	w := newWorld(t)
	w.person("ana", anasPassword)
	tool := shop()
	tool.ID, tool.AuthMethod = "tool", oauth.AuthNone
	w.ok(w.db.CreateClient(t.Context(), tool, did))
	for name, ask := range map[string]session.Ask{
		"a loopback address": {RedirectHost: "127.0.0.1:51004", RedirectScheme: "http"}, "a scheme of its own": {RedirectHost: "com.example.app:", RedirectScheme: "com.example.app"},
		"a loopback address by https": {RedirectHost: "localhost:8443"},
	} {
		ask.Scope = oauth.Scope{"openid", "email"}
		from := func(clientID string, prompt ...string) session.Request {
			return asks(func(q *session.Request) { q.ClientID, q.Ask, q.Demand.Prompt = clientID, ask, prompt })
		}
		b := w.signedIn("ana")
		b.authorize(from("tool")).at("/consent").send(`id="consent-allow"`, "decision", "allow").at("/authorize/answer")
		b.authorize(from("tool")).at("/consent")
		b.authorize(from("tool", "none"))
		if a := w.answers["at once"]; a.Error != oauth.CodeConsentRequired {
			t.Errorf("%s: with prompt=none %+v", name, a)
		}
		if p := b.authorize(from("shop")); p.path == "/consent" {
			p.send(`id="consent-allow"`, "decision", "allow")
		}
		b.authorize(from("shop")).at("/authorize") // a client that proves itself is not asked about again
	}
	b := w.signedIn("ana")
	at := asks(func(q *session.Request) { q.ClientID = "tool" })
	b.authorize(at)
	b.authorize(at).at("/authorize") // nor one at an https address
}

// counting is a Spender that counts.
type counting struct {
	signin.Spender
	spent int
}

func (c *counting) SpendAssertion(ctx context.Context, clientID, jti string, expires time.Time) (bool, error) {
	c.spent++
	return c.Spender.SpendAssertion(ctx, clientID, jti, expires)
}

func TestForgedSignaturesOfPasskeysWriteNothing(t *testing.T) {
	var c *counting
	w := newWorld(t, func(o *signin.Options) { c = &counting{Spender: o.Spender}; o.Spender = c })
	w.person("ana", anasPassword)
	anas := w.signedIn("ana")
	a := anas.withPasskey()
	before := c.spent
	forged := *a
	forged.Key = newAuthenticator(t).Key
	p := w.browser().authorize(asks())
	p.send(`data-passkey="get"`, "response", forged.Get(p.options())).is(http.StatusUnauthorized)
	other := newAuthenticator(t)
	other.Origin = "https://evil.example"
	p = anas.get("/account/passkeys")
	p.send(`data-passkey="create"`, "response", other.Create(p.options())).is(http.StatusBadRequest)
	if c.spent != before {
		t.Errorf("%d challenges were spent by what was forged", c.spent-before)
	}
}
