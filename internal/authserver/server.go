// Package authserver is the authorization server: endpoints in, tokens out.
//
//	request -> clientauth.Authenticated -> grant -> token.Authorization -> token.Issuer -> response
//
// clientauth/ has a file per method by which a client proves itself, grant/ a
// file per grant. What it needs of storage and of other flows it declares as
// interfaces beside where they are used. Signing people in is package signin;
// what tokens open is decided by package policy in the gateway.
package authserver

import (
	"context"
	"crypto/ecdsa"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/offkey/offkey/internal/authserver/clientauth"
	"github.com/offkey/offkey/internal/authserver/grant"
	"github.com/offkey/offkey/internal/client"
	"github.com/offkey/offkey/internal/jose"
	"github.com/offkey/offkey/internal/keyring"
	"github.com/offkey/offkey/internal/limit"
	"github.com/offkey/offkey/internal/oauth"
	"github.com/offkey/offkey/internal/session"
	"github.com/offkey/offkey/internal/token"
)

// The interfaces of what an authorization server needs, where they are used.
type (
	// Clients finds registered clients.
	Clients = clientauth.Clients
	// KeySets fetches the keys of clients that have a jwks_uri.
	KeySets = clientauth.KeySets
	// Exchanger judges apikeys that are to be exchanged for a token.
	Exchanger = grant.Exchanger
	// DeviceStore keeps devices that wait for a person.
	DeviceStore = grant.DeviceStore
	// Federation knows which tokens of other issuers stand for a client.
	Federation = clientauth.Federation
	// FailureLimits say how many bad credentials are looked at.
	FailureLimits = clientauth.FailureLimits
)

// Spender keeps which assertions and proofs were used.
type Spender interface {
	clientauth.Spender
	ProofSpender
}

// Options are what a Server is made of. Those without a remark are needed.
type Options struct {
	// Issuer is the issuer identifier, an absolute URL without query or
	// fragment. Its path is where the endpoints are.
	Issuer string
	// Resource is the audience of a token where the request names none.
	Resource string
	// Resources are further audiences that clients may be registered for.
	Resources []string
	// ScopesSupported are named in the metadata; nil names none.
	ScopesSupported func() oauth.Scope

	Clients     Clients
	Spender     Spender
	KeySets     KeySets    // nil: clients with a jwks_uri are refused
	Federation  Federation // nil: no tokens of other issuers
	Ring        func() *keyring.Ring
	TokenIssuer *token.Issuer
	// Verifier must have been made with AnyAudience: introspection and
	// revocation judge the audience themselves.
	Verifier *token.Verifier
	// Revocations is told of what is revoked here, so that this process refuses
	// it from then on.
	Revocations *token.Revocations
	Revoker     Revoker
	Registrar   Registrar // nil: no apikey registers a client
	Holders     Holders   // nil: nobody is told of the apikey that they hold
	// Registration says who registers without an apikey; "" is nobody.
	Registration   string
	SelfRegistered RegistrationStore // nil: nobody does
	// APIScopes are those that routes ask for: what clients that registered on
	// nobody's word may ask people for. nil: none.
	APIScopes func() oauth.Scope
	// ClientDocuments says that Clients finds those whose client_id is the URL of
	// their metadata, and KeepClient has one of them kept once a person has let
	// it in; nil: it is not.
	ClientDocuments bool
	KeepClient      func(ctx context.Context, c *client.Client) error
	// Fetch gets a document that a client names, through the guard; nil: none.
	Fetch     func(ctx context.Context, url string) ([]byte, error)
	Exchanger Exchanger // nil: apikeys are not exchanged
	// Leaks takes reports of leaked credentials: from anybody as LeakReports says,
	// from GitHub's secret scanning, whose keys are ScanningKey's, as LeakScanning
	// says. nil: from nobody.
	Leaks                     LeakDesk
	LeakReports, LeakScanning string
	ScanningKey               func(ctx context.Context, id string) (*ecdsa.PublicKey, error)
	// Browser is where people answer, and what follows is needed with it. nil: no
	// authorization endpoint, and nothing else that people take part in.
	Browser Browser
	Grants  Grants
	People  People
	Devices DeviceStore // nil: no device flow
	// Links knows people by the identity provider that they sign in by; nil: no
	// assertions about people are taken.
	Links grant.Links
	// RefreshKey makes the next refresh token of each, SubjectKey pairwise
	// subjects: secrets of 32 bytes that never change.
	RefreshKey, SubjectKey []byte
	// WantKey asks for a signing key of an algorithm that may have none yet.
	WantKey func(jose.Algorithm)
	// RefreshLife is how long a refresh token may be renewed, RefreshIdle how
	// long it may lie unused, RefreshGrace how long the one before is taken
	// again. Defaults: 30 days, 14 days, not at all.
	RefreshLife, RefreshIdle, RefreshGrace time.Duration
	// RequirePAR: every authorization request must be pushed (RFC 9126 §5).
	RequirePAR bool
	// APIKeyHolds reports whether an apikey, by its id, still opens what it was
	// exchanged for. nil: until that is revoked.
	APIKeyHolds func(id string) bool

	TokenLife    time.Duration // default 10 min
	ExchangeLife time.Duration // default and at most 15 min
	// AssertionLife is the longest that a client assertion may live; default 5
	// min.
	AssertionLife time.Duration
	Limits        FailureLimits // zero values stand for the defaults
	// DeviceLimits bound the devices that wait at one time; default 1000 of a
	// client, 10,000 in all.
	DeviceLimits session.DeviceLimits
	// Nonces are asked for in every DPoP proof; nil: none is.
	Nonces *token.Nonces
	// MutualTLS says that callers can come with a certificate, and MTLSBase where:
	// the base URL of the endpoints that ask for one, "" if the usual ones do
	// (RFC 8705 §5).
	MutualTLS bool
	MTLSBase  string
	// ClientCAs issue the certificates of tls_client_auth; nil: nobody does.
	ClientCAs *x509.CertPool
	// Certificates are those whose holder a caller proved to be by TLS, its own
	// first. nil takes the connection's: behind a proxy, that is the proxy's.
	Certificates func(*http.Request) []*x509.Certificate
	Now          func() time.Time
	Log          *slog.Logger
	Metrics      *Metrics // nil: counted nowhere
	// Source is the address that a request comes from, for limits. nil takes
	// the connection's: behind a proxy, that is the proxy's.
	Source func(*http.Request) netip.Addr
}

