// Package browser drives the pages of the issuer in a real Chromium.
package browser

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/offkey/offkey/internal/audit"
	"github.com/offkey/offkey/internal/client"
	"github.com/offkey/offkey/internal/directory"
	"github.com/offkey/offkey/internal/oauth"
	"github.com/offkey/offkey/internal/secret"
	"github.com/offkey/offkey/internal/session"
	"github.com/offkey/offkey/internal/signin"
	"github.com/offkey/offkey/internal/store"
	"github.com/offkey/offkey/test/chromium"
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
		Issuer: w.issuer, Name: func() string { return "Example" }, Store: db, People: w.people, Clients: db, Devices: db, Spender: db, Master: master,
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
	w.ok(w.people.SetTOTP(w.t.Context(), w.ana.ID, w.people.SealTOTP(w.ana.ID, key), chromium.CodeOf(w.t, w.app, time.Now().Add(-30*time.Second))))
}

// browser is a Chromium before this issuer.
type browser struct {
	*chromium.Browser
	w *world
}

func (w *world) browser() *browser { w.t.Helper(); return &browser{chromium.Start(w.t), w} }

// open goes to a page of the issuer.
func (b *browser) open(path string) { b.w.t.Helper(); b.Open(b.w.issuer + path) }

// login fills the sign-in page.
func (b *browser) login() {
	b.w.t.Helper()
	b.Type("#username", "ana")
	b.Type("#password", password)
	b.Click("#login-submit")
}
