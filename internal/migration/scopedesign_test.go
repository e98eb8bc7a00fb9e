package migration

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/offkey/offkey/internal/oauth"
)

// designOf names the operations, each "METHOD /template [tag]".
func designOf(actions Actions, operations ...string) map[string]string {
	var in []APIOperation
	for _, o := range operations {
		fields := strings.SplitN(o, " ", 3)
		op := APIOperation{Method: fields[0], Template: fields[1]}
		if len(fields) > 2 {
			op.Tags = []string{fields[2]}
		}
		in = append(in, op)
	}
	out := map[string]string{}
	for _, op := range DesignScopes(in, actions).Operations {
		out[op.Method+" "+op.Template] = fmt.Sprint(op.AnyOf)
	}
	return out
}

// shop is an API of our own whose paths begin with the service's name.
var shop = []string{
	"GET /shop/v1/products", "POST /shop/v1/products", "GET /shop/v1/products/{id}", "PATCH /shop/v1/products/{id}", "DELETE /shop/v1/products/{id}",
	"POST /shop/v1/products/search", "GET /shop/v1/carts/{id}", "POST /shop/v1/carts", "PUT /shop/v1/carts/{id}/lines/{line}", "POST /shop/v1/carts/{id}/checkout",
	"POST /shop/v1/orders/{id}:refund", "POST /shop/v1/orders:batchGet", "GET /shop/v1/orders/{id}.pdf", "POST /shop/v1/shipping/estimateRates",
	"PUT /shop/v1/teams/{id}/members/{user}", "GET /shop/v1/teams/{id}/members", "POST /shop/v1/teams/{id}/permissions",
}

// forge is one of our own in the nested style of code hosting.
var forge = []string{
	"GET /repos/{owner}/{repo}", "GET /repos/{owner}/{repo}/issues Issues", "POST /repos/{owner}/{repo}/issues Issues", "PATCH /repos/{owner}/{repo}/issues/{number} Issues",
	"GET /orgs/{org}/issues Issues", "GET /issues Issues", "POST /issues/{number}/comments Issue comments", "GET /orgs/{org}/teams Teams", "GET /teams/{id} Teams",
	"PUT /orgs/{org}/memberships/{user} Organizations", "GET /account/keys Deploy Keys", "DELETE /account/keys/{id} Deploy Keys", "GET /account/mail/keys Mail", "GET /search/code Search",
}

func TestDesignOfAnAPIBehindTheNameOfItsService(t *testing.T) {
	got := designOf(ActionsAuto, shop...)
	for op, want := range map[string]string{
		"GET /shop/v1/products": "[[read:products]]", "POST /shop/v1/products": "[[create:products]]", "PATCH /shop/v1/products/{id}": "[[update:products]]",
		"POST /shop/v1/products/search": "[[read:products]]", "POST /shop/v1/carts/{id}/checkout": "[[update:carts]]", "POST /shop/v1/orders/{id}:refund": "[[update:orders]]",
		"POST /shop/v1/orders:batchGet": "[[read:orders]]", "GET /shop/v1/orders/{id}.pdf": "[[read:orders]]", "POST /shop/v1/shipping/estimateRates": "[[read:shipping]]",
		"PUT /shop/v1/teams/{id}/members/{user}": "[[admin:teams]]", "GET /shop/v1/teams/{id}/members": "[[read:teams]]", "POST /shop/v1/teams/{id}/permissions": "[[admin:teams]]",
	} {
		if got[op] != want {
			t.Errorf("%s needs %s, want %s", op, got[op], want)
		}
	}
}

func TestTheTagMovesAnOperationToTheResourceThatItNames(t *testing.T) {
	got := designOf(ActionsAuto, forge...)
	for op, want := range map[string]string{
		"GET /repos/{owner}/{repo}": "[[read:repos]]", "GET /repos/{owner}/{repo}/issues": "[[read:issues]]", "GET /orgs/{org}/issues": "[[read:issues]]",
		"GET /orgs/{org}/teams": "[[read:teams]]", "PUT /orgs/{org}/memberships/{user}": "[[admin:orgs]]", "POST /issues/{number}/comments": "[[create:issues]]",
		"GET /account/keys": "[[read:deploy_keys]]", "DELETE /account/keys/{id}": "[[delete:deploy_keys]]",
	} {
		if got[op] != want {
			t.Errorf("%s needs %s, want %s", op, got[op], want)
		}
	}
}

func TestDeclaredScopesStay(t *testing.T) {
	d := DesignScopes([]APIOperation{
		{Method: "GET", Template: "/a", Declared: [][]string{{"a.read"}, {"a.all", "b"}}},
		{Method: "GET", Template: "/health", Open: true},
		{Method: "POST", Template: "/a"},
	}, ActionsAuto)
	var names []string
	for _, s := range d.Scopes {
		names = append(names, s.Name)
	}
	if got := fmt.Sprint(names, d.Operations[0].AnyOf, d.Operations[2].AnyOf); got != "[a.all a.read b create:a] [[a.read] [a.all b]] []" {
		t.Error(got)
	}
}

func TestAVocabularyThatNobodyReadsTellsApartLess(t *testing.T) {
	var many []string
	for i := range 60 {
		for _, m := range []string{"GET", "POST", "DELETE"} {
			many = append(many, fmt.Sprintf("%s /r%c%c/{id}", m, 'a'+i/26, 'a'+i%26))
		}
	}
	if got := designOf(ActionsAuto, many...)["DELETE /rab/{id}"]; got != "[[write:rab]]" {
		t.Error(got)
	}
	if got := designOf(ActionsFine, many...)["DELETE /rab/{id}"]; got != "[[delete:rab]]" {
		t.Error(got)
	}
}

func TestDesignDoesNotDependOnTheOrder(t *testing.T) {
	back := slices.Clone(forge)
	slices.Reverse(back)
	if a, b := designOf(ActionsAuto, forge...), designOf(ActionsAuto, back...); fmt.Sprint(a) != fmt.Sprint(b) {
		t.Errorf("%v\n%v", a, b)
	}
}

func FuzzDesignScopes(f *testing.F) {
	f.Add("POST", "/v1/orders:batchGet", "SSH Keys")
	f.Add("PUT", "//a(b={c})/{}/$query", "")
	f.Fuzz(func(t *testing.T, method, template, tag string) {
		d := DesignScopes([]APIOperation{{Method: method, Template: template, Tags: []string{tag}}, {Method: "GET", Template: "/x/{id}"}}, ActionsAuto)
		for _, op := range d.Operations {
			for _, alternative := range op.AnyOf {
				for _, s := range alternative {
					if !oauth.IsScopeName(s) {
						t.Fatalf("%q is no scope name", s)
					}
				}
			}
		}
	})
}
