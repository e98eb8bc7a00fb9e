// Package signin is the browser's part of the authorization server: password,
// second factor, passkeys, consent, the device page, one's own account.
//
//	authserver -> Begin -> pages, until judge needs nothing more -> Answered
//
// What still has to be asked is decided by one function, judge, from facts that
// each handler reads anew; a handler does one thing for the person and then goes
// on to whatever judge names next. Who people are is package directory, what
// waits in a browser package session; authserver, which asks, is known here only
// by what it calls.
package signin

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/go-webauthn/webauthn/webauthn"
	"github.com/offkey/offkey/internal/audit"
	"github.com/offkey/offkey/internal/client"
	"github.com/offkey/offkey/internal/directory"
	"github.com/offkey/offkey/internal/oauth"
	"github.com/offkey/offkey/internal/secret"
	"github.com/offkey/offkey/internal/session"
)

// Store is what signin asks of storage. Each change is one transaction with its
// audit event.
type Store interface {
	// StartSession keeps that somebody signed in, and that the request waits for
	// it no more. The session that the browser had before goes on if it is the
	// same person's, and ends otherwise. session.ErrGone: the request is gone.
	StartSession(ctx context.Context, s session.Session, before secret.Hash, request session.Waiting, e audit.Event) (session.Session, error)
	SessionByCookie(ctx context.Context, cookie secret.Hash) (session.Session, error)
	SessionsOf(ctx context.Context, personID string, now time.Time) ([]session.Session, error)
	TouchSession(ctx context.Context, id string, at time.Time) error
	// EndSession takes with it what was issued in the session.
	EndSession(ctx context.Context, id, personID string, e audit.Event) error
	EndSessionsOf(ctx context.Context, personID, keep string, e audit.Event) (ended int, err error)

	// PutRequest forgets the oldest of more than limits say.
	PutRequest(ctx context.Context, q session.Request, limits session.RequestLimits) error
	Request(ctx context.Context, w session.Waiting, now time.Time) (session.Request, error)
	ProgressRequest(ctx context.Context, w session.Waiting, now time.Time, update func(*session.Progress) error) (session.Request, error)
	// AnswerRequest keeps the first answer, with what is consented to.
	AnswerRequest(ctx context.Context, w session.Waiting, a session.Answer, consent *session.Consent, e audit.Event) error
	// TakeRequest takes an answered request out: of many at once one gets it.
	TakeRequest(ctx context.Context, w session.Waiting, now time.Time) (session.Request, error)

	Consent(ctx context.Context, personID, clientID string, resources []string) (session.Consent, error)
	ConsentsOf(ctx context.Context, personID string) ([]session.Consent, error)
	// WithdrawConsent takes with it what the client was issued for the person.
	WithdrawConsent(ctx context.Context, personID, clientID string, e audit.Event) error
}

// Clients finds registered clients, and those whose id is a URL.
type Clients interface {
	Client(ctx context.Context, id string) (*client.Client, error)
}

// Devices are those that wait for somebody to type their code.
type Devices interface {
	WaitingDevice(ctx context.Context, userCode string, now time.Time) (session.Device, error)
	AnswerDevice(ctx context.Context, code secret.Hash, a session.Answer, e audit.Event) error
}

// Spender keeps which challenges were used, so that a signature is taken once.
type Spender interface {
	SpendAssertion(ctx context.Context, clientID, jti string, expires time.Time) (fresh bool, err error)
}

// Upstream is another place where people can prove themselves. Begin sends the
// browser there; whoever comes back is brought in by Service.Arrived.
type Upstream struct {
	Name  string // in URLs
	Label string // on the button
	Begin func(w http.ResponseWriter, r *http.Request, requestID string) error
}

// Mail sends people what they asked for.
type Mail interface {
	// Link sends a one-time link to the address that it is for.
	Link(ctx context.Context, p *directory.Person, l directory.Link, raw secret.Text, language string) error
}

