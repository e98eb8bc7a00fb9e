package signin_test

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"testing"
	"time"

	"github.com/offkey/offkey/internal/oauth"
	"github.com/offkey/offkey/internal/secret"
	"github.com/offkey/offkey/internal/session"
)

// waits starts a device as the token endpoint does, and returns its user code as
// it is shown.
func (w *world) waits(name string, change ...func(*session.Device)) string {
	w.t.Helper()
	d := session.Device{
		ID: session.NewDeviceID(), Code: secret.HashOf(name), UserCode: session.NewUserCode(), ClientID: "shop",
		Ask:     session.Ask{Scope: oauth.Scope{"openid", "read:orders", "create:orders"}},
		Origin:  session.Origin{Source: netip.MustParseAddr("203.0.113.9"), UserAgent: "tool/1.0 <b>"},
		Created: w.now(), Expires: w.now().Add(session.DeviceLife), Interval: session.DeviceInterval,
	}
	d.Ask.UserCode = session.ShowUserCode(d.UserCode)
	for _, c := range change {
		c(&d)
	}
	w.ok(w.db.StartDevice(context.Background(), d, session.DeviceLimits{PerClient: 1000, All: 1000}, w.now()))
	return d.Ask.UserCode
}

// said is what the person said of a device, nil if nothing.
func (w *world) said(name string) *session.Answer {
	w.t.Helper()
	d, err := w.db.Device(context.Background(), secret.HashOf(name))
	w.ok(err)
	return d.Answer
}

func TestWhoIsNotSignedInLearnsNothingOfCodes(t *testing.T) {
	// checklist_88
	w := newWorld(t)
	w.person("ana", anasPassword)
	there := w.waits("tv")
	for _, code := range []string{there, "BBBB-BBBB"} {
		b := w.browser()
		b.get("/device").send(`id="device-submit"`, "user_code", code).at("/signin").never("Shop &amp; Sons", "tool/1.0")
	}
	b := w.browser()
	b.get("/device").send(`id="device-submit"`, "user_code", "nonsense").is(http.StatusBadRequest).at("/device", `id="user_code-error"`)
}

func TestWrongCodesAreLimited(t *testing.T) {
	// checklist_88
	w := newWorld(t)
	w.person("ana", anasPassword)
	right := w.waits("tv", func(d *session.Device) { d.Expires = w.now().Add(time.Hour) })
	signedIn := func(name string, network int) *browser {
		w.source = netip.MustParseAddr(fmt.Sprintf("198.51.100.%d", network))
		b := w.browser()
		b.authorize(asks()).login(name, anasPassword)
		return b
	}
	try := func(b *browser, code string) page {
		return b.get("/device").send(`id="device-submit"`, "user_code", code)
	}
	wrong := func(i int) string {
		const letters = "BCDFGHJKLM"
		return "BBBBB" + string([]byte{letters[i/100%10], letters[i/10%10], letters[i%10]})
	}
	b := signedIn("ana", 1)
	for i := range 10 {
		try(b, wrong(i)).is(http.StatusNotFound)
	}
	try(b, right).is(http.StatusTooManyRequests).never("Shop &amp; Sons")
	t.Run("by account, wherever it comes from", func(t *testing.T) {
		try(signedIn("ana", 2), right).is(http.StatusTooManyRequests)
	})
	t.Run("by network, whoever comes from it", func(t *testing.T) {
		w.person("bob", anasPassword)
		try(signedIn("bob", 1), right).is(http.StatusTooManyRequests)
		try(signedIn("bob", 3), right).is(http.StatusOK)
	})
	t.Run("a minute later there is one more", func(t *testing.T) {
		w.advance(time.Minute)
		try(signedIn("ana", 4), right).is(http.StatusOK)
	})
	t.Run("and for all together", func(t *testing.T) {
		w := newWorld(t)
		right := w.waits("tv")
		for n := range 10 {
			name := fmt.Sprint("person", n)
			w.person(name, anasPassword)
			w.source = netip.MustParseAddr(fmt.Sprintf("198.51.100.%d", n+1))
			b := w.browser()
			b.authorize(asks()).login(name, anasPassword)
			for i := range 10 {
				try(b, wrong(n*10+i)).is(http.StatusNotFound)
			}
		}
		w.person("last", anasPassword)
		w.source = netip.MustParseAddr("198.51.100.200")
		b := w.browser()
		b.authorize(asks()).login("last", anasPassword)
		try(b, right).is(http.StatusTooManyRequests)
		w.advance(2 * time.Second)
		try(b, right).is(http.StatusOK)
	})
}

func TestADeviceIsAnsweredOnceAndByWhoSawIt(t *testing.T) {
	w := newWorld(t)
	w.person("ana", anasPassword)
	w.person("bob", anasPassword)
	code := w.waits("tv")
	signedIn := func(name string) *browser {
		b := w.browser()
		b.authorize(asks()).login(name, anasPassword)
		return b
	}
	seen := func(b *browser) page {
		return b.get("/device").send(`id="device-submit"`, "user_code", code).at("/device", `id="device-confirm"`)
	}
	ana, bob := signedIn("ana"), signedIn("bob")
	anas, bobs := seen(ana), seen(bob)
	action, form := anas.form(`id="device-confirm"`)
	form.Set("decision", "allow")
	bob.post(action, form)
	if w.said("tv") != nil {
		t.Fatal("another browser has answered with this one's form")
	}
	anas.send(`id="device-confirm"`, "decision", "allow").at("/device", `id="device-done"`)
	bobs.send(`id="device-deny"`, "decision", "deny").never(`id="device-done"`)
	if a := w.said("tv"); !a.Allowed() {
		t.Errorf("got %+v", a)
	}
	t.Run("and not once it has expired", func(t *testing.T) {
		code = w.waits("late")
		p := seen(ana)
		w.advance(session.DeviceLife)
		p.send(`id="device-confirm"`, "decision", "allow").never(`id="device-done"`)
		if w.said("late") != nil {
			t.Error("answered")
		}
	})
}
