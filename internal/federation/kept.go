package federation

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// bounds say how long a document is believed, whatever its server says.
type bounds struct {
	fresh     time.Duration // where the server says nothing
	least     time.Duration
	most      time.Duration
	stale     time.Duration // used this much longer while it cannot be fetched
	failure   time.Duration // a failure is answered again without asking
	refreshed time.Duration // how often it is fetched before its time
}

// kept fetches documents of one kind and keeps them. At most one fetch of a URI
// runs at a time, and whoever asks meanwhile waits for that one. Safe for
// concurrent use.
type kept[T any] struct {
	what     string // for errors
	accept   string
	parse    func(uri string, doc Document) (T, error)
	bounds   bounds
	fetcher  *Fetcher
	now      func() time.Time
	capacity int

	mu    sync.Mutex
	byURI map[string]*entry[T]
}

// entry is what is known of one URI. Its fields are guarded by kept.mu.
type entry[T any] struct {
	value     T
	got       time.Time // zero: never
	expires   time.Time
	refreshed time.Time // last fetch before its time
	failed    error
	failedAt  time.Time
	used      time.Time
	running   *fetch
}

// fetch is one request under way; done is closed after its result is stored.
type fetch struct{ done chan struct{} }

// has reports whether the document at uri is in memory and fresh.
func (k *kept[T]) has(uri string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	e := k.byURI[uri]
	return e != nil && !e.got.IsZero() && e.failed == nil && k.now().Before(e.expires)
}

// current returns the document at uri, from memory while it is fresh.
func (k *kept[T]) current(ctx context.Context, uri string) (T, error) {
	return k.ask(ctx, uri, func(e *entry[T], now time.Time) bool { return now.Before(e.expires) })
}

// refresh returns the document at uri, fetched anew if that was not done a short
// time ago; the one in memory is returned otherwise.
func (k *kept[T]) refresh(ctx context.Context, uri string) (T, error) {
	return k.ask(ctx, uri, func(e *entry[T], now time.Time) bool {
		if now.Sub(e.refreshed) < k.bounds.refreshed {
			return true
		}
		e.refreshed = now
		return false
	})
}

// ask answers from memory where enough says so, else by a fetch.
func (k *kept[T]) ask(ctx context.Context, uri string, enough func(*entry[T], time.Time) bool) (T, error) {
	k.mu.Lock()
	now := k.now()
	e := k.entry(uri, now)
	e.used = now
	if !e.got.IsZero() && enough(e, now) || e.failed != nil && now.Sub(e.failedAt) < k.bounds.failure {
		defer k.mu.Unlock()
		return k.answer(e, now)
	}
	running := e.running
	if running == nil {
		running = &fetch{done: make(chan struct{})}
		e.running = running
		go k.fetch(context.WithoutCancel(ctx), uri, e, running) // others may wait for it too
	}
	k.mu.Unlock()
	select {
	case <-running.done:
	case <-ctx.Done():
		var none T
		return none, ctx.Err()
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.answer(e, k.now())
}

// fetch gets the document and stores it, or why it could not.
func (k *kept[T]) fetch(ctx context.Context, uri string, e *entry[T], running *fetch) {
	doc, err := k.fetcher.Fetch(ctx, uri, k.accept)
	var value T
	if err == nil {
		value, err = k.parse(uri, doc)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	defer close(running.done)
	e.running = nil
	if e.failed = err; err != nil {
		e.failedAt = k.now()
		return
	}
	fresh := k.bounds.fresh
	if doc.Aged {
		fresh = min(max(doc.MaxAge, k.bounds.least), k.bounds.most)
	}
	e.value, e.got = value, k.now()
	e.expires = e.got.Add(fresh)
}

// answer is the document if it may still be used, else the last failure.
func (k *kept[T]) answer(e *entry[T], now time.Time) (T, error) {
	var none T
	switch {
	case !e.got.IsZero() && now.Before(e.expires.Add(k.bounds.stale)):
		return e.value, nil
	case e.failed != nil:
		return none, fmt.Errorf("%s: %w", k.what, e.failed)
	}
	return none, fmt.Errorf("%s: not fetched since %s", k.what, e.got)
}

// entry finds or makes the entry of uri, in place of the one unused for longest
// where there is no room.
func (k *kept[T]) entry(uri string, now time.Time) *entry[T] {
	if e := k.byURI[uri]; e != nil {
		return e
	}
	if len(k.byURI) >= k.capacity {
		oldestURI, oldest := "", now
		for u, e := range k.byURI {
			if oldestURI == "" || e.used.Before(oldest) {
				oldestURI, oldest = u, e.used
			}
		}
		delete(k.byURI, oldestURI)
	}
	e := &entry[T]{}
	k.byURI[uri] = e
	return e
}
