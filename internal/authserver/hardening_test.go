package authserver_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/offkey/offkey/internal/client"
	"github.com/offkey/offkey/internal/oauth"
	"github.com/offkey/offkey/internal/session"
	"github.com/offkey/offkey/internal/token"
)

func TestTokensOfAPairwiseClientSayNothingThatOthersKnow(t *testing.T) {
	// checklist_201
	w := newPeopleWorld(t)
	one, two := app(), app()
	one.SubjectType, one.SectorIdentifier = client.SubjectPairwise, "one.example"
	two.ID, two.SubjectType, two.SectorIdentifier = "two", client.SubjectPairwise, "two.example"
	w.add(one)
	w.add(two)
	alice := w.signIn("pe_alice")
	a := w.redeem(alice.code(usual("scope", "openid email read:orders"), "pe_alice"), nil)
	b := w.redeem(alice.code(usual("client_id", "two"), "pe_alice"), nil, "client_id", "two")
	inside := alice.session().ID
	for _, jwt := range []string{a.ok(), a.text("id_token"), b.ok(), b.text("id_token")} {
		if raw, _, _ := strings.Cut(jwt, "."); raw == "" {
			t.Fatalf("%s %s", a.body, b.body)
		}
		for name, value := range claims(t, jwt) {
			if text, _ := value.(string); strings.Contains(text, "pe_alice") || strings.Contains(text, inside) {
				t.Errorf("%s is %s", name, text)
			}
		}
	}
	idA, idB := claims(t, a.text("id_token")), claims(t, b.text("id_token"))
	if idA["sid"] == nil || idA["sid"] == idB["sid"] || idA["sub"] == idB["sub"] {
		t.Errorf("%v and %v", idA, idB)
	}
	if claims(t, a.ok())["acr"] == nil || claims(t, a.ok())["auth_time"] == nil {
		t.Error("an API is not told how the person signed in")
	}
	t.Run("userinfo knows whom it is about", func(t *testing.T) {
		got := w.do(withBearer(httptest.NewRequest(http.MethodGet, "/userinfo", nil), a.ok()))
		if got.status != 200 || got.json["sub"] != idA["sub"] || got.json["email"] != "alice@example.com" {
			t.Errorf("%d %s", got.status, got.body)
		}
	})
	t.Run("the hint of its ID token signs out without a question", func(t *testing.T) {
		out := w.signIn("pe_alice")
		hint := w.redeem(out.code(usual(), "pe_alice"), nil).text("id_token")
		ended := len(w.pages.ended)
		out.send(http.MethodGet, "/logout?id_token_hint="+hint, nil)
		if len(w.pages.ended) != ended+1 {
			t.Error("not signed out")
		}
	})
	t.Run("what ends the person ends them", func(t *testing.T) {
		w.advance(time.Second)
		w.revoke(token.Revocation{Kind: token.RevokePerson, ID: "pe_alice", Before: w.now()})
		for _, raw := range []string{a.ok(), b.ok()} {
			if _, err := w.verifier.Verify(raw); err == nil {
				t.Error("an access token is taken")
			}
		}
	})
}

func withBearer(r *http.Request, raw string) *http.Request {
	r.Header.Set("Authorization", "Bearer "+raw)
	return r
}

func TestWhatWasAllowedBeforeARevocationBringsNothingAfterIt(t *testing.T) {
	for name, r := range map[string]func(*visit) token.Revocation{
		"the person's, as by a new password": func(v *visit) token.Revocation {
			return token.Revocation{Kind: token.RevokePerson, ID: "pe_alice", Before: v.p.now()}
		},
		"the session's": func(v *visit) token.Revocation {
			v.p.pages.mu.Unlock() // held while the person answers
			defer v.p.pages.mu.Lock()
			return token.Revocation{Kind: token.RevokeSession, ID: v.session().ID, Before: v.p.now()}
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newPeopleWorld(t)
			w.add(app())
			alice := w.signIn("pe_alice")
			page := alice.authorize(usual("scope", "read:orders")) // for an API: it would outlive the session
			alice.allow(page, "pe_alice", func(*session.Answer) {
				w.advance(time.Second)
				w.revoke(r(alice))
				w.advance(20 * time.Minute)
			}).failed("access_denied", "")
		})
	}
}

