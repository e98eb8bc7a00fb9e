package token

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"strings"
	"time"

	"github.com/offkey/offkey/internal/secret"
)

// Family is all refresh tokens of one Grant, each made from the one before. Only
// the newest is good; that an older one comes back means that two have the
// family, and ends it (RFC 9700 §4.14.2).
//
// A token is a secret and the handle of its family, so that an old one is known
// for what it is without a row for each.
type Family struct {
	Grant
	Handle   secret.Hash // finds the family; whoever has it has seen one of its tokens
	Current  secret.Hash
	Previous secret.Hash // zero before the first rotation
	Rotated  time.Time
	// Confirmation is the key that a public client's requests must prove
	// (RFC 9449 §5, RFC 8705 §4); that of others is bound by their
	// authentication.
	Confirmation
	LastUsed time.Time
	Idle     time.Duration // unused for that long it ends; 0: it does not
	Ends     time.Time     // whatever happens
}

// handleBytes is the entropy of a handle.
const handleBytes = 16

const handleChars = (handleBytes*8 + 5) / 6

// RefreshToken is a refresh token as it was sent: where to look, and what must
// be there.
type RefreshToken struct {
	Handle, Secret secret.Hash
	text           secret.Text
}

// NewRefreshToken makes the first token of a family.
func NewRefreshToken() (text secret.Text, t RefreshToken) {
	var handle [handleBytes]byte
	_, _ = rand.Read(handle[:]) // never fails, crypto/rand
	raw := secret.Generate(secret.KindRefreshToken).Reveal() + "." + base64.RawURLEncoding.EncodeToString(handle[:])
	t, _ = ReadRefreshToken(raw)
	return secret.NewText(raw), t
}

// ReadRefreshToken reports whether s has the shape of a refresh token. That
// spares a look-up and proves nothing.
func ReadRefreshToken(s string) (RefreshToken, bool) {
	body, handle, found := strings.Cut(s, ".")
	raw, err := base64.RawURLEncoding.Strict().DecodeString(handle)
	if !found || err != nil || len(raw) != handleBytes || len(handle) != handleChars || // the decoder skips line breaks
		!secret.WellFormed(body) || !strings.HasPrefix(body, "offkey_"+secret.KindRefreshToken+"_") {
		return RefreshToken{}, false
	}
	return RefreshToken{Handle: secret.HashOf(handle), Secret: secret.HashOf(body), text: secret.NewText(s)}, true
}

// Next is the token that follows t. It is always the same, and cannot be told
// without key: so it can be said again to whoever did not hear it, and is kept
// nowhere.
func (t RefreshToken) Next(key []byte) (text secret.Text, next RefreshToken) {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(t.text.Reveal()))
	_, handle, _ := strings.Cut(t.text.Reveal(), ".")
	raw := secret.From(secret.KindRefreshToken, mac.Sum(nil)).Reveal() + "." + handle
	next, _ = ReadRefreshToken(raw)
	return secret.NewText(raw), next
}

// Standing is what a refresh token is in its family.
type Standing int

// Unknown is the zero Standing.
const (
	Unknown  Standing = iota // of no family, or one that has ended
	Newest                   // good
	Repeated                 // the one before, within the grace for lost answers: its successor is said again
	Reused                   // seen before: the family ends
)

// Judge says what t is at now.
func (f Family) Judge(t RefreshToken, now time.Time, grace time.Duration) Standing {
	switch {
	case !f.Handle.Equal(t.Handle), !now.Before(f.Ends), f.Idle > 0 && !now.Before(f.LastUsed.Add(f.Idle)):
		return Unknown
	case f.Current.Equal(t.Secret):
		return Newest
	case !f.Previous.IsZero() && f.Previous.Equal(t.Secret) && now.Before(f.Rotated.Add(grace)):
		return Repeated
	}
	return Reused
}

// ErrNoFamily is what a store answers about a refresh token whose family is not
// there, or no longer.
var ErrNoFamily = errors.New("no such refresh token")
