package authserver

import (
	"net/http"
	"strings"

	"github.com/offkey/offkey/internal/jose"
	"github.com/offkey/offkey/internal/oauth"
	"github.com/offkey/offkey/internal/token"
)

// protected verifies the access token of a request to an endpoint that is itself
// a resource, such as userinfo: from the header alone, with the proof or the
// certificate that it is bound to (RFC 6750 §2.1, RFC 9449 §7, RFC 8705 §3). The
// audience is for the endpoint to judge. more is another token of the request,
// such as access_token in its body (RFC 6750 §2.2).
func (s *Server) protected(w http.ResponseWriter, r *http.Request, path string, more ...string) (*token.Verified, error) {
	scheme, raw, err := presentedToken(r, more)
	if err != nil {
		return nil, err
	}
	verified, err := s.options.Verifier.Verify(raw)
	if err != nil {
		if e, named := asOAuth(err); named {
			return nil, e.WithScheme(scheme)
		}
		return nil, oauth.InvalidToken("the access token is not one of this server").WithScheme(scheme)
	}
	if !s.stands(r.Context(), verified) {
		return nil, oauth.InvalidToken("the access token is no longer accepted").WithScheme(scheme)
	}
	return verified, s.checkHolder(w, r, path, scheme, raw, verified.Claims().Confirmation)
}

// presentedToken finds the one access token of a request (RFC 6750 §2).
func presentedToken(r *http.Request, more []string) (scheme, raw string, err error) {
	headers := r.Header["Authorization"]
	switch {
	case len(headers)+len(more) == 0:
		return "", "", errNoToken
	case len(headers)+len(more) > 1:
		return "", "", oauth.InvalidRequest("more than one access token in one request: send one, in the Authorization header")
	case len(more) == 1:
		return oauth.TokenTypeBearer, more[0], nil
	}
	scheme, raw, _ = strings.Cut(headers[0], " ")
	for _, known := range []string{oauth.TokenTypeBearer, oauth.TokenTypeDPoP} {
		if strings.EqualFold(scheme, known) {
			return known, strings.TrimSpace(raw), nil
		}
	}
	return "", "", errNoToken
}

// errNoToken answers a request without a token: with a bare challenge
// (RFC 6750 §3.1).
var errNoToken = oauth.InvalidToken("an access token is needed: Authorization: Bearer, or DPoP with a proof")

// checkHolder: a bound token is used by whoever holds what it is bound to, and
// under the scheme that says so (RFC 9449 §7.1, §7.2; RFC 8705 §3).
func (s *Server) checkHolder(w http.ResponseWriter, r *http.Request, path, scheme, raw string, bound token.Confirmation) error {
	switch {
	case scheme == oauth.TokenTypeDPoP && bound.JKT == "":
		return oauth.InvalidToken("the access token is not bound to a DPoP key: send it as Bearer").WithScheme(scheme)
	case scheme != oauth.TokenTypeDPoP && bound.JKT != "":
		return oauth.InvalidToken("the access token is bound to a DPoP key: send it under the scheme DPoP, with a proof").WithScheme(oauth.TokenTypeDPoP)
	case bound.X5TS256 != "":
		certs := s.options.Certificates(r)
		if len(certs) == 0 || token.CertificateThumbprint(certs[0].Raw) != bound.X5TS256 {
			return oauth.InvalidToken("the access token is bound to another TLS certificate than that of this connection").WithScheme(scheme)
		}
		return nil
	case bound.JKT == "":
		return nil
	}
	proof, err := s.checkProof(w, r.Header["Dpop"], token.ProofRequest{
		Method: r.Method, URL: s.endpoint(path), Alias: s.alias(path), AccessToken: raw, JKT: bound.JKT, At: s.options.Now(),
	})
	if err == nil {
		err = s.spendProof(r.Context(), &proof)
	}
	if e, named := asOAuth(err); named && e.Status == http.StatusBadRequest {
		return e.WithStatus(http.StatusUnauthorized).WithScheme(scheme)
	}
	return err
}

// proofAlgorithms are those of RFC 9449 §5.1 and of the algs of a challenge.
var proofAlgorithms = jose.Names(jose.ProofAlgorithms)

// senderChallenge completes a challenge of the scheme DPoP (RFC 9449 §7.1).
func senderChallenge(c oauth.Challenge) string {
	if c.Scheme == oauth.TokenTypeDPoP {
		c.Extra = append(c.Extra, oauth.Attribute{Name: "algs", Value: strings.Join(proofAlgorithms, " ")})
	}
	return c.String()
}
