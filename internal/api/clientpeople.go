package api

import (
	"errors"
	"slices"
	"time"

	"github.com/offkey/offkey/internal/authserver/registration"
	"github.com/offkey/offkey/internal/client"
	"github.com/offkey/offkey/internal/jose"
	"github.com/offkey/offkey/internal/oauth"
)

// forPeople are the members of a client that acts for people. Those left out
// stay, or have their zero value in a new one.
type forPeople struct {
	ApplicationType        *string   `json:"application_type,omitempty"`
	RedirectURIs           *[]string `json:"redirect_uris,omitempty"`
	PostLogoutRedirectURIs *[]string `json:"post_logout_redirect_uris,omitempty"`
	BackchannelLogoutURI   *string   `json:"backchannel_logout_uri,omitempty"`
	PKCEOptional           *bool     `json:"pkce_optional,omitempty"`
	RequirePAR             *bool     `json:"require_pushed_authorization_requests,omitempty"`

	IDTokenAlg  *jose.Algorithm `json:"id_token_signed_response_alg,omitempty"`
	SubjectType *string         `json:"subject_type,omitempty"`
	ClientURI   *string         `json:"client_uri,omitempty"`
	LogoURI     *string         `json:"logo_uri,omitempty"`
	PolicyURI   *string         `json:"policy_uri,omitempty"`
	TosURI      *string         `json:"tos_uri,omitempty"`
}

func (p forPeople) apply(c *client.Client) {
	set(&c.ApplicationType, p.ApplicationType)
	set(&c.RedirectURIs, p.RedirectURIs)
	set(&c.PostLogoutRedirectURIs, p.PostLogoutRedirectURIs)
	if p.BackchannelLogoutURI != nil {
		c.BackchannelLogoutURI, c.BackchannelLogoutSession = *p.BackchannelLogoutURI, *p.BackchannelLogoutURI != ""
	}
	set(&c.PKCEOptional, p.PKCEOptional)
	set(&c.RequirePAR, p.RequirePAR)
	set(&c.IDTokenAlg, p.IDTokenAlg)
	set(&c.SubjectType, p.SubjectType)
	set(&c.ClientURI, p.ClientURI)
	set(&c.LogoURI, p.LogoURI)
	set(&c.PolicyURI, p.PolicyURI)
	set(&c.TosURI, p.TosURI)
}

// grantsForPeople are those in which somebody signs in.
var grantsForPeople = []string{oauth.GrantAuthorizationCode, oauth.GrantDeviceCode, oauth.GrantRefreshToken}

// actsForPeople reports whether the client has a grant in which somebody signs in.
func actsForPeople(c *client.Client) bool {
	return slices.ContainsFunc(grantsForPeople, c.Allows)
}

// checkForPeople holds a client that acts for people to what one that registers
// itself is held to: an operator may be wrong about a redirect URI too.
func checkForPeople(c *client.Client) error {
	switch {
	case !actsForPeople(c) && len(c.RedirectURIs) > 0:
		return badRequest("add authorization_code to grants, or leave redirect_uris out", "redirect_uris are for a client with the grant authorization_code")
	case !actsForPeople(c) && c.AuthMethod == oauth.AuthNone:
		return badRequest("name grants, as in authorization_code or device_code", "a client with auth none has nothing to prove itself with, and cannot act for itself")
	case !actsForPeople(c):
		return nil
	case c.PKCEOptional && !c.Confidential():
		return badRequest("leave it out", "pkce_optional is not for a client with auth none")
	}
	now := time.Now()
	md, err := registration.Describe(c, now)
	if err != nil {
		return err
	}
	err = registration.Check(&md, registration.Policy{
		Methods: clientMethods, Grants: append(slices.Clone(grantsForPeople), oauth.GrantClientCredentials, oauth.GrantTokenExchange, oauth.GrantJWTBearer),
		RequestAlgs: jose.ClientAlgorithms, DPoP: true, MutualTLS: true,
	})
	var said *oauth.Error
	if errors.As(err, &said) {
		return badRequest("", "%s", said.Description)
	}
	c.ApplicationType = md.ApplicationType
	return err
}
