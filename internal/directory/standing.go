package directory

import (
	"errors"
	"fmt"
	"slices"

	"github.com/offkey/offkey/internal/oauth"
)

// Why nobody gets in, however well they prove themselves.
var (
	// ErrDisabled is a person whom an operator has shut out.
	ErrDisabled = errors.New("this account is disabled")
	// ErrForbidden is a person who may not sign in by the policy of a group.
	ErrForbidden = errors.New("interactive sign-in is forbidden for this account")
)

// Standing is a person with what the groups they are in say about them. It is
// shared, and must not be changed.
type Standing struct {
	*Person
	Policy   Policy      // the strictest of their groups, complete
	MayGrant oauth.Scope // what they may hand on to clients
	Roles    []string    // what they may do with offkey itself
	forbids  string      // the group that forbids interactive sign-in
}

// StandingOf joins a person with the groups they are in, Everyone among them.
func StandingOf(p *Person, groups []Group) *Standing {
	s := &Standing{Person: p, MayGrant: MayGrant(groups...)}
	policies := make([]Policy, 0, len(groups))
	for _, g := range groups {
		policies = append(policies, g.Policy)
		for _, role := range g.Roles {
			if !slices.Contains(s.Roles, role) {
				s.Roles = append(s.Roles, role)
			}
		}
		if s.forbids == "" && Strictest(g.Policy).Interactive == Forbid {
			s.forbids = g.Name
		}
	}
	s.Policy = Strictest(policies...).orDefaults()
	return s
}

// Open is nil when the person may sign in, and clients may act for them. Every
// way in asks it: password, passkey, links, upstream provider, device, refresh.
// What it answers is for whoever has proved to be this person, and for
// operators; strangers are told nothing.
func (s *Standing) Open() error {
	switch {
	case s == nil || s.Person == nil:
		return ErrNotFound
	case s.Status == Disabled:
		return ErrDisabled
	case s.Policy.Interactive != Allow:
		return fmt.Errorf("%w by the group %s", ErrForbidden, s.forbids)
	case s.Status != Active && s.Status != Invited:
		return ErrDisabled
	}
	return nil
}

// Has reports whether the person may do with offkey itself what the role
// allows.
func (s *Standing) Has(role string) bool { return s.Open() == nil && slices.Contains(s.Roles, role) }
