package authserver_test

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/offkey/offkey/internal/authserver"
	"github.com/offkey/offkey/internal/client"
	"github.com/offkey/offkey/internal/directory"
	"github.com/offkey/offkey/internal/oauth"
	"github.com/offkey/offkey/internal/token"
)

// site is a confidential client for people.
func site() client.Client {
	c := app()
	c.ID = "site"
	return c
}

func TestChecklist66to71(t *testing.T) {
	w := newPeopleWorld(t)
	w.add(app())
	other := app()
	other.ID = "other"
	w.add(other)
	_, header := w.withSecret(site())
	alice := w.signIn("pe_alice")
	fresh := func() string { return alice.code(usual("resource", api), "pe_alice") }
	for _, tt := range []struct {
		name       string
		more       []string
		code, part string
	}{
		{"checklist_66 another client", []string{"client_id", "other"}, "invalid_grant", "not known"},
		{"checklist_68 a wrong verifier", []string{"code_verifier", strings.Repeat("a", 43)}, "invalid_grant", "does not match"},
		{"checklist_68 no verifier", []string{"code_verifier", ""}, "invalid_grant", "missing"},
		{"checklist_69 a short verifier", []string{"code_verifier", verifier[:42]}, "invalid_grant", "43 to 128"},
		{"checklist_69 a long verifier", []string{"code_verifier", strings.Repeat("a", 129)}, "invalid_grant", "43 to 128"},
		{"checklist_69 a verifier of other characters", []string{"code_verifier", verifier[:42] + "="}, "invalid_grant", "43 to 128"},
		{"checklist_70 another redirect URI", []string{"redirect_uri", redirectURI + "?tenant=a"}, "invalid_grant", "redirect_uri"},
		{"checklist_108 another resource", []string{"resource", otherAPI}, "invalid_target", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w.t = t
			code := fresh()
			w.redeem(code, nil, tt.more...).refused(400, tt.code, tt.part)
			w.redeem(code, nil).refused(400, "invalid_grant", "redeemed before") // checklist_71 it is spent by a failed attempt
		})
	}
	t.Run("checklist_70 the redirect URI may be left out", func(t *testing.T) {
		w.t = t
		w.redeem(fresh(), nil, "redirect_uri", "").ok()
	})
	t.Run("checklist_108 the same resource", func(t *testing.T) {
		w.t = t
		w.redeem(fresh(), nil, "resource", api).ok()
	})
	t.Run("checklist_109 aud is the resource that was asked for and no other", func(t *testing.T) {
		w.t = t
		a := w.redeem(alice.code(usual("resource", otherAPI), "pe_alice"), nil)
		if got := claims(t, a.ok())["aud"]; got != otherAPI {
			t.Errorf("%v", got)
		}
	})
	t.Run("checklist_59 a code lives for a minute", func(t *testing.T) {
		w.t = t
		code := fresh()
		w.advance(60 * time.Second)
		w.redeem(code, nil).refused(400, "invalid_grant", "expired")
		code = fresh()
		w.advance(60*time.Second - 1)
		w.redeem(code, nil).ok()
	})
	for name, code := range map[string]string{
		"nothing": "", "no code": "x", "a code that never was": token.NewCode().Reveal(), "a client secret": "offkey_cs_" + token.NewCode().Reveal()[10:],
	} {
		t.Run("what is no code: "+name, func(t *testing.T) {
			w.t = t
			want := "invalid_grant"
			if code == "" {
				want = "invalid_request"
			}
			w.redeem(code, nil).refused(400, want, "")
		})
	}
	t.Run("checklist_19 a confidential client proves itself", func(t *testing.T) {
		w.t = t
		code := alice.code(usual("client_id", "site"), "pe_alice")
		w.redeem(code, nil, "client_id", "site").refused(401, "invalid_client", "")
		w.redeem(code, header).ok() // what is not authenticated spends nothing
	})
	t.Run("checklist_65 a code of another is told from none by nobody", func(t *testing.T) {
		w.t = t
		a, b := w.redeem(fresh(), nil, "client_id", "other"), w.redeem(token.NewCode().Reveal(), nil)
		if a.body != b.body || a.status != b.status {
			t.Errorf("%s and %s", a.body, b.body)
		}
	})
	t.Run("checklist_63 scope is in the answer, and expires_in a number that the token has too", func(t *testing.T) {
		w.t = t
		a := w.redeem(fresh(), nil)
		c := claims(t, a.ok())
		if a.text("scope") != "openid read:orders" || a.json["expires_in"] != c["exp"].(float64)-c["iat"].(float64) || a.text("token_type") != "Bearer" {
			t.Errorf("checklist_64: %v", a.json)
		}
		if a.header.Get("Cache-Control") != "no-store" || a.header.Get("Pragma") != "no-cache" {
			t.Errorf("checklist_4: %v", a.header)
		}
	})
}

