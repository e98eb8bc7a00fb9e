package accesslog

import (
	"net/http"
	"net/netip"
	"strings"

	"github.com/offkey/offkey/internal/apikey"
	"github.com/offkey/offkey/internal/policy"
	"github.com/offkey/offkey/internal/secret"
	"github.com/offkey/offkey/internal/traffic"
)

// Reason is why a line could not be attributed to an apikey, "" where it could.
type Reason string

// The reasons. Most formats show no apikey at all.
const (
	NoCredential  Reason = "no_credential"   // the line shows no apikey and names nobody
	Redacted      Reason = "redacted"        // the server wrote something in its place
	Token         Reason = "token"           // the call came with an access token
	UnknownAPIKey Reason = "unknown_apikey"  // it shows an apikey that is not known
	UnknownName   Reason = "unknown_name"    // it names somebody whom no apikey is labelled with
	SeveralKeys   Reason = "several_apikeys" // it shows more than one
)

// Reasons are all reasons with what to do about each.
var Reasons = []struct {
	Reason Reason
	Fix    string
}{
	{NoCredential, "let the server log the header that holds the apikey (nginx: \"$http_x_api_key\" at the end of log_format) and name it with --tail"},
	{Redacted, "let the server log apikeys as they are while you take stock, or the id of the credential"},
	{UnknownAPIKey, "bring your list of apikeys in with `offkey apikeys import`"},
	{UnknownName, "give apikeys the labels that the server knows them by, with `offkey apikeys import`"},
	{SeveralKeys, "look at what its callers send: the API reads one of them"},
	{Token, "nothing: it has no apikey any more"},
}

// Known says which apikey is meant. The ids it gives are what calls are counted
// under.
type Known interface {
	ByValue(apikey string) (id string, ok bool)
	ByName(name string) (id string, ok bool)
}

// Attributor makes observations of entries. It is not safe for concurrent use.
type Attributor struct {
	Known Known
	// QueryNames says that observations name the parameters of queries.
	QueryNames bool

	reader   *apikey.Reader
	carriers []string // of the reader, as observations name them
	basic    string   // carrier of user names that are apikeys, "" for none
	shown    []shown
}

// shown is an apikey that a line shows.
type shown struct{ carrier, value string }

// NewAttributor makes an Attributor for apikeys that travel where the reader
// looks.
func NewAttributor(r *apikey.Reader, known Known) *Attributor {
	a := &Attributor{reader: r, Known: known}
	for _, c := range r.Carriers() {
		a.carriers = append(a.carriers, c.String())
		if c.Kind == apikey.InBasic {
			a.basic = c.String()
		}
	}
	return a
}

// Observe makes an observation of an entry. ErrNoRequest is the error of an
// entry whose target names no path.
func (a *Attributor) Observe(e *Entry) (o traffic.Observation, reason Reason, err error) {
	target := policy.ParseTarget(e.Target)
	if target.Refused() {
		return o, "", ErrNoRequest
	}
	o = traffic.Observation{At: e.At, Method: e.Method, Status: e.Status, Browser: e.Script, Plain: e.Plain}
	token := a.read(e, target.RawQuery)
	o.Credential, o.Carrier, reason = a.credential(e, token)
	path := target.Path
	if strings.IndexByte(path, '=') >= 0 { // a query that was sent in the path
		path = a.reader.Redact(path)
	}
	o.Path, o.UserAgent = a.without(path, token), a.without(e.UserAgent, token)
	o.Source = sourceOf(e.Address)
	if a.QueryNames {
		o.QueryNames = queryNames(target.RawQuery)
	}
	return o, reason, nil
}

// read gathers the apikeys that a line shows, and its token.
func (a *Attributor) read(e *Entry, rawQuery string) (token secret.Text) {
	a.shown = a.shown[:0]
	header := e.Header
	for _, v := range e.Values[:e.values] {
		if strings.EqualFold(v.Carrier, "header:Authorization") {
			header = http.Header{"Authorization": {v.Text}}
			continue
		}
		a.shown = append(a.shown, shown{a.spelled(v.Carrier), v.Text})
	}
	if rawQuery != "" || header != nil {
		p := a.reader.Read(header, rawQuery)
		for _, f := range p.Found() {
			a.shown = append(a.shown, shown{a.carriers[f.Carrier], f.Value.Reveal()})
		}
		token = p.Token
	}
	if a.basic != "" && e.User != "" {
		a.shown = append(a.shown, shown{a.basic, e.User})
	}
	return token
}

