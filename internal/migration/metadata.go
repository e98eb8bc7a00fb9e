package migration

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/offkey/offkey/internal/apikey"
	"github.com/offkey/offkey/internal/client"
	"github.com/offkey/offkey/internal/jose"
	"github.com/offkey/offkey/internal/oauth"
)

// clientFrom makes the client that a registration describes, without scopes.
// What it does not offer is refused rather than left out where leaving it out
// would be less safe than asked for; the rest is replaced (RFC 7591 §3.2.1).
func clientFrom(md oauth.ClientMetadata, k *apikey.Key, now time.Time) (*client.Client, error) {
	c := &client.Client{
		ID: client.NewID(), Name: clientName(md, k), Owner: k.Owner, Status: client.Active, Audience: client.Strict,
		AuthMethod: oauth.AuthPrivateKeyJWT, Grants: []string{oauth.GrantClientCredentials}, APIKeyID: k.ID,
		SoftwareID: shortened(md.SoftwareID), SoftwareVersion: shortened(md.SoftwareVersion), Source: client.SourceUpgrade, Created: now,
	}
	return c, cmp.Or(checkAuthMethod(md), checkGrants(md), checkNothingMissing(md), addKeys(c, md, now))
}

// checkAuthMethod: what takes the place of an apikey is a key pair. A secret
// would be an apikey again.
func checkAuthMethod(md oauth.ClientMetadata) error {
	if m := md.TokenEndpointAuthMethod; m != "" && m != oauth.AuthPrivateKeyJWT {
		return oauth.InvalidClientMetadata("token_endpoint_auth_method is private_key_jwt for a client registered with an apikey")
	}
	return nil
}

// checkGrants: a client that replaces an apikey gets client_credentials, and
// nothing that needs a browser (RFC 7591 §2.1).
func checkGrants(md oauth.ClientMetadata) error {
	switch {
	case len(md.GrantTypes) > 0 && !slices.Contains(md.GrantTypes, oauth.GrantClientCredentials):
		return oauth.InvalidClientMetadata("grant_types: a client registered with an apikey gets client_credentials")
	case len(md.RedirectURIs) > 0:
		return oauth.InvalidRedirectURI("redirect_uris: a client registered with an apikey has no browser to redirect")
	}
	return nil
}

// checkNothingMissing refuses protections that would silently not be there.
func checkNothingMissing(md oauth.ClientMetadata) error {
	for name, asked := range map[string]bool{
		"dpop_bound_access_tokens":                   md.DPoPBoundAccessTokens,
		"tls_client_certificate_bound_access_tokens": md.TLSClientCertificateBoundAccessTokens,
		"software_statement":                         md.SoftwareStatement != "",
	} {
		if asked {
			return oauth.InvalidClientMetadata(name + " is not offered here: leave it out")
		}
	}
	return nil
}

// addKeys takes public keys inline only: what is behind a URI can change after
// the owner of the apikey has looked at it.
func addKeys(c *client.Client, md oauth.ClientMetadata, now time.Time) error {
	switch {
	case md.JWKSURI != "":
		return oauth.InvalidClientMetadata("jwks_uri is not taken with an apikey: send the public keys as jwks")
	case len(md.JWKS) == 0:
		return oauth.InvalidClientMetadata("jwks is missing: send the public keys of private_key_jwt, as `offkey upgrade` does")
	}
	set, err := jose.ParseKeySet(md.JWKS)
	if err != nil {
		return oauth.InvalidClientMetadata("jwks: " + err.Error())
	}
	if alg := jose.AlgorithmNamed(md.TokenEndpointAuthSigningAlg); alg != "" {
		if !slices.Contains(jose.ClientAlgorithms, alg) || len(set.Candidates("", alg)) == 0 {
			return oauth.InvalidClientMetadata("token_endpoint_auth_signing_alg is none that the keys of jwks can be used with: ES256, EdDSA, PS256 or RS256")
		}
		c.SigningAlg = alg
	}
	for _, public := range set.Keys {
		c.Credentials = append(c.Credentials, client.Credential{ID: client.NewCredentialID(), Kind: client.KindJWK, Key: &public, Created: now})
	}
	return nil
}

// clientName is the name asked for, else one that says where it comes from.
func clientName(md oauth.ClientMetadata, k *apikey.Key) string {
	if name := strings.TrimSpace(md.ClientName); name != "" {
		return shortened(name)
	}
	return shortened(cmp.Or(k.Label, "upgrade of apikey ..."+k.Last4))
}

// shortened keeps what may be shown of a text that a stranger chose, "" for
// none.
func shortened(s string) string {
	if s == "" {
		return ""
	}
	return printable(s)
}
