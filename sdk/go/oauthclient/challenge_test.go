package oauthclient

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseChallenges(t *testing.T) {
	type c = challenge
	type p = map[string]string
	cases := map[string]struct {
		lines []string
		want  []c
	}{
		"RFC 6750 §3": {[]string{`Bearer realm="example", error="invalid_token", error_description="The access token expired"`},
			[]c{{"bearer", p{"realm": "example", "error": "invalid_token", "error_description": "The access token expired"}}}},
		"RFC 9110 §11.6.1": {[]string{`Basic realm="simple", Newauth realm="apps", type=1, title="Login to \"apps\""`},
			[]c{{"basic", p{"realm": "simple"}}, {"newauth", p{"realm": "apps", "type": "1", "title": `Login to "apps"`}}}},
		"RFC 9728 §5.1":         {[]string{`Bearer resource_metadata="https://r.example/.well-known/oauth-protected-resource"`}, []c{{"bearer", p{"resource_metadata": "https://r.example/.well-known/oauth-protected-resource"}}}},
		"two lines":             {[]string{"Basic", "BEARER Error=invalid_token"}, []c{{"basic", p{}}, {"bearer", p{"error": "invalid_token"}}}},
		"bare schemes":          {[]string{"Negotiate, Bearer"}, []c{{"negotiate", p{}}, {"bearer", p{}}}},
		"spaces around =":       {[]string{`Bearer error = "x" , scope= "a b"`}, []c{{"bearer", p{"error": "x", "scope": "a b"}}}},
		"quote never closed":    {[]string{`Bearer error="x`}, []c{{"bearer", p{"error": "x"}}}},
		"backslash at the end":  {[]string{`Bearer error="x\`}, []c{{"bearer", p{"error": "x"}}}},
		"parameter, no scheme":  {[]string{`error="x"`}, nil},
		"twice the same":        {[]string{`Bearer error=a, error=b`}, []c{{"bearer", p{"error": "a"}}}},
		"scheme inside a value": {[]string{`Basic realm="Bearer error=invalid_token"`}, []c{{"basic", p{"realm": "Bearer error=invalid_token"}}}},
		"rubbish":               {[]string{`,,,;;"" =`, ""}, nil},
		"too long":              {[]string{"Bearer error=" + strings.Repeat("x", challengeLimit)}, nil},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, parseChallenges(tc.lines), cmp.AllowUnexported(challenge{})); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func FuzzParseChallenges(f *testing.F) {
	f.Add(`Bearer realm="a\"b", error=x, Basic`)
	f.Add(`"=,;\`)
	f.Fuzz(func(t *testing.T, line string) {
		for _, c := range parseChallenges([]string{line}) {
			if c.scheme == "" {
				t.Error("a challenge without scheme")
			}
		}
	})
}

func FuzzReadRefusal(f *testing.F) {
	f.Add([]byte(`{"error":"invalid_client","error_description":"a\nb"}`))
	f.Add([]byte(`{"code":"x","detail":"\u001b[31m"}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		e := readRefusal("x", &answer{status: 400, body: body})
		if e.Code == "" || strings.ContainsFunc(e.Code+e.Message+e.Fix, func(r rune) bool { return r < 0x20 || r == 0x7f || r == 0x9b }) {
			t.Errorf("%q", e.Error())
		}
	})
}
