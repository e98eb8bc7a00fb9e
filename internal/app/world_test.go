package app

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/offkey/offkey/internal/apikey"
	"github.com/offkey/offkey/internal/config"
	"github.com/offkey/offkey/internal/jose"
	"github.com/offkey/offkey/internal/oauth"
	"github.com/offkey/offkey/sdk/go/oauthclient"
)

// patience bounds whatever a test waits for.
const patience = 30 * time.Second

// world is an API with keys, an offkey in front of it, and everybody who calls
// one of them: real servers on loopback, and one clock that can be moved.
type world struct {
	*App
	*testing.T
	api  *fakeAPI
	fast atomic.Int64 // by which the clock is ahead of the system's, in ns
}

// fakeAPI is a far side that wants a key, or a session's cookie, and whose
// answers have what caches and redirects do to them.
type fakeAPI struct {
	mu   sync.Mutex
	keys map[string]bool
	// held, if there, is closed by the next call, which is answered once freed is.
	held, freed chan struct{}
}

// hold has the next call wait.
func (a *fakeAPI) hold(held, freed chan struct{}) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.held, a.freed = held, freed
}

func (a *fakeAPI) wait() {
	a.mu.Lock()
	held, freed := a.held, a.freed
	a.held, a.freed = nil, nil
	a.mu.Unlock()
	if held != nil {
		close(held)
		<-freed
	}
}

func (a *fakeAPI) set(key string, valid bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.keys[key] = valid
}

func (a *fakeAPI) knows(key string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.keys[key]
}

func (a *fakeAPI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.wait()
	key := r.Header.Get("X-API-Key")
	if q := r.URL.Query().Get("api_key"); q != "" {
		key = q
	}
	session, err := r.Cookie("session")
	known := a.knows(key) || err == nil && session.Value == "valid"
	if user, password, ok := r.BasicAuth(); ok {
		known = known || user == "ana" && password == "valid"
	}
	switch {
	case r.URL.Path == "/open":
	case r.URL.Path == "/moved":
		http.Redirect(w, r, "/open", http.StatusFound)
		return
	case r.URL.Path == "/unchanged":
		w.WriteHeader(http.StatusNotModified)
		return
	case strings.HasPrefix(r.URL.Path, "/cached"):
		if r.Header.Get("User-Agent") != "offkey-probe" { // what a cache keeps, it answers to everybody
			w.Header().Set("Age", "7")
		} else if !known {
			http.Error(w, "no", http.StatusUnauthorized)
			return
		}
	case !known:
		http.Error(w, "a valid key is needed", http.StatusUnauthorized)
		return
	}
	_, _ = io.WriteString(w, `{"ok":true}`)
}

// newWorld starts an offkey with the configuration of a plain `offkey up`, as
// change makes it.
func newWorld(t *testing.T, change func(*config.Config)) *world {
	t.Helper()
	w := &world{T: t, api: &fakeAPI{keys: map[string]bool{}}}
	upstream := httptest.NewServer(w.api)
	t.Cleanup(upstream.Close)
	dir, err := os.MkdirTemp("", "") // short, for the socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	const free = "127.0.0.1:0"
	listeners, err := Bind(config.Listen{Gateway: free, Issuer: free, Admin: free, Ops: free})
	if err != nil {
		t.Fatal(err)
	}
	c := config.Default()
	c.Issuer, c.Gateway.Resource = URLOf(listeners.Issuer, "http"), URLOf(listeners.Gateway, "http")
	c.Storage.DSN = "sqlite://" + filepath.Join(dir, "data", "offkey.db")
	c.Gateway.Upstreams = map[string]config.Upstream{"api": {URL: upstream.URL, TokenCall: "apikey"}}
	c.APIKeys.Where = []config.Place{{In: "header", Name: "X-API-Key"}, {In: "query", Name: "api_key"}}
	if change != nil {
		change(&c)
	}
	cfg, err := config.New(c, nil)
	if err != nil {
		t.Fatal(err)
	}
	if w.App, err = Start(t.Context(), cfg, listeners, Options{Now: w.now}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := w.Stop(ctx); err != nil {
			t.Error(err)
		}
	})
	return w
}

