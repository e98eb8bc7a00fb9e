package api_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/offkey/offkey/internal/api"
	"github.com/offkey/offkey/internal/client"
	"github.com/offkey/offkey/internal/oauth"
	"github.com/offkey/offkey/internal/token"
)

const adminURL = "https://admin.example.com/api/v1"

// remote is who may ask the API of a world from afar.
type remote struct {
	w        *world
	verifier *token.Verifier
	wait     time.Duration
	shut     error
}

func (b *remote) Verify(raw string) (*token.Verified, error) { return b.verifier.Verify(raw) }
func (b *remote) Reauth(context.Context, string) (time.Duration, error) {
	return 5 * time.Minute, b.shut
}
func (b *remote) ResourceMetadata() string {
	return "https://admin.example.com/.well-known/oauth-protected-resource/api/v1"
}
func (b *remote) Allow(*http.Request) time.Duration { return b.wait }

func newRemote(t *testing.T) (*world, *remote, http.Handler) {
	w := newWorld(t)
	b := &remote{w: w, verifier: token.NewVerifier(token.VerifierOptions{Issuer: issuerURL, Audience: adminURL, Ring: w.ring.Current, Revocations: w.revoked, Now: w.now})}
	return w, b, w.server(b).Remote()
}

func (w *world) adminToken(change func(*token.Authorization), scope ...string) string {
	w.t.Helper()
	a := token.Authorization{Client: &client.Client{ID: "offkey-console"}, Subject: "pe_1", Scope: scope, Resources: []string{adminURL}, Life: time.Hour,
		Login: token.Login{PersonID: "pe_1", AuthTime: w.now()}}
	if change != nil {
		change(&a)
	}
	made, err := token.NewIssuer(issuerURL, w.ring.Current, w.now).Issue(a)
	if err != nil {
		w.t.Fatal(err)
	}
	return made.Token
}

func askRemote(h http.Handler, method, path, authorization string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, "https://admin.example.com/api/v1"+path, nil)
	if authorization != "" {
		r.Header.Set("Authorization", authorization)
	}
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, r)
	return rec
}

func TestWhoAsksFromAfarNeedsATokenForThisAPI(t *testing.T) {
	w, _, h := newRemote(t)
	tests := []struct {
		name, authorization string
		code                string
	}{
		{"no token", "", "token_missing"},
		{"another scheme", "Basic YTpi", oauth.CodeInvalidRequest},
		{"no token at all", "Bearer nonsense", oauth.CodeInvalidToken},
		{"a token for the API behind the gateway", "Bearer " + w.issue(issuerURL, "billing", "read:offkey.apikeys"), oauth.CodeInvalidToken},
		{"one of another issuer", "Bearer " + w.issue("https://other.example.com", "billing", "read:offkey.apikeys"), oauth.CodeInvalidToken},
		{"one that is bound to a key", "Bearer " + w.adminToken(func(a *token.Authorization) { a.Confirmation = token.Confirmation{JKT: "thumbprint"} }, "read:offkey.apikeys"), oauth.CodeInvalidToken},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			rec := askRemote(h, http.MethodGet, "/apikeys", tt.authorization)
			challenge := rec.Header().Get("WWW-Authenticate")
			if rec.Code != http.StatusUnauthorized || !strings.Contains(challenge, `resource_metadata="https://admin.example.com/.well-known/oauth-protected-resource/api/v1"`) {
				t.Errorf("%d %s", rec.Code, challenge)
			}
			var p api.Problem
			if err := json.Unmarshal(rec.Body.Bytes(), &p); err != nil || p.Code != tt.code {
				t.Errorf("%s, %v; want %s", rec.Body, err, tt.code)
			}
		})
	}
	if rec := askRemote(h, http.MethodGet, "/apikeys", "Bearer "+w.adminToken(nil, "read:offkey.apikeys")); rec.Code != http.StatusOK {
		t.Errorf("with a token for it: %d %s", rec.Code, rec.Body)
	}
}

