package lean

import (
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// Call is one request and its answer. It can be used for one after the other.
type Call struct {
	head       []byte
	names      []string
	body       io.Reader // nil: none
	length     int64     // of the body, -1 if it is chunked
	method     string
	repeatable bool

	fields []field // of the answer
	drop   []string
	res    http.Response
}

// keptHead is how large a buffer is kept for the next call.
const keptHead = 16 << 10

// Reset forgets the request and the answer: they hold credentials.
func (c *Call) Reset() {
	head := c.head
	if cap(head) > keptHead {
		head = nil
	}
	clear(head)
	clear(c.names)
	clear(c.fields)
	clear(c.drop)
	*c = Call{head: head[:0], names: c.names[:0], fields: c.fields[:0], drop: c.drop[:0]}
}

// Compose makes ready to send r, with its target as Opaque or EscapedPath have
// it. It writes the very bytes that net/http would. false: r is to be sent by
// http.Transport, because it is rare or none that can be sent as it is.
func (c *Call) Compose(r *http.Request, bodyOf io.Reader) bool {
	host := r.Host
	if host == "" {
		host = r.URL.Host
	}
	if !isPlainHost(host) || !isToken(r.Method) || len(r.Trailer) > 0 || has(r.Header, "Upgrade") || has(r.Header, "Expect") || has(r.Header, "Te") {
		return false
	}
	c.method, c.length, c.body = r.Method, r.ContentLength, nil
	if r.ContentLength != 0 {
		c.body = bodyOf
	}
	c.repeatable = isRepeatable(r)
	b := append(append(c.head[:0], r.Method...), ' ')
	start := len(b)
	if r.URL.Opaque != "" {
		b = append(b, r.URL.Opaque...)
	} else {
		b = append(b, r.URL.EscapedPath()...)
	}
	if r.URL.ForceQuery || r.URL.RawQuery != "" {
		b = append(append(b, '?'), r.URL.RawQuery...)
	}
	if b[start] != '/' || !isVisible(b[start:]) {
		return false
	}
	b = append(append(append(b, " HTTP/1.1\r\nHost: "...), host...), "\r\n"...)
	var ok bool
	if v := r.Header["User-Agent"]; len(v) > 0 && v[0] != "" {
		if b, ok = appendField(b, "User-Agent", v[0]); !ok {
			return false
		}
	}
	switch {
	case c.length > 0, c.length == 0 && (r.Method == "POST" || r.Method == "PUT" || r.Method == "PATCH"):
		b = append(strconv.AppendInt(append(b, "Content-Length: "...), c.length, 10), "\r\n"...)
	case c.length < 0 && usuallyLacksBody(r.Method):
		return false // net/http looks first whether there is one
	case c.length < 0:
		b = append(b, "Transfer-Encoding: chunked\r\n"...)
	}
	b, ok = c.appendFields(b, r.Header)
	c.head = append(b, "\r\n"...)
	return ok
}

// Join reads the body, which has a length and is to be there already, and puts it
// behind the head, so that both go out at once and nothing is left to do beside.
func (c *Call) Join() error {
	start := len(c.head)
	c.head = slices.Grow(c.head, int(c.length))[:start+int(c.length)]
	if _, err := io.ReadFull(c.body, c.head[start:]); err != nil {
		return err
	}
	c.body = nil
	return nil
}

// appendFields writes the fields in the order of their names, without those
// that Compose writes.
func (c *Call) appendFields(b []byte, h http.Header) (_ []byte, ok bool) {
	c.names = c.names[:0]
	for name := range h {
		switch name {
		case "Host", "User-Agent", "Content-Length", "Transfer-Encoding", "Trailer":
			continue
		}
		if !isToken(name) {
			return b, false
		}
		c.names = append(c.names, name)
	}
	slices.Sort(c.names)
	for _, name := range c.names {
		for _, value := range h[name] {
			if b, ok = appendField(b, name, value); !ok {
				return b, false
			}
		}
	}
	return b, true
}

func appendField(b []byte, name, value string) (_ []byte, ok bool) {
	if !isFieldValue(value) {
		return b, false
	}
	b = append(append(b, name...), ": "...)
	return append(append(b, trimSpace(value)...), "\r\n"...), true
}

// isRepeatable reports whether a request may be sent again although it is not
// known whether it was carried out (RFC 9110 §9.2.2), by the rules of net/http.
func isRepeatable(r *http.Request) bool {
	if r.ContentLength != 0 {
		return false
	}
	switch r.Method {
	case "GET", "HEAD", "OPTIONS":
		return true
	}
	return has(r.Header, "Idempotency-Key") || has(r.Header, "X-Idempotency-Key")
}

func has(h http.Header, name string) bool {
	_, ok := h[name]
	return ok
}

// usuallyLacksBody has the methods of which net/http does the same.
func usuallyLacksBody(method string) bool {
	switch method {
	case "GET", "HEAD", "DELETE", "OPTIONS", "PROPFIND", "SEARCH":
		return true
	}
	return false
}

// isPlainHost reports whether a host can be written as it is, without a zone and
// without being encoded.
func isPlainHost(host string) bool {
	for i := 0; i < len(host); i++ {
		if c := host[i]; !isAlphanumeric(c) && strings.IndexByte("-._~:[]", c) < 0 {
			return false
		}
	}
	return host != ""
}
