package app

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/offkey/offkey/internal/apikey"
	"github.com/offkey/offkey/internal/audit"
	"github.com/offkey/offkey/internal/config"
	"github.com/offkey/offkey/internal/directory"
	"github.com/offkey/offkey/internal/federation"
	"github.com/offkey/offkey/internal/gateway"
	"github.com/offkey/offkey/internal/migration/importfile"
	"github.com/offkey/offkey/internal/secret"
	"github.com/offkey/offkey/internal/store"
)

// recognition says how the gateway finds out what unknown strings are. What it
// has connected ends with done.
func (a *App) recognition(cfg *config.Loaded) (o gateway.Recognition, done func(), err error) {
	o = gateway.Recognition{Pinner: &pinner{a.db}, CheckPassword: a.checkHash}
	var tables []*store.ForeignTable
	done = func() {
		for _, t := range tables {
			_ = t.Close() // it was only read
		}
	}
	for i, k := range cfg.APIKeys.LookAsides() {
		s := gateway.Source{Name: fmt.Sprintf("%s %d", k.Type, i+1), Kind: apikey.KnownBy(k.Type), Fresh: time.Duration(k.Keep), FreshNo: time.Duration(k.KeepNot)}
		if k.Type == "http" {
			l, err := federation.NewLookAside(federation.LookAsideOptions{URL: k.From.Reveal(), Header: k.Header, Hashed: k.Hashed, CAFile: cfg.Path(cfg.Outbound.CAFile)})
			if err != nil {
				return o, done, fmt.Errorf("apikeys.known_by: http: %w", err)
			}
			s.Ask = asking(l.Ask)
		} else {
			t, err := store.OpenForeignTable(k.From.Reveal(), k.Query, k.Hashed)
			if err != nil {
				return o, done, fmt.Errorf("apikeys.known_by: sql: %w", err)
			}
			tables = append(tables, t)
			s.Ask = asking(t.Ask)
		}
		o.Sources = append(o.Sources, s)
	}
	return o, done, nil
}

// asking makes an answer of what a source says about a string, by the names that
// lists have too.
func asking(ask func(context.Context, secret.Text) (bool, map[string]string, error)) func(context.Context, secret.Text) (gateway.Answer, error) {
	return func(ctx context.Context, value secret.Text) (gateway.Answer, error) {
		known, about, err := ask(ctx, value)
		if err != nil || !known {
			return gateway.Answer{}, err
		}
		e := importfile.About(about)
		return gateway.Answer{Known: !e.Disabled, Owner: e.Owner, Label: e.Label, Contact: e.Contact, Scopes: strings.Join(e.Scopes, " ")}, nil
	}
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
