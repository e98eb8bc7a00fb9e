package browser

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/accessibility"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/offkey/offkey/internal/oauth"
	"github.com/offkey/offkey/internal/secret"
	"github.com/offkey/offkey/internal/session"
)

func TestPasswordCodeAndConsent(t *testing.T) {
	w := newWorld(t)
	w.withApp()
	b := w.browser()
	w.asks()
	b.open("/authorize")
	b.see("#username")
	b.looksRight("signin")
	b.login()
	b.see("#otp")
	b.looksRight("second")
	b.typed("#otp", codeOf(t, w.app, time.Now()))
	b.click("#otp-submit")
	b.see("#consent-allow")
	b.looksRight("consent")
	b.click("#consent-allow")
	b.see("#arrived") // over the client's callback, at a third origin
	if a := w.last(); !a.Allowed() || a.Login.ACR != session.ACRMFA || !a.Scope.Equal(oauth.Scope{"openid", "email", "read:orders"}) {
		t.Errorf("got %+v", a)
	}
	t.Run("what is allowed is not asked again", func(t *testing.T) {
		b.open("/authorize")
		b.see("#arrived")
	})
	t.Run("denied", func(t *testing.T) {
		w.asks(func(q *session.Request) { q.Demand.Prompt = []string{"consent"} })
		b.open("/authorize")
		w.last()
		b.click("#consent-deny")
		b.see("#arrived")
		if a := w.last(); a == nil || a.Error != "access_denied" {
			t.Errorf("got %+v", a)
		}
	})
	t.Run("the account", func(t *testing.T) {
		b.open("/account")
		b.see("#add-app")
		b.looksRight("account")
		b.open("/signout")
		b.looksRight("signout")
		b.click("#logout-confirm")
		b.see("a[href='/signin']")
		b.open("/account")
		b.see("#username")
	})
}

func TestPasskeys(t *testing.T) {
	w := newWorld(t)
	b := w.browser()
	b.withAuthenticator()
	b.open("/account")
	b.login()
	b.click("#add-passkey")
	b.typed("#name", "laptop")
	b.looksRight("passkey")
	b.click("#passkey-submit")
	b.see("#add-passkey")
	factors, err := w.people.Account(t.Context(), w.ana.ID)
	w.ok(err)
	if len(factors.Passkeys) != 1 || factors.Passkeys[0].Name != "laptop" {
		t.Fatalf("got %+v", factors.Passkeys)
	}
	t.Run("alone", func(t *testing.T) {
		b.open("/signout")
		b.click("#logout-confirm")
		b.see("a[href='/signin']")
		w.asks()
		b.open("/authorize")
		b.click("#passkey-submit")
		b.click("#consent-allow")
		b.see("#arrived")
		if a := w.last(); a == nil || a.Login.ACR != session.ACRPasskey || !slices.Contains(a.Login.AMR, "hwk") || slices.Contains(a.Login.AMR, "pwd") {
			t.Errorf("got %+v", a)
		}
	})
	t.Run("after the password", func(t *testing.T) {
		w.asks(func(q *session.Request) { q.Demand.Prompt = []string{"login"} })
		b.open("/authorize")
		b.see("#password")
		b.do(chromedp.SendKeys("#password", password))
		b.click("#login-submit")
		b.see("form[action='/signin/passkey'] #passkey-submit")
		b.looksRight("second-passkey")
		b.click("#passkey-submit")
		b.see("#arrived")
		if a := w.last(); a == nil || a.Login.ACR != session.ACRPasskey || !slices.Contains(a.Login.AMR, "pwd") {
			t.Errorf("got %+v", a)
		}
	})
	t.Run("one that was removed opens nothing", func(t *testing.T) {
		w.ok(w.people.RemovePasskey(t.Context(), w.ana.ID, factors.Passkeys[0].ID))
		w.asks(func(q *session.Request) { q.Demand.Prompt = []string{"login"} })
		b.open("/authorize")
		b.click("#passkey-submit")
		b.see("#problem")
		b.looksRight("signin-problem")
	})
}

func TestWithoutJavaScript(t *testing.T) {
	w := newWorld(t)
	w.withApp()
	b := w.browser()
	b.withoutScripts()
	w.asks()
	b.open("/authorize")
	b.login()
	b.typed("#otp", codeOf(t, w.app, time.Now()))
	b.click("#otp-submit")
	b.click("#consent-allow")
	b.see("#arrived")
}

