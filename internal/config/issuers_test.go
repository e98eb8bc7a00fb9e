package config

import (
	"strings"
	"testing"
)

func TestOtherIssuersAreToldApart(t *testing.T) {
	l := parse(t, smallest+"issuers:\n  - {name: corp, issuer: \"https://corp.example\", tokens: jwt, clients: {their-id: cl_1}, scopes: {orders.read: \"read:orders\"}}\n")
	if i := l.Issuers[0]; i.Audience != l.Gateway.Resource || i.Clients["their-id"] != "cl_1" || i.Scopes["orders.read"] != "read:orders" || i.Tokens != "jwt" {
		t.Errorf("%+v", i)
	}
	for bad, want := range map[string]string{
		`{issuer: "https://corp.example"}`:                                                                  "issuers[0].name",
		`{name: "Corp:x", issuer: "https://corp.example"}`:                                                  "issuers[0].name",
		`{name: corp, issuer: "http://corp.example"}`:                                                       "issuers[0].issuer",
		`{name: corp, issuer: "https://corp.example", scopes: {a: "b c"}}`:                                  "issuers[0].scopes",
		"{name: corp, issuer: \"https://corp.example\"}\n  - {name: corp, issuer: \"https://x.example\"}":   "issuers[1].name",
		"{name: corp, issuer: \"https://corp.example\"}\n  - {name: two, issuer: \"https://corp.example\"}": "issuers[1].issuer",
	} {
		_, err := Parse("offkey.yaml", []byte(smallest+"issuers:\n  - "+bad+"\n"), nil)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", bad, err, want)
		}
	}
}
