package authserver_test

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/offkey/offkey/internal/authserver"
	"github.com/offkey/offkey/internal/client"
	"github.com/offkey/offkey/internal/oauth"
	"github.com/offkey/offkey/internal/session"
)

func TestACodeForWhatAPersonAllows(t *testing.T) {
	w := newPeopleWorld(t)
	w.add(app())
	alice := &visit{p: w}
	page := alice.authorize(usual("nonce", "n-0S6_WzA2Mj"))
	if page.status != http.StatusSeeOther || !strings.HasPrefix(page.header.Get("Location"), "/sign-in") {
		t.Fatalf("checklist_49: %d %s", page.status, page.header.Get("Location"))
	}
	q := w.pages.begun[0]
	if q.Ask.RedirectHost != "client.example" || !q.Ask.Scope.Equal(oauth.Scope{"openid", "read:orders"}) || q.Ask.Resources[0] != api {
		t.Errorf("asked for %+v", q.Ask)
	}
	back := alice.allow(page, "pe_alice").sentTo(redirectURI + "?")
	if back.Get("state") != "st" || back.Get("code") == "" {
		t.Fatalf("sent back with %v", back)
	}
	a := w.redeem(back.Get("code"), nil)
	access := claims(t, a.ok())
	for name, want := range map[string]any{
		"sub": "pe_alice", "client_id": "app", "aud": api, "scope": "openid read:orders", "offkey_person": "pe_alice", "acr": session.ACRMFA,
	} {
		if access[name] != want {
			t.Errorf("checklist_114: %s is %v, want %v", name, access[name], want)
		}
	}
	if access["auth_time"] != float64(w.now().Unix()) || access["offkey_grant"] == nil || access["sid"] == nil {
		t.Errorf("checklist_114: %v", access)
	}
	id := claims(t, a.text("id_token"))
	if id["nonce"] != "n-0S6_WzA2Mj" || id["aud"] != "app" || id["sub"] != "pe_alice" {
		t.Errorf("checklist_199: %v", id)
	}
	if a.text("refresh_token") == "" {
		t.Error("no refresh token for a client that is registered for it")
	}
	if _, err := w.verifier.Verify(a.text("access_token")); err != nil {
		t.Errorf("the gateway refuses it: %v", err)
	}
}

func TestWhatIsNeverSentAnywhere(t *testing.T) {
	w := newPeopleWorld(t)
	w.add(app())
	off := app()
	off.ID, off.Status = "off", client.Disabled
	w.add(off)
	browser := w.signIn("pe_alice")
	for _, tt := range []struct {
		name string
		q    url.Values
		part string
	}{
		{"checklist_39 no client", usual("client_id", ""), "invalid_request"},
		{"checklist_39 an unknown client", usual("client_id", "nobody"), "invalid_request"},
		{"checklist_39 a disabled client", usual("client_id", "off"), "disabled"},
		{"checklist_39 no redirect URI", usual("redirect_uri", ""), "invalid_request"},
		{"checklist_39 an unregistered redirect URI", usual("redirect_uri", "https://evil.example/cb"), "invalid_request"},
		{"checklist_37 more query", usual("redirect_uri", redirectURI+"?a=b"), "invalid_request"},
		{"checklist_37 another query", usual("redirect_uri", redirectURI+"?tenant=b"), "invalid_request"},
		{"checklist_37 a fragment", usual("redirect_uri", redirectURI+"#f"), "invalid_request"},
		{"checklist_37 a longer path", usual("redirect_uri", redirectURI+"/../evil"), "invalid_request"},
		{"checklist_38 another loopback host", usual("redirect_uri", "http://127.0.0.2:81/cb"), "invalid_request"},
		{"checklist_3 two states", merged(usual(), values("state", "other")), "invalid_request"},
		{"checklist_3 two clients", merged(usual(), values("client_id", "app")), "invalid_request"},
		{"checklist_136 an unknown request_uri", values("client_id", "app", "request_uri", oauth.RequestURIPrefix+"x"), "invalid_request"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			browser.p.t = t
			browser.authorize(tt.q).page(tt.part)
			browser.send(http.MethodPost, "/authorize", tt.q).page("")
		})
	}
	w.t = t
	if len(w.pages.begun) != 0 {
		t.Error("a person was asked")
	}
}

