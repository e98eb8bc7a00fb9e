package storetest

import (
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/offkey/offkey/internal/audit"
	"github.com/offkey/offkey/internal/jose"
	"github.com/offkey/offkey/internal/keyring"
	"github.com/offkey/offkey/internal/store"
	"github.com/offkey/offkey/internal/token"
)

// spend spends a jti that must work, and reports whether it was fresh.
func (b *trial) spend(clientID, jti string, expires time.Time) bool {
	b.t.Helper()
	fresh, err := b.SpendAssertion(b.ctx(), clientID, jti, expires)
	b.ok(err)
	return fresh
}

func testAssertions(t *testing.T, open Open) {
	soon := noon.Add(time.Minute)
	t.Run("checklist_146 the jti of a proof is fresh once, by its key, and no assertion's", func(t *testing.T) {
		b := setUp(t, open)
		spend := func(jkt, jti string) bool {
			fresh, err := b.SpendProof(b.ctx(), jkt, jti, soon)
			b.ok(err)
			return fresh
		}
		if !spend("k1", "a") || spend("k1", "a") || !spend("k2", "a") || !spend("k", "1a") || !b.spend("k1", "a", soon) {
			t.Error("the same key and jti are spent once, and nothing else is taken for them")
		}
		b.reopen()
		if spend("k1", "a") {
			t.Error("fresh again after the store was opened")
		}
	})
	t.Run("checklist_146 of 64 proofs with one jti that arrive together one is fresh", func(t *testing.T) {
		b := setUp(t, open)
		var fresh atomic.Int32
		together(64, func(int) {
			ok, err := b.SpendProof(b.ctx(), "k1", "a", soon)
			if err != nil {
				t.Error(err)
			}
			if ok {
				fresh.Add(1)
			}
		})
		if fresh.Load() != 1 {
			t.Errorf("%d were fresh", fresh.Load())
		}
	})
	t.Run("a jti is fresh once", func(t *testing.T) {
		b := setUp(t, open)
		if !b.spend("cl_1", "a", soon) || b.spend("cl_1", "a", soon) || b.spend("cl_1", "a", soon.Add(time.Hour)) {
			t.Error("the first is fresh, the second and the one that expires later are not")
		}
	})
	t.Run("a jti is its client's", func(t *testing.T) {
		b := setUp(t, open)
		for _, pair := range [][2]string{{"cl_1", "a"}, {"cl_2", "a"}, {"cl_1", "b"}, {"cl_", "1a"}, {"cl_1a", ""}, {"", "cl_1a"}, {"cl_1", "A"}} {
			if !b.spend(pair[0], pair[1], soon) {
				t.Errorf("%q was taken for another", pair)
			}
		}
	})
	t.Run("of 50 that arrive together one is fresh", func(t *testing.T) {
		b := setUp(t, open)
		for round := range 20 {
			var fresh atomic.Int32
			together(50, func(i int) {
				ok, err := b.SpendAssertion(b.ctx(), "cl_1", fmt.Sprint("jti ", round), soon.Add(time.Duration(i)*time.Minute))
				if err != nil {
					t.Error(err)
				}
				if ok {
					fresh.Add(1)
				}
			})
			if fresh.Load() != 1 {
				t.Fatalf("%d were fresh", fresh.Load())
			}
		}
	})
	t.Run("many that arrive together are all fresh", func(t *testing.T) {
		b := setUp(t, open)
		together(50, func(i int) {
			for n := range 20 {
				if fresh, err := b.SpendAssertion(b.ctx(), "cl_1", fmt.Sprint(i, "/", n), soon.Add(time.Duration(n)*time.Minute)); err != nil || !fresh {
					t.Errorf("fresh %v, error %v", fresh, err)
				}
			}
		})
	})
	t.Run("spent stays spent after the store was closed and opened", func(t *testing.T) {
		b := setUp(t, open)
		for i := range 100 {
			b.spend("cl_1", fmt.Sprint(i), soon.Add(time.Duration(i)*time.Minute))
		}
		b.reopen()
		for i := range 100 {
			if b.spend("cl_1", fmt.Sprint(i), soon) {
				t.Fatalf("%d is fresh again", i)
			}
		}
	})
	t.Run("one that fails beside it leaves a jti as it was", func(t *testing.T) {
		b := setUp(t, open)
		together(40, func(i int) {
			if i%2 == 0 {
				unwritable := audit.Event{Actor: "os:0", Action: "x", Detail: func() {}}
				if err := b.CreateClient(b.ctx(), plainClient(fmt.Sprint("cl_", i)), unwritable); err == nil {
					t.Error("no error")
				}
				return
			}
			if fresh, err := b.SpendAssertion(b.ctx(), "cl_1", fmt.Sprint(i), soon); err != nil || !fresh {
				t.Errorf("fresh %v, error %v", fresh, err)
			}
		})
		for i := 1; i < 40; i += 2 {
			if b.spend("cl_1", fmt.Sprint(i), soon) {
				t.Errorf("%d is fresh again", i)
			}
		}
	})
	t.Run("cleaning keeps what can come again and forgets what cannot", func(t *testing.T) {
		b := setUp(t, open)
		for i := range 10 {
			b.spend("cl_1", fmt.Sprint("short", i), soon)
			b.spend("cl_1", fmt.Sprint("long", i), soon.Add(time.Hour))
		}
		if n, err := b.Clean(b.ctx(), soon, 1000); err != nil || n != 0 {
			t.Fatalf("cleaned %d at the last moment, error %v", n, err)
		}
		if b.spend("cl_1", "short3", soon) {
			t.Error("forgotten before it expired")
		}
		if n, err := b.Clean(b.ctx(), soon.Add(5*time.Minute), 1000); err != nil || n != 10 {
			t.Fatalf("cleaned %d of 10, error %v", n, err)
		}
		for i := range 10 {
			if b.spend("cl_1", fmt.Sprint("long", i), soon) {
				t.Error("forgotten with the others")
			}
		}
		b.reopen()
		if b.spend("cl_1", "long3", soon) {
			t.Error("forgotten with the others, once opened again")
		}
		if !b.spend("cl_1", "short3", soon.Add(time.Hour)) {
			t.Error("still there")
		}
	})
}

