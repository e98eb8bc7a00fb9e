// Package postgres runs a PostgreSQL of its own for tests: from Debian's server
// binaries, in a new directory, on a Unix socket, as a user that is not root. It
// ends with the process that started it.
package postgres

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// Server is a running PostgreSQL.
type Server struct {
	bin, dir string
	stdin    io.Closer // closed: it stops and its directory goes
	names    atomic.Int64
	filling  sync.Once

	mu   sync.Mutex
	free []string // schemas that Filled has made and nobody has
}

var shared = sync.OnceValues(func() (*Server, error) {
	return start("fsync = off", "full_page_writes = off", "shared_buffers = 64MB")
})

// Shared is the server of a test process, started when it is first asked for.
// Where PostgreSQL is not installed the test is skipped.
func Shared(t testing.TB) *Server {
	t.Helper()
	s, err := shared()
	return needed(t, s, err)
}

// Own starts a server for one test, with settings of its own.
func Own(t testing.TB, settings ...string) *Server {
	t.Helper()
	s, err := start(settings...)
	s = needed(t, s, err)
	t.Cleanup(func() { _ = s.stdin.Close() })
	return s
}

var errMissing = errors.New("PostgreSQL is missing: run `make setup`")

func needed(t testing.TB, s *Server, err error) *Server {
	t.Helper()
	switch {
	case errors.Is(err, errMissing) && os.Getenv("OFFKEY_TEST_EXTRAS") != "1":
		t.Skip(err, ", then this test runs too")
	case err != nil:
		t.Fatal(err)
	}
	return s
}

// binaries is the folder of initdb and pg_ctl, of the newest version.
func binaries() (string, error) {
	if path, err := exec.LookPath("pg_ctl"); err == nil {
		if path, err = filepath.EvalSymlinks(path); err == nil {
			return filepath.Dir(path), nil
		}
	}
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/pg_ctl")
	if len(found) == 0 {
		return "", errMissing
	}
	return filepath.Dir(slices.MaxFunc(found, func(a, b string) int { return version(a) - version(b) })), nil
}

func version(path string) int {
	n, _ := strconv.Atoi(strings.Split(path, "/")[4])
	return n
}

// life makes the data, starts the server, says so, and waits for the end of its
// input.
const life = `set -e
cd "$1"
bin=$2 settings=$3
trap '' INT HUP TERM
"$bin"/initdb -D data -U offkey -A trust -E UTF8 --locale=C --no-sync >log 2>&1 || { cat log; exit 1; }
{ echo "unix_socket_directories = '$1'"; echo "listen_addresses = ''"; echo 'max_connections = 300'; echo "$settings"; } >>data/postgresql.conf
"$bin"/pg_ctl -D data -w -l server.log start >>log 2>&1 || { cat log server.log; exit 1; }
echo ready
read -r end || true
"$bin"/pg_ctl -D data -m immediate stop >>log 2>&1 || true
cd /
rm -rf "$1"
`

func start(settings ...string) (*Server, error) {
	bin, err := binaries()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("/tmp", "offkey-pg-") // a socket's path must be short
	if err != nil {
		return nil, err
	}
	cmd := exec.Command("sh", "-c", life, "life", dir, bin, strings.Join(settings, "\n"))
	if err := dropRoot(cmd, dir); err != nil {
		return nil, err
	}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	ready := []byte("ready\n")
	said := make([]byte, 0, 4096)
	for !bytes.HasSuffix(said, ready) {
		n, err := stdout.Read(said[len(said):cap(said)])
		if said = said[:len(said)+n]; err != nil || len(said) == cap(said) {
			return nil, errors.Join(fmt.Errorf("PostgreSQL does not start: %s", said), stdin.Close(), cmd.Wait())
		}
	}
	return &Server{bin: bin, dir: dir, stdin: stdin}, nil
}

// Filled is the address of a schema that is as fill leaves a new one. When the
// test ends it is made so again, for another: that is quicker than a new one.
func (s *Server) Filled(t testing.TB, fill func(dsn string)) string {
	t.Helper()
	s.filling.Do(func() { fill(s.DSNOf("filled")) })
	var name string
	s.mu.Lock()
	if n := len(s.free); n > 0 {
		name, s.free = s.free[n-1], s.free[:n-1]
	}
	s.mu.Unlock()
	if name == "" {
		name = "t" + strconv.FormatInt(s.names.Add(1), 10)
		fill(s.DSNOf(name))
	}
	t.Cleanup(func() {
		if _, err := s.run(strings.ReplaceAll(refill, "NAME", name)); err != nil {
			t.Errorf("schema %s is not cleaned: %v", name, err)
			return
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.free = append(s.free, name)
	})
	return s.DSNOf(name)
}

// refill leaves in schema NAME what is in schema filled.
const refill = `DO $$ DECLARE r record; BEGIN
SET LOCAL session_replication_role = replica;
FOR r IN SELECT tablename AS it FROM pg_tables WHERE schemaname = 'NAME' LOOP
	EXECUTE format('DELETE FROM NAME.%I', r.it);
	EXECUTE format('INSERT INTO NAME.%I SELECT * FROM filled.%I', r.it, r.it);
END LOOP;
FOR r IN SELECT sequencename AS it FROM pg_sequences WHERE schemaname = 'NAME' LOOP
	EXECUTE format('ALTER SEQUENCE NAME.%I RESTART', r.it);
END LOOP;
END $$`

// DSN is the address of a new, empty schema.
func (s *Server) DSN() string {
	return s.DSNOf("t" + strconv.FormatInt(s.names.Add(1), 10))
}

// DSNOf is the address of the schema of that name, which is made if it is
// missing.
func (s *Server) DSNOf(schema string) string {
	if _, err := s.run("CREATE SCHEMA IF NOT EXISTS " + schema); err != nil {
		panic(err) // there is no test to fail
	}
	return "postgres://offkey@/postgres?host=" + s.dir + "&search_path=" + schema
}

// Run runs SQL as the owner of everything and returns the first value of each
// row.
func (s *Server) Run(t testing.TB, sql string) []string {
	t.Helper()
	values, err := s.run(sql)
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return values
}

func (s *Server) run(sql string) (values []string, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	c, err := pgconn.Connect(ctx, "postgres://offkey@/postgres?host="+s.dir)
	if err != nil {
		return nil, err
	}
	defer c.Close(ctx)
	results, err := c.Exec(ctx, sql).ReadAll()
	for _, r := range results {
		for _, row := range r.Rows {
			values = append(values, string(row[0]))
		}
	}
	return values, err
}

// Stop ends the server as a crash does, Restart crashes it and brings it back.
func (s *Server) Stop(t testing.TB)  { s.control(t, "-m", "immediate", "stop") }
func (s *Server) Start(t testing.TB) { s.control(t, "-l", "server.log", "start") }
func (s *Server) Restart(t testing.TB) {
	s.control(t, "-m", "immediate", "-l", "server.log", "restart")
}

func (s *Server) control(t testing.TB, args ...string) {
	t.Helper()
	cmd := s.command("pg_ctl", append([]string{"-D", "data", "-w"}, args...)...)
	if err := cmd.Run(); err != nil { // its output would be held open by the server
		t.Fatalf("pg_ctl %v: %v", args, err)
	}
}

func (s *Server) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(s.bin, name), args...)
	cmd.Dir = s.dir
	if err := dropRoot(cmd, ""); err != nil {
		panic(err)
	}
	return cmd
}