// Server is the authorization server. Safe for concurrent use.
type Server struct {
	options       Options
	base          string // the issuer without a last slash: endpoints follow
	prefix        string // the path of base
	origin        string // scheme and host of base
	targets       grant.Targets
	subjects      token.Subjects
	auth          *clientauth.Authenticator
	failures      *clientauth.Failures
	grants        map[string]authenticatedGrant
	exchange      *grant.APIKeyExchange // nil: apikeys are not exchanged
	device        *devices              // nil: no device flow
	usage         usage
	metadata      []byte
	routes        map[string]http.Handler
	compatLog     *limit.Limiter
	revokes       *limit.Limiter // by client: each leaves an audit entry
	pushes        *limit.Limiter // by public clients, by source
	registrations *limit.Limiter // on nobody's word, by source
	fetches       *limit.Limiter // of request objects, by source
	mostVouched   int            // clients of one software statement
	leaks         leakDoors
	silent        *limit.Limiter // codes that nobody was asked for, by session and client
}

// New makes a Server. Its errors are about options.
func New(o Options) (*Server, error) {
	issuer, err := checkOptions(&o)
	if err != nil {
		return nil, fmt.Errorf("authorization server: %w", err)
	}
	s := &Server{options: o, base: strings.TrimSuffix(o.Issuer, "/"), failures: clientauth.NewFailures(o.Limits), compatLog: limit.New(1.0/3600, 1, 1<<10), revokes: limit.New(10, 200, 1<<14), pushes: newPushLimiter(), registrations: newRegistrationLimiter(), silent: newSilentLimiter(silentBurst), mostVouched: mostVouched, fetches: newFetchLimiter(), leaks: newLeakDoors()}
	s.auth, err = clientauth.New(clientauth.Options{
		Issuer: o.Issuer, TokenEndpoint: s.endpoint(pathToken), Clients: o.Clients, Spender: o.Spender, KeySets: o.KeySets, Federation: o.Federation,
		Failures: s.failures, Now: o.Now, AssertionLife: o.AssertionLife, ClientCAs: o.ClientCAs, Failed: o.Metrics.authFailed, Compat: s.compatUsed, Used: s.usage.note,
	})
	if err != nil {
		return nil, err
	}
	s.prefix, s.origin = strings.TrimSuffix(issuer.Path, "/"), issuer.Scheme+"://"+issuer.Host
	targets := grant.Targets{Default: o.Resource, Known: append([]string{o.Resource}, o.Resources...)}
	s.grants = map[string]authenticatedGrant{
		oauth.GrantClientCredentials: grant.ClientCredentials{Targets: targets, Life: o.TokenLife},
		oauth.GrantTokenExchange:     grant.TokenExchange{Subjects: subjects{s}, Targets: targets, Life: o.TokenLife},
	}
	s.targets = targets
	if o.Browser != nil {
		s.usePeople(o)
	}
	if o.Exchanger != nil {
		s.exchange = &grant.APIKeyExchange{Exchanger: o.Exchanger, Targets: targets, Life: o.ExchangeLife}
	}
	if o.Devices != nil && o.Browser != nil {
		s.device = newDevices(grant.DeviceCode{Store: o.Devices, Targets: targets, People: o.People, Life: o.TokenLife, Limits: o.DeviceLimits})
		s.grants[oauth.GrantDeviceCode] = s.device.grant
	}
	if o.Federation != nil {
		bearer := grant.JWTBearer{Targets: targets, Life: o.TokenLife}
		if o.Browser != nil && o.Links != nil {
			bearer.Assertions, bearer.Links, bearer.People = o.Federation, o.Links, o.People
		}
		s.grants[oauth.GrantJWTBearer] = bearer
	}
	if s.metadata, err = s.makeMetadata(); err != nil {
		return nil, err
	}
	s.routes = s.makeRoutes(s.prefix)
	return s, nil
}