func TestChecklist67(t *testing.T) {
	w := newPeopleWorld(t)
	w.add(app())
	alice := w.signIn("pe_alice")
	t.Run("checklist_67 a code that comes twice takes back what it brought", func(t *testing.T) {
		w.t = t
		code := alice.code(usual(), "pe_alice")
		a := w.redeem(code, nil)
		if _, err := w.verifier.Verify(a.ok()); err != nil {
			t.Fatal(err)
		}
		w.advance(30 * time.Second)
		w.redeem(code, nil).refused(400, "invalid_grant", "redeemed before")
		if _, err := w.verifier.Verify(a.text("access_token")); err == nil {
			t.Error("the gateway takes the access token")
		}
		w.refresh(a.text("refresh_token")).refused(400, "invalid_grant", "")
	})
	t.Run("checklist_227 of 64 that redeem a code together one gets tokens", func(t *testing.T) {
		w.t = t
		code := alice.code(usual(), "pe_alice")
		var got atomic.Int32
		start := make(chan struct{})
		var wg sync.WaitGroup
		for range 64 {
			wg.Go(func() {
				<-start
				if w.redeem(code, nil).status == http.StatusOK {
					got.Add(1)
				}
			})
		}
		close(start)
		wg.Wait()
		if got.Load() > 1 {
			t.Errorf("%d got tokens", got.Load())
		}
	})
}

func TestPKCEOptional(t *testing.T) {
	w := newPeopleWorld(t)
	old := site()
	old.ID, old.PKCEOptional = "old", true
	_, header := w.withSecret(old)
	public := app()
	public.ID, public.PKCEOptional = "public", true
	w.add(public)
	fapi := site()
	fapi.ID, fapi.PKCEOptional, fapi.Profile = "fapi", true, client.ProfileFAPI2
	w.withSecret(fapi)
	alice := w.signIn("pe_alice")
	without := func(id, scope string) answer {
		return alice.authorize(usual("client_id", id, "scope", scope, "code_challenge", "", "code_challenge_method", ""))
	}
	t.Run("checklist_41 a confidential client of OpenID Connect that is registered so", func(t *testing.T) {
		w.t = t
		code := alice.allow(without("old", "openid"), "pe_alice").sentTo(redirectURI).Get("code")
		w.redeem(code, header, "code_verifier", "").ok()
	})
	t.Run("checklist_68 a verifier for a code without challenge is refused", func(t *testing.T) {
		w.t = t
		code := without("old", "openid").sentTo(redirectURI).Get("code")
		w.redeem(code, header).refused(400, "invalid_grant", "had no code_challenge")
	})
	t.Run("checklist_41 not without openid, not a public one, not one of FAPI", func(t *testing.T) {
		w.t = t
		without("old", "read:orders").failed("invalid_request", "PKCE")
		without("public", "openid").failed("invalid_request", "PKCE")
		without("fapi", "openid").failed("invalid_request", "pushed")
	})
	t.Run("checklist_68 and it may use PKCE", func(t *testing.T) {
		w.t = t
		w.redeem(alice.code(usual("client_id", "old", "scope", "openid"), "pe_alice"), header, "code_verifier", "").refused(400, "invalid_grant", "missing")
		w.redeem(alice.code(usual("client_id", "old", "scope", "openid"), "pe_alice"), header).ok()
	})
}

