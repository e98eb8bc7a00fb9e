package keyring

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/offkey/offkey/internal/audit"
	"github.com/offkey/offkey/internal/jose"
	"github.com/offkey/offkey/internal/secret"
)

// rows is the store as its interface promises it; changed is called as a
// subscriber is, before the writer has its answer.
type rows struct {
	mu      sync.Mutex
	keys    []Key
	events  []audit.Event
	changed func()
}

func (s *rows) SigningKeys(context.Context) ([]Key, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.keys), nil
}

func (s *rows) AddSigningKey(_ context.Context, k Key, e audit.Event) error {
	s.mu.Lock()
	if slices.ContainsFunc(s.keys, func(o Key) bool { return o.Alg == k.Alg && o.SignFrom.Equal(k.SignFrom) }) {
		s.mu.Unlock()
		return ErrExists
	}
	s.keys, s.events = append(s.keys, k), append(s.events, e)
	s.mu.Unlock()
	s.notify()
	return nil
}

func (s *rows) DropSigningKey(_ context.Context, id string, at time.Time, e audit.Event) error {
	s.mu.Lock()
	i := slices.IndexFunc(s.keys, func(k Key) bool { return k.ID == id })
	if i < 0 {
		s.mu.Unlock()
		return ErrNotFound
	}
	s.keys[i].Dropped = at
	s.events = append(s.events, e)
	s.mu.Unlock()
	s.notify()
	return nil
}

func (s *rows) notify() {
	if s.changed != nil {
		s.changed()
	}
}

type clock struct{ at time.Time }

func (c *clock) now() time.Time { return c.at }

