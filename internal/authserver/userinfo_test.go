package authserver_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/offkey/offkey/internal/client"
	"github.com/offkey/offkey/internal/directory"
	"github.com/offkey/offkey/internal/jose"
	"github.com/offkey/offkey/internal/oauth"
	"github.com/offkey/offkey/internal/session"
)

func bearer(raw string) http.Header { return http.Header{"Authorization": {"Bearer " + raw}} }

// ask calls userinfo with a header.
func (w *peopleWorld) ask(header http.Header) answer {
	r := newRequest(http.MethodGet, "/userinfo", "")
	r.Header = header
	return w.do(r)
}

func TestChecklist202to204(t *testing.T) {
	w := newPeopleWorld(t)
	w.add(app())
	w.crowd.change(func() {
		w.crowd.people["pe_alice"].Claims = map[string]json.RawMessage{"given_name": json.RawMessage(`"Alice"`), "phone_number": json.RawMessage(`"+1"`)}
	})
	alice := w.signIn("pe_alice")
	a := w.redeem(alice.code(usual("scope", "openid email"), "pe_alice"), nil)
	access := a.ok()
	t.Run("checklist_202 by header and by body, by GET and by POST", func(t *testing.T) {
		w.t = t
		want := claims(t, a.text("id_token"))["sub"]
		for name, got := range map[string]answer{
			"header, GET":  w.ask(bearer(access)),
			"header, POST": w.post("/userinfo", bearer(access), nil),
			"body":         w.post("/userinfo", nil, values("access_token", access)),
			"lower case":   w.ask(http.Header{"Authorization": {"bearer " + access}}),
		} {
			if got.status != http.StatusOK || got.json["sub"] != want || got.json["email"] != "alice@example.com" || got.header.Get("Cache-Control") != "no-store" {
				t.Errorf("%s: %d %s", name, got.status, got.body)
			}
		}
	})
	t.Run("checklist_203 the claims of the scope, and email_verified is a boolean", func(t *testing.T) {
		w.t = t
		got := w.ask(bearer(access))
		if got.json["email_verified"] != true || got.json["given_name"] != nil || got.json["phone_number"] != nil {
			t.Errorf("%v", got.json)
		}
		if id := claims(t, a.text("id_token")); id["email"] != nil {
			t.Errorf("they are not in the ID token: %v", id)
		}
	})
	t.Run("checklist_202 what is no token, or no longer one", func(t *testing.T) {
		w.t = t
		none := w.ask(nil)
		if none.status != http.StatusUnauthorized || none.header.Get("WWW-Authenticate") != "Bearer" {
			t.Errorf("%d %q", none.status, none.header.Get("WWW-Authenticate"))
		}
		for name, header := range map[string]http.Header{
			"broken": bearer(access[:len(access)-5]), "an ID token": bearer(a.text("id_token")), "a refresh token": bearer(a.text("refresh_token")), "nothing": bearer(""),
		} {
			got := w.ask(header)
			if got.status != http.StatusUnauthorized || !strings.Contains(got.header.Get("WWW-Authenticate"), `error="invalid_token"`) {
				t.Errorf("%s: %d %q", name, got.status, got.header.Get("WWW-Authenticate"))
			}
		}
		twice := w.post("/userinfo", bearer(access), values("access_token", access))
		if twice.status != http.StatusBadRequest {
			t.Errorf("twice: %d", twice.status)
		}
	})
	t.Run("checklist_15 a token in the query is not read", func(t *testing.T) {
		w.t = t
		w.get("/userinfo?access_token="+access).want(t, http.StatusUnauthorized)
	})
	t.Run("checklist_204 without openid there is no ID token, and userinfo refuses", func(t *testing.T) {
		w.t = t
		a := w.redeem(alice.code(usual("scope", "email read:orders"), "pe_alice"), nil)
		got := w.ask(bearer(a.ok()))
		if a.text("id_token") != "" || got.status != http.StatusForbidden || !strings.Contains(got.header.Get("WWW-Authenticate"), "insufficient_scope") {
			t.Errorf("%v, %d %s", a.json, got.status, got.body)
		}
	})
	t.Run("a client of its own has no userinfo", func(t *testing.T) {
		w.t = t
		_, header := w.withSecret(billing())
		w.ask(bearer(w.token(header, "scope", "read:orders").ok())).want(t, http.StatusForbidden)
	})
	t.Run("checklist_9 scripts of other origins may ask", func(t *testing.T) {
		w.t = t
		if got := w.ask(bearer(access)).header.Get("Access-Control-Allow-Origin"); got != "*" {
			t.Errorf("%q", got)
		}
		got := w.do(newRequest(http.MethodOptions, "/userinfo", ""))
		if got.status != http.StatusNoContent || !strings.Contains(got.header.Get("Access-Control-Allow-Headers"), "Authorization") {
			t.Errorf("%d %v", got.status, got.header)
		}
	})
	t.Run("checklist_148 a bound token needs its proof", func(t *testing.T) {
		w.t = t
		p := w.prover(jose.ES256)
		a := w.post("/token", proving(nil, p.proof()), values("grant_type", "authorization_code", "code", alice.code(usual(), "pe_alice"), "code_verifier", verifier, "client_id", "app"))
		w.ask(bearer(a.ok())).want(t, http.StatusUnauthorized)
		header := proving(http.Header{"Authorization": {"DPoP " + a.text("access_token")}}, p.proof("htm", "GET", "htu", issuerURL+"/userinfo", "ath", ath(a.text("access_token"))))
		w.ask(header).want(t, http.StatusOK)
	})
	t.Run("checklist_202 a person who is disabled", func(t *testing.T) {
		w.t = t
		w.crowd.change(func() { delete(w.crowd.people, "pe_alice") })
		w.ask(bearer(access)).want(t, http.StatusUnauthorized)
	})
}

