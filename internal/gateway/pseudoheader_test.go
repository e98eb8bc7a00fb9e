package gateway

import (
	"bytes"
	"io"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// askH2 sends one request in HTTP/2 whose pseudo-headers no client library would
// send, and returns the status, or why the stream ended without one.
func askH2(t *testing.T, addr, method, authority, path string, headers ...[2]string) (status string) {
	t.Helper()
	conn := dial(t, addr)
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := io.WriteString(conn, http2.ClientPreface); err != nil {
		t.Fatal(err)
	}
	var block bytes.Buffer
	encoder := hpack.NewEncoder(&block)
	for _, f := range append([][2]string{{":method", method}, {":scheme", "http"}, {":authority", authority}, {":path", path}}, headers...) {
		if err := encoder.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]}); err != nil {
			t.Fatal(err)
		}
	}
	framer := http2.NewFramer(conn, conn)
	if err := framer.WriteSettings(); err != nil {
		t.Fatal(err)
	}
	if err := framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block.Bytes(), EndStream: true, EndHeaders: true}); err != nil {
		t.Fatal(err)
	}
	framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	for {
		frame, err := framer.ReadFrame()
		if err != nil {
			t.Fatal(err)
		}
		switch frame := frame.(type) {
		case *http2.MetaHeadersFrame:
			return frame.PseudoValue("status")
		case *http2.RSTStreamFrame:
			return frame.ErrCode.String()
		case *http2.GoAwayFrame:
			return frame.ErrCode.String()
		}
	}
}

// G-01, G-03: what comes in HTTP/2 is sent on in HTTP/1, where a space in the
// wrong place makes another request of it.
func TestG03PseudoHeadersThatMakeAnotherRequest(t *testing.T) {
	api, addr := newRawAPI(t)
	w := newWorld(t, func(w *world) {
		w.upstream = addr
		w.options.Upstreams = []Upstream{{Name: "named", Hosts: []string{testHost}}, {Name: "others"}}
	}).serve()
	tests := []struct{ name, method, authority, path, want string }{
		{"usual", "GET", testHost, "/v1/a?b=c", "200"},
		{"usual, with the port", "GET", testHost + ":443", "/v1/a", "200"},
		{"usual, of an address", "GET", "[2001:db8::1]:8484", "/v1/a", "200"},
		{"space in the path", "GET", testHost, "/a b", "400"},
		{"a version in the path", "GET", testHost, "/admin HTTP/1.0", "400"},
		{"a version in the query", "GET", testHost, "/x?a=1 HTTP/1.1", "400"},
		{"space behind two slashes", "GET", testHost, "//a\"b c", "400"},
		{"a request line in the method", "GET /admin HTTP/1.1", testHost, "/x", "400"},
		{"a request line in the method, target sent exactly", "GET /admin HTTP/1.1", testHost, "//x\"", "400"},
		{"tab in the method", "G\tT", testHost, "/x", "400"},
		{"space in the host", "GET", testHost + ":80 evil", "/x", "400"},
		{"space in the host, for whoever takes every host", "GET", "other evil", "/x", "400"},
		{"absolute target for another host", "GET", testHost, "http://other.example.com/admin", "400"},
		{"absolute target for the same host", "GET", testHost, "http://" + testHost + "/v1/a", "200"},
		{"asterisk", "OPTIONS", testHost, "*", "400"},
		{"no path", "GET", testHost, "admin", "PROTOCOL_ERROR"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := askH2(t, w.addr, tt.method, tt.authority, tt.path); got != tt.want {
				t.Errorf("got %s, want %s; the API saw %q", got, tt.want, api.last())
			}
		})
	}
}

// G-01: net/http overlooks the length of a request in HTTP/2 that has no body. In
// HTTP/1 it would make the next call on that connection the body of this one.
func TestG01LengthWithoutABodyInHTTP2(t *testing.T) {
	api, addr := newRawAPI(t)
	w := newWorld(t, func(w *world) { w.upstream = addr }).serve()
	for _, method := range []string{"GET", "DELETE", "HEAD", "OPTIONS", "POST", "PROPFIND"} {
		for _, length := range []string{"5", "0", "00", "-0", "x", "0, 5", ""} {
			t.Run(method+" "+length, func(t *testing.T) {
				want := "400"
				if length == "0" {
					want = "200"
				}
				if got := askH2(t, w.addr, method, testHost, "/v1/a", [2]string{"content-length", length}); got != want {
					t.Errorf("got %s, want %s; the API saw %q", got, want, api.last())
				}
			})
		}
	}
	if got := askH2(t, w.addr, "GET", testHost, "/v1/a", [2]string{"content-length", "0"}, [2]string{"content-length", "5"}); got != "400" {
		t.Errorf("two lengths: got %s, want 400; the API saw %q", got, api.last())
	}
}
