package grant

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"time"

	"github.com/offkey/offkey/internal/authserver/clientauth"
	"github.com/offkey/offkey/internal/client"
	"github.com/offkey/offkey/internal/oauth"
	"github.com/offkey/offkey/internal/secret"
	"github.com/offkey/offkey/internal/token"
)

// CodeStore is what the authorization_code grant asks of storage.
type CodeStore interface {
	// RedeemCode returns the code and marks it spent in one step. For a spent
	// code it returns the code and token.ErrSpent, and has revoked what the
	// first redemption issued (RFC 6749 §4.1.2). token.ErrNoCode if there is
	// none.
	RedeemCode(ctx context.Context, h secret.Hash, now time.Time) (token.Code, error)
}

// AuthorizationCode is the grant for what a person allowed in a browser
// (RFC 6749 §4.1.3).
type AuthorizationCode struct {
	Codes  CodeStore
	People People
	Life   time.Duration // of its tokens
}

// Authorize decides a request of an authenticated client. The code is spent by
// it, also where the request is refused: a code that somebody else has seen is
// worth nothing after one wrong guess at what it is bound to.
func (g AuthorizationCode) Authorize(ctx context.Context, who clientauth.Authenticated, r Request) (token.Authorization, error) {
	c := who.Client()
	code, err := g.redeem(ctx, r)
	if err != nil {
		return token.Authorization{}, err
	}
	if err := cmp.Or(
		checkCodeClient(code, c),
		checkCodeAge(code, r.At),
		checkRedirectURI(code, r.Form),
		checkCodeVerifier(r.Form.Value("code_verifier"), code.Challenge),
		checkCodeKey(code, r.Confirmation),
	); err != nil {
		return token.Authorization{}, err
	}
	resources, err := narrow(code.Grant.Resources, r.Form.Values("resource"))
	if err != nil {
		return token.Authorization{}, err
	}
	a := code.Grant.Authorization(c)
	if a.Scope, err = checkPerson(ctx, g.People, code.Grant.PersonID, code.Grant.Scope); err != nil {
		return token.Authorization{}, err
	}
	a.Resources, a.Life, a.Confirmation = resources, wholeSeconds(g.Life), r.Confirmation
	a.Refreshable, a.Kept = true, true
	return a, nil
}

// redeem spends the code of a request.
func (g AuthorizationCode) redeem(ctx context.Context, r Request) (token.Code, error) {
	sent := r.Form.Value("code")
	switch {
	case sent == "":
		return token.Code{}, oauth.InvalidRequest("code is missing")
	case !secret.WellFormed(sent):
		return token.Code{}, errUnknownCode
	}
	code, err := g.Codes.RedeemCode(ctx, secret.HashOf(sent), r.At)
	switch {
	case errors.Is(err, token.ErrNoCode):
		return token.Code{}, errUnknownCode
	case errors.Is(err, token.ErrSpent): // RFC 6749 §4.1.2
		return token.Code{}, oauth.InvalidGrant("the code was redeemed before: what it brought then is revoked. Start a new authorization request")
	case err != nil:
		return token.Code{}, fmt.Errorf("redeem code: %w", err)
	}
	return code, nil
}

var errUnknownCode = oauth.InvalidGrant("the code is not known here, or no longer: start a new authorization request")

// checkCodeClient: a code is for the client that asked for it (RFC 6749 §4.1.3).
func checkCodeClient(code token.Code, c *client.Client) error {
	if c == nil || code.Grant.ClientID != c.ID {
		return errUnknownCode
	}
	return nil
}

// checkCodeAge (RFC 6749 §4.1.2).
func checkCodeAge(code token.Code, now time.Time) error {
	if !now.Before(code.Expires) {
		return oauth.InvalidGrant(fmt.Sprintf("the code has expired: it is good for %d s", int(token.CodeLife/time.Second)))
	}
	return nil
}

// checkRedirectURI: the one of the authorization request is repeated here, or
// left out as OAuth 2.1 §10.2 has it; another is refused (RFC 6749 §4.1.3).
func checkRedirectURI(code token.Code, form oauth.Params) error {
	if sent := form.Value("redirect_uri"); sent != "" && sent != code.RedirectURI {
		return oauth.InvalidGrant("redirect_uri is not the one of the authorization request")
	}
	return nil
}

// checkCodeVerifier proves that whoever redeems the code is who asked for it
// (RFC 7636 §4.6). Only S256 is offered (RFC 9700 §2.1.1). A verifier for a code
// without challenge means that somebody took the challenge away (RFC 9700
// §4.8.2).
func checkCodeVerifier(verifier, challenge string) error {
	switch {
	case challenge == "" && verifier == "":
		return nil
	case challenge == "":
		return oauth.InvalidGrant("code_verifier was sent, and the authorization request had no code_challenge")
	case verifier == "":
		return oauth.InvalidGrant("code_verifier is missing")
	case !isVerifier(verifier):
		return oauth.InvalidGrant("code_verifier must be 43 to 128 characters of A-Z a-z 0-9 - . _ ~")
	}
	sum := sha256.Sum256([]byte(verifier))
	if got := base64.RawURLEncoding.EncodeToString(sum[:]); !secret.Same(got, challenge) {
		return oauth.InvalidGrant("code_verifier does not match code_challenge")
	}
	return nil
}

// isVerifier holds a code_verifier against its syntax (RFC 7636 §4.1).
func isVerifier(s string) bool {
	for i := range len(s) {
		switch c := s[i]; {
		case c >= 'A' && c <= 'Z', c >= 'a' && c <= 'z', c >= '0' && c <= '9', c == '-', c == '.', c == '_', c == '~':
		default:
			return false
		}
	}
	return len(s) >= 43 && len(s) <= 128
}

// checkCodeKey: where the client named a key beforehand, that one is proved now
// (RFC 9449 §10).
func checkCodeKey(code token.Code, proved token.Confirmation) error {
	if code.JKT != "" && code.JKT != proved.JKT {
		return oauth.InvalidGrant("the code is bound to the DPoP key that dpop_jkt named: send a proof made with it")
	}
	return nil
}
