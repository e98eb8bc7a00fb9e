package oauthclient_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/offkey/offkey/internal/jose"
	"github.com/offkey/offkey/internal/oauth"
	"github.com/offkey/offkey/sdk/go/oauthclient"
	"github.com/offkey/offkey/test/farside"
)

func TestTokenWithEveryKindOfKey(t *testing.T) {
	for _, alg := range jose.ClientAlgorithms {
		t.Run(string(alg), func(t *testing.T) {
			world, config := caller(t, alg)
			token, err := config.NewToken(background(t))
			if err != nil {
				t.Fatal(err)
			}
			if token.TokenType != "Bearer" || token.ExpiresIn != 900 || token.Extra("scope") != "read:orders" {
				t.Errorf("token %q for %d s with scope %q", token.TokenType, token.ExpiresIn, token.Extra("scope"))
			}
			if got := world.Requests()[0].Header.Alg; got != alg {
				t.Errorf("signed with %s", got)
			}
		})
	}
}

func TestAssertionIsAsTheSpecsWantIt(t *testing.T) {
	world, config := caller(t, jose.ES256)
	seen := map[string]bool{}
	for range 3 {
		if _, err := config.NewToken(background(t)); err != nil {
			t.Fatal(err)
		}
	}
	for _, r := range world.Requests() {
		c := r.Claims
		if seen[c.ID] {
			t.Error("checklist_25 jti is used twice")
		}
		seen[c.ID] = true
		if c.Issuer != "billing" || c.Subject != "billing" {
			t.Errorf("checklist_21 iss %q sub %q", c.Issuer, c.Subject)
		}
		if c.Audience.WasArray || !c.Audience.Has(world.IssuerURL) {
			t.Errorf("checklist_22 aud %v", c.Audience)
		}
		if r.Header.Type != "client-authentication+jwt" {
			t.Errorf("checklist_23 typ %q", r.Header.Type)
		}
		if c.Expires-c.IssuedAt != 60 {
			t.Errorf("checklist_24 lives %d s", c.Expires-c.IssuedAt)
		}
		if r.Resource != world.APIURL {
			t.Errorf("resource %q", r.Resource)
		}
	}
}

func TestTokenWithSecret(t *testing.T) {
	const odd = `se:cret%41 +"ü`
	for _, method := range []oauthclient.AuthMethod{"", oauthclient.ClientSecretBasic, oauthclient.ClientSecretPost} {
		t.Run("method "+string(method), func(t *testing.T) {
			world := farside.New(t)
			world.Register("a:b c", farside.Client{Secret: odd, Scopes: oauth.Scope{"read:orders"}})
			config := &oauthclient.Config{Issuer: world.IssuerURL, ClientID: "a:b c", Secret: odd, AuthMethod: method}
			token, err := config.NewToken(background(t))
			if err != nil {
				t.Fatal(err)
			}
			if got := token.Extra("scope"); got != "" {
				t.Errorf("no scope was asked for, %q granted", got)
			}
		})
	}
}

func TestNoScopeIsAskedForAsNone(t *testing.T) {
	world, config := caller(t, jose.ES256)
	config.Scopes = nil
	if _, err := config.NewToken(background(t)); err != nil {
		t.Fatal(err)
	}
	if got := world.Requests()[0].Scope; got != "" {
		t.Errorf("scope %q was sent", got)
	}
}

