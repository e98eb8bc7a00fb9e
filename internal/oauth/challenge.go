package oauth

import (
	"slices"
	"strings"
)

// Challenge is one challenge of a WWW-Authenticate header (RFC 9110 §11.6.1).
// Without Error it says only that a credential is wanted, which is all that a
// request without any may be told (RFC 6750 §3.1).
type Challenge struct {
	Scheme           string // "Bearer", "DPoP", "Basic" or a legacy scheme
	Realm            string
	Error            string
	Description      string
	ErrorURI         string
	Scope            Scope       // what the request needs
	ResourceMetadata string      // RFC 9728 §5.1
	Extra            []Attribute // others, such as algs (RFC 9449 §7.1)
}

// Attribute is an auth-param that Challenge has no field for.
type Attribute struct{ Name, Value string }

// ChallengeFor returns the challenge that answers with err under scheme.
func ChallengeFor(scheme string, err *Error) Challenge {
	return Challenge{Scheme: scheme, Error: err.Code, Description: err.Description}
}

// String writes the header's value. Each attribute stands once, in quotes,
// whatever the fields hold: names that are no tokens and scope names out of
// their charset are left out, characters that no quoted string can hold become
// "?" (RFC 6750 §3, RFC 9110 §5.6.4). A Scheme that is no token gives "".
func (c Challenge) String() string {
	if !isToken(c.Scheme) {
		return ""
	}
	var b strings.Builder
	b.WriteString(c.Scheme)
	var written []string
	add := func(name, value string) {
		if value == "" || !isToken(name) || slices.ContainsFunc(written, func(w string) bool { return strings.EqualFold(w, name) }) {
			return
		}
		separator := ", "
		if len(written) == 0 {
			separator = " "
		}
		written = append(written, name)
		b.WriteString(separator)
		b.WriteString(name)
		b.WriteString(`="`)
		writeQuoted(&b, value)
		b.WriteByte('"')
	}
	add("realm", c.Realm)
	add("error", CleanDescription(c.Error))
	add("error_description", CleanDescription(c.Description))
	add("error_uri", c.ErrorURI)
	add("scope", c.Scope.filter(IsScopeName).String())
	add("resource_metadata", c.ResourceMetadata)
	for _, a := range c.Extra {
		add(a.Name, a.Value)
	}
	return b.String()
}

// writeQuoted writes the inside of a quoted-string in visible ASCII.
func writeQuoted(b *strings.Builder, s string) {
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r >= 0x20 && r <= 0x7e:
			b.WriteRune(r)
		default:
			b.WriteByte('?')
		}
	}
}

// isToken reports whether s is a token (RFC 9110 §5.6.2).
func isToken(s string) bool {
	for i := range len(s) {
		if c := s[i]; !isAlphanumeric(c) && strings.IndexByte("!#$%&'*+-.^_`|~", c) < 0 {
			return false
		}
	}
	return s != ""
}
