package gateway

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/offkey/offkey/internal/oauth"
	"github.com/offkey/offkey/internal/policy"
)

// metadata is the protected resource metadata (RFC 9728 §2) and where it is. It
// and what is under reservedPrefix are all that the gateway takes from the
// URLs of the API.
type metadata struct {
	url      string // for challenges
	host     string // of the resource, as callers send it
	origin   string // its scheme and host
	path     string
	resource string
	issuer   string
	others   []string // trusted issuers
	// certificates: callers can come with one, to use a token that is bound to it.
	certificates bool

	document atomic.Pointer[document]
}

// document is the metadata as it follows from one Ruleset.
type document struct {
	rules *policy.Ruleset
	body  []byte
}

const (
	reservedPrefix = "/_offkey/"
	upgradePath    = reservedPrefix + "upgrade"
	metadataAge    = 300 // seconds that the document may be kept
)

func newMetadata(parsed *url.URL, resource, issuer string) *metadata {
	where := oauth.WellKnownURL(resource, oauth.SuffixProtectedResource)
	at, _ := url.Parse(where) // resource was parsed before
	return &metadata{url: where, host: withoutDefaultPort(parsed.Host), origin: parsed.Scheme + "://" + parsed.Host, path: at.EscapedPath(), resource: resource, issuer: issuer}
}

func withoutDefaultPort(host string) string {
	host = strings.ToLower(host)
	return strings.TrimSuffix(strings.TrimSuffix(host, ":443"), ":80")
}

// servedHere answers what is the gateway's own on the URLs of the API.
func (c *call) servedHere() bool {
	switch path := c.target.Path; {
	case path == c.g.metadata.path && withoutDefaultPort(c.r.Host) == c.g.metadata.host:
		c.serveMetadata()
	case path == upgradePath && c.g.UpgradePage != "":
		c.sendToUpgrade()
	case strings.HasPrefix(path, reservedPrefix):
		c.refuse(codeNotFound)
	default:
		return false
	}
	return true
}

// sendToUpgrade leads people to the page of the issuer: on the API's own origin
// its scripts could read what is typed. Nothing of the request goes along.
func (c *call) sendToUpgrade() {
	if c.r.Method != http.MethodGet && c.r.Method != http.MethodHead {
		c.w.Header()["Allow"] = []string{"GET, HEAD"}
		c.refuse(codeMethodRefused)
		return
	}
	h := c.w.Header()
	h["Location"] = []string{c.g.UpgradePage}
	h["Cache-Control"] = []string{"no-store"}
	c.w.WriteHeader(http.StatusSeeOther)
}

// serveMetadata answers RFC 9728 §3.1, to anybody and from any origin. The
// resource in it is the one that led here (RFC 9728 §3.3).
func (c *call) serveMetadata() {
	h := c.w.Header()
	h["Access-Control-Allow-Origin"] = []string{"*"}
	switch c.r.Method {
	case http.MethodOptions:
		h["Access-Control-Allow-Methods"] = []string{"GET, HEAD, OPTIONS"}
		h["Access-Control-Allow-Headers"] = []string{"*"} // MCP clients send MCP-Protocol-Version
		c.w.WriteHeader(http.StatusNoContent)
		return
	case http.MethodGet, http.MethodHead:
	default:
		h["Allow"] = []string{"GET, HEAD, OPTIONS"}
		c.refuse(codeMethodRefused)
		return
	}
	body := c.g.metadata.of(c.rules)
	h["Content-Type"] = []string{"application/json"}
	h["Cache-Control"] = []string{"public, max-age=" + strconv.Itoa(metadataAge)}
	h["Content-Length"] = []string{strconv.Itoa(len(body))}
	_, _ = c.w.Write(body)
}

// of writes the document, once for each Ruleset.
func (m *metadata) of(rules *policy.Ruleset) []byte {
	if d := m.document.Load(); d != nil && d.rules == rules {
		return d.body
	}
	var scopes []string
	needed, free := 0, 0 // routes that DPoP is needed on, and those that it is not
	for _, r := range rules.Routes() {
		scopes = append(scopes, r.Scopes...)
		switch {
		case r.DPoP:
			needed++
		case !r.Open:
			free++
		}
	}
	// No route is about refresh tokens: whether a client gets one is between it
	// and the authorization server.
	scopes = slices.DeleteFunc(scopes, func(name string) bool { return name == "offline_access" })
	slices.Sort(scopes)
	body, _ := json.Marshal(oauth.ResourceMetadata{ // of strings alone: it cannot fail
		Resource: m.resource, AuthorizationServers: append([]string{m.issuer}, m.others...),
		ScopesSupported: slices.Compact(scopes), BearerMethodsSupported: []string{"header"},
		DPoPSigningAlgValuesSupported: proofAlgorithms, DPoPBoundAccessTokensRequired: needed > 0 && free == 0,
		TLSClientCertificateBoundAccessTokens: m.certificates,
	})
	m.document.Store(&document{rules: rules, body: body})
	return body
}
