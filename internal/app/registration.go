package app

import (
	"context"

	"github.com/offkey/offkey/internal/authserver"
	"github.com/offkey/offkey/internal/config"
	"github.com/offkey/offkey/internal/federation"
	"github.com/offkey/offkey/internal/oauth"
)

// letClientsRegister sets up who registers clients without an apikey. Clients
// that have registered manage themselves even after that was closed.
func (a *App) letClientsRegister(cfg *config.Loaded, f *federation.Fetcher, o *authserver.Options) {
	o.Registration, o.SelfRegistered = cfg.Features.Registration, a.db
	o.APIScopes = a.apiScopes
	o.Fetch = func(ctx context.Context, url string) ([]byte, error) {
		doc, err := f.Fetch(ctx, url, "application/json")
		return doc.Body, err
	}
}

// apiScopes are those that the routes in force ask for.
func (a *App) apiScopes() oauth.Scope {
	var all oauth.Scope
	for _, r := range a.views.rules.Load().Routes() {
		all = all.Union(r.Scopes)
	}
	return all
}
