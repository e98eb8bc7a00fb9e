package interop

import (
	"strings"
	"testing"
)

// Auth0's middleware wants typ, iss, aud, exp, iat, sub, client_id and jti of RFC
// 9068 in strict mode, and reads keys by discovery.
func TestAuth0MiddlewareTakesOurTokens(t *testing.T) {
	s := newSociety(t, `  - {id: caller, auth: client_secret_basic, secret: %[5]s, scopes: [read:orders, other], resources: ["http://%[3]s", "https://other.example"]}
`)
	good := s.clientToken(t, "caller", "read:orders", s.Gateway)
	parts := strings.Split(good, ".")
	tokens := map[string]string{
		"good": good, "without scope": s.clientToken(t, "caller", "other", s.Gateway), "for another API": s.clientToken(t, "caller", "read:orders", "https://other.example"),
		"changed": parts[0] + "." + parts[1] + "." + strings.Repeat("A", len(parts[2])),
	}
	var got map[string]struct {
		Client string
		Status int
		Error  string
	}
	output(t, nodeScript(t, "api.js"), map[string]any{"issuer": s.Issuer, "audience": s.Gateway, "alg": "ES256", "scope": "read:orders", "tokens": tokens}, &got)
	if got["good"].Client != "caller" {
		t.Errorf("good: %+v", got["good"])
	}
	for name, want := range map[string]struct {
		status int
		part   string
	}{"without scope": {403, "Insufficient Scope"}, "for another API": {401, "aud"}, "changed": {401, "signature"}} {
		if g := got[name]; g.Status != want.status || !strings.Contains(g.Error, want.part) {
			t.Errorf("%s: %+v, want %d with %q", name, g, want.status, want.part)
		}
	}
}