func TestWhatIsToldToTheClient(t *testing.T) {
	w := newPeopleWorld(t)
	w.add(app())
	waits := app()
	waits.ID, waits.Status, waits.PendingReason = "waits", client.Pending, "it is new"
	w.add(waits)
	w.add(client.Client{ID: "service", AuthMethod: oauth.AuthClientSecretBasic, Scopes: oauth.Scope{"read:orders"}, Details: client.Details{RedirectURIs: []string{redirectURI}}})
	pusher := app()
	pusher.ID, pusher.RequirePAR = "pusher", true
	w.add(pusher)
	signer := app()
	signer.ID, signer.RequestAlg = "signer", "ES256"
	w.add(signer)
	for _, tt := range []struct {
		name       string
		q          url.Values
		code, part string
	}{
		{"checklist_40 no response_type", usual("response_type", ""), "invalid_request", "response_type is missing"},
		{"checklist_40 an unknown response_type", usual("response_type", "bogus"), "unsupported_response_type", ""},
		{"checklist_40 token", usual("response_type", "token"), "unsupported_response_type", ""},
		{"checklist_40 code id_token", usual("response_type", "code id_token"), "unsupported_response_type", ""},
		{"checklist_41 no code_challenge", usual("code_challenge", "", "code_challenge_method", ""), "invalid_request", "PKCE"},
		{"checklist_41 no code_challenge but a method", usual("code_challenge", ""), "invalid_request", "PKCE"},
		{"checklist_42 plain", usual("code_challenge_method", "plain"), "invalid_request", "S256"},
		{"checklist_42 no method means plain", usual("code_challenge_method", ""), "invalid_request", "S256"},
		{"checklist_42 an unknown method", usual("code_challenge_method", "S512"), "invalid_request", "S256"},
		{"checklist_42 a challenge that is no hash", usual("code_challenge", verifier+"A"), "invalid_request", "code_challenge"},
		{"a response_mode that leaves the code to scripts", usual("response_mode", "fragment"), "invalid_request", "response_mode"},
		{"checklist_54 none beside another", usual("prompt", "none login"), "invalid_request", "prompt"},
		{"an unknown prompt", usual("prompt", "dance"), "invalid_request", "prompt"},
		{"checklist_55 max_age is no number", usual("max_age", "soon"), "invalid_request", "max_age"},
		{"checklist_55 max_age is negative", usual("max_age", "-1"), "invalid_request", "max_age"},
		{"checklist_52 a scope that the client is not registered for", usual("scope", "openid create:orders"), "invalid_scope", ""},
		{"checklist_52 a scope that is none", usual("scope", "open\"id"), "invalid_scope", ""},
		{"checklist_107 an unknown resource", usual("resource", "https://evil.example"), "invalid_target", ""},
		{"checklist_106 a resource with a fragment", usual("resource", api+"#x"), "invalid_target", "fragment"},
		{"checklist_58 a request_uri that would have to be fetched", usual("request_uri", "https://client.example/r"), "request_uri_not_supported", ""},
		{"checklist_58 a request object that is none", usual("request", "x"), "invalid_request_object", ""},
		{"claims that is no JSON", usual("claims", "{"), "invalid_request", "claims"},
		{"claims with two members of one name", usual("claims", `{"id_token":{},"id_token":{}}`), "invalid_request", "claims"},
		{"checklist_56 a hint that is none", usual("id_token_hint", "x.y.z"), "invalid_request", "id_token_hint"},
		{"checklist_62 a client without the grant", usual("client_id", "service", "scope", "read:orders"), "unauthorized_client", ""},
		{"a client that waits", usual("client_id", "waits"), "unauthorized_client", "it is new"},
		{"checklist_140 a client that must push", usual("client_id", "pusher"), "invalid_request", "pushed"},
		{"a client that must sign", usual("client_id", "signer"), "invalid_request", "signed"},
		{"a nonce that is too long", usual("nonce", strings.Repeat("n", 3000)), "invalid_request", "nonce"},
		{"dpop_jkt that is no thumbprint", usual("dpop_jkt", "abc"), "invalid_request", "dpop_jkt"},
		{"an essential acr that nobody knows", usual("claims", `{"id_token":{"acr":{"essential":true,"values":["urn:x"]}}}`), "unmet_authentication_requirements", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w.t = t
			a := (&visit{p: w}).authorize(tt.q)
			a.failed(tt.code, tt.part)
			if got := a.sentTo(redirectURI).Get("state"); got != "st" {
				t.Errorf("checklist_44: state %q", got)
			}
		})
	}
	w.t = t
	if len(w.pages.begun) != 0 {
		t.Error("a person was asked")
	}
	t.Run("a state that is too long to be given back", func(t *testing.T) {
		w.t = t
		a := (&visit{p: w}).authorize(usual("state", strings.Repeat("s", 5000)))
		a.failed("invalid_request", "state")
	})
	t.Run("checklist_140 a server that wants every request pushed", func(t *testing.T) {
		w := newPeopleWorld(t, func(o *authserver.Options) { o.RequirePAR = true })
		w.add(app())
		(&visit{p: w}).authorize(usual()).failed("invalid_request", "pushed")
	})
}

