package oauth

import (
	"net/url"
	"slices"
	"strings"
)

// The bounds of a form. A client assertion is the longest thing in one.
const (
	maxFormBytes  = 64 << 10
	maxFormParams = 100
)

// Params are the parameters of a request: each named at most once, except those
// that may repeat, and none empty.
type Params struct{ values map[string][]string }

// ParseParams reads application/x-www-form-urlencoded, from a body or a query.
// A parameter without value counts as omitted, one that nobody asks for is
// ignored, and one sent twice is invalid_request unless it is among repeatable
// (RFC 6749 §3.1, §3.2). Twice means two values: an empty one was never sent.
func ParseParams(body string, repeatable ...string) (Params, error) {
	if len(body) > maxFormBytes {
		return Params{}, InvalidRequest("the parameters are longer than 64 KiB")
	}
	p := Params{values: make(map[string][]string, 8)}
	count := 0
	for pair := range strings.SplitSeq(body, "&") {
		if pair == "" {
			continue
		}
		if count++; count > maxFormParams {
			return Params{}, InvalidRequest("more than 100 parameters")
		}
		rawName, rawValue, _ := strings.Cut(pair, "=")
		name, err := url.QueryUnescape(rawName)
		if err != nil {
			return Params{}, InvalidRequest("a parameter name is not form-urlencoded: % is not followed by two hex digits")
		}
		value, err := url.QueryUnescape(rawValue)
		if err != nil {
			return Params{}, InvalidRequest("the value of " + quoteName(name) + " is not form-urlencoded: % is not followed by two hex digits")
		}
		if value == "" {
			continue
		}
		if len(p.values[name]) > 0 && !slices.Contains(repeatable, name) {
			return Params{}, InvalidRequest("parameter " + quoteName(name) + " is sent twice")
		}
		p.values[name] = append(p.values[name], value)
	}
	return p, nil
}

// Value returns the parameter's value, the first of a repeatable one, or "" if
// it was omitted.
func (p Params) Value(name string) string {
	if v := p.values[name]; len(v) > 0 {
		return v[0]
	}
	return ""
}

// Values returns all values in the order sent.
func (p Params) Values(name string) []string { return p.values[name] }

// Has reports whether the parameter was sent with a value.
func (p Params) Has(name string) bool { return len(p.values[name]) > 0 }

// parameterNames are those that an error may name. Anything else was made up by
// the sender, and is not repeated to whoever reads the answer.
var parameterNames = []string{
	"assertion", "actor_token", "actor_token_type", "audience", "client_assertion", "client_assertion_type",
	"client_id", "client_secret", "code", "code_challenge", "code_challenge_method", "code_verifier",
	"device_code", "grant_type", "nonce", "prompt", "redirect_uri", "refresh_token", "request", "request_uri",
	"requested_token_type", "resource", "response_mode", "response_type", "scope", "state",
	"subject_token", "subject_token_type", "token", "token_type_hint", "user_code",
}

func quoteName(name string) string {
	if slices.Contains(parameterNames, name) {
		return "'" + name + "'"
	}
	return "(not one of ours)"
}
