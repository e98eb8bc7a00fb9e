package lean

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httputil"
	"net/textproto"
	"sync"
	"time"
)

// body is the body of an answer, and what holds its connection.
type body struct {
	client *Client
	conn   *conn
	stop   func() bool // watching the caller
	upload *upload     // nil: the request had no body

	from  io.Reader // nil: there is none
	left  int64     // of a body with a length
	kind  framing
	again bool // the connection may be used again
	cut   bool // the request was not sent to its end
	over  bool // read to its end
	res   *http.Response

	mu    sync.Mutex
	ended bool
}

// framing is how the end of a body is told (RFC 9112 §6.3).
type framing uint8

const (
	byLength framing = iota
	byChunks
	byClose
	byNetHTTP // its reader sees to it
)

// readAnswer reads heads until one that is not interim.
func (b *body) readAnswer(call *Call, to http.Header, interim func(int)) (*http.Response, error) {
	for {
		text, err := b.conn.peekHead()
		if err != nil {
			return nil, err
		}
		h, is := head{}, unusual
		if text != nil {
			h, is = call.readHead(string(text))
		}
		if is != usual {
			return b.readUnusual(call, to, interim, is)
		}
		_, _ = b.conn.in.Discard(len(text))
		switch {
		case h.status == http.StatusSwitchingProtocols:
			return nil, ErrSwitched
		case h.status < 200:
			call.fill(to, false)
			if h.close {
				delete(to, "Connection") // as net/http has it
			}
			interim(h.status)
			clear(to)
			b.conn.begin()
			b.conn.heard = true
			continue
		}
		b.headEnded()
		call.fill(to, true)
		return b.answer(call, h, to), nil
	}
}

// peekHead returns the head that comes next, with its empty line, or nil if it is
// longer than the buffer, ends otherwise, or is none.
func (cn *conn) peekHead() ([]byte, error) {
	seen := 0
	for {
		if _, err := cn.in.Peek(seen + 1); err != nil {
			return nil, err
		}
		have, _ := cn.in.Peek(cn.in.Buffered())
		from := max(seen-3, 0)
		if end := bytes.Index(have[from:], []byte("\r\n\r\n")); end >= 0 {
			return have[:from+end+4], nil
		}
		if !startsHTTP1(have) || hasBareEnd(have[from:]) || len(have) == readBuffer {
			return nil, nil
		}
		seen = len(have)
	}
}

// seesEmptyLine waits until the end of trailers is in the buffer.
func (cn *conn) seesEmptyLine() bool {
	for seen := 0; ; {
		_, err := cn.in.Peek(seen + 1)
		have, _ := cn.in.Peek(cn.in.Buffered())
		if bytes.Contains(have[max(seen-3, 0):], []byte("\r\n\r\n")) {
			return true
		}
		if err != nil {
			return false // its end, or more than fits
		}
		seen = len(have)
	}
}

// startsHTTP1 reports whether b may be the start of an answer.
func startsHTTP1(b []byte) bool {
	const start = "HTTP/1."
	n := min(len(b), len(start))
	return string(b[:n]) == start[:n]
}

// hasBareEnd reports whether a head may have ended already, for readers that take
// a line feed alone for the end of a line.
func hasBareEnd(b []byte) bool {
	return bytes.Contains(b, []byte("\n\n")) || bytes.Contains(b, []byte("\n\r\n"))
}

// headEnded takes the limits of a head away.
func (b *body) headEnded() {
	b.conn.headEnded()
	if b.client.AnswerTimeout > 0 {
		b.upload.answered()
		_ = b.conn.SetReadDeadline(time.Time{})
	}
}

// answer makes the response that goes with a head.
func (b *body) answer(call *Call, h head, to http.Header) *http.Response {
	res := &call.res
	*res = http.Response{StatusCode: h.status, ProtoMajor: 1, ProtoMinor: 1, Header: to, Body: b, ContentLength: h.length}
	b.res, b.again = res, !h.close
	switch {
	case !hasBody(call.method, h.status):
		if call.method != http.MethodHead {
			res.ContentLength = 0
			// A 204 with a length may have a body after all (RFC 9110 §8.6).
			b.again = b.again && !h.chunked && (h.length <= 0 || h.status == http.StatusNotModified)
		}
		b.finish()
	case h.chunked:
		b.kind, b.from = byChunks, httputil.NewChunkedReader(b.conn.in)
	case h.length > 0:
		b.kind, b.from, b.left = byLength, b.conn.in, h.length
	case h.length == 0:
		b.finish()
	default:
		b.kind, b.from, b.again = byClose, b.conn.in, false
	}
	return res
}

