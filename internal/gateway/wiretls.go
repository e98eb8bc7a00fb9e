package gateway

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"slices"
	"sync"
	"time"
)

// GuardTLSListener is GuardListener for TLS. It makes the handshakes itself,
// each within handshakeTimeout, because net/http reads TLS connections in a way
// that leaves no place to look at the plain text: HTTP/1 connections come out of
// it guarded, HTTP/2 ones as *tls.Conn. Hand the listener to http.Server.Serve,
// not to ServeTLS. Unless config says otherwise both protocols are offered.
//
// Closing the listener ends the handshakes that are under way.
func GuardTLSListener(l net.Listener, config *tls.Config, handshakeTimeout time.Duration, refused func(code string, peer net.Addr)) net.Listener {
	config = config.Clone()
	if len(config.NextProtos) == 0 {
		config.NextProtos = []string{"h2", "http/1.1"}
	}
	ctx, stop := context.WithCancel(context.Background())
	g := &guardTLSListener{Listener: l, config: config, timeout: handshakeTimeout, refused: refused, accepted: make(chan accepted), ctx: ctx, stop: stop}
	g.running.Go(g.run)
	return g
}

type guardTLSListener struct {
	net.Listener
	config  *tls.Config
	timeout time.Duration
	refused func(code string, peer net.Addr)

	accepted chan accepted
	ctx      context.Context
	stop     context.CancelFunc
	running  sync.WaitGroup
}

// accepted is what one call of Accept answers.
type accepted struct {
	conn net.Conn
	err  error
}

func (g *guardTLSListener) Accept() (net.Conn, error) {
	select {
	case a := <-g.accepted:
		return a.conn, a.err
	case <-g.ctx.Done():
		return nil, net.ErrClosed
	}
}

func (g *guardTLSListener) Close() error {
	g.stop()
	err := g.Listener.Close()
	g.running.Wait()
	return err
}

// run accepts connections until the listener is closed.
func (g *guardTLSListener) run() {
	for {
		c, err := g.Listener.Accept()
		if err != nil {
			if !g.hand(accepted{err: err}) || errors.Is(err, net.ErrClosed) {
				return
			}
			continue
		}
		g.running.Go(func() { g.handshake(c) })
	}
}

func (g *guardTLSListener) handshake(raw net.Conn) {
	ctx, cancel := context.WithTimeout(g.ctx, g.timeout)
	defer cancel()
	c := tls.Server(raw, g.config)
	if err := c.HandshakeContext(ctx); err != nil {
		answerPlainText(err)
		_ = raw.Close()
		return
	}
	var out net.Conn = c
	if c.ConnectionState().NegotiatedProtocol != "h2" {
		out = &guardedTLSConn{guardedConn{Conn: c, told: g.refused}}
	}
	if !g.hand(accepted{conn: out}) {
		_ = raw.Close()
	}
}

// hand gives a to Accept, unless the listener is closed.
func (g *guardTLSListener) hand(a accepted) bool {
	select {
	case g.accepted <- a:
		return true
	case <-g.ctx.Done():
		return false
	}
}

// answerPlainText tells a caller that forgot https, as net/http does.
func answerPlainText(err error) {
	var record tls.RecordHeaderError
	if !errors.As(err, &record) || record.Conn == nil {
		return
	}
	if slices.Contains([]string{"GET /", "HEAD ", "POST ", "PUT /", "OPTIO"}, string(record.RecordHeader[:])) {
		_, _ = io.WriteString(record.Conn, "HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n")
	}
}

// guardedTLSConn lets net/http fill in http.Request.TLS.
type guardedTLSConn struct{ guardedConn }

func (c *guardedTLSConn) ConnectionState() tls.ConnectionState {
	return c.Conn.(*tls.Conn).ConnectionState()
}
