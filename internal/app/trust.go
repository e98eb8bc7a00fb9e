package app

import (
	"context"
	"fmt"
	"slices"

	"github.com/offkey/offkey/internal/client"
	"github.com/offkey/offkey/internal/config"
	"github.com/offkey/offkey/internal/federation"
)

// federation verifies tokens of other issuers by the rules in force.
func (a *App) federation(cfg *config.Loaded, f *federation.Fetcher) *federation.Trust {
	return federation.NewTrust(federation.TrustOptions{Fetcher: f, Spender: a.db, Rules: a.views.trustRules, Issuer: cfg.Issuer, Now: a.Now})
}

// loadTrust reads the rules: those of the file first, then those that were set.
func (v *views) loadTrust(ctx context.Context, file *config.Loaded) error {
	declared, err := file.TrustRules()
	if err != nil {
		return err
	}
	set, err := v.db.TrustRules(ctx)
	if err != nil {
		return fmt.Errorf("read the trust rules: %w", err)
	}
	all := slices.Concat(declared, set)
	v.trust.Store(&all)
	return nil
}

// trustRules are those in force; nobody changes them.
func (v *views) trustRules() []*client.TrustRule {
	if all := v.trust.Load(); all != nil {
		return *all
	}
	return nil
}

// trust answers the management API's questions about tokens of others.
type trust struct{ a *App }

// Rules implements api.Trust.
func (t trust) Rules() []*client.TrustRule { return t.a.views.trustRules() }

// Examine implements api.Trust.
func (t trust) Examine(ctx context.Context, token string) (client.Examined, error) {
	return t.a.flows.Load().trust.Examine(ctx, token)
}