func TestWhatNeverBreaksARequest(t *testing.T) {
	w := newPeopleWorld(t)
	w.add(app())
	for _, tt := range []struct {
		name string
		q    url.Values
	}{
		{"checklist_1 an unknown parameter", usual("extra", "a")},
		{"checklist_2 an empty parameter", merged(usual(), url.Values{"prompt": {""}, "request": {""}, "max_age": {""}})},
		{"checklist_57 claims", usual("claims", `{"userinfo":{"given_name":{"essential":true},"picture":null,"http://x":{"value":"y"}},"id_token":{"auth_time":{"essential":true},"acr":{"values":["urn:mace:incommon:iap:silver"]}}}`)},
		{"checklist_57 ui_locales", usual("ui_locales", "fr-CA fr en")},
		{"checklist_57 login_hint", usual("login_hint", "alice@example.com")},
		{"checklist_57 display", usual("display", "page")},
		{"checklist_57 acr_values", usual("acr_values", "1 2 urn:x")},
		{"checklist_55 a max_age that is large", usual("max_age", "10000")},
		{"checklist_55 a max_age beyond all bounds", usual("max_age", "9000000000000000000")},
		{"a resource, twice", merged(usual("resource", api), values("resource", api))},
		{"without scope", usual("scope", "")},
		{"without state", usual("state", "")},
		{"response_mode=query", usual("response_mode", "query")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w.t = t
			v := &visit{p: w}
			if got := v.allow(v.authorize(tt.q), "pe_alice").sentTo(redirectURI); got.Get("code") == "" || got.Get("state") != tt.q.Get("state") {
				t.Errorf("%v", got)
			}
		})
	}
}

