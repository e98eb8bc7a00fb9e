package policy

import (
	"net/url"
	"path"
	"slices"
	"strings"
	"testing"
)

func TestParseTarget(t *testing.T) {
	for _, tc := range []struct {
		name, raw, path string
		problem         Problem
	}{
		{"root", "/", "/", ""},
		{"ordinary", "/v1/orders/7", "/v1/orders/7", ""},
		{"G-06 case is kept", "/V1/Orders", "/V1/Orders", ""},
		{"G-07 trailing slash is kept", "/v1/orders/", "/v1/orders/", ""},
		{"every character of a segment", "/AZaz09-._~!$&'()*+,=:@", "/AZaz09-._~!$&'()*+,=:@", ""},
		{"dots that are no segment", "/.well-known/..a/a../.../a.b", "/.well-known/..a/a../.../a.b", ""},
		{"query is not the path", "/a?b/../c;d//%2f", "/a", ""},
		{"second question mark", "/a?b?c", "/a", ""},
		{"absolute form", "http://api.example/v1/orders?a", "/v1/orders", "non_origin_form"},
		{"absolute form without a path", "HTTPS://api.example:8443", "/", "non_origin_form"},

		{"needless escape", "/%61dmin", "/admin", ""},
		{"needless escape of a delimiter", "/v1/users%3adelete%40x%21", "/v1/users:delete@x!", ""},
		{"needful escape in small letters", "/caf%c3%a9%20x", "/caf%C3%A9%20x", ""},
		{"needful escape", "/caf%C3%A9", "/caf%C3%A9", ""},
		{"percent sign", "/100%25", "/100%25", ""},
		{"percent sign before one digit", "/100%25a/b", "/100%25a/b", ""},
		{"bare UTF-8", "/café", "/caf%C3%A9", ""},
		{"bare characters that URIs lack", `/{id}|"<>^` + "`[]", "/%7Bid%7D%7C%22%3C%3E%5E%60%5B%5D", ""},

		{"G-01 dot segment", "/public/../admin", "/public/../admin", "dot_segment"},
		{"G-01 encoded dot segment", "/public/%2e%2e/admin", "/public/../admin", "dot_segment"},
		{"G-01 half encoded dot segment", "/public/.%2E/admin", "/public/../admin", "dot_segment"},
		{"G-01 doubly encoded dot segment", "/public/%252e%252e/admin", "/public/%252e%252e/admin", "dot_segment"},
		{"G-01 triply encoded dot segment", "/public/%25252e./admin", "/public/%25252e./admin", "dot_segment"},
		{"G-01 dots encoded piecewise", "/%25%32%65/admin", "/%252e/admin", "dot_segment"},
		{"G-01 dot segment between encoded slashes", "/public%2f..%2fadmin", "/public%2F..%2Fadmin", "dot_segment"},
		{"G-01 dot segment between doubly encoded slashes", "/public%252f..%252fadmin", "/public%252f..%252fadmin", "dot_segment"},
		{"G-01 dot segment between backslashes", `/public\..\admin`, "/public%5C..%5Cadmin", "dot_segment"},
		{"G-01 single dot", "/./admin", "/./admin", "dot_segment"},
		{"G-01 dot at the end", "/admin/.", "/admin/.", "dot_segment"},
		{"G-01 dots at the end", "/admin/..", "/admin/..", "dot_segment"},
		{"G-04 dot glued to a prefix", "/api%2e/admin", "/api./admin", ""},
		{"G-07 dot segment with a parameter", "/public/..;x=1/admin", "/public/..;x=1/admin", "dot_segment"},
		{"G-07 dot segment with an encoded parameter", "/public/..%3bx/admin", "/public/..%3Bx/admin", "dot_segment"},
		{"G-02 dot segment before an encoded NUL", "/public/..%00/admin", "/public/..%00/admin", "dot_segment"},

		{"G-02 encoded slash", "/a%2Fb", "/a%2Fb", "encoded_slash"},
		{"G-02 encoded slash in small letters", "/admin%2f", "/admin%2F", "encoded_slash"},
		{"G-02 encoded backslash", "/a%5cadmin", "/a%5Cadmin", "encoded_backslash"},
		{"G-02 backslash", `/admin\x`, "/admin%5Cx", "backslash"},
		{"G-02 encoded NUL", "/admin%00", "/admin%00", "encoded_nul"},
		{"G-02 encoded question mark", "/admin%3fx", "/admin%3Fx", "encoded_question"},
		{"G-02 encoded hash", "/admin%23x", "/admin%23x", "encoded_hash"},
		{"G-02 encoded semicolon", "/admin%3Bx", "/admin%3Bx", "encoded_semicolon"},
		{"G-05 fragment", "/admin#frag", "/admin%23frag", "fragment"},
		{"G-05 fragment that looks like a query", "/admin#?x", "/admin%23", "fragment"},
		{"G-05 fragment behind the query", "/admin?x#/public", "/admin", "fragment"},
		{"G-07 matrix parameter", "/admin;x=1", "/admin;x=1", "semicolon"},
		{"G-01 empty segment", "//admin", "//admin", "empty_segment"},
		{"G-01 empty segment inside", "/a//b", "/a//b", "empty_segment"},
		{"G-01 empty segment at the end", "/a//", "/a//", "empty_segment"},
		{"doubly encoded", "/%2561dmin", "/%2561dmin", "double_encoding"},
		{"doubly encoded slash", "/a%252Fb", "/a%252Fb", "double_encoding"},
		{"overlong slash", "/%c0%af", "/%C0%AF", "overlong_utf8"},
		{"overlong slash of three bytes", "/%e0%80%af", "/%E0%80%AF", "overlong_utf8"},
		{"overlong slash of four bytes", "/%f0%80%80%af", "/%F0%80%80%AF", "overlong_utf8"},
		{"overlong dot", "/%c0%ae%c0%ae/admin", "/%C0%AE%C0%AE/admin", "overlong_utf8"},
		{"Latin-1", "/caf%e9", "/caf%E9", "invalid_utf8"},
		{"bare Latin-1", "/caf\xe9", "/caf%E9", "invalid_utf8"},
		{"escape cut short", "/100%", "/100%25", "bad_escape"},
		{"escape of one digit", "/100%2", "/100%252", "bad_escape"},
		{"escape of other letters", "/%u002e%zz", "/%25u002e%25zz", "bad_escape"},
		{"G-24 line feed", "/a\nb", "/a%0Ab", "control"},
		{"G-24 encoded line feed", "/a%0d%0ab", "/a%0D%0Ab", "control"},
		{"G-24 terminal escape", "/\x1b[2J", "/%1B%5B2J", "control"},
		{"delete", "/a%7f", "/a%7F", "control"},
		{"space", "/a b", "/a%20b", "control"},
		{"control character in the query", "/a?b\tc", "/a", "control"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := ParseTarget(tc.raw)
			if got.Path != tc.path || got.Problem != tc.problem || got.Refused() {
				t.Errorf("ParseTarget(%q) = %q, problem %q, refused %v; want %q, %q", tc.raw, got.Path, got.Problem, got.Refused(), tc.path, tc.problem)
			}
			if (got.Problem == "") != (got.Problem.Why() == "") {
				t.Errorf("problem %q is explained as %q", got.Problem, got.Problem.Why())
			}
		})
	}
}

