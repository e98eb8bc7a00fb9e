package interop

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/offkey/offkey/test/binary"
	"github.com/offkey/offkey/test/chromium"
)

// shopConfig is an issuer on localhost, where passkeys work without TLS, with a web
// app and a command line.
const shopConfig = `issuer: http://localhost:%[1]s
storage: {dsn: "sqlite://%[2]s/offkey.db"}
listen: {issuer: "127.0.0.1:%[1]s", gateway: "127.0.0.1:%[3]s", admin: "127.0.0.1:0", ops: "127.0.0.1:0"}
gateway:
  resource: http://localhost:%[3]s
  upstreams: {api: {url: "%[4]s"}}
  routes: [{match: "GET /v1/orders", scopes: [read:orders]}]
  enforce: on
people:
  groups: [{name: everyone, scopes: [read:orders]}]
  users: [{name: %[7]s, email: ana@example.com, password_file: ana.password, claims: {given_name: Ana}}]
clients:
  - {id: shop, name: Acme Shop, auth: client_secret_basic, secret: %[6]s, grants: [authorization_code], redirect_uris: ["http://localhost:%[5]s/callback"], post_logout_redirect_uris: ["http://localhost:%[5]s/bye"], scopes: [openid, profile, email, read:orders], policy_uri: "https://shop.example/privacy"}
  - {id: cli, name: Acme command line, auth: none, type: native, grants: [device_code, refresh_token], scopes: [openid, email, offline_access, read:orders]}
`

// shop is a web app and a command line of other authors, and ana before them with
// a browser.
type shop struct {
	*chromium.Browser
	society
	home string
	app  string    // secret of ana's authenticator app
	step time.Time // of the last code
}

func newShop(t *testing.T) *shop {
	t.Helper()
	chromium.Need(t)
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprintf(w, "orders for %s", r.Header.Get("X-Offkey-Client"))
	}))
	t.Cleanup(api.Close)
	port := func() string { _, p, _ := net.SplitHostPort(freeAddress(t)); return p }
	issuer, gateway, home, dir := port(), port(), port(), binary.Dir(t)
	for name, content := range map[string]string{
		"offkey.yaml": fmt.Sprintf(shopConfig, issuer, dir, gateway, api.URL, home, shopSecret, personName), "ana.password": personPassword + "\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	server, err := binary.Start(t, nil, "serve", "--config", filepath.Join(dir, "offkey.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Stop(t) })
	s := &shop{society: society{Server: server}}
	s.Issuer, s.Gateway = "http://localhost:"+issuer, "http://localhost:"+gateway
	var app struct{ URL string }
	background(t, nodeScript(t, "webapp.js"), map[string]any{
		"port": json.Number(home), "issuer": s.Issuer, "client": "shop", "secret": shopSecret, "scope": "openid profile email read:orders", "resource": s.Gateway,
	}, &app)
	s.home = app.URL
	s.Browser = chromium.Start(t) // last: its time is counted
	return s
}

// at runs a part of the walk.
func (s *shop) at(t *testing.T, name string, part func(t *testing.T)) {
	t.Helper()
	before := s.T
	defer func() { s.T = before }()
	if !t.Run(name, func(t *testing.T) { s.T = t; part(t) }) {
		t.FailNow() // what follows begins where this ends
	}
}

// text is what an element of the page says.
func (s *shop) text(css string) string {
	s.T.Helper()
	s.See(css)
	return strings.TrimSpace(chromium.Says[string](s.Browser, fmt.Sprintf("document.querySelector(%q).textContent", css)))
}

// code is what the app shows, of a step that was not used yet: each code is good
// once, from the step before that of now to the one after it.
func (s *shop) code() string {
	s.T.Helper()
	s.step = s.step.Add(30 * time.Second)
	if earliest := time.Now().Add(-30 * time.Second); s.step.Before(earliest) {
		s.step = earliest
	}
	return chromium.CodeOf(s.T, s.app, s.step)
}

// password signs ana in with it.
func (s *shop) password() {
	s.T.Helper()
	s.Type("#username", personName)
	s.Type("#password", personPassword)
	s.Click("#login-submit")
}

