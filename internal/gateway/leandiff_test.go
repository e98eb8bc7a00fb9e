package gateway

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/offkey/offkey/internal/traffic"
)

// farSide is an API that a test writes as bytes. It remembers what it was sent.
type farSide struct {
	addr string

	mu       sync.Mutex
	requests []string // the head as it came, and the body without its framing
	conns    int
}

// newFarSide starts one. answer gets a request that was read with its body, and
// reports whether the connection goes on.
func newFarSide(t testing.TB, answer func(conn net.Conn, in *bufio.Reader, r *http.Request) bool) *farSide {
	t.Helper()
	return newRawFarSide(t, func(f *farSide, conn net.Conn, in *bufio.Reader) {
		for {
			head, err := peekRequest(in)
			if err != nil {
				return
			}
			r, err := http.ReadRequest(in)
			if err != nil {
				return
			}
			body, err := io.ReadAll(r.Body)
			f.mu.Lock()
			f.requests = append(f.requests, fmt.Sprintf("%s%s %v trailers %v", head, body, err, r.Trailer))
			f.mu.Unlock()
			if err != nil || !answer(conn, in, r) {
				return
			}
		}
	})
}

// newRawFarSide starts one that reads requests itself.
func newRawFarSide(t testing.TB, serve func(*farSide, net.Conn, *bufio.Reader)) *farSide {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &farSide{addr: l.Addr().String()}
	var open sync.Map
	var all sync.WaitGroup
	all.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			f.mu.Lock()
			f.conns++
			f.mu.Unlock()
			open.Store(conn, true)
			all.Go(func() {
				defer conn.Close()
				serve(f, conn, bufio.NewReaderSize(conn, 64<<10))
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		open.Range(func(conn, _ any) bool { _ = conn.(net.Conn).Close(); return true })
		all.Wait()
	})
	return f
}

func peekRequest(in *bufio.Reader) (string, error) {
	for n := 1; ; n++ {
		b, err := in.Peek(n)
		if err != nil {
			return "", err
		}
		if bytes.HasSuffix(b, []byte("\r\n\r\n")) {
			return string(b), nil
		}
	}
}

func (f *farSide) seen() (requests []string, conns int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.requests), f.conns
}

// bothWays are two gateways that differ in one thing: the second sends every
// call by httputil.ReverseProxy.
func bothWays(t *testing.T, far func() *farSide, run func(t *testing.T, w *world, f *farSide) string) {
	t.Helper()
	var got [2]string
	for i := range got {
		f := far()
		w := newWorld(t, func(w *world) { w.upstream = "http://" + f.addr }).serve()
		if i == 1 {
			w.gateway.upstreams.fallback.lean = nil
		} else if w.gateway.upstreams.fallback.lean == nil {
			t.Skip("this system has no lean client")
		}
		got[i] = run(t, w, f)
	}
	if diff := cmp.Diff(got[1], got[0]); diff != "" {
		t.Errorf("(-ReverseProxy +lean)\n%.4000s", diff)
	}
}

// exchanged is what a caller sees on one connection: what was answered to each
// request, and whether the connection goes on. Of the Date that offkey's own
// answers have it knows only that it is there.
func exchanged(t *testing.T, addr string, requests ...string) string {
	t.Helper()
	conn := dial(t, addr)
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	in := bufio.NewReaderSize(conn, 256<<10)
	var out strings.Builder
	for _, request := range requests {
		method, _, _ := strings.Cut(request, " ")
		if _, err := io.WriteString(conn, request); err != nil {
			return out.String() + "closed"
		}
		whole := readAnswer(&out, in, method)
		if !whole {
			return out.String() + "closed"
		}
	}
	return out.String() + "open"
}

