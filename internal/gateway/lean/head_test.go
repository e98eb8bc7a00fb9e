package lean

import (
	"bufio"
	"io"
	"maps"
	"net/http"
	"reflect"
	"strings"
	"testing"
)

// heads are whole ones, CRLF written as a line feed and a bare line feed as ␊.
var heads = []struct {
	name, text string
	is         clarity
	want       head
}{
	{"RFC 9112 §4, the usual", "HTTP/1.1 200 OK\nContent-Length: 5\nX-A: b\n\n", usual, head{status: 200, length: 5}},
	{"no reason", "HTTP/1.1 204\n\n", usual, head{status: 204, length: -1}},
	{"an empty reason", "HTTP/1.1 204 \n\n", usual, head{status: 204, length: -1}},
	{"chunked", "HTTP/1.1 200 OK\ntransfer-encoding: Chunked\n\n", usual, head{status: 200, length: -1, chunked: true}},
	{"until the end", "HTTP/1.1 200 OK\nConnection: x, Close\n\n", usual, head{status: 200, length: -1, close: true}},
	{"kept open", "HTTP/1.1 200 OK\nConnection: Keep-Alive\nContent-Length: 0\n\n", usual, head{status: 200}},
	{"HTTP/1.0 is never kept open", "HTTP/1.0 200 OK\nConnection: keep-alive\nContent-Length: 1\n\n", usual, head{status: 200, length: 1, http10: true, close: true}},
	{"interim", "HTTP/1.1 103 Early Hints\nLink: <a>\n\n", usual, head{status: 103, length: -1}},
	{"white space around a value", "HTTP/1.1 200 OK\nContent-Length: \t 7 \t\n\n", usual, head{status: 200, length: 7}},
	{"bytes beyond ASCII", "HTTP/1.1 200 caf\xe9\nX: \xff\n\n", usual, head{status: 200, length: -1}},
	{"announced trailers", "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\nTrailer: X\n\n", trailing, head{status: 200, length: -1, chunked: true}},

	{name: "length and encoding (RFC 9112 §6.3)", text: "HTTP/1.1 200 OK\nContent-Length: 5\nTransfer-Encoding: chunked\n\n"},
	{name: "encoding and length", text: "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\nContent-Length: 5\n\n"},
	{name: "two lengths that differ", text: "HTTP/1.1 200 OK\nContent-Length: 5\nContent-Length: 6\n\n"},
	{name: "two lengths that are equal", text: "HTTP/1.1 200 OK\nContent-Length: 5\nContent-Length: 5\n\n"},
	{name: "a list of lengths", text: "HTTP/1.1 200 OK\nContent-Length: 5, 5\n\n"},
	{name: "a length with a sign", text: "HTTP/1.1 200 OK\nContent-Length: +5\n\n"},
	{name: "a length below zero", text: "HTTP/1.1 200 OK\nContent-Length: -5\n\n"},
	{name: "a length in hexadecimal", text: "HTTP/1.1 200 OK\nContent-Length: 0x5\n\n"},
	{name: "a length with an underscore", text: "HTTP/1.1 200 OK\nContent-Length: 1_0\n\n"},
	{name: "an empty length", text: "HTTP/1.1 200 OK\nContent-Length:\n\n"},
	{name: "a length that does not fit", text: "HTTP/1.1 200 OK\nContent-Length: 9223372036854775808\n\n"},
	{name: "another encoding", text: "HTTP/1.1 200 OK\nTransfer-Encoding: gzip, chunked\n\n"},
	{name: "identity", text: "HTTP/1.1 200 OK\nTransfer-Encoding: identity\n\n"},
	{name: "chunked twice", text: "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\nTransfer-Encoding: chunked\n\n"},
	{name: "chunked with a vertical tab", text: "HTTP/1.1 200 OK\nTransfer-Encoding: \vchunked\n\n"},
	{name: "an encoding in HTTP/1.0 (RFC 9112 §6.1)", text: "HTTP/1.0 200 OK\nTransfer-Encoding: chunked\n\n"},
	{name: "a folded line (RFC 9112 §5.2)", text: "HTTP/1.1 200 OK\nX: a\n b\n\n"},
	{name: "a folded length", text: "HTTP/1.1 200 OK\nContent-Length:\n 5\n\n"},
	{name: "a space before the colon (RFC 9112 §5.1)", text: "HTTP/1.1 200 OK\nContent-Length : 5\n\n"},
	{name: "a bare line feed (RFC 9112 §2.2)", text: "HTTP/1.1 200 OK\nX: a␊Y: b\n\n"},
	{name: "a bare line feed behind the status", text: "HTTP/1.1 200 OK␊X: a\n\n"},
	{name: "a bare carriage return", text: "HTTP/1.1 200 OK\nX: a\rContent-Length: 5\n\n"},
	{name: "a line without a colon", text: "HTTP/1.1 200 OK\nnothing\n\n"},
	{name: "no name", text: "HTTP/1.1 200 OK\n: x\n\n"},
	{name: "a name that is none", text: "HTTP/1.1 200 OK\nX(Y): x\n\n"},
	{name: "NUL in a value", text: "HTTP/1.1 200 OK\nX: a\x00b\n\n"},
	{name: "NUL in the reason", text: "HTTP/1.1 200 O\x00K\n\n"},
	{name: "a length in an interim answer", text: "HTTP/1.1 103 Early Hints\nContent-Length: 5\n\n"},
	{name: "another version", text: "HTTP/1.2 200 OK\n\n"},
	{name: "a later version", text: "HTTP/2.0 200 OK\n\n"},
	{name: "small letters", text: "http/1.1 200 OK\n\n"},
	{name: "two spaces", text: "HTTP/1.1  200 OK\n\n"},
	{name: "a tab", text: "HTTP/1.1\t200 OK\n\n"},
	{name: "four digits", text: "HTTP/1.1 2000 OK\n\n"},
	{name: "two digits", text: "HTTP/1.1 20 OK\n\n"},
	{name: "below 100", text: "HTTP/1.1 099 OK\n\n"},
	{name: "a status with a sign", text: "HTTP/1.1 +20 OK\n\n"},
	{name: "no status", text: "HTTP/1.1\n\n"},
	{name: "no end", text: "HTTP/1.1 200 OK\nX: a\n"},
	{name: "no answer", text: "SSH-2.0-OpenSSH_9\n\n"},
	{name: "nothing", text: ""},
}

