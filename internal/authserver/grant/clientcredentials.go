package grant

import (
	"context"
	"time"

	"github.com/offkey/offkey/internal/authserver/clientauth"
	"github.com/offkey/offkey/internal/client"
	"github.com/offkey/offkey/internal/oauth"
	"github.com/offkey/offkey/internal/token"
)

// ClientCredentials is the grant for a client that acts for itself (RFC 6749
// §4.4). It gives no refresh token: asking again costs the same.
type ClientCredentials struct {
	Targets Targets
	Life    time.Duration // of its tokens
}

// Authorize decides a request of an authenticated client.
func (g ClientCredentials) Authorize(_ context.Context, who clientauth.Authenticated, r Request) (token.Authorization, error) {
	c := who.Client()
	if err := checkConfidential(c); err != nil {
		return token.Authorization{}, err
	}
	return forItself(c, r, g.Targets, g.Life)
}

// forItself is what a client gets that has proved itself and acts for nobody
// else.
func forItself(c *client.Client, r Request, targets Targets, life time.Duration) (token.Authorization, error) {
	scope, err := ChooseScope(c, r.Form.Value("scope"))
	if err != nil {
		return token.Authorization{}, err
	}
	if err := checkNoPerson(scope); err != nil {
		return token.Authorization{}, err
	}
	resources, err := targets.Choose(c.Resources, r.Form.Values("resource"))
	if err != nil {
		return token.Authorization{}, err
	}
	return token.Authorization{Client: c, Scope: scope, Resources: resources, Life: wholeSeconds(life), Confirmation: r.Confirmation}, nil
}

// checkConfidential: the grant is for clients that can prove themselves
// (RFC 6749 §4.4).
func checkConfidential(c *client.Client) error {
	if c == nil || !c.Confidential() {
		return oauth.UnauthorizedClient("a public client cannot use client_credentials: it has nothing to prove itself with")
	}
	return nil
}

// checkNoPerson refuses scopes that only mean something where a person signed
// in (OIDC Core §3.1.2.1, §11).
func checkNoPerson(scope oauth.Scope) error {
	if scope.Has("openid") || scope.Has("offline_access") {
		return oauth.InvalidScope("openid and offline_access need a person who signs in: client_credentials has none")
	}
	return nil
}
