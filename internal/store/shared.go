package store

import (
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"sync/atomic"
	"time"
)

// shared is what a writer needs to know where it is one of several.
type shared struct {
	node string
	// batch numbers what this process commits. It is written with it, so that a
	// commit whose answer was lost is known to have happened or not.
	batch  int64
	unsure bool // the answer to the last COMMIT was lost

	follower *follower
	leads    atomic.Bool // it has had a lease
}

func newShared() *shared { return &shared{node: rand.Text()} }

// keepNodes is how long a process is remembered that writes no more.
const keepNodes = 24 * time.Hour

// begin starts a transaction. Where several processes write, it waits until no
// other does: each transition is made on the result of the one before, wherever
// that was made, and lines of the change log become visible in their order. It
// reports whether it found out that the batch is on the disk already.
func (w *writer) begin() (happened bool, err error) {
	if err := w.session.later(w.session.words().begin); err != nil {
		return false, err
	}
	switch {
	case w.shared != nil:
		w.head, err = takeHead(w.session)
	case !w.headKnown:
		w.head, err = readHead(w.session)
	}
	if err != nil {
		return false, err
	}
	w.headKnown = true
	if w.shared == nil || !w.unsure {
		return false, nil
	}
	var last int64
	err = w.session.one(`SELECT batch FROM node WHERE id = ?`, args{w.node}, &last)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return false, err
	}
	w.unsure = false
	if last != w.batch {
		return false, nil
	}
	return true, w.session.script(`ROLLBACK`)
}

// finish commits.
func (w *writer) finish(batch []*transition) error {
	if w.shared == nil {
		_, err := w.session.exec("COMMIT")
		return err
	}
	if err := w.session.later(`INSERT INTO node (id, batch, seen) VALUES (?, ?, ?) ON CONFLICT (id) DO UPDATE SET batch = excluded.batch, seen = excluded.seen`,
		w.node, w.batch, micros(w.now())); err != nil {
		return err
	}
	var changes []Change
	for _, t := range batch {
		if t.err == nil {
			changes = append(changes, t.changes...)
		}
	}
	w.follower.mine(changes, true)
	w.unsure = true
	_, err := w.session.exec("COMMIT")
	if w.unsure = isLost(err); err == nil && len(changes) > 0 {
		w.follower.wakeOthers()
	}
	return err
}

// commitAgain commits a batch. Where it met another process it tries again, and
// where the database went away it waits for it, for a while.
func (w *writer) commitAgain(batch []*transition) error {
	if w.shared != nil {
		w.batch++
	}
	start := time.Now()
	for try := 1; ; try++ {
		err := w.commit(batch)
		if err == nil {
			return nil
		}
		w.abandon()
		lost := isLost(err)
		switch {
		case !w.engine.again(err), !lost && try == maxTries:
			return err
		case lost && (w.away || time.Since(start) > patience):
			w.away = true
			if w.unsure {
				w.unsure = false
				for _, t := range batch {
					w.follower.mine(t.changes, false)
				}
				err = fmt.Errorf("%w: whether this was written before it went away is not known: %w", ErrUnavailable, err)
			}
			return err
		}
		time.Sleep(time.Duration(min(try, 10)) * 20 * time.Millisecond)
	}
}

// cleanNodes forgets processes that write no more.
func (x *tx) cleanNodes(now time.Time, limit int) (int64, error) {
	if x.w.shared == nil {
		return 0, nil
	}
	return x.exec(`DELETE FROM node WHERE id IN (SELECT id FROM node WHERE seen < ? AND id <> ? LIMIT ?)`, micros(now.Add(-keepNodes)), x.w.node, limit)
}