// readUnusual lets net/http read the answer.
func (b *body) readUnusual(call *Call, to http.Header, interim func(int), why clarity) (*http.Response, error) {
	req := &http.Request{Method: call.method}
	for {
		res, err := http.ReadResponse(b.conn.in, req)
		if err != nil {
			return nil, err
		}
		switch {
		case res.StatusCode == http.StatusSwitchingProtocols:
			return nil, ErrSwitched
		case res.StatusCode >= 100 && res.StatusCode < 200:
			copyFields(to, res.Header)
			interim(res.StatusCode)
			clear(to)
			b.conn.begin()
			b.conn.heard = true
			continue
		}
		b.headEnded()
		b.kind, b.from, b.res = byNetHTTP, res.Body, res
		b.again = why == trailing && !res.Close
		call.drop = call.drop[:0]
		for _, value := range res.Header["Connection"] {
			call.setConnection(&head{}, value)
		}
		for _, name := range call.drop {
			res.Header.Del(name)
		}
		for name := range res.Header {
			if isOfHop(name) {
				delete(res.Header, name)
			}
		}
		copyFields(to, res.Header)
		res.Header, res.Body = to, b
		return res, nil
	}
}

func copyFields(to, from http.Header) {
	for name, values := range from {
		to[name] = append(to[name], values...)
	}
}

// Buffered reports whether a Read will return at once.
func (b *body) Buffered() bool {
	if b.from == nil || b.over {
		return true
	}
	have, _ := b.conn.in.Peek(b.conn.in.Buffered())
	if b.kind == byChunks {
		size := bytes.IndexByte(have, '\n')
		return size >= 0 && len(have) > size+1
	}
	return len(have) > 0 && b.kind != byNetHTTP
}

// Read reads on, and gives the connection back with the last byte.
func (b *body) Read(p []byte) (n int, err error) {
	if b.over {
		return 0, io.EOF
	}
	if b.kind == byLength && int64(len(p)) > b.left {
		p = p[:b.left]
	}
	n, err = b.from.Read(p)
	switch {
	case b.kind == byLength:
		if b.left -= int64(n); b.left == 0 {
			err = io.EOF
		} else if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
	case b.kind == byChunks && err == io.EOF:
		if trailersErr := b.readTrailers(); trailersErr != nil {
			err = trailersErr
		}
	}
	switch err {
	case nil:
	case io.EOF:
		b.finish()
	default:
		if cause := b.upload.callersError(); cause != nil {
			err = cause
		}
		b.end(false)
	}
	return n, err
}

var errTrailers = errors.New("the trailers of the answer are cut off or too long")

// readTrailers reads what follows the last chunk (RFC 9112 §7.1.2). The limit is
// that of the buffer.
func (b *body) readTrailers() error {
	in := b.conn.in
	if next, err := in.Peek(2); err != nil {
		return errTrailers
	} else if string(next) == "\r\n" {
		_, _ = in.Discard(2)
		return nil
	}
	if !b.conn.seesEmptyLine() {
		return errTrailers
	}
	trailers, err := textproto.NewReader(in).ReadMIMEHeader()
	b.res.Trailer = http.Header(trailers)
	return err
}

// finish is for an answer that was read to its end.
func (b *body) finish() {
	b.over = true
	b.end(b.again && !b.cut && b.conn.in.Buffered() == 0 && b.upload.isDone())
}

// end gives the connection back, or closes it. It may be called at any time and
// more than once, also while somebody reads.
func (b *body) end(again bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ended {
		return
	}
	b.ended = true
	watched := b.stop()
	b.upload.end()
	if again && watched {
		b.client.give(b.conn)
		return
	}
	b.client.discard(b.conn)
}

// Close ends an answer, whether it was read or not.
func (b *body) Close() error {
	b.end(false)
	return nil
}
