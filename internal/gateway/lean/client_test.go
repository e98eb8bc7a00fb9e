package lean

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// api is the far side: what a test does with each connection.
func api(t testing.TB, serve func(net.Conn, *bufio.Reader)) *Client {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() {
				defer conn.Close()
				serve(conn, bufio.NewReader(conn))
			})
		}
	})
	c := New(Options{
		URL: &url.URL{Scheme: "http", Host: l.Addr().String()}, Dial: (&net.Dialer{}).DialContext,
		IdleTimeout: time.Minute, FreshTimeout: time.Second, MaxIdle: 4, MaxOpen: 8,
	})
	if c == nil {
		t.Skip("this system shows nothing of a connection that waits")
	}
	t.Cleanup(func() { _ = l.Close(); c.CloseIdleConnections(); all.Wait() })
	return c
}

// answering answers every request with ok.
func answering(conn net.Conn, in *bufio.Reader) {
	for {
		r, err := http.ReadRequest(in)
		if err != nil {
			return
		}
		_, _ = io.Copy(io.Discard, r.Body)
		if _, err := io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"); err != nil {
			return
		}
	}
}

func send(ctx context.Context, c *Client, method, body string) (string, error) {
	var call Call
	r := &http.Request{Method: method, URL: &url.URL{Opaque: "/"}, Host: "a", Header: http.Header{}, ContentLength: int64(len(body))}
	if !call.Compose(r, strings.NewReader(body)) {
		return "", errors.New("not composed")
	}
	res, err := c.Do(ctx, &call, http.Header{}, func(int) {})
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	got, err := io.ReadAll(res.Body)
	return string(got), err
}

func (c *Client) state() (idle, open, waiting int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.idle), c.open, len(c.waiting)
}

func TestConnectionsAreBounded(t *testing.T) {
	var now, most atomic.Int64
	c := api(t, func(conn net.Conn, in *bufio.Reader) {
		for {
			if _, err := http.ReadRequest(in); err != nil {
				return
			}
			n := now.Add(1)
			for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
			}
			time.Sleep(time.Millisecond)
			now.Add(-1)
			if _, err := io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"); err != nil {
				return
			}
		}
	})
	var all sync.WaitGroup
	for range 64 {
		all.Go(func() {
			for range 10 {
				if got, err := send(t.Context(), c, "GET", ""); err != nil || got != "ok" {
					t.Errorf("%q %v", got, err)
				}
			}
		})
	}
	all.Wait()
	if m := most.Load(); m > 8 {
		t.Errorf("%d calls at once, 8 connections may be", m)
	}
	if idle, open, waiting := c.state(); idle > 4 || open != idle || waiting != 0 {
		t.Errorf("%d idle, %d open, %d waiting", idle, open, waiting)
	}
}

func TestWhoeverLeavesTheQueueLosesNoConnection(t *testing.T) {
	release := make(chan struct{})
	c := api(t, func(conn net.Conn, in *bufio.Reader) {
		for {
			if _, err := http.ReadRequest(in); err != nil {
				return
			}
			<-release
			if _, err := io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"); err != nil {
				return
			}
		}
	})
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() { _, _ = send(t.Context(), c, "GET", "") })
	}
	until(t, func() bool { _, open, _ := c.state(); return open == 8 })
	ctx, cancel := context.WithCancel(t.Context())
	for range 64 {
		all.Go(func() { _, _ = send(ctx, c, "GET", "") })
	}
	until(t, func() bool { _, _, waiting := c.state(); return waiting == 64 })
	all.Go(cancel) // beside connections that are handed on
	close(release)
	all.Wait()
	if idle, open, waiting := c.state(); open != idle || waiting != 0 {
		t.Errorf("%d idle, %d open, %d waiting", idle, open, waiting)
	}
	if got, err := send(t.Context(), c, "GET", ""); err != nil || got != "ok" {
		t.Errorf("%q %v", got, err)
	}
}

func until(t testing.TB, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it does not come to that")
		}
	}
}

