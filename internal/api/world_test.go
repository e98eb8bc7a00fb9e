package api_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/offkey/offkey/internal/api"
	"github.com/offkey/offkey/internal/apikey"
	"github.com/offkey/offkey/internal/audit"
	"github.com/offkey/offkey/internal/config"
	"github.com/offkey/offkey/internal/directory"
	"github.com/offkey/offkey/internal/keyring"
	"github.com/offkey/offkey/internal/migration"
	"github.com/offkey/offkey/internal/policy"
	"github.com/offkey/offkey/internal/secret"
	"github.com/offkey/offkey/internal/store"
	"github.com/offkey/offkey/internal/token"
	"github.com/offkey/offkey/internal/traffic"
)

// world is a management API on a real socket, over the real store, keyring and
// road, with a clock that can be moved.
type world struct {
	t       testing.TB
	db      *store.DB
	road    *migration.Road
	ring    *keyring.Manager
	pepper  *secret.Pepper
	dir     string
	file    string // the configuration
	http    *http.Client
	clock   atomic.Int64
	mu      sync.Mutex
	running *config.Loaded
	around  api.Surroundings
	revoked *token.Revocations
	people  *directory.Directory
	mails   []string // "purpose address" of each
}

// links are one-time links as package app makes them.
type links struct{ w *world }

func (links) URL(purpose directory.Purpose, raw secret.Text) string {
	return issuerURL + "/" + string(purpose) + "?token=" + raw.Reveal()
}

func (l links) Mail(_ context.Context, p *directory.Person, link directory.Link, url string) error {
	l.w.mails = append(l.w.mails, string(link.Purpose)+" "+p.Email)
	return nil
}

const issuerURL, resourceURL = "https://auth.example.com", "https://api.example.com"

const plainConfig = `issuer: ` + issuerURL + `
gateway:
  resource: ` + resourceURL + `
  upstreams: {api: {url: "http://127.0.0.1:8080"}}
`

func newWorld(t testing.TB) *world { return newWorldWith(t, plainConfig) }

func newWorldWith(t testing.TB, configuration string) *world {
	t.Helper()
	dir, err := os.MkdirTemp("", "offkey") // short: the path of a socket is
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	w := &world{t: t, dir: dir, file: filepath.Join(dir, "offkey.yaml"), revoked: new(token.Revocations)}
	w.clock.Store(time.Date(2027, 3, 10, 12, 0, 0, 0, time.UTC).UnixNano())
	w.write(w.file, configuration)
	if w.running, err = config.Load(w.file, nil); err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	if w.db, err = store.Open(ctx, store.Options{DSN: "sqlite://" + filepath.Join(dir, "offkey.db"), Now: w.now}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.db.Close() })
	if w.pepper, err = secret.NewPepper(random(32)); err != nil {
		t.Fatal(err)
	}
	master, err := secret.NewMasterKey(random(32))
	if err != nil {
		t.Fatal(err)
	}
	w.people = directory.New(directory.Options{Store: w.db, Master: master, Now: w.now})
	w.db.Subscribe(func(changes []store.Change) {
		for _, c := range changes {
			if c.Kind == store.ChangePerson {
				w.people.Forget(c.ID)
			} else if c.Kind == store.ChangeGroup {
				w.people.ForgetAll()
			}
		}
	})
	w.ring = keyring.New(w.db, master, keyring.Options{}, w.now)
	if err := w.ring.Tend(ctx); err != nil {
		t.Fatal(err)
	}
	w.road, err = migration.New(migration.Options{
		Store: w.db, Rules: w.rules, Pepper: w.pepper, Now: w.now, Resource: resourceURL,
		StageDeclared: func() bool { return w.config().Migration.Stage != apikey.Inherit },
	})
	if err != nil {
		t.Fatal(err)
	}
	w.around = api.Surroundings{DataDir: dir, Issuer: issuerURL, Resource: resourceURL}
	w.serve()
	return w
}

func (w *world) handler() http.Handler { return w.server(nil).Handler() }

