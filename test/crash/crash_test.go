package crash

import (
	"database/sql"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strconv"
	"testing"
	"time"

	_ "modernc.org/sqlite"

	"github.com/offkey/offkey/test/binary"
)

func TestMain(m *testing.M) { binary.Main(m) }

// seed is new for each run; OFFKEY_TEST_SEED repeats the moments of one that
// failed, as far as a scheduler repeats anything.
func seed(t *testing.T) uint64 {
	t.Helper()
	n := rand.Uint64()
	if given := os.Getenv("OFFKEY_TEST_SEED"); given != "" {
		var err error
		if n, err = strconv.ParseUint(given, 10, 64); err != nil {
			t.Fatalf("OFFKEY_TEST_SEED=%q is not a number", given)
		}
	}
	t.Logf("OFFKEY_TEST_SEED=%d", n)
	return n
}

func TestCrashLosesNothingThatWasAcknowledged(t *testing.T) {
	rounds := 5
	if os.Getenv("OFFKEY_TEST_LONG") == "1" {
		rounds = 50
	}
	moments := rand.New(rand.NewPCG(seed(t), 0))
	w, l := newWorld(t), &ledger{}
	var load *workers
	for round := range rounds {
		if round%5 == 3 {
			killWhileStarting(t, w, time.Duration(moments.Int64N(int64(150*time.Millisecond))))
		}
		s := w.start(t)
		if load == nil {
			var err error
			if load, err = prepare(w, l); err != nil {
				t.Fatal(err)
			}
		}
		check(t, round, s, w, l)
		wait := load.run(t)
		time.Sleep(30*time.Millisecond + time.Duration(moments.Int64N(int64(900*time.Millisecond)))) // the moment is what is random
		s.Kill()
		wait()
		w.admin.CloseIdleConnections()
		w.public.CloseIdleConnections()
		checkDatabase(t, round, w.data)
		if t.Failed() {
			t.Fatalf("round %d\n%s", round, s.Log())
		}
	}
	s := w.start(t)
	check(t, rounds, s, w, l)
	s.Stop(t)
}

// The checker is worth something only if it notices a loss: here everything
// after a certain moment is lost, as from a backup.
func TestALossIsNoticed(t *testing.T) {
	w, l := newWorld(t), &ledger{}
	s := w.start(t)
	load, err := prepare(w, l)
	if err != nil {
		t.Fatal(err)
	}
	s.Stop(t)
	backup := t.TempDir()
	if err := copyFile(filepath.Join(w.data, "offkey.db"), filepath.Join(backup, "offkey.db")); err != nil {
		t.Fatal(err)
	}
	s = w.start(t)
	wait := load.run(t)
	kinds := []fact{&madeClient{}, &importedAPIKey{}, &issuedToken{}, spentAssertion{}}
	for late := time.Now().Add(20 * time.Second); l.fewest(kinds...) < 10; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(late) {
			t.Fatalf("after 20 s some kind has %d facts\n%s", l.fewest(kinds...), s.Log())
		}
	}
	s.Kill()
	wait()
	for _, name := range []string{"offkey.db-wal", "offkey.db-shm"} {
		if err := os.Remove(filepath.Join(w.data, name)); err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
	}
	if err := copyFile(filepath.Join(backup, "offkey.db"), filepath.Join(w.data, "offkey.db")); err != nil {
		t.Fatal(err)
	}
	s = w.start(t)
	defer s.Stop(t)
	noticed := map[string]bool{}
	for _, f := range l.facts {
		if f.check(w) != nil {
			noticed[reflect.TypeOf(f).String()] = true
		}
	}
	for _, kind := range kinds {
		if name := reflect.TypeOf(kind).String(); !noticed[name] {
			t.Errorf("that every %s is lost was not noticed", name)
		}
	}
}

func TestAValueIsTheLastAcknowledgedOrTheOneAskedFor(t *testing.T) {
	for name, test := range map[string]struct {
		v    value
		got  string
		good bool
	}{
		"as acknowledged":              {value{"a", ""}, "a", true},
		"undone":                       {value{"b", ""}, "a", false},
		"asked for, not done":          {value{"a", "b"}, "a", true},
		"asked for, done":              {value{"a", "b"}, "b", true},
		"asked for, and a third thing": {value{"a", "b"}, "c", false},
	} {
		if err := test.v.settle(test.got); (err == nil) != test.good {
			t.Errorf("%s: %v", name, err)
		}
		if test.good && test.v != (value{test.got, ""}) {
			t.Errorf("%s: afterwards %+v", name, test.v)
		}
	}
}

// check asks about what was acknowledged, and verifies the audit log.
func check(t *testing.T, round int, s *binary.Server, w *world, l *ledger) {
	t.Helper()
	facts, problems := l.check(w)
	for i, problem := range problems {
		if i == 10 {
			t.Errorf("round %d: and %d more", round, len(problems)-i)
			break
		}
		t.Errorf("round %d: %v", round, problem)
	}
	var verdict struct {
		OK      bool
		Entries int64
		Problem string
	}
	s.CLI(t, &verdict, "audit", "--verify")
	if !verdict.OK {
		t.Errorf("round %d: the audit log is not whole: %s", round, verdict.Problem)
	}
	t.Logf("round %d: %d facts asked about, %d known, %d audit entries", round, facts, len(l.facts), verdict.Entries)
}

// killWhileStarting starts the process and kills it after a moment, ready or
// not.
func killWhileStarting(t *testing.T, w *world, after time.Duration) {
	t.Helper()
	cmd := exec.Command(binary.Path(t), w.args...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(after)
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
}

// checkDatabase asks SQLite about a copy of the file as the kill has left it,
// with its log.
func checkDatabase(t *testing.T, round int, data string) {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"offkey.db", "offkey.db-wal"} {
		if err := copyFile(filepath.Join(data, name), filepath.Join(dir, name)); err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
	}
	db, err := sql.Open("sqlite", "file:"+filepath.Join(dir, "offkey.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var verdict string
	if err := db.QueryRow("PRAGMA integrity_check").Scan(&verdict); err != nil || verdict != "ok" {
		t.Errorf("round %d: integrity_check: %s (%v)", round, verdict, err)
	}
	broken, err := db.Query("PRAGMA foreign_key_check")
	if err != nil {
		t.Fatal(err)
	}
	defer broken.Close()
	if broken.Next() {
		t.Errorf("round %d: foreign_key_check finds rows that point nowhere", round)
	}
	if err := broken.Err(); err != nil {
		t.Error(err)
	}
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	if _, err := io.Copy(out, in); err != nil {
		return err
	}
	return out.Close()
}
