package authserver

import (
	"context"
	"crypto/x509"
	"net/http"
	"time"

	"github.com/offkey/offkey/internal/client"
	"github.com/offkey/offkey/internal/oauth"
	"github.com/offkey/offkey/internal/token"
)

// ProofSpender keeps which DPoP proofs were used.
type ProofSpender interface {
	// SpendProof notes the jti of a proof made with the key of that thumbprint, in
	// one atomic and durable step, and reports whether it is the first to come with
	// it. The note may be forgotten after expires.
	SpendProof(ctx context.Context, jkt, jti string, expires time.Time) (fresh bool, err error)
}

// sender is what whoever sent a request proved to hold beside being its client:
// what is issued can be bound to it.
type sender struct {
	proof *token.Proof // nil: no DPoP header
	certs []*x509.Certificate
}

// readSender reads what a request to the endpoint at path proves. It comes before
// the client is authenticated: a proof that is to be made again with a nonce
// must not cost the assertion beside it. Nothing is spent yet.
func (s *Server) readSender(w http.ResponseWriter, r *http.Request, path string) (sender, error) {
	from := sender{certs: s.options.Certificates(r)}
	headers := r.Header["Dpop"]
	if len(headers) == 0 {
		return from, nil
	}
	if err := s.checkSource(s.options.Source(r)); err != nil { // before anything is calculated for it
		return from, err
	}
	proof, err := s.checkProof(w, headers, token.ProofRequest{
		Method: r.Method, URL: s.endpoint(path), Alias: s.alias(path), At: s.options.Now(),
	})
	from.proof = &proof
	return from, err
}

// checkProof is what is checked of every proof that comes here. A nonce that is
// missing or old brings the new one with the answer (RFC 9449 §8, §8.2).
func (s *Server) checkProof(w http.ResponseWriter, headers []string, r token.ProofRequest) (token.Proof, error) {
	proof, err := token.CheckProof(headers, r)
	if err != nil || s.options.Nonces == nil {
		return proof, err
	}
	known, current := s.options.Nonces.Knows(proof.Nonce, r.At)
	if !current {
		w.Header().Set("DPoP-Nonce", s.options.Nonces.At(r.At))
	}
	if !known {
		return proof, oauth.UseDPoPNonce("the DPoP proof needs the nonce that the header DPoP-Nonce of this answer brings: make the proof again with it")
	}
	return proof, nil
}

// spendProof uses the jti of a proof up (RFC 9449 §11.1).
func (s *Server) spendProof(ctx context.Context, proof *token.Proof) error {
	if proof == nil {
		return nil
	}
	fresh, err := s.options.Spender.SpendProof(ctx, proof.JKT, proof.ID, proof.Expires)
	switch {
	case err != nil:
		return oauth.TemporarilyUnavailable("the server cannot reach its storage: try again").WithCause(err)
	case !fresh:
		return oauth.InvalidDPoPProof("this DPoP proof was used before: make a new one with a new jti for each request")
	}
	return nil
}

// bind is what the tokens of a client are bound to: to the key of a DPoP proof if
// there is one, whatever else the request proves; to the certificate if the
// client is registered for that, or held to the FAPI profile (RFC 9449 §5.2,
// RFC 8705 §3, §3.4).
func (from sender) bind(c *client.Client) (token.Confirmation, error) {
	switch {
	case from.proof != nil:
		return token.Confirmation{JKT: from.proof.JKT}, nil
	case c.DPoPBound:
		return token.Confirmation{}, oauth.InvalidDPoPProof("the tokens of this client are bound to a DPoP key: send a proof in the header DPoP")
	case !c.CertificateBound && c.Profile != client.ProfileFAPI2:
		return token.Confirmation{}, nil
	case len(from.certs) > 0:
		return token.Confirmation{X5TS256: token.CertificateThumbprint(from.certs[0].Raw)}, nil
	case c.CertificateBound:
		return token.Confirmation{}, oauth.InvalidRequest("the tokens of this client are bound to its TLS certificate: send the request to the mtls_endpoint_aliases of the metadata, with the certificate")
	}
	return token.Confirmation{}, nil // which the profile refuses, in its own words
}

// codeKey is the key that an authorization request names for its code: by a proof
// where it is pushed, by the parameter dpop_jkt anywhere. Both must be one
// (RFC 9449 §10, §10.1). The proof is not spent
// yet.
func (from sender) codeKey(form oauth.Params) (jkt string, err error) {
	jkt = form.Value("dpop_jkt")
	switch {
	case jkt != "" && !isThumbprint(jkt):
		return "", oauth.InvalidRequest("dpop_jkt is no thumbprint: it is the base64url SHA-256 of the key, 43 characters")
	case from.proof == nil:
		return jkt, nil
	case jkt != "" && jkt != from.proof.JKT:
		return "", oauth.InvalidDPoPProof("dpop_jkt is the thumbprint of another key than the one that the DPoP proof is made with")
	}
	return from.proof.JKT, nil
}

// isThumbprint reports whether s has the form of a SHA-256 in base64url.
func isThumbprint(s string) bool {
	if len(s) != 43 {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if !('a' <= c|0x20 && c|0x20 <= 'z' || '0' <= c && c <= '9' || c == '-' || c == '_') {
			return false
		}
	}
	return true
}

// connectionCertificates are those of the caller's own TLS connection.
func connectionCertificates(r *http.Request) []*x509.Certificate {
	if r.TLS == nil {
		return nil
	}
	return r.TLS.PeerCertificates
}
