package oauth

import (
	"net/netip"
	"net/url"
	"strings"
)

// IsLoopback reports whether a host, without its port, is this machine (RFC 8252
// §7.3, RFC 6761 §6.3): there http is read by nobody on the way.
func IsLoopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return strings.EqualFold(host, "localhost") || err == nil && addr.IsLoopback()
}

// HostOf is what of a URI tells a person where it leads: its host and port, of a
// URI without one its scheme (RFC 8252 §7.1).
func HostOf(uri string) string {
	u, err := url.Parse(uri)
	switch {
	case err != nil:
		return ""
	case u.Host == "":
		return u.Scheme + ":"
	}
	return u.Host
}
