package lean

import "net/textproto"

func isAlphanumeric(c byte) bool {
	return c|0x20 >= 'a' && c|0x20 <= 'z' || c >= '0' && c <= '9'
}

// tokenChars are those of RFC 9110 §5.6.2.
var tokenChars = func() (is [256]bool) {
	for c := range is {
		is[c] = isAlphanumeric(byte(c))
	}
	for _, c := range "!#$%&'*+-.^_`|~" {
		is[c] = true
	}
	return is
}()

func isToken(s string) bool {
	for i := 0; i < len(s); i++ {
		if !tokenChars[s[i]] {
			return false
		}
	}
	return s != ""
}

// isFieldValue is RFC 9110 §5.5, with the bytes beyond ASCII that it leaves to
// whoever reads them.
func isFieldValue(s string) bool {
	for i := 0; i < len(s); i++ {
		if c := s[i]; c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}

// isVisible reports whether b has neither spaces nor control characters, so that
// it is one word of a request line (RFC 9112 §3).
func isVisible(b []byte) bool {
	for _, c := range b {
		if c <= ' ' || c == 0x7f {
			return false
		}
	}
	return true
}

// trimSpace cuts the white space around a field value (RFC 9110 §5.6.3).
func trimSpace(s string) string {
	for s != "" && (s[0] == ' ' || s[0] == '\t') {
		s = s[1:]
	}
	for s != "" && (s[len(s)-1] == ' ' || s[len(s)-1] == '\t') {
		s = s[:len(s)-1]
	}
	return s
}

// fieldName is the name in its usual spelling; false if it is none.
func fieldName(s string) (string, bool) {
	usual, upper := true, true
	for i := 0; i < len(s); i++ {
		c := s[i]
		if !tokenChars[c] {
			return "", false
		}
		if upper && c >= 'a' && c <= 'z' || !upper && c >= 'A' && c <= 'Z' {
			usual = false
		}
		upper = c == '-'
	}
	if !usual {
		s = textproto.CanonicalMIMEHeaderKey(s)
	}
	return s, s != ""
}