func TestChecklist44to48(t *testing.T) {
	w := newPeopleWorld(t)
	w.add(app())
	t.Run("checklist_44 a long state comes back byte for byte", func(t *testing.T) {
		w.t = t
		state := strings.Repeat("s%2F+/=&\"<>ü\x00 ", 200) + "end"
		v := &visit{p: w}
		if got := v.allow(v.authorize(usual("state", state)), "pe_alice").sentTo(redirectURI).Get("state"); got != state {
			t.Errorf("%q", got)
		}
	})
	t.Run("checklist_44 a long nonce too", func(t *testing.T) {
		w.t = t
		nonce := strings.Repeat("n\"ü", 300)
		a := w.redeem((&visit{p: w}).code(usual("nonce", nonce), "pe_alice"), nil)
		if got := claims(t, a.text("id_token"))["nonce"]; got != nonce {
			t.Errorf("%q", got)
		}
	})
	t.Run("checklist_199 without a nonce there is none", func(t *testing.T) {
		w.t = t
		a := w.redeem((&visit{p: w}).code(usual(), "pe_alice"), nil)
		if got, there := claims(t, a.text("id_token"))["nonce"]; there {
			t.Errorf("%q", got)
		}
	})
	t.Run("checklist_47 the redirect URI's own query is kept", func(t *testing.T) {
		w.t = t
		v := &visit{p: w}
		a := v.allow(v.authorize(usual("redirect_uri", redirectURI+"?tenant=a")), "pe_alice")
		if q := a.sentTo(redirectURI + "?tenant=a&code="); q.Get("tenant") != "a" || q.Get("code") == "" {
			t.Errorf("%v", q)
		}
	})
	t.Run("checklist_38 any port of a loopback redirect URI", func(t *testing.T) {
		w.t = t
		v := &visit{p: w}
		v.allow(v.authorize(usual("redirect_uri", "http://127.0.0.1:51004/cb")), "pe_alice").sentTo("http://127.0.0.1:51004/cb?code=")
	})
	t.Run("a redirect URI of an app", func(t *testing.T) {
		w.t = t
		v := &visit{p: w}
		v.allow(v.authorize(usual("redirect_uri", "com.example.app:/cb")), "pe_alice").sentTo("com.example.app:/cb?code=")
	})
	t.Run("checklist_48 a POST is answered as a GET is", func(t *testing.T) {
		w.t = t
		v := &visit{p: w}
		v.allow(v.send(http.MethodPost, "/authorize", usual()), "pe_alice").sentTo(redirectURI)
	})
	t.Run("checklist_48 parameters of a POST are not read from its URL", func(t *testing.T) {
		w.t = t
		(&visit{p: w}).send(http.MethodPost, "/authorize?"+usual().Encode(), nil).page("client_id")
	})
	t.Run("checklist_11 a POST of JSON", func(t *testing.T) {
		w.t = t
		r := newRequest(http.MethodPost, "/authorize", `{"client_id":"app"}`)
		r.Header.Set("Content-Type", "application/json")
		w.do(r).page("invalid_request")
	})
	t.Run("checklist_9 no CORS", func(t *testing.T) {
		w.t = t
		r := newRequest(http.MethodOptions, "/authorize", "")
		r.Header.Set("Origin", "https://app.example")
		a := w.do(r)
		if a.status != http.StatusMethodNotAllowed || a.header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%d %v", a.status, a.header)
		}
		if got := (&visit{p: w}).authorize(usual()).header.Get("Access-Control-Allow-Origin"); got != "" {
			t.Errorf("%q", got)
		}
	})
}

func TestFormPost(t *testing.T) {
	w := newPeopleWorld(t)
	w.add(app())
	v := &visit{p: w}
	a := v.allow(v.authorize(usual("response_mode", "form_post", "state", `"><script>alert(1)</script>`)), "pe_alice")
	if a.status != http.StatusOK || a.header.Get("Location") != "" || a.header.Get("Cache-Control") != "no-store" {
		t.Fatalf("%d %v", a.status, a.header)
	}
	for _, part := range []string{
		`<form method="post" action="` + redirectURI + `">`, `name="code" value="offkey_ac_`, `name="iss" value="` + issuerURL + `"`,
		`name="state" value="&#34;&gt;&lt;script&gt;`, `<button id="form-post-submit"`, "<script>document.forms[0].submit()</script>",
	} {
		if !strings.Contains(a.body, part) {
			t.Errorf("no %s in %s", part, a.body)
		}
	}
	csp := a.header.Get("Content-Security-Policy")
	if !strings.Contains(csp, "script-src 'sha256-"+stdSHA256("document.forms[0].submit()")+"'") || strings.Contains(csp, "unsafe-inline") {
		t.Errorf("the script of the page is not the one that its policy names: %s", csp)
	}
	e := (&visit{p: w}).authorize(usual("response_mode", "form_post", "scope", "nothing"))
	if e.status != http.StatusOK || !strings.Contains(e.body, `name="error" value="invalid_scope"`) {
		t.Errorf("an error: %d %s", e.status, e.body)
	}
}