func master(t *testing.T) *secret.MasterKey {
	t.Helper()
	raw, err := secret.GenerateMasterKey()
	if err != nil {
		t.Fatal(err)
	}
	m, err := secret.NewMasterKey(raw)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func newManager(t *testing.T) (*Manager, *rows, *clock) {
	t.Helper()
	c := &clock{time.Date(2027, 1, 15, 10, 20, 30, 0, time.UTC)}
	s := &rows{}
	m := New(s, master(t), Options{RotateEvery: 30 * 24 * time.Hour, PublishAhead: 24 * time.Hour, KeepAfter: 2 * time.Hour}, c.now)
	s.changed = func() {
		if err := m.Load(context.Background()); err != nil {
			t.Error(err)
		}
	}
	return m, s, c
}

func tend(t *testing.T, m *Manager) {
	t.Helper()
	if err := m.Tend(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func signer(t *testing.T, m *Manager, c *clock) string {
	t.Helper()
	k, err := m.Current().Signer(c.at)
	if err != nil {
		t.Fatal(err)
	}
	return k.ID()
}

func published(m *Manager, c *clock) []string {
	var ids []string
	for _, k := range m.Current().Published(c.at).Keys {
		ids = append(ids, k.ID)
	}
	return ids
}

func TestTheFirstKeySignsAtOnce(t *testing.T) {
	m, s, c := newManager(t)
	if _, err := m.Current().Signer(c.at); !errors.Is(err, ErrNoSigner) {
		t.Errorf("an empty ring signs: %v", err)
	}
	tend(t, m)
	tend(t, m)
	if len(s.keys) != 1 {
		t.Fatalf("%d keys were made, want 1", len(s.keys))
	}
	k, err := m.Current().Signer(c.at)
	if err != nil {
		t.Fatal(err)
	}
	if k.Alg() != jose.ES256 || k.ID() != k.Public().Thumbprint() {
		t.Errorf("%s with kid %s, want ES256 with its thumbprint", k.Alg(), k.ID())
	}
	if e := s.events[0]; e.Actor != "system" || e.Action != "signing_key.created" || e.Object != k.ID() {
		t.Errorf("audited as %+v", e)
	}
}

func TestChecklist117(t *testing.T) {
	m, _, c := newManager(t)
	tend(t, m)
	first := signer(t, m, c)
	born := m.Current().newestFrom()

	t.Run("checklist_117 the next key is published a day before it signs", func(t *testing.T) {
		c.at = born.Add(29*24*time.Hour - time.Minute)
		tend(t, m)
		if got := published(m, c); len(got) != 1 {
			t.Fatalf("published too early: %v", got)
		}
		c.at = born.Add(29 * 24 * time.Hour)
		tend(t, m)
		if got := published(m, c); len(got) != 2 {
			t.Fatalf("published are %v, want the next one too", got)
		}
		if signer(t, m, c) != first {
			t.Error("the next key signs before it has been published for a day")
		}
	})
	t.Run("checklist_117 it takes over on time", func(t *testing.T) {
		c.at = born.Add(30 * 24 * time.Hour)
		if signer(t, m, c) == first {
			t.Error("the old key still signs")
		}
	})
	t.Run("checklist_117 the old one stays until its last token is dead", func(t *testing.T) {
		c.at = born.Add(30*24*time.Hour + 2*time.Hour)
		if _, ok := m.Current().Find(first, c.at); !ok {
			t.Error("tokens of its last second are refused")
		}
		c.at = c.at.Add(time.Second)
		if _, ok := m.Current().Find(first, c.at); ok {
			t.Error("found after that")
		}
		if got := published(m, c); slices.Contains(got, first) {
			t.Error("published after that")
		}
		tend(t, m)
		if got := published(m, c); len(got) != 1 || got[0] == first {
			t.Errorf("published after reloading: %v", got)
		}
	})
	t.Run("checklist_117 no private members, alg and use are set, kids differ", func(t *testing.T) {
		c.at = born.Add(30 * 24 * time.Hour)
		raw, err := json.Marshal(m.Current().Published(c.at))
		if err != nil {
			t.Fatal(err)
		}
		var doc struct{ Keys []map[string]any }
		if err := json.Unmarshal(raw, &doc); err != nil {
			t.Fatal(err)
		}
		seen := map[any]bool{}
		for _, k := range doc.Keys {
			if k["d"] != nil || k["alg"] != "ES256" || k["use"] != "sig" || seen[k["kid"]] {
				t.Errorf("published: %v", k)
			}
			seen[k["kid"]] = true
		}
	})
}

func TestAStandstillStillPublishesAhead(t *testing.T) {
	m, _, c := newManager(t)
	tend(t, m)
	first := signer(t, m, c)
	c.at = c.at.Add(400 * 24 * time.Hour)
	tend(t, m)
	if got := signer(t, m, c); got != first {
		t.Error("after a standstill a key that nobody has seen signs at once")
	}
	if got := published(m, c); len(got) != 2 {
		t.Errorf("published: %v, want the next one too", got)
	}
	c.at = c.at.Add(24 * time.Hour)
	if got := signer(t, m, c); got == first {
		t.Error("the next key never takes over")
	}
}

func TestRotateByCommand(t *testing.T) {
	m, s, c := newManager(t)
	tend(t, m)
	first := signer(t, m, c)
	next, err := m.Rotate(t.Context(), false, audit.Event{Actor: "os:1000", Action: "signing_key.rotated"})
	if err != nil {
		t.Fatal(err)
	}
	if got := published(m, c); !slices.Contains(got, next.ID) || signer(t, m, c) != first {
		t.Errorf("after rotating: published %v, signer %s; want the new one published, the old one signing", got, signer(t, m, c))
	}
	now, err := m.Rotate(t.Context(), true, audit.Event{Actor: "os:1000", Action: "signing_key.rotated"})
	if err != nil {
		t.Fatal(err)
	}
	if got := signer(t, m, c); got != now.ID {
		t.Errorf("rotated immediately, and %s signs, want %s", got, now.ID)
	}
	if _, ok := m.Current().Find(first, c.at); !ok {
		t.Error("tokens in the air are refused after a rotation")
	}
	if e := s.events[len(s.events)-1]; e.Actor != "os:1000" || e.Object != now.ID {
		t.Errorf("audited as %+v", e)
	}
}

func TestChecklist119(t *testing.T) {
	drop := func(t *testing.T, m *Manager, id string) {
		t.Helper()
		if err := m.Drop(t.Context(), id, audit.Event{Actor: "os:1000", Action: "signing_key.dropped", Object: id}); err != nil {
			t.Fatal(err)
		}
	}
	t.Run("checklist_119 a dropped key is gone at once and another signs", func(t *testing.T) {
		m, _, c := newManager(t)
		tend(t, m)
		first := signer(t, m, c)
		drop(t, m, first)
		if _, ok := m.Current().Find(first, c.at); ok || slices.Contains(published(m, c), first) {
			t.Error("the dropped key is still believed")
		}
		if got := signer(t, m, c); got == first {
			t.Error("the dropped key still signs")
		}
	})
	t.Run("checklist_119 a key retired long ago does not come back instead", func(t *testing.T) {
		m, _, c := newManager(t)
		tend(t, m)
		first := signer(t, m, c)
		if _, err := m.Rotate(t.Context(), true, audit.Event{Actor: "os:1", Action: "signing_key.rotated"}); err != nil {
			t.Fatal(err)
		}
		c.at = c.at.Add(24 * time.Hour)
		drop(t, m, signer(t, m, c))
		if got := signer(t, m, c); got == first {
			t.Error("the retired key signs again")
		}
		if _, ok := m.Current().Find(first, c.at); ok {
			t.Error("the retired key is believed again")
		}
	})
	t.Run("checklist_119 dropping the next key makes another next key", func(t *testing.T) {
		m, s, c := newManager(t)
		tend(t, m)
		first := signer(t, m, c)
		c.at = m.Current().newestFrom().Add(29 * 24 * time.Hour)
		tend(t, m)
		drop(t, m, s.keys[1].ID)
		if got := signer(t, m, c); got != first {
			t.Error("the key that signs changed")
		}
		tend(t, m)
		if got := published(m, c); len(got) != 2 {
			t.Fatalf("published: %v, want another next key", got)
		}
		c.at = c.at.Add(24*time.Hour + time.Minute)
		if got := signer(t, m, c); got == first {
			t.Error("nothing took over")
		}
	})
	t.Run("checklist_119 an unknown key is an error", func(t *testing.T) {
		m, _, _ := newManager(t)
		if err := m.Drop(t.Context(), "nobody", audit.Event{}); !errors.Is(err, ErrNotFound) {
			t.Errorf("got %v", err)
		}
	})
}

func TestChecklist118(t *testing.T) {
	t.Run("checklist_118 nodes that start together agree on one first key", func(t *testing.T) {
		c := &clock{time.Date(2027, 1, 15, 10, 20, 30, 0, time.UTC)}
		s, mk := &rows{}, master(t)
		var nodes []*Manager
		var wg sync.WaitGroup
		for range 8 {
			m := New(s, mk, Options{}, c.now)
			nodes = append(nodes, m)
			wg.Go(func() {
				if err := m.Tend(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if len(s.keys) != 1 {
			t.Fatalf("%d first keys", len(s.keys))
		}
		for _, m := range nodes {
			if signer(t, m, c) != s.keys[0].ID {
				t.Error("a node signs with a key that others do not publish")
			}
		}
	})
	t.Run("checklist_118 nodes that rotate together agree on one next key", func(t *testing.T) {
		c := &clock{time.Date(2027, 1, 15, 10, 20, 30, 0, time.UTC)}
		s, mk := &rows{}, master(t)
		a, b := New(s, mk, Options{}, c.now), New(s, mk, Options{}, c.now)
		tend(t, a)
		tend(t, b)
		c.at = c.at.Add(90 * 24 * time.Hour)
		tend(t, a)
		tend(t, b)
		if len(s.keys) != 2 {
			t.Errorf("%d keys, want 2", len(s.keys))
		}
	})
}

func TestSealedUnderTheMasterKey(t *testing.T) {
	m, s, c := newManager(t)
	tend(t, m)
	t.Run("another master key is named as the cause", func(t *testing.T) {
		other := New(s, master(t), Options{}, c.now)
		err := other.Load(t.Context())
		if !errors.Is(err, secret.ErrWrongKey) || !strings.Contains(err.Error(), "master key that this database was made with") {
			t.Errorf("got %v", err)
		}
		if _, err := other.Current().Signer(c.at); err == nil {
			t.Error("signs after a failed load")
		}
	})
	t.Run("a key moved to another row does not open", func(t *testing.T) {
		moved := &rows{keys: slices.Clone(s.keys)}
		moved.keys[0].ID = "other"
		if err := New(moved, m.master, Options{}, c.now).Load(t.Context()); !errors.Is(err, secret.ErrAltered) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("the row holds nothing readable", func(t *testing.T) {
		k, err := m.Current().Signer(c.at)
		if err != nil {
			t.Fatal(err)
		}
		der, err := k.MarshalPKCS8()
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(s.keys[0].Sealed, der[len(der)-32:]) {
			t.Error("the private key stands in the row")
		}
	})
	t.Run("a failed load keeps the ring", func(t *testing.T) {
		before := m.Current()
		s.mu.Lock()
		s.keys = append(s.keys, Key{ID: "x", Alg: jose.ES256, Sealed: []byte("junk"), SignFrom: c.at})
		s.mu.Unlock()
		if err := m.Load(t.Context()); err == nil || m.Current() != before {
			t.Errorf("err %v, ring changed %v", err, m.Current() != before)
		}
	})
}

func TestEveryAlgorithmSigns(t *testing.T) {
	for _, alg := range jose.AccessTokenAlgorithms {
		t.Run(string(alg), func(t *testing.T) {
			c := &clock{time.Date(2027, 1, 15, 10, 20, 30, 0, time.UTC)}
			m := New(&rows{}, master(t), Options{Alg: alg}, c.now)
			tend(t, m)
			k, err := m.Current().Signer(c.at)
			if err != nil || k.Alg() != alg {
				t.Fatalf("%v, %v", k, err)
			}
		})
	}
}

func TestFindTakesNoLockAndNoMemory(t *testing.T) {
	m, _, c := newManager(t)
	tend(t, m)
	kid := signer(t, m, c)
	if n := testing.AllocsPerRun(100, func() { m.Current().Find(kid, c.at) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func algorithms(m *Manager, c *clock) []string {
	var algs []string
	for _, k := range m.Current().Published(c.at).Keys {
		algs = append(algs, string(k.Alg))
	}
	slices.Sort(algs)
	return algs
}

func TestAnAlgorithmHasKeysOnceSomebodyWantsIt(t *testing.T) {
	m, s, c := newManager(t)
	tend(t, m)
	access := signer(t, m, c)
	if _, err := m.Current().SignerFor(jose.RS256, c.at); !errors.Is(err, ErrNoSigner) {
		t.Errorf("RS256 has a key that nobody asked for: %v", err)
	}
	m.Want(jose.RS256)
	m.Want(jose.RS256)
	if err := m.TendWanted(t.Context()); err != nil {
		t.Fatal(err)
	}
	rs, err := m.Current().SignerFor(jose.RS256, c.at)
	if err != nil {
		t.Fatal(err)
	}
	if got := signer(t, m, c); got != access {
		t.Error("access tokens are signed with the new key")
	}
	before := len(s.keys)
	m.Want(jose.RS256)
	if err := m.TendWanted(t.Context()); err != nil || len(s.keys) != before {
		t.Errorf("%d keys more, error %v", len(s.keys)-before, err)
	}

	t.Run("checklist_117 its next key is published ahead too, and takes over", func(t *testing.T) {
		c.at = c.at.Add(29*24*time.Hour + time.Hour)
		tend(t, m)
		if got := algorithms(m, c); !slices.Equal(got, []string{"ES256", "ES256", "RS256", "RS256"}) {
			t.Fatalf("published: %v", got)
		}
		if k, err := m.Current().SignerFor(jose.RS256, c.at); err != nil || k.ID() != rs.ID() {
			t.Errorf("signs before it is published for a day: %v", err)
		}
		c.at = c.at.Add(25 * time.Hour)
		if k, err := m.Current().SignerFor(jose.RS256, c.at); err != nil || k.ID() == rs.ID() {
			t.Errorf("the old key still signs: %v", err)
		}
		if k, err := m.Current().Signer(c.at); err != nil || k.Alg() != jose.ES256 || k.ID() == access {
			t.Errorf("access tokens: %v, %v", k, err)
		}
	})
	t.Run("checklist_56 a key out of use is found for what is brought back, a dropped one is not", func(t *testing.T) {
		c.at = c.at.Add(3 * time.Hour)
		tend(t, m)
		if _, ok := m.Current().Find(rs.ID(), c.at); ok {
			t.Error("it is still believed")
		}
		if _, ok := m.Current().FindRetired(rs.ID()); !ok {
			t.Error("it is forgotten")
		}
		if err := m.Drop(t.Context(), rs.ID(), audit.Event{}); err != nil {
			t.Fatal(err)
		}
		if _, ok := m.Current().FindRetired(rs.ID()); ok {
			t.Error("it is found after it was dropped")
		}
	})
	t.Run("checklist_119 a dropped key of one algorithm is replaced by one of the same", func(t *testing.T) {
		k, err := m.Current().SignerFor(jose.RS256, c.at)
		if err != nil {
			t.Fatal(err)
		}
		access := signer(t, m, c)
		if err := m.Drop(t.Context(), k.ID(), audit.Event{}); err != nil {
			t.Fatal(err)
		}
		if again, err := m.Current().SignerFor(jose.RS256, c.at); err != nil || again.ID() == k.ID() {
			t.Errorf("%v, %v", again, err)
		}
		if signer(t, m, c) != access {
			t.Error("the key of access tokens changed")
		}
	})
	t.Run("a rotation by command is of every algorithm", func(t *testing.T) {
		before := len(s.keys)
		k, err := m.Rotate(t.Context(), true, audit.Event{Actor: "os:1", Action: "signing_key.rotated"})
		if err != nil || k.Alg != jose.ES256 || signer(t, m, c) != k.ID {
			t.Errorf("%s, %v", k.Alg, err)
		}
		if len(s.keys) != before+2 {
			t.Errorf("%d keys were made", len(s.keys)-before)
		}
	})
}

func TestAnotherAlgorithmTakesOverWhenItsKeyIsPublishedForLongEnough(t *testing.T) {
	m, s, c := newManager(t)
	tend(t, m)
	first := signer(t, m, c)
	o := m.options
	o.Alg = jose.EdDSA
	m = New(s, m.master, o, c.now)
	for range 3 {
		tend(t, m)
	}
	if got := algorithms(m, c); !slices.Equal(got, []string{"ES256", "EdDSA"}) {
		t.Fatalf("published: %v", got)
	}
	if signer(t, m, c) != first {
		t.Error("signs with a key that nobody has seen")
	}
	c.at = c.at.Add(24 * time.Hour)
	if k, err := m.Current().Signer(c.at); err != nil || k.Alg() != jose.EdDSA {
		t.Errorf("a day later %v, %v", k, err)
	}
	if _, ok := m.Current().Find(first, c.at); !ok {
		t.Error("tokens of the old key are refused")
	}
}
