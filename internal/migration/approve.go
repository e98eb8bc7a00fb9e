package migration

import (
	"context"
	"errors"
	"fmt"

	"github.com/offkey/offkey/internal/apikey"
	"github.com/offkey/offkey/internal/audit"
	"github.com/offkey/offkey/internal/client"
	"github.com/offkey/offkey/internal/oauth"
)

// What Approve can find wrong.
var (
	ErrNothingPending = errors.New("nothing of this client waits for approval")
	ErrNotAsked       = errors.New("this scope was not asked for")
)

// Approve lets a client go that waited, with the given of its pending scopes;
// nil is all of them, an empty Scope none. The others are refused. Its apikey is
// mapped to it if it is mapped to none.
func (r *Road) Approve(ctx context.Context, clientID string, scopes oauth.Scope, actor string) (*client.Client, error) {
	c, err := r.Store.UpdateClient(ctx, clientID, func(c *client.Client) error {
		if c.Status != client.Pending && c.PendingScopes.IsZero() || c.Status == client.Disabled {
			return fmt.Errorf("client %s: %w", clientID, ErrNothingPending)
		}
		granted := c.PendingScopes
		if scopes != nil {
			if other := scopes.Minus(c.PendingScopes); !other.IsZero() {
				return fmt.Errorf("client %s: %s: %w", clientID, other, ErrNotAsked)
			}
			granted = scopes
		}
		c.Scopes, c.PendingScopes, c.PendingReason, c.Status = c.Scopes.Union(granted), nil, "", client.Active
		return nil
	}, audit.Event{Actor: actor, Action: "client.approved", Object: clientID})
	if err != nil {
		return nil, err
	}
	return c, r.MapUnmapped(ctx, c, actor)
}

// MapUnmapped maps the apikey that made an active client to it, unless it is
// mapped already or gone.
func (r *Road) MapUnmapped(ctx context.Context, c *client.Client, actor string) error {
	if c.APIKeyID == "" || c.Status != client.Active {
		return nil
	}
	_, err := r.Store.UpdateAPIKeys(ctx, []string{c.APIKeyID}, func(k *apikey.Key) error {
		if k.ClientID != "" {
			return errMapped
		}
		k.ClientID = c.ID
		return nil
	}, audit.Event{Actor: actor, Action: "apikey.mapped", Object: c.APIKeyID, Detail: map[string]string{"client_id": c.ID}})
	if errors.Is(err, errMapped) || errors.Is(err, apikey.ErrNotFound) {
		return nil
	}
	return err
}

var errMapped = errors.New("mapped already")
