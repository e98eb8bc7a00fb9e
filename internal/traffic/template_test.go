package traffic

import (
	"fmt"
	"strings"
	"testing"

	"github.com/offkey/offkey/internal/policy"
)

func TestTemplateOf(t *testing.T) {
	tests := []struct{ name, path, want string }{
		{"a collection", "/v1/orders", "/v1/orders"},
		{"a number", "/v1/orders/7", "/v1/orders/{id}"},
		{"a UUID", "/v1/users/0b9e7c1a-5d2f-4c3b-8a6e-1f2d3c4b5a69/keys", "/v1/users/{id}/keys"},
		{"a prefixed id", "/v1/orders/ord_8f3k2m19x/lines", "/v1/orders/{id}/lines"},
		{"a date", "/v1/reports/2026-11-23", "/v1/reports/{id}"},
		{"a hash", "/v1/blobs/d41d8cd98f00b204", "/v1/blobs/{id}"},
		{"an IP address", "/v1/hosts/10.0.0.1", "/v1/hosts/{id}"},
		{"a mail address", "/v1/users/ana@example.com", "/v1/users/{id}"},
		{"a long name", "/v1/files/" + strings.Repeat("x", 41), "/v1/files/{id}"},
		{"versions stay", "/v2.1/orders/V3/x", "/v2.1/orders/V3/x"},
		{"words stay", "/v1/orders/search-by-name/top_ten.json", "/v1/orders/search-by-name/top_ten.json"},
		{"a word with a digit or two stays", "/v1/oauth2/base64/s3", "/v1/oauth2/base64/s3"},
		{"a slash at the end is nothing", "/v1/orders/7/", "/v1/orders/{id}"},
		{"the root", "/", "/"},
		{"what reads as a wildcard is none", "/v1/**", "/v1/{id}"},
		{"nor as a name", "/v1/{secret}", "/v1/{id}"},
		{"G-24 what does not print is not kept", "/v1/a\x1b[2Jb", "/v1/{id}"},
		{"an empty segment stays", "/v1//orders", "/v1//orders"},
		{"too deep", "/a/b/c/d/e/f/g/h/i/j/k/l/m/n", "/a/b/c/d/e/f/g/h/i/j/k/l/**"},
		{"as deep as it goes", "/a/b/c/d/e/f/g/h/i/j/k/l", "/a/b/c/d/e/f/g/h/i/j/k/l"},
		{"too long", strings.Repeat("/"+strings.Repeat("y", 40), 7), strings.Repeat("/"+strings.Repeat("y", 40), 6) + "/**"},
		{"no path", "*", "/**"},
		{"nothing", "", "/**"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var memory Templates
			for range 2 { // computed, then remembered
				if got := memory.Of(tt.path); got != tt.want {
					t.Errorf("%q, want %q", got, tt.want)
				}
			}
		})
	}
}

func TestTemplatesForgetRatherThanGrow(t *testing.T) {
	var memory Templates
	for i := range 3 * maxRecent {
		memory.Of(fmt.Sprintf("/v1/orders/%d", i))
		memory.Of("/v1/" + strings.Map(func(c rune) rune { return c + 'a' - '0' }, fmt.Sprint(i)))
		memory.Of("/" + strings.Repeat("long", 200) + fmt.Sprint(i))
	}
	if n := len(memory.recent); n > maxRecent {
		t.Errorf("%d templates are remembered", n)
	}
}

func FuzzTemplateOf(f *testing.F) {
	for _, s := range []string{"/v1/orders/7", "/", "", "//", "/**", "/{id}/x", "/a/%2e%2e/b", "/\xff\xfe", "/v1/" + strings.Repeat("a/", 300)} {
		f.Add(s)
	}
	routes := policy.Ruleset{}.Build(nil, []policy.Route{
		{Template: "/v1/orders"}, {Template: "/v1/orders/{id}"}, {Template: "/v1/2026/**"}, {Template: "/*/x/**"}, {Method: "GET", Template: "/"}, {Template: "/a/7/{b}"},
	})
	f.Fuzz(func(t *testing.T, path string) {
		template := templateOf(path)
		switch {
		case len(template) > maxField || template[0] != '/':
			t.Fatalf("%q has the template %q", path, template)
		case strings.ContainsAny(strings.ReplaceAll(strings.TrimSuffix(template, "/**"), "{id}", ""), "*{}\x00\n\x7f"):
			t.Fatalf("%q has the template %q: a wildcard that is not ours, or a control character", path, template)
		case !strings.HasSuffix(template, "/**") && templateOf(template) != template:
			t.Fatalf("%q has the template %q, which has the template %q", path, template, templateOf(template))
		}
		if policy.ParseTarget(path).Path != path {
			return // only canonical paths are matched
		}
		route := routes.Match("GET", path)
		for _, c := range routes.Candidates("GET", template, IsIdentifier) {
			if c == route {
				return
			}
		}
		t.Fatalf("%q is for %v, which is no candidate of its template %q", path, route, template)
	})
}

func BenchmarkTemplateOf(b *testing.B) {
	b.Run("remembered", func(b *testing.B) {
		var memory Templates
		b.ReportAllocs()
		for b.Loop() {
			memory.Of("/v1/orders/7/lines")
		}
	})
	b.Run("new", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			templateOf("/v1/orders/7/lines")
		}
	})
}
