package gateway

import (
	"bytes"
	"strconv"
	"strings"

	"github.com/offkey/offkey/internal/policy"
)

// framing follows the HTTP/1 requests of one connection as net/http reads them:
// where a head starts, how its body is framed, where the next head starts. It
// changes no byte. It has to find the same places as net/http for every stream
// that net/http accepts, FuzzWire holds that; what net/http answers with an
// error and a close is followed no further.
type framing struct {
	at        streamPlace
	remaining uint64 // bytes of body or chunk still to come
	line      []byte // start of a line that the end of a read has cut in two
	lost      bool   // line holds maxLine bytes: the first ones and the last two

	head requestHead // of the request that is being read
	// upgrade is set when a request asks for another protocol, for whoever
	// watches for the 101.
	upgrade bool
}

// requestHead is what matters of a request's head.
type requestHead struct {
	http10     bool
	authority  string // of an absolute target, else ""
	lengths    int    // Content-Length lines
	encodings  int    // Transfer-Encoding lines
	length     uint64
	wrong      bool // net/http will refuse it
	framedLine bool // the line before is Content-Length or Transfer-Encoding
	upgrade    bool
}

// streamPlace is where in the stream the next byte belongs.
type streamPlace uint8

const (
	betweenRequests streamPlace = iota
	inRequestLine
	inHeaders
	inBody
	inChunkSize
	inChunk
	inChunkEnd
	inTrailers
	outsideHTTP1 // HTTP/2, another protocol, or what net/http refuses
)

// maxLine is the longest line that is put together from several reads. It is
// the longest chunk line that net/http takes; headers may be longer, but none
// that frames.
const maxLine = 4096

// wireRefusal is why a connection is refused before there is a request.
type wireRefusal struct{ code, why string }

func (e *wireRefusal) Error() string { return e.why }

var (
	errLengthAndEncoding = &wireRefusal{codeAmbiguousFraming, "the request has both Content-Length and Transfer-Encoding: send one of them (RFC 9112 §6.1)"}
	errTwoLengths        = &wireRefusal{codeAmbiguousFraming, "the request has Content-Length twice: send it once (RFC 9112 §6.3)"}
	errUnclearFraming    = &wireRefusal{codeAmbiguousFraming, "Content-Length or Transfer-Encoding goes over several lines or is endless: send it on one line (RFC 9112 §5.2)"}
	errEncodingOfHTTP10  = &wireRefusal{codeAmbiguousFraming, "an HTTP/1.0 request has Transfer-Encoding: send Content-Length, or HTTP/1.1 (RFC 9112 §6.1)"}
	errBareTrailer       = &wireRefusal{codeAmbiguousFraming, "the chunked body has a line that ends in a bare line feed: end it with CRLF (RFC 9112 §7.1)"}
	errTwoHosts          = &wireRefusal{codeHostMismatch, "the target names another host than the Host header: send one host (RFC 9112 §3.2.2)"}
)

const (
	codeAmbiguousFraming = "ambiguous_framing"
	codeHostMismatch     = "host_mismatch"
)

// follow reads on through b. It returns how much of b may be passed on, which
// is all of it unless a head in it is refused: then it is what comes before the
// refused line, so that the head is never complete.
func (f *framing) follow(b []byte) (pass int, refused *wireRefusal) {
	for i := 0; i < len(b); {
		switch f.at {
		case outsideHTTP1:
			return len(b), nil
		case inBody, inChunk:
			n := min(f.remaining, uint64(len(b)-i))
			f.remaining -= n
			i += int(n)
			if f.remaining == 0 && f.at == inBody {
				f.at = betweenRequests
			} else if f.remaining == 0 {
				f.at, f.remaining = inChunkEnd, 2
			}
			continue
		case inChunkEnd:
			if b[i] != "\n\r"[f.remaining-1] {
				f.at = outsideHTTP1
				continue
			}
			if f.remaining--; f.remaining == 0 {
				f.at = inChunkSize
			}
			i++
			continue
		case betweenRequests:
			// After a POST net/http skips up to four of these, and refuses
			// them otherwise.
			if b[i] == '\r' || b[i] == '\n' {
				i++
				continue
			}
			f.at, f.head = inRequestLine, requestHead{}
		}
		end := bytes.IndexByte(b[i:], '\n')
		if end < 0 {
			f.keep(b[i:])
			return len(b), nil
		}
		line := b[i : i+end]
		if len(f.line) > 0 {
			f.keep(line)
			line = f.line
		}
		if refused = f.endLine(line); refused != nil {
			return i, refused
		}
		f.line, f.lost = f.line[:0], false
		i += end + 1
	}
	return len(b), nil
}

// keep adds b to the line that is being put together. Of a line that is too
// long the last two bytes stay true: they tell the version of a request line.
func (f *framing) keep(b []byte) {
	room := maxLine - len(f.line)
	if len(b) <= room {
		f.line = append(f.line, b...)
		return
	}
	f.line, f.lost = append(f.line, b[:room]...), true
	for _, c := range b[max(room, len(b)-2):] {
		f.line[maxLine-2], f.line[maxLine-1] = f.line[maxLine-1], c
	}
}

