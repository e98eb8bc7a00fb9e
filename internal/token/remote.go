package token

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/offkey/offkey/internal/jose"
	"github.com/offkey/offkey/internal/oauth"
)

// RemoteOptions say whose tokens are believed by somebody who has their issuer's
// public keys and no more: an API, or a gateway beside another authorization
// server.
type RemoteOptions struct {
	// Issuer must be the token's iss, octet by octet: keys of one issuer say
	// nothing about tokens that name another.
	Issuer string
	// Audience must be in the token's aud.
	Audience string
	// Keys finds the issuer's keys that may have made a signature (see
	// jose.KeySet.Candidates). It is asked again for a token that is remembered.
	Keys func(ctx context.Context, kid string, alg jose.Algorithm) ([]jose.PublicKey, error)
	// Claims are where an issuer that does not follow RFC 9068 says what it says;
	// nil: it does.
	Claims *ForeignClaims
	// Map, if it is there, changes what a token that holds is taken to say.
	Map       func(*Claims)
	Now       func() time.Time
	CacheSize int           // verified tokens remembered; 0: none
	Skew      time.Duration // as of VerifierOptions
}

// ForeignClaims names claims of tokens that are no at+jwt. The first that is there
// counts.
type ForeignClaims struct {
	Client []string // default: client_id, azp, cid, appid
	Scope  []string // default: scope, scp; a string or an array of strings
}

var (
	usualClientClaims = []string{"client_id", "azp", "cid", "appid"}
	usualScopeClaims  = []string{"scope", "scp"}
)

// RemoteVerifier checks access tokens by their issuer's published keys. Safe for
// concurrent use.
type RemoteVerifier struct {
	options RemoteOptions
	times   Verifier // of checkTimes alone
	cache   *cache
}

// NewRemoteVerifier makes a RemoteVerifier. It panics without issuer, audience, keys
// or clock, since those are wiring.
func NewRemoteVerifier(o RemoteOptions) *RemoteVerifier {
	if o.Issuer == "" || o.Audience == "" || o.Keys == nil || o.Now == nil {
		panic("token: RemoteVerifier needs Issuer, Audience, Keys and Now")
	}
	if o.Skew <= 0 {
		o.Skew = 30 * time.Second
	}
	return &RemoteVerifier{options: o, times: Verifier{options: VerifierOptions{Skew: o.Skew}}, cache: newCache(o.CacheSize)}
}

// Issuer is whose tokens it checks.
func (v *RemoteVerifier) Issuer() string { return v.options.Issuer }

// Verify checks an access token: type, algorithm, issuer, key, signature, audience
// and times (RFC 9068 §4). The error is ErrForeign for a token of another issuer,
// an *oauth.Error invalid_token, or that the keys cannot be had.
func (v *RemoteVerifier) Verify(ctx context.Context, raw string) (*Verified, error) {
	now := v.options.Now()
	if v.cache == nil {
		return v.check(ctx, raw, now)
	}
	sum := digest(raw)
	if hit := v.cache.find(sum); hit != nil {
		return v.recheck(ctx, hit.verified, now)
	}
	verified, err := v.check(ctx, raw, now)
	if err == nil {
		v.cache.put(sum, verified, 0)
	}
	return verified, err
}

// recheck asks of a remembered token what can have changed: the time, and whether
// its issuer still has the key.
func (v *RemoteVerifier) recheck(ctx context.Context, verified *Verified, now time.Time) (*Verified, error) {
	if err := v.times.checkTimes(&verified.claims, now); err != nil {
		return nil, err
	}
	keys, err := v.options.Keys(ctx, verified.keyID, verified.alg)
	switch {
	case err != nil:
		return nil, err
	case len(keys) == 0:
		return nil, errKeyGone
	}
	return verified, nil
}

