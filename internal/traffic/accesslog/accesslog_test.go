package accesslog

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var at = time.Date(2026, 11, 23, 12, 30, 5, 0, time.UTC)

func TestLinesOfEachFormat(t *testing.T) {
	tests := []struct {
		name   string
		format Format
		tail   string
		line   string
		want   Entry
	}{
		{"combined, of nginx", Combined, "", `203.0.113.7 - - [23/Nov/2026:12:30:05 +0000] "GET /v1/orders/7?a=b HTTP/1.1" 200 512 "-" "curl/8.7.1"`,
			Entry{Method: "GET", Target: "/v1/orders/7?a=b", Status: 200, UserAgent: "curl/8.7.1", Address: "203.0.113.7"}},
		{"combined, with a user and a zone", Combined, "", `2001:db8::1 - ana [23/Nov/2026:14:00:05 +0130] "POST /v1/orders HTTP/2.0" 201 0 "https://x/" "shop/1"`,
			Entry{Method: "POST", Target: "/v1/orders", Status: 201, UserAgent: "shop/1", Address: "2001:db8::1", User: "ana"}},
		{"combined, a user with spaces and brackets", Combined, "", `203.0.113.7 - ana [at] work [23/Nov/2026:12:30:05 +0000] "GET / HTTP/1.1" 200 1 "-" "-"`,
			Entry{Method: "GET", Target: "/", Status: 200, Address: "203.0.113.7", User: "ana [at] work"}},
		{"combined, with quotes as nginx escapes them", Combined, "", `203.0.113.7 - - [23/Nov/2026:12:30:05 +0000] "GET /a HTTP/1.1" 200 1 "-" "x \x22y\x22 \\z"`,
			Entry{Method: "GET", Target: "/a", Status: 200, UserAgent: `x "y" \z`, Address: "203.0.113.7"}},
		{"combined, with quotes as Apache escapes them", Combined, "", `203.0.113.7 - - [23/Nov/2026:12:30:05 +0000] "GET /a HTTP/1.1" 200 1 "-" "x \"y\""`,
			Entry{Method: "GET", Target: "/a", Status: 200, UserAgent: `x "y"`, Address: "203.0.113.7"}},
		{"combined, of Apache with the virtual host", Combined, "", `api.example.com:443 203.0.113.7 - - [23/Nov/2026:12:30:05 +0000] "GET /a HTTP/1.1" 200 1 "-" "x"`,
			Entry{Method: "GET", Target: "/a", Status: 200, UserAgent: "x", Address: "203.0.113.7"}},
		{"the common format", Combined, "", `203.0.113.7 - - [23/Nov/2026:12:30:05 +0000] "GET /a HTTP/1.0" 200 1`,
			Entry{Method: "GET", Target: "/a", Status: 200, Address: "203.0.113.7"}},
		{"a target with a space", Combined, "", `203.0.113.7 - - [23/Nov/2026:12:30:05 +0000] "GET /a b HTTP/1.1" 400 1 "-" "-"`,
			Entry{Method: "GET", Target: "/a b", Status: 400, Address: "203.0.113.7"}},
		{"combined with a tail", Combined, "header:X-API-Key,-,address,scheme,origin", `10.0.0.1 - - [23/Nov/2026:12:30:05 +0000] "GET /a HTTP/1.1" 200 1 "-" "x" "sk_1" 0.005 "203.0.113.7, 10.0.0.2" http "https://shop.example"`,
			Entry{Method: "GET", Target: "/a", Status: 200, UserAgent: "x", Address: "203.0.113.7", Values: [maxTail]Value{{"header:X-API-Key", "sk_1"}}, values: 1, Plain: true, Script: true}},
		{"a tail in nginx's words", Combined, `$http_x_api_key,$request_time,$remote_user`, `10.0.0.1 - - [23/Nov/2026:12:30:05 +0000] "GET /a HTTP/1.1" 200 1 "-" "x" "-" 0.005 ana`,
			Entry{Method: "GET", Target: "/a", Status: 200, UserAgent: "x", Address: "10.0.0.1", Names: [maxNames]string{"ana"}}},
		{"Caddy", JSON, "", `{"level":"info","ts":1795437005.0,"logger":"http.log.access","msg":"handled request","request":{"remote_ip":"203.0.113.7","remote_port":"1","client_ip":"203.0.113.7","proto":"HTTP/2.0","method":"GET","host":"api.example.com","uri":"/v1/orders?a=1","headers":{"User-Agent":["shop/1"],"X-Api-Key":["sk_1"],"Sec-Fetch-Mode":["cors"]},"tls":{"version":772}},"bytes_read":0,"user_id":"","duration":0.02,"size":5,"status":200,"resp_headers":{"Server":["Caddy"]}}`,
			Entry{Method: "GET", Target: "/v1/orders?a=1", Status: 200, UserAgent: "shop/1", Address: "203.0.113.7", Script: true,
				Header: http.Header{"User-Agent": {"shop/1"}, "X-Api-Key": {"sk_1"}, "Sec-Fetch-Mode": {"cors"}}}},
		{"Traefik", JSON, "", `{"ClientHost":"203.0.113.7","ClientUsername":"-","DownstreamStatus":403,"Duration":1,"RequestMethod":"PUT","RequestPath":"/v1/x","RequestScheme":"https","request_User-Agent":"shop/1","request_X-Api-Key":"sk_1","StartUTC":"2026-11-23T12:30:05Z","time":"2026-11-23T12:30:05Z","level":"info"}`,
			Entry{Method: "PUT", Target: "/v1/x", Status: 403, UserAgent: "shop/1", Address: "203.0.113.7", Header: http.Header{"User-Agent": {"shop/1"}, "X-Api-Key": {"sk_1"}}}},
		{"nginx in JSON", JSON, "", `{"time_iso8601":"2026-11-23T12:30:05+00:00","request":"GET /a?x=1 HTTP/1.1","status":"200","request_time":"0.005","remote_addr":"203.0.113.7","http_user_agent":"x","remote_user":"ana"}`,
			Entry{Method: "GET", Target: "/a?x=1", Status: 200, UserAgent: "x", Address: "203.0.113.7", User: "ana"}},
		{"AWS API Gateway", JSON, "", `{"requestTime":"23/Nov/2026:12:30:05 +0000","httpMethod":"GET","path":"/v1/a","status":"200","ip":"203.0.113.7","identity":{"apiKeyId":"k7","userAgent":"x"}}`,
			Entry{Method: "GET", Target: "/v1/a", Status: 200, UserAgent: "x", Address: "203.0.113.7", Names: [maxNames]string{"k7"}}},
		{"ECS", JSON, "", `{"@timestamp":"2026-11-23T12:30:05.000Z","http":{"request":{"method":"GET"},"response":{"status_code":200}},"url":{"path":"/v1/a","query":"b=1"},"user_agent":{"original":"x"},"source":{"ip":"203.0.113.7"}}`,
			Entry{Method: "GET", Target: "/v1/a?b=1", Status: 200, UserAgent: "x", Address: "203.0.113.7"}},
		{"Google's load balancer", JSON, "", `{"timestamp":"2026-11-23T12:30:05Z","httpRequest":{"requestMethod":"GET","requestUrl":"https://api.example.com/v1/a","status":200,"userAgent":"x","remoteIp":"203.0.113.7"}}`,
			Entry{Method: "GET", Target: "https://api.example.com/v1/a", Status: 200, UserAgent: "x", Address: "203.0.113.7"}},
		{"Kong", Kong, "", `{"request":{"method":"GET","uri":"/v1/a?b=1","url":"https://api:8443/v1/a","querystring":{"b":"1"},"headers":{"user-agent":"x","x-consumer-username":"acme"},"size":1},"response":{"status":200,"size":2,"headers":{}},"latencies":{"request":1},"consumer":{"id":"c1","username":"acme","custom_id":"7"},"authenticated_entity":{"id":"cred-1"},"client_ip":"203.0.113.7","started_at":1795437005000}`,
			Entry{Method: "GET", Target: "/v1/a?b=1", Status: 200, UserAgent: "x", Address: "203.0.113.7", Names: [maxNames]string{"cred-1", "acme", "7", "c1"},
				Header: http.Header{"User-Agent": {"x"}, "X-Consumer-Username": {"acme"}}}},
		{"Kong without a query in the URI", Kong, "", `{"request":{"method":"GET","uri":"/v1/a","url":"http://api:8000/v1/a","querystring":{"apikey":"sk_1"}},"response":{"status":200},"client_ip":"203.0.113.7","started_at":1795437005000}`,
			Entry{Method: "GET", Target: "/v1/a?apikey=sk_1", Status: 200, Address: "203.0.113.7", Plain: true}},
		{"Envoy", Envoy, "", `[2026-11-23T12:30:05.000Z] "POST /api/v1/locations HTTP/2" 204 - 154 0 226 100 "203.0.113.7, 10.0.0.1" "nsq2http" "cc21d9b0" "locations" "tcp://10.0.2.1:80"`,
			Entry{Method: "POST", Target: "/api/v1/locations", Status: 204, UserAgent: "nsq2http", Address: "203.0.113.7"}},
		{"Istio", Envoy, "", `[2026-11-23T12:30:05.000Z] "GET /v1/a HTTP/1.1" 200 - via_upstream - "-" 0 135 4 4 "203.0.113.7" "curl/8" "84961386" "httpbin" "127.0.0.1:80" inbound|8000|| 127.0.0.1:1 10.0.0.1:80 10.0.0.2:1 - default`,
			Entry{Method: "GET", Target: "/v1/a", Status: 200, UserAgent: "curl/8", Address: "203.0.113.7"}},
		{"ALB", ALB, "", `https 2026-11-23T12:30:05.000000Z app/my-lb/50dc6c495c0c9188 203.0.113.7:2817 10.0.0.1:80 0.086 0.048 0.037 200 200 0 57 "GET https://www.example.com:443/v1/a?b=1 HTTP/1.1" "curl/7.46.0" ECDHE-RSA-AES128-GCM-SHA256 TLSv1.2 arn:aws:x "Root=1-58337281" "www.example.com" "arn" 1 2018-07-02T22:22:48.364000Z "authenticate,forward" "-" "-" "10.0.0.1:80" "200" "-" "-"`,
			Entry{Method: "GET", Target: "https://www.example.com:443/v1/a?b=1", Status: 200, UserAgent: "curl/7.46.0", Address: "203.0.113.7:2817"}},
		{"ALB without TLS", ALB, "", `http 2026-11-23T12:30:05.000000Z app/my-lb/50dc6c495c0c9188 203.0.113.7:2817 10.0.0.1:80 0.000 0.001 0.000 200 200 34 366 "GET http://www.example.com:80/ HTTP/1.1" "curl/7.46.0" - - arn:aws:x "Root=1"`,
			Entry{Method: "GET", Target: "http://www.example.com:80/", Status: 200, UserAgent: "curl/7.46.0", Address: "203.0.113.7:2817", Plain: true}},
		{"an entry of HAR", HAR, "", `{"startedDateTime":"2026-11-23T13:30:05.000+01:00","request":{"method":"GET","url":"https://api.example.com/v1/a","headers":[{"name":":authority","value":"x"},{"name":"x-api-key","value":"sk_1"},{"name":"Origin","value":"https://shop.example"}]},"response":{"status":200}}`,
			Entry{Method: "GET", Target: "https://api.example.com/v1/a", Status: 200, Script: true, Header: http.Header{"X-Api-Key": {"sk_1"}, "Origin": {"https://shop.example"}}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p, err := NewParser(tt.format, tt.tail)
			if err != nil {
				t.Fatal(err)
			}
			var e Entry
			if err := p.Parse(tt.line, &e); err != nil {
				t.Fatal(err)
			}
			tt.want.At = at
			if diff := cmp.Diff(tt.want, e, cmp.AllowUnexported(Entry{})); diff != "" {
				t.Error(diff)
			}
			if tt.format != HAR {
				if f, ok := Detect([]byte(tt.line + "\n" + tt.line[:10])); !ok || f != tt.format {
					t.Errorf("it is taken for %q, %v", f, ok)
				}
			}
		})
	}
}

