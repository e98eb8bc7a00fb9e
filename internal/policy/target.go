package policy

import (
	"fmt"
	"math/bits"
	"strings"
	"unicode/utf8"
)

// Target is a request target as judged. Path decides route, scope and record;
// what goes to the API are the bytes that came: RawPath, and RawQuery behind a
// `?` if HasQuery. The two denote the same resource whenever Problem is "".
//
// The zero Target is refused.
type Target struct {
	// Path is the canonical path: it starts with a slash, holds printable ASCII
	// only, and every character that a path segment may hold as it is stands
	// decoded (`%61` is `a`, RFC 3986 §6.2.2.2; `%3A` is `:`, because servers
	// route both alike), every other encoded in capitals (`é` is `%C3%A9`).
	// Needless escapes are no problem. Case and a trailing slash are kept. With
	// a Problem it is what was sent, nothing resolved.
	Path string

	RawPath  string // the path as sent, "" in `http://host`
	RawQuery string // the bytes after the first `?`
	HasQuery bool   // tells `/a?` from `/a`

	// Problem is why the strict rules refuse the target, "" if they do not.
	Problem Problem

	Form      Form
	Authority string // of the absolute form, as sent

	problems ProblemSet
}

// Form is the form of a request target (RFC 9112 §3.2).
type Form string

const (
	// OriginForm is `/path?query`, the only form that the strict rules take.
	OriginForm Form = "origin"
	// AbsoluteForm is `http://host/path?query`, meant for proxies.
	AbsoluteForm Form = "absolute"
	// AuthorityForm is `host:port`, of CONNECT.
	AuthorityForm Form = "authority"
	// AsteriskForm is `*`, of OPTIONS.
	AsteriskForm Form = "asterisk"
	// OpaqueForm is anything else, such as `http:http://other/admin`. It has no
	// path that could be judged.
	OpaqueForm Form = "opaque"
)

// Refused reports whether the target is refused whatever is enforced, because
// it names no path.
func (t Target) Refused() bool { return t.Form != OriginForm && t.Form != AbsoluteForm }

// ProblemWith is Problem where a route permits what is in allow.
func (t Target) ProblemWith(allow ProblemSet) Problem {
	left := t.problems &^ (allow & allowable)
	if left == 0 {
		return ""
	}
	return problems[bits.TrailingZeros32(uint32(left))].code
}

// Problem is the code of an ambiguity: two servers can read the target as two
// resources. The codes are stable.
type Problem string

// Why says what is wrong in words, for whoever sent the target.
func (p Problem) Why() string {
	for _, known := range problems {
		if known.code == p {
			return known.why
		}
	}
	return ""
}

// ProblemSet is a set of problems.
type ProblemSet uint32

// The problems in the order in which they are named when there are several.
const (
	dotSegment ProblemSet = 1 << iota
	badEscape
	control
	encodedNUL
	overlongUTF8
	fragment
	backslash
	encodedBackslash
	encodedSlash
	doubleEncoding
	encodedQuestion
	encodedHash
	encodedSemicolon
	semicolon
	emptySegment
	invalidUTF8
	nonOriginForm

	// No route can permit the problems up to fragment: nothing that is
	// addressed with them is addressed for certain.
	allowable = nonOriginForm<<1 - backslash
)

var problems = [...]struct {
	code Problem
	why  string
}{
	{"dot_segment", "the path has a segment . or .., as it is, encoded or encoded twice: send the path that is meant"},
	{"bad_escape", "the path has a % that is not followed by two hexadecimal digits: write %25 for a percent sign"},
	{"control", "the target has a control character or a space, as it is or encoded"},
	{"encoded_nul", "the path has an encoded NUL (%00)"},
	{"overlong_utf8", "the path has a character in an overlong UTF-8 form, such as %C0%AF for a slash"},
	{"fragment", "the target has a #: fragments are not sent to servers, write %23 for the character"},
	{"backslash", "the path has a backslash, which some servers read as a slash"},
	{"encoded_backslash", "the path has an encoded backslash (%5C), which some servers read as a slash"},
	{"encoded_slash", "the path has an encoded slash (%2F), which some servers read as a separator"},
	{"double_encoding", "the path is encoded twice (%25 before two hexadecimal digits)"},
	{"encoded_question", "the path has an encoded question mark (%3F)"},
	{"encoded_hash", "the path has an encoded # (%23)"},
	{"encoded_semicolon", "the path has an encoded semicolon (%3B), which some servers read as the start of a parameter"},
	{"semicolon", "the path has a semicolon, which some servers read as the start of a parameter and cut off"},
	{"empty_segment", "the path has an empty segment (//), which some servers merge"},
	{"invalid_utf8", "the path is not UTF-8 once decoded"},
	{"non_origin_form", "the target is in absolute form: send the path alone and the host as Host"},
}

