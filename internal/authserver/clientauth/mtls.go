package clientauth

import (
	"context"
	"crypto/x509"
	"slices"

	"github.com/offkey/offkey/internal/client"
	"github.com/offkey/offkey/internal/jose"
	"github.com/offkey/offkey/internal/oauth"
)

// tlsAttempt is a request that names its client and proves nothing but that its
// sender holds the private key of a certificate (RFC 8705 §2). What that counts
// for is said by the client's registration. A client that cannot prove anything
// may have a certificate too, to bind its tokens to (RFC 8705 §4).
type tlsAttempt struct {
	id    string
	certs []*x509.Certificate // the sender's first
	way   string
}

func (s *tlsAttempt) claimed() string { return s.id }
func (s *tlsAttempt) method() string  { return s.way }

// readTLS: the client_id is in the request, since a certificate does not name one
// (RFC 8705 §2).
func readTLS(r Request) (attempt, error) {
	id := r.Form.Value("client_id")
	if id == "" {
		return nil, refusal(CauseMissing, "client_id is missing: a certificate alone does not say which client it is")
	}
	return &tlsAttempt{id: id, certs: r.Certificates}, nil
}

// unprovedCertificate is all that anyone learns who does not have the
// certificate.
const unprovedCertificate = "client authentication failed: there is no such client, it is registered for another authentication method, or the certificate of the connection is not the one that it is registered with"

// prove holds the certificate against the registration. The chain is validated
// whatever the client, so that an unknown one costs no less.
func (s *tlsAttempt) prove(ctx context.Context, a *Authenticator, c *client.Client) (string, error) {
	chained := a.chainHolds(s.certs)
	if c == nil {
		return "", unproved(unprovedCertificate)
	}
	s.way = c.AuthMethod
	credential, proved := "", false
	switch c.AuthMethod { // RFC 7591 §2
	case oauth.AuthNone:
		proved = true
	case oauth.AuthTLSClient:
		proved = chained && c.TLS.Matches(s.certs[0]) // RFC 8705 §2.1.2
	case oauth.AuthSelfSignedTLSClient:
		var f *failure
		if credential, proved, f = a.registeredKey(ctx, c, s.certs[0]); f != nil {
			return "", f
		}
	}
	if !proved {
		return "", unproved(unprovedCertificate)
	}
	if f := checkStatus(c); f != nil {
		return "", f
	}
	return credential, nil
}

// chainHolds: the certificate was issued, for clients, by an authority that is
// trusted for this (RFC 8705 §2.1).
func (a *Authenticator) chainHolds(certs []*x509.Certificate) bool {
	if a.options.ClientCAs == nil {
		return false
	}
	between := x509.NewCertPool()
	for _, c := range certs[1:] {
		between.AddCert(c)
	}
	a.observe("chain")
	_, err := certs[0].Verify(x509.VerifyOptions{
		Roots: a.options.ClientCAs, Intermediates: between, CurrentTime: a.options.Now(),
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	return err == nil
}

// registeredKey: the public key of the certificate is one of the client's, which
// is all that a self-signed certificate can prove (RFC 8705 §2.2.2). A set that
// was fetched is fetched once more where it does not have the key.
func (a *Authenticator) registeredKey(ctx context.Context, c *client.Client, cert *x509.Certificate) (credential string, found bool, f *failure) {
	thumbprint := jose.PublicKey{Key: cert.PublicKey}.Thumbprint()
	if thumbprint == "" {
		return "", false, nil
	}
	has := func(k jose.PublicKey) bool { return k.Use != "enc" && k.Thumbprint() == thumbprint }
	if c.JWKSURI == "" {
		for _, cr := range c.Credentials {
			if cr.Kind == client.KindJWK && cr.Key != nil && cr.Live(a.options.Now()) && has(*cr.Key) {
				return cr.ID, true, nil
			}
		}
		return "", false, nil
	}
	if a.options.KeySets == nil {
		return "", false, nil
	}
	for _, fetch := range []func(context.Context, string) (jose.KeySet, error){a.options.KeySets.KeySet, a.options.KeySets.Refresh} {
		set, err := fetch(ctx, c.JWKSURI)
		if err != nil {
			f = unfetched(err)
			f.answer = oauth.InvalidClient(unprovedCertificate).WithCause(err)
			return "", false, f
		}
		if slices.ContainsFunc(set.Keys, has) {
			return "", true, nil
		}
	}
	return "", false, nil
}
