package authserver_test

import (
	"net/http"
	"net/http/httptest"
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