// Options are what a Service is made of. Those without a remark are needed.
type Options struct {
	// Issuer is the issuer identifier. Its path is where the pages are.
	Issuer string
	// Name is who people sign in to; nil or "": the host of the issuer.
	Name    func() string
	Store   Store
	People  *directory.Directory
	Clients Clients
	Devices Devices  // nil: no device page
	Upgrade *Upgrade // nil: no page for callers
	Spender Spender
	// Master is what keys of forms and cookies are derived from.
	Master *secret.MasterKey
	// DescribeScope says in words what a scope opens; nil or "" leaves it to its
	// name.
	DescribeScope func(name, language string) string
	// Lives is for how long clients may act; the zero Lives leaves it unsaid.
	Lives     Lives
	Upstreams []Upstream
	// Mail sends people their links; nil: nothing is offered that needs it.
	Mail Mail
	// Later runs what no answer waits for; nil: go.
	Later func(func())
	// Source is the address that a request comes from, for limits.
	Source func(*http.Request) netip.Addr
	Now    func() time.Time // nil: time.Now
	Log    *slog.Logger     // nil: dropped
}

// Service is the pages and the sessions behind them. Safe for concurrent use.
type Service struct {
	options  Options
	issuer   *url.URL
	prefix   string // of every path: that of the issuer, without a last slash
	cookies  cookieNames
	keys     keys
	limits   limits
	passkeys *webauthn.WebAuthn // nil: the issuer's host cannot have any
	pages    pages
	later    later
	routes   map[string]http.Handler
}

// New makes a Service. Its errors are about options.
func New(o Options) (*Service, error) {
	if err := checkOptions(&o); err != nil {
		return nil, fmt.Errorf("sign-in: %w", err)
	}
	issuer, err := url.Parse(o.Issuer)
	if err != nil {
		return nil, fmt.Errorf("sign-in: issuer: %w", err)
	}
	s := &Service{
		options: o, issuer: issuer, prefix: strings.TrimSuffix(issuer.Path, "/"),
		cookies: cookieNamesFor(issuer), keys: deriveKeys(o.Master), limits: newLimits(),
	}
	if s.passkeys, err = relyingParty(issuer, s.name()); err != nil {
		return nil, fmt.Errorf("sign-in: passkeys: %w", err)
	}
	if s.pages, err = loadPages(); err != nil {
		return nil, fmt.Errorf("sign-in: pages: %w", err)
	}
	if s.routes, err = s.makeRoutes(); err != nil {
		return nil, fmt.Errorf("sign-in: %w", err)
	}
	return s, nil
}

func checkOptions(o *Options) error {
	if o.Issuer == "" || o.Store == nil || o.People == nil || o.Clients == nil || o.Spender == nil || o.Master == nil {
		return errors.New("issuer, store, people, clients, spender and master key are needed")
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.DescribeScope == nil {
		o.DescribeScope = func(string, string) string { return "" }
	}
	if o.Later == nil {
		o.Later = func(f func()) { go f() }
	}
	if o.Source == nil {
		o.Source = func(r *http.Request) netip.Addr {
			at, _ := netip.ParseAddrPort(r.RemoteAddr)
			return at.Addr()
		}
	}
	return nil
}

// now is the time of a request, as precise as it is stored.
func (s *Service) now() time.Time { return s.options.Now().UTC().Truncate(time.Microsecond) }

// name is who people sign in to.
func (s *Service) name() string {
	if s.options.Name != nil {
		if name := s.options.Name(); name != "" {
			return name
		}
	}
	return s.issuer.Hostname()
}

// path is where one of our pages is on the issuer.
func (s *Service) path(page string) string { return s.prefix + page }

// Serves reports whether a path is one of ours.
func (s *Service) Serves(path string) bool {
	_, ok := s.routes[path]
	return ok
}

// scopeFor is what the person may hand on of what the client asks for: a token
// opens no more than its person may.
func scopeFor(ask session.Ask, c *client.Client, person *directory.Standing) oauth.Scope {
	return ask.Scope.Intersect(c.Scopes).Intersect(person.MayGrant)
}
