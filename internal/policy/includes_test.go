package policy

import (
	"testing"

	"github.com/offkey/offkey/internal/apikey"
	"github.com/offkey/offkey/internal/oauth"
)

func TestABroaderScopeSatisfiesANarrowerOne(t *testing.T) {
	// checklist_223
	includes := map[string]oauth.Scope{
		"admin": {"manage:orders", "a"}, "manage:orders": {"read:orders"},
		"round": {"about"}, "about": {"round", "b"},
	}
	for _, tt := range []struct {
		name, scope, path, want string
	}{
		{"itself", "read:orders", "/v1/orders/7", "token"},
		{"one that includes it", "manage:orders", "/v1/orders/7", "token"},
		{"one that includes one that includes it", "admin", "/v1/orders/7", "token"},
		{"one that includes something else", "about", "/v1/orders/7", "403 insufficient_scope"},
		{"one that has its beginning", "read:orders:all", "/v1/orders/7", "403 insufficient_scope"},
		{"two of two, each included", "admin round", "/v1/both", "token"},
		{"two of two, one included", "admin b", "/v1/both", "token"},
		{"one of two", "admin", "/v1/both", "403 insufficient_scope"},
		{"a narrower one for a broader one", "read:orders", "/v1/admin", "403 insufficient_scope"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			scope, err := oauth.ParseScope(tt.scope)
			if err != nil {
				t.Fatal(err)
			}
			rs := Ruleset{Stage: apikey.Observe, Enforce: On, Includes: includes}.Build([]Route{
				mustRoute(t, "GET /v1/orders/**", "read:orders"), mustRoute(t, "GET /v1/both", "a", "b"), mustRoute(t, "GET /v1/admin", "admin"),
			}, nil)
			if got := short(rs.Decide(Principal{Kind: TokenClient, ID: "cl_1", ClientID: "cl_1", Scope: scope}, get(tt.path))); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
	if len(includes["admin"]) != 2 {
		t.Error("Build changed what it was given")
	}
}