func (w *world) server(bearers api.Bearers) *api.Server {
	verifier := token.NewVerifier(token.VerifierOptions{Issuer: issuerURL, Audience: resourceURL, Ring: w.ring.Current, Revocations: w.revoked, Now: w.now})
	server, err := api.New(api.Options{
		Store: w.db, Road: w.road, People: w.people, Links: links{w}, Keyring: w.ring, Config: fileOf{w}, Trust: trustOf{w}, Ruleset: w.rules, Verify: verifier.Verify,
		Surroundings: func() api.Surroundings { return w.around }, Fingerprint: w.pepper.Fingerprint, Now: w.now, Bearers: bearers,
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return server
}

func (w *world) serve() {
	l, err := api.Listen(filepath.Join(w.dir, "offkey.sock"))
	if err != nil {
		w.t.Fatal(err)
	}
	s := &http.Server{Handler: w.handler(), ConnContext: api.ConnContext}
	go s.Serve(l)
	w.t.Cleanup(func() { s.Close() })
	w.http = overSocket(l.Addr().String())
}

// run is t.Run, with w failing the subtest. Subtests of one world do not run
// in parallel.
func (w *world) run(t *testing.T, name string, f func(t *testing.T)) {
	t.Run(name, func(t *testing.T) {
		outer := w.t
		defer func() { w.t = outer }()
		w.t = t
		f(t)
	})
}

func overSocket(path string) *http.Client {
	return &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}}}
}

func random(n int) []byte {
	b := make([]byte, n)
	rand.Read(b)
	return b
}

func (w *world) now() time.Time { return time.Unix(0, w.clock.Load()).UTC() }

func (w *world) pass(d time.Duration) { w.clock.Add(int64(d)) }

func (w *world) config() *config.Loaded {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.running
}

// rules are those of the file and of the store, as package app joins them.
func (w *world) rules() *policy.Ruleset {
	cfg := w.config()
	settings, err := w.db.Settings(context.Background())
	if err != nil {
		w.t.Error(err)
	}
	routes, err := w.db.Routes(context.Background())
	if err != nil {
		w.t.Error(err)
	}
	declared, err := cfg.PolicyRoutes()
	if err != nil {
		w.t.Error(err)
	}
	rs := settings.Ruleset()
	rs.UpstreamVouches = true
	if rs.Stage == apikey.Inherit {
		rs.Stage = apikey.Observe
	}
	if cfg.Migration.Stage != apikey.Inherit {
		rs.Stage = cfg.Migration.Stage
	}
	if cfg.Gateway.Enforce != policy.Unset {
		rs.Enforce = cfg.Gateway.Enforce
	}
	return rs.Build(declared, routes)
}

// fileOf is the configuration file as package app answers for it.
type fileOf struct{ w *world }

func (f fileOf) File() string { return f.w.config().File }

func (f fileOf) Settings() []api.Setting {
	var out []api.Setting
	for _, v := range f.w.config().Values() {
		out = append(out, api.Setting(v))
	}
	return out
}

func (f fileOf) Reload(_ context.Context, dryRun bool, _ audit.Event) ([]api.SettingChange, error) {
	loaded, err := config.Load(f.w.file, nil)
	if err != nil {
		return nil, err
	}
	var out []api.SettingChange
	for _, c := range loaded.Diff(f.w.config()) {
		out = append(out, api.SettingChange(c))
	}
	if !dryRun {
		f.w.mu.Lock()
		defer f.w.mu.Unlock()
		f.w.running = loaded
	}
	return out, nil
}

func (w *world) write(path, text string) {
	w.t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		w.t.Fatal(err)
	}
}

// document is a JSON answer.
type document map[string]any

