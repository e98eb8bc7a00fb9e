// Package keyring holds the keys that access tokens are signed with: made at
// the first start, published ahead of their first use, rotated on a schedule or
// by command, kept for verification after their last use, dropped in an
// emergency. Ring is an immutable view for signing and verifying; Manager makes
// the Ring from the store and sees to the schedule.
//
// What is signed, and what a token means, is package token.
package keyring

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/offkey/offkey/internal/audit"
	"github.com/offkey/offkey/internal/jose"
	"github.com/offkey/offkey/internal/secret"
)

// Key is one signing key as stored. Only Dropped ever changes. Its ID is the
// kid, the RFC 7638 thumbprint, and so is never used twice.
type Key struct {
	ID      string
	Alg     jose.Algorithm
	Sealed  []byte // PKCS #8 under the master key, bound to the kid
	Created time.Time
	// SignFrom is when it starts to sign. It goes on until the next key starts.
	SignFrom time.Time
	// SignUntil and PublishUntil are the plan at the time of making. A Ring
	// goes by the successor's SignFrom, which a rotation by command brings
	// forward and a long standstill puts off.
	SignUntil, PublishUntil time.Time
	Dropped                 time.Time // zero, or when it was withdrawn in an emergency
}

// ErrExists is what a Store answers when another node was first to add a key
// with the same algorithm and SignFrom.
var ErrExists = errors.New("another signing key starts at the same time")

// ErrNotFound is what a Store answers about a signing key that is not there.
var ErrNotFound = errors.New("no such signing key")

// Store is what the keyring asks of storage.
type Store interface {
	// SigningKeys returns every key, dropped ones included, in any order.
	SigningKeys(ctx context.Context) ([]Key, error)
	// AddSigningKey returns ErrExists if a key with the same Alg and SignFrom
	// is there.
	AddSigningKey(ctx context.Context, k Key, e audit.Event) error
	// DropSigningKey marks the key as dropped at the given time. It returns
	// ErrNotFound if there is none; dropping twice keeps the first time.
	DropSigningKey(ctx context.Context, id string, at time.Time, e audit.Event) error
}

// generate makes a key that signs from a given time.
func generate(master *secret.MasterKey, alg jose.Algorithm, now, signFrom time.Time, o Options) (Key, error) {
	signer, err := jose.GenerateSigningKey(alg)
	if err != nil {
		return Key{}, err
	}
	der, err := signer.MarshalPKCS8()
	if err != nil {
		return Key{}, err
	}
	defer clear(der)
	until := signFrom.Add(o.RotateEvery)
	return Key{
		ID: signer.ID(), Alg: alg, Sealed: master.Seal(der, sealedPlace(signer.ID())),
		Created: now, SignFrom: signFrom, SignUntil: until, PublishUntil: until.Add(o.KeepAfter),
	}, nil
}

// open unseals the key. A wrong master key is named as such, for nothing else
// about it can be repaired by the operator.
func (k Key) open(master *secret.MasterKey) (*jose.SigningKey, error) {
	der, err := master.Open(k.Sealed, sealedPlace(k.ID))
	switch {
	case errors.Is(err, secret.ErrWrongKey):
		return nil, fmt.Errorf("signing key %s: %w: start with the master key that this database was made with", k.ID, err)
	case err != nil:
		return nil, fmt.Errorf("signing key %s: %w", k.ID, err)
	}
	defer clear(der)
	return jose.ParseSigningKey(der, k.ID, k.Alg)
}

// sealedPlace binds a sealed key to its row.
func sealedPlace(kid string) string { return "signing key " + kid }
