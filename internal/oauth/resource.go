package oauth

import (
	"net/url"
	"strings"
)

// maxResourceBytes bounds a resource indicator.
const maxResourceBytes = 2 << 10

// CheckResource refuses, as invalid_target, what is not an absolute URI or has a
// fragment (RFC 8707 §2). A query is allowed. Whether the resource is one of
// ours is for the caller to say, by comparing it as it stands.
func CheckResource(s string) error {
	if len(s) > maxResourceBytes {
		return InvalidTarget("resource is longer than 2048 characters")
	}
	if strings.Contains(s, "#") {
		return InvalidTarget("resource has a fragment: leave out # and what follows it")
	}
	if !hasURIChars(s) {
		return InvalidTarget("resource is not a URI: it has a character that must be percent-encoded")
	}
	u, err := url.Parse(s)
	if err != nil || u.Scheme == "" || u.Host == "" && u.Opaque == "" && u.Path == "" {
		return InvalidTarget("resource is not an absolute URI such as https://api.example.com")
	}
	if u.Host == "" && (u.Scheme == "https" || u.Scheme == "http") {
		return InvalidTarget("resource has no host: want an absolute URI such as https://api.example.com")
	}
	return nil
}

// hasURIChars reports whether s consists of the characters of RFC 3986 §2, each
// "%" with its two hex digits.
func hasURIChars(s string) bool {
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case isAlphanumeric(c), strings.IndexByte("-._~:/?#[]@!$&'()*+,;=", c) >= 0:
		case c == '%' && i+2 < len(s) && isHex(s[i+1]) && isHex(s[i+2]):
			i += 2
		default:
			return false
		}
	}
	return true
}

func isAlphanumeric(c byte) bool {
	return c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || c >= '0' && c <= '9'
}

func isHex(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'A' && c <= 'F' || c >= 'a' && c <= 'f'
}
