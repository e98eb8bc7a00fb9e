package openapi

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
)

func rewriting(mode string) Rewriting {
	return Rewriting{Mode: mode, Issuer: "https://auth.example.com/", Scopes: []Scope{{"create:orders", "Create orders."}, {"read:orders", "Read orders."}},
		AnyOf: map[string][][]string{"POST /v1/orders": {{"create:orders"}}, "PUT /api/a/{id}.json": {{"x"}, {"y", "z"}}}}
}

func shop() string {
	return strings.Replace(three, "    $ref: \"#/components/pathItems/order\"\n", "    # keep me\n    delete: {responses: {\"204\": {description: gone}}}\n", 1)
}

func TestRewriteAddsOAuthAndKeepsTheRest(t *testing.T) {
	for mode, want := range map[string]struct {
		has, hasNot []string
	}{
		"add":       {[]string{"# keep me", "tokenUrl: https://auth.example.com/token", "create:orders: Create orders.", "name: X-API-Key"}, []string{"Deprecated"}},
		"deprecate": {[]string{"Deprecated: use OAuth 2.0.", "name: X-API-Key", "deprecated: true"}, nil},
		"remove":    {[]string{"create:orders: Create orders."}, []string{"X-API-Key"}},
	} {
		t.Run(mode, func(t *testing.T) {
			out, err := Rewrite([]byte(shop()), rewriting(mode))
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range want.has {
				if !strings.Contains(string(out), s) {
					t.Errorf("%q is missing in\n%s", s, out)
				}
			}
			for _, s := range want.hasNot {
				if strings.Contains(string(out), s) {
					t.Errorf("%q is in\n%s", s, out)
				}
			}
			again, err := Read(out)
			if err != nil {
				t.Fatal(err)
			}
			i := slices.IndexFunc(again.Operations, func(o Operation) bool { return o.Method == "POST" })
			if got := again.Operations[i].AnyOf; len(got) != 1 || got[0][0] != "create:orders" {
				t.Errorf("the operation asks for %v", got)
			}
			twice, err := Rewrite(out, rewriting(mode))
			if err != nil || string(twice) != string(out) {
				t.Errorf("a second time changes it: %v\n%s", err, twice)
			}
		})
	}
}

func TestRewriteOfJSONIsJSONInTheSameOrder(t *testing.T) {
	out, err := Rewrite([]byte(two), rewriting("add"))
	if err != nil || !json.Valid(out) {
		t.Fatalf("%v\n%s", err, out)
	}
	if a, b := strings.Index(string(out), `"swagger"`), strings.Index(string(out), `"paths"`); a < 0 || b < a {
		t.Errorf("the order changed:\n%s", out)
	}
	d, err := Read(out)
	if err != nil || len(d.Operations[1].AnyOf) != 3 {
		t.Errorf("%v, %+v", err, d.Operations)
	}
}

func TestRewriteRefusesWhatItDoesNotKnow(t *testing.T) {
	if _, err := Rewrite([]byte(shop()), rewriting("delete")); err == nil {
		t.Error("mode delete is taken")
	}
	bomb := strings.Replace(two, `"swagger":"2.0"`, `"x": &x [*x, *x], "swagger": "2.0"`, 1)
	if out, err := Rewrite([]byte(bomb), rewriting("add")); err == nil {
		t.Errorf("JSON that holds itself is rewritten: %.200s", out)
	}
	if _, err := Rewrite([]byte("a: 1"), rewriting("add")); err == nil {
		t.Error("what is no document is rewritten")
	}
}

func FuzzRewrite(f *testing.F) {
	f.Add(three, "add")
	f.Add(two, "remove")
	f.Fuzz(func(t *testing.T, doc, mode string) {
		out, err := Rewrite([]byte(doc), rewriting(mode))
		if err != nil {
			return
		}
		if strings.HasPrefix(strings.TrimSpace(strings.TrimPrefix(doc, "\ufeff")), "{") && !json.Valid(out) {
			t.Fatalf("JSON became\n%s", out)
		}
	})
}
