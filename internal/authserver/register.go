package authserver

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"unicode"

	"github.com/offkey/offkey/internal/client"
	"github.com/offkey/offkey/internal/jose"
	"github.com/offkey/offkey/internal/oauth"
)

// Registrar turns an apikey into a client.
type Registrar interface {
	// Register makes the client that takes the place of an apikey. The metadata
	// has been checked: private_key_jwt with a public key, client_credentials.
	// access is the credential by which the client manages itself; a client that
	// was registered before is returned without it.
	// An apikey that does not open registration is an *oauth.Error
	// invalid_token.
	Register(ctx context.Context, apikey string, md oauth.ClientMetadata, access client.Credential, source netip.Addr) (*client.Client, error)
}

// handleRegister is dynamic registration (RFC 7591 §3): with an apikey as the
// initial access token, or as selfregister.go has it.
func (s *Server) handleRegister(w http.ResponseWriter, r *http.Request) {
	resp, err := s.register(w, r)
	if err != nil {
		s.writeError(w, r, err)
		return
	}
	writeSecret(w, http.StatusCreated, resp)
}

func (s *Server) register(w http.ResponseWriter, r *http.Request) (any, error) {
	apikey, err := readBearer(r)
	if (err == nil || errors.Is(err, errNoApikey)) && s.registersItself(apikey) {
		return s.registerItself(w, r, apikey)
	}
	switch {
	case err != nil:
		return nil, err
	case s.options.Registrar == nil || isRegistrationToken(apikey):
		return nil, oauth.InvalidToken("the credential opens no registration here")
	}
	return s.registerByAPIKey(w, r, apikey)
}

func (s *Server) registerByAPIKey(w http.ResponseWriter, r *http.Request, apikey string) (upgraded, error) {
	source := s.options.Source(r)
	if err := s.checkSource(source); err != nil {
		return upgraded{}, err
	}
	md, err := readMetadata(w, r)
	if err != nil {
		return upgraded{}, err
	}
	text, access := newRegistrationAccess(s.options.Now())
	c, err := s.options.Registrar.Register(r.Context(), apikey, md, access, source)
	if err != nil {
		if e, named := asOAuth(err); named && e.Status == http.StatusUnauthorized {
			s.countGuess(source)
		}
		return upgraded{}, err
	}
	resp := upgradedTo(c, md)
	// The public keys of a client are no secret: whoever registers them again is
	// not given the client.
	if s.options.SelfRegistered != nil && slices.ContainsFunc(c.Credentials, func(cr client.Credential) bool { return cr.ID == access.ID }) {
		resp.RegistrationAccessToken, resp.RegistrationClientURI = text.Reveal(), s.endpoint(pathRegister)+"/"+c.ID
	}
	return resp, nil
}

// errNoApikey answers a registration without credential. Its challenge is bare
// (RFC 6750 §3.1), its body says what is missing.
var errNoApikey = oauth.InvalidToken("registration needs an initial access token, such as the apikey: Authorization: Bearer, then the token")

// readBearer reads the initial access token: from the header alone, for the
// apikey must not travel in a URL on its last journey (RFC 7591 §3, RFC 6750
// §2.1).
func readBearer(r *http.Request) (string, error) {
	headers := r.Header["Authorization"]
	switch len(headers) {
	case 0:
		return "", errNoApikey
	case 1:
	default:
		return "", oauth.InvalidRequest("more than one Authorization header")
	}
	scheme, credential, _ := strings.Cut(headers[0], " ")
	if credential = strings.TrimSpace(credential); !strings.EqualFold(scheme, "Bearer") || credential == "" {
		return "", oauth.InvalidToken("the apikey is sent as Authorization: Bearer, then the apikey, whatever scheme the API itself takes").WithScheme("Bearer")
	}
	return credential, nil
}

// readMetadata reads what the client says of itself, and refuses what would not
// be kept to.
func readMetadata(w http.ResponseWriter, r *http.Request) (oauth.ClientMetadata, error) {
	if mediaType(r) != "application/json" {
		return oauth.ClientMetadata{}, oauth.InvalidClientMetadata("the body must be application/json, and Content-Type must say so")
	}
	body, err := readBody(w, r)
	if err != nil {
		return oauth.ClientMetadata{}, err
	}
	md, err := oauth.ParseClientMetadata(body)
	if err != nil {
		return oauth.ClientMetadata{}, err
	}
	err = checkUpgrade(&md)
	return md, err
}

// checkUpgrade holds metadata to what a client may be that takes the place of an
// apikey.
func checkUpgrade(md *oauth.ClientMetadata) error {
	for _, check := range []func(*oauth.ClientMetadata) error{
		checkRedirectURIs, checkStatement, checkAuthMethod, checkClientKeys, checkGrantTypes, checkPromises, checkRegisteredScope, checkNames,
	} {
		if err := check(md); err != nil {
			return err
		}
	}
	return nil
}

// checkAuthMethod: what takes the place of an apikey is a key pair, and not
// another secret that travels. Where the method is left out, keys say which is
// meant.
func checkAuthMethod(md *oauth.ClientMetadata) error {
	if md.TokenEndpointAuthMethod == "" && (md.JWKS != nil || md.JWKSURI != "") {
		md.TokenEndpointAuthMethod = oauth.AuthPrivateKeyJWT
	}
	if md.TokenEndpointAuthMethod != oauth.AuthPrivateKeyJWT {
		return oauth.InvalidClientMetadata("token_endpoint_auth_method must be private_key_jwt, with the public key in jwks: a secret would be an apikey again")
	}
	if alg := md.TokenEndpointAuthSigningAlg; alg != "" && !slices.Contains(authAlgs, alg) {
		return oauth.InvalidClientMetadata("token_endpoint_auth_signing_alg must be one of " + strings.Join(authAlgs, ", "))
	}
	return nil
}

