package store

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Copied is how many rows of a table were copied.
type Copied struct {
	Table string `json:"table"`
	Rows  int    `json:"rows"`
}

// Copy copies everything of from, as it is at one moment, into a store that is
// new: from a data file into PostgreSQL, or back. The copy is read back and
// compared before it counts. Secrets that lie outside are not in it.
func Copy(ctx context.Context, from, to *DB) (tables []Copied, err error) {
	if !from.inFile() && !to.inFile() {
		return nil, errors.New("one of the two must be a data file: from one PostgreSQL to another go pg_dump and pg_restore")
	}
	file := from
	if to.inFile() {
		file = to
	}
	if head, err := to.AuditHead(ctx); err != nil || head.Seq > 0 {
		return nil, errors.Join(err, errors.New("there is data already where the copy is to lie: name a new one"))
	}
	err = from.snapshot(ctx, func(reading *session) error {
		shape := reading
		if file == to {
			shape = to.pool.writing
		}
		tables, err = copyAll(ctx, shape, reading, to.pool.writing)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("copy to %s: %w", to.engine, err)
	}
	to.writer.headKnown = false
	return tables, to.writer.spent.load(to.pool.writing)
}

func (db *DB) inFile() bool {
	_, is := db.engine.(dataFile)
	return is
}

// copyPage is how many rows are read at once.
const copyPage = 500

// copiedTable is a table of all engines, as the data file has it.
type copiedTable struct {
	name    string
	columns []string
	bytes   []bool   // which of the columns are bytes
	key     []string // its primary key, in order
	counts  bool     // its key counts itself
}

// tablesOf are the tables of a data file, so that what a row refers to comes
// before it.
func tablesOf(s *session) (tables []copiedTable, err error) {
	if err := s.each(`SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE '\_%' ESCAPE '\' AND name NOT LIKE 'sqlite\_%' ESCAPE '\' ORDER BY rowid`, nil,
		func(scan func(...any) error) error {
			var t copiedTable
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
	err = db.snapshot(ctx, func(from *session) error {
		_, err := copyAll(ctx, into, from, into)
		return err
	})
	if err := errors.Join(err, to.Close()); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// copyAll copies everything into a store that is new, in one transaction, and
// compares it. shape is the one of the two that is a data file.
func copyAll(ctx context.Context, shape, from, to *session) (copied []Copied, err error) {
	tables, err := tablesOf(shape)
	if err != nil {
		return nil, err
	}
	if _, err := to.exec(to.words().begin); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, to.script(`ROLLBACK`))
		}
	}()
	if _, err := to.exec(`DELETE FROM people_group`); err != nil { // which a new schema has two of
		return nil, err
	}
	for _, t := range tables {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		c := Copied{Table: t.name}
		switch t.name {
		case "spent_assertion":
			err = copySpent(from, to)
		default:
			c.Rows, err = copyTable(t, from, to)
		}
		if err == nil && t.name != "spent_assertion" {
			err = compareTable(t, from, to)
		}
		if err == nil && t.counts && to.words().shared {
			err = countOn(t, to)
		}
		if err != nil {
			return nil, err
		}
		copied = append(copied, c)
	}
	_, err = to.exec(`COMMIT`)
	return copied, err
}

// countOn has a key that counts itself go on after the rows that were copied.
func countOn(t copiedTable, to *session) error {
	var last int64
	if err := to.one(`SELECT coalesce(max(`+t.key[0]+`), 0) FROM `+t.name, nil, &last); err != nil {
		return err
	}
	return to.script(`ALTER TABLE ` + t.name + ` ALTER COLUMN ` + t.key[0] + ` RESTART WITH ` + strconv.FormatInt(last+1, 10))
}

// compareTable reads a table at both sides.
func compareTable(t copiedTable, from, to *session) error {
	first, err := t.digest(from)
	if err != nil {
		return err
	}
	second, err := t.digest(to)
	if err == nil && first != second {
		err = fmt.Errorf("table %s: the copy is not what was copied: nothing was kept of it", t.name)
	}
	return err
}

// digest is a hash of all rows, but of what each engine says of itself.
func (t copiedTable) digest(s *session) (sum [sha256.Size]byte, err error) {
	hash := sha256.New()
	err = t.read(s, func(values args) error {
		if t.name == "meta" && perEngine(values[0]) {
			return nil
		}
		for _, v := range values {
			_, err := fmt.Fprintf(hash, "%T %d %v ", v, len(fmt.Sprint(v)), v)
			if err != nil {
				return err
			}
		}
		return nil
	})
	copy(sum[:], hash.Sum(nil))
	return sum, err
}

// perEngine reports whether a row of meta is about the engine and not the data.
func perEngine(name any) bool { return name == "schema" || name == "changes_gone" }

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

// copyTable copies the rows of a table, and returns how many. Both sessions are
// in a transaction.
func copyTable(t copiedTable, from, to *session) (rows int, err error) {
	insert := `INSERT INTO ` + t.name + ` (` + strings.Join(t.columns, ", ") + `) VALUES (` + marks(len(t.columns)) + `)`
	if t.name == "meta" { // of which a new schema has rows
		insert += ` ON CONFLICT (name) DO UPDATE SET value = excluded.value`
	}
	err = t.read(from, func(values args) error {
		if t.name == "meta" && perEngine(values[0]) {
			return nil
		}
		rows++
		return to.later(insert, values...)
	})
	return rows, err
}

// read calls yield for each row in the order of the key.
func (t copiedTable) read(from *session, yield func(args) error) error {
	key := strings.Join(t.key, ", ")
	first := `SELECT ` + strings.Join(t.columns, ", ") + ` FROM ` + t.name
	next := first + ` WHERE (` + key + `) > (` + marks(len(t.key)) + `) ORDER BY ` + key + ` LIMIT ` + strconv.Itoa(copyPage)
	first += ` ORDER BY ` + key + ` LIMIT ` + strconv.Itoa(copyPage)
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
			return yield(values)
		}); err != nil {
			return fmt.Errorf("table %s: %w", t.name, err)
		}
		if n < copyPage {
			return nil
		}
	}
}

func (t copiedTable) keyOf(values args) (key args) {
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
func (t copiedTable) scan(scan func(...any) error) (args, error) {
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
