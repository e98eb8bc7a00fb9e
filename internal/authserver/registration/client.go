package registration

import (
	"fmt"
	"net/url"
	"slices"
	"time"

	"github.com/offkey/offkey/internal/client"
	"github.com/offkey/offkey/internal/jose"
	"github.com/offkey/offkey/internal/oauth"
)

// Apply writes metadata that Check has let through into c: all of it, so that
// what is left out is gone (RFC 7592 §2.2). Id, status, scopes, secrets and
// what an operator decided stay as they are.
func Apply(md oauth.ClientMetadata, c *client.Client, now time.Time) error {
	c.Name, c.AuthMethod, c.SigningAlg = md.ClientName, md.TokenEndpointAuthMethod, jose.AlgorithmNamed(md.TokenEndpointAuthSigningAlg)
	c.JWKSURI, c.Grants, c.SoftwareID, c.SoftwareVersion = md.JWKSURI, md.GrantTypes, md.SoftwareID, md.SoftwareVersion
	if c.Name == "" {
		c.Name = c.ID
	}
	if c.Audience == "" {
		c.Audience = client.Strict
	}
	d := c.Details
	c.Details = client.Details{
		ApplicationType: md.ApplicationType, RedirectURIs: md.RedirectURIs, RequirePAR: md.RequirePushedAuthorizationRequests, RequestAlg: jose.AlgorithmNamed(md.RequestObjectSigningAlg),
		DPoPBound: md.DPoPBoundAccessTokens, CertificateBound: md.TLSClientCertificateBoundAccessTokens,
		TLS: client.TLSSubject{
			DN: md.TLSClientAuthSubjectDN, DNS: md.TLSClientAuthSANDNS, URI: md.TLSClientAuthSANURI, IP: md.TLSClientAuthSANIP, Email: md.TLSClientAuthSANEmail,
		},
		IDTokenAlg: jose.Algorithm(md.IDTokenSignedResponseAlg), UserinfoAlg: jose.Algorithm(md.UserinfoSignedResponseAlg), RequestURIs: md.RequestURIs, SubjectType: md.SubjectType, SectorIdentifier: sectorOf(md), DefaultMaxAge: md.DefaultMaxAge,
		PostLogoutRedirectURIs: md.PostLogoutRedirectURIs, BackchannelLogoutURI: md.BackchannelLogoutURI, BackchannelLogoutSession: md.BackchannelLogoutSessionRequired,
		InitiateLoginURI: md.InitiateLoginURI, ClientURI: md.ClientURI, LogoURI: md.LogoURI, PolicyURI: md.PolicyURI, TosURI: md.TosURI, Contacts: md.Contacts,
		Profile: d.Profile, PKCEOptional: d.PKCEOptional, Quarantined: d.Quarantined, SectorIdentifierURI: md.SectorIdentifierURI,
		Statement: d.Statement,
	}
	return applyKeys(md, c, now)
}

// sectorOf is the host that pairwise subjects are made for (OIDC Core §8.1).
func sectorOf(md oauth.ClientMetadata) string {
	if u, err := url.Parse(md.SectorIdentifierURI); err == nil && u.Hostname() != "" {
		return u.Hostname()
	}
	return ""
}

// applyKeys puts the keys of the metadata in place of those that c had. One that
// stays keeps its id and its times.
func applyKeys(md oauth.ClientMetadata, c *client.Client, now time.Time) error {
	before := c.Credentials
	c.Credentials = slices.DeleteFunc(slices.Clone(before), func(cr client.Credential) bool { return cr.Kind == client.KindJWK })
	if md.JWKS == nil {
		return nil
	}
	set, err := parseKeys(&md)
	if err != nil { // Check has read it
		return fmt.Errorf("register keys: %w", err)
	}
	for _, k := range set.Keys {
		cr := client.Credential{ID: client.NewCredentialID(), Kind: client.KindJWK, Key: &k, Created: now}
		for _, old := range before {
			if old.Kind == client.KindJWK && old.Key != nil && old.Key.ID == k.ID && old.Key.Thumbprint() == k.Thumbprint() {
				cr = old
			}
		}
		c.Credentials = append(c.Credentials, cr)
	}
	return nil
}

// Describe is what is registered of c (RFC 7591 §3.2.1).
func Describe(c *client.Client, now time.Time) (oauth.ClientMetadata, error) {
	md := oauth.ClientMetadata{
		ClientName: c.Name, TokenEndpointAuthMethod: c.AuthMethod, TokenEndpointAuthSigningAlg: string(c.SigningAlg), GrantTypes: c.Grants, Scope: c.Scopes.String(),
		JWKSURI: c.JWKSURI, SoftwareID: c.SoftwareID, SoftwareVersion: c.SoftwareVersion,
		ApplicationType: c.ApplicationType, RedirectURIs: c.RedirectURIs, RequirePushedAuthorizationRequests: c.RequirePAR, RequestObjectSigningAlg: string(c.RequestAlg),
		DPoPBoundAccessTokens: c.DPoPBound, TLSClientCertificateBoundAccessTokens: c.CertificateBound,
		TLSClientAuthSubjectDN: c.TLS.DN, TLSClientAuthSANDNS: c.TLS.DNS, TLSClientAuthSANURI: c.TLS.URI, TLSClientAuthSANIP: c.TLS.IP, TLSClientAuthSANEmail: c.TLS.Email,
		IDTokenSignedResponseAlg: string(c.IDTokenAlg), UserinfoSignedResponseAlg: string(c.UserinfoAlg), RequestURIs: c.RequestURIs, SubjectType: c.SubjectType, SectorIdentifierURI: c.SectorIdentifierURI, DefaultMaxAge: c.DefaultMaxAge,
		PostLogoutRedirectURIs: c.PostLogoutRedirectURIs, BackchannelLogoutURI: c.BackchannelLogoutURI, BackchannelLogoutSessionRequired: c.BackchannelLogoutSession,
		InitiateLoginURI: c.InitiateLoginURI, ClientURI: c.ClientURI, LogoURI: c.LogoURI, PolicyURI: c.PolicyURI, TosURI: c.TosURI, Contacts: c.Contacts,
	}
	if c.Allows(oauth.GrantAuthorizationCode) {
		md.ResponseTypes = []string{"code"}
	}
	if keys := c.Keys(now); len(keys.Keys) > 0 {
		raw, err := keys.MarshalJSON()
		if err != nil {
			return md, fmt.Errorf("describe client %s: %w", c.ID, err)
		}
		md.JWKS = raw
	}
	return md, nil
}
