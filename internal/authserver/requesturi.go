package authserver

import (
	"context"
	"net/http"
	"slices"
	"strings"

	"github.com/offkey/offkey/internal/authserver/clientauth"
	"github.com/offkey/offkey/internal/client"
	"github.com/offkey/offkey/internal/limit"
	"github.com/offkey/offkey/internal/oauth"
)

// newFetchLimiter bounds how often a source has request objects fetched, which
// anybody can who knows a client that has some.
func newFetchLimiter() *limit.Limiter { return limit.New(1, 60, 1<<16) }

// isReference reports whether a request names a request object that is to be
// fetched, and not a pushed request.
func isReference(p oauth.Params) bool {
	uri := p.Value("request_uri")
	return uri != "" && !strings.HasPrefix(uri, oauth.RequestURIPrefix)
}

// checkMayFetch holds a source to how often it may have something fetched.
func (s *Server) checkMayFetch(r *http.Request, p oauth.Params) error {
	if !isReference(p) {
		return nil
	}
	if ok, after := s.fetches.Allow(clientauth.SourceName(s.options.Source(r)), s.options.Now()); !ok {
		return clientauth.TooMany("too many requests are fetched for this address: try again in %d s", after)
	}
	return nil
}

// requestObject is the request object that came with a request or that it names;
// there is none where signed is false. A URI is fetched if the client has
// registered it, octet by octet (OIDC Core §6.2, RFC 9101 §10.4): nobody else
// says where this server goes.
func (s *Server) requestObject(ctx context.Context, c *client.Client, p oauth.Params) (raw string, signed bool, err error) {
	switch {
	case !isReference(p):
		return p.Value("request"), p.Has("request"), nil
	case p.Has("request"):
		return "", true, oauth.InvalidRequest("request and request_uri are both there: send one")
	case s.options.Fetch == nil:
		return "", true, oauth.AuthorizationError(oauth.CodeRequestURINotSupported, "request_uri must be one of the pushed authorization request endpoint: others are not fetched")
	case !slices.Contains(c.RequestURIs, p.Value("request_uri")):
		return "", true, oauth.AuthorizationError(oauth.CodeInvalidRequestURI, "request_uri is not one that this client has registered in request_uris, octet by octet")
	}
	uri, _, _ := strings.Cut(p.Value("request_uri"), "#") // the hash of what is there, for caches
	body, err := s.options.Fetch(ctx, uri)
	if err != nil {
		return "", true, oauth.AuthorizationError(oauth.CodeInvalidRequestURI, "the request object at request_uri cannot be fetched").WithCause(err)
	}
	return strings.TrimSpace(string(body)), true, nil
}
