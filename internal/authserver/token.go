package authserver

import (
	"cmp"
	"context"
	"net/http"
	"net/netip"
	"time"

	"github.com/offkey/offkey/internal/authserver/clientauth"
	"github.com/offkey/offkey/internal/authserver/grant"
	"github.com/offkey/offkey/internal/client"
	"github.com/offkey/offkey/internal/oauth"
	"github.com/offkey/offkey/internal/token"
)

// authenticatedGrant decides what a client that has proved itself is given.
type authenticatedGrant interface {
	Authorize(ctx context.Context, who clientauth.Authenticated, r grant.Request) (token.Authorization, error)
}

// handleToken is the token endpoint (RFC 6749 §3.2).
func (s *Server) handleToken(w http.ResponseWriter, r *http.Request) {
	resp, err := s.issueToken(w, r)
	if err != nil {
		s.writeError(w, r, err)
		return
	}
	writeSecret(w, http.StatusOK, resp)
}

// issueToken is the way of a token: request, proof, grant, token, response.
func (s *Server) issueToken(w http.ResponseWriter, r *http.Request) (oauth.TokenResponse, error) {
	form, err := readForm(w, r, "resource", "audience")
	if err != nil {
		return oauth.TokenResponse{}, err
	}
	began := s.options.Now()
	from, err := s.readSender(w, r, pathToken)
	if err != nil {
		return oauth.TokenResponse{}, err
	}
	authorization, how, err := s.authorize(r, form, from)
	if err != nil {
		return oauth.TokenResponse{}, err
	}
	authorization.At = began
	if err := s.keepForPerson(r.Context(), form.Value("grant_type"), &authorization); err != nil {
		return oauth.TokenResponse{}, err
	}
	issued, err := s.options.TokenIssuer.Issue(authorization)
	if err != nil {
		return oauth.TokenResponse{}, err
	}
	idToken, err := s.idToken(r.Context(), form.Value("grant_type"), authorization, issued)
	if err != nil {
		return oauth.TokenResponse{}, err
	}
	s.options.Metrics.tokenIssued(how)
	if err := s.keepDocument(r.Context(), authorization.Client); err != nil {
		return oauth.TokenResponse{}, err
	}
	if !authorization.Client.Confidential() { // others are noted by their credential
		s.usage.note(authorization.Client.ID, "", began)
	}
	resp := oauth.TokenResponse{
		RefreshToken: authorization.RefreshToken.Reveal(), IDToken: idToken,
		AccessToken: issued.Token, TokenType: oauth.TokenTypeBearer, Scope: issued.Scope.String(),
		ExpiresIn: int64(issued.Expires.Sub(issued.IssuedAt) / time.Second),
	}
	if issued.JKT != "" {
		resp.TokenType = oauth.TokenTypeDPoP // RFC 9449 §5
	}
	if authorization.APIKeyID != "" || authorization.From != "" {
		resp.IssuedTokenType = oauth.TypeAccessToken // RFC 8693 §2.2.1
	}
	return resp, nil
}

// authorize proves the client first and looks at the grant then, so that nobody
// learns about grants who has not proved himself. An apikey that is exchanged is
// itself the proof. how names it, for counting.
func (s *Server) authorize(r *http.Request, form oauth.Params, from sender) (a token.Authorization, how string, err error) {
	proof := s.proof(r, form, pathToken)
	grantType := form.Value("grant_type")
	ofAPIKey := grantType == oauth.GrantTokenExchange && s.exchange != nil && isAPIKey(form)
	if ofAPIKey && !clientauth.Offered(proof) {
		a, err = s.exchangeAPIKey(r.Context(), proof, form, from)
		return a, "apikey", err
	}
	who, err := s.prove(r.Context(), proof, grantType)
	if err != nil {
		return token.Authorization{}, "", err
	}
	if err := checkMayAsk(who.Client(), grantType, s.supports(grantType)); err != nil {
		return token.Authorization{}, "", err
	}
	if ofAPIKey {
		a, err = s.exchangeAPIKey(r.Context(), proof, form, from)
		return a, "apikey", err
	}
	a, err = s.grant(r.Context(), grantType, who, grant.Request{Form: form, At: s.options.Now()}, from)
	return a, who.Method(), err
}

