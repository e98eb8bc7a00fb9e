package migration

import (
	"testing"

	"github.com/offkey/offkey/internal/apikey"
	"github.com/offkey/offkey/internal/client"
	"github.com/offkey/offkey/internal/oauth"
	"github.com/offkey/offkey/internal/policy"
	"github.com/offkey/offkey/internal/traffic"
)

// What a token was bound to, and how its person signed in, no record keeps. The
// plan says so, unless the registration of the client leaves no choice.
func TestAPlanDoesNotGuessWhatATokenWasBoundTo(t *testing.T) {
	bound, strong := route(t, "GET /bound", "a"), route(t, "GET /strong", "a")
	bound.DPoP, strong.ACR = true, []string{"urn:mfa"}
	rules := policy.Ruleset{Stage: apikey.Observe, Enforce: policy.On}.Build([]policy.Route{bound, strong}, nil)
	clients := map[string]*client.Client{}
	add := func(id string, scope string, grant string, dpop bool) {
		clients[id] = &client.Client{ID: id, Status: client.Active, Scopes: oauth.Scope{scope}, Grants: []string{grant}, Details: client.Details{DPoPBound: dpop}}
	}
	add("machine", "a", oauth.GrantClientCredentials, false)
	add("sealed", "a", oauth.GrantClientCredentials, true)
	add("app", "a", oauth.GrantAuthorizationCode, false)
	add("narrow", "b", oauth.GrantAuthorizationCode, false)
	for _, tt := range []struct{ id, path, want string }{
		{"machine", "/bound", "undecidable proof_unknown"},
		{"sealed", "/bound", "allowed"},
		{"narrow", "/bound", "denied dpop_required"}, // it lacks the scope as well
		{"machine", "/strong", "denied insufficient_user_authentication"},
		{"app", "/strong", "undecidable sign_in_unknown"},
		{"narrow", "/strong", "denied insufficient_user_authentication"},
		{"gone", "/bound", "undecidable proof_unknown"},
	} {
		f, err := newPlanFold(PlanRequest{}, rules, callers{apikeys: map[string]*apikey.Key{}, clients: clients})
		if err != nil {
			t.Fatal(err)
		}
		f.add(seen(tt.id, "GET", tt.path, 3, kind(traffic.KindClient)))
		p := f.result()
		checkSums(t, p)
		got := "allowed"
		switch {
		case len(p.Callers) > 0:
			got = "denied " + p.Callers[0].Reason
		case len(p.Undecided) > 0:
			got = "undecidable " + p.Undecided[0].Reason
		}
		if got != tt.want {
			t.Errorf("%s at %s: %s, want %s", tt.id, tt.path, got, tt.want)
		}
		for _, c := range append(p.Callers, p.Undecided...) {
			if c.Fix == "" {
				t.Errorf("%s at %s: nothing is said to do", tt.id, tt.path)
			}
		}
	}
}
