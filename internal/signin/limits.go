package signin

import (
	"net/http"
	"net/netip"
	"time"

	"github.com/offkey/offkey/internal/limit"
)

// limits bound guessing. Failures alone are counted: who has the right password
// is never slowed by how often they come. Why these figures, and why nobody can
// lock somebody else out: decision 0027.
type limits struct {
	source  *limit.Limiter // bad passwords and codes from one network
	pair    *limit.Limiter // those for one account from one network, or known browser
	account *limit.Limiter // those for one account from strangers, wherever they are
	codes   *limit.Limiter // second factors of one account
	devices *limit.Limiter // user codes that no device waits with, by account and by network
	anyCode *limit.Limiter // those of all together: decision 0040 counts with it
	begins  *limit.Limiter // requests that one network lets wait
}

const limitedNames = 100_000

func newLimits() limits {
	return limits{
		source:  limit.New(1.0/5, 100, limitedNames),
		pair:    limit.New(1.0/60, 10, limitedNames),
		account: limit.New(1.0/60, 100, limitedNames),
		codes:   limit.New(1.0/120, 10, limitedNames),
		devices: limit.New(1.0/60, 10, limitedNames),
		anyCode: limit.New(1, 100, 1),
		begins:  limit.New(5, 1000, limitedNames),
	}
}

// guess is one look at a password or code, by whom it is counted.
type guess struct {
	source  string
	account string // a person's id, or the name that was typed where there is none
	known   string // this browser's own name for the account
}

// sourceName is the network that a request comes from: one address of IPv4, a
// /64 of IPv6, which is what one customer has.
func sourceName(a netip.Addr) string {
	a = a.Unmap()
	if !a.IsValid() {
		return "unknown"
	}
	if a.Is6() {
		if p, err := a.Prefix(64); err == nil {
			return p.String()
		}
	}
	return a.String()
}

func (s *Service) sourceOf(r *http.Request) string { return sourceName(s.options.Source(r)) }

// names are the limits that a guess counts against. A known browser has its own
// place, which nobody else can fill.
func (l limits) names(g guess) map[*limit.Limiter]string {
	if g.known != "" {
		return map[*limit.Limiter]string{l.pair: "known " + g.known + " " + g.account}
	}
	return map[*limit.Limiter]string{l.source: g.source, l.pair: g.source + " " + g.account, l.account: g.account}
}

// check says how long until a guess is looked at; 0 is now.
func (l limits) check(g guess, now time.Time) (wait time.Duration) {
	for limiter, name := range l.names(g) {
		if _, after := limiter.Check(name, now); after > wait {
			wait = after
		}
	}
	return wait
}

// fail counts a bad guess.
func (l limits) fail(g guess, now time.Time) {
	for limiter, name := range l.names(g) {
		limiter.Fail(name, now)
	}
}
