package storetest

import (
	"errors"
	"fmt"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"github.com/offkey/offkey/internal/oauth"
	"github.com/offkey/offkey/internal/secret"
	"github.com/offkey/offkey/internal/session"
	"github.com/offkey/offkey/internal/token"
)

// aDevice is a device with something in every field but the answer.
func aDevice(name string) session.Device {
	return session.Device{
		ID: "gr_" + name, Code: secret.HashOf(name), UserCode: name, ClientID: "cl_1",
		Ask:     session.Ask{Scope: oauth.Scope{"read:orders", "openid"}, Resources: []string{"https://api.example.com"}, UserCode: "WDJB-MJHT"},
		Bound:   session.Binding{JKT: "thumbprint"},
		Origin:  session.Origin{Source: netip.MustParseAddr("2001:db8::1"), UserAgent: "tool/1.0 \"x\""},
		Created: noon, Expires: noon.Add(session.DeviceLife), Interval: session.DeviceInterval, Polled: noon.Add(time.Second),
	}
}

// allowed is an answer with something in every field but those of an error.
func allowed(at time.Time) session.Answer {
	return session.Answer{
		PersonID: "pe_1", SessionID: "se_1", Scope: oauth.Scope{"read:orders"}, At: at,
		Login: session.Login{AuthTime: noon.Truncate(time.Second), ACR: session.ACRMFA, AMR: []string{"pwd", "otp"}},
	}
}

var someDevices = session.DeviceLimits{PerClient: 100, All: 1000}

// shownDevice is a device as it is compared.
func shownDevice(d session.Device) session.Device {
	d.Created, d.Expires, d.Polled = kept(d.Created), kept(d.Expires), kept(d.Polled)
	return d
}

func (b *trial) haveDevice(d session.Device) {
	b.t.Helper()
	b.ok(b.StartDevice(b.ctx(), d, someDevices, noon))
}

