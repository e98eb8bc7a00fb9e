package storetest

import (
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/offkey/offkey/internal/apikey"
	"github.com/offkey/offkey/internal/client"
	"github.com/offkey/offkey/internal/secret"
)

func testAPIKeys(t *testing.T, open Open) {
	t.Run("an apikey reads back as it was written, by id and by fingerprint", func(t *testing.T) {
		b := setUp(t, open)
		full := anAPIKey("ak_1")
		_, err := b.ImportAPIKeys(b.ctx(), []*apikey.Key{full}, did("x"))
		b.ok(err)
		byID, err := b.APIKey(b.ctx(), "ak_1")
		b.ok(err)
		byFingerprint, err := b.APIKeyByFingerprint(b.ctx(), full.Fingerprint)
		b.ok(err)
		b.same("both", shownKeys(byID, byFingerprint), shownKeys(full, full))
	})
	t.Run("what is not there is not found", func(t *testing.T) {
		b := setUp(t, open)
		b.haveAPIKeys("ak_1")
		_, err := b.APIKey(b.ctx(), "ak_2")
		b.is(err, apikey.ErrNotFound)
		_, err = b.APIKeyByFingerprint(b.ctx(), secret.HashOf("ak_2"))
		b.is(err, apikey.ErrNotFound)
		_, err = b.UpdateAPIKeys(b.ctx(), []string{"ak_1", "ak_2"}, func(k *apikey.Key) error { k.Label = "x"; return nil }, did("x"))
		b.is(err, apikey.ErrNotFound)
		k, err := b.APIKey(b.ctx(), "ak_1")
		b.ok(err)
		b.same("the one that is there is as it was", k.Label, "")
	})
	t.Run("an import is idempotent by fingerprint", func(t *testing.T) {
		b := setUp(t, open)
		one, two := anAPIKey(""), anAPIKey("ak_2")
		one.Fingerprint = secret.HashOf("one")
		keys := []*apikey.Key{one, two, one}
		res, err := b.ImportAPIKeys(b.ctx(), keys, did("x"))
		b.ok(err)
		b.same("first", res, apikey.ImportResult{Added: 2, Unchanged: 1})
		before := b.everything()
		res, err = b.ImportAPIKeys(b.ctx(), keys, did("x"))
		b.ok(err)
		b.same("second", res, apikey.ImportResult{Unchanged: 3})
		b.same("nothing has changed", b.everything(), before)
	})
	t.Run("an import completes what is known and keeps what was decided", func(t *testing.T) {
		b := setUp(t, open)
		learnt := plainAPIKey("ak_1")
		learnt.Label, learnt.Owner = "old", "acme"
		_, err := b.LearnAPIKey(b.ctx(), learnt, did("x"))
		b.ok(err)
		_, err = b.UpdateAPIKeys(b.ctx(), []string{"ak_1"}, func(k *apikey.Key) error {
			k.Stage, k.ClientID, k.Suspended = apikey.Warn, "cl_1", true
			return nil
		}, did("x"))
		b.ok(err)
		in := &apikey.Key{ID: "ak_other", Fingerprint: learnt.Fingerprint, Label: "new", Contact: "ops@acme.example", Stage: apikey.Retired}
		res, err := b.ImportAPIKeys(b.ctx(), []*apikey.Key{in}, did("x"))
		b.ok(err)
		b.same("result", res, apikey.ImportResult{Updated: 1})
		want := plainAPIKey("ak_1")
		want.Label, want.Owner, want.Contact = "new", "acme", "ops@acme.example"
		want.KnownBy, want.Stage, want.ClientID = apikey.KnownByImport, apikey.Warn, "cl_1"
		got, err := b.APIKey(b.ctx(), "ak_1")
		b.ok(err)
		b.same("apikey", shownKeys(got), shownKeys(want))
	})
	t.Run("an import is all or nothing", func(t *testing.T) {
		b := setUp(t, open)
		_, err := b.ImportAPIKeys(b.ctx(), []*apikey.Key{plainAPIKey("ak_1"), {ID: "ak_2"}}, did("x"))
		if err == nil {
			t.Fatal("an apikey without fingerprint was taken")
		}
		if _, err := b.APIKey(b.ctx(), "ak_1"); err == nil {
			t.Error("the one before it was kept")
		}
	})
	t.Run("of 20 that learn one apikey together all get the same", func(t *testing.T) {
		b := setUp(t, open)
		ids := make([]string, 20)
		together(len(ids), func(i int) {
			k := plainAPIKey(fmt.Sprintf("ak_%d", i))
			k.Fingerprint = secret.HashOf("the one")
			known, err := b.LearnAPIKey(b.ctx(), k, did("apikey.learnt"))
			if err != nil {
				t.Error(err)
				return
			}
			ids[i] = known.ID
		})
		if slices.Sort(ids); ids[0] == "" || ids[0] != ids[19] {
			t.Errorf("ids are %v", ids)
		}
		if n := len(b.entries()); n != 1 {
			t.Errorf("%d audit entries", n)
		}
	})
	t.Run("an update changes each of the apikeys once and returns them as they are", func(t *testing.T) {
		b := setUp(t, open)
		b.haveAPIKeys("ak_1", "ak_2", "ak_3")
		updated, err := b.UpdateAPIKeys(b.ctx(), []string{"ak_2", "ak_1", "ak_2"}, func(k *apikey.Key) error {
			k.Label += "x"
			k.StageSince = noon
			return nil
		}, did("x"))
		b.ok(err)
		read, _, err := b.APIKeys(b.ctx(), apikey.Filter{IDs: []string{"ak_2", "ak_1"}})
		b.ok(err)
		b.same("updated", updated, read)
		b.same("labels", []string{read[0].Label, read[1].Label}, []string{"x", "x"})
		if _, err := b.UpdateAPIKeys(b.ctx(), []string{"ak_1"}, func(k *apikey.Key) error { k.Fingerprint = secret.HashOf("y"); return nil }, did("x")); err == nil {
			t.Error("a fingerprint was changed")
		}
		entries := len(b.entries())
		none, err := b.UpdateAPIKeys(b.ctx(), nil, func(*apikey.Key) error { return nil }, did("x"))
		if b.ok(err); len(none) != 0 || len(b.entries()) != entries {
			t.Error("an update of none did something")
		}
	})
	t.Run("the end of an apikey is the end of what it was exchanged for", func(t *testing.T) {
		b := setUp(t, open)
		b.haveAPIKeys("ak_1", "ak_2", "ak_3")
		for id, stage := range map[string]apikey.Stage{"ak_1": apikey.UpgradeOnly, "ak_2": apikey.Retired, "ak_3": apikey.Blocked} {
			_, err := b.UpdateAPIKeys(b.ctx(), []string{id}, func(k *apikey.Key) error { k.Stage = stage; return nil }, did("x"))
			b.ok(err)
		}
		b.same("revoked", b.revoked(), []string{"apikey:ak_2", "apikey:ak_3"})
	})
	t.Run("lists come in order, by page and filtered", func(t *testing.T) {
		b := setUp(t, open)
		var all []string
		for i, id := range []string{"ak_e", "ak_a", "ak_c", "ak_B", "ak_d"} {
			k := plainAPIKey(id)
			if i%2 == 0 {
				k.Owner = "acme"
			}
			if i < 2 {
				k.Stage = apikey.Warn
			}
			_, err := b.LearnAPIKey(b.ctx(), k, did("x"))
			b.ok(err)
			all = append(all, id)
		}
		slices.Sort(all)
		list := func(f apikey.Filter) (pages [][]string) {
			t.Helper()
			for {
				page, next, err := b.APIKeys(b.ctx(), f)
				b.ok(err)
				ids := []string{}
				for _, k := range page {
					ids = append(ids, k.ID)
				}
				pages = append(pages, ids)
				if f.After = next; next == "" {
					return pages
				}
			}
		}
		b.same("all", list(apikey.Filter{}), [][]string{all})
		b.same("by two", list(apikey.Filter{Limit: 2}), [][]string{all[:2], all[2:4], all[4:]})
		b.same("of an owner", list(apikey.Filter{Owner: "acme", Limit: 2}), [][]string{{"ak_c", "ak_d"}, {"ak_e"}})
		b.same("of a stage", list(apikey.Filter{Stages: []apikey.Stage{apikey.Warn}}), [][]string{{"ak_a", "ak_e"}})
		b.same("without a stage of their own", list(apikey.Filter{Stages: []apikey.Stage{apikey.Inherit}}), [][]string{{"ak_B", "ak_c", "ak_d"}})
		b.same("by id", list(apikey.Filter{IDs: []string{"ak_d", "ak_none", "ak_a"}}), [][]string{{"ak_d", "ak_a"}})
		b.same("by id and owner", list(apikey.Filter{IDs: []string{"ak_d", "ak_a"}, Owner: "acme"}), [][]string{{"ak_d"}})
		b.same("by no id", list(apikey.Filter{IDs: []string{}}), [][]string{{}})
	})
}

