package authserver_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/offkey/offkey/internal/authserver"
	"github.com/offkey/offkey/internal/client"
	"github.com/offkey/offkey/internal/jose"
	"github.com/offkey/offkey/internal/oauth"
	"github.com/offkey/offkey/internal/token"
)

// chain is a front, whose tokens orders may exchange, and whose results stock
// may exchange again.
type chain struct {
	*world
	front, orders, stock http.Header
}

func newChain(t testing.TB, change ...func(*authserver.Options)) chain {
	t.Helper()
	w := chain{world: newWorld(t, change...)}
	_, w.front = w.withSecret(client.Client{ID: "front", Scopes: oauth.Scope{"read:orders", "create:orders", "read:stock"}})
	exchanger := func(id string, e client.Exchange) http.Header {
		_, h := w.withSecret(client.Client{
			ID: id, Grants: []string{oauth.GrantTokenExchange, oauth.GrantClientCredentials}, Resources: []string{api, otherAPI},
			Scopes: oauth.Scope{"read:orders", "read:stock", "openid"}, Details: client.Details{Exchange: e},
		})
		return h
	}
	w.orders = exchanger("orders", client.Exchange{From: []string{"front", "orders"}, Resources: []string{otherAPI}})
	w.stock = exchanger("stock", client.Exchange{From: []string{"orders", "front"}})
	return w
}

// minted issues a token as a grant of people would.
func (w chain) minted(change func(*token.Authorization)) string {
	w.t.Helper()
	a := token.Authorization{
		Client: &client.Client{ID: "front"}, Subject: "pe_ana", Scope: oauth.Scope{"read:orders", "create:orders", "openid"}, Resources: []string{api},
		Life: 5 * time.Minute, GrantID: "gr_1", Login: token.Login{PersonID: "pe_ana", Session: "se_1", AuthTime: w.now(), ACR: "urn:x"},
	}
	change(&a)
	issued, err := token.NewIssuer(issuerURL, w.manager.Current, w.now).Issue(a)
	if err != nil {
		w.t.Fatal(err)
	}
	return issued.Token
}

func (w chain) ofAna() string { return w.minted(func(*token.Authorization) {}) }

// trade exchanges an access token.
func (w chain) trade(who http.Header, subject string, more ...string) answer {
	w.t.Helper()
	return w.post("/token", who, values(append([]string{
		"grant_type", oauth.GrantTokenExchange, "subject_token", subject, "subject_token_type", oauth.TypeAccessToken,
	}, more...)...))
}