func (w *world) now() time.Time { return time.Now().Add(time.Duration(w.fast.Load())) }

// pass moves the clock.
func (w *world) pass(d time.Duration) { w.fast.Add(int64(d)) }

// answer is what a caller got.
type answer struct {
	status int
	header http.Header
	body   string
}

func (a answer) has(code string) bool { return strings.Contains(a.body, `"code":"`+code+`"`) }

// call makes a call through the gateway; headers are name and value by turns.
func (w *world) call(method, path string, headers ...string) answer {
	w.Helper()
	a, err := w.try(method, path, headers...)
	if err != nil {
		w.Fatal(err)
	}
	return a
}

var noRedirects = &http.Client{
	Transport:     &http.Transport{MaxIdleConnsPerHost: 64},
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	Timeout:       patience,
}

// try is call for goroutines.
func (w *world) try(method, path string, headers ...string) (answer, error) {
	req, err := http.NewRequest(method, w.Addresses().Gateway+path, nil)
	if err != nil {
		return answer{}, err
	}
	req.Header.Set("User-Agent", "orders-sync/2.1")
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := noRedirects.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return answer{resp.StatusCode, resp.Header, string(body)}, err
}

// operate asks the management API over its socket, as the commands do, and
// wants success.
func (w *world) operate(method, path string, body, into any) {
	w.Helper()
	status, raw := w.ask(method, path, body)
	if status >= 300 {
		w.Fatalf("%s %s: %d %s", method, path, status, raw)
	}
	if into != nil {
		if err := json.Unmarshal(raw, into); err != nil {
			w.Fatal(err)
		}
	}
}

func (w *world) ask(method, path string, body any) (status int, raw []byte) {
	w.Helper()
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", SocketPath(w.Addresses().Data))
	}
	transport := &http.Transport{DialContext: dial}
	defer transport.CloseIdleConnections()
	sent, err := json.Marshal(body)
	if err != nil {
		w.Fatal(err)
	}
	req, err := http.NewRequest(method, "http://offkey/api/v1"+path, bytes.NewReader(sent))
	if err != nil {
		w.Fatal(err)
	}
	if req.Header.Set("Content-Type", "application/json"); body == nil {
		req.Body, req.ContentLength = http.NoBody, 0
	}
	resp, err := (&http.Client{Transport: transport, Timeout: patience}).Do(req)
	if err != nil {
		w.Fatal(err)
	}
	defer resp.Body.Close()
	if raw, err = io.ReadAll(resp.Body); err != nil {
		w.Fatal(err)
	}
	return resp.StatusCode, raw
}

// stage moves one apikey.
func (w *world) stage(stage, id string) {
	w.Helper()
	w.operate("POST", "/stage", map[string]any{"stage": stage, "apikeys": []string{id}}, nil)
}

// enforce declares what the routes of the API need, and enforces it.
func (w *world) enforce() {
	w.Helper()
	for _, match := range []string{"GET /v1/orders", "GET /v1/orders/{id}"} {
		w.operate("PUT", "/routes", map[string]any{"match": match, "scopes": []string{"read:orders"}}, nil)
	}
	w.operate("POST", "/routes/enforce", map[string]string{"enforce": "on"}, nil)
}

// known finds an apikey that offkey knows, "" if it does not.
func (w *world) known(key string) string {
	w.Helper()
	k, err := w.db.APIKeyByFingerprint(w.Context(), w.data.pepper.Fingerprint(key))
	if err != nil && !errors.Is(err, apikey.ErrNotFound) {
		w.Fatal(err)
	}
	if err != nil {
		return ""
	}
	return k.ID
}

