// Package federation fetches what others publish: JWK sets of clients now,
// later the metadata and keys of other issuers. All outbound requests to
// addresses that a stranger may choose go through its Fetcher, which refuses
// special-use addresses on the connection that it dials.
//
// What the fetched keys prove is decided by whoever asked for them.
package federation

import (
	"fmt"
	"net/netip"
	"syscall"
)

// refused are the special-use blocks of RFC 6890 §2.2 and its registry, as far
// as a public server cannot be there. Nothing is fetched from them.
var refused = prefixes(
	"0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12",
	"192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15",
	"198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
	// Of IPv6 only 2000::/3 is global unicast; these are special within it.
	"2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20",
)

// globalUnicast is where public IPv6 servers are. NAT64, mapped and compatible
// addresses lie outside of it and would hide an IPv4 address.
var globalUnicast = netip.MustParsePrefix("2000::/3")

// private are the blocks that AllowPrivate opens. Link-local addresses are not
// among them: nobody keeps keys there, and clouds answer with credentials.
var private = prefixes("127.0.0.0/8", "::1/128", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7")

// neverPrivate are metadata services of clouds inside of private blocks.
var neverPrivate = prefixes("fd00:ec2::254/128", "fd20:ce::254/128", "fd00:c1::a9fe:a9fe/128", "100.100.100.200/32")

func prefixes(list ...string) []netip.Prefix {
	out := make([]netip.Prefix, len(list))
	for i, p := range list {
		out[i] = netip.MustParsePrefix(p)
	}
	return out
}

func within(a netip.Addr, blocks []netip.Prefix) bool {
	for _, p := range blocks {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// checkAddress says whether an address may be dialled.
func checkAddress(a netip.Addr, allowPrivate bool) error {
	a = a.Unmap().WithZone("")
	switch {
	case allowPrivate && within(a, private) && !within(a, neverPrivate):
		return nil
	case a.Is4() && !within(a, refused):
		return nil
	case a.Is6() && globalUnicast.Contains(a) && !within(a, refused):
		return nil
	}
	return fmt.Errorf("%s is a special-use address (RFC 6890): set outbound.allow_private for servers of your own network", a)
}

// guard is called with the address of every connection after the name was
// resolved and before it is dialled, so that a name cannot change its address
// in between.
func guard(check func(netip.Addr) error) func(network, address string, _ syscall.RawConn) error {
	return func(_, address string, _ syscall.RawConn) error {
		ap, err := netip.ParseAddrPort(address)
		if err != nil {
			return fmt.Errorf("dialled address %q: %w", address, err)
		}
		return check(ap.Addr())
	}
}
