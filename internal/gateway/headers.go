package gateway

import (
	"iter"
	"net/http"
	"net/netip"
	"net/textproto"
	"slices"
	"strings"
)

// The identity headers that the API gets for a call with a token. Callers
// cannot send them, in whatever spelling.
const (
	headerClient     = "X-Offkey-Client"
	headerSubject    = "X-Offkey-Subject"
	headerScopes     = "X-Offkey-Scopes"
	headerCredential = "X-Offkey-Credential"

	ourPrefix = "x-offkey-"
)

var identityHeaders = [...]string{headerClient, headerSubject, headerScopes, headerCredential, headerAssertion}

// dropOurs removes what a caller sent under a name of ours. CGI and WSGI turn
// both `-` and `_` into `_`, others confuse dots, so they count as equal.
func dropOurs(h http.Header) {
	for name := range h {
		if len(name) >= len(ourPrefix) && foldsTo(name[:len(ourPrefix)], ourPrefix) {
			delete(h, name)
		}
	}
}

// sourceNames are headers, beside X-Forwarded-*, that tell an API where a call
// came from or what it asked for. From a stranger they are made up.
var sourceNames = [...]string{
	"forwarded", "x-real-ip", "x-client-ip", "x-cluster-client-ip", "client-ip", "true-client-ip", "cf-connecting-ip",
	"fastly-client-ip", "x-original-forwarded-for", "x-original-host", "x-original-method", "x-original-uri",
	"x-original-url", "x-rewrite-url", "x-http-host-override", "x-envoy-original-path", "x-envoy-external-address",
}

const forwardedPrefix = "x-forwarded-"

func tellsSource(name string) bool {
	if name == "" || strings.IndexByte("cftx", name[0]|0x20) < 0 { // as all of them begin
		return false
	}
	if len(name) >= len(forwardedPrefix) && foldsTo(name[:len(forwardedPrefix)], forwardedPrefix) {
		return true
	}
	for _, n := range sourceNames {
		if foldsTo(name, n) {
			return true
		}
	}
	return false
}

// dropSources removes them, but from trusted proxies only the spellings that no
// proxy writes: those it has passed on from a stranger.
func dropSources(h http.Header, trusted bool) {
	for name := range h {
		if tellsSource(name) && (!trusted || strings.ContainsAny(name, "_.")) {
			delete(h, name)
		}
	}
}

// forwardedFor tells the API where the call came from. What the peer says of it
// is passed on if the peer is a trusted proxy, and dropped otherwise.
func (c *call) forwardedFor(out *http.Request) {
	h, in := out.Header, c.r.Header
	dropSources(h, c.trusted)
	if c.trusted {
		// httputil.ReverseProxy has dropped these.
		for _, name := range [...]string{"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto"} {
			if v := in[name]; len(v) > 0 {
				h[name] = slices.Clone(v)
			}
		}
	}
	built := make([]string, 3) // one allocation for the three
	set := func(i int, name, value string) {
		built[i] = value
		h[name] = built[i : i+1 : i+1]
	}
	if peer := peerOf(c.r); peer.IsValid() {
		value := peer.String()
		if before := h["X-Forwarded-For"]; len(before) > 0 {
			value = strings.Join(before, ", ") + ", " + value
		}
		set(0, "X-Forwarded-For", value)
	}
	if len(h["X-Forwarded-Host"]) == 0 {
		set(1, "X-Forwarded-Host", c.r.Host)
	}
	if len(h["X-Forwarded-Proto"]) == 0 {
		proto := "http"
		if c.r.TLS != nil {
			proto = "https"
		}
		set(2, "X-Forwarded-Proto", proto)
	}
}

// sourceOf is the address of the caller: the peer, or behind trusted proxies the
// last address of X-Forwarded-For that is none of them.
func (g *Gateway) sourceOf(r *http.Request) (source netip.Addr, trusted bool) {
	peer := peerOf(r)
	if !g.trusts(peer) {
		return peer, false
	}
	return g.callerBehind(peer, r.Header), true
}

// callerBehind is the caller, who is at peer or, if that is a trusted proxy,
// behind it.
func (g *Gateway) callerBehind(peer netip.Addr, h http.Header) (source netip.Addr) {
	source = peer
	if !g.trusts(peer) {
		return source
	}
	lines := h["X-Forwarded-For"]
	for i := len(lines) - 1; i >= 0; i-- {
		rest := lines[i]
		for rest != "" {
			var last string
			if comma := strings.LastIndexByte(rest, ','); comma >= 0 {
				rest, last = rest[:comma], rest[comma+1:]
			} else {
				rest, last = "", rest
			}
			addr, err := netip.ParseAddr(strings.TrimSpace(last))
			if err != nil {
				return source // what is further left was said by nobody we trust
			}
			if source = addr.Unmap(); !g.trusts(source) {
				return source
			}
		}
	}
	return source
}

func (g *Gateway) trusts(addr netip.Addr) bool {
	for _, p := range g.TrustedProxies {
		if p.Contains(addr) {
			return true
		}
	}
	return false
}

// peerOf is who is at the other end of the connection.
func peerOf(r *http.Request) netip.Addr {
	ap, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return ap.Addr().Unmap()
}

// restoreCredentials puts back the credential headers that Connection named: the
// call was judged with them (RFC 9110 §7.6.1 is for hop-by-hop headers).
func (g *Gateway) restoreCredentials(out, in http.Header) {
	if !hasConnectionOptions(in) {
		return
	}
	for name := range connectionOptions(in) {
		if v := in[name]; len(v) > 0 && g.isCredentialHeader(name) {
			out[name] = slices.Clone(v)
		}
	}
}

// hasConnectionOptions tells the usual `Connection: keep-alive` from one that
// names headers, without allocating.
func hasConnectionOptions(h http.Header) bool {
	for _, v := range h["Connection"] {
		if !strings.EqualFold(v, "keep-alive") && !strings.EqualFold(v, "close") && !strings.EqualFold(v, "upgrade") {
			return true
		}
	}
	return false
}

// connectionOptions are the header names in Connection, in their usual spelling.
func connectionOptions(h http.Header) iter.Seq[string] {
	return func(yield func(string) bool) {
		for _, line := range h["Connection"] {
			for option := range strings.SplitSeq(line, ",") {
				if option = textproto.TrimString(option); option != "" && !yield(textproto.CanonicalMIMEHeaderKey(option)) {
					return
				}
			}
		}
	}
}

// dropH2C refuses the upgrade to HTTP/2 without TLS, behind which calls would
// pass unjudged: the request is answered in HTTP/1.1 as if it had not asked,
// which RFC 9110 §7.8 allows. Java's own HTTP client asks in every first call.
func dropH2C(h http.Header) {
	delete(h, "Http2-Settings")
	for _, v := range h["Upgrade"] {
		if isH2C(v) {
			delete(h, "Upgrade")
			delete(h, "Connection")
			return
		}
	}
}

// isH2C reports whether an Upgrade value asks for h2c among others.
func isH2C(upgrade string) bool {
	for protocol := range strings.SplitSeq(upgrade, ",") {
		name, _, _ := strings.Cut(strings.TrimSpace(protocol), "/")
		if strings.EqualFold(name, "h2c") || strings.EqualFold(name, "h2") {
			return true
		}
	}
	return false
}

// Source is the address that a request comes from, as the gateway judges it.
func (g *Gateway) Source(r *http.Request) netip.Addr {
	source, _ := g.sourceOf(r)
	return source
}
