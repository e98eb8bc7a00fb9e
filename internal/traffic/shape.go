package traffic

import (
	"strings"
)

// shapeOf is what a segment looks like by itself, for Recovery, which asks the
// neighbours about whatever is left open here. It returns the pattern of a
// segment that holds an identifier, `{}` or what surrounds it (`{}.json`,
// `{}:cancel`, `items(sku={})`), or "" for one that may be a word of the API.
func shapeOf(segment string) string {
	if segment == "{id}" {
		return "{}"
	}
	if pattern := callPattern(segment); pattern != "" {
		return pattern
	}
	body, suffix := cutSuffix(segment)
	if suffix != "" && looksDrawn(body) {
		return "{}" + suffix
	}
	if looksDrawn(segment) {
		return "{}"
	}
	return ""
}

// callPattern is the pattern of OData keys and function calls: the values of
// arguments are parameters, their names are not.
func callPattern(segment string) string {
	open := strings.IndexByte(segment, '(')
	if open < 0 || !strings.HasSuffix(segment, ")") || open == len(segment)-2 {
		return ""
	}
	arguments := segment[open+1 : len(segment)-1]
	if strings.ContainsAny(arguments, "()") {
		return ""
	}
	var b strings.Builder
	b.WriteString(segment[:open+1])
	for i, argument := range strings.Split(arguments, ",") {
		if i > 0 {
			b.WriteByte(',')
		}
		name, value, named := strings.Cut(argument, "=")
		if named {
			b.WriteString(name + "=")
		} else {
			value = name
		}
		if n := len(value); n > 1 && value[0] == '\'' && value[n-1] == '\'' {
			b.WriteString("'{}'")
		} else {
			b.WriteString("{}")
		}
	}
	b.WriteByte(')')
	return b.String()
}

// formats are the usual endings of names of representations.
var formats = map[string]bool{
	"json": true, "xml": true, "csv": true, "pdf": true, "html": true, "txt": true, "png": true, "jpg": true, "svg": true, "zip": true,
	"yaml": true, "yml": true, "atom": true, "rss": true, "ics": true, "gz": true, "diff": true, "patch": true, "md": true, "xlsx": true,
}

// cutSuffix splits the end off a segment that says what is wanted of the thing
// before it: a format (`7.json`) or an action (`7:cancel`).
func cutSuffix(segment string) (body, suffix string) {
	if i := strings.LastIndexByte(segment, '.'); i > 0 && formats[segment[i+1:]] && !strings.Contains(segment, "@") {
		return segment[:i], segment[i:]
	}
	if i := strings.LastIndexByte(segment, ':'); i > 0 && i+2 < len(segment) && isLetters(segment[i+1:]) {
		return segment[:i], segment[i:]
	}
	return segment, ""
}

func isLetters(s string) bool {
	for i := range len(s) {
		if k := kindOf(s[i]); k != 0 && k != 1 {
			return false
		}
	}
	return true
}

// looksDrawn reports whether a segment was certainly not chosen by the author of
// an API: numbers, UUIDs, hashes, dates, addresses, mails, and random letters.
// It is stricter than IsIdentifier, which hides whatever might be a secret.
func looksDrawn(s string) bool {
	var digits, letters, hex, runs, changes int
	for i := range len(s) {
		switch c := s[i]; {
		case c >= '0' && c <= '9':
			digits++
			if i == 0 || s[i-1] < '0' || s[i-1] > '9' {
				runs++
			}
		case c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F':
			letters, hex = letters+1, hex+1
		case kindOf(c) != 3:
			letters++
		case c == '@' || c == '%' || c == '*' || c == '{' || c == '}' || c < ' ' || c >= 0x7f:
			return true
		}
		if i > 0 && kindOf(s[i]) != kindOf(s[i-1]) {
			changes++
		}
	}
	switch {
	case isVersion(s) || s == "":
		return false
	case digits > 0 && letters == 0:
		return true
	case digits > 0 && hex == letters && digits+hex >= 8:
		return true
	case digits >= 3 && len(s) >= 8 && (runs > 1 || endsInNumber(s, digits)):
		return true
	case len(s) >= 8 && digits > 0 && 2*changes >= len(s):
		return true
	case len(s) >= 10 && 2*changes > len(s):
		return true
	}
	return digits >= 2 && runs > 1 && len(s) >= 24 || digits >= 1 && hasPrefix(s)
}

// hasPrefix reports whether a segment is a long tail of small letters and digits
// behind a short prefix: ord_xpzbaa2eoaniad.
func hasPrefix(s string) bool {
	prefix, tail, found := strings.Cut(s, "_")
	return found && len(prefix) >= 1 && len(prefix) <= 5 && isLetters(prefix) && len(tail) >= 10 &&
		strings.Trim(tail, "0123456789abcdefghijklmnopqrstuvwxyz") == "" && strings.ContainsAny(tail[:len(tail)-1], "0123456789")
}

// endsInNumber reports whether all digits stand together at the end, behind a
// separator: ABC-12345.
func endsInNumber(s string, digits int) bool {
	at := len(s) - digits
	return at > 0 && strings.Trim(s[at:], "0123456789") == "" && strings.IndexByte("-_.", s[at-1]) >= 0
}
