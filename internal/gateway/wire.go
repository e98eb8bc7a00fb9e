package gateway

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"
)

// GuardListener makes a listener whose connections refuse, before a handler
// sees the request, what net/http silently repairs in HTTP/1: Content-Length
// beside Transfer-Encoding, Content-Length twice, either of them folded,
// Transfer-Encoding in HTTP/1.0, an absolute target for another host than Host.
// The answer is 400 with a problem document, and the connection is closed. A
// chunked body whose trailers have a bare line feed breaks off for its handler.
// refused, if not nil, is told the code and the peer.
//
// Connections of l carry plain text: net/http has to see TLS connections
// itself, GuardTLSListener is for them. Not a byte of what passes is changed or
// kept back, so that deadlines and streaming stay as they are. HTTP/2 with prior
// knowledge passes untouched, as does what follows a 101.
func GuardListener(l net.Listener, refused func(code string, peer net.Addr)) net.Listener {
	return &guardListener{Listener: l, refused: refused}
}

type guardListener struct {
	net.Listener
	refused func(code string, peer net.Addr)
}

func (l *guardListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &guardedConn{Conn: c, told: l.refused}, nil
}

// guardedConn is one connection. Read is never called twice at a time by
// net/http; Write may be called beside it.
type guardedConn struct {
	net.Conn
	told    func(code string, peer net.Addr)
	framing framing // of Read

	whole    atomic.Bool // what has come so far ends with a request
	refused  atomic.Pointer[wireRefusal]
	leaving  atomic.Bool // an answer to a request with Upgrade is due
	detached atomic.Bool // it was 101: HTTP has ended
}

func (c *guardedConn) Read(p []byte) (int, error) {
	if why := c.refused.Load(); why != nil {
		return 0, why
	}
	n, err := c.Conn.Read(p)
	if n == 0 || c.detached.Load() {
		return n, err
	}
	pass, why := c.framing.follow(p[:n])
	c.whole.Store(c.framing.at == betweenRequests)
	if c.framing.upgrade {
		c.framing.upgrade = false
		c.leaving.Store(true)
	}
	if why == nil {
		return n, err
	}
	c.refused.Store(why)
	if c.told != nil {
		c.told(why.code, c.RemoteAddr())
	}
	if pass == 0 {
		return 0, why
	}
	return pass, nil // the next Read says why
}

// arrivedWhole reports whether the last request that has come is there with all of
// its body, so that reading it waits for nobody.
func (c *guardedConn) arrivedWhole() bool { return c.whole.Load() }

// badRequest is what net/http writes, and all it writes, when the head of a
// request ends in an error such as ours.
const badRequest = "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n400 Bad Request"

func (c *guardedConn) Write(p []byte) (int, error) {
	if c.leaving.Load() {
		c.noteAnswer(p)
	}
	if why := c.refused.Load(); why != nil && string(p) == badRequest {
		return len(p), c.refuse(why)
	}
	return c.Conn.Write(p)
}

// noteAnswer looks at the start of the answer to a request with Upgrade.
func (c *guardedConn) noteAnswer(p []byte) {
	switch {
	case bytes.HasPrefix(p, []byte("HTTP/1.1 101 ")):
		c.detached.Store(true)
	case bytes.HasPrefix(p, []byte("HTTP/1.1 1")):
		return // 100 or 103, the answer is still to come
	}
	c.leaving.Store(false)
}

const (
	lingerTime  = 500 * time.Millisecond
	lingerBytes = 256 << 10
)

// refuse answers with the reason. It then reads on for a moment: closing a
// connection with unread bytes would take the answer from the caller.
func (c *guardedConn) refuse(why *wireRefusal) error {
	body, err := json.Marshal(problem{
		Type: defaultDocsURL + why.code + ".md", Title: "The request can be read in two ways",
		Status: http.StatusBadRequest, Detail: capital(why.why) + ".", Code: why.code,
	})
	if err != nil {
		return err
	}
	answer := "HTTP/1.1 400 Bad Request\r\nContent-Type: application/problem+json\r\nCache-Control: no-store\r\nConnection: close\r\nContent-Length: " +
		strconv.Itoa(len(body)) + "\r\n\r\n" + string(body)
	if _, err := io.WriteString(c.Conn, answer); err != nil {
		return err
	}
	if c.CloseWrite() == nil && c.SetReadDeadline(time.Now().Add(lingerTime)) == nil {
		_, _ = io.CopyN(io.Discard, c.Conn, lingerBytes)
	}
	return nil
}

// CloseWrite ends our half of the connection; net/http asks for it so that a
// last answer arrives.
func (c *guardedConn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}

// ReadFrom lets the kernel copy files and sockets where it can.
func (c *guardedConn) ReadFrom(r io.Reader) (int64, error) {
	if in, ok := c.Conn.(io.ReaderFrom); ok {
		return in.ReadFrom(r)
	}
	return io.Copy(struct{ io.Writer }{c.Conn}, r)
}
