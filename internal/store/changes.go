package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
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
		changes, err = changesSince(s, seq, orDefault(limit))
		return err
	})
	return changes, err
}

// changesSince looks at what is old first: what is cleaned away meanwhile is not
// missed then.
func changesSince(s *session, seq int64, limit int) (changes []Change, err error) {
	if err := s.each(`SELECT seq, kind, id FROM change_log WHERE seq > ? ORDER BY seq LIMIT ?`, args{seq, limit},
		func(scan func(...any) error) error {
			var c Change
			if err := scan(&c.Seq, &c.Kind, &c.ID); err != nil {
				return err
			}
			changes = append(changes, c)
			return nil
		}); err != nil {
		return nil, err
	}
	gone, err := s.changesGone()
	if err == nil && seq < gone {
		err = ErrChangesGone
	}
	if err != nil {
		return nil, err
	}
	return changes, nil
}

// changesGone is the last line that was cleaned away. Over a data file the
// numbers have no gaps, so that the first that is left tells it.
func (s *session) changesGone() (seq int64, err error) {
	if !s.words().shared {
		return seq, s.one(`SELECT coalesce(min(seq), 1) - 1 FROM change_log`, nil, &seq)
	}
	var value string
	if err := s.one(`SELECT value FROM meta WHERE name = 'changes_gone'`, nil, &value); err != nil {
		if errors.Is(err, sql.ErrNoRows) {
			err = nil
		}
		return 0, err
	}
	return strconv.ParseInt(value, 10, 64)
}

// cleanChanges forgets lines that nobody asks for any more. The newest stays: it
// says where the numbers are.
func (x *tx) cleanChanges(now time.Time, limit int) (int64, error) {
	n, err := x.exec(`DELETE FROM change_log WHERE seq IN (SELECT seq FROM change_log
		WHERE at < ? AND seq < (SELECT max(seq) FROM change_log) ORDER BY seq LIMIT ?)`, micros(now.Add(-keepChanges)), limit)
	if err != nil || n == 0 || x.w.shared == nil {
		return n, err
	}
	var first int64
	if err := x.one(`SELECT min(seq) FROM change_log`, nil, &first); err != nil {
		return 0, err
	}
	return n, x.later(`INSERT INTO meta (name, value) VALUES ('changes_gone', ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value`, strconv.FormatInt(first-1, 10))
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
