package bytes

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// caseHeader carries the number from which the API makes its answer.
const caseHeader = "X-Case"

// startAPI runs an API that writes its answers by hand, in every framing that
// HTTP/1 knows, also those that no library would choose. The same case gets the
// same answer.
func startAPI(t *testing.T) (addr string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go serve(conn)
		}
	}()
	return listener.Addr().String()
}

// serve answers the requests of one connection.
func serve(conn net.Conn) {
	defer conn.Close()
	in := bufio.NewReaderSize(conn, 64<<10)
	for {
		r, err := http.ReadRequest(in)
		if err != nil {
			return
		}
		number, err := strconv.ParseUint(r.Header.Get(caseHeader), 10, 64)
		if err != nil { // not from the test: offkey may ask on its own account
			_, _ = io.WriteString(conn, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
			return
		}
		if r.Header.Get("Expect") != "" {
			_, _ = io.WriteString(conn, "HTTP/1.1 100 Continue\r\n\r\n")
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		w := &reply{rand: rand.New(rand.NewPCG(number, 1)), method: r.Method, seen: seen(r, body)}
		w.make()
		if _, err := conn.Write(w.out.Bytes()); err != nil || w.close {
			return
		}
	}
}

// seen is what the API received: the line, the headers that a caller can send,
// the body and the trailers.
func seen(r *http.Request, body []byte) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s host=%s length=%d encoding=%v\n", r.Method, r.RequestURI, r.Host, r.ContentLength, r.TransferEncoding)
	for _, name := range slices.Sorted(maps.Keys(r.Header)) {
		// RFC 9110 §7.6.1 and what a proxy says of the hop before it.
		if !slices.Contains(hopByHop, name) && !strings.HasPrefix(name, "X-Forwarded-") {
			fmt.Fprintf(&b, "%s=%q\n", name, r.Header[name])
		}
	}
	sum := sha256.Sum256(body)
	fmt.Fprintf(&b, "body=%s\n", hex.EncodeToString(sum[:]))
	for _, name := range slices.Sorted(maps.Keys(r.Trailer)) {
		fmt.Fprintf(&b, "trailer %s=%q\n", name, r.Trailer[name])
	}
	return b.String()
}

// reply is one answer in the making.
type reply struct {
	rand   *rand.Rand
	method string
	seen   string
	out    bytes.Buffer
	close  bool
}

var statuses = []int{200, 200, 200, 200, 201, 202, 203, 206, 207, 299, 300, 400, 401, 402, 403, 404, 405, 406, 409, 410, 412, 415, 418, 422, 425, 428, 429, 451, 499, 500, 501, 502, 503, 504, 511, 599}

// kinds are the sorts of answers; a sort that is there twice is more frequent.
var kinds = []func(*reply){
	(*reply).plain, (*reply).plain, (*reply).plain, (*reply).plain, (*reply).echo, (*reply).echo, (*reply).echo, (*reply).chunked, (*reply).chunked,
	(*reply).empty, (*reply).noContent, (*reply).notModified, (*reply).interim, (*reply).gzipped, (*reply).untyped, (*reply).untilClose,
	(*reply).http10, (*reply).large, (*reply).broken, (*reply).redirect, (*reply).events,
}

func (w *reply) make() { kinds[w.rand.IntN(len(kinds))](w) }

func (w *reply) status() int          { return statuses[w.rand.IntN(len(statuses))] }
func (w *reply) sometimes(n int) bool { return w.rand.IntN(n) == 0 }

func (w *reply) head(version string, status int, fields ...string) {
	reason := http.StatusText(status)
	fmt.Fprintf(&w.out, "%s %d %s\r\n", version, status, reason)
	for _, field := range fields {
		if field != "" {
			w.out.WriteString(field + "\r\n")
		}
	}
}

// fields are headers of all sorts, each of them one that some API sends.
func (w *reply) fields(contentType string) {
	add := func(format string, args ...any) { fmt.Fprintf(&w.out, format+"\r\n", args...) }
	if contentType != "" {
		add("Content-Type: %s", contentType)
	}
	if !w.sometimes(4) {
		add("Date: Tue, %02d Nov 2026 08:49:37 GMT", 10+w.rand.IntN(10))
	}
	for range w.rand.IntN(4) {
		add("Set-Cookie: s%d=%x; Path=/; HttpOnly", w.rand.IntN(9), w.rand.Uint32())
	}
	for _, field := range []string{
		"server: some/1.0 (thing)", "X-Empty:", "x-lower-case: yes", "X_Under_Score: yes", "Cache-Control: max-age=60, private",
		"Vary: Accept", "vary: Accept-Encoding", "WWW-Authenticate: Basic realm=\"a, b\"", "WWW-Authenticate: Bearer error=\"invalid_token\"",
		"Link: </a>; rel=\"next\"", "Via: 1.1 cache", "X-Spaces:   two  inside \t", "X-Latin: caf\xe9", "X-Utf8: caf\xc3\xa9", "X-Quote: \"\\\"\"",
		"Age: 12", "ETag: W/\"x\"", "Last-Modified: Tue, 10 Nov 2026 08:49:37 GMT", "Accept-Ranges: bytes", "Allow: GET, HEAD",
		"Retry-After: 3", "Deprecation: @1799971200", "Sunset: Thu, 30 Sep 2027 00:00:00 GMT", "Strict-Transport-Security: max-age=1",
		"Access-Control-Allow-Origin: *", "X-Content-Type-Options: nosniff", "Content-Language: de", "Alt-Svc: h3=\":443\"",
		"Keep-Alive: timeout=5", "X-Long: " + strings.Repeat("long ", 800), "Content-Disposition: attachment; filename=\"\xe4.txt\"", "X-Offkey-Client: the-apis-own",
		"Warning: 199 - \"a\"", "Referrer-Policy: origin", "X-Request-Id: 7",
	} {
		if w.sometimes(6) {
			add("%s", field)
		}
	}
	if w.sometimes(8) {
		add("Connection: X-Hop")
		add("X-Hop: for the next one only")
	}
}

func (w *reply) text(max int) []byte {
	const letters = "abcdefghijklmnopqrstuvwxyz \n{}\":,0123456789\x00\xff"
	body := make([]byte, w.rand.IntN(max))
	for i := range body {
		body[i] = letters[w.rand.IntN(len(letters))]
	}
	return body
}

// end writes the body after a Content-Length; an answer to HEAD has the length
// and no body.
func (w *reply) end(body []byte) {
	fmt.Fprintf(&w.out, "Content-Length: %d\r\n\r\n", len(body))
	if w.method != http.MethodHead {
		w.out.Write(body)
	}
}

func (w *reply) plain() {
	w.head("HTTP/1.1", w.status())
	w.fields("application/json")
	w.end(w.text(3000))
}

func (w *reply) echo() {
	w.head("HTTP/1.1", 200)
	w.fields("text/plain; charset=utf-8")
	w.end([]byte(w.seen))
}

func (w *reply) empty() {
	w.head("HTTP/1.1", w.status())
	w.fields("")
	w.end(nil)
}

func (w *reply) chunked() {
	w.head("HTTP/1.1", w.status(), "Transfer-Encoding: chunked")
	w.fields("application/x-ndjson")
	w.chunks(w.text(9000))
}

// chunks writes body in chunks of any size, some with extensions, and trailers,
// some of them announced.
func (w *reply) chunks(body []byte) {
	trailers := []string{"X-Checksum: 17", "Grpc-Status: 0", "Grpc-Message: all went well", "x-twice: 1", "x-twice: 2"}[:w.rand.IntN(6)]
	if w.sometimes(2) {
		for _, trailer := range trailers {
			name, _, _ := strings.Cut(trailer, ":")
			fmt.Fprintf(&w.out, "Trailer: %s\r\n", name)
		}
	}
	w.out.WriteString("\r\n")
	if w.method == http.MethodHead {
		return
	}
	for len(body) > 0 {
		n := 1 + w.rand.IntN(min(len(body), 2000))
		extension := ""
		if w.sometimes(10) {
			extension = ";name=\"value\""
		}
		fmt.Fprintf(&w.out, "%x%s\r\n%s\r\n", n, extension, body[:n])
		body = body[n:]
	}
	w.out.WriteString("0\r\n")
	for _, trailer := range trailers {
		w.out.WriteString(trailer + "\r\n")
	}
	w.out.WriteString("\r\n")
}

func (w *reply) noContent() {
	w.head("HTTP/1.1", 204)
	w.fields("")
	if w.sometimes(3) {
		w.out.WriteString("Content-Length: 0\r\n") // superfluous, and frequent
	}
	w.out.WriteString("\r\n")
}

func (w *reply) notModified() {
	w.head("HTTP/1.1", 304, "ETag: \"x\"")
	contentType := ""
	if w.sometimes(2) {
		contentType = "text/html"
	}
	w.fields(contentType)
	if w.sometimes(2) {
		w.out.WriteString("Content-Length: 1234\r\n") // of the body that is not sent
	}
	w.out.WriteString("\r\n")
}

func (w *reply) interim() {
	for range 1 + w.rand.IntN(3) {
		w.head("HTTP/1.1", []int{102, 103, 103, 199}[w.rand.IntN(4)], "Link: </style.css>; rel=preload", "X-Early: "+strconv.Itoa(w.rand.IntN(9)))
		w.out.WriteString("\r\n")
	}
	w.plain()
}

func (w *reply) gzipped() {
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	_, _ = z.Write(w.text(5000))
	_ = z.Close()
	w.head("HTTP/1.1", 200, "Content-Encoding: gzip")
	if w.sometimes(2) {
		w.out.WriteString("Transfer-Encoding: chunked\r\n")
		w.fields("application/json")
		w.chunks(packed.Bytes())
		return
	}
	w.fields("application/json")
	w.end(packed.Bytes())
}

// untyped answers look like something, and nobody is to guess what.
func (w *reply) untyped() {
	w.head("HTTP/1.1", w.status())
	w.fields("")
	w.end([]byte([]string{"<!DOCTYPE html><title>x</title>", "\x89PNG\r\n\x1a\n", "{\"a\":1}", "%PDF-1.7", "plain"}[w.rand.IntN(5)]))
}

func (w *reply) untilClose() {
	w.close = true
	w.head("HTTP/1.1", w.status(), "Connection: close")
	w.fields("text/plain")
	w.out.WriteString("\r\n")
	if w.method != http.MethodHead {
		w.out.Write(w.text(6000))
	}
}

func (w *reply) http10() {
	w.close = true
	w.head("HTTP/1.0", w.status())
	w.fields("text/plain")
	if w.sometimes(2) {
		w.end(w.text(4000))
		return
	}
	w.out.WriteString("\r\n")
	if w.method != http.MethodHead {
		w.out.Write(w.text(4000))
	}
}

func (w *reply) large() {
	times := 1 + w.rand.IntN(300)
	if w.sometimes(20) {
		times *= 20
	}
	body := bytes.Repeat(w.text(400), times)
	if w.sometimes(2) {
		w.head("HTTP/1.1", 200, "Transfer-Encoding: chunked")
		w.fields("application/octet-stream")
		w.chunks(body)
		return
	}
	w.head("HTTP/1.1", 200)
	w.fields("application/octet-stream")
	w.end(body)
}

// broken answers promise more than they keep.
func (w *reply) broken() {
	w.close = true
	body := w.text(3000)
	if w.sometimes(2) || w.method == http.MethodHead {
		w.head("HTTP/1.1", 200, "Connection: close", fmt.Sprintf("Content-Length: %d", len(body)+1))
		w.fields("application/json")
		w.out.WriteString("\r\n")
		if w.method != http.MethodHead {
			w.out.Write(body)
		}
		return
	}
	w.head("HTTP/1.1", 200, "Transfer-Encoding: chunked")
	w.fields("application/json")
	fmt.Fprintf(&w.out, "\r\n%x\r\n%s", len(body)+1, body)
}

func (w *reply) redirect() {
	w.head("HTTP/1.1", []int{301, 302, 303, 307, 308}[w.rand.IntN(5)], "Location: "+[]string{"/elsewhere", "http://other.example/x?api_key=1", "//two/slashes", "?only=query"}[w.rand.IntN(4)])
	w.fields("text/html")
	w.end(w.text(200))
}

func (w *reply) events() {
	w.head("HTTP/1.1", 200, "Transfer-Encoding: chunked")
	w.fields("text/event-stream")
	w.chunks(bytes.Repeat([]byte("event: tick\ndata: {\"n\":1}\n\n"), 1+w.rand.IntN(20)))
}
