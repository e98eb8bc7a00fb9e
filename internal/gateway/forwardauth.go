package gateway

import (
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf16"

	"github.com/offkey/offkey/internal/policy"
	"github.com/offkey/offkey/internal/traffic"
)

// Codes of questions that are no question about a call.
const (
	codeProxyUntrusted  = "proxy_untrusted"
	codeOriginalMissing = "original_request_missing"
)

// authPrefix is where proxies ask about the calls that they are to pass on. What
// follows is the name of a dialect.
const authPrefix = reservedPrefix + "auth/"

// dialect is how one kind of proxy says which call it asks about, and what it
// makes of the answer. Which headers count follows from the path that is asked,
// never from which of them are there: a caller can send the others.
type dialect struct {
	method, target, host string // the headers, as net/http spells them; "": as the question itself
	// yesOrNo: 401 and 403 are refusals to it, anything else is its own failure.
	yesOrNo bool
	// removes: it takes headers from a call that the answer lists.
	removes bool
}

var dialects = map[string]*dialect{
	"nginx":   {method: "X-Original-Method", target: "X-Original-Uri", host: "X-Forwarded-Host", yesOrNo: true},
	"traefik": {method: "X-Forwarded-Method", target: "X-Forwarded-Uri", host: "X-Forwarded-Host"},
	"caddy":   {method: "X-Forwarded-Method", target: "X-Forwarded-Uri", host: "X-Forwarded-Host"},
	"envoy":   {removes: true}, // the method and host of the call, and its target behind the prefix
}

// headerProblem repeats the problem document in a header, for a proxy that keeps
// no body of an answer.
const headerProblem = "X-Offkey-Problem"

// headerToRemove lists headers for Envoy to take from the call.
const headerToRemove = "X-Envoy-Auth-Headers-To-Remove"

// asksAbout finds the dialect of a question, and for one that puts the target
// of the call into its own, that target.
func asksAbout(requestURI string) (d *dialect, target string) {
	rest := requestURI[len(authPrefix):]
	end := strings.IndexAny(rest, "/?")
	if end < 0 {
		end = len(rest)
	}
	d, target = dialects[rest[:end]], rest[end:]
	if d != nil && d.target != "" && strings.HasPrefix(target, "/") {
		return nil, "" // nothing is below it
	}
	return d, target
}

// serveForwardAuth answers a proxy that asks whether it may pass a call on. The
// call is judged as if it had come here, by the same function, and counted; what
// the API answers to it is never seen.
func (c *call) serveForwardAuth() {
	d, target := asksAbout(c.r.RequestURI)
	c.target = policy.Target{Path: authPrefix}
	c.source, c.trusted = c.g.sourceOf(c.r)
	switch {
	case d == nil:
		c.refuse(codeNotFound)
		return
	case !c.trusted:
		c.refuseStranger()
		return
	}
	c.asker = d
	if !c.becomeOriginal(d, target) {
		c.refuse(codeOriginalMissing)
		return
	}
	c.answerAsker()
}

// becomeOriginal puts the call that is asked about in the place of the question.
// It reports false if the proxy does not say, exactly once, what the call is.
func (c *call) becomeOriginal(d *dialect, target string) bool {
	c.original = *c.r // shallow: the headers are the caller's, as the proxy repeats them
	o := &c.original
	o.RequestURI = target
	for _, told := range [...]struct {
		header string
		into   *string
	}{{d.method, &o.Method}, {d.target, &o.RequestURI}, {d.host, &o.Host}} {
		if told.header == "" {
			continue
		}
		lines := o.Header[told.header]
		if len(lines) != 1 || lines[0] == "" {
			return false
		}
		*told.into = lines[0]
	}
	if d.host == "" {
		delete(o.Header, "X-Forwarded-Host") // this proxy writes none: a caller did
	}
	delete(o.Header, "Content-Length") // of a body that is not here
	o.ContentLength, o.Body = 0, http.NoBody
	o.TLS = nil // of the proxy, not of the caller
	c.r = o
	return o.RequestURI != ""
}

// answerAsker judges the call that is asked about.
func (c *call) answerAsker() {
	c.target = policy.ParseTarget(c.r.RequestURI)
	switch {
	case !isUsualMethod(c.r.Method) && !isMethod(c.r.Method), !fitsRequestLine(c.r):
		c.refuse(codeTargetRefused)
	case !c.admits():
	case strings.HasPrefix(c.target.Path, reservedPrefix):
		c.refuse(codeNotFound)
	case c.passes():
		c.passToAsker()
	}
}