// readAnswer writes down the answers to one request, and reports whether the last
// one is whole and another may follow.
func readAnswer(out *strings.Builder, in *bufio.Reader, method string) (more bool) {
	for {
		head, err := peekRequest(in)
		if err != nil {
			out.WriteString("no answer, ")
			return false
		}
		res, err := http.ReadResponse(in, &http.Request{Method: method})
		if err != nil {
			fmt.Fprintf(out, "unreadable: %q", head)
			return false
		}
		for line := range strings.Lines(head) {
			if strings.HasPrefix(line, "Date: ") && res.StatusCode >= 400 {
				line = "Date\r\n"
			}
			if names, ok := strings.CutPrefix(line, "Trailer: "); ok { // ReverseProxy has them in any order
				list := strings.Split(strings.TrimSpace(names), ", ")
				slices.Sort(list)
				line = "Trailer: " + strings.Join(list, ", ") + "\r\n"
			}
			out.WriteString(line)
		}
		if res.StatusCode < 200 && res.StatusCode != 101 {
			continue
		}
		body, err := io.ReadAll(res.Body)
		if err != nil {
			body = nil // how much of it came is chance
		}
		fmt.Fprintf(out, "%d bytes %.300q, broken %v, trailers %v\r\n", len(body), body, err != nil, res.Trailer)
		return err == nil && !res.Close
	}
}

const nextRequest = "GET /next HTTP/1.1\r\nHost: api.example.com\r\n\r\n"