func TestChecklist92to98OfTokens(t *testing.T) {
	w := newChain(t)
	t.Run("checklist_93 a token of a person for the next service", func(t *testing.T) {
		a := w.trade(w.orders, w.ofAna())
		c := claims(t, a.ok())
		if a.json["issued_token_type"] != oauth.TypeAccessToken || a.json["token_type"] != "Bearer" || a.json["scope"] != "read:orders" || a.json["refresh_token"] != nil || a.json["id_token"] != nil {
			t.Errorf("got %s", a.body)
		}
		for claim, want := range map[string]any{
			"sub": "pe_ana", "client_id": "orders", "aud": otherAPI, "offkey_grant": "gr_1", "offkey_person": "pe_ana", "sid": "se_1", "offkey_from": "front", "acr": "urn:x",
		} {
			if c[claim] != want {
				t.Errorf("%s is %v, want %v", claim, c[claim], want)
			}
		}
		if act, _ := c["act"].(map[string]any); act["sub"] != "orders" || act["act"] != nil {
			t.Errorf("act is %v", c["act"])
		}
	})
	t.Run("checklist_96 act nests, the newest outermost", func(t *testing.T) {
		first := w.trade(w.orders, w.ofAna()).ok()
		c := claims(t, w.trade(w.stock, first, "resource", api).ok())
		act, _ := c["act"].(map[string]any)
		inner, _ := act["act"].(map[string]any)
		if act["sub"] != "stock" || inner["sub"] != "orders" || c["sub"] != "pe_ana" || c["offkey_from"] != "front" || c["offkey_grant"] != "gr_1" {
			t.Errorf("%v", c)
		}
	})
	t.Run("checklist_96 and not deeper than five", func(t *testing.T) {
		chain := func(n int) (a *token.Actor) {
			for range n {
				a = &token.Actor{Subject: "x", Actor: a}
			}
			return a
		}
		w.trade(w.orders, w.minted(func(a *token.Authorization) { a.Actor = chain(4) })).ok()
		w.trade(w.orders, w.minted(func(a *token.Authorization) { a.Actor = chain(5) })).refused(400, "invalid_request", "more than 5")
	})
	t.Run("checklist_95 nobody may exchange what is not said", func(t *testing.T) {
		_, nobody := w.withSecret(client.Client{ID: "nobody", Grants: []string{oauth.GrantTokenExchange}, Scopes: oauth.Scope{"read:orders"}})
		w.trade(nobody, w.ofAna()).refused(400, "unauthorized_client", "exchange.from")
		_, without := w.withSecret(client.Client{ID: "without", Details: client.Details{Exchange: client.Exchange{From: []string{"front"}}}})
		w.trade(without, w.ofAna()).refused(400, "unauthorized_client", "not registered for that grant_type")
		w.add(client.Client{ID: "public", AuthMethod: oauth.AuthNone, Grants: []string{oauth.GrantTokenExchange}, Details: client.Details{Exchange: client.Exchange{From: []string{"front"}}}})
		w.trade(nil, w.ofAna(), "client_id", "public").refused(400, "unauthorized_client", "public client")
		other := w.minted(func(a *token.Authorization) { a.Client = &client.Client{ID: "other"} })
		w.trade(w.orders, other).refused(400, "invalid_request", "may not exchange")
	})
	t.Run("checklist_95 scope is of the subject and of the client", func(t *testing.T) {
		subject := w.ofAna()
		w.trade(w.orders, subject, "scope", "create:orders").refused(400, "invalid_scope", "1 of the 1")
		w.trade(w.orders, subject, "scope", "read:stock").refused(400, "invalid_scope", "")
		w.trade(w.orders, subject, "scope", "openid").refused(400, "invalid_scope", "")
		if a := w.trade(w.orders, subject, "scope", "read:orders"); a.json["scope"] != "read:orders" {
			t.Errorf("got %s", a.body)
		}
		none := w.minted(func(a *token.Authorization) { a.Scope = nil })
		if a := w.trade(w.orders, none); a.ok() == "" || a.json["scope"] != nil {
			t.Errorf("got %s", a.body)
		}
	})
	t.Run("checklist_94 for the resources that the operator names", func(t *testing.T) {
		subject := w.ofAna()
		w.trade(w.orders, subject, "resource", api).refused(400, "invalid_target", "not among those")
		w.trade(w.orders, subject, "audience", "https://else.example.com").refused(400, "invalid_target", "not one of this server's")
		w.trade(w.orders, subject, "resource", "no uri").refused(400, "invalid_target", "")
		if c := claims(t, w.trade(w.orders, subject, "audience", otherAPI).ok()); c["aud"] != otherAPI {
			t.Errorf("aud %v", c["aud"])
		}
	})
	t.Run("checklist_97 it lives no longer than what it came of", func(t *testing.T) {
		subject := w.minted(func(a *token.Authorization) { a.Life = time.Minute })
		w.advance(20 * time.Second)
		a := w.trade(w.orders, subject)
		if left, _ := a.json["expires_in"].(float64); left < 38 || left > 40 || claims(t, a.ok())["exp"].(float64) > claims(t, subject)["exp"].(float64) {
			t.Errorf("expires_in %v", a.json["expires_in"])
		}
		w.advance(40 * time.Second)
		w.trade(w.orders, subject).refused(400, "invalid_request", "subject_token is refused")
	})
	stranger, err := jose.GenerateSigningKey(jose.ES256)
	if err != nil {
		t.Fatal(err)
	}
	forged, err := stranger.Sign(oauth.TypAccessToken, []byte(`{"iss":"`+issuerURL+`","sub":"pe_ana","client_id":"front","aud":"`+api+`","iat":1,"exp":9999999999,"jti":"x"}`))
	if err != nil {
		t.Fatal(err)
	}
	subject := w.ofAna()
	for _, tt := range []struct {
		name, want string
		form       url.Values
	}{
		{"checklist_92 no subject_token", "subject_token is missing", values("subject_token_type", oauth.TypeAccessToken)},
		{"checklist_92 another type", "not one that can be exchanged", values("subject_token", subject, "subject_token_type", oauth.TypeRefreshToken)},
		{"checklist_92 actor_token without type", "without actor_token_type", values("subject_token", subject, "subject_token_type", oauth.TypeJWT, "actor_token", "x")},
		{"checklist_92 type without actor_token", "without actor_token", values("subject_token", subject, "subject_token_type", oauth.TypeJWT, "actor_token_type", oauth.TypeJWT)},
		{"checklist_92 an actor of another type", "actor_token_type must be", values("subject_token", subject, "subject_token_type", oauth.TypeJWT, "actor_token", "x", "actor_token_type", oauth.TypeIDToken)},
		{"checklist_93 another type asked for", "requested_token_type", values("subject_token", subject, "subject_token_type", oauth.TypeJWT, "requested_token_type", oauth.TypeIDToken)},
		{"checklist_94 no token of ours", "no token of this server", values("subject_token", "x", "subject_token_type", oauth.TypeJWT)},
		{"checklist_94 a forged token", "subject_token is refused", values("subject_token", forged, "subject_token_type", oauth.TypeJWT)},
		{"checklist_94 an actor that is none", "actor_token is no token", values("subject_token", subject, "subject_token_type", oauth.TypeJWT, "actor_token", "x", "actor_token_type", oauth.TypeJWT)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w.post("/token", w.orders, merged(tt.form, values("grant_type", oauth.GrantTokenExchange))).refused(400, "invalid_request", tt.want)
		})
	}
}

