package oauthclient

import (
	"fmt"
	"net/http"
	"strings"
)

// Explain says what an API's refusal (RFC 6750 §3) means for this client and
// what to do about it; ok is false if the answer is no such refusal.
func (c *Config) Explain(resp *http.Response) (why *Error, ok bool) {
	params, ok := tokenChallenge(resp.Header.Values("WWW-Authenticate"))
	if !ok || resp.StatusCode < 400 {
		return nil, false
	}
	e := &Error{Doing: "call the API", Code: printable(params["error"]), Status: resp.StatusCode, Message: printable(params["error_description"])}
	switch e.Code {
	case "insufficient_scope":
		e.Scopes = strings.Fields(printable(params["scope"]))
		c.explainScope(e, e.Scopes)
	case "invalid_token":
		if e.Message == "" {
			e.Message = "the API does not accept the token: it is expired, revoked, for another API, or of an issuer that the API does not trust"
		}
		e.Fix = fmt.Sprintf("check that the API trusts the issuer %s and is called %q (the token's resource)", c.Issuer, c.Resource)
	case "invalid_dpop_proof":
		if e.Message == "" {
			e.Message = "the API does not accept the DPoP proof"
		}
		e.Fix = "check this machine's clock, and that nothing on the way changes the URL or the header DPoP"
	case "insufficient_user_authentication":
		if e.Message == "" {
			e.Message = "the API wants a person to have signed in more strongly, or more recently"
		}
		e.Fix = "a token of client_credentials has no person: the call is not for programs that act for themselves"
	case "invalid_request":
		if e.Message == "" {
			e.Message = "the API cannot read the request's credentials"
		}
		e.Fix = "send one credential only: the token in the Authorization header, and no apikey beside it"
	case "":
		e.Code, e.Message = "no_credential", "the API saw no token in the request"
		e.Fix = "check that nothing on the way (a proxy, a redirect) removes the Authorization header"
	default:
		if e.Message == "" {
			e.Message = "the API refused the call"
		}
	}
	return e, true
}

// explainScope tells a scope that was not asked for from one that the client
// does not have.
func (c *Config) explainScope(e *Error, needed []string) {
	if len(needed) == 0 {
		e.Message = "the call needs a scope that the token does not have, and the API does not say which"
		e.Fix = "ask the API's operator which scope the call needs"
		return
	}
	asked := make(map[string]bool)
	for _, scope := range c.Scopes {
		asked[scope] = true
	}
	var missing []string
	for _, scope := range needed {
		if !asked[scope] {
			missing = append(missing, scope)
		}
	}
	e.Message = fmt.Sprintf("the call needs the scope %q; the token was asked for with %q", strings.Join(needed, " "), strings.Join(c.Scopes, " "))
	if len(missing) == 0 {
		e.Fix = fmt.Sprintf("the issuer did not grant it: have the API's operator add %q to client %q", strings.Join(needed, " "), c.ClientID)
		return
	}
	all := strings.Join(append(append([]string{}, c.Scopes...), missing...), " ")
	e.Fix = fmt.Sprintf("ask for a token with it (--scope %q); if the issuer refuses, have the API's operator add %q to client %q", all, strings.Join(missing, " "), c.ClientID)
}