func TestChecklist77to84(t *testing.T) {
	w := newPeopleWorld(t, func(o *authserver.Options) { o.RefreshLife, o.RefreshIdle = 10*24*time.Hour, 24*time.Hour })
	w.add(app())
	other := app()
	other.ID = "other"
	w.add(other)
	alice := w.signIn("pe_alice")
	begin := func(q ...string) answer { return w.redeem(alice.code(usual(q...), "pe_alice"), nil) }
	t.Run("checklist_77 each refresh token of a public client is good once", func(t *testing.T) {
		w.t = t
		first := begin().text("refresh_token")
		a := w.refresh(first)
		second := a.text("refresh_token")
		if a.ok(); second == "" || second == first {
			t.Fatalf("%v", a.json)
		}
		b := w.refresh(second)
		b.ok()
		w.refresh(first).refused(400, "invalid_grant", "used before")
		w.refresh(b.text("refresh_token")).refused(400, "invalid_grant", "")
		for _, raw := range []string{a.text("access_token"), b.text("access_token")} {
			if _, err := w.verifier.Verify(raw); err == nil {
				t.Error("an access token of the family is taken")
			}
		}
	})
	t.Run("checklist_78 scope is a part, and the next one has all again", func(t *testing.T) {
		w.t = t
		a := begin("scope", "openid profile read:orders")
		a = w.refresh(a.text("refresh_token"), "scope", "read:orders")
		if a.ok(); a.text("scope") != "read:orders" || a.text("id_token") != "" {
			t.Errorf("%v", a.json)
		}
		a = w.refresh(a.text("refresh_token"))
		if a.ok(); a.text("scope") != "openid profile read:orders" {
			t.Errorf("%v", a.json)
		}
		a = w.refresh(a.text("refresh_token"), "scope", "read:orders email")
		a.refused(400, "invalid_scope", "")
	})
	t.Run("a refused refresh uses nothing up", func(t *testing.T) {
		w.t = t
		a := begin()
		w.refresh(a.text("refresh_token"), "scope", "email").refused(400, "invalid_scope", "")
		w.refresh(a.text("refresh_token"), "resource", "https://evil.example").refused(400, "invalid_target", "")
		w.refresh(a.text("refresh_token")).ok()
	})
	t.Run("checklist_79 another client ends the family and learns nothing", func(t *testing.T) {
		w.t = t
		a := begin()
		stolen := w.post("/token", nil, values("grant_type", "refresh_token", "refresh_token", a.text("refresh_token"), "client_id", "other"))
		never := w.post("/token", nil, values("grant_type", "refresh_token", "refresh_token", "x", "client_id", "other"))
		if stolen.refused(400, "invalid_grant", ""); stolen.body != never.body {
			t.Errorf("%s and %s", stolen.body, never.body)
		}
		w.refresh(a.text("refresh_token")).refused(400, "invalid_grant", "")
	})
	t.Run("checklist_82 an ID token as the first one was", func(t *testing.T) {
		w.t = t
		a := begin("nonce", "n")
		first := claims(t, a.text("id_token"))
		w.advance(time.Hour)
		b := w.refresh(a.text("refresh_token"))
		second := claims(t, b.text("id_token"))
		for _, name := range []string{"iss", "sub", "aud", "auth_time", "acr", "sid"} {
			if first[name] != second[name] {
				t.Errorf("%s was %v, is %v", name, first[name], second[name])
			}
		}
		if second["nonce"] != nil || second["iat"] == first["iat"] {
			t.Errorf("%v", second)
		}
	})
	t.Run("checklist_84 the resources are those that were allowed, or a part", func(t *testing.T) {
		w.t = t
		q := usual()
		q["resource"] = []string{api, otherAPI}
		a := w.redeem(alice.code(q, "pe_alice"), nil)
		a = w.refresh(a.text("refresh_token"), "resource", otherAPI)
		if got := claims(t, a.ok())["aud"]; got != otherAPI {
			t.Errorf("aud is %v", got)
		}
		a = w.refresh(a.text("refresh_token"))
		if got, _ := claims(t, a.ok())["aud"].([]any); len(got) != 2 {
			t.Errorf("aud is %v", got)
		}
	})
	t.Run("unused for too long, or at its end, it is none", func(t *testing.T) {
		w.t = t
		a := begin("scope", "read:orders")
		w.advance(24 * time.Hour)
		w.refresh(a.text("refresh_token")).refused(400, "invalid_grant", "")
		alice = w.signIn("pe_alice")
		a = begin("scope", "read:orders")
		for range 10 {
			w.advance(24*time.Hour - time.Second)
			a = w.refresh(a.text("refresh_token"))
			a.ok()
		}
		w.advance(time.Hour)
		w.refresh(a.text("refresh_token")).refused(400, "invalid_grant", "")
	})
	alice = w.signIn("pe_alice")
	t.Run("checklist_227 of 64 that come with one refresh token together one gets tokens", func(t *testing.T) {
		w.t = t
		a := begin()
		var got atomic.Int32
		start := make(chan struct{})
		var wg sync.WaitGroup
		for range 64 {
			wg.Go(func() {
				<-start
				if w.refresh(a.text("refresh_token")).status == http.StatusOK {
					got.Add(1)
				}
			})
		}
		close(start)
		wg.Wait()
		if got.Load() > 1 {
			t.Errorf("%d got tokens", got.Load())
		}
	})
	t.Run("a client that is not registered for refresh tokens gets none", func(t *testing.T) {
		w.t = t
		c := app()
		c.ID, c.Grants = "once", []string{oauth.GrantAuthorizationCode}
		w.add(c)
		a := w.redeem(alice.code(usual("client_id", "once", "scope", "openid offline_access"), "pe_alice"), nil, "client_id", "once")
		if a.ok(); a.text("refresh_token") != "" {
			t.Errorf("%v", a.json)
		}
	})
}