func TestARefreshTokenBringsNoResourceThatItsClientHasLost(t *testing.T) {
	// checklist_81
	w := newPeopleWorld(t)
	w.add(app())
	alice := w.signIn("pe_alice")
	q := usual("scope", "read:orders")
	q["resource"] = []string{api, otherAPI}
	a := w.redeem(alice.code(q, "pe_alice"), nil)
	w.update("app", func(c *client.Client) { c.Resources = []string{api} })
	b := w.refresh(a.text("refresh_token"))
	if got := claims(t, b.ok())["aud"]; got != api {
		t.Errorf("aud is %v", got)
	}
	w.refresh(b.text("refresh_token"), "resource", otherAPI).refused(400, "invalid_target", "")
	w.update("app", func(c *client.Client) { c.Resources = []string{otherAPI + "/another"} })
	w.refresh(b.text("refresh_token")).refused(400, "invalid_target", "")
}

func TestTokensOfSomebodyWhoMayNotSignInAreInactiveHere(t *testing.T) {
	w := newPeopleWorld(t)
	w.add(app())
	_, asker := w.withSecret(client.Client{ID: "asker", AuthMethod: oauth.AuthClientSecretBasic, Resources: []string{api}, Scopes: oauth.Scope{"read:orders"},
		Grants: []string{oauth.GrantTokenExchange}, Details: client.Details{Exchange: client.Exchange{From: []string{"app"}}}})
	alice := w.signIn("pe_alice")
	raw := w.redeem(alice.code(usual("scope", "read:orders"), "pe_alice"), nil).ok()
	if a := w.post("/introspect", asker, values("token", raw)); a.json["active"] != true {
		t.Fatal(a.body)
	}
	exchange := []string{"grant_type", oauth.GrantTokenExchange, "subject_token", raw, "subject_token_type", oauth.TypeAccessToken}
	w.post("/token", asker, values(exchange...)).ok()
	w.crowd.change(func() { delete(w.crowd.people, "pe_alice") }) // as the directory answers where a group forbids it
	if a := w.post("/introspect", asker, values("token", raw)); a.json["active"] != false {
		t.Error(a.body)
	}
	w.post("/token", asker, values(exchange...)).refused(400, "invalid_request", "subject_token")
}

// A browser leaves SameSite=Lax cookies out of a form that another site posts.
func TestAFormOfAnotherSiteIsSentAgainWithCookies(t *testing.T) {
	w := newPeopleWorld(t)
	c := app()
	c.PostLogoutRedirectURIs = []string{"https://client.example/bye"}
	w.add(c)
	for _, path := range []string{"/logout", "/authorize"} {
		form := usual("post_logout_redirect_uri", "https://client.example/bye", "state", `"><script>alert(1)</script>`)
		post := func(header, value string) answer {
			r := newRequest(http.MethodPost, path, form.Encode())
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			if header != "" {
				r.Header.Set(header, value)
			}
			return w.do(r)
		}
		for header, value := range map[string]string{"Sec-Fetch-Site": "cross-site", "Origin": "https://client.example"} {
			a := post(header, value)
			if a.status != http.StatusOK || !strings.Contains(a.body, `<form method="post" action="`+path+`">`) || a.header.Get("Set-Cookie") != "" ||
				!strings.Contains(a.body, `name="client_id" value="app"`) || strings.Contains(a.body, "<script>alert") || a.header.Get("Cache-Control") != "no-store" {
				t.Errorf("%s %s: %d %s", path, header, a.status, a.body)
			}
		}
		for header, value := range map[string]string{"Sec-Fetch-Site": "same-origin", "Origin": issuerURL, "": ""} {
			if a := post(header, value); a.status != http.StatusSeeOther {
				t.Errorf("%s %s: %d %s", path, header, a.status, a.body)
			}
		}
	}
}

func TestLogoutLeadsNowhereUnseenForAClientThatRegisteredItself(t *testing.T) {
	w := newPeopleWorld(t)
	c := app()
	c.PostLogoutRedirectURIs = []string{"https://client.example/bye"}
	w.add(c)
	w.update("app", func(c *client.Client) { c.Source = client.SourceRegistration })
	q := "/logout?" + values("client_id", "app", "post_logout_redirect_uri", "https://client.example/bye", "state", "x").Encode()
	a := (&visit{p: w}).send(http.MethodGet, q, nil)
	if a.status != http.StatusOK || !strings.Contains(a.body, `id="logout-back" rel="noreferrer" href="https://client.example/bye?state=x"`) {
		t.Errorf("%d %s %s", a.status, a.header.Get("Location"), a.body)
	}
}
