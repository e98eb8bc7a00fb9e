package authserver_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/offkey/offkey/internal/authserver"
	"github.com/offkey/offkey/internal/authserver/clientauth"
	"github.com/offkey/offkey/internal/jose"
	"github.com/offkey/offkey/internal/oauth"
)

// unlimited lets a fuzzer fail as often as it likes.
func unlimited(o *authserver.Options) {
	rate := clientauth.Rate{PerSecond: 1e6, Burst: 1e6}
	o.Limits = authserver.FailureLimits{PerClient: rate, PerSource: rate}
}

func FuzzTokenRequest(f *testing.F) {
	w := newWorld(f, unlimited)
	_, header := w.withSecret(billing())
	c := billing()
	c.ID = "keyed"
	keyed, key := w.withKey(c, jose.EdDSA)
	f.Add("/token", header.Get("Authorization"), "grant_type=client_credentials&scope=read%3Aorders&resource=https%3A%2F%2Fapi.example.com")
	f.Add("/token", "", merged(w.assertion(keyed.ID, key), values("grant_type", oauth.GrantClientCredentials)).Encode())
	f.Add("/token", "", exchange("resource", api).Encode())
	f.Add("/introspect", header.Get("Authorization"), "token=a.b.c")
	f.Add("/revoke", header.Get("Authorization"), "token=a.b.c&token_type_hint=x")
	f.Add("/token", "Basic Og==", "client_id=billing&client_secret=%zz&grant_type=")
	f.Fuzz(func(t *testing.T, path, authorization, body string) {
		if !slices.Contains([]string{"/token", "/introspect", "/revoke"}, path) {
			path = "/token"
		}
		r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		if authorization != "" {
			r.Header.Set("Authorization", authorization)
		}
		w.t = t
		a := w.do(r)
		switch {
		case a.status == http.StatusOK && path == "/token":
			if _, err := w.verifier.Verify(a.ok()); err != nil && claims(t, a.ok())["aud"] == api {
				t.Errorf("issued what the gateway refuses: %v", err)
			}
		case a.status == http.StatusOK:
		case slices.Contains([]int{400, 401}, a.status):
			code, _ := a.json["error"].(string)
			a.refused(a.status, code, "")
		default:
			t.Errorf("%s %q %q: %d %s", path, authorization, body, a.status, a.body)
		}
	})
}

func FuzzRegistration(f *testing.F) {
	w := newWorld(f, unlimited)
	f.Add("Bearer old-key", `{"token_endpoint_auth_method":"private_key_jwt","jwks_uri":"https://a.example/jwks"}`)
	f.Add("Bearer old-key", `{"jwks":{"keys":[]},"redirect_uris":["https://a/#"]}`)
	f.Add("Basic x", `[]`)
	f.Fuzz(func(t *testing.T, authorization, body string) {
		w.t = t
		a := w.register(t, "", body, authorization)
		switch {
		case a.status == http.StatusCreated:
		case slices.Contains([]int{400, 401, 413}, a.status):
			code, _ := a.json["error"].(string)
			a.refused(a.status, code, "")
		default:
			t.Errorf("%q %q: %d %s", authorization, body, a.status, a.body)
		}
	})
}

// checkAuthorizeAnswer: whatever came, the browser is sent to a page, to an
// address of the client, or shown the error page.
func checkAuthorizeAnswer(t *testing.T, a answer, what string) {
	t.Helper()
	switch {
	case a.status == http.StatusSeeOther:
		u, err := url.Parse(a.header.Get("Location"))
		if err != nil {
			t.Fatalf("%s: sent to %q", what, a.header.Get("Location"))
		}
		to := u.Scheme + "://" + u.Host + u.Path
		if to != redirectURI && !strings.HasPrefix(to, ":///sign-in") && to != "com.example.app:///cb" && !strings.HasPrefix(to, "http://127.0.0.1") {
			t.Errorf("%s: sent to %s", what, u)
		}
		if !strings.HasPrefix(u.Path, "/sign-in") && u.Query().Get("iss") != issuerURL {
			t.Errorf("%s: no iss in %s", what, u)
		}
	case slices.Contains([]int{200, 400, 413}, a.status):
		if !strings.Contains(a.header.Get("Content-Security-Policy"), "frame-ancestors 'none'") {
			t.Errorf("%s: %d %v", what, a.status, a.header)
		}
	default:
		t.Errorf("%s: %d %s", what, a.status, a.body)
	}
}

