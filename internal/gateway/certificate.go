package gateway

import (
	"net/http"

	"github.com/offkey/offkey/internal/token"
)

// Certificates are those whose holder the caller proved to be by TLS, in DER, its
// own first. A trusted proxy is the other end of its own connection, whose
// certificate is not the caller's: there only the header counts. From everybody
// else only the connection does.
func (g *Gateway) Certificates(r *http.Request) ([][]byte, error) {
	if g.CertificateHeader != "" && g.trusts(peerOf(r)) {
		return token.ForwardedCertificates(r.Header, g.CertificateHeader)
	}
	if r.TLS == nil {
		return nil, nil
	}
	ders := make([][]byte, len(r.TLS.PeerCertificates))
	for i, c := range r.TLS.PeerCertificates {
		ders[i] = c.Raw
	}
	return ders, nil
}

// dropCertificates removes what a stranger says about a certificate: behind the
// gateway it would be believed. From trusted proxies it removes the spellings that
// no proxy writes.
func (c *call) dropCertificates(h http.Header) {
	if c.g.CertificateHeader == "" {
		return
	}
	for name := range h {
		for _, told := range c.g.certificateHeaders {
			if foldsTo(name, told) && (!c.trusted || name != told) {
				delete(h, name)
			}
		}
	}
}