func TestPrompts(t *testing.T) {
	w := newPeopleWorld(t)
	w.add(app())
	t.Run("checklist_53 none, and nobody is signed in", func(t *testing.T) {
		w.t = t
		(&visit{p: w}).authorize(usual("prompt", "none")).failed("login_required", "")
	})
	alice := w.signIn("pe_alice")
	t.Run("checklist_53 none, and the person has not allowed it yet", func(t *testing.T) {
		w.t = t
		alice.authorize(usual("prompt", "none")).failed("consent_required", "")
	})
	t.Run("checklist_53 none, and all is well", func(t *testing.T) {
		w.t = t
		alice.code(usual(), "pe_alice")
		if alice.authorize(usual("prompt", "none")).sentTo(redirectURI).Get("code") == "" {
			t.Error("no code")
		}
	})
	t.Run("checklist_54 login asks again and auth_time is new", func(t *testing.T) {
		w.t = t
		before := alice.session().AuthTime
		w.advance(time.Minute)
		a := w.redeem(alice.code(usual("prompt", "login"), "pe_alice"), nil)
		if got := claims(t, a.text("id_token"))["auth_time"]; got != float64(w.now().Unix()) || !before.Before(alice.session().AuthTime) {
			t.Errorf("auth_time %v", got)
		}
	})
	t.Run("checklist_55 max_age that is over asks again", func(t *testing.T) {
		w.t = t
		w.advance(time.Minute)
		alice.authorize(usual("max_age", "59", "prompt", "none")).failed("login_required", "")
		if alice.authorize(usual("max_age", "61", "prompt", "none")).sentTo(redirectURI).Get("code") == "" {
			t.Error("asked although it is recent enough")
		}
	})
	t.Run("checklist_55 max_age is held against auth_time as the client sees it", func(t *testing.T) {
		w.t = t
		w.advance(time.Second - time.Duration(w.now().Nanosecond())) // to a whole second
		alice.code(usual("prompt", "login"), "pe_alice")
		w.advance(1200 * time.Millisecond)
		alice.authorize(usual("max_age", "1", "prompt", "none")).failed("login_required", "")
		if alice.authorize(usual("max_age", "2", "prompt", "none")).sentTo(redirectURI).Get("code") == "" {
			t.Error("asked although it is recent enough")
		}
	})
	t.Run("checklist_55 max_age=0 is a sign-in", func(t *testing.T) {
		w.t = t
		alice.code(usual("prompt", "login"), "pe_alice")
		begun := len(w.pages.begun)
		alice.authorize(usual("max_age", "0"))
		if q := w.pages.begun[begun]; !q.Demand.Prompts("login") {
			t.Errorf("%+v", q.Demand)
		}
	})
	t.Run("checklist_55 default_max_age stands in for it", func(t *testing.T) {
		w.t = t
		c := app()
		age := int64(30)
		c.ID, c.DefaultMaxAge = "fresh", &age
		w.add(c)
		(&visit{p: w}).code(usual("client_id", "fresh"), "pe_alice")
		q := w.pages.begun[len(w.pages.begun)-1]
		if want := w.now().Add(-30 * time.Second); !q.Demand.Since.Equal(want) {
			t.Errorf("%v, want %v", q.Demand.Since, want)
		}
	})
	t.Run("checklist_175 acr_values reach the page", func(t *testing.T) {
		w.t = t
		(&visit{p: w}).authorize(usual("acr_values", "urn:x "+session.ACRPasskey+" "+session.ACRMFA, "claims", `{"id_token":{"acr":null}}`))
		if q := w.pages.begun[len(w.pages.begun)-1]; len(q.Demand.ACRValues) != 2 || q.Demand.ACRValues[0] != session.ACRPasskey || q.Demand.Essential {
			t.Errorf("%+v", q.Demand)
		}
	})
	t.Run("checklist_175 an essential acr is held against the answer", func(t *testing.T) {
		w.t = t
		v := &visit{p: w}
		page := v.authorize(usual("claims", `{"id_token":{"acr":{"essential":true,"value":"`+session.ACRPasskey+`"}}}`))
		v.allow(page, "pe_alice").failed("unmet_authentication_requirements", "")
	})
	t.Run("what the person refuses", func(t *testing.T) {
		w.t = t
		v := &visit{p: w}
		v.allow(v.authorize(usual()), "pe_alice", func(a *session.Answer) { *a = session.Answer{Error: oauth.CodeAccessDenied, Description: "no \"way\""} }).failed("access_denied", "no 'way'")
	})
	t.Run("what is allowed never is more than was asked", func(t *testing.T) {
		w.t = t
		v := &visit{p: w}
		back := v.allow(v.authorize(usual("scope", "read:orders")), "pe_alice", func(a *session.Answer) { a.Scope = oauth.Scope{"read:orders", "create:orders"} })
		a := w.redeem(back.sentTo(redirectURI).Get("code"), nil)
		if a.ok(); a.text("scope") != "read:orders" {
			t.Errorf("%v", a.json)
		}
	})
}