func testRevocations(t *testing.T, open Open) {
	list := func(b *trial, now time.Time) []token.Revocation {
		b.t.Helper()
		list, err := b.Revocations(b.ctx(), now)
		b.ok(err)
		return list
	}
	t.Run("a revocation reads back until it expires", func(t *testing.T) {
		b := setUp(t, open)
		one := token.Revocation{Kind: token.RevokeToken, ID: "jti", Expires: noon.Add(time.Hour)}
		all := token.Revocation{Kind: token.RevokeClient, ID: "cl_1", Before: noon, Expires: noon.Add(2 * time.Hour)}
		b.ok(b.Revoke(b.ctx(), one, did("x")))
		b.ok(b.Revoke(b.ctx(), all, did("x")))
		one.Expires, all.Before, all.Expires = kept(one.Expires), kept(all.Before), kept(all.Expires)
		b.same("both", list(b, noon), []token.Revocation{all, one})
		b.same("one expired", list(b, noon.Add(time.Hour)), []token.Revocation{all})
	})
	t.Run("a revocation is found by the id of its change", func(t *testing.T) {
		b := setUp(t, open)
		var names []string
		b.Subscribe(func(changes []store.Change) {
			for _, c := range changes {
				names = append(names, c.ID)
			}
		})
		b.ok(b.Revoke(b.ctx(), token.Revocation{Kind: token.RevokeToken, ID: "a:b", Expires: noon.Add(time.Hour)}, did("x")))
		b.ok(b.Revoke(b.ctx(), token.Revocation{Kind: token.RevokeClient, ID: "cl_1", Before: noon, Expires: noon.Add(time.Hour)}, did("x")))
		found, err := b.RevocationsNamed(b.ctx(), append(names[:1:1], "client:cl_2"))
		b.ok(err)
		b.same("the first alone", found, []token.Revocation{{Kind: token.RevokeToken, ID: "a:b", Expires: kept(noon.Add(time.Hour))}})
	})
	t.Run("revoking again only ever extends", func(t *testing.T) {
		b := setUp(t, open)
		for _, d := range []time.Duration{2, 3, 1} {
			b.ok(b.Revoke(b.ctx(), token.Revocation{Kind: token.RevokeClient, ID: "cl_1", Before: noon.Add(d * time.Hour), Expires: noon.Add(d * 10 * time.Hour)}, did("x")))
		}
		b.same("revocation", list(b, noon),
			[]token.Revocation{{Kind: token.RevokeClient, ID: "cl_1", Before: kept(noon.Add(3 * time.Hour)), Expires: kept(noon.Add(30 * time.Hour))}})
	})
	t.Run("without an end it lasts as long as a token can", func(t *testing.T) {
		b := setUp(t, open)
		b.ok(b.Revoke(b.ctx(), token.Revocation{Kind: token.RevokeAPIKey, ID: "ak_1", Before: noon}, did("x")))
		if l := list(b, noon.Add(time.Hour)); len(l) != 1 {
			t.Errorf("after an hour %v", l)
		}
	})
	t.Run("one that says nothing is refused", func(t *testing.T) {
		b := setUp(t, open)
		for _, r := range []token.Revocation{{}, {Kind: token.RevokeClient}, {ID: "cl_1"}} {
			if err := b.Revoke(b.ctx(), r, did("x")); err == nil {
				t.Errorf("%+v was taken", r)
			}
		}
	})
	t.Run("cleaning forgets the expired alone", func(t *testing.T) {
		b := setUp(t, open)
		for i := range 10 {
			b.ok(b.Revoke(b.ctx(), token.Revocation{Kind: token.RevokeToken, ID: fmt.Sprint(i), Expires: noon.Add(time.Duration(i) * time.Hour)}, did("x")))
		}
		if n, err := b.Clean(b.ctx(), noon.Add(5*time.Hour), 1000); err != nil || n != 5 {
			t.Errorf("cleaned %d, error %v", n, err)
		}
		if l := list(b, time.Time{}); len(l) != 5 {
			t.Errorf("%d are left", len(l))
		}
	})
}

