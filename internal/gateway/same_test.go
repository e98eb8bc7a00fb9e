package gateway

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/offkey/offkey/internal/apikey"
	"github.com/offkey/offkey/internal/policy"
)

// shape is an answer as the caller sees it, without what belongs to the hop.
type shape struct {
	Status          int
	Header, Trailer http.Header
	Body            string
	Length          int64
	Err             string
}

// hopByHop belongs to a connection and not to the answer (RFC 9110 §7.6.1).
var hopByHop = []string{"Connection", "Keep-Alive", "Proxy-Connection", "Transfer-Encoding", "Te", "Upgrade", "X-Hop"}

func shapeOf(res *http.Response, err error) shape {
	if err != nil {
		return shape{Err: "no answer"}
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	s := shape{Status: res.StatusCode, Header: res.Header.Clone(), Trailer: res.Trailer, Body: string(body), Length: res.ContentLength}
	if err != nil {
		s.Err = "broken body"
	}
	for _, name := range hopByHop {
		s.Header.Del(name)
	}
	return s
}

// scriptedAPI answers as the query tells it: raw bytes over a hijacked
// connection, so that net/http adds nothing.
func scriptedAPI(rw http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	q, _ := url.ParseQuery(strings.ReplaceAll(r.URL.RawQuery, ";", "&"))
	answer := q.Get("answer")
	conn, buf, err := http.NewResponseController(rw).Hijack()
	if err != nil {
		return
	}
	defer conn.Close()
	head := strings.LastIndex(answer, "HTTP/1.") // of the last answer, behind interim ones
	if line := strings.IndexByte(answer[head:], '\n'); line > 0 && !strings.Contains(answer, "Connection:") {
		answer = answer[:head+line+1] + "Connection: close\n" + answer[head+line+1:]
	}
	_, _ = buf.WriteString(strings.ReplaceAll(answer, "\n", "\r\n"))
	if q.Has("echo") {
		fmt.Fprintf(buf, "%s %s %d %s %q", r.Method, r.RequestURI, len(body), r.Header.Get("X-Probe"), r.Header.Values("X-Twice"))
	}
	_ = buf.Flush()
}

// apiAnswers are answers of many kinds, as an API may write them.
var apiAnswers = []string{
	"HTTP/1.1 200 OK\nContent-Length: 5\n\nhello",
	"HTTP/1.1 200 OK\nDate: Tue, 15 Nov 1994 08:12:31 GMT\nContent-Length: 0\n\n",
	"HTTP/1.1 200 Fine\nContent-Type: text/plain\nContent-Length: 2\n\n{}",
	"HTTP/1.1 200 OK\nContent-Length: 15\n\n<html>not typed",
	"HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n3\nabc\n0\n\n",
	"HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n0\n\n",
	"HTTP/1.1 200 OK\nTransfer-Encoding: chunked\nTrailer: X-Sum, X-More\n\n3\nabc\n0\nX-Sum: 1\nX-More: 2\n\n",
	"HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n3\nabc\n0\nX-Late: unannounced\n\n",
	"HTTP/1.1 200 OK\nConnection: close\n\nuntil the end",
	"HTTP/1.0 200 OK\n\nold",
	"HTTP/1.1 204 No Content\n\n",
	"HTTP/1.1 204 No Content\nContent-Length: 0\nX-A: b\n\n",
	"HTTP/1.1 304 Not Modified\nETag: \"a\"\nContent-Type: text/css\nContent-Length: 1234\nCache-Control: max-age=5\n\n",
	"HTTP/1.1 304 Not Modified\n\n",
	"HTTP/1.1 301 Moved Permanently\nLocation: /elsewhere?api_key=stays\nContent-Length: 3\n\nhop",
	"HTTP/1.1 307 Temporary Redirect\nLocation: http://other.example/\nContent-Length: 0\n\n",
	"HTTP/1.1 400 Bad Request\nContent-Length: 3\n\nbad",
	"HTTP/1.1 401 Unauthorized\nWWW-Authenticate: KEY realm=\"a\"\nWWW-Authenticate: Basic realm=\"b\"\nContent-Length: 2\n\nno",
	"HTTP/1.1 418 I'm a teapot\nContent-Length: 0\n\n",
	"HTTP/1.1 500 Internal Server Error\nContent-Type: application/json\nContent-Length: 2\n\n{}",
	"HTTP/1.1 503 Service Unavailable\nRetry-After: 3\nContent-Length: 0\n\n",
	"HTTP/1.1 599 Odd\nContent-Length: 0\n\n",
	"HTTP/1.1 200 OK\nSet-Cookie: a=1; Path=/\nSet-Cookie: b=2\nSet-Cookie: a=3\nContent-Length: 0\n\n",
	"HTTP/1.1 200 OK\nx-lower-case: v\nX-Empty:\nX-Spaces:   a  b  \nContent-Length: 0\n\n",
	"HTTP/1.1 200 OK\nX-Bytes: caf\xe9 \x80\nContent-Length: 0\n\n",
	"HTTP/1.1 200 OK\nVary: a\nVary: b, c\nCache-Control: public\nExpires: 0\nPragma: x\nAge: 4\nContent-Length: 0\n\n",
	"HTTP/1.1 200 OK\nServer: a/1\nVia: 1.1 b\nX-Powered-By: c\nDeprecation: @1\nLink: <a>; rel=x\nContent-Length: 0\n\n",
	"HTTP/1.1 200 OK\nContent-Encoding: gzip\nContent-Length: 3\n\n\x1f\x8b\x08",
	"HTTP/1.1 206 Partial Content\nContent-Range: bytes 0-1/9\nContent-Length: 2\n\nab",
	"HTTP/1.1 200 OK\nX-Offkey-Client: from the API\nX-Forwarded-For: from the API\nContent-Length: 0\n\n",
	"HTTP/1.1 200 OK\nX-Long: " + strings.Repeat("y", 20_000) + "\nContent-Length: 0\n\n",
	"HTTP/1.1 200 OK\nContent-Length: 70000\n\n" + strings.Repeat("0123456789", 7000),
	"HTTP/1.1 103 Early Hints\nLink: <s>\n\nHTTP/1.1 200 OK\nContent-Length: 2\n\nok",
	"HTTP/1.1 200 OK\nContent-Length: 50\n\ncut off",
	"HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\nff\ncut off",
	"HTTP/1.1 200 OK\nKeep-Alive: timeout=5\nConnection: X-Hop, close\nX-Hop: a\nContent-Length: 0\n\n",
	"HTTP/1.1 200 OK\nConnection: close\n\necho: ",
}

// TestObserveChangesNothing makes the same calls to an API directly and through
// the gateway, a few hundred of random shape, and compares all of the answers.
func TestObserveChangesNothing(t *testing.T) {
	w := newWorld(t, func(w *world) {
		w.options.Notice = Notice{Deprecated: w.now(), Sunset: w.now().Add(time.Hour), Page: "https://docs.example.com/"}
	}).serve()
	w.handle(scriptedAPI)
	w.setRules(policy.Ruleset{Stage: apikey.Observe, UpstreamVouches: true, Enforce: policy.Shadow}, "GET /v1/a -> read:a")
	w.know("sk_live_abcdefgh1234", apikey.Key{})
	random := rand.New(rand.NewPCG(1, 2))
	pick := func(from ...string) string { return from[random.IntN(len(from))] }
	call := func(base string, method, target, body string, chunked bool, h http.Header) shape {
		req, err := http.NewRequestWithContext(t.Context(), method, base, nil)
		if err != nil {
			t.Fatal(err)
		}
		if !setTarget(req.URL, policy.ParseTarget(target)) {
			t.Fatalf("%s cannot be sent", target)
		}
		req.Host = testHost
		req.Header = h.Clone()
		if body != "" {
			req.Body = io.NopCloser(strings.NewReader(body))
			req.ContentLength = int64(len(body))
			if chunked {
				req.ContentLength = -1
			}
		}
		plain := &http.Transport{DisableCompression: true, DisableKeepAlives: true, MaxResponseHeaderBytes: 1 << 20}
		return shapeOf(plain.RoundTrip(req))
	}
	for i := range 400 {
		answer := apiAnswers[i%len(apiAnswers)]
		method := pick("GET", "GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "PURGE", "get")
		target := pick("/", "/v1/a", "/v1/a/../b", "//c", "/d%2Fe", "/f;g", "/%e2%82%ac") + "?answer=" + url.QueryEscape(answer) + pick("", "&api_key=sk_live_abcdefgh1234", ";x=%zz", "&a&b=&=c")
		if strings.HasSuffix(answer, "echo: ") {
			target += "&echo"
		}
		h := http.Header{"User-Agent": {pick("curl/8", "", "python-requests/2")}, "X-Probe": {strconv.Itoa(i)}, "X-Twice": {"b", "a"}}
		switch random.IntN(6) {
		case 0:
			h.Set("X-API-Key", "sk_live_abcdefgh1234")
		case 1:
			h.Set("Authorization", pick("KEY sk_live_nobodyknows00", "Bearer something.opaque", "Basic dTpw", "Digest x"))
		case 2:
			h.Set("Cookie", "session=1; theme=dark")
		case 3:
			h["X-Api-Key"] = []string{"one", "two"}
		case 4:
			h.Set("X_Api_Key", "lookalike")
		}
		if random.IntN(4) == 0 {
			h.Set("Accept-Encoding", "gzip, br")
		}
		if random.IntN(5) == 0 {
			h.Set("If-None-Match", `"a"`)
		}
		body := pick("", "", "x", strings.Repeat("body ", 5000))
		chunked := random.IntN(2) == 0
		direct := call(w.upstream, method, target, body, chunked, h)
		through := call("http://"+w.addr, method, target, body, chunked, h)
		if through.Err == "" && direct.Err == "no answer" {
			continue // the API's answer was none; the gateway says so with a 502
		}
		if diff := cmp.Diff(direct, through); diff != "" {
			if len(diff) > 3000 {
				diff = diff[:3000]
			}
			t.Errorf("%s %.80q to %.120q (-direct +through):\n%s", method, target, answer, diff)
		}
	}
	rows := 0
	for _, r := range w.rows() {
		rows += int(r.Calls)
	}
	if rows != 400 {
		t.Errorf("%d of 400 calls were counted", rows)
	}
}

// TestManyCallsOnFewConnections keeps connections open on both sides, so that a
// byte too many or too few shows in the next answer.
func TestManyCallsOnFewConnections(t *testing.T) {
	w := newWorld(t, nil).serve()
	w.handle(func(rw http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if r.URL.Query().Has("chunked") {
			rw.(http.Flusher).Flush()
		}
		_, _ = rw.Write(append([]byte(r.URL.RawQuery+" "), body...))
	})
	random := rand.New(rand.NewPCG(3, 4))
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 4, DisableCompression: true}}
	defer client.CloseIdleConnections()
	for i := range 1000 {
		body := bytes.Repeat([]byte{byte('a' + i%26)}, random.IntN(5000))
		query := "n=" + strconv.Itoa(i)
		if i%3 == 0 {
			query += "&chunked"
		}
		res, err := client.Post("http://"+w.addr+"/?"+query, "text/plain", bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(res.Body)
		_ = res.Body.Close()
		if err != nil || !bytes.Equal(got, slices.Concat([]byte(query+" "), body)) {
			t.Fatalf("call %d: %d bytes, %v", i, len(got), err)
		}
	}
}