func TestClaimsThatAreAskedForByName(t *testing.T) {
	w := newPeopleWorld(t)
	w.add(app())
	w.crowd.change(func() {
		w.crowd.people["pe_alice"].Claims = map[string]json.RawMessage{"given_name": json.RawMessage(`"Alice"`), "phone_number": json.RawMessage(`"+1"`)}
	})
	const wish = `{"id_token":{"email":null,"phone_number":null,"sub":null},"userinfo":{"given_name":{"essential":true},"phone_number":null}}`
	v := &visit{p: w}
	page := v.authorize(usual("scope", "openid", "claims", wish))
	q := w.pages.begun[len(w.pages.begun)-1]
	if !q.Ask.Scope.Equal(oauth.Scope{"openid", "profile", "email"}) {
		t.Errorf("the person is asked for %v", q.Ask.Scope)
	}
	a := w.redeem(v.allow(page, "pe_alice").sentTo(redirectURI).Get("code"), nil)
	if a.text("scope") != "openid" {
		t.Errorf("the scope is %q", a.text("scope"))
	}
	id, info := claims(t, a.text("id_token")), w.ask(bearer(a.ok())).json
	if id["email"] != "alice@example.com" || id["given_name"] != nil || id["phone_number"] != nil || id["sub"] != "pe_alice" {
		t.Errorf("ID token: %v", id)
	}
	if info["given_name"] != "Alice" || info["email"] != nil || info["phone_number"] != nil {
		t.Errorf("userinfo: %v", info)
	}
	t.Run("and still after a refresh", func(t *testing.T) {
		w.t = t
		b := w.refresh(a.text("refresh_token"))
		if w.ask(bearer(b.ok())).json["given_name"] != "Alice" || claims(t, b.text("id_token"))["email"] != "alice@example.com" {
			t.Error("they are gone")
		}
	})
	t.Run("what the person did not allow is not said", func(t *testing.T) {
		w.t = t
		v := &visit{p: w}
		page := v.authorize(usual("scope", "openid", "claims", wish))
		back := v.allow(page, "pe_alice", func(a *session.Answer) { a.Scope = oauth.Scope{"openid"} })
		a := w.redeem(back.sentTo(redirectURI).Get("code"), nil)
		if claims(t, a.text("id_token"))["email"] != nil || w.ask(bearer(a.ok())).json["given_name"] != nil {
			t.Error("said")
		}
	})
	t.Run("checklist_57 where nothing may be asked they are left out", func(t *testing.T) {
		w.t = t
		alice := w.signIn("pe_bob")
		alice.code(usual("scope", "openid"), "pe_bob")
		if alice.authorize(usual("scope", "openid", "claims", wish, "prompt", "none")).sentTo(redirectURI).Get("code") == "" {
			t.Error("no code")
		}
	})
}

