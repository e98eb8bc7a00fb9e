// Package registration judges what a client says of itself, whether it registers
// (RFC 7591, OpenID Connect Dynamic Client Registration) or publishes it under
// its client_id. Each rule is a function that also fills in what was left out.
// Who may register, and what is kept of it, is decided by those who call it.
package registration

import (
	"slices"
	"strings"
	"unicode"

	"github.com/offkey/offkey/internal/client"
	"github.com/offkey/offkey/internal/jose"
	"github.com/offkey/offkey/internal/oauth"
)

// Policy is what a client may be registered for.
type Policy struct {
	Methods []string // token_endpoint_auth_method
	Grants  []string
	// RequestAlgs are those that signed authorization requests may have.
	RequestAlgs []jose.Algorithm
	// DPoP and MutualTLS say which bound tokens can be promised.
	DPoP, MutualTLS bool
}

// idTokenAlgs are those that ID tokens can be signed with.
var idTokenAlgs = []string{"RS256", "PS256", "ES256", "EdDSA"}

// Check holds metadata to the policy and to the specifications, and completes
// it. The error is an *oauth.Error.
func Check(md *oauth.ClientMetadata, p Policy) error {
	for _, check := range []func(*oauth.ClientMetadata, Policy) error{
		checkGrants, checkResponses, checkMethod, checkKeys, checkType, checkRedirects, checkOtherURIs, checkSector, checkAlgorithms, checkBound, checkScope, checkNames,
	} {
		if err := check(md, p); err != nil {
			return err
		}
	}
	return nil
}

// checkGrants fills in authorization_code (RFC 7591 §2) and refuses what the
// client could not use.
func checkGrants(md *oauth.ClientMetadata, p Policy) error {
	if len(md.GrantTypes) == 0 {
		md.GrantTypes = []string{oauth.GrantAuthorizationCode}
	}
	for _, g := range md.GrantTypes {
		if !slices.Contains(p.Grants, g) {
			return oauth.InvalidClientMetadata("grant_types may be some of " + strings.Join(p.Grants, ", "))
		}
	}
	if slices.Equal(md.GrantTypes, []string{oauth.GrantRefreshToken}) {
		return oauth.InvalidClientMetadata("grant_types has refresh_token alone: name the grant that a refresh token would come of")
	}
	return nil
}

// checkResponses: the code flow has a response type, other grants have none
// (RFC 7591 §2.1).
func checkResponses(md *oauth.ClientMetadata, _ Policy) error {
	byCode := slices.Contains(md.GrantTypes, oauth.GrantAuthorizationCode)
	if len(md.ResponseTypes) == 0 && byCode {
		md.ResponseTypes = []string{"code"}
	}
	for _, t := range md.ResponseTypes {
		switch {
		case t != "code":
			return oauth.InvalidClientMetadata("response_types may only be code")
		case !byCode:
			return oauth.InvalidClientMetadata("response_types has code, and grant_types lacks authorization_code: RFC 7591 section 2.1")
		}
	}
	return nil
}

// checkMethod fills in client_secret_basic (RFC 7591 §2). A client that proves
// nothing cannot act for itself.
func checkMethod(md *oauth.ClientMetadata, p Policy) error {
	if md.TokenEndpointAuthMethod == "" {
		md.TokenEndpointAuthMethod = oauth.AuthClientSecretBasic
	}
	public := md.TokenEndpointAuthMethod == oauth.AuthNone
	switch {
	case !slices.Contains(p.Methods, md.TokenEndpointAuthMethod):
		return oauth.InvalidClientMetadata("token_endpoint_auth_method may be one of " + strings.Join(p.Methods, ", "))
	case public && slices.Contains(md.GrantTypes, oauth.GrantClientCredentials), public && slices.Contains(md.GrantTypes, oauth.GrantTokenExchange):
		return oauth.InvalidClientMetadata("a client with token_endpoint_auth_method none cannot have client_credentials or token exchange: it has nothing to prove itself with")
	case md.TokenEndpointAuthMethod == oauth.AuthTLSClient && subjects(md) != 1:
		return oauth.InvalidClientMetadata("tls_client_auth wants exactly one of the tls_client_auth_ members: RFC 8705 section 2.1.2")
	case md.TokenEndpointAuthMethod != oauth.AuthTLSClient && subjects(md) != 0:
		return oauth.InvalidClientMetadata("the tls_client_auth_ members belong to token_endpoint_auth_method tls_client_auth")
	}
	return nil
}

func subjects(md *oauth.ClientMetadata) (n int) {
	for _, s := range []string{md.TLSClientAuthSubjectDN, md.TLSClientAuthSANDNS, md.TLSClientAuthSANURI, md.TLSClientAuthSANIP, md.TLSClientAuthSANEmail} {
		if s != "" {
			n++
		}
	}
	return n
}

