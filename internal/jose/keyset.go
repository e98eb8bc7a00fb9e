package jose

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	gojose "github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/json"
)

// The bounds of a JWK set. Every key in it is a signature that a caller without
// kid can make us check.
const (
	MaxKeySetSize = 64 << 10 // bytes
	MaxKeys       = 20
	maxKeyID      = 256 // bytes
)

// KeySet is the keys of one signer.
type KeySet struct{ Keys []PublicKey }

// rawKey is what is looked at before a JWK is taken for a key.
type rawKey struct {
	Kty    string   `json:"kty"`
	Crv    string   `json:"crv"`
	Kid    string   `json:"kid"`
	Use    string   `json:"use"`
	Alg    string   `json:"alg"`
	KeyOps []string `json:"key_ops"`

	// Members that only a private or symmetric key has.
	D    present `json:"d"`
	P    present `json:"p"`
	Q    present `json:"q"`
	DP   present `json:"dp"`
	DQ   present `json:"dq"`
	QI   present `json:"qi"`
	Oth  present `json:"oth"`
	K    present `json:"k"`
	Priv present `json:"priv"`
}

// present notes that a member is there, and nothing of its value.
type present bool

func (p *present) UnmarshalJSON([]byte) error { *p = true; return nil }

// ParseKeySet reads a JWK set (RFC 7517 §5) sent by a stranger. It refuses the
// whole set for a private or symmetric key, for RSA outside 2048 to 3072 bits,
// for an EC key that is not on P-256, for two keys with one kid and for
// anything over MaxKeys or MaxKeySetSize. As RFC 7517 §5 wants, it leaves out
// keys of a kty or curve it does not know, and those that are not for
// signatures. A set of which nothing remains is an error.
func ParseKeySet(raw []byte) (KeySet, error) { return parseKeySet(raw, maxRSABits) }

// ParseCertificateKeySet is ParseKeySet for a client that may be known by the
// key of its certificate alone (RFC 8705 §2.2.2): RSA up to 4096 bits is taken. A
// key over 3072 is UsableWith no algorithm.
func ParseCertificateKeySet(raw []byte) (KeySet, error) {
	return parseKeySet(raw, maxCertificateRSABits)
}

func parseKeySet(raw []byte, maxBits int) (KeySet, error) {
	if len(raw) > MaxKeySetSize {
		return KeySet{}, fmt.Errorf("JWK set has %d bytes, at most %d are read", len(raw), MaxKeySetSize)
	}
	var doc struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := decodeObject(raw, &doc); err != nil {
		return KeySet{}, fmt.Errorf("JWK set: %w", err)
	}
	if doc.Keys == nil {
		return KeySet{}, errors.New(`JWK set has no member "keys"`)
	}
	if len(doc.Keys) > MaxKeys {
		return KeySet{}, fmt.Errorf("JWK set has %d keys, at most %d are read", len(doc.Keys), MaxKeys)
	}
	var set KeySet
	seen := make(map[string]bool)
	for i, raw := range doc.Keys {
		key, usable, err := parseKey(raw, maxBits)
		if err != nil {
			return KeySet{}, fmt.Errorf("JWK set: key %d of %d: %w", i+1, len(doc.Keys), err)
		}
		if !usable {
			continue
		}
		if key.ID != "" && seen[key.ID] {
			return KeySet{}, fmt.Errorf("JWK set: key %d of %d: kid %q is used twice", i+1, len(doc.Keys), key.ID)
		}
		seen[key.ID] = true
		set.Keys = append(set.Keys, key)
	}
	if len(set.Keys) == 0 {
		return KeySet{}, fmt.Errorf("JWK set has %d keys, none of them EC P-256, Ed25519 or RSA for signatures", len(doc.Keys))
	}
	return set, nil
}

