package console

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/offkey/offkey/internal/client"
	"github.com/offkey/offkey/internal/jose"
	"github.com/offkey/offkey/internal/keyring"
	"github.com/offkey/offkey/internal/oauth"
	"github.com/offkey/offkey/internal/secret"
	"github.com/offkey/offkey/internal/store"
	"github.com/offkey/offkey/internal/token"
)

const (
	issuer   = "https://auth.example.com"
	self     = "http://console.test"
	resource = self + "/api/v1"
)

// far is the API and the issuer's token endpoint, at the far side of the
// console: the tokens are real ones.
type far struct {
	t        *testing.T
	ring     *keyring.Manager
	verifier *token.Verifier
	scopes   oauth.Scope
	authTime time.Time
	now      time.Time

	mu      sync.Mutex
	asked   []string          // "METHOD path body"
	answers map[string]string // by "METHOD path"
	status  map[string]int
	header  map[string]string // WWW-Authenticate
	forms   []url.Values
	gone    bool // the issuer's session has ended
}

func newFar(t *testing.T) *far {
	t.Helper()
	f := &far{t: t, scopes: oauth.Scope{"read:offkey.apikeys", "read:offkey.status", "update:offkey.stage", "read:offkey.clients", "read:offkey.audit"}, answers: map[string]string{}, status: map[string]int{}, header: map[string]string{}}
	f.now = time.Date(2027, 3, 1, 12, 0, 0, 0, time.UTC)
	f.authTime = f.now
	db, err := store.Open(t.Context(), store.Options{DSN: "sqlite://" + t.TempDir() + "/offkey.db", Now: f.clock})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	raw, err := secret.GenerateMasterKey()
	if err != nil {
		t.Fatal(err)
	}
	master, err := secret.NewMasterKey(raw)
	if err != nil {
		t.Fatal(err)
	}
	f.ring = keyring.New(db, master, keyring.Options{Alg: jose.ES256}, f.clock)
	if err := f.ring.Tend(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.verifier = token.NewVerifier(token.VerifierOptions{Issuer: issuer, Audience: resource, Ring: f.ring.Current, Now: f.clock})
	return f
}

func (f *far) clock() time.Time { f.mu.Lock(); defer f.mu.Unlock(); return f.now }

func (f *far) pass(d time.Duration) { f.mu.Lock(); defer f.mu.Unlock(); f.now = f.now.Add(d) }

// tokens is the token endpoint.
func (f *far) tokens(_ context.Context, form url.Values) (Tokens, error) {
	f.mu.Lock()
	f.forms = append(f.forms, form)
	gone := f.gone
	f.mu.Unlock()
	if gone {
		return Tokens{}, errors.New("invalid_grant")
	}
	made, err := token.NewIssuer(issuer, f.ring.Current, f.clock).Issue(token.Authorization{
		Client: &client.Client{ID: "offkey-console"}, Subject: "pe_1", Scope: f.scopes, Resources: []string{resource}, Life: 15 * time.Minute,
		Login: token.Login{PersonID: "pe_1", AuthTime: f.authTime},
	})
	return Tokens{AccessToken: made.Token, RefreshToken: "again", ExpiresIn: 900}, err
}

// ServeHTTP is the API.
func (f *far) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	body := ""
	if r.Body != nil {
		raw, _ := io.ReadAll(r.Body)
		body = string(raw)
	}
	name := r.Method + " " + r.URL.Path
	f.asked = append(f.asked, r.Method+" "+r.URL.RequestURI()+" "+body)
	if r.URL.Query().Has("dry_run") {
		name += " dry"
	}
	if f.header[name] != "" {
		w.Header().Set("WWW-Authenticate", f.header[name])
	}
	if status := f.status[name]; status != 0 {
		w.WriteHeader(status)
	}
	answer, ok := f.answers[name]
	if !ok {
		answer = "{}"
	}
	_, _ = io.WriteString(w, answer)
}

// person is a browser before the console.
type person struct {
	t      *testing.T
	far    *far
	server http.Handler
	jar    *cookiejar.Jar
}

