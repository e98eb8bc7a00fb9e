package token

import (
	"encoding/base64"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/offkey/offkey/internal/jose"
	"github.com/offkey/offkey/internal/keyring"
	"github.com/offkey/offkey/internal/oauth"
)

// ErrForeign means that a bearer value is no token of our issuer: no JWT at
// all, or one that names another issuer. Whether it is good is for others.
var ErrForeign = errors.New("not a token of this issuer")

// VerifierOptions say whose tokens are believed, and for whom they must be.
type VerifierOptions struct {
	Issuer string
	// Audience must be in the token's aud. A Verifier is for one audience, so
	// that what it remembers holds for that one.
	Audience string
	// AnyAudience leaves aud to be judged by the caller: for introspection and
	// revocation, which ask about tokens of others.
	AnyAudience bool
	Ring        func() *keyring.Ring
	Revocations *Revocations
	Now         func() time.Time
	CacheSize   int           // verified tokens remembered; 0: none
	Skew        time.Duration // how far iat and nbf may lie ahead; default 30 s. exp gets none: clients renew early
}

// Verifier checks access tokens of our own issuer (RFC 9068 §4). Safe for
// concurrent use.
type Verifier struct {
	options VerifierOptions
	cache   *cache
}

// NewVerifier makes a Verifier. It panics without issuer, ring, clock or
// audience, since those are wiring.
func NewVerifier(o VerifierOptions) *Verifier {
	if o.Issuer == "" || o.Ring == nil || o.Now == nil || (o.Audience == "") != o.AnyAudience {
		panic("token: Verifier needs Issuer, Ring, Now and either Audience or AnyAudience")
	}
	if o.Revocations == nil {
		o.Revocations = new(Revocations)
	}
	if o.Skew <= 0 {
		o.Skew = 30 * time.Second
	}
	return &Verifier{options: o, cache: newCache(o.CacheSize)}
}

// Verified is an access token that has been checked: only a Verifier and a
// RemoteVerifier make one.
type Verified struct {
	claims Claims
	keyID  string
	alg    jose.Algorithm // of a RemoteVerifier
}

// Claims returns what the token says. Its slices are shared and must not be
// changed.
func (v *Verified) Claims() Claims { return v.claims }

// ClientID returns the client that the token was issued to.
func (v *Verified) ClientID() string { return v.claims.ClientID }

// Subject returns sub.
func (v *Verified) Subject() string { return v.claims.Subject }

// Scope returns the token's scope, which may be empty. It is shared and must not
// be changed.
func (v *Verified) Scope() oauth.Scope { return v.claims.Scope }

// Confirmation returns what the token is bound to.
func (v *Verified) Confirmation() Confirmation { return v.claims.Confirmation }

// Login returns how the token's person signed in, zero without one. Its slice is
// shared and must not be changed.
func (v *Verified) Login() Login { return v.claims.Login }

// Expires returns when the token ends.
func (v *Verified) Expires() time.Time { return v.claims.Expires }

// KeyID returns the kid of the key that signed it.
func (v *Verified) KeyID() string { return v.keyID }

// Verify checks an access token: type, algorithm, key, signature, issuer,
// audience, times and revocation (RFC 9068 §4). The error is ErrForeign or an
// *oauth.Error invalid_token that says what is wrong.
//
// A token seen before is not verified again, but its times, its key and, when
// anything was revoked since, its revocation are looked at every time.
func (v *Verifier) Verify(raw string) (*Verified, error) {
	now := v.options.Now()
	if v.cache == nil {
		return v.check(raw, now)
	}
	sum := digest(raw)
	generation := v.options.Revocations.Generation()
	if hit := v.cache.find(sum); hit != nil {
		return v.recheck(hit, generation, now)
	}
	verified, err := v.check(raw, now)
	if err == nil {
		v.cache.put(sum, verified, generation) // revocations since then are looked at on the next hit
	}
	return verified, err
}

// recheck asks of a remembered token what can have changed.
func (v *Verifier) recheck(hit *entry, generation uint64, now time.Time) (*Verified, error) {
	c := &hit.verified.claims
	if err := v.checkTimes(c, now); err != nil {
		return nil, err
	}
	if _, ok := v.options.Ring().Find(hit.verified.keyID, now); !ok {
		return nil, errKeyGone
	}
	if hit.generation.Load() != generation {
		if v.options.Revocations.revoked(c) {
			return nil, errRevoked
		}
		hit.generation.Store(generation)
	}
	return hit.verified, nil
}

var (
	errRevoked  = oauth.InvalidToken("the access token was revoked: ask for a new one")
	errKeyGone  = oauth.InvalidToken("the access token was signed with a key that is not accepted, or no longer: ask for a new one")
	errExpired  = oauth.InvalidToken("the access token has expired: ask for a new one")
	errEarly    = oauth.InvalidToken("the access token is not valid yet: a clock is off")
	errAudience = oauth.InvalidToken("the access token is for another resource: ask for one with the resource parameter that this API names in its metadata")
	errType     = oauth.InvalidToken("the token is not an access token: its typ must be at+jwt")
	errBroken   = oauth.InvalidToken("the access token is malformed or its signature is wrong")
	errClaims   = oauth.InvalidToken("the access token lacks a required claim")
)