func TestParseTargetParts(t *testing.T) {
	for _, tc := range []struct {
		raw  string
		want Target
	}{
		{"/a", Target{Form: OriginForm, Path: "/a", RawPath: "/a"}},
		{"/a?", Target{Form: OriginForm, Path: "/a", RawPath: "/a", HasQuery: true}},
		{"/%61?b=%zz;c", Target{Form: OriginForm, Path: "/a", RawPath: "/%61", RawQuery: "b=%zz;c", HasQuery: true}},
		{"http://h:80/a?b", Target{Form: AbsoluteForm, Path: "/a", RawPath: "/a", RawQuery: "b", HasQuery: true, Authority: "h:80"}},
		{"http://[::1]?b", Target{Form: AbsoluteForm, Path: "/", RawPath: "", RawQuery: "b", HasQuery: true, Authority: "[::1]"}},
	} {
		got := ParseTarget(tc.raw)
		got.Problem, got.problems = "", 0
		if got != tc.want {
			t.Errorf("ParseTarget(%q) = %+v, want %+v", tc.raw, got, tc.want)
		}
	}
}

func TestTargetRefused(t *testing.T) {
	for _, tc := range []struct {
		name, raw string
		form      Form
	}{
		{"G-03 opaque", "http:http://internal-vhost/admin", OpaqueForm},
		{"G-03 opaque without a slash", "admin", OpaqueForm},
		{"G-03 asterisk", "*", AsteriskForm},
		{"G-03 asterisk with more", "*/admin", OpaqueForm},
		{"G-03 authority", "internal:443", AuthorityForm},
		{"G-03 authority of an address", "[::1]:443", AuthorityForm},
		{"G-03 another scheme", "ftp://host/a", OpaqueForm},
		{"G-03 no host", "http:///admin", OpaqueForm},
		{"G-03 user name before the host", "http://api@evil/admin", OpaqueForm},
		{"G-03 backslash in the host", `http://evil\@api/admin`, OpaqueForm},
		{"G-03 fragment in the host", "http://evil#@api/admin", OpaqueForm},
		{"G-03 space in the host", "http://evil api/admin", OpaqueForm},
		{"empty", "", OpaqueForm},
		{"query alone", "?a", OpaqueForm},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := ParseTarget(tc.raw)
			if !got.Refused() || got.Form != tc.form || got.Path != "" || got.Problem != "non_origin_form" {
				t.Errorf("ParseTarget(%q) = %+v", tc.raw, got)
			}
		})
	}
	if !(Target{}).Refused() {
		t.Error("the zero Target passes")
	}
}

