package notify

import (
	"strings"
	"testing"
)

func TestAddresses(t *testing.T) {
	tests := []struct {
		name, in, address string // "": refused
	}{
		{"plain", "ops@example.com", "ops@example.com"},
		{"with a name", "Ops Team <ops@example.com>", "ops@example.com"},
		{"with a quoted name", `"Team, Ops" <ops@example.com>`, "ops@example.com"},
		{"with all that an atom may have", "a!#$%&'*+/=?^_`{|}~-b.c@ex-ample.com", "a!#$%&'*+/=?^_`{|}~-b.c@ex-ample.com"},
		{"at a host without dots", "root@localhost", "root@localhost"},
		{"empty", "", ""},
		{"a name only", "Acme", ""},
		{"two", "a@example.com, b@example.com", ""},
		{"a group of one", "all: a@example.com;", "a@example.com"},
		{"a group of two", "all: a@example.com, b@example.com;", ""},
		{"nobody", "undisclosed-recipients:;", ""},
		{"another recipient after a line end", "a@example.com\r\nBcc: b@example.com", ""},
		{"a command after a line end", "a@example.com>\r\nRCPT TO:<b@example.com", ""},
		{"a parameter after the path", `"a> SIZE=1"@example.com`, ""},
		{"quoted", `"a b"@example.com`, ""},
		{"quoted, with a line end", "\"a\r\nb\"@example.com", ""},
		{"a route", "<@relay.example:a@example.com>", ""},
		{"a literal", "a@[127.0.0.1]", ""},
		{"not ASCII before the @", "jürgen@example.com", ""},
		{"not ASCII after it", "a@bücher.example", ""},
		{"a NUL", "a\x00@example.com", ""},
		{"two dots", "a..b@example.com", ""},
		{"a dash at the end of a label", "a@example-.com", ""},
		{"no domain", "a@", ""},
		{"65 characters before the @", strings.Repeat("a", 65) + "@example.com", ""},
		{"255 characters", "a@" + strings.Repeat(strings.Repeat("b", 50)+".", 5) + "co", ""},
		{"very long", strings.Repeat("a", 1<<20) + "@example.com", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := ParseAddress(tt.in)
			if got.Address != tt.address || (err == nil) != (tt.address != "") {
				t.Errorf("%q, %v", got.Address, err)
			}
			if err != nil && len(err.Error()) > 100 {
				t.Errorf("the error repeats what it is about: %v", err)
			}
		})
	}
}

func FuzzParseAddress(f *testing.F) {
	for _, s := range injections {
		f.Add(s)
		f.Add(s + " <a@example.com>")
	}
	f.Fuzz(func(t *testing.T, s string) {
		a, err := ParseAddress(s)
		if err != nil {
			return
		}
		if strings.ContainsAny(a.Address, "<> \r\n\t\x00\"(),:;") || strings.Count(a.Address, "@") != 1 || domainOf(a) == "" {
			t.Fatalf("%q is taken from %q", a.Address, s)
		}
		again, err := ParseAddress(a.String())
		if err != nil || again.Address != a.Address {
			t.Fatalf("%q is written %q, and read %q, %v", a.Address, a.String(), again.Address, err)
		}
	})
}
