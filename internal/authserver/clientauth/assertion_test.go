package clientauth

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/offkey/offkey/internal/client"
	"github.com/offkey/offkey/internal/jose"
	"github.com/offkey/offkey/internal/oauth"
)

func with(claims map[string]any, name string, value any) map[string]any {
	claims = maps.Clone(claims)
	if value == nil {
		delete(claims, name)
	} else {
		claims[name] = value
	}
	return claims
}

func TestAssertionProvesAClient(t *testing.T) {
	w := newWorld(t)
	for _, alg := range jose.ClientAlgorithms {
		t.Run("checklist_26 "+string(alg), func(t *testing.T) {
			_, key := w.keyClient(t, "keyed", alg)
			who, err := w.try(asserted(t, sign(t, key, "client-authentication+jwt", w.claims("keyed"))))
			wantClient(t, who, err, "keyed", oauth.AuthPrivateKeyJWT)
			if who.Credential() != "cr_1" {
				t.Errorf("proved by %q", who.Credential())
			}
		})
	}
	_, key := w.keyClient(t, "keyed", jose.ES256)
	t.Run("checklist_29 client_id may be left out or match", func(t *testing.T) {
		who, err := w.try(asserted(t, sign(t, key, "", w.claims("keyed")), "client_id", "keyed"))
		wantClient(t, who, err, "keyed", oauth.AuthPrivateKeyJWT)
	})
	t.Run("checklist_20 another client_id is refused", func(t *testing.T) {
		who, err := w.try(asserted(t, sign(t, key, "", w.claims("keyed")), "client_id", "other"))
		wantRefused(t, who, err, oauth.CodeInvalidRequest, "another client")
	})
	for _, typ := range []string{"urn:ietf:params:oauth:client-assertion-type:JWT-bearer", "urn:ietf:params:oauth:client-assertion-type:saml2-bearer", ""} {
		t.Run("checklist_29 client_assertion_type "+typ, func(t *testing.T) {
			who, err := w.try(form(t, "client_assertion_type", typ, "client_assertion", sign(t, key, "", w.claims("keyed"))))
			wantRefused(t, who, err, invalidClient, "client_assertion_type must be urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
		})
	}
	t.Run("checklist_29 no assertion", func(t *testing.T) {
		who, err := w.try(form(t, "client_assertion_type", oauth.AssertionTypeJWTBearer))
		wantRefused(t, who, err, invalidClient, "client_assertion is missing")
	})
}

func TestChecklist21to24(t *testing.T) {
	w := newWorld(t)
	c, key := w.keyClient(t, "keyed", jose.EdDSA)
	w.secretClient("billing", oauth.AuthClientSecretBasic)
	at := w.at.Unix()
	good := w.claims("keyed")
	tests := []struct {
		name   string
		claims map[string]any
		want   string // "" for accepted
	}{
		{"checklist_21 iss must be the client id", with(good, "iss", "billing"), "iss and sub"},
		{"checklist_21 sub must be the client id", with(good, "sub", "billing"), "iss and sub"},
		{"checklist_21 no iss", with(good, "iss", nil), "iss and sub"},
		{"checklist_21 no sub", with(good, "sub", nil), "iss and sub"},
		{"checklist_21 iss is no string", with(good, "iss", 7), "JSON object"},

		{"checklist_22 the issuer as one string", good, ""},
		{"checklist_22 an array with the issuer", with(good, "aud", []string{issuer}), "is an array: it must be one string, https://auth.example.com"},
		{"checklist_22 an array with more", with(good, "aud", []string{issuer, "https://else.example.com"}), "is an array"},
		{"checklist_22 the token endpoint", with(good, "aud", tokenEndpoint), "must be the issuer, https://auth.example.com"},
		{"checklist_22 the called endpoint", with(good, "aud", issuer+"/revoke"), "audience: compat"},
		{"checklist_22 another server", with(good, "aud", "https://else.example.com"), "must be the issuer"},
		{"checklist_22 the issuer with a slash", with(good, "aud", issuer+"/"), "must be the issuer"},
		{"checklist_22 the issuer in capitals", with(good, "aud", strings.ToUpper(issuer)), "must be the issuer"},
		{"checklist_22 no aud", with(good, "aud", nil), "aud of the client assertion is missing"},
		{"checklist_22 aud is a number", with(good, "aud", 7), "wrong type"},

		{"checklist_24 no exp", with(good, "exp", nil), "exp of the client assertion is missing"},
		{"checklist_24 exp is a string", with(good, "exp", "4102444800"), "wrong type"},
		{"checklist_24 exp in milliseconds", with(good, "exp", at*1000), "wrong type"},
		{"checklist_24 the longest life", with(good, "exp", at+300), ""},
		{"checklist_24 a longer life", with(good, "exp", at+301), "lives for 301 s, at most 300 s"},
		{"checklist_24 a longer life without iat", with(with(good, "iat", nil), "exp", at+331), "at most 300 s"},
		{"checklist_24 no iat", with(good, "iat", nil), ""},
		{"checklist_24 far in the future", with(good, "exp", at+365*24*3600), "at most 300 s"},
		{"checklist_24 old iat, near exp", with(good, "iat", at-3600), "lives for 3660 s"},
		{"checklist_24 fractions of a second", with(with(good, "exp", float64(at)+60.5), "iat", float64(at)-0.5), ""},

		{"checklist_228 a clock 30 s slow", with(with(good, "iat", at-90), "exp", at-29), ""},
		{"checklist_228 a clock 30 s fast", with(with(good, "iat", at+30), "exp", at+330), ""},
		{"checklist_228 nbf 30 s ahead", with(good, "nbf", at+30), ""},
		{"checklist_228 a clock 5 min slow", with(with(good, "iat", at-300), "exp", at-240), "expired 240 s ago: make a new one for each request, and check the clock of the client. By this server's clock it is 2027-01-15T10:00:00Z"},
		{"checklist_228 a clock 5 min fast", with(with(good, "iat", at+300), "exp", at+360), "iat of the client assertion is 300 s in the future: the clock of the client is fast. By this server's clock it is 2027-01-15T10:00:00Z"},
		{"checklist_228 nbf 5 min ahead", with(good, "nbf", at+300), "nbf of the client assertion is 300 s in the future"},
		{"checklist_228 a clock 5 min fast without iat", with(with(good, "iat", nil), "exp", at+360), "if it is fast. By this server's clock it is 2027-01-15T10:00:00Z"},
		{"checklist_24 expired as far as clocks may differ", with(with(good, "iat", at-90), "exp", at-30), "expired 30 s ago"},

		{"checklist_25 no jti", with(good, "jti", nil), "jti of the client assertion is missing"},
		{"checklist_25 empty jti", with(good, "jti", ""), "jti of the client assertion is missing"},
		{"checklist_25 a jti without end", with(good, "jti", strings.Repeat("x", 257)), "longer than 256 bytes"},
		{"checklist_25 jti is a number", with(good, "jti", 7), "wrong type"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if _, own := tt.claims["jti"]; own && tt.claims["jti"] == good["jti"] {
				tt.claims = with(tt.claims, "jti", w.claims("keyed")["jti"])
			}
			before := len(w.far.spent)
			who, err := w.try(asserted(t, sign(t, key, "", tt.claims)))
			if tt.want == "" {
				wantClient(t, who, err, "keyed", oauth.AuthPrivateKeyJWT)
				return
			}
			wantRefused(t, who, err, invalidClient, tt.want)
			if len(w.far.spent) != before {
				t.Error("checklist_25: a refused assertion was written down")
			}
		})
	}
	if len(w.compat) != 0 {
		t.Errorf("a strict client was counted as compat: %v", w.compat)
	}

	for _, tt := range []struct {
		typ  string
		good bool
	}{
		{"client-authentication+jwt", true}, {"application/client-authentication+jwt", true}, {"JWT", true}, {"jwt", true}, {"", true},
		{"at+jwt", false}, {"dpop+jwt", false}, {"logout+jwt", false}, {"oauth-authz-req+jwt", false}, {"secevent+jwt", false}, {"JWS", false},
	} {
		t.Run("checklist_23 typ "+tt.typ, func(t *testing.T) {
			who, err := w.try(asserted(t, sign(t, key, tt.typ, w.claims("keyed"))))
			if tt.good {
				wantClient(t, who, err, "keyed", oauth.AuthPrivateKeyJWT)
				return
			}
			wantRefused(t, who, err, invalidClient, "typ of the client assertion names another kind of token: use client-authentication+jwt")
		})
	}

	t.Run("a disabled client spends nothing", func(t *testing.T) {
		c.Status = client.Disabled
		defer func() { c.Status = client.Active }()
		before := len(w.far.spent)
		who, err := w.try(asserted(t, sign(t, key, "", w.claims("keyed"))))
		wantRefused(t, who, err, invalidClient, "disabled")
		if len(w.far.spent) != before {
			t.Error("written down")
		}
	})
}

