package store

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/offkey/offkey/internal/audit"
	"github.com/offkey/offkey/internal/token"
)

// Revoke keeps a revocation, and ends the codes and refresh families that it is
// about. One that is there for the same token, client or
// apikey is only ever extended. Without an Expires it is kept as long as a
// token can live.
func (db *DB) Revoke(ctx context.Context, r token.Revocation, e audit.Event) error {
	if r.Kind == "" || r.ID == "" {
		return errors.New("revocation without a kind or an id")
	}
	return db.change(ctx, func(x *tx) error {
		if err := x.revoke(r); err != nil {
			return err
		}
		return x.record(e)
	})
}

// Revocations returns those that have not expired at now.
func (db *DB) Revocations(ctx context.Context, now time.Time) (list []token.Revocation, err error) {
	err = db.view(ctx, func(s *session) error {
		return s.revocations(&list, `SELECT kind, id, issued_before, expires FROM revocation WHERE expires > ? ORDER BY kind, id`, micros(now))
	})
	return list, err
}

// RevocationsNamed returns those of the names that are there. A name is the ID
// of a Change.
func (db *DB) RevocationsNamed(ctx context.Context, names []string) (list []token.Revocation, err error) {
	err = db.view(ctx, func(s *session) error {
		for _, name := range names {
			kind, id, _ := strings.Cut(name, ":")
			if err := s.revocations(&list, `SELECT kind, id, issued_before, expires FROM revocation WHERE kind = ? AND id = ?`, kind, id); err != nil {
				return err
			}
		}
		return nil
	})
	return list, err
}

// revocations appends those that a query over their columns finds.
func (s *session) revocations(to *[]token.Revocation, query string, a ...any) error {
	return s.each(query, a, func(scan func(...any) error) error {
		var r token.Revocation
		var before, expires int64
		if err := scan(&r.Kind, &r.ID, &before, &expires); err != nil {
			return err
		}
		r.Before, r.Expires = instant(before), instant(expires)
		*to = append(*to, r)
		return nil
	})
}

// revokeAll revokes what a client was issued, or an apikey exchanged for, until
// now.
func (x *tx) revokeAll(kind, id string) error {
	return x.revoke(token.Revocation{Kind: kind, ID: id, Before: x.now})
}

func (x *tx) revoke(r token.Revocation) error {
	if r.Expires.IsZero() {
		r.Expires = x.now.Add(x.w.life)
	}
	if _, err := x.exec(`INSERT INTO revocation (kind, id, issued_before, expires) VALUES (?, ?, ?, ?)
		ON CONFLICT (kind, id) DO UPDATE SET
			issued_before = CASE WHEN excluded.issued_before > revocation.issued_before THEN excluded.issued_before ELSE revocation.issued_before END,
			expires = CASE WHEN excluded.expires > revocation.expires THEN excluded.expires ELSE revocation.expires END`,
		r.Kind, r.ID, micros(r.Before), micros(r.Expires)); err != nil {
		return err
	}
	if err := x.endGrants(r); err != nil {
		return err
	}
	return x.changed(ChangeRevocation, r.Kind+":"+r.ID)
}