// ParseProblems reads the codes that a route permits. Those that no route can
// permit are refused.
func ParseProblems(codes []string) (ProblemSet, error) {
	var set ProblemSet
	for _, code := range codes {
		bit := ProblemSet(0)
		var known []string
		for i, p := range problems {
			if allowable&(1<<i) == 0 && string(p.code) == code {
				return 0, fmt.Errorf("%s cannot be permitted: %s", code, p.why)
			}
			if allowable&(1<<i) != 0 {
				known = append(known, string(p.code))
				if string(p.code) == code {
					bit = 1 << i
				}
			}
		}
		if bit == 0 {
			return 0, fmt.Errorf("%q is not the code of an ambiguity: a route can permit %s", code, strings.Join(known, ", "))
		}
		set |= bit
	}
	return set, nil
}

// ParseTarget reads the bytes between method and protocol of a request line as
// they came (http.Request.RequestURI); what a URL library makes of them is not
// asked. It always answers, in time linear to the length, and allocates only
// where Path differs from the bytes sent.
func ParseTarget(raw string) Target {
	var t Target
	rest := raw
	if i := strings.IndexByte(raw, '?'); i >= 0 {
		rest, t.RawQuery, t.HasQuery = raw[:i], raw[i+1:], true
	}
	switch {
	case rest != "" && rest[0] == '/':
		t.Form, t.RawPath = OriginForm, rest
	case raw == "*":
		t.Form = AsteriskForm
	case isAuthorityForm(raw):
		t.Form = AuthorityForm
	default:
		t.readAbsolute(rest)
	}
	if t.Form != OriginForm {
		t.problems = nonOriginForm
	}
	if !t.Refused() {
		t.judgePath()
		t.judgeQuery()
	}
	t.Problem = t.ProblemWith(0)
	return t
}

// readAbsolute reads `http://host/path`. What is not exactly that is opaque:
// user names, other schemes, an empty host (RFC 9112 §3.2.2, RFC 9110 §4.2.4).
func (t *Target) readAbsolute(rest string) {
	t.Form = OpaqueForm
	scheme, rest, found := strings.Cut(rest, "://")
	if !found || (!strings.EqualFold(scheme, "http") && !strings.EqualFold(scheme, "https")) {
		return
	}
	end := len(rest)
	if i := strings.IndexByte(rest, '/'); i >= 0 {
		end = i
	}
	if isAuthority(rest[:end]) {
		t.Form, t.Authority, t.RawPath = AbsoluteForm, rest[:end], rest[end:]
	}
}

// isAuthorityForm is RFC 9112 §3.2.3.
func isAuthorityForm(s string) bool {
	i := strings.LastIndexByte(s, ':')
	return i > 0 && i < len(s)-1 && strings.Trim(s[i+1:], "0123456789") == "" && isAuthority(s[:i])
}

// isAuthority is RFC 3986 §3.2 without user information.
func isAuthority(s string) bool {
	for i := range len(s) {
		c := s[i]
		if c == '@' || (classes[c] != plain && c != '[' && c != ']' && c != '%') {
			return false
		}
	}
	return s != ""
}

func (t *Target) judgeQuery() {
	for i := range len(t.RawQuery) {
		switch c := t.RawQuery[i]; {
		case c == '#':
			t.problems |= fragment
		case c <= ' ' || c == 0x7f:
			t.problems |= control
		}
	}
}

// judgePath finds the problems of RawPath and writes Path.
func (t *Target) judgePath() {
	path := t.RawPath
	if path == "" {
		t.Path = "/" // RFC 9110 §4.2.3
		return
	}
	for i := range len(path) {
		if c := classes[path[i]]; c == plain || (c == slash && !hasOddStart(path[i+1:])) {
			continue
		}
		t.judgeOddPath()
		return
	}
	t.Path = path
}

// hasOddStart reports whether the segment at the start of rest may be empty or
// of dots.
func hasOddStart(rest string) bool { return rest != "" && (rest[0] == '/' || rest[0] == '.') }

