package gateway

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/offkey/offkey/internal/apikey"
	"github.com/offkey/offkey/internal/policy"
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
	doubted      time.Time // when a success of a known apikey last proved nothing
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
	if l.Learner == nil || res.StatusCode < 200 || !asksForCredential(c.r.Method) || c.replaced {
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
	if c.apikey != nil {
		return // its source has disowned it, and has the word
	}
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

// sawKnown notes where apikeys are accepted and that a learnt one still is,
// suspends one that is refused there, and takes up a suspended one that is
// accepted again.
func (l *learner) sawKnown(c *call, res *http.Response) {
	k, at := c.apikey, placeOf(c)
	success := isSuccess(res.StatusCode)
	vouches := success && k.KnownBy == apikey.KnownByUpstream && c.at.Sub(l.Vouched.At(k.ID)) >= vouchAgain
	l.mu.RLock()
	e := l.places[at]
	accepted := e != nil && e.accepted
	vouches = vouches && (e == nil || c.at.Sub(e.doubted) >= doubtFor && !e.isOpen(c.at))
	l.mu.RUnlock()
	switch {
	case success && accepted && !k.Suspended && !vouches:
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
		if vouches {
			l.vouch(c, at, e)
		}
	}
}

// open notes that a place answers strangers: what waits for it is forgotten.
func (l *learner) open(at place, e *evidence, now time.Time) {
	e.noneRefused, e.wrongRefused, e.opened = false, false, now
	l.waiting = slices.DeleteFunc(l.waiting, func(w candidate) bool { return w.place == at && l.forget(w) })
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
