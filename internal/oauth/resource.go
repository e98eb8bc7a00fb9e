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
	for i := range len(s) {
		if s[i] <= 0x20 || s[i] > 0x7e {
			return InvalidTarget("resource is not a URI: it has a character that must be percent-encoded")
		}
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
