package store

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/offkey/offkey/internal/audit"
	"github.com/offkey/offkey/internal/client"
	"github.com/offkey/offkey/internal/jose"
	"github.com/offkey/offkey/internal/policy"
	"github.com/offkey/offkey/internal/secret"
	"github.com/offkey/offkey/internal/token"
)

const clientColumns = `id, name, owner, status, auth, signing_alg, audience, jwks_uri, grants, scopes, default_scopes, pending_scopes,
	resources, pending_reason, apikey_id, software_id, software_version, source, created, last_used, credentials, details`

// Client returns the client with that id, or client.ErrNotFound.
func (db *DB) Client(ctx context.Context, id string) (c *client.Client, err error) {
	err = db.view(ctx, func(s *session) error {
		c, err = s.client(id)
		return err
	})
	return c, err
}

// Clients returns a page of clients in the order of their ids, and the cursor
// of the next page, "" on the last.
func (db *DB) Clients(ctx context.Context, f client.Filter) (clients []*client.Client, next string, err error) {
	limit := pageSize(f.Limit)
	err = db.view(ctx, func(s *session) error {
		return s.clients(&clients, `SELECT `+clientColumns+` FROM client
			WHERE id > ? AND (? = '' OR owner = ?) AND (? = '' OR status = ?) ORDER BY id LIMIT ?`,
			f.After, f.Owner, f.Owner, f.Status, f.Status, limit+1)
	})
	if len(clients) > limit {
		clients = clients[:limit]
		next = clients[limit-1].ID
	}
	return clients, next, err
}

// CreateClient adds a client. It returns client.ErrExists if its id is taken.
func (db *DB) CreateClient(ctx context.Context, c *client.Client, e audit.Event) error {
	return db.change(ctx, func(x *tx) error {
		if err := x.insertClient(c); err != nil {
			return err
		}
		return x.record(e)
	})
}

// UpdateClient lets update change the client, with nobody changing it in
// between, and returns it as it then is. The error of update leaves all as it
// was. A client that is disabled by it loses its tokens in the same step. The
// detail of e is written down after update has run.
func (db *DB) UpdateClient(ctx context.Context, id string, update func(*client.Client) error, e audit.Event) (c *client.Client, err error) {
	err = db.change(ctx, func(x *tx) error {
		if c, err = x.client(id); err != nil {
			return err
		}
		status := c.Status
		if err := update(c); err != nil {
			return err
		}
		if c.ID != id {
			return fmt.Errorf("client %s: its id became %q: ids do not change", id, c.ID)
		}
		if err := x.updateClient(c); err != nil {
			return err
		}
		if c.Status == client.Disabled && status != client.Disabled {
			if err := x.revokeAll(token.RevokeClient, id); err != nil {
				return err
			}
		}
		if c, err = x.client(id); err != nil { // as it was stored, times to the microsecond
			return err
		}
		return x.record(e)
	})
	if err != nil {
		return nil, err
	}
	return c, nil
}

// DeleteClient removes a client with what was sealed and set for it alone, and
// revokes its tokens. An apikey that was mapped to it is mapped to none.
func (db *DB) DeleteClient(ctx context.Context, id string, e audit.Event) error {
	return db.change(ctx, func(x *tx) error {
		if err := x.deleteClient(id); err != nil {
			return err
		}
		return x.record(e)
	})
}

func (x *tx) deleteClient(id string) error {
	n, err := x.exec(`DELETE FROM client WHERE id = ?`, id)
	if err != nil {
		return err
	}
	if n == 0 {
		return fmt.Errorf("client %s: %w", id, client.ErrNotFound)
	}
	if _, err := x.exec(`DELETE FROM consent WHERE client_id = ?`, id); err != nil { // not for the next one of that id
		return err
	}
	if err := x.unmapClient(id); err != nil {
		return err
	}
	if err := x.forgetEnforcement(id); err != nil {
		return err
	}
	if err := x.forgetTrust(id); err != nil {
		return err
	}
	if err := x.revokeAll(token.RevokeClient, id); err != nil {
		return err
	}
	if err := x.changed(ChangeClient, id); err != nil {
		return err
	}
	return nil
}

// forgetEnforcement lets the next client of that id start anew.
func (x *tx) forgetEnforcement(id string) error {
	settings, _, err := x.settings()
	if _, set := settings.ClientEnforce[id]; err != nil || !set {
		return err
	}
	_, err = x.changeSettings(func(s *policy.Settings) error {
		delete(s.ClientEnforce, id)
		return nil
	})
	return err
}

