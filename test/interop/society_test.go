package interop

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/offkey/offkey/test/binary"
)

const (
	redirectURI = "http://127.0.0.1:9/callback" // nobody listens there: the test's browser stops before
	homeURI     = "http://127.0.0.1:9/bye"
	shopSecret  = "a-secret-of-the-shop-0123456789abcdef"
)

// peopleConfig is an issuer with one person and a client of each kind.
const peopleConfig = `issuer: http://%[1]s
storage: {dsn: "sqlite://%[2]s/offkey.db"}
outbound: {allow_private: true}
listen: {issuer: "%[1]s", gateway: "%[3]s", admin: "127.0.0.1:0", ops: "127.0.0.1:0"}
gateway:
  resource: http://%[3]s
  upstreams: {api: {url: "%[4]s"}}
  routes: [{match: "GET /v1/orders", scopes: [read:orders]}]
  enforce: on
people:
  groups: [{name: buyers, scopes: [read:orders]}]
  users: [{name: %[8]s, email: ana@example.com, password_file: ana.password, groups: [buyers], claims: {given_name: Ana}}]
clients:
  - {id: shop, auth: client_secret_basic, secret: %[5]s, grants: [authorization_code, refresh_token, "urn:ietf:params:oauth:grant-type:device_code"], redirect_uris: ["%[6]s"], post_logout_redirect_uris: ["%[7]s"], scopes: [openid, profile, email, offline_access, read:orders]}
  - {id: cli, auth: none, type: native, grants: [authorization_code, device_code, refresh_token], redirect_uris: ["%[6]s"], scopes: [openid, profile, email, offline_access, read:orders]}
  - {id: keyed, auth: private_key_jwt, jwks_file: keyed.jwks, grants: [authorization_code, refresh_token, device_code], redirect_uris: ["%[6]s"], scopes: [openid, profile, email, offline_access, read:orders]}
  - {id: bound, auth: private_key_jwt, jwks_file: keyed.jwks, grants: [authorization_code, refresh_token], redirect_uris: ["%[6]s"], scopes: [openid, profile, email, offline_access, read:orders], dpop_bound: true, par: required}
  - {id: old, auth: client_secret_basic, secret: %[5]s, grants: [authorization_code], redirect_uris: ["%[6]s"], scopes: [openid, profile, email], pkce: optional}
  - {id: posting, auth: client_secret_post, secret: %[5]s, grants: [authorization_code, refresh_token], redirect_uris: ["%[6]s"], post_logout_redirect_uris: ["%[7]s"], scopes: [openid, profile, email, offline_access, read:orders]}
  - {id: stock, auth: client_secret_basic, secret: %[5]s, grants: [token_exchange], scopes: [read:orders], exchange: {from: [shop, keyed]}}
`

// society is an offkey with people.
type society struct {
	*binary.Server
	keyed identity
}

// freeAddress is one that nobody listens at, yet.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// newSociety starts an issuer with people; more is added to its clients, with the
// verbs of peopleConfig in it.
func newSociety(t *testing.T, more string) society {
	t.Helper()
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprintf(w, "%s %s for %s", r.Method, r.URL.Path, r.Header.Get("X-Offkey-Client"))
	}))
	t.Cleanup(api.Close)
	dir := binary.Dir(t)
	s := society{keyed: identity{ID: "keyed", file: filepath.Join(dir, "keyed.pem")}}
	var set struct {
		Keys []struct {
			ID string `json:"kid"`
		} `json:"keys"`
	}
	binary.JSON(t, &set, "keygen", "--alg", "ES256", "--out", s.keyed.file, "--jwks", filepath.Join(dir, "keyed.jwks"))
	pem, err := os.ReadFile(s.keyed.file)
	if err != nil {
		t.Fatal(err)
	}
	s.keyed.Key, s.keyed.KeyID = string(pem), set.Keys[0].ID
	file := filepath.Join(dir, "offkey.yaml")
	text := fmt.Sprintf(peopleConfig+more, freeAddress(t), dir, freeAddress(t), api.URL, shopSecret, redirectURI, homeURI, personName)
	for name, content := range map[string]string{file: text, filepath.Join(dir, "ana.password"): personPassword + "\n"} {
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if s.Server, err = binary.Start(t, nil, "serve", "--config", file); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Stop(t) })
	return s
}

// post sends a form and reads the JSON of the answer.
func post(t *testing.T, to string, form url.Values) (status int, answer map[string]any) {
	t.Helper()
	resp, err := http.PostForm(to, form)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		t.Fatalf("%s: %v", resp.Status, err)
	}
	return resp.StatusCode, answer
}

func TestADeviceIsSignedInOnItsPage(t *testing.T) {
	// checklist_89
	s := newSociety(t, "")
	for _, leave := range []bool{false, true} {
		_, device := post(t, s.Issuer+"/device/authorize", url.Values{"client_id": {"cli"}, "scope": {"read:orders"}})
		page, _ := device["verification_uri_complete"].(string)
		poll := url.Values{"client_id": {"cli"}, "grant_type": {"urn:ietf:params:oauth:grant-type:device_code"}, "device_code": {fmt.Sprint(device["device_code"])}}
		if status, answer := post(t, s.Issuer+"/token", poll); status != http.StatusBadRequest || answer["error"] != "authorization_pending" {
			t.Fatalf("%d %v", status, answer)
		}
		b := newBrowser(t, s.Issuer)
		b.leave = leave
		if _, text := b.visit(page); !strings.Contains(text, `id="device-done"`) {
			t.Fatal(text)
		}
		if got := strings.Join(b.pages, " "); got != "device-submit login-submit device-confirm" {
			t.Errorf("the person pressed %s", got)
		}
		status, answer := post(t, s.Issuer+"/token", poll)
		if leave {
			if answer["error"] != "access_denied" {
				t.Errorf("%d %v", status, answer)
			}
			continue
		}
		issued, _ := answer["access_token"].(string)
		r, err := http.NewRequest(http.MethodGet, s.Gateway+"/v1/orders", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+issued)
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			t.Errorf("the token opens the API with %s: %v", resp.Status, answer)
		}
	}
}

// answerOf sends a request and reads the JSON of the answer.
func answerOf(t *testing.T, r *http.Request) (answer map[string]any) {
	t.Helper()
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		t.Fatalf("%s: %v", resp.Status, err)
	}
	return answer
}

// clientToken is a token of client_credentials.
func (s society) clientToken(t *testing.T, id, scope, resource string) string {
	t.Helper()
	r, err := http.NewRequest(http.MethodPost, s.Issuer+"/token", strings.NewReader(url.Values{"grant_type": {"client_credentials"}, "scope": {scope}, "resource": {resource}}.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	r.SetBasicAuth(id, shopSecret)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	token, _ := answerOf(t, r)["access_token"].(string)
	if token == "" {
		t.Fatal("no token")
	}
	return token
}