func TestChecklist80(t *testing.T) {
	w := newPeopleWorld(t, func(o *authserver.Options) { o.RefreshGrace = 10 * time.Second })
	w.add(app())
	alice := w.signIn("pe_alice")
	first := w.redeem(alice.code(usual(), "pe_alice"), nil).text("refresh_token")
	a := w.refresh(first)
	w.advance(9 * time.Second)
	b := w.refresh(first)
	if b.ok(); a.text("refresh_token") != b.text("refresh_token") || a.text("access_token") == b.text("access_token") {
		t.Errorf("checklist_80: %v, then %v", a.json, b.json)
	}
	w.refresh(a.text("refresh_token")).ok()
	w.refresh(first).refused(400, "invalid_grant", "used before")
}

func TestWhichRefreshTokensAreRotated(t *testing.T) {
	w := newPeopleWorld(t)
	plain := site()
	plain.ID = "plain"
	_, header := w.withSecret(plain)
	bound := site()
	bound.ID, bound.DPoPBound = "bound", true
	_, boundHeader := w.withSecret(bound)
	w.add(app())
	alice := w.signIn("pe_alice")
	p := w.prover("ES256")
	t.Run("those of a client with a secret are", func(t *testing.T) {
		w.t = t
		first := w.redeem(alice.code(usual("client_id", "plain"), "pe_alice"), header).text("refresh_token")
		again := w.post("/token", header, values("grant_type", "refresh_token", "refresh_token", first))
		if again.ok(); again.text("refresh_token") == "" || again.text("refresh_token") == first {
			t.Errorf("%v", again.json)
		}
	})
	t.Run("those of a client that proves itself and a key are not", func(t *testing.T) {
		w.t = t
		first := w.redeem(alice.code(usual("client_id", "bound"), "pe_alice"), proving(boundHeader, p.proof())).text("refresh_token")
		for range 2 {
			again := w.post("/token", proving(boundHeader, p.proof()), values("grant_type", "refresh_token", "refresh_token", first))
			if again.ok(); again.text("refresh_token") != "" || again.text("token_type") != "DPoP" {
				t.Errorf("%v", again.json)
			}
		}
		t.Run("checklist_83 and are not bound to that key", func(t *testing.T) {
			w.t = t
			other := w.prover("ES256")
			a := w.post("/token", proving(boundHeader, other.proof()), values("grant_type", "refresh_token", "refresh_token", first))
			if got := cnf(t, a.ok())["jkt"]; got != other.jkt() {
				t.Errorf("%v", got)
			}
		})
	})
	t.Run("checklist_83 those of a public client that proves a key are bound to it, and are not", func(t *testing.T) {
		w.t = t
		a := w.post("/token", proving(nil, p.proof()), values("grant_type", "authorization_code", "code", alice.code(usual(), "pe_alice"), "code_verifier", verifier, "client_id", "app"))
		first := a.text("refresh_token")
		again := values("grant_type", "refresh_token", "refresh_token", first, "client_id", "app")
		w.post("/token", nil, again).refused(400, "invalid_grant", "DPoP key")
		w.post("/token", proving(nil, w.prover("ES256").proof()), again).refused(400, "invalid_grant", "DPoP key")
		if b := w.post("/token", proving(nil, p.proof()), again); b.ok() == "" || b.text("refresh_token") != "" {
			t.Errorf("%v", b.json)
		}
	})
	t.Run("checklist_151 a code is bound to the key that dpop_jkt names", func(t *testing.T) {
		w.t = t
		code := func() url.Values {
			return values("grant_type", "authorization_code", "code", alice.code(usual("dpop_jkt", p.jkt()), "pe_alice"), "code_verifier", verifier, "client_id", "app")
		}
		w.post("/token", nil, code()).refused(400, "invalid_grant", "dpop_jkt")
		w.post("/token", proving(nil, w.prover("ES256").proof()), code()).refused(400, "invalid_grant", "dpop_jkt")
		w.post("/token", proving(nil, p.proof()), code()).ok()
	})
}