func TestChecklist199to201(t *testing.T) {
	w := newPeopleWorld(t)
	alice := w.signIn("pe_alice")
	for _, alg := range []jose.Algorithm{"", jose.RS256, jose.PS256, jose.ES256, jose.EdDSA} {
		t.Run("checklist_200 signed by "+string(alg), func(t *testing.T) {
			w.t = t
			c := app()
			c.ID, c.IDTokenAlg = "by"+string(alg), alg
			w.add(c)
			a := w.redeem(alice.code(usual("client_id", c.ID), "pe_alice"), nil, "client_id", c.ID)
			want := alg
			if alg == "" {
				want = jose.RS256
			}
			access, raw := a.ok(), a.text("id_token")
			parsed, err := jose.Parse(raw, want)
			if err != nil {
				t.Fatal(err)
			}
			published := w.get("/jwks")
			set, err := jose.ParseKeySet([]byte(published.body))
			if err != nil {
				t.Fatal(err)
			}
			payload, err := parsed.Verify(set.Candidates(parsed.Header().KeyID, want)...)
			if err != nil {
				t.Fatalf("not with a published key: %v", err)
			}
			var id struct {
				Iss, Sub, Aud, Sid string
				Exp, Iat           int64
				AuthTime           int64    `json:"auth_time"`
				AtHash             string   `json:"at_hash"`
				AMR                []string `json:"amr"`
				Nonce              *string
			}
			if err := json.Unmarshal(payload, &id); err != nil {
				t.Fatal(err)
			}
			if id.Iss != issuerURL || id.Sub != "pe_alice" || len(id.Sub) > 255 || id.Aud != c.ID || id.Exp <= id.Iat || id.Iat != w.now().Unix() || id.Nonce != nil {
				t.Errorf("checklist_199: %+v", id)
			}
			if id.AuthTime == 0 || id.Sid != alice.session().ID || len(id.AMR) == 0 {
				t.Errorf("checklist_211: %+v", id)
			}
			if id.AtHash != halfHash(access, want) {
				t.Errorf("checklist_200: at_hash is %q", id.AtHash)
			}
			if _, err := w.verifier.Verify(raw); err == nil {
				t.Error("checklist_116: the gateway takes an ID token")
			}
		})
	}
	t.Run("checklist_201 pairwise subjects are one for a sector, and another elsewhere", func(t *testing.T) {
		w.t = t
		sub := func(id, uri, sector string) any {
			c := app()
			c.ID, c.SubjectType, c.RedirectURIs, c.SectorIdentifier = id, client.SubjectPairwise, []string{uri}, sector
			w.add(c)
			q := usual("client_id", id, "redirect_uri", uri)
			a := w.redeem(alice.code(q, "pe_alice"), nil, "client_id", id, "redirect_uri", uri)
			return claims(t, a.text("id_token"))["sub"]
		}
		one, same, other, registered := sub("p1", "https://one.example/a", ""), sub("p2", "https://one.example/b", ""), sub("p3", "https://two.example/a", ""), sub("p4", "https://three.example/a", "one.example")
		if one != same || one == other || one != registered || one == "pe_alice" {
			t.Errorf("%v, %v, %v, %v", one, same, other, registered)
		}
	})
}

