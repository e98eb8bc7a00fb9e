package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/offkey/offkey/internal/audit"
	"github.com/offkey/offkey/internal/client"
	"github.com/offkey/offkey/internal/secret"
)

// RegisterClient adds a client that registers itself. The registration token is
// spent in the same step: of any number that arrive with its last use one
// succeeds. decide sees the token before, nil where there is none, and completes
// the client; its error leaves all as it was. The detail of e is written down
// after it has run.
func (db *DB) RegisterClient(ctx context.Context, r client.Registration, decide func(*client.Client, *client.RegistrationToken) error, e audit.Event) error {
	asked := *r.Client
	return db.change(ctx, func(x *tx) error {
		c := asked // again from the beginning, should this run twice
		token, err := x.spendRegistrationToken(r.Token)
		if err != nil {
			return err
		}
		if err := errors.Join(x.checkUnused(r), x.checkVouched(r)); err != nil {
			return err
		}
		if err := decide(&c, token); err != nil {
			return err
		}
		if err := x.insertClient(&c); err != nil {
			return err
		}
		if !r.UnusedUntil.IsZero() || r.Voucher != "" {
			if _, err := x.exec(`UPDATE client SET unused_until = ?, vouched_by = ? WHERE id = ?`, micros(r.UnusedUntil), r.Voucher, c.ID); err != nil {
				return err
			}
		}
		*r.Client = c
		return x.record(e)
	})
}

// spendRegistrationToken takes one use of a token.
func (x *tx) spendRegistrationToken(hash secret.Hash) (*client.RegistrationToken, error) {
	if hash.IsZero() {
		return nil, nil
	}
	tokens, err := x.registrationTokens(`SELECT `+registrationTokenColumns+` FROM registration_token WHERE hash = ?`, hash[:])
	if err != nil {
		return nil, err
	}
	if len(tokens) == 0 || tokens[0].UsesLeft < 1 || !x.now.Before(tokens[0].Expires) {
		return nil, client.ErrNoRegistrationToken
	}
	_, err = x.exec(`UPDATE registration_token SET uses_left = uses_left - 1, used = used + 1 WHERE hash = ?`, hash[:])
	return tokens[0], err
}

// checkUnused bounds what strangers can make grow.
func (x *tx) checkUnused(r client.Registration) error {
	if r.UnusedUntil.IsZero() || r.Voucher != "" {
		return nil
	}
	var unused int
	if err := x.one(`SELECT count(*) FROM client WHERE unused_until > 0 AND vouched_by = ''`, nil, &unused); err != nil {
		return err
	}
	if unused >= r.MostUnused {
		return client.ErrTooManyUnused
	}
	return nil
}

// checkVouched bounds what whoever has read a statement out of a program can.
func (x *tx) checkVouched(r client.Registration) error {
	if r.Voucher == "" {
		return nil
	}
	var there int
	if err := x.one(`SELECT count(*) FROM client WHERE vouched_by = ? AND vouched_by <> ''`, args{r.Voucher}, &there); err != nil {
		return err
	}
	if there >= r.MostVouched {
		return client.ErrTooManyVouched
	}
	return nil
}

const registrationTokenColumns = `id, name, hash, scopes, uses_left, used, created, expires`

// RegistrationTokens returns all that can still be used or were used, in the
// order in which they were made.
func (db *DB) RegistrationTokens(ctx context.Context) (tokens []*client.RegistrationToken, err error) {
	err = db.view(ctx, func(s *session) error {
		tokens, err = s.registrationTokens(`SELECT ` + registrationTokenColumns + ` FROM registration_token ORDER BY id`)
		return err
	})
	return tokens, err
}

// CreateRegistrationToken adds a token.
func (db *DB) CreateRegistrationToken(ctx context.Context, t *client.RegistrationToken, e audit.Event) error {
	if t.ID == "" || t.Hash.IsZero() || t.UsesLeft < 1 || t.Expires.IsZero() {
		return errors.New("registration token without an id, a hash, a use or an end")
	}
	scopes, err := joinWords(t.Scopes)
	if err != nil {
		return fmt.Errorf("registration token %s: %w", t.ID, err)
	}
	return db.change(ctx, func(x *tx) error {
		if _, err := x.exec(`INSERT INTO registration_token (`+registrationTokenColumns+`) VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
			t.ID, t.Name, t.Hash[:], scopes, t.UsesLeft, t.Used, micros(t.Created), micros(t.Expires)); err != nil {
			return err
		}
		if err := x.changed(ChangeRegistrationToken, t.ID); err != nil {
			return err
		}
		return x.record(e)
	})
}

// DeleteRegistrationToken ends a token, or returns client.ErrNoRegistrationToken.
// Clients that were registered with it stay.
func (db *DB) DeleteRegistrationToken(ctx context.Context, id string, e audit.Event) error {
	return db.change(ctx, func(x *tx) error {
		n, err := x.exec(`DELETE FROM registration_token WHERE id = ?`, id)
		if err != nil {
			return err
		}
		if n == 0 {
			return client.ErrNoRegistrationToken
		}
		if err := x.changed(ChangeRegistrationToken, id); err != nil {
			return err
		}
		return x.record(e)
	})
}

func (s *session) registrationTokens(query string, a ...any) (tokens []*client.RegistrationToken, err error) {
	err = s.each(query, a, func(scan func(...any) error) error {
		var t client.RegistrationToken
		var hash []byte
		var scopes string
		var created, expires int64
		if err := scan(&t.ID, &t.Name, &hash, &scopes, &t.UsesLeft, &t.Used, &created, &expires); err != nil {
			return err
		}
		var err error
		if t.Hash, err = toHash(hash); err != nil {
			return err
		}
		t.Scopes, t.Created, t.Expires = splitWords(scopes), instant(created), instant(expires)
		tokens = append(tokens, &t)
		return nil
	})
	return tokens, err
}

// keepRegistrationTokens is how long a token that has expired is still listed.
const keepRegistrationTokens = 30 * 24 * time.Hour

func (x *tx) cleanRegistrationTokens(now time.Time, limit int) (int64, error) {
	return x.exec(`DELETE FROM registration_token WHERE id IN (SELECT id FROM registration_token WHERE expires < ? ORDER BY expires LIMIT ?)`, micros(now.Add(-keepRegistrationTokens)), limit)
}

// cleanUnused deletes clients that registered themselves and were never used,
// each with its audit entry.
func (x *tx) cleanUnused(now time.Time, limit int) (int64, error) {
	var ids []string
	if err := x.each(`SELECT id FROM client WHERE unused_until > 0 AND unused_until < ? ORDER BY unused_until LIMIT ?`, args{micros(now), limit}, func(scan func(...any) error) error {
		var id string
		defer func() { ids = append(ids, id) }()
		return scan(&id)
	}); err != nil {
		return 0, err
	}
	for _, id := range ids {
		if err := x.deleteClient(id); err != nil {
			return 0, err
		}
		if err := x.record(audit.Event{Actor: "system", Action: "client.never_used", Object: id}); err != nil {
			return 0, err
		}
	}
	return int64(len(ids)), nil
}
