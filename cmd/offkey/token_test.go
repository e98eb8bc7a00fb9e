package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/offkey/offkey/internal/jose"
	"github.com/offkey/offkey/internal/oauth"
	"github.com/offkey/offkey/sdk/go/oauthclient"
	"github.com/offkey/offkey/test/farside"
)

func TestTokenFormats(t *testing.T) {
	_, dir, _ := upgraded(t)
	raw := offkey(t, "token", "--dir", dir)
	raw.want(t, exitOK)
	token := strings.TrimSuffix(raw.out, "\n")
	if strings.Count(token, ".") != 2 || strings.ContainsAny(token, " \n") || raw.err != "" {
		t.Fatalf("not a bare token: %q, stderr %q", raw.out, raw.err)
	}
	for format, want := range map[string]string{
		"header": "Authorization: Bearer " + token + "\n",
		"env":    "export OFFKEY_ACCESS_TOKEN=" + token + "\n",
	} {
		if r := offkey(t, "token", "--dir", dir, "--format", format); r.out != want {
			t.Errorf("%s: %q", format, r.out)
		}
	}
	for _, args := range [][]string{{"--json", "token"}, {"token", "--format", "json"}, {"token", "--format", "exec"}} {
		r := offkey(t, append(args, "--dir", dir)...)
		r.want(t, exitOK)
		document := decode[map[string]any](t, r)
		expires, err := time.Parse(time.RFC3339, document["expires_at"].(string))
		if err != nil || time.Until(expires) < 14*time.Minute || time.Until(expires) > 15*time.Minute {
			t.Errorf("expires_at %v", document["expires_at"])
		}
		if document["access_token"] != token || document["token_type"] != "Bearer" || document["scope"] != "read:orders create:orders" {
			t.Errorf("document %v", document)
		}
		if _, versioned := document["version"]; versioned != (args[len(args)-1] == "exec") {
			t.Errorf("%v: version in %v", args, document)
		}
	}
}

func TestTokenScopes(t *testing.T) {
	world, dir, _ := upgraded(t)
	for _, tc := range []struct {
		args []string
		want string
	}{
		{nil, "read:orders create:orders"}, // not given: all that is registered
		{[]string{"--scope", ""}, ""},      // given and empty: none
		{[]string{"--scope="}, ""},
		{[]string{"--scope", "read:orders"}, "read:orders"},
	} {
		r := offkey(t, append([]string{"--json", "token", "--dir", dir}, tc.args...)...)
		r.want(t, exitOK)
		if got := decode[tokenDocument](t, r).Scope; got != tc.want {
			t.Errorf("%v: granted %q, want %q", tc.args, got, tc.want)
		}
	}
	requests := world.Requests()
	if last := requests[len(requests)-2]; last.Scope != "" {
		t.Errorf("--scope '' asked for %q", last.Scope)
	}
	r := offkey(t, "--json", "token", "--dir", dir, "--scope", "admin")
	r.want(t, exitFailed)
	if f := failureOf(t, r); f.Code != "invalid_scope" || !strings.Contains(f.Fix, "admin") {
		t.Errorf("error %+v", f)
	}
}

