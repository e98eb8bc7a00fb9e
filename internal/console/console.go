// Package console is the pages for operators: what there is, what would happen,
// and the acts of the road, for people who do not open a terminal.
//
//	browser -> session -> page -> the management API, with the session's token
//
// It can do nothing that the API cannot: every page and every act is a request
// to it, made for the person who is signed in, and refused there if they may
// not. It signs people in as any web application does, by the authorization
// code flow of our own issuer. Pages are HTML that works without a script; what
// a list shows stands in its URL.
package console

import (
	"context"
	"embed"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/offkey/offkey/internal/token"
)

// Options are what the console works with. All but Name, Now and Log are needed.
type Options struct {
	// URL is where the console is, without a last slash, and Issuer who signs
	// people in, to whom the console is ClientID.
	URL, Issuer, ClientID string
	// Resource is the management API as an audience of tokens, Scopes what is
	// asked for it: a person gets those that they may.
	Resource string
	Scopes   []string
	Name     string // of the service, for titles; "": the host of the issuer
	// Token asks the issuer's token endpoint as ClientID.
	Token func(ctx context.Context, form url.Values) (Tokens, error)
	// Verify checks an access token for Resource.
	Verify func(raw string) (*token.Verified, error)
	// NameOf is how a person is called.
	NameOf func(ctx context.Context, personID string) string
	// As marks a request as that token's, and API answers it.
	As  func(ctx context.Context, v *token.Verified) context.Context
	API http.Handler
	Now func() time.Time // nil: time.Now
	Log *slog.Logger     // nil: dropped
}

// Tokens are what a token endpoint answers.
type Tokens struct {
	AccessToken  string `json:"access_token"`
	RefreshToken string `json:"refresh_token"`
	ExpiresIn    int64  `json:"expires_in"` // seconds
}

// Server is the console. Safe for concurrent use.
type Server struct {
	o        Options
	sessions *sessions
	pages    pages
	mux      *http.ServeMux
	secure   bool
}

// New makes a Server.
func New(o Options) (*Server, error) {
	if o.URL == "" || o.Issuer == "" || o.ClientID == "" || o.Resource == "" || o.Token == nil || o.Verify == nil || o.NameOf == nil || o.As == nil || o.API == nil {
		return nil, errors.New("console: URL, Issuer, ClientID, Resource, Token, Verify, NameOf, As and API are needed")
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Name == "" {
		issuer, err := url.Parse(o.Issuer)
		if err != nil {
			return nil, err
		}
		o.Name = issuer.Hostname()
	}
	s := &Server{o: o, sessions: newSessions(), mux: http.NewServeMux(), secure: strings.HasPrefix(o.URL, "https:")}
	var err error
	if s.pages, err = loadPages(); err != nil {
		return nil, err
	}
	s.routes()
	return s, nil
}

//go:embed static
var static embed.FS

// routes is the table of contents.
func (s *Server) routes() {
	s.mux.Handle("GET /static/", http.FileServerFS(static))
	s.mux.HandleFunc("GET /signin", s.signIn)
	s.mux.HandleFunc("GET /signed-in", s.signedIn)
	for path, p := range map[string]page{
		"GET /{$}": overview, "GET /apikeys": apikeys, "GET /apikeys/{id}": oneAPIKey,
		"GET /callers": callers, "GET /callers/{id}": oneCaller,
		"GET /routes": routes, "GET /plan": plan, "GET /campaign": campaign,
		"GET /leaks": leaks, "GET /evidence": evidence, "GET /people": people,
		"GET /trust": trust, "GET /health": health, "GET /settings": settings,
	} {
		s.mux.Handle(path, s.page(p))
	}
	s.mux.Handle("POST /do/{act}", s.signedInOnly(s.do))
	s.mux.Handle("POST /signout", s.signedInOnly(s.signOut))
	s.mux.Handle("/", s.signedInOnly(func(v *visit) error { return &refused{Status: http.StatusNotFound, Title: "Nothing is here"} }))
}

// Handler serves the console.
func (s *Server) Handler() http.Handler {
	csrf := http.NewCrossOriginProtection()
	csrf.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "This form came from another site. Nothing has happened.", http.StatusForbidden)
	}))
	inner := csrf.Handler(s.mux)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=()")
		if !strings.HasPrefix(r.URL.Path, "/static/") {
			h.Set("Cache-Control", "no-store")
		}
		inner.ServeHTTP(w, r)
	})
}
