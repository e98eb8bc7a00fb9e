package apikey

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"unicode"

	"github.com/offkey/offkey/internal/secret"
)

const (
	// MaxLength is the longest apikey that is read, in bytes. GitHub tells
	// those who store its tokens to expect 255.
	MaxLength = 1024
	// MaxValues is how many apikeys of one request are kept; more are counted.
	MaxValues = 4
	// MaxCarriers is how many places a Reader looks at.
	MaxCarriers = 32

	redacted = "[apikey]"
)

// Found is one apikey as presented.
type Found struct {
	Carrier int // index in the reader's list
	Value   secret.Text
}

// Presented is every credential that a request presents.
type Presented struct {
	Values [MaxValues]Found // the first Count of them are set
	Count  int              // apikeys presented, those beyond MaxValues included

	// Duplicate: one carrier came twice, or Authorization did, whatever they
	// held. What the API would read of it cannot be told.
	Duplicate bool
	// Oversize: an apikey was longer than MaxLength. It is neither counted nor
	// kept.
	Oversize bool
	// Lookalike: a header, parameter or cookie has a name that only some
	// servers take for a carrier's (X_API_Key, API_KEY, api_key[]). It was not
	// read.
	Lookalike bool
	// Spelling: an Authorization or a cookie is written so that lenient servers
	// read another apikey of it than Values has, see OtherReadings.
	Spelling bool
	// OtherCredential: there is a cookie, Basic or other Authorization that is
	// none of the carriers'. The answer may be due to it.
	OtherCredential bool

	Token       secret.Text // what follows Bearer or DPoP, if it is no apikey
	TokenScheme string      // "Bearer", "DPoP" or "" without a token
}

// Found are the apikeys that were kept.
func (p *Presented) Found() []Found { return p.Values[:min(p.Count, MaxValues)] }

// Sole returns the apikey if it is the only credential of the request and came
// in the one way that every server reads alike. Only such an apikey may be
// learnt from the API's answer.
func (p *Presented) Sole() (Found, bool) {
	if p.Count != 1 || p.Duplicate || p.Oversize || p.Lookalike || p.Spelling || p.OtherCredential || p.TokenScheme != "" {
		return Found{}, false
	}
	return p.Values[0], true
}

// add takes a value without the space around it, which some servers cut off: an
// apikey must not become another one by it.
func (p *Presented) add(carrier int, value string) {
	value = strings.TrimFunc(value, isBlank)
	switch {
	case value == "":
		return
	case len(value) > MaxLength:
		p.Oversize = true
		return
	case p.Count < MaxValues:
		p.Values[p.Count] = Found{Carrier: carrier, Value: secret.NewText(value)}
	}
	p.Count++
}

// Reader finds apikeys in requests. It is safe for concurrent use.
type Reader struct {
	carriers []Carrier

	headers, schemes, queries, cookies []place
	basic, bare                        int    // carrier, or noCarrier
	lengths                            uint64 // bit n: a header name of n bytes that could have lookalikes
}

const noCarrier = -1

// NewReader makes a Reader for the carriers; their order gives Found.Carrier.
// Without carriers it reads tokens only.
func NewReader(carriers []Carrier) (*Reader, error) {
	if len(carriers) > MaxCarriers {
		return nil, fmt.Errorf("apikeys are looked for in %d places, at most %d can be", len(carriers), MaxCarriers)
	}
	r := &Reader{carriers: slices.Clone(carriers), basic: noCarrier, bare: noCarrier}
	seen := map[string]Carrier{}
	for i, c := range carriers {
		if err := c.check(); err != nil {
			return nil, err
		}
		p := c.place(i)
		id := string(c.Kind) + ":" + p.name
		if first, dup := seen[id]; dup {
			return nil, fmt.Errorf("apikeys are looked for in one place twice: %s and %s", first, c)
		}
		seen[id] = c
		switch c.Kind {
		case InBasic:
			r.basic = i
		case InAuthorization:
			r.schemes = append(r.schemes, p)
		case InQuery:
			r.queries = append(r.queries, p)
		case InCookie:
			r.cookies = append(r.cookies, p)
		case InHeader:
			if p.name == "Authorization" {
				r.bare = i
				continue
			}
			r.headers = append(r.headers, p)
			if strings.Contains(p.folded, "-") {
				r.lengths |= 1 << min(len(p.name), 63)
			}
		}
	}
	return r, nil
}

