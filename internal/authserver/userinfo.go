package authserver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/offkey/offkey/internal/directory"
	"github.com/offkey/offkey/internal/keyring"
	"github.com/offkey/offkey/internal/oauth"
	"github.com/offkey/offkey/internal/token"
)

// handleUserinfo tells a client about the person who allowed it to ask (OIDC
// Core §5.3).
func (s *Server) handleUserinfo(w http.ResponseWriter, r *http.Request) {
	claims, err := s.userinfo(w, r)
	if err != nil {
		s.writeError(w, r, err)
		return
	}
	if claims.signed == "" {
		writeSecret(w, http.StatusOK, claims.members)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "application/jwt")
	h.Set("Cache-Control", "no-store")
	h.Set("Pragma", "no-cache")
	_, _ = w.Write([]byte(claims.signed))
}

// userClaims are what a client is told: as JSON, or signed (OIDC Core §5.3.2).
type userClaims struct {
	members map[string]json.RawMessage
	signed  string
}

// sign signs the claims for a client that is registered for that.
func (s *Server) sign(ctx context.Context, clientID string, claims map[string]json.RawMessage) (userClaims, error) {
	c, err := s.options.Clients.Client(ctx, clientID)
	if err != nil || c.UserinfoAlg == "" { // a document that cannot be fetched now asked for nothing
		return userClaims{members: claims}, nil
	}
	signed, err := s.options.TokenIssuer.IssueUserinfo(c, claims)
	if errors.Is(err, keyring.ErrNoSigner) {
		s.options.WantKey(c.UserinfoAlg)
		err = oauth.TemporarilyUnavailable("the key for the userinfo of this client is being made: try again").WithCause(err)
	}
	return userClaims{signed: signed}, err
}

func (s *Server) userinfo(w http.ResponseWriter, r *http.Request) (userClaims, error) {
	var inBody []string
	if r.Method == http.MethodPost && mediaType(r) == "application/x-www-form-urlencoded" { // RFC 6750 §2.2
		form, err := readForm(w, r)
		if err != nil {
			return userClaims{}, err
		}
		inBody = form.Values("access_token")
	}
	verified, err := s.protected(w, r, pathUserinfo, inBody...)
	if err != nil {
		return userClaims{}, err
	}
	c, err := s.whose(r.Context(), verified.Claims())
	if err != nil {
		return userClaims{}, err
	}
	if c.PersonID == "" || !c.Scope.Has("openid") { // OIDC Core §5.3
		return userClaims{}, oauth.InsufficientScope("userinfo needs an access token with the scope openid, that a person allowed")
	}
	p, _, err := s.options.People.Person(r.Context(), c.PersonID)
	switch {
	case errors.Is(err, directory.ErrNotFound):
		return userClaims{}, oauth.InvalidToken("the person of this access token may not sign in any more")
	case err != nil:
		return userClaims{}, fmt.Errorf("read the person of an access token: %w", err)
	}
	claims := p.ClaimsFor(c.Scope)
	if g, err := s.options.Grants.Grant(r.Context(), c.GrantID); err == nil {
		addClaims(claims, p, g.Claims.Userinfo)
	} else if !errors.Is(err, token.ErrRevoked) {
		return userClaims{}, fmt.Errorf("read what was allowed: %w", err)
	}
	if claims["sub"], err = json.Marshal(c.Subject); err != nil { // OIDC Core §5.3.2: as in the ID token
		return userClaims{}, err
	}
	return s.sign(r.Context(), c.ClientID, claims)
}

// addClaims adds those that were asked for by name (OIDC Core §5.5).
func addClaims(to map[string]json.RawMessage, p *directory.Person, names []string) {
	for _, name := range names {
		if value := p.Claim(name); value != nil {
			to[name] = value
		}
	}
}

// allowedClaims are those of the claims parameter that belong to what the person
// allowed: no scope is got by asking for its claims one by one.
func allowedClaims(asked token.RequestedClaims, allowed oauth.Scope) token.RequestedClaims {
	keep := func(names []string) []string {
		var kept []string
		for _, name := range names {
			if scope := directory.ScopeOf(name); scope != "" && allowed.Has(scope) {
				kept = append(kept, name)
			}
		}
		return kept
	}
	return token.RequestedClaims{IDToken: keep(asked.IDToken), Userinfo: keep(asked.Userinfo)}
}

// scopesOf are the scopes whose claims a client asks for by name, as far as it
// is registered for them: the person is asked for them like for others.
func scopesOf(w claimsWish, registered oauth.Scope) oauth.Scope {
	var all oauth.Scope
	for _, names := range [][]string{w.IDToken, w.Userinfo} {
		for _, name := range names {
			if scope := directory.ScopeOf(name); scope != "" && registered.Has(scope) {
				all = all.Union(oauth.Scope{scope})
			}
		}
	}
	return all
}
