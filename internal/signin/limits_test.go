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
			if l.places(g).take(now) == 0 {
				looked++
			}
		}
		if looked != 100 {
			t.Errorf("%d guesses were looked at", looked)
		}
		if l.places(stranger("elsewhere", "ana")).take(now) == 0 {
			t.Error("another stranger may guess on")
		}
		if l.places(known).take(now) != 0 || l.places(stranger("network 1", "ben")).take(now) != 0 {
			t.Error("somebody else waits")
		}
	})
	t.Run("one network that tries many names is stopped", func(t *testing.T) {
		l := newLimits()
		looked := 0
		for i := range 500 {
			g := stranger("network", fmt.Sprint("name ", i))
			if l.places(g).take(now) == 0 {
				looked++
			}
		}
		if looked != 100 || l.places(stranger("another", "ana")).take(now) != 0 || l.places(known).take(now) != 0 {
			t.Errorf("%d guesses were looked at", looked)
		}
	})
	t.Run("a known browser has ten of its own", func(t *testing.T) {
		l := newLimits()
		looked := 0
		for range 50 {
			if l.places(known).take(now) == 0 {
				looked++
			}
		}
		if looked != 10 || l.places(stranger("home", "ana")).take(now) != 0 {
			t.Errorf("%d guesses were looked at", looked)
		}
		if l.places(known).take(now.Add(61*time.Second)) != 0 {
			t.Error("nothing comes back")
		}
	})
	t.Run("64 guesses that arrive together are no more than ten", func(t *testing.T) {
		l := newLimits()
		took := make(chan bool)
		for range 64 {
			go func() { took <- l.places(known).take(now) == 0 }()
		}
		looked := 0
		for range 64 {
			if <-took {
				looked++
			}
		}
		if looked != 10 {
			t.Errorf("%d guesses were looked at", looked)
		}
	})
	t.Run("a right one costs nothing", func(t *testing.T) {
		l := newLimits()
		for _, g := range []guess{known, stranger("home", "ana")} {
			for i := range 200 {
				at := l.places(g)
				if wait := at.take(now); wait > 0 {
					t.Fatalf("the %d. right one waits for %s", i+1, wait)
				}
				at.back(now)
			}
		}
	})
	t.Run("one that is not looked at is counted nowhere", func(t *testing.T) {
		l := newLimits()
		for range 50 {
			l.places(stranger("home", "ana")).take(now)
		}
		looked := 0
		for i := range 200 {
			if l.places(stranger("home", fmt.Sprint("name ", i))).take(now) == 0 {
				looked++
			}
		}
		if looked != 90 {
			t.Errorf("%d of the network's hundred are left, want 90", looked)
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
