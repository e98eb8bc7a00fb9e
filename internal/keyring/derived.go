package keyring

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/offkey/offkey/internal/jose"
	"github.com/offkey/offkey/internal/secret"
)

// Derived are the signing keys of one purpose that follow from the master key:
// nothing is stored, and every node that has the master key has them. Each signs
// for a week and is published from a week before until a week after. Safe for
// concurrent use.
type Derived struct {
	master  *secret.MasterKey
	purpose string
	now     func() time.Time
	current atomic.Pointer[derivedKeys]
}

// derivedKeys are those of one week and of the weeks beside it.
type derivedKeys struct {
	week    int64
	signer  *jose.SigningKey
	keys    jose.KeySet
	failure error
}

const derivedFor = 7 * 24 * time.Hour

// NewDerived makes the keys of a purpose. Other purposes have other keys.
func NewDerived(master *secret.MasterKey, purpose string, now func() time.Time) *Derived {
	return &Derived{master: master, purpose: purpose, now: now}
}

// Signer is the key that signs now.
func (d *Derived) Signer() (*jose.SigningKey, error) {
	k := d.keys()
	return k.signer, k.failure
}

// Published are the keys that signatures of now, of a little before and of a
// little after are checked with.
func (d *Derived) Published() (jose.KeySet, error) {
	k := d.keys()
	return k.keys, k.failure
}

func (d *Derived) keys() *derivedKeys {
	week := d.now().Unix() / int64(derivedFor/time.Second)
	if k := d.current.Load(); k != nil && k.week == week {
		return k
	}
	k := &derivedKeys{week: week}
	for _, near := range [...]int64{week, week - 1, week + 1} {
		signer, err := d.keyOf(near)
		if err != nil {
			k.failure = err
			break
		}
		if near == week {
			k.signer = signer
		}
		k.keys.Keys = append(k.keys.Keys, signer.Public())
	}
	d.current.Store(k)
	return k
}

// keyOf is the key of a week, for ES256. Of the 32 bytes that the master key gives
// hardly one value in 2^32 is no private key of P-256: then the next ones are
// taken.
func (d *Derived) keyOf(week int64) (key *jose.SigningKey, err error) {
	for try := range 3 {
		raw := d.master.Derive(d.purpose + " " + strconv.FormatInt(week, 10) + " " + strconv.Itoa(try))
		var private *ecdsa.PrivateKey
		if private, err = ecdsa.ParseRawPrivateKey(elliptic.P256(), raw); err == nil {
			return jose.NewSigningKey(private, "", jose.ES256)
		}
	}
	return nil, err
}
