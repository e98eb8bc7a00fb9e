package jose

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
)

// rsaBits is the size of RSA keys made here.
const rsaBits = 2048

// SigningKey is a private key, its kid and its algorithm. It prints as neither.
// Safe for concurrent use.
type SigningKey struct {
	public  PublicKey
	signer  crypto.Signer
	headers atomic.Pointer[[]encodedHeader]
}

// GenerateSigningKey makes a key for alg whose kid is its RFC 7638 thumbprint,
// one that no command line takes for a flag. RSA takes tenths of a second: never
// do it while a caller waits.
func GenerateSigningKey(alg Algorithm) (*SigningKey, error) {
	for {
		if k, err := generate(alg); err != nil || !strings.HasPrefix(k.ID(), "-") {
			return k, err
		}
	}
}

func generate(alg Algorithm) (*SigningKey, error) {
	var signer crypto.Signer
	var err error
	switch alg {
	case ES256:
		signer, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case EdDSA:
		_, signer, err = ed25519.GenerateKey(rand.Reader)
	case RS256, PS256:
		signer, err = rsa.GenerateKey(rand.Reader, rsaBits)
	default:
		return nil, fmt.Errorf("generate signing key: %w: %q, want one of %s", ErrAlgorithm, string(alg), list(ClientAlgorithms))
	}
	if err != nil {
		return nil, fmt.Errorf("generate signing key: %w", err)
	}
	return NewSigningKey(signer, "", alg)
}

// ParseSigningKey reads the PKCS #8 that MarshalPKCS8 wrote. An empty kid stands
// for the thumbprint, an empty alg for the usual one of the key's type.
func ParseSigningKey(der []byte, kid string, alg Algorithm) (*SigningKey, error) {
	key, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, errors.New("signing key is not PKCS #8") // without the cause, which could quote the key
	}
	return localKey(key, kid, alg)
}

// ParseSigningKeyPEM reads a private key from PEM: PKCS #8 ("PRIVATE KEY"),
// SEC 1 ("EC PRIVATE KEY") or PKCS #1 ("RSA PRIVATE KEY"). The kid is the
// thumbprint. The algorithm follows from the key's type, PS256 for RSA unless
// alg asks for RS256.
func ParseSigningKeyPEM(data []byte, alg ...Algorithm) (*SigningKey, error) {
	block, key, err := privateKeyBlock(data)
	if err != nil {
		return nil, err
	}
	if key == nil {
		return nil, fmt.Errorf("PEM block %q cannot be read: want an unencrypted private key in PKCS #8, SEC 1 or PKCS #1 form", block)
	}
	var wanted Algorithm
	if len(alg) > 0 {
		wanted = alg[0]
	}
	return localKey(key, "", wanted)
}

// localKey takes a private key that was read here.
func localKey(key any, kid string, alg Algorithm) (*SigningKey, error) {
	switch key := key.(type) {
	case *ecdsa.PrivateKey:
		return NewSigningKey(key, kid, alg)
	case ed25519.PrivateKey:
		return NewSigningKey(key, kid, alg)
	case *rsa.PrivateKey:
		return NewSigningKey(key, kid, alg)
	}
	return nil, fmt.Errorf("private key of type %T is neither EC P-256, Ed25519 nor RSA", key)
}

// privateKeyBlock returns the first private key in data, passing over EC
// parameters and certificates, which some tools write before it.
func privateKeyBlock(data []byte) (blockType string, key any, err error) {
	for {
		block, rest := pem.Decode(data)
		if block == nil {
			return "", nil, errors.New(`no private key in PEM form found: want a block "-----BEGIN PRIVATE KEY-----"`)
		}
		data = rest
		switch block.Type {
		case "PRIVATE KEY":
			if k, err := x509.ParsePKCS8PrivateKey(block.Bytes); err == nil {
				key = k
			}
		case "EC PRIVATE KEY":
			if k, err := x509.ParseECPrivateKey(block.Bytes); err == nil {
				key = k
			}
		case "RSA PRIVATE KEY":
			if k, err := x509.ParsePKCS1PrivateKey(block.Bytes); err == nil {
				key = k
			}
		case "ENCRYPTED PRIVATE KEY", "OPENSSH PRIVATE KEY":
		default:
			continue
		}
		return block.Type, key, nil
	}
}

// ID returns the kid.
func (k *SigningKey) ID() string { return k.public.ID }

// Alg returns the algorithm of its signatures.
func (k *SigningKey) Alg() Algorithm { return k.public.Alg }

// Public returns what others verify with: kid, alg and use "sig" are set.
func (k *SigningKey) Public() PublicKey { return k.public }

// MarshalPKCS8 returns the private key for sealing or for a 0600 file.
func (k *SigningKey) MarshalPKCS8() ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(k.signer)
	if err != nil {
		return nil, fmt.Errorf("encode signing key %s: %w", k.ID(), err)
	}
	return der, nil
}

// PEM returns the private key as a PKCS #8 "PRIVATE KEY" block.
func (k *SigningKey) PEM() ([]byte, error) {
	der, err := k.MarshalPKCS8()
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

// String names the key without showing it.
func (k *SigningKey) String() string { return string(k.Alg()) + " signing key " + k.ID() }

// Format answers every verb with String, since %d would print the fields.
func (k *SigningKey) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, k.String()) }
