package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/offkey/offkey/internal/audit"
	"github.com/offkey/offkey/internal/client"
	"github.com/offkey/offkey/test/postgres"
)

// nodes are processes that share a database, as far as the store is concerned.
func nodes(t *testing.T, dsn string, n int) (all []*DB) {
	t.Helper()
	all = make([]*DB, n)
	var wg sync.WaitGroup
	for i := range all { // they come together to a database that is empty
		wg.Go(func() {
			var err error
			if all[i], err = Open(context.Background(), Options{DSN: dsn}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if t.Failed() {
		t.FailNow()
	}
	t.Cleanup(func() {
		for _, db := range all {
			if err := db.Close(); err != nil {
				t.Error(err)
			}
		}
	})
	return all
}

// race has 32 callers at each node do something once, and reports how many of
// them did.
func race(t *testing.T, all []*DB, once func(db *DB) (did bool, err error)) int64 {
	t.Helper()
	var won atomic.Int64
	var wg sync.WaitGroup
	start := make(chan struct{})
	for _, db := range all {
		for range 32 {
			wg.Go(func() {
				<-start
				did, err := once(db)
				if err != nil {
					t.Error(err)
				}
				if did {
					won.Add(1)
				}
			})
		}
	}
	close(start)
	wg.Wait()
	return won.Load()
}

func TestEachNodeHearsOnceOfEachChange(t *testing.T) {
	all := nodes(t, postgres.Shared(t).DSN(), 2)
	type heard struct {
		sync.Mutex
		at map[Change]time.Time
	}
	ears := make([]*heard, len(all))
	for i, db := range all {
		ears[i] = &heard{at: map[Change]time.Time{}}
		db.Subscribe(func(changes []Change) {
			ears[i].Lock()
			defer ears[i].Unlock()
			for _, c := range changes {
				if !ears[i].at[c].IsZero() {
					t.Errorf("node %d hears twice of %v", i, c)
				}
				ears[i].at[c] = time.Now()
			}
		})
	}
	var slowest time.Duration
	for n := range 20 {
		db, other := all[n%2], ears[1-n%2]
		create(t, db, fmt.Sprint("cl_", n))
		made := time.Now()
		for told := false; !told; time.Sleep(time.Millisecond) {
			other.Lock()
			for c := range other.at {
				told = told || c.ID == fmt.Sprint("cl_", n)
			}
			other.Unlock()
			if time.Since(made) > 30*time.Second {
				t.Fatal("the other node does not hear of it")
			}
		}
		slowest = max(slowest, time.Since(made))
	}
	t.Logf("the slowest of 20 was heard of after %v", slowest)
	if slowest > 10*time.Second {
		t.Error("too slow")
	}
	for i := range ears {
		if n := len(ears[i].at); n != 20 {
			t.Errorf("node %d heard of %d changes", i, n)
		}
	}
}

func TestOneNodeLeadsAndAnotherTakesOver(t *testing.T) {
	all := nodes(t, postgres.Shared(t).DSN(), 2)
	ctx := t.Context()
	first, leads, err := all[0].Lead(ctx, "clean", time.Hour)
	if err != nil || !leads {
		t.Fatal(leads, err)
	}
	if _, leads, err := all[1].Lead(ctx, "clean", time.Hour); err != nil || leads {
		t.Fatalf("both lead, %v", err)
	}
	if _, leads, err := all[1].Lead(ctx, "logouts", time.Hour); err != nil || !leads {
		t.Fatalf("another job cannot be led, %v", err)
	}
	if again, leads, err := all[0].Lead(ctx, "clean", time.Hour); err != nil || !leads || again != first {
		t.Fatalf("the leader lost it: %d after %d, %v", again, first, err)
	}
	if err := all[0].Close(); err != nil { // which yields
		t.Fatal(err)
	}
	if next, leads, err := all[1].Lead(ctx, "clean", time.Hour); err != nil || !leads || next <= first {
		t.Fatalf("nobody took over: fence %d after %d, %v", next, first, err)
	}
	if err := all[1].change(ctx, func(x *tx) error { return x.yield() }); err != nil {
		t.Fatal(err)
	}
	if won := race(t, all[1:], func(db *DB) (bool, error) {
		_, leads, err := db.Lead(ctx, "short", time.Hour)
		return leads, err
	}); won != 32 {
		t.Errorf("the leader leads %d of 32 times", won)
	}
}

func TestAPostgreSQLThatCrashesLosesNothingThatWasAcknowledged(t *testing.T) {
	server := postgres.Own(t)
	all := nodes(t, server.DSN(), 2)
	var mu sync.Mutex
	var acknowledged []string
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				id := fmt.Sprintf("cl_%d_%d", i, n)
				err := all[i%2].CreateClient(context.Background(), &client.Client{ID: id, Status: client.Active, Created: time.Now()}, audit.Event{Actor: "os:0", Action: "client.created", Object: id})
				switch {
				case err == nil:
					mu.Lock()
					acknowledged = append(acknowledged, id)
					mu.Unlock()
				case errors.Is(err, client.ErrExists):
					t.Errorf("%s was made twice", id)
				case !errors.Is(err, ErrUnavailable):
					t.Error(err)
				}
			}
		})
	}
	count := func() int {
		mu.Lock()
		defer mu.Unlock()
		return len(acknowledged)
	}
	for range 3 {
		before := count()
		server.Restart(t)
		for limit := time.Now().Add(time.Minute); count() < before+20; time.Sleep(time.Millisecond) {
			if time.Now().After(limit) {
				t.Fatal("nothing is written after a restart")
			}
		}
	}
	close(stop)
	wg.Wait()
	var there []string
	for after := ""; ; {
		page, next, err := all[0].Clients(t.Context(), client.Filter{After: after, Limit: 1000})
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range page {
			there = append(there, c.ID)
		}
		if after = next; next == "" {
			break
		}
	}
	for _, id := range acknowledged {
		if _, found := slices.BinarySearch(there, id); !found {
			t.Errorf("%s was acknowledged and is gone", id)
		}
	}
	if _, _, err := all[1].VerifyAudit(t.Context()); err != nil {
		t.Error(err)
	}
	t.Logf("%d acknowledged, %d there", len(acknowledged), len(there))
}

func TestPostgreSQLKeepsItsAuditLogToo(t *testing.T) {
	server := postgres.Shared(t)
	dsn := server.DSNOf("kept")
	db := nodes(t, dsn, 1)[0]
	create(t, db, "cl_1")
	err := db.change(t.Context(), func(x *tx) error {
		_, err := x.exec(`DELETE FROM audit_entry`)
		return err
	})
	if err == nil || !strings.Contains(err.Error(), "never changed or deleted") {
		t.Errorf("an entry can be deleted: %v", err)
	}
}