// TestWhatIsNoLine breaks lines; what is said about them quotes nothing.
func TestWhatIsNoLine(t *testing.T) {
	const good = `203.0.113.7 - - [23/Nov/2026:12:30:05 +0000] "GET /a HTTP/1.1" 200 1 "-" "x"`
	tests := []struct {
		name   string
		format Format
		tail   string
		line   string
		want   error
	}{
		{"words", Combined, "", "SECRETSECRET", errShape},
		{"half a line", Combined, "", good[:25], errShape},
		{"a line without its end", Combined, "", good[:len(good)-1], errQuote},
		{"no time", Combined, "", strings.Replace(good, "23/Nov", "99/Nov", 1), errTime},
		{"a month that is none", Combined, "", strings.Replace(good, "Nov", "Nob", 1), errTime},
		{"no status", Combined, "", strings.Replace(good, " 200 ", " 2000 ", 1), errStatus},
		{"a field too few", Combined, "-,header:X-API-Key", good + " 1", errTail},
		{"a TLS handshake", Combined, "", strings.Replace(good, "GET /a HTTP/1.1", `\x16\x03\x01\x02`, 1), ErrNoRequest},
		{"an empty request", Combined, "", strings.Replace(good, "GET /a HTTP/1.1", "-", 1), ErrNoRequest},
		{"no JSON", JSON, "", "SECRET", errJSON},
		{"a JSON list", JSON, "", `["SECRET"]`, errJSON},
		{"JSON about something else", JSON, "", `{"ts":1795437005,"msg":"started","secret":"SECRET"}`, errMissing},
		{"no JSON of Kong", Kong, "", `{"request":"SECRET"}`, errJSON},
		{"half of Envoy", Envoy, "", `[2026-11-23T12:30:05.000Z] "GET /SECRET HTTP/2" 204`, errShape},
		{"a caller of Envoy that left", Envoy, "", `[2026-11-23T12:30:05.000Z] "GET /SECRET HTTP/2" 0 DC 0 0 1 - "-" "-" "-" "-" "-"`, ErrNoRequest},
		{"half of ALB", ALB, "", `https 2026-11-23T12:30:05.000000Z app/SECRET`, errShape},
		{"no request of ALB", ALB, "", `http 2026-11-23T12:30:05.000000Z app/x 203.0.113.7:2817 - -1 -1 -1 400 - 0 0 "- http://x:80- -" "-" - - - "-"`, ErrNoRequest},
		{"no entry of HAR", HAR, "", "no entry", errJSON},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p, err := NewParser(tt.format, tt.tail)
			if err != nil {
				t.Fatal(err)
			}
			var e Entry
			err = p.Parse(tt.line, &e)
			if !errors.Is(err, tt.want) {
				t.Errorf("%v, want %v", err, tt.want)
			}
			if err != nil && strings.Contains(err.Error(), "SECRET") {
				t.Errorf("the line is quoted: %v", err)
			}
		})
	}
}

