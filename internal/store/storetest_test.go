package store_test

import (
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/offkey/offkey/internal/store"
	"github.com/offkey/offkey/internal/store/storetest"
	"github.com/offkey/offkey/test/postgres"
)

func TestSQLiteKeepsEveryPromise(t *testing.T) {
	storetest.Run(t, func(t *testing.T, place string, now func() time.Time) storetest.Store {
		t.Helper()
		db, err := store.Open(t.Context(), store.Options{DSN: "sqlite://" + filepath.Join(place, "offkey.db"), Now: now})
		if err != nil {
			t.Fatal(err)
		}
		return db
	})
}

func TestPostgreSQLKeepsEveryPromise(t *testing.T) { storetest.Run(t, inPostgreSQL(t)) }

func TestNodesOverPostgreSQLKeepThemTogether(t *testing.T) { storetest.RunNodes(t, inPostgreSQL(t)) }

// inPostgreSQL opens stores in schemas of one server, a place always in the same.
func inPostgreSQL(t *testing.T) storetest.Open {
	server := postgres.Shared(t)
	var mu sync.Mutex
	places := map[string]string{}
	fill := func(dsn string) {
		db, err := store.Open(t.Context(), store.Options{DSN: dsn})
		if err != nil {
			t.Fatal(err)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return func(t *testing.T, place string, now func() time.Time) storetest.Store {
		t.Helper()
		mu.Lock()
		dsn := places[place]
		if dsn == "" {
			dsn = server.Filled(t, fill)
			places[place] = dsn
		}
		mu.Unlock()
		db, err := store.Open(t.Context(), store.Options{DSN: dsn, Now: now})
		if err != nil {
			t.Fatal(err)
		}
		return db
	}
}
