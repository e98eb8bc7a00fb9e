package main

import (
	"bytes"
	"encoding/json"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/offkey/offkey/internal/oauth"
	"github.com/offkey/offkey/sdk/go/oauthclient"
	"github.com/offkey/offkey/test/farside"
)

const testAPIKey = "sk_test_0123456789abcdef"

// keyWorld is a far side whose apikey opens reading and creating orders, and an
// empty folder for the caller.
func keyWorld(t *testing.T) (world *farside.World, dir string) {
	t.Helper()
	world = farside.New(t)
	world.With(func(s *farside.State) { s.APIKeys[testAPIKey] = oauth.Scope{"read:orders", "create:orders"} })
	return world, filepath.Join(t.TempDir(), "callers")
}

// upgraded is a far side with a client that `offkey upgrade` has made.
func upgraded(t *testing.T, more ...string) (world *farside.World, dir string, client upgradeDocument) {
	t.Helper()
	world, dir = keyWorld(t)
	r := invocation{stdin: testAPIKey + "\n"}.offkey(t, append([]string{"upgrade", "--json", "--api", world.APIURL, "--apikey-stdin", "--dir", dir}, more...)...)
	r.want(t, exitOK)
	if r.err != "" {
		t.Errorf("words beside --json: %s", r.err)
	}
	return world, dir, decode[upgradeDocument](t, r)
}

func TestUpgrade(t *testing.T) {
	for _, alg := range []string{"ES256", "EdDSA"} {
		t.Run(alg, func(t *testing.T) {
			world, dir, made := upgraded(t, "--alg", alg, "--name", "billing")
			if made.Issuer != world.IssuerURL || !slices.Equal(made.Scopes, []string{"read:orders", "create:orders"}) || len(made.NextSteps) == 0 || made.ClientID == "" || made.Existing {
				t.Errorf("document %+v", made)
			}
			requests := world.Requests()
			if len(requests) != 2 || requests[0].Scope != "" || requests[1].Scope != "read:orders create:orders" {
				t.Errorf("proved itself by %+v, want a token without scope and then one with", requests)
			}
			checkPrivate(t, dir)
			kept, err := os.ReadFile(filepath.Join(made.Dir, "registration.json"))
			if err != nil || !strings.Contains(string(kept), `"registration_access_token": "manages `+made.ClientID) {
				t.Errorf("registration.json holds %s, %v", kept, err)
			}
			client, err := oauthclient.LoadClient(dir, "")
			if err != nil {
				t.Fatal(err)
			}
			if client.ClientID != made.ClientID || client.Dir != made.Dir || client.Algorithm != alg || client.RegisteredAt.IsZero() || client.API != world.APIURL || client.Resource != world.APIURL || client.TokenURL != world.IssuerURL+"/token" {
				t.Errorf("client.json holds %+v", client)
			}
			config, err := oauthclient.Load(dir)
			if err != nil {
				t.Fatal(err)
			}
			resp, err := config.Client().Get(world.APIURL + "/v1/orders")
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			if resp.StatusCode != http.StatusOK {
				t.Errorf("a Go program gets %d", resp.StatusCode)
			}
		})
	}
}

