package authserver_test

import (
	"context"
	"fmt"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/offkey/offkey/internal/authserver"
	"github.com/offkey/offkey/internal/client"
	"github.com/offkey/offkey/internal/federation"
	"github.com/offkey/offkey/internal/jose"
	"github.com/offkey/offkey/internal/oauth"
	"github.com/offkey/offkey/test/farside"
)

// federatedWorld is a world with an issuer on the far side, whose tokens for
// job:* stand for the client ci.
type federatedWorld struct {
	*world
	far *farside.Issuer
}

func newFederatedWorld(t testing.TB, change ...func(*authserver.Options)) *federatedWorld {
	t.Helper()
	w := &federatedWorld{far: farside.NewIssuer(t)}
	fetcher, err := federation.NewFetcher(federation.Options{AllowPrivate: true})
	if err != nil {
		t.Fatal(err)
	}
	w.world = newWorld(t, append(change, func(o *authserver.Options) {
		o.Federation = federation.NewTrust(federation.TrustOptions{
			Fetcher: fetcher, Spender: lateSpender{w}, Issuer: issuerURL, Now: func() time.Time { return w.now() },
			Rules: func() []*client.TrustRule {
				rules, err := w.db.TrustRules(context.Background())
				if err != nil {
					t.Error(err)
				}
				return rules
			},
		})
	})...)
	w.add(client.Client{
		ID: "ci", AuthMethod: oauth.AuthFederatedJWT, Scopes: oauth.Scope{"read:orders", "create:releases"},
		Grants: []string{oauth.GrantClientCredentials, oauth.GrantJWTBearer},
	})
	w.trust("ci", "job:*")
	return w
}

// lateSpender is the store, which is there only after the server was made.
type lateSpender struct{ w *federatedWorld }

func (s lateSpender) SpendAssertion(ctx context.Context, by, jti string, expires time.Time) (bool, error) {
	return s.w.db.SpendAssertion(ctx, by, jti, expires)
}

func (w *federatedWorld) trust(clientID string, subject client.Pattern) *client.TrustRule {
	w.t.Helper()
	id := client.NewTrustID()
	r := &client.TrustRule{
		ID: id, Name: id, For: client.TrustClient, ClientID: clientID, Kind: client.TrustOIDC, Issuer: w.far.URL, Subject: subject, MaxAge: time.Hour, Source: client.SourceAPI, Created: w.now(),
	}
	if err := w.db.CreateTrustRule(context.Background(), r, system); err != nil {
		w.t.Fatal(err)
	}
	return r
}

// workload is a new token of the far side.
func (w *federatedWorld) workload(sub string) string {
	w.t.Helper()
	now := w.now().Unix()
	return w.far.Sign(w.t, "JWT", map[string]any{"iss": w.far.URL, "sub": sub, "aud": issuerURL, "iat": now, "exp": now + 300, "jti": fmt.Sprint("f", serial.Add(1))})
}

func asClient(token string, more ...string) url.Values {
	return merged(values("client_assertion_type", oauth.AssertionTypeJWTBearer, "client_assertion", token), values(more...))
}

func asGrant(token string, more ...string) url.Values {
	return merged(values("grant_type", oauth.GrantJWTBearer, "assertion", token), values(more...))
}

func TestAWorkloadComesWithTheTokenOfItsPlatform(t *testing.T) {
	w := newFederatedWorld(t)
	for name, form := range map[string]url.Values{
		"as client_assertion":                 merged(asClient(w.workload("job:7"), "scope", "read:orders"), values("grant_type", oauth.GrantClientCredentials)),
		"as client_assertion, with client_id": merged(asClient(w.workload("job:8"), "scope", "read:orders", "client_id", "ci"), values("grant_type", oauth.GrantClientCredentials)),
		"as the assertion of the grant":       asGrant(w.workload("job:9"), "scope", "read:orders"),
		"as both":                             merged(asGrant(w.workload("job:10"), "scope", "read:orders"), asClient(w.workload("job:11"))),
	} {
		t.Run(name, func(t *testing.T) {
			w.t = t
			a := w.post("/token", nil, form)
			if a.json["refresh_token"] != nil {
				t.Errorf("checklist_103: a refresh token: %v", a.json)
			}
			got := claims(t, a.ok())
			if got["sub"] != "ci" || got["client_id"] != "ci" || got["scope"] != "read:orders" || got["iss"] != issuerURL {
				t.Errorf("%v", got)
			}
		})
	}
}

func TestTheMetadataNamesFederationWhereThereIsSome(t *testing.T) {
	// checklist_161
	with, without := newFederatedWorld(t).get("/.well-known/oauth-authorization-server"), newWorld(t).get("/.well-known/oauth-authorization-server")
	for member, value := range map[string]string{"grant_types_supported": oauth.GrantJWTBearer, "token_endpoint_auth_methods_supported": oauth.AuthFederatedJWT} {
		if !has(with.json[member], value) || has(without.json[member], value) {
			t.Errorf("%s: %v and %v", member, with.json[member], without.json[member])
		}
	}
}

func has(list any, value string) bool {
	items, _ := list.([]any)
	for _, v := range items {
		if v == value {
			return true
		}
	}
	return false
}

