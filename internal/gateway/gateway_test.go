package gateway

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/offkey/offkey/internal/apikey"
	"github.com/offkey/offkey/internal/audit"
	"github.com/offkey/offkey/internal/client"
	"github.com/offkey/offkey/internal/jose"
	"github.com/offkey/offkey/internal/keyring"
	"github.com/offkey/offkey/internal/policy"
	"github.com/offkey/offkey/internal/secret"
	"github.com/offkey/offkey/internal/token"
	"github.com/offkey/offkey/internal/traffic"
	"github.com/prometheus/client_golang/prometheus"
)

const (
	testIssuer   = "https://auth.example.com"
	testResource = "https://api.example.com"
	testHost     = "api.example.com"
)

// signingKeys is a keyring.Store in memory.
type signingKeys struct {
	mu   sync.Mutex
	rows []keyring.Key
}

func (s *signingKeys) SigningKeys(context.Context) ([]keyring.Key, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.rows), nil
}

func (s *signingKeys) AddSigningKey(_ context.Context, k keyring.Key, _ audit.Event) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rows = append(s.rows, k)
	return nil
}

func (s *signingKeys) DropSigningKey(context.Context, string, time.Time, audit.Event) error {
	return errors.New("no test drops a key here")
}

// clock is a time that a test moves.
type clock struct{ at atomic.Int64 }

func (c *clock) now() time.Time          { return time.Unix(0, c.at.Load()).UTC() }
func (c *clock) advance(d time.Duration) { c.at.Add(int64(d)) }

// issuer makes real tokens of the gateway's issuer and of another.
type testTokens struct {
	ours, foreign *token.Issuer
	manager       *keyring.Manager
	revocations   token.Revocations
}

func newTokens(t testing.TB, now func() time.Time) *testTokens {
	t.Helper()
	raw, err := secret.GenerateMasterKey()
	if err != nil {
		t.Fatal(err)
	}
	master, err := secret.NewMasterKey(raw)
	if err != nil {
		t.Fatal(err)
	}
	tt := &testTokens{manager: keyring.New(&signingKeys{}, master, keyring.Options{Alg: jose.ES256}, now)}
	if err := tt.manager.Tend(context.Background()); err != nil {
		t.Fatal(err)
	}
	tt.ours = token.NewIssuer(testIssuer, tt.manager.Current, now)
	tt.foreign = token.NewIssuer("https://other.example.net", tt.manager.Current, now)
	return tt
}

func (tt *testTokens) issue(t testing.TB, from *token.Issuer, clientID string, life time.Duration, scope ...string) string {
	t.Helper()
	issued, err := from.Issue(token.Authorization{
		Client: &client.Client{ID: clientID}, Scope: scope, Resources: []string{testResource}, Life: life,
	})
	if err != nil {
		t.Fatal(err)
	}
	return issued.Token
}

// world is a gateway on a real socket in front of an API that the test writes.
type world struct {
	testing.TB
	clock
	*testTokens
	gateway  *Gateway
	options  Options
	index    *apikey.Index
	pepper   *secret.Pepper
	rules    atomic.Pointer[policy.Ruleset]
	tally    *traffic.Tally
	learnt   *learnings
	metrics  *prometheus.Registry
	log      *lockedBuffer
	server   *http.Server
	addr     string // of the gateway
	upstream string // URL of the API
	api      atomic.Pointer[http.HandlerFunc]
}

// lockedBuffer is a log that can be read while it is written.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// learnings is the far side of learning: it puts apikeys into the index as the
// store does.
type learnings struct {
	mu        sync.Mutex
	index     *apikey.Index
	learnt    []Learnt
	suspended map[string]bool
	fail      error
}

func (l *learnings) Learn(_ context.Context, k Learnt) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fail != nil {
		return l.fail
	}
	l.learnt = append(l.learnt, k)
	l.index.Put(&apikey.Key{ID: apikey.NewID(), Fingerprint: k.Fingerprint, Last4: k.Last4, KnownBy: apikey.KnownByUpstream})
	return nil
}

func (l *learnings) Suspend(_ context.Context, id string, suspended bool) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.suspended[id] = suspended
	k := *l.index.ByID(id)
	k.Suspended = suspended
	l.index.Put(&k)
	return nil
}

func (l *learnings) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.learnt)
}

var testCarriers = []string{"header:X-API-Key", "authorization:KEY", "authorization:Bearer", "query:api_key", "cookie:apikey", "basic"}

