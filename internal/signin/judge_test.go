package signin

import (
	"testing"
	"time"

	"github.com/offkey/offkey/internal/client"
	"github.com/offkey/offkey/internal/directory"
	"github.com/offkey/offkey/internal/oauth"
	"github.com/offkey/offkey/internal/session"
)

func TestLevelFor(t *testing.T) {
	none, app, passkey := directory.Factors{Password: true}, directory.Factors{Password: true, TOTP: true}, directory.Factors{Password: true, Passkeys: 1}
	wants := func(essential bool, values ...string) session.Demand {
		return session.Demand{ACRValues: values, Essential: essential}
	}
	for _, tc := range []struct {
		name      string
		demand    session.Demand
		mfa       directory.MFA
		factors   directory.Factors
		level     string
		reachable bool
	}{
		{"a password alone", wants(false), directory.MFANone, none, session.ACRPassword, true},
		{"who has a second factor is asked for it", wants(false), directory.MFANone, app, session.ACRMFA, true},
		{"a passkey is one", wants(false), directory.MFANone, passkey, session.ACRMFA, true},
		{"the policy wants two", wants(false), directory.MFAAny, none, session.ACRMFA, false},
		{"the policy wants a passkey", wants(false), directory.MFAPasskey, app, session.ACRPasskey, false},
		{"the policy is of a newer release", wants(false), "hologram", none, session.ACRMFA, false},
		{"the client prefers more", wants(false, session.ACRPasskey), directory.MFANone, passkey, session.ACRPasskey, true},
		{"and takes what there is", wants(false, session.ACRPasskey, session.ACRMFA), directory.MFANone, app, session.ACRMFA, true},
		{"or nothing of it", wants(false, session.ACRPasskey), directory.MFANone, none, session.ACRPassword, true},
		{"it is essential", wants(true, session.ACRPasskey, session.ACRMFA), directory.MFANone, none, session.ACRMFA, false},
		{"it asks for less than the policy", wants(true, session.ACRPassword), directory.MFAAny, app, session.ACRMFA, true},
		{"nobody knows it", wants(false, "urn:x"), directory.MFANone, none, session.ACRPassword, true},
		{"nobody knows it and it is essential", wants(true, "urn:x"), directory.MFANone, passkey, "urn:x", false},
		{"essential of nothing", wants(true), directory.MFANone, none, session.ACRPassword, true},
	} {
		if level, reachable := levelFor(tc.demand, directory.Policy{MFA: tc.mfa}, tc.factors, true); level != tc.level || reachable != tc.reachable {
			t.Errorf("%s: %s, %v", tc.name, level, reachable)
		}
	}
	if level, reachable := levelFor(wants(false), directory.Policy{MFA: directory.MFAPasskey}, passkey, false); level != session.ACRPasskey || reachable {
		t.Errorf("where there can be no passkeys: %s, %v", level, reachable)
	}
}

func TestJudge(t *testing.T) {
	now := time.Date(2027, 1, 15, 10, 0, 0, 0, time.UTC)
	person := &directory.Standing{Person: &directory.Person{ID: "pe_1", Status: directory.Active}, MayGrant: oauth.Scope{"openid"}}
	shop := &client.Client{ID: "shop", Scopes: oauth.Scope{"openid", "email"}}
	login := &session.Session{ID: "se_1", PersonID: "pe_1", Login: session.Login{AuthTime: now, ACR: session.ACRPassword}}
	allowed := session.Consent{Scope: oauth.Scope{"openid"}, Fingerprint: session.FingerprintOf(shop)}
	all := facts{session: login, person: person, client: shop, consent: allowed}
	request := session.Request{Kind: session.ForClient, Ask: session.Ask{Scope: oauth.Scope{"openid"}}}
	for _, tc := range []struct {
		name   string
		change func(*session.Request, *facts)
		want   need
	}{
		{"nothing more", func(*session.Request, *facts) {}, needNothing},
		{"nobody", func(_ *session.Request, f *facts) { f.session, f.person = nil, nil }, needSignIn},
		{"somebody else is meant", func(q *session.Request, _ *facts) { q.Demand.PersonID = "pe_2" }, needSignIn},
		{"too long ago", func(q *session.Request, _ *facts) { q.Demand.Since = now.Add(time.Second) }, needSignIn},
		{"just now", func(q *session.Request, _ *facts) { q.Demand.Since = now }, needNothing},
		{"prompt=login", func(q *session.Request, _ *facts) { q.Demand.Prompt = []string{"login"} }, needSignIn},
		{"prompt=login, done in it", func(q *session.Request, _ *facts) {
			q.Demand.Prompt, q.Progress.SessionID = []string{"login"}, "se_1"
		}, needNothing},
		{"prompt=login, only chosen in it", func(q *session.Request, _ *facts) {
			q.Demand.Prompt, q.Progress = []string{"login", "select_account"}, session.Progress{SessionID: "se_1", Chosen: true}
		}, needSignIn},
		{"prompt=login, done in another session", func(q *session.Request, _ *facts) {
			q.Demand.Prompt, q.Progress.SessionID = []string{"login"}, "se_2"
		}, needSignIn},
		{"prompt=select_account", func(q *session.Request, _ *facts) { q.Demand.Prompt = []string{"select_account"} }, needChoice},
		{"prompt=consent", func(q *session.Request, _ *facts) { q.Demand.Prompt = []string{"consent"} }, needConsent},
		{"more than was allowed, which the person may not grant", func(q *session.Request, _ *facts) { q.Ask.Scope = oauth.Scope{"openid", "email"} }, needNothing},
		{"nothing that the person may grant", func(q *session.Request, _ *facts) { q.Ask.Scope = oauth.Scope{"email"} }, needConsent},
		{"no scope at all, as before", func(q *session.Request, _ *facts) { q.Ask.Scope = nil }, needNothing},
		{"never allowed anything", func(q *session.Request, f *facts) { q.Ask.Scope, f.consent = nil, session.Consent{} }, needConsent},
		{"halfway", func(_ *session.Request, f *facts) {
			f.halfway, f.halfwayFactors = person, directory.Factors{Password: true, TOTP: true}
		}, needSecond},
		{"halfway, with nothing to go on with", func(_ *session.Request, f *facts) {
			f.halfway = &directory.Standing{Person: person.Person, Policy: directory.Policy{MFA: directory.MFAAny}}
		}, needEnrol},
		{"our own page", func(q *session.Request, f *facts) { q.Kind, f.client = session.ForAccount, nil }, needNothing},
		{"signing out", func(q *session.Request, _ *facts) { q.Kind = session.ForLogout }, needLogout},
		{"signing out nobody", func(q *session.Request, f *facts) { q.Kind, f.session = session.ForLogout, nil }, needNothing},
	} {
		q, f := request, all
		tc.change(&q, &f)
		if got := judge(q, f); got != tc.want {
			t.Errorf("%s: needs %d, want %d", tc.name, got, tc.want)
		}
	}
}