func TestChecklist206to209(t *testing.T) {
	w := newPeopleWorld(t)
	c := app()
	c.PostLogoutRedirectURIs = []string{"https://client.example/bye", "https://client.example/bye?a=b"}
	w.add(c)
	other := app()
	other.ID = "other"
	w.add(other)
	out := func(v *visit, pairs ...string) answer {
		return v.send(http.MethodGet, "/logout?"+values(pairs...).Encode(), nil)
	}
	in := func(personID string) (*visit, string) {
		v := w.signIn(personID)
		return v, w.redeem(v.code(usual(), personID), nil).text("id_token")
	}
	left := func(a answer) string { return a.header.Get("Location") }
	t.Run("checklist_206 with the hint of its client, by GET and by POST", func(t *testing.T) {
		w.t = t
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			alice, hint := in("pe_alice")
			id := alice.session().ID
			q := values("id_token_hint", hint, "post_logout_redirect_uri", "https://client.example/bye", "state", "s t")
			target := "/logout"
			if method == http.MethodGet {
				target, q = target+"?"+q.Encode(), nil
			}
			a := alice.send(method, target, q)
			if a.status != http.StatusSeeOther || left(a) != "https://client.example/bye?state=s+t" {
				t.Errorf("%s: %d %s %s", method, a.status, left(a), a.body)
			}
			if last := w.pages.ended[len(w.pages.ended)-1]; last != id {
				t.Errorf("%s: ended %s", method, last)
			}
			alice.authorize(usual("prompt", "none")).failed("login_required", "")
		}
	})
	t.Run("checklist_208 state only where it was sent", func(t *testing.T) {
		w.t = t
		alice, hint := in("pe_alice")
		if got := left(out(alice, "id_token_hint", hint, "post_logout_redirect_uri", "https://client.example/bye?a=b")); got != "https://client.example/bye?a=b" {
			t.Error(got)
		}
		alice, hint = in("pe_alice")
		if got := left(out(alice, "id_token_hint", hint, "post_logout_redirect_uri", "https://client.example/bye?a=b", "state", "x")); got != "https://client.example/bye?a=b&state=x" {
			t.Error(got)
		}
	})
	t.Run("checklist_206 an expired hint", func(t *testing.T) {
		w.t = t
		alice, hint := in("pe_alice")
		w.advance(2 * time.Hour)
		if got := left(out(alice, "id_token_hint", hint, "client_id", "app", "post_logout_redirect_uri", "https://client.example/bye")); got != "https://client.example/bye" {
			t.Error(got)
		}
	})
	t.Run("without a place to go there is a page", func(t *testing.T) {
		w.t = t
		alice, hint := in("pe_alice")
		a := out(alice, "id_token_hint", hint)
		if a.status != http.StatusOK || !strings.Contains(a.body, `id="logout-done"`) || a.header.Get("X-Frame-Options") != "DENY" {
			t.Errorf("%d %s", a.status, a.body)
		}
	})
	alice, hint := in("pe_alice")
	ended := len(w.pages.ended)
	for _, tt := range []struct {
		name  string
		pairs []string
	}{
		{"checklist_207 an unregistered place", []string{"id_token_hint", hint, "post_logout_redirect_uri", "https://evil.example"}},
		{"checklist_207 more query", []string{"id_token_hint", hint, "post_logout_redirect_uri", "https://client.example/bye?x=y"}},
		{"checklist_207 a place of the client that is not registered", []string{"client_id", "app", "post_logout_redirect_uri", redirectURI}},
		{"checklist_206 a modified hint", []string{"id_token_hint", hint[:len(hint)-6] + "AAAAAA"}},
		{"checklist_206 a hint that is none", []string{"id_token_hint", "x"}},
		{"checklist_206 another client beside the hint", []string{"id_token_hint", hint, "client_id", "other"}},
		{"an unknown client", []string{"client_id", "nobody"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w.t = t
			out(alice, tt.pairs...).page("invalid_request")
			if len(w.pages.ended) != ended {
				t.Error("signed out all the same")
			}
		})
	}
	t.Run("checklist_3 two hints", func(t *testing.T) {
		w.t = t
		alice.send(http.MethodGet, "/logout?id_token_hint="+hint+"&id_token_hint="+hint, nil).page("invalid_request")
	})
	for name, pairs := range map[string][]string{
		"no hint":                 {"client_id", "app", "post_logout_redirect_uri", "https://client.example/bye", "state", "x"},
		"nothing at all":          nil,
		"the hint of another":     {"id_token_hint", func() string { _, hint := in("pe_bob"); return hint }(), "post_logout_redirect_uri", "https://client.example/bye", "state", "x"},
		"a hint of another login": {"id_token_hint", func() string { _, hint := in("pe_alice"); return hint }(), "post_logout_redirect_uri", "https://client.example/bye", "state", "x"},
	} {
		t.Run("checklist_209 the person is asked: "+name, func(t *testing.T) {
			w.t = t
			alice, _ := in("pe_alice")
			ended := len(w.pages.ended)
			page := out(alice, pairs...)
			if page.status != http.StatusSeeOther || !strings.HasPrefix(left(page), "/sign-in") || len(w.pages.ended) != ended {
				t.Fatalf("%d %s", page.status, left(page))
			}
			refused := alice.allow(page, "pe_alice", func(a *session.Answer) { a.Error = oauth.CodeAccessDenied })
			if refused.status != http.StatusOK || !strings.Contains(refused.body, `id="logout-refused"`) || len(w.pages.ended) != ended {
				t.Errorf("%d %s", refused.status, refused.body)
			}
			page = out(alice, pairs...)
			done := alice.allow(page, "pe_alice")
			if len(w.pages.ended) != ended+1 {
				t.Error("not signed out")
			}
			if pairs == nil && !strings.Contains(done.body, `id="logout-done"`) || pairs != nil && left(done) != "https://client.example/bye?state=x" {
				t.Errorf("%d %s %s", done.status, left(done), done.body)
			}
		})
	}
	t.Run("checklist_207 a place without a client is not gone to", func(t *testing.T) {
		w.t = t
		a := out(&visit{p: w}, "post_logout_redirect_uri", "https://client.example/bye")
		if a.status != http.StatusOK || left(a) != "" {
			t.Errorf("%d %s", a.status, left(a))
		}
	})
	t.Run("nobody is signed in", func(t *testing.T) {
		w.t = t
		if got := left(out(&visit{p: w}, "id_token_hint", hint, "post_logout_redirect_uri", "https://client.example/bye")); got != "https://client.example/bye" {
			t.Error(got)
		}
	})
}