// What nobody is asked for is kept and audited too: a page that asks in a loop
// fills the tables no faster than that.
func TestCodesThatNobodyIsAskedForAreBounded(t *testing.T) {
	w := newPeopleWorld(t)
	w.server.AllowSilent(50)
	w.add(app())
	second := app()
	second.ID = "second"
	w.add(second)
	alice, bob := w.signIn("pe_alice"), w.signIn("pe_bob")
	for _, v := range []*visit{alice, bob} {
		v.code(usual(), map[*visit]string{alice: "pe_alice", bob: "pe_bob"}[v])
	}
	alice.code(usual("client_id", "second"), "pe_alice")
	codes := func(v *visit, most int, pairs ...string) (n int) {
		for range most {
			back := v.authorize(usual(append([]string{"prompt", "none"}, pairs...)...)).sentTo(redirectURI)
			if back.Get("code") == "" {
				if back.Get("error") != "temporarily_unavailable" {
					t.Fatal(back)
				}
				return n
			}
			n++
		}
		return n
	}
	if n := codes(alice, 60); n != 50 {
		t.Errorf("%d codes at once", n)
	}
	w.advance(10 * time.Second)
	if n := codes(alice, 100); n != 10 {
		t.Errorf("%d codes in ten seconds", n)
	}
	if codes(bob, 1) != 1 || codes(alice, 1, "client_id", "second") != 1 {
		t.Error("another session or client is held to it")
	}
	v := &visit{p: w, cookie: alice.cookie}
	if v.allow(v.authorize(usual("prompt", "consent")), "pe_alice").sentTo(redirectURI).Get("code") == "" {
		t.Error("what a person is asked is held to it")
	}
}

