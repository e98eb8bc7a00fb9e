package gateway

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
)

func TestG20WebSocket(t *testing.T) {
	w := newWorld(t, nil).serve()
	ended := make(chan struct{}, 10)
	w.handle(func(rw http.ResponseWriter, r *http.Request) {
		conn, err := websocket.Accept(rw, r, &websocket.AcceptOptions{Subprotocols: []string{"v1"}, InsecureSkipVerify: true})
		if err != nil {
			t.Error(err)
			return
		}
		defer func() { _ = conn.CloseNow(); ended <- struct{}{} }()
		for {
			kind, data, err := conn.Read(r.Context())
			if err != nil {
				return
			}
			if err := conn.Write(r.Context(), kind, data); err != nil {
				return
			}
		}
	})
	dial := func(h http.Header) *websocket.Conn {
		conn, _, err := websocket.Dial(t.Context(), "ws://"+w.addr+"/live", &websocket.DialOptions{HTTPHeader: h, Subprotocols: []string{"v1"}})
		if err != nil {
			t.Fatal(err)
		}
		return conn
	}
	t.Run("both ways", func(t *testing.T) {
		conn := dial(http.Header{"X-Api-Key": {"sk_live_abcdefgh1234"}})
		defer conn.CloseNow()
		for size := 1; size < 30_000; size *= 7 {
			sent := bytes.Repeat([]byte("x"), size)
			if err := conn.Write(t.Context(), websocket.MessageBinary, sent); err != nil {
				t.Fatal(err)
			}
			if _, got, err := conn.Read(t.Context()); err != nil || !bytes.Equal(got, sent) {
				t.Fatalf("%d bytes came back for %d: %v", len(got), size, err)
			}
		}
		if conn.Subprotocol() != "v1" {
			t.Errorf("subprotocol %q", conn.Subprotocol())
		}
		_ = conn.Close(websocket.StatusNormalClosure, "")
		<-ended
	})
	t.Run("counted when it begins", func(t *testing.T) {
		w.rows()
		conn := dial(nil)
		defer conn.CloseNow()
		until(t, "the call is counted while it is open", func() bool {
			rows := w.rows()
			return len(rows) == 1 && rows[0].Status == http.StatusSwitchingProtocols
		})
	})
	t.Run("the token ends it", func(t *testing.T) {
		conn := dial(http.Header{"Authorization": {"Bearer " + w.issue(t, w.ours, "cl_1", time.Second)}})
		defer conn.CloseNow()
		if err := conn.Write(t.Context(), websocket.MessageText, []byte("a")); err != nil {
			t.Fatal(err)
		}
		if _, _, err := conn.Read(t.Context()); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		if _, _, err := conn.Read(t.Context()); err == nil {
			t.Error("the stream goes on after its token")
		}
		if took := time.Since(start); took > 5*time.Second {
			t.Errorf("it ended after %v, want a second", took)
		}
	})
}

func TestG20UpgradesToOtherProtocols(t *testing.T) {
	w := newWorld(t, nil).serve()
	seen := w.echoHeaders()
	t.Run("h2c is answered in HTTP/1.1 and not passed on", func(t *testing.T) {
		got := w.get("/", "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA")
		if got.StatusCode != http.StatusOK {
			t.Errorf("status %d", got.StatusCode)
		}
		for _, name := range []string{"Upgrade", "Connection", "Http2-Settings"} {
			if v := seen.Values(name); len(v) > 0 && (name != "Connection" || !strings.EqualFold(v[0], "close")) {
				t.Errorf("%s: %q reached the API", name, v)
			}
		}
	})
	t.Run("an API that switches unasked is refused", func(t *testing.T) {
		w.handle(func(rw http.ResponseWriter, r *http.Request) {
			conn, _, err := http.NewResponseController(rw).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n")
		})
		if got := w.get("/"); got.StatusCode != http.StatusBadGateway {
			t.Errorf("status %d", got.StatusCode)
		}
	})
}

