package storetest

import (
	"slices"
	"testing"
	"time"

	"github.com/offkey/offkey/internal/apikey"
	"github.com/offkey/offkey/internal/client"
	"github.com/offkey/offkey/internal/token"
)

func testClients(t *testing.T, open Open) {
	t.Run("a client reads back as it was written", func(t *testing.T) {
		b := setUp(t, open)
		for _, c := range []*client.Client{aClient("cl_1"), plainClient("cl_2")} {
			b.haveClients(c)
			got, err := b.Client(b.ctx(), c.ID)
			b.ok(err)
			b.same("client", shown(got), shown(c))
		}
	})
	t.Run("an update reads back as it was returned", func(t *testing.T) {
		b := setUp(t, open)
		b.haveClients(plainClient("cl_1"))
		full := aClient("cl_1")
		updated, err := b.UpdateClient(b.ctx(), "cl_1", func(c *client.Client) error { *c = *full; return nil }, did("x"))
		b.ok(err)
		got, err := b.Client(b.ctx(), "cl_1")
		b.ok(err)
		b.same("updated", shown(updated), shown(full))
		b.same("read", shown(got), shown(full))
	})
	t.Run("what is not there is not found, and what is there exists", func(t *testing.T) {
		b := setUp(t, open)
		first := aClient("cl_1")
		b.haveClients(first)
		_, err := b.Client(b.ctx(), "cl_2")
		b.is(err, client.ErrNotFound)
		_, err = b.UpdateClient(b.ctx(), "cl_2", func(*client.Client) error { return nil }, did("x"))
		b.is(err, client.ErrNotFound)
		b.is(b.DeleteClient(b.ctx(), "cl_2", did("x")), client.ErrNotFound)
		b.is(b.CreateClient(b.ctx(), plainClient("cl_1"), did("x")), client.ErrExists)
		got, err := b.Client(b.ctx(), "cl_1")
		b.ok(err)
		b.same("the first stays", shown(got), shown(first))
		if len(b.entries()) != 1 {
			t.Errorf("%d audit entries", len(b.entries()))
		}
	})
	t.Run("of clients with one id that arrive together one is created", func(t *testing.T) {
		b := setUp(t, open)
		errs := make([]error, 20)
		together(len(errs), func(i int) { errs[i] = b.CreateClient(b.ctx(), plainClient("cl_1"), did("x")) })
		created := 0
		for _, err := range errs {
			if err == nil {
				created++
				continue
			}
			b.is(err, client.ErrExists)
		}
		if created != 1 {
			t.Errorf("%d were created", created)
		}
	})
	t.Run("ids do not change, and there is always one", func(t *testing.T) {
		b := setUp(t, open)
		b.haveClients(plainClient("cl_1"))
		if _, err := b.UpdateClient(b.ctx(), "cl_1", func(c *client.Client) error { c.ID = "cl_2"; return nil }, did("x")); err == nil {
			t.Error("an id was changed")
		}
		if err := b.CreateClient(b.ctx(), plainClient(""), did("x")); err == nil {
			t.Error("a client without id was created")
		}
	})
	t.Run("a list that could not be read back is refused", func(t *testing.T) {
		b := setUp(t, open)
		for _, scope := range []string{"read orders", "", "a\tb", "a\nb"} {
			c := plainClient("cl_1")
			c.Scopes = []string{scope}
			if err := b.CreateClient(b.ctx(), c, did("x")); err == nil {
				t.Errorf("scope %q was taken", scope)
			}
		}
	})
	t.Run("disabling revokes what was issued until then, once", func(t *testing.T) {
		b := setUp(t, open)
		b.haveClients(plainClient("cl_1"))
		set := func(s client.Status) {
			t.Helper()
			_, err := b.UpdateClient(b.ctx(), "cl_1", func(c *client.Client) error { c.Status = s; return nil }, did("x"))
			b.ok(err)
		}
		set(client.Active)
		b.same("active", b.revoked(), []string{})
		set(client.Disabled)
		b.same("disabled", b.revoked(), []string{"client:cl_1"})
		b.clock.move(time.Minute)
		set(client.Disabled)
		list, err := b.Revocations(b.ctx(), b.clock.now())
		b.ok(err)
		if !list[0].Before.Equal(kept(noon)) || !list[0].Expires.After(noon.Add(time.Hour)) {
			t.Errorf("revocation is %+v", list[0])
		}
		set(client.Active) // tokens from now on are good again
		b.same("enabled", b.revoked(), []string{"client:cl_1"})
	})
	t.Run("a deleted client leaves nothing that works", func(t *testing.T) {
		b := setUp(t, open)
		b.haveAPIKeys("ak_1")
		b.haveClients(aClient("cl_1"))
		_, err := b.UpdateAPIKeys(b.ctx(), []string{"ak_1"}, func(k *apikey.Key) error { k.ClientID = "cl_1"; return nil }, did("x"))
		b.ok(err)
		b.ok(b.SealAPIKey(b.ctx(), "ak_1", "cl_1", "api", []byte("sealed"), did("x")))
		b.ok(b.DeleteClient(b.ctx(), "cl_1", did("x")))
		_, err = b.Client(b.ctx(), "cl_1")
		b.is(err, client.ErrNotFound)
		_, _, err = b.SealedAPIKey(b.ctx(), "cl_1", "api")
		b.is(err, apikey.ErrNotFound)
		k, err := b.APIKey(b.ctx(), "ak_1")
		b.ok(err)
		b.same("mapped to", k.ClientID, "")
		b.same("revoked", b.revoked(), []string{token.RevokeClient + ":cl_1"})
	})
	t.Run("lists come in order, by page and filtered", func(t *testing.T) {
		b := setUp(t, open)
		var all []string
		for i, id := range []string{"cl_e", "cl_a", "cl_c", "cl_B", "cl_d", "cl_f", "cl_g"} {
			c := plainClient(id)
			if i%2 == 0 {
				c.Owner = "acme"
			}
			if i < 3 {
				c.Status = client.Pending
			}
			b.haveClients(c)
			all = append(all, id)
		}
		slices.Sort(all)
		list := func(f client.Filter) (pages [][]string) {
			t.Helper()
			for {
				page, next, err := b.Clients(b.ctx(), f)
				b.ok(err)
				ids := []string{}
				for _, c := range page {
					ids = append(ids, c.ID)
				}
				pages = append(pages, ids)
				if f.After = next; next == "" {
					return pages
				}
			}
		}
		b.same("all", list(client.Filter{}), [][]string{all})
		b.same("by three", list(client.Filter{Limit: 3}), [][]string{all[:3], all[3:6], all[6:]})
		b.same("exactly one page", list(client.Filter{Limit: 7}), [][]string{all})
		b.same("of an owner", list(client.Filter{Owner: "acme", Limit: 2}), [][]string{{"cl_c", "cl_d"}, {"cl_e", "cl_g"}})
		b.same("pending", list(client.Filter{Status: client.Pending}), [][]string{{"cl_a", "cl_c", "cl_e"}})
		b.same("both", list(client.Filter{Status: client.Pending, Owner: "acme"}), [][]string{{"cl_c", "cl_e"}})
		b.same("none", list(client.Filter{Owner: "nobody"}), [][]string{{}})
	})
	t.Run("use only moves forward, and is no change of a client", func(t *testing.T) {
		b := setUp(t, open)
		b.haveClients(aClient("cl_1"), aClient("cl_2"))
		entries, changes := len(b.entries()), len(b.changes())
		late, early := noon.Add(5*time.Hour), noon.Add(-time.Hour)
		b.ok(b.TouchClients(b.ctx(), map[string]map[string]time.Time{
			"cl_1": {"cr_1": late, "cr_3": early, "cr_gone": early}, "cl_gone": {"cr_1": late}, "cl_2": {"jwks_uri": late},
		}))
		want := aClient("cl_1")
		want.LastUsed, want.Credentials[1].LastUsed = late, late
		got, err := b.Client(b.ctx(), "cl_1")
		b.ok(err)
		b.same("client", shown(got), shown(want))
		second, err := b.Client(b.ctx(), "cl_2")
		b.ok(err)
		b.same("without a credential of its own", second.LastUsed, kept(late))
		if len(b.entries()) != entries || len(b.changes()) != changes {
			t.Error("use was audited or told")
		}
	})
}
