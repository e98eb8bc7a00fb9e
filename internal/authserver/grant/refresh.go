package grant

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/offkey/offkey/internal/audit"
	"github.com/offkey/offkey/internal/authserver/clientauth"
	"github.com/offkey/offkey/internal/client"
	"github.com/offkey/offkey/internal/oauth"
	"github.com/offkey/offkey/internal/secret"
	"github.com/offkey/offkey/internal/token"
)

// FamilyStore is what the refresh_token grant asks of storage.
type FamilyStore interface {
	// Family returns the family of a refresh token, whatever the token is in it,
	// or token.ErrNoFamily.
	Family(ctx context.Context, t token.RefreshToken) (token.Family, error)
	// UseFamily judges the token again and does what follows, in one step: the
	// newest is replaced by next, which may be t itself; for a reused one the
	// grant is revoked.
	UseFamily(ctx context.Context, t, next token.RefreshToken, now time.Time, grace time.Duration) (token.Standing, error)
	// Revoke ends a family with all that came of it.
	Revoke(ctx context.Context, r token.Revocation, e audit.Event) error
}

// Refresh is the refresh_token grant (RFC 6749 §6).
type Refresh struct {
	Families FamilyStore
	Targets  Targets
	People   People
	Life     time.Duration // of its tokens
	// Key makes the next token of a family from the one before.
	Key []byte
	// Grace is how long the token before is taken again, for answers that were
	// lost on the way; 0: not at all.
	Grace time.Duration
}

// Authorize decides a request of an authenticated client. Nothing is used up by
// a request that is refused, but for one that shows that a token was stolen.
func (g Refresh) Authorize(ctx context.Context, who clientauth.Authenticated, r Request) (token.Authorization, error) {
	c := who.Client()
	sent, f, err := g.find(ctx, c, r)
	if err != nil {
		return token.Authorization{}, err
	}
	if err := checkFamilyKey(f, r.Confirmation); err != nil {
		return token.Authorization{}, err
	}
	a := f.Authorization(c)
	if a.Scope, err = g.scope(ctx, c, f, r.Form.Value("scope")); err != nil {
		return token.Authorization{}, err
	}
	if a.Resources, err = g.resources(c, f, r.Form.Values("resource")); err != nil {
		return token.Authorization{}, err
	}
	text, next := secret.Text{}, sent
	if rotates(c, f) {
		text, next = sent.Next(g.Key)
	}
	switch is, err := g.Families.UseFamily(ctx, sent, next, r.At, g.Grace); {
	case err != nil:
		return token.Authorization{}, fmt.Errorf("use refresh token: %w", err)
	case is == token.Reused:
		return token.Authorization{}, errReused
	case is == token.Unknown:
		return token.Authorization{}, errUnknownRefresh
	}
	a.Life, a.Confirmation, a.RefreshToken, a.Kept = wholeSeconds(g.Life), r.Confirmation, text, true
	a.Nonce = "" // RFC 6749 §6 knows none; OIDC Core §12.2
	if f.Offline() {
		a.Login.Session = "" // it goes on when that has ended
	}
	return a, nil
}

var (
	errUnknownRefresh = oauth.InvalidGrant("the refresh token is not known here, or no longer: it has expired, or what it was for was revoked. The person must allow it again")
	errReused         = oauth.InvalidGrant("the refresh token was used before, so that two may have it: all that came of it is revoked. The person must allow it again")
)

