package signin_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/offkey/offkey/internal/directory"
	"github.com/offkey/offkey/internal/session"
	"github.com/offkey/offkey/internal/signin"
	"github.com/offkey/offkey/test/farside"
)

// withPasskey gives somebody who is signed in a passkey.
func (b *browser) withPasskey() *authenticator {
	b.w.t.Helper()
	a := newAuthenticator(b.w.t)
	p := b.get("/account/passkeys").at("/account/passkeys")
	p.send(`data-passkey="create"`, "response", a.Create(p.options()), "name", "key of "+string(a.Holder[:5])).at("/account", "key of pe_")
	return a
}

func TestPasskeySignsIn(t *testing.T) {
	w := newWorld(t)
	ana := w.person("ana", anasPassword)
	a := w.signedIn("ana").withPasskey()
	b := w.browser()
	p := b.authorize(asks()).at("/signin")
	if asked := p.asked().PublicKey; asked.UserVerification != "required" || len(asked.Allow) != 0 {
		t.Errorf("asks for %+v", asked)
	}
	said := a.Get(p.options())
	p.send(`data-passkey="get"`, "response", said).at("/consent").send(`id="consent-allow"`, "decision", "allow")
	if got := w.answer(); got.PersonID != ana.ID || got.Login.ACR != session.ACRPasskey || strings.Join(got.Login.AMR, " ") != "hwk user mfa" {
		t.Errorf("got %+v", got)
	}
	t.Run("a signature is taken once", func(t *testing.T) {
		p := b.authorize(asks(func(q *session.Request) { q.Demand.Prompt = []string{"login"} })).at("/signin")
		forged := *a
		forged.Key = newAuthenticator(t).Key
		p.send(`data-passkey="get"`, "response", forged.Get(p.options())).is(http.StatusUnauthorized).at("/signin/passkey", "does not open an account here")
		said := a.Get(p.options()) // that what was forged does not count spends nothing
		p.send(`data-passkey="get"`, "response", said).at("/authorize/answer")
		p.send(`data-passkey="get"`, "response", said).is(http.StatusBadRequest)
	})
	t.Run("nor for another request or in another browser", func(t *testing.T) {
		other := w.browser()
		mine, theirs := other.authorize(asks()), w.browser().authorize(asks())
		_, form := theirs.form(`data-passkey="get"`)
		mine.send(`data-passkey="get"`, "response", a.Get(theirs.options()), "challenge", form.Get("challenge")).is(http.StatusUnauthorized)
		second := other.authorize(asks())
		_, form = second.form(`data-passkey="get"`)
		mine.send(`data-passkey="get"`, "response", a.Get(second.options()), "challenge", form.Get("challenge")).is(http.StatusUnauthorized)
	})
	t.Run("nor what is not as it must be", func(t *testing.T) {
		for name, bend := range map[string]func(*authenticator){
			"another site":            func(a *authenticator) { a.Origin = "https://evil.example" },
			"nobody was verified":     func(a *authenticator) { a.Flags = farside.UserPresent },
			"nobody was there":        func(a *authenticator) { a.Flags = 0 },
			"another person's handle": func(a *authenticator) { a.Holder = []byte(directory.NewID()) },
			"an unknown passkey":      func(a *authenticator) { a.ID = []byte("of somebody else, 32 bytes long.") },
			"another key":             func(a *authenticator) { a.Key = newAuthenticator(t).Key },
			"a copy":                  func(a *authenticator) { a.Count = 0 },
		} {
			bent := *a
			bend(&bent)
			p := w.browser().authorize(asks())
			if got := p.send(`data-passkey="get"`, "response", bent.Get(p.options())); got.status != http.StatusUnauthorized || !strings.Contains(got.body, "does not open") {
				t.Errorf("%s: %d at %s", name, got.status, got.path)
			}
		}
		p := w.browser().authorize(asks())
		for _, raw := range []string{"", "{}", "null", "[]", strings.Repeat("[", 5000), `{"id":"AA","rawId":"AA","type":"public-key","response":{}}`} {
			p.send(`data-passkey="get"`, "response", raw).is(http.StatusUnauthorized)
		}
	})
	t.Run("and after all that it still signs in", func(t *testing.T) {
		p := w.browser().authorize(asks())
		a.Count += 10
		p.send(`data-passkey="get"`, "response", a.Get(p.options())).at("/authorize/answer")
	})
	t.Run("64 that bring one signature: one signs in", func(t *testing.T) {
		b := w.browser()
		p := b.authorize(asks())
		action, form := p.form(`data-passkey="get"`)
		form.Set("response", a.Get(p.options()))
		in := make(chan bool)
		for range 64 {
			go func() { in <- b.post(action, form).path == "/authorize/answer" }()
		}
		won := 0
		for range 64 {
			if <-in {
				won++
			}
		}
		if won != 1 {
			t.Errorf("%d signed in", won)
		}
	})
}

