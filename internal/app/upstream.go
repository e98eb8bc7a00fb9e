package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/offkey/offkey/internal/audit"
	"github.com/offkey/offkey/internal/config"
	"github.com/offkey/offkey/internal/directory"
	"github.com/offkey/offkey/internal/federation"
	"github.com/offkey/offkey/internal/oauth"
	"github.com/offkey/offkey/internal/session"
	"github.com/offkey/offkey/internal/signin"
)

// upstream is one OpenID provider, and who of it is who here.
type upstream struct {
	*federation.Upstream
	cfg  config.SignIn
	path string // where people come back to
	app  *App
}

// buildUpstreams makes the providers of a configuration.
func (a *App) buildUpstreams(cfg *config.Loaded) ([]*upstream, error) {
	providers := cfg.SignIns()
	if len(providers) == 0 {
		return nil, nil
	}
	fetcher, err := federation.NewFetcher(federation.Options{AllowPrivate: cfg.Outbound.AllowPrivate, CAFile: cfg.Path(cfg.Outbound.CAFile)})
	if err != nil {
		return nil, err
	}
	var all []*upstream
	for _, o := range providers {
		options := federation.UpstreamOptions{
			Name: o.Name, Issuer: o.Issuer, ClientID: o.ClientID, Secret: o.Secret, Scopes: oauth.Scope{"profile", "email"},
			Redirect: strings.TrimSuffix(cfg.Issuer, "/") + "/upstream/" + o.Name, Fetcher: fetcher, Spender: a.db, Master: a.data.master, Now: a.Now,
		}
		all = append(all, &upstream{federation.NewUpstream(options), o, pathOf(options.Redirect), a})
	}
	return all, nil
}

// pathOf is the path of a URL that was checked before.
func pathOf(raw string) string {
	_, rest, _ := strings.Cut(raw, "://")
	return rest[strings.IndexByte(rest, '/'):]
}

// buttons are the providers as the page to sign in shows them.
func buttons(all []*upstream) []signin.Upstream {
	var shown []signin.Upstream
	for _, u := range all {
		shown = append(shown, signin.Upstream{Name: u.cfg.Name, Label: u.cfg.Name, Begin: u.Begin})
	}
	return shown
}

// arrive takes somebody who comes back from a provider.
func (u *upstream) arrive(w http.ResponseWriter, r *http.Request, pages *signin.Service) {
	err := u.bringIn(w, r, pages)
	if err == nil {
		return
	}
	status, words := http.StatusInternalServerError, "the server failed, and has logged why"
	var refused *federation.Refused
	switch {
	case errors.As(err, &refused):
		status, words = http.StatusForbidden, refused.Words
		u.app.Log.InfoContext(r.Context(), "sign-in by a provider refused", "provider", u.cfg.Name, "error", err)
	default:
		u.app.Log.ErrorContext(r.Context(), "sign-in by a provider failed", "provider", u.cfg.Name, "error", err)
	}
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	http.Error(w, words, status)
}

func (u *upstream) bringIn(w http.ResponseWriter, r *http.Request, pages *signin.Service) error {
	if r.Method != http.MethodGet {
		return &federation.Refused{Words: "this page is only visited"}
	}
	arrival, err := u.Finish(w, r)
	if err != nil {
		return err
	}
	for _, c := range u.cfg.Where {
		if !c.Holds(arrival.Claims) {
			return &federation.Refused{Words: "this account is not among those that may sign in here", Err: fmt.Errorf("claim %s", c.Claim)}
		}
	}
	id, err := u.person(r.Context(), arrival)
	if err != nil {
		return err
	}
	standing, err := u.app.views.people.Standing(r.Context(), id)
	if err != nil {
		return err
	}
	if err := standing.Open(); err != nil {
		return &federation.Refused{Words: "this account cannot sign in here", Err: err}
	}
	// A second factor is asked for here if their groups want one.
	err = pages.Arrived(w, r, arrival.RequestID, standing, session.ACRPassword, []string{"fed"})
	if errors.Is(err, session.ErrGone) {
		err = &federation.Refused{Words: "the sign-in that this was for is over: begin again", Err: err}
	}
	return err
}

// person finds who somebody is here, by issuer and subject alone: an address is
// the provider's word, and would open whatever account has it.
func (u *upstream) person(ctx context.Context, a federation.Arrival) (string, error) {
	id, err := u.app.db.UpstreamPerson(ctx, a.Issuer, a.Subject)
	switch {
	case errors.Is(err, directory.ErrNotFound):
		return u.welcome(ctx, a)
	case err != nil:
		return "", err
	}
	return id, u.regroup(ctx, id, a)
}

// welcome makes a person of somebody who comes for the first time.
func (u *upstream) welcome(ctx context.Context, a federation.Arrival) (string, error) {
	p := &directory.Person{
		ID: directory.NewID(), Status: directory.Active, Groups: u.groups(a), Claims: standardClaims(a), Source: u.cfg.Name, Created: u.app.Now(),
	}
	for _, claim := range []string{"preferred_username", "email", "sub"} {
		if text := a.Claims.Texts(claim); p.Name == "" && len(text) == 1 && directory.CheckName(text[0]) == nil {
			p.Name = text[0]
		}
	}
	if email := a.Claims.Texts("email"); len(email) == 1 {
		p.Email, p.EmailVerified = email[0], slices.Equal(a.Claims.Texts("email_verified"), []string{"true"})
	}
	err := u.app.db.CreateUpstreamAccount(ctx, a.Issuer, a.Subject, &directory.Account{Person: p}, audit.Event{
		Actor: "provider:" + u.cfg.Name, Action: "person.arrived", Object: p.ID, Detail: map[string]any{"name": p.Name, "groups": p.Groups},
	})
	if errors.Is(err, directory.ErrExists) {
		return "", &federation.Refused{Words: "somebody here has this name or address already: sign in as before, or ask the operator", Err: err}
	}
	return p.ID, err
}

// groups are those that the provider's word brings.
func (u *upstream) groups(a federation.Arrival) []string {
	var in []string
	for _, value := range a.Claims.Texts("groups") {
		if g := u.cfg.Groups[value]; g != "" && !slices.Contains(in, g) {
			in = append(in, g)
		}
	}
	slices.Sort(in)
	return in
}

// regroup follows what the provider says now, for people who came from it.
func (u *upstream) regroup(ctx context.Context, id string, a federation.Arrival) error {
	account, err := u.app.db.Account(ctx, id)
	want := u.groups(a)
	if err != nil || account.Source != u.cfg.Name || slices.Equal(slices.Sorted(slices.Values(account.Groups)), want) {
		return err
	}
	_, err = u.app.db.UpdateAccount(ctx, id, func(account *directory.Account) error {
		account.Groups = want
		return nil
	}, audit.Event{Actor: "provider:" + u.cfg.Name, Action: "person.regrouped", Object: id, Detail: map[string]any{"groups": want}})
	return err
}

// standardClaims are what of the ID token is kept of a person (OIDC Core §5.1).
func standardClaims(a federation.Arrival) map[string]json.RawMessage {
	kept := map[string]json.RawMessage{}
	for _, name := range []string{"name", "given_name", "family_name", "locale"} {
		if text := a.Claims.Texts(name); len(text) == 1 && len(text[0]) <= 200 {
			raw, err := json.Marshal(text[0])
			if err == nil {
				kept[name] = raw
			}
		}
	}
	return kept
}
