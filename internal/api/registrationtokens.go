package api

import (
	"context"
	"net/http"
	"time"

	"github.com/offkey/offkey/internal/audit"
	"github.com/offkey/offkey/internal/client"
	"github.com/offkey/offkey/internal/oauth"
	"github.com/offkey/offkey/internal/secret"
)

// RegistrationTokenStore is what the management of registration tokens asks of
// storage.
type RegistrationTokenStore interface {
	RegistrationTokens(ctx context.Context) ([]*client.RegistrationToken, error)
	CreateRegistrationToken(ctx context.Context, t *client.RegistrationToken, e audit.Event) error
	DeleteRegistrationToken(ctx context.Context, id string, e audit.Event) error
}

// registrationTokenAnswer is a token as it is shown. Token is there once, when
// it is made.
type registrationTokenAnswer struct {
	*client.RegistrationToken
	Scopes oauth.Scope `json:"scopes"`
	Token  string      `json:"token,omitempty"`
	DryRun bool        `json:"dry_run,omitempty"`
}

func shownRegistrationToken(t *client.RegistrationToken) registrationTokenAnswer {
	return registrationTokenAnswer{RegistrationToken: t, Scopes: orNone(t.Scopes)}
}

func (s *Server) listRegistrationTokens(r *http.Request) (any, error) {
	q, err := readQuery(r, "limit", "after")
	if err != nil {
		return nil, err
	}
	limit, err := q.number("limit", defaultPage, maxPage)
	if err != nil {
		return nil, err
	}
	all, err := s.store.RegistrationTokens(r.Context())
	if err != nil {
		return nil, err
	}
	part, next, err := page(all, func(t *client.RegistrationToken) string { return t.ID }, limit, q.text("after"))
	if err != nil {
		return nil, err
	}
	list := struct {
		Tokens []registrationTokenAnswer `json:"registration_tokens"`
		Next   *string                   `json:"next"`
	}{make([]registrationTokenAnswer, len(part)), next}
	for i, t := range part {
		list.Tokens[i] = shownRegistrationToken(t)
	}
	return list, nil
}

// registrationTokenProposal is a token as an operator asks for it.
type registrationTokenProposal struct {
	Name   string      `json:"name"`
	Scopes oauth.Scope `json:"scopes"`
	Uses   int         `json:"uses"` // left out: 1
	Life   string      `json:"life"` // left out: 24h
}

// The bounds of a registration token.
const (
	maxRegistrations     = 100_000
	maxRegistrationLife  = 366 * 24 * time.Hour
	usualRegistrationFor = 24 * time.Hour
)

func (p registrationTokenProposal) token(now time.Time) (*client.RegistrationToken, error) {
	life := usualRegistrationFor
	if p.Life != "" {
		var err error
		if life, err = parseLength(p.Life); err != nil {
			return nil, badRequest("", "life: %v", err)
		}
	}
	if p.Uses == 0 {
		p.Uses = 1
	}
	scopes, err := oauth.ParseScope(p.Scopes.String())
	switch {
	case err != nil:
		return nil, badRequest("", "scopes: %v", err)
	case p.Uses < 1 || p.Uses > maxRegistrations:
		return nil, badRequest("", "uses is %d: 1 to %d clients can be registered with one token", p.Uses, maxRegistrations)
	case life < time.Minute || life > maxRegistrationLife:
		return nil, badRequest("", "life is %s: a minute to a year", life)
	}
	return &client.RegistrationToken{
		ID: client.NewRegistrationTokenID(), Name: p.Name, Scopes: scopes, UsesLeft: p.Uses, Created: now, Expires: now.Add(life),
	}, checkLine("name", p.Name, true)
}

func (s *Server) createRegistrationToken(r *http.Request) (any, error) {
	dryRun, err := onlyDryRun(r)
	if err != nil {
		return nil, err
	}
	p, err := readJSON[registrationTokenProposal](r)
	if err != nil {
		return nil, err
	}
	t, err := p.token(s.now())
	if err != nil {
		return nil, err
	}
	shown := shownRegistrationToken(t)
	if shown.DryRun = dryRun; dryRun {
		return shown, nil
	}
	text := secret.Generate(secret.KindRegistrationToken)
	t.Hash = secret.HashOf(text.Reveal())
	if err := s.store.CreateRegistrationToken(r.Context(), t, event(r, "registration_token.created", t.ID, shown)); err != nil {
		return nil, err
	}
	shown.Token = text.Reveal()
	return answer{http.StatusCreated, shown}, nil
}

func (s *Server) revokeRegistrationToken(r *http.Request) (any, error) {
	dryRun, err := onlyDryRun(r)
	if err != nil {
		return nil, err
	}
	all, err := s.store.RegistrationTokens(r.Context())
	if err != nil {
		return nil, err
	}
	t, err := pick("registration token", r.PathValue("id"), all, func(t *client.RegistrationToken) (id, name string) { return t.ID, t.Name })
	if err != nil {
		return nil, err
	}
	shown := shownRegistrationToken(t)
	if shown.DryRun = dryRun; dryRun {
		return shown, nil
	}
	return shown, s.store.DeleteRegistrationToken(r.Context(), t.ID, event(r, "registration_token.revoked", t.ID, nil))
}
