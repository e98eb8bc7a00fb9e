package authserver_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/offkey/offkey/internal/authserver"
	"github.com/offkey/offkey/internal/client"
	"github.com/offkey/offkey/internal/jose"
	"github.com/offkey/offkey/internal/oauth"
)

// fetched are the documents that clients have on the web, by URL.
type fetched map[string]string

func (f fetched) fetch(_ context.Context, url string) ([]byte, error) {
	body, there := f[url]
	if !there {
		return nil, errors.New("nothing is there")
	}
	return []byte(body), nil
}

// verified reads what this server has signed.
func (w *peopleWorld) verified(jwt string) (typ string, alg jose.Algorithm, said map[string]any) {
	w.t.Helper()
	parsed, err := jose.Parse(jwt, jose.RS256, jose.PS256, jose.ES256, jose.EdDSA)
	if err != nil {
		w.t.Fatalf("%v in %q", err, jwt)
	}
	key, ok := w.manager.Current().Find(parsed.Header().KeyID, w.now())
	if !ok {
		w.t.Fatal("signed with a key that is not published")
	}
	raw, err := parsed.Verify(key)
	if err == nil {
		err = json.Unmarshal(raw, &said)
	}
	if err != nil {
		w.t.Fatal(err)
	}
	return parsed.Header().Type, parsed.Header().Alg, said
}