func TestAFailedDialLeavesRoom(t *testing.T) {
	c := api(t, answering)
	good := c.Dial
	c.Dial = func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("no") }
	for range 20 {
		if _, err := send(t.Context(), c, "GET", ""); err == nil {
			t.Fatal("it was answered")
		}
	}
	c.Dial = good
	if _, err := send(t.Context(), c, "GET", ""); err != nil {
		t.Error(err)
	}
}

func TestConnectionsThatHaveEndedDoNotPileUp(t *testing.T) {
	c := api(t, func(conn net.Conn, in *bufio.Reader) {
		_, _ = http.ReadRequest(in)
		_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
	})
	if _, err := send(t.Context(), c, "GET", ""); err != nil {
		t.Fatal(err)
	}
	until(t, func() bool { c.mu.Lock(); defer c.mu.Unlock(); return !c.idle[0].isQuiet() })
	c.mu.Lock()
	c.idle[0].since = time.Now().Add(-2 * tendEvery)
	c.mu.Unlock()
	c.tend()
	if idle, open, _ := c.state(); idle != 0 || open != 0 {
		t.Errorf("%d idle, %d open", idle, open)
	}
}

// TestStaleConnections is RFC 9110 §9.2.2: a request goes out a second time only
// if it can do no harm and nothing was answered.
func TestStaleConnections(t *testing.T) {
	tests := []struct {
		name, method, body, dies string // dies is what the API answers before it hangs up
		calls                    int    // requests that the API has seen of the one that it lets down
		answered                 bool
	}{
		{"GET", "GET", "", "", 2, true},
		{"HEAD", "HEAD", "", "", 2, true},
		{"OPTIONS", "OPTIONS", "", "", 2, true},
		{"DELETE", "DELETE", "", "", 1, false},
		{"POST", "POST", "", "", 1, false},
		{"GET with a body", "GET", "x", "", 1, false},
		{"GET after a first byte", "GET", "", "H", 1, false},
		{"GET after an interim answer", "GET", "", "HTTP/1.1 103 Early Hints\r\n\r\n", 1, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var seen, conns atomic.Int64
			c := api(t, func(conn net.Conn, in *bufio.Reader) {
				first := conns.Add(1) == 1
				for n := 0; ; n++ {
					r, err := http.ReadRequest(in)
					if err != nil {
						return
					}
					_, _ = io.Copy(io.Discard, r.Body)
					seen.Add(1)
					if first && n == 1 {
						_, _ = io.WriteString(conn, tt.dies)
						return
					}
					_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n")
					if r.Method != "HEAD" {
						_, _ = io.WriteString(conn, "ok")
					}
				}
			})
			if _, err := send(t.Context(), c, "GET", ""); err != nil {
				t.Fatal(err)
			}
			_, err := send(t.Context(), c, tt.method, tt.body)
			if got := int(seen.Load()) - 1; got != tt.calls || (err == nil) != tt.answered {
				t.Errorf("the API got it %d times, want %d: %v", got, tt.calls, err)
			}
		})
	}
	t.Run("a new connection that dies is no reason", func(t *testing.T) {
		var seen atomic.Int64
		c := api(t, func(conn net.Conn, in *bufio.Reader) { _, _ = http.ReadRequest(in); seen.Add(1) })
		if _, err := send(t.Context(), c, "GET", ""); !errors.Is(err, io.ErrUnexpectedEOF) || seen.Load() != 1 {
			t.Errorf("%v after %d attempts", err, seen.Load())
		}
	})
	t.Run("what cannot be repeated goes to a young connection", func(t *testing.T) {
		var conns atomic.Int64
		c := api(t, func(conn net.Conn, in *bufio.Reader) { conns.Add(1); answering(conn, in) })
		_, _ = send(t.Context(), c, "GET", "")
		c.mu.Lock()
		c.idle[0].since = time.Now().Add(-c.FreshTimeout)
		c.mu.Unlock()
		_, _ = send(t.Context(), c, "POST", "x")
		_, _ = send(t.Context(), c, "GET", "")
		if n := conns.Load(); n != 2 {
			t.Errorf("%d connections", n)
		}
	})
}

