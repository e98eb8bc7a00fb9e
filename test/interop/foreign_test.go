package interop

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/offkey/offkey/sdk/go/oauthclient"
	"github.com/offkey/offkey/test/binary"
)

// foreign is an issuer and an API of other authors, with three clients: two
// with keys that `offkey keygen` made, one with a secret.
type foreign struct {
	Issuer, API string
	dir         string
}

const foreignSecret = "the-secret-of-a-client-of-this-test-alone"

func newForeign(t *testing.T) foreign {
	t.Helper()
	f := foreign{dir: t.TempDir()}
	clients := []map[string]any{{
		"client_id": "shop", "token_endpoint_auth_method": "client_secret_basic", "client_secret": foreignSecret,
	}}
	for id, alg := range map[string]string{"orders": "ES256", "stock": "EdDSA"} {
		var keys json.RawMessage
		binary.JSON(t, &keys, "keygen", "--alg", alg, "--out", f.key(id))
		clients = append(clients, map[string]any{
			"client_id": id, "token_endpoint_auth_method": "private_key_jwt", "jwks": keys,
		})
	}
	if err := os.WriteFile(f.secretFile(), []byte(foreignSecret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	background(t, nodeScript(t, "issuer.js"), map[string]any{
		"clients": clients, "scopes": []string{"read:orders", "create:orders"}, "life": 600,
	}, &f)
	return f
}

func (f foreign) key(client string) string { return filepath.Join(f.dir, client+".pem") }
func (f foreign) secretFile() string       { return filepath.Join(f.dir, "shop.secret") }

// as are the flags of a client with a key.
func (f foreign) as(client string, args ...string) []string {
	return append(args, "--issuer", f.Issuer, "--client", client, "--keyfile", f.key(client), "--dir", f.dir)
}

func TestOffkeyTokenWorksWithAnIssuerOfOthers(t *testing.T) {
	f := newForeign(t)
	type token struct {
		AccessToken string `json:"access_token"`
		TokenType   string `json:"token_type"`
		Scope       string `json:"scope"`
	}
	var first, cached, fresh token
	for _, client := range []string{"orders", "stock"} {
		binary.JSON(t, &first, f.as(client, "token", "--scope", "read:orders")...)
		binary.JSON(t, &cached, f.as(client, "token", "--scope", "read:orders")...)
		binary.JSON(t, &fresh, f.as(client, "token", "--scope", "read:orders", "--no-cache")...)
		if first.AccessToken == "" || !strings.EqualFold(first.TokenType, "Bearer") || first.Scope != "read:orders" {
			t.Errorf("%s: %s with scope %q", client, first.TokenType, first.Scope)
		}
		if cached.AccessToken != first.AccessToken {
			t.Errorf("%s: the second token is not the first one, kept", client)
		}
		if fresh.AccessToken == first.AccessToken {
			t.Errorf("%s: --no-cache gave the token that was kept", client)
		}
	}
	said := binary.Run(t, nil, "token", "--issuer", f.Issuer, "--client", "shop", "--secret-file", f.secretFile(), "--dir", f.dir, "--scope", "read:orders")
	if said.Code != 0 || strings.Count(said.Out, ".") != 2 {
		t.Errorf("with a secret: exit %d, %q, %s", said.Code, said.Out, said.Err)
	}
}

func TestOffkeyAssertionCanBeUsedByHandOnce(t *testing.T) {
	f := newForeign(t)
	said := binary.Run(t, nil, f.as("orders", "assertion")...)
	if said.Code != 0 {
		t.Fatal(said.Err)
	}
	post := func() (int, string) {
		resp, err := http.PostForm(f.Issuer+"/token", url.Values{
			"grant_type": {"client_credentials"}, "scope": {"read:orders"},
			"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"}, "client_assertion": {strings.TrimSpace(said.Out)},
		})
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(body)
	}
	if status, body := post(); status != http.StatusOK || !strings.Contains(body, "access_token") {
		t.Errorf("the first time: %d %s", status, body)
	}
	if status, body := post(); status != http.StatusUnauthorized || !strings.Contains(body, "invalid_client") {
		t.Errorf("the second time: %d %s", status, body)
	}
}

func TestOffkeyCallReachesAnAPIOfOthersAndExplainsItsRefusals(t *testing.T) {
	f := newForeign(t)
	said := binary.Run(t, nil, f.as("orders", "call", "GET", f.API+"/orders", "--scope", "read:orders")...)
	if said.Code != 0 || !strings.Contains(said.Out, `"client":"orders"`) {
		t.Errorf("exit %d, %q, %s", said.Code, said.Out, said.Err)
	}
	said = binary.Run(t, nil, f.as("orders", "call", "POST", f.API+"/orders", "--scope", "read:orders", "-d", "{}")...)
	if said.Code != 1 || !strings.Contains(said.Err, "create:orders") {
		t.Errorf("without the scope: exit %d, %s", said.Code, said.Err)
	}
	said = binary.Run(t, nil, "call", "GET", f.API+"/orders", "--issuer", f.Issuer, "--client", "orders", "--keyfile", f.key("stock"), "--dir", f.dir, "--no-cache")
	if said.Code != 1 || !strings.Contains(said.Err, "client authentication failed") || !strings.Contains(said.Err, "public key of kid") {
		t.Errorf("with another client's key: exit %d, %s", said.Code, said.Err)
	}
}

func TestTheGoSDKWorksWithAnIssuerOfOthers(t *testing.T) {
	f := newForeign(t)
	for name, config := range map[string]*oauthclient.Config{
		"key":    {Issuer: f.Issuer, ClientID: "orders", KeyFile: f.key("orders"), Scopes: []string{"read:orders"}, Resource: f.API},
		"secret": {Issuer: f.Issuer, ClientID: "shop", Secret: foreignSecret, Scopes: []string{"read:orders"}, Resource: f.API},
	} {
		t.Run(name, func(t *testing.T) {
			client := &http.Client{Transport: config.Transport(nil)}
			for range 3 {
				resp, err := client.Get(f.API + "/orders")
				if err != nil {
					t.Fatal(err)
				}
				body, err := io.ReadAll(resp.Body)
				_ = resp.Body.Close()
				if err != nil || resp.StatusCode != http.StatusOK || !strings.Contains(string(body), config.ClientID) {
					t.Fatalf("%s %s (%v)", resp.Status, body, err)
				}
			}
		})
	}
}
