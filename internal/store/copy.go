package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// copyPage is how many rows are read at once.
const copyPage = 500

// copied is a table of all engines, as the data file has it.
type copied struct {
	name    string
	columns []string
	bytes   []bool   // which of the columns are bytes
	key     []string // its primary key, in order
	counts  bool     // its key counts itself
}

// tablesOf are the tables of a data file, so that what a row refers to comes
// before it.
func tablesOf(s *session) (tables []copied, err error) {
	if err := s.each(`SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE '\_%' ESCAPE '\' AND name NOT LIKE 'sqlite\_%' ESCAPE '\' ORDER BY rowid`, nil,
		func(scan func(...any) error) error {
			var t copied
			err := scan(&t.name)
			tables = append(tables, t)
			return err
		}); err != nil {
		return nil, err
	}
	for i := range tables {
		t := &tables[i]
		keys := map[int]string{}
		if err := s.each(`SELECT name, type, pk FROM pragma_table_info(?) ORDER BY cid`, args{t.name}, func(scan func(...any) error) error {
			var name, kind string
			var key int
			err := scan(&name, &kind, &key)
			t.columns, t.bytes = append(t.columns, name), append(t.bytes, kind == "BLOB")
			if key > 0 {
				keys[key] = name
				t.counts = kind == "INTEGER" && name != "hour" && name != "day"
			}
			return err
		}); err != nil {
			return nil, err
		}
		for n := 1; keys[n] != ""; n++ {
			t.key = append(t.key, keys[n])
		}
		t.counts = t.counts && len(t.key) == 1
	}
	return tables, nil
}

// marks are n question marks.
func marks(n int) string { return strings.TrimSuffix(strings.Repeat("?, ", n), ", ") }

// backup writes the data as it is at one moment to a new data file: it can be
// opened as it is, or copied into a new database.
func (d database) backup(ctx context.Context, db *DB, path string) (err error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		_ = os.Remove(path + ".lock")
		if err != nil {
			err = errors.Join(err, os.Remove(path))
		}
	}()
	if err := file.Close(); err != nil {
		return err
	}
	to, err := Open(ctx, Options{DSN: path})
	if err != nil {
		return err
	}
	into := to.pool.writing
	err = db.snapshot(ctx, func(from *session) error { return copyAll(ctx, into, from, into) })
	if err := errors.Join(err, to.Close()); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// copyAll copies everything into a store that is new, in one transaction of
// each. file is the one of the two that is a data file.
func copyAll(ctx context.Context, file, from, to *session) (err error) {
	tables, err := tablesOf(file)
	if err != nil {
		return err
	}
	if _, err := to.exec(to.words().begin); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, to.script(`ROLLBACK`))
		}
	}()
	if _, err := to.exec(`DELETE FROM people_group`); err != nil { // which a new schema has two of
		return err
	}
	for _, t := range tables {
		if err := ctx.Err(); err != nil {
			return err
		}
		switch t.name {
		case "spent_assertion":
			err = copySpent(from, to)
		default:
			_, err = copyTable(t, from, to)
		}
		if err != nil {
			return err
		}
	}
	_, err = to.exec(`COMMIT`)
	return err
}

// copySpent copies the jti that may come again.
func copySpent(from, to *session) error {
	query, insert := `SELECT expires, ids FROM spent_assertion`, `INSERT INTO spent_assertion (expires, ids) VALUES (?, ?)`
	if from.words().shared {
		query = `SELECT expires, id FROM spent_jti`
	}
	if to.words().shared {
		insert = `INSERT INTO spent_jti (expires, id) VALUES (?, ?) ON CONFLICT DO NOTHING`
	}
	return from.each(query, nil, func(scan func(...any) error) error {
		var expires int64
		ids, err := scanAssertions(scan, &expires)
		for _, id := range ids {
			err = errors.Join(err, to.later(insert, expires, id[:]))
		}
		return err
	})
}

// copyTable copies the rows of a table that are not there yet, and returns how
// many it has read. Both sessions are in a transaction.
func copyTable(t copied, from, to *session) (rows int, err error) {
	key := strings.Join(t.key, ", ")
	first := `SELECT ` + strings.Join(t.columns, ", ") + ` FROM ` + t.name
	next := first + ` WHERE (` + key + `) > (` + marks(len(t.key)) + `) ORDER BY ` + key + ` LIMIT ` + strconv.Itoa(copyPage)
	first += ` ORDER BY ` + key + ` LIMIT ` + strconv.Itoa(copyPage)
	insert := `INSERT INTO ` + t.name + ` (` + strings.Join(t.columns, ", ") + `) VALUES (` + marks(len(t.columns)) + `)`
	if t.name == "meta" { // of which a new schema has rows
		insert += ` ON CONFLICT (name) DO UPDATE SET value = excluded.value`
	}
	var after args
	for query := first; ; query = next {
		n := 0
		if err := from.each(query, after, func(scan func(...any) error) error {
			n++
			values, err := t.scan(scan)
			if err != nil {
				return err
			}
			after = t.keyOf(values)
			if t.name == "meta" && values[0] == "schema" { // each says its own
				return nil
			}
			return to.later(insert, values...)
		}); err != nil {
			return rows, fmt.Errorf("table %s: %w", t.name, err)
		}
		if rows += n; n < copyPage {
			return rows, nil
		}
	}
}

func (t copied) keyOf(values args) (key args) {
	for _, name := range t.key {
		for i, column := range t.columns {
			if column == name {
				key = append(key, values[i])
			}
		}
	}
	return key
}

// scan reads a row as values that any engine takes.
func (t copied) scan(scan func(...any) error) (args, error) {
	values, dest := make(args, len(t.columns)), make([]any, len(t.columns))
	for i := range values {
		dest[i] = &values[i]
	}
	if err := scan(dest...); err != nil {
		return nil, err
	}
	for i, v := range values {
		switch v := v.(type) {
		case []byte:
			values[i] = append([]byte{}, v...) // of a driver's buffer
			if !t.bytes[i] {
				values[i] = string(v)
			}
		case nil:
			return nil, errors.New("a value is missing")
		}
	}
	return values, nil
}
