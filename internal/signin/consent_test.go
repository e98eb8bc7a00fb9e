package signin_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/offkey/offkey/internal/client"
	"github.com/offkey/offkey/internal/oauth"
	"github.com/offkey/offkey/internal/session"
	"github.com/offkey/offkey/internal/signin"
)

// changeShop changes the client that asks.
func (w *world) changeShop(change func(*client.Client)) {
	w.t.Helper()
	_, err := w.db.UpdateClient(context.Background(), "shop", func(c *client.Client) error { change(c); return nil }, did)
	w.ok(err)
}

func TestHowAClientIsShown(t *testing.T) {
	w := newWorld(t)
	w.person("ana", anasPassword)
	w.changeShop(func(c *client.Client) {
		c.Name, c.Source = `<b>Bank</b>`, client.SourceRegistration
		c.LogoURI, c.ClientURI = "https://img.shop.example/logo.png", "https://shop.example/"
		c.PolicyURI, c.TosURI = "javascript:alert(1)", "http://shop.example/terms"
	})
	b := w.browser()
	p := b.authorize(asks(func(q *session.Request) { q.Ask.RedirectHost, q.Ask.RedirectScheme = "127.0.0.1:9000", "http" })).login("ana", anasPassword)
	p.at("/consent", "&lt;b&gt;Bank&lt;/b&gt;", `src="https://img.shop.example/logo.png"`, `referrerpolicy="no-referrer"`,
		`href="https://shop.example/"`, `rel="noopener noreferrer nofollow"`, "registered itself", "<dd>shop</dd>")
	p.never("<b>", "javascript:", "http://shop.example/terms")
	t.Run("checklist_60 with the host that the answer goes to", func(t *testing.T) { p.at("/consent", `id="redirect-host">127.0.0.1:9000<`) })
	t.Run("nothing but its logo comes from elsewhere", func(t *testing.T) {
		csp := p.header.Get("Content-Security-Policy")
		if !strings.Contains(csp, "img-src 'self' https://img.shop.example;") || !strings.Contains(csp, "form-action 'self' https: http:;") {
			t.Errorf("policy %q", csp)
		}
	})
	t.Run("the client that an operator made is not warned about", func(t *testing.T) {
		w.changeShop(func(c *client.Client) { c.Source = client.SourceAPI })
		b.authorize(asks()).at("/consent").never("registered itself")
	})
}

func TestWhereFormsMayLead(t *testing.T) {
	w := newWorld(t)
	b := w.browser()
	for name, tc := range map[string]struct{ scheme, host, want string }{
		"https":                  {"", "shop.example", "form-action 'self' https:;"},
		"loopback":               {"", "127.0.0.1:9000", "form-action 'self' https: http:;"},
		"loopback of IPv6":       {"", "[::1]:9000", "form-action 'self' https: http:;"},
		"private use":            {"com.example.app", "", "form-action 'self' https: com.example.app:;"},
		"private use, as a host": {"", "com.example.app:", "form-action 'self' https: com.example.app:;"},
		"what runs":              {"javascript", "", "form-action 'self' https:;"},
		"what ends the policy":   {"a; script-src *", "", "form-action 'self' https:;"},
	} {
		p := b.authorize(asks(func(q *session.Request) { q.Ask.RedirectScheme, q.Ask.RedirectHost = tc.scheme, tc.host })).at("/signin")
		if csp := p.header.Get("Content-Security-Policy"); !strings.Contains(csp, tc.want) {
			t.Errorf("%s: policy %q", name, csp)
		}
	}
	if csp := b.get("/account").header.Get("Content-Security-Policy"); !strings.Contains(csp, "form-action 'self';") {
		t.Errorf("our own: policy %q", csp)
	}
}

func TestToKeepItsAccessAClientIsAllowedThatTo(t *testing.T) { // checklist_205
	w := newWorld(t)
	w.person("ana", anasPassword)
	w.changeShop(func(c *client.Client) { c.Scopes = append(c.Scopes, "offline_access") })
	with := func(prompt ...string) session.Request {
		return asks(func(q *session.Request) {
			q.Ask.Scope, q.Demand.Prompt = oauth.Scope{"openid", "offline_access"}, prompt
		})
	}
	b := w.browser()
	b.authorize(asks(func(q *session.Request) { q.Ask.Scope = oauth.Scope{"openid"} })).login("ana", anasPassword).send(`id="consent-allow"`, "decision", "allow")
	b.authorize(with(oauth.PromptNone))
	if a := w.answers["at once"]; a == nil || a.Error != oauth.CodeConsentRequired {
		t.Errorf("got it without being allowed to: %+v", a)
	}
	b.authorize(with()).at("/consent", "keep its access when you are not there").send(`id="consent-allow"`, "decision", "allow")
	if a := w.answer(); a == nil || !a.Scope.Has("offline_access") {
		t.Errorf("%+v", a)
	}
	b.authorize(with(oauth.PromptNone))
	if a := w.answers["at once"]; a == nil || !a.Scope.Has("offline_access") {
		t.Errorf("asked for what was allowed: %+v", a)
	}
	b.authorize(with(oauth.PromptConsent)).at("/consent")
}

