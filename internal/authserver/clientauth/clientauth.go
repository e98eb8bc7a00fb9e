// Package clientauth proves that a request comes from the client that it names.
// Each method is a file: secret.go for client_secret_basic and
// client_secret_post, assertion.go and assertionclaims.go for private_key_jwt,
// mtls.go for tls_client_auth and self_signed_tls_client_auth, federated.go for
// federated_jwt, public.go for clients that cannot prove anything. What proves
// itself becomes
// an Authenticated, and only this package makes one.
//
// Until a client has proved itself every refusal has the same words and the
// same cost, whether or not there is such a client. Afterwards refusals say
// exactly what is wrong, for then it is the client's own developer who reads
// them. What a client may do is decided by the grants.
package clientauth

import (
	"context"
	"crypto/x509"
	"errors"
	"net/netip"
	"time"

	"github.com/offkey/offkey/internal/client"
	"github.com/offkey/offkey/internal/jose"
	"github.com/offkey/offkey/internal/oauth"
)

// Authenticated is a client that has proved itself. The zero value is nobody.
type Authenticated struct {
	client     *client.Client
	method     string
	credential string
	alg        jose.Algorithm
}

// Client returns the client, nil for the zero value.
func (a Authenticated) Client() *client.Client { return a.client }

// Method returns the token_endpoint_auth_method that was used.
func (a Authenticated) Method() string { return a.method }

// Credential returns the id of the credential that proved it, "" where the keys
// are fetched.
func (a Authenticated) Credential() string { return a.credential }

// Alg returns the algorithm of the assertion that proved it, "" for other methods.
func (a Authenticated) Alg() jose.Algorithm { return a.alg }

// Clients finds registered clients.
type Clients interface {
	// Client returns client.ErrNotFound if there is none.
	Client(ctx context.Context, id string) (*client.Client, error)
}

// Spender keeps which assertions were used.
type Spender interface {
	// SpendAssertion notes the jti of a client in one atomic and durable step
	// and reports whether it is the first to come with it. The note may be
	// forgotten after expires.
	SpendAssertion(ctx context.Context, clientID, jti string, expires time.Time) (fresh bool, err error)
}

// KeySets fetches the keys of clients that have a jwks_uri.
type KeySets interface {
	KeySet(ctx context.Context, uri string) (jose.KeySet, error)
	// Refresh is KeySet for a kid that the set did not have: it may fetch again.
	Refresh(ctx context.Context, uri string) (jose.KeySet, error)
}

// Options are what an Authenticator works with. All but the functions and
// KeySets are needed.
type Options struct {
	Issuer        string // the audience of assertions
	TokenEndpoint string // also an audience for clients with audience: compat
	Clients       Clients
	Spender       Spender
	KeySets       KeySets // nil: clients with a jwks_uri are refused
	// Federation is nil where no tokens of other issuers are taken.
	Federation Federation
	Failures   *Failures
	Now        func() time.Time
	// AssertionLife is the longest that an assertion may live, but for clients
	// with audience: compat; 0 is 5 minutes.
	AssertionLife time.Duration
	// ClientCAs issue the certificates of tls_client_auth; nil: nobody does.
	ClientCAs *x509.CertPool

	// Failed is told why each authentication failed: one of the Cause constants.
	Failed func(cause string)
	// Compat is told of each assertion that only audience: compat let in, and
	// what was let in: "audience" or "lifetime".
	Compat func(c *client.Client, what string)
	// Used is told of each credential that proved a client.
	Used func(clientID, credentialID string, at time.Time)
}

// Request is what of a request says who sent it.
type Request struct {
	Authorization []string // every Authorization header
	Form          oauth.Params
	Endpoint      string     // the URL of the endpoint called
	Source        netip.Addr // who sent it, for limits
	// Certificates are those whose holder the sender proved to be by TLS, its own
	// first; none without TLS or without one.
	Certificates []*x509.Certificate
}