func newPerson(t *testing.T, f *far) *person {
	t.Helper()
	s, err := New(Options{
		URL: self, Issuer: issuer, ClientID: "offkey-console", Resource: resource, Scopes: f.scopes, Token: f.tokens, Verify: f.verifier.Verify,
		NameOf: func(context.Context, string) string { return "ana" }, As: func(ctx context.Context, _ *token.Verified) context.Context { return ctx }, API: f, Now: f.clock,
	})
	if err != nil {
		t.Fatal(err)
	}
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &person{t, f, s.Handler(), jar}
}

func (p *person) send(method, path string, form url.Values, header ...string) *http.Response {
	p.t.Helper()
	var in io.Reader
	if form != nil {
		in = strings.NewReader(form.Encode())
	}
	r := httptest.NewRequest(method, self+path, in)
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	for _, c := range p.jar.Cookies(r.URL) {
		r.AddCookie(c)
	}
	rec := httptest.NewRecorder()
	p.server.ServeHTTP(rec, r)
	resp := rec.Result()
	p.jar.SetCookies(r.URL, resp.Cookies())
	return resp
}

func (p *person) body(resp *http.Response) string {
	p.t.Helper()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	return string(raw)
}

// signIn is the way over the issuer; the answer is what the console says to it.
func (p *person) signIn(path string) *http.Response {
	p.t.Helper()
	resp := p.send(http.MethodGet, "/signin?next="+url.QueryEscape(path), nil)
	at, err := resp.Location()
	if err != nil || !strings.HasPrefix(at.String(), issuer+"/authorize?") {
		p.t.Fatalf("%d %v %v", resp.StatusCode, at, err)
	}
	return p.send(http.MethodGet, "/signed-in?"+url.Values{"code": {"abc"}, "state": {at.Query().Get("state")}, "iss": {issuer}}.Encode(), nil)
}

func TestWhoIsNotSignedInIsSentToTheIssuer(t *testing.T) {
	p := newPerson(t, newFar(t))
	resp := p.send(http.MethodGet, "/apikeys?stage=warn", nil)
	at, _ := resp.Location()
	if resp.StatusCode != http.StatusSeeOther || at.Path != "/signin" || at.Query().Get("next") != "/apikeys?stage=warn" {
		t.Fatalf("%d %v", resp.StatusCode, at)
	}
	back := p.signIn("/apikeys?stage=warn")
	if to, _ := back.Location(); back.StatusCode != http.StatusSeeOther || to.RequestURI() != "/apikeys?stage=warn" {
		t.Errorf("%d %v", back.StatusCode, to)
	}
	form := p.far.forms[0]
	if form.Get("grant_type") != "authorization_code" || form.Get("code_verifier") == "" || form.Get("resource") != resource {
		t.Errorf("%v", form)
	}
	if resp := p.send(http.MethodGet, "/apikeys", nil); resp.StatusCode != http.StatusOK {
		t.Errorf("%d", resp.StatusCode)
	}
}

func TestASignInIsOfOneBrowserAndOnce(t *testing.T) {
	f := newFar(t)
	p, other := newPerson(t, f), newPerson(t, f)
	begin := func() url.Values {
		at, _ := p.send(http.MethodGet, "/signin", nil).Location()
		return url.Values{"code": {"abc"}, "state": {at.Query().Get("state")}, "iss": {issuer}}
	}
	answer := begin()
	other.server = p.server
	if resp := other.send(http.MethodGet, "/signed-in?"+answer.Encode(), nil); resp.StatusCode != http.StatusBadRequest {
		t.Errorf("another browser's: %d", resp.StatusCode)
	}
	answer = begin()
	answer.Set("iss", "https://evil.example")
	if resp := p.send(http.MethodGet, "/signed-in?"+answer.Encode(), nil); resp.StatusCode != http.StatusBadRequest {
		t.Errorf("of another issuer: %d", resp.StatusCode)
	}
	answer = begin()
	if resp := p.send(http.MethodGet, "/signed-in?"+answer.Encode(), nil); resp.StatusCode != http.StatusSeeOther {
		t.Errorf("the first time: %d", resp.StatusCode)
	}
	if resp := p.send(http.MethodGet, "/signed-in?"+answer.Encode(), nil); resp.StatusCode != http.StatusBadRequest {
		t.Errorf("again: %d", resp.StatusCode)
	}
	answer = begin()
	f.pass(16 * time.Minute)
	if resp := p.send(http.MethodGet, "/signed-in?"+answer.Encode(), nil); resp.StatusCode != http.StatusBadRequest {
		t.Errorf("too late: %d", resp.StatusCode)
	}
}