// checkPrivate walks what was written: folders 0700, files 0600, no apikey in
// any of them, and the private key in its file alone.
func checkPrivate(t *testing.T, dir string) {
	t.Helper()
	keys := 0
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		want := fs.FileMode(0o600)
		if entry.IsDir() {
			want = 0o700
		}
		if info.Mode().Perm() != want {
			t.Errorf("%s has mode %04o, want %04o", path, info.Mode().Perm(), want)
		}
		if entry.IsDir() {
			return nil
		}
		data, err := os.ReadFile(path)
		if bytes.Contains(data, []byte(testAPIKey)) {
			t.Errorf("%s holds the apikey", path)
		}
		if bytes.Contains(data, []byte("PRIVATE KEY")) {
			keys++
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if keys != 1 {
		t.Errorf("%d files with a private key, want 1", keys)
	}
}

func TestUpgradeTakesTheAPIKeyFromOnePlace(t *testing.T) {
	file := filepath.Join(t.TempDir(), "apikey")
	if err := os.WriteFile(file, []byte(testAPIKey+"\r\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		surroundings invocation
		args         []string
	}{
		"standard input":               {invocation{stdin: testAPIKey}, []string{"--apikey-stdin"}},
		"file":                         {invocation{}, []string{"--apikey-file", file}},
		"environment":                  {invocation{env: map[string]string{"OFFKEY_APIKEY": testAPIKey}}, nil},
		"flag goes before environment": {invocation{env: map[string]string{"OFFKEY_APIKEY": "sk_other_one"}}, []string{"--apikey-file", file}},
	} {
		t.Run(name, func(t *testing.T) {
			world, dir := keyWorld(t)
			tc.surroundings.offkey(t, append([]string{"upgrade", "--api", world.APIURL, "--dir", dir}, tc.args...)...).want(t, exitOK, "[done]")
		})
	}
	t.Run("file that all can read", func(t *testing.T) {
		open := filepath.Join(t.TempDir(), "open")
		if err := os.WriteFile(open, []byte(testAPIKey), 0o644); err != nil {
			t.Fatal(err)
		}
		world, dir := keyWorld(t)
		invocation{}.offkey(t, "upgrade", "--api", world.APIURL, "--dir", dir, "--apikey-file", open).want(t, exitOK, "chmod 600")
	})
	for name, tc := range map[string]struct {
		surroundings invocation
		args         []string
		code         int
		want         string
	}{
		"nowhere":       {invocation{}, nil, exitUsage, "OFFKEY_APIKEY"},
		"empty input":   {invocation{stdin: "\n"}, []string{"--apikey-stdin"}, exitUsage, "empty"},
		"two lines":     {invocation{stdin: "a\nb\n"}, []string{"--apikey-stdin"}, exitUsage, "more than one line"},
		"endless input": {invocation{stdin: strings.Repeat("a", 1<<20)}, []string{"--apikey-stdin"}, exitUsage, "more than one line"},
		"no such file":  {invocation{}, []string{"--apikey-file", file + ".gone"}, exitUsage, "no such file"},
		"a folder":      {invocation{}, []string{"--apikey-file", filepath.Dir(file)}, exitUsage, "not a file"},
	} {
		t.Run(name, func(t *testing.T) {
			world, dir := keyWorld(t)
			r := tc.surroundings.offkey(t, append([]string{"upgrade", "--api", world.APIURL, "--dir", dir}, tc.args...)...)
			r.want(t, tc.code, tc.want)
			if strings.Contains(r.out+r.err, testAPIKey) {
				t.Error("the error repeats the apikey")
			}
			if _, err := os.Stat(dir); err == nil {
				t.Error("something was written")
			}
		})
	}
}

func TestUpgradeAgain(t *testing.T) {
	world, dir, first := upgraded(t)
	registrations := func() (n int) { world.With(func(s *farside.State) { n = len(s.Registrations) }); return n }

	// No apikey is needed, and none is read, where there is nothing to do.
	r := offkey(t, "upgrade", "--json", "--api", world.APIURL+"/", "--dir", dir)
	r.want(t, exitOK)
	if again := decode[upgradeDocument](t, r); again.ClientID != first.ClientID || !again.Existing || registrations() != 1 {
		t.Errorf("upgrading twice made %+v and %d registrations", again, registrations())
	}
	offkey(t, "upgrade", "--api", world.APIURL, "--dir", dir).want(t, exitOK, "[skip]", "--again")

	r = invocation{stdin: testAPIKey}.offkey(t, "upgrade", "--json", "--api", world.APIURL, "--apikey-stdin", "--dir", dir, "--again")
	r.want(t, exitOK)
	second := decode[upgradeDocument](t, r)
	if second.ClientID == first.ClientID || registrations() != 2 {
		t.Errorf("--again made %+v and %d registrations", second, registrations())
	}
	client, err := oauthclient.LoadClient(dir, "")
	if err != nil || client.ClientID != second.ClientID {
		t.Errorf("in use is %+v, %v", client, err)
	}
	former, err := oauthclient.LoadClient(dir, first.ClientID)
	if err != nil || former.ReplacedBy != second.ClientID {
		t.Errorf("the former client is %+v, %v", former, err)
	}
}

func TestUpgradeThatWaitsForApproval(t *testing.T) {
	world, dir := keyWorld(t)
	world.With(func(s *farside.State) { s.Approval = true })
	ask := func() ran {
		return invocation{stdin: testAPIKey}.offkey(t, "upgrade", "--json", "--api", world.APIURL, "--apikey-stdin", "--dir", dir)
	}
	r := ask()
	r.want(t, exitUnmet)
	if f := failureOf(t, r); f.Code != "upgrade_needs_approval" || !strings.Contains(f.Fix, "same command again") || !strings.Contains(f.Message, "two programs") {
		t.Errorf("error %+v", f)
	}
	offkey(t, "token", "--dir", dir).want(t, exitSignIn)

	world.With(func(s *farside.State) { s.Approval = false })
	ask().want(t, exitOK)
	world.With(func(s *farside.State) {
		if len(s.Registrations) != 2 || !bytes.Equal(s.Registrations[0].JWKS, s.Registrations[1].JWKS) {
			t.Error("the second try registered another key pair than the operator approved")
		}
	})
}

func TestUpgradeWhoseClientWaits(t *testing.T) {
	world, dir := keyWorld(t)
	world.With(func(s *farside.State) { s.Pending = true })
	first := invocation{stdin: testAPIKey}.offkey(t, "upgrade", "--json", "--api", world.APIURL, "--apikey-stdin", "--dir", dir)
	again := func() ran { return offkey(t, "upgrade", "--json", "--api", world.APIURL, "--dir", dir) }
	for _, r := range []ran{first, again()} {
		r.want(t, exitUnmet)
		if f := failureOf(t, r); f.Code != "upgrade_needs_approval" || !strings.Contains(f.Fix, "same command again") {
			t.Errorf("error %+v", f)
		}
		if document := decode[upgradeDocument](t, r); !document.Pending || document.ClientID == "" {
			t.Errorf("document %+v", document)
		}
	}
	world.With(func(s *farside.State) { s.Pending = false })
	r := again()
	r.want(t, exitOK)
	if document := decode[upgradeDocument](t, r); document.Pending || !document.Existing {
		t.Errorf("document %+v", document)
	}
	before := len(world.Requests())
	again().want(t, exitOK)
	if len(world.Requests()) != before {
		t.Error("what is approved is asked about again")
	}
	world.With(func(s *farside.State) {
		if len(s.Registrations) != 1 {
			t.Errorf("%d registrations", len(s.Registrations))
		}
	})
}

func TestUpgradeWhoseScopesWait(t *testing.T) {
	world, dir := keyWorld(t)
	world.With(func(s *farside.State) { s.Withheld = oauth.Scope{"create:orders"} })
	r := invocation{stdin: testAPIKey}.offkey(t, "upgrade", "--api", world.APIURL, "--apikey-stdin", "--dir", dir)
	r.want(t, exitOK, "[warn] scope create:orders: for the API's operator to approve")
	again := func() upgradeDocument {
		t.Helper()
		r := offkey(t, "upgrade", "--json", "--api", world.APIURL, "--dir", dir)
		r.want(t, exitOK)
		return decode[upgradeDocument](t, r)
	}
	if got := again(); !slices.Equal(got.Scopes, []string{"read:orders"}) || !slices.Equal(got.PendingScopes, []string{"create:orders"}) {
		t.Errorf("before the approval: %+v", got)
	}
	world.With(func(s *farside.State) { s.Withheld = nil })
	if got := again(); !slices.Equal(got.Scopes, []string{"read:orders", "create:orders"}) || len(got.PendingScopes) > 0 {
		t.Errorf("after it: %+v", got)
	}
	offkey(t, "call", "POST", world.APIURL+"/v1/orders", "--dir", dir).want(t, exitOK)
}

func TestUpgradeDryRun(t *testing.T) {
	world, dir := keyWorld(t)
	r := offkey(t, "upgrade", "--json", "--dry-run", "--api", world.APIURL, "--dir", dir)
	r.want(t, exitOK)
	if got := decode[map[string]any](t, r); got["issuer"] != world.IssuerURL || got["registration_endpoint"] != world.IssuerURL+"/register" {
		t.Errorf("document %v", got)
	}
	offkey(t, "upgrade", "--dry-run", "--api", world.APIURL, "--dir", dir).want(t, exitOK, "Nothing was done")
	if _, err := os.Stat(dir); err == nil {
		t.Error("something was written")
	}
	world.With(func(s *farside.State) {
		if len(s.Registrations) > 0 {
			t.Error("something was registered")
		}
	})
}

func TestUpgradeRefused(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(*farside.State)
		code   string
	}{
		"apikey unknown": {func(s *farside.State) { s.APIKeys = nil }, "invalid_token"},
		"issuer of another": {func(s *farside.State) {
			s.Metadata = func(m *oauth.ServerMetadata) { m.Issuer = "https://other.example" }
		}, "bad_metadata"},
		"API without issuer":   {func(s *farside.State) { s.Resource = func(m *oauth.ResourceMetadata) { m.AuthorizationServers = nil } }, "bad_metadata"},
		"registrations fail":   {failing("/register"), "unreachable"},
		"clock ten minutes on": {func(s *farside.State) { s.Clock = func() time.Time { return time.Now().Add(-10 * time.Minute) } }, "clock_off"},
	} {
		t.Run(name, func(t *testing.T) {
			world, dir := keyWorld(t)
			world.With(tc.change)
			r := invocation{stdin: testAPIKey}.offkey(t, "upgrade", "--json", "--api", world.APIURL, "--apikey-stdin", "--dir", dir)
			r.want(t, exitFailed)
			if f := failureOf(t, r); f.Code != tc.code || f.Fix == "" || r.out != "" {
				t.Errorf("error %+v, stdout %q", f, r.out)
			}
		})
	}
	t.Run("what is registered is not lost with the first token", func(t *testing.T) {
		world, dir := keyWorld(t)
		world.With(failing("/token"))
		invocation{stdin: testAPIKey}.offkey(t, "upgrade", "--api", world.APIURL, "--apikey-stdin", "--dir", dir).want(t, exitFailed, "is registered and saved in")
		world.With(func(s *farside.State) { s.Hook = nil })
		offkey(t, "token", "--dir", dir).want(t, exitOK)
	})
	t.Run("folder that is a file", func(t *testing.T) {
		world, dir := keyWorld(t)
		if err := os.WriteFile(dir, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		invocation{stdin: testAPIKey}.offkey(t, "upgrade", "--api", world.APIURL, "--apikey-stdin", "--dir", dir).want(t, exitFailed, "not a directory")
	})
}

// failing makes one endpoint of the issuer fail.
func failing(path string) func(*farside.State) {
	return func(s *farside.State) {
		s.Hook = func(w http.ResponseWriter, r *http.Request) bool {
			if r.URL.Path == path {
				http.Error(w, "down", http.StatusBadGateway)
			}
			return r.URL.Path == path
		}
	}
}

func TestUpgradeSpeaksToAPerson(t *testing.T) {
	world, dir := keyWorld(t)
	r := invocation{stdin: testAPIKey}.offkey(t, "upgrade", "--api", world.APIURL, "--apikey-stdin", "--dir", dir, "--lang", "python")
	r.want(t, exitOK, "[done] key pair made here", "[done] client", "[done] token with no scope", "[done] token with scopes read:orders create:orders", "Change in your code")
	if !strings.Contains(r.out, "PrivateKeyJwt") || strings.Contains(r.out, "[done]") {
		t.Errorf("stdout is not the code alone: %s", r.out)
	}
}

func TestFolderName(t *testing.T) {
	for id, want := range map[string]string{"client-1_a": "client-1_a", "..": "client-", ".tokens": "client-", "a/b": "client-", "a b": "client-", "": "client-", strings.Repeat("a", 65): "client-"} {
		if got := folderName(id); got != want && (want != "client-" || len(got) != len("client-")+16) {
			t.Errorf("%q: %s", id, got)
		}
	}
}

func TestRegisteredClientsDoNotCollide(t *testing.T) {
	root := t.TempDir()
	for range 2 {
		pending := filepath.Join(root, ".pending-x")
		if err := makeFolder(pending); err != nil {
			t.Fatal(err)
		}
		if err := settle(root, pending, &oauthclient.Client{ClientID: "a", Issuer: "https://i.example", KeyFile: "key.pem"}, nil); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"a", "a-2"} {
		var client oauthclient.Client
		data, err := os.ReadFile(filepath.Join(root, name, "client.json"))
		if err != nil || json.Unmarshal(data, &client) != nil || client.ClientID != "a" {
			t.Errorf("%s: %v", name, err)
		}
	}
}
