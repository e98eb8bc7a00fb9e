package authserver

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/offkey/offkey/internal/authserver/clientauth"
	"github.com/offkey/offkey/internal/client"
	"github.com/offkey/offkey/internal/oauth"
	"github.com/offkey/offkey/internal/token"
)

// handleIntrospect tells a resource server what a token is good for (RFC 7662
// §2).
func (s *Server) handleIntrospect(w http.ResponseWriter, r *http.Request) {
	resp, to, err := s.introspect(w, r)
	switch {
	case err != nil:
		s.writeError(w, r, err)
	case wantsSigned(r):
		if err := s.writeSigned(w, resp, to); err != nil {
			s.writeError(w, r, err)
		}
	default:
		writeSecret(w, http.StatusOK, resp)
	}
}

// introspect returns the answer and the client that it is for.
func (s *Server) introspect(w http.ResponseWriter, r *http.Request) (resp oauth.IntrospectionResponse, to *client.Client, err error) {
	form, err := readForm(w, r)
	if err != nil {
		return resp, nil, err
	}
	who, err := s.authenticate(r, form, pathIntrospect)
	if err != nil {
		return resp, nil, err
	}
	if err := checkMayIntrospect(who); err != nil {
		return resp, nil, err
	}
	if !form.Has("token") {
		return resp, nil, oauth.InvalidRequest("token is missing")
	}
	if t, ok := token.ReadRefreshToken(form.Value("token")); ok && s.options.Grants != nil {
		resp, err := s.introspectRefresh(r.Context(), who.Client(), t)
		return resp, who.Client(), err
	}
	verified, err := s.options.Verifier.Verify(form.Value("token"))
	if err != nil || !mayKnow(who.Client(), verified) || !s.stands(r.Context(), verified) {
		return resp, who.Client(), nil // RFC 7662 §2.2: inactive, and nothing else
	}
	return introspected(verified.Claims()), who.Client(), nil
}

// introspectRefresh tells a client about its own refresh token: no API has to do
// with one.
func (s *Server) introspectRefresh(ctx context.Context, c *client.Client, t token.RefreshToken) (oauth.IntrospectionResponse, error) {
	f, err := s.options.Grants.Family(ctx, t)
	switch {
	case errors.Is(err, token.ErrNoFamily):
		return oauth.IntrospectionResponse{}, nil
	case err != nil:
		return oauth.IntrospectionResponse{}, fmt.Errorf("find refresh token: %w", err)
	case f.ClientID != c.ID || f.Judge(t, s.options.Now(), 0) != token.Newest:
		return oauth.IntrospectionResponse{}, nil
	}
	resp := oauth.IntrospectionResponse{
		Active: true, Scope: f.Scope.String(), ClientID: f.ClientID, Exp: f.Ends.Unix(), Iat: f.Created.Unix(),
		Sub: s.subjects.Of(c, f.PersonID), Aud: f.Resources, Iss: s.options.Issuer, Acr: f.ACR,
	}
	if !f.AuthTime.IsZero() {
		resp.AuthTime = f.AuthTime.Unix()
	}
	return resp, nil
}

// introspected is what a resource server is told of a token that holds
// (RFC 7662 §2.2), with what it is bound to (RFC 9449 §6.2, RFC 8705 §3.2), how
// its person signed in (RFC 9470 §6.2) and who acts for them (RFC 8693 §4.1).
func introspected(c token.Claims) oauth.IntrospectionResponse {
	resp := oauth.IntrospectionResponse{
		Active: true, Scope: c.Scope.String(), ClientID: c.ClientID, TokenType: oauth.TokenTypeBearer,
		Exp: c.Expires.Unix(), Iat: c.IssuedAt.Unix(), Sub: c.Subject, Aud: c.Audience, Iss: c.Issuer, Jti: c.ID, Acr: c.ACR,
	}
	if !c.AuthTime.IsZero() {
		resp.AuthTime = c.AuthTime.Unix()
	}
	if c.Bound() {
		resp.Cnf = &oauth.Confirmation{JKT: c.JKT, X5TS256: c.X5TS256}
	}
	resp.Act = actorOf(c.Actor)
	if c.JKT != "" {
		resp.TokenType = oauth.TokenTypeDPoP
	}
	return resp
}

// checkMayIntrospect: nobody asks anonymously (RFC 7662 §2.1).
func checkMayIntrospect(who clientauth.Authenticated) error {
	switch c := who.Client(); {
	case c == nil || !c.Confidential():
		return oauth.InvalidClient("introspection needs client authentication")
	case c.Status != client.Active:
		return oauth.UnauthorizedClient("this client waits for the approval of an operator")
	}
	return nil
}

// mayKnow: a client learns about its own tokens, and about those that are for a
// resource that it is registered with (RFC 7662 §4). The default resource is
// only meant where it is named: otherwise every client could ask about every
// token.
func mayKnow(c *client.Client, v *token.Verified) bool {
	return v.ClientID() == c.ID || slices.ContainsFunc(v.Claims().Audience, func(aud string) bool {
		return slices.Contains(c.Resources, aud)
	})
}

// stands reports whether what a verified token came of is still there: its
// client, the client that had it first, its person, and the apikey that it was
// exchanged for.
func (s *Server) stands(ctx context.Context, v *token.Verified) bool {
	c := v.Claims()
	return !s.isDisabled(ctx, c.ClientID) && !s.isDisabled(ctx, c.From) && (c.APIKeyID == "" || s.options.APIKeyHolds(c.APIKeyID)) && s.mayAct(ctx, c)
}

// mayAct reports whether clients may act for the person of a token, if it has
// one.
func (s *Server) mayAct(ctx context.Context, c token.Claims) bool {
	c, err := s.whose(ctx, c)
	if err != nil || c.PersonID == "" || s.options.People == nil {
		return err == nil
	}
	_, _, err = s.options.People.Person(ctx, c.PersonID)
	return err == nil
}

// whose completes what a token says by whom it is about, where that is only kept
// here (token.Login.Pairwise).
func (s *Server) whose(ctx context.Context, c token.Claims) (token.Claims, error) {
	if c.PersonID != "" || c.GrantID == "" || s.options.Grants == nil {
		return c, nil
	}
	g, err := s.options.Grants.Grant(ctx, c.GrantID)
	switch {
	case errors.Is(err, token.ErrRevoked): // nothing is kept of it: it is no person's
		return c, nil
	case err != nil:
		return c, fmt.Errorf("read what was allowed: %w", err)
	}
	c.PersonID, c.Pairwise = g.PersonID, g.Pairwise
	return c, nil
}

// isDisabled reports whether a client is known and disabled.
func (s *Server) isDisabled(ctx context.Context, id string) bool {
	if id == "" {
		return false
	}
	c, err := s.options.Clients.Client(ctx, id)
	return err == nil && c.Status == client.Disabled
}

// subjects are the tokens that are brought to be exchanged.
type subjects struct{ server *Server }

// AccessToken implements grant.Subjects.
func (s subjects) AccessToken(ctx context.Context, raw string) (token.Claims, error) {
	v, err := s.server.options.Verifier.Verify(raw)
	if err != nil {
		return token.Claims{}, err
	}
	if !s.server.stands(ctx, v) {
		return token.Claims{}, oauth.InvalidToken("its client was disabled, or the apikey behind it is retired")
	}
	return s.server.whose(ctx, v.Claims())
}
