package store_test

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/offkey/offkey/internal/store"
	"github.com/offkey/offkey/internal/store/storetest"
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
