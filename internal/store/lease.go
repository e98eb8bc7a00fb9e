package store

import (
	"context"
	"database/sql"
	"errors"
	"time"
)

// Lead takes or keeps the lease of that name for a time, and reports whether this
// process has it: of several that share a database one does what only one may. The
// fence rises whenever another process takes over. Times are the database's, so
// that clocks need not agree. Over a data file there is nobody else.
func (db *DB) Lead(ctx context.Context, name string, keep time.Duration) (fence int64, leading bool, err error) {
	if db.writer.shared == nil {
		return 1, true, nil
	}
	l, now, err := db.lease(ctx, name)
	switch {
	case err != nil:
		return 0, false, err
	case l.until > now && l.holder != db.writer.node: // nothing to write
		return l.fence, false, nil
	case l.until > now+keep.Microseconds()/2:
		return l.fence, true, nil
	}
	err = db.change(ctx, func(x *tx) (err error) {
		fence, leading, err = x.lead(name, keep)
		return err
	})
	return fence, leading && err == nil, err
}

// lease is who does something, until when.
type lease struct {
	holder       string
	fence, until int64
}

func (db *DB) lease(ctx context.Context, name string) (l lease, now int64, err error) {
	err = db.view(ctx, func(s *session) error {
		l, now, err = s.lease(name)
		return err
	})
	return l, now, err
}

func (s *session) lease(name string) (l lease, now int64, err error) {
	if err := s.one(`SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS BIGINT)`, nil, &now); err != nil {
		return l, 0, err
	}
	err = s.one(`SELECT holder, fence, until FROM lease WHERE name = ?`, args{name}, &l.holder, &l.fence, &l.until)
	if errors.Is(err, sql.ErrNoRows) {
		err = nil
	}
	return l, now, err
}

func (x *tx) lead(name string, keep time.Duration) (fence int64, leading bool, err error) {
	l, now, err := x.lease(name)
	if err != nil {
		return 0, false, err
	}
	me := x.w.node
	switch {
	case l.holder == me:
	case l.until > now:
		return l.fence, false, nil
	default:
		l.fence++
	}
	x.onCommit = append(x.onCommit, func() { x.w.leads.Store(true) })
	return l.fence, true, x.later(`INSERT INTO lease (name, holder, fence, until) VALUES (?, ?, ?, ?)
		ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, fence = excluded.fence, until = excluded.until`, name, me, l.fence, now+keep.Microseconds())
}

// yield gives up the leases of this process, so that another need not wait.
func (x *tx) yield() error {
	_, err := x.exec(`UPDATE lease SET until = 0 WHERE holder = ?`, x.w.node)
	return err
}
