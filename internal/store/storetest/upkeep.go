package storetest

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/offkey/offkey/internal/token"
	"github.com/offkey/offkey/internal/traffic"
)

func testUpkeep(t *testing.T, open Open) {
	t.Run("cleaning goes on in batches until there is nothing more to forget", func(t *testing.T) {
		b := setUp(t, open)
		for i := range 10 {
			b.ok(b.Revoke(b.ctx(), token.Revocation{Kind: token.RevokeToken, ID: fmt.Sprint(i), Expires: noon}, did("x")))
			b.ok(b.AddTraffic(b.ctx(), []traffic.Row{aRow(0, "ak_1", fmt.Sprint("/", i))}))
		}
		deleted := 0
		for rounds := 0; ; rounds++ {
			n, err := b.Clean(b.ctx(), noon.AddDate(1, 0, 0), 7)
			b.ok(err)
			if deleted += n; n < 7 {
				break
			}
			if n > 7 || rounds > 100 {
				t.Fatalf("%d in round %d", n, rounds)
			}
		}
		if deleted != 39 { // ten revocations, ten rows by hour and ten by day, and all lines of the change log but the newest
			t.Errorf("deleted %d", deleted)
		}
		if n, err := b.Clean(b.ctx(), noon.AddDate(1, 0, 0), 7); err != nil || n != 0 {
			t.Errorf("then %d, error %v", n, err)
		}
		b.verify() // the audit log is never cleaned
	})
	t.Run("cleaning keeps what is not old", func(t *testing.T) {
		b := setUp(t, open)
		b.ok(b.Revoke(b.ctx(), token.Revocation{Kind: token.RevokeToken, ID: "a", Expires: noon.Add(time.Hour)}, did("x")))
		b.ok(b.Revoke(b.ctx(), token.Revocation{Kind: token.RevokeToken, ID: "b", Expires: noon.Add(time.Hour)}, did("x")))
		b.ok(b.AddTraffic(b.ctx(), []traffic.Row{aRow(0, "ak_1", "/a")}))
		b.spend("cl_1", "a", noon.Add(time.Hour))
		if n, err := b.Clean(b.ctx(), noon.Add(time.Minute), 0); err != nil || n != 0 {
			t.Errorf("cleaned %d, error %v", n, err)
		}
	})
	t.Run("a healthy store passes its check", func(t *testing.T) {
		b := setUp(t, open)
		b.ok(b.Check(b.ctx()))
		calls := transitions(b)
		for _, name := range []string{"CreateClient", "SealAPIKey", "ContainAPIKey"} {
			b.ok(calls[name](b.ctx(), did(name)))
			b.ok(b.Check(b.ctx()))
		}
	})
	t.Run("an identity is the first that was given, also to those who come together", func(t *testing.T) {
		b := setUp(t, open)
		got := make([]string, 20)
		together(len(got), func(i int) {
			var err error
			if got[i], err = b.Identify(b.ctx(), "master key", fmt.Sprint("id ", i)); err != nil {
				t.Error(err)
			}
		})
		b.reopen()
		first, err := b.Identify(b.ctx(), "master key", "another")
		b.ok(err)
		for _, id := range got {
			b.same("identity", id, first)
		}
		other, err := b.Identify(b.ctx(), "pepper", "mine")
		b.ok(err)
		b.same("of another name", other, "mine")
	})
	t.Run("a backup is made while others write, once for each path", func(t *testing.T) {
		b := setUp(t, open)
		transitions(b)
		path := filepath.Join(t.TempDir(), "backup")
		together(5, func(i int) {
			if i == 0 {
				if err := b.Backup(b.ctx(), path); err != nil {
					t.Error(err)
				}
				return
			}
			for n := range 20 {
				if err := b.CreateClient(b.ctx(), plainClient(fmt.Sprint("cl_", i, "_", n)), did("x")); err != nil {
					t.Error(err)
				}
			}
		})
		if err := b.Backup(b.ctx(), path); err == nil {
			t.Error("a backup was written over")
		}
	})
}
