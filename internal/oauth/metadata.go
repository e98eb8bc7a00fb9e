package oauth

import (
	"encoding/json"
	"strings"
)

// ServerMetadata is what an authorization server says of itself (RFC 8414 §2 and
// the extensions named beside the members). What is not set is absent, never
// null or empty.
type ServerMetadata struct {
	Issuer                 string   `json:"issuer"`
	AuthorizationEndpoint  string   `json:"authorization_endpoint,omitempty"`
	TokenEndpoint          string   `json:"token_endpoint,omitempty"`
	JWKSURI                string   `json:"jwks_uri,omitempty"`
	RegistrationEndpoint   string   `json:"registration_endpoint,omitempty"`
	ScopesSupported        []string `json:"scopes_supported,omitempty"`
	ResponseTypesSupported []string `json:"response_types_supported"` // the one that is written even if empty
	ResponseModesSupported []string `json:"response_modes_supported,omitempty"`
	GrantTypesSupported    []string `json:"grant_types_supported,omitempty"`

	TokenEndpointAuthMethodsSupported                  []string `json:"token_endpoint_auth_methods_supported,omitempty"`
	TokenEndpointAuthSigningAlgValuesSupported         []string `json:"token_endpoint_auth_signing_alg_values_supported,omitempty"`
	RevocationEndpoint                                 string   `json:"revocation_endpoint,omitempty"`
	RevocationEndpointAuthMethodsSupported             []string `json:"revocation_endpoint_auth_methods_supported,omitempty"`
	RevocationEndpointAuthSigningAlgValuesSupported    []string `json:"revocation_endpoint_auth_signing_alg_values_supported,omitempty"`
	IntrospectionEndpoint                              string   `json:"introspection_endpoint,omitempty"`
	IntrospectionEndpointAuthMethodsSupported          []string `json:"introspection_endpoint_auth_methods_supported,omitempty"`
	IntrospectionEndpointAuthSigningAlgValuesSupported []string `json:"introspection_endpoint_auth_signing_alg_values_supported,omitempty"`
	IntrospectionSigningAlgValuesSupported             []string `json:"introspection_signing_alg_values_supported,omitempty"` // RFC 9701 §7
	CodeChallengeMethodsSupported                      []string `json:"code_challenge_methods_supported,omitempty"`

	ServiceDocumentation string   `json:"service_documentation,omitempty"`
	UILocalesSupported   []string `json:"ui_locales_supported,omitempty"`
	OPPolicyURI          string   `json:"op_policy_uri,omitempty"`
	OPTosURI             string   `json:"op_tos_uri,omitempty"`

	DeviceAuthorizationEndpoint                string         `json:"device_authorization_endpoint,omitempty"`                  // RFC 8628 §4
	MTLSEndpointAliases                        *MTLSEndpoints `json:"mtls_endpoint_aliases,omitempty"`                          // RFC 8705 §5
	TLSClientCertificateBoundAccessTokens      bool           `json:"tls_client_certificate_bound_access_tokens,omitempty"`     // RFC 8705 §3.3
	PushedAuthorizationRequestEndpoint         string         `json:"pushed_authorization_request_endpoint,omitempty"`          // RFC 9126 §5
	RequirePushedAuthorizationRequests         bool           `json:"require_pushed_authorization_requests,omitempty"`          // RFC 9126 §5
	RequestObjectSigningAlgValuesSupported     []string       `json:"request_object_signing_alg_values_supported,omitempty"`    // RFC 9101 §10.5
	RequireSignedRequestObject                 bool           `json:"require_signed_request_object,omitempty"`                  // RFC 9101 §10.5
	AuthorizationResponseIssParameterSupported bool           `json:"authorization_response_iss_parameter_supported,omitempty"` // RFC 9207 §3
	DPoPSigningAlgValuesSupported              []string       `json:"dpop_signing_alg_values_supported,omitempty"`              // RFC 9449 §5.1
	ProtectedResources                         []string       `json:"protected_resources,omitempty"`                            // RFC 9728 §4
	ClientIDMetadataDocumentSupported          bool           `json:"client_id_metadata_document_supported,omitempty"`
	AuthorizationGrantProfilesSupported        []string       `json:"authorization_grant_profiles_supported,omitempty"` // draft-ietf-oauth-identity-assertion-authz-grant

	// Members of OpenID Connect Discovery 1.0 and its logout specifications.
	UserinfoEndpoint                  string   `json:"userinfo_endpoint,omitempty"`
	EndSessionEndpoint                string   `json:"end_session_endpoint,omitempty"`
	SubjectTypesSupported             []string `json:"subject_types_supported,omitempty"`
	IDTokenSigningAlgValuesSupported  []string `json:"id_token_signing_alg_values_supported,omitempty"`
	UserinfoSigningAlgValuesSupported []string `json:"userinfo_signing_alg_values_supported,omitempty"`
	ACRValuesSupported                []string `json:"acr_values_supported,omitempty"`
	ClaimsSupported                   []string `json:"claims_supported,omitempty"`
	PromptValuesSupported             []string `json:"prompt_values_supported,omitempty"`
	BackchannelLogoutSupported        bool     `json:"backchannel_logout_supported,omitempty"`
	BackchannelLogoutSessionSupported bool     `json:"backchannel_logout_session_supported,omitempty"`
	RequestParameterSupported         *bool    `json:"request_parameter_supported,omitempty"`
	RequestURIParameterSupported      *bool    `json:"request_uri_parameter_supported,omitempty"` // true where absent, so false must be said
	RequireRequestURIRegistration     bool     `json:"require_request_uri_registration,omitempty"`
	ClaimsParameterSupported          bool     `json:"claims_parameter_supported,omitempty"`
}

