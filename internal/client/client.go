// Package client is a registered client: who it is, how it proves itself, what
// it may ask for. Service accounts are clients: they have no password and
// cannot sign in. Checking a proof is the flow authserver; tokens are package
// token.
package client

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/offkey/offkey/internal/jose"
	"github.com/offkey/offkey/internal/oauth"
	"github.com/offkey/offkey/internal/secret"
)

// Status says whether a client may get tokens.
type Status string

const (
	// Active clients get tokens.
	Active Status = "active"
	// Pending clients wait for an operator's approval and get none.
	Pending Status = "pending"
	// Disabled clients get none, and their tokens are refused.
	Disabled Status = "disabled"
)

// AudiencePolicy says which audiences a client assertion may name.
type AudiencePolicy string

const (
	// Strict takes the issuer identifier only (RFC 10070).
	Strict AudiencePolicy = "strict"
	// Compat also takes the token endpoint or the called endpoint, and a life
	// of up to one hour; every use is counted.
	Compat AudiencePolicy = "compat"
)

// Source says who keeps a client's definition.
const (
	SourceAPI     = "api"     // made by an operator
	SourceFile    = "file"    // declared in the configuration, read-only elsewhere
	SourceUpgrade = "upgrade" // registered with an apikey

	SourceRegistration = "registration" // registered by itself (RFC 7591 §3)
	SourceDocument     = "document"     // its client_id is the URL of its metadata
	SourceBuiltIn      = "built-in"     // a part of offkey
)

// Client is a registered client. The zero value may do nothing.
type Client struct {
	ID         string         `json:"client_id"`
	Name       string         `json:"name"`
	Owner      string         `json:"owner,omitempty"`
	Status     Status         `json:"status"`
	AuthMethod string         `json:"auth"` // token_endpoint_auth_method, binding (RFC 7591 §2)
	SigningAlg jose.Algorithm `json:"signing_alg,omitempty"`
	Audience   AudiencePolicy `json:"audience"`
	JWKSURI    string         `json:"jwks_uri,omitempty"`
	Grants     []string       `json:"grants"`
	Scopes     oauth.Scope    `json:"scopes"`
	// DefaultScopes is what a request without scope is given; empty means a
	// token without scope, never silently the registered set.
	DefaultScopes oauth.Scope `json:"default_scopes,omitempty"`
	// PendingScopes were asked for and wait for approval.
	PendingScopes oauth.Scope `json:"pending_scopes,omitempty"`
	// PendingReason says why the client or its PendingScopes wait, in words for
	// its developer.
	PendingReason string   `json:"pending_reason,omitempty"`
	Resources     []string `json:"resources,omitempty"` // audiences allowed; empty: the default resource
	// APIKeyID is the apikey that this client replaces. Both share owner,
	// rate-limit bucket and audit subject.
	APIKeyID        string       `json:"apikey_id,omitempty"`
	SoftwareID      string       `json:"software_id,omitempty"`
	SoftwareVersion string       `json:"software_version,omitempty"`
	Source          string       `json:"source"`
	Created         time.Time    `json:"created"`
	LastUsed        time.Time    `json:"last_used,omitzero"`
	Credentials     []Credential `json:"credentials"`

	// FirstParty is a part of offkey: nobody is asked whether it may do what they
	// came to it for. It is never stored, and nobody can register it.
	FirstParty bool `json:"-"`

	Details
}

// The kinds of a Credential.
const (
	KindSecret = "secret"
	KindJWK    = "jwk"
	// KindRegistration is the registration_access_token (RFC 7592 §3): it proves
	// the client where it manages its registration, and nowhere else.
	KindRegistration = "registration"
)

// Credential is one way a client proves itself. A client may have several live
// ones of a kind, so that they can be rotated without a gap.
type Credential struct {
	ID       string          `json:"id"`
	Kind     string          `json:"kind"`
	Hash     secret.Hash     `json:"-"` // secrets: SHA-256, never the secret
	Key      *jose.PublicKey `json:"-"` // jwk
	Created  time.Time       `json:"created"`
	Expires  time.Time       `json:"expires,omitzero"` // zero: does not expire
	LastUsed time.Time       `json:"last_used,omitzero"`
}

// NewID makes a client id. Ids of clients start with "cl_" and so never meet
// the id of a person (RFC 9068 §5, RFC 9700 §4.15).
func NewID() string { return "cl_" + uuid.Must(uuid.NewV7()).String() }

// CheckID refuses an id that somebody chose for a client and that is, or may
// become, a person's: as a subject it would be taken for theirs (RFC 9068 §5,
// RFC 9700 §4.15).
func CheckID(id string) error {
	if strings.HasPrefix(id, "pe_") {
		return fmt.Errorf("the client id %q begins with pe_, as the ids of people do", id)
	}
	return nil
}

// NewCredentialID makes the id of a credential.
func NewCredentialID() string { return "cr_" + uuid.Must(uuid.NewV7()).String() }

// Live reports whether the credential may be used at now.
func (c Credential) Live(now time.Time) bool { return c.Expires.IsZero() || now.Before(c.Expires) }

// Allows reports whether the client is registered for the grant type.
func (c *Client) Allows(grantType string) bool { return slices.Contains(c.Grants, grantType) }

// TakesCompat reports whether an assertion of the client may name other
// audiences than the issuer. The FAPI 2.0 Security Profile §5.3.2.1 allows that
// to nobody.
func (c *Client) TakesCompat() bool { return c.Audience == Compat && c.Profile != ProfileFAPI2 }

// Confidential reports whether the client proves itself at all.
func (c *Client) Confidential() bool { return c.AuthMethod != "" && c.AuthMethod != oauth.AuthNone }

// Keys returns the client's inline public keys that are live at now.
func (c *Client) Keys(now time.Time) jose.KeySet {
	var set jose.KeySet
	for _, cr := range c.Credentials {
		if cr.Kind == KindJWK && cr.Key != nil && cr.Live(now) {
			set.Keys = append(set.Keys, *cr.Key)
		}
	}
	return set
}

// Bucket names the rate-limit bucket that the client shares with the apikey
// that it replaces.
func (c *Client) Bucket() string { return c.ID }

// SplitLeak tells apart the clients that were made with a leaked apikey: those
// made at since or later stop, the others are kept. Disabled ones are in
// neither.
func SplitLeak(made []*Client, since time.Time) (stop, keep []*Client) {
	for _, c := range made {
		switch {
		case c.Status == Disabled:
		case c.Created.Before(since):
			keep = append(keep, c)
		default:
			stop = append(stop, c)
		}
	}
	return stop, keep
}

// What a store answers about a client that is not there, or already is.
var (
	ErrNotFound = errors.New("no such client")
	ErrExists   = errors.New("a client with this id exists")
)
