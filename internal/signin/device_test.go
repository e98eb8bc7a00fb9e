package signin_test

import (
	"context"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/offkey/offkey/internal/oauth"
	"github.com/offkey/offkey/internal/secret"
	"github.com/offkey/offkey/internal/session"
	"github.com/offkey/offkey/internal/token"
)

// device begins the device flow of the shop.
func (w *world) device(name string, scope ...string) session.Device {
	w.t.Helper()
	d := session.Device{
		ID: session.NewDeviceID(), Code: secret.HashOf(name), UserCode: session.NewUserCode(), ClientID: "shop", Ask: session.Ask{Scope: scope},
		Origin:  session.Origin{Source: netip.MustParseAddr("203.0.113.9"), UserAgent: "shop-cli/1.2 <b>"},
		Created: w.now(), Expires: w.now().Add(10 * time.Minute), Interval: 5 * time.Second,
	}
	w.ok(w.db.StartDevice(context.Background(), d, session.DeviceLimits{PerClient: 100, All: 100}, w.now()))
	return d
}

func (w *world) answerOf(d session.Device) *session.Answer {
	w.t.Helper()
	found, err := w.db.Device(context.Background(), d.Code)
	w.ok(err)
	return found.Answer
}

func TestADeviceIsConfirmedByWhoSeesIt(t *testing.T) {
	w := newWorld(t)
	ana := w.person("ana", anasPassword)
	d := w.device("tv", "openid", "read:orders", "create:orders")
	b := w.browser()
	shown := session.ShowUserCode(d.UserCode)
	p := b.get("/device?user_code="+shown).at("/device", `id="device-code"`, `value="`+shown+`"`, `id="device-submit"`)
	p = p.send(`id="device-code"`, "user_code", strings.ToLower(d.UserCode)).at("/signin")
	p = p.login("ana", anasPassword)
	p.at("/device", "Shop &amp; Sons", "see orders", "203.0.113.9", "shop-cli/1.2 &lt;b&gt;", shown, `id="device-confirm"`, "may not grant")
	if w.answerOf(d) != nil {
		t.Fatal("checklist_89 answered before it was confirmed")
	}
	p.send(`id="device-confirm"`, "decision", "allow").at("/device", `id="device-done"`, "is connected")
	a := w.answerOf(d)
	if !a.Allowed() || a.PersonID != ana.ID || !a.Scope.Equal(oauth.Scope{"openid", "read:orders"}) || a.Login.ACR != session.ACRPassword || a.SessionID == "" {
		t.Errorf("got %+v", a)
	}
	p.send(`id="device-confirm"`, "decision", "allow").is(http.StatusNotFound) // it waits no more
	t.Run("denied", func(t *testing.T) {
		d := w.device("radio", "openid")
		b.get("/device").send(`id="device-code"`, "user_code", d.UserCode).at("/device", `id="device-deny"`).
			send(`id="device-confirm"`, "decision", "deny").at("/device", `id="device-done"`, "was not connected")
		if a := w.answerOf(d); a.Allowed() || a.Error != "access_denied" {
			t.Errorf("got %+v", a)
		}
	})
	t.Run("the form of another device, another person or another site", func(t *testing.T) {
		d := w.device("oven", "openid")
		p := b.get("/device").send(`id="device-code"`, "user_code", d.UserCode)
		_, form := p.form(`id="device-confirm"`)
		form.Set("decision", "allow")
		other := w.browser()
		other.get("/account").login("ana", anasPassword).at("/account")
		other.post("/device", form).is(http.StatusBadRequest)
		_, mine := other.get("/device").form(`id="device-code"`)
		form.Set("csrf", mine.Get("csrf"))
		b.post("/device", form).is(http.StatusBadRequest)
		if w.answerOf(d) != nil {
			t.Error("answered")
		}
	})
	t.Run("a device that has expired", func(t *testing.T) {
		d := w.device("clock", "openid")
		p := b.get("/device").send(`id="device-code"`, "user_code", d.UserCode).at("/device", `id="device-confirm"`)
		w.advance(10 * time.Minute)
		p.send(`id="device-confirm"`, "decision", "allow").is(http.StatusNotFound)
	})
}

func TestUserCodesAreNotGuessed(t *testing.T) {
	w := newWorld(t)
	w.person("ana", anasPassword)
	w.person("ben", anasPassword)
	d := w.device("tv", "openid")
	b := w.browser()
	p := b.get("/device")
	p.send(`id="device-code"`, "user_code", "123").is(http.StatusBadRequest).at("/device", "none of them a vowel")
	t.Run("checklist_88 by nobody without signing in", func(t *testing.T) {
		for range 30 {
			p.send(`id="device-code"`, "user_code", session.NewUserCode()).at("/signin")
		}
	})
	p.send(`id="device-code"`, "user_code", session.NewUserCode()).login("ana", anasPassword).is(http.StatusNotFound).at("/device", "No device waits", `id="user_code-error"`)
	t.Run("checklist_88 more than a few times by a person", func(t *testing.T) {
		for range 9 {
			p.send(`id="device-code"`, "user_code", session.NewUserCode()).is(http.StatusNotFound)
		}
		p.send(`id="device-code"`, "user_code", d.UserCode).is(http.StatusTooManyRequests)
	})
	t.Run("checklist_88 or by a network", func(t *testing.T) {
		b := w.browser()
		b.get("/account").login("ben", anasPassword)
		b.get("/device").send(`id="device-code"`, "user_code", d.UserCode).is(http.StatusTooManyRequests)
		w.source = netip.MustParseAddr("203.0.113.77")
		b.get("/device").send(`id="device-code"`, "user_code", d.UserCode).is(http.StatusOK).at("/device", `id="device-confirm"`)
	})
}

func TestSigningOut(t *testing.T) {
	w := newWorld(t)
	w.person("ana", anasPassword)
	b := w.browser()
	b.authorize(asks()).login("ana", anasPassword).send(`id="consent-allow"`, "decision", "allow")
	a := w.answer()
	logout := session.Request{Kind: session.ForLogout, ClientID: "shop", Ask: session.Ask{RedirectHost: "shop.example"}}
	t.Run("checklist_209 is asked about", func(t *testing.T) {
		b.authorize(logout).at("/signout", "Shop &amp; Sons", "ana", `id="logout-confirm"`).send(`id="logout-confirm"`, "decision", "no").at("/authorize/answer")
		if got := w.answer(); got.Allowed() || got.Error != "access_denied" {
			t.Errorf("got %+v", got)
		}
		b.authorize(logout).send(`id="logout-confirm"`, "decision", "yes").at("/authorize/answer")
		if got := w.answer(); !got.Allowed() || got.SessionID != a.SessionID {
			t.Errorf("got %+v", got)
		}
		b.get("/account").at("/account") // it is for who asked to end it
	})
	t.Run("by one's own wish", func(t *testing.T) {
		b.get("/signout").send(`id="logout-confirm"`, "decision", "yes").at("/signout", "You are signed out")
		if b.cookie("__Host-offkey") != "" || !w.revoked(token.Claims{Login: token.Login{Session: a.SessionID}}) {
			t.Error("the session goes on")
		}
		b.get("/account").at("/signin")
	})
	t.Run("where nobody is signed in", func(t *testing.T) {
		b.authorize(logout).at("/authorize", "answered at once")
		if got := w.answers["at once"]; got.Error != "login_required" {
			t.Errorf("got %+v", got)
		}
	})
}