// endLine takes a whole line without its line feed. In heads a bare line feed
// ends a line, as net/http has it (RFC 9112 §2.2). In chunk lines net/http
// refuses it, and in trailers it would accept one only after looking for the end
// further on, which may be in another request.
func (f *framing) endLine(line []byte) *wireRefusal {
	if f.at == inChunkSize {
		f.endChunkSize(line)
		return nil
	}
	text := bytes.TrimSuffix(line, []byte("\r"))
	if f.at == inTrailers && len(text) == len(line) {
		return errBareTrailer
	}
	line = text
	switch {
	case f.at == inRequestLine:
		f.endRequestLine(line)
	case f.at == inHeaders && len(line) > 0:
		return f.endHeader(line)
	case f.at == inHeaders:
		f.endHead()
	case f.at == inTrailers && len(line) == 0:
		f.at = betweenRequests
	}
	return nil
}

func (f *framing) endRequestLine(line []byte) {
	_, rest, ok := bytes.Cut(line, []byte(" "))
	if !ok || len(rest) == 0 {
		// Also the second line of the HTTP/2 preface, `SM` (RFC 9113 §3.4). The
		// first one alone proves nothing: net/http reads on in HTTP/1 behind
		// `PRI * HTTP/2.0` with headers.
		f.at = outsideHTTP1
		return
	}
	f.at = inHeaders
	f.head.http10 = line[len(line)-1] == '0' && string(line) != "PRI * HTTP/2.0"
	if rest[0] != '/' {
		target, _, _ := strings.Cut(string(rest), " ")
		f.head.authority = policy.ParseTarget(target).Authority
	}
}

// endHeader takes a header line. What a line that starts with a space continues
// is the business of net/http, unless it is framing.
func (f *framing) endHeader(line []byte) *wireRefusal {
	h := &f.head
	if line[0] == ' ' || line[0] == '\t' {
		if h.framedLine {
			return errUnclearFraming
		}
		return nil
	}
	h.framedLine = false
	switch line[0] | 0x20 {
	case 'c':
		if value, ok := headerValue(line, "Content-Length"); ok {
			return f.endLength(value)
		}
	case 't':
		if value, ok := headerValue(line, "Transfer-Encoding"); ok {
			return f.endEncoding(value)
		}
	case 'u':
		if value, ok := headerValue(line, "Upgrade"); ok && !bytes.EqualFold(value, []byte("h2c")) {
			h.upgrade = true
		}
	case 'h':
		if value, ok := headerValue(line, "Host"); ok && h.authority != "" && !sameHost(string(value), h.authority) {
			return errTwoHosts
		}
	}
	return nil
}

func headerValue(line []byte, name string) (value []byte, ok bool) {
	if len(line) <= len(name) || line[len(name)] != ':' || !strings.EqualFold(string(line[:len(name)]), name) {
		return nil, false
	}
	return bytes.Trim(line[len(name)+1:], " \t"), true
}

// endLength is RFC 9112 §6.3: one Content-Length, and nothing beside it.
// net/http refuses two that differ and drops one of two that are equal.
func (f *framing) endLength(value []byte) *wireRefusal {
	h := &f.head
	h.framedLine = true
	h.lengths++
	switch {
	case h.encodings > 0:
		return errLengthAndEncoding
	case h.lengths > 1:
		return errTwoLengths
	case f.lost:
		return errUnclearFraming
	}
	n, err := strconv.ParseUint(string(value), 10, 63)
	h.length, h.wrong = n, h.wrong || err != nil
	return nil
}

// endEncoding is RFC 9112 §6.1. net/http takes chunked alone, drops a
// Content-Length beside it, and overlooks it in HTTP/1.0.
func (f *framing) endEncoding(value []byte) *wireRefusal {
	h := &f.head
	h.framedLine = true
	h.encodings++
	switch {
	case h.lengths > 0:
		return errLengthAndEncoding
	case h.http10:
		return errEncodingOfHTTP10
	case f.lost:
		return errUnclearFraming
	}
	h.wrong = h.wrong || h.encodings > 1 || !strings.EqualFold(string(value), "chunked")
	return nil
}

func (f *framing) endHead() {
	h := &f.head
	f.upgrade = f.upgrade || h.upgrade
	switch {
	case h.wrong:
		f.at = outsideHTTP1
	case h.encodings > 0:
		f.at = inChunkSize
	case h.length > 0:
		f.at, f.remaining = inBody, h.length
	default:
		f.at = betweenRequests
	}
}

// endChunkSize is RFC 9112 §7.1 as net/http reads it: CRLF only, extensions
// skipped, white space at the end forgiven.
func (f *framing) endChunkSize(line []byte) {
	f.at = outsideHTTP1
	if f.lost || bytes.IndexByte(line, '\r') != len(line)-1 || len(line) == 0 {
		return
	}
	size := bytes.TrimRight(line[:len(line)-1], " \t")
	size, _, _ = bytes.Cut(size, []byte(";"))
	if len(size) > 16 {
		return
	}
	n, err := strconv.ParseUint(string(size), 16, 64)
	switch {
	case err != nil:
	case n == 0:
		f.at = inTrailers
	default:
		f.at, f.remaining = inChunk, n
	}
}

// sameHost compares an absolute target's authority with Host; the default port
// may be left out of either.
func sameHost(a, b string) bool {
	plain := func(s string) string {
		return strings.TrimSuffix(strings.TrimSuffix(s, ":80"), ":443")
	}
	return strings.EqualFold(plain(a), plain(b))
}