// checkKeys: public keys are given or fetched, not both, and are there where the
// method needs them (RFC 7591 §2).
func checkKeys(md *oauth.ClientMetadata, _ Policy) error {
	needed := md.TokenEndpointAuthMethod == oauth.AuthPrivateKeyJWT || md.TokenEndpointAuthMethod == oauth.AuthSelfSignedTLSClient
	switch {
	case md.JWKS != nil && md.JWKSURI != "":
		return oauth.InvalidClientMetadata("jwks and jwks_uri must not both be given: RFC 7591 section 2")
	case md.JWKS == nil && md.JWKSURI == "" && (needed || md.RequestObjectSigningAlg != ""):
		return oauth.InvalidClientMetadata("jwks or jwks_uri is missing: the public key that the client will sign with")
	case md.JWKSURI != "":
		return checkHTTPS("jwks_uri", md.JWKSURI)
	case md.JWKS == nil:
		return nil
	}
	if _, err := parseKeys(md); err != nil {
		return oauth.InvalidClientMetadata("jwks: " + err.Error())
	}
	return nil
}

// parseKeys reads the keys of the metadata: a client may be known by the key of a
// certificate that we would not check signatures with.
func parseKeys(md *oauth.ClientMetadata) (jose.KeySet, error) {
	if md.TokenEndpointAuthMethod == oauth.AuthSelfSignedTLSClient && md.RequestObjectSigningAlg == "" {
		return jose.ParseCertificateKeySet(md.JWKS)
	}
	return jose.ParseKeySet(md.JWKS)
}

// checkAlgorithms: what is registered is binding, so that it must be one that
// there is.
func checkAlgorithms(md *oauth.ClientMetadata, p Policy) error {
	auth, requests := jose.Names(jose.ClientAlgorithms), jose.Names(p.RequestAlgs)
	switch {
	case md.TokenEndpointAuthSigningAlg != "" && !slices.Contains(auth, md.TokenEndpointAuthSigningAlg):
		return oauth.InvalidClientMetadata("token_endpoint_auth_signing_alg must be one of " + strings.Join(auth, ", "))
	case md.IDTokenSignedResponseAlg != "" && !slices.Contains(idTokenAlgs, md.IDTokenSignedResponseAlg):
		return oauth.InvalidClientMetadata("id_token_signed_response_alg must be one of " + strings.Join(idTokenAlgs, ", "))
	case md.UserinfoSignedResponseAlg != "" && !slices.Contains(idTokenAlgs, md.UserinfoSignedResponseAlg):
		return oauth.InvalidClientMetadata("userinfo_signed_response_alg must be one of " + strings.Join(idTokenAlgs, ", "))
	case md.RequestObjectSigningAlg != "" && !slices.Contains(requests, md.RequestObjectSigningAlg):
		return oauth.InvalidClientMetadata("request_object_signing_alg must be one of " + strings.Join(requests, ", "))
	}
	return nil
}

// checkBound refuses protections that would not be given: a client that asked
// for bound tokens must not get others.
func checkBound(md *oauth.ClientMetadata, p Policy) error {
	switch {
	case md.DPoPBoundAccessTokens && !p.DPoP:
		return oauth.InvalidClientMetadata("dpop_bound_access_tokens is not supported here")
	case md.TLSClientCertificateBoundAccessTokens && !p.MutualTLS:
		return oauth.InvalidClientMetadata("tls_client_certificate_bound_access_tokens is not supported here: this server asks for no client certificate")
	}
	return nil
}

func checkScope(md *oauth.ClientMetadata, _ Policy) error {
	if _, err := oauth.ParseScope(md.Scope); err != nil {
		return oauth.InvalidClientMetadata("scope is not a list of scope names with spaces between them")
	}
	if md.DefaultMaxAge != nil && (*md.DefaultMaxAge < 0 || *md.DefaultMaxAge > 1<<31) {
		return oauth.InvalidClientMetadata("default_max_age is not a number of seconds from 0 on")
	}
	return nil
}

// The bounds of what people read.
const (
	maxName     = 200 // bytes
	maxContacts = 10
)

// checkNames: names are shown to people and operators, on pages and on terminals.
func checkNames(md *oauth.ClientMetadata, _ Policy) error {
	if len(md.Contacts) > maxContacts {
		return oauth.InvalidClientMetadata("contacts has more than 10 entries")
	}
	for _, name := range append([]string{md.ClientName, md.SoftwareID, md.SoftwareVersion}, md.Contacts...) {
		if len(name) > maxName || strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) }) {
			return oauth.InvalidClientMetadata("client_name, software_id, software_version and contacts must be printable and not longer than 200 bytes")
		}
	}
	return nil
}

// checkType fills in the application type. A client that names none and has only
// addresses of programs on a person's machine is one of those.
func checkType(md *oauth.ClientMetadata, _ Policy) error {
	switch md.ApplicationType {
	case client.Web, client.Native:
		return nil
	case "":
		md.ApplicationType = client.Web
		if len(md.RedirectURIs) > 0 && !slices.ContainsFunc(md.RedirectURIs, func(uri string) bool { return !isNative(uri) }) {
			md.ApplicationType = client.Native
		}
		return nil
	}
	return oauth.InvalidClientMetadata("application_type is web or native")
}