// Carriers are the reader's places in order.
func (r *Reader) Carriers() []Carrier { return slices.Clone(r.carriers) }

// Read finds every apikey in h, whose names are canonical, and in rawQuery, the
// bytes after the `?` of the target. It never fails: what a strict reader would
// refuse is flagged in the answer.
func (r *Reader) Read(h http.Header, rawQuery string) Presented {
	var p Presented
	r.readAuthorization(&p, h["Authorization"])
	for i := range r.headers {
		lines := h[r.headers[i].name]
		p.Duplicate = p.Duplicate || len(lines) > 1
		for _, line := range lines {
			p.add(r.headers[i].index, trimOWS(line))
		}
	}
	if rawQuery != "" && len(r.queries) > 0 {
		r.readQuery(&p, rawQuery)
	}
	if lines := h["Cookie"]; len(lines) > 0 {
		r.readCookies(&p, lines)
	}
	if r.lengths != 0 && !p.Lookalike {
		for name := range h {
			if r.isLookalikeHeader(name) {
				p.Lookalike = true
				break
			}
		}
	}
	return p
}

func (r *Reader) readAuthorization(p *Presented, lines []string) {
	p.Duplicate = len(lines) > 1
	for _, line := range lines {
		a := r.parseAuthorization(line)
		p.Spelling = p.Spelling || r.isLoose(line, a)
		switch {
		case a.carrier != noCarrier:
			p.add(a.carrier, a.value)
		case a.tokenScheme != "" && p.TokenScheme == "":
			p.Token, p.TokenScheme = secret.NewText(a.value), a.tokenScheme
		case a.other:
			p.OtherCredential = true
		}
	}
}

func (r *Reader) readQuery(p *Presented, rawQuery string) {
	var seen uint32
	for q := (pairs{rest: rawQuery}); q.next(); {
		if q.name == "" {
			continue
		}
		if at := findSpelled(r.queries, q.name); at != nil {
			bit := uint32(1) << at.index
			p.Duplicate = p.Duplicate || seen&bit != 0
			seen |= bit
			p.addEncoded(at.index, q.value, formDecode)
		} else if findResembling(r.queries, q.name) {
			p.Lookalike = true
		}
	}
}

func (r *Reader) readCookies(p *Presented, lines []string) {
	var seen uint32
	for _, line := range lines {
		for rest, more := line, true; more; {
			var crumb string
			crumb, rest, more = strings.Cut(rest, ";")
			name, value := splitCrumb(crumb)
			at := findNamed(r.cookies, name)
			switch {
			case at != nil:
				bit := uint32(1) << at.index
				p.Duplicate = p.Duplicate || seen&bit != 0
				seen |= bit
				p.Spelling = p.Spelling || isHalfQuoted(value)
				p.addEncoded(at.index, value, cookieDecode)
			case trimOWS(crumb) == "":
			default:
				p.OtherCredential = true
				p.Lookalike = p.Lookalike || findResembling(r.cookies, name)
			}
		}
	}
}

// addEncoded decodes the value first, unless even decoded it is too long.
func (p *Presented) addEncoded(carrier int, value string, decode func(string) string) {
	if len(value) > 3*MaxLength {
		p.Oversize = true
		return
	}
	p.add(carrier, decode(value))
}

// Remove takes every apikey out of h and returns rawQuery without them, for
// when the API must not see it: what Read would find, what it would count or
// call oversize, and lookalikes. Tokens, other cookies and other parameters keep
// their bytes. The header slices are replaced, not written into.
func (r *Reader) Remove(h http.Header, rawQuery string) (newRawQuery string) {
	replace(h, "Authorization", func(line string) (string, bool) {
		return line, r.parseAuthorization(line).carrier == noCarrier
	})
	for i := range r.headers {
		delete(h, r.headers[i].name)
	}
	for name := range h {
		if r.isLookalikeHeader(name) {
			delete(h, name)
		}
	}
	if len(r.cookies) > 0 {
		replace(h, "Cookie", r.stripCookies)
	}
	newRawQuery, _ = stripPairs(rawQuery, r.isQueryName)
	return newRawQuery
}

