package oauth

import (
	"errors"
	"fmt"
	"net/url"
	"reflect"
	"strings"
	"testing"
)

// codeOf returns the error code of err, "" for nil.
func codeOf(t testing.TB, err error) string {
	t.Helper()
	if err == nil {
		return ""
	}
	var e *Error
	if !errors.As(err, &e) {
		t.Fatalf("%v is not an *Error", err)
	}
	for _, r := range e.Description {
		if !isAllowed(r) {
			t.Fatalf("description %q has %q", e.Description, r)
		}
	}
	return e.Code
}

func TestParseParams(t *testing.T) {
	for _, tc := range []struct {
		name, body string
		repeatable []string
		want       map[string][]string // nil: invalid_request
	}{
		{"example of RFC 6749 section 4.1.3", "grant_type=authorization_code&code=SplxlOBeZQQYbYS6WxSbIA&redirect_uri=https%3A%2F%2Fclient%2Eexample%2Ecom%2Fcb", nil,
			map[string][]string{"grant_type": {"authorization_code"}, "code": {"SplxlOBeZQQYbYS6WxSbIA"}, "redirect_uri": {"https://client.example.com/cb"}}},
		{"nothing", "", nil, map[string][]string{}},
		{"checklist_1 a parameter that nobody asks for", "foo=bar&scope=a", nil, map[string][]string{"foo": {"bar"}, "scope": {"a"}}},
		{"checklist_2 an empty value", "scope=&redirect_uri&code=x", nil, map[string][]string{"code": {"x"}}},
		{"checklist_2 empty beside a value", "scope=&scope=a", nil, map[string][]string{"scope": {"a"}}},
		{"checklist_2 empty twice", "scope=&scope", nil, map[string][]string{}},
		{"checklist_3 twice", "scope=a&scope=b", nil, nil},
		{"checklist_3 twice with one value", "scope=a&scope=a", nil, nil},
		{"checklist_3 twice, once encoded", "scope=a&%73cope=b", nil, nil},
		{"checklist_3 twice, of what nobody asks for", "foo=a&foo=b", nil, nil},
		{"checklist_3 twice beside one that may repeat", "resource=a&scope=x&scope=y", []string{"resource"}, nil},
		{"checklist_3 resource may repeat", "resource=https%3A%2F%2Fa.example&resource=https%3A%2F%2Fb.example&resource=", []string{"resource", "audience"},
			map[string][]string{"resource": {"https://a.example", "https://b.example"}}},
		{"letter case tells parameters apart", "scope=a&Scope=b", nil, map[string][]string{"scope": {"a"}, "Scope": {"b"}}},
		{"plus is a space", "scope=a+b%2Bc", nil, map[string][]string{"scope": {"a b+c"}}},
		{"an equals sign in the value", "code=a=b=", nil, map[string][]string{"code": {"a=b="}}},
		{"a semicolon is no separator", "code=a;scope=b", nil, map[string][]string{"code": {"a;scope=b"}}},
		{"empty pairs", "&&code=a&", nil, map[string][]string{"code": {"a"}}},
		{"a value without a name", "=x", nil, map[string][]string{"": {"x"}}},
		{"UTF-8", "username=%C3%A4", nil, map[string][]string{"username": {"ä"}}},
		{"not UTF-8", "username=%E4", nil, nil},
		{"a name that is not UTF-8", "%E4=a", nil, nil},
		{"percent without digits", "code=%zz", nil, nil},
		{"percent at the end of a name", "code%=a", nil, nil},
		{"100 parameters", manyParams(100), nil, map[string][]string{"p0": {"v"}, "p99": {"v"}}},
		{"101 parameters", manyParams(101), nil, nil},
		{"101 empty parameters", strings.Repeat("a=&", 101), nil, nil},
		{"JSON", `{"grant_type":"client_credentials"}`, nil, map[string][]string{"grant_type": nil}},
		{"more than 64 KiB", "code=" + strings.Repeat("a", 64<<10), nil, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p, err := ParseParams(tc.body, tc.repeatable...)
			if tc.want == nil {
				if codeOf(t, err) != "invalid_request" {
					t.Errorf("got %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			for name, values := range tc.want {
				if got := p.Values(name); !reflect.DeepEqual(got, values) {
					t.Errorf("%s: got %q, want %q", name, got, values)
				}
				if p.Has(name) != (len(values) > 0) || len(values) > 0 && p.Value(name) != values[0] {
					t.Errorf("%s: Has %v, Value %q", name, p.Has(name), p.Value(name))
				}
			}
			for _, name := range []string{"scope", "redirect_uri", "client_secret"} {
				if _, wanted := tc.want[name]; !wanted && (p.Has(name) || p.Value(name) != "" || p.Values(name) != nil) {
					t.Errorf("%s is there", name)
				}
			}
		})
	}
}

func manyParams(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "p%d=v&", i)
	}
	return b.String()
}

func TestParamsErrorsNameTheParameterAndNothingSent(t *testing.T) {
	_, err := ParseParams("client_secret=hunter2&client_secret=hunter3")
	if err == nil || !strings.Contains(err.Error(), "'client_secret'") || strings.Contains(err.Error(), "hunter") {
		t.Errorf("got %v", err)
	}
	t.Run("checklist_5 a made up name is not echoed", func(t *testing.T) {
		_, err := ParseParams("<script>=1&<script>=2")
		if err == nil || strings.Contains(err.Error(), "script") {
			t.Errorf("got %v", err)
		}
	})
}

func TestParamsDoNotPrint(t *testing.T) {
	p, err := ParseParams("client_secret=hunter2")
	if err != nil {
		t.Fatal(err)
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
		if got := fmt.Sprintf(verb, p); got != "[parameters]" {
			t.Errorf("%s shows %s", verb, got)
		}
	}
}

func TestZeroParamsHaveNothing(t *testing.T) {
	var p Params
	if p.Has("a") || p.Value("a") != "" || p.Values("a") != nil {
		t.Error("something is there")
	}
}

func FuzzParseParams(f *testing.F) {
	f.Add("grant_type=client_credentials&scope=a+b&resource=x&resource=y")
	f.Add("a=%zz&a=&=&&;")
	f.Add("scope=a&%73cope=b")
	f.Fuzz(func(t *testing.T, body string) {
		p, err := ParseParams(body, "resource")
		if err != nil {
			if codeOf(t, err) != "invalid_request" {
				t.Fatalf("got %v", err)
			}
			return
		}
		theirs, err := url.ParseQuery(strings.ReplaceAll(body, ";", "%3B"))
		if err != nil {
			t.Fatalf("accepted what net/url refuses: %v", err)
		}
		for name, values := range theirs {
			var sent []string
			for _, v := range values {
				if v != "" {
					sent = append(sent, v)
				}
			}
			if got := p.Values(name); !reflect.DeepEqual(got, sent) {
				t.Fatalf("%q: got %q, net/url reads %q", name, got, sent)
			}
			if len(sent) > 1 && name != "resource" {
				t.Fatalf("%q is there %d times", name, len(sent))
			}
		}
	})
}

func BenchmarkParseParams(b *testing.B) {
	body := "grant_type=client_credentials&scope=read%3Aorders&client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer&client_assertion=" + strings.Repeat("a", 500)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ParseParams(body, "resource"); err != nil {
			b.Fatal(err)
		}
	}
}
