package store

import (
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/offkey/offkey/internal/audit"
	"github.com/offkey/offkey/internal/client"
	"github.com/offkey/offkey/internal/traffic"
)

// openAt opens a data file that must open.
func openAt(t *testing.T, path string) *DB {
	t.Helper()
	db, err := Open(t.Context(), Options{DSN: path})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return db
}

// openNew opens a new data file.
func openNew(t *testing.T) *DB {
	t.Helper()
	return openAt(t, filepath.Join(t.TempDir(), "offkey.db"))
}

// refused opens a data file that must be refused, and returns the error's text.
func refused(t *testing.T, path string) string {
	t.Helper()
	db, err := Open(t.Context(), Options{DSN: path})
	if err == nil {
		_ = db.Close()
		t.Fatalf("%s was opened", path)
	}
	return err.Error()
}

// byHand changes a data file past the store.
func byHand(t *testing.T, path string, statements ...string) {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, s := range statements {
		if _, err := db.Exec(s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

func did(action string) audit.Event {
	return audit.Event{Actor: "os:1000", Action: action, Object: "it"}
}

func create(t *testing.T, db *DB, id string) {
	t.Helper()
	if err := db.CreateClient(t.Context(), &client.Client{ID: id}, did("client.created")); err != nil {
		t.Fatal(err)
	}
}

func TestDSN(t *testing.T) {
	wd, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct{ dsn, path, refusal string }{
		{dsn: "sqlite:///var/lib/offkey/offkey.db", path: "/var/lib/offkey/offkey.db"},
		{dsn: "/var/lib/offkey/offkey.db", path: "/var/lib/offkey/offkey.db"},
		{dsn: "sqlite://data/offkey.db", path: filepath.Join(wd, "data/offkey.db")},
		{dsn: "offkey.db", path: filepath.Join(wd, "offkey.db")},
		{dsn: "postgres://offkey@db:port/offkey", refusal: "cannot be read"},
		{dsn: "mysql://db/offkey", refusal: "mysql:// is not known"},
		{dsn: "sqlite://", refusal: "needs the path of a file"},
		{dsn: "", refusal: "needs the path of a file"},
		{dsn: "/var/lib/offkey/", refusal: "needs the path of a file"},
		{dsn: ":memory:", refusal: "needs the path of a file"},
	}
	for _, tt := range tests {
		t.Run(tt.dsn, func(t *testing.T) {
			place, err := parseDSN(tt.dsn)
			file, _ := place.(dataFile)
			switch {
			case tt.refusal == "" && (err != nil || file.path != tt.path):
				t.Errorf("got %q, %v", file.path, err)
			case tt.refusal != "" && (err == nil || !strings.Contains(err.Error(), tt.refusal)):
				t.Errorf("got %q, %v, want %q", file.path, err, tt.refusal)
			}
		})
	}
}

func TestNobodyElseCanReadTheData(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("permissions are another thing there")
	}
	dir := filepath.Join(t.TempDir(), "new", "data")
	db := openAt(t, filepath.Join(dir, "offkey.db"))
	create(t, db, "cl_1")
	for _, name := range []string{"offkey.db", "offkey.db-wal", "offkey.db-shm", "offkey.db.lock"} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %o", name, info.Mode().Perm())
		}
	}
	info, err := os.Stat(dir)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o700 {
		t.Errorf("the directory has mode %o", info.Mode().Perm())
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(dir, "offkey.db"), 0o644); err != nil {
		t.Fatal(err)
	}
	openAt(t, filepath.Join(dir, "offkey.db"))
	if info, err = os.Stat(filepath.Join(dir, "offkey.db")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("a file that was open to others has mode %o, %v", info.Mode().Perm(), err)
	}
}

