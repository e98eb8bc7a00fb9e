package gateway

import (
	"context"
	"crypto/rand"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/offkey/offkey/internal/apikey"
	"github.com/offkey/offkey/internal/policy"
	"github.com/offkey/offkey/internal/secret"
)

const (
	probeAgent     = "offkey-probe"
	probeTimeout   = 10 * time.Second
	maxProbeTarget = 2048
)

// probed is what the API answered to a call without an apikey and to one with a
// wrong apikey; 0 where it did not answer.
type probed struct{ none, wrong int }

// nextProbe finds a place that a candidate waits for, or that leaves a doubt about
// a known apikey, and that was not asked about lately.
func (l *learner) nextProbe(now time.Time) (candidate, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, w := range l.waiting {
		if w.target != "" && l.mayAsk(w.place, now) {
			return w, true
		}
	}
	for len(l.doubts) > 0 {
		if l.mayAsk(l.doubts[0].place, now) {
			return l.doubts[0], true
		}
		l.doubts = l.doubts[1:]
	}
	return candidate{}, false
}

func (l *learner) mayAsk(at place, now time.Time) bool {
	e := l.evidenceOf(at, now)
	return e.probed.IsZero() || now.Sub(e.probed) >= probeAgain
}

// probe asks the API for the candidate's target twice: without an apikey, and
// with a wrong one of the same shape in the same place. The API sees no
// credential of anybody, and a method that changes nothing.
func (l *learner) probe(ctx context.Context, n candidate) probed {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	return probed{none: l.ask(ctx, n, false), wrong: l.ask(ctx, n, true)}
}

// ask makes one probe call and returns the status, 0 if the answer tells nothing.
func (l *learner) ask(ctx context.Context, n candidate, withWrong bool) int {
	h := http.Header{"User-Agent": {probeAgent}}
	if n.accept != "" {
		h["Accept"] = []string{n.accept}
	}
	t := policy.ParseTarget(n.target)
	if withWrong {
		carriers := l.reader.Carriers()
		t.RawQuery = newCarrier(carriers[n.carrier]).carry(n.wrong.Reveal(), h, t.RawQuery)
		t.HasQuery = t.HasQuery || t.RawQuery != ""
	}
	u := &url.URL{Scheme: n.upstream.URL.Scheme, Host: n.upstream.URL.Host}
	exact := setTarget(u, t)
	req := (&http.Request{Method: n.place.method, URL: u, Host: n.host, Header: h}).WithContext(ctx)
	if n.upstream.OwnHost {
		req.Host = ""
	}
	res, err := n.upstream.transport(req, exact).RoundTrip(req)
	if err != nil {
		return 0
	}
	defer drain(res.Body)
	if !isUncached(http.Header{}, res.Header) {
		return 0
	}
	return res.StatusCode
}

// judgeProbe takes the API's answers as evidence. What is neither refused nor a
// success decides nothing, and is asked again in an hour.
func (l *learner) judgeProbe(n candidate, p probed, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.evidenceOf(n.place, now)
	e.probed = now
	if isSuccess(p.none) || isSuccess(p.wrong) {
		l.open(n.place, e, now)
		return
	}
	e.noneRefused = e.noneRefused || isRefusal(p.none)
	e.wrongRefused = e.wrongRefused || isRefusal(p.wrong)
	if n.apikeyID != "" && e.refusesBoth(now) {
		l.Vouched.note(n.apikeyID, n.At)
	}
	l.promote(n.place, e, now)
}

// probeTarget is the target without apikeys.
func probeTarget(reader *apikey.Reader, t policy.Target) string {
	target := t.RawPath
	if target == "" {
		target = "/"
	}
	if left := reader.Remove(http.Header{}, t.RawQuery); left != "" {
		target += "?" + left
	}
	return strings.Clone(target)
}

// wrongAPIKey is a random apikey of the same shape: digits stay digits, letters
// letters, and a prefix such as sk_live_ stays as it is, so that an API that
// looks at the form first comes to look for the key.
func wrongAPIKey(right secret.Text) secret.Text {
	s := []byte(right.Reveal())
	start := 0
	if i := strings.LastIndexByte(string(s[:min(len(s), 16)]), '_'); i >= 0 && len(s)-i > 8 {
		start = i + 1
	}
	random := make([]byte, len(s))
	_, _ = rand.Read(random) // never fails
	for i := start; i < len(s); i++ {
		switch c := s[i]; {
		case c >= '0' && c <= '9':
			s[i] = '0' + random[i]%10
		case c >= 'a' && c <= 'f', c >= 'A' && c <= 'F':
			s[i] = c&^7 | 1 + random[i]%6 // hex stays hex
		case c >= 'g' && c <= 'z':
			s[i] = 'g' + random[i]%20
		case c >= 'G' && c <= 'Z':
			s[i] = 'G' + random[i]%20
		}
	}
	if wrong := string(s); wrong != right.Reveal() {
		return secret.NewText(wrong)
	}
	return secret.NewText(right.Reveal() + "0") // too short to be another by chance
}