func TestG20ServerSentEvents(t *testing.T) {
	w := newWorld(t, nil).serve()
	next := make(chan string)
	w.handle(func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set("Content-Type", "text/event-stream")
		rw.(http.Flusher).Flush()
		for {
			select {
			case event, more := <-next:
				if !more {
					return
				}
				fmt.Fprintf(rw, "data: %s\n\n", event)
				rw.(http.Flusher).Flush()
			case <-r.Context().Done():
				return
			}
		}
	})
	open := func(credential string) *bufio.Reader {
		req, _ := http.NewRequestWithContext(t.Context(), "GET", "http://"+w.addr+"/events", nil)
		if credential != "" {
			req.Header.Set("Authorization", "Bearer "+credential)
		}
		res, err := http.DefaultTransport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = res.Body.Close() })
		return bufio.NewReader(res.Body)
	}
	t.Run("each event arrives before the next is made", func(t *testing.T) {
		events := open("")
		for _, event := range []string{"one", "two", "three"} {
			next <- event
			if line, err := events.ReadString('\n'); err != nil || line != "data: "+event+"\n" {
				t.Fatalf("%q %v", line, err)
			}
			_, _ = events.ReadString('\n')
		}
	})
	t.Run("the token ends it cleanly", func(t *testing.T) {
		events := open(w.issue(t, w.ours, "cl_1", time.Second))
		start := time.Now()
		if _, err := events.ReadString('\n'); err != io.EOF {
			t.Errorf("the stream ended with %v, want a clean end", err)
		}
		if took := time.Since(start); took > 5*time.Second {
			t.Errorf("it ended after %v, want a second", took)
		}
	})
}

// h2cClient speaks HTTP/2 by prior knowledge, as gRPC callers do.
func h2cClient(t *testing.T) *http.Transport {
	p := new(http.Protocols)
	p.SetUnencryptedHTTP2(true)
	tr := &http.Transport{Protocols: p}
	t.Cleanup(tr.CloseIdleConnections)
	return tr
}

func TestG20GRPCShapedStream(t *testing.T) {
	w := newWorld(t, nil).serve()
	w.handle(func(rw http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor != 2 || r.Header.Get("Te") != "trailers" {
			t.Errorf("the API got %s, TE %q", r.Proto, r.Header.Get("Te"))
		}
		rw.Header().Set("Content-Type", "application/grpc+proto")
		rw.Header().Set("Trailer", "Grpc-Status")
		rw.WriteHeader(http.StatusOK)
		rw.(http.Flusher).Flush()
		line := bufio.NewReader(r.Body)
		for {
			s, err := line.ReadString('\n')
			if err != nil {
				break
			}
			_, _ = io.WriteString(rw, "echo "+s)
			rw.(http.Flusher).Flush()
		}
		rw.Header().Set("Grpc-Status", "0")
		rw.Header().Set(http.TrailerPrefix+"Grpc-Message", "unannounced")
	})
	call := func(credential string) (*http.Response, *io.PipeWriter) {
		body, send := io.Pipe()
		req, _ := http.NewRequestWithContext(t.Context(), "POST", "http://"+w.addr+"/pkg.Service/Method", body)
		req.Header.Set("Content-Type", "application/grpc+proto")
		req.Header.Set("Te", "trailers")
		if credential != "" {
			req.Header.Set("Authorization", "Bearer "+credential)
		}
		res, err := h2cClient(t).RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		return res, send
	}
	t.Run("both ways with trailers", func(t *testing.T) {
		res, send := call("")
		defer res.Body.Close()
		back := bufio.NewReader(res.Body)
		for _, word := range []string{"one\n", "two\n", "three\n"} { // each answered before the next is sent
			_, _ = io.WriteString(send, word)
			if got, err := back.ReadString('\n'); err != nil || got != "echo "+word {
				t.Fatalf("%q %v", got, err)
			}
		}
		_ = send.Close()
		if _, err := io.Copy(io.Discard, back); err != nil {
			t.Fatal(err)
		}
		if res.Trailer.Get("Grpc-Status") != "0" || res.Trailer.Get("Grpc-Message") != "unannounced" {
			t.Errorf("trailers %v", res.Trailer)
		}
	})
	t.Run("the token ends it with a status", func(t *testing.T) {
		res, send := call(w.issue(t, w.ours, "cl_1", time.Second))
		defer res.Body.Close()
		defer send.Close()
		if _, err := io.Copy(io.Discard, res.Body); err != nil {
			t.Fatalf("the stream broke: %v", err)
		}
		if res.Trailer.Get("Grpc-Status") != "16" {
			t.Errorf("trailers %v, want UNAUTHENTICATED", res.Trailer)
		}
	})
}

func TestH2CallsReachAnAPIOfHTTP1(t *testing.T) {
	w := newWorld(t, nil).serve()
	w.handle(func(rw http.ResponseWriter, r *http.Request) { fmt.Fprint(rw, r.Proto, " ", r.URL) })
	req, _ := http.NewRequestWithContext(t.Context(), "GET", "http://"+w.addr+"/a?b=c;d", nil)
	res, err := h2cClient(t).RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if body, _ := io.ReadAll(res.Body); string(body) != "HTTP/1.1 /a?b=c;d" {
		t.Errorf("%q", body)
	}
}