func TestChecklist22Compat(t *testing.T) {
	w := newWorld(t)
	c, key := w.keyClient(t, "legacy", jose.EdDSA)
	c.Audience = client.Compat
	at := w.at.Unix()
	for _, tt := range []struct {
		name    string
		claims  func(map[string]any) map[string]any
		counted []string
		want    string
	}{
		{"the issuer", func(c map[string]any) map[string]any { return c }, nil, ""},
		{"the token endpoint", func(c map[string]any) map[string]any { return with(c, "aud", tokenEndpoint) }, []string{"legacy audience"}, ""},
		{"the called endpoint", func(c map[string]any) map[string]any { return with(c, "aud", issuer+"/revoke") }, []string{"legacy audience"}, ""},
		{"an array with the issuer", func(c map[string]any) map[string]any { return with(c, "aud", []string{"x", issuer}) }, []string{"legacy audience"}, ""},
		{"an hour's life", func(c map[string]any) map[string]any { return with(c, "exp", at+3600) }, []string{"legacy lifetime"}, ""},
		{"both", func(c map[string]any) map[string]any {
			return with(with(c, "exp", at+3600), "aud", tokenEndpoint)
		}, []string{"legacy audience", "legacy lifetime"}, ""},
		{"more than an hour", func(c map[string]any) map[string]any { return with(c, "exp", at+3601) }, nil, "at most 3600 s"},
		{"another endpoint", func(c map[string]any) map[string]any { return with(c, "aud", issuer+"/introspect") }, nil, "must be the issuer"},
		{"another server", func(c map[string]any) map[string]any { return with(c, "aud", "https://else.example.com") }, nil, "must be the issuer"},
	} {
		t.Run("checklist_22 compat: "+tt.name, func(t *testing.T) {
			w.compat = nil
			who, err := w.try(asserted(t, sign(t, key, "", tt.claims(w.claims("legacy")))))
			if tt.want != "" {
				wantRefused(t, who, err, invalidClient, tt.want)
				return
			}
			wantClient(t, who, err, "legacy", oauth.AuthPrivateKeyJWT)
			if !slices.Equal(w.compat, tt.counted) {
				t.Errorf("counted %v, want %v", w.compat, tt.counted)
			}
		})
	}
	t.Run("checklist_25 compat: an hour's jti is still good once only", func(t *testing.T) {
		jwt := sign(t, key, "", with(w.claims("legacy"), "exp", at+3600))
		who, err := w.try(asserted(t, jwt))
		wantClient(t, who, err, "legacy", oauth.AuthPrivateKeyJWT)
		who, err = w.try(asserted(t, jwt))
		wantRefused(t, who, err, invalidClient, "used before")
	})
}

