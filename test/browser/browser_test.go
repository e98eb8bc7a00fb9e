package browser

import (
	"slices"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/offkey/offkey/internal/oauth"
	"github.com/offkey/offkey/internal/secret"
	"github.com/offkey/offkey/internal/session"
	"github.com/offkey/offkey/test/chromium"
)

func TestPasswordCodeAndConsent(t *testing.T) {
	w := newWorld(t)
	w.withApp()
	b := w.browser()
	w.asks()
	b.open("/authorize")
	b.See("#username")
	b.LooksRight("signin")
	b.login()
	b.See("#otp")
	b.LooksRight("second")
	b.Type("#otp", chromium.CodeOf(t, w.app, time.Now()))
	b.Click("#otp-submit")
	b.See("#consent-allow")
	b.LooksRight("consent")
	b.Click("#consent-allow")
	b.See("#arrived") // over the client's callback, at a third origin
	if a := w.last(); !a.Allowed() || a.Login.ACR != session.ACRMFA || !a.Scope.Equal(oauth.Scope{"openid", "email", "read:orders"}) {
		t.Errorf("got %+v", a)
	}
	t.Run("what is allowed is not asked again", func(t *testing.T) {
		b.open("/authorize")
		b.See("#arrived")
	})
	t.Run("denied", func(t *testing.T) {
		w.asks(func(q *session.Request) { q.Demand.Prompt = []string{"consent"} })
		b.open("/authorize")
		w.last()
		b.Click("#consent-deny")
		b.See("#arrived")
		if a := w.last(); a == nil || a.Error != "access_denied" {
			t.Errorf("got %+v", a)
		}
	})
	t.Run("the account", func(t *testing.T) {
		b.open("/account")
		b.See("#add-app")
		b.LooksRight("account")
		b.open("/signout")
		b.LooksRight("signout")
		b.Click("#logout-confirm")
		b.See("a[href='/signin']")
		b.open("/account")
		b.See("#username")
	})
}

func TestPasskeys(t *testing.T) {
	w := newWorld(t)
	b := w.browser()
	b.WithAuthenticator()
	b.open("/account")
	b.login()
	b.Click("#add-passkey")
	b.Type("#name", "laptop")
	b.LooksRight("passkey")
	b.Click("#passkey-submit")
	b.See("#add-passkey")
	factors, err := w.people.Account(t.Context(), w.ana.ID)
	w.ok(err)
	if len(factors.Passkeys) != 1 || factors.Passkeys[0].Name != "laptop" {
		t.Fatalf("got %+v", factors.Passkeys)
	}
	t.Run("alone", func(t *testing.T) {
		b.open("/signout")
		b.Click("#logout-confirm")
		b.See("a[href='/signin']")
		w.asks()
		b.open("/authorize")
		b.Click("#passkey-submit")
		b.Click("#consent-allow")
		b.See("#arrived")
		if a := w.last(); a == nil || a.Login.ACR != session.ACRPasskey || !slices.Contains(a.Login.AMR, "hwk") || slices.Contains(a.Login.AMR, "pwd") {
			t.Errorf("got %+v", a)
		}
	})
	t.Run("after the password", func(t *testing.T) {
		w.asks(func(q *session.Request) { q.Demand.Prompt = []string{"login"} })
		b.open("/authorize")
		b.See("#password")
		b.Do(chromedp.SendKeys("#password", password))
		b.Click("#login-submit")
		b.See("form[action='/signin/passkey'] #passkey-submit")
		b.LooksRight("second-passkey")
		b.Click("#passkey-submit")
		b.See("#arrived")
		if a := w.last(); a == nil || a.Login.ACR != session.ACRPasskey || !slices.Contains(a.Login.AMR, "pwd") {
			t.Errorf("got %+v", a)
		}
	})
	t.Run("one that was removed opens nothing", func(t *testing.T) {
		w.ok(w.people.RemovePasskey(t.Context(), w.ana.ID, factors.Passkeys[0].ID))
		w.asks(func(q *session.Request) { q.Demand.Prompt = []string{"login"} })
		b.open("/authorize")
		b.Click("#passkey-submit")
		b.See("#problem")
		b.LooksRight("signin-problem")
	})
}

func TestWithoutJavaScript(t *testing.T) {
	w := newWorld(t)
	w.withApp()
	b := w.browser()
	b.WithoutScripts()
	w.asks()
	b.open("/authorize")
	b.login()
	b.Type("#otp", chromium.CodeOf(t, w.app, time.Now()))
	b.Click("#otp-submit")
	b.Click("#consent-allow")
	b.See("#arrived")
}

func TestByKeyboardAlone(t *testing.T) {
	w := newWorld(t)
	b := w.browser()
	w.asks()
	b.open("/authorize")
	b.See("#username") // has the focus
	b.Do(chromedp.KeyEvent("ana"), chromedp.KeyEvent(kb.Tab), chromedp.KeyEvent("no"), chromedp.KeyEvent(kb.Enter))
	b.See("#password-error")
	if focus := chromium.Says[string](b.Browser, "document.activeElement.id"); focus != "password" {
		t.Errorf("after an error the focus is on %q", focus)
	}
	if by := chromium.Says[string](b.Browser, "document.activeElement.getAttribute('aria-describedby')"); by != "password-error" {
		t.Errorf("the field is described by %q", by)
	}
	b.Do(chromedp.KeyEvent(password), chromedp.KeyEvent(kb.Enter))
	b.See("#consent-allow")
	for range 12 {
		b.Do(chromedp.KeyEvent(kb.Tab))
		if chromium.Says[string](b.Browser, "document.activeElement.id") == "consent-allow" {
			break
		}
	}
	b.Do(chromedp.KeyEvent(kb.Enter))
	b.See("#arrived")
}

func TestDevicePage(t *testing.T) {
	w := newWorld(t)
	b := w.browser()
	b.WithoutScripts()
	code := session.NewUserCode()
	device := session.Device{
		ID: session.NewDeviceID(), Code: secret.HashOf("device code"), UserCode: code, ClientID: "shop",
		Ask: session.Ask{Scope: oauth.Scope{"openid", "read:orders"}}, Origin: session.Origin{UserAgent: "shop-cli/1.2"},
		Created: time.Now(), Expires: time.Now().Add(10 * time.Minute), Interval: 5 * time.Second,
	}
	w.ok(w.db.StartDevice(t.Context(), device, session.DeviceLimits{PerClient: 10, All: 10}, time.Now()))
	b.open("/device?user_code=" + session.ShowUserCode(code)) // as in verification_uri_complete
	b.See("#device-code")
	b.LooksRight("device")
	b.Click("#device-submit")
	b.login()
	b.See("#device-confirm")
	b.LooksRight("device-confirm")
	d, err := w.db.Device(t.Context(), device.Code)
	w.ok(err)
	if d.Answer != nil {
		t.Fatal("answered before it was confirmed")
	}
	b.Click("#device-confirm")
	b.See("#device-done")
	b.LooksRight("device-done")
	if d, err = w.db.Device(t.Context(), device.Code); err != nil || !d.Answer.Allowed() {
		t.Errorf("got %+v, %v", d.Answer, err)
	}
}
