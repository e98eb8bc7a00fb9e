package directory

import (
	"context"

	"github.com/offkey/offkey/internal/audit"
	"github.com/offkey/offkey/internal/secret"
)

// Account is a person with how they can prove themselves. It is read where
// somebody signs in or changes that, and never kept in memory.
type Account struct {
	*Person
	Password PasswordHash
	// PasswordMark says what Password was made from, where the file declares it:
	// while that is the same the hash stays as it is.
	PasswordMark string
	TOTP         TOTP
	Recovery     []secret.Hash // codes not used yet
	Passkeys     []Passkey
	// End is set by whoever changes the account in a way that ends what began
	// before: sessions, tokens and grants.
	End bool
}

// Factors is what an account can be proved with, without any of it.
type Factors struct {
	Password bool `json:"password"`
	TOTP     bool `json:"totp"`
	Passkeys int  `json:"passkeys"`
	Recovery int  `json:"recovery_codes"` // not used yet
}

// Factors are what the account can be proved with.
func (a *Account) Factors() Factors {
	return Factors{Password: !a.Password.IsZero(), TOTP: !a.TOTP.IsZero(), Passkeys: len(a.Passkeys), Recovery: len(a.Recovery)}
}

// Second reports whether there is a factor beside the password.
func (f Factors) Second() bool { return f.TOTP || f.Passkeys > 0 }

// Store is what a Directory asks of storage. Each change is one transaction
// with its audit event; a function given to one may be called twice, when the
// first attempt was rolled back.
type Store interface {
	// Standing returns a person and their groups as one moment had them, or
	// ErrNotFound.
	Standing(ctx context.Context, id string) (*Standing, error)
	// PersonID finds the person with that name or email address, as LoginOf
	// writes it, or ErrNotFound.
	PersonID(ctx context.Context, login string) (string, error)
	Account(ctx context.Context, id string) (*Account, error)
	// CreateAccount adds a person: ErrExists, or ErrNoGroup.
	CreateAccount(ctx context.Context, a *Account, e audit.Event) error
	// CreateFirstAccount does so for a link ForSetup, which it spends, while
	// there is nobody; else it is ErrSpent.
	CreateFirstAccount(ctx context.Context, link secret.Hash, a *Account, e audit.Event) error
	// UpdateAccount lets update change an account with nobody changing it in
	// between. The error of update leaves all as it was. Where the person is
	// disabled by it, comes into a group that forbids sign-in, or End is set, their
	// sessions, tokens and grants end in the same step.
	UpdateAccount(ctx context.Context, id string, update func(*Account) error, e audit.Event) (*Account, error)
	// AccountOfPasskey finds whose passkey that is, or ErrNoPasskey.
	AccountOfPasskey(ctx context.Context, credentialID []byte) (*Account, error)
	// AddLink keeps a link in place of an older one of its person and purpose.
	AddLink(ctx context.Context, l Link, e audit.Event) error
	// Link returns a link that can still be used, or ErrSpent.
	Link(ctx context.Context, hash secret.Hash, purpose Purpose) (Link, error)
	// RedeemLink spends a link and changes its person's account in one step. Of
	// a link that was used, is too old, or never was, it is ErrSpent.
	RedeemLink(ctx context.Context, hash secret.Hash, purpose Purpose, redeem func(Link, *Standing, *Account) error, e audit.Event) (*Account, error)
	// NoteSignIn remembers when a person signed in last. It is no change of the
	// person.
	NoteSignIn(ctx context.Context, id string) error
	// Peopled reports whether there is anybody.
	Peopled(ctx context.Context) (bool, error)
}
