// Package gateway stands in front of an API: it finds the credential of a call,
// asks policy what the call may do, refuses it or passes it on unchanged, and
// counts it. It also learns apikeys from the API's own answers.
//
//	request -> policy.Principal -> Ruleset.Decide -> answer -> traffic.Observation
//
// The rules are held behind an atomic pointer and never fetched during a call.
// Which rules there should be is migration's work, who owns an apikey is the
// store's, and tokens are verified by package token.
package gateway

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/offkey/offkey/internal/apikey"
	"github.com/offkey/offkey/internal/limit"
	"github.com/offkey/offkey/internal/oauth"
	"github.com/offkey/offkey/internal/policy"
	"github.com/offkey/offkey/internal/secret"
	"github.com/offkey/offkey/internal/token"
	"github.com/offkey/offkey/internal/traffic"
	"github.com/prometheus/client_golang/prometheus"
)

// Options are what a Gateway is built from. What is not marked optional must be
// there.
type Options struct {
	Upstreams []Upstream
	// Resource is the identifier of the API and the audience of its tokens
	// (RFC 8707 §2); Issuer is the authorization server that makes them.
	Resource, Issuer string
	// UpgradePage is where callers trade an apikey in a browser; "": nowhere.
	UpgradePage string

	Reader   *apikey.Reader
	Pepper   *secret.Pepper
	Index    *apikey.Index
	Rules    *atomic.Pointer[policy.Ruleset]
	Verifier *token.Verifier
	// Issuers are trusted beside our own.
	Issuers []TrustedIssuer
	Tally   *traffic.Tally

	Learning    Learning
	Recognition Recognition
	// Notice is what callers are told who still use an apikey.
	Notice Notice
	// Unsealer is needed by upstreams with SendAPIKey only.
	Unsealer Unsealer
	// Assertions are needed by upstreams with SendJWT only, Minter by those with
	// SendToken.
	Assertions Assertions
	Minter     Minter
	// PerClient limits the calls of each client; nil: no limit. An apikey has
	// the bucket of the client that it is mapped to.
	PerClient *limit.Limiter
	// TrustedProxies are the networks whose X-Forwarded-* headers are believed;
	// empty: nobody's.
	TrustedProxies []netip.Prefix
	// CertificateHeader is where they pass on the certificate of a caller; "":
	// nowhere.
	CertificateHeader string
	// AsksCertificates says that the listener asks callers for a certificate.
	AsksCertificates bool
	// Replays remembers DPoP proofs; one for the process, so that a reload
	// forgets none. nil: one of its own.
	Replays *token.Replays
	// Nonces are asked for in DPoP proofs; nil: none is.
	Nonces *token.Nonces
	// PreflightOrigins are the origins whose CORS preflights pass without a
	// credential once routes are enforced; optional.
	PreflightOrigins []string
	// DocsURL is where the pages of docs/errors are; optional.
	DocsURL string

	Log *slog.Logger
	// AccessLog gets a line per call; nil: none.
	AccessLog *slog.Logger
	Metrics   prometheus.Registerer // optional
	Now       func() time.Time
}

// Gateway is an http.Handler for the URLs of an API. Run must run beside it for
// apikeys to be learnt. Safe for concurrent use.
type Gateway struct {
	Options
	upstreams  upstreams
	metadata   *metadata
	learner    *learner
	recogniser *recogniser
	metrics    *metrics
	access     *accessLog
	templates  templateSet
	carriers   []carrier
	origins    map[string]bool
	unsealed   unsealedCache

	strangerTold atomic.Int64 // when the log last told of one who asks about calls, in Unix seconds

	certificateHeaders [2]string // as net/http spells them: of the certificate, and of its chain
	calls              sync.Pool
}

// New checks o and makes a Gateway.
func New(o Options) (*Gateway, error) {
	resource, err := url.Parse(o.Resource)
	switch {
	case err != nil || resource.Host == "" || (resource.Scheme != "https" && resource.Scheme != "http"):
		return nil, fmt.Errorf("gateway: resource %q is no URL: write it as https://api.example.com", o.Resource)
	case o.Reader == nil || o.Pepper == nil || o.Index == nil || o.Rules == nil || o.Rules.Load() == nil ||
		o.Verifier == nil || o.Tally == nil || o.Log == nil || o.Now == nil:
		return nil, errors.New("gateway: Reader, Pepper, Index, Rules, Verifier, Tally, Log and Now are needed")
	}
	if o.Replays == nil {
		o.Replays = token.NewReplays()
	}
	if o.DocsURL == "" {
		o.DocsURL = defaultDocsURL
	}
	g := &Gateway{Options: o, carriers: newCarriers(o.Reader.Carriers()), origins: map[string]bool{}}
	g.certificateHeaders = [2]string{http.CanonicalHeaderKey(o.CertificateHeader), http.CanonicalHeaderKey(o.CertificateHeader + "-Chain")}
	for _, origin := range o.PreflightOrigins {
		g.origins[origin] = true
	}
	if g.upstreams, err = newUpstreams(o); err != nil {
		return nil, err
	}
	if g.metrics, err = newMetrics(o.Metrics); err != nil {
		return nil, fmt.Errorf("gateway metrics: %w", err)
	}
	g.metadata = newMetadata(resource, o.Resource, o.Issuer)
	for _, other := range o.Issuers {
		g.metadata.others = append(g.metadata.others, other.Verifier.Issuer())
	}
	g.metadata.certificates = o.AsksCertificates || o.CertificateHeader != ""
	g.learner = newLearner(o.Learning, o.Index, o.Reader, o.Tally, o.Log)
	g.recogniser = newRecogniser(o.Recognition, o.Index, o.Pepper, o.Log, o.Now)
	g.access = newAccessLog(o.AccessLog)
	g.calls.New = func() any { return newCall(g) }
	return g, nil
}

