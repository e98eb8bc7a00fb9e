package authserver_test

import (
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/offkey/offkey/internal/authserver"
	"github.com/offkey/offkey/internal/client"
	"github.com/offkey/offkey/internal/directory"
	"github.com/offkey/offkey/internal/jose"
	"github.com/offkey/offkey/internal/oauth"
	"github.com/offkey/offkey/internal/secret"
	"github.com/offkey/offkey/internal/session"
	"github.com/offkey/offkey/internal/token"
)

// pages are the person's side as package signin keeps it, without pages: what
// waits is bound to the browser's cookie, is answered once and taken once.
type pages struct {
	w        *world
	mu       sync.Mutex
	waiting  map[string]session.Request
	sessions map[string]session.Session // by cookie
	consents map[string]oauth.Scope     // by person and client
	ended    []string
	begun    []session.Request
	broken   error
}

func (p *pages) cookie(r *http.Request) string {
	c, err := r.Cookie("browser")
	if err != nil {
		return ""
	}
	return c.Value
}

func (p *pages) Begin(w http.ResponseWriter, r *http.Request, q session.Request) (*session.Answer, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.broken != nil {
		return nil, p.broken
	}
	p.begun = append(p.begun, q)
	cookie := p.cookie(r)
	s, signedIn := p.sessions[cookie]
	good := signedIn && q.Demand.Meets(s) && !q.Demand.Prompts("login") && !q.Demand.Prompts("select_account")
	good = good && q.Kind != session.ForLogout
	allowed := good && p.consents[s.PersonID+" "+q.ClientID].Covers(q.Ask.Scope) && !q.Demand.Prompts("consent")
	switch {
	case allowed:
		return &session.Answer{PersonID: s.PersonID, SessionID: s.ID, Login: s.Login, Scope: q.Ask.Scope, At: p.w.now()}, nil
	case q.Demand.Prompts("none") && !good:
		return &session.Answer{Error: oauth.CodeLoginRequired, At: p.w.now()}, nil
	case q.Demand.Prompts("none"):
		return &session.Answer{Error: oauth.CodeConsentRequired, At: p.w.now()}, nil
	}
	if cookie == "" {
		cookie = "b" + session.NewRequestID()
		http.SetCookie(w, &http.Cookie{Name: "browser", Value: cookie})
	}
	q.Browser = secret.HashOf(cookie)
	p.waiting[q.ID] = q
	http.Redirect(w, r, "/sign-in?request="+q.ID, http.StatusSeeOther)
	return nil, nil
}

func (p *pages) Answered(r *http.Request, id string) (session.Request, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	q, there := p.waiting[id]
	if !there || q.Answer == nil || q.Browser != secret.HashOf(p.cookie(r)) || !p.w.now().Before(q.Expires) {
		return session.Request{}, session.ErrGone
	}
	delete(p.waiting, id)
	return q, nil
}

func (p *pages) Current(r *http.Request) (session.Session, bool, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s, there := p.sessions[p.cookie(r)]
	return s, there, p.broken
}

func (p *pages) End(w http.ResponseWriter, r *http.Request, sessionID string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for cookie, s := range p.sessions {
		if s.ID == sessionID {
			delete(p.sessions, cookie)
		}
	}
	p.ended = append(p.ended, sessionID)
	http.SetCookie(w, &http.Cookie{Name: "browser", MaxAge: -1})
	return p.w.db.Revoke(r.Context(), token.Revocation{Kind: token.RevokeSession, ID: sessionID, Before: p.w.now()}, system)
}

// crowd is the directory.
type crowd struct {
	mu     sync.Mutex
	people map[string]*directory.Person
	may    map[string]oauth.Scope
}

func (c *crowd) Person(_ context.Context, id string) (*directory.Person, oauth.Scope, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p, there := c.people[id]
	if !there {
		return nil, nil, directory.ErrNotFound
	}
	copied := *p
	return &copied, c.may[id], nil
}

func (c *crowd) change(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f()
}

// peopleWorld is a world with people in it.
type peopleWorld struct {
	*world
	pages *pages
	crowd *crowd
}

func newPeopleWorld(t testing.TB, change ...func(*authserver.Options)) *peopleWorld {
	t.Helper()
	p := &peopleWorld{
		pages: &pages{waiting: map[string]session.Request{}, sessions: map[string]session.Session{}, consents: map[string]oauth.Scope{}},
		crowd: &crowd{
			people: map[string]*directory.Person{
				"pe_alice": {ID: "pe_alice", Name: "alice", Email: "alice@example.com", EmailVerified: true, Status: directory.Active},
				"pe_bob":   {ID: "pe_bob", Name: "bob", Status: directory.Active},
			},
			may: map[string]oauth.Scope{},
		},
	}
	all := oauth.Scope{"openid", "profile", "email", "address", "phone", "offline_access", "read:orders", "create:orders"}
	p.crowd.may["pe_alice"], p.crowd.may["pe_bob"] = all, all
	p.world = newWorld(t, append([]func(*authserver.Options){func(o *authserver.Options) {
		o.Browser, o.People = p.pages, p.crowd
		o.RefreshKey, o.SubjectKey = []byte(strings.Repeat("r", 32)), []byte(strings.Repeat("s", 32))
	}}, change...)...)
	p.pages.w = p.world
	return p
}

