package apikey

import "strings"

// A query string is read here as every kind of server may read it: parts are
// separated by `&` and by `;`, names are compared after form decoding (`api%5fkey`
// is `api_key`, `+` is a space), and there is no limit to their number. What
// QueryValues finds is exactly what StripQuery removes, and what StripQuery
// leaves keeps its bytes: an undecodable neighbour, an empty part or a `;` is
// not a reason to lose a parameter.

// StripQuery removes every parameter called name from rawQuery, which comes
// without its `?`. It returns what is left, byte for byte and in order, and the
// number of parameters removed. When nothing is left, out is "" and the `?` goes
// too. A `;` that would come to stand beside a removed `&` becomes that `&`, so
// that no two parameters grow together for a server that splits at `&` alone.
func StripQuery(rawQuery, name string) (out string, removed int) {
	return stripPairs(rawQuery, func(rawName string) bool { return spells(rawName, name) })
}

// QueryValues appends the form-decoded values of every parameter called name to
// dst, in order: "" for one without a value. A malformed escape stays as it is.
func QueryValues(rawQuery, name string, dst []string) []string {
	for q := (pairs{rest: rawQuery}); q.next(); {
		if spells(q.name, name) {
			dst = append(dst, formDecode(q.value))
		}
	}
	return dst
}

// pairs walks the parameters of a raw query.
type pairs struct {
	rest string

	pair, name, value string // of the current parameter, undecoded
	sep               byte   // what follows it: '&', ';' or 0 at the end
}

// next moves to the next parameter. An empty query has none; an empty part
// between two separators is one without name and value.
func (q *pairs) next() bool {
	if q.rest == "" && q.sep == 0 {
		return false
	}
	end, equals := 0, -1
	for ; end < len(q.rest) && q.rest[end] != '&' && q.rest[end] != ';'; end++ {
		if equals < 0 && q.rest[end] == '=' {
			equals = end
		}
	}
	q.pair = q.rest[:end]
	q.name, q.value = q.pair, ""
	if equals >= 0 {
		q.name, q.value = q.pair[:equals], q.pair[equals+1:]
	}
	if end == len(q.rest) {
		q.rest, q.sep = "", 0
	} else {
		q.sep, q.rest = q.rest[end], q.rest[end+1:]
	}
	return true
}

// stripPairs removes the parameters whose raw name is to be dropped. Without
// one it returns rawQuery itself.
func stripPairs(rawQuery string, drop func(rawName string) bool) (out string, removed int) {
	for q := (pairs{rest: rawQuery}); q.next(); {
		if drop(q.name) {
			removed++
		}
	}
	if removed == 0 {
		return rawQuery, 0
	}
	left, kept := make([]byte, 0, len(rawQuery)), 0
	sep := byte(0) // what stands between the last kept part and the next
	for q := (pairs{rest: rawQuery}); q.next(); {
		if drop(q.name) {
			if q.sep == '&' {
				sep = '&'
			}
			continue
		}
		if kept > 0 {
			left = append(left, sep)
		}
		left, kept, sep = append(left, q.pair...), kept+1, q.sep
	}
	return string(left), removed
}

// spells reports whether raw is name after form decoding.
func spells(raw, name string) bool {
	i := 0
	for j := range len(name) {
		if i >= len(raw) {
			return false
		}
		c, size := formByte(raw[i:])
		if c != name[j] {
			return false
		}
		i += size
	}
	return i == len(raw)
}

// resembles reports whether some server reads raw as the name that folds to
// folded: case, `-`, `_`, `.` and space are one to it, as are leading spaces, a
// stray `?` and what follows a `[`. PHP, CGI and ASP.NET each do a part of this.
// It is also true of the name itself.
func resembles(raw, folded string) bool {
	i := 0
	for i < len(raw) {
		c, size := formByte(raw[i:])
		if c != ' ' && c != '?' {
			break
		}
		i += size
	}
	for j := range len(folded) {
		if i >= len(raw) {
			return false
		}
		c, size := formByte(raw[i:])
		if foldByte(c) != folded[j] {
			return false
		}
		i += size
	}
	if i == len(raw) {
		return true
	}
	c, _ := formByte(raw[i:])
	return c == '[' || c == ' ' || c == 0
}

// foldByte maps the spellings of a name that servers confuse to one.
func foldByte(c byte) byte {
	switch {
	case 'A' <= c && c <= 'Z':
		return c + 'a' - 'A'
	case c == '_' || c == '.' || c == ' ':
		return '-'
	}
	return c
}

func foldName(name string) string {
	b := []byte(name)
	for i, c := range b {
		b[i] = foldByte(c)
	}
	return string(b)
}

// formByte decodes the first character of s, which is not empty, as form
// encoding does.
func formByte(s string) (c byte, size int) {
	if s[0] == '+' {
		return ' ', 1
	}
	return percentByte(s)
}

// percentByte decodes the first character of s, which is not empty: a
// well-formed escape, or else the byte as it is.
func percentByte(s string) (c byte, size int) {
	if s[0] == '%' && len(s) > 2 {
		if hi, lo := hexDigit(s[1]), hexDigit(s[2]); hi >= 0 && lo >= 0 {
			return byte(hi<<4 | lo), 3
		}
	}
	return s[0], 1
}

// formDecode decodes application/x-www-form-urlencoded text. Like percentDecode
// it never fails, and returns text that needs no decoding as it is.
func formDecode(s string) string { return percentDecode(strings.ReplaceAll(s, "+", " ")) }

func percentDecode(s string) string {
	if strings.IndexByte(s, '%') < 0 {
		return s
	}
	b := make([]byte, 0, len(s))
	for len(s) > 0 {
		c, size := percentByte(s)
		b, s = append(b, c), s[size:]
	}
	return string(b)
}

func hexDigit(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c && c <= 'f':
		return int(c-'a') + 10
	case 'A' <= c && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}