// misbehaving are answers of which most should not be. A line feed stands for
// CRLF, ␊ for a bare one. Behind each the API hangs up if it is told to.
var misbehaving = []string{
	"HTTP/1.1 200 OK\nX: a␊Content-Length: 2\n\nok", "HTTP/1.1 200 OK␊Content-Length: 2␊␊ok", "HTTP/1.1 200 OK\nContent-Length: 2␊\nok",
	"HTTP/1.1 200 OK\nX: a\n b\nContent-Length: 2\n\nok", "HTTP/1.1 200 OK\nContent-Length:\n 2\n\nok", "HTTP/1.1 200 OK\n X: a\nContent-Length: 2\n\nok",
	"HTTP/1.1 200 OK\nContent-Length: 60\nTransfer-Encoding: chunked\n\n2\nok\n0\n\n", "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\nContent-Length: 60\n\n2\nok\n0\n\n",
	"HTTP/1.1 200 OK\nContent-Length: 2\nContent-Length: 2\n\nok", "HTTP/1.1 200 OK\nContent-Length: 2\nContent-Length: 7\n\nokHTTP/1.1", "HTTP/1.1 200 OK\nContent-Length: 2, 2\n\nok",
	"HTTP/1.1 200 OK\nContent-Length: +2\n\nok", "HTTP/1.1 200 OK\nContent-Length: -2\n\nok", "HTTP/1.1 200 OK\nContent-Length: 0x2\n\nok", "HTTP/1.1 200 OK\nContent-Length: 2x\n\nok",
	"HTTP/1.1 200 OK\nContent-Length: 99999999999999999999\n\nok", "HTTP/1.1 200 OK\nContent-Length:\n\nok", "HTTP/1.1 200 OK\nContent-Length: 002\n\nok",
	"HTTP/1.1 200 OK\nTransfer-Encoding: gzip\n\nok", "HTTP/1.1 200 OK\nTransfer-Encoding: gzip, chunked\n\n2\nok\n0\n\n", "HTTP/1.1 200 OK\nTransfer-Encoding: identity\n\nok",
	"HTTP/1.1 200 OK\nTransfer-Encoding: chunked\nTransfer-Encoding: chunked\n\n2\nok\n0\n\n", "HTTP/1.1 200 OK\nTransfer-Encoding: chunked, chunked\n\n2\nok\n0\n\n", "HTTP/1.1 200 OK\nTransfer-Encoding: \x0bchunked\n\n2\nok\n0\n\n",
	"HTTP/1.0 200 OK\nTransfer-Encoding: chunked\n\n2\nok\n0\n\n", "HTTP/1.1 200 OK\nTransfer-Encoding : chunked\n\n2\nok\n0\n\n", "HTTP/1.1 200 OK\nContent-Length : 2\n\nok",
	"HTTP/1.1 200\nContent-Length: 2\n\nok", "HTTP/1.1 200 \nContent-Length: 2\n\nok", "HTTP/1.1 2000 OK\n\n", "HTTP/1.1 20 OK\n\n", "HTTP/1.1 099 OK\nContent-Length: 2\n\nok", "HTTP/1.1 999 Odd\nContent-Length: 2\n\nok",
	"HTTP/2.0 200 OK\nContent-Length: 2\n\nok", "HTTP/1.2 200 OK\nContent-Length: 2\n\nok", "HTTP/1.1  200 OK\nContent-Length: 2\n\nok", "http/1.1 200 OK\n\n", "ICY 200 OK\n\n", "SSH-2.0-OpenSSH_9\n", "\x16\x03\x01\x02\n", "\n\n", "",
	"HTTP/1.1 200 OK\nX: a\x00b\nContent-Length: 2\n\nok", "HTTP/1.1 200 OK\nX: a\rContent-Length: 9\nContent-Length: 2\n\nok", "HTTP/1.1 200 OK\nno colon\nContent-Length: 2\n\nok", "HTTP/1.1 200 OK\n: no name\nContent-Length: 2\n\nok",
	"HTTP/1.1 200 OK\nX Y: a\nContent-Length: 2\n\nok", "HTTP/1.1 200 OK\nX(Y): a\nContent-Length: 2\n\nok", "HTTP/1.1 200 OK\nX_Y: a\nx-Y-z: b\nContent-Length: 2\n\nok",
	"HTTP/1.1 200 OK\nX: a", "HTTP/1.1 200 OK\nX: a\n", "HTTP/1.", "HTTP/1.1 200 OK\nX: " + strings.Repeat("y", 16<<10) + "\nContent-Length: 2\n\nok", "HTTP/1.1 200 OK\nX: " + strings.Repeat("y", 11<<20) + "\nContent-Length: 2\n\nok",
	"HTTP/1.1 200 OK\n" + strings.Repeat("X: y\n", 5000) + "Content-Length: 2\n\nok", "HTTP/1.1 200 OK\n" + strings.Repeat("Set-Cookie: y\n", 300) + "Content-Length: 2\n\nok",

	"HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n2␊ok\n0\n\n", "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n2\nok␊0\n\n", "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n2\nokay\n0\n\n", "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\nx\nok\n0\n\n",
	"HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n-2\nok\n0\n\n", "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n 2\nok\n0\n\n", "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n2 \nok\n0\n\n", "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n0x2\nok\n0\n\n",
	"HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\nfffffffffffffffff\nok\n0\n\n", "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n2;" + strings.Repeat("x", 5000) + "\nok\n0\n\n", "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n2;a=\"b\"\nok\n00\n\n",
	"HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n2\nok", "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n2\nok\n", "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n2\nok\n0\n", "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n",
	"HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n2\nok\n0\nX-Late: a\nX-Late: b\n\n", "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n2\nok\n0\nContent-Length: 9\n\n", "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n2\nok\n0\nno colon\n\n",
	"HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n2\nok\n0\nX: a␊\n", "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n2\nok\n0\nX: " + strings.Repeat("y", 90_000) + "\n\n",
	"HTTP/1.1 200 OK\nTransfer-Encoding: chunked\nTrailer: X-Sum\n\n2\nok\n0\nX-Sum: 1\n\n", "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\nTrailer: Content-Length\n\n2\nok\n0\nContent-Length: 9\n\n", "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\nTrailer: X-Sum\n\n2\nok\n0\n\n",
	"HTTP/1.1 200 OK\nTrailer: X-Sum\nContent-Length: 2\n\nok",

	"HTTP/1.1 100 Continue\n\nHTTP/1.1 200 OK\nContent-Length: 2\n\nok", "HTTP/1.1 103 Early Hints\nLink: <a>\nConnection: close\nX-Same: 1\n\nHTTP/1.1 102 Processing\n\nHTTP/1.1 200 OK\nX-Same: 2\nContent-Length: 2\n\nok",
	"HTTP/1.1 103 Early Hints\nContent-Length: 4\n\nHTTP/1.1 200 OK\nContent-Length: 2\n\nok", "HTTP/1.1 103 Early Hints\nX: a␊\nHTTP/1.1 200 OK\nContent-Length: 2\n\nok", "HTTP/1.1 199 Odd\nX: y\n\n", "HTTP/1.1 103 Early Hints\nTrailer: X\n\nHTTP/1.1 204 No Content\n\n",
	"HTTP/1.1 101 Switching Protocols\nConnection: Upgrade\nUpgrade: h2c\n\n", "HTTP/1.1 101 Switching Protocols\n\n",
	"HTTP/1.1 204 No Content\nContent-Length: 2\n\nok", "HTTP/1.1 204 No Content\nTransfer-Encoding: chunked\n\n0\n\n", "HTTP/1.1 304 Not Modified\nContent-Length: 2\n\nok", "HTTP/1.1 304 Not Modified\nTransfer-Encoding: chunked\nETag: a\n\n2\nok\n0\n\n", "HTTP/1.1 205 Reset Content\nContent-Length: 2\n\nok",
	"HTTP/1.1 200 OK\nContent-Length: 2\n\nokHTTP/1.1 200 OK\nContent-Length: 6\n\npoison", "HTTP/1.1 200 OK\nContent-Length: 0\n\nHTTP/1.1 200 OK\nContent-Length: 6\n\npoison", "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n2\nok\n0\n\nHTTP/1.1 200 OK\nContent-Length: 6\n\npoison",
	"HTTP/1.1 200 OK\nContent-Length: 2\n\nok\n", "HTTP/1.1 200 OK\nContent-Length: 5\n\nok", "HTTP/1.1 200 OK\n\nto the end", "HTTP/1.0 200 OK\nConnection: keep-alive\nContent-Length: 2\n\nok", "HTTP/1.1 200 OK\nConnection: keep-alive, X-Hop\nX-Hop: a\nKeep-Alive: timeout=1\nProxy-Authenticate: a\nTe: x\nContent-Length: 2\n\nok",
	"HTTP/1.1 200 OK\nConnection: Content-Length\nContent-Length: 2\n\nok", "HTTP/1.1 200 OK\nConnection:\nContent-Length: 2\n\nok", "HTTP/1.1 200 OK\nUpgrade: h2\nContent-Length: 2\n\nok", "HTTP/1.1 407 Odd\nProxy-Authenticate: Basic\nContent-Length: 2\n\nok",
	"HTTP/1.1 200 OK\nContent-Type: text/event-stream; charset\nContent-Length: 2\n\nok", "HTTP/1.1 200 OK\nContent-Type: TEXT/event-stream\n\ndata: x\n\n", "HTTP/1.1 200 OK\nContent-Type: text/event-streams\nContent-Length: 2\n\nok",
}

