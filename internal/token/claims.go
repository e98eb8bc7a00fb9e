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
	"github.com/offkey/offkey/internal/secret"
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
	// GrantID is what a person allowed, or one exchange ("offkey_grant"): all
	// tokens of one code or one refresh family have the same, and fall with it.
	GrantID      string
	Login               // of the person, if there is one
	Actor        *Actor // who acts for the subject, nil for itself (RFC 8693 §4.1)
	Confirmation        // what the token is bound to
	// From is the client whose token was exchanged for this one, and for those
	// before it ("offkey_from"): what ends that client's tokens ends this one.
	From string
	// MayAct is the subject that alone may act for this one (RFC 8693 §4.4). Our
	// tokens do not say it; whichever does is held to it.
	MayAct string
}

// Login is how the person of a token signed in. The zero value is no person.
type Login struct {
	PersonID string    `json:"person_id,omitempty"`  // "offkey_person": Subject may be pairwise
	Session  string    `json:"session_id,omitempty"` // sid
	AuthTime time.Time `json:"auth_time,omitzero"`   // whole seconds
	ACR      string    `json:"acr,omitempty"`
	AMR      []string  `json:"amr,omitempty"` // RFC 8176
	// Pairwise says that the client knows the person by another name: its tokens
	// then say neither PersonID nor Session, and fall with their grant.
	Pairwise bool `json:"pairwise,omitempty"`
}

// ofToken begins the GrantID of what a token without one was exchanged for.
const ofToken = "tk_"

// GrantOfToken is the GrantID of what a token that has none is exchanged for:
// whoever revokes that token, by its jti, revokes this too.
func GrantOfToken(jti string) string { return ofToken + jti }

// Actor is one link of the act chain, the newest outermost (RFC 8693 §4.1).
type Actor struct {
	Subject string `json:"sub"`
	Actor   *Actor `json:"act,omitempty"`
}

// Confirmation is the key that whoever uses a token must prove to hold (RFC 7800
// §3.1). At most one member is set; the zero value is a bearer token.
type Confirmation struct {
	JKT     string // thumbprint of a DPoP key (RFC 9449 §6.1)
	X5TS256 string // of a client certificate (RFC 8705 §3.1)
}

// Bound reports whether the token is of no use to whoever only has it.
func (c Confirmation) Bound() bool { return c != Confirmation{} }

// Authorization is what a grant decided: who gets a token, and for what.
type Authorization struct {
	Client    *client.Client
	Subject   string        // empty stands for the client's id
	Scope     oauth.Scope   // may be empty
	Resources []string      // the audience, at least one
	Life      time.Duration // at least a second
	APIKeyID  string        // of an exchanged apikey, else empty
	GrantID   string        // see Claims; empty where nothing is kept of the grant
	Login     Login         // of the person, if there is one
	Actor     *Actor        // who acts for the subject
	Confirmation
	From string // see Claims
	// Nonce and Claims are what a client asked its ID token, and what userinfo
	// says, to hold.
	Nonce  string
	Claims RequestedClaims
	// Refreshable grants may be renewed by a refresh token, where the client is
	// registered for that; the token endpoint starts the family.
	Refreshable bool
	// Kept says that the store has the grant already, as a code does.
	Kept bool
	// RefreshToken is handed out by the grant itself: the next of a family.
	RefreshToken secret.Text
	// At is when the decision began: the token counts as issued then, so that
	// what is revoked while it is made takes it along. Zero is now.
	At time.Time
}
