// Package browser drives the pages of the issuer in a real Chromium: what a
// policy, a cookie, a form and a passkey are is decided there and nowhere else.
package browser

import (
	"context"
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/webauthn"
	"github.com/chromedp/chromedp"
	"github.com/offkey/offkey/internal/audit"
	"github.com/offkey/offkey/internal/client"
	"github.com/offkey/offkey/internal/directory"
	"github.com/offkey/offkey/internal/oauth"
	"github.com/offkey/offkey/internal/secret"
	"github.com/offkey/offkey/internal/session"
	"github.com/offkey/offkey/internal/signin"
	"github.com/offkey/offkey/internal/store"
)

const password = "paper boats in the harbour"

var did = audit.Event{Actor: "os:0", Action: "test", Object: "it"}

// world is an issuer on localhost, and a client whose callback leads on to
// another origin, as many do.
type world struct {
	t      *testing.T
	db     *store.DB
	people *directory.Directory
	ana    *directory.Person
	app    string // secret of ana's authenticator app, in base32
	issuer string
	client string // origin of the client

	mu      sync.Mutex
	next    session.Request
	answers []*session.Answer
}

// findChromium skips, or fails where nothing may be missing.
func findChromium(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	if os.Getenv("OFFKEY_TEST_EXTRAS") == "1" {
		t.Fatal("chromium is missing: run `make setup`")
	}
	t.Skip("chromium is missing: run `make setup`, then this test runs too")
	return ""
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t}
	db, err := store.Open(t.Context(), store.Options{DSN: filepath.Join(t.TempDir(), "offkey.db")})
	w.ok(err)
	t.Cleanup(func() { _ = db.Close() })
	w.db = db
	raw, err := secret.GenerateMasterKey()
	w.ok(err)
	master, err := secret.NewMasterKey(raw)
	w.ok(err)
	w.people = directory.New(directory.Options{Store: db, Master: master})
	db.Subscribe(func([]store.Change) { w.people.ForgetAll() })

	onward := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Content-Type", "text/html")
		_, _ = io.WriteString(rw, `<p id="arrived">arrived</p>`)
	}))
	t.Cleanup(onward.Close)
	callback := httptest.NewServer(http.RedirectHandler(onward.URL+"/home", http.StatusFound))
	t.Cleanup(callback.Close)
	w.client = callback.URL

	mux := http.NewServeMux()
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	w.issuer = strings.Replace(server.URL, "127.0.0.1", "localhost", 1)
	service, err := signin.New(signin.Options{
		Issuer: w.issuer, Name: "Example", Store: db, People: w.people, Clients: db, Devices: db, Spender: db, Master: master,
		Source: func(*http.Request) netip.Addr { return netip.MustParseAddr("198.51.100.7") },
	})
	w.ok(err)
	mux.Handle("/", service.Handler())
	w.endpoints(mux, service)

	w.ok(db.CreateClient(t.Context(), &client.Client{
		ID: "shop", Name: "Shop", Status: client.Active, AuthMethod: oauth.AuthClientSecretBasic, Source: client.SourceAPI,
		Scopes:  oauth.Scope{"openid", "email", "read:orders", "create:orders"},
		Details: client.Details{PolicyURI: "https://shop.example/privacy", TosURI: "https://shop.example/terms"},
	}, did))
	_, err = db.UpdateGroup(t.Context(), "buyers", func(g *directory.Group, _ bool) error {
		g.Scopes, g.Source = oauth.Scope{"read:orders"}, directory.SourceAPI
		return nil
	}, did)
	w.ok(err)
	w.ana = &directory.Person{ID: directory.NewID(), Name: "ana", Email: "ana@example.com", Status: directory.Active, Groups: []string{"buyers"}, Source: directory.SourceAPI, Created: time.Now()}
	w.ok(db.CreateAccount(t.Context(), &directory.Account{Person: w.ana}, did))
	w.ok(w.people.SetPassword(t.Context(), w.ana.ID, password))
	return w
}

// endpoints begin and end requests as authserver does.
func (w *world) endpoints(mux *http.ServeMux, service *signin.Service) {
	back := func(rw http.ResponseWriter, r *http.Request, a *session.Answer) {
		w.mu.Lock()
		w.answers = append(w.answers, a)
		w.mu.Unlock()
		http.Redirect(rw, r, w.client+"/cb?code=x", http.StatusSeeOther)
	}
	mux.HandleFunc("/authorize", func(rw http.ResponseWriter, r *http.Request) {
		w.mu.Lock()
		q := w.next
		w.mu.Unlock()
		q.ID = session.NewRequestID()
		q.Return = "/authorize/done?request=" + q.ID
		a, err := service.Begin(rw, r, q)
		if err != nil {
			http.Error(rw, err.Error(), http.StatusInternalServerError)
		} else if a != nil {
			back(rw, r, a)
		}
	})
	mux.HandleFunc("/authorize/done", func(rw http.ResponseWriter, r *http.Request) {
		q, err := service.Answered(r, r.URL.Query().Get("request"))
		if err != nil {
			http.Error(rw, err.Error(), http.StatusBadRequest)
			return
		}
		back(rw, r, q.Answer)
	})
}

