package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/offkey/offkey/internal/jose"
	"github.com/offkey/offkey/internal/oauth"
	"github.com/offkey/offkey/test/farside"
)

func TestAssertion(t *testing.T) {
	world := farside.New(t)
	key := filepath.Join(t.TempDir(), "k.pem")
	made := offkey(t, "keygen", "--out", key)
	made.want(t, exitOK)
	keys, err := jose.ParseKeySet([]byte(made.out))
	if err != nil {
		t.Fatal(err)
	}
	world.Register("billing", farside.Client{Keys: keys, Scopes: oauth.Scope{"read:orders"}})
	identity := []string{"assertion", "--issuer", world.IssuerURL, "--client", "billing", "--keyfile", key}

	t.Run("is what the issuer takes", func(t *testing.T) {
		r := offkey(t, identity...)
		r.want(t, exitOK)
		jwt, err := jose.Parse(strings.TrimSpace(r.out), jose.ES256)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := jwt.Verify(keys.Keys...); err != nil {
			t.Fatal(err)
		}
		var claims farside.Claims
		if err := jwt.Peek(&claims); err != nil {
			t.Fatal(err)
		}
		if claims.Issuer != "billing" || claims.Subject != "billing" || !claims.Audience.Has(world.IssuerURL) || claims.Expires-claims.IssuedAt != 60 || jwt.Header().Type != "client-authentication+jwt" {
			t.Errorf("header %+v, claims %+v", jwt.Header(), claims)
		}
		if r.err != "" || len(world.Requests()) > 0 {
			t.Errorf("stderr %q, and %d requests", r.err, len(world.Requests()))
		}
	})
	t.Run("audience and life as asked", func(t *testing.T) {
		r := offkey(t, append([]string{"--json"}, append(identity, "--audience", "https://old.example/token", "--life", "5m", "--key-id", "k1")...)...)
		r.want(t, exitOK)
		document := decode[struct {
			Assertion string
			Header    struct{ Kid, Alg, Typ string }
			Claims    struct {
				Aud string
				Exp int64
			}
		}](t, r)
		if document.Claims.Aud != "https://old.example/token" || document.Header.Kid != "k1" || time.Until(time.Unix(document.Claims.Exp, 0)) < 4*time.Minute || strings.Count(document.Assertion, ".") != 2 {
			t.Errorf("document %+v", document)
		}
	})
	t.Run("explained with the curl that uses it", func(t *testing.T) {
		r := offkey(t, append(identity, "--explain")...)
		r.want(t, exitOK, `"aud":"`+world.IssuerURL+`"`, "usable once", world.IssuerURL+"/token", oauth.AssertionTypeJWTBearer)
		if strings.Count(r.out, "\n") != 1 {
			t.Errorf("stdout is not the assertion alone: %q", r.out)
		}
		command := regexp.MustCompile(`(?s)curl .*`).FindString(r.err)
		shell := exec.Command("sh", "-c", command)
		shell.Env = os.Environ()
		out, err := shell.Output()
		if err != nil || !strings.Contains(string(out), "access_token") {
			t.Errorf("%s\ngives %s (%v)", command, out, err)
		}
	})
	t.Run("a client with a secret makes none", func(t *testing.T) {
		secret := filepath.Join(t.TempDir(), "s")
		if err := os.WriteFile(secret, []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
		offkey(t, "assertion", "--issuer", world.IssuerURL, "--client", "billing", "--secret-file", secret).want(t, exitUsage, "--keyfile")
	})
	t.Run("no time at all", func(t *testing.T) { offkey(t, append(identity, "--life", "0s")...).want(t, exitUsage, "--life 60s") })
}
