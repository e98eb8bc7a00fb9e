package keyring

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/offkey/offkey/internal/audit"
	"github.com/offkey/offkey/internal/jose"
	"github.com/offkey/offkey/internal/secret"
)

// Options say how signing keys live. Zero values stand for the defaults.
type Options struct {
	Alg         jose.Algorithm // of new keys; default ES256
	RotateEvery time.Duration  // default 90 days
	// PublishAhead is how long a new key is published before it signs, so that
	// whoever caches the JWK set has it in time. Default 24 h.
	PublishAhead time.Duration
	// KeepAfter is how long a key is published after its last signature. It
	// must be at least the life of the longest token. Default 24 h.
	KeepAfter time.Duration
}

func (o Options) withDefaults() Options {
	const day = 24 * time.Hour
	if o.Alg == "" {
		o.Alg = jose.ES256
	}
	if o.RotateEvery <= 0 {
		o.RotateEvery = 90 * day
	}
	if o.PublishAhead <= 0 {
		o.PublishAhead = day
	}
	if o.KeepAfter <= 0 {
		o.KeepAfter = day
	}
	return o
}

// Manager keeps the current Ring and sees to it that there is a key, and in
// time the next one. Safe for concurrent use.
type Manager struct {
	store   Store
	master  *secret.MasterKey
	options Options
	now     func() time.Time
	current atomic.Pointer[Ring]

	loading sync.Mutex // one Load at a time, so that an older view never replaces a newer one
	opened  map[string]*jose.SigningKey
	making  sync.Mutex // one new key at a time; Load may run meanwhile

	wanting sync.Mutex
	wanted  map[jose.Algorithm]bool
}

// New makes a Manager. Its Ring is empty until Load or Tend.
func New(store Store, master *secret.MasterKey, o Options, now func() time.Time) *Manager {
	m := &Manager{store: store, master: master, options: o.withDefaults(), now: now, opened: map[string]*jose.SigningKey{}}
	m.current.Store(&Ring{})
	return m
}

// Current returns the Ring to sign and verify with.
func (m *Manager) Current() *Ring { return m.current.Load() }

// Load makes the Ring anew from the store. A key that does not open under the
// master key is an error, and the Ring stays as it was.
func (m *Manager) Load(ctx context.Context) error {
	m.loading.Lock()
	defer m.loading.Unlock()
	stored, err := m.store.SigningKeys(ctx)
	if err != nil {
		return fmt.Errorf("load signing keys: %w", err)
	}
	opened := make(map[string]*jose.SigningKey, len(stored))
	ring, err := newRing(stored, m.options.Alg, m.options.KeepAfter, m.now(), func(k Key) (*jose.SigningKey, error) {
		signer, known := m.opened[k.ID]
		if !known {
			var err error
			if signer, err = k.open(m.master); err != nil {
				return nil, err
			}
		}
		opened[k.ID] = signer
		return signer, nil
	})
	if err != nil {
		return fmt.Errorf("load signing keys: %w", err)
	}
	m.opened = opened
	m.current.Store(ring)
	return nil
}

// Want asks for a key of an algorithm, of which there may be none: Tend makes it,
// or TendWanted. It returns at once.
func (m *Manager) Want(alg jose.Algorithm) {
	if _, err := m.Current().SignerFor(alg, m.now()); err == nil {
		return
	}
	m.wanting.Lock()
	defer m.wanting.Unlock()
	if m.wanted == nil {
		m.wanted = map[jose.Algorithm]bool{}
	}
	m.wanted[alg] = true
}

// TendWanted makes the keys that were asked for and are not there. It costs
// nothing where there are none, so that it can be called often.
func (m *Manager) TendWanted(ctx context.Context) error {
	m.wanting.Lock()
	missing := len(m.wanted) > 0
	m.wanting.Unlock()
	if !missing {
		return nil
	}
	return m.Tend(ctx)
}

// Tend loads the Ring and makes what is missing: the first key of an algorithm,
// which signs at once, or the next one, ahead of its time. Call it at the start
// and every hour or so.
func (m *Manager) Tend(ctx context.Context) error {
	m.making.Lock()
	defer m.making.Unlock()
	if err := m.Load(ctx); err != nil {
		return err
	}
	for _, alg := range m.algorithms() {
		if err := m.tend(ctx, alg); err != nil {
			return err
		}
		m.wanting.Lock()
		delete(m.wanted, alg)
		m.wanting.Unlock()
	}
	return nil
}

// algorithms are those that are in use or asked for, that of access tokens
// first.
func (m *Manager) algorithms() []jose.Algorithm {
	algs := []jose.Algorithm{m.options.Alg}
	m.wanting.Lock()
	defer m.wanting.Unlock()
	for _, alg := range jose.AccessTokenAlgorithms {
		if alg != m.options.Alg && (m.wanted[alg] || len(m.Current().lanes[alg]) > 0) {
			algs = append(algs, alg)
		}
	}
	return algs
}

