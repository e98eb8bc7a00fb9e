package federation

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/offkey/offkey/internal/jose"
)

// How long a JWK set is believed, whatever its server says.
const (
	minFresh     = time.Minute
	usualFresh   = 15 * time.Minute // where the server says nothing
	maxFresh     = time.Hour
	staleFor     = time.Hour        // used this much longer while it cannot be fetched
	failureAge   = 30 * time.Second // a failure is answered again without asking
	refreshEvery = 30 * time.Second // for a kid that the set does not have
)

// KeySets fetches JWK sets and keeps them. At most one fetch of a URI runs at a
// time, and whoever asks meanwhile waits for that one. Safe for concurrent use.
type KeySets struct {
	fetcher  *Fetcher
	now      func() time.Time
	capacity int

	mu    sync.Mutex
	byURI map[string]*keySet
}

// keySet is what is known of one URI. Its fields are guarded by KeySets.mu.
type keySet struct {
	keys      jose.KeySet
	got       time.Time // zero: never
	expires   time.Time
	refreshed time.Time // last fetch for a kid that was not there
	failed    error
	failedAt  time.Time
	used      time.Time
	running   *fetch
}

// fetch is one request under way; done is closed after its result is stored.
type fetch struct{ done chan struct{} }

// NewKeySets makes a cache of at most capacity JWK sets.
func NewKeySets(f *Fetcher, capacity int, now func() time.Time) *KeySets {
	return &KeySets{fetcher: f, now: now, capacity: max(capacity, 1), byURI: make(map[string]*keySet)}
}

// KeySet returns the JWK set at uri, from memory while it is fresh.
func (k *KeySets) KeySet(ctx context.Context, uri string) (jose.KeySet, error) {
	return k.ask(ctx, uri, func(s *keySet, now time.Time) bool { return now.Before(s.expires) })
}

// Refresh returns the JWK set at uri, fetched anew because a signature names a
// kid that the set in memory does not have. That was made up by a stranger as
// likely as by a client that rotates, so a set is fetched for it at most once in
// 30 seconds; the one in memory is returned otherwise.
func (k *KeySets) Refresh(ctx context.Context, uri string) (jose.KeySet, error) {
	return k.ask(ctx, uri, func(s *keySet, now time.Time) bool {
		if now.Sub(s.refreshed) < refreshEvery {
			return true
		}
		s.refreshed = now
		return false
	})
}

// ask answers from memory where enough says so, else by a fetch.
func (k *KeySets) ask(ctx context.Context, uri string, enough func(*keySet, time.Time) bool) (jose.KeySet, error) {
	k.mu.Lock()
	now := k.now()
	s := k.entry(uri, now)
	s.used = now
	if !s.got.IsZero() && enough(s, now) || s.failed != nil && now.Sub(s.failedAt) < failureAge {
		defer k.mu.Unlock()
		return s.answer(now)
	}
	running := s.running
	if running == nil {
		running = &fetch{done: make(chan struct{})}
		s.running = running
		go k.fetch(context.WithoutCancel(ctx), uri, s, running) // others may wait for it too
	}
	k.mu.Unlock()
	select {
	case <-running.done:
	case <-ctx.Done():
		return jose.KeySet{}, ctx.Err()
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	return s.answer(k.now())
}

// fetch gets the set and stores it, or why it could not.
func (k *KeySets) fetch(ctx context.Context, uri string, s *keySet, running *fetch) {
	doc, err := k.fetcher.Fetch(ctx, uri, "application/jwk-set+json, application/json")
	var keys jose.KeySet
	if err == nil {
		keys, err = jose.ParseKeySet(doc.Body)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	defer close(running.done)
	s.running = nil
	if s.failed = err; err != nil {
		s.failedAt = k.now()
		return
	}
	fresh := usualFresh
	if doc.Aged {
		fresh = min(max(doc.MaxAge, minFresh), maxFresh)
	}
	s.keys, s.got = keys, k.now()
	s.expires = s.got.Add(fresh)
}

// answer is the set if it may still be used, else the last failure.
func (s *keySet) answer(now time.Time) (jose.KeySet, error) {
	switch {
	case !s.got.IsZero() && now.Before(s.expires.Add(staleFor)):
		return s.keys, nil
	case s.failed != nil:
		return jose.KeySet{}, fmt.Errorf("JWK set: %w", s.failed)
	}
	return jose.KeySet{}, fmt.Errorf("JWK set: not fetched since %s", s.got)
}

// entry finds or makes the entry of uri, in place of the one unused for longest
// where there is no room.
func (k *KeySets) entry(uri string, now time.Time) *keySet {
	if s := k.byURI[uri]; s != nil {
		return s
	}
	if len(k.byURI) >= k.capacity {
		oldestURI, oldest := "", now
		for u, s := range k.byURI {
			if oldestURI == "" || s.used.Before(oldest) {
				oldestURI, oldest = u, s.used
			}
		}
		delete(k.byURI, oldestURI)
	}
	s := &keySet{}
	k.byURI[uri] = s
	return s
}
