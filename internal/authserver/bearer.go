package authserver

import (
	"context"

	"github.com/offkey/offkey/internal/authserver/clientauth"
	"github.com/offkey/offkey/internal/authserver/grant"
	"github.com/offkey/offkey/internal/oauth"
)

// prove proves the client of a request. Where the grant is an assertion that
// proves it, nothing else need do so (RFC 7521 §4.1); what does so too must be of
// the same client. An assertion about a person proves no client.
func (s *Server) prove(ctx context.Context, proof clientauth.Request, grantType string) (clientauth.Authenticated, error) {
	if grantType != oauth.GrantJWTBearer || !s.supports(grantType) || grant.AboutPerson(proof.Form.Value("assertion")) {
		return s.auth.Authenticate(ctx, proof)
	}
	var also clientauth.Authenticated
	if clientauth.Offered(proof) {
		var err error
		if also, err = s.auth.Authenticate(ctx, proof); err != nil {
			return clientauth.Authenticated{}, err
		}
	}
	if !proof.Form.Has("assertion") {
		return clientauth.Authenticated{}, oauth.InvalidRequest("assertion is missing: it is the token that the other issuer gave")
	}
	who, err := s.auth.AuthenticateGrant(ctx, proof)
	if err == nil && also.Client() != nil && also.Client().ID != who.Client().ID {
		err = oauth.InvalidGrant("the assertion stands for another client than the one that authenticates the request")
	}
	return who, err
}