func TestByKeyboardAlone(t *testing.T) {
	w := newWorld(t)
	b := w.browser()
	w.asks()
	b.open("/authorize")
	b.see("#username") // has the focus
	b.do(chromedp.KeyEvent("ana"), chromedp.KeyEvent(kb.Tab), chromedp.KeyEvent("no"), chromedp.KeyEvent(kb.Enter))
	b.see("#password-error")
	if focus := says[string](b, "document.activeElement.id"); focus != "password" {
		t.Errorf("after an error the focus is on %q", focus)
	}
	if by := says[string](b, "document.activeElement.getAttribute('aria-describedby')"); by != "password-error" {
		t.Errorf("the field is described by %q", by)
	}
	b.do(chromedp.KeyEvent(password), chromedp.KeyEvent(kb.Enter))
	b.see("#consent-allow")
	for range 12 {
		b.do(chromedp.KeyEvent(kb.Tab))
		if says[string](b, "document.activeElement.id") == "consent-allow" {
			break
		}
	}
	b.do(chromedp.KeyEvent(kb.Enter))
	b.see("#arrived")
}

func TestDevicePage(t *testing.T) {
	w := newWorld(t)
	b := w.browser()
	b.withoutScripts()
	code := session.NewUserCode()
	device := session.Device{
		ID: session.NewDeviceID(), Code: secret.HashOf("device code"), UserCode: code, ClientID: "shop",
		Ask: session.Ask{Scope: oauth.Scope{"openid", "read:orders"}}, Origin: session.Origin{UserAgent: "shop-cli/1.2"},
		Created: time.Now(), Expires: time.Now().Add(10 * time.Minute), Interval: 5 * time.Second,
	}
	w.ok(w.db.StartDevice(t.Context(), device, session.DeviceLimits{PerClient: 10, All: 10}, time.Now()))
	b.open("/device?user_code=" + session.ShowUserCode(code)) // as in verification_uri_complete
	b.see("#device-code")
	b.looksRight("device")
	b.click("#device-submit")
	b.login()
	b.see("#device-confirm")
	b.looksRight("device-confirm")
	d, err := w.db.Device(t.Context(), device.Code)
	w.ok(err)
	if d.Answer != nil {
		t.Fatal("answered before it was confirmed")
	}
	b.click("#device-confirm")
	b.see("#device-done")
	b.looksRight("device-done")
	if d, err = w.db.Device(t.Context(), device.Code); err != nil || !d.Answer.Allowed() {
		t.Errorf("got %+v, %v", d.Answer, err)
	}
}

// looksRight checks what every page holds to, in light and dark and on a narrow
// screen, and takes a picture of each.
func (b *browser) looksRight(name string) {
	b.w.t.Helper()
	for _, look := range []struct {
		suffix, scheme string
		width          int64
	}{{"light", "light", 1024}, {"dark", "dark", 1024}, {"narrow", "light", 320}} {
		b.looks(look.scheme)
		b.size(look.width, 700)
		b.shoot(name + "-" + look.suffix)
		if wide := b.width(); wide > look.width {
			b.w.t.Errorf("%s is %d px wide on a screen of %d", name, wide, look.width)
		}
	}
	b.looks("light")
	b.size(1024, 768)
	b.labelled(name)
}

// width is how wide the page is.
func (b *browser) width() int64 {
	b.w.t.Helper()
	m, err := chromedp.Call(b.ctx, page.GetLayoutMetrics, cdp.Empty{})
	b.w.ok(err)
	return int64(m.CSSContentSize.Width)
}

// labelled checks by the accessibility tree that everything that can be typed
// into or pressed has a name.
func (b *browser) labelled(name string) {
	b.w.t.Helper()
	tree, err := chromedp.Call(b.ctx, accessibility.GetFullAXTree, accessibility.GetFullAXTreeParams{})
	b.w.ok(err)
	controls := 0
	for _, n := range tree.Nodes {
		role := axText(n.Role)
		if n.Ignored || !slices.Contains([]string{"button", "textbox", "link"}, role) {
			continue
		}
		if controls++; axText(n.Name) == "" {
			b.w.t.Errorf("%s: a %s has no name", name, role)
		}
	}
	if controls == 0 {
		b.w.t.Errorf("%s: nothing to use was found", name)
	}
}

func axText(v *accessibility.Value) string {
	if v == nil {
		return ""
	}
	return strings.Trim(string(v.Value), `"`)
}
