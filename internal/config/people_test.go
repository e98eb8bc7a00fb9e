package config

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/offkey/offkey/internal/directory"
)

func TestPeopleOfTheFile(t *testing.T) {
	l := parse(t, smallest+`
people:
  groups:
    - {name: everyone, mfa: any, session_max: 7d}
    - {name: buyers, scopes: [read:orders, create:orders], interactive: allow, session_idle: 15m, reauth: 1m}
  users:
    - name: ana
      email: ana@example.com
      password_file: ana.password
      totp_secret_file: ana.totp
      groups: [buyers, admins, everyone]
      claims: {given_name: Ana, address: {country: FR}, phone_number_verified: true}
    - {name: bob, password_hash: $2b$12$m0CrhHm10qJ3lXRY.5zDGO3rS2KdeeWLuGmsfGlMfOxih58VYVfxe}
`)
	want := directory.Policy{Interactive: directory.Allow, SessionIdle: directory.Span(15 * time.Minute), Reauth: directory.Span(time.Minute)}
	if got := l.People.Groups[1].Policy(); got != want {
		t.Errorf("policy %+v", got)
	}
	raw, err := json.Marshal(l.People.Users[0].Person())
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{`"name":"ana"`, `"email_verified":true`, `"groups":["admins","buyers"]`, `"address":{"country":"FR"}`, `"given_name":"Ana"`, `"source":"file"`} {
		if !strings.Contains(string(raw), part) {
			t.Errorf("%s has no %s", raw, part)
		}
	}
	for _, v := range l.Values() {
		if strings.Contains(v.Value, "m0CrhHm10") {
			t.Errorf("%s shows the hash", v.Setting)
		}
	}
	if diff := l.Diff(l); len(diff) != 0 {
		t.Errorf("differs from itself: %v", diff)
	}
}

func TestWhatIsWrongWithPeopleIsSaid(t *testing.T) {
	for name, tc := range map[string]struct{ people, want string }{
		"no name":                 {`users: [{email: ana@example.com}]`, "people.users[0].name is missing"},
		"a bad name":              {`users: [{name: "a b"}]`, "no spaces"},
		"a bad address":           {`users: [{name: ana, email: ana}]`, "write it as ana@example.com"},
		"a name twice":            {`users: [{name: ana}, {name: ANA}]`, `has the name or address "ana", which people.users[0] has`},
		"an address as a name":    {`users: [{name: bob, email: ana@example.com}, {name: ana, email: Ana@Example.com}]`, "which people.users[0] has"},
		"two passwords":           {`users: [{name: ana, password_file: x, password_hash: $2b$12$m0CrhHm10qJ3lXRY.5zDGO3rS2KdeeWLuGmsfGlMfOxih58VYVfxe}]`, "both password_file and password_hash"},
		"a password as a hash":    {`users: [{name: ana, password_hash: correct horse}]`, "people.users[0].password_hash is no password hash that offkey can check"},
		"a claim there is not":    {`users: [{name: ana, claims: {admin: yes}}]`, "the claim admin is no standard claim"},
		"claims that are no map":  {`users: [{name: ana, claims: [a]}]`, "people.users[0].claims is a map"},
		"a group without name":    {`groups: [{scopes: [a]}]`, "people.groups[0].name is wrong"},
		"a group twice":           {`groups: [{name: a}, {name: a}]`, `repeats the group "a"`},
		"a scope that is none":    {`groups: [{name: a, scopes: ['a"b']}]`, "people.groups[0].scopes"},
		"a span of seconds":       {`groups: [{name: a, reauth: 1s}]`, "reauth is 1s: use 1m to 365d"},
		"an unknown policy":       {`groups: [{name: a, mfa: sms}]`, "none, any, passkey"},
		"a setting there is not":  {`users: [{name: ana, pasword_file: x}]`, "password_file"},
		"a password in the clear": {`users: [{name: ana, password: x}]`, "unknown setting people.users[0].password"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Parse("offkey.yaml", []byte(smallest+"people: {"+tc.people+"}\n"), nil)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("%v", err)
			}
			if err != nil && strings.Contains(err.Error(), "correct horse") {
				t.Errorf("it repeats a secret: %v", err)
			}
		})
	}
}

func TestAClientOfTheFileHasNoIDOfAPerson(t *testing.T) { // checklist_74
	_, err := Parse("offkey.yaml", []byte(smallest+"clients: [{id: pe_1, auth: none, grants: [device_code]}]\n"), nil)
	if err == nil || !strings.Contains(err.Error(), "begins with pe_") {
		t.Errorf("%v", err)
	}
}
