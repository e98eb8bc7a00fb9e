package app

import (
	"path/filepath"
	"sync"
	"testing"

	"github.com/offkey/offkey/internal/config"
)

func TestProcessesStartedTogetherHaveTheSameSecrets(t *testing.T) {
	for range 20 {
		cfg := &config.Loaded{Config: config.Default()}
		cfg.Storage.DSN = "sqlite://" + filepath.Join(t.TempDir(), "data", "offkey.db")
		opened := make([]*dataDir, 8)
		var all sync.WaitGroup
		for i := range opened {
			all.Go(func() {
				var err error
				if opened[i], err = openDataDir(cfg); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if t.Failed() {
			return
		}
		last, err := openDataDir(cfg)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range opened {
			if d.pepperID != last.pepperID {
				t.Fatal("a process works with another pepper than the one that is kept")
			}
			if _, err := last.master.Open(d.master.Seal([]byte("x"), "place"), "place"); err != nil {
				t.Fatal("a process works with another master key than the one that is kept")
			}
		}
	}
}
