package store

import (
	"context"
	"database/sql"
	"errors"
)

// Identify keeps value under name if nothing is kept there yet, and returns
// what is kept. It tells whether a secret that lies outside of the data file
// is the one that the file was made with.
func (db *DB) Identify(ctx context.Context, name, value string) (kept string, err error) {
	err = db.change(ctx, func(x *tx) error {
		err := x.one(`SELECT value FROM meta WHERE name = ?`, args{"identity." + name}, &kept)
		if !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		kept = value
		_, err = x.exec(`INSERT INTO meta (name, value) VALUES (?, ?)`, "identity."+name, value)
		return err
	})
	return kept, err
}
