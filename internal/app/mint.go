package app

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/offkey/offkey/internal/apikey"
	"github.com/offkey/offkey/internal/client"
	"github.com/offkey/offkey/internal/config"
	"github.com/offkey/offkey/internal/gateway"
	"github.com/offkey/offkey/internal/secret"
	"github.com/offkey/offkey/internal/token"
)

// minter makes the tokens that an API gets in place of apikeys (apikey_call:
// token). Each is of the client that the apikey is mapped to, has the client's
// scopes and no more, and names the apikey, with which it falls.
type minter struct {
	clients  *clientFinder
	issuer   *token.Issuer
	resource string
	now      func() time.Time

	mu   sync.Mutex
	kept map[string]minted // by apikey
}

// minted is a token, and what it was made from: what changed since makes another.
type minted struct {
	gateway.Minted
	client *client.Client
	until  time.Time
}

const (
	mintedLife = 5 * time.Minute
	mintedFor  = 4 * time.Minute // the API may take its time with a call
	maxMinted  = 10_000
)

func (a *App) minter(cfg *config.Loaded, f *flows) *minter {
	return &minter{
		clients: f.clients, issuer: token.NewIssuer(cfg.Issuer, a.views.ring.Current, a.Now),
		resource: cfg.Gateway.Resource, now: a.Now, kept: map[string]minted{},
	}
}

// TokenOf implements gateway.Minter.
func (m *minter) TokenOf(ctx context.Context, k *apikey.Key) (gateway.Minted, error) {
	c, err := m.clients.Client(ctx, k.ClientID)
	switch {
	case errors.Is(err, client.ErrNotFound), err == nil && c.Status != client.Active:
		return gateway.Minted{}, nil
	case err != nil:
		return gateway.Minted{}, fmt.Errorf("client of apikey %s: %w", k.ID, err)
	}
	now := m.now()
	m.mu.Lock()
	hit, ok := m.kept[k.ID]
	m.mu.Unlock()
	if ok && hit.client == c && now.Before(hit.until) {
		return hit.Minted, nil
	}
	issued, err := m.issuer.Issue(token.Authorization{Client: c, Scope: c.Scopes, Resources: []string{m.resource}, Life: mintedLife, APIKeyID: k.ID, At: now})
	if err != nil {
		return gateway.Minted{}, err
	}
	made := minted{gateway.Minted{Token: secret.NewText(issued.Token), Scope: c.Scopes}, c, now.Add(mintedFor)}
	m.mu.Lock()
	defer m.mu.Unlock()
	for old := range m.kept {
		if len(m.kept) < maxMinted {
			break
		}
		delete(m.kept, old) // some entry: maps start anywhere
	}
	m.kept[k.ID] = made
	return made.Minted, nil
}
