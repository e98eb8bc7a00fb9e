package storetest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/offkey/offkey/internal/apikey"
	"github.com/offkey/offkey/internal/secret"
	"github.com/offkey/offkey/internal/traffic"
)

// aHashedKey is an apikey of which only a hash was imported.
func aHashedKey(id, of string) *apikey.Key {
	sum := secret.HashOf(of)
	h := &apikey.Hashed{Scheme: "sha256", Sum: sum[:], Prefix: "live_"}
	return &apikey.Key{
		ID: id, Fingerprint: h.Mark(), Hash: h, Owner: "acme", Scopes: "create:orders read:orders", Expires: noon.Add(time.Hour), Source: "crm",
		KnownBy: apikey.KnownByImport, Created: noon,
	}
}

func testHashes(t *testing.T, open Open) {
	t.Run("a hash and what was imported with it read back", func(t *testing.T) {
		b := setUp(t, open)
		full := aHashedKey("ak_1", "one")
		_, err := b.ImportAPIKeys(b.ctx(), []*apikey.Key{full}, did("x"))
		b.ok(err)
		b.reopen()
		k, err := b.APIKey(b.ctx(), "ak_1")
		b.ok(err)
		b.same("apikey", shownKeys(k), shownKeys(full))
		b.same("hash", k.Hash, full.Hash)
		if same, err := b.ImportedAPIKey(b.ctx(), aHashedKey("", "one")); err != nil || same.ID != "ak_1" {
			t.Errorf("%+v, %v", same, err)
		}
		_, err = b.ImportedAPIKey(b.ctx(), aHashedKey("", "two"))
		b.is(err, apikey.ErrNotFound)
	})
	t.Run("of those who recognise it together one does, and the hash finds it from then on", func(t *testing.T) {
		b := setUp(t, open)
		_, err := b.ImportAPIKeys(b.ctx(), []*apikey.Key{aHashedKey("ak_1", "one")}, did("x"))
		b.ok(err)
		before := len(b.entries())
		var wg sync.WaitGroup
		for range 64 {
			wg.Go(func() {
				k, err := b.PinAPIKey(b.ctx(), "ak_1", secret.HashOf("fingerprint of one"), "9f3k", "live_", did("apikey.recognised"))
				if err != nil || k.ID != "ak_1" || k.Hash != nil || k.Last4 != "9f3k" {
					t.Errorf("%+v, %v", k, err)
				}
			})
		}
		wg.Wait()
		if n := len(b.entries()) - before; n != 1 {
			t.Errorf("%d entries in the audit", n)
		}
		if k, err := b.APIKeyByFingerprint(b.ctx(), secret.HashOf("fingerprint of one")); err != nil || k.ID != "ak_1" || k.Owner != "acme" {
			t.Errorf("%+v, %v", k, err)
		}
		res, err := b.ImportAPIKeys(b.ctx(), []*apikey.Key{aHashedKey("", "one")}, did("x"))
		b.ok(err)
		b.same("imported again", res, apikey.ImportResult{Unchanged: 1})
	})
	t.Run("one that was learnt before becomes one with it, and keeps its id", func(t *testing.T) {
		b := setUp(t, open)
		b.haveAPIKeys("ak_learnt")
		_, err := b.ImportAPIKeys(b.ctx(), []*apikey.Key{aHashedKey("ak_1", "one")}, did("x"))
		b.ok(err)
		_, err = b.UpdateAPIKeys(b.ctx(), []string{"ak_1"}, func(k *apikey.Key) error { k.Stage = apikey.Retired; return nil }, did("x"))
		b.ok(err)
		k, err := b.PinAPIKey(b.ctx(), "ak_1", secret.HashOf("ak_learnt"), "9f3k", "live_", did("x"))
		b.ok(err)
		if k.ID != "ak_learnt" || k.Owner != "acme" || k.KnownBy != apikey.KnownByImport || k.Stage != apikey.Retired || k.Source != "crm" {
			t.Errorf("%+v", k)
		}
		_, err = b.APIKey(b.ctx(), "ak_1")
		b.is(err, apikey.ErrNotFound)
		if same, err := b.ImportedAPIKey(b.ctx(), aHashedKey("", "one")); err != nil || same.ID != "ak_learnt" {
			t.Errorf("the hash finds %+v, %v", same, err)
		}
	})
	t.Run("a list that has an apikey again resumes it", func(t *testing.T) {
		b := setUp(t, open)
		_, err := b.ImportAPIKeys(b.ctx(), []*apikey.Key{aHashedKey("ak_1", "one")}, did("x"))
		b.ok(err)
		_, err = b.UpdateAPIKeys(b.ctx(), []string{"ak_1"}, func(k *apikey.Key) error { k.Suspended = true; return nil }, did("x"))
		b.ok(err)
		res, err := b.ImportAPIKeys(b.ctx(), []*apikey.Key{aHashedKey("", "one")}, did("x"))
		b.ok(err)
		k, err := b.APIKey(b.ctx(), "ak_1")
		b.ok(err)
		if res.Updated != 1 || k.Suspended {
			t.Errorf("%+v, %+v", res, k)
		}
	})
	t.Run("the secret of an HMAC is kept once", func(t *testing.T) {
		b := setUp(t, open)
		for _, sealed := range []string{"first", "second"} {
			b.ok(b.KeepPepper(b.ctx(), "p1", []byte(sealed), did("x")))
		}
		peppers, err := b.Peppers(b.ctx())
		b.ok(err)
		b.same("peppers", peppers, map[string][]byte{"p1": []byte("first")})
	})
}

