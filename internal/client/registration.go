package client

import (
	"errors"
	"time"

	"github.com/google/uuid"
	"github.com/offkey/offkey/internal/oauth"
	"github.com/offkey/offkey/internal/secret"
)

// RegistrationToken lets whoever has it register clients (RFC 7591 §3): as often
// as uses are left, until it expires.
type RegistrationToken struct {
	ID       string      `json:"id"`
	Name     string      `json:"name"`
	Hash     secret.Hash `json:"-"`
	Scopes   oauth.Scope `json:"scopes"` // what its clients may ask for beside who a person is
	UsesLeft int         `json:"uses_left"`
	Used     int         `json:"used"`
	Created  time.Time   `json:"created"`
	Expires  time.Time   `json:"expires"`
}

// NewRegistrationTokenID makes the id of a registration token.
func NewRegistrationTokenID() string { return "rt_" + uuid.Must(uuid.NewV7()).String() }

// Registration is how a client comes to be.
type Registration struct {
	Client *Client
	// Token is the hash of the registration token that is spent for it, zero for
	// none.
	Token secret.Hash
	// UnusedUntil is when the client is deleted if it was never used, zero for
	// never. Of those that nobody vouches for there are at most MostUnused.
	UnusedUntil time.Time
	MostUnused  int
	// Voucher names what vouches for any number of clients, "" for nothing that
	// does. Of each there are at most MostVouched, used or not.
	Voucher     string
	MostVouched int
}

// What a store answers about registrations.
var (
	ErrNoRegistrationToken = errors.New("no such registration token, or it is used up or expired")
	ErrTooManyVouched      = errors.New("as many clients have registered on this word as may")
	ErrTooManyUnused       = errors.New("too many clients have registered themselves and were not used yet")
)
