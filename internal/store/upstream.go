package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/offkey/offkey/internal/audit"
	"github.com/offkey/offkey/internal/directory"
)

// UpstreamPerson returns the id of the person who is subject at an issuer, or
// directory.ErrNotFound.
func (db *DB) UpstreamPerson(ctx context.Context, issuer, subject string) (id string, err error) {
	err = db.view(ctx, func(s *session) error {
		return s.each(`SELECT person_id FROM upstream_person WHERE issuer = ? AND subject = ?`, args{issuer, subject}, func(scan func(...any) error) error { return scan(&id) })
	})
	if err == nil && id == "" {
		err = fmt.Errorf("nobody is linked: %w", directory.ErrNotFound)
	}
	return id, err
}

// CreateUpstreamAccount adds a person together with who they are at an issuer:
// of any number that arrive together one is made. It returns directory.ErrExists
// if somebody is that already, or has the name or the address.
func (db *DB) CreateUpstreamAccount(ctx context.Context, issuer, subject string, a *directory.Account, e audit.Event) error {
	if issuer == "" || subject == "" {
		return errors.New("upstream person without an issuer or a subject")
	}
	return db.change(ctx, func(x *tx) error {
		if err := x.insertAccount(a); err != nil {
			return err
		}
		n, err := x.exec(`INSERT INTO upstream_person (issuer, subject, person_id, created) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING`, issuer, subject, a.ID, micros(x.now))
		if err != nil {
			return err
		}
		if n == 0 {
			return fmt.Errorf("upstream person: %w", directory.ErrExists)
		}
		return x.record(e)
	})
}
