package authserver

import (
	"encoding/json"
	"fmt"
	"html"
	"net/http"
	"strings"

	"github.com/offkey/offkey/internal/jose"
	"github.com/offkey/offkey/internal/oauth"
)

// Methods and algorithms by which clients prove themselves, at every endpoint
// that asks for it.
var (
	authMethods = []string{oauth.AuthPrivateKeyJWT, oauth.AuthClientSecretBasic, oauth.AuthClientSecretPost}
	authAlgs    = jose.Names(jose.ClientAlgorithms)
)

// metadataFor says what this server does, and nothing that it does not
// (RFC 8414 §2).
func (s *Server) metadataFor(scopes oauth.Scope) oauth.ServerMetadata {
	methods := s.authMethods()
	m := oauth.ServerMetadata{
		Issuer:                s.options.Issuer,
		TokenEndpoint:         s.endpoint(pathToken),
		JWKSURI:               s.endpoint(pathJWKS),
		RevocationEndpoint:    s.endpoint(pathRevoke),
		IntrospectionEndpoint: s.endpoint(pathIntrospect),
		ScopesSupported:       scopes,
		GrantTypesSupported:   []string{oauth.GrantClientCredentials, oauth.GrantTokenExchange},
		ProtectedResources:    append([]string{s.options.Resource}, s.options.Resources...),

		TokenEndpointAuthMethodsSupported:                  methods,
		TokenEndpointAuthSigningAlgValuesSupported:         authAlgs,
		RevocationEndpointAuthMethodsSupported:             methods,
		RevocationEndpointAuthSigningAlgValuesSupported:    authAlgs,
		IntrospectionEndpointAuthMethodsSupported:          methods,
		IntrospectionEndpointAuthSigningAlgValuesSupported: authAlgs,

		DPoPSigningAlgValuesSupported:         proofAlgorithms,
		TLSClientCertificateBoundAccessTokens: s.options.MutualTLS,
	}
	if signer, err := s.options.Ring().Signer(s.options.Now()); err == nil {
		m.IntrospectionSigningAlgValuesSupported = []string{string(signer.Alg())}
	}
	if s.options.Browser != nil {
		s.peopleMetadata(&m)
	}
	if s.device != nil {
		m.GrantTypesSupported = append(m.GrantTypesSupported, oauth.GrantDeviceCode)
		m.DeviceAuthorizationEndpoint = s.endpoint(pathDeviceAuthorize)
	}
	if s.options.Federation != nil {
		m.GrantTypesSupported = append(m.GrantTypesSupported, oauth.GrantJWTBearer)
		if s.options.Browser != nil && s.options.Links != nil {
			m.AuthorizationGrantProfilesSupported = []string{oauth.ProfileIDJAG}
		}
	}
	m.ClientIDMetadataDocumentSupported = s.options.ClientDocuments
	if s.takesRegistrations() {
		m.RegistrationEndpoint = s.endpoint(pathRegister)
	}
	if s.options.MTLSBase != "" {
		m.MTLSEndpointAliases = s.mtlsEndpoints(m)
	}
	return m
}

// authMethods are the ways in which clients prove themselves here.
func (s *Server) authMethods() []string {
	methods := authMethods[:len(authMethods):len(authMethods)]
	if s.options.Federation != nil {
		methods = append(methods, oauth.AuthFederatedJWT)
	}
	if s.options.MutualTLS {
		methods = append(methods, oauth.AuthSelfSignedTLSClient)
	}
	if s.options.MutualTLS && s.options.ClientCAs != nil {
		methods = append(methods, oauth.AuthTLSClient)
	}
	return methods
}

// mtlsEndpoints are the endpoints of m where a certificate is asked for
// (RFC 8705 §5).
func (s *Server) mtlsEndpoints(m oauth.ServerMetadata) *oauth.MTLSEndpoints {
	at := func(endpoint string) string {
		if endpoint == "" {
			return ""
		}
		return s.alias(strings.TrimPrefix(endpoint, s.base))
	}
	return &oauth.MTLSEndpoints{
		TokenEndpoint: at(m.TokenEndpoint), RevocationEndpoint: at(m.RevocationEndpoint), IntrospectionEndpoint: at(m.IntrospectionEndpoint),
		DeviceAuthorizationEndpoint: at(m.DeviceAuthorizationEndpoint), PushedAuthorizationRequestEndpoint: at(m.PushedAuthorizationRequestEndpoint),
		RegistrationEndpoint: at(m.RegistrationEndpoint), UserinfoEndpoint: at(m.UserinfoEndpoint),
	}
}

// makeMetadata encodes the metadata once, where it cannot change.
func (s *Server) makeMetadata() ([]byte, error) {
	if s.options.ScopesSupported != nil {
		return nil, nil
	}
	raw, err := json.Marshal(s.metadataFor(nil))
	if err != nil {
		return nil, fmt.Errorf("authorization server metadata: %w", err)
	}
	return raw, nil
}

func (s *Server) handleMetadata(w http.ResponseWriter, r *http.Request) {
	raw := s.metadata
	if raw == nil {
		var err error
		if raw, err = json.Marshal(s.metadataFor(s.options.ScopesSupported())); err != nil {
			s.writeError(w, r, fmt.Errorf("authorization server metadata: %w", err))
			return
		}
	}
	writeCacheable(w, "application/json", raw)
}

// handleJWKS publishes the keys that tokens are verified with (RFC 8414 §2). A
// new key is there long before its first use, so that it may be cached.
func (s *Server) handleJWKS(w http.ResponseWriter, r *http.Request) {
	raw, err := s.options.Ring().Published(s.options.Now()).MarshalJSON()
	if err != nil {
		s.writeError(w, r, fmt.Errorf("publish signing keys: %w", err))
		return
	}
	writeCacheable(w, "application/jwk-set+json", raw)
}

// writeCacheable answers with what anybody may keep for five minutes: as long as
// a dropped signing key may be believed elsewhere.
func writeCacheable(w http.ResponseWriter, contentType string, body []byte) {
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Cache-Control", "public, max-age=300")
	_, _ = w.Write(body)
}

func htmlEscape(s string) string { return html.EscapeString(s) }