func TestG20Expect100Continue(t *testing.T) {
	w := newWorld(t, nil).serve()
	t.Run("the API wants the body", func(t *testing.T) {
		w.handle(func(rw http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			fmt.Fprintf(rw, "%s/%d", r.Header.Get("Expect"), len(body))
		})
		conn, r := dialRaw(t, w.addr, "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n")
		line, err := r.ReadString('\n')
		if err != nil || line != "HTTP/1.1 100 Continue\r\n" {
			t.Fatalf("%q %v", line, err)
		}
		_, _ = r.ReadString('\n')
		_, _ = io.WriteString(conn, "hello")
		if got := readReply(t, r); got.StatusCode != 200 || got.body != "100-continue/5" {
			t.Errorf("%d %q", got.StatusCode, got.body)
		}
	})
	t.Run("the API refuses before the body", func(t *testing.T) {
		w.handle(func(rw http.ResponseWriter, r *http.Request) { rw.WriteHeader(http.StatusExpectationFailed) })
		_, r := dialRaw(t, w.addr, "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n")
		if got := readReply(t, r); got.StatusCode != http.StatusExpectationFailed {
			t.Errorf("status %d: the caller was asked for a body that nobody wants", got.StatusCode)
		}
	})
}

func dialRaw(t *testing.T, addr, request string) (net.Conn, *bufio.Reader) {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := io.WriteString(conn, request); err != nil {
		t.Fatal(err)
	}
	return conn, bufio.NewReader(conn)
}

func readReply(t *testing.T, r *bufio.Reader) reply {
	t.Helper()
	res, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return reply{res, string(body)}
}

// TestG20LargeBodies streams 64 MB each way at once: the API sends back what it
// reads while it reads it, which is more than any buffer on the way holds.
func TestG20LargeBodies(t *testing.T) {
	const size = 64 << 20
	w := newWorld(t, nil).serve()
	w.handle(func(rw http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(rw).EnableFullDuplex()
		rw.Header().Set("Trailer", "X-Sha256")
		sum := sha256.New()
		_, _ = io.Copy(io.MultiWriter(rw, sum), r.Body)
		rw.Header().Set("X-Sha256", hex.EncodeToString(sum.Sum(nil)))
	})
	for _, tt := range []struct {
		name   string
		length int64
	}{{"with a length", size}, {"chunked", -1}} {
		t.Run(tt.name, func(t *testing.T) {
			sent := sha256.New()
			source := io.TeeReader(io.LimitReader(rand.NewChaCha8([32]byte{1}), size), sent)
			req, _ := http.NewRequestWithContext(t.Context(), "POST", "http://"+w.addr+"/", io.NopCloser(source))
			req.ContentLength = tt.length
			res, err := http.DefaultTransport.RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			got := sha256.New()
			n, err := io.Copy(got, res.Body)
			if err != nil || n != size {
				t.Fatalf("%d bytes: %v", n, err)
			}
			want := hex.EncodeToString(sent.Sum(nil))
			if hex.EncodeToString(got.Sum(nil)) != want || res.Trailer.Get("X-Sha256") != want {
				t.Error("the bytes are not the same")
			}
		})
	}
}

func TestRequestTrailersPass(t *testing.T) {
	w := newWorld(t, nil).serve()
	w.handle(func(rw http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		fmt.Fprint(rw, r.Trailer.Get("X-Sum"))
	})
	got := w.raw("POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 42\r\n\r\n")
	if got.body != "42" {
		t.Errorf("%d %q", got.StatusCode, got.body)
	}
}

func TestEarlyHintsPass(t *testing.T) {
	w := newWorld(t, nil).serve()
	w.handle(func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set("Link", "</style.css>; rel=preload")
		rw.WriteHeader(http.StatusEarlyHints)
		rw.Header().Del("Link")
		_, _ = io.WriteString(rw, "ok")
	})
	var hints []string
	trace := &httptrace.ClientTrace{Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
		hints = append(hints, fmt.Sprint(code, h.Get("Link")))
		return nil
	}}
	req, _ := http.NewRequestWithContext(httptrace.WithClientTrace(t.Context(), trace), "GET", "http://"+w.addr+"/", nil)
	res, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if len(hints) != 1 || hints[0] != "103</style.css>; rel=preload" || res.Header.Get("Link") != "" {
		t.Errorf("hints %q, Link %q", hints, res.Header.Get("Link"))
	}
}

func TestCompressedAnswersAreUntouched(t *testing.T) {
	w := newWorld(t, nil).serve()
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	_, _ = z.Write([]byte(strings.Repeat("hello ", 1000)))
	_ = z.Close()
	w.handle(func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set("Content-Encoding", "gzip")
		_, _ = rw.Write(packed.Bytes())
	})
	for _, line := range []string{"Accept-Encoding: gzip", "Accept: */*"} {
		got := w.get("/", line)
		if got.body != packed.String() || got.Header.Get("Content-Encoding") != "gzip" {
			t.Errorf("%s: %d bytes, Content-Encoding %q", line, len(got.body), got.Header.Get("Content-Encoding"))
		}
	}
}

