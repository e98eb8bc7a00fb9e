package clientauth

import (
	"fmt"
	"math"
	"net/http"
	"net/netip"
	"time"

	"github.com/offkey/offkey/internal/limit"
	"github.com/offkey/offkey/internal/oauth"
)

// Why an authentication failed, for counting.
const (
	CauseMissing       = "missing"        // no credential in the request
	CauseMalformed     = "malformed"      // a credential that cannot be read
	CauseTwoMethods    = "two_methods"    // more than one method
	CauseUnproved      = "unproved"       // unknown client, wrong secret, wrong signature
	CauseMethod        = "method"         // a right secret, sent another way than registered
	CauseExpired       = "expired"        // a right credential that has expired
	CauseDisabled      = "disabled"       // a right credential of a disabled client
	CauseType          = "assertion_type" // typ or client_assertion_type
	CauseAlgorithm     = "assertion_alg"
	CauseAudience      = "assertion_audience"
	CauseLifetime      = "assertion_lifetime"
	CauseClock         = "assertion_clock"
	CauseReplayed      = "assertion_replayed"
	CauseLimited       = "limited" // too many failures before
	CauseNotConfigured = "jwks_unavailable"
)

// Causes are all of them.
var Causes = []string{
	CauseMissing, CauseMalformed, CauseTwoMethods, CauseUnproved, CauseMethod, CauseExpired, CauseDisabled, CauseType,
	CauseAlgorithm, CauseAudience, CauseLifetime, CauseClock, CauseReplayed, CauseLimited, CauseNotConfigured,
}

// failure is a refusal inside of this package.
type failure struct {
	cause  string
	guess  bool // counts against the limits: it may be somebody trying
	answer *oauth.Error
}

func (f *failure) Error() string { return f.cause + ": " + f.answer.Error() }

// refusal answers invalid_client to whoever is known to be, or is harmless.
func refusal(cause, description string) *failure {
	return &failure{cause: cause, answer: oauth.InvalidClient(description)}
}

// unproved answers an attempt that did not prove its client.
func unproved(description string) *failure {
	return &failure{cause: CauseUnproved, guess: true, answer: oauth.InvalidClient(description)}
}

// unavailable answers that storage failed: try again, it is not the caller's fault.
func unavailable(err error) error {
	return oauth.TemporarilyUnavailable("the server cannot reach its storage: try again").WithCause(err)
}

// Limited is a refusal for too many failures, or requests, before.
type Limited struct {
	answer *oauth.Error
	After  time.Duration // when to try again
}

func (l *Limited) Error() string { return l.answer.Error() }

// Unwrap gives the *oauth.Error to answer with, status 429.
func (l *Limited) Unwrap() error { return l.answer }

// FailureLimits say how many bad credentials are looked at. Zero values stand
// for the defaults.
type FailureLimits struct {
	// PerClient is for one client id as tried from one source: default 10 at
	// once, then one in 6 seconds.
	PerClient Rate
	// PerSource is for one source, whatever clients it tries: default 100 at
	// once, then one a second.
	PerSource Rate
	// Names bounds the sources and pairs kept; default 65536.
	Names int
}

// Rate is Burst at once, then PerSecond.
type Rate struct {
	PerSecond float64
	Burst     int
}

func (r Rate) or(other Rate) Rate {
	if r.PerSecond <= 0 || r.Burst <= 0 {
		return other
	}
	return r
}

// Failures limits guessing (RFC 6749 §2.3.1). Only failures count, and they
// count against the source that sent them: alone, and together with the client
// that was tried. A client is therefore never locked out by what strangers try
// in its name from elsewhere, and one that proves itself is never slowed.
// Safe for concurrent use.
type Failures struct {
	pairs   *limit.Limiter
	sources *limit.Limiter
}

// NewFailures makes a Failures.
func NewFailures(l FailureLimits) *Failures {
	perClient, perSource := l.PerClient.or(Rate{1.0 / 6, 10}), l.PerSource.or(Rate{1, 100})
	if l.Names <= 0 {
		l.Names = 1 << 16
	}
	return &Failures{
		pairs:   limit.New(perClient.PerSecond, perClient.Burst, l.Names),
		sources: limit.New(perSource.PerSecond, perSource.Burst, l.Names),
	}
}

// Check refuses, with a *Limited, a source that has failed too often, before
// anything of its request is looked at. clientID may be "".
func (f *Failures) Check(source netip.Addr, clientID string, now time.Time) error {
	var name [80]byte
	prefix := appendSource(name[:0], source)
	_, wait := f.sources.Check(string(prefix), now)
	if clientID != "" {
		_, more := f.pairs.Check(pair(prefix, clientID), now)
		wait = max(wait, more)
	}
	if wait <= 0 {
		return nil
	}
	return TooMany("too many failed authentications from this address: try again in %d s, with a credential that is right", wait)
}

// TooMany is a refusal that says when to try again; description has a %d for
// the seconds.
func TooMany(description string, after time.Duration) *Limited {
	seconds := int(math.Ceil(after.Seconds()))
	return &Limited{
		After:  time.Duration(seconds) * time.Second,
		answer: oauth.TemporarilyUnavailable(fmt.Sprintf(description, seconds)).WithStatus(http.StatusTooManyRequests),
	}
}

// Count notes a failure.
func (f *Failures) Count(source netip.Addr, clientID string, now time.Time) {
	var name [80]byte
	prefix := appendSource(name[:0], source)
	f.sources.Fail(string(prefix), now)
	if clientID != "" {
		f.pairs.Fail(pair(prefix, clientID), now)
	}
}

// SourceName is the name under which a source is limited.
func SourceName(source netip.Addr) string {
	var name [48]byte
	return string(appendSource(name[:0], source))
}

// appendSource names a source: an IPv4 address, or the /64 that one IPv6 caller
// has to itself.
func appendSource(b []byte, source netip.Addr) []byte {
	source = source.Unmap().WithZone("")
	if source.Is6() {
		if p, err := source.Prefix(64); err == nil {
			source = p.Addr()
		}
	}
	return source.AppendTo(b)
}

func pair(source []byte, clientID string) string {
	return string(append(append(source, ' '), clientID...))
}
