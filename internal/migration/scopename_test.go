package migration

import (
	"testing"

	"github.com/offkey/offkey/internal/oauth"
)

func TestScopeName(t *testing.T) {
	tests := []struct{ method, template, want string }{
		{"GET", "/v1/orders", "read:orders"},
		{"HEAD", "/v1/orders/{id}", "read:orders"},
		{"POST", "/v1/orders", "create:orders"},
		{"PUT", "/v1/orders/{id}", "update:orders"},
		{"PATCH", "/v1/orders/{id}", "update:orders"},
		{"DELETE", "/v1/orders/{id}", "delete:orders"},
		{"GET", "/orders", "read:orders"},
		{"GET", "/api/v2.1/orders", "read:orders"},
		{"GET", "/rest/api/{id}/issue", "read:issue"},
		{"GET", "/api", "read:api"},
		{"GET", "/2024-01/products", "read:products"},
		{"GET", "/{id}/files", "read:files"},
		{"GET", "/", "read:root"},
		{"GET", "/{id}", "read:root"},
		{"POST", "/v1/orders/search", "read:orders"},
		{"POST", "/v1/orders/{id}/validate", "read:orders"},
		{"POST", "/v1/orders:batchGet", "read:orders"},
		{"POST", "/v1/orders:cancel", "create:orders"},
		{"POST", "/odata/Orders/$query", "read:odata"},
		{"PUT", "/v1/teams/{id}/members/{id}", "admin:teams"},
		{"DELETE", "/v1/projects/{id}/grants/{id}", "admin:projects"},
		{"GET", "/v1/teams/{id}/members", "read:teams"},
		{"POST", "/v1/members", "create:members"}, // of nothing else
		{"GET", "/v1/a b\"c\\é", "read:a_b_c__"},
		{"GET", "/v1/orders/**", "read:orders"},
		{"GET", "/**", ""},
		{"*", "/v1/orders", ""},
		{"PURGE", "/v1/orders", ""},
	}
	for _, tt := range tests {
		t.Run(tt.method+" "+tt.template, func(t *testing.T) {
			got, ok := scopeName(tt.method, tt.template)
			if got != tt.want || ok != (tt.want != "") {
				t.Errorf("got %q, %v, want %q", got, ok, tt.want)
			}
			if ok && !oauth.IsScopeName(got) {
				t.Errorf("%q is no scope name", got)
			}
		})
	}
}

func TestClassOf(t *testing.T) {
	for scope, want := range map[string]Class{
		"read:orders": ClassRead, "orders:read": ClassRead, "orders.readonly": ClassRead, "https://x.example/auth/orders.readonly": ClassRead,
		"create:orders": ClassWrite, "orders.write": ClassWrite, "delete:orders": ClassWrite, "read_write:orders": ClassWrite, "orders": ClassWrite, "offline_access": ClassWrite,
		"admin:orders": ClassAdmin, "read:admin": ClassAdmin, "org.admin.read": ClassAdmin, "Admin": ClassAdmin, "orders:manage": ClassAdmin,
		"readable:orders": ClassWrite, // not the word
	} {
		if got := ClassOf(scope); got != want {
			t.Errorf("%s is %s, want %s", scope, got, want)
		}
	}
}

func FuzzScopeName(f *testing.F) {
	f.Add("GET", "/v1/orders/{id}")
	f.Add("POST", "/a:b/$x")
	f.Add("PUT", "//::/members")
	f.Fuzz(func(t *testing.T, method, template string) {
		if name, ok := scopeName(method, template); ok && !oauth.IsScopeName(name) {
			t.Fatalf("%s %q needs %q, which is no scope name", method, template, name)
		}
	})
}
