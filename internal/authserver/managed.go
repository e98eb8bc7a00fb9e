package authserver

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/offkey/offkey/internal/audit"
	"github.com/offkey/offkey/internal/authserver/registration"
	"github.com/offkey/offkey/internal/client"
	"github.com/offkey/offkey/internal/oauth"
	"github.com/offkey/offkey/internal/secret"
)

// errNoRegistration answers whoever is not the client of the URL: with the same
// words, whether there is such a client or not (RFC 7592 §2.1).
var errNoRegistration = oauth.InvalidToken("the registration access token does not open this registration")

// handleManaged is the client configuration endpoint (RFC 7592 §2).
func (s *Server) handleManaged(w http.ResponseWriter, r *http.Request) {
	resp, err := s.manage(w, r)
	switch {
	case err != nil:
		s.writeError(w, r, err)
	case r.Method == http.MethodDelete:
		w.Header().Set("Cache-Control", "no-store")
		w.WriteHeader(http.StatusNoContent)
	default:
		writeSecret(w, http.StatusOK, resp)
	}
}

func (s *Server) manage(w http.ResponseWriter, r *http.Request) (registered, error) {
	c, access, err := s.managedClient(r)
	if err != nil {
		return registered{}, err
	}
	event := audit.Event{Actor: "client:" + c.ID, Action: "client.updated", Object: c.ID}
	switch r.Method {
	case http.MethodDelete:
		event.Action = "client.deleted"
		return registered{}, s.options.SelfRegistered.DeleteClient(r.Context(), c.ID, event)
	case http.MethodPut:
		return s.updateRegistration(w, r, c, access, event)
	}
	return s.describe(c, handedOut{access: access})
}

// managedClient finds the client of the URL and holds the registration access
// token to it. A wrong one is a bad credential like any other.
func (s *Server) managedClient(r *http.Request) (*client.Client, secret.Text, error) {
	presented, err := readBearer(r)
	if err != nil {
		return nil, secret.Text{}, errNoRegistration
	}
	source := s.options.Source(r)
	if err := s.checkSource(source); err != nil {
		return nil, secret.Text{}, err
	}
	id := strings.TrimPrefix(r.URL.Path, s.prefix+pathRegister+"/")
	c, err := s.options.Clients.Client(r.Context(), id)
	if err != nil && !errors.Is(err, client.ErrNotFound) {
		return nil, secret.Text{}, fmt.Errorf("read client: %w", err)
	}
	if !opensRegistration(c, secret.HashOf(presented), s.options.Now()) {
		s.countGuess(source)
		return nil, secret.Text{}, errNoRegistration
	}
	if c.Status == client.Disabled {
		return nil, secret.Text{}, oauth.AccessDenied("this client is disabled: ask the operator of this server").WithStatus(http.StatusForbidden)
	}
	return c, secret.NewText(presented), nil
}

func opensRegistration(c *client.Client, presented secret.Hash, now time.Time) bool {
	if c == nil || c.Source != client.SourceRegistration && c.Source != client.SourceUpgrade {
		return false
	}
	for _, cr := range c.Credentials {
		if cr.Kind == client.KindRegistration && cr.Live(now) && cr.Hash.Equal(presented) {
			return true
		}
	}
	return false
}

// updateRegistration puts the metadata in place of what was registered: what is
// left out is gone (RFC 7592 §2.2).
func (s *Server) updateRegistration(w http.ResponseWriter, r *http.Request, c *client.Client, access secret.Text, e audit.Event) (registered, error) {
	md, u, err := readUpdate(w, r)
	if err != nil {
		return registered{}, err
	}
	if err := cmp.Or(checkSameRegistration(c, u, s.options.Now()), s.checkUpdate(r.Context(), &md, c)); err != nil {
		return registered{}, err
	}
	asked, err := oauth.ParseScope(md.Scope)
	if err != nil {
		return registered{}, err
	}
	now := s.options.Now().UTC().Truncate(time.Microsecond)
	var out handedOut
	updated, err := s.options.SelfRegistered.UpdateClient(r.Context(), c.ID, func(c *client.Client) error {
		allowed := s.mayAskFor(c, voucher{scopes: c.Scopes})
		if err := registration.Apply(md, c, now); err != nil {
			return err
		}
		if c.Source == client.SourceUpgrade {
			keepScopes(c, asked)
			return nil
		}
		grantScopes(c, asked, allowed)
		out.secret = giveSecret(c, now)
		return nil
	}, e)
	if err != nil {
		return registered{}, err
	}
	out.access = access
	return s.describe(updated, out)
}

func (s *Server) checkUpdate(ctx context.Context, md *oauth.ClientMetadata, c *client.Client) error {
	if md.SoftwareStatement != "" {
		return unapproved(errors.New("in an update"))
	}
	if c.Source == client.SourceUpgrade {
		return checkUpgradeUpdate(md)
	}
	if err := keepStatement(c, md); err != nil {
		return err
	}
	return s.checkMetadata(ctx, md, !c.Quarantined)
}

// checkUpgradeUpdate: what took the place of an apikey stays what it is. Its keys
// are where its operator has seen them.
func checkUpgradeUpdate(md *oauth.ClientMetadata) error {
	switch {
	case md.JWKSURI != "":
		return oauth.InvalidClientMetadata("jwks_uri is not taken for a client that was registered with an apikey: send the public keys as jwks")
	case len(md.RedirectURIs) > 0:
		return oauth.InvalidRedirectURI("redirect_uris: a client that was registered with an apikey has no browser to redirect")
	}
	return checkUpgrade(md)
}

// keepScopes leaves a client what it has and what waits for an operator, or as
// much of both as it names.
func keepScopes(c *client.Client, asked oauth.Scope) {
	if !asked.IsZero() {
		c.Scopes, c.PendingScopes = c.Scopes.Intersect(asked), c.PendingScopes.Intersect(asked)
	}
}

// checkSameRegistration: an update names the client, and its secret if it names
// one; neither can be chosen (RFC 7592 §2.2).
func checkSameRegistration(c *client.Client, u update, now time.Time) error {
	if u.ClientID != c.ID {
		return oauth.InvalidClientMetadata("client_id must be there, and be that of the registration")
	}
	if u.ClientSecret == "" {
		return nil
	}
	for _, cr := range c.Credentials {
		if cr.Kind == client.KindSecret && cr.Live(now) && cr.Hash.Equal(secret.HashOf(u.ClientSecret)) {
			return nil
		}
	}
	return oauth.InvalidClientMetadata("client_secret is not the one that was issued: it cannot be chosen, leave it out")
}