func TestClockOffIsNamed(t *testing.T) {
	for name, far := range map[string]struct {
		off  time.Duration
		want string
	}{
		"behind": {10 * time.Minute, "10m0s behind the issuer's"},
		"ahead":  {-10 * time.Minute, "ahead of the issuer's"},
	} {
		t.Run(name, func(t *testing.T) {
			world, config := caller(t, jose.ES256)
			here := newClock()
			config.Now = here.Now
			world.With(func(s *farside.State) { s.Clock = func() time.Time { return here.Now().Add(far.off) } })
			_, err := config.NewToken(background(t))
			e := explained(t, err)
			if e.Code != "clock_off" || !strings.Contains(e.Message, far.want) || !strings.Contains(e.Fix, "clock") {
				t.Errorf("error does not name the clock: %v", err)
			}
			if !strings.Contains(e.Message, "invalid_client") {
				t.Errorf("the issuer's own words are gone: %v", err)
			}
		})
	}
	t.Run("a right clock is not blamed", func(t *testing.T) {
		_, config := caller(t, jose.ES256)
		config.ClientID = "nobody"
		_, err := config.NewToken(background(t))
		if e := explained(t, err); e.Code != "invalid_client" || strings.Contains(err.Error(), "clock") {
			t.Errorf("error %v", err)
		}
	})
}

func TestRefusalsNameCauseAndFix(t *testing.T) {
	cases := map[string]struct {
		change func(*farside.World, *oauthclient.Config)
		code   string
		fix    string
	}{
		"unknown client":  {func(_ *farside.World, c *oauthclient.Config) { c.ClientID = "nobody" }, "invalid_client", `client "nobody"`},
		"wrong audience":  {func(_ *farside.World, c *oauthclient.Config) { c.Audience = "https://elsewhere" }, "invalid_client", `"https://elsewhere" as the audience`},
		"scope too wide":  {func(_ *farside.World, c *oauthclient.Config) { c.Scopes = []string{"admin"} }, "invalid_scope", `asked: "admin"`},
		"wrong endpoint":  {func(w *farside.World, c *oauthclient.Config) { c.TokenURL = w.IssuerURL + "/tokens" }, "bad_response", "check the token endpoint"},
		"wrong kid":       {func(_ *farside.World, c *oauthclient.Config) { c.KeyID = "other" }, "invalid_client", `kid "other"`},
		"issuer is down":  {func(_ *farside.World, c *oauthclient.Config) { c.TokenURL = "http://127.0.0.1:1/token" }, "unreachable", "is running"},
		"no such host":    {func(_ *farside.World, c *oauthclient.Config) { c.Issuer = "https://issuer.invalid" }, "unreachable", "host name"},
		"not a web place": {func(_ *farside.World, c *oauthclient.Config) { c.Issuer = "auth.example.com" }, "bad_config", "https://"},
		"in the clear":    {func(_ *farside.World, c *oauthclient.Config) { c.Issuer = "http://auth.example.com" }, "insecure_url", "https"},
		"busy": {func(w *farside.World, _ *oauthclient.Config) {
			w.With(func(s *farside.State) {
				s.Hook = func(rw http.ResponseWriter, r *http.Request) bool {
					if r.URL.Path != "/token" {
						return false
					}
					rw.Header().Set("Retry-After", "7")
					http.Error(rw, "busy", http.StatusServiceUnavailable)
					return true
				}
			})
		}, "unreachable", "try again in 7s"},
		"redirect": {func(w *farside.World, _ *oauthclient.Config) {
			w.With(func(s *farside.State) {
				s.Hook = func(rw http.ResponseWriter, r *http.Request) bool {
					if r.URL.Path == "/token" {
						http.Redirect(rw, r, "https://evil.example/token", http.StatusTemporaryRedirect)
					}
					return r.URL.Path == "/token"
				}
			})
		}, "bad_response", "if you trust it"},
		"no key":             {func(_ *farside.World, c *oauthclient.Config) { c.KeyFile = "" }, "bad_config", "KeyFile"},
		"two proofs":         {func(_ *farside.World, c *oauthclient.Config) { c.Secret = "s" }, "bad_config", "one of them"},
		"scope with a space": {func(_ *farside.World, c *oauthclient.Config) { c.Scopes = []string{"a b"} }, "bad_config", "own entry"},
		"no such method":     {func(_ *farside.World, c *oauthclient.Config) { c.AuthMethod = "client_secret_jwt" }, "bad_config", "private_key_jwt"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			world, config := caller(t, jose.ES256)
			tc.change(world, config)
			_, err := config.NewToken(background(t))
			e := explained(t, err)
			if e.Code != tc.code || !strings.Contains(e.Fix, tc.fix) && !strings.Contains(e.Message, tc.fix) {
				t.Errorf("want %s with %q, have %v", tc.code, tc.fix, err)
			}
		})
	}
}

