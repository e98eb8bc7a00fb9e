package signin_test

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/offkey/offkey/internal/oauth"
	"github.com/offkey/offkey/internal/session"
	"github.com/offkey/offkey/internal/token"
)

func TestPasswordAndConsentBringAnAnswer(t *testing.T) {
	w := newWorld(t)
	ana := w.person("ana", anasPassword)
	b := w.browser()
	p := b.authorize(asks(func(q *session.Request) { q.Ask.Scope = oauth.Scope{"openid", "email", "read:orders"} }))
	p.at("/signin", "Shop &amp; Sons", `id="username"`, `id="password"`, `id="login-submit"`)
	w.advance(3 * time.Second)
	p = p.login("ana", anasPassword).at("/consent", "Shop &amp; Sons", "see your email address", "see orders", "shop.example", `id="consent-allow"`, `id="consent-deny"`)
	if w.answer() != nil {
		t.Fatal("answered before consent")
	}
	p.send(`id="consent-allow"`, "decision", "allow").at("/authorize/answer", "answered")
	a := w.answer()
	if !a.Allowed() || a.PersonID != ana.ID || !a.Scope.Equal(oauth.Scope{"openid", "email", "read:orders"}) || !strings.HasPrefix(a.SessionID, "se_") ||
		a.Login.ACR != session.ACRPassword || strings.Join(a.Login.AMR, " ") != "pwd" || !a.Login.AuthTime.Equal(w.now().Truncate(time.Second)) {
		t.Errorf("got %+v", a)
	}

	t.Run("the next request is answered at once", func(t *testing.T) {
		b.authorize(asks()).at("/authorize", "answered at once")
		if a := w.answers["at once"]; !a.Allowed() || a.PersonID != ana.ID || !a.Scope.Equal(oauth.Scope{"openid", "email"}) {
			t.Errorf("got %+v", a)
		}
	})
	t.Run("checklist_61 what was not allowed before is asked for", func(t *testing.T) {
		b.authorize(asks(func(q *session.Request) { q.Ask.Resources = []string{"https://other.example"} })).at("/consent")
		b.authorize(asks(func(q *session.Request) { q.Demand.Prompt = []string{"consent"} })).at("/consent")
	})
	t.Run("the first is in the audit log, without what was typed", func(t *testing.T) {
		entries, err := w.db.AuditEntries(t.Context(), 0, 1000)
		w.ok(err)
		var actions []string
		for _, e := range entries {
			actions = append(actions, e.Action)
			if strings.Contains(string(e.Detail), "boats") {
				t.Errorf("entry %s holds the password", e.Action)
			}
		}
		for _, want := range []string{"session.started", "consent.given"} {
			if !strings.Contains(strings.Join(actions, " "), want) {
				t.Errorf("no %s in %v", want, actions)
			}
		}
		if strings.Contains(w.log.String(), "boats") {
			t.Error("the log holds the password")
		}
	})
}

func TestAnAnswerIsTakenOnceAndInItsBrowser(t *testing.T) {
	w := newWorld(t)
	w.person("ana", anasPassword)
	b := w.browser()
	p := b.authorize(asks()).login("ana", anasPassword)
	_, form := p.form(`id="consent-allow"`)
	stranger := w.browser()
	stranger.authorize(asks()).at("/signin")
	stranger.get("/consent?r="+form.Get("r")).is(http.StatusBadRequest).at("/consent", `id="error-page"`)
	form.Set("decision", "allow")
	stranger.post("/consent", form).is(http.StatusBadRequest)
	if w.answer() != nil {
		t.Fatal("answered from another browser")
	}
	b.post("/consent", form).at("/authorize/answer", "answered")
	b.get("/authorize/answer?r=" + form.Get("r")).is(http.StatusBadRequest)
	b.get("/consent?r=" + form.Get("r")).is(http.StatusBadRequest)
}

func TestDenied(t *testing.T) {
	w := newWorld(t)
	ana := w.person("ana", anasPassword)
	b := w.browser()
	b.authorize(asks()).login("ana", anasPassword).send(`id="consent-deny"`, "decision", "deny").at("/authorize/answer")
	if a := w.answer(); a.Allowed() || a.Error != "access_denied" || a.PersonID != ana.ID {
		t.Errorf("got %+v", a)
	}
	b.authorize(asks()).at("/consent") // nothing is remembered
}