func TestChecklist25(t *testing.T) {
	w := newWorld(t)
	_, key := w.keyClient(t, "keyed", jose.ES256)
	_, otherKey := w.keyClient(t, "other", jose.ES256)
	claims := w.claims("keyed")
	jwt := sign(t, key, "", claims)
	t.Run("checklist_25 fifty requests with one assertion: one passes", func(t *testing.T) {
		var passed, replayed atomic.Int64
		var wg sync.WaitGroup
		f := asserted(t, jwt)
		for i := range 50 {
			wg.Go(func() {
				_, err := w.Authenticate(context.Background(), Request{Form: f, Source: netip.MustParseAddr(fmt.Sprintf("198.51.100.%d", i+1))})
				var e *oauth.Error
				switch {
				case err == nil:
					passed.Add(1)
				case errors.As(err, &e) && strings.Contains(e.Description, "used before"):
					replayed.Add(1)
				}
			})
		}
		wg.Wait()
		if passed.Load() != 1 || replayed.Load() != 49 {
			t.Errorf("%d passed, %d replayed", passed.Load(), replayed.Load())
		}
	})
	t.Run("checklist_25 the jti is the client's own: another may have the same", func(t *testing.T) {
		who, err := w.try(asserted(t, sign(t, otherKey, "", with(with(claims, "iss", "other"), "sub", "other"))))
		wantClient(t, who, err, "other", oauth.AuthPrivateKeyJWT)
	})
	t.Run("checklist_25 signed again with the same jti it is still spent", func(t *testing.T) {
		who, err := w.try(asserted(t, sign(t, key, "", with(claims, "exp", w.at.Unix()+90))))
		wantRefused(t, who, err, invalidClient, "sign a new one with a new jti for each request. Libraries that keep the claims object send the same jti again")
	})
	t.Run("checklist_25 it is kept until exp and the skew have passed", func(t *testing.T) {
		expires := w.far.spent[[2]string{"keyed", claims["jti"].(string)}]
		if last := time.Unix(claims["exp"].(int64), 0).Add(30 * time.Second); expires.Before(last) {
			t.Errorf("kept until %v, accepted until %v", expires, last)
		}
	})
	t.Run("checklist_25 what strangers send writes nothing", func(t *testing.T) {
		before := len(w.far.spent)
		stranger := newKey(t, jose.ES256)
		for _, key := range []*jose.SigningKey{stranger, stranger.WithID(key.ID())} {
			for _, id := range []string{"keyed", "nobody"} {
				who, err := w.try(asserted(t, sign(t, key, "", w.claims(id))))
				wantRefused(t, who, err, invalidClient, "client authentication failed")
			}
		}
		if len(w.far.spent) != before {
			t.Error("written down")
		}
	})
	t.Run("checklist_25 storage that fails lets nobody in", func(t *testing.T) {
		w := newWorld(t)
		c, key := w.keyClient(t, "keyed", jose.ES256)
		w.options.Clients = only{c}
		w.far.broken = errors.New("disk gone")
		who, err := w.try(asserted(t, sign(t, key, "", w.claims("keyed"))))
		wantRefused(t, who, err, oauth.CodeTemporarilyUnavailable, "try again")
	})
}

