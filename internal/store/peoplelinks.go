package store

import (
	"context"

	"github.com/offkey/offkey/internal/audit"
	"github.com/offkey/offkey/internal/directory"
	"github.com/offkey/offkey/internal/secret"
)

// AddLink keeps a link in place of an older one of its person and purpose, so
// that there are never more than people have purposes.
func (db *DB) AddLink(ctx context.Context, l directory.Link, e audit.Event) error {
	return db.change(ctx, func(x *tx) error {
		if l.Purpose != directory.ForSetup {
			if _, err := x.person(l.PersonID); err != nil {
				return err
			}
		}
		if _, err := x.exec(`INSERT INTO person_link (purpose, person_id, hash, email, created, expires) VALUES (?, ?, ?, ?, ?, ?)
			ON CONFLICT (purpose, person_id) DO UPDATE SET hash = excluded.hash, email = excluded.email, created = excluded.created, expires = excluded.expires`,
			l.Purpose, l.PersonID, l.Hash[:], l.Email, micros(l.Created), micros(l.Expires)); err != nil {
			return err
		}
		return x.record(e)
	})
}

// Link returns a link that can still be used, or directory.ErrSpent.
func (db *DB) Link(ctx context.Context, hash secret.Hash, purpose directory.Purpose) (l directory.Link, err error) {
	err = db.view(ctx, func(s *session) error {
		l, err = s.link(hash, purpose, micros(db.options.Now()))
		return err
	})
	return l, err
}

// RedeemLink spends a link and lets redeem change the account of its person, in
// one step: whatever fails leaves the link as it was. A link that was used, is
// too old, or never was, is directory.ErrSpent.
func (db *DB) RedeemLink(ctx context.Context, hash secret.Hash, purpose directory.Purpose,
	redeem func(directory.Link, *directory.Standing, *directory.Account) error, e audit.Event) (a *directory.Account, err error) {
	err = db.change(ctx, func(x *tx) error {
		l, err := x.spendLink(hash, purpose)
		if err != nil {
			return err
		}
		standing, err := x.standing(l.PersonID)
		if err != nil {
			return err
		}
		a, err = x.changeAccount(l.PersonID, func(a *directory.Account) error { return redeem(l, standing, a) }, e)
		return err
	})
	if err != nil {
		return nil, err
	}
	return a, nil
}
