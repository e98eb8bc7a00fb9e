// Package oauth is the vocabulary of the specifications: parameters, error
// codes, scopes, metadata and challenges, parsed and written without I/O. It
// decides nothing about clients or tokens.
package oauth

import (
	"fmt"
	"net/http"
	"strings"
)

// The error codes offkey answers with.
const (
	CodeInvalidRequest         = "invalid_request"         // RFC 6749 §5.2
	CodeInvalidClient          = "invalid_client"          // RFC 6749 §5.2
	CodeInvalidGrant           = "invalid_grant"           // RFC 6749 §5.2
	CodeUnauthorizedClient     = "unauthorized_client"     // RFC 6749 §5.2
	CodeUnsupportedGrantType   = "unsupported_grant_type"  // RFC 6749 §5.2
	CodeInvalidScope           = "invalid_scope"           // RFC 6749 §5.2
	CodeAccessDenied           = "access_denied"           // RFC 6749 §4.1.2.1
	CodeServerError            = "server_error"            // RFC 6749 §4.1.2.1
	CodeTemporarilyUnavailable = "temporarily_unavailable" // RFC 6749 §4.1.2.1
	CodeInvalidToken           = "invalid_token"           // RFC 6750 §3.1
	CodeInsufficientScope      = "insufficient_scope"      // RFC 6750 §3.1
	CodeInvalidTarget          = "invalid_target"          // RFC 8707 §2
	CodeUnsupportedTokenType   = "unsupported_token_type"  // RFC 7009 §2.2.1
	CodeInvalidRedirectURI     = "invalid_redirect_uri"    // RFC 7591 §3.2.2
	CodeInvalidClientMetadata  = "invalid_client_metadata" // RFC 7591 §3.2.2
	CodeSlowDown               = "slow_down"               // RFC 8628 §3.5
	CodeInvalidDPoPProof       = "invalid_dpop_proof"      // RFC 9449 §5
	CodeUseDPoPNonce           = "use_dpop_nonce"          // RFC 9449 §8
	CodeAuthorizationPending   = "authorization_pending"   // RFC 8628 §3.5
	CodeExpiredToken           = "expired_token"           // RFC 8628 §3.5
)

// Error is an answer that a specification names. Description is for the
// developer of the client and is sent; Cause is for our log and never leaves.
// Any other error is ours and becomes server_error.
type Error struct {
	Code        string
	Description string
	Cause       error
	Status      int    // HTTP status where the answer is not a redirect
	Scheme      string // where the credential came in the Authorization header: the scheme to challenge with (RFC 6749 §5.2)
}

// Error is for logs: it holds the cause.
func (e *Error) Error() string {
	s := e.Code
	if e.Description != "" {
		s += ": " + e.Description
	}
	if e.Cause != nil {
		s += ": " + e.Cause.Error()
	}
	return s
}

func (e *Error) Unwrap() error { return e.Cause }

// WithCause returns a copy of e with err for our log.
func (e *Error) WithCause(err error) *Error {
	c := *e
	c.Cause = err
	return &c
}

// WithScheme returns a copy of e that answers a credential sent in the
// Authorization header under scheme, which makes it a 401 (RFC 6749 §5.2).
func (e *Error) WithScheme(scheme string) *Error {
	c := *e
	c.Scheme = scheme
	if c.Code == CodeInvalidClient {
		c.Status = http.StatusUnauthorized
	}
	return &c
}

// WithStatus returns a copy of e with another HTTP status, such as 429 where a
// limit stands behind it.
func (e *Error) WithStatus(status int) *Error {
	c := *e
	c.Status = status
	return &c
}

// newError cleans description, so that every answer made here can be sent.
func newError(code string, status int, description string) *Error {
	return &Error{Code: code, Status: status, Description: CleanDescription(description)}
}

// InvalidRequest: the request is not understood, lacks a parameter or repeats one.
func InvalidRequest(description string) *Error {
	return newError(CodeInvalidRequest, http.StatusBadRequest, description)
}

// InvalidClient: the client is unknown or did not prove itself.
func InvalidClient(description string) *Error {
	return newError(CodeInvalidClient, http.StatusUnauthorized, description)
}

// InvalidGrant: the code, refresh token or assertion is not good, or no longer.
func InvalidGrant(description string) *Error {
	return newError(CodeInvalidGrant, http.StatusBadRequest, description)
}