func (t *Target) judgeOddPath() {
	path := t.RawPath
	var canonicalBuf, decodedBuf [256]byte
	canonical, decoded := canonicalBuf[:0], decodedBuf[:0]
	for i := 0; i < len(path); i++ {
		c, class := path[i], classes[path[i]]
		switch {
		case class == slash && i > 0 && path[i-1] == '/':
			t.problems |= emptySegment
		case c == '%' && !isEscape(path[i:]):
			t.problems |= badEscape
			class = other
		case c == '%':
			c = hexByte(path[i+1], path[i+2])
			t.problems |= encodedProblem[c]
			class = classes[c]
			if class != plain {
				class = other // it stays encoded: as a bare character it would mean something else
			}
			i += 2
		default:
			t.problems |= bareProblem[c]
		}
		decoded = append(decoded, c)
		if class == plain || class == slash || class == param {
			canonical = append(canonical, c)
		} else {
			canonical = append(canonical, '%', upperHex[c>>4], upperHex[c&15])
		}
	}
	if !utf8.Valid(decoded) {
		t.problems |= invalidUTF8 | overlong(decoded)
	}
	if collapsed := collapseEscapes(decoded); len(collapsed) != len(decoded) {
		t.problems |= doubleEncoding
		decoded = collapsed
	}
	if hasDotSegment(decoded) {
		t.problems |= dotSegment
	}
	if string(canonical) == path {
		t.Path = path
		return
	}
	t.Path = string(canonical)
}

// collapseEscapes decodes b in place, again and again until no escape is left.
func collapseEscapes(b []byte) []byte {
	out := b[:0]
	for _, c := range b {
		out = append(out, c)
		for n := len(out); n > 2 && isEscape(out[n-3:]); n = len(out) {
			out = append(out[:n-3], hexByte(out[n-2], out[n-1]))
		}
	}
	return out
}

// hasDotSegment looks for `.` and `..` between whatever some server takes for a
// separator, with or without parameters behind them.
func hasDotSegment(decoded []byte) bool {
	dots, onlyDots := 0, true // of the segment so far
	isDots := func() bool { return onlyDots && (dots == 1 || dots == 2) }
	for _, c := range decoded {
		switch c {
		case '/', '\\':
			if isDots() {
				return true
			}
			dots, onlyDots = 0, true
		case '.':
			dots++
		case ';', '?', '#', 0:
			if isDots() {
				return true
			}
			onlyDots = false
		default:
			onlyDots = false
		}
	}
	return isDots()
}

// overlong looks for UTF-8 that is longer than it must be (RFC 3629 §3), the
// form in which slashes and dots were once smuggled.
func overlong(b []byte) ProblemSet {
	for i, c := range b {
		next := byte(0xff)
		if i+1 < len(b) {
			next = b[i+1]
		}
		if c == 0xc0 || c == 0xc1 || (c == 0xe0 && 0x80 <= next && next < 0xa0) || (c == 0xf0 && 0x80 <= next && next < 0x90) {
			return overlongUTF8
		}
	}
	return 0
}

// Classes of bytes in a path.
const (
	other = iota // may stand in a path only encoded
	plain        // pchar of RFC 3986 §3.3, except `;`
	slash
	param // `;`
)

var (
	classes        [256]uint8
	bareProblem    [256]ProblemSet // of the byte as it is
	encodedProblem [256]ProblemSet // of the byte as an escape
)

const upperHex = "0123456789ABCDEF"

func init() {
	const unreserved, subDelims = "-._~", "!$&'()*+,="
	for c := range 256 {
		b := byte(c)
		letter := 'a' <= b|0x20 && b|0x20 <= 'z'
		if letter || ('0' <= b && b <= '9') || strings.IndexByte(unreserved+subDelims+":@", b) >= 0 {
			classes[b] = plain
		}
		if b < ' ' || b == 0x7f {
			bareProblem[b], encodedProblem[b] = control, control
		}
	}
	classes['/'], classes[';'] = slash, param
	bareProblem[' '] = control
	bareProblem['#'], encodedProblem['#'] = fragment, encodedHash
	bareProblem['\\'], encodedProblem['\\'] = backslash, encodedBackslash
	bareProblem[';'], encodedProblem[';'] = semicolon, encodedSemicolon
	encodedProblem['/'] = encodedSlash
	encodedProblem['?'] = encodedQuestion
	encodedProblem[0] = encodedNUL
}

// isEscape reports whether s starts with % and two hexadecimal digits.
func isEscape[S string | []byte](s S) bool {
	return len(s) > 2 && s[0] == '%' && isHex(s[1]) && isHex(s[2])
}

func isHex(c byte) bool {
	return ('0' <= c && c <= '9') || ('a' <= c|0x20 && c|0x20 <= 'f')
}

func hexByte(hi, lo byte) byte { return hexDigit(hi)<<4 | hexDigit(lo) }

func hexDigit(c byte) byte {
	if c <= '9' {
		return c - '0'
	}
	return c | 0x20 - 'a' + 10
}
