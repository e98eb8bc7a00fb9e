package console

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/offkey/offkey/internal/oauth"
	"github.com/offkey/offkey/internal/secret"
	"github.com/offkey/offkey/internal/token"
)

const (
	maxSessions = 1000             // the oldest goes for the next
	maxBegun    = 1000             // sign-ins that have not come back
	idleLife    = 8 * time.Hour    // of a session; the issuer's policy ends it sooner
	begunLife   = 15 * time.Minute // of a sign-in that has not come back
	renewBefore = 30 * time.Second // of an access token, before it ends
)

// session is a browser that is signed in. It is kept in memory: after a restart
// the issuer's own session brings it back, and nobody types anything.
type session struct {
	mu       sync.Mutex // held while its token is renewed
	tokens   Tokens
	expires  time.Time // of the access token
	lastUsed time.Time
	csrf     string
}

// begun is a sign-in on its way: what it must come back with.
type begun struct {
	verifier, next string
	browser        secret.Hash
	at             time.Time
}

// sessions are those of all browsers, by the hash of what their cookie holds.
type sessions struct {
	mu    sync.Mutex
	open  map[secret.Hash]*session
	begun map[secret.Hash]begun // by state
}

func newSessions() *sessions {
	return &sessions{open: map[secret.Hash]*session{}, begun: map[secret.Hash]begun{}}
}

// random is 256 bits that nobody can guess.
func random() string {
	var b [32]byte
	_, _ = rand.Read(b[:]) // never fails, crypto/rand
	return base64.RawURLEncoding.EncodeToString(b[:])
}

func (s *sessions) begin(state string, b begun) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for h, old := range s.begun {
		if b.at.Sub(old.at) > begunLife {
			delete(s.begun, h)
		}
	}
	if len(s.begun) >= maxBegun {
		clear(s.begun) // somebody floods: whoever is on the way begins again
	}
	s.begun[secret.HashOf(state)] = b
}

// end takes a sign-in out, once.
func (s *sessions) end(state string, now time.Time) (begun, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := secret.HashOf(state)
	b, ok := s.begun[h]
	delete(s.begun, h)
	return b, ok && now.Sub(b.at) <= begunLife
}

func (s *sessions) put(cookie string, one *session, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var oldest secret.Hash
	for h, other := range s.open {
		if now.Sub(other.lastUsed) > idleLife {
			delete(s.open, h)
		} else if first := s.open[oldest]; first == nil || other.lastUsed.Before(first.lastUsed) {
			oldest = h
		}
	}
	if len(s.open) >= maxSessions {
		delete(s.open, oldest)
	}
	s.open[secret.HashOf(cookie)] = one
}

func (s *sessions) find(cookie string, now time.Time) *session {
	s.mu.Lock()
	defer s.mu.Unlock()
	one := s.open[secret.HashOf(cookie)]
	if one == nil || now.Sub(one.lastUsed) > idleLife {
		return nil
	}
	one.lastUsed = now
	return one
}

func (s *sessions) drop(cookie string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, secret.HashOf(cookie))
}

// The cookies. With https the prefix binds them to this host alone.
const (
	cookieSession = "offkey-console"
	cookieBrowser = "offkey-console-signin"
)

func (s *Server) cookieName(name string) string {
	if s.secure {
		return "__Host-" + name
	}
	return name
}

func (s *Server) setCookie(w http.ResponseWriter, name, value string, maxAge int) {
	http.SetCookie(w, &http.Cookie{Name: s.cookieName(name), Value: value, Path: "/", HttpOnly: true, Secure: s.secure, SameSite: http.SameSiteLaxMode, MaxAge: maxAge})
}

func (s *Server) cookie(r *http.Request, name string) string {
	c, err := r.Cookie(s.cookieName(name))
	if err != nil {
		return ""
	}
	return c.Value
}

// signIn sends the browser to the issuer (RFC 6749 §4.1.1, RFC 7636 §4.3). A
// dangerous act asks for a sign-in of lately: max_age, in seconds.
func (s *Server) signIn(w http.ResponseWriter, r *http.Request) {
	state, b := random(), begun{verifier: random(), next: ownPath(r.URL.Query().Get("next")), at: s.o.Now()}
	browser := random()
	b.browser = secret.HashOf(browser)
	s.sessions.begin(state, b)
	s.setCookie(w, cookieBrowser, browser, int(begunLife/time.Second))
	challenge := sha256.Sum256([]byte(b.verifier))
	q := url.Values{
		"response_type": {"code"}, "client_id": {s.o.ClientID}, "redirect_uri": {s.o.URL + "/signed-in"}, "state": {state},
		"scope": {"openid profile " + strings.Join(s.o.Scopes, " ")}, "resource": {s.o.Resource},
		"code_challenge": {base64.RawURLEncoding.EncodeToString(challenge[:])}, "code_challenge_method": {"S256"},
	}
	if age, err := strconv.Atoi(r.URL.Query().Get("max_age")); err == nil && age >= 0 {
		q.Set("max_age", strconv.Itoa(age))
	}
	http.Redirect(w, r, strings.TrimSuffix(s.o.Issuer, "/")+"/authorize?"+q.Encode(), http.StatusSeeOther)
}

