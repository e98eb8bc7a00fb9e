package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/offkey/offkey/internal/apikey"
	"github.com/offkey/offkey/internal/secret"
)

var errAway = errors.New("away")

// issuer hands out numbered tokens, and can be away.
type issuer struct {
	mu     sync.Mutex
	made   int
	asked  int
	err    error
	life   time.Duration
	held   chan struct{} // nil: answers at once
	signed []time.Time
	clock  *Clock
}

func (i *issuer) Token(ctx context.Context) (Token, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.asked++
	if i.held != nil {
		<-i.held
	}
	if i.clock != nil {
		i.signed = append(i.signed, i.clock.Now())
	}
	if i.err != nil {
		return Token{}, i.err
	}
	i.made++
	return Token{Value: secret.NewText(fmt.Sprintf("token-%d", i.made)), Type: "Bearer", Life: i.life}, nil
}

func (i *issuer) Temporary(err error) bool { return errors.Is(err, errAway) }
func (i *issuer) Authorize(r *http.Request, t Token) error {
	r.Header.Set("Authorization", t.Type+" "+t.Value.Reveal())
	return nil
}
func (i *issuer) WantsNonce(resp *http.Response) bool { return resp.Header.Get("X-Wants-Nonce") != "" }

func (i *issuer) set(change func(*issuer)) { i.mu.Lock(); defer i.mu.Unlock(); change(i) }
func (i *issuer) count() int               { i.mu.Lock(); defer i.mu.Unlock(); return i.made }

// world is a program's agent in front of an API that the test writes.
type world struct {
	testing.TB
	issuer *issuer
	agent  *httptest.Server
	api    *httptest.Server
	handle atomic.Pointer[http.HandlerFunc]
	at     atomic.Int64
}

func (w *world) now() time.Time { return time.Unix(0, w.at.Load()) }

func newWorld(t testing.TB, change func(*Options)) *world {
	t.Helper()
	w := &world{TB: t, issuer: &issuer{life: 15 * time.Minute}}
	w.at.Store(time.Date(2027, 1, 15, 10, 0, 0, 0, time.UTC).UnixNano())
	w.answer(func(rw http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		_, _ = fmt.Fprintf(rw, "%s %s %s %s|%s", r.Method, r.RequestURI, r.Header.Get("Authorization"), r.Header.Get("X-Api-Key"), body)
	})
	w.api = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { (*w.handle.Load())(rw, r) }))
	t.Cleanup(w.api.Close)
	o := Options{
		APIs: []API{{URL: parsed(t, w.api.URL), Client: w.issuer}}, Reader: reader(t, "header:X-API-Key", "query:api_key"),
		Log: slog.New(slog.DiscardHandler), Now: w.now, Patience: 5 * time.Second,
	}
	if change != nil {
		change(&o)
	}
	a, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	w.agent = httptest.NewServer(a)
	t.Cleanup(w.agent.Close)
	return w
}

