package store

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/offkey/offkey/internal/apikey"
	"github.com/offkey/offkey/internal/client"
	"github.com/offkey/offkey/internal/secret"
	"github.com/offkey/offkey/internal/token"
	"github.com/offkey/offkey/internal/traffic"
)

// crashing names the data file to a process that writes until it is killed.
const crashing = "OFFKEY_TEST_STORE_CRASHING"

func TestMain(m *testing.M) {
	if path := os.Getenv(crashing); path != "" {
		writeUntilKilled(path)
	}
	os.Exit(m.Run())
}

// writeUntilKilled changes all kinds of things from several goroutines and says
// on standard output what was acknowledged.
func writeUntilKilled(path string) {
	ctx := context.Background()
	db, err := Open(ctx, Options{DSN: path})
	if err != nil {
		fmt.Println("failed", err)
		os.Exit(1)
	}
	var mu sync.Mutex
	acknowledged := func(err error, what ...any) {
		mu.Lock()
		defer mu.Unlock()
		if err != nil {
			fmt.Println("failed", err)
			os.Exit(1)
		}
		fmt.Println(what...)
	}
	run := strconv.Itoa(os.Getpid()) + "-" + strconv.FormatInt(time.Now().UnixNano(), 36)
	for i := range 4 {
		mine := fmt.Sprint(run, "-", i)
		one := "ak_" + mine
		_, err := db.LearnAPIKey(ctx, &apikey.Key{ID: one, Fingerprint: secret.HashOf(one)}, did("apikey.learnt"))
		acknowledged(err, "apikey", one, "inherit")
		for _, write := range []func(n int){
			func(n int) {
				id := fmt.Sprint("cl_", mine, "-", n)
				acknowledged(db.CreateClient(ctx, &client.Client{ID: id}, did("client.created")), "client", id)
			},
			func(n int) {
				jti := fmt.Sprint(mine, "-", n)
				fresh, err := db.SpendAssertion(ctx, "cl_1", jti, time.Now().Add(time.Hour))
				if err == nil && !fresh {
					err = errors.New("a new jti is not fresh")
				}
				acknowledged(err, "spent", jti)
			},
			func(n int) {
				id := fmt.Sprint("jti_", mine, "-", n)
				acknowledged(db.Revoke(ctx, token.Revocation{Kind: token.RevokeToken, ID: id}, did("token.revoked")), "revoked", id)
			},
			func(n int) {
				stage := apikey.Stage(n%5 + 1)
				_, err := db.UpdateAPIKeys(ctx, []string{one}, func(k *apikey.Key) error { k.Stage, k.Label = stage, strconv.Itoa(n); return nil }, did("apikey.stage_set"))
				acknowledged(err, "label", one, n)
			},
			func(n int) {
				row := traffic.Row{Hour: time.Unix(0, 0), Credential: traffic.Credential{Kind: traffic.KindAPIKey, ID: one}, Calls: 1}
				acknowledged(db.AddTraffic(ctx, []traffic.Row{row}), "calls", one, n+1)
			},
		} {
			go func() {
				for n := 0; ; n++ {
					write(n)
				}
			}()
		}
	}
	select {}
}

func TestCrashLosesNothingThatWasAcknowledged(t *testing.T) {
	rounds := 10
	if os.Getenv("OFFKEY_TEST_LONG") != "" {
		rounds = 300
	}
	path := filepath.Join(t.TempDir(), "offkey.db")
	all := &acknowledgements{last: map[string]int{}}
	for range rounds {
		from := len(all.lines)
		all.crash(t, path, time.Duration(rand.IntN(60_000))*time.Microsecond)
		db := openAt(t, path)
		all.check(t, db, all.lines[from:])
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
	db := openAt(t, path)
	all.check(t, db, all.lines)
	if len(all.lines) < rounds*5 {
		t.Errorf("only %d writes were acknowledged in %d rounds", len(all.lines), rounds)
	}
	t.Logf("%d acknowledged writes survived %d kills", len(all.lines), rounds)
}

// acknowledgements are what processes said before they were killed.
type acknowledgements struct {
	lines [][]string
	last  map[string]int // of what is counted up, by name
}

// crash runs a process that writes, kills it some time after its first few
// words, and takes down what it said.
func (a *acknowledgements) crash(t *testing.T, path string, after time.Duration) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), crashing+"="+path)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	said := bufio.NewReader(out)
	for n := 1; ; n++ {
		line, err := said.ReadString('\n')
		if err != nil {
			break // what was cut off by the kill does not count
		}
		if n == 5 {
			time.AfterFunc(after, func() { _ = cmd.Process.Kill() })
		}
		words := strings.Fields(line)
		if words[0] == "failed" {
			t.Error(line)
			_ = cmd.Process.Kill()
		}
		a.lines = append(a.lines, words)
		if len(words) == 3 {
			if n, err := strconv.Atoi(words[2]); err == nil {
				a.last[words[0]+words[1]] = n
			}
		}
	}
	_ = cmd.Wait()
}

// check looks for everything acknowledged in a store that was opened after the
// crash.
func (a *acknowledgements) check(t *testing.T, db *DB, lines [][]string) {
	t.Helper()
	ctx := t.Context()
	if err := db.Check(ctx); err != nil {
		t.Fatal(err)
	}
	if _, _, err := db.VerifyAudit(ctx); err != nil {
		t.Fatal(err)
	}
	revoked := map[string]bool{}
	list, err := db.Revocations(ctx, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range list {
		revoked[r.ID] = true
	}
	calls := map[string]int64{}
	if err := db.Traffic(ctx, traffic.Filter{}, func(r traffic.Row) error { calls[r.Credential.ID] = r.Calls; return nil }); err != nil {
		t.Fatal(err)
	}
	for _, words := range lines {
		var err error
		switch id := words[1]; words[0] {
		case "client":
			_, err = db.Client(ctx, id)
		case "apikey":
			_, err = db.APIKey(ctx, id)
		case "spent":
			if _, spent := db.writer.spent.live[assertionOf("cl_1", id)]; !spent {
				err = errors.New("fresh again")
			}
		case "revoked":
			if !revoked[id] {
				err = errors.New("not revoked")
			}
		case "label":
			k, readErr := db.APIKey(ctx, id)
			if err = readErr; err == nil {
				if n, _ := strconv.Atoi(k.Label); n < a.last["label"+id] {
					err = fmt.Errorf("has label %q after %d", k.Label, a.last["label"+id])
				}
			}
		case "calls":
			if calls[id] < int64(a.last["calls"+id]) {
				err = fmt.Errorf("has %d calls after %d", calls[id], a.last["calls"+id])
			}
		}
		if err != nil {
			t.Fatalf("%v: %v", words, err)
		}
	}
}