// ownPath is a page of ours to go on to, "/" for anything else: whoever made the
// link must not lead people elsewhere.
func ownPath(next string) string {
	u, err := url.Parse(next)
	if err != nil || u.IsAbs() || u.Host != "" || !strings.HasPrefix(next, "/") || strings.HasPrefix(next, "//") || strings.Contains(next, `\`) {
		return "/"
	}
	return next
}

// signedIn takes the answer of the issuer: for the browser that asked, from the
// issuer that was asked (RFC 9207 §2.4), once.
func (s *Server) signedIn(w http.ResponseWriter, r *http.Request) {
	q, now := r.URL.Query(), s.o.Now()
	b, ok := s.sessions.end(q.Get("state"), now)
	if !ok || b.browser != secret.HashOf(s.cookie(r, cookieBrowser)) || q.Get("iss") != s.o.Issuer {
		s.showError(w, r, &refused{Status: http.StatusBadRequest, Title: "This sign-in is too old, or of another browser", Fix: "Open the console again."})
		return
	}
	s.setCookie(w, cookieBrowser, "", -1)
	if code := q.Get("error"); code != "" {
		s.showError(w, r, &refused{Status: http.StatusForbidden, Title: "You were not signed in", Detail: q.Get("error_description"), Fix: "Open the console again to try once more."})
		return
	}
	tokens, err := s.o.Token(r.Context(), url.Values{
		"grant_type": {oauth.GrantAuthorizationCode}, "code": {q.Get("code")}, "redirect_uri": {s.o.URL + "/signed-in"}, "code_verifier": {b.verifier}, "resource": {s.o.Resource},
	})
	if err != nil {
		s.showError(w, r, err)
		return
	}
	one := &session{csrf: random(), lastUsed: now}
	one.take(tokens, now)
	if old := s.cookie(r, cookieSession); old != "" {
		s.sessions.drop(old)
	}
	cookie := random()
	s.sessions.put(cookie, one, now)
	s.setCookie(w, cookieSession, cookie, 0)
	http.Redirect(w, r, b.next, http.StatusSeeOther)
}

func (one *session) take(t Tokens, now time.Time) {
	if t.RefreshToken == "" {
		t.RefreshToken = one.tokens.RefreshToken
	}
	one.tokens, one.expires = t, now.Add(time.Duration(t.ExpiresIn)*time.Second)
}

// current is the session's token, renewed where it is about to end. nil: the
// person has to sign in again.
func (s *Server) current(ctx context.Context, one *session) *token.Verified {
	one.mu.Lock()
	defer one.mu.Unlock()
	now := s.o.Now()
	if one.expires.Sub(now) < renewBefore && one.tokens.RefreshToken != "" {
		tokens, err := s.o.Token(ctx, url.Values{"grant_type": {oauth.GrantRefreshToken}, "refresh_token": {one.tokens.RefreshToken}})
		if err != nil {
			return nil
		}
		one.take(tokens, now)
	}
	v, err := s.o.Verify(one.tokens.AccessToken)
	if err != nil {
		return nil
	}
	return v
}

// signOut ends the session here, and lets the issuer ask whether to end its own
// (OIDC RP-Initiated Logout §2).
func (s *Server) signOut(v *visit) error {
	s.sessions.drop(s.cookie(v.r, cookieSession))
	s.setCookie(v.w, cookieSession, "", -1)
	http.Redirect(v.w, v.r, strings.TrimSuffix(s.o.Issuer, "/")+"/logout?"+url.Values{"client_id": {s.o.ClientID}, "post_logout_redirect_uri": {s.o.URL + "/"}}.Encode(), http.StatusSeeOther)
	return nil
}

// May reports whether the person's token has a scope: what they may not do is
// not offered. The API is what refuses.
func (v *visit) May(scope string) bool { return slices.Contains(v.token.Scope(), scope) }
