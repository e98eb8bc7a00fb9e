package gateway

import (
	"context"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/offkey/offkey/internal/apikey"
	"github.com/offkey/offkey/internal/policy"
	"github.com/offkey/offkey/internal/secret"
	"github.com/offkey/offkey/internal/traffic"
)

// Learner keeps what was learnt from the API's answers.
type Learner interface {
	// Learn makes an apikey known, or does nothing if it is. It has reached the
	// Index when Learn returns.
	Learn(ctx context.Context, l Learnt) error
	// Suspend notes that the API refuses an apikey that was learnt, or accepts it
	// again.
	Suspend(ctx context.Context, apikeyID string, suspended bool) error
}

// Learnt is an apikey that the API itself vouches for.
type Learnt struct {
	Fingerprint secret.Hash
	Last4       string
	Carrier     string
	At          time.Time // of the call that was answered with success
}

// Learning says how apikeys are learnt.
type Learning struct {
	Learner Learner // nil: apikeys are not learnt
	Probe   bool    // ask the API where callers have not shown what it refuses
	// ValidUnless are the answers by which the API says that an apikey is not
	// valid; empty: 401.
	ValidUnless []int
}

// Limits of what learning may hold. Strangers choose paths and apikeys.
const (
	maxPlaces     = 4096
	maxCandidates = 256
	maxPerPlace   = 32
	maxLearnt     = 250_000 // apikeys known; no more are learnt
	// learntPerProof is how many apikeys are learnt on one proof, so that a route
	// that refuses strangers for some of its paths only cannot vouch for many.
	learntPerProof = 64

	candidateLife = 10 * time.Minute
	openFor       = 24 * time.Hour
	probeAgain    = time.Hour
)

// place is what evidence is about: a route of one API.
type place struct{ upstream, method, template string }

// evidence is what the API has shown about a place. It is learnt from callers
// and by probing.
type evidence struct {
	noneRefused  bool      // a call without any credential was refused
	wrongRefused bool      // and one with an apikey that nobody knows
	opened       time.Time // when one of the two was answered with success
	accepted     bool      // an apikey was answered with success
	probed       time.Time // when the API was last asked
	left         int       // apikeys that may still be learnt on this proof
	crowded      time.Time // when there was last no room for another candidate
	touched      time.Time
}

// isOpen reports whether the place lately answered somebody who had no good
// credential: an answer there proves nothing about an apikey.
func (e *evidence) isOpen(now time.Time) bool {
	return !e.opened.IsZero() && now.Sub(e.opened) < openFor
}

// refusesBoth is what makes a success mean something: the place refuses calls
// without an apikey, and calls with a wrong one.
func (e *evidence) refusesBoth(now time.Time) bool {
	return e.noneRefused && e.wrongRefused && !e.isOpen(now)
}

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

