package client

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/offkey/offkey/internal/jose"
)

func TestAStarCrossesNoSeparator(t *testing.T) {
	tests := []struct {
		pattern, text string
		want          bool
	}{
		{"repo:acme/shop:ref:refs/heads/main", "repo:acme/shop:ref:refs/heads/main", true},
		{"repo:acme/shop:ref:refs/heads/main", "repo:acme/shop:ref:refs/heads/main2", false},
		{"repo:acme/shop:ref:refs/heads/main", "repo:acme/shop:ref:refs/heads/Main", false},
		{"repo:acme/*:environment:prod", "repo:acme/shop:environment:prod", true},
		{"repo:acme/*:environment:prod", "repo:acme/a:b:environment:prod", false},
		{"repo:acme/*:environment:prod", "repo:acme/a/b:environment:prod", false},
		{"repo:acme/*:environment:prod", "repo:acme/:environment:prod", false},
		{"repo:acme/*:environment:prod", "repo:acme/shop:environment:prod:x", false},
		{"repo:acme/shop:**", "repo:acme/shop:ref:refs/heads/a/b", true},
		{"repo:acme/shop:**", "repo:acme/shop:", false},
		{"repo:acme/shop:**", "repo:acme/shop2:ref:x", false},
		{"repo:acme/shop:**", "repo:acme/shop", false},
		{"repo:acme/*:**", "repo:acme/x:pull_request", true},
		{"repo:acme/*:**", "repo:acme-evil/x:pull_request", false},
		{"refs/heads/release-*", "refs/heads/release-1.2", true},
		{"refs/heads/release-*", "refs/heads/release-", false},
		{"refs/heads/release-*", "refs/heads/release-1/2", false},
		{"a*b*c", "aXbYc", true}, {"a*b*c", "aXbYcb", false}, {"a*b*c", "abc", false}, {"a*b*c", "aabbcc", true}, {"a*b*c", "aXbXbYc", true},
		{"*", "x", true}, {"*", "", false}, {"*", "a:b", false}, {"**", "a:b/c", true}, {"**", "", false},
		{"system:serviceaccount:prod:*", "system:serviceaccount:prod:api", true},
		{"system:serviceaccount:prod:*", "system:serviceaccount:prod:api:x", false},
		{"spiffe://acme.example/ns/*/sa/api", "spiffe://acme.example/ns/prod/sa/api", true},
		{"spiffe://acme.example/ns/*/sa/api", "spiffe://acme.example/ns/a/b/sa/api", false},
		{"spiffe://acme.example/**", "spiffe://acme.example.evil/ns", false},
		{"", "", false}, {"a**", "ab", false}, {"**a", "ba", false}, {"a/**/b", "a/x/b", false},
	}
	for _, tt := range tests {
		if got := Pattern(tt.pattern).Matches(tt.text); got != tt.want {
			t.Errorf("%q and %q: %v", tt.pattern, tt.text, got)
		}
	}
}

func FuzzPattern(f *testing.F) {
	for _, seed := range []string{"repo:acme/*:**", "a*b*c", "**", "a/b", "spiffe://td/*"} {
		f.Add(seed, "repo:acme/x:y")
	}
	f.Fuzz(func(t *testing.T, pattern, text string) {
		p := Pattern(pattern)
		got := p.Matches(text)
		fixed := !strings.Contains(pattern, "*")
		switch {
		case fixed && got != (pattern == text && p.check() == nil):
			t.Errorf("%q and %q: %v", pattern, text, got)
		case got && !strings.HasSuffix(pattern, "**") && strings.Count(pattern, ":") != strings.Count(text, ":"):
			t.Errorf("%q matches %q across a separator", pattern, text)
		case got && !strings.HasSuffix(pattern, "**") && strings.Count(pattern, "/") != strings.Count(text, "/"):
			t.Errorf("%q matches %q across a separator", pattern, text)
		case got && !strings.HasPrefix(text, pattern[:strings.IndexByte(pattern+"*", '*')]):
			t.Errorf("%q matches %q, which begins otherwise", pattern, text)
		}
	})
}

