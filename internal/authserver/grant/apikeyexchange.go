package grant

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/offkey/offkey/internal/oauth"
	"github.com/offkey/offkey/internal/token"
)

// maxExchangeLife bounds what an apikey is exchanged for: a token that is seen
// by somebody else is worth less than the apikey, and falls with it.
const maxExchangeLife = 15 * time.Minute

// Exchanger judges apikeys.
type Exchanger interface {
	// Exchange returns what an apikey may be exchanged for: client, scope, life
	// and APIKeyID. An empty requested scope asks for the default. A bad apikey
	// is an *oauth.Error invalid_request (RFC 8693 §2.2.2).
	Exchange(ctx context.Context, apikey string, requested oauth.Scope, resource string) (token.Authorization, error)
}

// APIKeyExchange trades an apikey for an access token (RFC 8693 §2): for callers
// that can make one HTTP call and no more. There is no refresh token.
type APIKeyExchange struct {
	Exchanger Exchanger
	Targets   Targets
	Life      time.Duration // of its tokens, at most 15 minutes
}

// Authorize decides a request. The apikey is the only proof that it needs.
func (g APIKeyExchange) Authorize(ctx context.Context, r Request) (token.Authorization, error) {
	form := r.Form
	if err := checkExchange(form); err != nil {
		return token.Authorization{}, err
	}
	requested, err := oauth.ParseScope(form.Value("scope"))
	if err != nil {
		return token.Authorization{}, err
	}
	resources, err := g.Targets.Choose(g.Targets.Known, append(form.Values("resource"), form.Values("audience")...))
	if err != nil {
		return token.Authorization{}, err
	}
	if len(resources) > 1 {
		return token.Authorization{}, oauth.InvalidTarget("an apikey is exchanged for one resource at a time")
	}
	a, err := g.Exchanger.Exchange(ctx, form.Value("subject_token"), requested, resources[0])
	if err != nil {
		return token.Authorization{}, err
	}
	a.Resources, a.Confirmation = resources, r.Confirmation
	return g.bound(a, requested)
}

// checkExchange holds the parameters to what an apikey can be exchanged for.
// Nobody acts for another here, so that an actor is refused and not ignored.
func checkExchange(form oauth.Params) error {
	if err := checkTokenTypes(form); err != nil {
		return err
	}
	switch {
	case form.Value("subject_token_type") != oauth.TypeAPIKey:
		return oauth.InvalidRequest("subject_token_type is not one that can be exchanged here without client authentication: only " + oauth.TypeAPIKey + " can")
	case form.Has("actor_token"):
		return oauth.InvalidRequest("actor_token is not supported: an apikey is exchanged for its own caller alone")
	}
	return checkRequestedType(form)
}

// checkTokenTypes: what is brought says what it is, and an actor's type comes
// exactly with an actor (RFC 8693 §2.1).
func checkTokenTypes(form oauth.Params) error {
	switch {
	case !form.Has("subject_token"):
		return oauth.InvalidRequest("subject_token is missing: it is the token to exchange, or the apikey")
	case !form.Has("subject_token_type"):
		return oauth.InvalidRequest("subject_token_type is missing: for an access token it is " + oauth.TypeAccessToken + ", for an apikey " + oauth.TypeAPIKey)
	case form.Has("actor_token_type") && !form.Has("actor_token"):
		return oauth.InvalidRequest("actor_token_type is sent without actor_token")
	case form.Has("actor_token") && !form.Has("actor_token_type"):
		return oauth.InvalidRequest("actor_token is sent without actor_token_type")
	}
	return nil
}

// checkRequestedType: all that is issued is access tokens, which are JWTs
// (RFC 8693 §2.1).
func checkRequestedType(form oauth.Params) error {
	switch form.Value("requested_token_type") {
	case "", oauth.TypeAccessToken, oauth.TypeJWT:
		return nil
	case oauth.TypeIDJAG:
		return oauth.InvalidRequest("requested_token_type: assertions for other servers are the identity provider's to give; this server takes them, by " + oauth.GrantJWTBearer)
	}
	return oauth.InvalidRequest("requested_token_type must be " + oauth.TypeAccessToken)
}

// bound holds what the Exchanger said to the rules of this grant, so that a
// mistake there cannot give more than they allow.
func (g APIKeyExchange) bound(a token.Authorization, requested oauth.Scope) (token.Authorization, error) {
	switch {
	case a.Client == nil || a.APIKeyID == "":
		return token.Authorization{}, errors.New("exchange apikey: no client or no apikey to revoke the token with")
	case !requested.IsZero() && !requested.Covers(a.Scope):
		return token.Authorization{}, fmt.Errorf("exchange apikey %s: more scope than was asked for", a.APIKeyID)
	}
	life := min(maxExchangeLife, g.Life)
	if a.Life > 0 {
		life = min(life, a.Life)
	}
	a.Life = wholeSeconds(life)
	return a, nil
}