// TestAnswersAreThoseOfReverseProxy: whatever an API sends, and to whatever
// method, the caller gets the same by the lean client as by ReverseProxy, and so
// does the next caller.
func TestAnswersAreThoseOfReverseProxy(t *testing.T) {
	answers := slices.Clone(misbehaving)
	for _, answer := range apiAnswers {
		if answer != "HTTP/1.1 200 OK\nKeep-Alive: timeout=5\nConnection: X-Hop, close\nX-Hop: a\nContent-Length: 0\n\n" { // see TestWhatConnectionNames
			answers = append(answers, answer)
		}
	}
	requests := map[string]string{
		"GET": "GET /case HTTP/1.1\r\nHost: api.example.com\r\n\r\n", "HEAD": "HEAD /case HTTP/1.1\r\nHost: api.example.com\r\n\r\n",
		"POST":           "POST /case HTTP/1.1\r\nHost: api.example.com\r\nContent-Length: 4\r\n\r\nbody",
		"POST in chunks": "POST /case HTTP/1.1\r\nHost: api.example.com\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n",
		"by HTTP/1.0":    "GET /case HTTP/1.0\r\nHost: api.example.com\r\nConnection: keep-alive\r\n\r\n",
	}
	for name, request := range requests {
		for _, slowly := range []bool{false, true} {
			if slowly && name != "GET" {
				continue
			}
			answers := answers
			if slowly {
				answers = slices.DeleteFunc(slices.Clone(answers), func(a string) bool { return len(a) > 200 })
			}
			t.Run(fmt.Sprintf("%s, slowly %v", name, slowly), func(t *testing.T) {
				t.Parallel()
				sameAnswers(t, answers, request, slowly)
			})
		}
	}
}