func TestPasskeyAsSecondFactor(t *testing.T) {
	w := newWorld(t)
	w.person("ana", anasPassword)
	w.person("ben", anasPassword)
	anas, bens := w.signedIn("ana").withPasskey(), w.signedIn("ben").withPasskey()
	p := w.browser().authorize(asks()).login("ana", anasPassword).at("/signin/second")
	if asked := p.asked().PublicKey; len(asked.Allow) != 1 {
		t.Errorf("asks for %+v", asked)
	}
	p.send(`data-passkey="get"`, "response", bens.Get(p.options())).is(http.StatusUnauthorized).at("/signin/passkey", "does not open")
	p = w.browser().authorize(asks()).login("ana", anasPassword)
	anas.Flags = farside.UserPresent // a security key without a PIN: a second factor, and not two
	p.send(`data-passkey="get"`, "response", anas.Get(p.options())).at("/consent").send(`id="consent-allow"`, "decision", "allow")
	if a := w.answer(); a.Login.ACR != session.ACRMFA || !slices.Equal(a.Login.AMR, []string{"pwd", "hwk", "mfa"}) {
		t.Errorf("got %+v", a.Login)
	}
}

func TestAddingPasskeys(t *testing.T) {
	w := newWorld(t)
	ana := w.person("ana", anasPassword)
	b := w.signedIn("ana")
	a := b.withPasskey()
	t.Run("the same twice", func(t *testing.T) {
		p := b.get("/account/passkeys")
		p.send(`data-passkey="create"`, "response", a.Create(p.options())).is(http.StatusBadRequest).at("/account/passkeys", "could not be added")
	})
	t.Run("one without its user verified, of another site, or that is none", func(t *testing.T) {
		for _, bend := range []func(*authenticator){
			func(a *authenticator) { a.Flags = farside.UserPresent }, func(a *authenticator) { a.Origin = "https://evil.example" },
		} {
			other := newAuthenticator(t)
			bend(other)
			p := b.get("/account/passkeys")
			p.send(`data-passkey="create"`, "response", other.Create(p.options())).is(http.StatusBadRequest)
		}
		b.get("/account/passkeys").send(`data-passkey="create"`, "response", "{}").is(http.StatusBadRequest)
	})
	account, err := w.people.Account(t.Context(), ana.ID)
	w.ok(err)
	if len(account.Passkeys) != 1 {
		t.Fatalf("%d passkeys", len(account.Passkeys))
	}
	t.Run("removed, it opens nothing", func(t *testing.T) {
		b.get("/account").send(`name="passkey"`).at("/account").never("key of")
		p := w.browser().authorize(asks())
		p.send(`data-passkey="get"`, "response", a.Get(p.options())).is(http.StatusUnauthorized)
	})
	t.Run("by an invitation, instead of a password", func(t *testing.T) {
		dan := w.person("dan", "", func(a *directory.Account) { a.Status = directory.Invited })
		raw, _, err := w.people.NewLink(t.Context(), directory.ForInvite, dan.ID, did)
		w.ok(err)
		b, a := w.browser(), newAuthenticator(t)
		p := b.get("/invite?token="+raw.Reveal()).at("/invite", "dan")
		p = p.send(`data-passkey="create"`, "response", a.Create(p.options())).at("/signin")
		p.send(`data-passkey="get"`, "response", a.Get(p.options())).at("/account", "dan")
	})
	t.Run("while signing in, where the policy wants one", func(t *testing.T) {
		w.person("eve", anasPassword)
		w.group("buyers", func(g *directory.Group) { g.Policy.MFA = directory.MFAPasskey })
		a := newAuthenticator(t)
		p := w.browser().authorize(asks()).login("eve", anasPassword).at("/signin/enrol").never(`id="totp-secret"`)
		p.send(`data-passkey="create"`, "response", a.Create(p.options())).at("/consent").send(`id="consent-allow"`, "decision", "allow")
		if got := w.answer(); got.Login.ACR != session.ACRPasskey {
			t.Errorf("got %+v", got.Login)
		}
		t.Run("and then a code is not enough", func(t *testing.T) {
			eve, err := w.people.Find(t.Context(), "eve")
			w.ok(err)
			app := w.withApp(eve.Person)
			p := w.browser().authorize(asks()).login("eve", anasPassword).at("/signin/second").never(`id="otp"`)
			action, form := p.form(`data-passkey="get"`)
			form.Set("otp", codeOf(t, app, w.now()))
			if got := p.b.post(strings.Replace(action, "/passkey", "/second", 1), form); got.path != "/signin/second" || got.status != http.StatusBadRequest {
				t.Errorf("at %s, %d", got.path, got.status)
			}
		})
	})
}

func TestWherePasskeysCanBeHad(t *testing.T) {
	for of, want := range map[string]bool{
		"https://auth.example.com": true, "https://auth.example.com/tenant": true, "http://localhost:8485": true,
		"http://127.0.0.1:8485": false, "https://192.0.2.1": false, "https://[2001:db8::1]:8485": false, "http://auth.example.com": false,
	} {
		w := newWorld(t, func(o *signin.Options) { o.Issuer = of })
		r, err := http.NewRequest(http.MethodGet, of+"/x", nil)
		w.ok(err)
		path := strings.TrimSuffix(r.URL.Path, "/x")
		if !w.service.Serves(path + "/signin") {
			t.Fatalf("%s does not serve its pages", of)
		}
		b := w.browser()
		if p := b.get(path + "/signin"); strings.Contains(p.body, "data-passkey") != want || p.path != path+"/signin" {
			t.Errorf("%s at %s: %v", of, p.path, !want)
		}
	}
}