func TestComingBack(t *testing.T) {
	w := newPeopleWorld(t)
	w.add(app())
	v := &visit{p: w}
	page := v.authorize(usual())
	v.allow(page, "pe_alice").sentTo(redirectURI)
	returned := w.pages.begun[0].Return
	t.Run("an answer is taken once", func(t *testing.T) {
		w.t = t
		v.send(http.MethodGet, returned, nil).page("answered before")
	})
	t.Run("checklist_51 another browser cannot take it", func(t *testing.T) {
		w.t = t
		v := &visit{p: w}
		page := v.authorize(usual())
		mine := v.cookie
		v.cookie = "another"
		v.allow(page, "pe_alice").page("answered before")
		v.cookie = mine
		v.send(http.MethodGet, w.pages.begun[len(w.pages.begun)-1].Return, nil).sentTo(redirectURI)
	})
	t.Run("a client that was disabled meanwhile gets nothing", func(t *testing.T) {
		w.t = t
		c := app()
		c.ID = "leaver"
		w.add(c)
		v := &visit{p: w}
		page := v.authorize(usual("client_id", "leaver"))
		if _, err := w.db.UpdateClient(t.Context(), "leaver", func(c *client.Client) error { c.Status = client.Disabled; return nil }, system); err != nil {
			t.Fatal(err)
		}
		v.allow(page, "pe_alice").page("disabled")
	})
	t.Run("a redirect URI that was taken away meanwhile is not used", func(t *testing.T) {
		w.t = t
		c := app()
		c.ID = "mover"
		w.add(c)
		v := &visit{p: w}
		page := v.authorize(usual("client_id", "mover"))
		if _, err := w.db.UpdateClient(t.Context(), "mover", func(c *client.Client) error { c.RedirectURIs = c.RedirectURIs[1:]; return nil }, system); err != nil {
			t.Fatal(err)
		}
		v.allow(page, "pe_alice").page("redirect_uri")
	})
	t.Run("pages that fail are told to the client", func(t *testing.T) {
		w.t = t
		w.pages.broken = errors.New("disk gone: /secret/path")
		defer func() { w.pages.broken = nil }()
		a := v.authorize(usual())
		a.failed("server_error", "")
		if strings.Contains(a.header.Get("Location"), "secret") {
			t.Error(a.header.Get("Location"))
		}
	})
}

func TestALinkToThisServerLeadsNowhereUnseen(t *testing.T) {
	w := newPeopleWorld(t)
	for _, source := range []string{client.SourceRegistration, client.SourceDocument} {
		c := app()
		c.ID = source
		w.add(c)
		if _, err := w.db.UpdateClient(t.Context(), c.ID, func(c *client.Client) error { c.Source = source; return nil }, system); err != nil {
			t.Fatal(err)
		}
		t.Run("checklist_49 an error of a client that registered itself is a link, where nobody is signed in: "+source, func(t *testing.T) {
			w.t = t
			a := (&visit{p: w}).authorize(usual("client_id", source, "scope", "bogus"))
			a.page("invalid_scope")
			if !strings.Contains(a.body, `<a id="error-back" rel="noreferrer" href="`+redirectURI+`?error=invalid_scope`) || !strings.Contains(a.body, "Go back to client.example") {
				t.Error(a.body)
			}
		})
		t.Run("checklist_49 where somebody is signed in, or is not to be asked, it is sent: "+source, func(t *testing.T) {
			w.t = t
			w.signIn("pe_alice").authorize(usual("client_id", source, "scope", "bogus")).failed("invalid_scope", "")
			(&visit{p: w}).authorize(usual("client_id", source, "prompt", "none")).failed("login_required", "")
		})
	}
}