// newWorld makes a gateway in observe that learns nothing; change may set what
// the test is about. Nothing listens before serve.
func newWorld(t testing.TB, change func(*world)) *world {
	t.Helper()
	w := &world{TB: t, index: apikey.NewIndex(), tally: traffic.NewTally(), metrics: prometheus.NewRegistry(), log: &lockedBuffer{}}
	w.at.Store(time.Date(2027, 1, 15, 10, 0, 0, 0, time.UTC).UnixNano())
	w.testTokens = newTokens(t, w.now)
	var err error
	if w.pepper, err = secret.NewPepper(bytes.Repeat([]byte{7}, 32)); err != nil {
		t.Fatal(err)
	}
	w.learnt = &learnings{index: w.index, suspended: map[string]bool{}}
	w.setRules(policy.Ruleset{Stage: apikey.Observe, UpstreamVouches: true})
	w.options = Options{
		Upstreams: []Upstream{{Name: "api"}},
		Resource:  testResource, Issuer: testIssuer,
		Reader: newReader(t, testCarriers...), Pepper: w.pepper, Index: w.index, Rules: &w.rules,
		Verifier: token.NewVerifier(token.VerifierOptions{
			Issuer: testIssuer, Audience: testResource, Ring: w.manager.Current, Revocations: &w.revocations,
			Now: w.now, CacheSize: 100,
		}),
		Tally: w.tally, Log: slog.New(slog.NewJSONHandler(w.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Metrics: w.metrics, Now: w.now,
	}
	w.handle(func(rw http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(rw, "ok") })
	if change != nil {
		change(w)
	}
	return w
}

func newReader(t testing.TB, carriers ...string) *apikey.Reader {
	t.Helper()
	var list []apikey.Carrier
	for _, s := range carriers {
		c, err := apikey.ParseCarrier(s)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, c)
	}
	r, err := apikey.NewReader(list)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// setRules puts rules with these routes into force.
func (w *world) setRules(rs policy.Ruleset, routes ...string) {
	var list []policy.Route
	for _, match := range routes {
		match, scopes, _ := strings.Cut(match, " -> ")
		r, err := policy.ParseRoute(match)
		if err != nil {
			w.Fatal(err)
		}
		r.Open = scopes == "open"
		if scopes != "" && !r.Open {
			r.Scopes = strings.Fields(scopes)
		}
		list = append(list, r)
	}
	w.rules.Store(rs.Build(list, nil))
}

// know makes value an apikey that offkey knows.
func (w *world) know(value string, k apikey.Key) *apikey.Key {
	if k.ID == "" {
		k.ID = apikey.NewID()
	}
	k.Fingerprint, k.Last4 = w.pepper.Fingerprint(value), secret.Last4(value)
	w.index.Put(&k)
	return &k
}

// handle is what the API does from now on.
func (w *world) handle(h http.HandlerFunc) { w.api.Store(&h) }

// serveAPI starts the API on a socket, in HTTP/1 and h2c.
func (w *world) serveAPI() {
	if w.upstream != "" {
		return
	}
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { (*w.api.Load())(rw, r) }))
	s.Config.Protocols = new(http.Protocols)
	s.Config.Protocols.SetHTTP1(true)
	s.Config.Protocols.SetUnencryptedHTTP2(true)
	s.Config.DisableGeneralOptionsHandler = true
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelInfo)
	s.Start()
	w.Cleanup(func() { s.CloseClientConnections(); s.Close() })
	w.upstream = s.URL
}

// build makes the gateway without a socket.
func (w *world) build() *world {
	w.Helper()
	w.serveAPI()
	for i := range w.options.Upstreams {
		if w.options.Upstreams[i].URL == nil {
			w.options.Upstreams[i].URL, _ = url.Parse(w.upstream)
		}
	}
	g, err := New(w.options)
	if err != nil {
		w.Fatal(err)
	}
	w.gateway = g
	w.Cleanup(g.CloseIdleConnections)
	return w
}

// serve starts the gateway on a socket behind the guard.
func (w *world) serve() *world {
	w.Helper()
	w.build()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		w.Fatal(err)
	}
	w.addr = l.Addr().String()
	w.server = NewServer(w.gateway.Handler(), w.options.Log)
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = w.server.Serve(GuardListener(l, nil))
	}()
	w.Cleanup(func() { _ = w.server.Close(); <-served })
	return w
}

// reply is an answer as the caller sees it.
type reply struct {
	*http.Response
	body string
}

// problem reads the problem document of a refusal.
func (r reply) problem(t testing.TB) problem {
	t.Helper()
	var p problem
	if ct := r.Header.Get("Content-Type"); ct != "application/problem+json" {
		t.Fatalf("status %d with Content-Type %q, want a problem document: %s", r.StatusCode, ct, r.body)
	}
	if err := json.Unmarshal([]byte(r.body), &p); err != nil {
		t.Fatalf("%v: %s", err, r.body)
	}
	return p
}

// raw sends bytes to the gateway and reads one answer.
func (w *world) raw(request string) reply {
	w.Helper()
	return rawTo(w.TB, w.addr, request)
}

func rawTo(t testing.TB, addr, request string) reply {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := io.WriteString(conn, request); err != nil {
		t.Fatal(err)
	}
	method, _, _ := strings.Cut(request, " ")
	res, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: method})
	if err != nil {
		t.Fatalf("no answer to %q: %v", firstLine(request), err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatalf("body of the answer to %q: %v", firstLine(request), err)
	}
	return reply{res, string(body)}
}

func firstLine(s string) string {
	s, _, _ = strings.Cut(s, "\r\n")
	return s
}

// get sends a request with these header lines.
func (w *world) get(target string, lines ...string) reply {
	w.Helper()
	return w.send("GET", target, lines...)
}

func (w *world) send(method, target string, lines ...string) reply {
	w.Helper()
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nConnection: close\r\n", method, target)
	if !slices.ContainsFunc(lines, func(l string) bool { return strings.HasPrefix(l, "Host:") }) {
		b.WriteString("Host: " + testHost + "\r\n")
	}
	for _, l := range lines {
		b.WriteString(l + "\r\n")
	}
	b.WriteString("\r\n")
	return w.raw(b.String())
}

// rows is the traffic counted since the last call.
func (w *world) rows() []traffic.Row { return w.tally.Drain() }

// until waits for a condition.
func until(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for range 2000 {
		if holds() {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Fatalf("waited ten seconds in vain: %s", what)
}

// revocationOf refuses what a client was given so far.
func revocationOf(clientID string, now time.Time) token.Revocation {
	return token.Revocation{Kind: token.RevokeClient, ID: clientID, Before: now, Expires: now.Add(time.Hour)}
}

// TestMain keeps what net/http says about hostile APIs out of the output.
func TestMain(m *testing.M) {
	log.SetOutput(io.Discard)
	os.Exit(m.Run())
}
