package authserver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/offkey/offkey/internal/audit"
	"github.com/offkey/offkey/internal/authserver/grant"
	"github.com/offkey/offkey/internal/client"
	"github.com/offkey/offkey/internal/directory"
	"github.com/offkey/offkey/internal/jose"
	"github.com/offkey/offkey/internal/keyring"
	"github.com/offkey/offkey/internal/oauth"
	"github.com/offkey/offkey/internal/session"
	"github.com/offkey/offkey/internal/token"
)

// usePeople adds what people take part in.
func (s *Server) usePeople(o Options) {
	s.subjects = token.NewSubjects(o.SubjectKey)
	s.grants[oauth.GrantAuthorizationCode] = grant.AuthorizationCode{Codes: o.Grants, People: o.People, Life: o.TokenLife}
	s.grants[oauth.GrantRefreshToken] = grant.Refresh{
		Families: o.Grants, Targets: s.targets, People: o.People, Life: o.TokenLife, Key: o.RefreshKey, Grace: o.RefreshGrace,
	}
	o.WantKey(jose.RS256) // OIDC Core §15.1
}

// keepForPerson does for what a person allowed what the token endpoint does for
// all of it, whichever way it was allowed: the subject is the one that the client
// knows, and a refresh token begins where the grant and the client allow it.
func (s *Server) keepForPerson(ctx context.Context, grantType string, a *token.Authorization) (err error) {
	if s.options.Browser == nil || a.Login.PersonID == "" || a.Client == nil {
		return nil
	}
	a.Subject = s.subjects.Of(a.Client, a.Login.PersonID)
	if !isOfPerson(grantType) && a.Kept {
		return nil
	}
	err = s.keep(ctx, a)
	if errors.Is(err, token.ErrRevoked) {
		return oauth.InvalidGrant("what the person allowed was revoked").WithCause(err)
	}
	return err
}

func (s *Server) keep(ctx context.Context, a *token.Authorization) error {
	e := audit.Event{
		Actor: "person:" + a.Login.PersonID, Action: "grant.created", Object: a.GrantID,
		Detail: map[string]any{"client": a.Client.ID, "scope": a.Scope.String(), "resources": a.Resources},
	}
	switch {
	case a.Refreshable && a.Client.Allows(oauth.GrantRefreshToken):
		if a.Kept {
			e = audit.Event{Actor: "client:" + a.Client.ID, Action: "grant.refreshable", Object: a.GrantID}
		}
		return s.startFamily(ctx, a, e)
	case !a.Kept:
		if err := s.options.Grants.KeepGrant(ctx, token.GrantOf(*a), e); err != nil {
			return fmt.Errorf("keep what was allowed: %w", err)
		}
	}
	return nil
}

// startFamily makes the first refresh token (RFC 6749 §1.5).
func (s *Server) startFamily(ctx context.Context, a *token.Authorization, e audit.Event) error {
	text, first := token.NewRefreshToken()
	f := token.Family{
		Grant: token.GrantOf(*a), Handle: first.Handle, Current: first.Secret,
		LastUsed: a.At, Idle: s.options.RefreshIdle, Ends: a.At.Add(s.options.RefreshLife),
	}
	if !a.Client.Confidential() {
		f.Confirmation = a.Confirmation // RFC 9449 §5: others prove themselves
	}
	if err := s.options.Grants.StartFamily(ctx, f, e); err != nil {
		return fmt.Errorf("start refresh token: %w", err)
	}
	a.RefreshToken = text
	return nil
}

// idToken makes the ID token of a grant that asks for one (OIDC Core §3.1.3.3,
// §12.2).
func (s *Server) idToken(ctx context.Context, grantType string, a token.Authorization, access token.Issued) (string, error) {
	if s.options.Browser == nil || a.Login.PersonID == "" || !access.Scope.Has("openid") || !isOfPerson(grantType) {
		return "", nil
	}
	more := map[string]json.RawMessage{}
	if len(a.Claims.IDToken) > 0 {
		p, _, err := s.options.People.Person(ctx, a.Login.PersonID)
		if err != nil {
			return "", fmt.Errorf("read the person of an ID token: %w", err)
		}
		addClaims(more, p, a.Claims.IDToken)
	}
	a.Login.Session = s.subjects.Session(a.Client, a.Login.Session)
	return s.options.TokenIssuer.IssueIDToken(a, access, more)
}

// isOfPerson reports whether a grant is what a person allowed a client: that of a
// token that is exchanged is not, it is another's.
func isOfPerson(grantType string) bool {
	return grantType == oauth.GrantAuthorizationCode || grantType == oauth.GrantRefreshToken || grantType == oauth.GrantDeviceCode
}

