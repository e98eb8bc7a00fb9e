// Package store keeps what offkey must not lose, in SQLite. It implements the
// Store interfaces that the other packages declare for themselves, as
// transitions: each is one transaction, with its audit entry and its lines of
// the change log, and an acknowledged one has reached the disk. A function that
// a transition is given may be called a second time, when the first attempt was
// rolled back; it must have no effect but on its argument.
//
// All writing is done by one goroutine, which commits what is waiting together
// (writer.go). Reading never waits for it. sqlite.go and schema/ hold what is
// SQLite's own; what the methods promise is written down as tests in storetest.
package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/offkey/offkey/internal/traffic"
)

// What a transition or a reading can fail with, besides what its nouns say
// (client.ErrNotFound and so on).
var (
	// ErrBusy is a transition that was given up, by its context, while others
	// were before it. Nothing of it has happened.
	ErrBusy = errors.New("store is busy")
	// ErrClosed is asked of a DB after Close.
	ErrClosed = errors.New("store is closed")
	// ErrFull is a transition that found no room on the disk. Nothing of it
	// has happened; once there is room, the next one succeeds.
	ErrFull = errors.New("no room left on the disk of the data file")
	// ErrInUse is a data file that another process has open.
	ErrInUse = errors.New("data file is in use")
	// ErrNewer is a data file of a later release.
	ErrNewer = errors.New("data file is of a newer offkey")
	// ErrUnavailable is a database that does not answer. It is asked again with
	// the next call.
	ErrUnavailable = errors.New("the database does not answer")
	// ErrChangesGone is a place in the change log that has been cleaned away:
	// whoever stopped there loads everything anew.
	ErrChangesGone = errors.New("changes since then are no longer kept")
)

// Options are how a DB is opened. DSN is needed.
type Options struct {
	// DSN is where the data lies: sqlite:///var/lib/offkey/offkey.db, or a path
	// alone.
	DSN string
	// Now is the clock of audit entries and of transitions that set a time;
	// nil is time.Now.
	Now func() time.Time
	// TokenLife is the longest that an access token lives; 0 is a day.
	// Revocations that the store writes itself are kept that long.
	TokenLife time.Duration
	// KeepTraffic is how long Clean keeps traffic; 0 is 90 days.
	KeepTraffic time.Duration
	// Log takes what no caller can be told; nil drops it.
	Log *slog.Logger
}

func (o Options) withDefaults() Options {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.TokenLife <= 0 {
		o.TokenLife = 24 * time.Hour
	}
	if o.KeepTraffic <= 0 {
		o.KeepTraffic = traffic.Kept
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o
}

// DB is an open store. Safe for concurrent use.
type DB struct {
	engine  engine
	options Options
	pool    *pool
	writer  *writer

	// Where several processes write:
	spender  *spender
	follower *follower

	closing sync.Once
	closed  error
}

// Open opens the data and brings its schema up to date, or begins with none. Its
// errors say what to do about them.
func Open(ctx context.Context, o Options) (*DB, error) {
	o = o.withDefaults()
	engine, err := parseDSN(o.DSN)
	if err != nil {
		return nil, err
	}
	db, err := open(ctx, engine, o)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", engine, err)
	}
	return db, nil
}

func open(ctx context.Context, engine engine, o Options) (*DB, error) {
	engine, pool, err := engine.open(ctx)
	if err != nil {
		return nil, err
	}
	db := &DB{engine: engine, options: o, pool: pool}
	if err := db.start(); err != nil {
		return nil, errors.Join(engine.explain(err), pool.close())
	}
	return db, nil
}

func (db *DB) start() error {
	if err := raiseSchema(db.engine, db.pool.writing); err != nil {
		return err
	}
	db.writer = newWriter(db.pool.writing, db.engine, db.options)
	if err := db.writer.spent.load(db.pool.writing); err != nil {
		return err
	}
	if d, ok := db.engine.(database); ok {
		if err := db.join(d); err != nil {
			return err
		}
	}
	go db.writer.work()
	return nil
}

// join makes this process one of those that share a database.
func (db *DB) join(d database) (err error) {
	w := db.writer
	if db.follower, err = newFollower(d, db.pool.writing, w.publish, db.options.Log); err != nil {
		return err
	}
	w.follower = db.follower
	db.follower.start()
	db.spender = newSpender(d.session(), d)
	go db.spender.work()
	return nil
}

// Close finishes the transitions that are waiting, refuses new ones and closes
// the connections.
func (db *DB) Close() error {
	db.closing.Do(func() {
		if db.writer.shared != nil && db.writer.leads.Load() {
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			_ = db.change(ctx, (*tx).yield) // or others wait until the leases end
		}
		db.follower.stop()
		db.writer.stop()
		db.closed = errors.Join(db.spender.stop(), db.pool.close())
	})
	return db.closed
}

// The kinds of a Change.
const (
	ChangeClient     = "client"
	ChangeAPIKey     = "apikey"
	ChangeRoute      = "route"
	ChangeSetting    = "setting"
	ChangeRevocation = "revocation" // its ID is "<kind>:<id>" of the revocation
	ChangeSigningKey = "signing_key"
	ChangePerson     = "person"
	ChangeGroup      = "group" // of people
	ChangeTrust      = "trust" // read all rules again
	ChangeLeak       = "leak"
	ChangePepper     = "pepper" // of hashes that others made: read all again

	// ChangeEverything is told where it is not known any more what has changed.
	ChangeEverything = "everything"

	ChangeRegistrationToken = "registration_token"
)

// Change says that something is no longer as it was, for whoever keeps a view
// of it.
type Change struct {
	Seq  int64
	Kind string
	ID   string
}

// Subscribe has told called with the changes of every commit, in order, before
// any caller of a transition in it gets its answer: a view that told keeps is
// never older than an acknowledged write of this process. told runs on the
// writer's goroutine. It may read from the DB; a transition in it would wait
// for itself forever. Where several processes share a database, told also hears
// what the others have committed, within a second, from another goroutine and
// never twice at a time.
func (db *DB) Subscribe(told func([]Change)) {
	w := db.writer
	w.subscribing.Lock()
	defer w.subscribing.Unlock()
	w.subscribers = append(slices.Clone(w.subscribers), told)
}
