package secret

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
)

// What Open can find wrong. Neither error holds anything of the content.
var (
	ErrWrongKey = errors.New("sealed under another master key")
	ErrAltered  = errors.New("sealed value is damaged, or was sealed for another place")
)

const (
	masterKeyLen  = 32
	masterIDLen   = 8
	sealVersion   = 1
	sealHeaderLen = 1 + masterIDLen
)

// MasterKey seals what must be read back (signing keys, kept apikeys) and
// derives the keys of other purposes. It comes from a file, the environment or
// a KMS and is never stored next to what it seals. Safe for concurrent use.
type MasterKey struct {
	raw  [masterKeyLen]byte
	id   [masterIDLen]byte
	aead cipher.AEAD
}

// GenerateMasterKey returns 32 random bytes for NewMasterKey.
func GenerateMasterKey() ([]byte, error) {
	raw := make([]byte, masterKeyLen)
	if _, err := rand.Read(raw); err != nil {
		return nil, fmt.Errorf("generate master key: %w", err)
	}
	return raw, nil
}

// NewMasterKey takes exactly 32 bytes.
func NewMasterKey(raw []byte) (*MasterKey, error) {
	if len(raw) != masterKeyLen {
		return nil, fmt.Errorf("master key has %d bytes, want %d", len(raw), masterKeyLen)
	}
	m := &MasterKey{raw: [masterKeyLen]byte(raw)}
	copy(m.id[:], m.Derive("master key id"))
	block, err := aes.NewCipher(m.Derive("seal"))
	if err != nil {
		return nil, fmt.Errorf("master key: %w", err)
	}
	if m.aead, err = cipher.NewGCMWithRandomNonce(block); err != nil {
		return nil, fmt.Errorf("master key: %w", err)
	}
	return m, nil
}

// ID names the master key without giving anything of it away: 16 hex digits, to
// tell "another key" from "damaged".
func (m *MasterKey) ID() string { return hex.EncodeToString(m.id[:]) }

// Derive returns the 32-byte key of the purpose named by label, by HKDF-SHA-256
// (RFC 5869 §2). Different labels give independent keys.
func (m *MasterKey) Derive(label string) []byte {
	derived, err := hkdf.Key(sha256.New, m.raw[:], nil, "offkey "+label, 32)
	if err != nil {
		panic("secret: hkdf: " + err.Error()) // only for a length beyond 255 hashes
	}
	return derived
}

// Seal encrypts plaintext with AES-256-GCM and a random nonce. The result is
// version (1 byte), master key id (8), nonce (12), ciphertext and tag (16). It
// opens only with the same aad, which says where it belongs ("signing key
// kid-7"), so that a sealed value moved to another row is refused.
func (m *MasterKey) Seal(plaintext []byte, aad string) []byte {
	out := make([]byte, sealHeaderLen, sealHeaderLen+m.aead.Overhead()+len(plaintext))
	out[0] = sealVersion
	copy(out[1:], m.id[:])
	return m.aead.Seal(out, nil, plaintext, bound(out, aad))
}

// Open returns what Seal was given: ErrWrongKey if another master key sealed it,
// ErrAltered if a bit or the aad differs.
func (m *MasterKey) Open(sealed []byte, aad string) ([]byte, error) {
	switch {
	case len(sealed) < sealHeaderLen+m.aead.Overhead():
		return nil, ErrAltered
	case sealed[0] != sealVersion:
		return nil, fmt.Errorf("sealed value has version %d, this program reads version %d: %w", sealed[0], sealVersion, ErrAltered)
	case !bytes.Equal(sealed[1:sealHeaderLen], m.id[:]):
		return nil, fmt.Errorf("sealed under master key %x, this one is %s: %w", sealed[1:sealHeaderLen], m.ID(), ErrWrongKey)
	}
	plaintext, err := m.aead.Open(nil, nil, sealed[sealHeaderLen:], bound(sealed[:sealHeaderLen], aad))
	if err != nil {
		return nil, ErrAltered
	}
	return plaintext, nil
}

// bound joins the header to aad, so that neither can be changed.
func bound(header []byte, aad string) []byte {
	return append(header[:sealHeaderLen:sealHeaderLen], aad...)
}

// Format keeps the key out of logs, whatever the verb.
func (m *MasterKey) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, placeholder) }