func TestWhereTokensComeFromFillsInTheRest(t *testing.T) {
	for from, want := range map[string]TrustRule{
		"github:acme/shop":                          {Kind: TrustGitHub, Issuer: issuerGitHub, Subject: "repo:acme/shop:**"},
		"github:acme/shop:ref:refs/heads/main":      {Kind: TrustGitHub, Issuer: issuerGitHub, Subject: "repo:acme/shop:ref:refs/heads/main"},
		"github:acme/*:environment:prod":            {Kind: TrustGitHub, Issuer: issuerGitHub, Subject: "repo:acme/*:environment:prod"},
		"gitlab:acme/sub/shop":                      {Kind: TrustGitLab, Issuer: issuerGitLab, Subject: "project_path:acme/sub/shop:**"},
		"gitlab:acme/shop:ref_type:branch:ref:main": {Kind: TrustGitLab, Issuer: issuerGitLab, Subject: "project_path:acme/shop:ref_type:branch:ref:main"},
		"kubernetes:https://k8s.example":            {Kind: TrustKubernetes, Issuer: "https://k8s.example", Reusable: true},
		"spiffe://acme.example":                     {Kind: TrustSPIFFE, Issuer: "spiffe://acme.example", Reusable: true},
		"spiffe://acme.example/ns/*/sa/api":         {Kind: TrustSPIFFE, Issuer: "spiffe://acme.example", Reusable: true, Subject: "spiffe://acme.example/ns/*/sa/api"},
		"https://login.example/realms/a":            {Kind: TrustOIDC, Issuer: "https://login.example/realms/a"},
	} {
		got, err := TrustFrom(from)
		if err != nil || got.Kind != want.Kind || got.Issuer != want.Issuer || got.Subject != want.Subject || got.Reusable != want.Reusable || got.MaxAge == 0 {
			t.Errorf("%s: %+v, %v", from, got, err)
		}
	}
	for _, from := range []string{"", "github:acme", "github:/x", "github:acme/", "github:*/shop", "github:acme/a/b", "gitlab:acme", "gitlab:*/shop", "gitlab:acme/", "ftp://x", "acme/shop"} {
		if r, err := TrustFrom(from); err == nil {
			t.Errorf("%q is %+v", from, r)
		}
	}
}

// aRule is one that may be used.
func aRule(change func(*TrustRule)) *TrustRule {
	r := &TrustRule{ID: "tr_1", For: TrustClient, ClientID: "ci", Kind: TrustOIDC, Issuer: "https://ci.example", Subject: "job:*", MaxAge: time.Hour}
	if change != nil {
		change(r)
	}
	return r
}

func TestARuleThatTrustsMoreThanItSaysIsRefused(t *testing.T) {
	if err := aRule(nil).Check(); err != nil {
		t.Fatal(err)
	}
	key := publicKey(t)
	for name, change := range map[string]func(*TrustRule){
		"the zero rule":            func(r *TrustRule) { *r = TrustRule{} },
		"no client":                func(r *TrustRule) { r.ClientID = "" },
		"statements and a client":  func(r *TrustRule) { r.For = TrustStatements },
		"people and a client":      func(r *TrustRule) { r.For = TrustPeople },
		"people of a platform":     func(r *TrustRule) { r.For, r.ClientID, r.Kind = TrustPeople, "", TrustGitHub },
		"people, again and again":  func(r *TrustRule) { r.For, r.ClientID, r.Reusable = TrustPeople, "", true },
		"an unknown purpose":       func(r *TrustRule) { r.For = "all" },
		"no issuer":                func(r *TrustRule) { r.Issuer = "" },
		"an issuer with a query":   func(r *TrustRule) { r.Issuer = "https://ci.example/?a" },
		"an issuer with a user":    func(r *TrustRule) { r.Issuer = "https://a@ci.example" },
		"an issuer that is no URL": func(r *TrustRule) { r.Issuer = "ci" },
		"keys by ftp":              func(r *TrustRule) { r.JWKSURI = "ftp://ci.example/keys" },
		"keys twice": func(r *TrustRule) {
			r.JWKSURI = "https://ci.example/k"
			r.Keys = jose.KeySet{Keys: []jose.PublicKey{key}}
		},
		"no subject":                    func(r *TrustRule) { r.Subject = "" },
		"everybody":                     func(r *TrustRule) { r.Subject = "**" },
		"everybody in pieces":           func(r *TrustRule) { r.Subject = "*:*/*" },
		"a broken subject":              func(r *TrustRule) { r.Subject = "a**b" },
		"a condition without values":    func(r *TrustRule) { r.Where = []Condition{{Claim: "a"}} },
		"a condition without a claim":   func(r *TrustRule) { r.Where = []Condition{{AnyOf: []Pattern{"a"}}} },
		"a condition with an empty one": func(r *TrustRule) { r.Where = []Condition{{Claim: "a", AnyOf: []Pattern{""}}} },
		"too many conditions":           func(r *TrustRule) { r.Where = make([]Condition, 21) },
		"an empty audience":             func(r *TrustRule) { r.Audience = []string{""} },
		"too many audiences":            func(r *TrustRule) { r.Audience = make([]string, 21) },
		"tokens of any age":             func(r *TrustRule) { r.MaxAge = 0 },
		"tokens of last week":           func(r *TrustRule) { r.MaxAge = 168 * time.Hour },
		"SPIFFE without a bundle": func(r *TrustRule) {
			r.Kind, r.Issuer, r.Subject = TrustSPIFFE, "spiffe://acme.example", "spiffe://acme.example/a"
		},
		"SPIFFE in another trust domain": func(r *TrustRule) {
			r.Kind, r.Issuer, r.Subject, r.JWKSURI = TrustSPIFFE, "spiffe://acme.example", "spiffe://acme.example.evil/a", "https://b.example"
		},
		"SPIFFE with a path as domain": func(r *TrustRule) {
			r.Kind, r.Issuer, r.Subject, r.JWKSURI = TrustSPIFFE, "spiffe://acme/x", "spiffe://acme/x/a", "https://b.example"
		},
	} {
		t.Run(name, func(t *testing.T) {
			if err := aRule(change).Check(); err == nil {
				t.Error("may be used")
			}
		})
	}
	everybody := aRule(func(r *TrustRule) {
		r.Subject, r.Where = "**", []Condition{{Claim: "repository_id", AnyOf: []Pattern{"74"}}}
	})
	people := aRule(func(r *TrustRule) { r.For, r.ClientID, r.Subject = TrustPeople, "", "" })
	if err := people.Check(); err != nil {
		t.Errorf("everybody whom a provider signs in: %v", err)
	}
	if err := everybody.Check(); err != nil {
		t.Errorf("a claim narrows it: %v", err)
	}
}

