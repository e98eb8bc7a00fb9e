package oauth

// Grant types.
const (
	GrantAuthorizationCode = "authorization_code"
	GrantClientCredentials = "client_credentials"
	GrantRefreshToken      = "refresh_token"
	GrantDeviceCode        = "urn:ietf:params:oauth:grant-type:device_code"    // RFC 8628 §3.4
	GrantTokenExchange     = "urn:ietf:params:oauth:grant-type:token-exchange" // RFC 8693 §2.1
	GrantJWTBearer         = "urn:ietf:params:oauth:grant-type:jwt-bearer"     // RFC 7523 §2.1
)

// Token types of token exchange (RFC 8693 §3).
const (
	TypeAccessToken  = "urn:ietf:params:oauth:token-type:access_token"
	TypeRefreshToken = "urn:ietf:params:oauth:token-type:refresh_token"
	TypeIDToken      = "urn:ietf:params:oauth:token-type:id_token"
	TypeJWT          = "urn:ietf:params:oauth:token-type:jwt"
	TypeIDJAG        = "urn:ietf:params:oauth:token-type:id-jag"
	TypeAPIKey       = "urn:offkey:params:token-type:apikey" // ours: a legacy apikey as subject_token
)

// ProfileIDJAG is a use of the JWT bearer grant: an identity provider's assertion
// about a person (draft-ietf-oauth-identity-assertion-authz-grant).
const ProfileIDJAG = "urn:ietf:params:oauth:grant-profile:id-jag"

// Ways in which a client proves itself at the token endpoint.
const (
	AuthNone                = "none"
	AuthClientSecretBasic   = "client_secret_basic"
	AuthClientSecretPost    = "client_secret_post"
	AuthPrivateKeyJWT       = "private_key_jwt"
	AuthTLSClient           = "tls_client_auth"             // RFC 8705 §2.1
	AuthSelfSignedTLSClient = "self_signed_tls_client_auth" // RFC 8705 §2.2
	AuthFederatedJWT        = "federated_jwt"               // ours: a token of another issuer, under a trust rule
)

// Values of client_assertion_type.
const (
	AssertionTypeJWTBearer = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer" // RFC 7523 §2.2
	AssertionTypeJWTSPIFFE = "urn:ietf:params:oauth:client-assertion-type:jwt-spiffe" // draft-ietf-oauth-spiffe-client-auth
)

// Values of token_type (RFC 6749 §7.1). They are compared without letter case.
const (
	TokenTypeBearer = "Bearer"
	TokenTypeDPoP   = "DPoP"
	TokenTypeNA     = "N_A" // RFC 8693 §2.2.1: the result is not an access token
)

// Values of typ (RFC 9068 §2.1, RFC 7523 §3 as updated), in the lower case and
// without "application/".
const (
	TypAccessToken          = "at+jwt"
	TypTokenIntrospection   = "token-introspection+jwt" // RFC 9701 §5
	TypClientAuthentication = "client-authentication+jwt"
	TypDPoPProof            = "dpop+jwt"         // RFC 9449 §4.2
	TypIDJAG                = "oauth-id-jag+jwt" // draft-ietf-oauth-identity-assertion-authz-grant
)

// Well-known URI suffixes.
const (
	SuffixAuthorizationServer = "oauth-authorization-server" // RFC 8414 §7.3
	SuffixProtectedResource   = "oauth-protected-resource"   // RFC 9728 §8.2
	SuffixOpenIDConfiguration = "openid-configuration"
)
