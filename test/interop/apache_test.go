package interop

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// apacheConfig is an Apache whose /app is for people who sign in, and whose /api
// is for access tokens, both by mod_auth_openidc.
const apacheConfig = `ServerRoot %[1]s
PidFile %[1]s/pid
ErrorLog %[1]s/error.log
LogLevel warn auth_openidc:info
User www-data
Group www-data
Listen %[2]s
ServerName %[2]s
LoadModule mpm_event_module %[3]s/mod_mpm_event.so
LoadModule authz_core_module %[3]s/mod_authz_core.so
LoadModule authz_user_module %[3]s/mod_authz_user.so
LoadModule authn_core_module %[3]s/mod_authn_core.so
LoadModule dir_module %[3]s/mod_dir.so
LoadModule headers_module %[3]s/mod_headers.so
LoadModule auth_openidc_module %[3]s/mod_auth_openidc.so
DocumentRoot %[1]s/www
<Directory %[1]s/www>
  Require all granted
</Directory>
OIDCProviderMetadataURL %[4]s/.well-known/openid-configuration
OIDCClientID apache
OIDCClientSecret %[5]s
OIDCProviderTokenEndpointAuth client_secret_basic
OIDCRedirectURI http://%[2]s/app/redirect_uri
OIDCCryptoPassphrase a-passphrase-of-this-apache
OIDCPKCEMethod S256
OIDCScope "openid email profile"
OIDCPathAuthRequestParams resource=%[6]s
OIDCRemoteUserClaim email
OIDCOAuthServerMetadataURL %[4]s/.well-known/oauth-authorization-server
OIDCOAuthClientID apache-api
OIDCOAuthClientSecret %[5]s
OIDCOAuthIntrospectionEndpointAuth client_secret_basic
OIDCOAuthRemoteUserClaim client_id
<Location /app>
  AuthType openid-connect
  Require claim email:ana@example.com
  Header always set X-Signed-In "expr=%%{REMOTE_USER}"
</Location>
<Location /api>
  AuthType oauth20
  Require claim scope:read:orders
  Header always set X-Signed-In "expr=%%{REMOTE_USER}"
</Location>
`

const apacheModules = "/usr/lib/apache2/modules"

// startApache starts one at an address and returns the name of its log.
func startApache(t *testing.T, s society, address string) (log string) {
	t.Helper()
	if _, err := os.Stat(filepath.Join(apacheModules, "mod_auth_openidc.so")); err != nil {
		need(t, "Apache with mod_auth_openidc is missing")
	}
	dir, err := os.MkdirTemp("", "apache-*") // not t.TempDir: workers have another user
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	files := map[string]string{
		"apache.conf":      fmt.Sprintf(apacheConfig, dir, address, apacheModules, s.Issuer, shopSecret, s.Gateway),
		"www/app/page":     "for people",
		"www/api/v1/order": "for tokens",
	}
	for name, content := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("apache2", "-f", filepath.Join(dir, "apache.conf"), "-D", "FOREGROUND")
	var said strings.Builder
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		select {
		case <-ended:
		case <-time.After(10 * time.Second):
			_ = cmd.Process.Kill()
		}
	})
	log = filepath.Join(dir, "error.log")
	for until := time.Now().Add(20 * time.Second); time.Now().Before(until); time.Sleep(50 * time.Millisecond) {
		if resp, err := http.Get("http://" + address + "/nothing"); err == nil {
			_ = resp.Body.Close()
			return log
		}
		select {
		case err := <-ended:
			raw, _ := os.ReadFile(log)
			t.Fatalf("Apache ended: %v\n%s%s", err, &said, raw)
		default:
		}
	}
	t.Fatalf("Apache does not answer: %s", &said)
	return log
}

func TestApacheSignsPeopleInAndTakesTokens(t *testing.T) {
	address := freeAddress(t)
	s := newSociety(t, `  - {id: apache, auth: client_secret_basic, secret: %[5]s, grants: [authorization_code], redirect_uris: ["http://`+address+`/app/redirect_uri"], scopes: [openid, email, profile]}
  - {id: apache-api, auth: client_secret_basic, secret: %[5]s, resources: ["http://%[3]s"]}
  - {id: caller, auth: client_secret_basic, secret: %[5]s, scopes: [read:orders, other]}
`)
	log := startApache(t, s, address)
	said := func() string {
		raw, _ := os.ReadFile(log)
		return string(raw)
	}
	t.Run("as a web app", func(t *testing.T) {
		b := newBrowser(t, s.Issuer)
		at := "http://" + address + "/app/page"
		for range 3 { // to the issuer, back with a code, to the page
			r, err := http.NewRequest(http.MethodGet, at, nil)
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Accept", "text/html") // it sends nothing else to the issuer
			resp, err := b.client.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			_ = resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				if who := resp.Header.Get("X-Signed-In"); who != "ana@example.com" || !strings.HasSuffix(at, "/app/page") {
					t.Errorf("%s is for %q", at, who)
				}
				return
			}
			location, err := resp.Location()
			if err != nil {
				t.Fatalf("%s: %s\n%s", at, resp.Status, said())
			}
			at, _ = b.visit(location.String())
		}
		t.Errorf("ended at %s\n%s", at, said())
	})
	t.Run("as a resource server", func(t *testing.T) {
		call := func(token string) *http.Response {
			r, err := http.NewRequest(http.MethodGet, "http://"+address+"/api/v1/order", nil)
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Authorization", "Bearer "+token)
			resp, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			_ = resp.Body.Close()
			return resp
		}
		get := func(scope string) string {
			return s.clientToken(t, "caller", scope, s.Gateway)
		}
		good := get("read:orders")
		if resp := call(good); resp.StatusCode != http.StatusOK || resp.Header.Get("X-Signed-In") != "caller" {
			t.Errorf("%s for %q\n%s", resp.Status, resp.Header.Get("X-Signed-In"), said())
		}
		for name, token := range map[string]string{"without the scope": get("other"), "changed": good[:len(good)-6] + "AAAAAA", "none": "x"} {
			if resp := call(token); resp.StatusCode != http.StatusUnauthorized && resp.StatusCode != http.StatusForbidden {
				t.Errorf("%s: %s", name, resp.Status)
			}
		}
	})
}
