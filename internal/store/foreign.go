package store

import (
	"context"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/offkey/offkey/internal/secret"
)

// ForeignTable is a table of another program, which is only read: one that has
// apikeys or hashes of them. Safe for concurrent use.
type ForeignTable struct {
	db     *sql.DB
	query  string
	hashed bool
}

// OpenForeignTable prepares to read: postgres://… or sqlite:///path. Nothing is
// connected yet. No error holds the DSN, in which passwords are.
func OpenForeignTable(dsn, query string, hashed bool) (*ForeignTable, error) {
	if strings.TrimSpace(query) == "" {
		return nil, errors.New("it has no query")
	}
	scheme, rest, _ := strings.Cut(dsn, "://")
	var db *sql.DB
	switch scheme {
	case "sqlite":
		if rest == "" {
			return nil, errors.New("it names no file: write sqlite:///path/to/file.db")
		}
		var err error
		path := (&url.URL{Path: rest}).EscapedPath()
		if db, err = openEngine("file:" + path + "?mode=ro&_pragma=query_only(ON)&_pragma=busy_timeout(1000)&_pragma=trusted_schema(OFF)"); err != nil {
			return nil, errors.New("its file cannot be opened")
		}
	case "postgres", "postgresql":
		config, err := pgx.ParseConfig(dsn)
		if err != nil {
			return nil, errors.New("it is no PostgreSQL URL: write postgres://user:password@host:5432/database")
		}
		config.ConnectTimeout = 2 * time.Second
		if config.RuntimeParams == nil {
			config.RuntimeParams = map[string]string{}
		}
		config.RuntimeParams["default_transaction_read_only"] = "on"
		config.RuntimeParams["application_name"] = "offkey"
		db = stdlib.OpenDB(*config)
	default:
		return nil, errors.New("it is neither postgres:// nor sqlite://")
	}
	db.SetMaxOpenConns(4)
	db.SetMaxIdleConns(2)
	db.SetConnMaxIdleTime(time.Minute)
	return &ForeignTable{db, query, hashed}, nil
}

// Close ends what Ask has connected.
func (f *ForeignTable) Close() error { return f.db.Close() }

const foreignTimeout = 2 * time.Second

// Ask says whether a string is an apikey: whether the query finds a row for it,
// or for SHA-256 of it in hex. What the row has comes by the names of its
// columns, in lower case. No error holds the apikey.
func (f *ForeignTable) Ask(ctx context.Context, value secret.Text) (known bool, row map[string]string, err error) {
	ctx, cancel := context.WithTimeout(ctx, foreignTimeout)
	defer cancel()
	asked := value.Reveal()
	if f.hashed {
		asked = secret.HashOf(asked).String()
	}
	if !utf8.ValidString(asked) || strings.ContainsRune(asked, 0) {
		return false, nil, nil // no text column has it
	}
	err = f.each(ctx, func(_ []string, r map[string]string) error {
		known, row = true, r
		return errEnough
	}, asked)
	if err != nil && !errors.Is(err, errEnough) {
		return false, nil, withoutParameters(err)
	}
	return known, row, nil
}

var errEnough = errors.New("enough")

// Each calls yield for all rows of the query: with the names of the columns, in
// their order, and the values by their names in lower case.
func (f *ForeignTable) Each(ctx context.Context, yield func(columns []string, row map[string]string) error) error {
	return f.each(ctx, yield)
}

func (f *ForeignTable) each(ctx context.Context, yield func([]string, map[string]string) error, parameters ...any) error {
	rows, err := f.db.QueryContext(ctx, f.query, parameters...)
	if err != nil {
		return err
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		return err
	}
	for i, c := range columns {
		columns[i] = strings.ToLower(c)
	}
	values, to := make([]any, len(columns)), make([]any, len(columns))
	for i := range values {
		to[i] = &values[i]
	}
	for rows.Next() {
		if err := rows.Scan(to...); err != nil {
			return errors.New("a row has a value that cannot be read")
		}
		row := make(map[string]string, len(columns))
		for i, c := range columns {
			row[c] = written(values[i])
		}
		if err := yield(columns, row); err != nil {
			return err
		}
	}
	return rows.Err()
}

// written is a value as lists have it. Bytes that are no text are hex.
func written(value any) string {
	switch v := value.(type) {
	case nil:
		return ""
	case string:
		return v
	case []byte:
		if utf8.Valid(v) && !strings.ContainsFunc(string(v), unicode.IsControl) {
			return string(v)
		}
		return hex.EncodeToString(v)
	case time.Time:
		return v.UTC().Format(time.RFC3339)
	}
	return fmt.Sprint(value)
}

// withoutParameters keeps of an error of a database what is not of a row: some
// repeat values.
func withoutParameters(err error) error {
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return errors.New("look-aside: the database did not answer in time")
	case errors.Is(err, sql.ErrConnDone):
		return errors.New("look-aside: the connection to the database has ended")
	}
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return fmt.Errorf("look-aside: the database refuses the query: SQLSTATE %s", pg.Code)
	}
	return errors.New("look-aside: the database cannot be asked")
}
