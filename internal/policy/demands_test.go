package policy

import (
	"strings"
	"testing"
	"time"

	"github.com/offkey/offkey/internal/apikey"
	"github.com/offkey/offkey/internal/oauth"
)

func TestDecideOnDemands(t *testing.T) {
	bound := mustRoute(t, "GET /bound", "a")
	bound.DPoP = true
	strong := mustRoute(t, "GET /strong", "a")
	strong.ACR, strong.MaxAge = []string{"urn:mfa", "urn:key"}, 300
	recent := mustRoute(t, "GET /recent")
	recent.MaxAge = 300
	rs := func(enforce Enforce) *Ruleset {
		return Ruleset{Stage: apikey.Observe, Enforce: enforce}.Build([]Route{bound, strong, recent}, nil)
	}
	token := func(change func(*Principal)) Principal {
		p := Principal{Kind: TokenClient, ID: "cl_1", ClientID: "cl_1", Scope: oauth.Scope{"a"}}
		change(&p)
		return p
	}
	person := func(acr string, ago time.Duration) Principal {
		return token(func(p *Principal) { p.ACR, p.AuthTime = acr, noon.Add(-ago) })
	}
	for _, tt := range []struct {
		name      string
		principal Principal
		path      string
		on        string
	}{
		{"a bound token", token(func(p *Principal) { p.DPoP = true }), "/bound", "token"},
		{"checklist_148 a bearer token", token(func(*Principal) {}), "/bound", "401 dpop_required"},
		{"a bound token without the scope", token(func(p *Principal) { p.DPoP, p.Scope = true, nil }), "/bound", "403 insufficient_scope"},
		{"an apikey, which nothing can bind", Principal{Kind: KnownAPIKey, ID: "ak_1"}, "/bound", "apikey"},
		{"nobody", Principal{}, "/bound", "401 credential_missing"},
		{"checklist_175 strong and recent", person("urn:key", time.Minute), "/strong", "token"},
		{"checklist_175 exactly as old as may be", person("urn:mfa", 5*time.Minute), "/strong", "token"},
		{"checklist_175 too weak", person("urn:pwd", time.Minute), "/strong", "401 insufficient_user_authentication"},
		{"checklist_175 too old", person("urn:mfa", 5*time.Minute+time.Second), "/strong", "401 insufficient_user_authentication"},
		{"checklist_175 without a person", token(func(*Principal) {}), "/strong", "401 insufficient_user_authentication"},
		{"checklist_175 recent only, without a person", token(func(*Principal) {}), "/recent", "401 insufficient_user_authentication"},
		{"checklist_175 recent only", person("", time.Minute), "/recent", "token"},
		{"a proof that does not hold, enforced or not", Principal{Kind: BadToken, Bad: CodeUseNonce}, "/bound", "401 use_dpop_nonce"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := short(rs(On).Decide(tt.principal, get(tt.path))); got != tt.on {
				t.Errorf("enforced: %q, want %q", got, tt.on)
			}
			shadow := rs(Shadow).Decide(tt.principal, get(tt.path))
			if bad := tt.principal.Kind == BadToken; shadow.Denied() != bad {
				t.Errorf("shadow refuses: %v", shadow.Denied())
			}
			if refused, code, _ := strings.Cut(tt.on, " "); refused[0] == '4' && shadow.Allow && shadow.Shadow != code {
				t.Errorf("shadow counts %q, want %q", shadow.Shadow, code)
			}
		})
	}
}

func TestWhichDemandsAreRefused(t *testing.T) {
	for name, d := range map[string]Demands{
		"too many": {ACR: make([]string, 17)}, "an empty one": {ACR: []string{""}}, "a space": {ACR: []string{"a b"}}, "a quote": {ACR: []string{`a"b`}},
		"not ASCII": {ACR: []string{"ä"}}, "negative": {MaxAge: -1}, "more than a year": {MaxAge: 400 * 24 * 60 * 60},
	} {
		if d.Check() == nil {
			t.Errorf("%s is taken", name)
		}
	}
	if err := (Demands{DPoP: true, ACR: []string{"urn:mfa"}, MaxAge: 60}).Check(); err != nil {
		t.Error(err)
	}
}
