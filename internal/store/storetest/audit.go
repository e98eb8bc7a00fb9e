package storetest

import (
	"fmt"
	"testing"
	"time"

	"github.com/offkey/offkey/internal/audit"
	"github.com/offkey/offkey/internal/client"
	"github.com/offkey/offkey/internal/token"
)

// verify checks the chain of all entries against the head.
func (b *trial) verify() {
	b.t.Helper()
	var v audit.Verifier
	for _, e := range b.entries() {
		b.ok(v.Add(e))
	}
	head, err := b.AuditHead(b.ctx())
	b.ok(err)
	if v.Head() != head {
		b.t.Fatalf("the last entry is %v, the head is %v", v.Head(), head)
	}
	n, verified, err := b.VerifyAudit(b.ctx())
	b.ok(err)
	if n != v.Entries() || verified != head {
		b.t.Fatalf("VerifyAudit says %d entries and %v, there are %d and %v", n, verified, v.Entries(), head)
	}
}

func testAudit(t *testing.T, open Open) {
	t.Run("a new store has an empty log that verifies", func(t *testing.T) {
		b := setUp(t, open)
		head, err := b.AuditHead(b.ctx())
		b.ok(err)
		if head != (audit.Head{}) || len(b.entries()) != 0 {
			t.Fatalf("head %v, %d entries", head, len(b.entries()))
		}
		b.verify()
	})
	t.Run("an entry reads back as it was hashed", func(t *testing.T) {
		b := setUp(t, open)
		e := audit.Event{Actor: "client:cl_ü", Action: "client.created", Object: "cl_1", Detail: map[string]any{"<b>": "\u2028 ' \" \\", "n": 1.5}}
		b.ok(b.CreateClient(b.ctx(), plainClient("cl_1"), e))
		want, err := audit.Head{}.Append(e, noon)
		b.ok(err)
		b.same("entry", b.entries(), []audit.Entry{want})
		b.verify()
	})
	t.Run("an event without detail is kept without", func(t *testing.T) {
		b := setUp(t, open)
		b.ok(b.CreateClient(b.ctx(), plainClient("cl_1"), audit.Event{Actor: "system", Action: "x"}))
		if e := b.entries()[0]; e.Detail != nil {
			t.Errorf("detail is %q", e.Detail)
		}
		b.verify()
	})
	t.Run("changes that arrive together leave one chain", func(t *testing.T) {
		b := setUp(t, open)
		together(8, func(i int) {
			for n := range 25 {
				c := plainClient(fmt.Sprintf("cl_%d_%d", i, n%20)) // every fifth is refused and leaves no gap
				err := b.CreateClient(b.ctx(), c, did("client.created"))
				if (err != nil) != (n >= 20) {
					t.Errorf("client %d of %d: %v", n, i, err)
				}
				r := token.Revocation{Kind: token.RevokeToken, ID: fmt.Sprint(i, n), Expires: noon.Add(time.Hour)}
				if err := b.Revoke(b.ctx(), r, did("token.revoked")); err != nil {
					t.Error(err)
				}
			}
		})
		if n := len(b.entries()); n != 8*45 {
			t.Errorf("%d entries, want %d", n, 8*45)
		}
		b.verify()
	})
	t.Run("the chain goes on after the store was closed and opened", func(t *testing.T) {
		b := setUp(t, open)
		b.haveClients(plainClient("cl_1"))
		b.reopen()
		b.haveClients(plainClient("cl_2"))
		b.verify()
		if n := len(b.entries()); n != 2 {
			t.Errorf("%d entries", n)
		}
	})
	t.Run("entries come a page at a time, oldest first", func(t *testing.T) {
		b := setUp(t, open)
		for i := range 7 {
			b.haveClients(plainClient(fmt.Sprintf("cl_%d", i)))
		}
		var got []int64
		for after := int64(0); ; {
			page, err := b.AuditEntries(b.ctx(), after, 3)
			b.ok(err)
			if len(page) == 0 {
				break
			}
			for _, e := range page {
				got = append(got, e.Seq)
			}
			after = page[len(page)-1].Seq
		}
		b.same("numbers", got, []int64{1, 2, 3, 4, 5, 6, 7})
	})
	t.Run("more entries than a page verify", func(t *testing.T) {
		b := setUp(t, open)
		b.haveClients(plainClient("cl_1"))
		together(10, func(int) {
			for range 150 {
				if _, err := b.UpdateClient(b.ctx(), "cl_1", func(*client.Client) error { return nil }, did("x")); err != nil {
					t.Error(err)
				}
			}
		})
		b.verify()
	})
}
