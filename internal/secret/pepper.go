package secret

import (
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"hash"
	"sync"
)

// minPepper is the shortest pepper accepted: as long as the hash, RFC 2104 §3.
const minPepper = sha256.Size

// Pepper makes the fingerprints under which apikeys are kept. Apikeys were
// chosen by others and may be short, so a plain hash of one could be guessed
// from a stolen database; this one cannot without the pepper, which lives
// outside the database. Safe for concurrent use.
type Pepper struct{ states sync.Pool }

// state is one HMAC ready for its input, with room for that and the output.
type state struct {
	mac hash.Hash
	in  [256]byte
	out [sha256.Size]byte
}

// NewPepper takes a key of at least 32 bytes.
func NewPepper(key []byte) (*Pepper, error) {
	if len(key) < minPepper {
		return nil, fmt.Errorf("pepper has %d bytes, want at least %d", len(key), minPepper)
	}
	key = append([]byte(nil), key...)
	p := new(Pepper)
	p.states.New = func() any { return &state{mac: hmac.New(sha256.New, key)} }
	return p, nil
}

// Fingerprint returns HMAC-SHA-256 of apikey under the pepper. It allocates
// nothing.
func (p *Pepper) Fingerprint(apikey string) Hash {
	s := p.states.Get().(*state)
	for len(apikey) > 0 {
		n := copy(s.in[:], apikey)
		s.mac.Write(s.in[:n])
		apikey = apikey[n:]
	}
	return p.finish(s)
}

// FingerprintBytes is Fingerprint for bytes.
func (p *Pepper) FingerprintBytes(apikey []byte) Hash {
	s := p.states.Get().(*state)
	for len(apikey) > 0 { // copied, so that the caller's bytes need not escape
		n := copy(s.in[:], apikey)
		s.mac.Write(s.in[:n])
		apikey = apikey[n:]
	}
	return p.finish(s)
}

// finish takes the sum and puts the state back, without the apikey in it.
func (p *Pepper) finish(s *state) Hash {
	s.mac.Sum(s.out[:0])
	h := Hash(s.out)
	clear(s.in[:])
	s.mac.Reset()
	p.states.Put(s)
	return h
}