func TestRefreshTokensAtRevocationAndIntrospection(t *testing.T) {
	w := newPeopleWorld(t)
	w.add(app())
	_, header := w.withSecret(site())
	alice := w.signIn("pe_alice")
	begin := func() answer { return w.redeem(alice.code(usual("client_id", "site"), "pe_alice"), header) }
	t.Run("checklist_122 revoked it takes the access tokens along", func(t *testing.T) {
		w.t = t
		for _, hint := range []string{"refresh_token", "access_token", "bogus", ""} { // checklist_123
			a := begin()
			if _, err := w.verifier.Verify(a.ok()); err != nil {
				t.Fatal(err)
			}
			w.post("/revoke", header, values("token", a.text("refresh_token"), "token_type_hint", hint)).want(t, http.StatusOK)
			if _, err := w.verifier.Verify(a.text("access_token")); err == nil {
				t.Errorf("hint %q: the access token is taken", hint)
			}
			w.post("/token", header, values("grant_type", "refresh_token", "refresh_token", a.text("refresh_token"))).refused(400, "invalid_grant", "")
			w.post("/revoke", header, values("token", a.text("refresh_token"))).want(t, http.StatusOK) // checklist_120 again
		}
	})
	t.Run("checklist_121 not by another client", func(t *testing.T) {
		w.t = t
		a := begin()
		w.post("/revoke", nil, values("token", a.text("refresh_token"), "client_id", "app")).want(t, http.StatusOK)
		w.post("/token", header, values("grant_type", "refresh_token", "refresh_token", a.text("refresh_token"))).ok()
	})
	t.Run("checklist_124 by a public client", func(t *testing.T) {
		w.t = t
		a := w.redeem(alice.code(usual(), "pe_alice"), nil)
		w.post("/revoke", nil, values("token", a.text("refresh_token"), "client_id", "app")).want(t, http.StatusOK)
		w.refresh(a.text("refresh_token")).refused(400, "invalid_grant", "")
	})
	t.Run("its client may ask about it", func(t *testing.T) {
		w.t = t
		a := begin()
		got := w.post("/introspect", header, values("token", a.text("refresh_token")))
		if got.json["active"] != true || got.json["client_id"] != "site" || got.json["sub"] != "pe_alice" || got.json["scope"] != "openid read:orders" || got.json["exp"] == nil || got.json["auth_time"] == nil {
			t.Errorf("%s", got.body)
		}
		other := site()
		other.ID = "other"
		_, others := w.withSecret(other)
		if got := w.post("/introspect", others, values("token", a.text("refresh_token"))); got.body != `{"active":false}` {
			t.Errorf("checklist_129: another learns %s", got.body)
		}
		w.post("/token", header, values("grant_type", "refresh_token", "refresh_token", a.text("refresh_token"))).ok()
		if got := w.post("/introspect", header, values("token", a.text("refresh_token"))); got.body != `{"active":false}` {
			t.Errorf("checklist_128: rotated it is %s", got.body)
		}
	})
	t.Run("checklist_175 an access token of a person says how they signed in", func(t *testing.T) {
		w.t = t
		a := begin()
		got := w.post("/introspect", header, values("token", a.ok()))
		if got.json["active"] != true || got.json["acr"] == nil || got.json["auth_time"] == nil || got.json["sub"] != "pe_alice" {
			t.Errorf("%s", got.body)
		}
		w.crowd.change(func() { w.crowd.people["pe_alice"].Status = directory.Disabled })
	})
}

func TestWhatAPublicClientMayLearnByGuessing(t *testing.T) {
	w := newPeopleWorld(t)
	w.add(app())
	one := w.redeem("offkey_ac_"+strings.Repeat("x", 49), nil)
	two := w.redeem("x", nil)
	if one.body != two.body {
		t.Errorf("%s and %s", one.body, two.body)
	}
	q := url.Values{"grant_type": {"authorization_code"}, "client_id": {"app"}}
	w.post("/token", nil, q).refused(400, "invalid_request", "code is missing")
}
