package session

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"time"

	"github.com/offkey/offkey/internal/oauth"
	"github.com/offkey/offkey/internal/secret"
)

// Pushed is an authorization request that a client has sent ahead, by a way of
// its own, so that the browser carries only a reference to it (RFC 9126 §2).
type Pushed struct {
	Hash     secret.Hash // of the request_uri
	ClientID string
	Body     []byte // what the flow that made it keeps
	Expires  time.Time
}

// PushedLife is how long a request_uri is good (RFC 9126 §2.2): time enough to
// sign in, and under the ten minutes of FAPI 2.0 §5.3.2.2.
const PushedLife = 5 * time.Minute

// PushedLimits bound the requests that wait, since a public client has nothing
// to prove itself with before it pushes one.
type PushedLimits struct{ PerClient, All int }

// NewRequestURI makes a reference of 256 random bits (RFC 9126 §7.1).
func NewRequestURI() string {
	var random [32]byte
	_, _ = rand.Read(random[:]) // never fails, crypto/rand
	return oauth.RequestURIPrefix + base64.RawURLEncoding.EncodeToString(random[:])
}

// What a store answers about pushed requests.
var (
	// ErrNotPushed is a request_uri that never was, is too old or was used.
	ErrNotPushed = errors.New("no such pushed request")
	// ErrManyPushed is one beyond the limits.
	ErrManyPushed = errors.New("too many pushed requests wait")
)