// Run learns apikeys and writes the access log until ctx ends.
func (g *Gateway) Run(ctx context.Context) {
	var wg sync.WaitGroup
	wg.Go(func() { g.access.run(ctx) })
	wg.Go(func() { g.learner.run(ctx, g.Now) })
	wg.Go(func() { g.recogniser.run(ctx) })
	wg.Wait()
}

// CloseIdleConnections closes the connections to the API that wait for a call.
func (g *Gateway) CloseIdleConnections() { g.upstreams.closeIdle() }

// call is one request on its way through. Calls are pooled: nothing may hold on
// to one after ServeHTTP.
type call struct {
	g  *Gateway
	w  http.ResponseWriter
	r  *http.Request
	at time.Time

	target    policy.Target
	upstream  *upstream
	rules     *policy.Ruleset
	source    netip.Addr // of the caller, behind trusted proxies
	trusted   bool       // the peer is a trusted proxy
	presented apikey.Presented
	apikey    *apikey.Key // known, and the one that decides
	carrier   string      // of the apikey that decides
	token     *token.Verified
	badToken  *oauth.Error // why the token does not hold
	nonce     string       // to hand out, "" if none is due
	principal policy.Principal
	problem   policy.Problem // why the strict rules refuse the request
	decision  policy.Decision
	judged    bool // there is a decision

	toAPI    credential // what the API receives in place of the caller's
	minted   Minted     // and in place of an apikey
	replaced bool       // the API does not see the caller's apikey: its answer says nothing about it
	body     *callerBody
	status   int // answered, 0 before
	outcome  string
	chunked  bool // the API's answer has no length

	asker    *dialect     // of the proxy that asks about the call; nil: the call itself came
	original http.Request // that it asks about

	certificate string // of the caller, as Envoy tells it; "" elsewhere

	forwarder forwarder
}

// Handler is the Gateway itself.
func (g *Gateway) Handler() http.Handler { return g }

// ServeHTTP takes one call through the gateway.
func (g *Gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c := g.calls.Get().(*call)
	c.w, c.r, c.at, c.rules = w, r, g.Now(), g.Rules.Load()
	done := false
	defer func() {
		g.access.note(c)
		if done { // not after a panic, which aborts an answer half sent
			c.reset()
			g.calls.Put(c)
		}
	}()
	c.serve()
	done = true
}

// serve is the whole movement of a call.
func (c *call) serve() {
	switch {
	case strings.HasPrefix(c.r.RequestURI, authPrefix):
		c.serveForwardAuth()
		return
	case c.r.RequestURI == assertionKeysPath:
		c.serveAssertionKeys()
		return
	}
	c.target = policy.ParseTarget(c.r.RequestURI)
	c.source, c.trusted = c.g.sourceOf(c.r)
	if c.trusted && isCheck(c.r) {
		c.serveCheck()
		return
	}
	if c.admits() && !c.servedHere() && c.passes() {
		c.forward()
	}
}

// admits refuses what is refused always. It reports whether it did not.
func (c *call) admits() bool {
	code := c.refusedAlways()
	if code != "" {
		c.refuse(code)
	}
	return code == ""
}

// passes asks the rules and refuses what they refuse. It reports whether the API
// may have the call.
func (c *call) passes() bool {
	c.decide()
	if c.decision.Denied() {
		c.refuse(c.decision.Code)
		return false
	}
	if wait, ok := c.withinLimit(); !ok {
		c.refuseLimited(wait)
		return false
	}
	if code := c.prepareCredential(); code != "" {
		c.refuse(code)
		return false
	}
	return true
}

// decide reads the credentials and asks the rules.
func (c *call) decide() {
	c.presented = c.g.Reader.Read(c.r.Header, c.target.RawQuery)
	c.identify()
	c.problem = c.strictProblem()
	c.judged = true
	switch {
	case c.presented.Count > apikey.MaxValues: // one that was not kept may be blocked
		c.decision = policy.Decision{Status: http.StatusBadRequest, Code: policy.CodeCredentialDuplicate}
	case c.preflightPasses():
		c.decision = policy.Decision{Allow: true, Code: codePreflight}
	default:
		c.judge()
		if c.decision.Code == policy.CodeAPIKeyUnknown && c.askAgain() {
			c.apikey = nil
			c.identify()
			c.judge()
		}
	}
}

func (c *call) judge() {
	c.decision = c.rules.Decide(c.principal, policy.Call{
		Method: c.r.Method, Path: c.target.Path, Problem: string(c.problem), At: c.at,
	})
}

// withinLimit takes one call from the bucket of the caller. A client and the
// apikey that it replaces share one.
func (c *call) withinLimit() (wait time.Duration, ok bool) {
	bucket := c.principal.ClientID
	if bucket == "" {
		bucket = c.principal.ID
	}
	if c.g.PerClient == nil || bucket == "" {
		return 0, true
	}
	ok, wait = c.g.PerClient.Allow(bucket, c.at)
	return wait, ok
}

// reset forgets everything that belonged to the call.
func (c *call) reset() {
	g, f := c.g, c.forwarder
	*c = call{g: g, forwarder: f}
}

// drain reads a little of a body that nobody wants, so that its connection can
// be used again.
func drain(body io.ReadCloser) {
	_, _ = io.CopyN(io.Discard, body, 64<<10)
	_ = body.Close()
}
