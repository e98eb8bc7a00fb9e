package app

import (
	"context"

	"github.com/offkey/offkey/internal/apikey"
	"github.com/offkey/offkey/internal/audit"
	"github.com/offkey/offkey/internal/config"
	"github.com/offkey/offkey/internal/gateway"
	"github.com/offkey/offkey/internal/store"
)

// learning says how the gateway learns apikeys, if the configuration wants it.
func (a *App) learning(cfg *config.Loaded) gateway.Learning {
	refusals, ok := cfg.APIKeys.LearnsFromUpstream()
	if !ok {
		return gateway.Learning{}
	}
	return gateway.Learning{Learner: &learner{a.db}, Probe: cfg.APIKeys.Probe, ValidUnless: refusals, Vouched: &a.vouched}
}

// learner keeps what the gateway has learnt.
type learner struct{ db *store.DB }

// Learn implements gateway.Learner.
func (l *learner) Learn(ctx context.Context, learnt gateway.Learnt) error {
	k := &apikey.Key{
		ID: apikey.NewID(), Fingerprint: learnt.Fingerprint, Last4: learnt.Last4, Prefix: learnt.Prefix,
		KnownBy: apikey.KnownByUpstream, Created: learnt.At,
	}
	_, err := l.db.LearnAPIKey(ctx, k, audit.Event{
		Actor: "system", Action: "apikey.learnt", Object: k.ID, Detail: map[string]string{"carrier": learnt.Carrier, "last4": learnt.Last4},
	})
	return err
}

// Suspend implements gateway.Learner.
func (l *learner) Suspend(ctx context.Context, id string, suspended bool) error {
	action := "apikey.suspended"
	if !suspended {
		action = "apikey.resumed"
	}
	_, err := l.db.UpdateAPIKeys(ctx, []string{id}, func(k *apikey.Key) error {
		k.Suspended = suspended
		return nil
	}, audit.Event{Actor: "system", Action: action, Object: id})
	return err
}