// MarshalJSON writes response_types_supported even where there is no
// authorization endpoint, as an empty array: RFC 8414 §2 requires the member,
// §3.2 wants empty ones left out, and clients in use insist on the former.
func (m ServerMetadata) MarshalJSON() ([]byte, error) {
	type plain ServerMetadata
	if m.ResponseTypesSupported == nil {
		m.ResponseTypesSupported = []string{}
	}
	return json.Marshal(plain(m))
}

// MTLSEndpoints are the endpoints at which a client certificate is asked for
// (RFC 8705 §5).
type MTLSEndpoints struct {
	TokenEndpoint                      string `json:"token_endpoint,omitempty"`
	RevocationEndpoint                 string `json:"revocation_endpoint,omitempty"`
	IntrospectionEndpoint              string `json:"introspection_endpoint,omitempty"`
	DeviceAuthorizationEndpoint        string `json:"device_authorization_endpoint,omitempty"`
	PushedAuthorizationRequestEndpoint string `json:"pushed_authorization_request_endpoint,omitempty"`
	RegistrationEndpoint               string `json:"registration_endpoint,omitempty"`
	UserinfoEndpoint                   string `json:"userinfo_endpoint,omitempty"`
}

// ResourceMetadata is what an API says of itself (RFC 9728 §2).
type ResourceMetadata struct {
	Resource                              string   `json:"resource"`
	AuthorizationServers                  []string `json:"authorization_servers,omitempty"`
	JWKSURI                               string   `json:"jwks_uri,omitempty"`
	ScopesSupported                       []string `json:"scopes_supported,omitempty"`
	BearerMethodsSupported                []string `json:"bearer_methods_supported,omitempty"`
	ResourceSigningAlgValuesSupported     []string `json:"resource_signing_alg_values_supported,omitempty"`
	ResourceName                          string   `json:"resource_name,omitempty"`
	ResourceDocumentation                 string   `json:"resource_documentation,omitempty"`
	ResourcePolicyURI                     string   `json:"resource_policy_uri,omitempty"`
	ResourceTosURI                        string   `json:"resource_tos_uri,omitempty"`
	TLSClientCertificateBoundAccessTokens bool     `json:"tls_client_certificate_bound_access_tokens,omitempty"`
	DPoPSigningAlgValuesSupported         []string `json:"dpop_signing_alg_values_supported,omitempty"`
	DPoPBoundAccessTokensRequired         bool     `json:"dpop_bound_access_tokens_required,omitempty"`
}

// WellKnownURL inserts "/.well-known/<suffix>" between host and path of an
// issuer or resource identifier (RFC 8414 §3.1, RFC 9728 §3.1): the metadata of
// https://example.com/a is at https://example.com/.well-known/<suffix>/a. A
// slash that ends the path is dropped, a query is kept.
func WellKnownURL(identifier, suffix string) string {
	origin, path, query := splitURL(identifier)
	return origin + "/.well-known/" + suffix + strings.TrimSuffix(path, "/") + query
}

// OpenIDConfigurationURL appends, as OpenID Connect Discovery 1.0 §4 does: the
// metadata of https://example.com/a is at
// https://example.com/a/.well-known/openid-configuration.
func OpenIDConfigurationURL(issuer string) string {
	origin, path, _ := splitURL(issuer)
	return origin + strings.TrimSuffix(path, "/") + "/.well-known/" + SuffixOpenIDConfiguration
}

// splitURL cuts s where the path and the query begin, without changing a byte.
func splitURL(s string) (origin, path, query string) {
	if i := strings.IndexAny(s, "?#"); i >= 0 {
		s, query = s[:i], s[i:]
	}
	host := 0
	if i := strings.Index(s, "://"); i >= 0 {
		host = i + len("://")
	}
	if i := strings.IndexByte(s[host:], '/'); i >= 0 {
		return s[:host+i], s[host+i:], query
	}
	return s, "", query
}
