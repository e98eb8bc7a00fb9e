package apikey

import (
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
)

// CarrierKind is the kind of place in a request where an apikey travels.
type CarrierKind string

const (
	// InHeader is a header of its own. `header:Authorization` is an
	// Authorization header that holds the bare apikey without a scheme.
	InHeader CarrierKind = "header"
	// InAuthorization is `Authorization: SCHEME apikey`.
	InAuthorization CarrierKind = "authorization"
	// InQuery is a parameter of the query.
	InQuery CarrierKind = "query"
	// InCookie is a cookie.
	InCookie CarrierKind = "cookie"
	// InBasic is the user name of Basic authentication; the password is ignored.
	InBasic CarrierKind = "basic"
)

var carrierKinds = []CarrierKind{InHeader, InAuthorization, InQuery, InCookie, InBasic}

// Carrier is one place where apikeys travel.
type Carrier struct {
	Kind CarrierKind
	// Name is the header, scheme, parameter or cookie, as it was written; ""
	// for InBasic. Headers and schemes are compared without case, parameters
	// and cookies with it.
	Name string
	// Pattern tells apikeys from opaque tokens where both come as Bearer: only
	// what matches is an apikey. Nil takes every value that is not a JWT. It
	// has no meaning for other carriers.
	Pattern *regexp.Regexp
}

const carrierForms = "header:X-API-Key, authorization:KEY, query:api_key, cookie:apikey or basic"

// maxCarrierName bounds the names that requests are compared with.
const maxCarrierName = 128

// ParseCarrier reads the form that `--apikey-in` takes: header:NAME,
// authorization:SCHEME, query:NAME, cookie:NAME or basic.
func ParseCarrier(s string) (Carrier, error) {
	kind, name, _ := strings.Cut(strings.TrimSpace(s), ":")
	c := Carrier{Kind: CarrierKind(strings.ToLower(strings.TrimSpace(kind))), Name: strings.TrimSpace(name)}
	if !slices.Contains(carrierKinds, c.Kind) {
		return Carrier{}, fmt.Errorf("%q is no place for an apikey: write %s", s, carrierForms)
	}
	if err := c.check(); err != nil {
		return Carrier{}, err
	}
	return c, nil
}

// String is the form that ParseCarrier reads, and how observations name the
// carrier. It leaves the pattern out.
func (c Carrier) String() string {
	if c.Kind == InBasic {
		return string(InBasic)
	}
	return string(c.Kind) + ":" + c.Name
}

// notForKeys are headers that frame, route or prove a request; an apikey in one
// of them is a misunderstanding.
var notForKeys = []string{"Connection", "Content-Length", "Content-Type", "DPoP", "Expect", "Host", "Keep-Alive",
	"Proxy-Authenticate", "Proxy-Authorization", "Proxy-Connection", "TE", "Trailer", "Transfer-Encoding", "Upgrade"}

func (c Carrier) check() error {
	is := func(name string) bool { return strings.EqualFold(c.Name, name) }
	switch {
	case c.Kind == InBasic && c.Name != "":
		return fmt.Errorf("%q: basic takes no name, the apikey is the user name; write basic", c)
	case c.Kind == InBasic:
		return nil
	case !slices.Contains(carrierKinds, c.Kind):
		return fmt.Errorf("%q is no place for an apikey: write %s", c.Kind, carrierForms)
	case c.Name == "":
		return fmt.Errorf("%q lacks the name: write %s", c.Kind, carrierForms)
	case len(c.Name) > maxCarrierName:
		return fmt.Errorf("%s: the name has %d characters, at most %d are read", c.Kind, len(c.Name), maxCarrierName)
	case c.Kind == InQuery && strings.ContainsFunc(c.Name, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return fmt.Errorf("%q: the parameter's name contains a control character", c)
	case c.Kind == InQuery:
		return nil
	case !isToken(c.Name):
		return fmt.Errorf("%q: the name may hold letters, digits and !#$%%&'*+-.^_`|~ only (RFC 9110 §5.6.2)", c)
	case c.Kind == InAuthorization && is("Basic"):
		return fmt.Errorf("%q: where the apikey is the user name of Basic authentication, write basic", c)
	case c.Kind == InAuthorization && is("DPoP"):
		return fmt.Errorf("%q: DPoP carries access tokens only (RFC 9449 §7.1)", c)
	case c.Kind == InHeader && is("Cookie"):
		return fmt.Errorf("%q: name the cookie that holds the apikey, as in cookie:apikey", c)
	case c.Kind == InHeader && slices.ContainsFunc(notForKeys, is):
		return fmt.Errorf("%q: this header has a meaning of its own and cannot hold an apikey", c)
	}
	return nil
}

// place is a Carrier made ready for comparing with requests.
type place struct {
	index  int    // in the reader's list
	name   string // canonical header name, lower-case scheme, or the name itself
	folded string // what its lookalikes fold to
}

func (c Carrier) place(index int) place {
	name := c.Name
	switch c.Kind {
	case InHeader:
		name = http.CanonicalHeaderKey(name)
	case InAuthorization:
		name = strings.ToLower(name)
	}
	return place{index: index, name: name, folded: foldName(name)}
}

// isToken is RFC 9110 §5.6.2.
func isToken(s string) bool {
	for _, c := range []byte(s) {
		letter := 'a' <= c|0x20 && c|0x20 <= 'z'
		if !letter && (c < '0' || c > '9') && strings.IndexByte("!#$%&'*+-.^_`|~", c) < 0 {
			return false
		}
	}
	return s != ""
}
