package interop

import (
	"bufio"
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// signedIn is what a script says of a person whom it signed in.
type signedIn struct {
	AccessToken  string         `json:"access_token"`
	TokenType    string         `json:"token_type"`
	RefreshToken bool           `json:"refresh_token"`
	Claims       map[string]any `json:"claims"`
	Userinfo     map[string]any `json:"userinfo"`
	Refreshed    string         `json:"refreshed"`
	Called       string         `json:"called"`
	Introspected map[string]any `json:"introspected"`
	Afterwards   map[string]any `json:"afterwards"`
	Exchanged    *signedIn      `json:"exchanged"`
	Logout       string         `json:"logout"`
	Early        []string       `json:"early"`
	Error        string         `json:"error"`
	Description  string         `json:"error_description"`
}

// lend starts a script, opens for it what it asks for in the browser, and
// returns what it got.
func lend(t *testing.T, b *browser, cmd *exec.Cmd, ask map[string]any) (got signedIn) {
	t.Helper()
	converse(t, cmd, ask, func(line []byte) any {
		var wish struct{ Open, Code string }
		if err := json.Unmarshal(line, &wish); err != nil {
			t.Fatalf("%v in %q", err, line)
		}
		if wish.Open == "" {
			if err := json.Unmarshal(line, &got); err != nil {
				t.Fatalf("%v in %q", err, line)
			}
			return nil
		}
		address, page := b.visit(wish.Open)
		if wish.Code != "" && !strings.Contains(page, `id="device-done"`) {
			t.Errorf("the device page ended at %s: %s", address, page)
		}
		return map[string]string{"at": address}
	})
	return got
}

// converse starts a script and answers each line that it writes, until the answer
// is nil.
func converse(t *testing.T, cmd *exec.Cmd, ask map[string]any, answer func(line []byte) any) {
	t.Helper()
	var errOut bytes.Buffer
	cmd.Stderr = &errOut
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	late := time.AfterFunc(2*time.Minute, func() { _ = cmd.Process.Kill() })
	defer func() {
		_ = in.Close()
		_ = cmd.Wait()
		late.Stop()
	}()
	say := json.NewEncoder(in)
	if err := say.Encode(ask); err != nil {
		t.Fatal(err)
	}
	for lines := bufio.NewScanner(out); lines.Scan(); {
		a := answer(lines.Bytes())
		if a == nil {
			return
		}
		if err := say.Encode(a); err != nil {
			t.Fatal(err)
		}
	}
	t.Fatalf("%s ended without a word\n%s", strings.Join(cmd.Args, " "), errOut.String())
}

// ask is what a script is told.
func (s society) ask(flow, library, client, auth string, more map[string]any) map[string]any {
	ask := map[string]any{
		"flow": flow, "library": library, "issuer": s.Issuer, "client": client, "auth": auth, "scope": "openid profile email offline_access read:orders",
		"resource": s.Gateway, "redirect": redirectURI, "alg": "ES256", "secret": "", "signed": "ES256",
	}
	switch auth {
	case "private_key_jwt":
		ask["key"], ask["kid"] = s.keyed.Key, s.keyed.KeyID
	case "client_secret_basic", "client_secret_post":
		ask["secret"] = shopSecret
	}
	for name, value := range more {
		ask[name] = value
	}
	return ask
}

// isAna wants the person and nobody else.
func (s society) isAna(t *testing.T, got signedIn, client string) {
	t.Helper()
	sub, _ := got.Claims["sub"].(string)
	if got.Error != "" || sub == "" || got.Claims["iss"] != s.Issuer || !isFor(got.Claims["aud"], client) {
		t.Fatalf("error %q: %s; claims %v", got.Error, got.Description, got.Claims)
	}
	if got.Userinfo != nil && (got.Userinfo["sub"] != sub || got.Userinfo["email"] != "ana@example.com" || got.Userinfo["given_name"] != "Ana") {
		t.Errorf("userinfo is %v", got.Userinfo)
	}
}

func isFor(aud any, client string) bool {
	list, many := aud.([]any)
	return aud == client || many && slices.Contains(list, any(client))
}

func TestNodeLibrariesSignPeopleIn(t *testing.T) {
	s := newSociety(t, "")
	for _, tt := range []struct {
		library, client, auth string
		more                  map[string]any
	}{
		{"openid-client", "shop", "client_secret_basic", map[string]any{"home": homeURI, "exchange": map[string]any{"client": "stock", "secret": shopSecret, "resource": s.Gateway}}},
		{"openid-client", "cli", "none", nil},
		{"openid-client", "keyed", "private_key_jwt", map[string]any{"par": true}},
		{"openid-client", "keyed", "private_key_jwt", map[string]any{"jar": true}},
		{"openid-client", "bound", "private_key_jwt", map[string]any{"par": true, "dpop": true}},
		{"oauth4webapi", "shop", "client_secret_basic", nil},
		{"oauth4webapi", "cli", "none", nil},
		{"oauth4webapi", "keyed", "private_key_jwt", nil},
	} {
		name := tt.library + " as " + tt.client
		for more := range tt.more {
			name += " " + more
		}
		t.Run(name, func(t *testing.T) {
			more := map[string]any{"call": s.Gateway + "/v1/orders"}
			for k, v := range tt.more {
				more[k] = v
			}
			b := newBrowser(t, s.Issuer)
			got := lend(t, b, nodeScript(t, "people.js"), s.ask("code", tt.library, tt.client, tt.auth, more))
			s.isAna(t, got, tt.client)
			if !got.RefreshToken || !slices.Contains(b.pages, "login-submit") {
				t.Errorf("refresh token %v, pages %v", got.RefreshToken, b.pages)
			}
			if tt.library == "oauth4webapi" {
				if tt.auth != "none" && got.Introspected["active"] != true {
					t.Errorf("the signed introspection says %v", got.Introspected)
				}
				return
			}
			if got.Refreshed == "" || got.Called != "GET /v1/orders for "+tt.client {
				t.Errorf("refreshed %v, called %q", got.Refreshed != "", got.Called)
			}
			if want := tt.more["dpop"] == true; strings.EqualFold(got.TokenType, "dpop") != want {
				t.Errorf("token_type %q", got.TokenType)
			}
			if tt.auth != "none" && (got.Introspected["active"] != true || got.Afterwards["active"] != false) {
				t.Errorf("introspection says %v, and once revoked %v", got.Introspected, got.Afterwards)
			}
			if tt.more["exchange"] != nil && (got.Exchanged == nil || got.Exchanged.AccessToken == "") {
				t.Errorf("exchanged for %v", got.Exchanged)
			}
			if tt.more["home"] != nil {
				if address, _ := b.visit(got.Logout); address != homeURI+"?state=bye" {
					t.Errorf("signing out ends at %s", address)
				}
			}
		})
	}
}

func TestLibrariesSignDevicesIn(t *testing.T) {
	s := newSociety(t, "")
	for _, tt := range []struct {
		library, client, auth string
		script                func(*testing.T) *exec.Cmd
		scope                 any
	}{
		{"openid-client", "cli", "none", node, nil},
		{"openid-client", "keyed", "private_key_jwt", node, nil},
		{"oauth4webapi", "cli", "none", node, nil},
		{"Authlib", "cli", "none", python, nil},
		{"x/oauth2", "cli", "none", golang, strings.Fields("openid email offline_access read:orders")},
		{"zitadel/oidc", "cli", "none", golang, strings.Fields("openid email offline_access read:orders")},
	} {
		t.Run(tt.library+" as "+tt.client, func(t *testing.T) {
			t.Parallel()
			more := map[string]any{}
			if tt.scope != nil {
				more["scope"] = tt.scope
			}
			b := newBrowser(t, s.Issuer)
			got := lend(t, b, tt.script(t), s.ask("device", tt.library, tt.client, tt.auth, more))
			if tt.library == "zitadel/oidc" { // verifies no ID token there
				got.Claims = map[string]any{"sub": "x", "iss": s.Issuer, "aud": tt.client}
			}
			s.isAna(t, got, tt.client)
			if !got.RefreshToken || !slices.Equal(b.pages, []string{"device-submit", "login-submit", "device-confirm"}) {
				t.Errorf("refresh token %v, pages %v", got.RefreshToken, b.pages)
			}
			if tt.library == "oauth4webapi" && !slices.Equal(got.Early, []string{"authorization_pending", "slow_down"}) {
				t.Errorf("before the answer: %v", got.Early)
			}
		})
	}
	t.Run("strict refuses a confidential client that does not prove itself at the beginning", func(t *testing.T) {
		// golang.org/x/oauth2 sends no more than client_id there (RFC 8628 §3.1).
		b := newBrowser(t, s.Issuer)
		got := lend(t, b, golang(t), s.ask("device", "x/oauth2", "shop", "client_secret_basic", map[string]any{"scope": strings.Fields("openid read:orders")}))
		if got.Error != "invalid_client" || !strings.Contains(got.Description, "no client authentication") {
			t.Errorf("%q: %s", got.Error, got.Description)
		}
	})
	t.Run("and one that is denied is told", func(t *testing.T) {
		b := newBrowser(t, s.Issuer)
		b.leave = true
		got := lend(t, b, node(t), s.ask("device", "openid-client", "cli", "none", nil))
		if got.Error != "access_denied" {
			t.Errorf("%q: %s", got.Error, got.Description)
		}
	})
}

func node(t *testing.T) *exec.Cmd   { return nodeScript(t, "people.js") }
func python(t *testing.T) *exec.Cmd { return pythonScript(t, "people.py") }

// golang is the command of golang/, built once for all tests of a run.
func golang(t *testing.T) *exec.Cmd {
	t.Helper()
	path, err := filepath.Abs(filepath.Join("..", "..", ".setup", "interop-golang"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		need(t, "the Go clients of test/interop/golang are not built")
	}
	return exec.Command(path)
}

func TestGoAndPythonLibrariesSignPeopleIn(t *testing.T) {
	s := newSociety(t, "")
	everything := strings.Fields("openid profile email offline_access read:orders")
	for _, tt := range []struct {
		library, client, auth string
		script                func(*testing.T) *exec.Cmd
		more                  map[string]any
	}{
		{"go-oidc", "shop", "client_secret_basic", golang, map[string]any{"scope": everything}},
		{"go-oidc", "cli", "none", golang, map[string]any{"scope": everything}},
		{"go-oidc", "old", "client_secret_basic", golang, map[string]any{"scope": strings.Fields("openid profile email"), "nopkce": true}},
		{"zitadel/oidc", "posting", "client_secret_post", golang, map[string]any{"scope": everything, "home": homeURI}},
		{"Authlib", "shop", "client_secret_basic", python, nil},
		{"Authlib", "cli", "none", python, nil},
	} {
		t.Run(tt.library+" as "+tt.client, func(t *testing.T) {
			b := newBrowser(t, s.Issuer)
			got := lend(t, b, tt.script(t), s.ask("code", tt.library, tt.client, tt.auth, tt.more))
			s.isAna(t, got, tt.client)
			if tt.client != "old" && (!got.RefreshToken || got.Refreshed == "" || got.Refreshed == got.AccessToken) {
				t.Errorf("refresh token %v, refreshed %q", got.RefreshToken, got.Refreshed)
			}
		})
	}
	t.Run("strict refuses the secret in the body of a client of client_secret_basic, and says how to send it", func(t *testing.T) {
		// zitadel/oidc redeems the code by header and renews by body.
		b := newBrowser(t, s.Issuer)
		got := lend(t, b, golang(t), s.ask("code", "zitadel/oidc", "shop", "client_secret_basic", map[string]any{"scope": everything}))
		if !strings.Contains(got.Error, "invalid_client") || !strings.Contains(got.Error, "AuthStyleInHeader") {
			t.Errorf("%q", got.Error)
		}
	})
	t.Run("strict refuses a client without PKCE, and says so", func(t *testing.T) {
		b := newBrowser(t, s.Issuer)
		got := lend(t, b, golang(t), s.ask("code", "go-oidc", "shop", "client_secret_basic", map[string]any{"scope": everything, "nopkce": true}))
		if !strings.HasPrefix(got.Error, "invalid_request: ") || !strings.Contains(got.Error, "code_challenge") {
			t.Errorf("%q", got.Error)
		}
	})
	t.Run("strict refuses a redirect URI that is not registered, on a page of its own", func(t *testing.T) {
		b := newBrowser(t, s.Issuer)
		address, page := b.visit(s.Issuer + "/authorize?response_type=code&client_id=shop&redirect_uri=" + "http://127.0.0.1:9/other")
		if !strings.HasPrefix(address, s.Issuer) || !strings.Contains(page, "redirect_uri") {
			t.Errorf("%s: %s", address, page)
		}
	})
}
