package directory

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/offkey/offkey/internal/oauth"
)

func TestPeopleThatCanBeMade(t *testing.T) {
	for _, tc := range []struct {
		name   string
		person Person
		ok     bool
	}{
		{"a name", Person{Name: "ana"}, true},
		{"a name of two scripts", Person{Name: "Аna.λ"}, true},
		{"a name and an address", Person{Name: "ana", Email: "ana@example.com"}, true},
		{"the address as name", Person{Name: "Ana@example.com", Email: "ana@example.com"}, true},
		{"another's address as name", Person{Name: "bob@example.com", Email: "ana@example.com"}, false},
		{"an address as name, and no address", Person{Name: "bob@example.com"}, false},
		{"no name", Person{Email: "ana@example.com"}, false},
		{"a name with a space", Person{Name: "ana b"}, false},
		{"a name with a line", Person{Name: "ana\nb"}, false},
		{"a name with a quote", Person{Name: `an"a`}, false},
		{"a name with a mark that reverses", Person{Name: "an\u202ea"}, false},
		{"a name that is no text", Person{Name: "an\xffa"}, false},
		{"a name like an id", Person{Name: "pe_1"}, false},
		{"a long name", Person{Name: strings.Repeat("a", 129)}, false},
		{"an address that is none", Person{Name: "ana", Email: "ana"}, false},
		{"an address with a name", Person{Name: "ana", Email: "Ana <ana@example.com>"}, false},
		{"two addresses", Person{Name: "ana", Email: "ana@example.com, bob@example.com"}, false},
		{"an address with a line", Person{Name: "ana", Email: "ana@example.com\r\nBcc: bob@example.com"}, false},
		{"claims", Person{Name: "ana", Claims: claims(`{"given_name":"Ana","address":{"country":"FR"},"phone_number_verified":true,"email_verified":true,"updated_at":7}`)}, true},
		{"a claim of the wrong type", Person{Name: "ana", Claims: claims(`{"given_name":7}`)}, false},
		{"an address claim that is a text", Person{Name: "ana", Claims: claims(`{"address":"Paris"}`)}, false},
		{"a claim that there is none of", Person{Name: "ana", Claims: claims(`{"admin":"true"}`)}, false},
		{"sub", Person{Name: "ana", Claims: claims(`{"sub":"pe_2"}`)}, false},
		{"email as a claim", Person{Name: "ana", Claims: claims(`{"email":"bob@example.com"}`)}, false},
		{"claims that are too long", Person{Name: "ana", Claims: claims(`{"picture":"` + strings.Repeat("x", 20_000) + `"}`)}, false},
		{"a claim that is no JSON", Person{Name: "ana", Claims: map[string]json.RawMessage{"picture": json.RawMessage("x")}}, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if err := tc.person.Check(); (err == nil) != tc.ok {
				t.Errorf("%v", err)
			}
		})
	}
	for name, ok := range map[string]bool{"buyers": true, "EU:read-only_1.2": true, "": false, "a b": false, "ä": false, strings.Repeat("a", 65): false} {
		if err := CheckGroupName(name); (err == nil) != ok {
			t.Errorf("group %q: %v", name, err)
		}
	}
}

func claims(text string) (c map[string]json.RawMessage) {
	if err := json.Unmarshal([]byte(text), &c); err != nil {
		panic(err)
	}
	return c
}

func TestClaimsByScope(t *testing.T) {
	ana := Person{Name: "ana", Email: "ana@example.com", Claims: claims(`{"given_name":"Ana","family_name":"Lopez","address":{"country":"FR"},"phone_number":"+33 1"}`)}
	for scope, want := range map[string]string{
		"openid":         `{}`,
		"openid profile": `{"family_name":"Lopez","given_name":"Ana","name":"Ana Lopez","preferred_username":"ana","updated_at":-62135596800}`,
		"email":          `{"email":"ana@example.com","email_verified":false}`,
		"address phone":  `{"address":{"country":"FR"},"phone_number":"+33 1"}`,
		"read:orders":    `{}`,
	} {
		parsed, err := oauth.ParseScope(scope)
		if err != nil {
			t.Fatal(err)
		}
		if got, _ := json.Marshal(ana.ClaimsFor(parsed)); string(got) != want {
			t.Errorf("%s: %s, want %s", scope, got, want)
		}
	}
	plain := Person{Name: "bob"}
	if got, _ := json.Marshal(plain.ClaimsFor(oauth.Scope{"email", "phone", "address"})); string(got) != "{}" {
		t.Errorf("of somebody without any: %s", got)
	}
	verified := Person{Name: "bob", Email: "b@example.com", Claims: claims(`{"email_verified":true,"name":"Bob B."}`)}
	if got, _ := json.Marshal(verified.ClaimsFor(oauth.Scope{"email"})); string(got) != `{"email":"b@example.com","email_verified":true}` {
		t.Errorf("as the file says it: %s", got)
	}
}

func FuzzPersonCheck(f *testing.F) {
	f.Add("ana", "ana@example.com", "given_name", `"Ana"`)
	f.Add("ana@example.com", "", "address", `{}`)
	f.Fuzz(func(t *testing.T, name, email, claim, value string) {
		p := Person{Name: name, Email: email, Claims: map[string]json.RawMessage{claim: json.RawMessage(value)}}
		if p.Check() != nil {
			return
		}
		if LoginOf(name) == "" || strings.ContainsAny(name+email, "\r\n\x00") {
			t.Errorf("%q %q can be made", name, email)
		}
		if _, err := json.Marshal(p.ClaimsFor(identityScopes)); err != nil {
			t.Errorf("its claims are no JSON: %v", err)
		}
	})
}
