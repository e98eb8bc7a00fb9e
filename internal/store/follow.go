package store

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// followEvery is how often a follower looks where nothing wakes it.
const followEvery = 250 * time.Millisecond

// follower tells this process's subscribers what others have changed. It reads
// the change log by its numbers, which are in the order of the commits
// (decision 0073), so that nothing is passed over, however long it was away. That
// the database wakes it is for speed alone.
type follower struct {
	database database
	publish  func([]Change)
	log      *slog.Logger

	reading *session
	last    int64 // the line that was told last

	mu  sync.Mutex
	own map[int64]bool // lines that the writer tells itself

	bell    chan struct{} // others are to be woken
	ending  context.Context
	end     context.CancelFunc
	stopped sync.WaitGroup
}

// newFollower begins at the end of the change log: who reads everything after
// it has opened the store has seen what is before.
func newFollower(d database, s *session, publish func([]Change), log *slog.Logger) (*follower, error) {
	f := &follower{database: d, publish: publish, log: log, reading: d.session(), own: map[int64]bool{}, bell: make(chan struct{}, 1)}
	f.ending, f.end = context.WithCancel(context.Background())
	return f, s.one(`SELECT coalesce(max(seq), 0) FROM change_log`, nil, &f.last)
}

func (f *follower) start() {
	wake := make(chan struct{}, 1)
	f.stopped.Go(func() { f.work(wake) })
	f.stopped.Go(func() { f.listen(wake) })
	f.stopped.Go(f.ring)
}

// stop waits for what is being told. Without a follower there is nothing to stop.
func (f *follower) stop() {
	if f != nil {
		f.end()
		f.stopped.Wait()
	}
}

// mine keeps changes from being told twice, tellAnyway takes that back. Before
// the commit, so that the lines are not found first.
func (f *follower) mine(changes []Change, are bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range changes {
		if delete(f.own, c.Seq); are {
			f.own[c.Seq] = true
		}
	}
}

func (f *follower) work(wake <-chan struct{}) {
	tick := time.NewTicker(followEvery)
	defer tick.Stop()
	failing := false
	for {
		select {
		case <-f.ending.Done():
			_ = f.reading.close()
			return
		case <-wake:
		case <-tick.C:
		}
		err := f.follow()
		switch {
		case err != nil && !failing:
			f.log.Error("changes that other processes make are not seen: they are read when the database answers", "error", f.database.explain(err))
		case err == nil && failing:
			f.log.Info("changes that other processes make are seen again")
		}
		failing = err != nil
	}
}

// follow tells what is new.
func (f *follower) follow() error {
	for {
		changes, err := changesSince(f.reading, f.last, maxPage)
		if errors.Is(err, ErrChangesGone) { // away for days
			if err := f.reading.one(`SELECT coalesce(max(seq), 0) FROM change_log`, nil, &f.last); err != nil {
				return err
			}
			f.publish([]Change{{Kind: ChangeEverything}})
			continue
		}
		if err != nil || len(changes) == 0 {
			return err
		}
		f.last = changes[len(changes)-1].Seq
		if others := f.others(changes); len(others) > 0 {
			f.publish(others)
		}
	}
}

// others leaves out what the writer tells itself.
func (f *follower) others(changes []Change) (others []Change) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range changes {
		if !f.own[c.Seq] {
			others = append(others, c)
		}
		delete(f.own, c.Seq)
	}
	return others
}

// channel is where processes wake each other.
const channel = "offkey_changes"

// wakeOthers has the others look now.
func (f *follower) wakeOthers() {
	select {
	case f.bell <- struct{}{}:
	default:
	}
}

// ring wakes the others. An engine that cannot is not asked again.
func (f *follower) ring() {
	s := f.database.session()
	defer func() { _ = s.close() }()
	for {
		select {
		case <-f.ending.Done():
			return
		case <-f.bell:
		}
		if err := s.script(`NOTIFY ` + channel); sqlState(err) == "0A000" || sqlState(err) == "42601" {
			return
		}
	}
}

// listen wakes the follower when another process rings.
func (f *follower) listen(wake chan<- struct{}) {
	for f.ending.Err() == nil {
		_ = f.listenOnce(wake) // the follower says it when the database is away
		select {
		case <-f.ending.Done():
		case <-time.After(time.Second):
		}
	}
}

func (f *follower) listenOnce(wake chan<- struct{}) error {
	c, err := pgconn.ConnectConfig(f.ending, f.database.waking(wake))
	if err != nil {
		return err
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = c.Close(ctx)
	}()
	if _, err := c.Exec(f.ending, `LISTEN `+channel).ReadAll(); err != nil {
		return err
	}
	for {
		if err := c.WaitForNotification(f.ending); err != nil {
			return err
		}
	}
}

// waking are the settings of a connection on which notifications wake somebody.
func (d database) waking(wake chan<- struct{}) *pgconn.Config {
	config := d.config.Copy()
	config.OnNotification = func(*pgconn.PgConn, *pgconn.Notification) {
		select {
		case wake <- struct{}{}:
		default:
		}
	}
	return config
}
