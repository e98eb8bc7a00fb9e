package gateway

import (
	"net"
	"net/http"
	"net/netip"
	"strings"

	"github.com/offkey/offkey/internal/jose"
	"github.com/offkey/offkey/internal/oauth"
	"github.com/offkey/offkey/internal/policy"
	"github.com/offkey/offkey/internal/token"
)

// checkHolder: a bound token is used by whoever holds what it is bound to, and a
// token that is bound to a DPoP key comes under the scheme that says so
// (RFC 9449 §7.1, §7.2; RFC 8705 §3). Bearer tokens pay two comparisons for it.
func (c *call) checkHolder(bound token.Confirmation) *oauth.Error {
	asDPoP := c.presented.TokenScheme == oauth.TokenTypeDPoP
	switch {
	case !asDPoP && !bound.Bound():
		return nil
	case asDPoP && bound.JKT == "":
		return errNotBound
	case asDPoP:
		return c.checkProof(bound.JKT)
	case bound.JKT != "":
		return errBoundAsBearer
	}
	return c.checkCertificate(bound.X5TS256)
}

var (
	errNotBound       = oauth.InvalidToken("the access token is not bound to a DPoP key: send it as Bearer")
	errBoundAsBearer  = oauth.InvalidToken("the access token is bound to a DPoP key: send it under the scheme DPoP, with a proof").WithScheme(oauth.TokenTypeDPoP)
	errNoCertificate  = oauth.InvalidToken("the access token is bound to a TLS certificate: call with that certificate")
	errOtherHolder    = oauth.InvalidToken("the access token is bound to another TLS certificate than that of this connection")
	errProofReplayed  = oauth.InvalidDPoPProof("this DPoP proof was used before: make a new one with a new jti for each request")
	errProofsTooMany  = oauth.InvalidDPoPProof("more DPoP proofs came in the last minute than can be remembered: send the request again later, with a new proof")
	errNonceIsMissing = oauth.UseDPoPNonce("the DPoP proof needs the nonce that the header DPoP-Nonce of this answer brings: make the proof again with it")
)

// checkProof: the caller holds the key that the token is bound to, and made the
// proof for this call and no other (RFC 9449 §7.1).
func (c *call) checkProof(jkt string) *oauth.Error {
	url, alias := c.publicURL()
	proof, err := token.CheckProof(c.r.Header["Dpop"], token.ProofRequest{
		Method: c.r.Method, URL: url, Alias: alias, AccessToken: c.presented.Token.Reveal(), JKT: jkt, At: c.at,
	})
	if err != nil {
		return err.(*oauth.Error) // of no other kind
	}
	if nonces := c.g.Nonces; nonces != nil {
		known, current := nonces.Knows(proof.Nonce, c.at)
		if !current {
			c.nonce = nonces.At(c.at)
		}
		if !known {
			return errNonceIsMissing
		}
	}
	switch fresh, room := c.g.Replays.Spend(proof, c.at); {
	case !room:
		return errProofsTooMany
	case !fresh:
		return errProofReplayed
	}
	return nil
}

// publicURL is where the call went, as its caller saw it (RFC 9449 §4.3): what
// trusted proxies say, else the connection, if its Host is ours; else it is that of
// the resource. Where that is the host of the
// resource, the resource's own scheme counts too, since a proxy that ends TLS may
// not say so.
func (c *call) publicURL() (url, alias string) {
	scheme, host := "http", c.r.Host
	if c.r.TLS != nil {
		scheme = "https"
	}
	ours := c.isOurs(host)
	if c.trusted {
		if told := lastOf(c.r.Header["X-Forwarded-Proto"]); told != "" {
			scheme = strings.ToLower(told)
		}
		if told := lastOf(c.r.Header["X-Forwarded-Host"]); told != "" {
			host, ours = told, true
		}
		if port := lastOf(c.r.Header["X-Forwarded-Port"]); port != "" && !strings.Contains(host[strings.LastIndexByte(host, ']')+1:], ":") {
			host += ":" + port
		}
	}
	path := c.target.RawPath
	if !ours {
		return c.g.metadata.origin + path, ""
	}
	if withoutDefaultPort(host) == c.g.metadata.host {
		alias = c.g.metadata.origin + path
	}
	return scheme + "://" + host + path, alias
}

// isOurs reports whether a Host is one that this gateway goes by: that of the
// resource, of an upstream that was named, or of this machine. Any other is made
// up by whoever sends it, such as a server that was given a token and a proof for
// itself and passes both on (RFC 9449 §4.3 item 9).
func (c *call) isOurs(host string) bool {
	if withoutDefaultPort(host) == c.g.metadata.host || c.g.upstreams.named(host) {
		return true
	}
	name := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	}
	addr, err := netip.ParseAddr(strings.Trim(name, "[]"))
	if err != nil {
		return strings.EqualFold(name, "localhost") // RFC 6761 §6.3
	}
	local, _ := c.r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr)
	return addr.IsLoopback() || local != nil && local.AddrPort().Addr().Unmap() == addr.Unmap()
}

// lastOf is the last element of a list: what the peer itself has said.
func lastOf(lines []string) string {
	if len(lines) == 0 {
		return ""
	}
	last := lines[len(lines)-1]
	return strings.TrimSpace(last[strings.LastIndexByte(last, ',')+1:])
}

// checkCertificate: the certificate of the caller is the one that the token is
// bound to (RFC 8705 §3).
func (c *call) checkCertificate(x5t string) *oauth.Error {
	ders, err := c.certificates()
	switch {
	case err != nil:
		return errNoCertificate.WithCause(err)
	case len(ders) == 0:
		return errNoCertificate
	case token.CertificateThumbprint(ders[0]) != x5t:
		return errOtherHolder
	}
	return nil
}

// certificates are those of the caller, which Envoy tells beside its headers.
func (c *call) certificates() ([][]byte, error) {
	if c.certificate != "" {
		const name = "Certificate"
		return token.ForwardedCertificates(http.Header{name: {c.certificate}}, name)
	}
	return c.g.Certificates(c.r)
}

// badTokenCode is the code of a refusal for a token that does not hold.
func badTokenCode(e *oauth.Error) string {
	switch e.Code {
	case oauth.CodeInvalidDPoPProof:
		return policy.CodeInvalidProof
	case oauth.CodeUseDPoPNonce:
		return policy.CodeUseNonce
	}
	return policy.CodeInvalidToken
}

// isBadToken reports whether a code is one of badTokenCode's.
func isBadToken(code string) bool {
	return code == policy.CodeInvalidToken || code == policy.CodeInvalidProof || code == policy.CodeUseNonce
}

// challengeScheme is the scheme that a refusal asks for: that of the token that
// came, unless what is wrong is that it was not DPoP.
func (c *call) challengeScheme(code string) string {
	route := c.decision.Route
	switch {
	case c.presented.TokenScheme == oauth.TokenTypeDPoP, code == policy.CodeDPoPRequired,
		code == policy.CodeCredentialMissing && route != nil && route.DPoP,
		c.badToken != nil && c.badToken.Scheme == oauth.TokenTypeDPoP:
		return oauth.TokenTypeDPoP
	}
	return oauth.TokenTypeBearer
}

// proofAlgorithms are those of proofs (RFC 9449 §7.1).
var proofAlgorithms = jose.Names(jose.ProofAlgorithms)

// renewNonce hands out the nonce that the caller is to use from now on
// (RFC 9449 §8.2, §9).
func (c *call) renewNonce(h http.Header) {
	if c.nonce != "" {
		h["Dpop-Nonce"] = []string{c.nonce}
	}
}