// learner finds out which apikeys are real.
type learner struct {
	Learning
	index  *apikey.Index
	reader *apikey.Reader
	log    *slog.Logger
	wake   chan struct{}

	mu      sync.RWMutex
	places  map[place]*evidence
	waiting []candidate // for their place to be proven
	proven  []candidate // to be handed to the Learner
	suspend map[string]bool
	pending map[secret.Hash][]heard // what came with the apikeys that are waiting or proven
	tally   *traffic.Tally
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

func newLearner(o Learning, index *apikey.Index, reader *apikey.Reader, tally *traffic.Tally, log *slog.Logger) *learner {
	if len(o.ValidUnless) == 0 {
		o.ValidUnless = []int{http.StatusUnauthorized}
	}
	return &learner{
		Learning: o, index: index, reader: reader, log: log, wake: make(chan struct{}, 1),
		places: map[place]*evidence{}, suspend: map[string]bool{}, pending: map[secret.Hash][]heard{}, tally: tally,
	}
}

// isSuccess: only a 2xx says yes. A 304 says that something did not change, and
// a redirect that the answer is elsewhere.
func isSuccess(status int) bool { return status >= 200 && status < 300 }

// isRefusal is how an API says no to a credential.
func isRefusal(status int) bool {
	return status == http.StatusUnauthorized || status == http.StatusForbidden
}

// isUncached reports whether the API made the answer for this call. One from a
// cache was made for somebody else's.
func isUncached(request, answer http.Header) bool {
	for _, name := range [...]string{"If-None-Match", "If-Modified-Since", "If-Match", "If-Unmodified-Since", "If-Range"} {
		if len(request[name]) > 0 {
			return false
		}
	}
	if len(answer["Age"]) > 0 { // RFC 9111 §5.1
		return false
	}
	for _, name := range [...]string{"X-Cache", "X-Cache-Status", "X-Proxy-Cache", "X-Cache-Lookup", "Cf-Cache-Status", "Cache-Status", "X-Vercel-Cache", "X-Drupal-Cache", "X-Litespeed-Cache"} {
		for _, v := range answer[name] {
			if v = strings.ToLower(v); strings.Contains(v, "hit") || strings.Contains(v, "stale") ||
				strings.Contains(v, "revalidated") || strings.Contains(v, "updating") {
				return false
			}
		}
	}
	for _, v := range answer["X-Varnish"] {
		if strings.Contains(strings.TrimSpace(v), " ") { // two ids: this request's, and the one that filled the cache
			return false
		}
	}
	return true
}

// credentialWords are in the names of what proves a caller in ways that offkey
// does not read.
var credentialWords = [...]string{
	"auth", "token", "sess", "secret", "signature", "passw", "credential", "jwt", "cookie", "apikey", "api-key", "cert",
}

// looksLikeCredential reports whether a header or parameter may be what the API
// answered to. Whatever ends in "key" may be an apikey in a place that nobody
// configured, such as Azure's subscription-key beside its header: whoever has
// one could else have others learnt beside it.
func looksLikeCredential(name string) bool {
	var folded [64]byte
	n := min(len(name), len(folded))
	for i := range n {
		folded[i] = fold(name[i])
	}
	for _, word := range credentialWords {
		if strings.Contains(string(folded[:n]), word) {
			return true
		}
	}
	return strings.HasSuffix(string(folded[:n]), "key") && !isKeyOfNobody(string(folded[:n]))
}

// isKeyOfNobody: these keys tell calls apart, not callers.
func isKeyOfNobody(name string) bool {
	return strings.HasSuffix(name, "idempotency-key") || name == "sec-websocket-key"
}

// isAlone reports whether the call has no credential but, if withAPIKey, its one
// apikey: only then is the answer due to it.
func (c *call) isAlone(withAPIKey bool) bool {
	p := &c.presented
	if withAPIKey {
		if _, sole := p.Sole(); !sole {
			return false
		}
	} else if p.Count > 0 || p.TokenScheme != "" || p.OtherCredential || p.Lookalike || p.Oversize || p.Duplicate {
		return false
	}
	if c.r.TLS != nil && len(c.r.TLS.PeerCertificates) > 0 {
		return false
	}
	for name := range c.r.Header {
		if looksLikeCredential(name) && !c.g.isCredentialHeader(name) {
			return false
		}
	}
	for part := range strings.FieldsFuncSeq(c.target.RawQuery, func(r rune) bool { return r == '&' || r == ';' }) {
		name := parameterStem(strings.SplitN(part, "=", 2)[0])
		if (looksLikeCredential(name) || strings.EqualFold(name, "sig")) && !c.g.isCredentialParameter(name) {
			return false
		}
	}
	return true
}

// saw takes what an answer says about the place and the apikey of its call.
func (l *learner) saw(c *call, res *http.Response) {
	if l.Learner == nil || res.StatusCode < 200 || !asksForCredential(c.r.Method) {
		return
	}
	status := res.StatusCode
	switch kind := c.principal.Kind; {
	case kind == policy.KnownAPIKey:
		if isSuccess(status) || slices.Contains(l.ValidUnless, status) {
			l.sawKnown(c, res)
		}
	case kind == policy.Nobody || kind == policy.UnknownAPIKey:
		if isSuccess(status) || isRefusal(status) {
			l.sawStranger(c, res, kind == policy.UnknownAPIKey)
		}
	}
}

// asksForCredential reports whether an API answers the method by the apikey. To
// OPTIONS it answers everybody, and 403 to whoever asks from the wrong origin;
// methods that are not usual could be made up without end.
func asksForCredential(method string) bool {
	return isUsualMethod(method) && method != http.MethodOptions
}

func placeOf(c *call) place {
	return place{upstream: c.upstream.Name, method: c.r.Method, template: c.g.Tally.Templates.Of(c.target.Path)}
}

// sawStranger takes evidence from a call without an apikey, or with one that
// nobody knows.
func (l *learner) sawStranger(c *call, res *http.Response, withAPIKey bool) {
	at, status := placeOf(c), res.StatusCode
	if l.tellsNothingNew(at, status, withAPIKey, c.at) || !isUncached(c.r.Header, res.Header) || !c.isAlone(withAPIKey) {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.evidenceOf(at, c.at)
	switch {
	case isRefusal(status) && withAPIKey:
		e.wrongRefused = true
		l.promoteUnasked(at, e, c.at)
	case isRefusal(status):
		e.noneRefused = true
		l.promoteUnasked(at, e, c.at)
	case withAPIKey:
		l.nominate(c, at, e)
	default:
		l.open(at, e, c.at)
	}
}

// tellsNothingNew keeps the usual call off the lock and off the work.
func (l *learner) tellsNothingNew(at place, status int, withAPIKey bool, now time.Time) bool {
	l.mu.RLock()
	defer l.mu.RUnlock()
	e := l.places[at]
	switch {
	case e == nil:
		return false
	case isRefusal(status) && withAPIKey:
		return e.wrongRefused
	case isRefusal(status):
		return e.noneRefused
	case withAPIKey:
		return e.isOpen(now) || now.Sub(e.crowded) < time.Second
	}
	return e.isOpen(now) && now.Sub(e.opened) < time.Minute
}

// sawKnown notes where apikeys are accepted, suspends a learnt one that is
// refused there, and takes up a suspended one that is accepted again.
func (l *learner) sawKnown(c *call, res *http.Response) {
	k, at := c.apikey, placeOf(c)
	success := isSuccess(res.StatusCode)
	l.mu.RLock()
	e := l.places[at]
	accepted := e != nil && e.accepted
	l.mu.RUnlock()
	switch {
	case success && accepted && !k.Suspended:
		return // the usual call
	case !success && (!accepted || k.Suspended || k.KnownBy != apikey.KnownByUpstream):
		return
	case !isUncached(c.r.Header, res.Header) || !c.isAlone(true):
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	e = l.evidenceOf(at, c.at)
	switch {
	case !success:
		l.suspendKey(k.ID, true)
	case k.Suspended:
		l.nominate(c, at, e)
	default:
		e.accepted = true
	}
}

// suspendKey queues a change of an apikey's suspension.
func (l *learner) suspendKey(id string, suspended bool) {
	if _, queued := l.suspend[id]; queued || len(l.suspend) < maxCandidates {
		l.suspend[id] = suspended
		l.wakeUp()
	}
}

// open notes that a place answers strangers: what waits for it is forgotten.
func (l *learner) open(at place, e *evidence, now time.Time) {
	e.noneRefused, e.wrongRefused, e.opened = false, false, now
	l.waiting = slices.DeleteFunc(l.waiting, func(w candidate) bool { return w.place == at && l.forget(w) })
}

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
	found := c.presented.Values[0]
	fingerprint := c.g.Pepper.Fingerprint(found.Value.Reveal())
	if c.apikey == nil && l.index.Lookup(fingerprint) != nil {
		return // learnt since the call was judged
	}
	if _, twice := l.pending[fingerprint]; twice && !l.superseded(fingerprint, at) {
		l.wakeUp()
		return
	}
	n := candidate{
		Learnt: Learnt{Fingerprint: fingerprint, Last4: secret.Last4(found.Value.Reveal()), Carrier: c.carrier, At: c.at},
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

// evidenceOf finds or makes the evidence about a place. Where all room is taken,
// the longest untouched of a few gives way, unproven ones first.
func (l *learner) evidenceOf(at place, now time.Time) *evidence {
	if e := l.places[at]; e != nil {
		e.touched = now
		return e
	}
	if len(l.places) >= maxPlaces {
		l.evict(now)
	}
	e := &evidence{touched: now}
	at.method, at.template = strings.Clone(at.method), strings.Clone(at.template) // not the request's buffer
	l.places[at] = e
	return e
}

func (l *learner) evict(now time.Time) {
	const looked = 16
	var oldest place
	var worth time.Time
	n := 0
	for at, e := range l.places {
		v := e.touched
		if e.refusesBoth(now) || e.accepted {
			v = v.Add(openFor)
		}
		if n == 0 || v.Before(worth) {
			oldest, worth = at, v
		}
		if n++; n == looked {
			break
		}
	}
	delete(l.places, oldest)
}

func (l *learner) wakeUp() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// learnPace is the least time between two rounds: five pairs of probes a second
// at most, and one pair per place.
const learnPace = 200 * time.Millisecond

// run learns until ctx ends.
func (l *learner) run(ctx context.Context, now func() time.Time) {
	if l.Learner == nil {
		return
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-l.wake:
		}
		if l.round(ctx, now()) {
			l.wakeUp()
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(learnPace):
		}
	}
}

// round probes at most one place and hands over what is proven. It reports
// whether there is more to do.
func (l *learner) round(ctx context.Context, now time.Time) (more bool) {
	if n, ok := l.nextProbe(now); ok {
		l.judgeProbe(n, l.probe(ctx, n), now)
	}
	l.mu.Lock()
	proven, suspend := l.proven, l.suspend
	l.proven, l.suspend = nil, map[string]bool{}
	l.mu.Unlock()
	for i, n := range proven {
		if err := l.hand(ctx, n); err != nil {
			l.log.LogAttrs(ctx, slog.LevelError, "an apikey could not be learnt, trying again", slog.Any("error", err))
			l.mu.Lock()
			l.proven = append(l.proven, proven[i:]...)
			l.mu.Unlock()
			more = true
			break
		}
		l.settle(n)
	}
	for id, suspended := range suspend {
		if err := l.Learner.Suspend(ctx, id, suspended); err != nil {
			l.log.LogAttrs(ctx, slog.LevelError, "an apikey could not be suspended, trying again", slog.String("apikey", id), slog.Any("error", err))
			l.mu.Lock()
			l.suspendKey(id, suspended)
			l.mu.Unlock()
		}
	}
	_, probes := l.nextProbe(now)
	return more || probes
}

// hand gives one candidate to the Learner.
func (l *learner) hand(ctx context.Context, n candidate) error {
	if n.apikeyID != "" {
		return l.Learner.Suspend(ctx, n.apikeyID, false)
	}
	return l.Learner.Learn(ctx, n.Learnt)
}

// isSafe reports whether a method may be called without being asked to
// (RFC 9110 §9.2.1). OPTIONS is safe and tells nothing.
func isSafe(method string) bool { return method == http.MethodGet || method == http.MethodHead }