func parsed(t testing.TB, raw string) *url.URL {
	t.Helper()
	u, err := url.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func reader(t testing.TB, places ...string) *apikey.Reader {
	t.Helper()
	var carriers []apikey.Carrier
	for _, p := range places {
		c, err := apikey.ParseCarrier(p)
		if err != nil {
			t.Fatal(err)
		}
		carriers = append(carriers, c)
	}
	r, err := apikey.NewReader(carriers)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func (w *world) answer(h http.HandlerFunc) { w.handle.Store(&h) }

// call makes a call of the program; headers are name and value by turns, Host too.
func (w *world) call(method, target, body string, headers ...string) (int, string) {
	w.Helper()
	r, err := http.NewRequest(method, w.agent.URL+target, strings.NewReader(body))
	if err != nil {
		w.Fatal(err)
	}
	if body == "" {
		r.Body, r.ContentLength = http.NoBody, 0
	}
	for i := 0; i < len(headers); i += 2 {
		if headers[i] == "Host" {
			r.Host = headers[i+1]
		}
		r.Header.Add(headers[i], headers[i+1])
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		w.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		w.Fatal(err)
	}
	return resp.StatusCode, string(raw)
}

func TestCallsGoOutWithAToken(t *testing.T) {
	w := newWorld(t, nil)
	status, body := w.call("POST", "/v1/orders/a%2fb?x=%zz;y&z=1", "hello")
	if status != 200 || body != "POST /v1/orders/a%2fb?x=%zz;y&z=1 Bearer token-1 |hello" {
		t.Errorf("%d %s", status, body)
	}
	for range 5 {
		w.call("GET", "/", "")
	}
	if n := w.issuer.count(); n != 1 {
		t.Errorf("%d tokens for six calls", n)
	}
	status, body = w.call("GET", "/", "", "Authorization", "Bearer mine")
	if status != 401 || !strings.Contains(body, "apikey_not_swapped") {
		t.Errorf("a call with a credential of its own: %d %s", status, body)
	}
}

func TestOnlyTheOneAPIKeyIsSwapped(t *testing.T) {
	for _, others := range []Others{Refuse, Pass} {
		w := newWorld(t, func(o *Options) { o.Swap, o.Others = secret.NewText("old-key"), others })
		for name, tt := range map[string]struct {
			target  string
			headers []string
			token   bool
			want    string // of the API, if it is passed on
		}{
			"in a header":             {"/a", []string{"X-API-Key", "old-key"}, true, "GET /a Bearer token-1 |"},
			"in the query":            {"/a?x=1&api_key=old-key", nil, true, "GET /a?x=1 Bearer token-1 |"},
			"in both":                 {"/a?api_key=old-key", []string{"X-API-Key", "old-key"}, true, "GET /a Bearer token-1 |"},
			"another":                 {"/a", []string{"X-API-Key", "other"}, false, "GET /a  other|"},
			"beside another":          {"/a?api_key=other", []string{"X-API-Key", "old-key"}, false, "GET /a?api_key=other  old-key|"},
			"none":                    {"/a", nil, false, "GET /a  |"},
			"beside a token":          {"/a", []string{"X-API-Key", "old-key", "Authorization", "Bearer mine"}, false, "GET /a Bearer mine old-key|"},
			"the beginning of it":     {"/a", []string{"X-API-Key", "old-ke"}, false, "GET /a  old-ke|"},
			"nothing but its carrier": {"/a", []string{"X-API-Key", ""}, false, "GET /a  |"},
		} {
			status, body := w.call("GET", tt.target, "", tt.headers...)
			switch {
			case tt.token || others == Pass:
				if status != 200 || body != tt.want {
					t.Errorf("%s, %s: %d %q, want %q", others, name, status, body, tt.want)
				}
			case status != 401 || !strings.Contains(body, "apikey_not_swapped") || strings.Contains(body, "old-key"):
				t.Errorf("%s, %s: %d %s", others, name, status, body)
			}
		}
	}
}

func TestSeveralAPIsByHostAndPrefix(t *testing.T) {
	var billing, shop atomic.Int64
	second, third := &issuer{life: time.Hour}, &issuer{life: time.Hour}
	server := func(n *atomic.Int64) *httptest.Server {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			n.Add(1)
			_, _ = io.WriteString(w, r.RequestURI+" "+r.Host)
		}))
		t.Cleanup(s.Close)
		return s
	}
	b, s := server(&billing), server(&shop)
	w := newWorld(t, func(o *Options) {
		o.APIs = append(o.APIs, API{Prefix: "/billing", URL: parsed(t, b.URL), Client: second}, API{Host: "shop.internal", URL: parsed(t, s.URL), Client: third})
	})
	for _, tt := range []struct{ target, host, want string }{
		{"/billing/v1/a%2fb", "", "/v1/a%2fb " + parsed(t, b.URL).Host}, {"/billing", "", "/ " + parsed(t, b.URL).Host},
		{"/billing/v1", "shop.internal:7070", "/billing/v1 " + parsed(t, s.URL).Host},
		{"/billings", "", "GET /billings Bearer token-1 |"}, {"/%62illing/v1", "", "GET /%62illing/v1 Bearer token-1 |"},
	} {
		headers := []string{}
		if tt.host != "" {
			headers = []string{"Host", tt.host}
		}
		if _, body := w.call("GET", tt.target, "", headers...); body != tt.want {
			t.Errorf("%s %s: %q, want %q", tt.host, tt.target, body, tt.want)
		}
	}
	if _, err := New(Options{APIs: []API{{URL: parsed(t, b.URL), Client: second}, {URL: parsed(t, s.URL), Client: third}}, Reader: reader(t, "header:X-API-Key"), Log: slog.New(slog.DiscardHandler)}); err == nil {
		t.Error("two APIs for every call were taken")
	}
}

