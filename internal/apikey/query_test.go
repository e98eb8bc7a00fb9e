package apikey

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestStripQuery(t *testing.T) {
	for _, tc := range []struct {
		name, query, want string
		removed           int
		values            []string
	}{
		{"empty", "", "", 0, nil},
		{"absent", "a=1&b=2", "a=1&b=2", 0, nil},
		{"alone", "api_key=s", "", 1, []string{"s"}},
		{"first", "api_key=s&a=1", "a=1", 1, []string{"s"}},
		{"middle", "a=1&api_key=s&b=2", "a=1&b=2", 1, []string{"s"}},
		{"last", "a=1&api_key=s", "a=1", 1, []string{"s"}},
		{"G-17 encoded underscore", "a=1&api%5fkey=s", "a=1", 1, []string{"s"}},
		{"G-17 every letter encoded", "%61%70%69%5F%6b%65%79=s", "", 1, []string{"s"}},
		{"G-17 encoded value", "api_key=%73%2B+x", "", 1, []string{"s+ x"}},
		{"G-17 repeated", "api_key=a&x=1&api_key=b&api%5Fkey=c", "x=1", 3, []string{"a", "b", "c"}},
		{"G-17 after a semicolon", "a=1;api_key=s", "a=1", 1, []string{"s"}},
		{"G-17 before a semicolon", "api_key=s;a=1", "a=1", 1, []string{"s"}},
		{"G-17 semicolon then ampersand keeps parts apart", "a=1;api_key=s&b=2", "a=1&b=2", 1, []string{"s"}},
		{"G-17 ampersand then semicolon keeps parts apart", "a=1&api_key=s;b=2", "a=1&b=2", 1, []string{"s"}},
		{"G-17 semicolons stay semicolons", "a=1;api_key=s;b=2", "a=1;b=2", 1, []string{"s"}},
		{"G-17 unparsable neighbours", "%zz=1&api_key=s&b=%&c=%2", "%zz=1&b=%&c=%2", 1, []string{"s"}},
		{"G-17 unparsable value", "a=1&api_key=%zz%4", "a=1", 1, []string{"%zz%4"}},
		{"value with equals", "api_key=a=b==", "", 1, []string{"a=b=="}},
		{"without value", "api_key&a", "a", 1, []string{""}},
		{"empty parts stay", "&&a&&api_key=s&&", "&&a&&&", 1, []string{"s"}},
		{"bytes of the rest stay", "b=%7e+%C3%A9&api_key=s&b=~%20é", "b=%7e+%C3%A9&b=~%20é", 1, []string{"s"}},
		{"another case is another name", "API_KEY=s", "API_KEY=s", 0, nil},
		{"a longer name is another name", "api_key2=s&xapi_key=s", "api_key2=s&xapi_key=s", 0, nil},
		{"doubly encoded is another name", "api%255fkey=s", "api%255fkey=s", 0, nil},
		{"cut escape is another name", "api%5=s&api%=s", "api%5=s&api%=s", 0, nil},
		{"name inside a value", "a=api_key=s", "a=api_key=s", 0, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, removed := StripQuery(tc.query, "api_key")
			if got != tc.want || removed != tc.removed {
				t.Errorf("StripQuery = %q, %d; want %q, %d", got, removed, tc.want, tc.removed)
			}
			if values := QueryValues(tc.query, "api_key", nil); !slices.Equal(values, tc.values) {
				t.Errorf("QueryValues = %q, want %q", values, tc.values)
			}
		})
	}
	t.Run("a plus in the name is a space", func(t *testing.T) {
		if got, n := StripQuery("api+key=a&api%20key=b&api_key=c", "api key"); got != "api_key=c" || n != 2 {
			t.Errorf("got %q, %d", got, n)
		}
	})
	t.Run("G-17 beyond any limit of parameters", func(t *testing.T) {
		rest := strings.Repeat("a=1&", 50_000) + "z=1"
		if got, n := StripQuery(rest+"&api_key=s", "api_key"); got != rest || n != 1 {
			t.Errorf("%d removed, %d bytes left of %d", n, len(got), len(rest))
		}
	})
	t.Run("no allocation when absent", func(t *testing.T) {
		dst := make([]string, 0, 1)
		if n := testing.AllocsPerRun(100, func() {
			StripQuery("page=2&limit=100&sort=%2Dname", "api_key")
			dst = QueryValues("page=2&limit=100&sort=%2Dname", "api_key", dst[:0])
		}); n != 0 {
			t.Errorf("%v allocations", n)
		}
	})
}

func FuzzStripQuery(f *testing.F) {
	for _, q := range []string{"", "a=1&api_key=s", "a=1;api%5fkey=s&b", "&;&api_key;;", "%zz&api_key=%", "api+key=1&a"} {
		f.Add(q, "api_key")
		f.Add(q, "api key")
	}
	f.Fuzz(func(t *testing.T, query, name string) {
		if name == "" {
			return
		}
		out, removed := StripQuery(query, name)
		if left := QueryValues(out, name, nil); len(left) > 0 {
			t.Fatalf("%q still holds %q of %q", out, left, name)
		}
		if found := QueryValues(query, name, nil); len(found) != removed {
			t.Fatalf("the reader sees %d, the stripper removed %d", len(found), removed)
		}
		want := slices.DeleteFunc(split(query), func(p string) bool {
			n, _, _ := strings.Cut(p, "=")
			return formDecode(n) == name
		})
		if len(want) == 0 {
			want = []string{""}
		}
		if got := split(out); !slices.Equal(got, want) {
			t.Fatalf("of %q without %q is left %q, want %q", query, name, got, want)
		}
		if removed == 0 && out != query {
			t.Fatalf("%q became %q", query, out)
		}
	})
}

// split cuts a query into its parts at both separators.
func split(query string) []string { return strings.Split(strings.ReplaceAll(query, ";", "&"), "&") }

func ExampleStripQuery() {
	fmt.Println(StripQuery("page=2&api%5Fkey=s3cret&sort=-name", "api_key"))
	// Output: page=2&sort=-name 1
}
