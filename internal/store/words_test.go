package store

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func FuzzPrintable(f *testing.F) {
	for _, s := range []string{"", "curl/8.5", "\xff\xfe", "a\x00b", strings.Repeat("é", 200), "\xf0\x9f\x92\xa9"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := printable(s)
		if !utf8.ValidString(got) || strings.Contains(got, "\x00") || len(got) > maxWord {
			t.Errorf("%q became %q", s, got)
		}
		if again := printable(got); again != got {
			t.Errorf("%q became %q and then %q", s, got, again)
		}
		if utf8.ValidString(s) && !strings.Contains(s, "\x00") && len(s) <= maxWord && got != s {
			t.Errorf("%q became %q", s, got)
		}
	})
}

func TestJoinedWordsComeApartAgain(t *testing.T) {
	for _, list := range [][]string{nil, {"a"}, {"a", "b"}, {"urn:x", "https://x/y?a=b&c"}} {
		joined, err := joinWords(list)
		if err != nil {
			t.Fatal(err)
		}
		if got := splitWords(joined); strings.Join(got, "|") != strings.Join(list, "|") || (got == nil) != (list == nil) {
			t.Errorf("%q became %q", list, got)
		}
	}
	for _, list := range [][]string{{""}, {"a b"}, {"a", " "}, {"a\n"}} {
		if joined, err := joinWords(list); err == nil {
			t.Errorf("%q was joined to %q", list, joined)
		}
	}
}
