package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/offkey/offkey/internal/audit"
	"github.com/offkey/offkey/internal/client"
	"github.com/offkey/offkey/internal/jose"
	"github.com/offkey/offkey/internal/token"
)

// storedTrust is what of a client.TrustRule has no column of its own.
type storedTrust struct {
	For      string             `json:"for"`
	Kind     string             `json:"kind"`
	Issuer   string             `json:"issuer"`
	JWKSURI  string             `json:"jwks_uri,omitempty"`
	Keys     json.RawMessage    `json:"jwks,omitempty"`
	Audience []string           `json:"audience,omitempty"`
	Subject  client.Pattern     `json:"subject"`
	Where    []client.Condition `json:"where,omitempty"`
	MaxAge   int64              `json:"max_age"` // seconds
	Reusable bool               `json:"reusable,omitempty"`
	Source   string             `json:"source"`
}

// TrustRules returns all of them, in the order in which they were made.
func (db *DB) TrustRules(ctx context.Context) (rules []*client.TrustRule, err error) {
	err = db.view(ctx, func(s *session) error {
		rules, err = s.trustRules(`SELECT id, name, client_id, disabled, created, definition FROM trust_rule ORDER BY id`)
		return err
	})
	return rules, err
}

// CreateTrustRule adds a rule. It returns client.ErrTrustExists if its name is
// taken, and client.ErrNotFound if it is for a client that is not there.
func (db *DB) CreateTrustRule(ctx context.Context, r *client.TrustRule, e audit.Event) error {
	if r.ID == "" || r.Name == "" {
		return errors.New("trust rule without an id or a name")
	}
	definition, err := storeTrust(r)
	if err != nil {
		return fmt.Errorf("trust rule %s: %w", r.ID, err)
	}
	return db.change(ctx, func(x *tx) error {
		if r.ClientID != "" {
			if _, err := x.client(r.ClientID); err != nil {
				return err
			}
		}
		n, err := x.exec(`INSERT INTO trust_rule (id, name, client_id, disabled, created, definition) VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`,
			r.ID, r.Name, r.ClientID, r.Disabled, micros(r.Created), definition)
		if err != nil {
			return err
		}
		if n == 0 {
			return fmt.Errorf("trust rule %s: %w", r.Name, client.ErrTrustExists)
		}
		return x.trustChanged(r.ID, e)
	})
}

// SetTrustDisabled disables or enables a rule. The tokens of its client are
// revoked with a rule that is disabled: nobody knows which of them it opened.
func (db *DB) SetTrustDisabled(ctx context.Context, id string, disabled bool, e audit.Event) error {
	return db.change(ctx, func(x *tx) error {
		rule, err := x.trustRule(id)
		if err != nil {
			return err
		}
		if _, err := x.exec(`UPDATE trust_rule SET disabled = ? WHERE id = ?`, disabled, id); err != nil {
			return err
		}
		if err := x.revokeTrusted(rule, disabled); err != nil {
			return err
		}
		return x.trustChanged(id, e)
	})
}

// DeleteTrustRule removes a rule, and revokes what the client of it has.
func (db *DB) DeleteTrustRule(ctx context.Context, id string, e audit.Event) error {
	return db.change(ctx, func(x *tx) error {
		rule, err := x.trustRule(id)
		if err != nil {
			return err
		}
		if _, err := x.exec(`DELETE FROM trust_rule WHERE id = ?`, id); err != nil {
			return err
		}
		if err := x.revokeTrusted(rule, true); err != nil {
			return err
		}
		return x.trustChanged(id, e)
	})
}

func (x *tx) trustRule(id string) (*client.TrustRule, error) {
	rules, err := x.trustRules(`SELECT id, name, client_id, disabled, created, definition FROM trust_rule WHERE id = ?`, id)
	if err == nil && len(rules) == 0 {
		err = fmt.Errorf("trust rule %s: %w", id, client.ErrNoTrust)
	}
	if err != nil {
		return nil, err
	}
	return rules[0], nil
}

func (x *tx) revokeTrusted(r *client.TrustRule, ends bool) error {
	if !ends || r.ClientID == "" {
		return nil
	}
	return x.revokeAll(token.RevokeClient, r.ClientID)
}

func (x *tx) trustChanged(id string, e audit.Event) error {
	if err := x.changed(ChangeTrust, id); err != nil {
		return err
	}
	return x.record(e)
}

// forgetTrust takes the rules of a client that goes: the next client of that id
// is somebody else.
func (x *tx) forgetTrust(clientID string) error {
	n, err := x.exec(`DELETE FROM trust_rule WHERE client_id = ? AND client_id <> ''`, clientID)
	if err != nil || n == 0 {
		return err
	}
	return x.changed(ChangeTrust, clientID)
}

func (s *session) trustRules(query string, a ...any) (rules []*client.TrustRule, err error) {
	err = s.each(query, a, func(scan func(...any) error) error {
		var r client.TrustRule
		var created int64
		var definition []byte
		if err := scan(&r.ID, &r.Name, &r.ClientID, &r.Disabled, &created, &definition); err != nil {
			return err
		}
		r.Created = instant(created)
		if err := readTrust(definition, &r); err != nil {
			return fmt.Errorf("trust rule %s: %w", r.ID, err)
		}
		rules = append(rules, &r)
		return nil
	})
	return rules, err
}

func storeTrust(r *client.TrustRule) (string, error) {
	stored := storedTrust{
		For: r.For, Kind: r.Kind, Issuer: r.Issuer, JWKSURI: r.JWKSURI, Audience: r.Audience, Subject: r.Subject, Where: r.Where,
		MaxAge: int64(r.MaxAge / time.Second), Reusable: r.Reusable, Source: r.Source,
	}
	if len(r.Keys.Keys) > 0 {
		raw, err := r.Keys.MarshalJSON()
		if err != nil {
			return "", err
		}
		stored.Keys = raw
	}
	text, err := json.Marshal(stored)
	return string(text), err
}

func readTrust(text []byte, r *client.TrustRule) error {
	var s storedTrust
	if err := json.Unmarshal(text, &s); err != nil {
		return err
	}
	r.For, r.Kind, r.Issuer, r.JWKSURI, r.Audience, r.Subject, r.Where = s.For, s.Kind, s.Issuer, s.JWKSURI, s.Audience, s.Subject, s.Where
	r.MaxAge, r.Reusable, r.Source = time.Duration(s.MaxAge)*time.Second, s.Reusable, s.Source
	if s.Keys == nil {
		return nil
	}
	var err error
	r.Keys, err = jose.ParseIssuerKeySet(s.Keys)
	return err
}