// TestNothingUnaskedIsTakenForAnAnswer: a connection on which something waits
// carries no other call.
func TestNothingUnaskedIsTakenForAnAnswer(t *testing.T) {
	poison := "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison"
	for _, late := range []bool{false, true} {
		idle := make(chan struct{})
		c := api(t, func(conn net.Conn, in *bufio.Reader) {
			for {
				if _, err := http.ReadRequest(in); err != nil {
					return
				}
				answer := "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
				if !late {
					answer += poison
				}
				_, _ = io.WriteString(conn, answer)
				if late {
					<-idle
					_, _ = io.WriteString(conn, poison)
				}
			}
		})
		for range 20 {
			if got, err := send(t.Context(), c, "GET", ""); err != nil || got != "ok" {
				t.Fatalf("late %v: %q %v", late, got, err)
			}
			if late {
				idle <- struct{}{}
				until(t, func() bool { c.mu.Lock(); defer c.mu.Unlock(); return !c.idle[0].isQuiet() })
			}
		}
	}
}

func TestAnswerTimeout(t *testing.T) {
	serve := func(conn net.Conn, in *bufio.Reader) {
		for {
			r, err := http.ReadRequest(in)
			if err != nil {
				return
			}
			if n, _ := io.Copy(io.Discard, r.Body); n == 0 && r.Method == "POST" {
				return
			}
			if r.Header.Get("X-Silent") != "" {
				_, _ = in.ReadByte()
				return
			}
			_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no")
			time.Sleep(100 * time.Millisecond) // a body may take longer than a head
			_, _ = io.WriteString(conn, "k")
		}
	}
	c := api(t, serve)
	c.AnswerTimeout = 50 * time.Millisecond
	do := func(body io.Reader, length int64, silent bool) error {
		var call Call
		r := &http.Request{Method: "POST", URL: &url.URL{Opaque: "/"}, Host: "a", Header: http.Header{}, ContentLength: length}
		if length == 0 {
			r.Method = "GET"
		}
		if silent {
			r.Header["X-Silent"] = []string{"1"}
		}
		if !call.Compose(r, body) {
			t.Fatal("not composed")
		}
		res, err := c.Do(t.Context(), &call, http.Header{}, func(int) {})
		if err != nil {
			return err
		}
		defer res.Body.Close()
		_, err = io.Copy(io.Discard, res.Body)
		return err
	}
	slow := func() io.Reader {
		r, w := io.Pipe()
		go func() {
			for range 3 {
				time.Sleep(50 * time.Millisecond)
				_, _ = io.WriteString(w, "x")
			}
			_ = w.Close()
		}()
		return r
	}
	for range 2 { // the second time on a connection that was used
		if err := do(nil, 0, false); err != nil {
			t.Error(err)
		}
		if err := do(slow(), 3, false); err != nil {
			t.Errorf("it counts from the end of the request: %v", err)
		}
		if err := do(slow(), -1, false); err != nil {
			t.Error(err)
		}
	}
	for _, length := range []int64{0, 3, -1} {
		var timeout net.Error
		if err := do(slow(), length, true); !errors.As(err, &timeout) || !timeout.Timeout() {
			t.Errorf("length %d: %v, want a timeout", length, err)
		}
	}
}

func TestTLSConnectionsAreUsedAgain(t *testing.T) {
	var conns atomic.Int64
	far := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		fmt.Fprint(w, r.Proto, " ", r.Host)
	}))
	far.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			conns.Add(1)
		}
	}
	far.EnableHTTP2 = true
	far.StartTLS()
	defer far.Close()
	u, err := url.Parse(far.URL)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(far.Certificate())
	o := Options{
		URL: u, Dial: (&net.Dialer{}).DialContext, TLS: &tls.Config{RootCAs: roots}, HandshakeTimeout: 10 * time.Second,
		IdleTimeout: time.Minute, FreshTimeout: time.Minute, MaxIdle: 4, MaxOpen: 4,
	}
	c := New(o)
	if c == nil {
		t.Skip("this system shows nothing of a connection that waits")
	}
	defer c.CloseIdleConnections()
	for i := range 10 {
		if got, err := send(t.Context(), c, []string{"GET", "POST"}[i%2], []string{"", "body"}[i%2]); err != nil || got != "HTTP/1.1 a" {
			t.Fatalf("%q %v", got, err)
		}
	}
	if n := conns.Load(); n != 1 {
		t.Errorf("%d connections for ten calls", n)
	}
	o.TLS = &tls.Config{RootCAs: x509.NewCertPool()}
	if _, err := send(t.Context(), New(o), "GET", ""); err == nil {
		t.Error("a certificate was taken that nobody vouches for")
	}
}