func TestWhoActsInAnExchange(t *testing.T) {
	// checklist_95, checklist_96
	w := newChain(t)
	actor := func(tok string) []string {
		return []string{"actor_token", tok, "actor_token_type", oauth.TypeAccessToken}
	}
	with := func(act client.Acting) http.Header {
		_, h := w.withSecret(client.Client{
			ID: "acts-" + string(act), Grants: []string{oauth.GrantTokenExchange, oauth.GrantClientCredentials}, Scopes: oauth.Scope{"read:orders"},
			Details: client.Details{Exchange: client.Exchange{From: []string{"front"}, Act: act}},
		})
		return h
	}
	optional, required, none := w.orders, with(client.ActRequired), with(client.ActNone)
	support := w.minted(func(a *token.Authorization) { a.Subject, a.Login = "pe_support", token.Login{PersonID: "pe_support"} })
	top := func(a answer) any {
		act, _ := claims(t, a.ok())["act"].(map[string]any)
		return act["sub"]
	}
	if got := top(w.trade(optional, w.ofAna(), actor(support)...)); got != "pe_support" {
		t.Errorf("%v acts, want who the actor_token names", got)
	}
	if got := top(w.trade(required, w.ofAna(), actor(w.token(required).ok())...)); got != "acts-required" {
		t.Errorf("%v acts, want the client of its own actor_token", got)
	}
	if got := top(w.trade(none, w.ofAna())); got != nil {
		t.Errorf("%v acts, want nobody", got)
	}
	if got := top(w.trade(none, w.minted(func(a *token.Authorization) { a.Actor = &token.Actor{Subject: "before"} }))); got != "before" {
		t.Errorf("%v acts: who acted before is forgotten", got)
	}
	if got := top(w.trade(w.orders, w.minted(func(a *token.Authorization) { a.Client = &client.Client{ID: "orders"} }))); got != nil {
		t.Errorf("%v acts, want nobody: it is the client's own token", got)
	}
	w.trade(required, w.ofAna()).refused(400, "invalid_request", "actor_token is missing")
	w.trade(none, w.ofAna(), actor(support)...).refused(400, "invalid_request", "name no actor")
	stranger := w.minted(func(a *token.Authorization) { a.Client = &client.Client{ID: "stranger"} })
	w.trade(optional, w.ofAna(), actor(stranger)...).refused(400, "invalid_request", "may not bring")
	delegated := w.minted(func(a *token.Authorization) { a.Actor = &token.Actor{Subject: "x"} })
	w.trade(optional, w.ofAna(), actor(delegated)...).refused(400, "invalid_request", "names an actor itself")
	bound := w.minted(func(a *token.Authorization) { a.Confirmation = token.Confirmation{JKT: "x"} })
	w.trade(optional, w.ofAna(), actor(bound)...).refused(400, "invalid_request", "bound to a key")
	w.trade(optional, bound).refused(400, "invalid_request", "prove that key")
}

