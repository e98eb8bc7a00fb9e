package gateway

import (
	"maps"
	"sync"
	"time"
)

// Vouched says when the API itself last accepted each apikey that was learnt
// from it: its call was answered with success, by the API and no cache, with no
// other credential, at a place that refuses strangers. Whoever lets an apikey
// open something that outlives a call asks it first, since the API may have
// revoked the apikey. It forgets within twenty minutes, and holds no more than
// the apikeys of that time. The zero Vouched is ready for use, by several
// gateways too.
type Vouched struct {
	mu             sync.RWMutex
	turned         time.Time
	recent, before map[string]time.Time
}

const (
	vouchedFor = 10 * time.Minute // kept for at least this long
	vouchAgain = time.Minute      // a success within it tells nothing new
	doubtFor   = time.Second      // how long a place that proves nothing is left alone
)

// At returns when the API last accepted the apikey, zero if it has not lately.
func (v *Vouched) At(apikeyID string) time.Time {
	v.mu.RLock()
	defer v.mu.RUnlock()
	if at, ok := v.recent[apikeyID]; ok {
		return at
	}
	return v.before[apikeyID]
}

func (v *Vouched) note(apikeyID string, at time.Time) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.recent == nil || at.Sub(v.turned) >= vouchedFor {
		v.turned, v.before, v.recent = at, v.recent, map[string]time.Time{}
		maps.DeleteFunc(v.before, func(_ string, noted time.Time) bool { return at.Sub(noted) > vouchedFor })
	}
	v.recent[apikeyID] = at
}

// vouch takes a success of a learnt apikey as the API's word for it, if the place
// is proven. Where it is not and the API can be asked, it is, and the next
// success counts; where it cannot, what counts is that no stranger was answered.
func (l *learner) vouch(c *call, at place, e *evidence) {
	asked := l.Probe && isSafe(at.method)
	switch {
	case e.isOpen(c.at):
	case e.refusesBoth(c.at) && (!asked || !e.probed.IsZero()), !l.Probe:
		l.Vouched.note(c.apikey.ID, c.at)
		return
	case asked && len(l.doubts) < maxDoubts && c.at.Sub(e.probed) >= probeAgain:
		if n := l.candidate(c, at, c.apikey.Fingerprint); n.target != "" {
			l.doubts = append(l.doubts, n)
			l.wakeUp()
		}
	}
	e.doubted = c.at
}

// maxDoubts is how many places wait to be asked about for apikeys that are known.
const maxDoubts = 64