// Every endpoint, as it is registered: without its scope it is 403 and names the
// scope that would do.
func TestEveryEndpointNeedsItsScope(t *testing.T) {
	w, _, h := newRemote(t)
	other := w.adminToken(nil, "openid")
	for _, pattern := range api.Patterns() {
		method, path, _ := strings.Cut(pattern, " ")
		path = strings.NewReplacer("{id}", "x", "{credential}", "x", "{session}", "x", "{name}", "x", "{kid}", "x").Replace(path)
		if rec := askRemote(h, method, path, ""); rec.Code != http.StatusUnauthorized {
			t.Errorf("%s without a token: %d", pattern, rec.Code)
		}
		rec := askRemote(h, method, path, "Bearer "+other)
		scope := api.ScopeOf(pattern)
		if rec.Code != http.StatusForbidden || !strings.Contains(rec.Header().Get("WWW-Authenticate"), `error="insufficient_scope"`) || !strings.Contains(rec.Header().Get("WWW-Authenticate"), `scope="`+scope+`"`) {
			t.Errorf("%s without %s: %d %s", pattern, scope, rec.Code, rec.Header().Get("WWW-Authenticate"))
		}
		if !api.Scopes().Has(scope) || !oauth.IsScopeName(scope) {
			t.Errorf("%s needs %s, which is not among the scopes", pattern, scope)
		}
	}
}

func TestADangerousActNeedsASignInOfLately(t *testing.T) {
	w, _, h := newRemote(t)
	old := w.adminToken(func(a *token.Authorization) { a.Login.AuthTime = w.now().Add(-6 * time.Minute) }, api.Scopes()...)
	rec := askRemote(h, http.MethodPost, "/signing/rotate", "Bearer "+old)
	if challenge := rec.Header().Get("WWW-Authenticate"); rec.Code != http.StatusUnauthorized || !strings.Contains(challenge, `error="insufficient_user_authentication"`) || !strings.Contains(challenge, `max_age="300"`) {
		t.Errorf("%d %s", rec.Code, challenge)
	}
	if rec := askRemote(h, http.MethodGet, "/signing", "Bearer "+old); rec.Code != http.StatusOK {
		t.Errorf("reading: %d %s", rec.Code, rec.Body)
	}
	if rec := askRemote(h, http.MethodPost, "/signing/rotate", "Bearer "+w.adminToken(nil, api.Scopes()...)); rec.Code != http.StatusOK {
		t.Errorf("after signing in again: %d %s", rec.Code, rec.Body)
	}
	w.pass(time.Second)
	service := w.adminToken(func(a *token.Authorization) { a.Login, a.Subject = token.Login{}, "cl_1" }, api.Scopes()...)
	if rec := askRemote(h, http.MethodPost, "/signing/rotate", "Bearer "+service); rec.Code != http.StatusOK {
		t.Errorf("a service account signs in never: %d %s", rec.Code, rec.Body)
	}
	entries, err := w.db.AuditEntries(t.Context(), 0, 100)
	if err != nil {
		t.Fatal(err)
	}
	var actors []string
	for _, e := range entries {
		if e.Action == "signing_key.rotated" {
			actors = append(actors, e.Actor)
		}
	}
	if got := strings.Join(actors, " "); got != "person:pe_1 client:offkey-console" {
		t.Errorf("the audit names %s", got)
	}
}

func TestWhoMayNotSignInMayNotAskEither(t *testing.T) {
	w, b, h := newRemote(t)
	good := "Bearer " + w.adminToken(nil, api.Scopes()...)
	b.shut = errors.New("this account is disabled")
	if rec := askRemote(h, http.MethodGet, "/apikeys", good); rec.Code != http.StatusUnauthorized {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
	b.shut, b.wait = nil, 1500*time.Millisecond
	if rec := askRemote(h, http.MethodGet, "/apikeys", good); rec.Code != http.StatusTooManyRequests || rec.Header().Get("Retry-After") != "2" {
		t.Errorf("%d %v", rec.Code, rec.Header())
	}
}
