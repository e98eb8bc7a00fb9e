package session

import (
	"strings"
	"testing"
	"time"
)

var noon = time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)

func TestUserCodesAreDrawnEvenlyFromConsonants(t *testing.T) {
	// checklist_88
	const n = 4000
	seen, letters := map[string]bool{}, map[rune]int{}
	for range n {
		code := NewUserCode()
		seen[code] = true
		for _, r := range code {
			letters[r]++
		}
		if got, ok := ReadUserCode(ShowUserCode(code)); !ok || got != code {
			t.Fatalf("%q is read as %q, %v", ShowUserCode(code), got, ok)
		}
	}
	if len(seen) < n-2 {
		t.Errorf("%d of %d are different", len(seen), n)
	}
	if len(letters) != 20 || strings.ContainsAny(userCodeLetters, "AEIOUY") {
		t.Errorf("%d letters are used: %s", len(letters), userCodeLetters)
	}
	for r, count := range letters {
		if want := n * userCodeLength / 20; count < want*4/5 || count > want*6/5 { // eight standard deviations
			t.Errorf("%c comes %d times, want about %d", r, count, want)
		}
	}
}

func TestAUserCodeIsReadInAnySpelling(t *testing.T) {
	for typed, want := range map[string]string{ // checklist_88 the example of RFC 8628 §6.1 and its kin
		"WDJB-MJHT": "WDJBMJHT", "wdjbmjht": "WDJBMJHT", " wdjb mjht\n": "WDJBMJHT", "W.D.J.B_M/J/H/T": "WDJBMJHT", "wdjb\u2013mjht": "WDJBMJHT", "(WDJB\u00a0MJHT)": "WDJBMJHT",
	} {
		if got, ok := ReadUserCode(typed); !ok || got != want {
			t.Errorf("%q: %q, %v", typed, got, ok)
		}
	}
	for _, typed := range []string{"", "WDJB", "WDJB-MJH", "WDJB-MJHTT", "WDJB-MJHA", "WDJB-MJH7", "WDJB-MJHТ", "ＷDJB-MJHT", strings.Repeat("-", 64) + "WDJBMJHT", "WDJB-MJH\xff"} {
		if got, ok := ReadUserCode(typed); ok {
			t.Errorf("%q is read as %q", typed, got)
		}
	}
}

func FuzzReadUserCode(f *testing.F) {
	f.Add("WDJB-MJHT")
	f.Add("wdjb\u2013mjht")
	f.Fuzz(func(t *testing.T, typed string) {
		code, ok := ReadUserCode(typed)
		if !ok {
			return
		}
		if len(code) != userCodeLength || strings.Trim(code, userCodeLetters) != "" {
			t.Errorf("%q is read as %q", typed, code)
		}
		if again, ok := ReadUserCode(ShowUserCode(code)); !ok || again != code {
			t.Errorf("%q, shown and read again, is %q", code, again)
		}
	})
}

func TestSlowDownAddsFiveSecondsForGood(t *testing.T) {
	// checklist_86
	d := Device{Interval: DeviceInterval}
	at := noon
	for i, step := range []struct {
		after    time.Duration
		tooSoon  bool
		interval time.Duration
	}{
		{0, false, 5 * time.Second}, // the first poll may come at once
		{4 * time.Second, true, 10 * time.Second},
		{9 * time.Second, true, 15 * time.Second}, // counted from the poll that was too soon
		{15 * time.Second, false, 15 * time.Second},
		{14600 * time.Millisecond, false, 15 * time.Second}, // the network is forgiven
		{10 * time.Second, true, 20 * time.Second},
		{20 * time.Second, false, 20 * time.Second},
	} {
		at = at.Add(step.after)
		if tooSoon, changed := d.Poll(at); tooSoon != step.tooSoon || !changed || d.Interval != step.interval {
			t.Errorf("poll %d: too soon %v, interval %v", i, tooSoon, d.Interval)
		}
	}
}

func TestWhoeverPollsOnAndOnHasNothingWritten(t *testing.T) {
	d := Device{Interval: DeviceInterval}
	written := 0
	for i := range 1000 {
		if _, changed := d.Poll(noon.Add(time.Duration(i) * time.Millisecond)); changed {
			written++
		}
	}
	if written != 12 || d.Interval != slowest {
		t.Errorf("written %d times, interval %v", written, d.Interval)
	}
	if tooSoon, _ := d.Poll(noon.Add(2 * time.Minute)); tooSoon {
		t.Error("and is locked out for it")
	}
}

func TestWhatWasAllowedAtTheLastMomentCanBeFetched(t *testing.T) {
	d := Device{Expires: noon}
	allowed := Answer{PersonID: "pe_1", At: noon.Add(-time.Second)}
	if got := d.Until(allowed); got.Before(noon.Add(slowest)) {
		t.Errorf("until %v", got)
	}
	if got := d.Until(Answer{Error: "access_denied", At: noon.Add(-time.Second)}); got != noon {
		t.Errorf("denied: until %v", got)
	}
	if got := d.Until(Answer{PersonID: "pe_1", At: noon.Add(-time.Hour)}); got != noon {
		t.Errorf("early: until %v", got)
	}
	if d.Expired(noon.Add(-1)) || !d.Expired(noon) {
		t.Error("it expires at its time")
	}
}