// sameAnswers sends the request for each of the answers, on connections of both
// sides that are kept as long as they can be, with another call behind each.
func sameAnswers(t *testing.T, answers []string, request string, slowly bool) {
	far := func() *farSide {
		n := 0
		var mu sync.Mutex
		return newFarSide(t, func(conn net.Conn, _ *bufio.Reader, r *http.Request) bool {
			if r.URL.Path == "/next" {
				_, err := io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nnext")
				return err == nil
			}
			mu.Lock()
			answer := answers[n%len(answers)]
			n++
			mu.Unlock()
			wire, keeps := answerTo(r.Method, answer)
			if slowly {
				for i := range wire {
					_, _ = io.WriteString(conn, wire[i:i+1])
				}
			} else {
				_, _ = io.WriteString(conn, wire)
			}
			return keeps
		})
	}
	bothWays(t, far, func(t *testing.T, w *world, _ *farSide) string {
		var out strings.Builder
		for i, answer := range answers {
			fmt.Fprintf(&out, "\n%d %.200q\n%s", i, answer, exchanged(t, w.addr, request, nextRequest))
		}
		if rows := w.rows(); len(rows) == 0 {
			t.Error("nothing was counted")
		} else {
			slices.SortFunc(rows, func(a, b traffic.Row) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
			for _, r := range rows {
				fmt.Fprintf(&out, "\n%s %s %d %s %d", r.Method, r.Template, r.Status, r.Outcome, r.Calls)
			}
		}
		return out.String()
	})
}

func onWire(answer string) string {
	return strings.ReplaceAll(strings.ReplaceAll(answer, "\n", "\r\n"), "␊", "\n")
}

// answerTo is what an API writes, and whether it then waits for another request:
// it has said all that it promised, as net/http reads it. What is behind that is
// cut off, because http.Transport may take it for the next answer, if it is quick.
func answerTo(method, answer string) (wire string, keeps bool) {
	wire = onWire(answer)
	in := bufio.NewReaderSize(strings.NewReader(wire), len(wire)+1)
	for {
		res, err := http.ReadResponse(in, &http.Request{Method: method})
		if err != nil {
			return wire, false
		}
		if res.StatusCode < 200 && res.StatusCode != http.StatusSwitchingProtocols {
			continue
		}
		if _, err = io.Copy(io.Discard, res.Body); err != nil || res.Close {
			return wire, false
		}
		return wire[:len(wire)-in.Buffered()], true
	}
}

// TestG23WhatIsBehindAnAnswerIsNoAnswer: an API that says more than it promised
// does not speak to the next caller.
func TestG23WhatIsBehindAnAnswerIsNoAnswer(t *testing.T) {
	answers := slices.Concat(misbehaving, apiAnswers)
	for _, method := range []string{"GET", "HEAD", "POST"} {
		t.Run(method, func(t *testing.T) {
			t.Parallel()
			var mu sync.Mutex
			n := 0
			f := newFarSide(t, func(conn net.Conn, _ *bufio.Reader, r *http.Request) bool {
				if r.URL.Path == "/next" {
					_, err := io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nnext")
					return err == nil
				}
				mu.Lock()
				answer := answers[n%len(answers)]
				n++
				mu.Unlock()
				_, keeps := answerTo(method, answer)
				_, _ = io.WriteString(conn, onWire(answer)+"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison")
				return keeps
			})
			w := newWorld(t, func(w *world) { w.upstream = "http://" + f.addr }).serve()
			if w.gateway.upstreams.fallback.lean == nil {
				t.Skip("this system has no lean client")
			}
			for _, answer := range answers {
				exchanged(t, w.addr, method+" /case HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
				if got := exchanged(t, w.addr, nextRequest); !strings.Contains(got, `4 bytes "next"`) {
					t.Errorf("behind %.200q the next caller got %.300q", answer, got)
				}
			}
		})
	}
}