func TestAPersonGrantsNoMoreThanTheyMay(t *testing.T) {
	w := newWorld(t)
	w.person("ana", anasPassword)
	b := w.browser()
	p := b.authorize(asks(func(q *session.Request) { q.Ask.Scope = oauth.Scope{"openid", "read:orders", "create:orders"} })).login("ana", anasPassword)
	p.at("/consent", "may not grant", "make new orders")
	p.send(`id="consent-allow"`, "decision", "allow", "scope", "create:orders")
	if a := w.answer(); !a.Scope.Equal(oauth.Scope{"openid", "read:orders"}) {
		t.Errorf("granted %v", a.Scope)
	}
	t.Run("where nothing remains it is denied, and said", func(t *testing.T) {
		p := b.authorize(asks(func(q *session.Request) { q.Ask.Scope = oauth.Scope{"create:orders"} })).at("/consent", "may grant nothing")
		p.never(`id="consent-allow"`)
		p.send(`id="consent-deny"`, "decision", "allow").at("/authorize/answer")
		if a := w.answer(); a.Error != "access_denied" {
			t.Errorf("got %+v", a)
		}
	})
	t.Run("what the client is not registered for is not given either", func(t *testing.T) {
		p := b.authorize(asks(func(q *session.Request) {
			q.Ask.Scope, q.Demand.Prompt = oauth.Scope{"openid", "profile"}, []string{"consent"}
		}))
		p.at("/consent").send(`id="consent-allow"`, "decision", "allow")
		if a := w.answer(); !a.Scope.Equal(oauth.Scope{"openid"}) {
			t.Errorf("granted %v", a.Scope)
		}
	})
}

func TestPromptNoneNeverAsks(t *testing.T) {
	w := newWorld(t)
	ana := w.person("ana", anasPassword)
	other := w.person("ben", anasPassword)
	none := func(change ...func(*session.Request)) session.Request {
		q := asks(change...)
		q.Demand.Prompt = []string{"none"}
		return q
	}
	b := w.browser()
	try := func(q session.Request) string {
		t.Helper()
		b.authorize(q).at("/authorize", "answered at once")
		return w.answers["at once"].Error
	}
	if e := try(none()); e != "login_required" {
		t.Errorf("checklist_53 nobody is signed in: %q", e)
	}
	p := b.authorize(asks()).login("ana", anasPassword)
	if e := try(none()); e != "consent_required" {
		t.Errorf("checklist_53 nothing was allowed: %q", e)
	}
	p.send(`id="consent-allow"`, "decision", "allow")
	if e := try(none()); e != "" {
		t.Errorf("all is known: %q", e)
	}
	if e := try(none(func(q *session.Request) { q.Demand.PersonID = ana.ID })); e != "" {
		t.Errorf("the person is hinted at: %q", e)
	}
	if e := try(none(func(q *session.Request) { q.Demand.PersonID = other.ID })); e != "login_required" {
		t.Errorf("checklist_56 another person is hinted at: %q", e)
	}
	w.advance(time.Hour)
	if e := try(none(func(q *session.Request) { q.Demand.Since = w.now().Add(-30 * time.Minute) })); e != "login_required" {
		t.Errorf("checklist_55 the login is too old: %q", e)
	}
	if e := try(none(func(q *session.Request) { q.Demand.ACRValues, q.Demand.Essential = []string{session.ACRPasskey}, true })); e != "login_required" {
		t.Errorf("a stronger login is needed, which the person could set up: %q", e)
	}
}

func TestPromptLoginSignsInAnew(t *testing.T) {
	w := newWorld(t)
	w.person("ana", anasPassword)
	b := w.browser()
	b.authorize(asks()).login("ana", anasPassword).send(`id="consent-allow"`, "decision", "allow")
	first := w.answer()
	before := b.cookie("__Host-offkey")
	for name, change := range map[string]func(*session.Request){
		"checklist_54 prompt=login": func(q *session.Request) { q.Demand.Prompt = []string{"login"} },
		"checklist_55 max_age":      func(q *session.Request) { q.Demand.Since = w.now().Add(-time.Second) },
	} {
		t.Run(name, func(t *testing.T) {
			w.advance(5 * time.Second)
			p := b.authorize(asks(change)).at("/signin", "Sign in again", `value="ana"`)
			w.advance(2 * time.Second)
			p.login("ana", anasPassword).at("/authorize/answer")
			a := w.answer()
			if !a.Login.AuthTime.After(first.Login.AuthTime) || a.SessionID != first.SessionID {
				t.Errorf("got %+v after %+v", a, first)
			}
			if now := b.cookie("__Host-offkey"); now == before {
				t.Error("the cookie is the same")
			}
		})
	}
	t.Run("within the second of a login too", func(t *testing.T) {
		p := b.authorize(asks(func(q *session.Request) { q.Demand.Prompt, q.Demand.Since = []string{"login"}, w.now() })).at("/signin")
		p.login("ana", anasPassword).at("/authorize/answer")
	})
}

