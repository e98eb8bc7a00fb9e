package store

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/offkey/offkey/internal/audit"
	"github.com/offkey/offkey/internal/token"
)

// StartFamily keeps the first refresh token of a grant, and the grant where it
// is not yet. The error is token.ErrRevoked where the grant, its person, client
// or session was revoked meanwhile.
func (db *DB) StartFamily(ctx context.Context, f token.Family, e audit.Event) error {
	return db.change(ctx, func(x *tx) error {
		if err := x.keepGrant(f.Grant, f.Ends); err != nil {
			return err
		}
		if _, err := x.exec(`INSERT INTO refresh_family (grant_id, handle, current, previous, rotated, jkt, x5t, last_used, idle, ends, dead)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`, f.Grant.ID, f.Handle[:], f.Current[:], f.Previous[:], micros(f.Rotated), f.JKT, f.X5TS256,
			micros(f.LastUsed), f.Idle.Microseconds(), micros(f.Ends), micros(death(f))); err != nil {
			return err
		}
		return x.record(e)
	})
}

// death is when a family ends if it is not used again.
func death(f token.Family) time.Time {
	if f.Idle <= 0 || f.Ends.Before(f.LastUsed.Add(f.Idle)) {
		return f.Ends
	}
	return f.LastUsed.Add(f.Idle)
}

// Family returns the family of a refresh token, whatever the token is in it, or
// token.ErrNoFamily.
func (db *DB) Family(ctx context.Context, t token.RefreshToken) (f token.Family, err error) {
	err = db.view(ctx, func(s *session) error {
		f, err = s.family(t)
		return err
	})
	return f, err
}

func (s *session) family(t token.RefreshToken) (f token.Family, err error) {
	var body string
	var current, previous []byte
	var rotated, used, idle, ends int64
	err = s.one(`SELECT body, current, previous, rotated, jkt, x5t, last_used, idle, ends FROM refresh_family JOIN granted ON granted.id = grant_id WHERE handle = ?`,
		args{t.Handle[:]}, &body, &current, &previous, &rotated, &f.JKT, &f.X5TS256, &used, &idle, &ends)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return token.Family{}, token.ErrNoFamily
	case err != nil:
		return token.Family{}, err
	}
	f.Handle, f.Rotated, f.LastUsed, f.Ends = t.Handle, instant(rotated), instant(used), instant(ends)
	f.Idle = time.Duration(idle) * time.Microsecond
	var currentErr, previousErr error
	f.Current, currentErr = toHash(current)
	f.Previous, previousErr = toHash(previous)
	return f, errors.Join(currentErr, previousErr, readGrant(body, &f.Grant))
}

// UseFamily judges a refresh token and, in the same step, does what follows. For
// the newest the use is noted, and next takes its place unless next is t itself;
// for one that was used before the grant is revoked (RFC 9700 §4.14.2). Of any
// number that arrive together with one token that is rotated, one has the
// newest.
func (db *DB) UseFamily(ctx context.Context, t, next token.RefreshToken, now time.Time, grace time.Duration) (is token.Standing, err error) {
	err = db.change(ctx, func(x *tx) error {
		is = token.Unknown
		f, err := x.family(t)
		if errors.Is(err, token.ErrNoFamily) {
			return nil
		}
		if err != nil {
			return err
		}
		switch is = f.Judge(t, now, grace); is {
		case token.Newest:
			if next.Secret != t.Secret {
				f.Previous, f.Current, f.Rotated = f.Current, next.Secret, now
			}
			f.LastUsed = now
			_, err := x.exec(`UPDATE refresh_family SET current = ?, previous = ?, rotated = ?, last_used = ?, dead = ? WHERE grant_id = ?`,
				f.Current[:], f.Previous[:], micros(f.Rotated), micros(f.LastUsed), micros(death(f)), f.Grant.ID)
			return err
		case token.Reused:
			if err := x.revoke(token.Revocation{Kind: token.RevokeGrant, ID: f.Grant.ID, Before: x.now}); err != nil {
				return err
			}
			return x.record(audit.Event{Actor: "client:" + f.ClientID, Action: "grant.revoked", Object: f.Grant.ID,
				Detail: map[string]string{"why": "a refresh token came that was used before"}})
		}
		return nil
	})
	return is, err
}
