package migration

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/offkey/offkey/internal/apikey"
	"github.com/offkey/offkey/internal/client"
	"github.com/offkey/offkey/internal/oauth"
	"github.com/offkey/offkey/internal/token"
	"github.com/offkey/offkey/internal/traffic"
)

// exchangedLife is how long a token lives that an apikey was exchanged for.
const exchangedLife = 15 * time.Minute

// Exchange trades an apikey for an access token (RFC 8693 §2), for callers that
// can make one HTTP call and no more. The token has the scopes that the apikey's
// calls used, all or those asked for, lives 15 minutes and falls with the
// apikey. Whoever calls has checked resource; an empty one is the default. Errors
// are *oauth.Error.
func (r *Road) Exchange(ctx context.Context, value string, requested oauth.Scope, resource string) (token.Authorization, error) {
	k, err := r.upgradable(ctx, value)
	if err != nil {
		return token.Authorization{}, badSubjectToken(err)
	}
	used, err := r.ScopesUsed(ctx, traffic.Credential{Kind: traffic.KindAPIKey, ID: k.ID})
	if err != nil {
		return token.Authorization{}, oauth.ServerError(err)
	}
	scope, err := checkExchangedScope(requested, namesOf(used))
	if err != nil {
		return token.Authorization{}, err
	}
	c, err := r.exchangingClient(ctx, k)
	if err != nil {
		return token.Authorization{}, err
	}
	return token.Authorization{Client: c, Scope: scope, Resources: []string{cmp.Or(resource, r.Resource)}, Life: exchangedLife, APIKeyID: k.ID}, nil
}

// badSubjectToken is how an exchange says that the apikey does not do
// (RFC 8693 §2.2.2).
func badSubjectToken(err error) error {
	var known *oauth.Error
	if errors.As(err, &known) && known.Code == oauth.CodeInvalidToken {
		return oauth.InvalidRequest("subject_token: " + known.Description)
	}
	return err
}

// checkExchangedScope gives what is asked for if the apikey's calls used it
// (RFC 8693 §2.1: the result never exceeds what was given for it).
func checkExchangedScope(requested, used oauth.Scope) (oauth.Scope, error) {
	if requested.IsZero() {
		return used, nil
	}
	if beyond := requested.Minus(used); !beyond.IsZero() {
		return nil, oauth.InvalidScope("the calls of this apikey have not used: " + beyond.String())
	}
	return requested, nil
}

// exchangingClient is whom the token is issued to: the client that the apikey is
// mapped to, else the apikey itself under its own id, so that bucket and audit
// subject stay what they were.
func (r *Road) exchangingClient(ctx context.Context, k *apikey.Key) (*client.Client, error) {
	if k.ClientID != "" {
		c, err := r.Store.Client(ctx, k.ClientID)
		switch {
		case err == nil && c.Status == client.Active:
			return c, nil
		case err != nil && !errors.Is(err, client.ErrNotFound):
			return nil, oauth.ServerError(err)
		}
	}
	return &client.Client{ID: k.ID, Name: k.Label, Owner: k.Owner, Status: client.Active, APIKeyID: k.ID}, nil
}