func TestAnswersThatAreNoTokens(t *testing.T) {
	for name, body := range map[string]string{
		"a web page":      "<html>",
		"no access_token": `{"token_type":"Bearer"}`,
		"line end inside": `{"token_type":"Bearer","access_token":"a\nb"}`,
		"DPoP":            `{"token_type":"DPoP","access_token":"a"}`,
		"too long":        `{"token_type":"Bearer","access_token":"` + strings.Repeat("a", 1<<20) + `"}`,
	} {
		t.Run(name, func(t *testing.T) {
			world, config := caller(t, jose.ES256)
			world.With(func(s *farside.State) {
				s.Hook = func(rw http.ResponseWriter, r *http.Request) bool {
					if r.URL.Path == "/token" {
						fmt.Fprint(rw, body)
					}
					return r.URL.Path == "/token"
				}
			})
			_, err := config.NewToken(background(t))
			explained(t, err)
		})
	}
}

func TestKeyFileMistakes(t *testing.T) {
	_, config := caller(t, jose.ES256)
	good, err := os.ReadFile(config.KeyFile)
	if err != nil {
		t.Fatal(err)
	}
	cases := map[string]struct {
		content string
		mode    os.FileMode
		want    string
	}{
		"readable by all":   {string(good), 0o644, "chmod 600"},
		"writable by group": {string(good), 0o660, "chmod 600"},
		"a public key":      {"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", 0o600, "private key"},
		"not PEM":           {`{"kty":"EC"}`, 0o600, "PEM"},
		"empty":             {"", 0o600, "PEM"},
		"huge":              {strings.Repeat("a", 1<<20), 0o600, "no private key is that long"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if err := os.WriteFile(config.KeyFile, []byte(tc.content), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(config.KeyFile, tc.mode); err != nil {
				t.Fatal(err)
			}
			_, err := config.Assertion(background(t))
			if e := explained(t, err); e.Code != "bad_key" || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("want %q, have %v", tc.want, err)
			}
			if strings.Contains(err.Error(), strings.Split(string(good), "\n")[1]) {
				t.Error("the error quotes the key")
			}
		})
	}
	t.Run("missing", func(t *testing.T) {
		config.KeyFile += ".gone"
		_, err := config.Assertion(background(t))
		if e := explained(t, err); !errors.Is(err, os.ErrNotExist) || !strings.Contains(e.Message, "no such file") {
			t.Errorf("have %v", err)
		}
	})
	t.Run("group may read, as secrets in Kubernetes", func(t *testing.T) {
		_, config := caller(t, jose.ES256)
		if err := os.Chmod(config.KeyFile, 0o440); err != nil {
			t.Fatal(err)
		}
		if _, err := config.Assertion(background(t)); err != nil {
			t.Error(err)
		}
	})
}

func TestSecretDoesNotPrint(t *testing.T) {
	const value = "s3cr3t-value"
	config := &oauthclient.Config{Issuer: "https://a.example", ClientID: "c", Secret: value}
	encoded, err := json.Marshal(config.Secret)
	if err != nil {
		t.Fatal(err)
	}
	var logged strings.Builder
	slog.New(slog.NewJSONHandler(&logged, nil)).Info("x", "secret", config.Secret, "config", config)
	slog.New(slog.NewTextHandler(&logged, nil)).Info("x", "secret", config.Secret, "config", config)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		logged.WriteString(fmt.Sprintf(verb, config.Secret) + fmt.Sprintf(verb, config) + fmt.Sprintf(verb, []any{config.Secret}))
	}
	all := string(encoded) + logged.String()
	if strings.Contains(all, value) || strings.Contains(all, fmt.Sprintf("%x", value)) {
		t.Errorf("the secret shows in %s", all)
	}
}
