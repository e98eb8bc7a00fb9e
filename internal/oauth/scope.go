package oauth

import (
	"slices"
	"strings"
)

// The bounds of a scope parameter.
const (
	maxScopeNames = 100
	maxScopeBytes = 4 << 10
)

// Scope is a set of scope names in the order in which they were first given.
// The zero Scope has none and covers nothing but itself. In JSON it is an array;
// where a message wants one string, use String.
type Scope []string

// ParseScope reads the names of s, separated by spaces (RFC 6749 §3.3). Names
// repeated count once. The error is invalid_scope.
func ParseScope(s string) (Scope, error) {
	if len(s) > maxScopeBytes {
		return nil, InvalidScope("scope is longer than 4096 characters")
	}
	var scope Scope
	for name := range strings.SplitSeq(s, " ") {
		if name == "" {
			continue // more than one space between names hurts nobody
		}
		if !IsScopeName(name) {
			return nil, InvalidScope("scope has a character that RFC 6749 section 3.3 does not allow: names are printable ASCII without quotation mark and backslash, with single spaces between them")
		}
		if scope.Has(name) {
			continue
		}
		if len(scope) == maxScopeNames {
			return nil, InvalidScope("scope has more than 100 names")
		}
		scope = append(scope, name)
	}
	return scope, nil
}

// IsScopeName reports whether s is a scope-token: 1*( %x21 / %x23-5B / %x5D-7E )
// (RFC 6749 §3.3).
func IsScopeName(s string) bool {
	for i := range len(s) {
		if c := s[i]; c <= 0x20 || c > 0x7e || c == '"' || c == '\\' {
			return false
		}
	}
	return s != ""
}

// String joins the names with spaces.
func (s Scope) String() string { return strings.Join(s, " ") }

// IsZero reports whether there are no names.
func (s Scope) IsZero() bool { return len(s) == 0 }

// Has reports whether name is in the set. Letter case matters.
func (s Scope) Has(name string) bool { return slices.Contains(s, name) }

// Covers reports whether every name of other is in s.
func (s Scope) Covers(other Scope) bool {
	for _, name := range other {
		if !s.Has(name) {
			return false
		}
	}
	return true
}

// Intersect returns the names of s that other has too.
func (s Scope) Intersect(other Scope) Scope { return s.filter(other.Has) }

// Minus returns the names of s that other does not have.
func (s Scope) Minus(other Scope) Scope {
	return s.filter(func(name string) bool { return !other.Has(name) })
}

// Union returns the names of s, then those that only other has.
func (s Scope) Union(other Scope) Scope {
	return append(slices.Clone(s), other.Minus(s)...)
}

// Sorted returns the names in order of their bytes.
func (s Scope) Sorted() Scope { return slices.Sorted(slices.Values(s)) }

// Equal reports whether both have the same names, in any order.
func (s Scope) Equal(other Scope) bool { return s.Covers(other) && other.Covers(s) }

func (s Scope) filter(keep func(string) bool) Scope {
	var out Scope
	for _, name := range s {
		if keep(name) {
			out = append(out, name)
		}
	}
	return out
}