// UnauthorizedClient: this client may not use this grant.
func UnauthorizedClient(description string) *Error {
	return newError(CodeUnauthorizedClient, http.StatusBadRequest, description)
}

// UnsupportedGrantType: nobody may use this grant here.
func UnsupportedGrantType(description string) *Error {
	return newError(CodeUnsupportedGrantType, http.StatusBadRequest, description)
}

// InvalidScope: the scope is malformed, unknown or more than may be asked for.
func InvalidScope(description string) *Error {
	return newError(CodeInvalidScope, http.StatusBadRequest, description)
}

// InvalidTarget: the resource is malformed or not one of ours.
func InvalidTarget(description string) *Error {
	return newError(CodeInvalidTarget, http.StatusBadRequest, description)
}

// InvalidToken: the access token is expired, revoked, malformed or for others.
func InvalidToken(description string) *Error {
	return newError(CodeInvalidToken, http.StatusUnauthorized, description)
}

// InsufficientScope: the access token is good and does not suffice.
func InsufficientScope(description string) *Error {
	return newError(CodeInsufficientScope, http.StatusForbidden, description)
}

// InvalidClientMetadata: a member of the registration is not acceptable.
func InvalidClientMetadata(description string) *Error {
	return newError(CodeInvalidClientMetadata, http.StatusBadRequest, description)
}

// InvalidRedirectURI: a redirect URI of the registration is not acceptable.
func InvalidRedirectURI(description string) *Error {
	return newError(CodeInvalidRedirectURI, http.StatusBadRequest, description)
}

// AccessDenied: the owner or the server said no.
func AccessDenied(description string) *Error {
	return newError(CodeAccessDenied, http.StatusBadRequest, description)
}

// InvalidDPoPProof: the proof is missing where one is needed, or does not hold.
// At a protected resource it is a 401.
func InvalidDPoPProof(description string) *Error {
	return newError(CodeInvalidDPoPProof, http.StatusBadRequest, description)
}

// UseDPoPNonce: the proof is to be made again, with the nonce that the answer
// brings.
func UseDPoPNonce(description string) *Error {
	return newError(CodeUseDPoPNonce, http.StatusBadRequest, description)
}

// UnsupportedTokenType: tokens of this type cannot be revoked.
func UnsupportedTokenType(description string) *Error {
	return newError(CodeUnsupportedTokenType, http.StatusBadRequest, description)
}

// TemporarilyUnavailable: try again later; the caller did nothing wrong.
func TemporarilyUnavailable(description string) *Error {
	return newError(CodeTemporarilyUnavailable, http.StatusServiceUnavailable, description)
}

// SlowDown: polled too fast. It is a 400 like every token error (RFC 8628 §3.5).
func SlowDown(description string) *Error {
	return newError(CodeSlowDown, http.StatusBadRequest, description)
}

// AuthorizationPending: the person has not answered yet (RFC 8628 §3.5).
func AuthorizationPending(description string) *Error {
	return newError(CodeAuthorizationPending, http.StatusBadRequest, description)
}

// ExpiredToken: the device code has expired (RFC 8628 §3.5).
func ExpiredToken(description string) *Error {
	return newError(CodeExpiredToken, http.StatusBadRequest, description)
}

// ServerError: the fault is ours, cause says which.
func ServerError(cause error) *Error {
	return newError(CodeServerError, http.StatusInternalServerError, "the server failed, and has logged why").WithCause(cause)
}

// CleanDescription replaces what may not stand in error_description: only
// %x20-21 / %x23-5B / %x5D-7E may (RFC 6749 §5.2). Quotation marks become
// apostrophes, the rest "?", and 500 characters are the most.
func CleanDescription(s string) string {
	const most = 500
	clean := strings.Map(func(r rune) rune {
		switch {
		case r == '"':
			return '\''
		case r == '\n', r == '\r', r == '\t':
			return ' '
		case isDescriptionRune(r):
			return r
		}
		return '?'
	}, s)
	if len(clean) > most {
		clean = fmt.Sprintf("%s...", clean[:most-3])
	}
	return clean
}

// isDescriptionRune is the charset of error and error_description.
func isDescriptionRune(r rune) bool {
	return r >= 0x20 && r <= 0x7e && r != '"' && r != '\\'
}
