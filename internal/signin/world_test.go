package signin_test

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
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
	"github.com/offkey/offkey/internal/token"
)

const (
	issuer       = "https://auth.example.com"
	anasPassword = "paper boats in the harbour"
)

var did = audit.Event{Actor: "os:0", Action: "test", Object: "it"}

// world is the pages over a real store and directory, with a clock, and an
// endpoint that begins requests as authserver does.
type world struct {
	t       testing.TB
	at      atomic.Int64
	db      *store.DB
	people  *directory.Directory
	service *signin.Service
	mail    *mailbox
	log     bytes.Buffer
	source  netip.Addr
	mu      sync.Mutex
	answers map[string]*session.Answer // "at once", and the "last" that a browser came back with
	next    session.Request            // what /authorize begins
	handler http.Handler
}

func (w *world) now() time.Time          { return time.Unix(0, w.at.Load()).UTC() }
func (w *world) advance(d time.Duration) { w.at.Add(int64(d)) }

func (w *world) ok(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func newWorld(t testing.TB, change ...func(*signin.Options)) *world {
	t.Helper()
	w := &world{t: t, source: netip.MustParseAddr("198.51.100.7"), answers: map[string]*session.Answer{}, mail: new(mailbox)}
	w.at.Store(time.Date(2027, 1, 15, 10, 0, 0, 25e7, time.UTC).UnixNano())
	var err error
	w.db, err = store.Open(context.Background(), store.Options{DSN: filepath.Join(t.TempDir(), "offkey.db"), Now: w.now})
	w.ok(err)
	t.Cleanup(func() { _ = w.db.Close() })
	raw, err := secret.GenerateMasterKey()
	w.ok(err)
	master, err := secret.NewMasterKey(raw)
	w.ok(err)
	w.people = directory.New(directory.Options{Store: w.db, Master: master, Now: w.now, Teller: w.mail})
	w.db.Subscribe(func(changes []store.Change) {
		for _, c := range changes {
			switch c.Kind {
			case store.ChangePerson:
				w.people.Forget(c.ID)
			case store.ChangeGroup:
				w.people.ForgetAll()
			}
		}
	})
	o := signin.Options{
		Issuer: issuer, Name: func() string { return "Example" }, Store: w.db, People: w.people, Clients: w.db, Devices: w.db, Spender: w.db, Master: master,
		Source: func(*http.Request) netip.Addr { return w.source }, Mail: w.mail, Later: w.mail.running.Go,
		Now: w.now, Log: slog.New(slog.NewTextHandler(&w.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	for _, c := range change {
		c(&o)
	}
	w.service, err = signin.New(o)
	w.ok(err)
	mux := http.NewServeMux()
	mux.HandleFunc("/authorize", w.authorize)
	mux.HandleFunc("/authorize/answer", w.answered)
	mux.Handle("/", w.service.Handler())
	w.handler = mux
	w.ok(w.db.CreateClient(context.Background(), shop(), did))
	return w
}

// authorize begins the next request, as the endpoint of authserver does.
func (w *world) authorize(rw http.ResponseWriter, r *http.Request) {
	q := w.next
	q.ID = session.NewRequestID()
	if q.Return == "" {
		q.Return = "/authorize/answer?r=" + q.ID
	}
	a, err := w.service.Begin(rw, r, q)
	switch {
	case err != nil:
		http.Error(rw, err.Error(), http.StatusInternalServerError)
	case a != nil:
		w.answers["at once"] = a
		_, _ = io.WriteString(rw, "answered at once")
	}
}

// answered takes the answer, as the endpoint of authserver does.
func (w *world) answered(rw http.ResponseWriter, r *http.Request) {
	q, err := w.service.Answered(r, r.URL.Query().Get("r"))
	if err != nil {
		http.Error(rw, err.Error(), http.StatusBadRequest)
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.answers["last"] = q.Answer
	_, _ = io.WriteString(rw, "answered")
}

// asks makes the request that /authorize begins.
func asks(change ...func(*session.Request)) session.Request {
	q := session.Request{
		Kind: session.ForClient, ClientID: "shop", Payload: []byte("of authserver"),
		Ask: session.Ask{Scope: oauth.Scope{"openid", "email"}, RedirectHost: "shop.example"},
	}
	for _, c := range change {
		c(&q)
	}
	return q
}

func shop() *client.Client {
	return &client.Client{
		ID: "shop", Name: "Shop & Sons", Status: client.Active, AuthMethod: oauth.AuthClientSecretBasic, Audience: client.Strict,
		Grants: []string{oauth.GrantAuthorizationCode}, Scopes: oauth.Scope{"openid", "email", "read:orders", "create:orders"},
		Source: client.SourceAPI, Details: client.Details{RedirectURIs: []string{"https://shop.example/cb"}},
	}
}

// person makes somebody who may hand on read:orders.
func (w *world) person(name, password string, change ...func(*directory.Account)) *directory.Person {
	w.t.Helper()
	w.group("buyers", func(g *directory.Group) { g.Scopes = oauth.Scope{"read:orders"} })
	a := &directory.Account{Person: &directory.Person{
		ID: directory.NewID(), Name: name, Email: name + "@example.com", Status: directory.Active, Groups: []string{"buyers"},
		Source: directory.SourceAPI, Created: w.now(),
	}}
	for _, c := range change {
		c(a)
	}
	w.ok(w.db.CreateAccount(context.Background(), a, did))
	if password != "" {
		w.ok(w.people.SetPassword(context.Background(), a.ID, password))
	}
	return a.Person
}

// group makes or changes a group.
func (w *world) group(name string, change func(*directory.Group)) {
	w.t.Helper()
	_, err := w.db.UpdateGroup(context.Background(), name, func(g *directory.Group, there bool) error {
		g.Source = directory.SourceAPI
		change(g)
		return nil
	}, did)
	w.ok(err)
}

// browser is somebody's browser.
type browser struct {
	w      *world
	client *http.Client
	jar    *cookiejar.Jar
	header http.Header
}

func (w *world) browser() *browser {
	jar, err := cookiejar.New(nil)
	w.ok(err)
	b := &browser{w: w, jar: jar, header: http.Header{}}
	b.client = &http.Client{Jar: jar, Transport: served{w}}
	return b
}

// served answers requests by the handler, without a network.
type served struct{ w *world }

func (s served) RoundTrip(r *http.Request) (*http.Response, error) {
	rec := httptest.NewRecorder()
	in := r.Clone(r.Context())
	in.RequestURI, in.RemoteAddr = r.URL.RequestURI(), "198.51.100.7:4000"
	if in.Body == nil {
		in.Body = http.NoBody
	}
	s.w.handler.ServeHTTP(rec, in)
	resp := rec.Result()
	resp.Request = r
	return resp, nil
}

// page is an answer of the server as a browser has it.
type page struct {
	t      testing.TB
	b      *browser
	path   string
	status int
	header http.Header
	body   string
}

func (b *browser) do(r *http.Request) page {
	b.w.t.Helper()
	for name, values := range b.header {
		r.Header[name] = values
	}
	resp, err := b.client.Do(r)
	b.w.ok(err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	b.w.ok(err)
	return page{b.w.t, b, resp.Request.URL.Path, resp.StatusCode, resp.Header, string(body)}
}

func (b *browser) get(path string) page {
	b.w.t.Helper()
	r, err := http.NewRequest(http.MethodGet, issuer+path, nil)
	b.w.ok(err)
	return b.do(r)
}

func (b *browser) post(path string, form url.Values) page {
	b.w.t.Helper()
	r, err := http.NewRequest(http.MethodPost, issuer+path, strings.NewReader(form.Encode()))
	b.w.ok(err)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Origin", issuer)
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	return b.do(r)
}

// authorize goes to the endpoint that begins q.
func (b *browser) authorize(q session.Request) page {
	b.w.t.Helper()
	b.w.next = q
	delete(b.w.answers, "at once")
	delete(b.w.answers, "last")
	return b.get("/authorize")
}

var (
	formTag  = regexp.MustCompile(`(?s)<form method="post" action="([^"]*)"[^>]*>(.*?)</form>`)
	hidden   = regexp.MustCompile(`<input type="hidden" name="([^"]*)" value="([^"]*)"`)
	unescape = strings.NewReplacer("&amp;", "&", "&#43;", "+", "&#34;", `"`, "&#39;", "'", "&lt;", "<", "&gt;", ">")
)

// form returns what the form with that text in it sends, besides what is typed.
func (p page) form(holding string) (action string, values url.Values) {
	p.t.Helper()
	for _, f := range formTag.FindAllStringSubmatch(p.body, -1) {
		if !strings.Contains(f[0], holding) {
			continue
		}
		values = url.Values{}
		for _, h := range hidden.FindAllStringSubmatch(f[2], -1) {
			values.Set(h[1], unescape.Replace(h[2]))
		}
		return f[1], values
	}
	p.t.Fatalf("no form with %s at %s (%d):\n%s", holding, p.path, p.status, p.body)
	return "", nil
}

// send fills the form with that text in it, and sends it.
func (p page) send(holding string, typed ...string) page {
	p.t.Helper()
	action, values := p.form(holding)
	for i := 0; i < len(typed); i += 2 {
		values.Set(typed[i], typed[i+1])
	}
	return p.b.post(action, values)
}

// login types name and password.
func (p page) login(name, password string) page {
	p.t.Helper()
	return p.send(`id="login-submit"`, "username", name, "password", password)
}

// at checks where the browser is, and that the page says something.
func (p page) at(path string, says ...string) page {
	p.t.Helper()
	if p.path != path {
		p.t.Fatalf("at %s (%d), want %s:\n%s", p.path, p.status, path, p.body)
	}
	for _, text := range says {
		if !strings.Contains(p.body, text) {
			p.t.Fatalf("%s does not say %q:\n%s", p.path, text, p.body)
		}
	}
	return p
}

// is checks the status.
func (p page) is(status int) page {
	p.t.Helper()
	if p.status != status {
		p.t.Fatalf("%s is %d, want %d:\n%s", p.path, p.status, status, p.body)
	}
	return p
}

// never checks that the page does not say something.
func (p page) never(says ...string) page {
	p.t.Helper()
	for _, text := range says {
		if strings.Contains(p.body, text) {
			p.t.Errorf("%s says %q:\n%s", p.path, text, p.body)
		}
	}
	return p
}

// answer is what the last request got, nil if nothing yet.
func (w *world) answer() *session.Answer { return w.answers["last"] }

// cookie is what the browser holds, "" if nothing.
func (b *browser) cookie(name string) string {
	u, _ := url.Parse(issuer)
	for _, c := range b.jar.Cookies(u) {
		if c.Name == name {
			return c.Value
		}
	}
	return ""
}

// revoked reports whether tokens that say c are refused.
func (w *world) revoked(c token.Claims) bool {
	w.t.Helper()
	list, err := w.db.Revocations(context.Background(), w.now())
	w.ok(err)
	var r token.Revocations
	r.Add(list...)
	return r.Revoked(c)
}