// TestAConnectionWithHalfARequestIsNotUsedAgain: the API would read the next
// request as the rest of this one.
func TestAConnectionWithHalfARequestIsNotUsedAgain(t *testing.T) {
	c := api(t, func(conn net.Conn, in *bufio.Reader) {
		if _, err := in.Peek(8); err == nil { // it answers early
			_, _ = io.WriteString(conn, "HTTP/1.1 408 Request Timeout\r\nContent-Length: 2\r\n\r\nok")
			_, _ = io.Copy(io.Discard, in)
		}
	})
	dial := c.Dial
	c.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return halfWriter{conn.(*net.TCPConn)}, nil
	}
	if got, err := send(t.Context(), c, "GET", ""); err != nil || got != "ok" {
		t.Fatalf("%q %v", got, err)
	}
	if idle, open, _ := c.state(); idle != 0 || open != 0 {
		t.Errorf("%d connections wait, %d are open", idle, open)
	}
}

type halfWriter struct{ *net.TCPConn }

func (h halfWriter) Write(p []byte) (int, error) {
	n, _ := h.TCPConn.Write(p[:len(p)/2])
	return n, errors.New("cut off")
}

// TestABodyThatMayNotBeThereIsTakenForNoAnswer: a 204 that names a length may well
// send it, a moment later.
func TestABodyThatMayNotBeThereIsTakenForNoAnswer(t *testing.T) {
	for answer, again := range map[string]bool{
		"204 No Content\r\nContent-Length: 6": false, "204 No Content\r\nContent-Length: 0": true, "204 No Content": true, "304 Not Modified\r\nContent-Length: 6": true,
	} {
		c := api(t, func(conn net.Conn, in *bufio.Reader) {
			if _, err := http.ReadRequest(in); err == nil {
				_, _ = io.WriteString(conn, "HTTP/1.1 "+answer+"\r\n\r\n")
				_, _ = in.ReadByte() // until it is closed
			}
		})
		if _, err := send(t.Context(), c, "GET", ""); err != nil {
			t.Fatal(err)
		}
		if idle, _, _ := c.state(); (idle == 1) != again {
			t.Errorf("%q: %d connections wait", answer, idle)
		}
		c.CloseIdleConnections()
	}
}

