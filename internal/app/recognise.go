package app

import (
	"context"

	"github.com/offkey/offkey/internal/apikey"
	"github.com/offkey/offkey/internal/audit"
	"github.com/offkey/offkey/internal/config"
	"github.com/offkey/offkey/internal/directory"
	"github.com/offkey/offkey/internal/gateway"
	"github.com/offkey/offkey/internal/secret"
	"github.com/offkey/offkey/internal/store"
)

// recognition says how the gateway finds out what unknown strings are.
func (a *App) recognition(_ *config.Loaded) gateway.Recognition {
	return gateway.Recognition{Pinner: &pinner{a.db}, CheckPassword: a.checkHash}
}

// checkHash checks a hash of an apikey as those of passwords are checked, one at
// a time and apart from the passwords of people.
func (a *App) checkHash(ctx context.Context, hash, value string) (bool, error) {
	p, err := directory.ParsePasswordHash(hash)
	if err != nil {
		return false, err
	}
	return a.hashes.Matches(ctx, p, value)
}

// recognise is how apikeys are recognised that are traded before they were used.
func (a *App) recognise(ctx context.Context, value string) *apikey.Key {
	f := a.flows.Load()
	if f == nil {
		return nil
	}
	return f.gateway.Recognise(ctx, value, "upgrade")
}

// pinner keeps what the gateway has recognised.
type pinner struct{ db *store.DB }

// Pin implements gateway.Pinner.
func (p *pinner) Pin(ctx context.Context, id string, fingerprint secret.Hash, last4, prefix string) error {
	_, err := p.db.PinAPIKey(ctx, id, fingerprint, last4, prefix, audit.Event{
		Actor: "system", Action: "apikey.recognised", Object: id, Detail: map[string]string{"last4": last4},
	})
	return err
}

// Admit implements gateway.Pinner.
func (p *pinner) Admit(ctx context.Context, k *apikey.Key) error {
	_, err := p.db.LearnAPIKey(ctx, k, audit.Event{
		Actor: "system", Action: "apikey.vouched", Object: k.ID, Detail: map[string]string{"by": string(k.KnownBy), "last4": k.Last4},
	})
	return err
}

// Suspend implements gateway.Pinner.
func (p *pinner) Suspend(ctx context.Context, id string, suspended bool) error {
	return (&learner{p.db}).Suspend(ctx, id, suspended)
}
