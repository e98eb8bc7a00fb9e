package store

import (
	"context"
	"fmt"
	"time"
)

// keepChanges is how long Clean keeps the change log: longer than any reader of
// it stays away without starting anew.
const keepChanges = 7 * 24 * time.Hour

// changed writes a line of the change log for the transition that runs.
func (x *tx) changed(kind, id string) error {
	c := Change{Kind: kind, ID: id}
	if err := x.one(`INSERT INTO change_log (at, kind, id) VALUES (?, ?, ?) RETURNING seq`, args{micros(x.now), kind, id}, &c.Seq); err != nil {
		return fmt.Errorf("change log: %w", err)
	}
	x.changes = append(x.changes, c)
	return nil
}

// ChangesSince returns up to limit changes after seq, oldest first: how another
// process keeps its views. It is ErrChangesGone when some of them have been
// cleaned away.
func (db *DB) ChangesSince(ctx context.Context, seq int64, limit int) (changes []Change, err error) {
	err = db.snapshot(ctx, func(s *session) error {
		var oldest int64
		if err := s.one(`SELECT coalesce(min(seq), 1) FROM change_log`, nil, &oldest); err != nil {
			return err
		}
		if seq < oldest-1 {
			return ErrChangesGone
		}
		return s.each(`SELECT seq, kind, id FROM change_log WHERE seq > ? ORDER BY seq LIMIT ?`, args{seq, orDefault(limit)},
			func(scan func(...any) error) error {
				var c Change
				if err := scan(&c.Seq, &c.Kind, &c.ID); err != nil {
					return err
				}
				changes = append(changes, c)
				return nil
			})
	})
	return changes, err
}

// What a page of a list holds.
const (
	defaultPage = 100
	maxPage     = 1000
)

// pageSize is how many things a page with a cursor holds when limit are asked
// for.
func pageSize(limit int) int { return min(orDefault(limit), maxPage) }

// orDefault is a limit, or the default where none was given.
func orDefault(limit int) int {
	if limit <= 0 {
		return defaultPage
	}
	return limit
}