// TestNothingUnaskedIsTakenForAnAnswerInTLS: what the API sends behind its answer,
// in a record of its own, may be in the hands of crypto/tls already, where nobody
// sees it who looks at the socket.
func TestNothingUnaskedIsTakenForAnAnswerInTLS(t *testing.T) {
	from := httptest.NewTLSServer(nil)
	defer from.Close()
	c := api(t, func(conn net.Conn, _ *bufio.Reader) {
		held := &holding{Conn: conn}
		secure := tls.Server(held, &tls.Config{Certificates: from.TLS.Certificates})
		in := bufio.NewReader(secure)
		for {
			if _, err := http.ReadRequest(in); err != nil {
				return
			}
			held.holds = true
			_, _ = io.WriteString(secure, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
			_, _ = io.WriteString(secure, "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison")
			held.release()
		}
	})
	c.tls = &tls.Config{RootCAs: x509.NewCertPool(), ServerName: "example.com"}
	c.tls.RootCAs.AddCert(from.Certificate())
	c.HandshakeTimeout = 10 * time.Second
	for i := range 20 {
		if got, err := send(t.Context(), c, "GET", ""); err != nil || got != "ok" {
			t.Fatalf("call %d: %q %v", i, got, err)
		}
	}
}

// holding writes in one piece what it was given in several.
type holding struct {
	net.Conn
	holds bool
	held  []byte
}

func (h *holding) Write(p []byte) (int, error) {
	if !h.holds {
		return h.Conn.Write(p)
	}
	h.held = append(h.held, p...)
	return len(p), nil
}

func (h *holding) release() {
	_, _ = h.Conn.Write(h.held)
	h.holds, h.held = false, nil
}

// FuzzAnswer: whatever an API writes, each answer is read as net/http reads it,
// and nothing of it is taken for the next one.
func FuzzAnswer(f *testing.F) {
	for _, h := range heads {
		f.Add(onWire(h.text)+"hello", "GET")
	}
	for _, body := range []string{"3\r\nabc\r\n0\r\n\r\n", "3;x=y\r\nabc\r\n0\r\nX: y\r\n\r\n", "3\nabc\n0\n\n", "3\r\nabcd\r\n0\r\n\r\n", "0\r\nX\r\n\r\n", "ffffffffffffffff\r\n"} {
		f.Add("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"+body, "POST")
	}
	f.Add("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 X\r\nA: b\r\n\r\nHTTP/1.1 200 OK\r\n\r\nrest", "GET")
	f.Fuzz(func(t *testing.T, wire, method string) {
		var call Call
		r := &http.Request{Method: method, URL: &url.URL{Opaque: "/"}, Host: "a", Header: http.Header{}}
		if !call.Compose(r, nil) || method == "CONNECT" {
			return
		}
		c := &Client{Options: Options{MaxIdle: 4, MaxOpen: 4}}
		cn := &conn{Conn: replay{strings.NewReader(wire)}, abort: func() {}}
		cn.in = bufio.NewReaderSize(cn, readBuffer)
		var early []string
		h := http.Header{}
		got, _, err := c.exchange(t.Context(), cn, &call, h, func(status int) { early = append(early, fmt.Sprint(status, h)) })
		wantEarly, want, wantErr := byStandard(wire, method)
		if (err == nil) != (wantErr == nil) {
			t.Fatalf("%v, net/http says %v", err, wantErr)
		}
		if err != nil {
			return
		}
		defer got.Body.Close()
		body, err := io.ReadAll(got.Body)
		wantBody, wantErr := io.ReadAll(want.Body)
		if got.StatusCode != want.StatusCode || string(body) != string(wantBody) || (err == nil) != (wantErr == nil) ||
			fmt.Sprint(early) != fmt.Sprint(wantEarly) || got.ContentLength != want.ContentLength {
			t.Errorf("%+v %q %v %q\nnet/http: %+v %q %v %q", got, body, err, early, want, wantBody, wantErr, wantEarly)
		}
		if err == nil && fmt.Sprint(got.Trailer) != fmt.Sprint(want.Trailer) {
			t.Errorf("trailers %v, net/http has %v", got.Trailer, want.Trailer)
		}
		if idle, _, _ := c.state(); idle > 0 && cn.in.Buffered() > 0 {
			t.Error("a connection is used again on which something waits")
		}
	})
}

// byStandard reads answers as http.Transport does.
func byStandard(wire, method string) (early []string, res *http.Response, err error) {
	in := bufio.NewReader(strings.NewReader(wire))
	for {
		res, err = http.ReadResponse(in, &http.Request{Method: method})
		switch {
		case err != nil:
			return nil, nil, err
		case res.StatusCode == http.StatusSwitchingProtocols:
			return nil, nil, ErrSwitched
		case res.StatusCode < 100 || res.StatusCode >= 200:
			return early, res, nil
		}
		early = append(early, fmt.Sprint(res.StatusCode, res.Header))
	}
}

// replay is a connection that takes everything and says what it was given.
type replay struct{ *strings.Reader }

func (replay) Write(p []byte) (int, error)      { return len(p), nil }
func (replay) Close() error                     { return nil }
func (replay) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (replay) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (replay) SetDeadline(time.Time) error      { return nil }
func (replay) SetReadDeadline(time.Time) error  { return nil }
func (replay) SetWriteDeadline(time.Time) error { return nil }
