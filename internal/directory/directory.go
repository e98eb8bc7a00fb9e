// Package directory is the people: who they are, the groups they are in, how
// they can prove themselves, and which scopes they may hand on. Service accounts
// are not here: they are clients, have no password and cannot sign in.
//
//	name, password -> Directory.CheckPassword -> Standing -> session
//
// A Standing is a person with what their groups say, and every way in asks it
// whether it is open. Browser sessions are package session; the pages by which
// people sign in are package signin.
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

// Where the definition of a person or a group is kept, beside the names of
// upstream providers.
const (
	SourceAPI  = "api"  // made by an operator
	SourceFile = "file" // declared in the configuration, read-only elsewhere
)

// The groups that are always there.
const (
	// Everyone has every person in it: its policy is the global one.
	Everyone = "everyone"
	// Admins are who the first administrator belongs to.
	Admins = "admins"
)

// RoleAdmin lets members operate offkey: see and change all in the console. A
// role is about offkey itself and opens nothing of the API.
const RoleAdmin = "admin"

// Group is people who may do the same. A role of the API is a group.
type Group struct {
	Name    string      `json:"name"`
	Scopes  oauth.Scope `json:"scopes"`          // what its members may hand on to clients
	Roles   []string    `json:"roles,omitempty"` // what they may do with offkey itself
	Policy  Policy      `json:"policy"`
	Source  string      `json:"source"`
	Created time.Time   `json:"created,omitzero"` // zero: was there from the start
	Updated time.Time   `json:"updated,omitzero"`
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
	ErrNoGroup  = errors.New("no such group")
	ErrInvalid  = errors.New("a person cannot be made so")
	ErrSpent    = errors.New("it was used already, is too old, or never was") // of what can be used once
)

// Filter chooses the people of a list. Its zero value takes all, a page at a
// time.
type Filter struct {
	Group  string // "" is any
	Status Status // "" is any
	Source string // "" is any
	Limit  int    // the most that one page holds; 0 is a hundred
	After  string // the cursor that the page before gave, "" for the first
}