func testDevices(t *testing.T, open Open) {
	code := secret.HashOf("a")
	t.Run("a device is kept as it is, until it is answered and after", func(t *testing.T) {
		b := setUp(t, open)
		d := aDevice("a")
		b.haveDevice(d)
		b.reopen()
		got, err := b.Device(b.ctx(), code)
		b.ok(err)
		b.same("by its code", shownDevice(got), shownDevice(d))
		got, err = b.WaitingDevice(b.ctx(), "a", noon)
		b.ok(err)
		b.same("by its user code", shownDevice(got), shownDevice(d))
		answer := allowed(noon)
		b.ok(b.AnswerDevice(b.ctx(), code, answer, did("device.allowed")))
		b.reopen()
		got, err = b.Device(b.ctx(), code)
		b.ok(err)
		d.Answer = &answer
		b.same("answered", shownDevice(got), shownDevice(d))
		if last := b.entries(); last[len(last)-1].Action != "device.allowed" {
			t.Error("the answer is not in the audit log")
		}
	})
	t.Run("what was allowed by somebody who was revoked since is gone", func(t *testing.T) {
		b := setUp(t, open)
		b.haveDevice(aDevice("a"))
		b.ok(b.AnswerDevice(b.ctx(), code, allowed(noon), did("device.allowed")))
		b.ok(b.Revoke(b.ctx(), token.Revocation{Kind: token.RevokePerson, ID: "pe_1", Before: noon.Add(time.Second)}, did("person.ended")))
		_, err := b.RedeemDevice(b.ctx(), code, noon.Add(2*time.Second))
		b.is(err, session.ErrNoDevice)
	})
	t.Run("what is not there is ErrNoDevice", func(t *testing.T) {
		b := setUp(t, open)
		_, err := b.Device(b.ctx(), code)
		b.is(err, session.ErrNoDevice)
		_, err = b.WaitingDevice(b.ctx(), "a", noon)
		b.is(err, session.ErrNoDevice)
		_, err = b.PollDevice(b.ctx(), code, noon)
		b.is(err, session.ErrNoDevice)
		_, err = b.RedeemDevice(b.ctx(), code, noon)
		b.is(err, session.ErrNoDevice)
		b.is(b.AnswerDevice(b.ctx(), code, allowed(noon), did("x")), session.ErrNoDevice)
	})
	t.Run("checklist_88 a user code is one device's as long as that is known", func(t *testing.T) {
		b := setUp(t, open)
		b.haveDevice(aDevice("a"))
		other := aDevice("b")
		other.UserCode = "a"
		b.is(b.StartDevice(b.ctx(), other, someDevices, noon), session.ErrUserCode)
		_, err := b.Clean(b.ctx(), noon.Add(session.DeviceLife+session.DeviceKept+time.Second), 0)
		b.ok(err)
		b.ok(b.StartDevice(b.ctx(), other, someDevices, noon))
	})
	t.Run("as many wait as the limits say", func(t *testing.T) {
		b := setUp(t, open)
		limits := session.DeviceLimits{PerClient: 3, All: 5}
		start := func(name, clientID string, now time.Time) error {
			d := aDevice(name)
			d.ClientID, d.Expires = clientID, now.Add(time.Minute)
			return b.StartDevice(b.ctx(), d, limits, now)
		}
		var made [2]atomic.Int32
		together(40, func(i int) {
			switch err := start(fmt.Sprint(i), fmt.Sprint("cl_", i%2), noon); {
			case err == nil:
				made[i%2].Add(1)
			case !errors.Is(err, session.ErrManyDevices):
				t.Error(err)
			}
		})
		if a, c := made[0].Load(), made[1].Load(); a > 3 || c > 3 || a+c != 5 {
			t.Errorf("%d and %d wait", a, c)
		}
		b.ok(start("later", "cl_0", noon.Add(time.Minute)))
	})
	t.Run("checklist_87 of 64 that redeem together one gets the device", func(t *testing.T) {
		b := setUp(t, open)
		for round := range 5 {
			name := fmt.Sprint(round)
			b.haveDevice(aDevice(name))
			b.ok(b.AnswerDevice(b.ctx(), secret.HashOf(name), allowed(noon), did("x")))
			var won atomic.Int32
			together(64, func(int) {
				switch d, err := b.RedeemDevice(b.ctx(), secret.HashOf(name), noon); {
				case err == nil && d.Answer.PersonID == "pe_1":
					won.Add(1)
				case !errors.Is(err, session.ErrNoDevice):
					t.Errorf("error %v", err)
				}
			})
			if won.Load() != 1 {
				t.Fatalf("%d got it", won.Load())
			}
		}
		b.reopen()
		_, err := b.RedeemDevice(b.ctx(), secret.HashOf("0"), noon)
		b.is(err, session.ErrNoDevice)
	})
	t.Run("only what was allowed is redeemed, and in time", func(t *testing.T) {
		b := setUp(t, open)
		b.haveDevice(aDevice("a"))
		_, err := b.RedeemDevice(b.ctx(), code, noon)
		b.is(err, session.ErrNoDevice)
		b.ok(b.AnswerDevice(b.ctx(), code, session.Answer{PersonID: "pe_1", Error: "access_denied", At: noon}, did("x")))
		_, err = b.RedeemDevice(b.ctx(), code, noon)
		b.is(err, session.ErrNoDevice)
		b.haveDevice(aDevice("b"))
		b.ok(b.AnswerDevice(b.ctx(), secret.HashOf("b"), allowed(noon), did("x")))
		_, err = b.RedeemDevice(b.ctx(), secret.HashOf("b"), noon.Add(session.DeviceLife))
		b.is(err, session.ErrNoDevice)
	})
	t.Run("the first answer stands", func(t *testing.T) {
		b := setUp(t, open)
		b.haveDevice(aDevice("a"))
		var won atomic.Int32
		together(20, func(i int) {
			a := allowed(noon)
			a.PersonID = fmt.Sprint("pe_", i)
			switch err := b.AnswerDevice(b.ctx(), code, a, did("x")); {
			case err == nil:
				won.Add(1)
			case !errors.Is(err, session.ErrNoDevice):
				t.Error(err)
			}
		})
		if won.Load() != 1 || len(b.entries()) != 1 {
			t.Errorf("%d answers, %d audit entries", won.Load(), len(b.entries()))
		}
		_, err := b.WaitingDevice(b.ctx(), "a", noon)
		b.is(err, session.ErrNoDevice)
	})
	t.Run("nobody answers a device that has expired", func(t *testing.T) {
		b := setUp(t, open)
		b.haveDevice(aDevice("a"))
		end := noon.Add(session.DeviceLife)
		_, err := b.WaitingDevice(b.ctx(), "a", end)
		b.is(err, session.ErrNoDevice)
		b.is(b.AnswerDevice(b.ctx(), code, allowed(end), did("x")), session.ErrNoDevice)
		b.ok(b.AnswerDevice(b.ctx(), code, allowed(end.Add(-time.Second)), did("x")))
		_, err = b.RedeemDevice(b.ctx(), code, end.Add(time.Minute)) // allowed at the last moment
		b.ok(err)
	})
	t.Run("an answer that cannot be audited is none", func(t *testing.T) {
		b := setUp(t, open)
		b.haveDevice(aDevice("a"))
		unwritable := did("x")
		unwritable.Detail = func() {} // has no JSON
		if err := b.AnswerDevice(b.ctx(), code, allowed(noon), unwritable); err == nil {
			t.Error("no error")
		}
		_, err := b.WaitingDevice(b.ctx(), "a", noon)
		b.ok(err)
	})
	t.Run("checklist_86 slow_down outlives a restart", func(t *testing.T) {
		b := setUp(t, open)
		d := aDevice("a")
		d.Polled = time.Time{}
		b.haveDevice(d)
		poll := func(after time.Duration, want bool) {
			t.Helper()
			if tooSoon, err := b.PollDevice(b.ctx(), code, noon.Add(after)); err != nil || tooSoon != want {
				t.Errorf("after %v: too soon %v, error %v", after, tooSoon, err)
			}
		}
		poll(0, false)
		poll(time.Second, true)
		b.reopen()
		poll(10*time.Second, true)
		poll(25*time.Second, false)
	})
	t.Run("polls that arrive together are too soon but for one", func(t *testing.T) {
		b := setUp(t, open)
		d := aDevice("a")
		d.Polled = time.Time{}
		b.haveDevice(d)
		var inTime atomic.Int32
		together(50, func(int) {
			if tooSoon, err := b.PollDevice(b.ctx(), code, noon); err != nil {
				t.Error(err)
			} else if !tooSoon {
				inTime.Add(1)
			}
		})
		if inTime.Load() != 1 {
			t.Errorf("%d were in time", inTime.Load())
		}
	})
	t.Run("checklist_229 expired devices are known for a while and then cleaned in batches", func(t *testing.T) {
		b := setUp(t, open)
		for i := range 10 {
			b.haveDevice(aDevice(fmt.Sprint(i)))
		}
		end := noon.Add(session.DeviceLife + session.DeviceKept)
		if n, err := b.Clean(b.ctx(), end, 100); err != nil || n != 0 {
			t.Errorf("%d, %v", n, err)
		}
		for want := 10; want > 0; want -= 7 {
			if n, err := b.Clean(b.ctx(), end.Add(time.Second), 7); err != nil || n != min(want, 7) {
				t.Errorf("%d, %v", n, err)
			}
		}
		_, err := b.Device(b.ctx(), secret.HashOf("0"))
		b.is(err, session.ErrNoDevice)
	})
}
