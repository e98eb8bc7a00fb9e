package store

import (
	"context"

	"github.com/offkey/offkey/internal/apikey"
	"github.com/offkey/offkey/internal/audit"
	"github.com/offkey/offkey/internal/client"
)

// RegisterUpgrade adds the client that replaces an apikey. decide is shown the
// clients that the apikey has made before and the apikey as it now is; it may
// refuse with an error, or change c (its status, its scopes). Nothing comes in
// between, so that of two registrations that arrive together one sees the
// other. With mapKey the apikey is mapped to c, if c is active then and the
// apikey is not mapped yet. decide may be called again, with c as it was given.
func (db *DB) RegisterUpgrade(ctx context.Context, apikeyID string, c *client.Client, mapKey bool,
	decide func(existing []*client.Client, k *apikey.Key) error, e audit.Event) error {
	given := *c
	return db.change(ctx, func(x *tx) error {
		*c = given
		k, err := x.apikey(apikeyID)
		if err != nil {
			return err
		}
		existing, err := x.clientsOfAPIKey(apikeyID)
		if err != nil {
			return err
		}
		shown := *k
		if err := decide(existing, &shown); err != nil {
			return err
		}
		c.APIKeyID = apikeyID
		if err := x.insertClient(c); err != nil {
			return err
		}
		if mapKey && c.Status == client.Active && k.ClientID == "" {
			k.ClientID = c.ID
			if err := x.updateAPIKey(k); err != nil {
				return err
			}
		}
		return x.record(e)
	})
}

// ClientsOfAPIKey returns the clients that were registered with an apikey, in
// the order of their ids. There are at most as many as decide of RegisterUpgrade
// let be.
func (db *DB) ClientsOfAPIKey(ctx context.Context, id string) (clients []*client.Client, err error) {
	err = db.view(ctx, func(s *session) (err error) {
		clients, err = s.clientsOfAPIKey(id)
		return err
	})
	return clients, err
}

func (s *session) clientsOfAPIKey(id string) (clients []*client.Client, err error) {
	err = s.clients(&clients, `SELECT `+clientColumns+` FROM client WHERE apikey_id = ? AND apikey_id <> '' AND source = ? ORDER BY id`,
		id, client.SourceUpgrade)
	return clients, err
}