// ask makes a request and wants the status; body may be nil, a string that is
// sent as it is, or anything that becomes JSON.
func (w *world) ask(want int, method, path string, body any) document {
	w.t.Helper()
	var sent io.Reader
	contentType := ""
	switch b := body.(type) {
	case nil:
	case string:
		sent = strings.NewReader(b)
	default:
		raw, err := json.Marshal(b)
		if err != nil {
			w.t.Fatal(err)
		}
		sent, contentType = bytes.NewReader(raw), "application/json"
	}
	req, err := http.NewRequestWithContext(w.t.Context(), method, "http://offkey/api/v1"+path, sent)
	if err != nil {
		w.t.Fatal(err)
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	resp, err := w.http.Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	if resp.StatusCode != want {
		w.t.Fatalf("%s %s: %d, want %d\n%s", method, path, resp.StatusCode, want, raw)
	}
	wantType := "application/json"
	if want >= 400 {
		wantType = "application/problem+json"
	}
	if got := resp.Header.Get("Content-Type"); got != wantType {
		w.t.Errorf("%s %s: Content-Type %q, want %q", method, path, got, wantType)
	}
	var d document
	if err := json.Unmarshal(raw, &d); err != nil {
		w.t.Fatalf("%s %s: %v\n%s", method, path, err, raw)
	}
	return d
}

// refused wants a problem whose code and text say what is wrong.
func (w *world) refused(status int, method, path string, body any, says ...string) document {
	w.t.Helper()
	d := w.ask(status, method, path, body)
	text := d.text("code") + " " + d.text("detail") + " " + d.text("fix")
	for _, want := range says {
		if !strings.Contains(text, want) {
			w.t.Errorf("%s %s says %q, want %q in it", method, path, text, want)
		}
	}
	return d
}

func (d document) text(name string) string {
	s, _ := d[name].(string)
	return s
}

func (d document) number(name string) int64 {
	n, _ := d[name].(float64)
	return int64(n)
}

// list are the objects of a list.
func (d document) list(name string) []document {
	var out []document
	items, _ := d[name].([]any)
	for _, v := range items {
		o, _ := v.(map[string]any)
		out = append(out, document(o))
	}
	return out
}

// texts are the strings of a list.
func (d document) texts(name string) []string {
	out := []string{}
	items, _ := d[name].([]any)
	for _, v := range items {
		s, _ := v.(string)
		out = append(out, s)
	}
	return out
}

// column is one member of each object.
func column(items []document, name string) []string {
	out := []string{}
	for _, d := range items {
		out = append(out, d.text(name))
	}
	return out
}

// apikey brings in an apikey and returns its id.
func (w *world) apikey(value, label, owner string) string {
	w.t.Helper()
	k := &apikey.Key{ID: apikey.NewID(), Fingerprint: w.pepper.Fingerprint(value), Last4: secret.Last4(value), Label: label, Owner: owner, KnownBy: apikey.KnownByImport, Created: w.now()}
	if _, err := w.db.ImportAPIKeys(w.t.Context(), []*apikey.Key{k}, audit.Event{Actor: "system", Action: "test"}); err != nil {
		w.t.Fatal(err)
	}
	return k.ID
}

// calls records calls of an apikey that the API answered with success.
func (w *world) calls(id string, n int64, method, template, carrier string, ago time.Duration) {
	w.t.Helper()
	at := w.now().Add(-ago)
	err := w.db.AddTraffic(w.t.Context(), []traffic.Row{{
		Hour: at.Truncate(time.Hour), Credential: traffic.Credential{Kind: traffic.KindAPIKey, ID: id}, Method: method, Template: template,
		Status: 200, UserAgent: "curl/8.7", Source: netip.MustParsePrefix("203.0.113.0/24"), Carrier: carrier, Calls: n, First: at, Last: at,
	}})
	if err != nil {
		w.t.Fatal(err)
	}
}

// audited wants the newest audit entry to be of that action, made by this user.
func (w *world) audited(action string) document {
	w.t.Helper()
	d := w.ask(200, "GET", "/audit?order=desc&limit=1", nil).list("entries")[0]
	if d.text("action") != action || d.text("actor") != self() {
		w.t.Errorf("audit has %s by %s, want %s by %s", d.text("action"), d.text("actor"), action, self())
	}
	return d
}

// unchanged wants no audit entry to be written meanwhile.
func (w *world) unchanged(during func()) {
	w.t.Helper()
	before, err := w.db.AuditHead(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	during()
	if after, err := w.db.AuditHead(w.t.Context()); err != nil || after != before {
		w.t.Errorf("something was written: audit head %d, then %d (%v)", before.Seq, after.Seq, err)
	}
}

// far is a server somewhere else.
func far(t testing.TB, h http.HandlerFunc) *httptest.Server {
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s
}
