package interop

import (
	"bytes"
	"context"
	"encoding/json"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
)

func TestGoXOAuth2GetsTokensBySecret(t *testing.T) {
	w := newWorld(t)
	for auth, style := range map[string]oauth2.AuthStyle{
		"client_secret_basic": oauth2.AuthStyleInHeader,
		"client_secret_post":  oauth2.AuthStyleInParams,
	} {
		t.Run(auth, func(t *testing.T) {
			client := w.withSecret(t, auth)
			for name, style := range map[string]oauth2.AuthStyle{"told": style, "found out": oauth2.AuthStyleAutoDetect} {
				config := clientcredentials.Config{
					ClientID: client.ID, ClientSecret: client.Secret, TokenURL: w.Issuer + "/token", AuthStyle: style,
					Scopes: []string{"read:orders"}, EndpointParams: url.Values{"resource": {w.Gateway}},
				}
				token, err := config.Token(context.Background())
				if err != nil {
					t.Fatalf("style %s: %v", name, err)
				}
				w.opens(t, token.AccessToken, client)
			}
		})
	}
}

func TestNodeLibrariesGetTokens(t *testing.T) {
	w := newWorld(t)
	for _, library := range []string{"openid-client", "oauth4webapi"} {
		for _, auth := range []string{"private_key_jwt", "client_secret_basic", "client_secret_post"} {
			t.Run(library+" by "+auth, func(t *testing.T) {
				client := w.withSecretOrKey(t, auth)
				var got granted
				output(t, nodeScript(t, "token.js"), w.ask(library, client, map[string]any{"auth": auth}), &got)
				w.good(t, got, client)
			})
		}
		t.Run(library+" with EdDSA", func(t *testing.T) {
			client := w.withKey(t, "EdDSA")
			var got granted
			output(t, nodeScript(t, "token.js"), w.ask(library, client, map[string]any{"auth": "private_key_jwt", "alg": "EdDSA"}), &got)
			w.good(t, got, client)
		})
		t.Run(library+" with another client's key", func(t *testing.T) {
			client, other := w.withKey(t, "ES256"), w.withKey(t, "EdDSA")
			var got granted
			output(t, nodeScript(t, "token.js"), w.ask(library, client, map[string]any{"auth": "private_key_jwt", "alg": "EdDSA", "key": other.Key, "kid": other.KeyID}), &got)
			refused(t, got, 0, "key")
		})
	}
}

func (w world) withSecretOrKey(t *testing.T, auth string) identity {
	t.Helper()
	if auth == "private_key_jwt" {
		return w.withKey(t, "ES256")
	}
	return w.withSecret(t, auth)
}

// The Python libraries name the token endpoint as the audience. A client is
// strict unless an operator makes it compatible, and the refusal says so.
func TestPythonLibrariesGetTokensWithAudienceCompat(t *testing.T) {
	w := newWorld(t)
	for _, library := range []string{"Authlib", "requests_oauth2client"} {
		t.Run(library+" compat", func(t *testing.T) {
			client := w.withKey(t, "ES256", "--audience", "compat")
			var got granted
			output(t, pythonScript(t, "get_token.py"), w.ask(library, client, nil), &got)
			w.good(t, got, client)
		})
		t.Run(library+" strict", func(t *testing.T) {
			client := w.withKey(t, "ES256")
			var got granted
			output(t, pythonScript(t, "get_token.py"), w.ask(library, client, nil), &got)
			refused(t, got, 0, "aud", w.Issuer, "compat")
		})
	}
}

func TestPythonLibrariesThatAreToldTheIssuerPassStrict(t *testing.T) {
	w := newWorld(t)
	client := w.withKey(t, "ES256")
	var got granted
	output(t, pythonScript(t, "get_token.py"), w.ask("requests_oauth2client", client, map[string]any{"audience": w.Issuer}), &got)
	w.good(t, got, client)
}

// Given claims, Authlib 1.7 writes its first jti into them and sends the same
// one ever after: the renewal is a replay.
func TestAuthlibSendsItsJTIAgainOnRenewal(t *testing.T) {
	w := newWorld(t)
	client := w.withKey(t, "ES256", "--audience", "compat")
	var got granted
	output(t, pythonScript(t, "get_token.py"), w.ask("Authlib", client, map[string]any{"claims": map[string]any{"aud": w.Issuer}}), &got)
	refused(t, got, 1, "jti")
}

// pythonScript is a command that runs a script of python/.
func pythonScript(t *testing.T, name string, args ...string) *exec.Cmd {
	t.Helper()
	python, err := filepath.Abs(filepath.Join("..", "..", ".setup", "python", "bin", "python"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(python); err != nil {
		need(t, "the Python packages are missing")
	}
	cmd := exec.Command(python, append([]string{name}, args...)...)
	cmd.Dir = "python"
	return cmd
}

// output is what a script that was given input printed, as JSON. The script
// must succeed.
func output(t *testing.T, cmd *exec.Cmd, input, v any) {
	t.Helper()
	raw, err := json.Marshal(input)
	if err != nil {
		t.Fatal(err)
	}
	var errOut bytes.Buffer
	cmd.Stdin, cmd.Stderr = bytes.NewReader(append(raw, '\n')), &errOut
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(cmd.Args[1:], " "), err, errOut.String())
	}
	if err := json.Unmarshal(out, v); err != nil {
		t.Fatalf("%s: %v in %q\n%s", strings.Join(cmd.Args[1:], " "), err, out, errOut.String())
	}
}
