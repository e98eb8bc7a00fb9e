package client

import (
	"slices"
	"strings"
)

// loopbackHosts are where a native app listens on a port that the system gave
// it. localhost is not recommended (RFC 8252 §8.3) and is in use.
var loopbackHosts = []string{"http://127.0.0.1", "http://[::1]", "http://localhost"}

// RedirectsTo reports whether uri is one of the client's redirect URIs: octet by
// octet the same (RFC 9700 §2.1), but for the port of a loopback address, which
// may be any (RFC 8252 §7.3).
func (c *Client) RedirectsTo(uri string) bool {
	return slices.ContainsFunc(c.RedirectURIs, func(registered string) bool {
		return uri != "" && SameRedirectURI(registered, uri)
	})
}

// SameRedirectURI compares a registered redirect URI with one that was sent.
func SameRedirectURI(registered, sent string) bool {
	if registered == sent {
		return true
	}
	for _, host := range loopbackHosts {
		a, loopback := afterPort(registered, host)
		b, also := afterPort(sent, host)
		if loopback && also {
			return a == b
		}
	}
	return false
}

// afterPort returns what follows the port of a URI on host, which may have none.
func afterPort(uri, host string) (rest string, ok bool) {
	rest, ok = strings.CutPrefix(uri, host)
	if !ok {
		return "", false
	}
	if port, found := strings.CutPrefix(rest, ":"); found {
		digits := 0
		for digits < len(port) && port[digits] >= '0' && port[digits] <= '9' {
			digits++
		}
		if digits == 0 || digits > 5 {
			return "", false
		}
		rest = port[digits:]
	}
	return rest, rest == "" || rest[0] == '/' || rest[0] == '?'
}