func TestProblemWith(t *testing.T) {
	allow := func(codes ...string) ProblemSet {
		set, err := ParseProblems(codes)
		if err != nil {
			t.Fatal(err)
		}
		return set
	}
	for _, tc := range []struct {
		raw   string
		allow ProblemSet
		want  Problem
	}{
		{"/a%2Fb", allow("encoded_slash"), ""},
		{"/a%2Fb", allow("semicolon"), "encoded_slash"},
		{"/a%2Fb;c", allow("encoded_slash"), "semicolon"},
		{"/a%2Fb;c", allow("encoded_slash", "semicolon"), ""},
		{"/a%2F..%2Fb", allow("encoded_slash"), "dot_segment"},
		{"/a%252F..%252Fb", allow("double_encoding"), "dot_segment"},
		{`/a\..\b`, allow("backslash", "encoded_backslash"), "dot_segment"},
		{"/a/..;/b", allow("semicolon"), "dot_segment"},
		{"/%c0%af", allow("invalid_utf8"), "overlong_utf8"},
		{"/caf%e9", allow("invalid_utf8"), ""},
		{"/a/../b", ^ProblemSet(0), "dot_segment"},
		{"/a%00", ^ProblemSet(0), "encoded_nul"},
		{"//a%2fb%5c;%3b%23%3f\\%252f\xff", ^ProblemSet(0), ""},
	} {
		if got := ParseTarget(tc.raw).ProblemWith(tc.allow); got != tc.want {
			t.Errorf("%q with %b allowed: %q, want %q", tc.raw, tc.allow, got, tc.want)
		}
	}
	if !ParseTarget("*").Refused() || ParseTarget("*").ProblemWith(^ProblemSet(0)) != "" {
		t.Error("a permitted absolute form must leave Refused alone")
	}
}

func TestParseProblemsRefuses(t *testing.T) {
	for code, says := range map[string]string{
		"dot_segment":   "dot_segment cannot be permitted: the path has a segment . or ..",
		"control":       "cannot be permitted",
		"encoded_nul":   "cannot be permitted",
		"bad_escape":    "cannot be permitted",
		"overlong_utf8": "cannot be permitted",
		"fragment":      "cannot be permitted",
		"encoded_slsh":  "a route can permit backslash, encoded_backslash, encoded_slash",
		"":              "is not the code of an ambiguity",
	} {
		if _, err := ParseProblems([]string{"semicolon", code}); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v, want %q", code, err, says)
		}
	}
}

// G-01: whatever is sent, one canonical path comes out of it.
func FuzzParseTarget(f *testing.F) {
	for _, raw := range []string{
		"/", "/v1/orders/7?a=1", "/public/%2e%2e/admin", "/a%2fb", "/%252e%252e/", "//a", "/a;b", "/caf%c3%a9", "/%c0%af", "http://h/a", "*",
		"h:1", "/a%", "/%25%32%65", "/..;/", "/\\..\\", "/a#b", "/a?#", "http:http://h/a", "/\xff", "/%7E%3a", "/100%25",
	} {
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		got := ParseTarget(raw)
		if got.Refused() {
			if got.Path != "" || got.Problem == "" {
				t.Fatalf("%q: %+v", raw, got)
			}
			return
		}
		checkRebuild(t, raw, got)
		if !strings.HasPrefix(got.Path, "/") || strings.ContainsFunc(got.Path, func(r rune) bool { return r <= ' ' || r > '~' }) {
			t.Fatalf("%q: path %q", raw, got.Path)
		}
		again := ParseTarget(got.Path)
		if again.Path != got.Path || again.HasQuery || again.Form != OriginForm {
			t.Fatalf("%q: path %q is read as %+v", raw, got.Path, again)
		}
		if got.Problem == "" {
			checkUnambiguous(t, raw, got, again)
		}
	})
}