func (v *RemoteVerifier) check(ctx context.Context, raw string, now time.Time) (*Verified, error) {
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
	if !v.takesType(header.Type) {
		return nil, errType
	}
	keys, err := v.options.Keys(ctx, header.KeyID, header.Alg)
	switch {
	case err != nil:
		return nil, err
	case len(keys) == 0:
		return nil, errKeyGone
	}
	payload, err := parsed.Verify(keys...)
	if err != nil {
		return nil, errBroken.WithCause(err)
	}
	claims, err := v.decode(payload)
	if err != nil {
		return nil, err
	}
	if !slices.Contains(claims.Audience, v.options.Audience) {
		return nil, errAudience
	}
	if err := v.times.checkTimes(&claims, now); err != nil {
		return nil, err
	}
	if v.options.Map != nil {
		v.options.Map(&claims)
	}
	return &Verified{claims: claims, keyID: header.KeyID, alg: header.Alg}, nil
}

// takesType: an access token says that it is one (RFC 9068 §4). Issuers that do not
// follow that leave it open.
func (v *RemoteVerifier) takesType(typ string) bool {
	return typ == oauth.TypAccessToken || v.options.Claims != nil && (typ == "" || strings.EqualFold(typ, "JWT"))
}

var errIDToken = oauth.InvalidToken("the token is an ID token: it says who somebody is, and opens nothing")

// decode reads the claims.
func (v *RemoteVerifier) decode(payload []byte) (Claims, error) {
	if v.options.Claims == nil {
		return decodeClaims(payload)
	}
	var all map[string]any
	if err := jose.DecodeClaims(payload, &all); err != nil {
		return Claims{}, errBroken.WithCause(err)
	}
	for _, name := range [...]string{"nonce", "at_hash", "c_hash"} { // OpenID Connect Core §2
		if _, there := all[name]; there {
			return Claims{}, errIDToken
		}
	}
	var c struct {
		Subject   string           `json:"sub"`
		ID        string           `json:"jti"`
		Audience  jose.Audience    `json:"aud"`
		IssuedAt  jose.NumericDate `json:"iat"`
		NotBefore jose.NumericDate `json:"nbf"`
		Expires   jose.NumericDate `json:"exp"`
		AuthTime  jose.NumericDate `json:"auth_time"`
		ACR       string           `json:"acr"`
		Cnf       struct {
			JKT     string `json:"jkt"`
			X5TS256 string `json:"x5t#S256"`
		} `json:"cnf"`
	}
	if err := jose.DecodeClaims(payload, &c); err != nil {
		return Claims{}, errBroken.WithCause(err)
	}
	claims := Claims{
		Issuer: v.options.Issuer, Subject: c.Subject, ID: c.ID, Audience: c.Audience.Values,
		IssuedAt: c.IssuedAt.Time(), NotBefore: c.NotBefore.Time(), Expires: c.Expires.Time(),
		Confirmation: Confirmation{JKT: c.Cnf.JKT, X5TS256: c.Cnf.X5TS256},
		Login:        Login{AuthTime: c.AuthTime.Time(), ACR: c.ACR},
	}
	if names := firstOf(all, v.options.Claims.Client, usualClientClaims); len(names) == 1 {
		claims.ClientID = names[0]
	}
	for _, text := range firstOf(all, v.options.Claims.Scope, usualScopeClaims) {
		for name := range strings.FieldsSeq(text) {
			if oauth.IsScopeName(name) {
				claims.Scope = append(claims.Scope, name)
			}
		}
	}
	if claims.Subject == "" {
		claims.Subject = claims.ClientID
	}
	if claims.ClientID == "" || claims.Audience == nil || claims.Expires.IsZero() {
		return Claims{}, errClaims
	}
	return claims, nil
}

// firstOf is the first claim of the names that is there, as strings.
func firstOf(all map[string]any, names, usual []string) []string {
	if len(names) == 0 {
		names = usual
	}
	for _, name := range names {
		switch value := all[name].(type) {
		case string:
			return []string{value}
		case []any:
			var out []string
			for _, v := range value {
				if s, ok := v.(string); ok {
					out = append(out, s)
				}
			}
			return out
		}
	}
	return nil
}

// IsUnavailable reports whether a token could not be checked because the keys of its
// issuer could not be had: it may be good.
func IsUnavailable(err error) bool {
	var refused *oauth.Error
	return err != nil && !errors.Is(err, ErrForeign) && !errors.As(err, &refused)
}