// What OpenID Connect alone says is enough for a client that registers itself: no
// PKCE where it proves itself and sends a nonce, the token endpoint as audience,
// requests that are fetched, and userinfo that is signed.
func TestAClientThatKnowsOpenIDConnectAndNothingElse(t *testing.T) {
	docs := fetched{}
	w := newRegistrationWorld(t, authserver.RegistrationOpen, func(o *authserver.Options) { o.Fetch = docs.fetch })
	key, err := jose.GenerateSigningKey(jose.RS256)
	if err != nil {
		t.Fatal(err)
	}
	const cb, requests = "https://suite.example/callback", "https://suite.example/requests/7"
	a := w.register(t, "", map[string]any{
		"redirect_uris": []string{cb}, "grant_types": []string{"authorization_code"}, "response_types": []string{"code"}, "client_name": "Suite", "contacts": []string{"a@suite.example"},
		"token_endpoint_auth_method": "private_key_jwt", "jwks": jose.KeySet{Keys: []jose.PublicKey{key.Public()}},
		"userinfo_signed_response_alg": "RS256", "request_uris": []string{requests},
	}).made()
	if a.text("userinfo_signed_response_alg") != "RS256" || str(a.json["request_uris"]) != `["`+requests+`"]` {
		t.Errorf("not registered: %s", a.body)
	}
	id := a.text("client_id")
	plain := func(pairs ...string) url.Values {
		return usual(append([]string{"client_id", id, "redirect_uri", cb, "scope", "openid email", "nonce", "n", "code_challenge", "", "code_challenge_method", ""}, pairs...)...)
	}
	v := w.signIn("pe_alice")
	code := v.allow(v.authorize(plain()), "pe_alice").sentTo(cb).Get("code")
	assertion := func(aud string) url.Values {
		now := w.now().Unix()
		jwt := object(t, key, "JWT", map[string]any{"iss": id, "sub": id, "aud": aud, "jti": code + aud, "iat": now, "exp": now + 60})
		return values("client_assertion_type", oauth.AssertionTypeJWTBearer, "client_assertion", jwt)
	}
	tokens := w.post("/token", nil, merged(assertion(issuerURL+"/token"), values("grant_type", "authorization_code", "code", code, "redirect_uri", cb)))
	tokens.ok()
	r := newRequest(http.MethodGet, "/userinfo", "")
	r.Header.Set("Authorization", "Bearer "+tokens.text("access_token"))
	info := w.do(r)
	if info.status != http.StatusOK || info.header.Get("Content-Type") != "application/jwt" || info.header.Get("Cache-Control") != "no-store" {
		t.Fatalf("%d %v %s", info.status, info.header, info.body)
	}
	typ, alg, said := w.verified(info.body)
	if alg != jose.RS256 || said["iss"] != issuerURL || said["aud"] != id || said["sub"] != "pe_alice" || said["email"] != "alice@example.com" || said["nonce"] != nil {
		t.Errorf("%s %v", alg, said)
	}
	if typ == oauth.TypIDToken {
		t.Error("it could be taken for an ID token")
	}
	v.authorize(plain("id_token_hint", info.body)).failed("invalid_request", "id_token_hint")
	t.Run("checklist_41 but not without what stands in for PKCE", func(t *testing.T) {
		w.t = t
		v.authorize(plain("nonce", "")).failed("invalid_request", "PKCE")
		v.authorize(plain("scope", "email")).failed("invalid_request", "PKCE")
		v.authorize(plain("code_challenge_method", "plain")).failed("invalid_request", "PKCE")
		public := w.register(t, "", map[string]any{"redirect_uris": []string{cb}, "token_endpoint_auth_method": "none"}).made()
		v.authorize(plain("client_id", public.text("client_id"))).failed("invalid_request", "PKCE")
	})
	t.Run("a request that is fetched", func(t *testing.T) {
		w.t = t
		docs[requests] = object(t, key, "", asClaims(plain("state", "inside"), "iss", id, "aud", issuerURL)) + "\n"
		back := v.authorize(values("client_id", id, "request_uri", requests, "scope", "openid", "response_type", "code")).sentTo(cb)
		if back.Get("state") != "inside" || back.Get("code") == "" {
			t.Errorf("%v", back)
		}
	})
	for name, tt := range map[string]struct {
		uri  string
		more []string
		code string
	}{
		"checklist_58 that is not registered": {requests + "8", nil, "invalid_request_uri"},
		"that is gone":                        {requests, nil, "invalid_request_uri"},
		"beside another":                      {requests, []string{"request", "a.b.c"}, "invalid_request"},
		"that is not signed":                  {requests, nil, "invalid_request_object"},
	} {
		t.Run("a request "+name, func(t *testing.T) {
			w.t = t
			delete(docs, requests)
			if strings.Contains(name, "signed") {
				docs[requests] = "eyJhbGciOiJub25lIn0.e30."
			}
			v.authorize(merged(plain("request_uri", tt.uri), values(tt.more...))).failed(tt.code, "")
		})
	}
	t.Run("nobody has this server fetch without end", func(t *testing.T) {
		w.t = t
		limited := 0
		for range 100 {
			if a := v.authorize(plain("request_uri", requests)); a.status == http.StatusTooManyRequests {
				limited++
			}
		}
		if limited < 30 {
			t.Errorf("%d of 100 were refused", limited)
		}
	})
	md := w.get("/.well-known/openid-configuration").json
	if md["request_uri_parameter_supported"] != true || md["require_request_uri_registration"] != true || !strings.Contains(str(md["userinfo_signing_alg_values_supported"]), "RS256") {
		t.Errorf("%v", md)
	}
}

func TestAClientIsStrictAboutItsAudienceUnlessOpenIDConnectSaysOtherwise(t *testing.T) { // checklist_22
	w := newRegistrationWorld(t, authserver.RegistrationToken)
	key, err := jose.GenerateSigningKey(jose.ES256)
	if err != nil {
		t.Fatal(err)
	}
	jwks := jose.KeySet{Keys: []jose.PublicKey{key.Public()}}
	for name, tt := range map[string]struct {
		md   map[string]any
		want client.AudiencePolicy
	}{
		"acts for itself":  {map[string]any{"grant_types": []string{"client_credentials"}, "token_endpoint_auth_method": "private_key_jwt", "jwks": jwks}, client.Strict},
		"signs people in":  {map[string]any{"redirect_uris": []string{"https://a.example/"}, "token_endpoint_auth_method": "private_key_jwt", "jwks": jwks}, client.Compat},
		"sends its secret": {map[string]any{"redirect_uris": []string{"https://a.example/"}}, client.Strict},
	} {
		a := w.register(t, w.initialToken(1), tt.md).made()
		if c, err := w.db.Client(t.Context(), a.text("client_id")); err != nil || c.Audience != tt.want {
			t.Errorf("%s: %v, %v", name, c.Audience, err)
		}
	}
}