// selfService is a client that was registered with an apikey at a time.
func selfService(id, apikeyID string, created time.Time) *client.Client {
	c := plainClient(id)
	c.Source, c.APIKeyID, c.Created = client.SourceUpgrade, apikeyID, created
	return c
}

func testLeaks(t *testing.T, open Open) {
	setUpLeak := func(t *testing.T) *trial {
		b := setUp(t, open)
		b.haveAPIKeys("ak_1", "ak_2")
		operators := plainClient("cl_operators")
		operators.APIKeyID = "ak_1"
		b.haveClients(selfService("cl_before", "ak_1", noon.Add(-time.Second)), selfService("cl_at", "ak_1", noon), selfService("cl_after", "ak_1", noon.Add(time.Hour)),
			selfService("cl_others", "ak_2", noon.Add(time.Hour)), operators)
		return b
	}
	status := func(b *trial) map[string]client.Status {
		b.t.Helper()
		all, _, err := b.Clients(b.ctx(), client.Filter{})
		b.ok(err)
		got := map[string]client.Status{}
		for _, c := range all {
			got[c.ID] = c.Status
		}
		return got
	}
	t.Run("a leak stops the apikey, what was made with it since, and their tokens", func(t *testing.T) {
		b := setUpLeak(t)
		stopped, err := b.ContainAPIKey(b.ctx(), "ak_1", kept(noon), did("apikey.contained"))
		b.ok(err)
		b.same("stopped", stopped, apikey.Contained{Clients: []string{"cl_after", "cl_at"}, Kept: []string{"cl_before"}})
		b.same("clients", status(b), map[string]client.Status{
			"cl_before": client.Active, "cl_at": client.Disabled, "cl_after": client.Disabled, "cl_others": client.Active, "cl_operators": client.Active,
		})
		k, err := b.APIKey(b.ctx(), "ak_1")
		b.ok(err)
		if k.Stage != apikey.Blocked || !k.StageSince.Equal(kept(noon)) || !k.Revoked.Equal(kept(noon)) {
			t.Errorf("apikey is %+v", k)
		}
		b.same("revoked", b.revoked(), []string{"apikey:ak_1", "client:cl_after", "client:cl_at"})
	})
	t.Run("contained again, further back, it stops what was left", func(t *testing.T) {
		b := setUpLeak(t)
		_, err := b.ContainAPIKey(b.ctx(), "ak_1", kept(noon), did("x"))
		b.ok(err)
		b.clock.move(time.Hour)
		stopped, err := b.ContainAPIKey(b.ctx(), "ak_1", noon.Add(-time.Hour), did("x"))
		b.ok(err)
		b.same("stopped", stopped, apikey.Contained{Clients: []string{"cl_before"}})
		k, err := b.APIKey(b.ctx(), "ak_1")
		b.ok(err)
		if !k.StageSince.Equal(kept(noon)) {
			t.Errorf("blocked since %v", k.StageSince)
		}
	})
	t.Run("an apikey that is not there stops nothing", func(t *testing.T) {
		b := setUpLeak(t)
		before := b.everything()
		_, err := b.ContainAPIKey(b.ctx(), "ak_3", noon, did("x"))
		b.is(err, apikey.ErrNotFound)
		b.same("afterwards", b.everything(), before)
	})
	t.Run("no client slips through a registration that arrives together with it", func(t *testing.T) {
		b := setUp(t, open)
		for round := range 10 {
			id := fmt.Sprint("ak_", round)
			b.haveAPIKeys(id)
			together(10, func(i int) {
				if i == 5 {
					if _, err := b.ContainAPIKey(b.ctx(), id, noon.Add(-time.Hour), did("x")); err != nil {
						t.Error(err)
					}
					return
				}
				_ = b.RegisterUpgrade(b.ctx(), id, selfService(fmt.Sprint("cl_", round, "_", i), "", noon), true, func(_ []*client.Client, k *apikey.Key) error {
					if !k.Stage.OpensUpgrade() && k.Stage != apikey.Inherit {
						return fmt.Errorf("apikey is %s", k.Stage)
					}
					return nil
				}, did("x"))
			})
		}
		for id, s := range status(b) {
			if s != client.Disabled {
				t.Errorf("%s is %s", id, s)
			}
		}
	})
}