func TestATokenBoundToAKeyIsExchangedByWhoeverProvesIt(t *testing.T) {
	// checklist_147
	w := newChain(t)
	mine, other := w.prover(jose.ES256), w.prover(jose.ES256)
	subject := w.minted(func(a *token.Authorization) { a.Confirmation = token.Confirmation{JKT: mine.jkt()} })
	w.trade(w.orders, subject).refused(400, "invalid_request", "prove that key")
	w.trade(proving(w.orders, other.proof()), subject).refused(400, "invalid_request", "prove that key")
	a := w.trade(proving(w.orders, mine.proof()), subject)
	if a.json["token_type"] != "DPoP" || cnf(t, a.ok())["jkt"] != mine.jkt() {
		t.Errorf("got %s", a.body)
	}
	if got := cnf(t, w.trade(proving(w.orders, other.proof()), w.ofAna()).ok()); got["jkt"] != other.jkt() {
		t.Errorf("cnf is %v", got)
	}
}

func TestASubjectTokenThatSaysWhoMayActIsHeldToIt(t *testing.T) {
	// checklist_95
	w := newChain(t)
	says := func(mayAct string) string {
		key, err := w.manager.Current().Signer(w.now())
		if err != nil {
			t.Fatal(err)
		}
		now := w.now().Unix()
		raw, err := key.Sign(oauth.TypAccessToken, []byte(`{"iss":"`+issuerURL+`","sub":"pe_ana","client_id":"front","aud":"`+api+`","jti":"`+mayAct+`","iat":`+strconv.FormatInt(now, 10)+`,"exp":`+strconv.FormatInt(now+60, 10)+`,"may_act":{"sub":"`+mayAct+`"}}`))
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	w.trade(w.orders, says("orders")).ok()
	w.trade(w.orders, says("stock")).refused(400, "invalid_request", "may_act")
	w.trade(w.stock, says("stock"), "resource", api).ok()
}

func TestChecklist98WhatCameOfATokenFallsWithIt(t *testing.T) {
	for name, end := range map[string]func(w chain, subject string){
		"the grant is revoked": func(w chain, _ string) {
			w.revokes(token.Revocation{Kind: token.RevokeGrant, ID: "gr_1"})
		},
		"the session is ended":   func(w chain, _ string) { w.revokes(token.Revocation{Kind: token.RevokeSession, ID: "se_1"}) },
		"the person is disabled": func(w chain, _ string) { w.revokes(token.Revocation{Kind: token.RevokePerson, ID: "pe_ana"}) },
		"the client that had the token is disabled": func(w chain, _ string) {
			if _, err := w.db.UpdateClient(w.t.Context(), "front", func(c *client.Client) error { c.Status = client.Disabled; return nil }, system); err != nil {
				w.t.Fatal(err)
			}
		},
		"what the client was allowed is taken back": func(w chain, _ string) {
			w.revokes(token.Revocation{Kind: token.RevokeConsent, ID: token.ConsentID("pe_ana", "front")})
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newChain(t)
			subject := w.ofAna()
			first := w.trade(w.orders, subject).ok()
			second := w.trade(w.stock, first, "resource", api).ok()
			_, reader := w.withSecret(client.Client{ID: "rs", Resources: []string{api, otherAPI}})
			for _, issued := range []string{first, second} {
				if a := w.post("/introspect", reader, values("token", issued)); a.json["active"] != true {
					t.Fatalf("before: %s", a.body)
				}
			}
			end(w, subject)
			for _, issued := range []string{first, second} {
				if a := w.post("/introspect", reader, values("token", issued)); a.body != inactive {
					t.Errorf("still %s", a.body)
				}
			}
			w.trade(w.orders, subject).refused(400, "invalid_request", "subject_token is refused")
			w.trade(w.stock, first, "resource", api).refused(400, "invalid_request", "subject_token is refused")
		})
	}
	t.Run("a token of no grant is revoked", func(t *testing.T) {
		w := newChain(t)
		subject := w.token(w.front, "scope", "read:orders").ok()
		first := w.trade(w.orders, subject).ok()
		second := w.trade(w.stock, first, "resource", api).ok()
		if _, err := w.verifier.Verify(second); err != nil || claims(t, second)["sub"] != "front" {
			t.Fatal(err, claims(t, second))
		}
		w.post("/revoke", w.front, values("token", subject))
		if _, err := w.verifier.Verify(second); err == nil {
			t.Error("still good")
		}
		w.trade(w.orders, subject).refused(400, "invalid_request", "revoked")
	})
	t.Run("and one of another grant does not", func(t *testing.T) {
		w := newChain(t)
		issued := w.trade(w.stock, w.ofAna(), "resource", api).ok()
		w.revokes(token.Revocation{Kind: token.RevokeGrant, ID: "gr_2"})
		w.revokes(token.Revocation{Kind: token.RevokeClient, ID: "orders"})
		if _, err := w.verifier.Verify(issued); err != nil {
			t.Error(err)
		}
	})
}

