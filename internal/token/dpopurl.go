package token

import (
	"net/url"
	"strings"
)

// sameProofURL reports whether two URLs, query and fragment apart, are one after
// syntax- and scheme-based normalisation (RFC 3986 §6.2.2, §6.2.3). Letter case
// and a last slash of the path are kept: only the server knows what they mean.
func sameProofURL(a, b string) bool {
	a, b = withoutQuery(a), withoutQuery(b)
	if a == b {
		return isHTTP(a)
	}
	na, okA := normalURL(a)
	nb, okB := normalURL(b)
	return okA && okB && na == nb
}

func isHTTP(s string) bool {
	scheme, rest, _ := strings.Cut(s, "://")
	return rest != "" && (scheme == "https" || scheme == "http")
}

// withoutQuery cuts s where the query or the fragment begins.
func withoutQuery(s string) string {
	if i := strings.IndexAny(s, "?#"); i >= 0 {
		return s[:i]
	}
	return s
}

// normalURL writes an http or https URL in the one way that RFC 3986 §6.2.2 has
// for it, with the default port of its scheme left out (RFC 3986 §6.2.3). It is
// not ok for anything else, and for one with a user.
func normalURL(s string) (normal string, ok bool) {
	u, err := url.Parse(s)
	if err != nil || u.Opaque != "" || u.User != nil || u.Host == "" {
		return "", false
	}
	scheme, host := strings.ToLower(u.Scheme), strings.ToLower(u.Host)
	switch scheme {
	case "https":
		host = strings.TrimSuffix(host, ":443")
	case "http":
		host = strings.TrimSuffix(host, ":80")
	default:
		return "", false
	}
	host = strings.TrimSuffix(host, ":")
	return scheme + "://" + host + withoutDots(normalEscapes(u.EscapedPath())), true
}

// normalEscapes decodes the escapes of characters that need none, and writes the
// others in capitals (RFC 3986 §6.2.2.1, §6.2.2.2). What is no escape stays.
func normalEscapes(path string) string {
	if !strings.Contains(path, "%") {
		return path
	}
	var b strings.Builder
	for i := 0; i < len(path); i++ {
		if path[i] != '%' || i+2 >= len(path) || !isHex(path[i+1]) || !isHex(path[i+2]) {
			b.WriteByte(path[i])
			continue
		}
		if c := unhex(path[i+1])<<4 | unhex(path[i+2]); isUnreserved(c) {
			b.WriteByte(c)
		} else {
			b.WriteString(strings.ToUpper(path[i : i+3]))
		}
		i += 2
	}
	return b.String()
}

// withoutDots removes dot segments (RFC 3986 §5.2.4); an empty path is "/".
func withoutDots(path string) string {
	if path == "" {
		return "/"
	}
	if !strings.Contains(path, "/.") {
		return path
	}
	var kept []string
	segments := strings.Split(path[1:], "/")
	for i, s := range segments {
		last := i == len(segments)-1
		switch s {
		case ".", "..":
			if s == ".." && len(kept) > 0 {
				kept = kept[:len(kept)-1]
			}
			if last {
				kept = append(kept, "")
			}
		default:
			kept = append(kept, s)
		}
	}
	return "/" + strings.Join(kept, "/")
}

// isUnreserved is RFC 3986 §2.3.
func isUnreserved(c byte) bool {
	return 'a' <= c|0x20 && c|0x20 <= 'z' || '0' <= c && c <= '9' || strings.IndexByte("-._~", c) >= 0
}

func isHex(c byte) bool { return '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'f' }

func unhex(c byte) byte {
	if c <= '9' {
		return c - '0'
	}
	return c | 0x20 - 'a' + 10
}
