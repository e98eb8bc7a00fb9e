package app

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/offkey/offkey/internal/audit"
	"github.com/offkey/offkey/internal/client"
	"github.com/offkey/offkey/internal/config"
	"github.com/offkey/offkey/internal/federation"
	"github.com/offkey/offkey/internal/oauth"
	"github.com/offkey/offkey/internal/session"
	"github.com/offkey/offkey/internal/store"
)

// clientFinder finds registered clients and, where that is on, those whose
// client_id is the URL of their metadata. Of the latter the store has those that
// a person has let in, so that operators see them and can stop them; what they
// are is always what their document says.
type clientFinder struct {
	builtIn   map[string]*client.Client
	rows      *client.Cache
	documents *federation.ClientDocuments // nil: off
	scopes    func() oauth.Scope          // of the API
	db        *store.DB
	now       func() time.Time

	mu   sync.Mutex
	kept map[string]struct{} // client id and fingerprint of what the store has
}

// maxKeptSeen bounds kept: beyond it the store is asked again.
const maxKeptSeen = 10_000

// clientsOf makes the finder of a configuration.
func (a *App) clientsOf(cfg *config.Loaded) (*clientFinder, error) {
	f := &clientFinder{builtIn: a.admin.clients, rows: a.views.clients, scopes: a.apiScopes, db: a.db, now: a.Now, kept: map[string]struct{}{}}
	if cfg.Features.ClientIDMetadata != "on" {
		return f, nil
	}
	fetcher, err := federation.NewFetcher(federation.Options{
		AllowPrivate: cfg.Outbound.AllowPrivate, CAFile: cfg.Path(cfg.Outbound.CAFile), MaxBytes: federation.MaxDocument,
	})
	if err != nil {
		return nil, err
	}
	f.documents = federation.NewClientDocuments(fetcher, a.Now)
	return f, nil
}

// Client implements authserver.Clients.
func (f *clientFinder) Client(ctx context.Context, id string) (*client.Client, error) {
	if c, ok := f.builtIn[id]; ok {
		return c, nil
	}
	if f.documents == nil || !f.documents.Names(id) {
		return f.rows.Client(ctx, id)
	}
	row, err := f.rows.Client(ctx, id)
	switch {
	case err != nil && !errors.Is(err, client.ErrNotFound):
		return nil, err
	case err == nil && (row.Source != client.SourceDocument || row.Status == client.Disabled):
		return row, nil
	}
	c, err := f.documents.Client(ctx, id)
	if err != nil {
		return nil, err
	}
	allowed := oauth.Scope{"openid", "profile", "email", "address", "phone", "offline_access"}.Union(f.scopes())
	if c.Scopes = c.Scopes.Intersect(allowed); c.Scopes.IsZero() {
		c.Scopes = allowed
	}
	if row != nil {
		c.Created, c.LastUsed, c.Owner, c.Resources = row.Created, row.LastUsed, row.Owner, row.Resources
	}
	return c, nil
}

// keep writes down a client that a person has let in, and what became of it
// since.
func (f *clientFinder) keep(ctx context.Context, c *client.Client) error {
	print := session.FingerprintOf(c)
	name := c.ID + " " + print.String()
	f.mu.Lock()
	_, known := f.kept[name]
	f.mu.Unlock()
	if known {
		return nil
	}
	if err := f.write(ctx, c); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.kept) >= maxKeptSeen {
		clear(f.kept)
	}
	f.kept[name] = struct{}{}
	return nil
}

func (f *clientFinder) write(ctx context.Context, c *client.Client) error {
	made := *c
	made.Created = f.now()
	e := audit.Event{Actor: "client:" + c.ID, Action: "client.let_in", Object: c.ID, Detail: map[string]any{"name": c.Name, "redirect_uris": c.RedirectURIs}}
	err := f.db.CreateClient(ctx, &made, e)
	if !errors.Is(err, client.ErrExists) {
		return err
	}
	row, err := f.db.Client(ctx, c.ID)
	if err != nil || row.Source != client.SourceDocument || session.FingerprintOf(row) == session.FingerprintOf(c) {
		return err
	}
	e.Action = "client.document_changed"
	_, err = f.db.UpdateClient(ctx, c.ID, func(row *client.Client) error {
		if row.Source != client.SourceDocument {
			return nil
		}
		status, created, used, owner, resources := row.Status, row.Created, row.LastUsed, row.Owner, row.Resources
		*row = *c
		row.Status, row.Created, row.LastUsed, row.Owner, row.Resources = status, created, used, owner, resources
		return nil
	}, e)
	return err
}