// isMethod reports whether a method that was told in a header could stand in a
// request line: it is a token (RFC 9110 §5.6.2).
func isMethod(s string) bool {
	return strings.Trim(s, "!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz") == "" && s != ""
}

// passToAsker tells the proxy that the call may pass, what it is to tell the API,
// and what the caller.
func (c *call) passToAsker() {
	h := c.w.Header()
	c.observe(traffic.StatusUnknown, "")
	c.tellAPI(h)
	c.announce(h)
	if links := h["Link"]; len(links) > 1 {
		h["Link"] = []string{strings.Join(links, ", ")} // proxies copy one line
	}
	c.renewNonce(h)
	if c.asker.removes {
		if names := c.toRemove(h); len(names) > 0 {
			h[headerToRemove] = []string{strings.Join(names, ",")}
		}
	}
	h["Content-Length"] = zeroLength
	c.w.WriteHeader(http.StatusOK)
}

// tellAPI says who calls, as the API would be told inline, but for credentials.
func (c *call) tellAPI(h http.Header) {
	switch {
	case c.token != nil:
		c.setIdentity(h)
	case c.replacesAPIKey() && c.apikey.ClientID != "":
		c.setAPIKeyIdentity(h)
	}
	c.assert(h, c.target.RawQuery)
}

var zeroLength = []string{"0"}

// toRemove are the headers of the call that the API must not see: what its caller
// sent under a name of ours, in whatever spelling, and a token that stays here.
func (c *call) toRemove(answer http.Header) []string {
	names := make([]string, 0, len(identityHeaders)+2)
	for _, name := range identityHeaders {
		if len(answer[name]) == 0 {
			names = append(names, strings.ToLower(name))
		}
	}
	for name := range c.r.Header {
		if len(name) >= len(ourPrefix) && foldsTo(name[:len(ourPrefix)], ourPrefix) && !slices.Contains(identityHeaders[:], name) {
			names = append(names, strings.ToLower(name))
		}
	}
	if c.token != nil && c.upstream.TokenCall != SendBearer {
		names = append(names, "authorization", "dpop")
	}
	if c.replacesAPIKey() {
		for _, in := range c.g.carriers {
			if in.name == c.carrier && in.header != "" && in.header != "Cookie" {
				names = append(names, strings.ToLower(in.header))
			}
		}
	}
	return names
}

// suits changes a refusal to what the proxy takes for one.
func (d *dialect) suits(h http.Header, p *problem) {
	if d == nil || !d.yesOrNo {
		return
	}
	if p.Status != http.StatusUnauthorized && p.Status < http.StatusInternalServerError {
		p.Status = http.StatusForbidden
	}
	h[headerProblem] = []string{asciiJSON(p.document())}
}

// asciiJSON is a JSON document as a header can carry it.
func asciiJSON(document []byte) string {
	var b strings.Builder
	for _, r := range strings.TrimSpace(string(document)) {
		switch {
		case r <= '~':
			b.WriteRune(r)
		case r > 0xffff:
			hi, lo := utf16.EncodeRune(r)
			b.WriteString(`\u` + strconv.FormatInt(int64(hi), 16) + `\u` + strconv.FormatInt(int64(lo), 16))
		default:
			hex := strconv.FormatInt(int64(r), 16)
			b.WriteString(`\u` + strings.Repeat("0", 4-len(hex)) + hex)
		}
	}
	return b.String()
}

// refuseStranger answers whoever is no trusted proxy, and tells the operator, who
// may only have forgotten to name it. Strangers can do this all day: it is told
// once a minute.
func (c *call) refuseStranger() {
	now := c.at.Unix()
	if last := c.g.strangerTold.Load(); now-last >= int64(time.Minute/time.Second) && c.g.strangerTold.CompareAndSwap(last, now) {
		c.g.Log.LogAttrs(c.r.Context(), slog.LevelWarn, "somebody who is no trusted proxy asked about a call: if this is your proxy, add its network to trusted_proxies",
			slog.String("peer", peerOf(c.r).String()))
	}
	c.refuse(codeProxyUntrusted)
}