type only struct{ c *client.Client }

func (o only) Client(context.Context, string) (*client.Client, error) { return o.c, nil }

func TestChecklist26(t *testing.T) {
	w := newWorld(t)
	c, key := w.keyClient(t, "keyed", jose.RS256)
	parts := strings.Split(sign(t, key, "", w.claims("keyed")), ".")
	forge := func(header string) string {
		return base64.RawURLEncoding.EncodeToString([]byte(header)) + "." + parts[1] + "." + parts[2]
	}
	for _, alg := range []string{"none", "None", "HS256", "ES384", "RS1", ""} {
		t.Run("checklist_26 alg "+alg, func(t *testing.T) {
			who, err := w.try(asserted(t, forge(fmt.Sprintf(`{"alg":%q,"kid":%q}`, alg, key.ID()))))
			wantRefused(t, who, err, invalidClient, "client")
			if len(w.far.spent) != 0 {
				t.Error("written down")
			}
		})
	}
	t.Run("checklist_26 none says which are good", func(t *testing.T) {
		who, err := w.try(asserted(t, forge(`{"alg":"HS256"}`)))
		wantRefused(t, who, err, invalidClient, "must be ES256, EdDSA, PS256 or RS256")
	})
	t.Run("checklist_26 an unknown crit", func(t *testing.T) {
		who, err := w.try(asserted(t, forge(`{"alg":"RS256","crit":["x"],"x":1}`)))
		wantRefused(t, who, err, invalidClient, "can be read")
	})
	t.Run("checklist_26 pinned to the registered alg", func(t *testing.T) {
		c.SigningAlg = jose.PS256
		public := key.Public()
		public.Alg = ""
		c.Credentials[0].Key = &public
		who, err := w.try(asserted(t, sign(t, key, "", w.claims("keyed"))))
		wantRefused(t, who, err, invalidClient, "kid and alg")
		c.SigningAlg = jose.RS256
		who, err = w.try(asserted(t, sign(t, key, "", w.claims("keyed"))))
		wantClient(t, who, err, "keyed", oauth.AuthPrivateKeyJWT)
	})
	for name, jwt := range map[string]string{
		"nothing": ".", "two parts": parts[0] + "." + parts[1], "not base64": "a!.b.c", "no claims": parts[0] + ".W10." + parts[2],
		"too long": strings.Repeat("a", jose.MaxTokenSize+1),
	} {
		t.Run("unreadable: "+name, func(t *testing.T) {
			who, err := w.try(asserted(t, jwt))
			wantRefused(t, who, err, invalidClient, "client")
		})
	}
	t.Run("two claims of one name are refused", func(t *testing.T) {
		jwt, err := key.Sign("", []byte(`{"iss":"keyed","sub":"keyed","sub":"other"}`))
		if err != nil {
			t.Fatal(err)
		}
		who, err := w.try(asserted(t, jwt))
		wantRefused(t, who, err, invalidClient, "can be read")
	})
}

