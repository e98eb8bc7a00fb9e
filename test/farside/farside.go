// Package farside is what a caller's tests talk to: an issuer and an API that
// are not offkey's, on loopback, and that behave. The issuer checks every
// assertion (signature, audience, time, single use) and signs real tokens; the
// API checks those and wants scopes. Both count what they were asked.
//
// It is for tests only, and leaves to offkey's own server what goes beyond
// client_credentials, registration and metadata.
package farside

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/offkey/offkey/internal/jose"
	"github.com/offkey/offkey/internal/oauth"
)

// Client is a client that the issuer knows.
type Client struct {
	Secret string // for the two secret methods
	Keys   jose.KeySet
	Scopes oauth.Scope
}

// World is an issuer, an API, and what they have seen. Set the fields with
// [World.With].
type World struct {
	IssuerURL string
	APIURL    string

	mu      sync.Mutex
	state   State
	signing *jose.SigningKey
	spent   map[string]bool
}

// State is what the two servers know and how they are to behave.
type State struct {
	// Clock is the far side's time; it is also in the Date of its answers.
	Clock func() time.Time
	// Life is that of access tokens; negative leaves expires_in out.
	Life time.Duration
	// Clients by id.
	Clients map[string]Client
	// APIKeys that may register, with the scopes that they get.
	APIKeys map[string]oauth.Scope
	// Approval makes the issuer refuse to register until a person has approved.
	Approval bool
	// Pending makes it register clients that get no token yet, and Withheld
	// scopes that they do not get yet.
	Pending  bool
	Withheld oauth.Scope
	// Routes are the scopes that method and path want: "GET /v1/orders".
	Routes map[string]string
	// Revoked tokens are refused by the API as invalid_token.
	Revoked map[string]bool
	// Hook may answer a request to the issuer in its stead.
	Hook func(w http.ResponseWriter, r *http.Request) (answered bool)
	// Metadata and Resource may change what the two say of themselves.
	Metadata func(*oauth.ServerMetadata)
	Resource func(*oauth.ResourceMetadata)

	// What was seen.
	TokenRequests []TokenRequest
	Registrations []oauth.ClientMetadata
	Calls         []Call
}

// TokenRequest is what one request to the token endpoint asked for.
type TokenRequest struct {
	ClientID string
	Scope    string
	Resource string
	Header   jose.Header
	Claims   Claims
	Granted  bool
}

// Call is one call that the API received.
type Call struct {
	Method, Path, Authorization, Body string
}

// New starts both servers; they end with the test.
func New(t testing.TB) *World {
	t.Helper()
	signing, err := jose.GenerateSigningKey(jose.ES256)
	if err != nil {
		t.Fatal(err)
	}
	w := &World{signing: signing, spent: make(map[string]bool), state: State{
		Clock:   time.Now,
		Life:    15 * time.Minute,
		Clients: map[string]Client{},
		APIKeys: map[string]oauth.Scope{},
		Revoked: map[string]bool{},
		Routes:  map[string]string{"GET /v1/orders": "read:orders", "POST /v1/orders": "create:orders"},
	}}
	issuer := httptest.NewServer(http.HandlerFunc(w.serveIssuer))
	t.Cleanup(issuer.Close)
	api := httptest.NewServer(http.HandlerFunc(w.serveAPI))
	t.Cleanup(api.Close)
	w.IssuerURL, w.APIURL = issuer.URL, api.URL
	return w
}

// With changes or reads the state.
func (w *World) With(do func(*State)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	do(&w.state)
}

// Register makes a client known, with the public keys given.
func (w *World) Register(id string, c Client) { w.With(func(s *State) { s.Clients[id] = c }) }

// Requests are the token requests so far.
func (w *World) Requests() []TokenRequest {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]TokenRequest(nil), w.state.TokenRequests...)
}

// Calls are the API calls so far.
func (w *World) Calls() []Call {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]Call(nil), w.state.Calls...)
}

func (w *World) now() time.Time {
	w.mu.Lock()
	clock := w.state.Clock
	w.mu.Unlock()
	return clock()
}

func (w *World) serveIssuer(rw http.ResponseWriter, r *http.Request) {
	rw.Header().Set("Date", w.now().UTC().Format(http.TimeFormat))
	w.mu.Lock()
	hook := w.state.Hook
	w.mu.Unlock()
	if hook != nil && hook(rw, r) {
		return
	}
	switch r.Method + " " + r.URL.Path {
	case "GET /.well-known/oauth-authorization-server":
		w.serveMetadata(rw)
	case "GET /jwks":
		writeJSON(rw, http.StatusOK, jose.KeySet{Keys: []jose.PublicKey{w.signing.Public()}})
	case "POST /token":
		w.serveToken(rw, r)
	case "POST /register":
		w.serveRegister(rw, r)
	default:
		http.NotFound(rw, r)
	}
}

func (w *World) serveMetadata(rw http.ResponseWriter) {
	m := oauth.ServerMetadata{
		Issuer: w.IssuerURL, TokenEndpoint: w.IssuerURL + "/token", JWKSURI: w.IssuerURL + "/jwks",
		RegistrationEndpoint:              w.IssuerURL + "/register",
		GrantTypesSupported:               []string{oauth.GrantClientCredentials},
		TokenEndpointAuthMethodsSupported: []string{oauth.AuthPrivateKeyJWT, oauth.AuthClientSecretBasic, oauth.AuthClientSecretPost},
	}
	w.With(func(s *State) {
		if s.Metadata != nil {
			s.Metadata(&m)
		}
	})
	writeJSON(rw, http.StatusOK, m)
}

func writeJSON(rw http.ResponseWriter, status int, v any) {
	rw.Header().Set("Content-Type", "application/json")
	rw.Header().Set("Cache-Control", "no-store")
	rw.WriteHeader(status)
	_ = json.NewEncoder(rw).Encode(v)
}

func refuse(rw http.ResponseWriter, err *oauth.Error) {
	writeJSON(rw, err.Status, oauth.ErrorResponse{Error: err.Code, Description: err.Description})
}
