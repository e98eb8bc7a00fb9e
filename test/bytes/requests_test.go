package bytes

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
)

var methods = []string{"GET", "GET", "GET", "GET", "HEAD", "POST", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND", "REPORT", "PURGE"}

// targets are what callers ask for; none is cleaned on the way.
var targets = []string{
	"/", "/v1/orders", "/v1/orders/7", "/v1/orders/7/lines", "/v1/orders/", "/v1//orders", "//v1/orders", "/v1/./orders", "/v1/../v1/orders",
	"/v1/%6frders", "/v1/orders%2F7", "/v1/orders%2f7", "/v1/caf%C3%A9", "/v1/a+b", "/v1/a%20b", "/v1/orders;v=2", "/v1/(a)'!*$&,=:@~", "/v1/%00", "/v1/%25",
	"/v1/a|b", "/v1/a^b", "/v1/[x]", "/v1/{x}", "/v1/\"x\"", "/v1/<x>", "/v1/a`b", "/V1/ORDERS", "/v1/" + strings.Repeat("long/", 100), "/v1/a\\b", "//a|b",
}

var queries = []string{
	"", "", "", "?", "?a=1", "?a=1&b=2", "?a=1;b=2", "?a=%zz", "?a&b&&c", "?a=1&a=2", "?q=a+b%20c", "?api_key=kept-as-it-is", "?a=1&api_key=kept&b=2",
	"?api%5fkey=spelt", "?=x", "?a=b=c", "?a=/?", "?x=\"<>|", "?" + strings.Repeat("p=1&", 300), "?a=%E4", "?a=ä",
}

var hosts = []string{"api.example", "api.example:8443", "127.0.0.1:80", "[::1]:8080", "API.Example"}

var callerFields = []string{
	"User-Agent: curl/8.7", "user-agent: python-requests/2.32", "User-Agent:", "Accept: */*", "Accept: application/json", "Accept-Encoding: gzip, br", "Accept-Encoding: identity",
	"Accept-Language: de", "Cookie: a=1; b=2", "Cookie: c=3", "Origin: https://app.example", "Referer: https://app.example/?api_key=1", "If-None-Match: \"x\"", "If-Modified-Since: Tue, 10 Nov 2026 08:49:37 GMT",
	"Range: bytes=0-9", "X-Api-Version: 3", "x-lower: 1", "X-Twice: 1", "X-Twice: 2", "X-Empty:", "X-Latin: caf\xe9", "Idempotency-Key: 7", "Traceparent: 00-1-1-00", "Cache-Control: no-cache", "Pragma: no-cache",
	"Prefer: return=minimal", "X-HTTP-Method-Override: DELETE", "X_Under_Score: 1", "Via: 1.1 before", "Content-Language: de", "Max-Forwards: 3", "Priority: u=1", "DNT: 1", "Access-Control-Request-Method: PUT",
}

// credentials are sent by callers that have moved and by those that have not;
// none of these is offkey's own.
var credentials = []string{
	"", "", "X-API-Key: one-of-the-real-keys", "X-API-Key: another-of-the-real-keys", "x-api-key: one-of-the-real-keys", "X-API-Key: junk", "X-API-Key: one\r\nX-API-Key: two", "X-API-Key:",
	"Authorization: KEY one-of-the-real-keys", "Authorization: Bearer opaque-token", "Authorization: Bearer eyJhbGciOiJub25lIn0.e30.", "Authorization: Basic dXNlcjpwYXNz", "Authorization: Basic ###",
	"Authorization: Digest username=\"a\"", "Authorization: KEY", "Authorization: Bearer a b c", "Cookie: apikey=from-a-cookie",
}

// newRequest makes the request of a case. The same case makes the same one.
func newRequest(number uint64) request {
	r := rand.New(rand.NewPCG(number, 0))
	pick := func(from []string) string { return from[r.IntN(len(from))] }
	out := request{method: pick(methods)}
	var head strings.Builder
	fmt.Fprintf(&head, "%s %s%s HTTP/1.1\r\nHost: %s\r\n%s: %d\r\n", out.method, pick(targets), pick(queries), pick(hosts), caseHeader, number)
	if credential := pick(credentials); credential != "" {
		head.WriteString(credential + "\r\n")
	}
	for range r.IntN(6) {
		head.WriteString(pick(callerFields) + "\r\n")
	}
	if out.method == "POST" || out.method == "PUT" || out.method == "PATCH" || out.method == "REPORT" || r.IntN(20) == 0 {
		addBody(r, &out, &head)
	}
	head.WriteString("\r\n")
	out.head = head.String()
	return out
}

// addBody gives the request a body, in either framing, some large, some sent
// only when the API says so.
func addBody(r *rand.Rand, out *request, head *strings.Builder) {
	size := r.IntN(2000)
	if r.IntN(30) == 0 {
		size = 0
	}
	if r.IntN(60) == 0 {
		size = r.IntN(1 << 20)
	}
	body := make([]byte, size+7)
	for i := 0; i < size; i += 8 {
		binary.LittleEndian.PutUint64(body[i:], r.Uint64())
	}
	body = body[:size]
	head.WriteString("Content-Type: application/octet-stream\r\n")
	if size > 0 && r.IntN(10) == 0 {
		out.waits = true
		head.WriteString("Expect: 100-continue\r\n")
	}
	if r.IntN(3) > 0 {
		fmt.Fprintf(head, "Content-Length: %d\r\n", size)
		out.body = string(body)
		return
	}
	head.WriteString("Transfer-Encoding: chunked\r\n")
	trailer := r.IntN(3) == 0
	if trailer {
		head.WriteString("Trailer: X-Sum\r\n")
	}
	var b strings.Builder
	for len(body) > 0 {
		n := 1 + r.IntN(len(body))
		b.WriteString(strconv.FormatInt(int64(n), 16) + "\r\n")
		b.Write(body[:n])
		b.WriteString("\r\n")
		body = body[n:]
	}
	b.WriteString("0\r\n")
	if trailer {
		b.WriteString("X-Sum: 17\r\n")
	}
	b.WriteString("\r\n")
	out.body = b.String()
}
