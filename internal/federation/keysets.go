package federation

import (
	"context"
	"time"

	"github.com/offkey/offkey/internal/jose"
)

// keyBounds are how long JWK sets are believed.
var keyBounds = bounds{
	fresh: 15 * time.Minute, least: time.Minute, most: time.Hour, stale: time.Hour,
	failure: 30 * time.Second, refreshed: 30 * time.Second,
}

// KeySets fetches JWK sets and keeps them. Safe for concurrent use.
type KeySets struct{ *kept[jose.KeySet] }

// NewKeySets makes a cache of at most capacity JWK sets of clients, those whose
// certificates are known by them included.
func NewKeySets(f *Fetcher, capacity int, now func() time.Time) *KeySets {
	return newKeySets(f, capacity, now, jose.ParseCertificateKeySet)
}

func newKeySets(f *Fetcher, capacity int, now func() time.Time, parse func([]byte) (jose.KeySet, error)) *KeySets {
	return &KeySets{&kept[jose.KeySet]{
		what: "JWK set", accept: "application/jwk-set+json, application/json", bounds: keyBounds,
		parse:   func(_ string, doc Document) (jose.KeySet, error) { return parse(doc.Body) },
		fetcher: f, now: now, capacity: max(capacity, 1), byURI: make(map[string]*entry[jose.KeySet]),
	}}
}

// KeySet returns the JWK set at uri, from memory while it is fresh.
func (k *KeySets) KeySet(ctx context.Context, uri string) (jose.KeySet, error) {
	return k.current(ctx, uri)
}

// Refresh returns the JWK set at uri, fetched anew because a signature names a
// kid that the set in memory does not have. That was made up by a stranger as
// likely as by a client that rotates, so a set is fetched for it at most once in
// 30 seconds; the one in memory is returned otherwise.
func (k *KeySets) Refresh(ctx context.Context, uri string) (jose.KeySet, error) {
	return k.refresh(ctx, uri)
}
