package jose

import (
	"encoding/json"
	"errors"
	"fmt"

	gojose "github.com/go-jose/go-jose/v4"
)

// maxForeignKeys bounds the keys of another issuer. An operator has chosen it,
// and it may serve many algorithms.
const maxForeignKeys = 100

// ParseIssuerKeySet reads the JWK set of another issuer. Unlike ParseKeySet it
// leaves out every key that we cannot verify with, for the issuer has others who
// can; only a private or symmetric key is refused.
func ParseIssuerKeySet(raw []byte) (KeySet, error) { return parseForeign(raw, "sig") }

// ParseBundle reads the bundle of a SPIFFE trust domain (SPIFFE Trust Domain and
// Bundle §4.2): of its keys those for JWT-SVIDs.
func ParseBundle(raw []byte) (KeySet, error) { return parseForeign(raw, "jwt-svid") }

// parseForeign takes keys without use, and those of the use that is meant.
func parseForeign(raw []byte, use string) (KeySet, error) {
	if len(raw) > MaxKeySetSize {
		return KeySet{}, fmt.Errorf("JWK set has %d bytes, at most %d are read", len(raw), MaxKeySetSize)
	}
	var doc struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := decodeObject(raw, &doc); err != nil {
		return KeySet{}, fmt.Errorf("JWK set: %w", err)
	}
	if len(doc.Keys) > maxForeignKeys {
		return KeySet{}, fmt.Errorf("JWK set has %d keys, at most %d are read", len(doc.Keys), maxForeignKeys)
	}
	var set KeySet
	for i, raw := range doc.Keys {
		var r rawKey
		if err := decodeObject(raw, &r); err != nil {
			continue
		}
		if err := checkNothingPrivate(r); err != nil {
			return KeySet{}, fmt.Errorf("JWK set: key %d of %d: %w", i+1, len(doc.Keys), err)
		}
		if r.Use != "" && r.Use != use {
			continue
		}
		r.Use = ""
		if key, ok := foreignKey(raw, r); ok {
			set.Keys = append(set.Keys, key)
		}
	}
	if len(set.Keys) == 0 {
		return KeySet{}, errors.New("JWK set has no EC P-256, Ed25519 or RSA (2048 to 3072 bits) key for this use")
	}
	return set, nil
}

// foreignKey is the key, if it is one that we verify with.
func foreignKey(raw []byte, r rawKey) (PublicKey, bool) {
	alg, known := signatureAlgorithm(r)
	var jwk gojose.JSONWebKey
	if !known || len(r.Kid) > maxKeyID || jwk.UnmarshalJSON(raw) != nil || checkKey(jwk.Key) != nil || alg != "" && !fits(jwk.Key, alg) {
		return PublicKey{}, false
	}
	return PublicKey{ID: r.Kid, Alg: alg, Key: jwk.Key}, true
}
