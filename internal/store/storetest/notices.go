package storetest

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/offkey/offkey/internal/client"
	"github.com/offkey/offkey/internal/oauth"
	"github.com/offkey/offkey/internal/secret"
	"github.com/offkey/offkey/internal/session"
)

// told are the notices that are due at a time, as "client session person".
func (b *trial) told(at time.Time) []string {
	b.t.Helper()
	list, err := b.DueNotices(b.ctx(), at, 100)
	b.ok(err)
	names := []string{}
	for _, n := range list {
		names = append(names, fmt.Sprint(n.ClientID, " ", n.SessionID, " ", n.PersonID))
	}
	slices.Sort(names)
	return names
}

func testNotices(t *testing.T, open Open) {
	// inSession lets clients have to do with a session: cl_1 and cl_2 wish to be
	// told, cl_3 does not.
	inSession := func(t *testing.T) *trial {
		b := setUp(t, open)
		for _, id := range []string{"cl_1", "cl_2", "cl_3"} {
			c := plainClient(id)
			if id != "cl_3" {
				c.Details = client.Details{BackchannelLogoutURI: "https://" + id + ".example/logout"}
			}
			b.haveClients(c)
		}
		b.signIn("se_1", "pe_1", "cookie", "")
		b.signIn("se_2", "pe_2", "cookie2", "")
		for i, id := range []string{"cl_1", "cl_1", "cl_2", "cl_3", "cl_gone"} {
			code := aCode(fmt.Sprint("gr_", i), fmt.Sprint("code ", i))
			code.Grant.ClientID, code.Grant.Session, code.Grant.Scope = id, "se_1", oauth.Scope{"openid"}
			b.ok(b.IssueCode(b.ctx(), code, secret.Hash{}, did("x")))
		}
		return b
	}
	for name, end := range map[string]func(b *trial) error{
		"a sign-out":            func(b *trial) error { return b.EndSession(b.ctx(), "se_1", "", did("x")) },
		"the word of operators": func(b *trial) error { _, err := b.EndSessionsOf(b.ctx(), "pe_1", "", did("x")); return err },
		"its age": func(b *trial) error {
			_, err := b.Clean(b.ctx(), noon.Add(2*time.Hour), 1000)
			return err
		},
		"another person in the browser": func(b *trial) error { b.signIn("se_3", "pe_3", "cookie3", "cookie"); return nil },
	} {
		t.Run("checklist_211 the clients of a session are told once that it has ended, by "+name, func(t *testing.T) {
			b := inSession(t)
			b.same("before", b.told(noon.Add(time.Hour)), []string{})
			b.ok(end(b))
			b.reopen()
			b.same("after", b.told(noon.Add(time.Hour)), []string{"cl_1 se_1 pe_1", "cl_2 se_1 pe_1"})
		})
	}
	t.Run("checklist_211 a notice that is settled goes, one that failed is due later", func(t *testing.T) {
		b := inSession(t)
		b.ok(b.EndSession(b.ctx(), "se_1", "", did("x")))
		list, err := b.DueNotices(b.ctx(), noon.Add(time.Second), 100)
		b.ok(err)
		if len(list) != 2 || list[0].Attempts != 0 || !list[0].Created.Equal(kept(noon)) || list[0].ID == list[1].ID {
			t.Fatalf("%+v", list)
		}
		b.ok(b.SettleNotice(b.ctx(), list[0].ID, time.Time{}))
		again, more := list[1].Again(noon)
		if !more {
			t.Fatal("not tried again")
		}
		b.ok(b.SettleNotice(b.ctx(), list[1].ID, again))
		b.same("at once", b.told(again.Add(-time.Millisecond)), []string{})
		b.same("later", b.told(again), []string{list[1].ClientID + " se_1 pe_1"})
		list, err = b.DueNotices(b.ctx(), again, 100)
		b.ok(err)
		if list[0].Attempts != 1 {
			t.Errorf("%+v", list[0])
		}
	})
	t.Run("an attempt is made a bounded number of times, later and later", func(t *testing.T) {
		n, at, total := session.Notice{}, noon, time.Duration(0)
		for {
			due, more := n.Again(at)
			if !more {
				break
			}
			if n.Attempts++; n.Attempts > 20 || !due.After(at) {
				t.Fatalf("attempt %d at %v", n.Attempts, due)
			}
			total += due.Sub(at)
			at = due
		}
		if n.Attempts < 3 || total < time.Hour || total > 24*time.Hour {
			t.Errorf("%d attempts in %v", n.Attempts, total)
		}
	})
}
