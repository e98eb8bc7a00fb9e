// Package jose is the only package that touches a JOSE library. It says which
// algorithms and keys are good enough, reads what strangers send (JWK sets and
// signed JWTs) strictly, and signs our own tokens.
//
// It knows signatures, not meaning: who the issuer is, whom a token is for and
// whether it has expired is the business of those who call it. Encrypted tokens
// are not read at all.
package jose

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"errors"
	"fmt"
	"slices"
	"strings"

	gojose "github.com/go-jose/go-jose/v4"
)

// Algorithm is a JWS signature algorithm as RFC 7518 §3.1 and RFC 8037 §3.1
// spell it.
type Algorithm string

// The algorithms in use. All are asymmetric: who can check a token here cannot
// make one.
const (
	ES256 Algorithm = "ES256"
	EdDSA Algorithm = "EdDSA"
	RS256 Algorithm = "RS256"
	PS256 Algorithm = "PS256"
)

var (
	// ClientAlgorithms are accepted in client assertions.
	ClientAlgorithms = []Algorithm{ES256, EdDSA, RS256, PS256}

	// ProofAlgorithms are accepted in DPoP proofs (RFC 9449 §4.3).
	ProofAlgorithms = []Algorithm{ES256, EdDSA, PS256, RS256}

	// AccessTokenAlgorithms are those an access token may be signed with. RS256
	// is among them because RFC 9068 §2.1 requires it of both sides.
	AccessTokenAlgorithms = []Algorithm{ES256, EdDSA, RS256, PS256}
)

// The moduli accepted of others. Smaller ones are weak, a larger one is a way to
// make us calculate: verifying costs 5.6 times as much at 3072 bits as at 2048.
const (
	minRSABits = 2048
	maxRSABits = 3072
)

// maxCertificateRSABits is the largest RSA key of a certificate that is taken.
// crypto/tls has checked that its holder has the key by then, once in a
// connection; nothing else is checked with it.
const maxCertificateRSABits = 4096

// maxOwnRSABits is the largest private RSA key to sign with: a caller may have
// one that somebody else's issuer accepts. We would not accept its signatures.
const maxOwnRSABits = 4096

// ed25519Name is what RFC 9864 §2.2 calls EdDSA with an Ed25519 key. It is read
// as EdDSA wherever others write it; what we write is EdDSA, which every reader
// in use understands.
const ed25519Name = "Ed25519"

// AlgorithmNamed returns the algorithm that others call name: EdDSA for both of
// its names. A name that nobody here knows is returned as it is.
func AlgorithmNamed(name string) Algorithm {
	if name == ed25519Name {
		return EdDSA
	}
	return Algorithm(name)
}

// Names returns every name under which algs may be sent, as metadata lists them.
func Names(algs []Algorithm) []string {
	names := make([]string, 0, len(algs)+1)
	for _, alg := range algs {
		names = append(names, string(alg))
		if alg == EdDSA {
			names = append(names, ed25519Name)
		}
	}
	return names
}

// known reports whether alg is one of ours.
func (alg Algorithm) known() bool { return slices.Contains(ClientAlgorithms, alg) }

// checkKey reports what, if anything, makes key unfit to verify with.
func checkKey(key crypto.PublicKey) error { return checkKeyUpTo(key, maxRSABits) }

func checkKeyUpTo(key crypto.PublicKey, maxBits int) error {
	switch key := key.(type) {
	case *ecdsa.PublicKey:
		if key == nil || key.Curve != elliptic.P256() {
			return errors.New("EC key is not on P-256, the curve of ES256")
		}
	case ed25519.PublicKey:
		if len(key) != ed25519.PublicKeySize {
			return fmt.Errorf("Ed25519 key has %d bytes, want %d", len(key), ed25519.PublicKeySize)
		}
	case *rsa.PublicKey:
		if key == nil || key.N == nil {
			return errors.New("RSA key without modulus")
		}
		if bits := key.N.BitLen(); bits < minRSABits || bits > maxBits {
			return fmt.Errorf("RSA key has %d bits, want %d to %d", bits, minRSABits, maxBits)
		}
		if key.E < 3 || key.E&1 == 0 || key.E > 1<<31-1 {
			return fmt.Errorf("RSA key has the unusable exponent %d", key.E)
		}
	default:
		return fmt.Errorf("key of type %T is neither EC P-256, Ed25519 nor RSA", key)
	}
	return nil
}

// fits reports whether keys of this type are used with alg.
func fits(key crypto.PublicKey, alg Algorithm) bool {
	switch key.(type) {
	case *ecdsa.PublicKey:
		return alg == ES256
	case ed25519.PublicKey:
		return alg == EdDSA
	case *rsa.PublicKey:
		return alg == RS256 || alg == PS256
	}
	return false
}

// usualAlgorithm is the algorithm of a key whose owner named none.
func usualAlgorithm(key crypto.PublicKey) Algorithm {
	switch key.(type) {
	case *ecdsa.PublicKey:
		return ES256
	case ed25519.PublicKey:
		return EdDSA
	case *rsa.PublicKey:
		return PS256
	}
	return ""
}

// gojoseAlgorithms translates an allow-list, dropping what we do not know: "none"
// and HS256 cannot be let in by a setting. The library reads a header with a name
// that it cannot verify: verifyRenamed does that.
func gojoseAlgorithms(allowed []Algorithm) []gojose.SignatureAlgorithm {
	out := make([]gojose.SignatureAlgorithm, 0, len(allowed)+1)
	for _, alg := range allowed {
		if alg.known() {
			out = append(out, gojose.SignatureAlgorithm(alg))
		}
		if alg == EdDSA {
			out = append(out, ed25519Name)
		}
	}
	return out
}

// list writes algorithms for an error message.
func list(algs []Algorithm) string {
	names := make([]string, len(algs))
	for i, alg := range algs {
		names[i] = string(alg)
	}
	return strings.Join(names, ", ")
}
