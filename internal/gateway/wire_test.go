package gateway

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/offkey/offkey/internal/policy"
)

// seen is one request as a handler saw it.
type seen struct {
	Request string // method, target, protocol, host
	Body    string
	Trailer http.Header
	Failed  bool // the body ended in an error
}

// recorder is a handler that remembers and answers with what it read.
type recorder struct {
	mu   sync.Mutex
	seen []seen
}

func (rec *recorder) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	s := seen{Request: r.Method + " " + r.RequestURI + " " + r.Proto + " " + r.Host, Body: string(body), Trailer: r.Trailer, Failed: err != nil}
	rec.mu.Lock()
	rec.seen = append(rec.seen, s)
	rec.mu.Unlock()
	w.Header()["Date"] = nil
	fmt.Fprintf(w, "%s %d", r.RequestURI, len(body))
}

func (rec *recorder) requests() []seen {
	rec.mu.Lock()
	defer rec.mu.Unlock()
	return append([]seen(nil), rec.seen...)
}

// scriptedConn is a connection whose peer sends fixed pieces and then ends.
type scriptedConn struct {
	mu     sync.Mutex
	pieces [][]byte
	sent   bytes.Buffer // what the server wrote
	closed chan struct{}
	once   sync.Once
}

func (c *scriptedConn) Read(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.pieces) > 0 && len(c.pieces[0]) == 0 {
		c.pieces = c.pieces[1:]
	}
	if len(c.pieces) == 0 {
		return 0, io.EOF
	}
	n := copy(p, c.pieces[0])
	c.pieces[0] = c.pieces[0][n:]
	return n, nil
}

func (c *scriptedConn) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.sent.Write(p)
}

func (c *scriptedConn) Close() error                     { c.once.Do(func() { close(c.closed) }); return nil }
func (c *scriptedConn) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (c *scriptedConn) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (c *scriptedConn) SetDeadline(time.Time) error      { return nil }
func (c *scriptedConn) SetReadDeadline(time.Time) error  { return nil }
func (c *scriptedConn) SetWriteDeadline(time.Time) error { return nil }

// oneConn is a listener with a single connection.
type oneConn struct {
	conn chan net.Conn
	done chan struct{}
	once sync.Once
}

func (l *oneConn) Accept() (net.Conn, error) {
	select {
	case c := <-l.conn:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}
func (l *oneConn) Close() error   { l.once.Do(func() { close(l.done) }); return nil }
func (l *oneConn) Addr() net.Addr { return &net.TCPAddr{} }

// play sends pieces to a server and returns what its handler saw and all that it
// answered.
func play(guard bool, pieces [][]byte) ([]seen, string) {
	conn := &scriptedConn{closed: make(chan struct{})}
	for _, p := range pieces {
		conn.pieces = append(conn.pieces, bytes.Clone(p))
	}
	one := &oneConn{conn: make(chan net.Conn, 1), done: make(chan struct{})}
	one.conn <- conn
	var l net.Listener = one
	if guard {
		l = GuardListener(l, nil)
	}
	rec := &recorder{}
	srv := quietServer(rec)
	served := make(chan struct{})
	go func() { defer close(served); _ = srv.Serve(l) }()
	<-conn.closed
	_ = srv.Close()
	<-served
	return rec.requests(), conn.sent.String()
}

func quietServer(h http.Handler) *http.Server {
	return &http.Server{Handler: h, ErrorLog: log.New(io.Discard, "", 0), DisableGeneralOptionsHandler: true}
}

// listen serves on a socket that is wrapped by guard.
func listen(t testing.TB, srv *http.Server, guard func(net.Listener) net.Listener) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = srv.Serve(guard(l)) }()
	t.Cleanup(func() { _ = srv.Close() })
	return l.Addr().String()
}

func start(t testing.TB, srv *http.Server, refused func(string, net.Addr)) (addr string) {
	t.Helper()
	return listen(t, srv, func(l net.Listener) net.Listener { return GuardListener(l, refused) })
}

func dial(t testing.TB, addr string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return c
}

func send(t testing.TB, c net.Conn, s string) {
	t.Helper()
	if _, err := io.WriteString(c, s); err != nil {
		t.Fatal(err)
	}
}