func TestChecklist18TheRegisteredMethodBindsHereToo(t *testing.T) {
	w := newFederatedWorld(t)
	_, key := w.withKey(client.Client{ID: "keyed", Scopes: oauth.Scope{"read:orders"}}, jose.ES256)
	w.trust("keyed", "key:*")
	t.Run("checklist_18 a client of private_key_jwt does not prove itself by a platform", func(t *testing.T) {
		w.t = t
		w.token(nil, flat(asClient(w.workload("key:1")))...).refused(401, "invalid_client", "federated_jwt")
	})
	t.Run("checklist_18 nor a client of federated_jwt by a key", func(t *testing.T) {
		w.t = t
		w.token(nil, flat(w.assertion("ci", key))...).refused(401, "invalid_client", "")
	})
	t.Run("checklist_18 nor by its name alone", func(t *testing.T) {
		w.t = t
		w.token(nil, "client_id", "ci").refused(401, "invalid_client", "")
	})
}

func flat(v url.Values) (pairs []string) {
	for name, list := range v {
		for _, value := range list {
			pairs = append(pairs, name, value)
		}
	}
	return pairs
}

func TestAnAssertionThatProvesNobodyIsInvalidGrant(t *testing.T) {
	w := newFederatedWorld(t)
	_, header := w.withSecret(client.Client{ID: "other", Scopes: oauth.Scope{"read:orders"}, Grants: []string{oauth.GrantJWTBearer}})
	for name, form := range map[string]url.Values{
		"no token": asGrant("x"), "a stranger's": asGrant(w.workload("human:7")), "somebody else's client_id": asGrant(w.workload("job:7"), "client_id", "other"),
	} {
		t.Run(name, func(t *testing.T) {
			w.t = t
			w.post("/token", nil, form).refused(400, "invalid_grant", "")
		})
	}
	w.t = t
	w.post("/token", nil, values("grant_type", oauth.GrantJWTBearer)).refused(400, "invalid_request", "assertion is missing")
	w.post("/token", header, asGrant(w.workload("job:7"))).refused(400, "invalid_grant", "another client")
	w.post("/token", nil, asGrant(w.workload("job:7"), "scope", "delete:orders")).refused(400, "invalid_scope", "")
	w.post("/token", nil, asGrant(w.workload("job:7"), "scope", "openid")).refused(400, "invalid_scope", "")
}

func TestNoClientGetsATokenThatWasDisabledOrWhoseRuleIs(t *testing.T) {
	// checklist_102
	w := newFederatedWorld(t)
	ctx := context.Background()
	before := w.post("/token", nil, asGrant(w.workload("job:7"))).ok()
	rules, err := w.db.TrustRules(ctx)
	if err != nil {
		t.Fatal(err)
	}
	w.advance(time.Second)
	if err := w.db.SetTrustDisabled(ctx, rules[0].ID, true, system); err != nil {
		t.Fatal(err)
	}
	w.post("/token", nil, asGrant(w.workload("job:7"))).refused(400, "invalid_grant", "no trust rule")
	if _, err := w.verifier.Verify(before); err == nil {
		t.Error("the token of a rule that has ended is still good")
	}
	if err := w.db.SetTrustDisabled(ctx, rules[0].ID, false, system); err != nil {
		t.Fatal(err)
	}
	w.post("/token", nil, asGrant(w.workload("job:7"))).ok()
	if _, err := w.db.UpdateClient(ctx, "ci", func(c *client.Client) error { c.Status = client.Disabled; return nil }, system); err != nil {
		t.Fatal(err)
	}
	w.post("/token", nil, asGrant(w.workload("job:7"))).refused(400, "invalid_grant", "disabled")
}

func TestChecklist25ATokenOfAPlatformIsSpentOnce(t *testing.T) {
	// checklist_25 checklist_227: 64 together, of both uses, on the real store
	w := newFederatedWorld(t, unlimited)
	raw := w.workload("job:7")
	w.post("/token", nil, asGrant(w.workload("job:8"))).ok() // the keys are there
	var got atomic.Int64
	var all sync.WaitGroup
	start := make(chan struct{})
	for i := range 64 {
		form := asGrant(raw)
		if i%2 == 0 {
			form = merged(asClient(raw), values("grant_type", oauth.GrantClientCredentials))
		}
		all.Go(func() {
			<-start
			if a := w.post("/token", nil, form); a.status == 200 {
				got.Add(1)
			}
		})
	}
	close(start)
	all.Wait()
	if got.Load() != 1 {
		t.Errorf("%d of 64 were let in", got.Load())
	}
}

func TestChecklist17StrangersTokensAreLimitedLikeOtherGuesses(t *testing.T) {
	// checklist_17
	w := newFederatedWorld(t)
	for range 200 {
		a := w.post("/token", nil, asGrant(w.workload("human:7")))
		if a.status == 429 {
			return
		}
	}
	t.Error("200 guesses were looked at")
}

func FuzzFederatedToken(f *testing.F) {
	w := newFederatedWorld(f, unlimited)
	f.Add(w.workload("job:7"), "jwt-bearer", "", true)
	f.Add(w.workload("human:7"), "jwt-spiffe", "ci", false)
	f.Add("a.b.c", "", "x", true)
	f.Fuzz(func(t *testing.T, token, kind, clientID string, grant bool) {
		form := merged(values("grant_type", oauth.GrantClientCredentials, "client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:"+kind), values("client_assertion", token))
		if grant {
			form = asGrant(token)
		}
		w.t = t
		a := w.post("/token", nil, merged(form, values("client_id", clientID)))
		switch a.status {
		case 200:
			if got := claims(t, a.ok()); got["client_id"] != "ci" {
				t.Errorf("%v", got)
			}
		case 400, 401:
		default:
			t.Errorf("%d %s", a.status, a.body)
		}
	})
}
