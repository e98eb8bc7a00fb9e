package signin

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"net/http"
	"strings"
	"time"

	"github.com/offkey/offkey/internal/secret"
	"github.com/offkey/offkey/internal/session"
)

// keys authenticate what comes back from a browser and is kept nowhere.
type keys struct{ form, known, challenge []byte }

func deriveKeys(m *secret.MasterKey) keys {
	return keys{m.Derive("sign-in forms"), m.Derive("known browsers"), m.Derive("passkey challenges")}
}

// seal is the HMAC of parts, each with its length before it.
func seal(key []byte, parts ...string) string {
	mac := hmac.New(sha256.New, key)
	for _, p := range parts {
		_, _ = mac.Write(binary.AppendUvarint(nil, uint64(len(p))))
		_, _ = mac.Write([]byte(p))
	}
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// formToken is what a form must bring back: it is good for this browser, this
// request and this session, so that a form of another site, another request or
// another person is refused (RFC 9700 §4.7).
func (s *Service) formToken(browser secret.Hash, requestID, sessionID string) string {
	return seal(s.keys.form, browser.String(), requestID, sessionID)
}

// Challenges of passkeys are kept nowhere: a form brings them back with a seal.
// Each is taken once, by the Spender.

const challengeLife = 10 * time.Minute

// newChallenge makes a challenge for a purpose of one request in one browser,
// and the text by which it is known again.
func (s *Service) newChallenge(w session.Waiting, purpose string) (challenge []byte, sealed string) {
	challenge = make([]byte, 32)
	_, _ = rand.Read(challenge) // never fails, crypto/rand
	expires := s.now().Add(challengeLife).Format(time.RFC3339)
	text := base64.RawURLEncoding.EncodeToString(challenge)
	return challenge, strings.Join([]string{text, expires, seal(s.keys.challenge, text, expires, w.Browser.String(), w.Request, purpose)}, "|")
}

// challenge is one that came back under its seal.
type challenge struct {
	text    string
	expires time.Time
}

// openChallenge returns the challenge that newChallenge made.
func (s *Service) openChallenge(w session.Waiting, purpose, sealed string) (challenge, error) {
	parts := strings.Split(sealed, "|")
	if len(parts) != 3 || !secret.Same(parts[2], seal(s.keys.challenge, parts[0], parts[1], w.Browser.String(), w.Request, purpose)) {
		return challenge{}, errChallenge
	}
	expires, err := time.Parse(time.RFC3339, parts[1])
	if err != nil || !s.now().Before(expires) {
		return challenge{}, errChallenge
	}
	return challenge{parts[0], expires}, nil
}

// spendChallenge uses a challenge up. Call it once the signature over it is
// known to be good: what strangers send must write nothing.
func (s *Service) spendChallenge(ctx context.Context, c challenge) error {
	fresh, err := s.options.Spender.SpendAssertion(ctx, "passkey challenge", c.text, c.expires)
	if err == nil && !fresh {
		err = errChallenge
	}
	return err
}

// Browsers that have signed somebody in are known by a cookie, so that guessing
// from elsewhere does not slow them (decision 0027). It opens nothing.

const (
	knownLife = 180 * 24 * time.Hour
	mostKnown = 4 // people per browser
)

// knownAs returns what failures of this browser are counted under for an
// account: its own name where it is known, "" where it is a stranger.
func (s *Service) knownAs(r *http.Request, personID string) string {
	return s.knownAmong(s.readKnown(r), personID)
}

func (s *Service) knownAmong(known []string, personID string) string {
	for _, one := range known {
		if nonce, mark, ok := strings.Cut(one, "."); ok && secret.Same(mark, seal(s.keys.known, nonce, personID)) {
			return nonce
		}
	}
	return ""
}

func (s *Service) readKnown(r *http.Request) []string {
	c, err := r.Cookie(s.cookies.known)
	if err != nil || len(c.Value) > mostKnown*100 {
		return nil
	}
	return strings.Split(c.Value, "~")
}

// setKnown makes the browser known to somebody who has just signed in.
func (s *Service) setKnown(w http.ResponseWriter, r *http.Request, personID string) {
	if s.knownAs(r, personID) != "" {
		return
	}
	var random [9]byte
	_, _ = rand.Read(random[:]) // never fails, crypto/rand
	nonce := base64.StdEncoding.EncodeToString(random[:])
	all := append([]string{nonce + "." + seal(s.keys.known, nonce, personID)}, s.readKnown(r)...)
	s.setCookie(w, s.cookies.known, strings.Join(all[:min(len(all), mostKnown)], "~"), knownLife)
}