// TestPagesInABrowserAreRefused: any site could else call the API in the name of
// whoever has it open, by the agent's address or by a name that it points there.
func TestPagesInABrowserAreRefused(t *testing.T) {
	w := newWorld(t, nil)
	for name, headers := range map[string][]string{
		"another site":            {"Sec-Fetch-Site", "cross-site"},
		"a page of this machine":  {"Sec-Fetch-Site", "same-site"},
		"an older browser":        {"Origin", "https://evil.example"},
		"no origin to speak of":   {"Origin", "null"},
		"a name that points here": {"Host", "rebound.evil.example"},
	} {
		if status, body := w.call("GET", "/", "", headers...); status != 403 || !strings.Contains(body, "browser_refused") {
			t.Errorf("%s: %d %s", name, status, body)
		}
	}
	for _, host := range []string{"localhost:7070", "127.0.0.1:7070", "[::1]:7070", "LOCALHOST"} {
		if status, _ := w.call("GET", "/", "", "Host", host); status != 200 {
			t.Errorf("%s: %d", host, status)
		}
	}
	if n := w.issuer.count(); n != 1 {
		t.Errorf("%d tokens", n)
	}
}

func TestATokenIsRenewedBesideTheCalls(t *testing.T) {
	w := newWorld(t, nil)
	w.call("GET", "/", "")
	w.at.Add(int64(11 * time.Minute))
	if _, body := w.call("GET", "/", ""); !strings.Contains(body, "token-1 ") || w.issuer.count() != 1 {
		t.Errorf("renewed after 11 of 15 minutes: %s", body)
	}
	held := make(chan struct{})
	w.issuer.set(func(i *issuer) { i.held = held })
	w.at.Add(int64(90 * time.Second)) // 80 % have passed
	for range 3 {
		if _, body := w.call("GET", "/", ""); !strings.Contains(body, "token-1 ") {
			t.Errorf("a call waits for the next token, or got %s", body)
		}
	}
	close(held)
	for range 500 {
		if _, body := w.call("GET", "/", ""); strings.Contains(body, "token-2 ") {
			w.issuer.set(func(i *issuer) {
				if i.asked != 2 {
					t.Errorf("asked %d times", i.asked)
				}
			})
			return
		}
		time.Sleep(time.Millisecond)
	}
	t.Error("the token is not renewed")
}

func TestAnIssuerThatIsAwayFailsNoCall(t *testing.T) {
	w := newWorld(t, nil)
	w.call("GET", "/", "")
	w.issuer.set(func(i *issuer) { i.err = errAway })
	w.at.Add(int64(14 * time.Minute)) // due, and good for a minute yet
	for range 20 {
		if status, body := w.call("GET", "/", ""); status != 200 || !strings.Contains(body, "token-1 ") {
			t.Fatalf("%d %s", status, body)
		}
	}
	w.at.Add(int64(2 * time.Minute)) // gone: calls wait
	go func() {
		time.Sleep(300 * time.Millisecond)
		w.issuer.set(func(i *issuer) { i.err = nil })
	}()
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			if status, body := w.call("GET", "/", ""); status != 200 || !strings.Contains(body, "token-2 ") {
				t.Errorf("%d %s", status, body)
			}
		})
	}
	wg.Wait()
	w.issuer.set(func(i *issuer) { i.err = errors.New("this client is disabled") })
	w.at.Add(int64(time.Hour))
	if status, body := w.call("GET", "/", ""); status != 502 || !strings.Contains(body, "no_token") || strings.Contains(body, "disabled") {
		t.Errorf("%d %s", status, body)
	}
}

