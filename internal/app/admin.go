package app

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/offkey/offkey/internal/api"
	"github.com/offkey/offkey/internal/client"
	"github.com/offkey/offkey/internal/config"
	"github.com/offkey/offkey/internal/limit"
	"github.com/offkey/offkey/internal/oauth"
	"github.com/offkey/offkey/internal/secret"
	"github.com/offkey/offkey/internal/token"
)

// Clients that are offkey itself. No store knows them: they are made with the
// process.
const (
	consoleID = "offkey-console"
	cliID     = "offkey-cli"
)

// admin is who may operate offkey from afar, and how they get there.
type admin struct {
	url      string // of the admin listener, without a last slash
	resource string // audience of tokens for the management API
	secret   secret.Text
	clients  map[string]*client.Client
	sources  *limit.Limiter
}

// managementPath is where the management API is on the admin listener.
const managementPath = "/api/v1"

// requests of one source at the admin listener: a page asks for several things.
const (
	adminRate  = 50
	adminBurst = 500
)

func newAdmin(cfg *config.Loaded, l *Listeners, now time.Time) *admin {
	at := cfg.Listen.AdminURL
	if at == "" {
		at = URLOf(l.Admin, "http")
	}
	at = strings.TrimSuffix(at, "/")
	a := &admin{url: at, resource: at + managementPath, secret: secret.Generate("console"), sources: limit.New(adminRate, adminBurst, 10_000)}
	scopes := api.Scopes()
	common := client.Client{Status: client.Active, Source: client.SourceBuiltIn, Audience: client.Strict, Resources: []string{a.resource}, Created: now}
	console, cli := common, common
	console.ID, console.Name, console.AuthMethod = consoleID, "Console", oauth.AuthClientSecretPost
	console.Grants = []string{oauth.GrantAuthorizationCode, oauth.GrantRefreshToken}
	console.Scopes = append(oauth.Scope{"openid", "profile", "email"}, scopes...)
	console.Credentials = []client.Credential{{ID: "cr_console", Kind: client.KindSecret, Hash: secret.HashOf(a.secret.Reveal()), Created: now}}
	console.RedirectURIs, console.PostLogoutRedirectURIs, console.FirstParty = []string{at + "/signed-in"}, []string{at + "/"}, true
	cli.ID, cli.Name, cli.AuthMethod = cliID, "offkey command line", oauth.AuthNone
	cli.Grants = []string{oauth.GrantDeviceCode, oauth.GrantRefreshToken}
	cli.Scopes = append(oauth.Scope{"openid", "profile", "email", "offline_access"}, scopes...)
	cli.DefaultScopes = cli.Scopes
	a.clients = map[string]*client.Client{consoleID: &console, cliID: &cli}
	return a
}

// bearers implements api.Bearers.
type bearers struct {
	a        *App
	verifier *token.Verifier
}

func (a *App) bearers() bearers {
	return bearers{a, token.NewVerifier(token.VerifierOptions{
		Issuer: a.flows.Load().cfg.Issuer, Audience: a.admin.resource, Ring: a.views.ring.Current, Revocations: a.views.revocations, Now: a.Now, CacheSize: 1000,
	})}
}

func (b bearers) Verify(raw string) (*token.Verified, error) { return b.verifier.Verify(raw) }

// Reauth is by the policy of the person's groups.
func (b bearers) Reauth(ctx context.Context, personID string) (time.Duration, error) {
	s, err := b.a.views.people.Standing(ctx, personID)
	if err == nil {
		err = s.Open()
	}
	if err != nil {
		return 0, err
	}
	return time.Duration(s.Policy.Reauth), nil
}

func (b bearers) ResourceMetadata() string {
	return oauth.WellKnownURL(b.a.admin.resource, oauth.SuffixProtectedResource)
}

func (b bearers) Allow(r *http.Request) time.Duration {
	_, wait := b.a.admin.sources.Allow(b.a.flows.Load().gateway.Source(r).String(), b.a.Now())
	return wait
}

// adminHandler serves the admin listener: the management API for who has a
// token, its metadata, and for all else the console.
func (a *App) adminHandler(management *api.Server, console http.Handler) http.Handler {
	remote := management.Remote()
	self, _ := url.Parse(a.admin.url) // was checked, or made here
	metadata, _ := url.Parse(oauth.WellKnownURL(a.admin.resource, oauth.SuffixProtectedResource))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case !strings.EqualFold(r.Host, self.Host):
			// A name that somebody else's DNS lets point here is not ours.
			http.Error(w, "the console is at "+a.admin.url+"; set listen.admin_url if that is not how it is reached", http.StatusMisdirectedRequest)
		case r.URL.Path == metadata.Path:
			a.serveAdminMetadata(w, r)
		case r.URL.Path == managementPath || strings.HasPrefix(r.URL.Path, managementPath+"/"):
			remote.ServeHTTP(w, r)
		default:
			console.ServeHTTP(w, r)
		}
	})
}

// serveAdminMetadata answers RFC 9728 §3.1 for the management API.
func (a *App) serveAdminMetadata(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		w.WriteHeader(http.StatusMethodNotAllowed)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(oauth.ResourceMetadata{ // whoever asked may have gone
		Resource: a.admin.resource, AuthorizationServers: []string{a.flows.Load().cfg.Issuer}, ScopesSupported: api.Scopes(), BearerMethodsSupported: []string{"header"},
	})
}