const (
	redirectURI = "https://client.example/cb"
	verifier    = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk" // RFC 7636 appendix B
	challenge   = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
)

// app is a public client for OpenID Connect and the API.
func app() client.Client {
	return client.Client{
		ID: "app", AuthMethod: oauth.AuthNone, Grants: []string{oauth.GrantAuthorizationCode, oauth.GrantRefreshToken},
		Scopes: oauth.Scope{"openid", "profile", "email", "offline_access", "read:orders"}, Resources: []string{api, otherAPI},
		Details: client.Details{RedirectURIs: []string{redirectURI, redirectURI + "?tenant=a", "http://127.0.0.1/cb", "com.example.app:/cb"}},
	}
}

// usual is a good authorization request; pairs replace or, with an empty value,
// remove parameters.
func usual(pairs ...string) url.Values {
	v := values(
		"client_id", "app", "response_type", "code", "redirect_uri", redirectURI, "scope", "openid read:orders", "state", "st",
		"code_challenge", challenge, "code_challenge_method", "S256",
	)
	for i := 0; i < len(pairs); i += 2 {
		if v.Del(pairs[i]); pairs[i+1] != "" {
			v.Set(pairs[i], pairs[i+1])
		}
	}
	return v
}

// visit is a browser with its cookie.
type visit struct {
	p      *peopleWorld
	cookie string
}

// signIn is a browser in which a person is signed in.
func (p *peopleWorld) signIn(personID string) *visit {
	v := &visit{p: p, cookie: "b" + session.NewRequestID()}
	p.pages.mu.Lock()
	defer p.pages.mu.Unlock()
	p.pages.sessions[v.cookie] = session.Session{
		ID: session.NewID(), PersonID: personID, Expires: p.now().Add(12 * time.Hour),
		Login: session.Login{AuthTime: p.now().Truncate(time.Second), ACR: session.ACRPassword, AMR: []string{"pwd"}},
	}
	return v
}

func (v *visit) session() session.Session {
	v.p.pages.mu.Lock()
	defer v.p.pages.mu.Unlock()
	return v.p.pages.sessions[v.cookie]
}

// send sends a request with the browser's cookie, and keeps the one that comes.
func (v *visit) send(method, target string, form url.Values) answer {
	v.p.t.Helper()
	r := httptest.NewRequest(method, target, strings.NewReader(form.Encode()))
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	if v.cookie != "" {
		r.AddCookie(&http.Cookie{Name: "browser", Value: v.cookie})
	}
	a := v.p.do(r)
	for _, c := range (&http.Response{Header: a.header}).Cookies() {
		if v.cookie = c.Value; c.MaxAge < 0 {
			v.cookie = ""
		}
	}
	return a
}

func (v *visit) authorize(q url.Values) answer {
	v.p.t.Helper()
	return v.send(http.MethodGet, "/authorize?"+q.Encode(), nil)
}

// allow is what a person does who signs in and allows all, and where the browser
// then goes.
func (v *visit) allow(page answer, personID string, change ...func(*session.Answer)) answer {
	v.p.t.Helper()
	u, err := url.Parse(page.header.Get("Location"))
	if err != nil || page.status != http.StatusSeeOther || u.Path != "/sign-in" {
		v.p.t.Fatalf("not sent to a page: %d %s %s", page.status, page.header.Get("Location"), page.body)
	}
	p := v.p.pages
	p.mu.Lock()
	q := p.waiting[u.Query().Get("request")]
	s := p.sessions[v.cookie]
	if s.PersonID != personID || !q.Demand.Meets(s) || q.Demand.Prompts("login") {
		s = session.Session{ID: session.NewID(), PersonID: personID, Login: session.Login{AuthTime: p.w.now().Truncate(time.Second), ACR: session.ACRMFA, AMR: []string{"pwd", "otp"}}}
		p.sessions[v.cookie] = s
	}
	q.Answer = &session.Answer{PersonID: personID, SessionID: s.ID, Login: s.Login, Scope: q.Ask.Scope, At: p.w.now()}
	for _, f := range change {
		f(q.Answer)
	}
	p.waiting[q.ID] = q
	p.consents[personID+" "+q.ClientID] = q.Answer.Scope
	p.mu.Unlock()
	return v.send(http.MethodGet, q.Return, nil)
}

