package gateway

import (
	"io"
	"log"
	"net"
	"net/http"
	"net/netip"
	"testing"
	"time"
)

// askingConn is a proxy that asks the same again and again on one connection,
// without the costs of a network: what is left is what the server does.
type askingConn struct {
	net.Conn // nil: nothing else is called
	request  []byte
	left     int
	rest     []byte
	done     chan struct{}
}

func (c *askingConn) Read(p []byte) (int, error) {
	if len(c.rest) == 0 {
		if c.left == 0 {
			return 0, io.EOF
		}
		c.left--
		c.rest = c.request
	}
	n := copy(p, c.rest)
	c.rest = c.rest[n:]
	return n, nil
}

func (c *askingConn) Write(p []byte) (int, error) { return len(p), nil }
func (c *askingConn) Close() error                { close(c.done); return nil }
func (c *askingConn) LocalAddr() net.Addr         { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 80} }
func (c *askingConn) RemoteAddr() net.Addr {
	return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 4711}
}
func (c *askingConn) SetDeadline(time.Time) error      { return nil }
func (c *askingConn) SetReadDeadline(time.Time) error  { return nil }
func (c *askingConn) SetWriteDeadline(time.Time) error { return nil }

// question is what nginx asks about the call of a program.
const question = "GET /_offkey/auth/nginx HTTP/1.1\r\nHost: offkey\r\nX-Original-Method: GET\r\nX-Original-URI: /v1/orders/7?page=2\r\n" +
	"X-Forwarded-Host: " + testHost + "\r\nX-Forwarded-Proto: https\r\nX-Forwarded-For: 203.0.113.7\r\nAccept: */*\r\nUser-Agent: python-requests/2.32\r\n" +
	"Accept-Encoding: gzip, deflate\r\nX-API-Key: sk_live_000000000777\r\n\r\n"

// benchQuestion sends the question b.N times over TCP on one connection, one after
// the other, as each connection of a proxy does.
func benchQuestion(b *testing.B, handler http.Handler) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	server := &http.Server{Handler: handler, ErrorLog: log.New(io.Discard, "", 0)}
	go func() { _ = server.Serve(l) }()
	b.Cleanup(func() { _ = server.Close() })
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = conn.Close() })
	room, asked := make([]byte, 4096), []byte(question)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := conn.Write(asked); err != nil {
			b.Fatal(err)
		}
		n, err := conn.Read(room) // both answer in one write
		if err != nil || string(room[9:12]) != "200" {
			b.Fatal(string(room[:n]), err)
		}
	}
}

// benchServed is benchQuestion without TCP: what the server itself costs.
func benchServed(b *testing.B, handler http.Handler) {
	conns := make(chan net.Conn, 1)
	server := &http.Server{Handler: handler, ErrorLog: log.New(io.Discard, "", 0)}
	go func() { _ = server.Serve(connListener{conns}) }()
	b.ReportAllocs()
	b.ResetTimer()
	conn := &askingConn{request: []byte(question), left: b.N, done: make(chan struct{})}
	conns <- conn
	<-conn.done
	b.StopTimer()
	close(conns)
}

type connListener struct{ conns chan net.Conn }

func (l connListener) Accept() (net.Conn, error) {
	conn, ok := <-l.conns
	if !ok {
		return nil, net.ErrClosed
	}
	return conn, nil
}
func (connListener) Close() error   { return nil }
func (connListener) Addr() net.Addr { return &net.TCPAddr{} }

// bareHello is the floor: the least that a Go program answers.
func bareHello() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") })
}

func askedWorld(b *testing.B) http.Handler {
	w := benchWorld(b)
	w.options.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	return w.build().gateway.Handler()
}

func BenchmarkBareHello(b *testing.B)         { benchQuestion(b, bareHello()) }
func BenchmarkForwardAuth(b *testing.B)       { benchQuestion(b, askedWorld(b)) }
func BenchmarkBareHelloServed(b *testing.B)   { benchServed(b, bareHello()) }
func BenchmarkForwardAuthServed(b *testing.B) { benchServed(b, askedWorld(b)) }
