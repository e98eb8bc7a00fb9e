package authserver_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/offkey/offkey/internal/authserver"
	"github.com/offkey/offkey/internal/client"
	"github.com/offkey/offkey/internal/directory"
	"github.com/offkey/offkey/internal/federation"
	"github.com/offkey/offkey/internal/jose"
	"github.com/offkey/offkey/internal/oauth"
	"github.com/offkey/offkey/test/farside"
)

// links are who the people of an identity provider are here.
type links struct {
	issuer string
	people map[string]string
}

func (l *links) UpstreamPerson(_ context.Context, issuer, subject string) (string, error) {
	id := l.people[subject]
	if issuer != l.issuer || id == "" {
		return "", directory.ErrNotFound
	}
	return id, nil
}

// assertingWorld is one with an identity provider on the far side that lets
// clients act for its people.
type assertingWorld struct {
	*peopleWorld
	far    *farside.Issuer
	header http.Header // of the client agent
}

func newAssertingWorld(t testing.TB) *assertingWorld {
	t.Helper()
	w := &assertingWorld{far: farside.NewIssuer(t)}
	fetcher, err := federation.NewFetcher(federation.Options{AllowPrivate: true})
	if err != nil {
		t.Fatal(err)
	}
	late := &federatedWorld{far: w.far}
	w.peopleWorld = newPeopleWorld(t, func(o *authserver.Options) {
		o.Links = &links{w.far.URL, map[string]string{"up-alice": "pe_alice", "up-bob": "pe_bob"}}
		o.Federation = federation.NewTrust(federation.TrustOptions{
			Fetcher: fetcher, Spender: lateSpender{late}, Issuer: issuerURL, Now: func() time.Time { return w.now() },
			Rules: func() []*client.TrustRule {
				rules, err := w.db.TrustRules(context.Background())
				if err != nil {
					t.Error(err)
				}
				return rules
			},
		})
	})
	late.world = w.world
	rule := &client.TrustRule{ID: client.NewTrustID(), Name: "corp", For: client.TrustPeople, Kind: client.TrustOIDC, Issuer: w.far.URL, MaxAge: client.PeopleAge, Source: client.SourceAPI, Created: w.now()}
	if err := rule.Check(); err != nil {
		t.Fatal(err)
	}
	if err := w.db.CreateTrustRule(t.Context(), rule, system); err != nil {
		t.Fatal(err)
	}
	_, w.header = w.withSecret(w.agent("agent"))
	return w
}

func (w *assertingWorld) agent(id string) client.Client {
	return client.Client{
		ID: id, Scopes: oauth.Scope{"openid", "offline_access", "read:orders", "create:orders"}, Grants: []string{oauth.GrantJWTBearer, oauth.GrantRefreshToken},
		Resources: []string{api, otherAPI},
	}
}

// claims are those of a good assertion, as change makes them.
func (w *assertingWorld) claims(change ...any) map[string]any {
	now := w.now().Unix()
	c := map[string]any{
		"iss": w.far.URL, "sub": "up-alice", "aud": issuerURL, "client_id": "agent", "iat": now, "exp": now + 300, "jti": fmt.Sprint("jag", serial.Add(1)),
		"scope": "read:orders create:orders", "resource": api, "auth_time": now - 60, "amr": []string{"mfa"},
	}
	for i := 0; i < len(change); i += 2 {
		if c[change[i].(string)] = change[i+1]; change[i+1] == nil {
			delete(c, change[i].(string))
		}
	}
	return c
}

func (w *assertingWorld) assertion(change ...any) string {
	w.t.Helper()
	return w.far.Sign(w.t, oauth.TypIDJAG, w.claims(change...))
}

func (w *assertingWorld) bring(assertion string, more ...string) answer {
	w.t.Helper()
	return w.post("/token", w.header, asGrant(assertion, more...))
}