// checkClientKeys: there is a public key, given or fetched, not both (RFC 7591
// §2).
func checkClientKeys(md *oauth.ClientMetadata) error {
	switch {
	case md.JWKS != nil && md.JWKSURI != "":
		return oauth.InvalidClientMetadata("jwks and jwks_uri must not both be given: RFC 7591 section 2")
	case md.JWKSURI != "":
		u, err := url.Parse(md.JWKSURI)
		if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || u.Fragment != "" {
			return oauth.InvalidClientMetadata("jwks_uri must be an https URL without user or fragment")
		}
		return nil
	case md.JWKS == nil:
		return oauth.InvalidClientMetadata("jwks is missing: the public key that the client will sign with")
	}
	if _, err := jose.ParseKeySet(md.JWKS); err != nil {
		return oauth.InvalidClientMetadata("jwks: " + err.Error())
	}
	return nil
}

// checkGrantTypes: this server has no authorization endpoint, so that a client
// which expects one must not be registered in silence (RFC 7591 §2.1).
func checkGrantTypes(md *oauth.ClientMetadata) error {
	if len(md.GrantTypes) == 0 {
		md.GrantTypes = []string{oauth.GrantClientCredentials}
	}
	for _, g := range md.GrantTypes {
		if g != oauth.GrantClientCredentials {
			return oauth.InvalidClientMetadata("grant_types may only be client_credentials here")
		}
	}
	if len(md.ResponseTypes) > 0 {
		return oauth.InvalidClientMetadata("response_types must be left out or empty: client_credentials has none")
	}
	return nil
}

// checkRedirectURIs: https, or http to loopback, without fragment (RFC 7591 §2,
// RFC 6749 §3.1.2).
func checkRedirectURIs(md *oauth.ClientMetadata) error {
	for _, raw := range md.RedirectURIs {
		u, err := url.Parse(raw)
		if err != nil || u.Host == "" || u.Fragment != "" || strings.Contains(raw, "#") ||
			u.Scheme != "https" && !(u.Scheme == "http" && oauth.IsLoopback(u.Hostname())) {
			return oauth.InvalidRedirectURI("redirect_uris must be https, or http to loopback, without fragment")
		}
	}
	return nil
}

// checkStatement: nobody's software statements are trusted, and ignoring one
// would drop what it says (RFC 7591 §3.2.2).
func checkStatement(md *oauth.ClientMetadata) error {
	if md.SoftwareStatement != "" {
		return &oauth.Error{
			Code: "unapproved_software_statement", Status: http.StatusBadRequest,
			Description: "software statements are not accepted here: leave software_statement out",
		}
	}
	return nil
}

// checkPromises refuses protections that this server would not give: a client
// that asked for bound tokens must not get others.
func checkPromises(md *oauth.ClientMetadata) error {
	switch {
	case md.DPoPBoundAccessTokens:
		return oauth.InvalidClientMetadata("dpop_bound_access_tokens is not supported here yet")
	case md.TLSClientCertificateBoundAccessTokens:
		return oauth.InvalidClientMetadata("tls_client_certificate_bound_access_tokens is not supported here yet")
	}
	return nil
}

func checkRegisteredScope(md *oauth.ClientMetadata) error {
	if _, err := oauth.ParseScope(md.Scope); err != nil {
		return oauth.InvalidClientMetadata("scope is not a list of scope names with spaces between them")
	}
	return nil
}

// maxName bounds what a client calls itself, in bytes.
const maxName = 200

// checkNames: names are shown to operators, on pages and on terminals.
func checkNames(md *oauth.ClientMetadata) error {
	for _, name := range []string{md.ClientName, md.SoftwareID, md.SoftwareVersion} {
		if len(name) > maxName || strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) }) {
			return oauth.InvalidClientMetadata("client_name, software_id and software_version must be printable and not longer than 200 bytes")
		}
	}
	return nil
}

// upgraded is the answer to a registration with an apikey: what is registered, which may be
// less than was asked for (RFC 7591 §3.2.1).
type upgraded struct {
	oauth.ClientInformation
	Status       string `json:"offkey_status,omitempty"` // "pending", or left out
	Reason       string `json:"offkey_reason,omitempty"`
	PendingScope string `json:"offkey_pending_scope,omitempty"`
}

func upgradedTo(c *client.Client, md oauth.ClientMetadata) upgraded {
	resp := upgraded{
		ClientInformation: oauth.ClientInformation{
			ClientID: c.ID, ClientIDIssuedAt: c.Created.Unix(),
			ClientMetadata: oauth.ClientMetadata{
				ClientName: c.Name, TokenEndpointAuthMethod: c.AuthMethod, TokenEndpointAuthSigningAlg: string(c.SigningAlg),
				GrantTypes: c.Grants, Scope: c.Scopes.String(), JWKS: md.JWKS, JWKSURI: c.JWKSURI,
				SoftwareID: c.SoftwareID, SoftwareVersion: c.SoftwareVersion,
			},
		},
		PendingScope: c.PendingScopes.String(),
	}
	if c.Status == client.Pending {
		resp.Status = string(client.Pending)
	}
	if c.Status == client.Pending || resp.PendingScope != "" {
		resp.Reason = cmp.Or(c.PendingReason, "an operator must approve it: nothing needs to be changed, ask again later")
	}
	return resp
}