// grant asks the grant, for a token that is bound to what the sender proved. The
// proof of a client that can prove itself is spent before, so that a proof that
// comes twice costs it nothing else; that of others only once they had something
// to redeem, since what anybody may send must write nothing.
func (s *Server) grant(ctx context.Context, grantType string, who clientauth.Authenticated, r grant.Request, from sender) (a token.Authorization, err error) {
	c := who.Client()
	if r.Confirmation, err = from.bind(c); err != nil {
		return a, err
	}
	if err := checkFAPIToken(who, from, r.Confirmation); err != nil {
		return a, err
	}
	if err := s.awaitKey(ctx, grantType, c); err != nil {
		return a, err
	}
	if c.Confidential() {
		if err := s.spendProof(ctx, from.proof); err != nil {
			return a, err
		}
		return s.grants[grantType].Authorize(ctx, who, r)
	}
	if a, err = s.grants[grantType].Authorize(ctx, who, r); err != nil {
		return a, err
	}
	return a, s.spendProof(ctx, from.proof)
}

func (s *Server) supports(grantType string) bool { return s.grants[grantType] != nil }

// isAPIKey reports whether what is to be exchanged is an apikey: it needs no
// client, all else does. Where the type is left out an apikey is likely meant.
func isAPIKey(form oauth.Params) bool {
	kind := form.Value("subject_token_type")
	return kind == "" || kind == oauth.TypeAPIKey
}

// checkMayAsk tells apart what is missing, what nobody may use and what this
// client may not use (RFC 6749 §5.2).
func checkMayAsk(c *client.Client, grantType string, supported bool) error {
	switch {
	case grantType == "":
		return oauth.InvalidRequest("grant_type is missing: the metadata of this server lists those it has (client_credentials, authorization_code, refresh_token and others)")
	case !supported:
		return oauth.UnsupportedGrantType("this server does not have that grant_type: its metadata lists those it has")
	case c.Status == client.Pending:
		return oauth.UnauthorizedClient("this client waits for the approval of an operator: " + cmp.Or(c.PendingReason, "nothing needs to be changed, ask again later"))
	case !c.Allows(grantType):
		return oauth.UnauthorizedClient("this client is not registered for that grant_type")
	}
	return nil
}

// exchangeAPIKey trades an apikey for a token. A wrong apikey is a bad
// credential like any other, and counts against its source.
func (s *Server) exchangeAPIKey(ctx context.Context, proof clientauth.Request, form oauth.Params, from sender) (token.Authorization, error) {
	if err := s.checkSource(proof.Source); err != nil {
		return token.Authorization{}, err
	}
	a, err := s.exchange.Authorize(ctx, grant.Request{Form: form, At: s.options.Now()})
	if form.Has("subject_token") && isBadCredential(err) {
		s.countGuess(proof.Source)
	}
	if err != nil {
		return a, err
	}
	if a.Confirmation, err = from.bind(a.Client); err != nil {
		return a, err
	}
	return a, s.spendProof(ctx, from.proof)
}

// checkSource refuses a source that has sent too many bad credentials.
func (s *Server) checkSource(source netip.Addr) error {
	err := s.failures.Check(source, "", s.options.Now())
	if err != nil {
		s.options.Metrics.authFailed(clientauth.CauseLimited)
	}
	return err
}

// countGuess notes a bad apikey.
func (s *Server) countGuess(source netip.Addr) {
	s.options.Metrics.authFailed(clientauth.CauseUnproved)
	s.failures.Count(source, "", s.options.Now())
}