// unmapClient takes a client that goes from the apikeys mapped to it.
func (x *tx) unmapClient(id string) error {
	var mapped []string
	if err := x.each(`SELECT id FROM apikey WHERE client_id = ? AND client_id <> ''`, args{id}, func(scan func(...any) error) error {
		var apikeyID string
		defer func() { mapped = append(mapped, apikeyID) }()
		return scan(&apikeyID)
	}); err != nil {
		return err
	}
	for _, apikeyID := range mapped {
		if _, err := x.exec(`UPDATE apikey SET client_id = '' WHERE id = ?`, apikeyID); err != nil {
			return err
		}
		if err := x.changed(ChangeAPIKey, apikeyID); err != nil {
			return err
		}
	}
	return nil
}

// TouchClients notes when credentials were used: by client id and credential
// id. Times only move forward; ids that are not there are passed over. It is
// no change of a client: nothing is audited and nobody told.
func (db *DB) TouchClients(ctx context.Context, used map[string]map[string]time.Time) error {
	return db.change(ctx, func(x *tx) error {
		for id, credentials := range used {
			c, err := x.client(id)
			if errors.Is(err, client.ErrNotFound) {
				continue
			}
			if err != nil {
				return err
			}
			for credential, at := range credentials {
				at = at.UTC().Truncate(time.Microsecond)
				c.LastUsed = later(c.LastUsed, at)
				for i := range c.Credentials {
					if c.Credentials[i].ID == credential {
						c.Credentials[i].LastUsed = later(c.Credentials[i].LastUsed, at)
					}
				}
			}
			stored, err := storeCredentials(c.Credentials)
			if err != nil {
				return err
			}
			if _, err := x.exec(`UPDATE client SET last_used = ?, credentials = ?, unused_until = 0 WHERE id = ?`, micros(c.LastUsed), stored, id); err != nil {
				return err
			}
		}
		return nil
	})
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

func (s *session) client(id string) (*client.Client, error) {
	var found []*client.Client
	if err := s.clients(&found, `SELECT `+clientColumns+` FROM client WHERE id = ?`, id); err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("client %s: %w", id, client.ErrNotFound)
	}
	return found[0], nil
}

// clients appends the clients that a query over clientColumns finds.
func (s *session) clients(to *[]*client.Client, query string, a ...any) error {
	return s.each(query, a, func(scan func(...any) error) error {
		var c client.Client
		var grants, scopes, defaults, pending, resources string
		var created, used int64
		var credentials, details []byte
		if err := scan(&c.ID, &c.Name, &c.Owner, (*string)(&c.Status), &c.AuthMethod, (*string)(&c.SigningAlg), (*string)(&c.Audience), &c.JWKSURI, &grants, &scopes, &defaults, &pending,
			&resources, &c.PendingReason, &c.APIKeyID, &c.SoftwareID, &c.SoftwareVersion, &c.Source, &created, &used, &credentials, &details); err != nil {
			return err
		}
		c.Grants, c.Resources = splitWords(grants), splitWords(resources)
		c.Scopes, c.DefaultScopes, c.PendingScopes = splitWords(scopes), splitWords(defaults), splitWords(pending)
		c.Created, c.LastUsed = instant(created), instant(used)
		var err error
		if c.Credentials, err = readCredentials(credentials); err != nil {
			return fmt.Errorf("client %s: %w", c.ID, err)
		}
		if string(details) != "{}" {
			if err := json.Unmarshal(details, &c.Details); err != nil {
				return fmt.Errorf("client %s: details: %w", c.ID, err)
			}
		}
		*to = append(*to, &c)
		return nil
	})
}

// clientRow is a client as the values of clientColumns.
func clientRow(c *client.Client) (args, error) {
	if c.ID == "" {
		return nil, errors.New("client without an id")
	}
	row := args{c.ID, c.Name, c.Owner, c.Status, c.AuthMethod, c.SigningAlg, c.Audience, c.JWKSURI}
	for _, list := range [][]string{c.Grants, c.Scopes, c.DefaultScopes, c.PendingScopes, c.Resources} {
		joined, err := joinWords(list)
		if err != nil {
			return nil, fmt.Errorf("client %s: %w", c.ID, err)
		}
		row = append(row, joined)
	}
	credentials, err := storeCredentials(c.Credentials)
	if err != nil {
		return nil, fmt.Errorf("client %s: %w", c.ID, err)
	}
	details, err := json.Marshal(c.Details)
	if err != nil {
		return nil, fmt.Errorf("client %s: %w", c.ID, err)
	}
	return append(row, c.PendingReason, c.APIKeyID, c.SoftwareID, c.SoftwareVersion, c.Source, micros(c.Created), micros(c.LastUsed), credentials, string(details)), nil
}

