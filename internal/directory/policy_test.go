package directory

import (
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/offkey/offkey/internal/oauth"
)

func TestTheStrictestPolicyHolds(t *testing.T) {
	minutes := func(n int) Span { return Span(time.Duration(n) * time.Minute) }
	for _, tc := range []struct {
		name string
		all  []Policy
		want Policy
	}{
		{"of none it is nothing", nil, Policy{}},
		{"what one says holds", []Policy{{}, {Interactive: Allow, MFA: MFAAny, SessionIdle: minutes(5)}, {}}, Policy{Interactive: Allow, MFA: MFAAny, SessionIdle: minutes(5)}},
		{"forbid holds against allow", []Policy{{Interactive: Forbid}, {Interactive: Allow}}, Policy{Interactive: Forbid}},
		{"whatever the order", []Policy{{Interactive: Allow}, {Interactive: Forbid}}, Policy{Interactive: Forbid}},
		{"the stronger proof", []Policy{{MFA: MFAAny}, {MFA: MFAPasskey}, {MFA: MFANone}}, Policy{MFA: MFAPasskey}},
		{"the shorter spans, each by itself", []Policy{{SessionIdle: minutes(10), SessionMax: minutes(60), Reauth: minutes(9)}, {SessionIdle: minutes(30), SessionMax: minutes(20)}}, Policy{SessionIdle: minutes(10), SessionMax: minutes(20), Reauth: minutes(9)}},
		{"what a newer offkey wrote is the strictest", []Policy{{Interactive: "never", MFA: "quantum"}, {Interactive: Allow, MFA: MFANone}}, Policy{Interactive: Forbid, MFA: MFAPasskey}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := Strictest(tc.all...); got != tc.want {
				t.Errorf("%+v, want %+v", got, tc.want)
			}
		})
	}
}

func TestPolicyValues(t *testing.T) {
	for name, p := range map[string]Policy{
		"interactive": {Interactive: "maybe"}, "mfa": {MFA: "sms"}, "idle of a second": {SessionIdle: Span(time.Second)},
		"life of two years": {SessionMax: Span(2 * 365 * 24 * time.Hour)}, "negative": {Reauth: -1},
	} {
		if p.Check() == nil {
			t.Errorf("%s is taken", name)
		}
	}
	if err := Defaults.Check(); err != nil {
		t.Error(err)
	}
	for text, want := range map[string]time.Duration{"15m": 15 * time.Minute, "24h": 24 * time.Hour, "30d": 30 * 24 * time.Hour, "90s": 90 * time.Second, "": 0} {
		var s Span
		if err := s.UnmarshalText([]byte(text)); err != nil || s != Span(want) {
			t.Errorf("%q: %v, %v", text, s, err)
		}
		var again Span
		if written, _ := s.MarshalText(); again.UnmarshalText(written) != nil || again != s {
			t.Errorf("%q is written as %q", text, written)
		}
	}
	for _, text := range []string{"x", "-5m", "1.5d", "-1d", "99999999d", "15"} {
		if err := new(Span).UnmarshalText([]byte(text)); !errors.Is(err, ErrSpan) {
			t.Errorf("%q: %v", text, err)
		}
	}
	p := Policy{MFA: MFAAny, SessionIdle: Span(15 * time.Minute)}
	raw, err := json.Marshal(p)
	if err != nil || string(raw) != `{"mfa":"any","session_idle":"15m"}` {
		t.Errorf("%s, %v", raw, err)
	}
	var again Policy
	if err := json.Unmarshal(raw, &again); err != nil || again != p {
		t.Errorf("%+v, %v", again, err)
	}
}

func TestStandings(t *testing.T) {
	everyone := Group{Name: Everyone, Scopes: oauth.Scope{"read:menu"}}
	admins := Group{Name: Admins, Roles: []string{RoleAdmin}, Policy: Policy{MFA: MFAAny}}
	shut := Group{Name: "robots", Scopes: oauth.Scope{"read:all"}, Policy: Policy{Interactive: Forbid}}
	for _, tc := range []struct {
		name   string
		person *Person
		groups []Group
		open   error
		admin  bool
	}{
		{"active", &Person{Status: Active}, []Group{everyone}, nil, false},
		{"invited", &Person{Status: Invited}, []Group{everyone}, nil, false},
		{"an administrator", &Person{Status: Active}, []Group{everyone, admins}, nil, true},
		{"disabled", &Person{Status: Disabled}, []Group{everyone, admins}, ErrDisabled, false},
		{"in a group that forbids", &Person{Status: Active}, []Group{everyone, admins, shut}, ErrForbidden, false},
		{"disabled and forbidden", &Person{Status: Disabled}, []Group{shut}, ErrDisabled, false},
		{"without a status", &Person{}, []Group{everyone}, ErrDisabled, false},
		{"nobody", nil, nil, ErrNotFound, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := StandingOf(tc.person, tc.groups)
			if got := s.Open(); !errors.Is(got, tc.open) || (got == nil) != (tc.open == nil) {
				t.Errorf("%v", got)
			}
			if s.Has(RoleAdmin) != tc.admin || s.Has("") {
				t.Error("the role")
			}
		})
	}
	if !errors.Is((*Standing)(nil).Open(), ErrNotFound) {
		t.Error("a nil Standing is open")
	}
	s := StandingOf(&Person{Status: Active}, []Group{everyone, admins})
	if s.Policy != (Policy{Allow, MFAAny, Defaults.SessionIdle, Defaults.SessionMax, Defaults.Reauth}) {
		t.Errorf("%+v", s.Policy)
	}
	if !s.MayGrant.Has("read:menu") || !s.MayGrant.Has("openid") || s.MayGrant.Has("read:all") {
		t.Errorf("may grant %v", s.MayGrant)
	}
}
