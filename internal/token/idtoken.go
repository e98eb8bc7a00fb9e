package token

import (
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/offkey/offkey/internal/client"
	"github.com/offkey/offkey/internal/jose"
	"github.com/offkey/offkey/internal/keyring"
	"github.com/offkey/offkey/internal/oauth"
)

// IDTokenAlgorithms are those of ID tokens. RS256 is always there (OIDC Core
// §15.1).
var IDTokenAlgorithms = []jose.Algorithm{jose.RS256, jose.PS256, jose.ES256, jose.EdDSA}

// IDTokenAlg is the algorithm of a client's ID tokens: RS256 unless it is
// registered for another, and PS256 where FAPI 2.0 §5.4 rules RS256 out.
func IDTokenAlg(c *client.Client) jose.Algorithm {
	switch {
	case c.IDTokenAlg != "":
		return c.IDTokenAlg
	case c.Profile == client.ProfileFAPI2:
		return jose.PS256
	}
	return jose.RS256
}

// IssueIDToken makes the ID token that goes with an access token (OIDC Core
// §2, §3.1.3.6). more are further claims, which cannot take the place of those
// of the specification. It is keyring.ErrNoSigner while the client's algorithm
// has no key yet.
func (i *Issuer) IssueIDToken(a Authorization, access Issued, more map[string]json.RawMessage) (string, error) {
	if a.Client == nil || a.Login.PersonID == "" || access.Token == "" {
		return "", errors.New("issue ID token: no client, no person or no access token")
	}
	signer, err := i.ring().SignerFor(IDTokenAlg(a.Client), i.now())
	if err != nil {
		return "", fmt.Errorf("issue ID token: %w", err)
	}
	claims := make(map[string]any, len(more)+12)
	for name, value := range more {
		claims[name] = value
	}
	for name, value := range map[string]string{
		"iss": i.issuer, "sub": access.Subject, "aud": a.Client.ID, "at_hash": leftHalf(access.Token, signer.Alg()),
		"nonce": a.Nonce, "acr": a.Login.ACR, "sid": a.Login.Session,
	} {
		if delete(claims, name); value != "" {
			claims[name] = value
		}
	}
	claims["iat"], claims["exp"] = access.IssuedAt.Unix(), access.Expires.Unix()
	delete(claims, "auth_time")
	if !a.Login.AuthTime.IsZero() {
		claims["auth_time"] = a.Login.AuthTime.Unix()
	}
	delete(claims, "amr")
	if len(a.Login.AMR) > 0 {
		claims["amr"] = a.Login.AMR
	}
	return sign(signer, oauth.TypIDToken, claims)
}

func sign(signer *jose.SigningKey, typ string, claims map[string]any) (string, error) {
	raw, err := json.Marshal(claims)
	if err != nil {
		return "", fmt.Errorf("issue ID token: %w", err)
	}
	if typ == oauth.TypIDToken {
		typ = "JWT" // as RFC 7519 §5.1 writes it
	}
	return signer.Sign(typ, raw)
}

// IssueUserinfo signs what a client is told about a person, for a client that is
// registered for that (OIDC Core §5.3.2). Its typ keeps it from being taken for
// an ID token. It is keyring.ErrNoSigner while the algorithm has no key yet.
func (i *Issuer) IssueUserinfo(c *client.Client, about map[string]json.RawMessage) (string, error) {
	now := i.now()
	signer, err := i.ring().SignerFor(c.UserinfoAlg, now)
	if err != nil {
		return "", fmt.Errorf("sign userinfo: %w", err)
	}
	claims := make(map[string]any, len(about)+3)
	for name, value := range about {
		claims[name] = value
	}
	claims["iss"], claims["aud"], claims["iat"] = i.issuer, c.ID, now.Unix()
	return sign(signer, oauth.TypUserinfo, claims)
}

// leftHalf is at_hash: half of the hash that belongs to the signature's
// algorithm (OIDC Core §3.1.3.6), which of Ed25519 is SHA-512.
func leftHalf(token string, alg jose.Algorithm) string {
	if alg == jose.EdDSA {
		sum := sha512.Sum512([]byte(token))
		return base64.RawURLEncoding.EncodeToString(sum[:32])
	}
	sum := sha256.Sum256([]byte(token))
	return base64.RawURLEncoding.EncodeToString(sum[:16])
}

// Hint is what an ID token of ours says when it is brought back (OIDC Core
// §3.1.2.1 id_token_hint).
type Hint struct {
	Subject  string
	Audience []string
	Session  string
	Expires  time.Time
}

// ErrHint is an id_token_hint that is none of ours.
var ErrHint = errors.New("id_token_hint is not an ID token of this issuer")

// ReadHint checks an ID token that comes back. It may have expired, and the key
// that signed it may be out of use; dropped it may not be.
func ReadHint(raw, issuer string, ring *keyring.Ring) (Hint, error) {
	parsed, err := jose.Parse(raw, IDTokenAlgorithms...)
	if err != nil {
		return Hint{}, fmt.Errorf("%w: %w", ErrHint, err)
	}
	header := parsed.Header()
	if header.Type != oauth.TypIDToken { // not an access token, which others see (RFC 9068 §5)
		return Hint{}, fmt.Errorf("%w: typ %q", ErrHint, header.Type)
	}
	key, ok := ring.FindRetired(header.KeyID)
	if !ok {
		return Hint{}, fmt.Errorf("%w: unknown key", ErrHint)
	}
	payload, err := parsed.Verify(key)
	if err != nil {
		return Hint{}, fmt.Errorf("%w: %w", ErrHint, err)
	}
	var c struct {
		Issuer   string           `json:"iss"`
		Subject  string           `json:"sub"`
		Audience jose.Audience    `json:"aud"`
		Session  string           `json:"sid"`
		Expires  jose.NumericDate `json:"exp"`
	}
	if err := jose.DecodeClaims(payload, &c); err != nil {
		return Hint{}, fmt.Errorf("%w: %w", ErrHint, err)
	}
	if c.Issuer != issuer || c.Subject == "" || c.Audience.IsZero() {
		return Hint{}, fmt.Errorf("%w: of another issuer or without sub or aud", ErrHint)
	}
	return Hint{Subject: c.Subject, Audience: c.Audience.Values, Session: c.Session, Expires: c.Expires.Time()}, nil
}

// Logout is that a person was signed out, for one client.
type Logout struct {
	ID, Subject, Session string
}

// logoutLife is how long a logout token is good (OIDC Back-Channel Logout §4).
const logoutLife = 2 * time.Minute

// logoutEvent is what happened (OIDC Back-Channel Logout §2.4).
const logoutEvent = "http://schemas.openid.net/event/backchannel-logout"

// IssueLogoutToken makes a logout token for a client (OIDC Back-Channel Logout
// §2.4), signed as its ID tokens are. It has no nonce, so that nobody takes it
// for one of them.
func (i *Issuer) IssueLogoutToken(c *client.Client, l Logout) (string, error) {
	now := i.now()
	signer, err := i.ring().SignerFor(IDTokenAlg(c), now)
	if err != nil {
		return "", fmt.Errorf("issue logout token: %w", err)
	}
	return sign(signer, oauth.TypLogoutToken, map[string]any{
		"iss": i.issuer, "sub": l.Subject, "sid": l.Session, "aud": c.ID, "jti": l.ID,
		"iat": now.Unix(), "exp": now.Add(logoutLife).Unix(), "events": map[string]any{logoutEvent: struct{}{}},
	})
}