// tend makes what is missing of one algorithm.
func (m *Manager) tend(ctx context.Context, alg jose.Algorithm) error {
	now := m.now()
	created := audit.Event{Actor: "system", Action: "signing_key.created"}
	ring := m.Current()
	if _, err := ring.SignerFor(alg, now); err != nil {
		_, nobody := ring.Signer(now)
		// The keys of another algorithm sign access tokens until that of a new
		// one is published for long enough.
		switch goesOn := alg == m.options.Alg && nobody == nil; {
		case goesOn && ring.newestOf(alg).After(now):
			return nil
		case goesOn && !ring.had[alg]:
			return m.next(ctx, alg, now.Add(m.options.PublishAhead).Truncate(time.Second), created)
		}
		return m.first(ctx, alg, now, created)
	}
	due := ring.newestOf(alg).Add(m.options.RotateEvery)
	if now.Before(due.Add(-m.options.PublishAhead)) {
		return nil
	}
	if earliest := now.Add(m.options.PublishAhead).Truncate(time.Second); due.Before(earliest) {
		due = earliest
	}
	return m.next(ctx, alg, due, created)
}

// attempts bounds how often another start is tried when one is taken.
const attempts = 5

// next makes a key that signs from a time in the future, unless another node
// already has. Where a dropped key holds that time, it is a second later.
func (m *Manager) next(ctx context.Context, alg jose.Algorithm, from time.Time, e audit.Event) error {
	for range attempts {
		_, err := m.add(ctx, alg, from, e)
		if !errors.Is(err, ErrExists) {
			return err
		}
		if !m.Current().newestOf(alg).Before(from) {
			return nil
		}
		from = from.Add(time.Second)
	}
	return fmt.Errorf("make the next signing key: %w", ErrExists)
}

// first makes a key that signs at once. It starts at the full hour, so that of
// several nodes started together only one has its key taken; where a dropped
// key holds that place, it starts now.
func (m *Manager) first(ctx context.Context, alg jose.Algorithm, now time.Time, e audit.Event) error {
	for _, from := range []time.Time{now.Truncate(time.Hour), now.Truncate(time.Second), now} {
		if _, err := m.add(ctx, alg, from, e); err != nil && !errors.Is(err, ErrExists) {
			return err
		}
		if _, err := m.Current().SignerFor(alg, now); err == nil {
			return nil
		}
	}
	return fmt.Errorf("make a signing key: %w", ErrExists)
}

// Rotate makes a new key of each algorithm at once, and returns that for access
// tokens. They are published from now on and sign after PublishAhead, or
// immediately if asked: then whoever caches the JWK set refuses new tokens until
// the cache has expired.
func (m *Manager) Rotate(ctx context.Context, immediately bool, e audit.Event) (Key, error) {
	m.making.Lock()
	defer m.making.Unlock()
	from := m.now()
	if !immediately {
		from = from.Add(m.options.PublishAhead)
	}
	var access Key
	for _, alg := range m.algorithms() {
		k, err := m.add(ctx, alg, from, e)
		if err != nil {
			return Key{}, err
		}
		if alg == m.options.Alg {
			access = k
		}
	}
	return access, nil
}

// Drop withdraws a key in an emergency: it leaves the JWK set and every token
// signed with it is refused at once. If it was one that signs, a new one takes
// its place immediately.
func (m *Manager) Drop(ctx context.Context, id string, e audit.Event) error {
	m.making.Lock()
	defer m.making.Unlock()
	now := m.now()
	before := m.Current()
	if err := m.store.DropSigningKey(ctx, id, now, e); err != nil {
		return fmt.Errorf("drop signing key %s: %w", id, err)
	}
	if err := m.Load(ctx); err != nil {
		return err
	}
	alg := m.options.Alg
	if k, known := before.byID[id]; known {
		alg = k.public.Alg
	}
	if _, err := m.Current().SignerFor(alg, now); err == nil {
		return nil // it was not the one that signs
	}
	return m.first(ctx, alg, now, audit.Event{Actor: e.Actor, Action: "signing_key.created", Detail: map[string]string{"instead_of": id}})
}

// add makes and stores a key and loads it. The Ring is loaded after ErrExists
// too, for then it lacks the other node's key.
func (m *Manager) add(ctx context.Context, alg jose.Algorithm, from time.Time, e audit.Event) (Key, error) {
	k, err := generate(m.master, alg, m.now(), from, m.options)
	if err != nil {
		return Key{}, err
	}
	e.Object = k.ID
	addErr := m.store.AddSigningKey(ctx, k, e)
	if addErr != nil && !errors.Is(addErr, ErrExists) {
		return Key{}, fmt.Errorf("add signing key: %w", addErr)
	}
	return k, errors.Join(addErr, m.Load(ctx))
}
