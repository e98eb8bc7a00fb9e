package lean

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math"
	"net"
	"os"
	"time"
)

const (
	// readBuffer is also how long a head may be that is read here; longer ones
	// are left to net/http.
	readBuffer = 16 << 10
	// maxHead is how long a head may be at all: what http.Transport takes.
	maxHead = 10 << 20
)

// conn is one connection to the API. It belongs to the call that has taken it.
type conn struct {
	net.Conn
	peek  peeker
	tls   bool
	in    *bufio.Reader
	abort func() // closes the connection beneath TLS; may be called at any time

	left  int64 // how much may be read: heads have a limit
	heard bool  // something came since the request was sent
	used  bool  // it has carried a call before
	since time.Time
}

func (c *Client) dial(ctx context.Context) (*conn, error) {
	raw, err := c.Dial(ctx, "tcp", c.address)
	if err != nil {
		return nil, err
	}
	cn := &conn{Conn: raw, abort: func() { _ = raw.Close() }}
	cn.peek.init(raw)
	if c.tls != nil {
		secure := tls.Client(raw, c.tls)
		within, cancel := context.WithTimeout(ctx, c.HandshakeTimeout)
		defer cancel()
		if err := secure.HandshakeContext(within); err != nil {
			_ = raw.Close()
			return nil, err
		}
		cn.Conn, cn.tls = secure, true
	}
	cn.in = bufio.NewReaderSize(cn, readBuffer)
	return cn, nil
}

// begin makes ready for a call.
func (cn *conn) begin() { cn.left, cn.heard = maxHead, false }

// headEnded lets a body of any length follow.
func (cn *conn) headEnded() { cn.left = math.MaxInt64 }

// Read is for cn.in alone.
func (cn *conn) Read(p []byte) (int, error) {
	if cn.left <= 0 {
		return 0, fmt.Errorf("the head of the answer is longer than %d bytes", maxHead)
	}
	if int64(len(p)) > cn.left {
		p = p[:cn.left]
	}
	n, err := cn.Conn.Read(p)
	cn.left -= int64(n)
	cn.heard = cn.heard || n > 0
	return n, err
}

// isQuiet reports whether nothing has come on a connection that waits: neither
// its end nor bytes that belong to no call.
func (cn *conn) isQuiet() bool {
	return cn.in.Buffered() == 0 && cn.peek.isQuiet() && (!cn.tls || cn.hasNoRecord())
}

// longAgo is a deadline at which nothing more is read from a socket.
var longAgo = time.Unix(1, 0)

// hasNoRecord reports whether crypto/tls holds nothing for us: it reads from the
// socket more than it hands out, where peek does not see it.
func (cn *conn) hasNoRecord() bool {
	var one [1]byte
	if cn.SetReadDeadline(longAgo) != nil {
		return false
	}
	n, err := cn.Conn.Read(one[:])
	return n == 0 && errors.Is(err, os.ErrDeadlineExceeded) && cn.SetReadDeadline(time.Time{}) == nil
}