// check verifies a token from scratch.
func (v *Verifier) check(raw string, now time.Time) (*Verified, error) {
	parsed, err := jose.Parse(raw, jose.AccessTokenAlgorithms...)
	if err != nil {
		if claimedIssuer(raw) == v.options.Issuer {
			return nil, errBroken.WithCause(err)
		}
		return nil, ErrForeign
	}
	var peeked struct {
		Issuer string `json:"iss"`
	}
	if err := parsed.Peek(&peeked); err != nil || peeked.Issuer != v.options.Issuer {
		return nil, ErrForeign
	}
	header := parsed.Header()
	if header.Type != oauth.TypAccessToken {
		return nil, errType
	}
	key, ok := v.options.Ring().Find(header.KeyID, now)
	if !ok {
		return nil, errKeyGone
	}
	payload, err := parsed.Verify(key)
	if err != nil {
		return nil, errBroken.WithCause(err)
	}
	claims, err := decodeClaims(payload)
	if err != nil {
		return nil, err
	}
	if !v.options.AnyAudience && !slices.Contains(claims.Audience, v.options.Audience) {
		return nil, errAudience
	}
	if err := v.checkTimes(&claims, now); err != nil {
		return nil, err
	}
	if v.options.Revocations.revoked(&claims) {
		return nil, errRevoked
	}
	return &Verified{claims: claims, keyID: header.KeyID}, nil
}

// checkTimes holds the token against the clock.
func (v *Verifier) checkTimes(c *Claims, now time.Time) error {
	switch ahead := now.Add(v.options.Skew); {
	case !now.Before(c.Expires):
		return errExpired
	case c.IssuedAt.After(ahead) || c.NotBefore.After(ahead):
		return errEarly
	}
	return nil
}

// decodeClaims reads the claims of a token whose signature is good. All that
// RFC 9068 §2.2 requires must be there.
func decodeClaims(payload []byte) (Claims, error) {
	var c struct {
		Issuer    string           `json:"iss"`
		Subject   string           `json:"sub"`
		ClientID  string           `json:"client_id"`
		ID        string           `json:"jti"`
		Audience  jose.Audience    `json:"aud"`
		Scope     string           `json:"scope"`
		IssuedAt  jose.NumericDate `json:"iat"`
		NotBefore jose.NumericDate `json:"nbf"`
		Expires   jose.NumericDate `json:"exp"`
		APIKeyID  string           `json:"offkey_apikey"`
		GrantID   string           `json:"offkey_grant"`
		From      string           `json:"offkey_from"`
		PersonID  string           `json:"offkey_person"`
		Session   string           `json:"sid"`
		AuthTime  jose.NumericDate `json:"auth_time"`
		ACR       string           `json:"acr"`
		AMR       []string         `json:"amr"`
		Actor     *Actor           `json:"act"`
		MayAct    struct {
			Subject string `json:"sub"`
		} `json:"may_act"`
		Cnf struct {
			JKT     string `json:"jkt"`
			X5TS256 string `json:"x5t#S256"`
		} `json:"cnf"`
	}
	if err := jose.DecodeClaims(payload, &c); err != nil {
		return Claims{}, errBroken.WithCause(err)
	}
	if c.Subject == "" || c.ClientID == "" || c.ID == "" || c.Audience.IsZero() || c.IssuedAt.IsZero() || c.Expires.IsZero() {
		return Claims{}, errClaims
	}
	return Claims{
		Issuer: c.Issuer, Subject: c.Subject, ClientID: c.ClientID, ID: c.ID,
		Audience: c.Audience.Values, Scope: splitScope(c.Scope), APIKeyID: c.APIKeyID,
		IssuedAt: c.IssuedAt.Time(), NotBefore: c.NotBefore.Time(), Expires: c.Expires.Time(),
		GrantID: c.GrantID, Actor: c.Actor, From: c.From, MayAct: c.MayAct.Subject, Confirmation: Confirmation{JKT: c.Cnf.JKT, X5TS256: c.Cnf.X5TS256},
		Login: Login{PersonID: c.PersonID, Session: c.Session, AuthTime: c.AuthTime.Time(), ACR: c.ACR, AMR: c.AMR},
	}, nil
}

// splitScope reads the scope that we wrote: without the limits that a stranger's
// is read with.
func splitScope(s string) oauth.Scope {
	if s == "" {
		return nil
	}
	return strings.Split(s, " ")
}

// claimedIssuer is the iss of something that only looks like a JWT. A broken
// token that says it is ours is refused as ours, and not taken for a foreign
// one that might pass.
func claimedIssuer(raw string) string {
	if len(raw) > jose.MaxTokenSize {
		return ""
	}
	_, rest, _ := strings.Cut(raw, ".")
	middle, _, _ := strings.Cut(rest, ".")
	payload, err := base64.RawURLEncoding.DecodeString(middle)
	if err != nil {
		return ""
	}
	var c struct {
		Issuer string `json:"iss"`
	}
	if jose.DecodeClaims(payload, &c) != nil {
		return ""
	}
	return c.Issuer
}
