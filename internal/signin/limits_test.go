package signin

import (
	"fmt"
	"net/netip"
	"testing"
	"time"
)

func TestLimits(t *testing.T) {
	now := time.Date(2027, 1, 15, 10, 0, 0, 0, time.UTC)
	stranger := func(network, account string) guess { return guess{source: network, account: account} }
	known := guess{source: "home", account: "ana", known: "k1"}
	t.Run("guesses at one account from many networks stop strangers, and nobody who is known", func(t *testing.T) {
		l := newLimits()
		looked := 0
		for i := range 500 {
			g := stranger(fmt.Sprint("network ", i), "ana")
			if l.check(g, now) == 0 {
				looked++
				l.fail(g, now)
			}
		}
		if looked != 100 {
			t.Errorf("%d guesses were looked at", looked)
		}
		if l.check(stranger("elsewhere", "ana"), now) == 0 {
			t.Error("another stranger may guess on")
		}
		if l.check(known, now) != 0 || l.check(stranger("network 1", "ben"), now) != 0 {
			t.Error("somebody else waits")
		}
	})
	t.Run("one network that tries many names is stopped", func(t *testing.T) {
		l := newLimits()
		looked := 0
		for i := range 500 {
			g := stranger("network", fmt.Sprint("name ", i))
			if l.check(g, now) == 0 {
				looked++
				l.fail(g, now)
			}
		}
		if looked != 100 || l.check(stranger("another", "ana"), now) != 0 || l.check(known, now) != 0 {
			t.Errorf("%d guesses were looked at", looked)
		}
	})
	t.Run("a known browser has ten of its own", func(t *testing.T) {
		l := newLimits()
		looked := 0
		for range 50 {
			if l.check(known, now) == 0 {
				looked++
				l.fail(known, now)
			}
		}
		if looked != 10 || l.check(stranger("home", "ana"), now) != 0 {
			t.Errorf("%d guesses were looked at", looked)
		}
		if l.check(known, now.Add(61*time.Second)) != 0 {
			t.Error("nothing comes back")
		}
	})
}

func TestSourceName(t *testing.T) {
	for text, want := range map[string]string{
		"192.0.2.1": "192.0.2.1", "::ffff:192.0.2.1": "192.0.2.1", "2001:db8:1:2:3:4:5:6": "2001:db8:1:2::/64", "fe80::1%eth0": "fe80::/64",
	} {
		if got := sourceName(netip.MustParseAddr(text)); got != want {
			t.Errorf("%s is %s, want %s", text, got, want)
		}
	}
	if got := sourceName(netip.Addr{}); got != "unknown" {
		t.Errorf("nothing is %s", got)
	}
}
