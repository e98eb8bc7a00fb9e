package client

import (
	"crypto/x509"
	"errors"
	"net/netip"
	"slices"
	"strings"
)

// Check reports what is wrong with a subject: it names exactly one thing, and
// that is well-formed (RFC 8705 §2.1.2).
func (s TLSSubject) Check() error {
	set := 0
	for _, member := range []string{s.DN, s.DNS, s.URI, s.IP, s.Email} {
		if member != "" {
			set++
		}
	}
	switch {
	case set != 1:
		return errors.New("exactly one of subject_dn, san_dns, san_uri, san_ip and san_email says what the certificate must say")
	case s.DN != "":
		_, err := parseDN(s.DN)
		return err
	case s.IP != "":
		if _, err := netip.ParseAddr(s.IP); err != nil {
			return errors.New("san_ip is no IP address")
		}
	}
	return nil
}

// Matches reports whether a certificate, whose chain was validated, says what
// the client is registered for (RFC 8705 §2.1.2). A subject with none or with
// several members matches nothing.
func (s TLSSubject) Matches(cert *x509.Certificate) bool {
	if s.Check() != nil {
		return false
	}
	switch {
	case s.DN != "":
		return sameDN(s.DN, cert.RawSubject)
	case s.DNS != "":
		return slices.ContainsFunc(cert.DNSNames, func(name string) bool { return strings.EqualFold(name, s.DNS) })
	case s.URI != "":
		for _, u := range cert.URIs {
			if u.String() == s.URI {
				return true
			}
		}
	case s.IP != "":
		want, _ := netip.ParseAddr(s.IP) // as checked
		for _, ip := range cert.IPAddresses {
			if got, ok := netip.AddrFromSlice(ip); ok && got.Unmap() == want.Unmap() {
				return true
			}
		}
	case s.Email != "":
		return slices.ContainsFunc(cert.EmailAddresses, func(address string) bool { return sameMailbox(address, s.Email) })
	}
	return false
}

// sameMailbox compares the host without letter case (RFC 5280 §7.5).
func sameMailbox(a, b string) bool {
	i, j := strings.LastIndexByte(a, '@'), strings.LastIndexByte(b, '@')
	return i > 0 && j > 0 && a[:i] == b[:j] && strings.EqualFold(a[i:], b[j:])
}