func publicKey(t *testing.T) jose.PublicKey {
	t.Helper()
	key, err := jose.GenerateSigningKey(jose.ES256)
	if err != nil {
		t.Fatal(err)
	}
	return key.Public()
}

func foreign(t *testing.T, typ string, claims map[string]any) ForeignToken {
	t.Helper()
	raw, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	token, err := ReadForeignToken(typ, raw)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func TestEveryConditionOfARuleMustHold(t *testing.T) {
	// checklist_100, checklist_101
	const ours = "https://auth.example.com"
	good := map[string]any{
		"iss": "https://ci.example", "sub": "job:7", "aud": []string{ours}, "exp": noon.Unix() + 60, "iat": noon.Unix(), "jti": "1",
		"repository": "acme/shop", "run": 7, "main": true, "groups": []string{"a", "deployers"}, "kubernetes.io": map[string]any{"namespace": "prod", "a/b": map[string]any{"c~d": "x"}},
	}
	where := func(claim string, any ...Pattern) func(*TrustRule) {
		return func(r *TrustRule) { r.Where = []Condition{{claim, any}} }
	}
	tests := []struct {
		name   string
		rule   func(*TrustRule)
		typ    string
		claims map[string]any // nil values are left out
		broken string         // the condition that does not hold, "" for none
	}{
		{"a good token", nil, "jwt", nil, ""},
		{"another issuer", nil, "", map[string]any{"iss": "https://ci.example/"}, "issuer"},
		{"no issuer", nil, "", map[string]any{"iss": nil}, "issuer"},
		{"an access token", nil, "at+jwt", nil, "type"},
		{"a DPoP proof", nil, "dpop+jwt", nil, "type"},
		{"another audience", nil, "", map[string]any{"aud": "https://other.example"}, "audience"},
		{"an audience more", nil, "", map[string]any{"aud": []string{ours, "https://other.example"}}, "audience"},
		{"no audience", nil, "", map[string]any{"aud": nil}, "audience"},
		{"an empty audience", nil, "", map[string]any{"aud": []string{}}, "audience"},
		{"our issuer where the rule names another", func(r *TrustRule) { r.Audience = []string{"offkey"} }, "", nil, "audience"},
		{"the audience of the rule", func(r *TrustRule) { r.Audience = []string{"offkey"} }, "", map[string]any{"aud": "offkey"}, ""},
		{"another subject", nil, "", map[string]any{"sub": "job:7:8"}, "subject"},
		{"no subject", nil, "", map[string]any{"sub": nil}, "subject"},
		{"no exp", nil, "", map[string]any{"exp": nil}, "expires"},
		{"expired", nil, "", map[string]any{"exp": noon.Unix() - 31}, "expires"},
		{"expired within the skew", nil, "", map[string]any{"exp": noon.Unix() - 29}, ""},
		{"not yet", nil, "", map[string]any{"nbf": noon.Unix() + 31}, "expires"},
		{"made in the future", nil, "", map[string]any{"iat": noon.Unix() + 31}, "expires"},
		{"made long ago", nil, "", map[string]any{"iat": noon.Unix() - 3631}, "age"},
		{"no iat, and long to live", nil, "", map[string]any{"iat": nil, "exp": noon.Unix() + 3631}, "age"},
		{"no jti", nil, "", map[string]any{"jti": nil}, "jti"},
		{"a jti without end", nil, "", map[string]any{"jti": strings.Repeat("x", 300)}, "jti"},
		{"no jti where it may come again", func(r *TrustRule) { r.Reusable = true }, "", map[string]any{"jti": nil}, ""},
		{"a claim", where("repository", "acme/*"), "", nil, ""},
		{"another claim", where("repository", "acme/other", "acme/third"), "", nil, "claim repository"},
		{"a claim that is not there", where("repo", "**"), "", nil, "claim repo"},
		{"a number", where("run", "7"), "", nil, ""},
		{"another number", where("run", "70"), "", nil, "claim run"},
		{"true", where("main", "true"), "", nil, ""},
		{"one of a list", where("groups", "deployers"), "", nil, ""},
		{"none of a list", where("groups", "deploy"), "", nil, "claim groups"},
		{"a member inside", where("/kubernetes.io/namespace", "prod"), "", nil, ""},
		{"a member deep inside", where("/kubernetes.io/a~1b/c~0d", "x"), "", nil, ""},
		{"another member inside", where("/kubernetes.io/pod", "**"), "", nil, "claim /kubernetes.io/pod"},
		{"an object is no text", where("kubernetes.io", "**"), "", nil, "claim kubernetes.io"},
		{"null is no text", where("repository", "**"), "", map[string]any{"repository": json.RawMessage("null")}, "claim repository"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			claims := map[string]any{}
			for name, v := range good {
				claims[name] = v
			}
			for name, v := range tt.claims {
				if claims[name] = v; v == nil {
					delete(claims, name)
				}
			}
			found := aRule(tt.rule).Judge(foreign(t, tt.typ, claims), ours, noon)
			for _, f := range found {
				if f.OK != (f.Condition != tt.broken) {
					t.Errorf("%s: %v, wanted %s, got %s", f.Condition, f.OK, f.Want, f.Got)
				}
			}
			if AllOK(found) != (tt.broken == "") {
				t.Error("judged otherwise")
			}
		})
	}
	if AllOK(nil) {
		t.Error("no finding is a good one")
	}
}

