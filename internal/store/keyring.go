package store

import (
	"context"
	"fmt"
	"time"

	"github.com/offkey/offkey/internal/audit"
	"github.com/offkey/offkey/internal/keyring"
)

// SigningKeys returns every signing key, dropped ones included, by the time
// they start to sign.
func (db *DB) SigningKeys(ctx context.Context) (keys []keyring.Key, err error) {
	err = db.view(ctx, func(s *session) error {
		return s.each(`SELECT id, alg, sealed, created, sign_from, sign_until, publish_until, dropped FROM signing_key ORDER BY sign_from, id`, nil,
			func(scan func(...any) error) error {
				var k keyring.Key
				var created, from, until, publish, dropped int64
				if err := scan(&k.ID, &k.Alg, &k.Sealed, &created, &from, &until, &publish, &dropped); err != nil {
					return err
				}
				k.Created, k.SignFrom, k.SignUntil = instant(created), instant(from), instant(until)
				k.PublishUntil, k.Dropped = instant(publish), instant(dropped)
				keys = append(keys, k)
				return nil
			})
	})
	return keys, err
}

// AddSigningKey returns keyring.ErrExists if a key with the same Alg and
// SignFrom, or the same id, is there.
func (db *DB) AddSigningKey(ctx context.Context, k keyring.Key, e audit.Event) error {
	return db.change(ctx, func(x *tx) error {
		n, err := x.exec(`INSERT INTO signing_key (id, alg, sealed, created, sign_from, sign_until, publish_until, dropped)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`,
			k.ID, k.Alg, k.Sealed, micros(k.Created), micros(k.SignFrom), micros(k.SignUntil), micros(k.PublishUntil), micros(k.Dropped))
		if err != nil {
			return fmt.Errorf("signing key %s: %w", k.ID, err)
		}
		if n == 0 {
			return fmt.Errorf("signing key %s: %w", k.ID, keyring.ErrExists)
		}
		if err := x.changed(ChangeSigningKey, k.ID); err != nil {
			return err
		}
		return x.record(e)
	})
}

// DropSigningKey marks a key as dropped at that time, or returns
// keyring.ErrNotFound. Dropping it twice keeps the first time and leaves no
// second audit entry.
func (db *DB) DropSigningKey(ctx context.Context, id string, at time.Time, e audit.Event) error {
	return db.change(ctx, func(x *tx) error {
		n, err := x.exec(`UPDATE signing_key SET dropped = ? WHERE id = ? AND dropped = 0`, micros(at), id)
		if err != nil {
			return fmt.Errorf("signing key %s: %w", id, err)
		}
		if n == 0 {
			var there int
			if err := x.one(`SELECT count(*) FROM signing_key WHERE id = ?`, args{id}, &there); err != nil {
				return err
			}
			if there == 0 {
				return fmt.Errorf("signing key %s: %w", id, keyring.ErrNotFound)
			}
			return nil
		}
		if err := x.changed(ChangeSigningKey, id); err != nil {
			return err
		}
		return x.record(e)
	})
}
