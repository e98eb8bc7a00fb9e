package client

import (
	"errors"
	"fmt"
	"strings"
)

// Pattern is a text of which parts are open. A * stands for one character or
// more, but for no separator, which are : and /; so that repo:acme/* is every
// repository of acme and not a branch that somebody named acme/x. A pattern that
// ends in ** after a separator is open to the end. Everything else stands for
// itself, octet by octet.
type Pattern string

// separators part a subject into what different people may choose.
const separators = ":/"

// check reports what makes p no pattern.
func (p Pattern) check() error {
	s := string(p)
	switch i := strings.Index(s, "**"); {
	case s == "" || len(s) > maxTrustText:
		return errors.New("a pattern is empty or too long")
	case i >= 0 && (i != len(s)-2 || i > 0 && !strings.ContainsRune(separators, rune(s[i-1]))):
		return fmt.Errorf("the pattern %q has ** elsewhere than at its end, after : or /", s)
	}
	return nil
}

// matchesAll reports whether no letter of p is fixed.
func (p Pattern) matchesAll() bool { return strings.Trim(string(p), "*"+separators) == "" }

// Matches reports whether s is one of the texts that p stands for.
func (p Pattern) Matches(s string) bool {
	if p.check() != nil {
		return false
	}
	pattern, open := strings.CutSuffix(string(p), "**")
	for {
		if pattern == "" && open {
			return s != ""
		}
		want, wantSep, patternRest := cutSegment(pattern)
		have, haveSep, rest := cutSegment(s)
		if wantSep != haveSep || !matchesSegment(want, have) {
			return false
		}
		if wantSep == "" {
			return true
		}
		pattern, s = patternRest, rest
	}
}

// cutSegment cuts s behind its first separator, which is "" where there is none.
func cutSegment(s string) (segment, separator, rest string) {
	i := strings.IndexAny(s, separators)
	if i < 0 {
		return s, "", ""
	}
	return s[:i], s[i : i+1], s[i+1:]
}

// matchesSegment compares what has no separator in it.
func matchesSegment(pattern, s string) bool {
	fixed := strings.Split(pattern, "*")
	last := len(fixed) - 1
	if last == 0 {
		return pattern == s
	}
	if !strings.HasPrefix(s, fixed[0]) {
		return false
	}
	s = s[len(fixed[0]):]
	for _, part := range fixed[1:last] { // each has a star before it
		if s == "" {
			return false
		}
		i := strings.Index(s[1:], part)
		if i < 0 {
			return false
		}
		s = s[1+i+len(part):]
	}
	return len(s) > len(fixed[last]) && strings.HasSuffix(s, fixed[last])
}