// spelled is a carrier as the reader spells it.
func (a *Attributor) spelled(carrier string) string {
	for _, c := range a.carriers {
		if strings.EqualFold(c, carrier) {
			return c
		}
	}
	return carrier
}

// credential says under whom the line is counted.
func (a *Attributor) credential(e *Entry, token secret.Text) (c traffic.Credential, carrier string, reason Reason) {
	unknown, redacted := "", false
	for _, s := range a.shown {
		if isRedacted(s.value) {
			redacted = true
			continue
		}
		id, ok := a.Known.ByValue(s.value)
		switch {
		case !ok:
			unknown = s.carrier
		case c.ID != "" && c.ID != id:
			return traffic.Credential{Kind: traffic.KindNone}, "", SeveralKeys
		default:
			c, carrier = traffic.Credential{Kind: traffic.KindAPIKey, ID: id}, s.carrier
		}
	}
	if c.ID != "" {
		return c, carrier, ""
	}
	named := false
	for _, name := range e.Names {
		if name == "" {
			break
		}
		named = true
		if id, ok := a.Known.ByName(name); ok {
			return traffic.Credential{Kind: traffic.KindAPIKey, ID: id}, unknown, ""
		}
	}
	if a.basic == "" && e.User != "" {
		named = true
		if id, ok := a.Known.ByName(e.User); ok {
			return traffic.Credential{Kind: traffic.KindAPIKey, ID: id}, unknown, ""
		}
	}
	c.Kind = traffic.KindNone
	switch {
	case unknown != "":
		return traffic.Credential{Kind: traffic.KindUnknown}, unknown, UnknownAPIKey
	case !token.IsZero() && !isRedacted(token.Reveal()):
		return c, "", Token
	case redacted || !token.IsZero() || len(e.Header["Authorization"]) > 0 && isRedacted(e.Header["Authorization"][0]):
		return c, "", Redacted
	case named:
		return c, "", UnknownName
	}
	return c, "", NoCredential
}

// isRedacted reports whether something was written in the place of a secret.
func isRedacted(s string) bool {
	s = strings.Trim(s, "[]<>() ")
	switch len(s) {
	case 0:
		return true
	case len("REDACTED"):
		if strings.EqualFold(s, "redacted") || strings.EqualFold(s, "filtered") {
			return true
		}
	case len("MASKED"):
		if strings.EqualFold(s, "masked") || strings.EqualFold(s, "hidden") {
			return true
		}
	}
	return strings.Trim(s, "*") == "" || len(s) >= 3 && strings.Trim(s, "xX") == ""
}

// leastRepeated is how long an apikey is that is looked for elsewhere in its
// line: shorter ones are found in everything.
const leastRepeated = 8

// without is what may be kept of a text of the line, in which the caller may
// have repeated its credentials.
func (a *Attributor) without(text string, token secret.Text) string {
	for _, s := range a.shown {
		if len(s.value) >= leastRepeated && strings.Contains(text, s.value) {
			text = strings.ReplaceAll(text, s.value, "***")
		}
	}
	if value := token.Reveal(); len(value) >= leastRepeated && strings.Contains(text, value) {
		text = strings.ReplaceAll(text, value, "***")
	}
	return text
}

// sourceOf is the network of an address, with or without a port.
func sourceOf(address string) netip.Prefix {
	addr, err := netip.ParseAddr(address)
	if err != nil {
		with, err := netip.ParseAddrPort(address)
		if err != nil {
			return netip.Prefix{}
		}
		addr = with.Addr()
	}
	return traffic.SourceOf(addr)
}

// maxQueryNames bounds the names of parameters that are kept of one call.
const maxQueryNames = 20

// queryNames are the names of the parameters of a query. What has no value may
// be one itself, and what looks drawn a secret: neither is kept.
func queryNames(rawQuery string) []string {
	var names []string
	for rest := rawQuery; rest != "" && len(names) < maxQueryNames; {
		var pair string
		pair, rest, _ = strings.Cut(rest, "&")
		if name, _, ok := strings.Cut(pair, "="); ok && name != "" && len(name) <= 64 && !traffic.IsIdentifier(name) {
			names = append(names, strings.Clone(name))
		}
	}
	return names
}