// replace rewrites or drops the lines of one header.
func replace(h http.Header, name string, line func(string) (string, bool)) {
	lines := h[name]
	kept := make([]string, 0, len(lines))
	for _, l := range lines {
		if l, keep := line(l); keep {
			kept = append(kept, l)
		}
	}
	switch {
	case len(lines) == 0:
	case len(kept) == 0:
		delete(h, name)
	default:
		h[name] = kept
	}
}

// stripCookies removes our cookies from a Cookie line, and says whether any
// other is left.
func (r *Reader) stripCookies(line string) (string, bool) {
	crumbs := strings.Split(line, ";")
	kept := slices.DeleteFunc(slices.Clone(crumbs), func(crumb string) bool {
		name, _ := splitCrumb(crumb)
		return findNamed(r.cookies, name) != nil || findResembling(r.cookies, name)
	})
	if len(kept) == len(crumbs) {
		return line, true
	}
	left := trimOWS(strings.Join(kept, ";"))
	return left, left != ""
}

// Redact returns a request target that is safe for logs: the values of apikey
// parameters, lookalikes included, are replaced by "[apikey]". A parameter that
// was encoded into the path by mistake ends the target there.
func (r *Reader) Redact(rawTarget string) string {
	path, query, hasQuery := strings.Cut(rawTarget, "?")
	path = r.redactPath(path)
	if !hasQuery {
		return path
	}
	return path + "?" + r.redactQuery(query)
}

func (r *Reader) redactQuery(query string) string {
	var safe []byte
	for q := (pairs{rest: query}); q.next(); {
		if r.isQueryName(q.name) {
			safe = append(append(append(safe, q.name...), '='), redacted...)
		} else {
			safe = append(safe, q.pair...)
		}
		if q.sep != 0 {
			safe = append(safe, q.sep)
		}
	}
	return string(safe)
}

func (r *Reader) redactPath(path string) string {
	if scheme, rest, absolute := strings.Cut(path, "://"); absolute && !strings.HasPrefix(path, "/") {
		authority, _, _ := strings.Cut(rest, "/")
		if at := strings.LastIndexByte(authority, '@'); at >= 0 {
			path = scheme + "://" + redacted + rest[at:]
		}
	}
	start := 0
	for i := 0; i < len(path); {
		c, size := formByte(path[i:])
		switch c {
		case '=':
			if r.isQueryName(path[start:i]) {
				return path[:i] + "=" + redacted
			}
		case '/', '?', '&', ';', '#':
			start = i + size
		}
		i += size
	}
	return path
}

// isQueryName reports whether a raw parameter name is a carrier's or resembles
// one.
func (r *Reader) isQueryName(raw string) bool {
	return raw != "" && (findSpelled(r.queries, raw) != nil || findResembling(r.queries, raw))
}

// isLookalikeHeader reports whether a header is not a carrier but becomes one
// once `_` and `.` are read as `-`, as CGI and WSGI do.
func (r *Reader) isLookalikeHeader(name string) bool {
	if r.lengths&(1<<min(len(name), 63)) == 0 || findNamed(r.headers, name) != nil {
		return false
	}
	for i := range r.headers {
		if folds(name, r.headers[i].folded) {
			return true
		}
	}
	return false
}

func folds(name, folded string) bool {
	if len(name) != len(folded) {
		return false
	}
	for i := range len(name) {
		if foldByte(name[i]) != folded[i] {
			return false
		}
	}
	return true
}

func findNamed(places []place, name string) *place {
	for i := range places {
		if places[i].name == name {
			return &places[i]
		}
	}
	return nil
}

func findSpelled(places []place, rawName string) *place {
	for i := range places {
		if spells(rawName, places[i].name) {
			return &places[i]
		}
	}
	return nil
}

func findResembling(places []place, rawName string) bool {
	for i := range places {
		if resembles(rawName, places[i].folded) {
			return true
		}
	}
	return false
}