func TestAnIdentityProviderLetsAClientActForAPerson(t *testing.T) { // checklist_99, checklist_226
	w := newAssertingWorld(t)
	a := w.bring(w.assertion())
	got := claims(t, a.ok())
	if got["sub"] != "pe_alice" || got["client_id"] != "agent" || got["scope"] != "read:orders create:orders" || got["aud"] != api || got["offkey_person"] != "pe_alice" {
		t.Errorf("%v", got)
	}
	if a.json["refresh_token"] != nil || a.json["id_token"] != nil || got["auth_time"] != nil || got["acr"] != nil { // checklist_103; how they signed in elsewhere is not how they did here
		t.Errorf("%s, %v", a.body, got)
	}
	for name, tt := range map[string]struct {
		assertion string
		more      []string
		scope     string
		aud       any
	}{
		"a part of the scope":           {w.assertion(), []string{"scope", "read:orders"}, "read:orders", api},
		"another resource":              {w.assertion("resource", otherAPI), nil, "read:orders create:orders", otherAPI},
		"one of two resources":          {w.assertion("resource", []string{api, otherAPI}), []string{"resource", otherAPI}, "read:orders create:orders", otherAPI},
		"nothing about scope":           {w.assertion("scope", nil), []string{"scope", "read:orders"}, "read:orders", api},
		"more than the client has":      {w.assertion("scope", "read:orders delete:all openid offline_access"), nil, "read:orders", api},
		"more than the person may hand": {w.assertion("sub", "up-bob"), nil, "read:orders", api},
	} {
		t.Run(name, func(t *testing.T) {
			w.t = t
			w.crowd.change(func() { w.crowd.may["pe_bob"] = oauth.Scope{"read:orders"} })
			a := w.bring(tt.assertion, tt.more...)
			if got := claims(t, a.ok()); a.text("scope") != tt.scope || got["aud"] != tt.aud {
				t.Errorf("%s, %v", a.body, got)
			}
		})
	}
	if profiles, _ := w.get("/.well-known/oauth-authorization-server").json["authorization_grant_profiles_supported"].([]any); !slices.Equal(profiles, []any{oauth.ProfileIDJAG}) {
		t.Errorf("%v", profiles)
	}
}

func TestAnAssertionAboutAPersonThatIsNotTaken(t *testing.T) { // checklist_99
	w := newAssertingWorld(t)
	_, other := w.withSecret(w.agent("other"))
	plain := w.agent("plain")
	plain.Grants = []string{oauth.GrantClientCredentials}
	_, unregistered := w.withSecret(plain)
	public := w.agent("public")
	public.AuthMethod = oauth.AuthNone
	w.add(public)
	stranger := farside.NewIssuer(t)
	now := w.now().Unix()
	for _, tt := range []struct {
		name       string
		header     http.Header
		assertion  string
		more       []string
		status     int
		code, part string
	}{
		{"checklist_100 an issuer that nobody trusts", w.header, stranger.Sign(t, oauth.TypIDJAG, w.claims("iss", stranger.URL)), nil, 400, "invalid_grant", "not one of an identity provider"},
		{"checklist_100 another's signature", w.header, stranger.Sign(t, oauth.TypIDJAG, w.claims()), nil, 400, "invalid_grant", "not one of an identity provider"},
		{"an ID token of the provider", w.header, w.far.Sign(t, "JWT", w.claims()), nil, 400, "invalid_grant", ""},
		{"an access token of the provider", w.header, w.far.Sign(t, "at+jwt", w.claims()), nil, 400, "invalid_grant", ""},
		{"checklist_101 for another server", w.header, w.assertion("aud", "https://other.example"), nil, 400, "invalid_grant", "audience"},
		{"checklist_101 for others too", w.header, w.assertion("aud", []string{issuerURL, "https://other.example"}), nil, 400, "invalid_grant", "audience"},
		{"for another client", other, w.assertion(), nil, 400, "invalid_grant", "client_id"},
		{"for no client", w.header, w.assertion("client_id", nil), nil, 400, "invalid_grant", "client_id"},
		{"for several clients", w.header, w.assertion("client_id", []string{"agent", "other"}), nil, 400, "invalid_grant", "client_id"},
		{"checklist_102 without exp", w.header, w.assertion("exp", nil), nil, 400, "invalid_grant", "expires"},
		{"checklist_102 expired", w.header, w.assertion("exp", now-60), nil, 400, "invalid_grant", "expires"},
		{"old", w.header, w.assertion("iat", now-700, "exp", now+60), nil, 400, "invalid_grant", "age"},
		{"from the future", w.header, w.assertion("iat", now+120, "exp", now+300), nil, 400, "invalid_grant", "expires"},
		{"without jti", w.header, w.assertion("jti", nil), nil, 400, "invalid_grant", "jti"},
		{"about nobody", w.header, w.assertion("sub", nil), nil, 400, "invalid_grant", ""},
		{"about somebody who never signed in here", w.header, w.assertion("sub", "up-carol"), nil, 400, "invalid_grant", "once"},
		{"about somebody who is known otherwise", w.header, w.assertion("sub", "pe_alice", "email", "alice@example.com"), nil, 400, "invalid_grant", "once"},
		{"more scope than it allows", w.header, w.assertion("scope", "read:orders"), []string{"scope", "read:orders create:orders"}, 400, "invalid_scope", "does not allow"},
		{"no scope that the client has", w.header, w.assertion("scope", "delete:all"), nil, 400, "invalid_scope", "nothing"},
		{"a scope of another type", w.header, w.assertion("scope", []string{"read:orders", "x"}), nil, 400, "invalid_grant", "scope"},
		{"another resource than it says", w.header, w.assertion(), []string{"resource", otherAPI}, 400, "invalid_target", ""},
		{"a resource of nobody here", w.header, w.assertion("resource", "https://evil.example"), nil, 400, "invalid_target", ""},
		{"checklist_19 nobody brings it", nil, w.assertion(), nil, 401, "invalid_client", ""},
		{"a client without the grant", unregistered, w.assertion("client_id", "plain"), nil, 400, "unauthorized_client", ""},
		{"a public client", nil, w.assertion("client_id", "public"), []string{"client_id", "public"}, 400, "unauthorized_client", "public"},
		{"a workload's assertion beside a secret", w.header, w.far.Sign(t, "JWT", w.claims("sub", "job:7")), nil, 400, "invalid_grant", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w.t = t
			w.post("/token", tt.header, asGrant(tt.assertion, tt.more...)).refused(tt.status, tt.code, tt.part)
		})
	}
	t.Run("checklist_99 this server gives none", func(t *testing.T) {
		w.t = t
		c := w.agent("swap")
		c.Grants, c.Exchange = []string{oauth.GrantTokenExchange}, client.Exchange{From: []string{"agent"}}
		_, header := w.withSecret(c)
		token := w.bring(w.assertion()).ok()
		w.post("/token", header, values("grant_type", oauth.GrantTokenExchange, "subject_token", token, "subject_token_type", oauth.TypeAccessToken, "requested_token_type", oauth.TypeIDJAG)).
			refused(400, "invalid_request", "identity provider")
	})
}

