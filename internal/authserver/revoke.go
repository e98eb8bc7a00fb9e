package authserver

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/offkey/offkey/internal/audit"
	"github.com/offkey/offkey/internal/authserver/clientauth"
	"github.com/offkey/offkey/internal/oauth"
	"github.com/offkey/offkey/internal/token"
)

// Revoker keeps revocations.
type Revoker interface {
	Revoke(ctx context.Context, r token.Revocation, e audit.Event) error
}

// handleRevoke ends a token of the client that asks (RFC 7009 §2). Once it is
// answered, this process refuses the token; others over the same store do within
// a second, when they look for changes.
func (s *Server) handleRevoke(w http.ResponseWriter, r *http.Request) {
	if err := s.revoke(w, r); err != nil {
		s.writeError(w, r, err)
		return
	}
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusOK)
}

func (s *Server) revoke(w http.ResponseWriter, r *http.Request) error {
	form, err := readForm(w, r)
	if err != nil {
		return err
	}
	who, err := s.authenticate(r, form, pathRevoke)
	if err != nil {
		return err
	}
	if !form.Has("token") {
		return oauth.InvalidRequest("token is missing")
	}
	// token_type_hint is not looked at: a token says what it is.
	if t, ok := token.ReadRefreshToken(form.Value("token")); ok && s.options.Grants != nil {
		return s.revokeFamily(r.Context(), who, t)
	}
	verified, err := s.options.Verifier.Verify(form.Value("token"))
	if err != nil {
		return nil // RFC 7009 §2.2: what is no token of ours, or no longer, is revoked already
	}
	c := verified.Claims()
	if c.ClientID != who.Client().ID {
		return nil // RFC 7009 §2.1: and it stays as it is
	}
	return s.keepRevocation(r.Context(), token.Revocation{Kind: token.RevokeToken, ID: c.ID, Before: s.options.Now(), Expires: c.Expires}, audit.Event{
		Actor: "client:" + c.ClientID, Action: "token.revoked", Object: c.ID,
	}, c.ClientID)
}

// keepRevocation revokes for a client, as often as one may.
func (s *Server) keepRevocation(ctx context.Context, revocation token.Revocation, e audit.Event, clientID string) error {
	if ok, after := s.revokes.Allow(clientID, s.options.Now()); !ok {
		return clientauth.TooMany("this client revokes too many tokens at one time: the token is not revoked, try again in %d s", after)
	}
	if err := s.options.Revoker.Revoke(ctx, revocation, e); err != nil {
		return oauth.TemporarilyUnavailable("the token is not revoked yet: try again").WithCause(err) // RFC 7009 §2.2.1
	}
	s.options.Revocations.Add(revocation)
	return nil
}

// revokeFamily ends all that came of one grant by one of its refresh tokens,
// access tokens included (RFC 7009 §2.1).
func (s *Server) revokeFamily(ctx context.Context, who clientauth.Authenticated, t token.RefreshToken) error {
	f, err := s.options.Grants.Family(ctx, t)
	switch {
	case errors.Is(err, token.ErrNoFamily), err == nil && f.ClientID != who.Client().ID:
		return nil // RFC 7009 §2.1, §2.2
	case err != nil:
		return oauth.TemporarilyUnavailable("the token is not revoked yet: try again").WithCause(err)
	}
	return s.keepRevocation(ctx, token.Revocation{Kind: token.RevokeGrant, ID: f.Grant.ID, Before: s.options.Now(), Expires: s.options.Now().Add(maxTokenLife)}, audit.Event{
		Actor: "client:" + f.ClientID, Action: "grant.revoked", Object: f.Grant.ID,
	}, f.ClientID)
}

// maxTokenLife is the longest that an access token can live.
const maxTokenLife = 24*time.Hour + time.Minute
