package oauth

import (
	"encoding/base64"
	"strings"
	"testing"
	"unicode/utf8"
)

func basic(userpass string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(userpass))
}

func TestParseBasic(t *testing.T) {
	for _, tc := range []struct{ name, header, id, password string }{
		{"example of RFC 6749 section 2.3.1", "Basic czZCaGRSa3F0Mzo3RmpmcDBaQnIxS3REUmJuZlZkbUl3", "s6BhdRkqt3", "7Fjfp0ZBr1KtDRbnfVdmIw"},
		{"checklist_7 scheme in lower case", strings.Replace(basic("a:b"), "Basic", "basic", 1), "a", "b"},
		{"checklist_7 scheme in upper case", strings.Replace(basic("a:b"), "Basic", "BASIC", 1), "a", "b"},
		{"two spaces after the scheme", strings.Replace(basic("a:b"), " ", "  ", 1), "a", "b"},
		{"checklist_14 colon in the id, encoded", basic("spiffe%3A%2F%2Ftd%2Fw:b"), "spiffe://td/w", "b"},
		{"checklist_14 colon in the secret, encoded", basic("a:b%3Ac"), "a", "b:c"},
		{"checklist_14 colon in the secret as it is", basic("a:b:c"), "a", "b:c"},
		{"checklist_14 plus, encoded", basic("a:b%2Bc"), "a", "b+c"},
		{"checklist_14 plus as it is means a space", basic("a:b+c"), "a", "b c"},
		{"checklist_14 space as it is", basic("a:b c"), "a", "b c"},
		{"checklist_14 space as %20", basic("a:b%20c"), "a", "b c"},
		{"checklist_14 percent, encoded", basic("a:100%25"), "a", "100%"},
		{"checklist_14 percent as it is, not followed by hex, leaves that half as it is", basic("a:100%+1"), "a", "100%+1"},
		{"checklist_14 one half as it is does not keep the other from being decoded", basic("a%3Ab:100%"), "a:b", "100%"},
		{"checklist_14 percent as it is, followed by hex, is decoded", basic("a:b%41c"), "a", "bAc"},
		{"checklist_14 non-ASCII, encoded", basic("a:p%C3%A4ss"), "a", "päss"},
		{"checklist_14 non-ASCII as it is", basic("a:päss"), "a", "päss"},
		{"checklist_14 encoded Latin-1 is left as it is", basic("a:p%E4ss"), "a", "p%E4ss"},
		{"no password", basic("a:"), "a", ""},
		{"ampersand and equals", basic("a:b&c=d"), "a", "b&c=d"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			id, password, err := ParseBasic(tc.header)
			if err != nil {
				t.Fatal(err)
			}
			if id != tc.id || password != tc.password {
				t.Errorf("got %q and %q", id, password)
			}
		})
	}
}

func TestParseBasicRefuses(t *testing.T) {
	for _, tc := range []struct{ name, header string }{
		{"nothing", ""},
		{"the scheme alone", "Basic"},
		{"another scheme", "Bearer abc"},
		{"a scheme that begins alike", "Basically YTpi"},
		{"no credentials", "Basic "},
		{"not base64", "Basic a:b"},
		{"base64url", "Basic " + base64.URLEncoding.EncodeToString([]byte("a:\xff\xfe\xfd"))},
		{"no padding", "Basic " + strings.TrimRight(base64.StdEncoding.EncodeToString([]byte("a:bb")), "=")},
		{"a line break, which a decoder skips", "Basic YTpi\r\n"},
		{"a line break within", "Basic YT\npi"},
		{"no colon", basic("ab")},
		{"no id", basic(":b")},
		{"two credentials", basic("a:b") + ", " + basic("c:d")},
		{"more than 4 KiB", basic("a:" + strings.Repeat("b", 4096))},
	} {
		t.Run(tc.name, func(t *testing.T) {
			id, password, err := ParseBasic(tc.header)
			if code := codeOf(t, err); code != "invalid_client" || id != "" || password != "" {
				t.Errorf("got %q, %q, %v", id, password, err)
			}
			if e, ok := err.(*Error); !ok || e.Scheme != "Basic" || e.Status != 401 {
				t.Errorf("checklist_16 is not answered 401 with the scheme that was tried: %+v", err)
			}
		})
	}
}

func TestFormatBasicIsReadBack(t *testing.T) {
	for _, id := range []string{"a", "a:b", "a b", "100%", "a+b", "päss", "https://c.example/x?y=z&w", "%41", `"\`} {
		gotID, gotPassword, err := ParseBasic(FormatBasic(id, "x"+id))
		if err != nil || gotID != id || gotPassword != "x"+id {
			t.Errorf("%q: got %q, %q, %v", id, gotID, gotPassword, err)
		}
	}
}

func FuzzParseBasic(f *testing.F) {
	f.Add("Basic czZCaGRSa3F0Mzo3RmpmcDBaQnIxS3REUmJuZlZkbUl3")
	f.Add(basic("a%3Ab:100%"))
	f.Add(basic("\xff:\x00"))
	f.Add("basic ====")
	f.Fuzz(func(t *testing.T, header string) {
		id, password, err := ParseBasic(header)
		if err != nil {
			if codeOf(t, err) != "invalid_client" || id+password != "" {
				t.Fatalf("got %q, %q, %v", id, password, err)
			}
			return
		}
		if id == "" {
			t.Fatal("no id and no error")
		}
		if !utf8.ValidString(id) || !utf8.ValidString(password) {
			return // left as it was sent, and matches nothing
		}
		if again, secret, err := ParseBasic(FormatBasic(id, password)); len(header) < 1000 && (err != nil || again != id || secret != password) {
			t.Fatalf("%q, %q come back as %q, %q, %v", id, password, again, secret, err)
		}
	})
}

func TestBearerTokenSyntax(t *testing.T) {
	for s, want := range map[string]bool{
		"mF_9.B5f-4.1JqM":        true, // example of RFC 6750 §2.1
		"a":                      true,
		"a==":                    true,
		"a+/~-._9Z":              true,
		"eyJhbGciOiJub25lIn0.e.": true,
		"":                       false,
		"=":                      false,
		"a=b":                    false,
		"a b":                    false,
		" a":                     false,
		"a\n":                    false,
		"a,b":                    false,
		`"a"`:                    false,
		"a:b":                    false,
		"ä":                      false,
		"a%20":                   false,
	} {
		if got := IsBearerToken68(s); got != want {
			t.Errorf("%q: got %v", s, got)
		}
	}
}
