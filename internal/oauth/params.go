package oauth

import (
	"errors"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"
)

// The bounds of a form. A client assertion is the longest thing in one.
const (
	maxFormBytes  = 64 << 10
	maxFormParams = 100
)

// Params are the parameters of a request: each named at most once, except those
// that may repeat, and none empty. They hold credentials and so do not print.
type Params struct{ sent []param }

type param struct{ name, value string }

// ParseParams reads application/x-www-form-urlencoded, from a body or a query.
// A parameter without value counts as omitted, one that nobody asks for is
// ignored, and one sent twice is invalid_request unless it is among repeatable
// (RFC 6749 §3.1, §3.2). Twice means two values: an empty one was never sent.
// Values are UTF-8 (RFC 6749 appendix B).
func ParseParams(body string, repeatable ...string) (Params, error) {
	if len(body) > maxFormBytes {
		return Params{}, InvalidRequest("the parameters are longer than 64 KiB")
	}
	p := Params{sent: make([]param, 0, 8)}
	count := 0
	for pair := range strings.SplitSeq(body, "&") {
		if pair == "" {
			continue
		}
		if count++; count > maxFormParams {
			return Params{}, InvalidRequest("more than 100 parameters")
		}
		rawName, rawValue, _ := strings.Cut(pair, "=")
		name, err := formText(rawName)
		if err != nil {
			return Params{}, InvalidRequest("the name of a parameter " + err.Error())
		}
		value, err := formText(rawValue)
		if err != nil {
			return Params{}, InvalidRequest("the value of " + quoteName(name) + " " + err.Error())
		}
		if value == "" {
			continue
		}
		if p.Has(name) && !slices.Contains(repeatable, name) {
			return Params{}, InvalidRequest(quoteName(name) + " is sent twice")
		}
		p.sent = append(p.sent, param{name, value})
	}
	return p, nil
}

// formText decodes a name or a value.
func formText(raw string) (string, error) {
	text, err := url.QueryUnescape(raw)
	switch {
	case err != nil:
		return "", errors.New("is not form-urlencoded: % is not followed by two hex digits")
	case !utf8.ValidString(text):
		return "", errors.New("is not UTF-8")
	}
	return text, nil
}

// Value returns the parameter's value, the first of a repeatable one, or "" if
// it was omitted.
func (p Params) Value(name string) string {
	for _, s := range p.sent {
		if s.name == name {
			return s.value
		}
	}
	return ""
}

// Values returns all values in the order sent, nil if the parameter was omitted.
func (p Params) Values(name string) []string {
	var values []string
	for _, s := range p.sent {
		if s.name == name {
			values = append(values, s.value)
		}
	}
	return values
}

// Has reports whether the parameter was sent with a value.
func (p Params) Has(name string) bool { return p.Value(name) != "" }

// Format keeps client_secret, code and the like out of logs.
func (p Params) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "[parameters]") }

// parameterNames are those that an error may name. Any other was made up by the
// sender, and is not repeated to whoever reads the answer.
var parameterNames = []string{
	"assertion", "actor_token", "actor_token_type", "audience", "client_assertion", "client_assertion_type",
	"client_id", "client_secret", "code", "code_challenge", "code_challenge_method", "code_verifier",
	"device_code", "grant_type", "nonce", "prompt", "redirect_uri", "refresh_token", "request", "request_uri",
	"acr_values", "claims", "dpop_jkt", "id_token_hint", "login_hint", "max_age", "requested_token_type", "resource", "response_mode", "response_type", "scope", "state", "ui_locales",
	"subject_token", "subject_token_type", "token", "token_type_hint", "user_code",
}

func quoteName(name string) string {
	if slices.Contains(parameterNames, name) {
		return "parameter '" + name + "'"
	}
	return "a parameter"
}

// ParamsOf makes the parameters of a request that did not come as a form. What
// may not repeat must be there once; an empty value counts as omitted.
func ParamsOf(pairs [][2]string) Params {
	p := Params{}
	for _, pair := range pairs {
		if pair[1] != "" {
			p.sent = append(p.sent, param{pair[0], pair[1]})
		}
	}
	return p
}
