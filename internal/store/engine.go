package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"strings"
)

// engine is what keeps the data, and where: dataFile is SQLite's, database is
// PostgreSQL's.
type engine interface {
	// String is the place as errors name it, without a secret.
	String() string
	// open connects, and takes what only one process may have. The engine that
	// it returns knows its place better.
	open(ctx context.Context) (engine, *pool, error)
	steps() ([]schemaStep, error)
	// explain says what an error of the engine means for whoever runs offkey.
	explain(err error) error
	// endsTransaction reports whether all of the transaction that err happened in
	// may be gone, and not its statement alone.
	endsTransaction(err error) bool
	// again reports whether a transaction that failed with err may succeed when
	// it is run once more.
	again(err error) bool
	// takenByOther reports whether a step of the schema failed because another
	// process takes it.
	takenByOther(err error) bool
	backup(ctx context.Context, db *DB, path string) error
	check(ctx context.Context, db *DB) error
}

// dialect is what has to be said differently. Everything else is one text: with
// question marks, and without what only one of the engines knows.
type dialect struct {
	begin, beginReading string
	tables              string // how many there are, and how many of them are meta
	meta                string // creates it
	shared              bool   // several processes have the data
}

// parseDSN reads where the data lies.
func parseDSN(dsn string) (engine, error) {
	scheme, _, found := strings.Cut(dsn, "://")
	switch {
	case !found, scheme == "sqlite":
		return parseDataFile(strings.TrimPrefix(dsn, "sqlite://"))
	case scheme == "postgres", scheme == "postgresql":
		return parseDatabase(dsn)
	}
	return nil, fmt.Errorf("storage %s:// is not known: write sqlite:// and the path of a file, or postgres:// and where the database is", scheme)
}

// session is one connection, for one goroutine at a time.
type session struct{ conn }

// conn runs statements. Their texts are constants of this package, so that each
// is prepared once.
type conn interface {
	words() *dialect
	// exec runs a statement and returns how many rows it has changed.
	exec(query string, a ...any) (int64, error)
	// later runs a statement with the next one at the latest, which then has its
	// error.
	later(query string, a ...any) error
	// one reads a single row, or returns sql.ErrNoRows.
	one(query string, a args, dest ...any) error
	// each calls read for every row.
	each(query string, a args, read func(scan func(...any) error) error) error
	// script runs statements without arguments that are separated by semicolons.
	script(text string) error
	close() error
}

// args are what a statement's question marks stand for.
type args []any

// pool is the connections: one that writes, some that read.
type pool struct {
	writing *session
	idle    chan *session // those that read and are not lent
	reading int           // how many there are

	writers, readers *sql.DB  // of SQLite, for what takes long too
	lock             *os.File // of the data file
}

// close waits for the sessions that are lent.
func (p *pool) close() error {
	var errs []error
	for ; p.reading > 0; p.reading-- {
		errs = append(errs, (<-p.idle).close())
	}
	if p.writing != nil {
		errs = append(errs, p.writing.close())
	}
	for _, db := range []*sql.DB{p.readers, p.writers} { // the last to close folds the WAL into the file
		if db != nil {
			errs = append(errs, db.Close())
		}
	}
	if p.lock != nil {
		errs = append(errs, p.lock.Close())
	}
	return errors.Join(errs...)
}

// view lends a reading session to read. Waiting for one ends with ctx; reading,
// which is short, does not.
func (db *DB) view(ctx context.Context, read func(*session) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case <-db.writer.closing:
		return ErrClosed
	default:
	}
	select {
	case s := <-db.pool.idle:
		defer func() { db.pool.idle <- s }()
		return read(s)
	case <-db.writer.closing:
		return ErrClosed
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", ErrBusy, context.Cause(ctx))
	}
}

// snapshot is view for readings of several statements that must agree.
func (db *DB) snapshot(ctx context.Context, read func(*session) error) error {
	return db.view(ctx, func(s *session) (err error) {
		if _, err := s.exec(s.words().beginReading); err != nil {
			return err
		}
		defer func() {
			_, endErr := s.exec("ROLLBACK")
			err = errors.Join(err, endErr)
		}()
		return read(s)
	})
}
