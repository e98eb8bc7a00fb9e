package directory

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Policy is what a group asks of its members' sign-ins. What is left out is
// said by others; of several answers the strictest holds.
type Policy struct {
	Interactive Interactive `json:"interactive,omitempty"`
	MFA         MFA         `json:"mfa,omitempty"`
	SessionIdle Span        `json:"session_idle,omitzero"` // a session ends when it was not used for this long
	SessionMax  Span        `json:"session_max,omitzero"`  // and after this long in any case
	// Reauth is how old a sign-in may be before something dangerous: a change of
	// how one signs in, an act of an administrator.
	Reauth Span `json:"reauth,omitzero"`
}

// Interactive says whether people may sign in at all.
type Interactive string

// The values of Interactive.
const (
	Allow  Interactive = "allow"
	Forbid Interactive = "forbid"
)

// MFA is how a sign-in must have been proved.
type MFA string

// The values of MFA, weakest first. A passkey with user verification is two
// factors in one, and the only one that cannot be phished.
const (
	MFANone    MFA = "none"
	MFAAny     MFA = "any"
	MFAPasskey MFA = "passkey"
)

var mfaValues = []MFA{"", MFANone, MFAAny, MFAPasskey}

// Defaults hold where no group says anything.
var Defaults = Policy{
	Interactive: Allow, MFA: MFANone,
	SessionIdle: Span(8 * time.Hour), SessionMax: Span(24 * time.Hour), Reauth: Span(5 * time.Minute),
}

// The longest spans that a policy may name.
const (
	longestSession = Span(365 * 24 * time.Hour)
	shortestSpan   = Span(time.Minute)
)

// Check reports the first value of p that is none.
func (p Policy) Check() error {
	if p.Interactive != "" && p.Interactive != Allow && p.Interactive != Forbid {
		return fmt.Errorf("interactive is %q: it is allow or forbid", p.Interactive)
	}
	if !slices.Contains(mfaValues, p.MFA) {
		return fmt.Errorf("mfa is %q: it is none, any or passkey", p.MFA)
	}
	for _, s := range []struct {
		name string
		span Span
	}{{"session_idle", p.SessionIdle}, {"session_max", p.SessionMax}, {"reauth", p.Reauth}} {
		if s.span != 0 && (s.span < shortestSpan || s.span > longestSession) {
			return fmt.Errorf("%s is %s: use 1m to 365d", s.name, s.span)
		}
	}
	return nil
}

// Strictest is what holds for somebody whom all of these are about: forbid
// before allow, the stronger proof, the shorter span.
func Strictest(policies ...Policy) Policy {
	var all Policy
	for _, p := range policies {
		all.Interactive = stricter(all.Interactive, p.Interactive, "", Allow, Forbid)
		all.MFA = stricter(all.MFA, p.MFA, mfaValues...)
		all.SessionIdle = shorter(all.SessionIdle, p.SessionIdle)
		all.SessionMax = shorter(all.SessionMax, p.SessionMax)
		all.Reauth = shorter(all.Reauth, p.Reauth)
	}
	return all
}

// stricter is the one of a and b that stands later in order. What is not in
// order was written by a newer offkey: it counts as the strictest.
func stricter[T comparable](a, b T, order ...T) T {
	place := func(v T) int {
		if i := slices.Index(order, v); i >= 0 {
			return i
		}
		return len(order)
	}
	last := order[len(order)-1]
	if place(a) > place(b) {
		b = a
	}
	if place(b) == len(order) {
		return last
	}
	return b
}

func shorter(a, b Span) Span {
	switch {
	case a == 0:
		return b
	case b == 0:
		return a
	}
	return min(a, b)
}

// orDefaults fills in what nobody said.
func (p Policy) orDefaults() Policy {
	return Policy{
		Interactive: cmp.Or(p.Interactive, Defaults.Interactive), MFA: cmp.Or(p.MFA, Defaults.MFA),
		SessionIdle: cmp.Or(p.SessionIdle, Defaults.SessionIdle), SessionMax: cmp.Or(p.SessionMax, Defaults.SessionMax),
		Reauth: cmp.Or(p.Reauth, Defaults.Reauth),
	}
}

// Span is a time.Duration that is written as 15m, 24h or 30d. Zero is not said.
type Span time.Duration

// ErrSpan is what UnmarshalText says of a text that is no span.
var ErrSpan = errors.New("no span of time: write 15m, 24h or 30d")

// UnmarshalText reads 15m, 24h or 30d.
func (s *Span) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		*s = 0
		return nil
	}
	if days, ok := strings.CutSuffix(string(text), "d"); ok {
		n, err := strconv.ParseUint(days, 10, 16)
		if err != nil {
			return fmt.Errorf("%q is %w", text, ErrSpan)
		}
		*s = Span(time.Duration(n) * 24 * time.Hour)
		return nil
	}
	d, err := time.ParseDuration(string(text))
	if err != nil || d < 0 {
		return fmt.Errorf("%q is %w", text, ErrSpan)
	}
	*s = Span(d)
	return nil
}

// String writes the span as it is read.
func (s Span) String() string {
	const day = 24 * time.Hour
	d := time.Duration(s)
	if d >= day && d%day == 0 {
		return strconv.FormatInt(int64(d/day), 10) + "d"
	}
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// MarshalText writes the span as it is read; nothing for none.
func (s Span) MarshalText() ([]byte, error) {
	if s == 0 {
		return nil, nil
	}
	return []byte(s.String()), nil
}