// A web app that we did not write (openid-client) and a command line that we did
// not write (x/oauth2), in a real browser.
func TestAWebAppAndACommandLineInChromium(t *testing.T) {
	s := newShop(t)
	s.at(t, "ana sets up an authenticator app", func(t *testing.T) {
		s.Open(s.Issuer + "/account")
		s.LooksRight("walk-signin-alone")
		s.password()
		s.Click("#add-app")
		s.See("#otp")
		s.LooksRight("walk-app")
		s.app = s.text("#totp-secret")
		s.Type("#otp", s.code())
		s.Click("#otp-submit")
		s.See(".codes")
		s.LooksRight("walk-recovery")
		s.Click(".button.primary")
		s.See("#add-app")
		s.LooksRight("walk-account")
		s.Open(s.Issuer + "/signout")
		s.LooksRight("walk-signout")
		s.Click("#logout-confirm")
		s.See("a[href='/signin']")
		s.LooksRight("walk-signedout")
	})
	s.at(t, "the web app, with password and code, and consent", func(t *testing.T) {
		s.Open(s.home)
		s.Click("#login")
		s.See("#username")
		s.LooksRight("walk-signin")
		s.password()
		s.See("#otp")
		s.LooksRight("walk-second")
		s.Type("#otp", s.code())
		s.Click("#otp-submit")
		s.See("#consent-allow")
		s.LooksRight("walk-consent")
		s.Click("#consent-allow")
		if name, orders := s.text("#hello"), s.text("#orders"); name != "Ana" || orders != "orders for shop" {
			t.Errorf("the app greets %q and shows %q", name, orders)
		}
		if amr := s.text("#amr"); !strings.Contains(amr, "pwd") || !strings.Contains(amr, "otp") {
			t.Errorf("amr %q", amr)
		}
	})
	s.at(t, "denied, the app says access_denied", func(t *testing.T) {
		s.Open(s.home + "/login?prompt=consent")
		s.Click("#consent-deny")
		if got := s.text("#error"); got != "access_denied" {
			t.Errorf("the app says %q", got)
		}
	})
	s.at(t, "signing out of the app is signing out", func(t *testing.T) {
		s.Open(s.home + "/login") // allowed before: not asked again
		s.Click("#logout")
		s.See("#bye, #logout-confirm")
		if chromium.Says[bool](s.Browser, "!!document.querySelector('#logout-confirm')") {
			s.LooksRight("walk-logout")
			s.Click("#logout-confirm")
		}
		s.See("#bye")
		s.Click("#login")
		s.See("#username")
	})
	s.at(t, "a passkey alone", func(t *testing.T) {
		s.WithAuthenticator()
		s.Open(s.Issuer + "/account")
		s.password()
		s.Type("#otp", s.code())
		s.Click("#otp-submit")
		s.Click("#add-passkey")
		s.Type("#name", "laptop")
		s.LooksRight("walk-passkey")
		s.Click("#passkey-submit")
		s.See("#add-passkey")
		s.LooksRight("walk-account-full")
		s.Open(s.Issuer + "/signout")
		s.Click("#logout-confirm")
		s.See("a[href='/signin']")
		s.Open(s.home + "/login")
		s.LooksRight("walk-signin-passkey")
		s.Click("#passkey-submit")
		if name, amr := s.text("#hello"), s.text("#amr"); name != "Ana" || strings.Contains(amr, "pwd") || !strings.Contains(amr, "hwk") {
			t.Errorf("the app greets %q, amr %q", name, amr)
		}
	})
	for _, allow := range []bool{true, false} {
		s.at(t, fmt.Sprintf("the command line, its page confirmed %v", allow), func(t *testing.T) {
			var got signedIn
			converse(t, golang(t), s.ask("device", "x/oauth2", "cli", "none", map[string]any{"scope": strings.Fields("openid email offline_access read:orders")}), func(line []byte) any {
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
				s.Open(wish.Open)
				s.See("#device-code")
				s.LooksRight("walk-device")
				s.Click("#device-submit")
				if shown := s.text("#device-shown"); shown != wish.Code {
					t.Errorf("the page shows %q, the command line %q", shown, wish.Code)
				}
				s.LooksRight("walk-device-confirm")
				if allow {
					s.Click("#device-confirm")
				} else {
					s.Click("#device-deny")
				}
				s.See("#device-done")
				s.LooksRight(fmt.Sprintf("walk-device-done-%v", allow))
				return map[string]string{"at": wish.Open}
			})
			if !allow {
				if got.Error != "access_denied" {
					t.Errorf("%q: %s", got.Error, got.Description)
				}
				return
			}
			s.isAna(t, got, "cli")
			if amr, _ := got.Claims["amr"].([]any); !got.RefreshToken || !slices.Contains(amr, any("hwk")) {
				t.Errorf("refresh token %v, amr %v", got.RefreshToken, amr)
			}
		})
	}
}