func testSealed(t *testing.T, open Open) {
	t.Run("a sealed apikey is its client's and its upstream's", func(t *testing.T) {
		b := setUp(t, open)
		b.haveAPIKeys("ak_1", "ak_2")
		b.haveClients(plainClient("cl_1"), plainClient("cl_2"))
		b.ok(b.SealAPIKey(b.ctx(), "ak_1", "cl_1", "api", []byte{0, 1}, did("x")))
		b.ok(b.SealAPIKey(b.ctx(), "ak_1", "cl_1", "other", []byte{2}, did("x")))
		b.ok(b.SealAPIKey(b.ctx(), "ak_2", "cl_2", "api", []byte{3}, did("x")))
		b.ok(b.SealAPIKey(b.ctx(), "ak_2", "cl_1", "other", []byte{4}, did("x"))) // replaces
		for _, tt := range []struct {
			client, upstream string
			sealed           byte
			id               string
		}{{"cl_1", "api", 1, "ak_1"}, {"cl_1", "other", 4, "ak_2"}, {"cl_2", "api", 3, "ak_2"}} {
			sealed, id, err := b.SealedAPIKey(b.ctx(), tt.client, tt.upstream)
			b.ok(err)
			if sealed[len(sealed)-1] != tt.sealed || id != tt.id {
				t.Errorf("%s for %s: %v of %s", tt.client, tt.upstream, sealed, id)
			}
		}
		_, _, err := b.SealedAPIKey(b.ctx(), "cl_2", "other")
		b.is(err, apikey.ErrNotFound)
		copies, err := b.SealedAPIKeys(b.ctx())
		b.ok(err)
		b.same("copies", copies, map[string]int{"ak_1": 1, "ak_2": 2})
	})
	t.Run("nothing is sealed for who is not there", func(t *testing.T) {
		b := setUp(t, open)
		b.haveAPIKeys("ak_1")
		b.haveClients(plainClient("cl_1"))
		b.is(b.SealAPIKey(b.ctx(), "ak_2", "cl_1", "api", []byte{1}, did("x")), apikey.ErrNotFound)
		b.is(b.SealAPIKey(b.ctx(), "ak_1", "cl_2", "api", []byte{1}, did("x")), client.ErrNotFound)
	})
}