func FuzzAuthorizeRequest(f *testing.F) {
	w := newPeopleWorld(f, unlimited)
	w.add(app())
	f.Add(usual().Encode(), false)
	f.Add(usual("prompt", "none", "max_age", "0", "acr_values", "a b", "claims", `{"id_token":{"acr":{"essential":true}}}`).Encode(), true)
	f.Add("client_id=app&redirect_uri=https%3A%2F%2Fclient.example%2Fcb%3Ftenant=a&response_mode=form_post&state=%00%22", false)
	f.Add("client_id=app&request_uri=urn:ietf:params:oauth:request_uri:x&request=a.b.c", true)
	f.Add("client_id=app&redirect_uri=http://127.0.0.1:1@evil/cb&id_token_hint=a.b.c", false)
	f.Fuzz(func(t *testing.T, q string, post bool) {
		w.t = t
		target, body, method := "/authorize?", "", http.MethodGet
		if post {
			target, body, method = "/authorize", q, http.MethodPost
		}
		r := httptest.NewRequest(method, target, strings.NewReader(body))
		if !post {
			r.URL.RawQuery = q
		}
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		checkAuthorizeAnswer(t, w.do(r), q)
	})
}

func FuzzPushedRequest(f *testing.F) {
	w := newPeopleWorld(f, unlimited)
	_, header := w.withSecret(site())
	f.Add(usual("client_id", "site").Encode())
	f.Add("request=a.b.c&client_id=site")
	f.Add("request_uri=x")
	f.Fuzz(func(t *testing.T, body string) {
		w.t = t
		r := httptest.NewRequest(http.MethodPost, "/par", strings.NewReader(body))
		r.Header = header.Clone()
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		a := w.do(r)
		switch {
		case a.status == http.StatusCreated:
			checkAuthorizeAnswer(t, (&visit{p: w}).authorize(values("client_id", "site", "request_uri", a.text("request_uri"))), body)
		case slices.Contains([]int{400, 401, 413, 429}, a.status):
			code, _ := a.json["error"].(string)
			a.refused(a.status, code, "")
		default:
			t.Errorf("%q: %d %s", body, a.status, a.body)
		}
	})
}

func FuzzRequestObject(f *testing.F) {
	w := newPeopleWorld(f, unlimited)
	c := site()
	c.ID = "signer"
	_, key := w.withKey(c, jose.EdDSA)
	for _, seed := range []string{
		str(asClaims(usual("client_id", "signer"))), `{"client_id":"signer","resource":["a",1],"claims":{"id_token":null},"max_age":1e3,"scope":["a"]}`,
		`{"client_id":"signer","client_id":"app"}`, `[]`, `{"client_id":"signer","exp":-1,"aud":{}}`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, payload string) {
		w.t = t
		jwt, err := key.Sign("oauth-authz-req+jwt", []byte(payload))
		if err != nil {
			t.Skip()
		}
		checkAuthorizeAnswer(t, (&visit{p: w}).authorize(values("client_id", "signer", "request", jwt)), payload)
	})
}

func FuzzClaimsParameter(f *testing.F) {
	w := newPeopleWorld(f, unlimited)
	w.add(app())
	for _, seed := range []string{
		`{"userinfo":{"given_name":{"essential":true}},"id_token":{"auth_time":{"essential":true},"acr":{"values":["urn:mace:incommon:iap:silver"]}}}`,
		`{"id_token":{"acr":{"value":7},"sub":{"value":null}}}`, `null`, `{"id_token":[]}`, `{"id_token":{"":{}}}`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, wish string) {
		w.t = t
		v := &visit{p: w}
		a := v.authorize(usual("claims", wish))
		checkAuthorizeAnswer(t, a, wish)
		if !strings.HasPrefix(a.header.Get("Location"), "/sign-in") {
			return
		}
		if q := v.allow(a, "pe_alice").sentTo(redirectURI); q.Has("code") {
			w.redeem(q.Get("code"), nil).ok()
		}
	})
}

func FuzzLogoutRequest(f *testing.F) {
	w := newPeopleWorld(f, unlimited)
	c := app()
	c.PostLogoutRedirectURIs = []string{"https://client.example/cb"}
	w.add(c)
	f.Add("client_id=app&post_logout_redirect_uri=https%3A%2F%2Fclient.example%2Fcb&state=%00")
	f.Add("id_token_hint=a.b.c")
	f.Fuzz(func(t *testing.T, q string) {
		w.t = t
		r := httptest.NewRequest(http.MethodGet, "/logout", nil)
		r.URL.RawQuery = q
		a := w.do(r)
		if a.status == http.StatusSeeOther && strings.HasPrefix(a.header.Get("Location"), redirectURI) || a.status == http.StatusOK || a.status == http.StatusBadRequest || a.status == http.StatusRequestEntityTooLarge {
			return
		}
		t.Errorf("%q: %d %s %s", q, a.status, a.header.Get("Location"), a.body)
	})
}