// sentTo checks for a redirect to the client and returns its parameters.
func (a answer) sentTo(uri string) url.Values {
	a.t.Helper()
	location := a.header.Get("Location")
	if a.status != http.StatusSeeOther || !strings.HasPrefix(location, uri) {
		a.t.Fatalf("not sent to %s: %d %s %s", uri, a.status, location, a.body)
	}
	u, err := url.Parse(location)
	if err != nil {
		a.t.Fatal(err)
	}
	if u.Fragment != "" {
		a.t.Errorf("fragment in %s", location)
	}
	if got := a.header.Get("Cache-Control"); got != "no-store" {
		a.t.Errorf("checklist_4: Cache-Control %q", got)
	}
	q := u.Query()
	if len(q["iss"]) != 1 || q.Get("iss") != issuerURL {
		a.t.Errorf("checklist_45: iss is %q", q["iss"])
	}
	return q
}

// failed checks for an error that was sent to the client.
func (a answer) failed(code, part string) {
	a.t.Helper()
	q := a.sentTo("")
	if q.Get("error") != code || !strings.Contains(q.Get("error_description"), part) || q.Has("code") {
		a.t.Errorf("got %v, want %s with %q", q, code, part)
	}
	if d := q.Get("error_description"); d != oauth.CleanDescription(d) {
		a.t.Errorf("checklist_5: %q", d)
	}
}

// page checks for the error page.
func (a answer) page(part string) {
	a.t.Helper()
	if a.status != http.StatusBadRequest || !strings.Contains(a.body, "This request cannot be answered") || !strings.Contains(a.body, part) || a.header.Get("Location") != "" {
		a.t.Errorf("got %d %s %s, want the error page with %q", a.status, a.header.Get("Location"), a.body, part)
	}
	for name, want := range map[string]string{
		"X-Frame-Options": "DENY", "Cache-Control": "no-store", "Referrer-Policy": "no-referrer", "X-Content-Type-Options": "nosniff",
	} {
		if got := a.header.Get(name); got != want {
			a.t.Errorf("checklist_50: %s is %q", name, got)
		}
	}
	if csp := a.header.Get("Content-Security-Policy"); !strings.Contains(csp, "frame-ancestors 'none'") || !strings.Contains(csp, "default-src 'none'") {
		a.t.Errorf("checklist_50: Content-Security-Policy is %q", csp)
	}
}

// code goes through a whole authorization and returns the code.
func (v *visit) code(q url.Values, personID string) string {
	v.p.t.Helper()
	a := v.authorize(q)
	if u, err := url.Parse(a.header.Get("Location")); err == nil && u.Path == "/sign-in" {
		a = v.allow(a, personID)
	}
	got := a.sentTo("")
	if got.Get("code") == "" {
		v.p.t.Fatalf("no code: %v", got)
	}
	return got.Get("code")
}

// redeem trades a code of the usual request.
func (p *peopleWorld) redeem(code string, header http.Header, more ...string) answer {
	p.t.Helper()
	form := values("grant_type", oauth.GrantAuthorizationCode, "code", code, "redirect_uri", redirectURI, "code_verifier", verifier)
	if header == nil {
		form.Set("client_id", "app")
	}
	for i := 0; i < len(more); i += 2 {
		if form.Del(more[i]); more[i+1] != "" {
			form.Set(more[i], more[i+1])
		}
	}
	return p.post("/token", header, form)
}

// refresh renews by a refresh token.
func (p *peopleWorld) refresh(refreshToken string, more ...string) answer {
	p.t.Helper()
	return p.post("/token", nil, merged(values("grant_type", oauth.GrantRefreshToken, "refresh_token", refreshToken, "client_id", "app"), values(more...)))
}

func (a answer) text(name string) string {
	s, _ := a.json[name].(string)
	return s
}

func stdSHA256(s string) string {
	sum := sha256.Sum256([]byte(s))
	return base64.StdEncoding.EncodeToString(sum[:])
}

func newRequest(method, target, body string) *http.Request {
	return httptest.NewRequest(method, target, strings.NewReader(body))
}

func (a answer) want(t *testing.T, status int) {
	t.Helper()
	if a.status != status {
		t.Errorf("%d %s, want %d", a.status, a.body, status)
	}
}

// halfHash is at_hash by the book (OIDC Core §3.1.3.6).
func halfHash(token string, alg jose.Algorithm) string {
	if alg == jose.EdDSA {
		sum := sha512.Sum512([]byte(token))
		return base64.RawURLEncoding.EncodeToString(sum[:32])
	}
	sum := sha256.Sum256([]byte(token))
	return base64.RawURLEncoding.EncodeToString(sum[:16])
}
