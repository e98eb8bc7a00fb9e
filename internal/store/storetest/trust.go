package storetest

import (
	"slices"
	"testing"
	"time"

	"github.com/offkey/offkey/internal/client"
	"github.com/offkey/offkey/internal/jose"
	"github.com/offkey/offkey/internal/store"
)

// aRule is a trust rule with something in every field.
func aRule(id, clientID string) *client.TrustRule {
	return &client.TrustRule{
		ID: id, Name: "deploy " + id, For: client.TrustClient, ClientID: clientID, Kind: client.TrustGitHub, Issuer: "https://ci.example",
		JWKSURI: "https://ci.example/keys", Audience: []string{"https://auth.example.com", "other"}, Subject: "repo:acme/*:**",
		Where:  []client.Condition{{Claim: "repository_owner", AnyOf: []client.Pattern{"acme", "acme-*"}}, {Claim: "/a/b c", AnyOf: []client.Pattern{"1"}}},
		MaxAge: 90 * time.Minute, Reusable: true, Disabled: true, Source: client.SourceAPI, Created: noon,
	}
}

func testTrust(t *testing.T, open Open) {
	rules := func(b *trial) []*client.TrustRule {
		b.t.Helper()
		found, err := b.TrustRules(b.ctx())
		b.ok(err)
		for _, r := range found {
			r.Created = kept(r.Created)
		}
		return found
	}
	t.Run("a rule reads back as it was written, opened again too", func(t *testing.T) {
		b := setUp(t, open)
		b.haveClients(plainClient("cl_1"))
		full := aRule("tr_1", "cl_1")
		plain := &client.TrustRule{ID: "tr_2", Name: "people", For: client.TrustStatements, MaxAge: time.Minute, Keys: jose.KeySet{Keys: publicKeys()}}
		b.ok(b.CreateTrustRule(b.ctx(), full, did("x")))
		b.ok(b.CreateTrustRule(b.ctx(), plain, did("x")))
		b.reopen()
		got := rules(b)
		if len(got) != 2 || len(got[1].Keys.Keys) != 3 || got[1].Keys.Keys[0].Thumbprint() != plain.Keys.Keys[0].Thumbprint() {
			t.Fatalf("read %+v", got)
		}
		got[1].Keys, plain.Keys = jose.KeySet{}, jose.KeySet{}
		full.Created, plain.Created = kept(full.Created), kept(plain.Created)
		b.same("rules", got, []*client.TrustRule{full, plain})
	})
	t.Run("a name is there once, and a rule is for a client that exists", func(t *testing.T) {
		b := setUp(t, open)
		b.haveClients(plainClient("cl_1"))
		b.ok(b.CreateTrustRule(b.ctx(), aRule("tr_1", "cl_1"), did("x")))
		same := aRule("tr_2", "cl_1")
		same.Name = "deploy tr_1"
		b.is(b.CreateTrustRule(b.ctx(), same, did("x")), client.ErrTrustExists)
		b.is(b.CreateTrustRule(b.ctx(), aRule("tr_1", "cl_1"), did("x")), client.ErrTrustExists)
		b.is(b.CreateTrustRule(b.ctx(), aRule("tr_3", "cl_2"), did("x")), client.ErrNotFound)
		b.is(b.SetTrustDisabled(b.ctx(), "tr_3", true, did("x")), client.ErrNoTrust)
		b.is(b.DeleteTrustRule(b.ctx(), "tr_3", did("x")), client.ErrNoTrust)
		if len(rules(b)) != 1 || len(b.entries()) != 2 {
			t.Errorf("%d rules, %d audit entries", len(rules(b)), len(b.entries()))
		}
	})
	t.Run("a rule that ends takes the tokens of its client along, and every change is told", func(t *testing.T) {
		b := setUp(t, open)
		b.haveClients(plainClient("cl_1"))
		r := aRule("tr_1", "cl_1")
		r.Disabled = false
		b.ok(b.CreateTrustRule(b.ctx(), r, did("x")))
		if got := b.revoked(); len(got) != 0 {
			t.Errorf("revoked %v", got)
		}
		b.ok(b.SetTrustDisabled(b.ctx(), "tr_1", true, did("x")))
		b.same("revoked", b.revoked(), []string{"client:cl_1"})
		if !rules(b)[0].Disabled {
			t.Error("not disabled")
		}
		b.ok(b.SetTrustDisabled(b.ctx(), "tr_1", false, did("x")))
		if rules(b)[0].Disabled {
			t.Error("not enabled")
		}
		b.ok(b.DeleteTrustRule(b.ctx(), "tr_1", did("x")))
		if len(rules(b)) != 0 {
			t.Error("not deleted")
		}
		told := slices.DeleteFunc(b.changes(), func(c store.Change) bool { return c.Kind != store.ChangeTrust })
		if len(told) != 4 {
			t.Errorf("told %v", told)
		}
	})
	t.Run("the rules of a client go with it", func(t *testing.T) {
		b := setUp(t, open)
		b.haveClients(plainClient("cl_1"), plainClient("cl_2"))
		b.ok(b.CreateTrustRule(b.ctx(), aRule("tr_1", "cl_1"), did("x")))
		b.ok(b.CreateTrustRule(b.ctx(), aRule("tr_2", "cl_2"), did("x")))
		b.ok(b.DeleteClient(b.ctx(), "cl_1", did("x")))
		got := rules(b)
		if len(got) != 1 || got[0].ID != "tr_2" {
			t.Errorf("left: %+v", got)
		}
	})
}
