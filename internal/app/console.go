package app

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/offkey/offkey/internal/api"
	"github.com/offkey/offkey/internal/console"
	"github.com/offkey/offkey/internal/oauth"
)

// buildConsole makes the pages for operators.
func (a *App) buildConsole(management *api.Server) (*console.Server, error) {
	return console.New(console.Options{
		URL: a.admin.url, Issuer: a.flows.Load().cfg.Issuer, ClientID: consoleID, Resource: a.admin.resource, Scopes: api.Scopes(),
		Token: a.consoleTokens, Verify: a.bearers().Verify, NameOf: a.nameOf, As: api.As, API: management.Handler(), Now: a.Now, Log: a.Log,
	})
}

// nameOf is how a person signs in, or else the id.
func (a *App) nameOf(ctx context.Context, personID string) string {
	s, err := a.views.people.Standing(ctx, personID)
	if err != nil {
		return personID
	}
	return s.Name
}

// consoleTokens asks our own token endpoint as the console, without a network
// between.
func (a *App) consoleTokens(ctx context.Context, form url.Values) (console.Tokens, error) {
	form.Set("client_id", consoleID)
	form.Set("client_secret", a.admin.secret.Reveal())
	f := a.flows.Load()
	issuer, err := url.Parse(f.cfg.Issuer)
	if err != nil {
		return console.Tokens{}, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimSuffix(issuer.Path, "/")+"/token", strings.NewReader(form.Encode()))
	if err != nil {
		return console.Tokens{}, err
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.RemoteAddr, r.Host = "127.0.0.1:0", issuer.Host
	answer := &kept{header: http.Header{}, status: http.StatusOK}
	f.issue(answer, r)
	if answer.status != http.StatusOK {
		var refused oauth.ErrorResponse
		_ = json.Unmarshal(answer.body.Bytes(), &refused) // what it is not says enough
		return console.Tokens{}, fmt.Errorf("the issuer answers the console with %d %s: %s", answer.status, refused.Error, refused.Description)
	}
	var tokens console.Tokens
	return tokens, json.Unmarshal(answer.body.Bytes(), &tokens)
}

// kept is an answer that goes nowhere.
type kept struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (k *kept) Header() http.Header         { return k.header }
func (k *kept) WriteHeader(status int)      { k.status = status }
func (k *kept) Write(b []byte) (int, error) { return k.body.Write(b) }
