package grant

import (
	"context"
	"errors"
	"fmt"

	"github.com/offkey/offkey/internal/authserver/clientauth"
	"github.com/offkey/offkey/internal/client"
	"github.com/offkey/offkey/internal/directory"
	"github.com/offkey/offkey/internal/jose"
	"github.com/offkey/offkey/internal/oauth"
	"github.com/offkey/offkey/internal/token"
)

// Assertions verifies what other issuers say.
type Assertions interface {
	// Identify finds the trust rule that a token falls under and spends the
	// token. What stands for nothing is a *client.TrustFailure.
	Identify(ctx context.Context, p client.Presented) (client.Identified, error)
}

// Links knows who somebody at an identity provider is here.
type Links interface {
	// UpstreamPerson returns the id of the person who is subject at an issuer, or
	// directory.ErrNotFound.
	UpstreamPerson(ctx context.Context, issuer, subject string) (id string, err error)
}

// AboutPerson reports whether an assertion is about a person, as its typ says
// (draft-ietf-oauth-identity-assertion-authz-grant): the client that brings it
// proves itself by something else. Nothing is proved by it.
func AboutPerson(assertion string) bool {
	jwt, err := jose.Parse(assertion, jose.ClientAlgorithms...)
	return err == nil && jwt.Header().Type == oauth.TypIDJAG
}

// forPerson decides a request with an assertion of an identity provider that the
// client may act for one of its people (RFC 7523 §2.1). Who that is here is known
// by issuer and subject, from signing in by that provider. There is no refresh
// token: the client asks the provider again (RFC 7521 §4.1).
func (g JWTBearer) forPerson(ctx context.Context, who clientauth.Authenticated, r Request) (token.Authorization, error) {
	c := who.Client()
	switch {
	case g.Assertions == nil || g.Links == nil || g.People == nil:
		return token.Authorization{}, oauth.InvalidGrant("assertions about people are not taken here")
	case c == nil || !c.Confidential():
		return token.Authorization{}, oauth.UnauthorizedClient("a public client cannot bring an assertion about a person: anybody could be it. Use authorization_code")
	}
	found, err := g.Assertions.Identify(ctx, client.Presented{Token: r.Form.Value("assertion"), For: client.TrustPeople, ClientID: c.ID})
	if err != nil {
		return token.Authorization{}, badAssertion(err)
	}
	id, err := g.Links.UpstreamPerson(ctx, found.Token.Issuer, found.Token.Subject)
	switch {
	case errors.Is(err, directory.ErrNotFound):
		return token.Authorization{}, oauth.InvalidGrant("nobody here has signed in by that identity provider as the subject of the assertion: they do so once, then it can be used")
	case err != nil:
		return token.Authorization{}, fmt.Errorf("find who an assertion is about: %w", err)
	}
	scope, err := assertedScope(c, found.Token, r.Form.Value("scope"))
	if err != nil {
		return token.Authorization{}, err
	}
	if scope, err = checkPerson(ctx, g.People, id, scope); err != nil {
		return token.Authorization{}, err
	}
	resources, err := g.assertedResources(c, found.Token, r.Form.Values("resource"))
	if err != nil {
		return token.Authorization{}, err
	}
	a := token.Authorization{
		Client: c, Scope: scope, Resources: resources, Life: wholeSeconds(g.Life), Confirmation: r.Confirmation,
		Login: token.Login{PersonID: id, Pairwise: c.SubjectType == client.SubjectPairwise},
	}
	if a.Kept = !a.Login.Pairwise; !a.Kept { // its tokens do not say whose they are
		a.GrantID = token.NewGrantID()
	}
	return a, nil
}

// badAssertion is what is answered where an assertion is refused (RFC 7521
// §4.1.1).
func badAssertion(err error) error {
	var f *client.TrustFailure
	switch {
	case !errors.As(err, &f):
		return fmt.Errorf("verify an assertion: %w", err)
	case f.Cause == client.TrustUnproved:
		return oauth.InvalidGrant("the assertion is not one of an identity provider that is trusted here for people, or of somebody of it who is not meant").WithCause(f)
	}
	return oauth.InvalidGrant("the assertion is refused: " + f.Description).WithCause(f)
}

// assertedScope is what is asked for of what the provider has allowed, as far as
// the client may have it (RFC 6749 §3.3). What only means something where
// somebody signs in is left out: the provider is who signed them in.
func assertedScope(c *client.Client, t client.ForeignToken, requested string) (oauth.Scope, error) {
	asked, err := oauth.ParseScope(requested)
	if err != nil {
		return nil, err
	}
	said := t.Texts("scope")
	if len(said) > 1 {
		return nil, oauth.InvalidGrant("scope of the assertion is not one string")
	}
	if len(said) == 1 {
		allowed, err := oauth.ParseScope(said[0])
		switch {
		case err != nil:
			return nil, oauth.InvalidGrant("scope of the assertion is not a list of scope names").WithCause(err)
		case !allowed.Covers(asked):
			return nil, oauth.InvalidScope("the assertion does not allow all of the scope asked for: ask the identity provider for it")
		case asked.IsZero():
			asked = allowed
		}
	}
	if asked.IsZero() {
		asked = c.DefaultScopes
	}
	left := asked.Intersect(c.Scopes).Minus(forPeople)
	if left.IsZero() && !asked.IsZero() {
		return nil, oauth.InvalidScope("nothing of the scope is allowed to this client here: ask for " + mayAsk(c))
	}
	return left, nil
}

// assertedResources are those that the request names, or those of the assertion,
// which it never goes beyond (RFC 8707 §2.2).
func (g JWTBearer) assertedResources(c *client.Client, t client.ForeignToken, requested []string) ([]string, error) {
	said := t.Texts("resource")
	if len(said) > 0 {
		var err error
		if requested, err = narrow(said, requested); err != nil {
			return nil, err
		}
	}
	return g.Targets.Choose(c.Resources, requested)
}
