package client

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/offkey/offkey/internal/jose"
	"github.com/offkey/offkey/internal/oauth"
	"github.com/offkey/offkey/internal/secret"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func TestTheZeroClientMayDoNothing(t *testing.T) {
	var c Client
	if c.Status == Active || c.Confidential() || c.Allows(oauth.GrantClientCredentials) || c.Allows("") || len(c.Keys(noon).Keys) != 0 {
		t.Errorf("%+v", c)
	}
}

func TestConfidentialIsWhoProvesItself(t *testing.T) {
	for method, want := range map[string]bool{"": false, oauth.AuthNone: false, oauth.AuthPrivateKeyJWT: true, oauth.AuthClientSecretBasic: true} {
		if got := (&Client{AuthMethod: method}).Confidential(); got != want {
			t.Errorf("%q: %v, want %v", method, got, want)
		}
	}
}

func TestALiveCredentialEndsAtItsExpiry(t *testing.T) {
	for expires, want := range map[time.Time]bool{{}: true, noon.Add(time.Nanosecond): true, noon: false, noon.Add(-time.Hour): false} {
		if got := (Credential{Expires: expires}).Live(noon); got != want {
			t.Errorf("expires %v: live %v, want %v", expires, got, want)
		}
	}
}

func TestKeysAreTheLiveOnes(t *testing.T) {
	// checklist_36: two or more live credentials, each with its own expiry
	key := func(id string) *jose.PublicKey {
		k, err := jose.GenerateSigningKey(jose.ES256)
		if err != nil {
			t.Fatal(err)
		}
		public := k.Public()
		public.ID = id
		return &public
	}
	c := Client{Credentials: []Credential{
		{Kind: KindJWK, Key: key("one")},
		{Kind: KindJWK, Key: key("two"), Expires: noon.Add(time.Minute)},
		{Kind: KindJWK, Key: key("expired"), Expires: noon},
		{Kind: KindJWK},
		{Kind: KindSecret, Hash: secret.HashOf("x"), Key: key("of a secret")},
	}}
	var got []string
	for _, k := range c.Keys(noon).Keys {
		got = append(got, k.ID)
	}
	if strings.Join(got, " ") != "one two" {
		t.Errorf("live keys are %v", got)
	}
}

func TestIDsOfClientsAreNoIDsOfPeople(t *testing.T) {
	// checklist_74
	a, b := NewID(), NewID()
	if a == b || !strings.HasPrefix(a, "cl_") || len(a) != 3+36 || !strings.HasPrefix(NewCredentialID(), "cr_") {
		t.Errorf("%q, %q", a, b)
	}
	for id, ok := range map[string]bool{a: true, "billing": true, "pe": true, "pe_1": false, "pe_": false} {
		if err := CheckID(id); (err == nil) != ok {
			t.Errorf("%s: %v", id, err)
		}
	}
}

func TestAClientsJSONHoldsNoCredential(t *testing.T) {
	h := secret.HashOf("x")
	raw, err := json.Marshal(Client{ID: NewID(), Credentials: []Credential{{ID: "cr_1", Kind: KindSecret, Hash: h}}})
	if err != nil || strings.Contains(string(raw), h.String()) || strings.Contains(string(raw), "hash") {
		t.Errorf("%s, %v", raw, err)
	}
}
