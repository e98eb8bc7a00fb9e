package api

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/offkey/offkey/internal/oauth"
	"github.com/offkey/offkey/internal/token"
)

// Bearers says who may ask from afar: with tokens of our own issuer, whose
// audience is the management API.
type Bearers interface {
	// Verify checks an access token whose audience is this API. Its error is an
	// *oauth.Error or token.ErrForeign.
	Verify(raw string) (*token.Verified, error)
	// Reauth is how old the sign-in of a person may be for what is dangerous, or
	// an error for one who may not act any more.
	Reauth(ctx context.Context, personID string) (time.Duration, error)
	// ResourceMetadata is where the metadata of this API is (RFC 9728 §3.1).
	ResourceMetadata() string
	// Allow counts a request of a source and says how long to wait, 0 for not at
	// all.
	Allow(r *http.Request) (wait time.Duration)
}

// caller is who makes a request, and what they may. The zero caller may
// nothing.
type caller struct {
	actor string // for the audit
	all   bool   // from the operator socket: the machine's own
	token *token.Verified
}

type callerKey struct{}

// callerOf is who makes the request.
func callerOf(ctx context.Context) (caller, error) {
	if c, ok := ctx.Value(callerKey{}).(caller); ok {
		return c, nil
	}
	p, ok := ctx.Value(peerKey{}).(peer)
	if !ok {
		return caller{}, errors.New("nobody has vouched for this connection")
	}
	return caller{actor: p.actor, all: true}, p.err
}

// actorOf is who makes the request, as the audit names them.
func actorOf(ctx context.Context) (string, error) {
	c, err := callerOf(ctx)
	return c.actor, err
}

// checkScope holds a token to the scope of an endpoint (RFC 6750 §3.1), and its
// person to a sign-in of lately where the act is dangerous (RFC 9470 §3).
func (s *Server) checkScope(r *http.Request, pattern string) error {
	c, err := callerOf(r.Context())
	switch {
	case err != nil:
		return problem(http.StatusForbidden, "forbidden", "", "%v", err)
	case c.all:
		return nil
	case c.token == nil:
		return problem(http.StatusForbidden, "forbidden", "", "nobody has vouched for this request")
	}
	if scope := scopeOf(pattern); !c.token.Scope().Has(scope) {
		return s.challenge(http.StatusForbidden, oauth.Challenge{
			Scheme: "Bearer", Error: "insufficient_scope", Description: "this needs the scope " + scope, Scope: oauth.Scope{scope},
		}, "ask for a token with that scope; an administrator can give it to a group with `offkey people groups set`, or to a client", "this needs the scope %s", scope)
	}
	login := c.token.Login()
	if login.PersonID == "" {
		return nil
	}
	limit, err := s.o.Bearers.Reauth(r.Context(), login.PersonID)
	switch {
	case err != nil:
		return s.challenge(http.StatusUnauthorized, oauth.Challenge{Scheme: "Bearer", Error: oauth.CodeInvalidToken, Description: "its person may not act any more"}, "", "%v", err)
	case needsFresh(pattern) && s.now().Sub(login.AuthTime) > limit:
		seconds := strconv.Itoa(int(limit / time.Second))
		return s.challenge(http.StatusUnauthorized, oauth.Challenge{
			Scheme: "Bearer", Error: "insufficient_user_authentication", Description: "sign in again: this is dangerous, and the last sign-in is too long ago",
			Extra: []oauth.Attribute{{Name: "max_age", Value: seconds}},
		}, "sign in again, then repeat it", "the sign-in is older than the %s that may lie before this", limit)
	}
	return nil
}

// challenge is a problem with its WWW-Authenticate.
func (s *Server) challenge(status int, c oauth.Challenge, fix, format string, args ...any) *Problem {
	c.ResourceMetadata = s.o.Bearers.ResourceMetadata()
	p := problem(status, c.Error, fix, format, args...)
	if p.Code == "" {
		p.Code = "token_missing"
	}
	p.challenge = c.String()
	return p
}

// admitBearer finds out who sends a request from afar (RFC 6750 §2.1: in the
// header alone).
func (s *Server) admitBearer(r *http.Request) (caller, error) {
	if wait := s.o.Bearers.Allow(r); wait > 0 {
		p := problem(http.StatusTooManyRequests, "rate_limited", "", "too many requests at one time")
		p.retryAfter = wait
		return caller{}, p
	}
	headers := r.Header["Authorization"]
	if len(headers) == 0 {
		return caller{}, s.challenge(http.StatusUnauthorized, oauth.Challenge{Scheme: "Bearer"}, "run `offkey login --server URL`, or send an access token of the issuer for this API", "the request has no access token")
	}
	scheme, raw, _ := strings.Cut(headers[0], " ")
	if len(headers) > 1 || !strings.EqualFold(scheme, "Bearer") {
		return caller{}, s.challenge(http.StatusUnauthorized, oauth.Challenge{Scheme: "Bearer", Error: oauth.CodeInvalidRequest, Description: "send one access token, as Bearer"}, "", "the request must have one Authorization header, with the scheme Bearer")
	}
	v, err := s.o.Bearers.Verify(strings.TrimSpace(raw))
	if err == nil && v.Confirmation().Bound() {
		err = oauth.InvalidToken("it is bound to a key, which this API does not ask for a proof of")
	}
	if err != nil {
		description := "it is none of this issuer for this API"
		var named *oauth.Error
		if errors.As(err, &named) {
			description = named.Description
		}
		return caller{}, s.challenge(http.StatusUnauthorized, oauth.Challenge{Scheme: "Bearer", Error: oauth.CodeInvalidToken, Description: description}, "get a new one", "the access token does not hold: %s", description)
	}
	c := caller{actor: "client:" + v.ClientID(), token: v}
	if person := v.Login().PersonID; person != "" {
		c.actor = "person:" + person
	}
	return c, nil
}

// As is a request as if it came from afar with that verified token: how the
// console asks for whom it shows its pages to.
func As(ctx context.Context, v *token.Verified) context.Context {
	c := caller{actor: "client:" + v.ClientID(), token: v}
	if person := v.Login().PersonID; person != "" {
		c.actor = "person:" + person
	}
	return context.WithValue(ctx, callerKey{}, c)
}