// keepDocument has a client kept whose client_id is the URL of its metadata: a
// person has let it in by now.
func (s *Server) keepDocument(ctx context.Context, c *client.Client) error {
	if c.Source != client.SourceDocument || s.options.KeepClient == nil {
		return nil
	}
	if err := s.options.KeepClient(ctx, c); err != nil {
		return fmt.Errorf("keep client %s: %w", c.ID, err)
	}
	return nil
}

// keyWait is how long a request waits for the first key of an algorithm, which
// is made by a job.
const keyWait = 5 * time.Second

// awaitKey waits where the first key for ID tokens of a client is still being
// made. It comes before the grant, so that nothing is used up in vain.
func (s *Server) awaitKey(ctx context.Context, grantType string, c *client.Client) error {
	alg := token.IDTokenAlg(c)
	ready := func() bool {
		_, err := s.options.Ring().SignerFor(alg, s.options.Now())
		return err == nil
	}
	if s.options.Browser == nil || !isOfPerson(grantType) || !c.Scopes.Has("openid") || ready() {
		return nil
	}
	s.options.WantKey(alg)
	ctx, cancel := context.WithTimeout(ctx, keyWait)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !ready() {
		select {
		case <-ctx.Done():
			return oauth.TemporarilyUnavailable("the key for ID tokens of this client is being made: try again").WithCause(keyring.ErrNoSigner)
		case <-tick.C:
		}
	}
	return nil
}

// readHint returns the sub that the answer must have, of id_token_hint or of the
// claims parameter (OIDC Core §3.1.2.1, §5.5.1).
func (s *Server) readHint(_ *client.Client, raw string, claims claimsWish) (string, error) {
	if raw == "" {
		return claims.Subject, nil
	}
	hint, err := token.ReadHint(raw, s.options.Issuer, s.options.Ring())
	switch {
	case err != nil:
		return "", oauth.InvalidRequest("id_token_hint is not an ID token of this server, or its key was withdrawn").WithCause(err)
	case claims.Subject != "" && claims.Subject != hint.Subject:
		return "", errOtherPerson
	}
	return hint.Subject, nil
}

// peopleMetadata is what the metadata says of the flows of people.
func (s *Server) peopleMetadata(m *oauth.ServerMetadata) {
	yes, no := true, false
	m.AuthorizationEndpoint = s.endpoint(pathAuthorize)
	m.PushedAuthorizationRequestEndpoint = s.endpoint(pathPAR)
	m.RequirePushedAuthorizationRequests = s.options.RequirePAR
	m.GrantTypesSupported = append([]string{oauth.GrantAuthorizationCode, oauth.GrantRefreshToken}, m.GrantTypesSupported...)
	m.ScopesSupported = directory.MayGrant().Union(m.ScopesSupported)
	m.TokenEndpointAuthMethodsSupported = append(slices.Clone(m.TokenEndpointAuthMethodsSupported), oauth.AuthNone) // public clients look for it
	m.RevocationEndpointAuthMethodsSupported = append(slices.Clone(m.RevocationEndpointAuthMethodsSupported), oauth.AuthNone)
	m.ResponseTypesSupported = []string{"code"}
	m.ResponseModesSupported = []string{oauth.ModeQuery, oauth.ModeFormPost}
	m.CodeChallengeMethodsSupported = []string{"S256"}
	m.AuthorizationResponseIssParameterSupported = true
	m.RequestObjectSigningAlgValuesSupported = jose.Names(jose.ClientAlgorithms)
	m.RequestParameterSupported, m.RequestURIParameterSupported = &yes, &no
	if s.options.Fetch != nil {
		m.RequestURIParameterSupported, m.RequireRequestURIRegistration = &yes, true
	}
	m.UserinfoEndpoint = s.endpoint(pathUserinfo)
	m.EndSessionEndpoint = s.endpoint(pathLogout)
	m.BackchannelLogoutSupported, m.BackchannelLogoutSessionSupported = true, true
	m.ClaimsParameterSupported = true
	m.ClaimsSupported = append([]string{"sub", "iss", "aud", "exp", "iat", "auth_time", "nonce", "acr", "amr", "at_hash", "sid"}, directory.ClaimNames()...)
	m.PromptValuesSupported = []string{oauth.PromptNone, oauth.PromptLogin, oauth.PromptConsent, oauth.PromptSelectAccount}
	m.ACRValuesSupported = session.ACRValues
	m.SubjectTypesSupported = []string{client.SubjectPublic, client.SubjectPairwise}
	for _, alg := range token.IDTokenAlgorithms {
		m.IDTokenSigningAlgValuesSupported = append(m.IDTokenSigningAlgValuesSupported, string(alg))
		m.UserinfoSigningAlgValuesSupported = append(m.UserinfoSigningAlgValuesSupported, string(alg))
	}
}
