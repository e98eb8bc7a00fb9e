package authserver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/offkey/offkey/internal/audit"
	"github.com/offkey/offkey/internal/authserver/grant"
	"github.com/offkey/offkey/internal/client"
	"github.com/offkey/offkey/internal/limit"
	"github.com/offkey/offkey/internal/oauth"
	"github.com/offkey/offkey/internal/secret"
	"github.com/offkey/offkey/internal/session"
	"github.com/offkey/offkey/internal/token"
)

// Grants keeps what people allow.
type Grants interface {
	grant.CodeStore
	grant.FamilyStore
	// IssueCode keeps a code and its grant, and uses up the pushed request that
	// it answers: session.ErrNotPushed if that was used before. token.ErrRevoked
	// if the person, the client or the session was revoked since the answer.
	IssueCode(ctx context.Context, c token.Code, pushed secret.Hash, e audit.Event) error
	// KeepGrant keeps what was allowed without a code.
	KeepGrant(ctx context.Context, g token.Grant, e audit.Event) error
	// Grant returns what was allowed, or token.ErrRevoked.
	Grant(ctx context.Context, id string) (token.Grant, error)
	// StartFamily keeps the first refresh token of a grant. token.ErrRevoked as
	// for IssueCode.
	StartFamily(ctx context.Context, f token.Family, e audit.Event) error
	// DropPushed ends a pushed request that brought no code; one that is gone
	// already is no error.
	DropPushed(ctx context.Context, h secret.Hash) error
	PushRequest(ctx context.Context, p session.Pushed, limits session.PushedLimits) error
	PushedRequest(ctx context.Context, h secret.Hash, now time.Time) (session.Pushed, error)
}

// handleAuthorize is the authorization endpoint (RFC 6749 §3.1): the request is
// judged, and then waits for a person.
func (s *Server) handleAuthorize(w http.ResponseWriter, r *http.Request) {
	p, err := readAuthorize(w, r)
	if err != nil {
		s.refusePage(w, r, err)
		return
	}
	if s.comesWithoutCookies(r) {
		s.sendAgain(w, r, pathAuthorize, p)
		return
	}
	if err := s.checkMayFetch(r, p); err != nil {
		s.refusePage(w, r, err)
		return
	}
	d, q, err := s.authRequest(r.Context(), p)
	switch {
	case err != nil && d.client == nil:
		s.refusePage(w, r, err)
	case err != nil:
		s.refuse(w, r, d, err, p.Value("prompt") == oauth.PromptNone)
	default:
		s.begin(w, r, d, q)
	}
}

// readAuthorize reads the parameters of a GET from the query, those of a POST
// from the body (OIDC Core §3.1.2.1).
func readAuthorize(w http.ResponseWriter, r *http.Request) (oauth.Params, error) {
	if r.Method == http.MethodPost {
		return readForm(w, r, "resource")
	}
	return oauth.ParseParams(r.URL.RawQuery, "resource")
}

// authRequest finds out whose request it is and where its answer goes, and then
// judges it. With a client in the destination an error may be sent there.
func (s *Server) authRequest(ctx context.Context, p oauth.Params) (destination, authRequest, error) {
	c, err := s.findClient(ctx, p.Value("client_id"))
	if err != nil {
		return destination{}, authRequest{}, err
	}
	if uri := p.Value("request_uri"); strings.HasPrefix(uri, oauth.RequestURIPrefix) {
		return s.pushedRequest(ctx, c, uri)
	}
	raw, signed, objectErr := s.requestObject(ctx, c, p)
	if signed && objectErr == nil {
		var object oauth.Params
		if object, objectErr = s.readRequestObject(ctx, c, raw); objectErr == nil {
			p = object // RFC 9101 §6.3: nothing outside of it counts
		}
	}
	d, err := findDestination(c, p)
	switch {
	case err != nil && objectErr != nil:
		return destination{}, authRequest{}, objectErr
	case err != nil:
		return destination{}, authRequest{}, err
	case objectErr != nil:
		return d, authRequest{}, objectErr
	}
	q, err := s.readAuthRequest(d, p, source{signed: signed})
	return d, q, err
}

// findClient returns a client that people may be sent to.
func (s *Server) findClient(ctx context.Context, id string) (*client.Client, error) {
	if id == "" {
		return nil, errNoClient
	}
	c, err := s.options.Clients.Client(ctx, id)
	switch {
	case errors.Is(err, client.ErrNotFound):
		return nil, errNoClient
	case err != nil:
		if e, named := asOAuth(err); named {
			return nil, e
		}
		return nil, fmt.Errorf("find client: %w", err)
	case c.Status != client.Active && c.Status != client.Pending:
		return nil, oauth.UnauthorizedClient("this client is disabled: ask the operator of this server")
	}
	return c, nil
}

