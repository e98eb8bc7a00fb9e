package gateway

import (
	"context"
	"errors"

	"github.com/offkey/offkey/internal/oauth"
	"github.com/offkey/offkey/internal/token"
)

// TrustedIssuer is another authorization server whose tokens open the API. Its clients
// are named after it, so that none of them is taken for one of ours.
type TrustedIssuer struct {
	// Name goes before its clients and subjects, as in corp:billing.
	Name     string
	Verifier *token.RemoteVerifier
}

// OfIssuer is what a token of another issuer says here: clients, as the operator has
// named them or under the name of the issuer, and scopes that the operator has given a
// meaning, or with no such list those that are written as ours. What only our own
// issuer may say is taken out.
func OfIssuer(name string, clients, scopes map[string]string) func(*token.Claims) {
	return func(c *token.Claims) {
		themselves := c.Subject == c.ClientID
		theirs := c.ClientID
		c.ClientID = name + ":" + theirs
		if ours := clients[theirs]; ours != "" {
			c.ClientID = ours
		}
		c.Subject = name + ":" + c.Subject
		if themselves {
			c.Subject = c.ClientID
		}
		if len(scopes) > 0 {
			var known oauth.Scope
			for _, s := range c.Scope {
				if ours := scopes[s]; ours != "" {
					known = known.Union(oauth.Scope{ours})
				}
			}
			c.Scope = known
		}
		c.APIKeyID, c.GrantID, c.From, c.Actor, c.MayAct = "", "", "", nil, ""
		c.Login.PersonID, c.Login.Session = "", ""
	}
}

// verify checks an access token of ours, or of the issuer that it names: whose keys
// are asked follows from iss alone, so that no issuer can speak for another
// (RFC 9700 §4.4).
func (g *Gateway) verify(ctx context.Context, raw string) (*token.Verified, error) {
	verified, err := g.Verifier.Verify(raw)
	for _, other := range g.Issuers {
		if !errors.Is(err, token.ErrForeign) {
			break
		}
		verified, err = other.Verifier.Verify(ctx, raw)
	}
	return verified, err
}
