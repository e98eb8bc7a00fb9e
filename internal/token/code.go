package token

import (
	"errors"
	"time"

	"github.com/offkey/offkey/internal/secret"
)

// CodeLife is how long an authorization code may be redeemed (RFC 6749 §4.1.2,
// FAPI 2.0 §5.3.2.1).
const CodeLife = 60 * time.Second

// Code is an authorization code, to be redeemed once for a Grant.
type Code struct {
	Hash        secret.Hash `json:"-"`
	Grant       Grant       `json:"grant"`
	RedirectURI string      `json:"redirect_uri"`
	// Challenge is of S256; empty only for a client registered without PKCE.
	Challenge string `json:"code_challenge,omitempty"`
	// JKT is the key that the client named beforehand: it must be proved when
	// the code is redeemed (RFC 9449 §10).
	JKT     string    `json:"dpop_jkt,omitempty"`
	Expires time.Time `json:"-"`
}

// NewCode makes a code of 256 random bits. What is kept of it is its hash.
func NewCode() secret.Text { return secret.Generate(secret.KindCode) }

// What a store answers about codes.
var (
	ErrNoCode = errors.New("no such code")
	// ErrSpent is a code that was redeemed before: its grant is revoked by now.
	ErrSpent = errors.New("the code was redeemed before")
)
