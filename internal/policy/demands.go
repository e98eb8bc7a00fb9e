package policy

import (
	"errors"
	"slices"
	"strings"
	"time"
)

// Demands are what a route asks of a token beside its scopes. The zero value asks
// for nothing.
type Demands struct {
	DPoP   bool     `json:"dpop,omitempty"`    // it is bound to a key, and the caller proves it (RFC 9449 §7.1)
	ACR    []string `json:"acr,omitempty"`     // its person signed in in one of these ways (RFC 9470 §3)
	MaxAge int64    `json:"max_age,omitempty"` // and that long ago at most, in seconds; 0: whenever
}

// The bounds of what a route can ask for.
const (
	maxACR    = 16
	maxMaxAge = 366 * 24 * 60 * 60
)

// Check reports what no token could ever meet, or no challenge could say.
func (d Demands) Check() error {
	switch {
	case len(d.ACR) > maxACR:
		return errors.New("more than 16 values of acr")
	case d.MaxAge < 0 || d.MaxAge > maxMaxAge:
		return errors.New("max_age is not between a second and a year")
	}
	for _, acr := range d.ACR {
		if acr == "" || strings.ContainsFunc(acr, func(c rune) bool { return c <= ' ' || c > '~' || c == '"' || c == '\\' }) {
			return errors.New("a value of acr is empty, or has a space or a character that no challenge can carry")
		}
	}
	return nil
}

// StepUp reports whether how a person signed in counts.
func (d Demands) StepUp() bool { return len(d.ACR) > 0 || d.MaxAge > 0 }

// metBy is the code of the first demand that a token does not meet, "" if it
// meets all.
func (d Demands) metBy(p Principal, at time.Time) (unmet string) {
	switch {
	case d.DPoP && !p.DPoP:
		return CodeDPoPRequired
	case len(d.ACR) > 0 && !slices.Contains(d.ACR, p.ACR):
		return CodeStepUp
	case d.MaxAge > 0 && (p.AuthTime.IsZero() || at.Sub(p.AuthTime) > time.Duration(d.MaxAge)*time.Second):
		return CodeStepUp // RFC 9470 §3
	}
	return ""
}