// answers reads responses until the server closes, as "status code" each, the
// code of a problem document or of our own.
func answers(t testing.TB, r io.Reader) []string {
	t.Helper()
	var all []string
	for br := bufio.NewReader(r); ; {
		resp, err := http.ReadResponse(br, nil)
		if err != nil {
			if err != io.ErrUnexpectedEOF {
				t.Errorf("the connection ends with %v", err)
			}
			return all
		}
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Errorf("body: %v", err)
		}
		one := fmt.Sprint(resp.StatusCode)
		if resp.Header.Get("Content-Type") == "application/problem+json" {
			var problem struct {
				Code, Detail, Title string
				Status              int
			}
			if err := json.Unmarshal(body, &problem); err != nil || problem.Status != resp.StatusCode || problem.Detail == "" || problem.Title == "" {
				t.Errorf("problem %s: %v", body, err)
			}
			if !resp.Close || resp.Header.Get("Cache-Control") != "no-store" {
				t.Errorf("a refusal has the headers %v, close %v", resp.Header, resp.Close)
			}
			one += " " + problem.Code
		}
		all = append(all, one)
	}
}

const (
	refusedFraming = "400 ambiguous_framing"
	refusedHost    = "400 host_mismatch"
)

// corpus is what smugglers send, and what is to become of it.
var corpus = []struct {
	name, send string
	want       []string // the answers
	bodies     []string // that handlers saw
}{
	{"G-23 length and chunked", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nX", []string{refusedFraming}, nil},
	{"G-23 chunked and length", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 6\r\n\r\n0\r\n\r\nX", []string{refusedFraming}, nil},
	{"G-23 other headers between", "POST / HTTP/1.1\r\nContent-Length: 6\r\nHost: a\r\nX-A: b\r\ntransfer-ENCODING:chunked\r\n\r\n0\r\n\r\nX", []string{refusedFraming}, nil},
	{"G-23 length and an encoding that is unknown", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\nTransfer-Encoding: xchunked\r\n\r\nabcdef", []string{refusedFraming}, nil},
	{"G-23 tab before the encoding", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\nTransfer-Encoding:\tchunked\r\n\r\n0\r\n\r\nX", []string{refusedFraming}, nil},
	{"G-23 no length and chunked", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", []string{refusedFraming}, nil},
	{"G-23 equal lengths", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nab", []string{refusedFraming}, nil},
	{"G-23 lengths of nothing", "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\ncontent-length: 0\r\n\r\n", []string{refusedFraming}, nil},
	{"G-23 differing lengths", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nabc", []string{refusedFraming}, nil},
	{"G-23 folded length", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n 2\r\n\r\nab", []string{refusedFraming}, nil},
	{"G-23 folded encoding", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n\tchunked\r\n\r\n0\r\n\r\n", []string{refusedFraming}, nil},
	{"G-23 encoding in HTTP/1.0", "POST / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", []string{refusedFraming}, nil},
	{"G-23 bare line feeds around length and chunked", "POST / HTTP/1.1\nHost: a\nContent-Length: 6\nTransfer-Encoding: chunked\n\n0\r\n\r\nX", []string{refusedFraming}, nil},
	{"G-23 folded header before length and chunked", "POST / HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nX", []string{refusedFraming}, nil},
	{"G-23 after a good request", "GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n", []string{"200", refusedFraming}, []string{""}},
	{"G-23 after a body of known length", "POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabcGET /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n", []string{"200", refusedFraming}, []string{"abc"}},
	{"G-23 after a chunked body", "POST /1 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n02;x=\"y\" \r\nde\r\n0\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n", []string{"200", refusedFraming}, []string{"abcde"}},
	{"G-23 after trailers", "POST /1 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n3 \t\r\nabc\r\n0;last\r\nX-Sum: 1\r\n 2\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n", []string{"200", refusedFraming}, []string{"abc"}},
	{"G-23 after an empty line behind a POST", "POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc\r\nGET /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n", []string{"200", refusedFraming}, []string{"abc"}},
	{"G-23 after a long cookie", "GET /1 HTTP/1.1\r\nHost: a\r\nCookie: " + strings.Repeat("c", 3*maxLine) + "\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n", []string{"200", refusedFraming}, []string{""}},
	{"G-23 after a long target", "GET /1?" + strings.Repeat("c", 3*maxLine) + " HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n", []string{"200", refusedFraming}, []string{"a"}},
	{"G-23 behind what begins like the preface of HTTP/2", "PRI * HTTP/2.0\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n", []string{"200", refusedFraming}, []string{""}},
	{"G-23 in what begins like the preface of HTTP/2", "GET /1 HTTP/1.1\r\nHost: a\r\n\r\nPRI * HTTP/2.0\r\nHost: a\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", []string{"200", refusedFraming}, []string{""}},
	{"G-23 endless length", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: " + strings.Repeat("0", 2*maxLine) + "1\r\n\r\na", []string{refusedFraming}, nil},

	{"G-03 absolute target for another host", "GET http://b/admin HTTP/1.1\r\nHost: a\r\n\r\n", []string{refusedHost}, nil},
	{"G-03 absolute target for another port", "GET http://a:8080/admin HTTP/1.1\r\nX: y\r\nHost: a\r\n\r\n", []string{refusedHost}, nil},
	{"G-03 absolute target for the same host", "GET http://A:80/1 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", []string{"200"}, []string{""}},

	// What net/http itself refuses stays so.
	{"G-23 two equal hosts", "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", []string{"400"}, nil},
	{"G-23 no host", "GET / HTTP/1.1\r\n\r\n", []string{"400"}, nil},
	{"G-23 list of lengths", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2, 2\r\n\r\nab", []string{"400"}, nil},
	{"G-23 signed length", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +2\r\n\r\nab", []string{"400"}, nil},
	{"G-23 space before the colon of length", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length : 2\r\n\r\nab", []string{"400"}, nil},
	{"G-23 space before the colon of encoding", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n", []string{"400"}, nil},
	{"G-23 NUL in a header", "GET / HTTP/1.1\r\nHost: a\r\nX: a\x00b\r\n\r\n", []string{"400"}, nil},
	{"G-23 carriage return in a header", "GET / HTTP/1.1\r\nHost: a\r\nX: a\rContent-Length: 5\r\n\r\n", []string{"400"}, nil},
	{"G-23 unknown encoding", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n", []string{"501"}, nil},
	{"G-23 encodings in a list", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity, chunked\r\n\r\n", []string{"501"}, nil},
	{"G-23 encodings on two lines", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", []string{"501"}, nil},
	{"G-23 head without end", "GET / HTTP/1.1\r\nHost: a\r\nX: " + strings.Repeat("x", 2<<20), []string{"431"}, nil},
	{"G-23 chunk line with a bare line feed", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\na\r\n0\r\n\r\n", []string{"200"}, []string{"!"}},
	{"G-23 trailers that end in a bare line feed", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n", []string{"200"}, []string{"a!"}},
	{"G-23 chunk longer than it says", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\n", []string{"200"}, []string{"a!"}},
	{"G-23 chunk size with a sign", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n+1\r\na\r\n0\r\n\r\n", []string{"200"}, []string{"!"}},
	{"G-23 chunk size beyond 64 bits", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n10000000000000001\r\na\r\n0\r\n\r\n", []string{"200"}, []string{"!"}},

	// What old clients send passes.
	{"bare line feeds", "POST /1 HTTP/1.1\nHost: a\nContent-Length: 2\n\nabGET /2 HTTP/1.1\nHost: a\nConnection: close\n\n", []string{"200", "200"}, []string{"ab", ""}},
	{"folded header", "GET /1 HTTP/1.1\r\nHost: a\r\nX: a\r\n Content-Length: 5\r\nConnection: close\r\n\r\n", []string{"200"}, []string{""}},
	{"HTTP/1.0", "POST /1 HTTP/1.0\r\nContent-Length: 2\r\n\r\nab", []string{"200"}, []string{"ab"}},
	{"length with zeros in front", "POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 0002\r\nConnection: close\r\n\r\nab", []string{"200"}, []string{"ab"}},
	{"names that only begin alike", "POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nContent-Length-X: 2\r\nX-Transfer-Encoding: chunked\r\nContent_Length: 3\r\nConnection: close\r\n\r\nab", []string{"200"}, []string{"ab"}},
	{"headers that frame inside a body", "POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 49\r\nConnection: close\r\n\r\n\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n", []string{"200"}, []string{"\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n"}},
}

func TestGuardRefuses(t *testing.T) {
	for _, tc := range corpus {
		t.Run(tc.name, func(t *testing.T) {
			rec := &recorder{}
			var mu sync.Mutex
			var told []string
			addr := start(t, quietServer(rec), func(code string, peer net.Addr) {
				mu.Lock()
				defer mu.Unlock()
				told = append(told, "400 "+code)
			})
			c := dial(t, addr)
			go func() { _, _ = io.WriteString(c, tc.send) }()
			got := answers(t, c)
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("answers: %s", diff)
			}
			if diff := cmp.Diff(tc.bodies, bodies(rec.requests())); diff != "" {
				t.Errorf("handlers saw: %s", diff)
			}
			mu.Lock()
			defer mu.Unlock()
			if last := tc.want[len(tc.want)-1]; strings.Contains(last, "_") != (len(told) == 1 && told[0] == last) {
				t.Errorf("told of %q", told)
			}
		})
	}
}

// bodies are what handlers read, with a ! where the body did not end well.
func bodies(requests []seen) []string {
	var all []string
	for _, s := range requests {
		if s.Failed {
			s.Body += "!"
		}
		all = append(all, s.Body)
	}
	return all
}

// The same, however the bytes arrive.
func TestGuardRefusesInPieces(t *testing.T) {
	for _, tc := range corpus {
		if len(tc.send) > 1<<20 {
			continue
		}
		t.Run(tc.name, func(t *testing.T) {
			for _, size := range []int{1, 2, 3, 5, 17, 40} {
				requests, out := play(true, inPieces(tc.send, func() int { return size }))
				got := answers(t, strings.NewReader(out))
				if diff := cmp.Diff(tc.want, got); diff != "" {
					t.Errorf("pieces of %d: answers: %s", size, diff)
				}
				if diff := cmp.Diff(tc.bodies, bodies(requests)); diff != "" {
					t.Errorf("pieces of %d: handlers saw: %s", size, diff)
				}
			}
		})
	}
}

func inPieces(s string, size func() int) [][]byte {
	var pieces [][]byte
	for len(s) > 0 {
		n := min(max(size(), 1), len(s))
		pieces, s = append(pieces, []byte(s[:n])), s[n:]
	}
	return pieces
}

// compare plays the same bytes to a guarded and a plain server. They have to
// see and answer the same up to the first request that is to be refused.
func compare(t *testing.T, stream string, pieces [][]byte) {
	t.Helper()
	plainSaw, plainOut := play(false, pieces)
	guardSaw, guardOut := play(true, pieces)
	answered, refusal, refused := cutRefusal(guardOut)
	want, inBody := firstRefused(stream, len(plainSaw))
	if inBody {
		// The handler had the request already. It sees the body break off.
		if len(guardSaw) != want+1 || !guardSaw[want].Failed {
			t.Fatalf("request %d with a bare line feed in its trailers passed the guard: %+v", want, guardSaw)
		}
		plainSaw, guardSaw = plainSaw[:want], guardSaw[:want]
	} else if want >= 0 {
		if !refused {
			t.Fatalf("request %d passed the guard", want)
		}
		plainSaw = plainSaw[:want]
	}
	if diff := cmp.Diff(plainSaw, guardSaw, cmpopts.EquateEmpty()); diff != "" {
		t.Fatalf("the handlers saw (refused: %s): %s", refusal, diff)
	}
	if !inBody && !strings.HasPrefix(plainOut, answered) || !refused && want < 0 && plainOut != guardOut {
		t.Fatalf("plain server answers %q, guarded %q", plainOut, guardOut)
	}
}

// cutRefusal cuts the guard's own answer off.
func cutRefusal(out string) (before, code string, refused bool) {
	const start = "HTTP/1.1 400 Bad Request\r\nContent-Type: application/problem+json\r\n"
	i := strings.LastIndex(out, start)
	if i < 0 {
		return out, "", false
	}
	return out[:i], out[i:], true
}

// firstRefused says which of the first n requests of a stream, as http.ReadRequest
// finds them, must be refused; -1 if none. With inBody it is for the end of its
// body. It reads heads and trailers in a way of its own.
func firstRefused(stream string, n int) (request int, inBody bool) {
	in := strings.NewReader(stream)
	br := bufio.NewReader(in)
	offset := func() int { return len(stream) - in.Len() - br.Buffered() }
	method := ""
	for i := range n {
		if method == "POST" {
			start, _ := br.Peek(4)
			_, _ = br.Discard(len(start) - len(bytes.TrimLeft(start, "\r\n")))
		}
		from := offset()
		r, err := http.ReadRequest(br)
		if err != nil {
			return -1, false
		}
		if isRefused(stream[from:offset()], r) {
			return i, false
		}
		from = offset()
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			return -1, false
		}
		if len(r.TransferEncoding) > 0 && hasBareTrailer(stream[from:offset()]) {
			return i, true
		}
		method = r.Method
	}
	return -1, false
}

// hasBareTrailer skips the chunks of a good body and looks at what follows.
func hasBareTrailer(body string) bool {
	for {
		line, rest, _ := strings.Cut(body, "\r\n")
		size, _, _ := strings.Cut(line, ";")
		n, err := strconv.ParseUint(strings.TrimRight(size, " \t"), 16, 64)
		if err != nil {
			panic(fmt.Sprintf("%q in %q: %v", size, body, err))
		}
		if n == 0 {
			return strings.Count(rest, "\n") != strings.Count(rest, "\r\n")
		}
		body = rest[n+2:]
	}
}

func isRefused(rawHead string, r *http.Request) bool {
	authority := policy.ParseTarget(r.RequestURI).Authority
	lengths, encodings, unclear, otherHost, previous := 0, 0, false, false, ""
	strip := strings.NewReplacer(":80", "", ":443", "")
	for _, line := range strings.Split(rawHead, "\n")[1:] {
		endless := len(line) > maxLine
		line = strings.TrimSuffix(line, "\r")
		if line != "" && strings.Contains(" \t", line[:1]) {
			unclear = unclear || previous == "content-length" || previous == "transfer-encoding"
			continue
		}
		name, value, _ := strings.Cut(line, ":")
		previous = strings.ToLower(name)
		switch previous {
		case "content-length":
			lengths++
			unclear = unclear || endless
		case "transfer-encoding":
			encodings++
			unclear = unclear || endless
		case "host":
			host := strings.Trim(value, " \t")
			otherHost = authority != "" && !strings.EqualFold(strip.Replace(host), strip.Replace(authority))
		}
	}
	return lengths > 1 || lengths*encodings > 0 || unclear || otherHost || (encodings > 0 && !r.ProtoAtLeast(1, 1))
}

func FuzzWire(f *testing.F) {
	for _, tc := range corpus {
		if len(tc.send) < 2000 {
			f.Add([]byte(tc.send), uint64(len(tc.send)))
			f.Add([]byte("POST /0 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2;x\r\nab\r\n0\r\nT: 1\r\n\r\n"+tc.send), uint64(1))
		}
	}
	f.Fuzz(func(t *testing.T, stream []byte, seed uint64) {
		if len(stream) > 16<<10 {
			return
		}
		random := rand.New(rand.NewPCG(seed, 0))
		pieces := [][]byte{stream}
		if seed > 0 {
			pieces = inPieces(string(stream), func() int { return 1 + random.IntN(1+int(min(seed, 1<<12))) })
		}
		compare(t, string(stream), pieces)
	})
}

// G-20, G-23: streams of good requests of every framing arrive unchanged however
// they are cut, and the bad one behind them is still found.
func TestGuardKeepsStreams(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for round := range 150 {
		var stream strings.Builder
		for n := range 1 + random.IntN(6) {
			writeRequest(&stream, random, n)
		}
		if round%3 == 0 {
			stream.WriteString(corpus[random.IntN(len(corpus)/2)].send)
		}
		limit := []int{1, 7, 100, 4096, 1 << 20}[round%5]
		compare(t, stream.String(), inPieces(stream.String(), func() int { return 1 + random.IntN(limit) }))
	}
}

// writeRequest writes a good request of some framing.
func writeRequest(w *strings.Builder, random *rand.Rand, n int) {
	fmt.Fprintf(w, "POST /%d HTTP/1.1\r\nHost: a\r\nX-Filler: %s\r\n", n, strings.Repeat("f", random.IntN(6000)))
	body := func() string {
		b := make([]byte, random.IntN(9000))
		for i := range b {
			b[i] = "\r\n:0 aCT"[random.IntN(8)]
		}
		return string(b)
	}
	switch random.IntN(3) {
	case 0:
		b := body()
		fmt.Fprintf(w, "Content-Length: %d\r\n\r\n%s", len(b), b)
	case 1:
		w.WriteString("transfer-encoding: Chunked\r\nTrailer: X-Sum\r\n\r\n")
		for range random.IntN(4) {
			if b := body(); b != "" {
				fmt.Fprintf(w, "%X%s\r\n%s\r\n", len(b), []string{"", ";ext", ";a=\"b\"", "  "}[random.IntN(4)], b)
			}
		}
		w.WriteString([]string{"0\r\n\r\n", "000\r\nX-Sum: 1\r\n\r\n", "0;e\r\nX-Sum: 1\r\n folded\r\nX-More: 2\r\n\r\n"}[random.IntN(3)])
	default:
		w.WriteString("\r\n")
	}
}

func TestGuardContinue(t *testing.T) {
	rec := &recorder{}
	c := dial(t, start(t, quietServer(rec), nil))
	br := bufio.NewReader(c)
	for round := range 2 {
		send(t, c, "POST /1 HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n")
		for _, want := range []int{100, 200} {
			resp, err := http.ReadResponse(br, nil)
			if err != nil || resp.StatusCode != want {
				t.Fatalf("round %d: %v, %v; want %d", round, resp, err, want)
			}
			if want == 100 {
				send(t, c, "abc")
			}
			_, _ = io.Copy(io.Discard, resp.Body)
		}
	}
	if diff := cmp.Diff([]string{"abc", "abc"}, bodies(rec.requests())); diff != "" {
		t.Error(diff)
	}
}

// G-20: a body larger than every buffer streams through, both ways at once.
func TestGuardStreams(t *testing.T) {
	srv := quietServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rc := http.NewResponseController(w)
		_ = rc.EnableFullDuplex()
		_, _ = io.Copy(w, r.Body)
	}))
	addr := start(t, srv, nil)
	const size = 8 << 20
	want := bytes.Repeat([]byte("0123456\r\nContent-Length: 1\r\n"), size/28)
	resp, err := http.Post("http://"+addr, "application/octet-stream", io.MultiReader(bytes.NewReader(want))) // chunked
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%d bytes came back of %d: %v", len(got), len(want), err)
	}
}

// A head that does not come to its end is given up like without the guard, on
// the first request of a connection and on a later one.
func TestGuardKeepsHeaderTimeout(t *testing.T) {
	for name, before := range map[string]string{
		"first request":  "",
		"second request": "GET /1 HTTP/1.1\r\nHost: a\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			var ends []string
			for _, guard := range []bool{false, true} {
				srv := quietServer(&recorder{})
				srv.ReadHeaderTimeout, srv.IdleTimeout = 50*time.Millisecond, time.Hour
				c := dial(t, listen(t, srv, func(l net.Listener) net.Listener {
					if guard {
						return GuardListener(l, nil)
					}
					return l
				}))
				send(t, c, before+"GET /2 HTTP/1.1\r\nHost: a\r\nContent-Len")
				end, err := io.ReadAll(c)
				if err != nil {
					t.Fatal(err)
				}
				ends = append(ends, string(end))
			}
			if ends[0] != ends[1] {
				t.Errorf("a plain connection ends with %q, a guarded one with %q", ends[0], ends[1])
			}
		})
	}
}

func TestGuardSeesCallerLeave(t *testing.T) {
	entered, left := make(chan struct{}), make(chan error, 1)
	addr := start(t, quietServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(entered)
		<-r.Context().Done()
		left <- r.Context().Err()
	})), nil)
	c := dial(t, addr)
	send(t, c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	<-entered
	_ = c.Close()
	select {
	case err := <-left:
		if err != context.Canceled {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Error("the handler was not told")
	}
}

// The reason arrives although the caller is still sending.
func TestGuardAnswersWhileBodyComes(t *testing.T) {
	c := dial(t, start(t, quietServer(&recorder{}), nil))
	go func() {
		_, _ = io.WriteString(c, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 200000\r\nContent-Length: 200000\r\n\r\n"+strings.Repeat("b", 200000))
	}()
	if diff := cmp.Diff([]string{refusedFraming}, answers(t, c)); diff != "" {
		t.Error(diff)
	}
}

// upgrading answers /switch with 101 and echoes from then on, everything else
// with a body that only looks like a 101.
func upgrading(t *testing.T) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/switch" {
			_, _ = io.WriteString(w, "HTTP/1.1 101 "+strings.Repeat("x", 8192))
			return
		}
		conn, brw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		_, _ = brw.WriteString("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
		_ = brw.Flush()
		_, _ = io.Copy(conn, brw)
	})
}

const doubled = "GET /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n"

// G-20: what follows a 101 is not HTTP.
func TestGuardLeavesUpgradedConnectionsAlone(t *testing.T) {
	c := dial(t, start(t, quietServer(upgrading(t)), nil))
	send(t, c, "GET /switch HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
	br := bufio.NewReader(c)
	resp, err := http.ReadResponse(br, nil)
	if err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("%v, %v", resp, err)
	}
	for range 3 {
		send(t, c, doubled)
		got := make([]byte, len(doubled))
		if _, err := io.ReadFull(br, got); err != nil || string(got) != doubled {
			t.Fatalf("%q came back: %v", got, err)
		}
	}
}

// G-20: asking for another protocol without getting it leaves the guard on.
func TestGuardStaysWithoutSwitch(t *testing.T) {
	for _, upgrade := range []string{"websocket", "h2c", "other"} {
		t.Run(upgrade, func(t *testing.T) {
			c := dial(t, start(t, quietServer(upgrading(t)), nil))
			send(t, c, "GET /1 HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: "+upgrade+"\r\n\r\n")
			br := bufio.NewReader(c)
			resp, err := http.ReadResponse(br, nil)
			if err != nil {
				t.Fatal(err)
			}
			_, _ = io.Copy(io.Discard, resp.Body)
			send(t, c, doubled)
			if diff := cmp.Diff([]string{refusedFraming}, answers(t, br)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestGuardPassesHTTP2(t *testing.T) {
	rec := &recorder{}
	srv := quietServer(rec)
	srv.Protocols = new(http.Protocols)
	srv.Protocols.SetHTTP1(true)
	srv.Protocols.SetUnencryptedHTTP2(true)
	addr := start(t, srv, nil)
	transport := &http.Transport{Protocols: new(http.Protocols)}
	transport.Protocols.SetUnencryptedHTTP2(true)
	defer transport.CloseIdleConnections()
	body := strings.Repeat("Content-Length: 1\r\n", 5000)
	for range 3 {
		resp, err := (&http.Client{Transport: transport}).Post("http://"+addr+"/1", "text/plain", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.ProtoMajor != 2 {
			t.Fatalf("spoke %s", resp.Proto)
		}
	}
	if diff := cmp.Diff([]string{body, body, body}, bodies(rec.requests())); diff != "" {
		t.Error(diff)
	}
}

const usualHead = "GET /v1/organizations/42/orders?page=2 HTTP/1.1\r\nHost: api.example.com\r\nUser-Agent: Go-http-client/1.1\r\nAccept: application/json\r\n" +
	"Accept-Encoding: gzip\r\nContent-Type: application/json\r\nX-API-Key: pk_live_0123456789abcdef0123456789abcdef\r\nX-Request-Id: 0197f2c1-7d3c\r\n" +
	"X-Forwarded-For: 203.0.113.9\r\nX-Forwarded-Proto: https\r\nTraceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\nCookie: a=1; b=2\r\n"

func BenchmarkGuardHead(b *testing.B) {
	for name, rest := range map[string]string{
		"none":    "\r\n",
		"length":  "Content-Length: 13\r\n\r\n{\"order\": 42}",
		"chunked": "Transfer-Encoding: chunked\r\n\r\nD\r\n{\"order\": 42}\r\n0\r\n\r\n",
	} {
		b.Run(name, func(b *testing.B) {
			request := []byte(usualHead + rest)
			var f framing
			b.ReportAllocs()
			for b.Loop() {
				if n, why := f.follow(request); n != len(request) || why != nil || f.at != betweenRequests {
					b.Fatal(n, why, f.at)
				}
			}
		})
	}
	b.Run("in two reads", func(b *testing.B) {
		request := []byte(usualHead + "\r\n")
		var f framing
		b.ReportAllocs()
		for b.Loop() {
			f.follow(request[:200])
			f.follow(request[200:])
		}
		if f.at != betweenRequests {
			b.Fatal(f.at)
		}
	})
}
