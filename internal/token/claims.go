// Package token issues access tokens (RFC 9068), verifies them, and knows which
// of them are revoked. A token moves as
//
//	grant -> Authorization -> Issuer -> Issued ... raw -> Verifier -> Verified
//
// and there is no row for it anywhere: only revocations are kept, until what
// they revoke has expired. Who may have a token is decided by the grants of
// authserver; what a token opens, by policy.
package token

import (
	"time"

	"github.com/offkey/offkey/internal/client"
	"github.com/offkey/offkey/internal/oauth"
)

// Claims is what an access token says (RFC 9068 §2.2).
type Claims struct {
	Issuer   string
	Subject  string // the client id where no person is involved
	ClientID string
	ID       string // jti
	Audience []string
	Scope    oauth.Scope // empty: the token has no scope claim
	// IssuedAt and Expires are whole seconds; NotBefore is zero in our own.
	IssuedAt, NotBefore, Expires time.Time
	// APIKeyID is the apikey that was exchanged for this token ("offkey_apikey"):
	// the token falls with it.
	APIKeyID string
}

// Authorization is what a grant decided: who gets a token, and for what.
type Authorization struct {
	Client    *client.Client
	Subject   string        // empty stands for the client's id
	Scope     oauth.Scope   // may be empty
	Resources []string      // the audience, at least one
	Life      time.Duration // at least a second
	APIKeyID  string        // of an exchanged apikey, else empty
	// At is when the decision began: the token counts as issued then, so that
	// what is revoked while it is made takes it along. Zero is now.
	At time.Time
}
