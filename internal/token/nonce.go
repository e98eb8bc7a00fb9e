package token

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"time"

	"github.com/offkey/offkey/internal/secret"
)

// NonceWindow is how long one nonce is handed out. It is accepted for as long
// again, so that a request that is under way when it changes is not sent twice.
const NonceWindow = 5 * time.Minute

// Nonces makes and knows the nonces of DPoP proofs (RFC 9449 §8, §9) without
// keeping any: a nonce is the HMAC of a stretch of time. Nodes with one key know
// each other's; a gateway that takes a key of its own knows only what it handed
// out itself. Safe for concurrent use.
type Nonces struct{ key []byte }

// NewNonces takes a key that serves for nothing else.
func NewNonces(key []byte) *Nonces { return &Nonces{key: append([]byte(nil), key...)} }

// At is the nonce to hand out at now.
func (n *Nonces) At(now time.Time) string { return n.of(window(now)) }

// Knows reports whether nonce is one of now or of the window before or after,
// whose clock may be another node's; current is false where a newer one is to be
// handed out.
func (n *Nonces) Knows(nonce string, now time.Time) (known, current bool) {
	at := window(now)
	current = secret.Same(nonce, n.of(at))
	return current || secret.Same(nonce, n.of(at-1)) || secret.Same(nonce, n.of(at+1)), current
}

func window(now time.Time) int64 { return now.Unix() / int64(NonceWindow/time.Second) }

func (n *Nonces) of(window int64) string {
	mac := hmac.New(sha256.New, n.key)
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], uint64(window))
	mac.Write(b[:])
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil)[:16])
}