func testLists(t *testing.T, open Open) {
	b := setUp(t, open)
	for i, k := range []struct {
		id, owner string
		stage     apikey.Stage
	}{{"ak_a", "acme", apikey.Inherit}, {"ak_b", "", apikey.Warn}, {"ak_c", "globex", apikey.Observe}, {"ak_d", "acme", apikey.Blocked}, {"ak_e", "", apikey.Inherit}} {
		key := plainAPIKey(k.id)
		key.Owner, key.Stage = k.owner, k.stage
		_, err := b.LearnAPIKey(b.ctx(), key, did("x"))
		b.ok(err)
		if k.id == "ak_e" {
			continue // never used
		}
		row := aRow(-i, k.id, "/v1/orders")
		row.Calls = int64(10 * (i%3 + 1))
		if k.id == "ak_c" {
			row.Carrier, row.Status = "query:api_key", 403
		}
		b.ok(b.AddTraffic(b.ctx(), []traffic.Row{row}))
	}
	old := aRow(-24*40, "ak_b", "/v1/orders")
	old.Calls = 1000
	b.ok(b.AddTraffic(b.ctx(), []traffic.Row{old}))
	for _, tt := range []struct {
		name string
		f    apikey.Filter
		want string
	}{
		{"by id", apikey.Filter{}, "abcde"},
		{"without an owner", apikey.Filter{NoOwner: true}, "be"},
		{"of an owner", apikey.Filter{Owner: "acme"}, "ad"},
		{"of stages", apikey.Filter{Stages: []apikey.Stage{apikey.Observe, apikey.Inherit}}, "ace"},
		{"in a kind of place", apikey.Filter{Where: "query"}, "c"},
		{"in a place", apikey.Filter{Where: "header:X-API-Key"}, "abd"},
		{"unused since", apikey.Filter{UnusedSince: noon.Add(-90 * time.Minute)}, "cde"},
		{"by owner", apikey.Filter{Sort: apikey.SortOwner}, "beadc"},
		{"last used first", apikey.Filter{Sort: apikey.SortLastUsed}, "abcde"},
		{"first used first", apikey.Filter{Sort: apikey.SortFirstUsed}, "ebdca"},
		{"most calls first", apikey.Filter{Sort: apikey.SortCalls}, "bcade"},
		{"most calls of those without an owner", apikey.Filter{Sort: apikey.SortCalls, NoOwner: true}, "be"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, limit := range []int{0, 1, 2} {
				var got strings.Builder
				for f := tt.f; ; {
					f.Limit = limit
					page, next, err := b.APIKeys(b.ctx(), f)
					b.ok(err)
					for _, k := range page {
						got.WriteString(strings.TrimPrefix(k.ID, "ak_"))
					}
					if f.After = next; next == "" {
						break
					}
				}
				if got.String() != tt.want {
					t.Errorf("%d at a time: %s, want %s", limit, got.String(), tt.want)
				}
			}
		})
	}
	t.Run("a cursor that is gone", func(t *testing.T) {
		_, _, err := b.APIKeys(b.ctx(), apikey.Filter{Sort: apikey.SortCalls, After: "ak_z"})
		if !errors.Is(err, apikey.ErrNotFound) {
			t.Errorf("error %v", err)
		}
	})
	t.Run("days are the hours, added up", func(t *testing.T) {
		again := aRow(0, "ak_a", "/v1/orders")
		again.Status = 204
		b.ok(b.AddTraffic(b.ctx(), []traffic.Row{again, aRow(0, "ak_a", "/v1/products")}))
		var got []string
		b.ok(b.APIKeyDays(b.ctx(), []string{"ak_z", "ak_a"}, noon.AddDate(0, 0, -30), func(r traffic.Row) {
			got = append(got, fmt.Sprint(r.Credential.ID, " ", r.Method, " ", r.Template, " ", r.OK(), " ", r.UserAgent, " ", r.Source, " ", r.Carrier, " ", r.Calls))
		}))
		slices.Sort(got)
		b.same("rows", got, []string{
			"ak_a GET /v1/orders true curl/8.5 203.0.113.0/24 header:X-API-Key 13", "ak_a GET /v1/products true curl/8.5 203.0.113.0/24 header:X-API-Key 3",
		})
	})
	t.Run("calls leave the sum with their day", func(t *testing.T) {
		calls := func() int64 {
			uses, err := b.APIKeyUses(b.ctx(), []string{"ak_b"})
			b.ok(err)
			return uses["ak_b"].Calls
		}
		if n := calls(); n != 1020 {
			t.Errorf("before: %d", n)
		}
		for range 20 {
			_, err := b.Clean(b.ctx(), noon, 2)
			b.ok(err)
		}
		if n := calls(); n != 20 {
			t.Errorf("after: %d", n)
		}
	})
}
