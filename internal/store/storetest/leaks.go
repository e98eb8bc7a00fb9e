package storetest

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/offkey/offkey/internal/apikey"
	"github.com/offkey/offkey/internal/client"
	"github.com/offkey/offkey/internal/leak"
	"github.com/offkey/offkey/internal/secret"
)

// aLeak is a leak as somebody reports it.
func aLeak(kind, id string) *leak.Record {
	return &leak.Record{ID: leak.NewID(), Subject: leak.Subject{Kind: kind, ID: id}, By: leak.ByOperator, Disabled: []string{}, Kept: []string{}, Timeline: []leak.Entry{{Actor: "os:0", What: "found"}}}
}

func testLeakRecords(t *testing.T, open Open) {
	setUpLeak := func(t *testing.T) *trial {
		b := setUp(t, open)
		b.haveAPIKeys("ak_1", "ak_2")
		pending := selfService("cl_pending", "ak_1", noon)
		pending.Status, pending.PendingReason = client.Pending, "writes"
		b.haveClients(selfService("cl_before", "ak_1", noon.Add(-time.Hour)), selfService("cl_since", "ak_1", noon), pending)
		return b
	}
	statusOf := func(b *trial, id string) client.Status {
		b.t.Helper()
		c, err := b.Client(b.ctx(), id)
		b.ok(err)
		return c.Status
	}
	t.Run("a leak reads back as it was opened, and stops what leaked in the same step", func(t *testing.T) {
		b := setUpLeak(t)
		in := aLeak(leak.KindAPIKey, "ak_1")
		in.Since, in.Where = kept(noon), "https://x.example/"
		r, fresh, err := b.OpenLeak(b.ctx(), leak.Opening{Record: in, Contain: true, Actor: "os:0"}, did("leak.opened"))
		b.ok(err)
		read, err := b.Leak(b.ctx(), in.ID)
		b.ok(err)
		b.same("record", read, r)
		b.same("fresh, status", []any{fresh, r.Status(), r.Disabled, r.Kept, len(r.Timeline)}, []any{true, leak.Contained, []string{"cl_pending", "cl_since"}, []string{"cl_before"}, 2})
		k, err := b.APIKey(b.ctx(), "ak_1")
		b.ok(err)
		b.same("stage", k.Stage, apikey.Blocked)
		b.same("clients", []client.Status{statusOf(b, "cl_before"), statusOf(b, "cl_since")}, []client.Status{client.Active, client.Disabled})
		b.same("revoked", b.revoked(), []string{"apikey:ak_1", "client:cl_pending", "client:cl_since"})
	})
	t.Run("of 20 reports that arrive together one opens it, and all count", func(t *testing.T) {
		b := setUpLeak(t)
		var opened atomic.Int32
		before := len(b.entries())
		together(20, func(int) {
			_, fresh, err := b.OpenLeak(b.ctx(), leak.Opening{Record: aLeak(leak.KindAPIKey, "ak_1"), Contain: true, Quiet: true}, did("leak.opened"))
			if err != nil {
				t.Error(err)
			}
			if fresh {
				opened.Add(1)
			}
		})
		all, _, err := b.Leaks(b.ctx(), leak.Filter{OpenOnly: true})
		b.ok(err)
		b.same("opened, records, reports", []int{int(opened.Load()), len(all), all[0].Reports}, []int{1, 1, 20})
		if n := len(b.entries()) - before; n != 1 {
			t.Errorf("%d audit entries: strangers who say it again leave one each", n)
		}
	})
	t.Run("restoring takes back what containing changed, and nothing else", func(t *testing.T) {
		b := setUpLeak(t)
		_, err := b.UpdateAPIKeys(b.ctx(), []string{"ak_1"}, func(k *apikey.Key) error { k.Stage = apikey.Warn; return nil }, did("x"))
		b.ok(err)
		r, _, err := b.OpenLeak(b.ctx(), leak.Opening{Record: aLeak(leak.KindAPIKey, "ak_1"), Contain: true}, did("x"))
		b.ok(err)
		_, _, err = b.OpenLeak(b.ctx(), leak.Opening{Record: aLeak(leak.KindAPIKey, "ak_1"), Contain: true}, did("x"))
		b.ok(err)
		_, err = b.UpdateClient(b.ctx(), "cl_before", func(c *client.Client) error { c.Name = "mine"; return nil }, did("x"))
		b.ok(err)
		r, err = b.CloseLeak(b.ctx(), r.ID, "os:0", "a mistake", true, did("x"))
		b.ok(err)
		k, err := b.APIKey(b.ctx(), "ak_1")
		b.ok(err)
		b.same("apikey", []any{k.Stage, k.Revoked.IsZero()}, []any{apikey.Warn, true})
		b.same("clients", []client.Status{statusOf(b, "cl_before"), statusOf(b, "cl_since"), statusOf(b, "cl_pending")}, []client.Status{client.Active, client.Active, client.Pending})
		b.same("record", []any{r.Status(), r.ClosedAt.IsZero()}, []any{leak.Closed, false})
		_, err = b.CloseLeak(b.ctx(), r.ID, "os:0", "again", true, did("x"))
		b.is(err, leak.ErrClosed)
	})
	t.Run("what was moved on meanwhile stays as it is", func(t *testing.T) {
		b := setUpLeak(t)
		r, _, err := b.OpenLeak(b.ctx(), leak.Opening{Record: aLeak(leak.KindAPIKey, "ak_1"), Contain: true}, did("x"))
		b.ok(err)
		_, err = b.UpdateAPIKeys(b.ctx(), []string{"ak_1"}, func(k *apikey.Key) error { k.Stage = apikey.Retired; return nil }, did("x"))
		b.ok(err)
		b.ok(b.DeleteClient(b.ctx(), "cl_since", did("x")))
		_, err = b.CloseLeak(b.ctx(), r.ID, "os:0", "a mistake", true, did("x"))
		b.ok(err)
		k, err := b.APIKey(b.ctx(), "ak_1")
		b.ok(err)
		b.same("stage", k.Stage, apikey.Retired)
	})
	t.Run("a closed leak makes room for the next", func(t *testing.T) {
		b := setUpLeak(t)
		for range 2 {
			r, fresh, err := b.OpenLeak(b.ctx(), leak.Opening{Record: aLeak(leak.KindClient, "cl_since"), Contain: true}, did("x"))
			b.ok(err)
			if !fresh {
				t.Error("the closed one was opened again")
			}
			_, err = b.CloseLeak(b.ctx(), r.ID, "os:0", "done", false, did("x"))
			b.ok(err)
		}
		b.same("the client stays disabled", statusOf(b, "cl_since"), client.Disabled)
	})
	t.Run("tokens that leaked are refused, one record for those of a client", func(t *testing.T) {
		b := setUpLeak(t)
		for _, jti := range []string{"jti-1", "jti-2"} {
			l := aLeak(leak.KindToken, "cl_since")
			l.Subject.Part = jti
			_, _, err := b.OpenLeak(b.ctx(), leak.Opening{Record: l, Contain: true, Quiet: true}, did("x"))
			b.ok(err)
		}
		all, _, err := b.Leaks(b.ctx(), leak.Filter{})
		b.ok(err)
		b.same("records", len(all), 1)
		b.same("revoked", b.revoked(), []string{"token:jti-1", "token:jti-2"})
		b.same("client", statusOf(b, "cl_since"), client.Active)
	})
	t.Run("the list has pages, the newest first", func(t *testing.T) {
		b := setUp(t, open)
		for i := range 5 {
			b.haveAPIKeys(fmt.Sprint("ak_", i))
			_, _, err := b.OpenLeak(b.ctx(), leak.Opening{Record: aLeak(leak.KindAPIKey, fmt.Sprint("ak_", i))}, did("x"))
			b.ok(err)
		}
		var ids []string
		for f := (leak.Filter{Limit: 2}); ; {
			page, next, err := b.Leaks(b.ctx(), f)
			b.ok(err)
			for _, r := range page {
				ids = append(ids, r.Subject.ID)
			}
			if f.Before = next; next == "" {
				break
			}
		}
		b.same("ids", ids, []string{"ak_4", "ak_3", "ak_2", "ak_1", "ak_0"})
	})
	t.Run("a secret is found by its hash while it lives, and other hashes are not", func(t *testing.T) {
		b := setUp(t, open)
		b.haveClients(aClient("cl_1"), plainClient("cl_2"))
		id, credential, err := b.ClientWithSecret(b.ctx(), secret.HashOf("a secret"), noon)
		b.ok(err)
		b.same("found", []string{id, credential}, []string{"cl_1", "cr_3"})
		_, _, err = b.ClientWithSecret(b.ctx(), secret.HashOf("a secret"), noon.Add(2*time.Hour))
		b.is(err, client.ErrNotFound)
		_, _, err = b.ClientWithSecret(b.ctx(), secret.HashOf("no secret"), noon)
		b.is(err, client.ErrNotFound)
	})
	t.Run("a leak of what is not there is not put on record", func(t *testing.T) {
		b := setUp(t, open)
		before := b.everything()
		_, _, err := b.OpenLeak(b.ctx(), leak.Opening{Record: aLeak(leak.KindAPIKey, "ak_9"), Contain: true}, did("x"))
		b.is(err, apikey.ErrNotFound)
		b.same("afterwards", b.everything(), before)
		_, err = b.Leak(b.ctx(), "lk_9")
		b.is(err, leak.ErrNotFound)
	})
}