// findDestination says where the answer goes. The redirect URI must be sent:
// that a client has only one does not say that it is the one meant (OAuth 2.1
// §4.1.1, OIDC Core §3.1.2.1).
func findDestination(c *client.Client, p oauth.Params) (destination, error) {
	uri := p.Value("redirect_uri")
	if !c.RedirectsTo(uri) {
		return destination{}, errNoRedirect
	}
	d := destination{client: c, redirectURI: uri, state: p.Value("state")}
	if p.Value("response_mode") == oauth.ModeFormPost {
		d.mode = oauth.ModeFormPost
	}
	if len(d.state) > maxState {
		d.state = ""
	}
	return d, nil
}

// begin takes a good request to the person, or answers it where there is nothing
// to ask.
func (s *Server) begin(w http.ResponseWriter, r *http.Request, d destination, q authRequest) {
	now := s.options.Now()
	demand, err := s.demand(r, d.client, q)
	if err != nil {
		s.refuse(w, r, d, err, demand.Prompts(oauth.PromptNone))
		return
	}
	q.Demand = &demand
	payload, err := json.Marshal(q)
	if err != nil {
		s.refuse(w, r, d, fmt.Errorf("keep authorization request: %w", err), false)
		return
	}
	id := session.NewRequestID()
	answer, err := s.options.Browser.Begin(w, r, session.Request{
		ID: id, Kind: session.ForClient, ClientID: q.ClientID, Return: s.prefix + pathAuthorizeDone + "?request=" + url.QueryEscape(id),
		Payload: payload, Demand: demand, Ask: q.ask(d.client), Created: now, Expires: now.Add(session.RequestLife),
	})
	switch {
	case err != nil:
		s.refuse(w, r, d, err, false)
	case answer != nil:
		if err := s.checkSilent(d.client, answer); err != nil {
			s.refuse(w, r, d, err, true)
			return
		}
		s.finish(w, r, d, q, answer)
	}
}

// newSilentLimiter bounds the codes that a client gets in one session without
// anybody being asked: each is kept and audited. It is far above what a page that
// looks whether somebody is signed in needs.
func newSilentLimiter(burst int) *limit.Limiter { return limit.New(1, burst, 1<<16) }

const silentBurst = 5000

// checkSilent takes one code that nobody was asked for.
func (s *Server) checkSilent(c *client.Client, a *session.Answer) error {
	if !a.Allowed() {
		return nil // writes nothing
	}
	if ok, after := s.silent.Allow(a.SessionID+" "+c.ID, s.options.Now()); !ok {
		return oauth.AuthorizationError(oauth.CodeTemporarilyUnavailable, fmt.Sprintf("this client asks too often in this session: again in %d s", int(after/time.Second)+1))
	}
	return nil
}

// demand is what the sign-in must be. Whom an id_token_hint with a pairwise
// subject means can only be told of who is signed in.
func (s *Server) demand(r *http.Request, c *client.Client, q authRequest) (session.Demand, error) {
	d := q.demand(s.options.Now())
	switch {
	case q.Hint == "":
		return d, nil
	case c.SubjectType != client.SubjectPairwise:
		d.PersonID = q.Hint
		return d, nil
	}
	current, signedIn, err := s.options.Browser.Current(r)
	switch {
	case err != nil:
		return d, err
	case signedIn && s.subjects.Of(c, current.PersonID) == q.Hint:
		d.PersonID = current.PersonID
	case d.Prompts(oauth.PromptNone):
		return d, errOtherPerson
	case signedIn:
		d.Prompt = append(slices.Clone(d.Prompt), oauth.PromptLogin)
	}
	return d, nil
}

var errOtherPerson = oauth.AuthorizationError(oauth.CodeLoginRequired, "the person that id_token_hint or claims name is not signed in")

// handleAuthorizeDone is where the browser comes back with an answer.
func (s *Server) handleAuthorizeDone(w http.ResponseWriter, r *http.Request) {
	d, q, answer, err := s.answered(r)
	if err != nil {
		s.refusePage(w, r, err)
		return
	}
	s.finish(w, r, d, q, answer)
}

var errAnswered = oauth.InvalidRequest("this request was answered before, is too old, or began in another browser")