func TestChecklist81(t *testing.T) {
	for _, tt := range []struct {
		name string
		do   func(w *peopleWorld)
		auth bool // refused as client
	}{
		{"checklist_81 the person is disabled", func(w *peopleWorld) {
			w.crowd.change(func() { w.crowd.people["pe_alice"].Status = directory.Disabled })
		}, false},
		{"checklist_81 the person is gone", func(w *peopleWorld) { w.crowd.change(func() { delete(w.crowd.people, "pe_alice") }) }, false},
		{"checklist_81 the person has lost all rights", func(w *peopleWorld) { w.crowd.change(func() { delete(w.crowd.may, "pe_alice") }) }, false},
		{"checklist_81 all of the person is revoked, as for a reset password", func(w *peopleWorld) {
			w.revoke(token.Revocation{Kind: token.RevokePerson, ID: "pe_alice", Before: w.now()})
		}, false},
		{"checklist_81 consent is withdrawn", func(w *peopleWorld) {
			if err := w.db.RevokeGranted(context.Background(), "pe_alice", "app", system); err != nil {
				w.t.Fatal(err)
			}
		}, false},
		{"checklist_81 the client has lost all rights", func(w *peopleWorld) { w.update("app", func(c *client.Client) { c.Scopes = nil }) }, false},
		{"checklist_81 the client is disabled", func(w *peopleWorld) { w.update("app", func(c *client.Client) { c.Status = client.Disabled }) }, true},
		{"checklist_81 everything is revoked", func(w *peopleWorld) {
			w.revoke(token.Revocation{Kind: token.RevokeAll, ID: token.All, Before: w.now()})
		}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newPeopleWorld(t)
			w.add(app())
			alice := w.signIn("pe_alice")
			a := w.redeem(alice.code(usual(), "pe_alice"), nil)
			pending := alice.code(usual(), "pe_alice")
			tt.do(w)
			status, code := 400, "invalid_grant"
			if tt.auth {
				status, code = 401, "invalid_client"
			}
			w.refresh(a.text("refresh_token")).refused(status, code, "")
			if tt.name != "checklist_81 the client has lost all rights" { // what it was given a moment ago it may still get
				w.redeem(pending, nil).refused(status, code, "")
			}
		})
	}
	t.Run("what is lost in part is left out", func(t *testing.T) {
		w := newPeopleWorld(t)
		w.add(app())
		a := w.redeem(w.signIn("pe_alice").code(usual("scope", "openid email read:orders"), "pe_alice"), nil)
		w.crowd.change(func() { w.crowd.may["pe_alice"] = oauth.Scope{"openid", "read:orders"} })
		w.update("app", func(c *client.Client) { c.Scopes = oauth.Scope{"openid", "email"} })
		a = w.refresh(a.text("refresh_token"))
		if a.ok(); a.text("scope") != "openid" {
			t.Errorf("%v", a.json)
		}
		a = w.refresh(a.text("refresh_token"), "scope", "email")
		a.refused(400, "invalid_scope", "")
	})
	t.Run("checklist_212 what is of a session ends with it, what was allowed offline goes on", func(t *testing.T) {
		w := newPeopleWorld(t)
		w.add(app())
		alice := w.signIn("pe_alice")
		bound := w.redeem(alice.code(usual("scope", "openid"), "pe_alice"), nil)
		offline := w.redeem(alice.code(usual("scope", "openid offline_access"), "pe_alice"), nil)
		plain := w.redeem(alice.code(usual("scope", "read:orders"), "pe_alice"), nil)
		w.revoke(token.Revocation{Kind: token.RevokeSession, ID: alice.session().ID, Before: w.now()})
		w.refresh(bound.text("refresh_token")).refused(400, "invalid_grant", "")
		for _, a := range []answer{offline, plain} {
			if _, err := w.verifier.Verify(a.ok()); err == nil {
				t.Error("an access token of the session is taken")
			}
			b := w.refresh(a.text("refresh_token"))
			if _, err := w.verifier.Verify(b.ok()); err != nil {
				t.Errorf("renewed it is not taken: %v", err)
			}
		}
	})
}

func (w *peopleWorld) revoke(r token.Revocation) {
	w.t.Helper()
	if err := w.db.Revoke(context.Background(), r, system); err != nil {
		w.t.Fatal(err)
	}
}

func (w *peopleWorld) update(id string, f func(*client.Client)) {
	w.t.Helper()
	if _, err := w.db.UpdateClient(context.Background(), id, func(c *client.Client) error { f(c); return nil }, system); err != nil {
		w.t.Fatal(err)
	}
}