func TestChecklist27(t *testing.T) {
	const uri = "https://keys.example.com/jwks"
	w := newWorld(t)
	old, next := newKey(t, jose.ES256), newKey(t, jose.ES256)
	c := &client.Client{ID: "remote", Status: client.Active, AuthMethod: oauth.AuthPrivateKeyJWT, JWKSURI: uri}
	w.far.clients["remote"] = c
	w.far.sets[uri] = jose.KeySet{Keys: []jose.PublicKey{old.Public()}}

	t.Run("checklist_27 a known kid is not fetched again", func(t *testing.T) {
		w.far.asked = nil
		who, err := w.try(asserted(t, sign(t, old, "", w.claims("remote"))))
		wantClient(t, who, err, "remote", oauth.AuthPrivateKeyJWT)
		if !slices.Equal(w.far.asked, []string{uri}) {
			t.Errorf("asked %v", w.far.asked)
		}
	})
	t.Run("checklist_27 an unknown kid is, once", func(t *testing.T) {
		w.far.asked = nil
		w.far.fresh[uri] = jose.KeySet{Keys: []jose.PublicKey{old.Public(), next.Public()}}
		who, err := w.try(asserted(t, sign(t, next, "", w.claims("remote"))))
		wantClient(t, who, err, "remote", oauth.AuthPrivateKeyJWT)
		if !slices.Equal(w.far.asked, []string{uri, "refresh " + uri}) {
			t.Errorf("asked %v", w.far.asked)
		}
	})
	t.Run("checklist_27 and then fails", func(t *testing.T) {
		w.far.asked = nil
		who, err := w.try(asserted(t, sign(t, newKey(t, jose.ES256), "", w.claims("remote"))))
		wantRefused(t, who, err, invalidClient, "none of its keys has the kid")
		if len(w.far.asked) != 2 {
			t.Errorf("asked %v", w.far.asked)
		}
	})
	t.Run("checklist_27 encryption keys are not used", func(t *testing.T) {
		enc := old.Public()
		enc.Use = "enc"
		w.far.sets[uri] = jose.KeySet{Keys: []jose.PublicKey{enc}}
		w.far.fresh[uri] = w.far.sets[uri]
		who, err := w.try(asserted(t, sign(t, old, "", w.claims("remote"))))
		wantRefused(t, who, err, invalidClient, "none of its keys")
	})
	t.Run("checklist_27 without a kid every key that fits is tried", func(t *testing.T) {
		w.far.sets[uri] = jose.KeySet{Keys: []jose.PublicKey{next.Public(), old.Public()}}
		who, err := w.try(asserted(t, sign(t, old.WithID(""), "", w.claims("remote"))))
		wantClient(t, who, err, "remote", oauth.AuthPrivateKeyJWT)
	})
	t.Run("checklist_27 a key registered without kid takes any kid", func(t *testing.T) {
		c, key := w.keyClient(t, "keyed", jose.ES256)
		c.Credentials[0].Key.ID = ""
		who, err := w.try(asserted(t, sign(t, key, "", w.claims("keyed"))))
		wantClient(t, who, err, "keyed", oauth.AuthPrivateKeyJWT)
	})
	t.Run("checklist_28 keys that cannot be fetched say so, and are no guess", func(t *testing.T) {
		w.far.clients["away"] = &client.Client{ID: "away", Status: client.Active, AuthMethod: oauth.AuthPrivateKeyJWT, JWKSURI: "https://gone.example.com"}
		for range 30 {
			who, err := w.try(asserted(t, sign(t, old, "", w.claims("away"))))
			wantRefused(t, who, err, invalidClient, "its jwks_uri cannot be read")
		}
	})
	t.Run("two keys live at once, and an expired one does not", func(t *testing.T) {
		c, first := w.keyClient(t, "keyed", jose.ES256)
		second := newKey(t, jose.EdDSA)
		public := second.Public()
		c.Credentials = append(c.Credentials, client.Credential{ID: "cr_2", Kind: client.KindJWK, Key: &public})
		for id, key := range map[string]*jose.SigningKey{"cr_1": first, "cr_2": second} {
			who, err := w.try(asserted(t, sign(t, key, "", w.claims("keyed"))))
			wantClient(t, who, err, "keyed", oauth.AuthPrivateKeyJWT)
			if who.Credential() != id {
				t.Errorf("proved by %s, want %s", who.Credential(), id)
			}
		}
		c.Credentials[0].Expires = w.at
		who, err := w.try(asserted(t, sign(t, first, "", w.claims("keyed"))))
		wantRefused(t, who, err, invalidClient, "none of its keys")
	})
	t.Run("checklist_18 a client with secrets cannot use assertions", func(t *testing.T) {
		w.secretClient("billing", oauth.AuthClientSecretBasic)
		who, err := w.try(asserted(t, sign(t, old, "", w.claims("billing"))))
		wantRefused(t, who, err, invalidClient, "registered for another authentication method")
	})
}