func TestAnAssertionAboutWhoMayNotSignIn(t *testing.T) { // checklist_102
	w := newAssertingWorld(t)
	token := w.bring(w.assertion()).ok()
	w.crowd.change(func() { w.crowd.people["pe_alice"].Status = directory.Disabled })
	w.bring(w.assertion()).refused(400, "invalid_grant", "may not sign in")
	w.crowd.change(func() { delete(w.crowd.people, "pe_alice") }) // as who is forbidden to is answered about
	w.bring(w.assertion()).refused(400, "invalid_grant", "may not sign in")
	if a := w.post("/introspect", w.header, values("token", token)); a.json["active"] != false {
		t.Errorf("what was issued before: %s", a.body)
	}
	w.update("agent", func(c *client.Client) { c.Status = client.Disabled })
	w.bring(w.assertion("sub", "up-bob")).refused(401, "invalid_client", "disabled")
}

func TestOf64WithOneAssertionOneGetsAToken(t *testing.T) { // checklist_25
	w := newAssertingWorld(t)
	assertion := w.assertion()
	var got atomic.Int32
	start := make(chan struct{})
	var all sync.WaitGroup
	for range 64 {
		all.Go(func() {
			<-start
			if w.bring(assertion).status == http.StatusOK {
				got.Add(1)
			}
		})
	}
	close(start)
	all.Wait()
	if got.Load() != 1 {
		t.Errorf("%d got one", got.Load())
	}
}

func TestATokenOfAnAssertionFallsWithItsPersonForEveryKindOfClient(t *testing.T) {
	w := newAssertingWorld(t)
	c := w.agent("veiled")
	c.SubjectType, c.RedirectURIs = client.SubjectPairwise, []string{redirectURI}
	_, header := w.withSecret(c)
	a := w.post("/token", header, asGrant(w.assertion("client_id", "veiled")))
	got := claims(t, a.ok())
	if got["offkey_person"] != nil || got["sub"] == "pe_alice" {
		t.Errorf("%v", got)
	}
	active := func() any {
		return w.post("/introspect", header, values("token", a.text("access_token"))).json["active"]
	}
	if active() != true {
		t.Error("not active")
	}
	w.crowd.change(func() { delete(w.crowd.people, "pe_alice") })
	if active() != false {
		t.Error("still active")
	}
}

func TestAnAssertionIsBoundToTheKeyOfTheRequest(t *testing.T) {
	w := newAssertingWorld(t)
	p := w.prover(jose.ES256)
	a := w.post("/token", proving(w.header, p.proof()), asGrant(w.assertion()))
	if cnf, _ := claims(t, a.ok())["cnf"].(map[string]any); cnf["jkt"] != p.jkt() || a.text("token_type") != "DPoP" {
		t.Errorf("%s", a.body)
	}
}
