package gateway

import (
	"encoding/base64"
	"net/http"
	"net/textproto"
	"net/url"

	"github.com/offkey/offkey/internal/apikey"
)

// carrier is one place where apikeys travel, with what is asked of it in every
// call made ready.
type carrier struct {
	apikey.Carrier
	name   string // as observations have it
	header string // the header that it is part of, "" for the query
}

func newCarriers(list []apikey.Carrier) []carrier {
	carriers := make([]carrier, len(list))
	for i, in := range list {
		carriers[i] = newCarrier(in)
	}
	return carriers
}

func newCarrier(in apikey.Carrier) carrier {
	c := carrier{Carrier: in, name: in.String()}
	switch in.Kind {
	case apikey.InHeader:
		c.header = textproto.CanonicalMIMEHeaderKey(in.Name)
	case apikey.InAuthorization, apikey.InBasic:
		c.header = "Authorization"
	case apikey.InCookie:
		c.header = "Cookie"
	}
	return c
}

// carry puts value where the carrier has it, beside what is there already, and
// returns the query to send.
func (c carrier) carry(value string, h http.Header, rawQuery string) string {
	switch c.Kind {
	case apikey.InHeader:
		h[c.header] = []string{value}
	case apikey.InAuthorization:
		h[c.header] = []string{c.Name + " " + value}
	case apikey.InBasic:
		h[c.header] = []string{"Basic " + base64.StdEncoding.EncodeToString([]byte(value+":"))}
	case apikey.InCookie:
		crumb := c.Name + "=" + value
		if others := h.Get(c.header); others != "" {
			crumb = others + "; " + crumb
		}
		h[c.header] = []string{crumb}
	case apikey.InQuery:
		pair := url.QueryEscape(c.Name) + "=" + url.QueryEscape(value)
		if rawQuery != "" {
			pair = rawQuery + "&" + pair
		}
		return pair
	}
	return rawQuery
}

// isCredentialHeader reports whether a credential may travel in the header.
func (g *Gateway) isCredentialHeader(name string) bool {
	if name == "Authorization" {
		return true
	}
	for i := range g.carriers {
		if g.carriers[i].header == name {
			return true
		}
	}
	return false
}

// isCredentialParameter reports whether apikeys travel in the query parameter.
func (g *Gateway) isCredentialParameter(name string) bool {
	for i := range g.carriers {
		if g.carriers[i].Kind == apikey.InQuery && g.carriers[i].Name == name {
			return true
		}
	}
	return false
}
