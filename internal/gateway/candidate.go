package gateway

import (
	"slices"
	"strings"
	"time"

	"github.com/offkey/offkey/internal/secret"
	"github.com/offkey/offkey/internal/traffic"
)

// candidate is an apikey that was answered with success at a place that is not
// proven yet. It holds a wrong apikey of the same shape, never the apikey.
type candidate struct {
	Learnt
	place    place
	apikeyID string // of a suspended apikey that is accepted again

	upstream *upstream
	carrier  int
	wrong    secret.Text
	target   string // without the apikey; "" if the place cannot be probed
	host     string
	accept   string
}

// heard is a call with an apikey that is not known yet, as it was counted.
type heard struct {
	observation traffic.Observation
	template    string
	known       bool
}

// maxHeard is how many calls of an apikey are counted under it once it is
// learnt; those beyond stay with the unknown.
const maxHeard = 64

func (l *learner) forget(c candidate) bool {
	delete(l.pending, c.Fingerprint)
	return true
}

// nominate takes up an apikey that was answered with success: to be learnt now if
// its place is proven, else to wait until it is.
func (l *learner) nominate(c *call, at place, e *evidence) {
	if e.isOpen(c.at) || l.index.Len() >= maxLearnt {
		return
	}
	fingerprint := c.g.Pepper.Fingerprint(c.presented.Values[0].Value.Reveal())
	if c.apikey == nil && l.index.Lookup(fingerprint) != nil {
		return // learnt since the call was judged
	}
	if _, twice := l.pending[fingerprint]; twice && !l.superseded(fingerprint, at) {
		l.wakeUp()
		return
	}
	n := l.candidate(c, at, fingerprint)
	if e.refusesBoth(c.at) && (e.left > 0 || n.target == "") {
		l.accept(n, e)
		return
	}
	if e.refusesBoth(c.at) { // this proof has served its time: ask again, where this caller called
		e.noneRefused, e.wrongRefused, e.probed = false, false, time.Time{}
	}
	l.wait(n)
	l.wakeUp()
}

// candidate is the apikey of a call, with what is needed to ask the API about the
// place.
func (l *learner) candidate(c *call, at place, fingerprint secret.Hash) candidate {
	found := c.presented.Values[0]
	n := candidate{
		Learnt: Learnt{Fingerprint: fingerprint, Last4: secret.Last4(found.Value.Reveal()), Prefix: secret.Prefix(found.Value.Reveal()), Carrier: c.carrier, At: c.at},
		place:  at, upstream: c.upstream, carrier: found.Carrier,
	}
	if c.apikey != nil {
		n.apikeyID = c.apikey.ID
	}
	if l.Probe && isSafe(at.method) && len(c.r.RequestURI) <= maxProbeTarget {
		n.wrong = wrongAPIKey(found.Value)
		n.target = probeTarget(l.reader, c.target)
		n.host, n.accept = c.r.Host, c.r.Header.Get("Accept")
	}
	return n
}

// superseded gives up a candidate that waits where the API cannot be asked, for
// the same apikey's call at a place where it can.
func (l *learner) superseded(fingerprint secret.Hash, at place) bool {
	if !l.Probe || !isSafe(at.method) {
		return false
	}
	i := slices.IndexFunc(l.waiting, func(w candidate) bool { return w.Fingerprint == fingerprint && w.target == "" })
	if i < 0 {
		return false
	}
	l.waiting = slices.Delete(l.waiting, i, i+1)
	return true
}

// accept hands a candidate of a proven place to the Learner.
func (l *learner) accept(n candidate, e *evidence) {
	if len(l.proven) >= maxCandidates {
		l.forget(n)
		return // its next call comes back
	}
	e.left--
	e.accepted = true
	l.hold(n)
	l.proven = append(l.proven, n)
	l.wakeUp()
}

// wait keeps a candidate until its place is proven. There is room for few of
// one place, and where all is full the oldest goes: callers call again.
func (l *learner) wait(n candidate) {
	same := 0
	l.waiting = slices.DeleteFunc(l.waiting, func(w candidate) bool {
		if w.place == n.place {
			same++
		}
		return n.At.Sub(w.At) > candidateLife && l.forget(w)
	})
	if same >= maxPerPlace {
		l.places[n.place].crowded = n.At
		l.forget(n)
		return
	}
	if len(l.waiting) >= maxCandidates {
		l.places[n.place].crowded = n.At
		l.forget(l.waiting[0])
		l.waiting = slices.Delete(l.waiting, 0, 1)
	}
	l.hold(n)
	l.waiting = append(l.waiting, n)
}

// hold remembers what comes with the candidate from now on.
func (l *learner) hold(n candidate) {
	if _, held := l.pending[n.Fingerprint]; !held {
		l.pending[n.Fingerprint] = nil
	}
}

// hear takes a call that was counted with the unknown: its apikey may be learnt
// yet, or may have been since the call was judged.
func (l *learner) hear(c *call, h heard) {
	found, sole := c.presented.Sole()
	if l.Learner == nil || !sole {
		return
	}
	fingerprint := c.g.Pepper.Fingerprint(found.Value.Reveal())
	o := &h.observation // its strings are the request's
	o.Method, o.Path, o.UserAgent = strings.Clone(beginning(o.Method)), "", strings.Clone(beginning(o.UserAgent))
	l.mu.Lock()
	calls, held := l.pending[fingerprint]
	if held && len(calls) < maxHeard {
		l.pending[fingerprint] = append(calls, h)
	}
	l.mu.Unlock()
	if !held {
		l.reassign(fingerprint, h)
	}
}

// beginning is more of s than is ever counted, and not all that a stranger sends.
func beginning(s string) string { return s[:min(len(s), 512)] }

// settle counts what came with a learnt apikey under it, and forgets the
// candidate.
func (l *learner) settle(n candidate) {
	l.mu.Lock()
	calls := l.pending[n.Fingerprint]
	l.forget(n)
	l.mu.Unlock()
	if k := l.index.Lookup(n.Fingerprint); k != nil {
		l.Vouched.note(k.ID, n.At)
	}
	l.reassign(n.Fingerprint, calls...)
}

func (l *learner) reassign(fingerprint secret.Hash, calls ...heard) {
	k := l.index.Lookup(fingerprint)
	if k == nil {
		return
	}
	for _, h := range calls {
		l.tally.Reassign(h.observation, h.template, h.known, traffic.Credential{Kind: traffic.KindAPIKey, ID: k.ID})
	}
}

// promoteUnasked is promote on the word of callers. They may have been refused
// for a reason of their own choice, such as an Origin: where the API can be asked
// it is, and what they showed only counts where it cannot.
func (l *learner) promoteUnasked(at place, e *evidence, now time.Time) {
	if !l.Probe || !isSafe(at.method) {
		l.promote(at, e, now)
	}
}

// promote learns what waited for a place that is proven by now.
func (l *learner) promote(at place, e *evidence, now time.Time) {
	if !e.refusesBoth(now) {
		return
	}
	e.left = learntPerProof
	l.waiting = slices.DeleteFunc(l.waiting, func(w candidate) bool {
		if w.place != at {
			return false
		}
		l.accept(w, e)
		return true
	})
}