// TestG23WhatAnAPIMaySend: a confused or hostile API cannot make one caller read
// another's answer.
func TestG23WhatAnAPIMaySend(t *testing.T) {
	tests := []struct {
		name, answer string
		status       int
		body         string
	}{
		{"length and chunked", "HTTP/1.1 200 OK\r\nContent-Length: 60\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", 200, "ok"},
		{"two lengths", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 7\r\n\r\nok", 502, ""},
		{"bare line feed in a chunk size", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\nok\r\n0\r\n\r\n", 0, ""},
		{"space before the colon", "HTTP/1.1 200 OK\r\nContent-Length : 2\r\n\r\nok", 200, "ok"},
		{"no HTTP at all", "SSH-2.0-OpenSSH_9\r\n", 502, ""},
		{"a second answer behind the first", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison", 200, "ok"},
		{"body behind a 204", "HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison", 204, ""},
		{"endless interim answers", strings.Repeat("HTTP/1.1 103 Early Hints\r\nLink: <"+strings.Repeat("x", 4000)+">\r\n\r\n", 400), 502, ""},
		{"a forbidden trailer", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: Content-Length\r\n\r\n2\r\nok\r\n0\r\nContent-Length: 9\r\n\r\n", 0, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			go func() {
				for {
					conn, err := l.Accept()
					if err != nil {
						return
					}
					go func() {
						defer conn.Close()
						if _, err := http.ReadRequest(bufio.NewReader(conn)); err == nil {
							_, _ = io.WriteString(conn, tt.answer)
							time.Sleep(20 * time.Millisecond) // so that what is left over is seen
						}
					}()
				}
			}()
			w := newWorld(t, func(w *world) { w.upstream = "http://" + l.Addr().String() }).serve()
			_, r := dialRaw(t, w.addr, strings.Repeat("GET / HTTP/1.1\r\nHost: a\r\n\r\n", 2))
			for call := range 2 {
				res, err := finalResponse(r)
				if err != nil {
					if call == 0 && tt.status != 0 {
						t.Fatal(err)
					}
					return // the connection was closed, which is safe
				}
				body, err := io.ReadAll(res.Body)
				if strings.Contains(string(body), "poison") {
					t.Fatalf("call %d was answered with %q", call, body)
				}
				if tt.status != 0 && (res.StatusCode != tt.status || (tt.body != "" && string(body) != tt.body)) {
					t.Errorf("call %d: %d %q %v", call, res.StatusCode, body, err)
				}
			}
		})
	}
}

func finalResponse(r *bufio.Reader) (*http.Response, error) {
	for {
		res, err := http.ReadResponse(r, nil)
		if err != nil || res.StatusCode >= 200 {
			return res, err
		}
	}
}

// TestG23WhatCannotBeFramedIsRefused: the guard stands before the gateway.
func TestG23WhatCannotBeFramedIsRefused(t *testing.T) {
	w := newWorld(t, nil).serve()
	got := w.raw("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
	if p := got.problem(t); p.Code != codeAmbiguousFraming || got.StatusCode != http.StatusBadRequest {
		t.Errorf("%d %+v", got.StatusCode, p)
	}
}

func TestACallerWhoLeavesIsCountedAsGone(t *testing.T) {
	w := newWorld(t, nil).serve()
	arrived := make(chan struct{})
	w.handle(func(_ http.ResponseWriter, r *http.Request) {
		close(arrived)
		<-r.Context().Done()
	})
	conn, _ := dialRaw(t, w.addr, "GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
	<-arrived
	_ = conn.Close()
	until(t, "the call is counted", func() bool {
		rows := w.rows()
		return len(rows) == 1 && rows[0].Status == statusClientGone && rows[0].Outcome == ""
	})
}

func TestAnAnswerThatBreaksIsNotEndedCleanly(t *testing.T) {
	w := newWorld(t, nil).serve()
	w.handle(func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set("Content-Length", "100000")
		_, _ = io.WriteString(rw, strings.Repeat("x", 50_000))
		rw.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	})
	_, r := dialRaw(t, w.addr, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	res, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	if body, err := io.ReadAll(res.Body); err == nil {
		t.Errorf("the caller took %d bytes for the whole answer", len(body))
	}
	w.handle(func(rw http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(rw, "ok") })
	if got := w.get("/"); got.body != "ok" {
		t.Errorf("the next call: %d %q", got.StatusCode, got.body)
	}
}