// checkRebuild holds that nothing sent is lost: the parts make up the target.
func checkRebuild(t *testing.T, raw string, got Target) {
	t.Helper()
	sent := got.RawPath
	if got.HasQuery {
		sent += "?" + got.RawQuery
	}
	if got.Form == AbsoluteForm {
		i := strings.Index(raw, "://")
		sent = raw[:i+3] + got.Authority + sent
	}
	if sent != raw {
		t.Fatalf("%q: parts make %q", raw, sent)
	}
}

// checkUnambiguous holds that a target without a problem is read alike by
// everyone: net/url, path.Clean and a second decoding find nothing to change.
func checkUnambiguous(t *testing.T, raw string, got, again Target) {
	t.Helper()
	if again.Problem != "" {
		t.Fatalf("%q: path %q has the problem %s", raw, got.Path, again.Problem)
	}
	u, err := url.ParseRequestURI(raw)
	if err != nil {
		t.Fatalf("%q: net/url: %v", raw, err)
	}
	decoded, err := url.PathUnescape(got.Path)
	if err != nil || decoded != u.Path || u.Opaque != "" {
		t.Fatalf("%q: path %q decodes to %q (%v), net/url has %q", raw, got.Path, decoded, err, u.Path)
	}
	clean := path.Clean(decoded)
	if clean != "/" && strings.HasSuffix(decoded, "/") {
		clean += "/"
	}
	if clean != decoded {
		t.Fatalf("%q: path.Clean makes %q of %q", raw, clean, decoded)
	}
	if twice, err := url.PathUnescape(decoded); err == nil && twice != decoded {
		t.Fatalf("%q: decoded twice it is %q", raw, twice)
	}
	if segments := strings.Split(decoded, "/"); slices.Contains(segments, ".") || slices.Contains(segments, "..") {
		t.Fatalf("%q: dot segment in %q", raw, decoded)
	}
}

// G-01: every spelling of a path that decodes to the same, and has no problem,
// is one path.
func TestSpellingsAreOnePath(t *testing.T) {
	const want = "/v1/users:delete/a.b-c_d~e"
	for i := 1; i < len(want); i++ {
		for _, hex := range []string{"0123456789abcdef", "0123456789ABCDEF"} {
			escape := "%" + string(hex[want[i]>>4]) + string(hex[want[i]&15])
			got := ParseTarget(want[:i] + escape + want[i+1:])
			if want[i] == '/' {
				if got.Problem != "encoded_slash" {
					t.Errorf("%q: problem %q", got.RawPath, got.Problem)
				}
			} else if got.Path != want || got.Problem != "" {
				t.Errorf("%q is %q, problem %q", got.RawPath, got.Path, got.Problem)
			}
		}
	}
}

func TestParseTargetIsLinear(t *testing.T) {
	for _, piece := range []string{"%25", "25", "%2525", "/..;", "%c0", "\\"} {
		raw := "/%" + strings.Repeat(piece, 1<<20/len(piece))
		if got := ParseTarget(raw); got.Problem == "" {
			t.Errorf("%q repeated has no problem", piece)
		}
	}
}

func TestParseTargetAllocatesNothing(t *testing.T) {
	for _, raw := range []string{"/v1/orders/7?page=2", "/.well-known/oauth-protected-resource", "/caf%C3%A9", "/a/../b", "*"} {
		if n := testing.AllocsPerRun(100, func() { ParseTarget(raw) }); n != 0 {
			t.Errorf("%q: %v allocations", raw, n)
		}
	}
}

func BenchmarkParseTarget(b *testing.B) {
	for name, raw := range map[string]string{
		"ordinary": "/v1/organizations/42/orders/0197f2c1-7d3c/items?page=2&limit=100",
		"escaped":  "/v1/organizations/caf%C3%A9%20noir/orders/7?page=2&limit=100",
		"needless": "/v1/organizations/%34%32/orders/7?page=2&limit=100",
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if ParseTarget(raw).Refused() {
					b.Fatal()
				}
			}
		})
	}
}
