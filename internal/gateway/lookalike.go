package gateway

import (
	"net/http"
	"net/textproto"
	"net/url"
	"strings"

	"github.com/offkey/offkey/internal/apikey"
)

// judgeLookalikes looks for known apikeys under names that only some servers
// take for a carrier's. They are counted as the apikeys they are, and a blocked
// or retired one is refused in this spelling too.
func (c *call) judgeLookalikes() (found bool) {
	headers, rawQuery := unmask(c.g.carriers, c.r.Header, c.target.RawQuery)
	presented := c.g.Reader.Read(headers, rawQuery)
	return c.keepKnown(presented.Found())
}

// keepKnown looks for known apikeys among readings of the request that not
// every server shares.
func (c *call) keepKnown(readings []apikey.Found) (found bool) {
	for _, f := range readings {
		known := c.g.Index.Lookup(c.g.Pepper.Fingerprint(f.Value.Reveal()))
		if known != nil {
			c.keepFurthest(known, f.Carrier)
			found = true
		}
	}
	return found
}

// keepFurthest makes k the apikey that decides unless the one that does is
// further along the road.
func (c *call) keepFurthest(k *apikey.Key, carrier int) {
	if c.apikey == nil || c.rules.StageOf(k, c.at) > c.rules.StageOf(c.apikey, c.at) {
		c.apikey, c.carrier = k, c.g.carriers[carrier].name
	}
}

// unmask gives headers, cookies and parameters that resemble a carrier the
// carrier's own name. Neither argument is changed.
func unmask(carriers []carrier, h http.Header, rawQuery string) (http.Header, string) {
	own := func(kind apikey.CarrierKind, name string) string {
		for _, in := range carriers {
			if in.Kind == kind && foldsTo(name, in.Name) {
				return in.Name
			}
		}
		return name
	}
	headers := make(http.Header, len(h))
	for name, lines := range h {
		name = textproto.CanonicalMIMEHeaderKey(own(apikey.InHeader, name))
		headers[name] = append(headers[name], lines...)
	}
	cookies := strings.Split(strings.Join(h["Cookie"], ";"), ";")
	for i, crumb := range cookies {
		name, value, _ := strings.Cut(crumb, "=")
		cookies[i] = own(apikey.InCookie, strings.TrimSpace(name)) + "=" + value
	}
	headers["Cookie"] = []string{strings.Join(cookies, ";")}

	parts := strings.FieldsFunc(rawQuery, func(r rune) bool { return r == '&' || r == ';' })
	for i, part := range parts {
		name, value, _ := strings.Cut(part, "=")
		parts[i] = url.QueryEscape(own(apikey.InQuery, parameterStem(name))) + "=" + value
	}
	return headers, strings.Join(parts, "&")
}

// parameterStem is a parameter's name as PHP reads it: without leading spaces
// and without what follows a bracket, a space or NUL.
func parameterStem(raw string) string {
	name, err := url.QueryUnescape(raw)
	if err != nil {
		name = raw
	}
	name = strings.TrimLeft(name, " ?")
	if i := strings.IndexAny(name, "[ \x00"); i > 0 {
		name = name[:i]
	}
	return name
}

// foldsTo reports whether two names are one to servers that ignore case and take
// `_`, `.`, space and `-` for the same.
func foldsTo(name, other string) bool {
	if len(name) != len(other) {
		return false
	}
	for i := range len(name) {
		if fold(name[i]) != fold(other[i]) {
			return false
		}
	}
	return true
}

func fold(c byte) byte {
	switch {
	case 'A' <= c && c <= 'Z':
		return c + 'a' - 'A'
	case c == '_', c == '.', c == ' ':
		return '-'
	}
	return c
}