func TestTails(t *testing.T) {
	for _, tail := range []string{"X-API-Key", "header:", "header:a b", strings.Repeat("-,", maxTail) + "-"} {
		if _, err := NewParser(Combined, tail); err == nil {
			t.Errorf("%q is taken", tail)
		}
	}
	if _, err := NewParser(JSON, "header:X-API-Key"); err == nil {
		t.Error("a tail of JSON is taken")
	}
	if _, err := NewParser("apache", ""); err == nil {
		t.Error("a format that is none is taken")
	}
}

func TestDetectIsSureOrSaysNothing(t *testing.T) {
	for _, head := range []string{"", "\n\n", "hello world", "{}", `{"a":1}` + "\n", "{\"log\":1", "time,method,path\n1,GET,/", `{"level":"info","msg":"x"}` + "\n"} {
		if f, ok := Detect([]byte(head)); ok {
			t.Errorf("%q is taken for %s", head, f)
		}
	}
	if f, ok := Detect([]byte("{\n  \"log\": {\n    \"version\": \"1.2\",\n    \"creator\": {")); f != HAR || !ok {
		t.Errorf("an archive is taken for %q, %v", f, ok)
	}
}

func TestArchive(t *testing.T) {
	const entry = `{"startedDateTime":"2026-11-23T12:30:05Z","time":1,"request":{"method":"GET","url":"https://x/a","headers":[],"cookies":[]},"response":{"status":200,"content":{"text":"SECRET"}}}`
	lines, err := io.ReadAll(NewArchive(strings.NewReader(`{"log":{"version":"1.2","pages":[{"id":1}],"entries":[` + entry + `,7,` + entry + `]}}`)))
	if err != nil {
		t.Fatal(err)
	}
	p, _ := NewParser(HAR, "")
	good := 0
	for line := range strings.Lines(string(lines)) {
		var e Entry
		if p.Parse(strings.TrimSuffix(line, "\n"), &e) == nil {
			good++
		}
	}
	if good != 2 || strings.Count(string(lines), "\n") != 3 || strings.Contains(string(lines), "SECRET") {
		t.Errorf("%d good entries of\n%s", good, lines)
	}
	for _, broken := range []string{"", "[]", `{"log":[]}`, `{"log":{"entries":7}}`, `{"log":{"entries":[{"SECRET`, `{"log":{"entries":[SECRET]}}`} {
		if _, err := io.ReadAll(NewArchive(strings.NewReader(broken))); err == nil || strings.Contains(err.Error(), "SECRET") {
			t.Errorf("%q gives %v", broken, err)
		}
	}
}

