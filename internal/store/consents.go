package store

import (
	"context"
	"fmt"
	"slices"

	"github.com/offkey/offkey/internal/audit"
	sessions "github.com/offkey/offkey/internal/session"
)

const consentColumns = `person_id, client_id, resources, scopes, fingerprint, at`

// Consent returns what a person allowed a client for these resources, sorted;
// the zero Consent if nothing.
func (db *DB) Consent(ctx context.Context, personID, clientID string, resources []string) (c sessions.Consent, err error) {
	err = db.view(ctx, func(s *session) error {
		c, err = s.consent(personID, clientID, resources)
		return err
	})
	return c, err
}

func (s *session) consent(personID, clientID string, resources []string) (sessions.Consent, error) {
	joined, err := joinWords(resources)
	if err != nil {
		return sessions.Consent{}, err
	}
	list, err := s.consents(`SELECT `+consentColumns+` FROM consent WHERE person_id = ? AND client_id = ? AND resources = ?`, personID, clientID, joined)
	if err != nil || len(list) == 0 {
		return sessions.Consent{}, err
	}
	return list[0], nil
}

// ConsentsOf returns what a person allowed, by client.
func (db *DB) ConsentsOf(ctx context.Context, personID string) (list []sessions.Consent, err error) {
	err = db.view(ctx, func(s *session) error {
		list, err = s.consents(`SELECT `+consentColumns+` FROM consent WHERE person_id = ? ORDER BY client_id, resources`, personID)
		return err
	})
	return list, err
}

// WithdrawConsent forgets what a person allowed a client, and revokes what the
// client was issued for them.
func (db *DB) WithdrawConsent(ctx context.Context, personID, clientID string, e audit.Event) error {
	return db.change(ctx, func(x *tx) error {
		if _, err := x.exec(`DELETE FROM consent WHERE person_id = ? AND client_id = ?`, personID, clientID); err != nil {
			return err
		}
		if err := x.revokeGranted(personID, clientID); err != nil {
			return err
		}
		return x.record(e)
	})
}

// remember keeps a consent. To what was allowed the same client before it adds.
func (x *tx) remember(c sessions.Consent) error {
	before, err := x.consent(c.PersonID, c.ClientID, c.Resources)
	if err != nil {
		return err
	}
	if before.Covers(nil, c.Fingerprint) {
		c.Scope = before.Scope.Union(c.Scope)
	}
	row := args{c.PersonID, c.ClientID}
	for _, list := range [][]string{c.Resources, slices.Sorted(slices.Values(c.Scope))} {
		joined, err := joinWords(list)
		if err != nil {
			return fmt.Errorf("consent: %w", err)
		}
		row = append(row, joined)
	}
	_, err = x.exec(`INSERT INTO consent (`+consentColumns+`) VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (person_id, client_id, resources)
		DO UPDATE SET scopes = excluded.scopes, fingerprint = excluded.fingerprint, at = excluded.at`, append(row, c.Fingerprint[:], micros(c.At))...)
	return err
}

func (s *session) consents(query string, a ...any) (list []sessions.Consent, err error) {
	err = s.each(query, a, func(scan func(...any) error) error {
		var c sessions.Consent
		var resources, scopes string
		var fingerprint []byte
		var at int64
		if err := scan(&c.PersonID, &c.ClientID, &resources, &scopes, &fingerprint, &at); err != nil {
			return err
		}
		if c.Fingerprint, err = toHash(fingerprint); err != nil {
			return fmt.Errorf("consent of %s to %s: %w", c.PersonID, c.ClientID, err)
		}
		c.Resources, c.Scope, c.At = splitWords(resources), splitWords(scopes), instant(at)
		list = append(list, c)
		return nil
	})
	return list, err
}
