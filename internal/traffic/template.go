package traffic

import (
	"strings"
	"sync"
)

// Templates turns canonical paths into templates, `/v1/orders/7` into
// `/v1/orders/{id}`. It judges each segment by itself, so that the same path
// always has the same template, and remembers the templates that it made. It is
// safe for concurrent use and its memory is bounded.
type Templates struct {
	mu     sync.RWMutex
	recent map[string]string
}

// maxRecent bounds the remembered templates; all are forgotten when it is
// reached.
const maxRecent = 8192

// Of is the template of a canonical path. A remembered one costs no allocation.
func (t *Templates) Of(path string) string {
	var buf [maxField]byte
	written := appendTemplate(buf[:0], path)
	t.mu.RLock()
	template, ok := t.recent[string(written)]
	t.mu.RUnlock()
	if ok {
		return template
	}
	template = string(written)
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.recent == nil || len(t.recent) >= maxRecent {
		t.recent = make(map[string]string, 256)
	}
	t.recent[template] = template
	return template
}

// maxSegments is how deep a template goes; what lies below is `**`.
const maxSegments = 12

func templateOf(path string) string { return string(appendTemplate(nil, path)) }

// appendTemplate appends the template of a path to b, which is empty.
func appendTemplate(b []byte, path string) []byte {
	if path == "" || path[0] != '/' {
		return append(b, "/**"...)
	}
	for len(path) > 1 && path[len(path)-1] == '/' {
		path = path[:len(path)-1] // tells nothing apart, as in policy.Match
	}
	rest := path[1:]
	for range maxSegments {
		segment, after, more := strings.Cut(rest, "/")
		if IsIdentifier(segment) {
			segment = "{id}"
		}
		if len(b)+len(segment)+len("/") > maxField-len("/**") {
			break
		}
		b = append(b, '/')
		b = append(b, segment...)
		if !more {
			return b
		}
		rest = after
	}
	return append(b, "/**"...)
}

// IsIdentifier reports whether a segment of a path names one thing rather than a
// kind of thing: numbers, UUIDs, hashes, dates, addresses, and whatever is too
// long or too random to have been chosen by the API's author. Templates write it as `{id}`.
// So they do with what would read as a wildcard itself, and with what does not
// print.
func IsIdentifier(s string) bool {
	var digits, hex, letters, other int
	for i := range len(s) {
		switch c := s[i]; {
		case c >= '0' && c <= '9':
			digits++
		case (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'):
			hex++
			letters++
		case (c >= 'g' && c <= 'z') || (c >= 'G' && c <= 'Z'):
			letters++
		case c == '*' || c == '{' || c == '}' || c < ' ' || c == 0x7f:
			return true
		case c == '@' || c == '%' || c == ':' || c == '=' || c >= 0x80:
			other++
		}
	}
	switch {
	case isVersion(s):
		return false
	case digits > 0 && letters == 0: // 7, 2026-11-23, 10.0.0.1
		return true
	case strings.ContainsRune(s, '@'): // a mail address
		return true
	case digits > 0 && hex == letters && digits+hex >= 8: // a hash or a UUID
		return true
	case digits >= 3 && len(s) >= 8: // ord_8f3k2m19x, ABC-12345
		return true
	case len(s) > 40:
		return true
	case isDrawn(s, digits):
		return true
	}
	return other > 2
}

// isDrawn reports whether a segment looks drawn at random, as tokens in paths
// are: it has digits without a word being set off from them, or changes between
// small letters, capitals and the rest more often than words do.
func isDrawn(s string, digits int) bool {
	if len(s) < 16 {
		return false
	}
	changes := 0
	for i := 1; i < len(s); i++ {
		if kindOf(s[i]) != kindOf(s[i-1]) {
			changes++
		}
	}
	return changes*9 > 4*(len(s)-1) || digits >= 2 && len(s) >= 20 && !strings.ContainsAny(s, "-_.")
}

// kindOf tells small letters, capitals, digits and the rest apart.
func kindOf(c byte) int {
	switch {
	case c >= 'a' && c <= 'z':
		return 0
	case c >= 'A' && c <= 'Z':
		return 1
	case c >= '0' && c <= '9':
		return 2
	}
	return 3
}

// isVersion reports whether a segment is an API version such as v1 or v2.1.
func isVersion(s string) bool {
	if len(s) < 2 || len(s) > 5 || (s[0] != 'v' && s[0] != 'V') {
		return false
	}
	return strings.Trim(s[1:], "0123456789.") == ""
}