func (w *world) ok(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// asks sets what /authorize begins.
func (w *world) asks(change ...func(*session.Request)) {
	q := session.Request{
		Kind: session.ForClient, ClientID: "shop",
		Ask: session.Ask{Scope: oauth.Scope{"openid", "email", "read:orders", "create:orders"}, RedirectHost: strings.TrimPrefix(w.client, "http://")},
	}
	for _, c := range change {
		c(&q)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.next = q
}

// last is the newest answer, nil if there is none since it was asked.
func (w *world) last() *session.Answer {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.answers) == 0 {
		return nil
	}
	a := w.answers[len(w.answers)-1]
	w.answers = nil
	return a
}

// withApp gives ana an authenticator app. Its first code is of the step before,
// so that the one of now can still be used.
func (w *world) withApp() {
	w.t.Helper()
	key := directory.NewTOTPSecret()
	w.app = directory.TOTPText(key)
	w.ok(w.people.SetTOTP(w.t.Context(), w.ana.ID, w.people.SealTOTP(w.ana.ID, key), codeOf(w.t, w.app, time.Now().Add(-30*time.Second))))
}

// codeOf is what an app shows (RFC 6238 §4.2).
func codeOf(t *testing.T, text string, at time.Time) string {
	t.Helper()
	key, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(strings.ReplaceAll(text, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	mac := hmac.New(sha1.New, key)
	_ = binary.Write(mac, binary.BigEndian, at.Unix()/30)
	sum := mac.Sum(nil)
	return fmt.Sprintf("%06d", binary.BigEndian.Uint32(sum[sum[19]&15:])&0x7fffffff%1_000_000)
}

// browser is one Chromium with a profile of its own.
type browser struct {
	w   *world
	ctx context.Context
}

func (w *world) browser() *browser {
	w.t.Helper()
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(findChromium(w.t)), chromedp.UserDataDir(w.t.TempDir()), chromedp.Flag("no-sandbox", true), chromedp.Flag("disable-gpu", true),
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true), chromedp.Flag("hide-scrollbars", true))
	allocated, cancel := chromedp.NewExecAllocator(context.Background(), options...)
	w.t.Cleanup(cancel)
	tab, cancelTab := chromedp.NewContext(allocated)
	w.t.Cleanup(cancelTab)
	w.ok(chromedp.Do(tab)) // starts it, without the limit below
	ctx, done := context.WithTimeout(tab, 90*time.Second)
	w.t.Cleanup(done)
	b := &browser{w, ctx}
	b.size(1024, 768)
	return b
}

func (b *browser) do(steps ...chromedp.Action[chromedp.Void]) {
	b.w.t.Helper()
	if err := chromedp.Do(b.ctx, steps...); err != nil {
		where, _ := chromedp.Run(context.WithoutCancel(b.ctx), chromedp.Location())
		b.w.t.Fatalf("at %s: %v", where, err)
	}
}

func (b *browser) open(path string) { b.w.t.Helper(); b.do(chromedp.Navigate(b.w.issuer + path)) }
func (b *browser) see(css string)   { b.w.t.Helper(); b.do(chromedp.WaitVisible(css)) }
func (b *browser) click(css string) {
	b.w.t.Helper()
	b.do(chromedp.WaitVisible(css), chromedp.Click(css))
}
func (b *browser) typed(css, s string) {
	b.w.t.Helper()
	b.do(chromedp.WaitVisible(css), chromedp.SendKeys(css, s))
}

func (b *browser) size(width, height int64) { b.do(chromedp.EmulateViewport(width, height)) }

// login fills the sign-in page.
func (b *browser) login() {
	b.w.t.Helper()
	b.typed("#username", "ana")
	b.typed("#password", password)
	b.click("#login-submit")
}

// looks sets what people prefer to look at.
func (b *browser) looks(scheme string) {
	b.w.t.Helper()
	_, err := chromedp.Call(b.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}},
	})
	b.w.ok(err)
}

// withoutScripts switches JavaScript off.
func (b *browser) withoutScripts() {
	b.w.t.Helper()
	_, err := chromedp.Call(b.ctx, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
	b.w.ok(err)
}

// withAuthenticator plugs in something that holds passkeys and verifies its
// user.
func (b *browser) withAuthenticator() {
	b.w.t.Helper()
	_, err := chromedp.Call(b.ctx, webauthn.Enable, webauthn.EnableParams{})
	b.w.ok(err)
	_, err = chromedp.Call(b.ctx, webauthn.AddVirtualAuthenticator, webauthn.AddVirtualAuthenticatorParams{Options: &webauthn.VirtualAuthenticatorOptions{
		Protocol: webauthn.AuthenticatorProtocolCtap2, Transport: webauthn.AuthenticatorTransportInternal,
		HasResidentKey: true, HasUserVerification: true, IsUserVerified: true, AutomaticPresenceSimulation: true,
	}})
	b.w.ok(err)
}

// says evaluates an expression in the page.
func says[T any](b *browser, expression string) T {
	b.w.t.Helper()
	v, err := chromedp.Run(b.ctx, chromedp.Evaluate[T](expression))
	b.w.ok(err)
	return v
}

// shoot takes a picture for whoever wants to look at the pages: with
// OFFKEY_SCREENSHOTS=DIR they are written there.
func (b *browser) shoot(name string) {
	b.w.t.Helper()
	dir := os.Getenv("OFFKEY_SCREENSHOTS")
	if dir == "" {
		return
	}
	raw, err := chromedp.Run(b.ctx, chromedp.FullScreenshot(100))
	b.w.ok(err)
	b.w.ok(os.WriteFile(filepath.Join(dir, name+".png"), raw, 0o600))
}