// ParsePublicKey reads a single JWK as strictly as ParseKeySet reads each of its
// keys; one that the set would leave out is an error here.
func ParsePublicKey(raw []byte) (PublicKey, error) {
	if len(raw) > MaxKeySetSize {
		return PublicKey{}, fmt.Errorf("JWK has %d bytes, at most %d are read", len(raw), MaxKeySetSize)
	}
	key, usable, err := parseKey(raw, maxRSABits)
	if err != nil {
		return PublicKey{}, fmt.Errorf("JWK: %w", err)
	}
	if !usable {
		return PublicKey{}, errors.New("JWK is not an EC P-256, Ed25519 or RSA key for signatures")
	}
	return key, nil
}

// parseKey returns usable=false for a key to be left out, an error for one that
// must not be there.
func parseKey(raw []byte, maxBits int) (key PublicKey, usable bool, err error) {
	var r rawKey
	if err := decodeObject(raw, &r); err != nil {
		return PublicKey{}, false, err
	}
	if err := checkNothingPrivate(r); err != nil {
		return PublicKey{}, false, err
	}
	if len(r.Kid) > maxKeyID {
		return PublicKey{}, false, fmt.Errorf("kid is longer than %d bytes", maxKeyID)
	}
	alg, known := signatureAlgorithm(r)
	if !known {
		return PublicKey{}, false, nil
	}
	var jwk gojose.JSONWebKey
	if err := jwk.UnmarshalJSON(raw); err != nil {
		return PublicKey{}, false, plain(err)
	}
	if err := checkKeyUpTo(jwk.Key, maxBits); err != nil {
		return PublicKey{}, false, err
	}
	if alg != "" && !fits(jwk.Key, alg) {
		return PublicKey{}, false, fmt.Errorf("kty %s does not go with alg %s", r.Kty, alg)
	}
	return PublicKey{ID: r.Kid, Alg: alg, Use: r.Use, Key: jwk.Key}, true, nil
}

// checkNothingPrivate refuses whoever sends the key that must stay at home
// (RFC 7517 §9.2).
func checkNothingPrivate(r rawKey) error {
	switch {
	case r.Kty == "oct" || bool(r.K):
		return errors.New("symmetric key (kty oct): send public keys only")
	case bool(r.D || r.P || r.Q || r.DP || r.DQ || r.QI || r.Oth || r.Priv):
		return errors.New("private key: send only its public members, and replace this key, for it has now been seen by others")
	}
	return nil
}

// signatureAlgorithm says whether a key is for signatures of a kind that we
// check, and the one algorithm it is restricted to, if it is.
func signatureAlgorithm(r rawKey) (alg Algorithm, known bool) {
	if r.Use != "" && r.Use != "sig" || r.KeyOps != nil && !slices.Contains(r.KeyOps, "verify") {
		return "", false
	}
	switch r.Kty {
	case "RSA":
	case "EC":
		switch r.Crv {
		case "P-256", "P-384", "P-521": // the latter two are refused, not left out
		default:
			return "", false
		}
	case "OKP":
		if r.Crv != "Ed25519" {
			return "", false
		}
	default:
		return "", false
	}
	alg = AlgorithmNamed(r.Alg)
	return alg, alg == "" || alg.known() || r.Kty == "EC"
}

// Candidates returns the keys that may have made a signature with alg. With a
// kid these are the keys of that kid, without one all that alg can use.
func (s KeySet) Candidates(kid string, alg Algorithm) []PublicKey {
	var out []PublicKey
	for _, k := range s.Keys {
		if (kid == "" || k.ID == kid) && k.UsableWith(alg) {
			out = append(out, k)
		}
	}
	return out
}

// MarshalJSON writes {"keys":[…]}.
func (s KeySet) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	b.WriteString(`{"keys":[`)
	for i, k := range s.Keys {
		if i > 0 {
			b.WriteByte(',')
		}
		raw, err := k.MarshalJSON()
		if err != nil {
			return nil, fmt.Errorf("JWK set: key %d: %w", i+1, err)
		}
		b.Write(raw)
	}
	b.WriteString("]}")
	return b.Bytes(), nil
}