func (x *tx) insertClient(c *client.Client) error {
	row, err := clientRow(c)
	if err != nil {
		return err
	}
	n, err := x.exec(`INSERT INTO client (`+clientColumns+`)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING`, row...)
	if err != nil {
		return err
	}
	if n == 0 {
		return fmt.Errorf("client %s: %w", c.ID, client.ErrExists)
	}
	return x.changed(ChangeClient, c.ID)
}

func (x *tx) updateClient(c *client.Client) error {
	row, err := clientRow(c)
	if err != nil {
		return err
	}
	if _, err := x.exec(`UPDATE client SET name = ?, owner = ?, status = ?, auth = ?, signing_alg = ?, audience = ?, jwks_uri = ?, grants = ?, scopes = ?,
		default_scopes = ?, pending_scopes = ?, resources = ?, pending_reason = ?, apikey_id = ?, software_id = ?, software_version = ?, source = ?,
		created = ?, last_used = ?, credentials = ?, details = ? WHERE id = ?`, append(slices.Clone(row[1:]), c.ID)...); err != nil {
		return err
	}
	return x.changed(ChangeClient, c.ID)
}

// storedCredential is a client.Credential as kept: a hash or a public key, no
// secret.
type storedCredential struct {
	ID       string         `json:"id"`
	Kind     string         `json:"kind"`
	Hash     *secret.Hash   `json:"hash,omitempty"`
	Key      []byte         `json:"key,omitempty"` // SubjectPublicKeyInfo, which is read faster than a JWK
	KeyID    string         `json:"kid,omitempty"`
	KeyAlg   jose.Algorithm `json:"alg,omitempty"`
	KeyUse   string         `json:"use,omitempty"`
	Created  int64          `json:"created,omitempty"`
	Expires  int64          `json:"expires,omitempty"`
	LastUsed int64          `json:"last_used,omitempty"`
}

func storeCredentials(credentials []client.Credential) (string, error) {
	stored := make([]storedCredential, len(credentials))
	for i, c := range credentials {
		stored[i] = storedCredential{ID: c.ID, Kind: c.Kind, Created: micros(c.Created), Expires: micros(c.Expires), LastUsed: micros(c.LastUsed)}
		if !c.Hash.IsZero() {
			stored[i].Hash = &c.Hash
		}
		if c.Key != nil {
			der, err := x509.MarshalPKIXPublicKey(c.Key.Key)
			if err != nil {
				return "", fmt.Errorf("credential %s: %w", c.ID, err)
			}
			stored[i].Key, stored[i].KeyID, stored[i].KeyAlg, stored[i].KeyUse = der, c.Key.ID, c.Key.Alg, c.Key.Use
		}
	}
	text, err := json.Marshal(stored)
	return string(text), err
}

func readCredentials(text []byte) ([]client.Credential, error) {
	if string(text) == "[]" {
		return nil, nil
	}
	var stored []storedCredential
	if err := json.Unmarshal(text, &stored); err != nil {
		return nil, fmt.Errorf("credentials: %w", err)
	}
	credentials := make([]client.Credential, len(stored))
	for i, s := range stored {
		c := client.Credential{ID: s.ID, Kind: s.Kind, Created: instant(s.Created), Expires: instant(s.Expires), LastUsed: instant(s.LastUsed)}
		if s.Hash != nil {
			c.Hash = *s.Hash
		}
		if s.Key != nil {
			key, err := x509.ParsePKIXPublicKey(s.Key)
			if err != nil {
				return nil, fmt.Errorf("credential %s: %w", s.ID, err)
			}
			c.Key = &jose.PublicKey{ID: s.KeyID, Alg: s.KeyAlg, Use: s.KeyUse, Key: key}
		}
		credentials[i] = c
	}
	return credentials, nil
}

// joinWords writes a list of names into one column.
func joinWords(list []string) (string, error) {
	for _, word := range list {
		if word == "" || strings.ContainsAny(word, " \t\n\v\f\r") {
			return "", fmt.Errorf("%q is no name: it is empty or has a space in it", word)
		}
	}
	return strings.Join(list, " "), nil
}

// splitWords reads what joinWords wrote.
func splitWords(joined string) []string {
	if joined == "" {
		return nil
	}
	return strings.Split(joined, " ")
}