func TestAClientOnNobodysWordIsAskedAboutAtEachSignIn(t *testing.T) {
	w := newWorld(t)
	w.person("ana", anasPassword)
	w.changeShop(func(c *client.Client) { c.Source, c.Quarantined = client.SourceRegistration, true })
	b := w.browser()
	b.authorize(asks()).login("ana", anasPassword).at("/consent").send(`id="consent-allow"`, "decision", "allow")
	silent := func(b *browser) *session.Answer {
		b.authorize(asks(func(q *session.Request) { q.Demand.Prompt = []string{oauth.PromptNone} }))
		return w.answers["at once"]
	}
	if a := silent(b); a == nil || a.Error != "" {
		t.Errorf("asked twice in one sign-in: %+v", a)
	}
	w.advance(time.Hour)
	other := w.browser()
	other.authorize(asks()).login("ana", anasPassword).at("/consent")
	if a := silent(other); a == nil || a.Error != oauth.CodeConsentRequired {
		t.Errorf("what was said before the sign-in counts: %+v", a)
	}
	b.authorize(asks(func(q *session.Request) { q.Demand.Prompt = []string{oauth.PromptLogin} })).login("ana", anasPassword).at("/consent")
}

func TestAClientThatHasChangedIsAskedAboutAgain(t *testing.T) {
	w := newWorld(t)
	w.person("ana", anasPassword)
	b := w.browser()
	b.authorize(asks()).login("ana", anasPassword).send(`id="consent-allow"`, "decision", "allow")
	for name, change := range map[string]func(*client.Client){
		"checklist_61 name":          func(c *client.Client) { c.Name = "Your bank" },
		"checklist_61 redirect URIs": func(c *client.Client) { c.RedirectURIs = append(c.RedirectURIs, "https://other.example/cb") },
		"checklist_61 keys":          func(c *client.Client) { c.JWKSURI = "https://shop.example/keys" },
	} {
		t.Run(name, func(t *testing.T) {
			b.authorize(asks()).at("/authorize", "answered at once")
			w.changeShop(change)
			b.authorize(asks()).at("/consent").send(`id="consent-allow"`, "decision", "allow").at("/authorize/answer")
		})
	}
	w.changeShop(func(c *client.Client) { c.Contacts = []string{"x@example.com"} })
	b.authorize(asks()).at("/authorize", "answered at once")
}

// OIDC Core §11: access that outlives the person's presence is never implied by
// what they have allowed before.
func TestChecklist205OfflineAccessIsAskedAbout(t *testing.T) {
	w := newWorld(t)
	w.person("ana", anasPassword)
	w.changeShop(func(c *client.Client) { c.Scopes = append(c.Scopes, "offline_access") })
	b := w.browser()
	b.authorize(asks()).login("ana", anasPassword).send(`id="consent-allow"`, "decision", "allow")
	b.authorize(asks()).at("/authorize", "answered at once")
	offline := asks(func(q *session.Request) { q.Ask.Scope = append(q.Ask.Scope, "offline_access") })
	b.authorize(offline).at("/consent", "offline_access").send(`id="consent-allow"`, "decision", "deny")
	b.authorize(offline).at("/consent", "offline_access").send(`id="consent-allow"`, "decision", "allow")
	b.authorize(offline).at("/authorize", "answered at once")
}

func TestScopesInWords(t *testing.T) {
	w := newWorld(t, func(o *signin.Options) {
		o.DescribeScope = func(name, language string) string {
			if name == "read:orders" {
				return "see what you bought (" + language + ")"
			}
			return ""
		}
	})
	w.person("ana", anasPassword)
	b := w.browser()
	b.header.Set("Accept-Language", "de")
	b.authorize(asks(func(q *session.Request) { q.Ask.Scope = oauth.Scope{"read:orders", "email"} })).login("ana", anasPassword).
		at("/consent", "see what you bought (de)", "Ihre E-Mail-Adresse sehen")
}

func TestRequestsEnd(t *testing.T) {
	w := newWorld(t)
	w.person("ana", anasPassword)
	b := w.browser()
	p := b.authorize(asks())
	w.advance(session.RequestLife)
	p.login("ana", anasPassword).is(http.StatusBadRequest).at("/signin", "open for too long")
	if b.cookie("__Host-offkey") != "" {
		t.Error("signed in")
	}
}