func TestASPIFFEIDIsInItsTrustDomain(t *testing.T) {
	// checklist_104
	for id, want := range map[string]bool{
		"spiffe://acme.example/ns/prod/sa/api": true, "spiffe://acme.example/a": true,
		"spiffe://acme.example": false, "spiffe://acme.example/": false, "spiffe://acme.example/a/": false, "spiffe://acme.example//a": false,
		"spiffe://acme.example.evil/a": false, "spiffe://evil@acme.example/a": false, "spiffe://acme.example/a/../b": false, "spiffe://acme.example/./a": false,
		"spiffe://acme.example/a?b": false, "spiffe://acme.example/a#b": false, "spiffe://acme.example/%61": false, "SPIFFE://acme.example/a": false, "": false,
		"spiffe://acme.example/" + strings.Repeat("a", 2048): false,
	} {
		if got := InTrustDomain(id, "spiffe://acme.example"); got != want {
			t.Errorf("%q: %v", id, got)
		}
	}
}

func FuzzForeignToken(f *testing.F) {
	f.Add("jwt", []byte(`{"iss":"https://ci.example","sub":"job:7","aud":"https://auth.example.com","exp":1795435260,"iat":1795435200,"jti":"1","g":["a",1,{}]}`))
	f.Add("", []byte(`{"aud":[],"exp":1e400,"kubernetes.io":{"a":[]}}`))
	rule := aRule(func(r *TrustRule) {
		r.Where = []Condition{{"g", []Pattern{"a"}}, {"/kubernetes.io/a", []Pattern{"*"}}}
	})
	f.Add("oauth-id-jag+jwt", []byte(`{"iss":"https://ci.example","sub":"up-7","aud":"https://auth.example.com","client_id":"agent","exp":1795435260,"iat":1795435200,"jti":"1"}`))
	people := aRule(func(r *TrustRule) { r.For, r.ClientID, r.Subject, r.Where = TrustPeople, "", "", nil })
	f.Fuzz(func(t *testing.T, typ string, claims []byte) {
		token, err := ReadForeignToken(typ, claims)
		if err != nil {
			return
		}
		if AllOK(rule.Judge(token, "https://auth.example.com", noon)) && (token.Issuer != rule.Issuer || !strings.HasPrefix(token.Subject, "job:") || token.ID == "") {
			t.Errorf("%s stands for a client", claims)
		}
		if AllOK(people.Judge(token, "https://auth.example.com", noon)) && (token.Type != "oauth-id-jag+jwt" || token.Issuer != people.Issuer || token.Subject == "" || token.ID == "" || len(token.Texts("client_id")) != 1) {
			t.Errorf("%s %s stands for a person", typ, claims)
		}
	})
}
