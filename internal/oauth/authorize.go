package oauth

import "net/http"

// The error codes of the authorization endpoint, beside those that it shares
// with others.
const (
	CodeUnsupportedResponseType = "unsupported_response_type"         // RFC 6749 §4.1.2.1
	CodeInteractionRequired     = "interaction_required"              // OIDC Core §3.1.2.6
	CodeLoginRequired           = "login_required"                    // OIDC Core §3.1.2.6
	CodeConsentRequired         = "consent_required"                  // OIDC Core §3.1.2.6
	CodeAccountSelection        = "account_selection_required"        // OIDC Core §3.1.2.6
	CodeInvalidRequestURI       = "invalid_request_uri"               // RFC 9101 §7
	CodeInvalidRequestObject    = "invalid_request_object"            // RFC 9101 §7
	CodeRequestNotSupported     = "request_not_supported"             // OIDC Core §3.1.2.6
	CodeRequestURINotSupported  = "request_uri_not_supported"         // OIDC Core §3.1.2.6
	CodeUnmetAuthentication     = "unmet_authentication_requirements" // RFC 9470 §5
)

// Values of prompt (OIDC Core §3.1.2.1).
const (
	PromptNone          = "none"
	PromptLogin         = "login"
	PromptConsent       = "consent"
	PromptSelectAccount = "select_account"
)

// Values of response_mode (OAuth 2.0 Form Post Response Mode §2). A code in a
// fragment is left to scripts, so that mode is not among them.
const (
	ModeQuery    = "query"
	ModeFormPost = "form_post"
)

// RequestURIPrefix begins every request_uri that was made here (RFC 9126 §2.2).
const RequestURIPrefix = "urn:ietf:params:oauth:request_uri:"

// Typ of what an OpenID Provider signs and reads beside access tokens.
const (
	TypUserinfo      = "userinfo+jwt" // ours
	TypIDToken       = "jwt"
	TypLogoutToken   = "logout+jwt"          // OIDC Back-Channel Logout §2.4
	TypRequestObject = "oauth-authz-req+jwt" // RFC 9101 §10.8
)

// AuthorizationError is an answer of the authorization endpoint.
func AuthorizationError(code, description string) *Error {
	return newError(code, http.StatusBadRequest, description)
}