func TestIDTokenHint(t *testing.T) {
	w := newPeopleWorld(t)
	w.add(app())
	alice, bob := w.signIn("pe_alice"), w.signIn("pe_bob")
	a := w.redeem(alice.code(usual(), "pe_alice"), nil)
	bob.code(usual(), "pe_bob")
	hint := a.text("id_token")
	t.Run("checklist_56 of the person who is signed in", func(t *testing.T) {
		w.t = t
		if alice.authorize(usual("prompt", "none", "id_token_hint", hint)).sentTo(redirectURI).Get("code") == "" {
			t.Error("no code")
		}
	})
	t.Run("checklist_56 of somebody else", func(t *testing.T) {
		w.t = t
		bob.authorize(usual("prompt", "none", "id_token_hint", hint)).failed("login_required", "")
	})
	t.Run("checklist_56 somebody else signs in all the same", func(t *testing.T) {
		w.t = t
		v := &visit{p: w}
		v.allow(v.authorize(usual("id_token_hint", hint)), "pe_bob").failed("login_required", "")
	})
	t.Run("checklist_56 claims can say whom", func(t *testing.T) {
		w.t = t
		bob.authorize(usual("prompt", "none", "claims", `{"id_token":{"sub":{"value":"pe_alice"}}}`)).failed("login_required", "")
	})
	t.Run("checklist_116 an access token is no hint", func(t *testing.T) {
		w.t = t
		alice.authorize(usual("prompt", "none", "id_token_hint", a.text("access_token"))).failed("invalid_request", "id_token_hint")
	})
	t.Run("checklist_56 one that has expired, of a key out of use", func(t *testing.T) {
		w.t = t
		w.advance(40 * 24 * time.Hour)
		for range 3 { // the next key, and its turn
			if err := w.manager.Tend(t.Context()); err != nil {
				t.Fatal(err)
			}
			w.advance(60 * 24 * time.Hour)
		}
		alice := w.signIn("pe_alice")
		if alice.authorize(usual("prompt", "none", "id_token_hint", hint)).sentTo(redirectURI).Get("code") == "" {
			t.Error("no code")
		}
	})
}

func TestPairwiseHints(t *testing.T) {
	w := newPeopleWorld(t)
	c := app()
	c.SubjectType = client.SubjectPairwise
	c.SectorIdentifier = "client.example"
	w.add(c)
	alice, bob := w.signIn("pe_alice"), w.signIn("pe_bob")
	a := w.redeem(alice.code(usual(), "pe_alice"), nil)
	bob.code(usual(), "pe_bob")
	id, access := claims(t, a.text("id_token")), claims(t, a.ok())
	if sub, _ := id["sub"].(string); !strings.HasPrefix(sub, "pw_") || access["sub"] != id["sub"] || len(sub) > 255 {
		t.Errorf("checklist_201: sub is %v and %v", id["sub"], access["sub"])
	}
	hint := a.text("id_token")
	if alice.authorize(usual("prompt", "none", "id_token_hint", hint)).sentTo(redirectURI).Get("code") == "" {
		t.Error("no code for the person of the hint")
	}
	bob.authorize(usual("prompt", "none", "id_token_hint", hint)).failed("login_required", "")
	bob.authorize(usual("id_token_hint", hint))
	if q := w.pages.begun[len(w.pages.begun)-1]; !q.Demand.Prompts("login") {
		t.Errorf("somebody else is not asked to sign in: %+v", q.Demand)
	}
}

func TestAPathIssuerAnswersBelowItsPath(t *testing.T) {
	const issuer = "https://auth.example.com/tenant/a"
	w := newPeopleWorld(t, func(o *authserver.Options) {
		o.Issuer = issuer
	})
	w.add(app())
	v := &visit{p: w}
	page := v.send(http.MethodGet, "/tenant/a/authorize?"+usual().Encode(), nil)
	a := v.allow(page, "pe_alice")
	if !strings.HasPrefix(w.pages.begun[0].Return, "/tenant/a/authorize/done?request=") {
		t.Errorf("returns to %s", w.pages.begun[0].Return)
	}
	u, err := url.Parse(a.header.Get("Location"))
	if err != nil || u.Query().Get("code") == "" || u.Query().Get("iss") != issuer {
		t.Errorf("checklist_45: %s", a.header.Get("Location"))
	}
	w.get("/authorize").want(t, 404)
}
