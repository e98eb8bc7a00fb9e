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
//
// The keys of one algorithm follow each other, whatever those of others do.
type Ring struct {
	alg     jose.Algorithm // of access tokens
	lanes   map[jose.Algorithm][]ringKey
	keys    []ringKey // of all lanes, by start of signing, without dropped ones
	byID    map[string]ringKey
	had     map[jose.Algorithm]bool   // an algorithm that ever had a key, dropped ones included
	retired map[string]jose.PublicKey // signed once, and is not published any more
}

// ringKey is a key with the times that hold for it among its successors.
type ringKey struct {
	signer       *jose.SigningKey
	public       jose.PublicKey
	signFrom     time.Time
	signUntil    time.Time // zero: until another follows
	publishUntil time.Time // zero: likewise
}

// maxRetired bounds the keys out of use that ID tokens may still name.
const maxRetired = 100

// newRing arranges stored keys. opened returns the private key of one. A key
// that was dropped after it had started still ends its predecessor: what was
// retired does not come back in its place.
func newRing(stored []Key, alg jose.Algorithm, keepAfter time.Duration, now time.Time, opened func(Key) (*jose.SigningKey, error)) (*Ring, error) {
	had := map[jose.Algorithm]bool{}
	for _, k := range stored {
		had[k.Alg] = true
	}
	stored = slices.DeleteFunc(slices.Clone(stored), func(k Key) bool {
		return !k.Dropped.IsZero() && !k.Dropped.After(k.SignFrom)
	})
	slices.SortFunc(stored, func(a, b Key) int {
		return cmp.Or(a.SignFrom.Compare(b.SignFrom), cmp.Compare(a.ID, b.ID))
	})
	r := &Ring{alg: alg, lanes: map[jose.Algorithm][]ringKey{}, byID: make(map[string]ringKey, len(stored)), retired: map[string]jose.PublicKey{}, had: had}
	for i, k := range stored {
		rk := ringKey{signFrom: k.SignFrom}
		if next := slices.IndexFunc(stored[i+1:], func(o Key) bool { return o.Alg == k.Alg }); next >= 0 {
			rk.signUntil = stored[i+1+next].SignFrom
			rk.publishUntil = rk.signUntil.Add(keepAfter)
		}
		if !k.Dropped.IsZero() {
			continue
		}
		published := rk.publishedAt(now)
		if !published && len(stored)-i > maxRetired {
			continue
		}
		var err error
		if rk.signer, err = opened(k); err != nil {
			return nil, err
		}
		rk.public = rk.signer.Public()
		if r.retired[k.ID] = rk.public; !published {
			continue
		}
		r.keys = append(r.keys, rk)
		r.lanes[k.Alg] = append(r.lanes[k.Alg], rk)
		r.byID[k.ID] = rk
	}
	return r, nil
}

// Signer returns the key to sign access tokens with at now: the one of their
// algorithm that started last. Where that algorithm was chosen lately and its
// first key is not published for long enough, the one before goes on.
func (r *Ring) Signer(now time.Time) (*jose.SigningKey, error) {
	if k, ok := signing(r.lanes[r.alg], now); ok {
		return k, nil
	}
	if k, ok := signing(r.keys, now); ok {
		return k, nil
	}
	return nil, ErrNoSigner
}

// SignerFor returns the key of an algorithm to sign with at now.
func (r *Ring) SignerFor(alg jose.Algorithm, now time.Time) (*jose.SigningKey, error) {
	if k, ok := signing(r.lanes[alg], now); ok {
		return k, nil
	}
	return nil, ErrNoSigner
}

func signing(keys []ringKey, now time.Time) (*jose.SigningKey, bool) {
	for _, k := range slices.Backward(keys) {
		if !k.signFrom.After(now) && (k.signUntil.IsZero() || now.Before(k.signUntil)) {
			return k.signer, true
		}
	}
	return nil, false
}

// FindRetired returns the public key of that kid, also when it is out of use and
// nothing that is signed with it opens anything: for an ID token that is brought
// back to say whom it is about. A dropped key is not found.
func (r *Ring) FindRetired(kid string) (jose.PublicKey, bool) {
	k, ok := r.retired[kid]
	return k, ok
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

// newestFrom is when the last key for access tokens starts, or zero.
func (r *Ring) newestFrom() time.Time { return r.newestOf(r.alg) }

// newestOf is when the last key of an algorithm starts, or zero.
func (r *Ring) newestOf(alg jose.Algorithm) time.Time {
	lane := r.lanes[alg]
	if len(lane) == 0 {
		return time.Time{}
	}
	return lane[len(lane)-1].signFrom
}