func TestLines(t *testing.T) {
	long := strings.Repeat("x", 3*MaxLine)
	tests := []struct {
		name, text string
		whole      bool
		want       []string
		offset     int
	}{
		{"lines", "a\nb\n", false, []string{"a", "b"}, 4},
		{"line ends of Windows", "a\r\n\r\nb\r\n", false, []string{"a", "", "b"}, 8},
		{"the last without an end is left", "a\nb", false, []string{"a"}, 2},
		{"and taken once the log has ended", "a\nb", true, []string{"a", "b"}, 3},
		{"nothing", "", true, nil, 0},
		{"too long a line", "a\n" + long + "\nb\n", false, []string{"a", "long", "b"}, len(long) + 5},
		{"too long a line at the end", "a\n" + long, true, []string{"a", "long"}, len(long) + 2},
		{"longer than a chunk", strings.Repeat("y", MaxLine) + "\nb\n", false, []string{strings.Repeat("y", MaxLine), "b"}, MaxLine + 3},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := NewLines(&slow{tt.text})
			l.Whole = tt.whole
			var got []string
			for {
				line, err := l.Next()
				if err == io.EOF {
					break
				}
				if errors.Is(err, ErrLong) {
					line = "long"
				} else if err != nil {
					t.Fatal(err)
				}
				got = append(got, line)
				if mark := l.Mark(20); mark == "" || !strings.HasSuffix(tt.text[:l.Offset], mark) {
					t.Errorf("mark %q does not stand before %d", mark, l.Offset)
				}
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
			if l.Offset != int64(tt.offset) || l.Number != int64(len(tt.want)) {
				t.Errorf("offset %d, line %d, want %d and %d", l.Offset, l.Number, tt.offset, len(tt.want))
			}
		})
	}
}

