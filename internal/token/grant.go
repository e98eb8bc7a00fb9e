package token

import (
	"errors"
	"time"

	"github.com/google/uuid"
	"github.com/offkey/offkey/internal/client"
	"github.com/offkey/offkey/internal/oauth"
)

// Grant is what a person allowed a client, once. A code, the refresh family and
// every access token that come of it have its ID, and fall with it.
type Grant struct {
	ID       string `json:"id"` // "gr_…": no credential
	ClientID string `json:"client_id"`
	Login
	Scope     oauth.Scope     `json:"scope,omitempty"`
	Resources []string        `json:"resources,omitempty"`
	Nonce     string          `json:"nonce,omitempty"`
	Claims    RequestedClaims `json:"claims,omitzero"`
	Created   time.Time       `json:"created"`
}

// RequestedClaims are the names of the claims that a client asked for by the
// claims parameter (OIDC Core §5.5), beside those of its scope.
type RequestedClaims struct {
	IDToken  []string `json:"id_token,omitempty"`
	Userinfo []string `json:"userinfo,omitempty"`
}

// NewGrantID makes the id of a Grant.
func NewGrantID() string { return "gr_" + uuid.Must(uuid.NewV7()).String() }

// Offline reports whether the grant goes on when the browser session in which it
// was made has ended. One for OpenID Connect does not, unless offline_access was
// allowed (OIDC Core §11, OIDC Back-Channel Logout §2.7); one for an API does.
func (g Grant) Offline() bool {
	return g.Session == "" || !g.Scope.Has("openid") || g.Scope.Has("offline_access")
}

// GrantOf is the Grant of an Authorization in which a person is involved.
func GrantOf(a Authorization) Grant {
	return Grant{
		ID: a.GrantID, ClientID: a.Client.ID, Login: a.Login, Scope: a.Scope, Resources: a.Resources,
		Nonce: a.Nonce, Claims: a.Claims, Created: a.At,
	}
}

// Authorization is what the Grant gives its client a token for. What the request
// adds is for the caller: life, key, and less than all of it.
func (g Grant) Authorization(c *client.Client) Authorization {
	return Authorization{
		Client: c, Scope: g.Scope, Resources: g.Resources, GrantID: g.ID, Login: g.Login, Nonce: g.Nonce, Claims: g.Claims,
	}
}

// ErrRevoked is what a store answers about a grant that was revoked, or of a
// person, client or session that was.
var ErrRevoked = errors.New("what the person allowed was revoked")