// find reads the refresh token of a request and its family.
func (g Refresh) find(ctx context.Context, c *client.Client, r Request) (token.RefreshToken, token.Family, error) {
	raw := r.Form.Value("refresh_token")
	if raw == "" {
		return token.RefreshToken{}, token.Family{}, oauth.InvalidRequest("refresh_token is missing")
	}
	sent, ok := token.ReadRefreshToken(raw)
	if !ok {
		return token.RefreshToken{}, token.Family{}, errUnknownRefresh
	}
	f, err := g.Families.Family(ctx, sent)
	switch {
	case errors.Is(err, token.ErrNoFamily):
		return sent, f, errUnknownRefresh
	case err != nil:
		return sent, f, fmt.Errorf("find refresh token: %w", err)
	case f.ClientID != c.ID:
		return sent, f, g.stolen(ctx, c, f)
	}
	switch f.Judge(sent, r.At, g.Grace) {
	case token.Unknown:
		return sent, f, errUnknownRefresh
	case token.Reused: // judged once more in the step that ends the family
		if _, err := g.Families.UseFamily(ctx, sent, sent, r.At, g.Grace); err != nil {
			return sent, f, fmt.Errorf("end a refresh family: %w", err)
		}
		return sent, f, errReused
	}
	return sent, f, nil
}

// stolen ends the family of a token that another client brings (RFC 6749 §6,
// RFC 9700 §4.14.2). The answer is that of a token that never was.
func (g Refresh) stolen(ctx context.Context, c *client.Client, f token.Family) error {
	err := g.Families.Revoke(ctx, token.Revocation{Kind: token.RevokeGrant, ID: f.Grant.ID}, audit.Event{
		Actor: "client:" + c.ID, Action: "grant.revoked", Object: f.Grant.ID, Detail: map[string]string{"why": "its refresh token came from another client"},
	})
	if err != nil {
		return fmt.Errorf("end a refresh family: %w", err)
	}
	return errUnknownRefresh
}

// checkFamilyKey: the tokens of a public client are bound to the key that it
// proved when it got the first (RFC 9449 §5, RFC 8705 §4).
func checkFamilyKey(f token.Family, proved token.Confirmation) error {
	switch {
	case f.JKT != "" && f.JKT != proved.JKT:
		return oauth.InvalidGrant("the refresh token is bound to a DPoP key: send a proof made with it")
	case f.X5TS256 != "" && f.X5TS256 != proved.X5TS256:
		return oauth.InvalidGrant("the refresh token is bound to a client certificate: connect with it")
	}
	return nil
}

// scope is what the token opens: a part of what was allowed (RFC 6749 §6), as far
// as client and person may still have it.
func (g Refresh) scope(ctx context.Context, c *client.Client, f token.Family, requested string) (oauth.Scope, error) {
	left, err := checkPerson(ctx, g.People, f.PersonID, f.Scope)
	if err != nil {
		return nil, err
	}
	left = left.Intersect(c.Scopes)
	if left.IsZero() && !f.Scope.IsZero() {
		return nil, oauth.InvalidGrant("nothing is left of what was allowed: the client has lost the right to it")
	}
	if requested == "" {
		return left, nil
	}
	asked, err := oauth.ParseScope(requested)
	switch {
	case err != nil:
		return nil, err
	case !f.Scope.Covers(asked):
		return nil, oauth.InvalidScope("a refresh token brings no more scope than was allowed: ask for a part of it, or leave scope out")
	}
	if left = asked.Intersect(left); left.IsZero() {
		return nil, oauth.InvalidScope("nothing of the scope asked for may be had any more")
	}
	return left, nil
}

// resources are those of what was allowed that the client may still use, or of
// them those that the request names (RFC 8707 §2.2).
func (g Refresh) resources(c *client.Client, f token.Family, requested []string) ([]string, error) {
	left := g.Targets.left(c.Resources, f.Resources)
	if len(left) == 0 {
		return nil, oauth.InvalidTarget("none of the resources that were allowed may be used by this client any more")
	}
	return narrow(left, requested)
}

// rotates reports whether a refresh token is good once: it is where nothing else
// says who brings it (RFC 9700 §4.14.2). Clients held to FAPI 2.0 keep theirs
// (FAPI 2.0 §5.3.2.1), and so do others that must prove a key with it.
func rotates(c *client.Client, f token.Family) bool {
	switch {
	case c.Profile == client.ProfileFAPI2 && c.Confidential():
		return false
	case c.Confidential():
		return !c.DPoPBound && !c.CertificateBound
	}
	return !f.Bound()
}