// learn has the API accept a key, and a program call with it until offkey has
// learnt it.
func (w *world) learn(key string, headers ...string) (id string) {
	w.Helper()
	w.api.set(key, true)
	path := "/v1/orders"
	if len(headers) == 0 {
		headers = []string{"X-API-Key", key}
	} else if headers[0] == "query" {
		path, headers = path+"?api_key="+key, nil
	}
	for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		if a := w.call("GET", path, headers...); a.status != http.StatusOK {
			w.Fatalf("%d %s", a.status, a.body)
		}
		if id = w.known(key); id != "" {
			w.call("GET", path, headers...) // one under its own name
			return id
		}
		if time.Now().After(deadline) {
			w.Fatal("the apikey is not learnt")
		}
	}
}

// register trades an apikey for a client, with a key pair made here.
func (w *world) register(key, name string) (*oauthclient.Registration, *oauthclient.Config, error) {
	w.Helper()
	pair, err := jose.GenerateSigningKey(jose.ES256)
	if err != nil {
		w.Fatal(err)
	}
	public, err := json.Marshal(jose.KeySet{Keys: []jose.PublicKey{pair.Public()}})
	if err != nil {
		w.Fatal(err)
	}
	pem, err := pair.PEM()
	if err != nil {
		w.Fatal(err)
	}
	file := filepath.Join(w.TempDir(), "key.pem")
	if err := os.WriteFile(file, pem, 0o600); err != nil {
		w.Fatal(err)
	}
	made, err := oauthclient.Register(w.Context(), oauthclient.RegisterRequest{
		API: w.Addresses().Gateway, APIKey: oauthclient.Secret(key), Name: name, PublicJWKS: public, Algorithm: "ES256", Now: w.now,
	})
	if err != nil {
		return nil, nil, err
	}
	return made, &oauthclient.Config{
		Issuer: made.Issuer, ClientID: made.ClientID, KeyFile: file, KeyID: pair.ID(), Scopes: made.Scopes, Resource: made.Resource, Now: w.now,
	}, nil
}

// mustRegister is register for what is expected to pass.
func (w *world) mustRegister(key, name string) (*oauthclient.Registration, *oauthclient.Config) {
	w.Helper()
	made, c, err := w.register(key, name)
	if err != nil {
		w.Fatal(err)
	}
	return made, c
}

// token asks for one, anew.
func (w *world) token(c *oauthclient.Config) string {
	w.Helper()
	token, err := c.NewToken(w.Context())
	if err != nil {
		w.Fatal(err)
	}
	return token.AccessToken
}

// refusal is the code with which something was refused, "" if it was not.
func refusal(err error) string {
	var e *oauthclient.Error
	if errors.As(err, &e) {
		return e.Code
	}
	if err != nil {
		return err.Error()
	}
	return ""
}

// newKey is an apikey that nobody has.
func newKey() string { return "sk_live_" + rand.Text() }

// post sends a form to the issuer as a client that proves itself by assertion.
func (w *world) post(path string, c *oauthclient.Config, form url.Values) answer {
	w.Helper()
	assertion, err := c.Assertion(w.Context())
	if err != nil {
		w.Fatal(err)
	}
	form.Set("client_assertion_type", oauth.AssertionTypeJWTBearer)
	form.Set("client_assertion", assertion)
	return w.form(path, form)
}

func (w *world) form(path string, form url.Values) answer {
	w.Helper()
	resp, err := http.PostForm(w.Addresses().Issuer+path, form)
	if err != nil {
		w.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		w.Fatal(err)
	}
	return answer{resp.StatusCode, resp.Header, string(body)}
}

// decode reads a JSON answer that is a success.
func (w *world) decode(a answer, into any) {
	w.Helper()
	if a.status >= 300 {
		w.Fatalf("%d %s", a.status, a.body)
	}
	if err := json.Unmarshal([]byte(a.body), into); err != nil {
		w.Fatal(err)
	}
}

// eventually waits until something holds.
func (w *world) eventually(holds func() bool) {
	w.Helper()
	for deadline := time.Now().Add(patience); !holds(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			w.Fatal("waited in vain")
		}
	}
}