func TestAfterASignInThereIsNoWayElsewhere(t *testing.T) {
	for _, next := range []string{"https://evil.example", "//evil.example", `/\evil.example`, "javascript:alert(1)", "evil", "", "/\t/evil.example"} {
		p := newPerson(t, newFar(t))
		to, err := p.signIn(next).Location()
		if err != nil || to.Host != "" || to.Scheme != "" || to.RequestURI() != "/" {
			t.Errorf("%q leads to %v, %v", next, to, err)
		}
	}
}

func TestASessionEndsWithTheIssuers(t *testing.T) {
	f := newFar(t)
	p := newPerson(t, f)
	p.signIn("/")
	f.pass(16 * time.Minute)
	if resp := p.send(http.MethodGet, "/apikeys", nil); resp.StatusCode != http.StatusOK {
		t.Errorf("a token that ended is renewed: %d", resp.StatusCode)
	}
	f.gone = true
	f.pass(16 * time.Minute)
	if resp := p.send(http.MethodGet, "/apikeys", nil); resp.StatusCode != http.StatusSeeOther {
		t.Errorf("after the end of the issuer's session: %d", resp.StatusCode)
	}
}

var csrfField = regexp.MustCompile(`name="csrf" value="([^"]+)"`)

func (p *person) csrf(page string) string {
	p.t.Helper()
	m := csrfField.FindStringSubmatch(p.body(p.send(http.MethodGet, page, nil)))
	if m == nil {
		p.t.Fatalf("%s has no form", page)
	}
	return m[1]
}

func TestAnActIsShownBeforeItIsDone(t *testing.T) {
	f := newFar(t)
	f.answers["GET /api/v1/cohorts"] = `{"cohorts":[]}`
	f.answers["POST /api/v1/stage dry"] = `{"stage":"warn","changed":7,"kept":1,"dry_run":true}`
	p := newPerson(t, f)
	p.signIn("/")
	form := url.Values{"csrf": {p.csrf("/campaign")}, "back": {"/campaign"}, "stage": {"warn"}}
	f.asked = nil
	body := p.body(p.send(http.MethodPost, "/do/stage", form))
	if !strings.Contains(body, "Nothing has happened yet") || !strings.Contains(body, "<td>7</td>") || len(f.asked) != 1 || !strings.Contains(f.asked[0], "dry_run=true") {
		t.Fatalf("%v\n%s", f.asked, body)
	}
	form.Set("confirm", "yes")
	resp := p.send(http.MethodPost, "/do/stage", form)
	if to, _ := resp.Location(); resp.StatusCode != http.StatusSeeOther || to.RequestURI() != "/campaign?done=stage" {
		t.Errorf("%d %v", resp.StatusCode, to)
	}
	var sent struct {
		Stage string
		All   bool
	}
	last := f.asked[len(f.asked)-1]
	if err := json.Unmarshal([]byte(last[strings.Index(last, "{"):]), &sent); err != nil || sent.Stage != "warn" || !sent.All || strings.Contains(last, "dry_run") {
		t.Errorf("%s %v", last, err)
	}
}

func TestFormsOfOthersDoNothing(t *testing.T) {
	f := newFar(t)
	p := newPerson(t, f)
	p.signIn("/")
	good := url.Values{"csrf": {p.csrf("/campaign")}, "stage": {"retired"}, "confirm": {"yes"}}
	f.asked = nil
	for name, send := range map[string]func() *http.Response{
		"from another site": func() *http.Response {
			return p.send(http.MethodPost, "/do/stage", good, "Sec-Fetch-Site", "cross-site", "Origin", "https://evil.example")
		},
		"without the token": func() *http.Response {
			return p.send(http.MethodPost, "/do/stage", url.Values{"stage": {"retired"}, "confirm": {"yes"}})
		},
		"by GET": func() *http.Response { return p.send(http.MethodGet, "/do/stage?"+good.Encode(), nil) },
	} {
		if resp := send(); resp.StatusCode < 400 || len(f.asked) != 0 {
			t.Errorf("%s: %d, asked %v", name, resp.StatusCode, f.asked)
		}
	}
}

