package keyring

import (
	"cmp"
	"errors"
	"slices"
	"time"

	"github.com/offkey/offkey/internal/jose"
)

// ErrNoSigner means that there is no key to sign with yet.
var ErrNoSigner = errors.New("there is no signing key yet")

// Ring is the signing keys as they stood when it was made. It never changes, so
// that readers need no lock; the Manager replaces it. The zero Ring has none.
type Ring struct {
	keys []ringKey // by start of signing, oldest first, without dropped ones
	byID map[string]ringKey
}

// ringKey is a key with the times that hold for it among its successors.
type ringKey struct {
	signer       *jose.SigningKey
	public       jose.PublicKey
	signFrom     time.Time
	signUntil    time.Time // zero: until another follows
	publishUntil time.Time // zero: likewise
}

// newRing arranges stored keys. opened returns the private key of one. A key
// that was dropped after it had started still ends its predecessor: what was
// retired does not come back in its place.
func newRing(stored []Key, keepAfter time.Duration, now time.Time, opened func(Key) (*jose.SigningKey, error)) (*Ring, error) {
	stored = slices.DeleteFunc(slices.Clone(stored), func(k Key) bool {
		return !k.Dropped.IsZero() && !k.Dropped.After(k.SignFrom)
	})
	slices.SortFunc(stored, func(a, b Key) int {
		return cmp.Or(a.SignFrom.Compare(b.SignFrom), cmp.Compare(a.ID, b.ID))
	})
	r := &Ring{byID: make(map[string]ringKey, len(stored))}
	for i, k := range stored {
		rk := ringKey{signFrom: k.SignFrom}
		if i+1 < len(stored) {
			rk.signUntil = stored[i+1].SignFrom
			rk.publishUntil = rk.signUntil.Add(keepAfter)
		}
		if !k.Dropped.IsZero() || !rk.publishedAt(now) {
			continue
		}
		var err error
		if rk.signer, err = opened(k); err != nil {
			return nil, err
		}
		rk.public = rk.signer.Public()
		r.keys = append(r.keys, rk)
		r.byID[k.ID] = rk
	}
	return r, nil
}

// Signer returns the key to sign with at now: the one that started last.
func (r *Ring) Signer(now time.Time) (*jose.SigningKey, error) {
	for i := len(r.keys) - 1; i >= 0; i-- {
		k := r.keys[i]
		if !k.signFrom.After(now) && (k.signUntil.IsZero() || now.Before(k.signUntil)) {
			return k.signer, nil
		}
	}
	return nil, ErrNoSigner
}

// Published returns the public keys to show to others at now: those that will
// sign, the one that does, and those whose tokens may still be alive.
func (r *Ring) Published(now time.Time) jose.KeySet {
	var set jose.KeySet
	for _, k := range r.keys {
		if k.publishedAt(now) {
			set.Keys = append(set.Keys, k.public)
		}
	}
	return set
}

// Find returns the public key of that kid, if tokens signed with it are to be
// believed at now. It takes no lock and allocates nothing.
func (r *Ring) Find(kid string, now time.Time) (jose.PublicKey, bool) {
	k, ok := r.byID[kid]
	if !ok || !k.publishedAt(now) {
		return jose.PublicKey{}, false
	}
	return k.public, true
}

func (k ringKey) publishedAt(now time.Time) bool {
	return k.publishUntil.IsZero() || !now.After(k.publishUntil)
}

// newestFrom is when the last key of the Ring starts, or zero.
func (r *Ring) newestFrom() time.Time {
	if len(r.keys) == 0 {
		return time.Time{}
	}
	return r.keys[len(r.keys)-1].signFrom
}
