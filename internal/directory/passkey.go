package directory

import (
	"errors"
	"time"
)

// MostPasskeys is how many passkeys a person can have.
const MostPasskeys = 20

// Passkey is a WebAuthn credential of a person. What it proves is checked by
// package signin; here is what must be kept for that.
type Passkey struct {
	ID         []byte   `json:"-"` // credential id, chosen by the authenticator
	PersonID   string   `json:"-"` // also the user handle
	Key        []byte   `json:"-"` // COSE public key, as it was sent
	SignCount  uint32   `json:"-"`
	AAGUID     []byte   `json:"-"` // the model, 16 bytes
	Transports []string `json:"transports,omitempty"`
	Name       string   `json:"name"` // its owner's word for it
	// Eligible and BackedUp say whether it may be, and is, copied to other
	// devices of its owner (WebAuthn Level 3 §6.1.3).
	Eligible bool      `json:"backup_eligible"`
	BackedUp bool      `json:"backed_up"`
	Created  time.Time `json:"created"`
	LastUsed time.Time `json:"last_used,omitzero"`
}

// ErrCloned is a passkey whose count of signatures went backwards: there are two
// of it (WebAuthn Level 3 §6.1.1).
var ErrCloned = errors.New("this passkey was used by another copy of it")

// ErrNoPasskey is a credential id that nobody has.
var ErrNoPasskey = errors.New("no such passkey")

// ErrTooMany is a person who has as many passkeys as there can be.
var ErrTooMany = errors.New("too many passkeys: remove one first")

// CountHolds reports whether a signature with this count may follow one with
// the count before. Authenticators that do not count say 0 always.
func CountHolds(before, now uint32) bool { return before == 0 && now == 0 || now > before }
