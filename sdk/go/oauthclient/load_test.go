package oauthclient_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/offkey/offkey/internal/jose"
	"github.com/offkey/offkey/internal/oauth"
	"github.com/offkey/offkey/sdk/go/oauthclient"
	"github.com/offkey/offkey/test/farside"
)

// keyFile writes a key as `offkey upgrade` does.
func keyFile(t *testing.T, key *jose.SigningKey) string {
	t.Helper()
	pem, err := key.PEM()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "key.pem")
	if err := os.WriteFile(path, pem, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// settled puts a client into dir as `offkey upgrade` does.
func settled(t *testing.T, world *farside.World, dir, id, replacedBy string) {
	t.Helper()
	key, err := jose.GenerateSigningKey(jose.EdDSA)
	if err != nil {
		t.Fatal(err)
	}
	world.Register(id, farside.Client{Keys: jose.KeySet{Keys: []jose.PublicKey{key.Public()}}, Scopes: oauth.Scope{"read:orders"}})
	pem, err := key.PEM()
	if err != nil {
		t.Fatal(err)
	}
	folder := filepath.Join(dir, id)
	if err := os.MkdirAll(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	document, err := json.Marshal(oauthclient.Client{
		ClientID: id, Issuer: world.IssuerURL, TokenURL: world.IssuerURL + "/token", Resource: world.APIURL, API: world.APIURL,
		Scopes: []string{"read:orders"}, KeyFile: "key.pem", KeyID: key.ID(), Algorithm: "EdDSA", ReplacedBy: replacedBy,
	})
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{"key.pem": pem, "client.json": document} {
		if err := os.WriteFile(filepath.Join(folder, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestLoadedClientWorks(t *testing.T) {
	world, dir := farside.New(t), t.TempDir()
	settled(t, world, dir, "billing", "")
	settled(t, world, dir, "former", "billing")
	t.Setenv("XDG_CONFIG_HOME", filepath.Dir(dir))
	for name, where := range map[string]string{"the folder of all": dir, "the client's own": filepath.Join(dir, "billing"), "the default": ""} {
		t.Run(name, func(t *testing.T) {
			if where == "" {
				t.Setenv("OFFKEY_DIR", dir)
			}
			config, err := oauthclient.Load(where)
			if err != nil {
				t.Fatal(err)
			}
			if config.ClientID != "billing" {
				t.Fatalf("loaded %s", config)
			}
			if resp := get(t, config.Client(), world.APIURL+"/v1/orders"); resp.StatusCode != 200 {
				t.Errorf("status %d", resp.StatusCode)
			}
		})
	}
	t.Run("a replaced one by name", func(t *testing.T) {
		client, err := oauthclient.LoadClient(dir, "former")
		if err != nil || client.ClientID != "former" {
			t.Errorf("%v, %v", client, err)
		}
	})
}

func TestLoadMistakes(t *testing.T) {
	world := farside.New(t)
	cases := map[string]struct {
		prepare func(dir string)
		want    string
	}{
		"empty folder": {func(string) {}, "offkey upgrade"},
		"no folder":    {func(dir string) { _ = os.Remove(dir) }, "offkey upgrade"},
		"two clients":  {func(dir string) { settled(t, world, dir, "a", ""); settled(t, world, dir, "b", "") }, "name one of: a, b"},
		"broken file": {func(dir string) {
			settled(t, world, dir, "a", "")
			_ = os.WriteFile(filepath.Join(dir, "a", "client.json"), []byte("{"), 0o600)
		}, "not the JSON"},
		"no client id": {func(dir string) { _ = os.WriteFile(filepath.Join(dir, "client.json"), []byte("{}"), 0o600) }, "has no"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			tc.prepare(dir)
			_, err := oauthclient.Load(dir)
			explained(t, err)
			if !strings.Contains(err.Error(), tc.want) {
				t.Errorf("want %q, have %v", tc.want, err)
			}
		})
	}
	t.Run("another client", func(t *testing.T) {
		dir := t.TempDir()
		settled(t, world, dir, "a", "")
		if _, err := oauthclient.LoadClient(dir, "b"); err == nil || !strings.Contains(err.Error(), "name one of: a") {
			t.Errorf("have %v", err)
		}
	})
	t.Run("key readable by all", func(t *testing.T) {
		dir := t.TempDir()
		settled(t, world, dir, "a", "")
		if err := os.Chmod(filepath.Join(dir, "a", "key.pem"), 0o644); err != nil {
			t.Fatal(err)
		}
		config, err := oauthclient.Load(dir)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := config.NewToken(background(t)); err == nil || !strings.Contains(err.Error(), "chmod 600") {
			t.Errorf("have %v", err)
		}
	})
}
