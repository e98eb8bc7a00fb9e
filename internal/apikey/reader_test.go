package apikey

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// everywhere reads every kind of carrier.
var everywhere = []string{"header:X-API-Key", "authorization:KEY", "query:api_key", "cookie:apikey", "basic", "authorization:Token"}

func reader(t testing.TB, places ...string) *Reader {
	t.Helper()
	carriers := make([]Carrier, len(places))
	for i, s := range places {
		c, err := ParseCarrier(s)
		if err != nil {
			t.Fatal(err)
		}
		carriers[i] = c
	}
	r, err := NewReader(carriers)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// request makes headers of "Name: value" lines.
func request(lines ...string) http.Header {
	h := http.Header{}
	for _, line := range lines {
		name, value, _ := strings.Cut(line, ": ")
		h.Add(name, value)
	}
	return h
}

func basic(user, password string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
}

func jwt(header string) string {
	return base64.RawURLEncoding.EncodeToString([]byte(header)) + ".e30.c2lnbmF0dXJl"
}

// show writes what was presented, in the clear, for tables.
func show(r *Reader, p Presented) string {
	var words []string
	for _, f := range p.Found() {
		words = append(words, r.Carriers()[f.Carrier].String()+"="+f.Value.Reveal())
	}
	if p.Count > MaxValues {
		words = append(words, fmt.Sprintf("count=%d", p.Count))
	}
	if p.TokenScheme != "" {
		words = append(words, p.TokenScheme+"="+p.Token.Reveal())
	}
	for word, on := range map[string]bool{"duplicate": p.Duplicate, "oversize": p.Oversize, "lookalike": p.Lookalike, "spelling": p.Spelling, "other": p.OtherCredential} {
		if on {
			words = append(words, word)
		}
	}
	if _, sole := p.Sole(); sole {
		words = append(words, "sole")
	}
	return strings.Join(words, " ")
}

func TestRead(t *testing.T) {
	token := jwt(`{"alg":"ES256","typ":"at+jwt"}`)
	for _, tc := range []struct {
		name    string
		headers []string
		query   string
		want    string
	}{
		{"nothing", nil, "", ""},
		{"other headers and parameters", []string{"Accept: */*", "User-Agent: curl"}, "page=2", ""},
		{"header", []string{"X-API-Key: k1"}, "", "header:X-API-Key=k1 sole"},
		{"header in another case", []string{"x-api-KEY: k1"}, "", "header:X-API-Key=k1 sole"},
		{"empty header", []string{"X-API-Key: "}, "", ""},
		{"checklist_7 scheme as configured", []string{"Authorization: KEY k1"}, "", "authorization:KEY=k1 sole"},
		{"checklist_7 scheme in lower case", []string{"Authorization: key k1"}, "", "authorization:KEY=k1 sole"},
		{"checklist_7 scheme in mixed case", []string{"Authorization: tOKEN k1"}, "", "authorization:Token=k1 sole"},
		{"several spaces and a tab before the value", []string{"Authorization: KEY  \t k1"}, "", "authorization:KEY=k1 sole"},
		{"value with a space", []string{"Authorization: KEY k1 k2"}, "", "authorization:KEY=k1 k2 spelling"},
		{"scheme without a value", []string{"Authorization: KEY"}, "", "other"},
		{"another scheme", []string{"Authorization: Digest username=x"}, "", "other"},
		{"bare value", []string{"Authorization: k1"}, "", "other"},
		{"query", nil, "a=1&api_key=k1", "query:api_key=k1 sole"},
		{"query, form-decoded", nil, "api%5fkey=k%31+x%2By", "query:api_key=k1 x+y sole"},
		{"query after a semicolon", nil, "a=1;api_key=k1", "query:api_key=k1 sole"},
		{"query without a value", nil, "api_key=&a=1", ""},
		{"cookie", []string{"Cookie: apikey=k1"}, "", "cookie:apikey=k1 sole"},
		{"cookie, quoted and escaped", []string{`Cookie: apikey="k%31"`}, "", "cookie:apikey=k1 sole"},
		{"cookie, plus is a plus", []string{"Cookie: apikey=k+1"}, "", "cookie:apikey=k+1 sole"},
		{"cookie among others", []string{"Cookie: a=1; apikey=k1; b"}, "", "cookie:apikey=k1 other"},
		{"other cookies only", []string{"Cookie: session=1"}, "", "other"},
		{"empty cookies", []string{"Cookie: ; "}, "", ""},
		{"Basic user", []string{"Authorization: " + basic("k1", "")}, "", "basic=k1 sole"},
		{"Basic user with a password", []string{"Authorization: " + basic("k1", "x:y")}, "", "basic=k1 sole"},
		{"Basic in lower case without padding", []string{"Authorization: basic azE6"}, "", "basic=k1 sole"},
		{"Basic without a user", []string{"Authorization: " + basic("", "k1")}, "", "other"},
		{"Basic that does not decode", []string{"Authorization: Basic ***"}, "", "spelling other"},
		{"space around a value, which some servers cut off", []string{"Cookie: apikey=%20k1%0A"}, "api_key=+k2%00", "query:api_key=k2 cookie:apikey=k1"},
		{"space and no value", nil, "api_key=+%20", ""},
		{"access token", []string{"Authorization: Bearer " + token}, "", "Bearer=" + token},
		{"checklist_7 bearer in capitals", []string{"Authorization: BEARER " + token}, "", "Bearer=" + token},
		{"opaque token", []string{"Authorization: Bearer abc"}, "", "Bearer=abc"},
		{"DPoP token", []string{"Authorization: dpop " + token, "DPoP: x"}, "", "DPoP=" + token},
		{"checklist_168 a token in the query is not read", nil, "access_token=" + token, ""},
		{"token beside an apikey", []string{"Authorization: Bearer abc", "X-API-Key: k1"}, "", "header:X-API-Key=k1 Bearer=abc"},
		{"two carriers", []string{"X-API-Key: k1"}, "api_key=k2", "header:X-API-Key=k1 query:api_key=k2"},
		{"G-14 two header lines", []string{"X-API-Key: k1", "X-API-Key: k2"}, "", "header:X-API-Key=k1 header:X-API-Key=k2 duplicate"},
		{"G-14 two equal header lines", []string{"X-API-Key: k1", "X-API-Key: k1"}, "", "header:X-API-Key=k1 header:X-API-Key=k1 duplicate"},
		{"G-14 two header lines, one empty", []string{"X-API-Key: ", "X-API-Key: k1"}, "", "header:X-API-Key=k1 duplicate"},
		{"G-14 two Authorization lines", []string{"Authorization: KEY k1", "Authorization: Bearer abc"}, "", "authorization:KEY=k1 Bearer=abc duplicate"},
		{"G-14 two parameters", nil, "api_key=k1&api%5Fkey=k2", "query:api_key=k1 query:api_key=k2 duplicate"},
		{"G-14 two parameters, one empty", nil, "api_key=k1&api_key", "query:api_key=k1 duplicate"},
		{"G-14 two cookies", []string{"Cookie: apikey=k1; apikey=k1"}, "", "cookie:apikey=k1 cookie:apikey=k1 duplicate"},
		{"G-14 two cookies on two lines", []string{"Cookie: apikey=k1", "Cookie: apikey=k2"}, "", "cookie:apikey=k1 cookie:apikey=k2 duplicate"},
		{"more than are kept", nil, "api_key=1&api_key=2&api_key=3&api_key=4&api_key=5",
			"query:api_key=1 query:api_key=2 query:api_key=3 query:api_key=4 count=5 duplicate"},
		{"G-10 underscores in a header", []string{"X_API_Key: k1"}, "", "lookalike"},
		{"G-10 dots in a header", []string{"X.Api.Key: k1"}, "", "lookalike"},
		{"G-10 lookalike beside the header", []string{"X-API_Key: k1", "X-API-Key: k2"}, "", "header:X-API-Key=k2 lookalike"},
		{"G-10 parameter in another case", nil, "API_KEY=k1", "lookalike"},
		{"G-10 parameter with dashes", nil, "api-key=k1", "lookalike"},
		{"G-10 parameter as an array", nil, "api_key[]=k1", "lookalike"},
		{"G-10 parameter as an encoded array", nil, "api.key%5B0%5D=k1", "lookalike"},
		{"G-10 parameter after a space", nil, "+api_key=k1", "lookalike"},
		{"G-10 parameter after a second question mark", nil, "?api_key=k1", "lookalike"},
		{"G-10 cookie in another case", []string{"Cookie: ApiKey=k1"}, "", "lookalike other"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := reader(t, everywhere...)
			got := strings.Fields(show(r, r.Read(request(tc.headers...), tc.query)))
			if diff := cmp.Diff(sorted(strings.Fields(tc.want)), sorted(got)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func sorted(words []string) map[string]int {
	m := map[string]int{}
	for _, w := range words {
		m[w]++
	}
	return m
}

func TestReadBearer(t *testing.T) {
	for _, tc := range []struct{ name, value, want string }{
		{"an ordinary key", "k1", "authorization:Bearer=k1 sole"},
		{"a signed token", jwt(`{"alg":"ES256"}`), "token"},
		{"a token with white space in its header", jwt("{\n \"typ\":\"JWT\", \"alg\":\"none\"}"), "token"},
		{"an encrypted token", jwt(`{"alg":"dir","enc":"A256GCM"}`) + ".a.b", "token"},
		{"a token with a long header", jwt(`{"alg":"ES256","x5c":"` + strings.Repeat("x", 2000) + `"}`), "token"},
		{"three parts without JSON", "aaa.bbb.ccc", "key"},
		{"three parts whose JSON names no algorithm", jwt(`{"typ":"JWT"}`), "key"},
		{"three parts whose JSON is cut", jwt(`{"alg":"ES256"`), "key"},
		{"three parts with a foreign character", jwt(`{"alg":"ES256"}`) + "+", "key"},
		{"SendGrid's form", "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", "key"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := reader(t, "authorization:Bearer")
			want := tc.want
			switch want {
			case "token":
				want = "Bearer=" + tc.value
			case "key":
				want = "authorization:Bearer=" + tc.value + " sole"
			}
			if got := show(r, r.Read(request("Authorization: bearer "+tc.value), "")); got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
	t.Run("a pattern tells keys from opaque tokens", func(t *testing.T) {
		r, err := NewReader([]Carrier{{Kind: InAuthorization, Name: "bearer", Pattern: regexp.MustCompile(`^sk_`)}})
		if err != nil {
			t.Fatal(err)
		}
		for value, want := range map[string]string{
			"sk_1":                 "authorization:bearer=sk_1 sole",
			"opaque":               "Bearer=opaque",
			jwt(`{"alg":"ES256"}`): "Bearer=" + jwt(`{"alg":"ES256"}`),
		} {
			if got := show(r, r.Read(request("Authorization: Bearer "+value), "")); got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		}
	})
}

func TestReadBareAuthorization(t *testing.T) {
	r := reader(t, "header:Authorization", "authorization:KEY")
	token := jwt(`{"alg":"ES256"}`)
	for line, want := range map[string]string{
		"k1":              "header:Authorization=k1 sole",
		" k1 ":            "header:Authorization=k1 sole",
		"KEY k1":          "authorization:KEY=k1 sole",
		"KEY":             "other",
		"Bearer k1":       "Bearer=k1",
		"Digest a=1":      "other",
		token:             "other",
		"":                "",
		basic("k1", "pw"): "other",
	} {
		if got := show(r, r.Read(request("Authorization: "+line), "")); got != want {
			t.Errorf("%q: got %q, want %q", line, got, want)
		}
	}
}

func TestReadSizes(t *testing.T) {
	r := reader(t, everywhere...)
	for _, n := range []int{1, 255, MaxLength, MaxLength + 1, 1 << 20} {
		k := strings.Repeat("k", n)
		escaped := strings.Repeat("%6b", n)
		for name, p := range map[string]Presented{
			"header":        r.Read(request("X-API-Key: "+k), ""),
			"authorization": r.Read(request("Authorization: KEY "+k), ""),
			"basic":         r.Read(request("Authorization: "+basic(k, "")), ""),
			"query":         r.Read(nil, "api_key="+k),
			"query escaped": r.Read(nil, "api_key="+escaped),
			"cookie":        r.Read(request("Cookie: apikey="+k), ""),
		} {
			fits := n <= MaxLength
			if p.Oversize == fits || (p.Count == 1) != fits || (fits && p.Values[0].Value.Reveal() != k) {
				t.Errorf("%s of %d bytes: oversize %v, count %d", name, n, p.Oversize, p.Count)
			}
		}
	}
}

func TestRemove(t *testing.T) {
	token := jwt(`{"alg":"ES256"}`)
	for _, tc := range []struct {
		name        string
		headers     []string
		query       string
		wantHeaders []string
		wantQuery   string
	}{
		{"header", []string{"X-API-Key: k", "Accept: */*"}, "a=1", []string{"Accept: */*"}, "a=1"},
		{"lookalike header", []string{"X_API.Key: k", "X-Other: 1"}, "", []string{"X-Other: 1"}, ""},
		{"authorization", []string{"Authorization: KEY k"}, "", nil, ""},
		{"token stays", []string{"Authorization: Bearer " + token, "X-API-Key: k"}, "", []string{"Authorization: Bearer " + token}, ""},
		{"token line stays beside ours", []string{"Authorization: KEY k", "Authorization: Bearer " + token}, "", []string{"Authorization: Bearer " + token}, ""},
		{"Basic", []string{"Authorization: " + basic("k", "p")}, "", nil, ""},
		{"cookie", []string{"Cookie: apikey=k"}, "", nil, ""},
		{"first cookie", []string{"Cookie: apikey=k; b=2;c"}, "", []string{"Cookie: b=2;c"}, ""},
		{"middle cookie", []string{"Cookie: a=1; apikey=k; b=2"}, "", []string{"Cookie: a=1; b=2"}, ""},
		{"other cookies keep their bytes", []string{"Cookie:  a=1 ;;b"}, "", []string{"Cookie:  a=1 ;;b"}, ""},
		{"G-17 query", nil, "a=%zz;api%5fkey=k&api_key=k&&b", nil, "a=%zz&&b"},
		{"lookalike parameter", nil, "API_KEY=k&a&api_key[]=k", nil, "a"},
		{"too long", []string{"X-API-Key: " + strings.Repeat("k", 2000)}, "", nil, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := reader(t, everywhere...)
			h := request(tc.headers...)
			before := h.Clone()
			shared := http.Header{}
			for name, lines := range h {
				shared[name] = lines
			}
			query := r.Remove(h, tc.query)
			if diff := cmp.Diff(request(tc.wantHeaders...), h); diff != "" || query != tc.wantQuery {
				t.Errorf("query %q, want %q; headers %s", query, tc.wantQuery, diff)
			}
			if diff := cmp.Diff(before, shared); diff != "" {
				t.Errorf("wrote into a shared slice: %s", diff)
			}
		})
	}
}

func TestRedact(t *testing.T) {
	r := reader(t, everywhere...)
	for in, want := range map[string]string{
		"":                                     "",
		"/v1/orders":                           "/v1/orders",
		"/v1/orders?":                          "/v1/orders?",
		"/v1/orders?a=1;b&&c=%zz":              "/v1/orders?a=1;b&&c=%zz",
		"/v1/orders?api_key=s3cret":            "/v1/orders?api_key=[apikey]",
		"/v1/orders?a=1&api%5Fkey=s3cret&b":    "/v1/orders?a=1&api%5Fkey=[apikey]&b",
		"/v1/orders?api_key=[8bytes]&a":        "/v1/orders?api_key=[apikey]&a",
		"/v1?api_key=s3cret#x":                 "/v1?api_key=[apikey]",
		"/v1?api_key=s3cret?x":                 "/v1?api_key=[apikey]",
		"/v1?API-KEY=s3cret;api_key[]=s3cret":  "/v1?API-KEY=[apikey];api_key[]=[apikey]",
		"/v1;api_key=s3cret/x":                 "/v1;api_key=[apikey]",
		"/v1%3Fa%3D1%26api_key%3Ds3cret":       "/v1%3Fa%3D1%26api_key=[apikey]",
		"/v1#api_key=s3cret?a=1":               "/v1#api_key=[apikey]?a=1",
		"http://s3cret@api.example/v1?a=1":     "http://[apikey]@api.example/v1?a=1",
		"http://api.example/v1?api_key=s3cret": "http://api.example/v1?api_key=[apikey]",
	} {
		if got := r.Redact(in); got != want {
			t.Errorf("Redact(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestPresentedNeverPrints(t *testing.T) {
	r := reader(t, "header:X-API-Key")
	p := r.Read(request("X-API-Key: s3cret-key", "Authorization: Bearer s3cret-token"), "")
	if p.Count != 1 || p.TokenScheme != "Bearer" {
		t.Fatal("nothing to hide")
	}
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Info("call", "presented", p, "found", p.Found())
	asJSON, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	for how, s := range map[string]string{
		"%v": fmt.Sprintf("%v", p), "%+v": fmt.Sprintf("%+v", &p), "%#v": fmt.Sprintf("%#v", p), "slice": fmt.Sprintf("%v", p.Found()),
		"%x": fmt.Sprintf("%x", p.Values[0]), "json": string(asJSON), "slog": log.String(),
	} {
		if strings.Contains(s, "s3cret") || strings.Contains(s, fmt.Sprintf("%x", "s3cret")) {
			t.Errorf("%s prints it: %s", how, s)
		}
	}
}

func FuzzReader(f *testing.F) {
	f.Add("KEY k1", "k1", "apikey=k1; a=1", "a=1&api_key=k1", "X_API_Key")
	f.Add(basic("k1", "x"), "", "apikey=\"%6b\"", "api%5fkey=k1;API_KEY=k2", "X-Api-Key")
	f.Add("Bearer "+jwt(`{"alg":"ES256"}`), "k1", ";;=", "&;%&=&api_key[]=1", "X.API.key")
	f.Add("k1", " ", "ApiKey=1", "?api_key=1", "Accept")
	f.Add("Basic az8_Pjo!", "", "apikey=\"k1", "api_key=+k1", "Accept")
	f.Fuzz(func(t *testing.T, authorization, header, cookie, query, name string) {
		places := append([]string{"header:Authorization", "authorization:Bearer"}, everywhere...)
		r := reader(t, places...)
		h := http.Header{"Authorization": {authorization, authorization}, "X-Api-Key": {header}, "Cookie": {cookie}}
		h.Add(name, header)

		p := r.Read(h, query)
		for _, found := range p.Found() {
			v := found.Value.Reveal()
			if v == "" || len(v) > MaxLength || found.Carrier < 0 || found.Carrier >= len(places) {
				t.Fatalf("found %q at %d", v, found.Carrier)
			}
		}
		for _, found := range r.OtherReadings(h) {
			if v := found.Value.Reveal(); v == "" || len(v) > MaxLength || found.Carrier < 0 || found.Carrier >= len(places) {
				t.Fatalf("guessed %q at %d", v, found.Carrier)
			}
		}
		query = r.Remove(h, query)
		if left := r.Read(h, query); left.Count != 0 || left.Oversize || left.Lookalike {
			t.Fatalf("after Remove there is %s in %q and %q", show(r, left), h, query)
		}
		if again := r.Remove(h, query); again != query {
			t.Fatalf("Remove twice: %q, then %q", query, again)
		}
	})
}

func FuzzRedact(f *testing.F) {
	f.Add("/v1/orders", "a=1", "b=2", "api_key")
	f.Add("/v1;x", "%zz;", "#", "API%5fkey")
	f.Add("http://u@h/", "", "?", "api_key[]")
	f.Fuzz(func(t *testing.T, path, before, after, name string) {
		const value = "Zq7-s3cret-Zq7"
		if strings.ContainsAny(name, "=&;") || strings.Contains(path, "?") {
			return
		}
		r := reader(t, everywhere...)
		target := path + "?" + before + "&" + name + "=" + value + "&" + after
		got := r.Redact(target)
		p := r.Read(nil, name+"="+value)
		if seen := p.Count > 0 || p.Lookalike; seen && strings.Contains(got, value) {
			t.Fatalf("Redact(%q) = %q", target, got)
		} else if !seen && !strings.HasSuffix(got, "&"+r.redactQuery(name+"="+value+"&"+after)) {
			t.Fatalf("Redact(%q) = %q", target, got)
		}
		if again := r.Redact(got); again != got {
			t.Fatalf("Redact of %q is %q", got, again)
		}
	})
}

func BenchmarkRead(b *testing.B) {
	common := []string{"Accept: application/json", "Accept-Encoding: gzip", "Content-Type: application/json", "User-Agent: Go-http-client/1.1",
		"X-Request-Id: 6f1c", "X-Forwarded-For: 203.0.113.9", "Traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}
	for _, bc := range []struct{ name, line, query string }{
		{"header", "X-API-Key: pk_live_0123456789abcdef0123456789abcdef", "page=2&limit=100"},
		{"authorization", "Authorization: KEY pk_live_0123456789abcdef0123456789abcdef", "page=2&limit=100"},
		{"query", "X-Other: 1", "page=2&api_key=pk_live_0123456789abcdef0123456789abcdef"},
		{"token", "Authorization: Bearer " + jwt(`{"alg":"ES256","typ":"at+jwt","kid":"2027-01"}`), ""},
		{"none", "X-Other: 1", "page=2&limit=100"},
	} {
		b.Run(bc.name, func(b *testing.B) {
			r := reader(b, append(everywhere, "authorization:Bearer")...)
			h := request(append(common, bc.line)...)
			b.ReportAllocs()
			for b.Loop() {
				if p := r.Read(h, bc.query); p.Oversize {
					b.Fatal()
				}
			}
		})
	}
}

func TestReadAllocatesNothing(t *testing.T) {
	r := reader(t, append(everywhere, "authorization:Bearer")...)
	for name, h := range map[string]http.Header{
		"header":        request("X-API-Key: k1"),
		"authorization": request("Authorization: KEY k1"),
		"token":         request("Authorization: Bearer " + jwt(`{"alg":"ES256"}`)),
		"nothing":       request("Accept: */*"),
	} {
		if n := testing.AllocsPerRun(100, func() { r.Read(h, "page=2&api_key=k1") }); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

func TestReadQueryAgreesWithNetURL(t *testing.T) {
	r := reader(t, "query:api_key")
	for _, q := range []string{"a=1&api_key=k1", "api%5fkey=k%201", "api_key=a+b%2Bc", "api%20key=x", "x=api_key=1"} {
		values, err := url.ParseQuery(q)
		if err != nil {
			t.Fatal(err)
		}
		p := r.Read(nil, q)
		if got, want := p.Values[0].Value.Reveal(), values.Get("api_key"); got != want {
			t.Errorf("%q: %q, net/url says %q", q, got, want)
		}
	}
}