// slow gives little at a time.
type slow struct{ text string }

func (s *slow) Read(p []byte) (int, error) {
	if s.text == "" {
		return 0, io.EOF
	}
	n := copy(p[:min(len(p), 7919)], s.text)
	s.text = s.text[n:]
	return n, nil
}

func FuzzCombined(f *testing.F) { fuzzFormat(f, Combined, "header:X-API-Key,-,address") }
func FuzzJSON(f *testing.F)     { fuzzFormat(f, JSON, "") }
func FuzzKong(f *testing.F)     { fuzzFormat(f, Kong, "") }
func FuzzEnvoy(f *testing.F)    { fuzzFormat(f, Envoy, "") }
func FuzzALB(f *testing.F)      { fuzzFormat(f, ALB, "") }
func FuzzHAR(f *testing.F)      { fuzzFormat(f, HAR, "") }

// fuzzFormat holds that a line is either refused or an observation that a
// traffic file may hold, and that an apikey in a header or query is not in it.
func fuzzFormat(f *testing.F, format Format, tail string) {
	for _, seed := range []string{
		`203.0.113.7 - - [23/Nov/2026:12:30:05 +0000] "GET /a?api_key=topsecret1 HTTP/1.1" 200 1 "-" "x" "topsecret1" 1 "10.0.0.1, x"`,
		`203.0.113.7 - a\x22 [23/Nov/2026:12:30:05 +0000] "GET http://x/%zz HTTP/1.1" 200 1 "-" "\x22" "-" "" -`,
		`{"ts":1795437005.0,"request":{"client_ip":"203.0.113.7","method":"GET","uri":"/v1/orders?api_key=topsecret1","headers":{"User-Agent":["topsecret1"],"X-Api-Key":["topsecret1"]}},"status":200}`,
		`{"request":{"method":"GET","uri":"/v1/a","querystring":{"api_key":"topsecret1"},"headers":{"x-api-key":["a"]}},"response":{"status":200},"consumer":{"id":"c1"},"client_ip":"203.0.113.7","started_at":1795437005000}`,
		`[2026-11-23T12:30:05.000Z] "POST /api?api_key=topsecret1 HTTP/2" 204 - 154 0 226 100 "10.0.35.28" "topsecret1" "cc21d9b0" "locations" "tcp://10.0.2.1:80"`,
		`https 2026-11-23T12:30:05.000000Z lb 203.0.113.7:2817 - 1 2 3 200 200 0 57 "GET https://x:443/v1/a?api_key=topsecret1 HTTP/1.1" "curl/7.46.0" x`,
		`{"startedDateTime":"2026-11-23T13:30:05.000+01:00","request":{"method":"GET","url":"https://x/v1/a","headers":[{"name":"x-api-key","value":"topsecret1"}]},"response":{"status":200}}`,
	} {
		f.Add(seed)
	}
	p, err := NewParser(format, tail)
	if err != nil {
		f.Fatal(err)
	}
	a := NewAttributor(reader(f, "header:X-API-Key", "query:api_key"), newEveryone())
	a.QueryNames = true
	f.Fuzz(func(t *testing.T, line string) {
		var e Entry
		if p.Parse(line, &e) != nil {
			return
		}
		o, _, err := a.Observe(&e)
		if err != nil {
			return
		}
		if o.At.IsZero() || o.Method == "" || !strings.HasPrefix(o.Path, "/") || o.Status < 100 || o.Status > 599 {
			t.Fatalf("%q is read as %+v", line, o)
		}
		for _, s := range a.shown {
			if len(s.value) >= leastRepeated && (strings.Contains(o.UserAgent, s.value) || strings.Contains(o.Path, s.value)) && !strings.Contains("***", s.value) {
				t.Fatalf("%q is kept in %+v", s.value, o)
			}
		}
	})
}
