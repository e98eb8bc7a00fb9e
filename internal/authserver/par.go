package authserver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/offkey/offkey/internal/authserver/clientauth"
	"github.com/offkey/offkey/internal/client"
	"github.com/offkey/offkey/internal/limit"
	"github.com/offkey/offkey/internal/oauth"
	"github.com/offkey/offkey/internal/secret"
	"github.com/offkey/offkey/internal/session"
)

// pushedLimits bound the pushed requests that wait at one time.
var pushedLimits = session.PushedLimits{PerClient: 5000, All: 100_000}

// newPushLimiter bounds how often a source pushes for a public client, which
// anybody can.
func newPushLimiter() *limit.Limiter { return limit.New(1, 60, 1<<16) }

// handlePAR is the pushed authorization request endpoint (RFC 9126 §2).
func (s *Server) handlePAR(w http.ResponseWriter, r *http.Request) {
	resp, err := s.push(w, r)
	if err != nil {
		s.writeError(w, r, err)
		return
	}
	writeSecret(w, http.StatusCreated, resp)
}

func (s *Server) push(w http.ResponseWriter, r *http.Request) (oauth.PushedResponse, error) {
	form, err := readForm(w, r, "resource")
	if err != nil {
		return oauth.PushedResponse{}, err
	}
	from, err := s.readSender(w, r, pathPAR)
	if err != nil {
		return oauth.PushedResponse{}, err
	}
	who, err := s.authenticate(r, form, pathPAR)
	if err != nil {
		return oauth.PushedResponse{}, err
	}
	if err := s.checkMayPush(r, who, form); err != nil {
		return oauth.PushedResponse{}, err
	}
	q, err := s.readPushed(r.Context(), who.Client(), form)
	if err != nil {
		return oauth.PushedResponse{}, err
	}
	if q.JKT, err = from.codeKey(oauth.ParamsOf([][2]string{{"dpop_jkt", q.JKT}})); err != nil {
		return oauth.PushedResponse{}, err
	}
	resp, err := s.keepPushed(r.Context(), q)
	if err != nil {
		return oauth.PushedResponse{}, err
	}
	return resp, s.spendProof(r.Context(), from.proof) // last: where no more may wait, no more is written
}

// checkMayPush: who pushes is authenticated as at the token endpoint, and pushes
// a request, not a reference to one (RFC 9126 §2.1).
func (s *Server) checkMayPush(r *http.Request, who clientauth.Authenticated, form oauth.Params) error {
	if form.Has("request_uri") {
		return oauth.InvalidRequest("request_uri cannot be pushed: send the request itself")
	}
	c := who.Client()
	if c.Profile == client.ProfileFAPI2 {
		return checkFAPIClient(who)
	}
	if !c.Confidential() {
		if ok, after := s.pushes.Allow(clientauth.SourceName(s.options.Source(r)), s.options.Now()); !ok {
			return clientauth.TooMany("too many requests are pushed from this address: try again in %d s", after)
		}
	}
	return nil
}

// readPushed judges a pushed request as the authorization endpoint would
// (RFC 9126 §2.1). What is wrong is told to the client: there is no browser.
func (s *Server) readPushed(ctx context.Context, c *client.Client, form oauth.Params) (authRequest, error) {
	p, signed := form, form.Has("request")
	if signed { // RFC 9126 §3
		var err error
		if p, err = s.readRequestObject(ctx, c, form.Value("request")); err != nil {
			return authRequest{}, err
		}
	}
	d, err := findDestination(c, p)
	if err != nil {
		return authRequest{}, err
	}
	return s.readAuthRequest(d, p, source{pushed: true, signed: signed})
}

// keepPushed keeps a request until a browser brings its request_uri (RFC 9126
// §2.2).
func (s *Server) keepPushed(ctx context.Context, q authRequest) (oauth.PushedResponse, error) {
	body, err := json.Marshal(q)
	if err != nil {
		return oauth.PushedResponse{}, fmt.Errorf("keep pushed request: %w", err)
	}
	uri := session.NewRequestURI()
	err = s.options.Grants.PushRequest(ctx, session.Pushed{
		Hash: secret.HashOf(uri), ClientID: q.ClientID, Body: body, Expires: s.options.Now().Add(session.PushedLife),
	}, pushedLimits)
	switch {
	case errors.Is(err, session.ErrManyPushed):
		return oauth.PushedResponse{}, clientauth.TooMany("as many pushed requests wait as this server allows: try again in %d s", time.Minute)
	case err != nil:
		return oauth.PushedResponse{}, fmt.Errorf("keep pushed request: %w", err)
	}
	return oauth.PushedResponse{RequestURI: uri, ExpiresIn: int64(session.PushedLife / time.Second)}, nil
}

// errUsedURI answers for every request_uri that is not good, whatever it is that
// makes it so (RFC 9126 §4, §7.3).
var errUsedURI = oauth.AuthorizationError(oauth.CodeInvalidRequestURI, "request_uri was used, is too old, or is not this client's: the application must push its request again")

// pushedRequest finds the request of a request_uri. Nothing that came beside it
// counts, but for client_id (RFC 9126 §4).
func (s *Server) pushedRequest(ctx context.Context, c *client.Client, uri string) (destination, authRequest, error) {
	p, err := s.options.Grants.PushedRequest(ctx, secret.HashOf(uri), s.options.Now())
	switch {
	case errors.Is(err, session.ErrNotPushed), err == nil && p.ClientID != c.ID:
		return destination{}, authRequest{}, errUsedURI
	case err != nil:
		return destination{}, authRequest{}, fmt.Errorf("find pushed request: %w", err)
	}
	var q authRequest
	if err := json.Unmarshal(p.Body, &q); err != nil {
		return destination{}, authRequest{}, fmt.Errorf("read pushed request: %w", err)
	}
	q.Pushed = p.Hash
	d, err := s.stillGood(ctx, q)
	if err != nil {
		return destination{}, authRequest{}, err
	}
	return d, q, checkMayAuthorize(c)
}
