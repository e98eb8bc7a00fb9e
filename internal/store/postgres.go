package store

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// How long a database may take: to be reached, and to answer a statement. A
// transaction that its process does not go on with is ended by the database, so
// that a node which stands still keeps no other waiting.
const (
	connectTime   = 5 * time.Second
	statementTime = 30 * time.Second
	idleTime      = 10 * time.Second
)

// database is where the data lies in PostgreSQL.
type database struct {
	config *pgconn.Config
}

// parseDatabase reads a postgres:// address. Its error leaves out what may be a
// password.
func parseDatabase(dsn string) (engine, error) {
	if _, err := url.Parse(dsn); err != nil && !strings.Contains(dsn, ",") { // of several hosts
		return nil, errors.New("storage: the postgres:// address cannot be read: write it as postgres://user@host/database, with %40 for an @ in a password")
	}
	config, err := pgconn.ParseConfig(dsn)
	if err != nil {
		if cause := errors.Unwrap(err); cause != nil {
			err = cause
		}
		if password := passwordOf(dsn); password != "" {
			err = errors.New(strings.ReplaceAll(err.Error(), password, "…"))
		}
		return nil, fmt.Errorf("storage: the postgres:// address cannot be read: write it as postgres://user@host/database: %w", err)
	}
	if config.ConnectTimeout == 0 {
		config.ConnectTimeout = connectTime
	}
	if config.ValidateConnect == nil { // of several hosts, the one that takes writes
		config.ValidateConnect = pgconn.ValidateConnectTargetSessionAttrsReadWrite
	}
	if config.RuntimeParams["application_name"] == "" {
		config.RuntimeParams["application_name"] = "offkey"
	}
	config.AfterConnect = func(ctx context.Context, c *pgconn.PgConn) error {
		_, err := c.Exec(ctx, `SET idle_in_transaction_session_timeout = `+strconv.FormatInt(idleTime.Milliseconds(), 10)).ReadAll()
		return err
	}
	return database{config}, nil
}

func passwordOf(dsn string) string {
	_, rest, _ := strings.Cut(dsn, "://")
	user, _, at := strings.Cut(rest, "@")
	_, password, _ := strings.Cut(user, ":")
	if !at {
		return ""
	}
	return password
}

func (d database) String() string {
	host := d.config.Host
	for _, other := range d.config.Fallbacks {
		if !strings.Contains(","+host+",", ","+other.Host+",") {
			host += "," + other.Host
		}
	}
	return fmt.Sprintf("database %s at %s", d.config.Database, host)
}

var postgresWords = &dialect{
	begin: "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE", beginReading: "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
	tables: `SELECT count(*), count(CASE WHEN table_name = 'meta' THEN 1 END) FROM information_schema.tables WHERE table_schema = current_schema()`,
	meta:   `CREATE TABLE IF NOT EXISTS meta (name TEXT COLLATE "C" NOT NULL PRIMARY KEY, value TEXT NOT NULL)`,
	shared: true,
}

// open connects once, for writing. The others connect when they are needed.
func (d database) open(ctx context.Context) (engine, *pool, error) {
	writing := &pgConn{config: d.config}
	if err := writing.connect(ctx); err != nil {
		return d, nil, d.explain(err)
	}
	var durable string
	if err := writing.one(`SHOW synchronous_commit`, nil, &durable); err != nil {
		return d, nil, errors.Join(d.explain(err), writing.close())
	}
	if durable == "off" {
		return d, nil, errors.Join(errors.New("synchronous_commit is off there, so that a crash would take back what was acknowledged: ALTER ROLE … SET synchronous_commit = on"), writing.close())
	}
	readers := min(max(2*runtime.GOMAXPROCS(0), 4), 16)
	p := &pool{writing: &session{writing}, idle: make(chan *session, readers), reading: readers}
	for range readers {
		p.idle <- d.session()
	}
	return d, p, nil
}

// session is a connection that is made when it is needed.
func (d database) session() *session { return &session{&pgConn{config: d.config}} }

// check leaves the engine's own structures to its operators: PostgreSQL has
// checksums and pg_amcheck for them.
func (d database) check(context.Context, *DB) error { return nil }

func sqlState(err error) string {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		return e.Code
	}
	return ""
}

// errLost is a transaction whose connection ended.
var errLost = errors.New("the connection to the database ended")

// errQueued is a statement that failed after others had been asked for.
var errQueued = errors.New("a statement before this one failed")

// isLost reports whether the connection that err came from is of no use any more:
// it ended, is about to, or leads to a database that takes no writes now.
func isLost(err error) bool {
	if errors.Is(err, errLost) {
		return true
	}
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		switch {
		case strings.HasPrefix(e.Code, "08"), strings.HasPrefix(e.Code, "57P"), e.Code == "25P03", e.Code == "25006":
			return true
		}
		return e.Severity == "FATAL"
	}
	_, connecting := errors.AsType[*pgconn.ConnectError](err)
	return connecting
}

func (d database) endsTransaction(err error) bool {
	return isLost(err) || conflicted(err) || errors.Is(err, errQueued)
}

// conflicted reports whether a transaction met another one.
func conflicted(err error) bool {
	code := sqlState(err)
	return code == "40001" || code == "40P01"
}

func (d database) again(err error) bool { return isLost(err) || conflicted(err) }

func (d database) takenByOther(err error) bool {
	switch sqlState(err) {
	case "23505", "42P07", "42710", "42723": // there already
		return true
	}
	return conflicted(err)
}

func (d database) explain(err error) error {
	switch code := sqlState(err); {
	case err == nil:
		return nil
	case strings.HasPrefix(code, "28"):
		return fmt.Errorf("the database does not let offkey in: look at the user and password of storage.dsn, and at pg_hba.conf: %w", err)
	case code == "3D000":
		return fmt.Errorf("there is no such database: createdb %s: %w", d.config.Database, err)
	case code == "42501":
		return fmt.Errorf("the user of storage.dsn may not do this: let it own database %s: %w", d.config.Database, err)
	case code == "53100":
		return fmt.Errorf("%w: nothing was written: free some space for the database: %w", ErrFull, err)
	case isLost(err):
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return err
}