func onWire(text string) string {
	return strings.ReplaceAll(strings.ReplaceAll(text, "\n", "\r\n"), "␊", "\n")
}

func TestHeads(t *testing.T) {
	for _, tt := range heads {
		want := tt.is
		if tt.want.status == 0 {
			want = unusual
		}
		var call Call
		got, is := call.readHead(onWire(tt.text))
		if is != want || is != unusual && got != tt.want {
			t.Errorf("%s: %+v, clarity %d, want %+v, %d", tt.name, got, is, tt.want, want)
		}
	}
}

func TestWhatIsOfTheHopIsLeftOut(t *testing.T) {
	var call Call
	_, is := call.readHead(onWire("HTTP/1.1 200 OK\nConnection: X-Hop, close\nx-hop: a\nKeep-Alive: 5\nSet-Cookie: a\nset-cookie: b\nUpgrade: h2c\n\n"))
	got := http.Header{}
	call.fill(got, true)
	if want := (http.Header{"Set-Cookie": {"a", "b"}}); is != usual || !reflect.DeepEqual(got, want) {
		t.Errorf("%v", got)
	}
}

// FuzzHead: what is read here is read by net/http in the very same way. It may
// refuse what net/http repairs, and never the other way round.
func FuzzHead(f *testing.F) {
	for _, h := range heads {
		f.Add(onWire(h.text), false)
		f.Add(onWire(h.text), true)
	}
	f.Fuzz(func(t *testing.T, text string, isHead bool) {
		var call Call
		call.method = "GET"
		if isHead {
			call.method = "HEAD"
		}
		h, is := call.readHead(text)
		if is != usual {
			return
		}
		res, err := http.ReadResponse(bufio.NewReader(strings.NewReader(text)), &http.Request{Method: call.method})
		if err != nil {
			t.Fatalf("net/http refuses it: %v", err)
		}
		got := http.Header{}
		call.fill(got, false)
		got.Del("Transfer-Encoding") // net/http takes it out
		if h.close {
			got.Del("Connection") // this too, and with it what it names
			res.Header.Del("Connection")
		}
		if _, ok := got["Cache-Control"]; !ok && len(got["Pragma"]) > 0 && got["Pragma"][0] == "no-cache" {
			delete(res.Header, "Cache-Control") // net/http makes it up
		}
		if !maps.EqualFunc(got, res.Header, func(a, b []string) bool { return reflect.DeepEqual(a, b) }) {
			t.Errorf("fields %q, net/http has %q", got, res.Header)
		}
		if h.status != res.StatusCode || h.chunked != (len(res.TransferEncoding) > 0) {
			t.Errorf("%+v, net/http has %+v", h, res)
		}
		if res.Close && !h.close && h.length >= 0 {
			t.Errorf("the connection would be used again: %+v", h)
		}
		if hasBody(call.method, h.status) && h.length != res.ContentLength {
			t.Errorf("length %d, net/http has %d", h.length, res.ContentLength)
		}
		if n, err := io.Copy(io.Discard, res.Body); n != 0 {
			t.Errorf("the head goes on for %d bytes behind its end: %v", n, err)
		}
	})
}
