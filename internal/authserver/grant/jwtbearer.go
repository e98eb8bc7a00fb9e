package grant

import (
	"context"
	"time"

	"github.com/offkey/offkey/internal/authserver/clientauth"
	"github.com/offkey/offkey/internal/oauth"
	"github.com/offkey/offkey/internal/token"
)

// JWTBearer is the grant for a token of another issuer as an assertion (RFC 7523
// §2.1). Where that token stands for a client, as those of workloads do, it has
// proved the client already, and the grant gives what client_credentials would:
// no refresh token, for the workload gets a new assertion whenever it needs one
// (RFC 7521 §4.1).
//
// An identity provider's assertion about a person is told by its typ, and brought
// by a client that proves itself otherwise (identityassertion.go).
type JWTBearer struct {
	Targets    Targets
	Life       time.Duration // of its tokens
	Assertions Assertions    // with Links and People: nil takes none about people
	Links      Links
	People     People
}

// Authorize decides a request of a client that its assertion has proved, or that
// brings one about a person.
func (g JWTBearer) Authorize(ctx context.Context, who clientauth.Authenticated, r Request) (token.Authorization, error) {
	if AboutPerson(r.Form.Value("assertion")) {
		return g.forPerson(ctx, who, r)
	}
	c := who.Client()
	if err := checkProvedByAssertion(who); err != nil {
		return token.Authorization{}, err
	}
	return forItself(c, r, g.Targets, g.Life)
}

// checkProvedByAssertion: the assertion is the grant, so that a client which
// proved itself in another way has brought none.
func checkProvedByAssertion(who clientauth.Authenticated) error {
	if who.Client() == nil || who.Method() != oauth.AuthFederatedJWT {
		return oauth.InvalidGrant("assertion is not a token of an issuer that is trusted here for this client")
	}
	return nil
}
