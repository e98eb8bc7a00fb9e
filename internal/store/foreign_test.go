//go:build unix

package store

import (
	"database/sql"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/offkey/offkey/internal/secret"
)

const foreignRows = `CREATE TABLE api_keys (key_hash TEXT, tenant TEXT, email TEXT, enabled INTEGER, raw %s);
	INSERT INTO api_keys VALUES ('%s', 'Acme', 'ops@acme.example', 1, %s), ('other', 'Globex', NULL, 0, NULL)`

const foreignKey = "foreign-key-0123456789-aaaa"

func foreignScript(bytes, literal string) string {
	return strings.Replace(strings.Replace(strings.Replace(foreignRows, "%s", bytes, 1), "%s", secret.HashOf(foreignKey).String(), 1), "%s", literal, 1)
}

// testForeign asks a table that has foreignKey by its hash.
func testForeign(t *testing.T, dsn string) {
	table, err := OpenForeignTable(dsn, `SELECT tenant AS "Owner", email AS contact, enabled FROM api_keys WHERE key_hash = $1`, true)
	if err != nil {
		t.Fatal(err)
	}
	defer table.Close()
	known, row, err := table.Ask(t.Context(), secret.NewText(foreignKey))
	if err != nil || !known || row["owner"] != "Acme" || row["contact"] != "ops@acme.example" {
		t.Fatalf("%v %v %v", known, row, err)
	}
	for _, other := range []string{"another", "", "with\x00nul", "x' OR '1'='1", "\xff"} {
		if known, _, err := table.Ask(t.Context(), secret.NewText(other)); known || err != nil {
			t.Errorf("%q: %v %v", other, known, err)
		}
	}
	all, err := OpenForeignTable(dsn, `SELECT key_hash, raw, enabled FROM api_keys ORDER BY tenant`, false)
	if err != nil {
		t.Fatal(err)
	}
	defer all.Close()
	var got []string
	if err := all.Each(t.Context(), func(columns []string, row map[string]string) error {
		got = append(got, strings.Join(columns, " ")+": "+row["raw"]+" "+row["enabled"])
		return nil
	}); err != nil || strings.Join(got, "; ") != "key_hash raw enabled: ff00 1; key_hash raw enabled:  0" {
		t.Errorf("%q, %v", got, err)
	}
	bad, err := OpenForeignTable(dsn, `SELECT nothing FROM nowhere WHERE key = $1`, false)
	if err != nil {
		t.Fatal(err)
	}
	defer bad.Close()
	if _, _, err := bad.Ask(t.Context(), secret.NewText(foreignKey)); err == nil || strings.Contains(err.Error(), foreignKey) {
		t.Errorf("a query that is wrong: %v", err)
	}
	if write, err := OpenForeignTable(dsn, `DELETE FROM api_keys WHERE key_hash <> $1`, false); err != nil {
		t.Error(err)
	} else {
		if _, _, err := write.Ask(t.Context(), secret.NewText("x")); err == nil {
			t.Error("a query that writes is let through")
		}
		_ = write.Close()
	}
}

func TestATableOfAnotherProgramInSQLite(t *testing.T) {
	path := filepath.Join(t.TempDir(), "their keys.db")
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec(foreignScript("BLOB", "x'ff00'")); err != nil {
		t.Fatal(err)
	}
	_ = db.Close()
	testForeign(t, "sqlite://"+path)
	if _, err := os.Stat(path + "-wal"); err == nil {
		t.Error("reading it has left files beside it")
	}
}

func TestATableOfAnotherProgramInPostgreSQL(t *testing.T) {
	bin := "/usr/lib/postgresql/15/bin"
	if _, err := os.Stat(bin + "/initdb"); err != nil {
		t.Skip("PostgreSQL 15 is missing: install postgresql, then this test runs too")
	}
	if os.Geteuid() == 0 {
		testForeignAsRoot(t, bin)
		return
	}
	dir := t.TempDir()
	run(t, exec.Command(bin+"/initdb", "-D", dir+"/data", "-U", "offkey", "-A", "trust", "--no-sync"))
	servePostgres(t, bin, dir, nil)
}

// run runs a command that must succeed.
func run(t *testing.T, c *exec.Cmd) {
	t.Helper()
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", c.Args, err, out)
	}
}

func servePostgres(t *testing.T, bin, dir string, as func(*exec.Cmd) *exec.Cmd) {
	t.Helper()
	if as == nil {
		as = func(c *exec.Cmd) *exec.Cmd { return c }
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	_ = l.Close()
	run(t, as(exec.Command(bin+"/pg_ctl", "-D", dir+"/data", "-w", "-l", dir+"/log", "-o", "-h 127.0.0.1 -p "+port+" -k "+dir+" -F", "start")))
	t.Cleanup(func() { run(t, as(exec.Command(bin+"/pg_ctl", "-D", dir+"/data", "-m", "immediate", "stop"))) })
	dsn := "postgres://offkey@127.0.0.1:" + port + "/postgres?sslmode=disable"
	db, err := sql.Open("pgx", dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec(foreignScript("BYTEA", `'\xff00'`)); err != nil {
		t.Fatal(err)
	}
	testForeign(t, dsn)
	_ = db.Close()
}

func TestForeignTablesThatCannotBeAsked(t *testing.T) {
	for name, dsn := range map[string]string{"no scheme": "/var/lib/x.db", "MySQL": "mysql://u:secretpassword@h/db", "no file": "sqlite://", "no URL": "postgres://u:secretpassword@[::1"} {
		if _, err := OpenForeignTable(dsn, "SELECT 1", false); err == nil || strings.Contains(err.Error(), "secretpassword") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := OpenForeignTable("sqlite:///x.db", " ", false); err == nil {
		t.Error("no query is one")
	}
	gone, err := OpenForeignTable("postgres://u:secretpassword@127.0.0.1:1/db", "SELECT $1", false)
	if err != nil {
		t.Fatal(err)
	}
	defer gone.Close()
	if _, _, err := gone.Ask(t.Context(), secret.NewText(foreignKey)); err == nil || strings.Contains(err.Error(), "secretpassword") {
		t.Errorf("nobody there: %v", err)
	}
}