func TestASessionIsNeverOneThatWasPlanted(t *testing.T) {
	w := newWorld(t)
	w.person("ana", anasPassword)
	b := w.browser()
	u, _ := url.Parse(issuer)
	planted := strings.Repeat("A", 43)
	b.jar.SetCookies(u, []*http.Cookie{{Name: "__Host-offkey", Value: planted, Path: "/", Secure: true}})
	b.authorize(asks()).login("ana", anasPassword).at("/consent")
	if got := b.cookie("__Host-offkey"); got == planted || len(got) != 43 {
		t.Errorf("the session is %q", got)
	}
}

func TestCookies(t *testing.T) {
	w := newWorld(t)
	w.person("ana", anasPassword)
	b := w.browser()
	b.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	p := b.authorize(asks())
	p = b.get(p.header.Get("Location"))
	p = p.login("ana", anasPassword).is(http.StatusSeeOther)
	set := p.header.Values("Set-Cookie")
	if len(set) != 2 {
		t.Fatalf("got %v", set)
	}
	for _, c := range set {
		for _, want := range []string{"__Host-offkey", "; Path=/", "; HttpOnly", "; Secure", "; SameSite=Lax"} {
			if !strings.Contains(c, want) {
				t.Errorf("%q lacks %q", c, want)
			}
		}
		if strings.Contains(c, "Domain") {
			t.Errorf("%q has a domain", c)
		}
	}
}

func TestSomebodyElseInTheSameBrowser(t *testing.T) {
	w := newWorld(t)
	w.person("ana", anasPassword)
	ben := w.person("ben", anasPassword)
	b := w.browser()
	b.authorize(asks()).login("ana", anasPassword).send(`id="consent-allow"`, "decision", "allow")
	first := w.answer()
	p := b.authorize(asks(func(q *session.Request) { q.Demand.Prompt = []string{"select_account"} })).at("/signin/choose", "ana")
	_, form := p.form(`id="choose-same"`)
	p.send(`id="choose-other"`, "as", "other").at("/signin").login("ben", anasPassword).at("/consent").send(`id="consent-allow"`, "decision", "allow")
	if a := w.answer(); a.PersonID != ben.ID || a.SessionID == first.SessionID {
		t.Errorf("got %+v", a)
	}
	if !w.revoked(token.Claims{Login: token.Login{Session: first.SessionID}}) {
		t.Error("what was issued in the session before is not revoked")
	}
	form.Set("as", "same")
	b.post("/signin/choose", form).is(http.StatusBadRequest) // made for ana
	b.authorize(asks(func(q *session.Request) { q.Demand.Prompt = []string{"select_account"} })).
		send(`id="choose-same"`, "as", "same").at("/authorize/answer")
}

func TestSomebodyElseGoesOnWithARequest(t *testing.T) {
	w := newWorld(t)
	w.withApp(w.person("ana", anasPassword))
	ben := w.person("ben", anasPassword)
	other := regexp.MustCompile(`href="([^"]*other=1)"`)
	b := w.browser()
	p := b.authorize(asks()).login("ana", anasPassword).at("/signin/second")
	p = b.get(unescape.Replace(other.FindStringSubmatch(p.body)[1])).at("/signin").never("Sign in again")
	p = p.login("ben", anasPassword).at("/consent", "signed in as ben")
	b.get(unescape.Replace(other.FindStringSubmatch(p.body)[1])).at("/signin").login("ana", anasPassword).at("/signin/second")
	if w.answer() != nil {
		t.Fatal("answered")
	}
	p = b.get(unescape.Replace(other.FindStringSubmatch(p.body)[1])).at("/signin").login("ben", anasPassword).at("/consent")
	p.send(`id="consent-allow"`, "decision", "allow")
	if a := w.answer(); a.PersonID != ben.ID {
		t.Errorf("got %+v", a)
	}
}

func TestTheAccountMustBeTheOneThatIsHintedAt(t *testing.T) {
	w := newWorld(t)
	ana := w.person("ana", anasPassword)
	w.person("ben", anasPassword)
	b := w.browser()
	p := b.authorize(asks(func(q *session.Request) { q.Demand.PersonID = ana.ID })).at("/signin")
	p = p.login("ben", anasPassword).is(http.StatusForbidden).at("/signin", "another account")
	if b.cookie("__Host-offkey") != "" {
		t.Error("ben is signed in")
	}
	p.login("ana", anasPassword).at("/consent")
}

