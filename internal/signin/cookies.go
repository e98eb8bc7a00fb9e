package signin

import (
	"crypto/rand"
	"encoding/base64"
	"net/http"
	"net/url"
	"time"

	"github.com/offkey/offkey/internal/secret"
)

// cookieNames are what our cookies are called. With https the prefix binds them
// to this host alone, so that no neighbour can plant one.
type cookieNames struct {
	session string // who is signed in
	browser string // what waits is this browser's
	known   string // whom this browser has signed in before
	secure  bool
}

func cookieNamesFor(issuer *url.URL) cookieNames {
	if issuer.Scheme == "https" {
		return cookieNames{"__Host-offkey", "__Host-offkey-browser", "__Host-offkey-known", true}
	}
	return cookieNames{"offkey", "offkey-browser", "offkey-known", false}
}

// cookieBytes are random: 256 bits.
const cookieBytes = 32

// newCookie makes the value of a cookie.
func newCookie() string {
	var random [cookieBytes]byte
	_, _ = rand.Read(random[:]) // never fails, crypto/rand
	return base64.RawURLEncoding.EncodeToString(random[:])
}

// readCookie returns the hash of a cookie that we may have made, the zero Hash
// of any other.
func readCookie(r *http.Request, name string) secret.Hash {
	c, err := r.Cookie(name)
	if err != nil || !wellFormed(c.Value) {
		return secret.Hash{}
	}
	return secret.HashOf(c.Value)
}

func wellFormed(value string) bool {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(value)
	return err == nil && len(raw) == cookieBytes
}

// setCookie sets one for a while; life 0 is until the browser closes, less
// forgets it.
func (s *Service) setCookie(w http.ResponseWriter, name, value string, life time.Duration) {
	c := &http.Cookie{Name: name, Value: value, Path: "/", HttpOnly: true, Secure: s.cookies.secure, SameSite: http.SameSiteLaxMode}
	switch {
	case life > 0:
		c.MaxAge = int(life / time.Second)
	case life < 0:
		c.MaxAge = -1
	}
	http.SetCookie(w, c)
}

// browser returns the hash of the cookie by which this browser is known again,
// and gives it one if it has none.
func (s *Service) browser(w http.ResponseWriter, r *http.Request) secret.Hash {
	if hash := readCookie(r, s.cookies.browser); !hash.IsZero() {
		return hash
	}
	value := newCookie()
	s.setCookie(w, s.cookies.browser, value, 0)
	return secret.HashOf(value)
}

// haveBrowser gives the browser a cookie, where the form of a page is bound to
// one and there was no request that brought it.
func (v visit) haveBrowser() {
	if readCookie(v.r, v.s.cookies.browser).IsZero() {
		value := newCookie()
		v.s.setCookie(v.w, v.s.cookies.browser, value, 0)
		v.replaceCookie(v.s.cookies.browser, value)
	}
}
