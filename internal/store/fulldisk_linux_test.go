package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/offkey/offkey/internal/client"
)

// TestADiskThatIsFull has a file system of two megabytes, where commits fail as
// they do in production: in the middle of the write-ahead log.
func TestADiskThatIsFull(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=2m"); err != nil {
		t.Skipf("mounting a small file system needs more rights: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Errorf("unmount: %v", err)
		}
	})
	path := filepath.Join(dir, "offkey.db")
	db := openAt(t, path)
	ballast := filepath.Join(dir, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	created, spent, failed := []string{}, []string{}, 0
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for n := range 120 {
				id := fmt.Sprint("cl_", i, "_", n)
				err := db.CreateClient(t.Context(), &client.Client{ID: id, Name: strings.Repeat("x", 2000)}, did("x"))
				fresh, spendErr := db.SpendAssertion(t.Context(), "cl_1", id, time.Now().Add(time.Hour))
				mu.Lock()
				if err == nil {
					created = append(created, id)
				} else if failed++; !errors.Is(err, ErrFull) {
					t.Errorf("%s: %v", id, err)
				}
				if spendErr == nil && fresh {
					spent = append(spent, id)
				} else if !errors.Is(spendErr, ErrFull) {
					t.Errorf("%s: fresh %v, %v", id, fresh, spendErr)
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if failed == 0 || len(created) == 0 {
		t.Fatalf("%d were created, %d failed", len(created), failed)
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	for i := range 20 {
		id := fmt.Sprint("cl_after_", i)
		create(t, db, id)
		created = append(created, id)
	}
	verify := func() {
		t.Helper()
		for _, id := range created {
			if _, err := db.Client(t.Context(), id); err != nil {
				t.Fatal(err)
			}
		}
		for _, jti := range spent {
			if fresh, err := db.SpendAssertion(t.Context(), "cl_1", jti, time.Now()); err != nil || fresh {
				t.Fatalf("%s: fresh %v, %v", jti, fresh, err)
			}
		}
		if n, _, err := db.VerifyAudit(t.Context()); err != nil || n != int64(len(created)) {
			t.Fatalf("%d audit entries for %d clients, %v", n, len(created), err)
		}
		if err := db.Check(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	verify()
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	db = openAt(t, path)
	verify()
}