func TestTokenOfAnyIssuer(t *testing.T) {
	world := farside.New(t)
	dir := t.TempDir()
	key := filepath.Join(dir, "k.pem")
	r := offkey(t, "keygen", "--alg", "RS256", "--out", key)
	r.want(t, exitOK)
	keys, err := jose.ParseKeySet([]byte(r.out))
	if err != nil {
		t.Fatal(err)
	}
	world.Register("theirs", farside.Client{Keys: keys, Scopes: oauth.Scope{"read:orders"}})
	world.Register("by-secret", farside.Client{Secret: "s3cret-of-theirs", Scopes: oauth.Scope{"read:orders"}})
	secret := filepath.Join(dir, "secret")
	if err := os.WriteFile(secret, []byte("s3cret-of-theirs\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	caller := []string{"token", "--dir", filepath.Join(dir, "cache"), "--scope", "read:orders", "--resource", world.APIURL}
	for name, args := range map[string][]string{
		"key":                  {"--issuer", world.IssuerURL, "--client", "theirs", "--keyfile", key, "--alg", "RS256"},
		"key, endpoint known":  {"--issuer", world.IssuerURL, "--token-url", world.IssuerURL + "/token", "--client", "theirs", "--keyfile", key, "--alg", "RS256"},
		"endpoint and aud":     {"--token-url", world.IssuerURL + "/token", "--audience", world.IssuerURL, "--client", "theirs", "--keyfile", key, "--alg", "RS256"},
		"secret in the header": {"--issuer", world.IssuerURL, "--client", "by-secret", "--secret-file", secret},
		"secret in the body":   {"--issuer", world.IssuerURL, "--client", "by-secret", "--secret-file", secret, "--auth", "client_secret_post"},
	} {
		t.Run(name, func(t *testing.T) {
			r := offkey(t, append(caller, args...)...)
			r.want(t, exitOK)
			if strings.Count(r.out, ".") != 2 {
				t.Errorf("stdout %q", r.out)
			}
		})
	}
	t.Run("wrong key", func(t *testing.T) {
		other := filepath.Join(dir, "other.pem")
		offkey(t, "keygen", "--out", other).want(t, exitOK)
		r := offkey(t, append([]string{"--json"}, append(caller, "--issuer", world.IssuerURL, "--client", "theirs", "--keyfile", other)...)...)
		r.want(t, exitFailed)
		if f := failureOf(t, r); f.Code != "invalid_client" || !strings.Contains(f.Fix, `"theirs"`) {
			t.Errorf("error %+v", f)
		}
	})
	t.Run("key that all can read", func(t *testing.T) {
		if err := os.Chmod(key, 0o644); err != nil {
			t.Fatal(err)
		}
		offkey(t, append(caller, "--issuer", world.IssuerURL, "--client", "theirs", "--keyfile", key, "--alg", "RS256")...).want(t, exitFailed, "chmod 600")
	})
}

func TestTokenWithoutClient(t *testing.T) {
	r := offkey(t, "--json", "token", "--dir", t.TempDir())
	r.want(t, exitSignIn)
	if f := failureOf(t, r); f.Code != "no_client" || !strings.Contains(f.Fix, "offkey upgrade") {
		t.Errorf("error %+v", f)
	}
}

func TestTokenIsKeptAndRenewed(t *testing.T) {
	world, dir, _ := upgraded(t)
	client, err := oauthclient.LoadClient(dir, "")
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now().Truncate(time.Second)
	world.With(func(s *farside.State) { s.Clock = func() time.Time { return now } })
	var warnings []string
	cache := tokenCache{dir: filepath.Join(dir, ".tokens"), now: func() time.Time { return now }, warn: func(format string, _ ...any) { warnings = append(warnings, format) }}
	config := client.Config()
	config.Now = cache.now
	before := len(world.Requests())
	ask := func(anew bool) cachedToken {
		t.Helper()
		token, _, err := cache.token(t.Context(), config, anew)
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	first := ask(false)
	for _, step := range []struct {
		what     string
		advance  time.Duration
		anew     bool
		requests int
	}{
		{"kept", 0, false, 1},
		{"just under 80 %", 719 * time.Second, false, 1},
		{"at 80 %", time.Second, false, 2},
		{"--no-cache", 0, true, 3},
		{"what --no-cache brought is kept", 0, false, 3},
		{"the clock was set back", -time.Hour, false, 4},
	} {
		now = now.Add(step.advance)
		ask(step.anew)
		if got := len(world.Requests()) - before; got != step.requests {
			t.Errorf("%s: %d requests so far, want %d", step.what, got, step.requests)
		}
	}
	if ask(false).AccessToken == first.AccessToken {
		t.Error("the first token is still in use")
	}

	config.Scopes = []string{"create:orders", "read:orders"}
	ask(false)
	if got := len(world.Requests()) - before; got != 4 {
		t.Errorf("scopes in another order are another token: %d requests", got)
	}
	for _, different := range []func(*oauthclient.Config){
		func(c *oauthclient.Config) { c.Scopes = []string{"read:orders"} },
		func(c *oauthclient.Config) { c.Resource = "https://other.example" },
		func(c *oauthclient.Config) { c.Resource = "" },
	} {
		other := client.Config()
		other.Now = cache.now
		different(other)
		requests := len(world.Requests())
		if _, kept, err := cache.token(t.Context(), other, false); err != nil || kept || len(world.Requests()) != requests+1 {
			t.Errorf("a token for something else was given out (%v, %v)", kept, err)
		}
	}

	// The issuer is down between 80 % and the end: the old token does.
	world.With(failing("/token"))
	now = now.Add(13 * time.Minute)
	if ask(false); len(warnings) != 1 {
		t.Errorf("warnings %q", warnings)
	}
	now = now.Add(3 * time.Minute)
	if _, _, err := cache.token(t.Context(), config, false); err == nil {
		t.Error("an expired token is given out")
	}
	checkPrivate(t, dir)
}

func TestCacheIsBoundedAndForgivesDamage(t *testing.T) {
	world, dir, _ := upgraded(t)
	client, err := oauthclient.LoadClient(dir, "")
	if err != nil {
		t.Fatal(err)
	}
	cache := tokenCache{dir: filepath.Join(dir, ".tokens"), now: time.Now, warn: t.Logf}
	token, _, err := cache.token(t.Context(), client.Config(), false)
	if err != nil {
		t.Fatal(err)
	}
	for i := range cacheLimit + 20 {
		old := token
		old.ObtainedAt = old.ObtainedAt.Add(-time.Duration(i+1) * time.Second)
		if err := writeJSONFile(cache.path(strings.Repeat("0", 30)+string(rune('a'+i/26))+string(rune('a'+i%26))), old); err != nil {
			t.Fatal(err)
		}
	}
	cache.prune()
	files, err := filepath.Glob(filepath.Join(cache.dir, "*.json"))
	if err != nil || len(files) != cacheLimit {
		t.Errorf("%d tokens are kept, want %d (%v)", len(files), cacheLimit, err)
	}
	name, err := cacheName(client.Config())
	if err != nil {
		t.Fatal(err)
	}
	for _, damage := range []string{"", "{", `{"access_token":""}`, `[]`, "\x00"} {
		if err := os.WriteFile(cache.path(name), []byte(damage), 0o600); err != nil {
			t.Fatal(err)
		}
		before := len(world.Requests())
		if got, kept, err := cache.token(t.Context(), client.Config(), false); err != nil || kept || got.AccessToken == "" || len(world.Requests()) != before+1 {
			t.Errorf("a file with %q: %v, %v", damage, kept, err)
		}
	}
	t.Run("a folder that cannot be", func(t *testing.T) {
		blocked := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(blocked, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		warned := 0
		cache := tokenCache{dir: filepath.Join(blocked, ".tokens"), now: time.Now, warn: func(string, ...any) { warned++ }}
		if got, _, err := cache.token(t.Context(), client.Config(), false); err != nil || got.AccessToken == "" || warned != 1 {
			t.Errorf("%d warnings, %v", warned, err)
		}
	})
}

func TestHundredProcessesMakeOneTokenRequest(t *testing.T) {
	world, dir, _ := upgraded(t)
	before := len(world.Requests())
	const processes = 100
	outputs := make([]string, processes)
	var all sync.WaitGroup
	for i := range processes {
		all.Go(func() {
			out, err := exec.Command("offkey", "token", "--dir", dir).Output()
			if err != nil {
				t.Errorf("process %d: %v", i, err)
			}
			outputs[i] = string(out)
		})
	}
	all.Wait()
	for _, out := range outputs {
		if out == "" || out != outputs[0] {
			t.Fatalf("one process has %q, another %q", outputs[0], out)
		}
	}
	if got := len(world.Requests()) - before; got != 1 {
		t.Errorf("%d token requests by %d processes, want 1", got, processes)
	}
}

func TestLockEndsWithItsHolder(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	open := func() *os.File {
		t.Helper()
		file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { file.Close() })
		return file
	}
	first, second := open(), open()
	if locked, err := tryLock(first); !locked || err != nil {
		t.Fatalf("first: %v, %v", locked, err)
	}
	if locked, err := tryLock(second); locked || err != nil {
		t.Fatalf("second, while the first has it: %v, %v", locked, err)
	}
	first.Close()
	if locked, err := tryLock(second); !locked || err != nil {
		t.Fatalf("second, after the first: %v, %v", locked, err)
	}
}
