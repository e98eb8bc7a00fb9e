package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"runtime"
	"strconv"
	"strings"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// oldestSQLite is the first release without the corruption that a checkpoint
// racing a WAL reset could cause (3.7.0 to 3.51.2).
const oldestSQLite = "3.51.3"

// checkVersion refuses an engine that can corrupt its file.
func checkVersion(version string) error {
	if versionNumber(version) < versionNumber(oldestSQLite) {
		return fmt.Errorf("SQLite %s can corrupt a data file under load: build offkey with SQLite %s or later (modernc.org/sqlite in go.mod)", version, oldestSQLite)
	}
	return nil
}

// versionNumber makes 3.51.3 the number 3_051_003, or 0 of what is no version.
func versionNumber(version string) int {
	n := 0
	parts := strings.Split(version, ".")
	if len(parts) != 3 {
		return 0
	}
	for _, part := range parts {
		v, err := strconv.Atoi(part)
		if err != nil || v > 999 {
			return 0
		}
		n = n*1000 + v
	}
	return n
}

// dsn is how the driver is told about the file. Pragmas are per connection and
// hold for every one that the pool opens.
func (f dataFile) dsn(readOnly bool) string {
	q := url.Values{"_pragma": {
		"busy_timeout(5000)", // a checkpoint or a backup by another tool may hold a lock
		"journal_mode(WAL)",
		"synchronous(FULL)", // a commit has reached the disk when it returns
		"foreign_keys(ON)",
		"trusted_schema(OFF)",
		"cell_size_check(ON)",
		"temp_store(MEMORY)",
		"wal_autocheckpoint(4000)",     // pages: a page written often is folded in once
		"journal_size_limit(67108864)", // give back what a burst has taken
	}}
	if readOnly {
		q.Add("_pragma", "query_only(ON)")
	}
	path := (&url.URL{Path: f.path}).EscapedPath() // a path with ? or % in it
	return "file:" + path + "?" + q.Encode()
}

// open takes the file for this process alone, and connects.
func (f dataFile) open(ctx context.Context) (engine, *pool, error) {
	f, err := f.takeDir()
	if err != nil {
		return f, nil, err
	}
	lock, err := f.lock()
	if err != nil {
		return f, nil, err
	}
	p := &pool{idle: make(chan *session, min(max(runtime.GOMAXPROCS(0), 2), 8)), lock: lock}
	if err := p.openFile(ctx, f); err != nil {
		return f, nil, errors.Join(f.explain(err), p.close())
	}
	return f, p, nil
}

// openFile does what the lock is needed for.
func (p *pool) openFile(ctx context.Context, file dataFile) (err error) {
	if err := file.takeFile(); err != nil {
		return err
	}
	if p.writers, err = openEngine(file.dsn(false)); err != nil {
		return err
	}
	if p.readers, err = openEngine(file.dsn(true)); err != nil {
		return err
	}
	if p.writing, err = newSession(ctx, p.writers); err != nil {
		return err
	}
	var version, journal string
	if err := p.writing.one("SELECT sqlite_version()", nil, &version); err != nil {
		return err
	}
	if err := checkVersion(version); err != nil {
		return err
	}
	if err := p.writing.one("PRAGMA journal_mode", nil, &journal); err != nil {
		return err
	}
	if journal != "wal" {
		return fmt.Errorf("SQLite cannot keep a write-ahead log here (journal_mode is %s): put the data on a local disk, not on a network file system", journal)
	}
	for range cap(p.idle) {
		s, err := newSession(ctx, p.readers)
		if err != nil {
			return err
		}
		p.reading++
		p.idle <- s
	}
	return nil
}

// openEngine prepares for connections. None is kept that is not held: what
// takes long opens one for itself.
func openEngine(dsn string) (*sql.DB, error) {
	connector, err := sqlite.NewConnector(dsn)
	if err != nil {
		return nil, err
	}
	db := sql.OpenDB(connector)
	db.SetMaxIdleConns(0)
	return db, nil
}

// sqliteConn is a connection and the statements held on it. Its statements are
// never interrupted: an interrupted writer would leave a transaction half way.
type sqliteConn struct {
	conn *sql.Conn
	held map[string]*sql.Stmt
}

