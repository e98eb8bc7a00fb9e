package gateway

import (
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/offkey/offkey/internal/policy"
)

// refusedAlways returns the code of what is refused in every stage and whatever
// is enforced, because passing it on would let somebody reach what nobody
// judged. What breaks the framing of a message is refused before, by net/http
// and by GuardListener.
func (c *call) refusedAlways() (code string) {
	switch {
	case c.r.Method == http.MethodTrace, c.r.Method == http.MethodConnect:
		return codeMethodRefused // TRACE echoes credentials, CONNECT opens a tunnel
	case c.target.Refused(), !fitsHTTP1(c.r):
		return codeTargetRefused
	case !hasItsLength(c.r):
		return codeAmbiguousFraming
	}
	c.upstream = c.g.upstreams.of(c.r.Host)
	switch {
	case c.upstream == nil:
		return codeHostUnknown
	case c.target.Form == policy.AbsoluteForm && !c.namesHost():
		return codeTargetRefused
	}
	return ""
}

// fitsHTTP1 reports whether method, target and host can stand in a request of
// HTTP/1 as they came. Of one that came in HTTP/1 net/http knows that. In HTTP/2
// it lets spaces through, which would make another request line of it, or no
// Host at all (RFC 9113 §10.3).
func fitsHTTP1(r *http.Request) bool { return r.ProtoMajor == 1 || fitsRequestLine(r) }

// fitsRequestLine is fitsHTTP1 for what did not come in a request line.
func fitsRequestLine(r *http.Request) bool {
	host := policy.ParseTarget("http://" + r.Host + "/")
	return !strings.ContainsAny(r.Method, " \t") && !strings.ContainsAny(r.RequestURI, " \t") && host.Form == policy.AbsoluteForm && host.Authority == r.Host
}

// hasItsLength reports whether the Content-Length of a request, if there is one, is
// what net/http takes for its length. In HTTP/1 it always is. In HTTP/2 net/http
// overlooks one of a request that ends with its head, and one that is no number:
// sent on in HTTP/1, such a request would swallow the next one on its connection
// (RFC 9113 §8.1.1, §10.3).
func hasItsLength(r *http.Request) bool {
	said := r.Header["Content-Length"]
	return r.ProtoMajor == 1 || len(said) == 0 || len(said) == 1 && said[0] == strconv.FormatInt(r.ContentLength, 10)
}

// namesHost reports whether an absolute target is for a host that was
// configured by name, and for no other than Host; in HTTP/1 net/http has put its
// authority in place of that.
func (c *call) namesHost() bool {
	return c.g.upstreams.named(c.r.Host) && sameHost(c.target.Authority, c.r.Host)
}

// Why the strict rules refuse a request beside what is wrong with its target.
const (
	problemMethod     policy.Problem = "method_unknown"
	problemOverride   policy.Problem = "method_override"
	problemUpgrade    policy.Problem = "upgrade"
	problemLookalike  policy.Problem = "credential_lookalike"
	problemOversize   policy.Problem = "credential_oversize"
	problemConnection policy.Problem = "connection_credential"
)

// why says it in words for whoever sent the request.
func why(p policy.Problem) string {
	switch p {
	case problemMethod:
		return "the method is not one of HTTP's usual ones in capitals, and no route names it"
	case problemOverride:
		return "a header or the parameter _method asks for another method than the request line: send the method that is meant"
	case problemUpgrade:
		return "the request asks for another protocol than WebSocket"
	case problemLookalike:
		return "a name resembles that of a credential (such as X_API_Key for X-API-Key), and only some servers tell them apart"
	case problemOversize:
		return "an API key is longer than 1024 characters"
	case problemConnection:
		return "Connection names the header of a credential, which would be lost on the way"
	}
	return p.Why()
}

// strictProblem is the first reason why the strict rules refuse the request, or
// "". It is counted in every stage, and refused once anything is enforced.
func (c *call) strictProblem() policy.Problem {
	switch {
	case c.target.Problem != "":
		return c.target.Problem
	case c.presented.Lookalike:
		return problemLookalike
	case c.presented.Oversize:
		return problemOversize
	case !isUsualMethod(c.r.Method) && !c.routeNamesMethod():
		return problemMethod
	case overridesMethod(c.r.Header, c.r.Method), c.target.RawQuery != "" && overridesInQuery(c.target.RawQuery, c.r.Method):
		return problemOverride
	case asksForOtherProtocol(c.r.Header):
		return problemUpgrade
	case c.g.losesCredential(c.r.Header):
		return problemConnection
	}
	return ""
}

// isUsualMethod reports whether every server understands the method in one way.
// Methods are compared with their case (RFC 9110 §9.1).
func isUsualMethod(method string) bool {
	switch method {
	case "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS":
		return true
	}
	return false
}

func (c *call) routeNamesMethod() bool {
	return slices.ContainsFunc(c.rules.Routes(), func(r *policy.Route) bool { return r.Method == c.r.Method })
}

// overrideHeaders make some frameworks run another method than was judged, in
// every spelling that CGI and WSGI take for one.
var overrideHeaders = [...]string{"X-Http-Method-Override", "X-Http-Method", "X-Method-Override"}

func overridesMethod(h http.Header, method string) bool {
	for name, lines := range h {
		for _, known := range overrideHeaders {
			if foldsTo(name, known) && slices.ContainsFunc(lines, func(v string) bool { return v != method }) {
				return true
			}
		}
	}
	return false
}

// overridesInQuery looks for `_method`, which some frameworks take from the
// query; PHP does so from `.method` too. They take it from a form in the body
// as well: bodies are not read here.
func overridesInQuery(rawQuery, method string) bool {
	if !strings.Contains(rawQuery, "method") && !strings.Contains(rawQuery, "%") {
		return false
	}
	for part := range strings.FieldsFuncSeq(rawQuery, func(r rune) bool { return r == '&' || r == ';' }) {
		name, value, _ := strings.Cut(part, "=")
		if foldsTo(parameterStem(name), "_method") && value != method {
			return true
		}
	}
	return false
}

// asksForOtherProtocol reports whether the request would switch to anything but
// WebSocket. Of these only h2c is never passed on, see dropH2C.
func asksForOtherProtocol(h http.Header) bool {
	for _, v := range h["Upgrade"] {
		if !strings.EqualFold(strings.TrimSpace(v), "websocket") && !isH2C(v) {
			return true
		}
	}
	return false
}

// losesCredential reports whether Connection names a header that a credential
// may travel in (RFC 9110 §7.6.1).
func (g *Gateway) losesCredential(h http.Header) bool {
	if !hasConnectionOptions(h) {
		return false
	}
	for name := range connectionOptions(h) {
		if g.isCredentialHeader(name) {
			return true
		}
	}
	return false
}

// preflightPasses reports whether the call is a CORS preflight of a declared
// origin for a route that exists. Browsers send it without credentials
// (Fetch Standard, CORS-preflight fetch); the call that follows is judged.
func (c *call) preflightPasses() bool {
	if c.r.Method != http.MethodOptions || len(c.g.origins) == 0 || c.principal.Kind != policy.Nobody || c.problem != "" {
		return false
	}
	origin, method := c.r.Header["Origin"], c.r.Header["Access-Control-Request-Method"]
	if len(origin) != 1 || len(method) != 1 || !c.g.origins[origin[0]] {
		return false
	}
	return c.rules.Match(method[0], c.target.Path) != nil
}