func FuzzAssertion(f *testing.F) {
	w := newWorld(f)
	w.options.Failures = NewFailures(FailureLimits{PerClient: Rate{1e6, 1e6}, PerSource: Rate{1e6, 1e6}})
	_, key := w.keyClient(f, "keyed", jose.EdDSA)
	good := sign(f, key, "client-authentication+jwt", w.claims("keyed"))
	f.Add(good, "keyed")
	f.Add(sign(f, key, "", map[string]any{"iss": "keyed", "sub": "keyed"}), "")
	f.Add("a.b.c", "keyed")
	f.Fuzz(func(t *testing.T, jwt, id string) {
		spentBefore := len(w.far.spent) > 0
		sent := url.Values{"client_assertion_type": {oauth.AssertionTypeJWTBearer}, "client_assertion": {jwt}, "client_id": {id}}
		params, err := oauth.ParseParams(sent.Encode())
		if err != nil {
			return
		}
		who, err := w.tryFrom("192.0.2.1", params)
		if err == nil && (jwt != good || spentBefore || who.Client().ID != "keyed") {
			t.Errorf("accepted %q as %+v", jwt, who)
		}
		var e *oauth.Error
		if err != nil && (!errors.As(err, &e) || e.Description != oauth.CleanDescription(e.Description)) {
			t.Errorf("%v", err)
		}
	})
}

func FuzzBasic(f *testing.F) {
	w := newWorld(f)
	w.options.Failures = NewFailures(FailureLimits{PerClient: Rate{1e6, 1e6}, PerSource: Rate{1e6, 1e6}})
	s := w.secretClient("billing", oauth.AuthClientSecretBasic)
	f.Add(oauth.FormatBasic("billing", s))
	f.Add("Basic Og==")
	f.Add("Bearer x")
	f.Fuzz(func(t *testing.T, header string) {
		who, err := w.tryFrom("192.0.2.2", form(t), header)
		if err == nil {
			id, password, parseErr := oauth.ParseBasic(header)
			if parseErr != nil || id != "billing" || password != s || who.Client().ID != "billing" {
				t.Errorf("accepted %q", header)
			}
		}
	})
}