var sqliteWords = &dialect{
	begin: "BEGIN IMMEDIATE", beginReading: "BEGIN",
	tables: `SELECT count(*), count(CASE WHEN name = 'meta' THEN 1 END) FROM sqlite_schema
		WHERE type = 'table' AND name NOT LIKE '\_%' ESCAPE '\'`, // _… are of backup tools
	meta: `CREATE TABLE IF NOT EXISTS meta (name TEXT NOT NULL PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID`,
}

func (s *sqliteConn) words() *dialect { return sqliteWords }

func newSession(ctx context.Context, db *sql.DB) (*session, error) {
	conn, err := db.Conn(ctx)
	if err != nil {
		return nil, err
	}
	return &session{&sqliteConn{conn: conn, held: map[string]*sql.Stmt{}}}, nil
}

// close gives the connection back to its database, to be closed with it.
func (s *sqliteConn) close() error {
	var errs []error
	for _, stmt := range s.held {
		errs = append(errs, stmt.Close())
	}
	return errors.Join(append(errs, s.conn.Close())...)
}

// stmt prepares query once. Its texts are constants of this package.
func (s *sqliteConn) stmt(query string) (*sql.Stmt, error) {
	if stmt := s.held[query]; stmt != nil {
		return stmt, nil
	}
	stmt, err := s.conn.PrepareContext(context.Background(), query)
	if err != nil {
		return nil, err
	}
	s.held[query] = stmt
	return stmt, nil
}

// exec runs a statement and returns how many rows it has changed.
func (s *sqliteConn) exec(query string, a ...any) (int64, error) {
	stmt, err := s.stmt(query)
	if err != nil {
		return 0, err
	}
	res, err := stmt.ExecContext(context.Background(), a...)
	if err != nil {
		return 0, err
	}
	return res.RowsAffected()
}

// one reads a single row, or returns sql.ErrNoRows.
func (s *sqliteConn) one(query string, a args, dest ...any) error {
	stmt, err := s.stmt(query)
	if err != nil {
		return err
	}
	return stmt.QueryRowContext(context.Background(), a...).Scan(dest...)
}

// each calls read for every row.
func (s *sqliteConn) each(query string, a args, read func(scan func(...any) error) error) error {
	stmt, err := s.stmt(query)
	if err != nil {
		return err
	}
	rows, err := stmt.QueryContext(context.Background(), a...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := read(rows.Scan); err != nil {
			return err
		}
	}
	return rows.Err()
}

// later is exec: a statement costs no way to a server that could be shared.
func (s *sqliteConn) later(query string, a ...any) error {
	_, err := s.exec(query, a...)
	return err
}

func (s *sqliteConn) script(text string) error {
	_, err := s.conn.ExecContext(context.Background(), text)
	return err
}

// code is SQLite's primary result code of an error, 0 of any other.
func code(err error) int {
	if e, ok := errors.AsType[*sqlite.Error](err); ok {
		return e.Code() & 0xff
	}
	return 0
}

// endsTransaction reports whether SQLite may have rolled back all of the
// transaction that err happened in, and not its statement alone.
func (f dataFile) endsTransaction(err error) bool {
	c := code(err)
	return c != 0 && c != sqlite3.SQLITE_CONSTRAINT
}

// again is never: nobody else writes.
func (f dataFile) again(error) bool { return false }

func (f dataFile) takenByOther(error) bool { return false }

func (f dataFile) String() string { return f.path }

// explain says what an error of the engine means for whoever runs offkey.
func (f dataFile) explain(err error) error {
	switch code(err) {
	case sqlite3.SQLITE_FULL:
		return fmt.Errorf("%w: nothing was written: free some space for %s: %w", ErrFull, f.path, err)
	case sqlite3.SQLITE_NOTADB:
		return fmt.Errorf("%s is not an SQLite database: name another file, or restore a backup: %w", f.path, err)
	case sqlite3.SQLITE_CORRUPT:
		return fmt.Errorf("%s is damaged: restore a backup: %w", f.path, err)
	case sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_CANTOPEN:
		return fmt.Errorf("%s cannot be written: the file, its -wal and -shm, and their directory must belong to the user that offkey runs as: %w", f.path, err)
	case sqlite3.SQLITE_BUSY:
		return fmt.Errorf("another program holds %s locked: end its transaction (a backup tool, an sqlite3 shell): %w", f.path, err)
	case sqlite3.SQLITE_IOERR:
		return fmt.Errorf("the disk of %s failed: nothing was written: look at the system's log: %w", f.path, err)
	}
	return err
}