func TestADangerousActLeadsToANewSignIn(t *testing.T) {
	f := newFar(t)
	p := newPerson(t, f)
	p.signIn("/")
	f.status["POST /api/v1/stage dry"] = http.StatusUnauthorized
	f.answers["POST /api/v1/stage dry"] = `{"status":401,"code":"insufficient_user_authentication","detail":"sign in again"}`
	f.header["POST /api/v1/stage dry"] = `Bearer error="insufficient_user_authentication", max_age="300"`
	resp := p.send(http.MethodPost, "/do/stage", url.Values{"csrf": {p.csrf("/campaign")}, "back": {"/campaign"}, "stage": {"retired"}})
	to, _ := resp.Location()
	if resp.StatusCode != http.StatusSeeOther || to.Path != "/signin" || to.Query().Get("max_age") != "300" || to.Query().Get("next") != "/campaign" {
		t.Fatalf("%d %v", resp.StatusCode, to)
	}
	at, _ := p.send(http.MethodGet, to.RequestURI(), nil).Location()
	if at.Query().Get("max_age") != "300" {
		t.Errorf("%v", at)
	}
}

// What callers can choose stands as text wherever it is shown.
func TestWhatCallersWriteIsInert(t *testing.T) {
	f := newFar(t)
	p := newPerson(t, f)
	p.signIn("/")
	evil := []string{`<script>alert(1)</script>`, `"><img src=x onerror=alert(1)>`, `javascript:alert(1)`, `{{.CSRF}}`, "\x1b[31mred", `'); drop table--`, `=HYPERLINK("http://evil")`, `@SUM(1)`, "+1\r\nX-Evil: 1"}
	raw, _ := json.Marshal(map[string]any{"apikeys": []map[string]any{{
		"id": evil[0], "last4": evil[1], "label": evil[2], "owner": evil[6], "stage": "warn", "enforce": "off", "user_agents": evil, "carriers": evil, "sources": []string{}, "risks": evil, "client_id": evil[1], "routes": []any{},
	}}, "next": evil[0]})
	f.answers["GET /api/v1/apikeys"] = string(raw)
	body := p.body(p.send(http.MethodGet, "/apikeys?owner="+url.QueryEscape(evil[1]), nil))
	for _, tag := range []string{"<script>alert", "<img", `href="javascript:`} {
		if strings.Contains(body, tag) {
			t.Errorf("%s is in the page", tag)
		}
	}
	if !strings.Contains(html.UnescapeString(body), evil[0]) {
		t.Error("what was written is not shown at all")
	}
	resp := p.send(http.MethodGet, "/apikeys?format=csv", nil)
	rows, err := csv.NewReader(resp.Body).ReadAll()
	if err != nil || len(rows) != 2 {
		t.Fatal(rows, err)
	}
	for _, cell := range rows[1] {
		if strings.ContainsRune("=+-@", rune(append([]byte(cell), ' ')[0])) {
			t.Errorf("a spreadsheet calculates %q", cell)
		}
	}
	if kind := resp.Header.Get("Content-Type"); kind != "text/csv; charset=utf-8" || !strings.HasPrefix(resp.Header.Get("Content-Disposition"), "attachment") {
		t.Errorf("%v", resp.Header)
	}
}

func TestEveryAnswerOfAPageIsGuarded(t *testing.T) {
	p := newPerson(t, newFar(t))
	p.signIn("/")
	for _, path := range []string{"/", "/apikeys", "/nothing", "/static/console.css"} {
		h := p.send(http.MethodGet, path, nil).Header
		if csp := h.Get("Content-Security-Policy"); !strings.Contains(csp, "default-src 'none'") || strings.Contains(csp, "unsafe") || h.Get("X-Frame-Options") != "DENY" || h.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: %v", path, h)
		}
	}
}

func TestSessionsAreBounded(t *testing.T) {
	s, now := newSessions(), time.Unix(0, 0)
	for i := range maxSessions + 10 {
		s.put(random(), &session{lastUsed: now.Add(time.Duration(i) * time.Millisecond)}, now)
		s.begin(random(), begun{at: now})
	}
	if len(s.open) > maxSessions || len(s.begun) > maxBegun {
		t.Errorf("%d sessions, %d on the way", len(s.open), len(s.begun))
	}
}