func TestForeignFormsAreRefused(t *testing.T) {
	w := newWorld(t)
	w.person("ana", anasPassword)
	b := w.browser()
	p := b.authorize(asks())
	action, form := p.form(`id="login-submit"`)
	form.Set("username", "ana")
	form.Set("password", anasPassword)
	t.Run("checklist_51 of another site", func(t *testing.T) {
		b.header = http.Header{"Origin": {"https://evil.example"}, "Sec-Fetch-Site": {"cross-site"}}
		b.post(action, form).is(http.StatusForbidden)
		b.header = http.Header{"Origin": {"https://evil.example"}, "Sec-Fetch-Site": nil}
		b.post(action, form).is(http.StatusForbidden)
		b.header = http.Header{}
	})
	t.Run("checklist_51 of a browser that does not say from where, without the token", func(t *testing.T) {
		b.header = http.Header{"Origin": {"null"}, "Sec-Fetch-Site": nil}
		b.post(action, url.Values{"r": form["r"], "username": {"ana"}, "password": {anasPassword}}).is(http.StatusBadRequest)
		b.header.Set("Sec-Fetch-Site", "cross-site")
		b.post(action, form).is(http.StatusForbidden)
		b.header = http.Header{}
	})
	t.Run("checklist_51 without the token, or with that of another request", func(t *testing.T) {
		for _, csrf := range []string{"", "x"} {
			bad := url.Values{"csrf": {csrf}, "r": form["r"], "username": {"ana"}, "password": {anasPassword}}
			b.post(action, bad).is(http.StatusBadRequest).at(action, `id="error-page"`)
		}
		_, other := b.authorize(asks()).form(`id="login-submit"`)
		bad := url.Values{"csrf": other["csrf"], "r": form["r"], "username": {"ana"}, "password": {anasPassword}}
		b.post(action, bad).is(http.StatusBadRequest)
	})
	t.Run("that are no forms", func(t *testing.T) {
		r, err := http.NewRequest(http.MethodPost, issuer+action, strings.NewReader(`{"username":"ana"}`))
		w.ok(err)
		r.Header.Set("Content-Type", "application/json")
		b.do(r).is(http.StatusBadRequest)
	})
	if b.cookie("__Host-offkey") != "" {
		t.Error("signed in")
	}
	t.Run("our own are taken from a browser that does not say from where", func(t *testing.T) {
		old := w.browser()
		p := old.authorize(asks())
		old.header = http.Header{"Origin": {"null"}, "Sec-Fetch-Site": nil}
		p.login("ana", anasPassword).at("/consent")
	})
	t.Run("a consent that was shown to somebody else", func(t *testing.T) {
		consent := b.post(action, form).at("/consent")
		_, values := consent.form(`id="consent-allow"`)
		b.authorize(asks(func(q *session.Request) { q.Demand.Prompt = []string{"login"} })).login("ana", anasPassword)
		values.Set("decision", "allow")
		b.post("/consent", values).is(http.StatusBadRequest)
	})
}

func TestEveryPageIsGuarded(t *testing.T) {
	w := newWorld(t)
	w.person("ana", anasPassword)
	b := w.browser()
	pages := []page{b.authorize(asks())}
	pages = append(pages, pages[0].login("ana", "wrong password"))
	pages = append(pages, pages[0].login("ana", anasPassword), b.get("/account"), b.get("/device"), b.get("/signout"), b.get("/consent?r=none"), b.get("/setup?token=x"), b.get("/nowhere"))
	for _, p := range pages {
		h := p.header
		csp := h.Get("Content-Security-Policy")
		for _, want := range []string{"default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'self'", "style-src 'self'"} {
			if !strings.Contains(csp, want) {
				t.Errorf("checklist_50 %s (%d): policy %q lacks %q", p.path, p.status, csp, want)
			}
		}
		for name, want := range map[string]string{
			"X-Frame-Options": "DENY", "Referrer-Policy": "no-referrer", "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff",
		} {
			if got := h.Get(name); got != want {
				t.Errorf("checklist_50 %s (%d): %s is %q", p.path, p.status, name, got)
			}
		}
		if h.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("checklist_9 %s has CORS", p.path)
		}
		p.never("<style", " style=", " onclick=", "javascript:")
		if strings.Count(p.body, "<script") > 1 || !strings.Contains(p.body, `<html lang="en">`) || !strings.Contains(p.body, "<title>") {
			t.Errorf("%s: %s", p.path, p.body)
		}
	}
}

func TestOneNetworkLetsOnlySoMuchWait(t *testing.T) {
	w := newWorld(t)
	b := w.browser()
	for range 1000 {
		b.get("/account").is(http.StatusOK)
	}
	if p := b.get("/account").is(http.StatusTooManyRequests); p.header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	w.advance(time.Second)
	b.get("/account").is(http.StatusOK)
}