func TestADataDirectoryThatCannotBeWrittenIsNamed(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	closed := "/sys/offkey-test" // where root cannot write either
	if os.Getuid() != 0 {
		closed = filepath.Join(t.TempDir(), "closed")
		if err := os.Mkdir(closed, 0o500); err != nil {
			t.Fatal(err)
		}
	} else if runtime.GOOS != "linux" {
		t.Skip("root can write everywhere")
	}
	for _, tt := range []struct{ name, path, want string }{
		{"closed", filepath.Join(closed, "offkey.db"), "not writable"},
		{"below a file", filepath.Join(file, "offkey.db"), "not writable"},
		{"a directory", t.TempDir(), "this is a directory: name the file in it"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := refused(t, tt.path); !strings.Contains(got, tt.want) || !strings.Contains(got, tt.path) {
				t.Errorf("got %q, want the path and %q", got, tt.want)
			}
		})
	}
}

func TestOneProcessAloneOpensTheData(t *testing.T) {
	path := filepath.Join(t.TempDir(), "offkey.db")
	db := openAt(t, path)
	_, err := Open(t.Context(), Options{DSN: path})
	if !errors.Is(err, ErrInUse) || !strings.Contains(err.Error(), fmt.Sprintf("by process %d:", os.Getpid())) {
		t.Errorf("got %v", err)
	}
	create(t, db, "cl_1") // the first is not disturbed
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Errorf("closed again: %v", err)
	}
	openAt(t, path)
}

func TestALinkLeadsToTheSameLock(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "offkey.db")
	openAt(t, path)
	other := t.TempDir()
	for link, to := range map[string]string{filepath.Join(other, "file.db"): path, filepath.Join(other, "dir"): dir} {
		if err := os.Symlink(to, link); err != nil {
			t.Skip(err)
		}
	}
	for _, way := range []string{filepath.Join(other, "file.db"), filepath.Join(other, "dir", "offkey.db"), filepath.Join(dir, "..", filepath.Base(dir), "offkey.db")} {
		if _, err := Open(t.Context(), Options{DSN: way}); !errors.Is(err, ErrInUse) {
			t.Errorf("%s: %v", way, err)
		}
	}
}

func TestAPathWithSpecialCharactersIsAPath(t *testing.T) {
	for _, name := range []string{"a b.db", "a?mode=memory.db", "a%20b.db", "a#b.db", "ü&=+.db"} {
		path := filepath.Join(t.TempDir(), name)
		db := openAt(t, path)
		create(t, db, "cl_1")
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(path)
		if err != nil || info.Size() == 0 {
			t.Errorf("%s: %v, %v", name, info, err)
		}
		if entries, err := os.ReadDir(filepath.Dir(path)); err != nil || len(entries) != 2 { // and its lock
			t.Errorf("%s: %v, %v", name, entries, err)
		}
	}
}

func TestADatabaseOfANewerOffkeyIsRefusedAndLeftAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "offkey.db")
	if err := openAt(t, path).Close(); err != nil {
		t.Fatal(err)
	}
	byHand(t, path, `UPDATE meta SET value = '7000' WHERE name = 'schema'`)
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	_, err = Open(t.Context(), Options{DSN: path})
	if !errors.Is(err, ErrNewer) {
		t.Fatalf("got %v", err)
	}
	all, stepsErr := schemaSteps()
	if stepsErr != nil {
		t.Fatal(stepsErr)
	}
	for _, want := range []string{"version 7000", fmt.Sprintf("up to %d:", schemaNewest(all)), "restore the backup"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q does not say %q", err, want)
		}
	}
	after, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(before) != string(after) {
		t.Error("the file was changed")
	}
}

func TestWhatIsNotOursIsRefused(t *testing.T) {
	dir := t.TempDir()
	text := filepath.Join(dir, "text.db")
	if err := os.WriteFile(text, []byte(strings.Repeat("no database\n", 100)), 0o600); err != nil {
		t.Fatal(err)
	}
	other, meta, broken := filepath.Join(dir, "other.db"), filepath.Join(dir, "meta.db"), filepath.Join(dir, "broken.db")
	byHand(t, other, `CREATE TABLE account (id INTEGER)`)
	byHand(t, meta, `CREATE TABLE meta (name TEXT, value TEXT)`)
	byHand(t, broken, `CREATE TABLE meta (name TEXT, value TEXT)`, `INSERT INTO meta VALUES ('schema', 'x')`)
	for path, want := range map[string]string{
		text:   "is not an SQLite database",
		other:  "database of another program",
		meta:   "database of another program",
		broken: "no number",
	} {
		if got := refused(t, path); !strings.Contains(got, want) || !strings.Contains(got, path) {
			t.Errorf("%s: %s", path, got)
		}
	}
}

func TestTablesOfABackupToolAreLeftAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "offkey.db")
	byHand(t, path, `CREATE TABLE _litestream_lock (id INTEGER)`)
	db := openAt(t, path)
	create(t, db, "cl_1")
	if err := db.Check(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestAnEngineThatCorruptsIsRefused(t *testing.T) {
	for version, fine := range map[string]bool{
		"3.51.3": true, "3.51.4": true, "3.52.0": true, "3.100.0": true, "4.0.0": true,
		"3.51.2": false, "3.50.9": false, "3.7.0": false, "2.99.99": false, "": false, "x": false, "3.51": false,
	} {
		if err := checkVersion(version); (err == nil) != fine {
			t.Errorf("%q: %v", version, err)
		}
	}
}

func TestASchemaStepIsTakenWholeOrNotAtAll(t *testing.T) {
	db := openNew(t)
	s, err := newSession(t.Context(), db.pool.writers)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.close() }()
	if err := takeStep(s, 2, `CREATE TABLE half (id INTEGER); CREATE TABLE client (id INTEGER);`); err == nil {
		t.Fatal("no error")
	}
	var tables int
	if err := s.one(`SELECT count(*) FROM sqlite_schema WHERE name = 'half'`, nil, &tables); err != nil || tables != 0 {
		t.Errorf("%d tables of a step that failed, %v", tables, err)
	}
	if err := takeStep(s, 2, `CREATE TABLE whole (id INTEGER)`); err != nil {
		t.Fatal(err)
	}
	if version, err := schemaVersion(s); err != nil || version != 2 {
		t.Errorf("version %d, %v", version, err)
	}
}

func TestSchemaStepsAreNumbered(t *testing.T) {
	all, err := schemaSteps()
	if err != nil || len(all) < 6 {
		t.Fatalf("%d steps, %v", len(all), err)
	}
	for i, step := range all[:6] { // released: none may come between
		if step.number != i+1 {
			t.Errorf("step %d has number %d", i+1, step.number)
		}
	}
}

func TestWhatWasOnRecordIsCountedByDay(t *testing.T) {
	db := openNew(t)
	create(t, db, "cl_1")
	hour := time.Now().UTC().Truncate(time.Hour)
	row := func(kind, id, carrier, outcome string, calls int64) traffic.Row {
		return traffic.Row{Hour: hour, Credential: traffic.Credential{Kind: kind, ID: id}, Method: "GET", Template: "/", Status: 200, Carrier: carrier, Outcome: outcome, Calls: calls, First: hour, Last: hour}
	}
	if err := db.AddTraffic(t.Context(), []traffic.Row{
		row("apikey", "ak_1", "header:X-API-Key", "", 1), row("apikey", "ak_1", "basic", "denied:x", 2), row("apikey", "ak_1", "", "", 4),
		row("client", "cl_1", "", "", 8), row("client", "cl_2", "", "", 16), row("none", "", "", "", 32),
	}); err != nil {
		t.Fatal(err)
	}
	want, err := db.DailyCalls(t.Context(), time.Time{}, time.Time{})
	if err != nil || len(want) != 6 {
		t.Fatalf("%v, %v", want, err)
	}
	all, err := schemaSteps()
	if err != nil {
		t.Fatal(err)
	}
	at := slices.IndexFunc(all, func(s schemaStep) bool { return s.number == 13 })
	_, counting, found := strings.Cut(all[at].text, "-- What is on record already.")
	if !found {
		t.Fatal("the step does not count")
	}
	s, err := newSession(t.Context(), db.pool.writers)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.close() }()
	if err := s.script("DELETE FROM daily_calls; --" + counting); err != nil {
		t.Fatal(err)
	}
	got, err := db.DailyCalls(t.Context(), time.Time{}, time.Time{})
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("counted again: %v, %v, want %v", got, err, want)
	}
}
