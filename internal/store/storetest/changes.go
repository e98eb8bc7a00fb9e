package storetest

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/offkey/offkey/internal/client"
	"github.com/offkey/offkey/internal/store"
)

func testChanges(t *testing.T, open Open) {
	t.Run("subscribers have been told when the caller gets its answer, and see the change", func(t *testing.T) {
		b := setUp(t, open)
		var mu sync.Mutex
		view := map[string]string{} // of clients, by id
		b.Subscribe(func(changes []store.Change) {
			mu.Lock()
			defer mu.Unlock()
			for _, c := range changes {
				if c.Kind == store.ChangeClient {
					now, err := b.Client(b.ctx(), c.ID)
					if err != nil {
						t.Error(err)
						continue
					}
					view[c.ID] = now.Name
				}
			}
		})
		together(16, func(i int) {
			id := fmt.Sprintf("cl_%d", i)
			if err := b.CreateClient(b.ctx(), plainClient(id), did("x")); err != nil {
				t.Error(err)
			}
			for n := range 10 {
				name := fmt.Sprint("name ", n)
				if _, err := b.UpdateClient(b.ctx(), id, func(c *client.Client) error { c.Name = name; return nil }, did("x")); err != nil {
					t.Error(err)
				}
				mu.Lock()
				if view[id] != name {
					t.Errorf("the view of %s has %q after %q was acknowledged", id, view[id], name)
				}
				mu.Unlock()
			}
		})
	})
	t.Run("subscribers and the log have the same changes in the same order", func(t *testing.T) {
		b := setUp(t, open)
		var told [2][]store.Change
		for i := range told {
			b.Subscribe(func(changes []store.Change) { told[i] = append(told[i], changes...) })
		}
		calls := transitions(b)
		together(len(calls), func(i int) {
			names := []string{"CreateClient", "Revoke", "ImportAPIKeys", "UpdateAPIKeys", "SetRoute", "UpdateSettings", "AddSigningKey"}
			if i < len(names) {
				if err := calls[names[i]](b.ctx(), did("x")); err != nil {
					t.Error(err)
				}
			}
		})
		b.same("told", told[0], b.changes())
		b.same("told too", told[1], b.changes())
		kinds := map[string]bool{}
		for i, c := range told[0] {
			if kinds[c.Kind] = true; i > 0 && c.Seq <= told[0][i-1].Seq {
				t.Errorf("change %d follows %d", c.Seq, told[0][i-1].Seq)
			}
		}
		if len(kinds) != 9 {
			t.Errorf("kinds are %v", kinds)
		}
	})
	t.Run("a transition that fails tells nothing", func(t *testing.T) {
		b := setUp(t, open)
		b.haveClients(plainClient("cl_1"))
		b.Subscribe(func(changes []store.Change) { t.Errorf("told of %v", changes) })
		b.is(b.CreateClient(b.ctx(), plainClient("cl_1"), did("x")), client.ErrExists)
	})
	t.Run("the log is read a page at a time", func(t *testing.T) {
		b := setUp(t, open)
		for i := range 5 {
			b.haveClients(plainClient(fmt.Sprintf("cl_%d", i)))
		}
		all := b.changes()
		first, err := b.ChangesSince(b.ctx(), 0, 2)
		b.ok(err)
		second, err := b.ChangesSince(b.ctx(), first[1].Seq, 10)
		b.ok(err)
		b.same("pages", append(first, second...), all)
		none, err := b.ChangesSince(b.ctx(), all[4].Seq, 10)
		b.ok(err)
		b.same("the end", none, []store.Change(nil))
	})
	t.Run("whoever was away too long is told so", func(t *testing.T) {
		b := setUp(t, open)
		b.haveClients(plainClient("cl_1"), plainClient("cl_2"), plainClient("cl_3"))
		all := b.changes()
		_, err := b.Clean(b.ctx(), b.clock.now().Add(30*24*time.Hour), 1000)
		b.ok(err)
		_, err = b.ChangesSince(b.ctx(), all[0].Seq, 10)
		b.is(err, store.ErrChangesGone)
		last, err := b.ChangesSince(b.ctx(), all[1].Seq, 10)
		b.ok(err)
		b.same("the newest stays", last, all[2:])
		b.haveClients(plainClient("cl_4"))
		next, err := b.ChangesSince(b.ctx(), all[2].Seq, 10)
		b.ok(err)
		if len(next) != 1 || next[0].Seq <= all[2].Seq || next[0].ID != "cl_4" {
			t.Errorf("the next change is %v", next)
		}
	})
}
