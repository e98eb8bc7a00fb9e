package jose

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"math/big"

	gojose "github.com/go-jose/go-jose/v4"
)

// PublicKey is one key to verify with.
type PublicKey struct {
	ID  string           // kid, may be empty
	Alg Algorithm        // empty: any that the key's type allows
	Use string           // "sig", "enc" or empty
	Key crypto.PublicKey // *ecdsa.PublicKey on P-256, ed25519.PublicKey or *rsa.PublicKey
}

// UsableWith reports whether a signature made with alg may be checked with this
// key: the type and size are right, and neither alg nor use of the key says
// otherwise. A key that says nothing about its algorithm serves every algorithm
// of its type.
func (k PublicKey) UsableWith(alg Algorithm) bool {
	return k.Use != "enc" && (k.Alg == "" || k.Alg == alg) && fits(k.Key, alg) && checkKey(k.Key) == nil
}

// Thumbprint returns the base64url SHA-256 of the key's required members
// (RFC 7638 §3, RFC 8037 §2), or "" for a key that is none of ours.
func (k PublicKey) Thumbprint() string {
	input := make([]byte, 0, 640) // a 3072-bit RSA key needs 552
	switch key := k.Key.(type) {
	case *ecdsa.PublicKey:
		point, err := key.Bytes()
		if err != nil || len(point) != 65 {
			return ""
		}
		input = append(input, `{"crv":"P-256","kty":"EC","x":"`...)
		input = base64.RawURLEncoding.AppendEncode(input, point[1:33])
		input = append(input, `","y":"`...)
		input = base64.RawURLEncoding.AppendEncode(input, point[33:])
	case ed25519.PublicKey:
		input = append(input, `{"crv":"Ed25519","kty":"OKP","x":"`...)
		input = base64.RawURLEncoding.AppendEncode(input, key)
	case *rsa.PublicKey:
		input = append(input, `{"e":"`...)
		input = base64.RawURLEncoding.AppendEncode(input, exponent(key.E))
		input = append(input, `","kty":"RSA","n":"`...)
		input = base64.RawURLEncoding.AppendEncode(input, modulus(key.N))
	default:
		return ""
	}
	sum := sha256.Sum256(append(input, `"}`...))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// exponent is e in as few bytes as it needs, big-endian.
func exponent(e int) []byte {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], uint64(e))
	n := 0
	for n < len(b)-1 && b[n] == 0 {
		n++
	}
	return b[n:]
}

func modulus(n *big.Int) []byte {
	if n == nil {
		return nil
	}
	return n.Bytes()
}

// MarshalJSON writes the key as a JWK (RFC 7517 §4). There is no private member
// that it could write.
func (k PublicKey) MarshalJSON() ([]byte, error) {
	if err := checkKeyUpTo(k.Key, maxOwnRSABits); err != nil {
		return nil, err
	}
	return gojose.JSONWebKey{Key: k.Key, KeyID: k.ID, Algorithm: string(k.Alg), Use: k.Use}.MarshalJSON()
}