func testSigningKeys(t *testing.T, open Open) {
	key := func(id string, from time.Time) keyring.Key {
		return keyring.Key{
			ID: id, Alg: jose.ES256, Sealed: []byte{0, 1, 0xff}, Created: noon, SignFrom: from,
			SignUntil: from.Add(time.Hour), PublishUntil: from.Add(2 * time.Hour),
		}
	}
	times := func(keys ...keyring.Key) []keyring.Key {
		for i, k := range keys {
			keys[i].Created, keys[i].SignFrom, keys[i].SignUntil = kept(k.Created), kept(k.SignFrom), kept(k.SignUntil)
			keys[i].PublishUntil, keys[i].Dropped = kept(k.PublishUntil), kept(k.Dropped)
		}
		return keys
	}
	t.Run("signing keys read back by the time they start", func(t *testing.T) {
		b := setUp(t, open)
		later, first := key("k1", noon.Add(time.Hour)), key("k2", noon)
		b.ok(b.AddSigningKey(b.ctx(), later, did("x")))
		b.ok(b.AddSigningKey(b.ctx(), first, did("x")))
		got, err := b.SigningKeys(b.ctx())
		b.ok(err)
		b.same("keys", got, times(first, later))
	})
	t.Run("one start of an algorithm is one key's, also for nodes that arrive together", func(t *testing.T) {
		b := setUp(t, open)
		var added atomic.Int32
		together(10, func(i int) {
			err := b.AddSigningKey(b.ctx(), key(fmt.Sprint("k", i), noon), did("x"))
			if err == nil {
				added.Add(1)
			} else if !errors.Is(err, keyring.ErrExists) {
				t.Error(err)
			}
		})
		if added.Load() != 1 {
			t.Errorf("%d were added", added.Load())
		}
		other := key("other", noon)
		other.Alg = jose.EdDSA
		b.ok(b.AddSigningKey(b.ctx(), other, did("x")))
		other.SignFrom = noon.Add(time.Hour)
		b.is(b.AddSigningKey(b.ctx(), other, did("x")), keyring.ErrExists)
	})
	t.Run("dropped stays dropped at the first time", func(t *testing.T) {
		b := setUp(t, open)
		b.ok(b.AddSigningKey(b.ctx(), key("k1", noon), did("x")))
		b.is(b.DropSigningKey(b.ctx(), "k2", noon, did("x")), keyring.ErrNotFound)
		b.ok(b.DropSigningKey(b.ctx(), "k1", noon.Add(time.Hour), did("x")))
		b.ok(b.DropSigningKey(b.ctx(), "k1", noon.Add(2*time.Hour), did("x")))
		want := key("k1", noon)
		want.Dropped = noon.Add(time.Hour)
		got, err := b.SigningKeys(b.ctx())
		b.ok(err)
		b.same("keys", got, times(want))
		if n := len(b.entries()); n != 2 {
			t.Errorf("%d audit entries", n)
		}
	})
}
