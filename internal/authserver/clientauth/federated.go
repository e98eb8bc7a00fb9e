package clientauth

import (
	"context"
	"errors"

	"github.com/offkey/offkey/internal/client"
	"github.com/offkey/offkey/internal/jose"
	"github.com/offkey/offkey/internal/oauth"
)

// Federation knows which tokens of other issuers stand for a client here.
type Federation interface {
	// Identify finds the trust rule that a token falls under and spends the
	// token. What stands for nothing is a *client.TrustFailure; any other error
	// means that storage failed.
	Identify(ctx context.Context, p client.Presented) (client.Identified, error)
}

// federatedAttempt is federated_jwt: a token that another issuer gave the
// workload, in place of a JWT that the client signed (RFC 7521 §4.2, RFC 7523
// §3). Who the client is the trust rule says, not the token.
type federatedAttempt struct {
	token string
	sent  string // client_id of the request
	rule  client.TrustRule
}

func (s *federatedAttempt) claimed() string {
	if s.rule.ClientID != "" {
		return s.rule.ClientID
	}
	return s.sent
}

func (s *federatedAttempt) method() string { return oauth.AuthFederatedJWT }

// isFederated reports whether an assertion is of another issuer: the one that a
// client signs names the client as its own issuer (RFC 7523 §3). A JWT-SVID need
// not name an issuer, and comes under a type of its own
// (draft-ietf-oauth-spiffe-client-auth).
func isFederated(form oauth.Params, jwt *jose.Unverified) bool {
	if form.Value("client_assertion_type") == oauth.AssertionTypeJWTSPIFFE {
		return true
	}
	var c struct {
		Issuer  string `json:"iss"`
		Subject string `json:"sub"`
	}
	return jwt.Peek(&c) == nil && c.Issuer != "" && c.Issuer != c.Subject
}

// identify verifies the token: only then it is known which client is meant.
func (s *federatedAttempt) identify(ctx context.Context, a *Authenticator) error {
	found, err := a.options.Federation.Identify(ctx, client.Presented{Token: s.token, For: client.TrustClient, ClientID: s.sent})
	if err != nil {
		return trustFailure(err)
	}
	s.rule = found.Rule
	return nil
}

var trustCauses = map[string]string{
	client.TrustUnproved: CauseUnproved, client.TrustShape: CauseMalformed, client.TrustAudience: CauseAudience, client.TrustClock: CauseClock,
	client.TrustLifetime: CauseLifetime, client.TrustReplayed: CauseReplayed, client.TrustKeys: CauseNotConfigured, client.TrustChoice: CauseMalformed,
}

// trustFailure is a refusal of a token of another issuer. What may be somebody
// trying counts as a guess.
func trustFailure(err error) error {
	var f *client.TrustFailure
	if !errors.As(err, &f) {
		return unavailable(err)
	}
	return &failure{
		cause: trustCauses[f.Cause], guess: f.Cause == client.TrustUnproved,
		answer: oauth.InvalidClient("client authentication failed: " + f.Description).WithCause(f.Err),
	}
}

// prove holds the client to its registration: a token proves only a client that
// is registered for it (RFC 7591 §2).
func (s *federatedAttempt) prove(_ context.Context, _ *Authenticator, c *client.Client) (string, error) {
	if c == nil || c.AuthMethod != oauth.AuthFederatedJWT {
		return "", refusal(CauseMethod, "the client of the trust rule is not registered for "+oauth.AuthFederatedJWT+": ask the operator of this server")
	}
	if f := checkStatus(c); f != nil {
		return "", f
	}
	return s.rule.ID, nil
}

// AuthenticateGrant proves the client of a request whose assertion parameter is
// a token of another issuer, and nothing else does (RFC 7521 §4.1). Its refusals
// are invalid_grant.
func (a *Authenticator) AuthenticateGrant(ctx context.Context, r Request) (Authenticated, error) {
	try := &federatedAttempt{token: r.Form.Value("assertion"), sent: r.Form.Value("client_id")}
	who, err := a.authenticate(ctx, r, try)
	var refused *oauth.Error
	if errors.As(err, &refused) && refused.Code == oauth.CodeInvalidClient {
		return Authenticated{}, oauth.InvalidGrant(refused.Description).WithCause(refused.Cause)
	}
	return who, err
}
