package interop

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/offkey/offkey/test/binary"
)

// world is an API, an offkey in front of it that enforces one scope, and a
// place for the files of clients.
type world struct {
	*binary.Server
	dir string
}

func newWorld(t *testing.T, env ...string) world {
	t.Helper()
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprintf(w, "%s %s for %s", r.Method, r.URL.Path, r.Header.Get("X-Offkey-Client"))
	}))
	t.Cleanup(api.Close)
	w := world{Server: binary.UpWith(t, env, api.URL), dir: t.TempDir()}
	w.CLI(t, nil, "routes", "set", "GET /v1/orders", "read:orders")
	w.CLI(t, nil, "routes", "set", "POST /v1/orders", "create:orders")
	w.CLI(t, nil, "routes", "enforce", "on")
	return w
}

// identity is a client of this offkey.
type identity struct {
	ID     string `json:"client_id"`
	Secret string `json:"client_secret"`
	Key    string // PEM
	KeyID  string
	file   string // of the key
}

func (w world) withSecret(t *testing.T, auth string) identity {
	t.Helper()
	var made identity
	w.CLI(t, &made, "clients", "create", "--name", t.Name(), "--auth", auth, "--scopes", "read:orders create:orders")
	return made
}

// withKey makes a key pair and registers its public half.
func (w world) withKey(t *testing.T, alg string, args ...string) identity {
	t.Helper()
	file := filepath.Join(w.dir, strings.ReplaceAll(t.Name(), "/", "-")+alg)
	var set struct {
		Keys []struct {
			ID string `json:"kid"`
		} `json:"keys"`
	}
	binary.JSON(t, &set, "keygen", "--alg", alg, "--out", file+".pem", "--jwks", file+".jwks")
	pem, err := os.ReadFile(file + ".pem")
	if err != nil {
		t.Fatal(err)
	}
	made := identity{Key: string(pem), KeyID: set.Keys[0].ID, file: file + ".pem"}
	w.CLI(t, &made, append([]string{"clients", "create", "--name", t.Name(), "--auth", "private_key_jwt", "--scopes", "read:orders create:orders", "--jwks-file", file + ".jwks"}, args...)...)
	return made
}

// opens makes a call with a token and wants it to be the client's.
func (w world) opens(t *testing.T, token string, client identity) {
	t.Helper()
	r, err := http.NewRequest(http.MethodGet, w.Gateway+"/v1/orders", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK || string(body) != "GET /v1/orders for "+client.ID {
		t.Errorf("%s %q (%v)", resp.Status, body, err)
	}
}

// granted is what a script says of the tokens that it asked for.
type granted struct {
	Tokens []struct {
		AccessToken string `json:"access_token"`
		TokenType   string `json:"token_type"`
		Scope       string `json:"scope"`
	} `json:"tokens"`
	Error       string `json:"error"`
	Description string `json:"error_description"`
}

// ask is what a script is told.
func (w world) ask(library string, client identity, more map[string]any) map[string]any {
	ask := map[string]any{
		"library": library, "issuer": w.Issuer, "client": client.ID, "scope": "read:orders", "resource": w.Gateway,
		"key": client.Key, "kid": client.KeyID, "alg": "ES256", "secret": client.Secret,
	}
	for name, value := range more {
		ask[name] = value
	}
	return ask
}

// good wants two tokens that differ and open the API.
func (w world) good(t *testing.T, got granted, client identity) {
	t.Helper()
	if len(got.Tokens) != 2 || got.Error != "" || got.Tokens[0].AccessToken == got.Tokens[1].AccessToken {
		raw, _ := json.Marshal(got)
		t.Fatalf("not two tokens but %s", raw)
	}
	for _, token := range got.Tokens {
		if token.Scope != "read:orders" || !strings.EqualFold(token.TokenType, "Bearer") {
			t.Errorf("%s token with scope %q", token.TokenType, token.Scope)
		}
		w.opens(t, token.AccessToken, client)
	}
}

// refused wants an OAuth error whose text names each of words.
func refused(t *testing.T, got granted, tokens int, words ...string) {
	t.Helper()
	if len(got.Tokens) != tokens || got.Error != "invalid_client" {
		t.Errorf("%d tokens, error %q: %s", len(got.Tokens), got.Error, got.Description)
	}
	for _, word := range words {
		if !strings.Contains(got.Description, word) {
			t.Errorf("the text does not name %q: %s", word, got.Description)
		}
	}
}