func checkOptions(o *Options) (*url.URL, error) {
	issuer, err := url.Parse(o.Issuer)
	switch {
	case err != nil || issuer.Scheme == "" || issuer.Host == "":
		return nil, fmt.Errorf("issuer %q is not an absolute URL", o.Issuer)
	case strings.ContainsAny(o.Issuer, "?#"): // RFC 8414 §2
		return nil, fmt.Errorf("issuer %q has a query or a fragment", o.Issuer)
	case o.Resource == "":
		return nil, errors.New("no resource: a token would be for everyone")
	case o.Clients == nil || o.Spender == nil || o.Ring == nil || o.TokenIssuer == nil || o.Verifier == nil || o.Revoker == nil || o.Now == nil:
		return nil, errors.New("clients, spender, ring, token issuer, verifier, revoker and clock are needed")
	}
	if o.Browser != nil && (o.Grants == nil || o.People == nil || len(o.RefreshKey) < 32 || len(o.SubjectKey) < 32) {
		return nil, errors.New("with a browser grants, people and keys for refresh tokens and subjects are needed")
	}
	if o.RefreshLife <= 0 {
		o.RefreshLife = 30 * 24 * time.Hour
	}
	if o.RefreshIdle <= 0 {
		o.RefreshIdle = 14 * 24 * time.Hour
	}
	if o.WantKey == nil {
		o.WantKey = func(jose.Algorithm) {}
	}
	if o.TokenLife <= 0 {
		o.TokenLife = 10 * time.Minute
	}
	if o.ExchangeLife <= 0 {
		o.ExchangeLife = 15 * time.Minute
	}
	if o.DeviceLimits == (session.DeviceLimits{}) {
		o.DeviceLimits = session.DeviceLimits{PerClient: 1000, All: 10_000}
	}
	if o.Revocations == nil {
		o.Revocations = new(token.Revocations)
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Metrics == nil {
		o.Metrics = NewMetrics()
	}
	if o.APIKeyHolds == nil {
		o.APIKeyHolds = func(string) bool { return true }
	}
	if o.Source == nil {
		o.Source = connectionSource
	}
	if o.Certificates == nil {
		o.Certificates = connectionCertificates
	}
	return issuer, nil
}

// connectionSource is the other end of the connection.
func connectionSource(r *http.Request) netip.Addr {
	ap, _ := netip.ParseAddrPort(r.RemoteAddr)
	return ap.Addr()
}

// endpoint is the URL of one of the paths below.
func (s *Server) endpoint(path string) string { return s.base + path }

// alias is its URL where a certificate is asked for, "" if there is no other.
func (s *Server) alias(path string) string {
	if s.options.MTLSBase == "" {
		return ""
	}
	return strings.TrimSuffix(s.options.MTLSBase, "/") + path
}

// authenticate proves the client of a request to the endpoint at path.
func (s *Server) authenticate(r *http.Request, form oauth.Params, path string) (clientauth.Authenticated, error) {
	return s.auth.Authenticate(r.Context(), s.proof(r, form, path))
}

func (s *Server) proof(r *http.Request, form oauth.Params, path string) clientauth.Request {
	return clientauth.Request{
		Authorization: r.Header["Authorization"], Form: form, Endpoint: s.endpoint(path), Source: s.options.Source(r),
		Certificates: s.options.Certificates(r),
	}
}

// compatUsed counts an assertion that only audience: compat let in, and names
// the client in the log once an hour.
func (s *Server) compatUsed(c *client.Client, what string) {
	s.options.Metrics.compatUsed(what)
	if first, _ := s.compatLog.Allow(c.ID+" "+what, s.options.Now()); first {
		s.options.Log.Info("client assertion accepted by audience: compat", "client", c.ID, "what", what)
	}
}