func (s *Server) answered(r *http.Request) (destination, authRequest, *session.Answer, error) {
	p, err := oauth.ParseParams(r.URL.RawQuery)
	if err != nil {
		return destination{}, authRequest{}, nil, err
	}
	waiting, err := s.options.Browser.Answered(r, p.Value("request"))
	switch {
	case errors.Is(err, session.ErrGone), err == nil && (waiting.Kind != session.ForClient || waiting.Answer == nil):
		return destination{}, authRequest{}, nil, errAnswered
	case err != nil:
		return destination{}, authRequest{}, nil, fmt.Errorf("take answered request: %w", err)
	}
	var q authRequest
	if err := json.Unmarshal(waiting.Payload, &q); err != nil {
		return destination{}, authRequest{}, nil, fmt.Errorf("read answered request: %w", err)
	}
	d, err := s.stillGood(r.Context(), q)
	return d, q, waiting.Answer, err
}

// stillGood looks again at what may have changed while a request waited.
func (s *Server) stillGood(ctx context.Context, q authRequest) (destination, error) {
	c, err := s.findClient(ctx, q.ClientID)
	if err != nil {
		return destination{}, err
	}
	if !c.RedirectsTo(q.RedirectURI) {
		return destination{}, errNoRedirect
	}
	return destination{client: c, redirectURI: q.RedirectURI, mode: q.Mode, state: q.State}, nil
}

// finish answers a request as the person did.
func (s *Server) finish(w http.ResponseWriter, r *http.Request, d destination, q authRequest, a *session.Answer) {
	if err := s.checkAnswer(d, q, a); err != nil {
		s.refuse(w, r, d, s.dropPushed(r.Context(), q, err), true)
		return
	}
	code, err := s.issueCode(r.Context(), d.client, q, a)
	switch {
	case errors.Is(err, session.ErrNotPushed):
		s.refusePage(w, r, errUsedURI)
	case errors.Is(err, token.ErrRevoked):
		s.refuse(w, r, d, oauth.AccessDenied("the person or the client was shut out meanwhile").WithCause(err), true)
	case err != nil:
		s.refuse(w, r, d, err, true)
	default:
		s.respond(w, r, d, answerParams{{"code", code.Reveal()}})
	}
}

// dropPushed uses up the pushed request of one that is refused: it was answered
// (RFC 9126 §7.3).
func (s *Server) dropPushed(ctx context.Context, q authRequest, refused error) error {
	if q.Pushed.IsZero() {
		return refused
	}
	if err := s.options.Grants.DropPushed(ctx, q.Pushed); err != nil {
		return fmt.Errorf("use up a pushed request: %w", err)
	}
	return refused
}

// checkAnswer holds the answer against the request once more, so that a mistake
// of the pages cannot give what was not asked for.
func (s *Server) checkAnswer(d destination, q authRequest, a *session.Answer) error {
	asWas := session.Session{PersonID: a.PersonID, Login: a.Login}
	switch {
	case !a.Allowed():
		code := a.Error
		if code == "" {
			code = oauth.CodeAccessDenied
		}
		return oauth.AuthorizationError(code, a.Description)
	case checkMayAuthorize(d.client) != nil:
		return checkMayAuthorize(d.client)
	case q.Hint != "" && s.subjects.Of(d.client, a.PersonID) != q.Hint:
		return errOtherPerson
	case q.Demand == nil || !q.Demand.Meets(asWas):
		return oauth.AuthorizationError(oauth.CodeUnmetAuthentication, "the sign-in was not as recent or as strong as was asked for")
	}
	return nil
}

// issueCode makes the code of what was allowed (RFC 6749 §4.1.2).
func (s *Server) issueCode(ctx context.Context, c *client.Client, q authRequest, a *session.Answer) (secret.Text, error) {
	now := s.options.Now()
	text := token.NewCode()
	code := token.Code{
		Hash: secret.HashOf(text.Reveal()), Grant: q.grant(c, a), RedirectURI: q.RedirectURI, Challenge: q.Challenge, JKT: q.JKT,
		Expires: now.Add(token.CodeLife),
	}
	err := s.options.Grants.IssueCode(ctx, code, q.Pushed, audit.Event{
		Actor: "person:" + a.PersonID, Action: "grant.created", Object: code.Grant.ID,
		Detail: map[string]any{"client": q.ClientID, "scope": code.Grant.Scope.String(), "resources": q.Resources},
	})
	if err != nil {
		return secret.Text{}, fmt.Errorf("issue code: %w", err)
	}
	return text, nil
}
