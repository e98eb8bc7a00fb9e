package lean

import (
	"net/http"
	"strconv"
	"strings"
)

// head is what frames an answer.
type head struct {
	status  int
	length  int64 // -1: not said
	chunked bool
	http10  bool
	close   bool // the API says that this is the last answer of the connection
}

// field is one line of a head.
type field struct{ name, value string }

// clarity says how a head can be read.
type clarity uint8

const (
	usual    clarity = iota
	unusual          // net/http shall read it
	trailing         // the same, but only because trailers are announced
)

// readHead takes a whole head, with the empty line at its end, strictly: CRLF
// only, no white space before a colon, no folded line, no two lengths, no length
// beside an encoding, chunked and nothing else (RFC 9112 §2.2, §5.1, §5.2, §6.3).
// The fields are left in c.fields, and in c.drop those that Connection names.
func (c *Call) readHead(text string) (h head, is clarity) {
	c.fields, c.drop = c.fields[:0], c.drop[:0]
	h.length = -1
	line, text, ok := cutLine(text)
	if !ok || !h.readStatus(line) {
		return h, unusual
	}
	is = usual
	for {
		if line, text, ok = cutLine(text); !ok {
			return h, unusual
		}
		if line == "" {
			break
		}
		colon := strings.IndexByte(line, ':')
		if colon <= 0 {
			return h, unusual
		}
		name, ok := fieldName(line[:colon])
		value := trimSpace(line[colon+1:])
		if !ok || !isFieldValue(value) {
			return h, unusual
		}
		switch name {
		case "Content-Length":
			ok = h.setLength(value)
		case "Transfer-Encoding":
			ok = h.setEncoding(value)
		case "Connection":
			c.setConnection(&h, value)
		case "Trailer":
			is = trailing
		}
		if !ok {
			return h, unusual
		}
		c.fields = append(c.fields, field{name, value})
	}
	switch {
	case text != "", h.chunked && h.length >= 0:
		return h, unusual
	case h.status < 200 && (h.chunked || h.length >= 0 || is == trailing): // RFC 9110 §6.4.1
		return h, unusual
	}
	return h, is
}

// cutLine cuts off a line that ends in CRLF and has no other CR or LF.
func cutLine(s string) (line, rest string, ok bool) {
	end := strings.IndexByte(s, '\n')
	if end < 1 || s[end-1] != '\r' {
		return "", "", false
	}
	return s[:end-1], s[end+1:], true
}

// readStatus is RFC 9112 §4. HTTP/1.0 has no connections that go on, as far as
// this package is concerned.
func (h *head) readStatus(line string) bool {
	const proto = len("HTTP/1.1")
	if len(line) < proto+4 || line[:proto-1] != "HTTP/1." || line[proto] != ' ' || !isFieldValue(line) {
		return false
	}
	switch line[proto-1] {
	case '1':
	case '0':
		h.http10, h.close = true, true
	default:
		return false
	}
	code, rest := line[proto+1:proto+4], line[proto+4:]
	if rest != "" && rest[0] != ' ' || code[0] < '1' {
		return false
	}
	n, ok := digits(code)
	h.status = int(n)
	return ok
}

// setLength is RFC 9112 §6.3, rule 5, without its lists.
func (h *head) setLength(value string) bool {
	if h.length >= 0 {
		return false
	}
	var ok bool
	h.length, ok = digits(value)
	return ok
}

// digits reads what is digits and nothing else, up to what fits.
func digits(s string) (int64, bool) {
	if s == "" || s[0] < '0' || s[0] > '9' { // ParseInt takes signs
		return 0, false
	}
	n, err := strconv.ParseInt(s, 10, 64)
	return n, err == nil
}

// setEncoding is RFC 9112 §6.1: HTTP/1.0 has none, and there is one at most.
func (h *head) setEncoding(value string) bool {
	if h.chunked || h.http10 || !strings.EqualFold(value, "chunked") {
		return false
	}
	h.chunked = true
	return true
}

// setConnection is RFC 9110 §7.6.1.
func (c *Call) setConnection(h *head, value string) {
	if strings.EqualFold(value, "keep-alive") {
		return
	}
	for option := range strings.SplitSeq(value, ",") {
		if option = trimSpace(option); strings.EqualFold(option, "close") {
			h.close = true
		}
		c.drop = append(c.drop, option)
	}
}

// fill puts the fields into to. Those of the hop are left out of the answer that
// counts, as httputil.ReverseProxy has it.
func (c *Call) fill(to http.Header, final bool) {
	values := make([]string, len(c.fields))
	for i, f := range c.fields {
		if final && isOfHop(f.name) {
			continue
		}
		if before := to[f.name]; len(before) > 0 {
			to[f.name] = append(before, f.value)
			continue
		}
		values[i] = f.value
		to[f.name] = values[i : i+1 : i+1]
	}
	if final {
		for _, name := range c.drop {
			to.Del(name)
		}
	}
}

func isOfHop(name string) bool {
	switch name {
	case "Connection", "Proxy-Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "Te", "Trailer", "Transfer-Encoding", "Upgrade":
		return true
	}
	return false
}

// hasBody reports whether an answer has a body (RFC 9110 §6.4.1).
func hasBody(method string, status int) bool {
	return method != http.MethodHead && status >= 200 && status != http.StatusNoContent && status != http.StatusNotModified
}
