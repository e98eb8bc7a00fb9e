package oauth

import (
	"strings"
	"testing"
)

func TestChallenge(t *testing.T) {
	for _, tc := range []struct {
		name string
		c    Challenge
		want string
	}{
		{"first example of RFC 6750 section 3", Challenge{Scheme: "Bearer", Realm: "example"}, `Bearer realm="example"`},
		{"second example of RFC 6750 section 3",
			Challenge{Scheme: "Bearer", Realm: "example", Error: "invalid_token", Description: "The access token expired"},
			`Bearer realm="example", error="invalid_token", error_description="The access token expired"`},
		{"checklist_165 example of RFC 9728 section 5.1",
			Challenge{Scheme: "Bearer", ResourceMetadata: "https://resource.example.com/.well-known/oauth-protected-resource"},
			`Bearer resource_metadata="https://resource.example.com/.well-known/oauth-protected-resource"`},
		{"checklist_170 without a credential nothing but the scheme", Challenge{Scheme: "Bearer"}, `Bearer`},
		{"checklist_171 insufficient scope", Challenge{Scheme: "Bearer", Error: "insufficient_scope", Scope: Scope{"read:orders", "create:orders"}},
			`Bearer error="insufficient_scope", scope="read:orders create:orders"`},
		{"everything", Challenge{Scheme: "DPoP", Realm: "r", Error: "invalid_token", Description: "d", ErrorURI: "https://e.example/x", Scope: Scope{"a"},
			ResourceMetadata: "https://m.example", Extra: []Attribute{{"algs", "ES256 EdDSA"}}},
			`DPoP realm="r", error="invalid_token", error_description="d", error_uri="https://e.example/x", scope="a", resource_metadata="https://m.example", algs="ES256 EdDSA"`},
		{"a legacy scheme", Challenge{Scheme: "KEY", Realm: "api"}, `KEY realm="api"`},
		{"checklist_172 an attribute of a field is not repeated", Challenge{Scheme: "Bearer", Error: "invalid_token", Extra: []Attribute{{"Error", "x"}, {"algs", "a"}, {"ALGS", "b"}}},
			`Bearer error="invalid_token", algs="a"`},
		{"checklist_172 quotation marks and backslashes are escaped", Challenge{Scheme: "Bearer", Realm: `a "b" \c`}, `Bearer realm="a \"b\" \\c"`},
		{"checklist_172 a description has no quotation mark to escape", Challenge{Scheme: "Bearer", Error: "invalid_token", Description: `a "b" \c`}, `Bearer error="invalid_token", error_description="a 'b' ?c"`},
		{"checklist_172 names out of the scope charset are left out", Challenge{Scheme: "Bearer", Scope: Scope{"a", `b"c`, "d e", "", "ü", "f"}}, `Bearer scope="a f"`},
		{"checklist_5 line breaks do not start a header", Challenge{Scheme: "Bearer", Realm: "a\r\nSet-Cookie: b"}, `Bearer realm="a??Set-Cookie: b"`},
		{"non-ASCII", Challenge{Scheme: "Bearer", Realm: "schlüssel\xff"}, `Bearer realm="schl?ssel?"`},
		{"an attribute whose name is no token", Challenge{Scheme: "Bearer", Extra: []Attribute{{"a b", "x"}, {"", "y"}, {`c"`, "z"}}}, `Bearer`},
		{"no scheme", Challenge{Realm: "a"}, ``},
		{"a scheme that is no token", Challenge{Scheme: "Bearer x", Realm: "a"}, ``},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := tc.c.String(); got != tc.want {
				t.Errorf("got  %s\nwant %s", got, tc.want)
			}
		})
	}
}

func TestChallengeForError(t *testing.T) {
	if got := ChallengeFor("Bearer", InvalidToken("expired")).String(); got != `Bearer error="invalid_token", error_description="expired"` {
		t.Errorf("got %s", got)
	}
}

// readChallenge is a second reading of RFC 9110 §11.6.1, as strict as may be:
// scheme, then name="quoted" pairs with ", " between them. ok is false for
// anything else.
func readChallenge(s string) (scheme string, attributes map[string]string, ok bool) {
	scheme, rest, _ := strings.Cut(s, " ")
	attributes = make(map[string]string)
	for rest != "" {
		name, after, found := strings.Cut(rest, `="`)
		if !found || !isToken(name) {
			return "", nil, false
		}
		var value strings.Builder
		i := 0
		for ; i < len(after) && after[i] != '"'; i++ {
			if after[i] == '\\' {
				i++
			}
			if i == len(after) || after[i] < 0x20 || after[i] > 0x7e {
				return "", nil, false
			}
			value.WriteByte(after[i])
		}
		if i == len(after) {
			return "", nil, false
		}
		if _, twice := attributes[strings.ToLower(name)]; twice {
			return "", nil, false
		}
		attributes[strings.ToLower(name)] = value.String()
		rest = after[i+1:]
		if rest == "" {
			break
		}
		if rest, found = strings.CutPrefix(rest, ", "); !found || rest == "" {
			return "", nil, false
		}
	}
	return scheme, attributes, true
}

func FuzzChallenge(f *testing.F) {
	f.Add("Bearer", "r", "invalid_token", "it expired", "a b", "algs", "ES256")
	f.Add("KEY", `"\`, "\r\n", "\x00", `"`, "error", `", error="x`)
	f.Fuzz(func(t *testing.T, scheme, realm, code, description, scope, name, value string) {
		c := Challenge{Scheme: scheme, Realm: realm, Error: code, Description: description, Scope: strings.Split(scope, " "), Extra: []Attribute{{name, value}}}
		s := c.String()
		if s == "" {
			if isToken(scheme) {
				t.Fatal("a good scheme gives nothing")
			}
			return
		}
		gotScheme, attributes, ok := readChallenge(s)
		if !ok || gotScheme != scheme {
			t.Fatalf("%q cannot be read", s)
		}
		if isPrintable(realm) && attributes["realm"] != realm {
			t.Fatalf("realm %q is read as %q", realm, attributes["realm"])
		}
		for _, r := range attributes["error"] + attributes["error_description"] {
			if !isAllowed(r) {
				t.Fatalf("checklist_5: %q in %q", r, s)
			}
		}
		for n := range strings.SplitSeq(attributes["scope"], " ") {
			if n != "" && !IsScopeName(n) {
				t.Fatalf("checklist_172: scope name %q", n)
			}
		}
	})
}

func isPrintable(s string) bool {
	for i := range len(s) {
		if s[i] < 0x20 || s[i] > 0x7e {
			return false
		}
	}
	return true
}
