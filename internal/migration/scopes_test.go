package migration

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/offkey/offkey/internal/policy"
	"github.com/offkey/offkey/internal/traffic"
)

func TestScopesThatCallsNeeded(t *testing.T) {
	open := route(t, "GET /v1/health")
	open.Open = true
	rules := policy.Ruleset{}.Build([]policy.Route{
		open, route(t, "GET /v1/orders/**", "orders:read"), route(t, "POST /v1/orders", "orders:write", "audit:write"), route(t, "GET /v1/free"),
		route(t, "GET /v1/reports/2026", "reports:old"), route(t, "GET /v1/reports/{id}", "reports:read"),
		route(t, "/v1/admin/**", "admin:all"),
	}, nil)
	tests := []struct {
		name string
		rows []traffic.Row
		want string
	}{
		{"those of the route", []traffic.Row{seen("", "GET", "/v1/orders/{id}", 1)}, "orders:read"},
		{"all of them", []traffic.Row{seen("", "POST", "/v1/orders", 1)}, "audit:write orders:write"},
		{"HEAD reads", []traffic.Row{seen("", "HEAD", "/v1/orders", 1)}, "orders:read"},
		{"an open route needs none", []traffic.Row{seen("", "GET", "/v1/health", 1)}, ""},
		{"a route without scopes needs none", []traffic.Row{seen("", "GET", "/v1/free", 1)}, ""},
		{"without a route one is named", []traffic.Row{seen("", "DELETE", "/v1/users/{id}", 1)}, "delete:users"},
		{"refused by the API", []traffic.Row{seen("", "GET", "/v1/orders", 1, status(403)), seen("", "GET", "/v1/admin", 1, status(404))}, ""},
		{"OPTIONS, which the API answers to everybody", []traffic.Row{seen("", "OPTIONS", "/v1/admin/users", 1, status(204)), seen("", "OPTIONS", "/v1/users", 1)}, ""},
		{"failed at the API", []traffic.Row{seen("", "GET", "/v1/orders", 1, status(500))}, ""},
		{"redirected", []traffic.Row{seen("", "GET", "/v1/orders", 1, status(302))}, ""},
		{"not modified", []traffic.Row{seen("", "GET", "/v1/orders", 1, status(304))}, "orders:read"},
		{"created", []traffic.Row{seen("", "POST", "/v1/users", 1, status(201))}, "create:users"},
		{"which of two routes it was is not told", []traffic.Row{seen("", "GET", "/v1/reports/{id}", 1)}, ""},
		{"a literal that is no identifier is told apart", []traffic.Row{seen("", "GET", "/v1/reports/latest", 1)}, "reports:read"},
		{"beyond the limits of traffic", []traffic.Row{seen("", "*", "/**", 1)}, ""},
		{"would be refused, and was not", []traffic.Row{seen("", "GET", "/v1/orders", 1, outcome("shadow:insufficient_scope"))}, "orders:read"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := newScopeFold(rules)
			for _, r := range tt.rows {
				f.add(r)
			}
			if got := namesOf(f.list()).String(); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestAScopeUseKnowsItsFirstAndLastCall(t *testing.T) {
	f := newScopeFold(policy.Ruleset{}.Build(nil, nil))
	for _, d := range []time.Duration{3, 9, 1} {
		f.add(seen("", "GET", "/v1/orders", int64(d), ago(d*24*time.Hour)))
	}
	f.add(seen("", "GET", "/v1/orders", 100, ago(20*24*time.Hour), status(401)))
	uses := f.list()
	if len(uses) != 1 || uses[0].Calls != 13 || uses[0].Class != ClassRead || !uses[0].FirstSeen.Equal(noon.Add(-9*24*time.Hour)) || !uses[0].LastSeen.Equal(noon.Add(-24*time.Hour)) {
		t.Errorf("%+v", uses)
	}
}

func TestAClientNeverNeedsMoreScopesThanARequestCanName(t *testing.T) {
	f := newScopeFold(policy.Ruleset{}.Build(nil, nil))
	for i := range 500 {
		f.add(seen("", "GET", fmt.Sprintf("/v1/%s%d", strings.Repeat("r", 3), i), 1))
	}
	if n := len(f.list()); n != maxScopes {
		t.Errorf("%d scopes", n)
	}
}