// Authenticator proves clients. Safe for concurrent use.
type Authenticator struct {
	options Options
	decoy   decoy
	// observe counts the work done, in tests.
	observe func(work string)
}

// New makes an Authenticator.
func New(o Options) (*Authenticator, error) {
	if o.Failed == nil {
		o.Failed = func(string) {}
	}
	if o.Compat == nil {
		o.Compat = func(*client.Client, string) {}
	}
	if o.Used == nil {
		o.Used = func(string, string, time.Time) {}
	}
	if o.AssertionLife <= 0 {
		o.AssertionLife = defaultLife
	}
	d, err := newDecoy()
	if err != nil {
		return nil, err
	}
	return &Authenticator{options: o, decoy: d, observe: func(string) {}}, nil
}

// attempt is one way of proving a client, as it was sent.
type attempt interface {
	// claimed is the client id that the request gives; it proves nothing.
	claimed() string
	method() string
	// prove holds the attempt against the client, which is nil where there is
	// none: it then does the same work and fails. credential is the id of what
	// proved it.
	prove(ctx context.Context, a *Authenticator, c *client.Client) (credential string, err error)
}

// Authenticate proves the client of a request. The error is an *oauth.Error,
// inside of a *Limited where a limit stands behind it.
func (a *Authenticator) Authenticate(ctx context.Context, r Request) (Authenticated, error) {
	try, err := read(r, a.options.Federation != nil)
	if err != nil {
		return Authenticated{}, a.refuse(err, r, "")
	}
	return a.authenticate(ctx, r, try)
}

func (a *Authenticator) authenticate(ctx context.Context, r Request, try attempt) (Authenticated, error) {
	if err := a.options.Failures.Check(r.Source, try.claimed(), a.options.Now()); err != nil {
		a.options.Failed(CauseLimited)
		return Authenticated{}, err
	}
	if federated, ok := try.(*federatedAttempt); ok {
		if err := federated.identify(ctx, a); err != nil {
			return Authenticated{}, a.refuse(err, r, try.claimed())
		}
	}
	c, err := a.find(ctx, try.claimed())
	if err != nil {
		return Authenticated{}, a.refuse(err, r, try.claimed())
	}
	credential, err := try.prove(ctx, a, c)
	if err != nil {
		return Authenticated{}, a.refuse(err, r, try.claimed())
	}
	if credential != "" {
		a.options.Used(c.ID, credential, a.options.Now())
	}
	proved := Authenticated{client: c, method: try.method(), credential: credential}
	if assertion, ok := try.(*assertionAttempt); ok {
		proved.alg = assertion.jwt.Header().Alg
	}
	return proved, nil
}

// maxClientID is the longest client id that is looked for, in bytes.
const maxClientID = 256

// find returns nil for an unknown client.
func (a *Authenticator) find(ctx context.Context, id string) (*client.Client, error) {
	if len(id) > maxClientID {
		return nil, nil
	}
	c, err := a.options.Clients.Client(ctx, id)
	switch {
	case errors.Is(err, client.ErrNotFound):
		return nil, nil
	case err != nil:
		var refused *oauth.Error
		if errors.As(err, &refused) { // the document at its client_id cannot be had
			return nil, &failure{cause: CauseUnproved, guess: true, answer: refused}
		}
		return nil, unavailable(err)
	}
	return c, nil
}

// refuse counts a failure and returns what is answered.
func (a *Authenticator) refuse(err error, r Request, clientID string) error {
	var f *failure
	if !errors.As(err, &f) {
		return err
	}
	a.options.Failed(f.cause)
	if f.guess {
		a.options.Failures.Count(r.Source, clientID, a.options.Now())
	}
	return f.answer
}

// checkStatus refuses a client that was disabled, after it has proved itself.
// Whether a pending one gets anything is for the endpoint to say.
func checkStatus(c *client.Client) *failure {
	if c.Status != client.Active && c.Status != client.Pending {
		return refusal(CauseDisabled, "this client is disabled: ask the operator of this server")
	}
	return nil
}
