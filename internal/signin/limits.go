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
	asks    *limit.Limiter // for another password, by network
	mails   *limit.Limiter // that strangers cause to one account, or a known browser to its own
	anyMail *limit.Limiter // that strangers cause to all together: decision 0054
	own     *limit.Limiter // that people cause to addresses of their own
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
		asks:    limit.New(1.0/60, 20, limitedNames),
		mails:   limit.New(1.0/1800, 3, limitedNames),
		anyMail: limit.New(1.0/10, 100, 1),
		own:     limit.New(1.0/600, 5, limitedNames),
	}
}

// guess is one look at a password or code, by whom it is counted.
type guess struct {
	source  string
	account string // what was typed: whether two names are one person's is told to nobody
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

// places are what a guess counts against.
type places []place

type place struct {
	limiter *limit.Limiter
	name    string
}

// places are those of a guess. A known browser has its own, which nobody else
// can fill.
func (l limits) places(g guess) places {
	if g.known != "" {
		return places{{l.pair, "known " + g.known + " " + g.account}}
	}
	return places{{l.source, g.source}, {l.pair, g.source + " " + g.account}, {l.account, g.account}}
}

// take counts a guess before it is looked at, so that those that arrive together
// are not all looked at. wait says how long until it is; 0 is now.
func (p places) take(now time.Time) (wait time.Duration) {
	for i, at := range p {
		if ok, _ := at.limiter.Allow(at.name, now); !ok {
			p[:i].back(now)
			return p.wait(now)
		}
	}
	return 0
}

// back takes a guess out of the count again: it was right, or not looked at.
func (p places) back(now time.Time) {
	for _, at := range p {
		at.limiter.Back(at.name, now)
	}
}

func (p places) wait(now time.Time) (longest time.Duration) {
	for _, at := range p {
		_, after := at.limiter.Check(at.name, now)
		longest = max(longest, after)
	}
	return max(longest, 1) // another may have given back meanwhile
}