// authorization is what one Authorization line carries.
type authorization struct {
	carrier     int    // whose apikey value is, or noCarrier
	value       string // apikey or token
	tokenScheme string // "Bearer" or "DPoP" when value is a token
	other       bool   // a credential of another kind
}

// parseAuthorization reads `scheme value`. Scheme names have no case
// (RFC 9110 §11.1).
func (r *Reader) parseAuthorization(line string) authorization {
	line = trimOWS(line)
	scheme, value := line, ""
	if i := strings.IndexAny(line, " \t"); i >= 0 {
		scheme, value = line[:i], trimOWS(line[i:])
	}
	at := r.scheme(scheme)
	switch {
	case line == "":
		return authorization{carrier: noCarrier}
	case value == "" && at == nil && r.bare != noCarrier && !looksLikeJWT(line):
		return authorization{carrier: r.bare, value: line}
	case value == "":
	case strings.EqualFold(scheme, "DPoP"):
		return authorization{carrier: noCarrier, value: value, tokenScheme: "DPoP"}
	case strings.EqualFold(scheme, "Bearer"):
		if at == nil || r.isToken(r.carriers[at.index], value) {
			return authorization{carrier: noCarrier, value: value, tokenScheme: "Bearer"}
		}
		return authorization{carrier: at.index, value: value}
	case at != nil:
		return authorization{carrier: at.index, value: value}
	case r.basic != noCarrier && strings.EqualFold(scheme, "Basic"):
		if user := basicUser(value); user != "" {
			return authorization{carrier: r.basic, value: user}
		}
	}
	return authorization{carrier: noCarrier, other: true}
}

func (r *Reader) scheme(name string) *place {
	for i := range r.schemes {
		if strings.EqualFold(r.schemes[i].name, name) {
			return &r.schemes[i]
		}
	}
	return nil
}

// isToken reports whether a Bearer value is an access token rather than an
// apikey of the carrier.
func (r *Reader) isToken(c Carrier, value string) bool {
	return looksLikeJWT(value) || (c.Pattern != nil && !c.Pattern.MatchString(value))
}

// basicUser is the user half of Basic credentials (RFC 7617 §2), "" when they
// cannot be read. Missing padding is forgiven, as servers do.
func basicUser(encoded string) string {
	b, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(encoded, "="))
	if err != nil {
		return ""
	}
	user, _, _ := bytes.Cut(b, []byte(":"))
	return string(user)
}

// looksLikeJWT reports whether s has the form of a signed or encrypted JWT
// (RFC 7519 §3): three or five parts in base64url, the first of which is a JSON
// object that names an algorithm. It proves nothing else about s.
func looksLikeJWT(s string) bool {
	header, _, _ := strings.Cut(s, ".")
	if dots := strings.Count(s, "."); (dots != 2 && dots != 4) || header == "" {
		return false
	}
	for _, c := range []byte(s) {
		letter := 'a' <= c|0x20 && c|0x20 <= 'z'
		if !letter && (c < '0' || c > '9') && c != '-' && c != '_' && c != '.' {
			return false
		}
	}
	var buf [512]byte
	b, err := base64.RawURLEncoding.AppendDecode(buf[:0], []byte(header))
	return err == nil && len(b) > 0 && b[0] == '{' && bytes.Contains(b, []byte(`"alg"`)) && json.Valid(b)
}

// splitCrumb cuts one `name=value` of a Cookie line.
func splitCrumb(crumb string) (name, value string) {
	name, value, _ = strings.Cut(crumb, "=")
	return trimOWS(name), trimOWS(value)
}

// cookieDecode takes off the quotes that RFC 6265 §4.1.1 allows and the percent
// escapes that many libraries put in and read, so that a retired apikey is the
// same one in each spelling.
func cookieDecode(s string) string {
	if len(s) >= 2 && s[0] == '"' && s[len(s)-1] == '"' {
		s = s[1 : len(s)-1]
	}
	return percentDecode(s)
}

// isBlank reports whether some language's trim cuts c off.
func isBlank(c rune) bool { return c <= ' ' || c == 0x7f || unicode.IsSpace(c) }

// trimOWS is RFC 9110 §5.6.3.
func trimOWS(s string) string { return strings.Trim(s, " \t") }