func TestARefusedTokenIsReplacedOnce(t *testing.T) {
	w := newWorld(t, nil)
	var calls atomic.Int64
	good := atomic.Pointer[string]{}
	two := "Bearer token-2"
	good.Store(&two)
	w.answer(func(rw http.ResponseWriter, r *http.Request) {
		calls.Add(1)
		body, _ := io.ReadAll(r.Body)
		if r.Header.Get("Authorization") != *good.Load() {
			rw.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`)
			rw.WriteHeader(401)
			return
		}
		_, _ = rw.Write(body)
	})
	if status, body := w.call("POST", "/", "hello"); status != 200 || body != "hello" || calls.Load() != 2 {
		t.Errorf("%d %q after %d calls", status, body, calls.Load())
	}
	nothing := "Bearer nothing is good"
	good.Store(&nothing)
	calls.Store(0)
	if status, _ := w.call("POST", "/", "hello"); status != 401 || calls.Load() != 2 {
		t.Errorf("%d after %d calls: once is enough", status, calls.Load())
	}
	calls.Store(0)
	if status, _ := w.call("POST", "/", strings.Repeat("x", maxReplayable+1)); status != 401 || calls.Load() != 1 {
		t.Errorf("%d after %d calls: a body that is not held is sent once", status, calls.Load())
	}
	w.answer(func(rw http.ResponseWriter, r *http.Request) { calls.Add(1); rw.WriteHeader(401) })
	calls.Store(0)
	made := w.issuer.count()
	if status, _ := w.call("GET", "/", ""); status != 401 || calls.Load() != 1 || w.issuer.count() > made+1 {
		t.Errorf("the API's own 401: %d after %d calls", status, calls.Load())
	}
}

func TestAnAPIThatRestartsFailsNoCall(t *testing.T) {
	w := newWorld(t, nil)
	w.call("GET", "/", "")
	addr := w.api.Listener.Addr().String()
	w.api.CloseClientConnections()
	_ = w.api.Listener.Close()
	back := make(chan *http.Server, 1)
	go func() {
		time.Sleep(300 * time.Millisecond)
		l, err := net.Listen("tcp", addr)
		if err != nil {
			back <- nil
			return
		}
		s := &http.Server{Handler: http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { _, _ = io.Copy(rw, r.Body) })}
		back <- s
		_ = s.Serve(l)
	}()
	status, body := w.call("POST", "/", "sent once")
	s := <-back
	if s == nil {
		t.Skip("somebody else has the port now")
	}
	defer s.Close()
	if status != 200 || body != "sent once" {
		t.Errorf("%d %s", status, body)
	}
}

func TestTheClockIsPutRightByWhatAnswersSay(t *testing.T) {
	at := time.Date(2027, 1, 15, 10, 0, 0, 0, time.UTC)
	c := NewClock(func() time.Time { return at })
	note := func(ahead time.Duration) {
		c.note(at.Add(ahead).Format(http.TimeFormat), at, at.Add(20*time.Millisecond))
	}
	for _, off := range []time.Duration{0, 3 * time.Second, -3 * time.Second} {
		if note(off); c.Off() != 0 {
			t.Errorf("%v is taken for a wrong clock: %v", off, c.Off())
		}
	}
	for _, off := range []time.Duration{7 * time.Minute, -7 * time.Minute, time.Hour} {
		note(off)
		if d := c.Now().Sub(at.Add(off)); d.Abs() > time.Second {
			t.Errorf("off by %v, put right to within %v", off, d)
		}
		before := c.Off()
		if note(off + time.Second); c.Off() != before {
			t.Error("it trembles")
		}
	}
	note(0)
	if c.note("yesterday", at, at); c.Off() != 0 {
		t.Error("nonsense moves it")
	}
}

// TestATokenThatTheClockCostIsAskedForAgain: the answer that refuses what was
// signed says what time it is.
func TestATokenThatTheClockCostIsAskedForAgain(t *testing.T) {
	real := time.Now()
	clock := NewClock(func() time.Time { return real.Add(-10 * time.Minute) })
	i := &issuer{life: time.Hour, clock: clock, err: errors.New("invalid_client: the assertion is of the past")}
	k := newKeeper(clockwise{i, real}, clock, time.Now, 5*time.Second)
	token, err := k.token(context.Background())
	if err != nil || token.Value.Reveal() != "token-1" || i.asked != 2 {
		t.Errorf("%v after %d requests", err, i.asked)
	}
}

// clockwise is an issuer whose refusal brings its Date.
type clockwise struct {
	*issuer
	real time.Time
}

func (c clockwise) Token(ctx context.Context) (Token, error) {
	if c.clock.Now().Sub(c.real).Abs() < time.Minute {
		c.set(func(i *issuer) { i.err = nil })
	}
	token, err := c.issuer.Token(ctx)
	if err != nil {
		c.clock.note(c.real.Format(http.TimeFormat), c.clock.system(), c.clock.system())
	}
	return token, err
}

func TestTheSocketIsForOneUser(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("modes are not kept there")
	}
	dir, err := os.MkdirTemp("", "agent")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "s")
	l, err := ListenSocket(path)
	if err != nil {
		t.Fatal(err)
	}
	if info, _ := os.Stat(path); info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v", info.Mode())
	}
	if _, err := ListenSocket(path); err == nil {
		t.Error("two listen on it")
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	_ = l.Close()
	if l, err = ListenSocket(path); err != nil {
		t.Fatalf("a left-over stands in the way: %v", err)
	}
	_ = l.Close()
	if err := os.WriteFile(path, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ListenSocket(path); err == nil {
		t.Error("a file was taken away")
	}
}

func TestWhatIsLocal(t *testing.T) {
	for address, want := range map[string]bool{
		"127.0.0.1:7070": true, "localhost:7070": true, "[::1]:7070": true, "127.8.8.8:1": true,
		":7070": false, "0.0.0.0:7070": false, "[::]:7070": false, "10.0.0.1:7070": false, "agent:7070": false, "": false, "127.0.0.1": false,
	} {
		if Local(address) != want {
			t.Errorf("%q: %v", address, !want)
		}
	}
}
