package authserver

import (
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
	resp, err := s.introspect(w, r)
	if err != nil {
		s.writeError(w, r, err)
		return
	}
	writeSecret(w, http.StatusOK, resp)
}

func (s *Server) introspect(w http.ResponseWriter, r *http.Request) (oauth.IntrospectionResponse, error) {
	form, err := readForm(w, r)
	if err != nil {
		return oauth.IntrospectionResponse{}, err
	}
	who, err := s.authenticate(r, form, pathIntrospect)
	if err != nil {
		return oauth.IntrospectionResponse{}, err
	}
	if err := checkMayIntrospect(who); err != nil {
		return oauth.IntrospectionResponse{}, err
	}
	if !form.Has("token") {
		return oauth.IntrospectionResponse{}, oauth.InvalidRequest("token is missing")
	}
	verified, err := s.options.Verifier.Verify(form.Value("token"))
	if err != nil || !mayKnow(who.Client(), verified) || s.isDisabled(r, verified) || !s.outlives(verified) {
		return oauth.IntrospectionResponse{}, nil // RFC 7662 §2.2: inactive, and nothing else
	}
	return introspected(verified.Claims()), nil
}

// introspected is what a resource server is told of a token that holds
// (RFC 7662 §2.2), with what it is bound to (RFC 9449 §6.2, RFC 8705 §3.2) and how
// its person signed in (RFC 9470 §6.2).
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

// isDisabled reports whether the client of a token is known and disabled.
func (s *Server) isDisabled(r *http.Request, v *token.Verified) bool {
	c, err := s.options.Clients.Client(r.Context(), v.ClientID())
	return err == nil && c.Status == client.Disabled
}

// outlives reports whether a token that an apikey was exchanged for still holds:
// it ends with the apikey.
func (s *Server) outlives(v *token.Verified) bool {
	from := v.Claims().APIKeyID
	return from == "" || s.options.APIKeyHolds(from)
}