func testUpgrade(t *testing.T, open Open) {
	anyway := func([]*client.Client, *apikey.Key) error { return nil }
	t.Run("of 20 registrations that arrive together one is the first, and the others see it", func(t *testing.T) {
		b := setUp(t, open)
		b.haveAPIKeys("ak_1")
		var first atomic.Int32
		seen := make([]int, 20)
		together(20, func(i int) {
			c := plainClient(fmt.Sprintf("cl_%02d", i))
			c.Source = client.SourceUpgrade
			err := b.RegisterUpgrade(b.ctx(), "ak_1", c, true, func(existing []*client.Client, _ *apikey.Key) error {
				seen[i] = len(existing)
				if len(existing) > 0 {
					c.Status = client.Pending
				}
				return nil
			}, did("x"))
			if err != nil {
				t.Error(err)
			}
			if c.Status == client.Active {
				first.Add(1)
			}
		})
		slices.Sort(seen)
		for i, n := range seen {
			if n != i {
				t.Fatalf("the registrations saw %v others", seen)
			}
		}
		active, _, err := b.Clients(b.ctx(), client.Filter{Status: client.Active})
		b.ok(err)
		if first.Load() != 1 || len(active) != 1 {
			t.Fatalf("%d were first, %d are active", first.Load(), len(active))
		}
		k, err := b.APIKey(b.ctx(), "ak_1")
		b.ok(err)
		b.same("mapped to", k.ClientID, active[0].ID)
	})
	t.Run("decide sees the apikey and its clients as they are, and nobody else's", func(t *testing.T) {
		b := setUp(t, open)
		b.haveAPIKeys("ak_1", "ak_2")
		mine := selfService("cl_1", "ak_1", noon)
		operators := plainClient("cl_2")
		operators.APIKeyID = "ak_1"
		b.haveClients(mine, operators, selfService("cl_3", "ak_2", noon), plainClient("cl_4"))
		b.ok(b.RegisterUpgrade(b.ctx(), "ak_1", plainClient("cl_5"), true, func(existing []*client.Client, k *apikey.Key) error {
			b.same("existing", shown(existing...), shown(mine))
			b.same("apikey", shownKeys(k), shownKeys(plainAPIKey("ak_1")))
			k.ClientID, existing[0].Name = "cl_x", "x" // goes nowhere
			return nil
		}, did("x")))
		k, err := b.APIKey(b.ctx(), "ak_1")
		b.ok(err)
		b.same("mapped to", k.ClientID, "cl_5")
		got, err := b.Client(b.ctx(), "cl_1")
		b.ok(err)
		b.same("untouched", shown(got), shown(mine))
	})
	t.Run("what decide changes in the client is what is kept", func(t *testing.T) {
		b := setUp(t, open)
		b.haveAPIKeys("ak_1")
		c := selfService("cl_1", "", noon)
		b.ok(b.RegisterUpgrade(b.ctx(), "ak_1", c, true, func([]*client.Client, *apikey.Key) error {
			c.Status, c.Scopes = client.Pending, []string{"read:orders"}
			return nil
		}, did("x")))
		got, err := b.Client(b.ctx(), "cl_1")
		b.ok(err)
		b.same("client", shown(got), shown(c))
		b.same("apikey id", got.APIKeyID, "ak_1")
		b.same("status", got.Status, client.Pending)
		k, err := b.APIKey(b.ctx(), "ak_1")
		b.ok(err)
		b.same("a client that waits is not mapped to", k.ClientID, "")
	})
	t.Run("a mapping that is there stays, and without mapKey none is made", func(t *testing.T) {
		b := setUp(t, open)
		b.haveAPIKeys("ak_1", "ak_2")
		b.ok(b.RegisterUpgrade(b.ctx(), "ak_1", plainClient("cl_1"), true, anyway, did("x")))
		b.ok(b.RegisterUpgrade(b.ctx(), "ak_1", plainClient("cl_2"), true, anyway, did("x")))
		b.ok(b.RegisterUpgrade(b.ctx(), "ak_2", plainClient("cl_3"), false, anyway, did("x")))
		for id, want := range map[string]string{"ak_1": "cl_1", "ak_2": ""} {
			k, err := b.APIKey(b.ctx(), id)
			b.ok(err)
			b.same(id, k.ClientID, want)
		}
	})
	t.Run("an apikey that is not there and an id that is taken register nothing", func(t *testing.T) {
		b := setUp(t, open)
		b.haveAPIKeys("ak_1")
		b.haveClients(plainClient("cl_1"))
		before := b.everything()
		b.is(b.RegisterUpgrade(b.ctx(), "ak_2", plainClient("cl_2"), true, anyway, did("x")), apikey.ErrNotFound)
		b.is(b.RegisterUpgrade(b.ctx(), "ak_1", plainClient("cl_1"), true, anyway, did("x")), client.ErrExists)
		b.same("afterwards", b.everything(), before)
	})
}
