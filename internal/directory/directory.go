// Package directory is the people: who they are, the groups they are in, how
// they can prove themselves, and which scopes they may hand on. Service accounts
// are not here: they are clients, have no password and cannot sign in.
//
// Browser sessions are package session; the pages by which people sign in are
// package signin.
package directory

import (
	"encoding/json"
	"errors"
	"time"

	"github.com/google/uuid"
	"github.com/offkey/offkey/internal/oauth"
)

// Status says whether a person may sign in.
type Status string

const (
	// Active people sign in.
	Active Status = "active"
	// Invited people have not set a credential yet.
	Invited Status = "invited"
	// Disabled people do not sign in, and their tokens are refused.
	Disabled Status = "disabled"
)

// Person is one human being. The zero value may do nothing.
type Person struct {
	ID            string   `json:"id"`   // "pe_…", never used twice: the sub of public subjects
	Name          string   `json:"name"` // what is typed to sign in: unique, without regard to letter case
	Email         string   `json:"email,omitempty"`
	EmailVerified bool     `json:"email_verified"`
	Status        Status   `json:"status"`
	Groups        []string `json:"groups,omitempty"`
	// Claims are standard claims of OIDC Core §5.1 beside those above, as JSON:
	// given_name, picture, address, phone_number and so on.
	Claims     map[string]json.RawMessage `json:"claims,omitempty"`
	Source     string                     `json:"source"` // "file", "api" or the name of an upstream provider
	Created    time.Time                  `json:"created"`
	Updated    time.Time                  `json:"updated,omitzero"` // updated_at
	LastSignIn time.Time                  `json:"last_sign_in,omitzero"`
}

// Group is people who may do the same. A role is a group.
type Group struct {
	Name   string      `json:"name"`
	Scopes oauth.Scope `json:"scopes"` // what its members may hand on to clients
}

// NewID makes the id of a person. It never meets the id of a client (RFC 9068
// §5, RFC 9700 §4.15).
func NewID() string { return "pe_" + uuid.Must(uuid.NewV7()).String() }

// identityScopes are about the person alone: everybody may hand them on
// (OIDC Core §5.4, §11).
var identityScopes = oauth.Scope{"openid", "profile", "email", "address", "phone", "offline_access"}

// MayGrant returns the scopes that a member of these groups may hand on to a
// client: a token for a person never opens more than the person may.
func MayGrant(groups ...Group) oauth.Scope {
	all := identityScopes
	for _, g := range groups {
		all = all.Union(g.Scopes)
	}
	return all
}

// What a store answers about people.
var (
	ErrNotFound = errors.New("no such person")
	ErrExists   = errors.New("a person with this name or email exists")
)
