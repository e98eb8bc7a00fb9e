package oauth

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
)

func TestParseScope(t *testing.T) {
	hundred := make([]string, 100)
	for i := range hundred {
		hundred[i] = fmt.Sprintf("s%d", i)
	}
	for _, tc := range []struct {
		name, s string
		want    Scope
		refused bool
	}{
		{"example of OpenID Connect", "openid profile email", Scope{"openid", "profile", "email"}, false},
		{"nothing", "", nil, false},
		{"spaces alone", "  ", nil, false},
		{"order is kept", "b a c", Scope{"b", "a", "c"}, false},
		{"a name twice counts once", "a b a", Scope{"a", "b"}, false},
		{"letter case tells names apart", "a A", Scope{"a", "A"}, false},
		{"spaces around and between", " a  b ", Scope{"a", "b"}, false},
		{"all kinds of characters", "read:orders https://a.example/x#[~] !'", Scope{"read:orders", "https://a.example/x#[~]", "!'"}, false},
		{"quotation mark", `a"b`, nil, true},
		{"backslash", `a\b`, nil, true},
		{"tab", "a\tb", nil, true},
		{"line break", "a\nb", nil, true},
		{"nul", "a\x00", nil, true},
		{"DEL", "a\x7f", nil, true},
		{"non-ASCII", "schlüssel", nil, true},
		{"not UTF-8", "\xff", nil, true},
		{"100 names", strings.Join(hundred, " "), hundred, false},
		{"100 names and one of them again", strings.Join(hundred, " ") + " s0", hundred, false},
		{"101 names", strings.Join(hundred, " ") + " x", nil, true},
		{"4 KiB", strings.Repeat("a", 4096), Scope{strings.Repeat("a", 4096)}, false},
		{"more than 4 KiB", strings.Repeat("a", 4097), nil, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := ParseScope(tc.s)
			if tc.refused != (codeOf(t, err) == "invalid_scope") || !tc.refused && err != nil {
				t.Fatalf("got %v", err)
			}
			if !reflect.DeepEqual(got, tc.want) {
				t.Errorf("got %q", got)
			}
		})
	}
}

func TestScopeIsASet(t *testing.T) {
	s := Scope{"b", "a", "c"}
	for _, tc := range []struct {
		name      string
		got, want any
	}{
		{"String", s.String(), "b a c"},
		{"Has", s.Has("a"), true},
		{"Has not", s.Has("d"), false},
		{"Has no prefix of a name", s.Has(""), false},
		{"Covers itself", s.Covers(s), true},
		{"Covers a part in another order", s.Covers(Scope{"c", "b"}), true},
		{"Covers nothing at all", s.Covers(nil), true},
		{"Covers no more than it has", s.Covers(Scope{"a", "d"}), false},
		{"zero covers zero", Scope(nil).Covers(nil), true},
		{"zero covers no name", Scope(nil).Covers(s), false},
		{"Intersect keeps the order", s.Intersect(Scope{"c", "d", "b"}), Scope{"b", "c"}},
		{"Intersect of strangers", s.Intersect(Scope{"d"}), Scope(nil)},
		{"Minus", s.Minus(Scope{"a", "d"}), Scope{"b", "c"}},
		{"Minus nothing", s.Minus(nil), Scope{"b", "a", "c"}},
		{"Union", s.Union(Scope{"d", "a"}), Scope{"b", "a", "c", "d"}},
		{"Union with zero", Scope(nil).Union(s), s},
		{"Sorted", s.Sorted(), Scope{"a", "b", "c"}},
		{"Equal in another order", s.Equal(Scope{"a", "b", "c"}), true},
		{"not Equal", s.Equal(Scope{"a", "b"}), false},
		{"IsZero", Scope{}.IsZero() && Scope(nil).IsZero() && !s.IsZero(), true},
		{"the original stays as it was", s, Scope{"b", "a", "c"}},
	} {
		if !reflect.DeepEqual(tc.got, tc.want) {
			t.Errorf("%s: got %v, want %v", tc.name, tc.got, tc.want)
		}
	}
	backing := append(make(Scope, 0, 10), "a")
	first, second := backing.Union(Scope{"b"}), backing.Union(Scope{"c"})
	if first.String() != "a b" || second.String() != "a c" {
		t.Errorf("two unions share memory: %v and %v", first, second)
	}
	raw, err := json.Marshal(struct{ S Scope }{s})
	if err != nil || string(raw) != `{"S":["b","a","c"]}` {
		t.Errorf("in JSON it is %s, %v", raw, err)
	}
}

func FuzzParseScope(f *testing.F) {
	f.Add("openid profile email")
	f.Add(" a  b\" ")
	f.Fuzz(func(t *testing.T, s string) {
		scope, err := ParseScope(s)
		if err != nil {
			if codeOf(t, err) != "invalid_scope" {
				t.Fatalf("got %v", err)
			}
			return
		}
		again, err := ParseScope(scope.String())
		if err != nil || !reflect.DeepEqual(again, scope) || len(scope) > maxScopeNames {
			t.Fatalf("%q comes back as %q, %v", scope, again, err)
		}
		for _, name := range strings.Fields(s) {
			if !scope.Has(name) {
				t.Fatalf("%q is lost", name)
			}
		}
	})
}
