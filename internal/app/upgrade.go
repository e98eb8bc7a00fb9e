package app

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"github.com/offkey/offkey/internal/apikey"
	"github.com/offkey/offkey/internal/audit"
	"github.com/offkey/offkey/internal/client"
	"github.com/offkey/offkey/internal/config"
	"github.com/offkey/offkey/internal/migration"
	"github.com/offkey/offkey/internal/oauth"
	"github.com/offkey/offkey/internal/secret"
	"github.com/offkey/offkey/internal/store"
	"github.com/offkey/offkey/internal/token"
)

// trade is the road's part in /register and in token exchange. What an apikey
// did is stored before the road looks at it, and where an API understands
// apikeys only, the apikey is sealed for the client that takes its place.
type trade struct {
	road   *migration.Road
	record func(ctx context.Context, presented string) error
	seal   func(ctx context.Context, apikey secret.Text, c *client.Client) error
}

// Register implements authserver.Registrar.
func (t *trade) Register(ctx context.Context, presented string, md oauth.ClientMetadata, access client.Credential, source netip.Addr) (*client.Client, error) {
	if err := t.record(ctx, presented); err != nil {
		return nil, err
	}
	c, err := t.road.Register(ctx, presented, md, access, source)
	if err != nil {
		return nil, err
	}
	return c, t.seal(ctx, secret.NewText(presented), c)
}

// Exchange implements authserver.Exchanger.
func (t *trade) Exchange(ctx context.Context, presented string, requested oauth.Scope, resource string) (token.Authorization, error) {
	if err := t.record(ctx, presented); err != nil {
		return token.Authorization{}, err
	}
	return t.road.Exchange(ctx, presented, requested, resource)
}

// HeldBy implements authserver.Holders.
func (t *trade) HeldBy(ctx context.Context, presented string) (any, error) {
	if err := t.record(ctx, presented); err != nil {
		return nil, err
	}
	return t.road.HeldBy(ctx, presented)
}

// ExtendHeld implements authserver.Holders.
func (t *trade) ExtendHeld(ctx context.Context, presented, reason string) (any, error) {
	if err := t.record(ctx, presented); err != nil {
		return nil, err
	}
	return t.road.ExtendHeld(ctx, presented, reason)
}

// recordUse stores what was counted, if the apikey is one that is known:
// strangers do not make the store work.
func (a *App) recordUse(ctx context.Context, presented string) error {
	if a.views.apikeys.Lookup(a.data.pepper.Fingerprint(presented)) == nil {
		return nil
	}
	if err := a.recorder.Flush(ctx); err != nil {
		return fmt.Errorf("store counted calls: %w", err)
	}
	return nil
}

// sealer opens the apikeys that were sealed for calls with a token.
type sealer struct {
	db     *store.DB
	master *secret.MasterKey
}

// sealedPlace binds a sealed apikey to where it may be used: moved to another
// row it does not open.
func sealedPlace(apikeyID, clientID, upstream string) string {
	return "apikey " + apikeyID + " of " + clientID + " for " + upstream
}

// APIKeyFor implements gateway.Unsealer.
func (s *sealer) APIKeyFor(ctx context.Context, clientID, upstream string) (secret.Text, bool, error) {
	sealed, apikeyID, err := s.db.SealedAPIKey(ctx, clientID, upstream)
	if errors.Is(err, apikey.ErrNotFound) {
		return secret.Text{}, false, nil
	}
	if err != nil {
		return secret.Text{}, false, err
	}
	plain, err := s.master.Open(sealed, sealedPlace(apikeyID, clientID, upstream))
	if err != nil {
		return secret.Text{}, false, fmt.Errorf("open the sealed apikey of %s: %w", clientID, err)
	}
	return secret.NewText(string(plain)), true, nil
}

// sealerFor seals the apikey of a new client for each API that wants it put
// back; that is none unless the configuration says so.
func (a *App) sealerFor(cfg *config.Loaded) func(context.Context, secret.Text, *client.Client) error {
	var upstreams []string
	for name, u := range cfg.Gateway.Upstreams {
		if u.TokenCall == "apikey" {
			upstreams = append(upstreams, name)
		}
	}
	return func(ctx context.Context, key secret.Text, c *client.Client) error {
		for _, name := range upstreams {
			sealed := a.data.master.Seal([]byte(key.Reveal()), sealedPlace(c.APIKeyID, c.ID, name))
			err := a.db.SealAPIKey(ctx, c.APIKeyID, c.ID, name, sealed, audit.Event{
				Actor: "apikey:" + c.APIKeyID, Action: "apikey.sealed", Object: c.APIKeyID,
				Detail: map[string]string{"client": c.ID, "upstream": name},
			})
			if err != nil {
				return fmt.Errorf("seal the apikey: %w", err)
			}
		}
		return nil
	}
}