// revokes writes a revocation of what was issued until now.
func (w *world) revokes(r token.Revocation) {
	w.t.Helper()
	r.Before, r.Expires = w.now(), w.now().Add(time.Hour)
	if err := w.db.Revoke(w.t.Context(), r, system); err != nil {
		w.t.Fatal(err)
	}
}

func FuzzTokenExchange(f *testing.F) {
	w := newChain(f, unlimited)
	f.Add("eyJhbGciOiJFUzI1NiIsImtpZCI6IngiLCJ0eXAiOiJhdCtqd3QifQ.e30.AAAA", "a.b.c", "read:orders", otherAPI)
	f.Add("x", "", "", "")
	f.Fuzz(func(t *testing.T, subject, actor, scope, resource string) {
		form := values("grant_type", oauth.GrantTokenExchange, "subject_token", subject, "subject_token_type", oauth.TypeAccessToken, "scope", scope, "resource", resource)
		if actor != "" {
			form.Set("actor_token", actor)
			form.Set("actor_token_type", oauth.TypeJWT)
		}
		r := httptest.NewRequest(http.MethodPost, "/token", strings.NewReader(form.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Authorization", w.orders.Get("Authorization"))
		a := httptest.NewRecorder()
		w.handler.ServeHTTP(a, r)
		if a.Code >= 500 || a.Code == http.StatusOK {
			t.Errorf("%d %s", a.Code, a.Body)
		}
	})
}

func TestAnExchangedTokenNamesThePersonAsItsClientKnowsThem(t *testing.T) {
	p := newPeopleWorld(t)
	w := chain{world: p.world}
	_, stock := w.withSecret(client.Client{
		ID: "stock", Grants: []string{oauth.GrantTokenExchange}, Scopes: oauth.Scope{"read:orders"}, Details: client.Details{
			SubjectType: client.SubjectPairwise, SectorIdentifier: "stock.example", Exchange: client.Exchange{From: []string{"front"}},
		},
	})
	subject := w.minted(func(a *token.Authorization) { a.Subject, a.Login.PersonID = "pe_alice", "pe_alice" })
	for range 2 { // the second finds nothing that the first has left
		c := claims(t, w.trade(stock, subject).ok())
		if c["sub"] == "pe_alice" || c["sub"] == "" || c["offkey_person"] != "pe_alice" || c["offkey_grant"] != "gr_1" {
			t.Errorf("claims %v", c)
		}
	}
	if _, err := w.db.Grant(t.Context(), "gr_1"); err == nil {
		t.Error("the grant of somebody else was kept again")
	}
}
