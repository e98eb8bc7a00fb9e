// Package agent is the caller's side for callers that cannot change: a program
// goes on sending its calls, with its old apikey, to an address on its own
// machine, and they go out to the API with a token.
//
//	program -> apikey or nothing -> token -> API
//
// How a client gets a token is the caller's (sdk/go/oauthclient); the agent keeps
// one, renews it before anybody waits for it, and outlives an issuer that
// restarts. It is for one user of one machine: whoever can connect to it acts for
// the client, unless an apikey is asked for.
package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/offkey/offkey/internal/apikey"
	"github.com/offkey/offkey/internal/secret"
)

// Token is an access token, and how long it lives from when it was asked for.
type Token struct {
	Value secret.Text
	Type  string // Bearer or DPoP
	Life  time.Duration
}

// Client gets tokens at an issuer and puts them on calls.
type Client interface {
	// Token asks the issuer for a new one.
	Token(ctx context.Context) (Token, error)
	// Temporary reports whether it is worth asking again after that error.
	Temporary(err error) bool
	// Authorize puts a token on a request, with a proof if it is bound to a key.
	Authorize(req *http.Request, t Token) error
	// WantsNonce notes what an answer says about proofs, and reports whether the
	// request is to be made again with another one.
	WantsNonce(resp *http.Response) bool
}

// API is one API that calls go out to.
type API struct {
	// Host or Prefix tell its calls from those for others: the name that the
	// program calls the agent by, or the beginning of the path, which is taken
	// away. With neither it is every other call.
	Host, Prefix string
	URL          *url.URL // scheme, host and port
	Client       Client
	// Transport carries the calls; nil: one like http.DefaultTransport that leaves
	// bodies as they are.
	Transport *http.Transport
	// Clock is the one that Client signs by. What was refused while it was off is
	// tried again once it is put right.
	Clock *Clock
}

// Others says what becomes of calls that the agent gives no token.
type Others string

const (
	// Refuse answers them.
	Refuse Others = "refuse"
	// Pass sends them on as they are.
	Pass Others = "pass"
)

// Options are what an Agent is built from.
type Options struct {
	APIs []API
	// Swap is the apikey for which the token is put in; zero: every call gets it
	// that brings no credential of its own.
	Swap secret.Text
	// Reader finds apikeys in calls.
	Reader *apikey.Reader
	// Others is for calls with another credential than Swap, or without it.
	Others Others
	Log    *slog.Logger
	// Now is the clock by which tokens age; nil: time.Now.
	Now func() time.Time
	// Patience is how long a call waits for an issuer or an API that does not
	// answer at all; 0: half a minute.
	Patience time.Duration
}

// Agent is an http.Handler for the program's calls. Safe for concurrent use.
type Agent struct {
	Options
	swap  secret.Hash
	apis  []*outlet
	hosts map[string]bool // names that a program may call the agent by
}

// outlet is an API with what it takes to call it.
type outlet struct {
	API
	keeper *keeper
	proxy  *httputil.ReverseProxy
}

const defaultPatience = 30 * time.Second

// New checks o and makes an Agent.
func New(o Options) (*Agent, error) {
	if len(o.APIs) == 0 || o.Reader == nil || o.Log == nil {
		return nil, errors.New("agent: APIs, Reader and Log are needed")
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Patience == 0 {
		o.Patience = defaultPatience
	}
	if o.Others == "" {
		o.Others = Refuse
	}
	a := &Agent{Options: o, hosts: map[string]bool{}}
	if !o.Swap.IsZero() {
		a.swap = secret.HashOf(o.Swap.Reveal())
	}
	for _, api := range o.APIs {
		if api.URL == nil || api.URL.Host == "" || api.Client == nil {
			return nil, errors.New("agent: an API needs its URL and a client")
		}
		for _, other := range a.apis {
			if other.Host == api.Host && other.Prefix == api.Prefix {
				return nil, fmt.Errorf("%s and %s are told apart by nothing: give one a prefix or a host", other.URL, api.URL)
			}
		}
		if api.Host != "" {
			a.hosts[strings.ToLower(api.Host)] = true
		}
		a.apis = append(a.apis, a.outlet(api))
	}
	// The closest match first: a host, then the longest prefix.
	slices.SortStableFunc(a.apis, func(x, y *outlet) int {
		if (x.Host != "") != (y.Host != "") {
			return map[bool]int{true: -1, false: 1}[x.Host != ""]
		}
		return len(y.Prefix) - len(x.Prefix)
	})
	return a, nil
}

func (a *Agent) outlet(api API) *outlet {
	if api.Transport == nil {
		api.Transport = NewTransport()
	}
	if api.Clock == nil {
		api.Clock = NewClock(time.Now)
	}
	o := &outlet{API: api, keeper: newKeeper(api.Client, api.Clock, a.Now, a.Patience)}
	o.proxy = &httputil.ReverseProxy{
		Rewrite:       func(p *httputil.ProxyRequest) { o.aim(p) },
		Transport:     newSender(o, a.Patience),
		FlushInterval: -1,
		ErrorHandler:  a.failed,
		ErrorLog:      slog.NewLogLogger(a.Log.Handler(), slog.LevelDebug),
	}
	return o
}

// NewTransport is how calls go out where nothing else is said.
func NewTransport() *http.Transport {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.DisableCompression = true // bodies pass as they are
	t.MaxIdleConnsPerHost = 64
	return t
}

// Warm gets the first tokens, so that what is wrong with a client is said at the
// start and no call waits.
func (a *Agent) Warm(ctx context.Context) error {
	for _, o := range a.apis {
		if _, err := o.keeper.token(ctx); err != nil {
			return fmt.Errorf("%s: %w", o.URL, err)
		}
	}
	return nil
}

// ServeHTTP sends a call on.
func (a *Agent) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if why := a.fromBrowser(r); why != "" {
		refuse(w, http.StatusForbidden, "browser_refused", why)
		return
	}
	o := a.find(r)
	if o == nil {
		refuse(w, http.StatusNotFound, "api_unknown", "No API is configured for this host and path.")
		return
	}
	switch a.judge(r) {
	case swapped:
		r.URL.RawQuery = a.Reader.Remove(r.Header, r.URL.RawQuery)
		r = r.WithContext(context.WithValue(r.Context(), withToken{}, true))
	case bare:
		r = r.WithContext(context.WithValue(r.Context(), withToken{}, true))
	case foreign:
		if a.Others != Pass {
			refuse(w, http.StatusUnauthorized, "apikey_not_swapped", a.notSwapped())
			return
		}
	}
	o.proxy.ServeHTTP(w, r)
}

// withToken marks calls that get a token.
type withToken struct{}

// verdict is what a call brings.
type verdict uint8

const (
	foreign verdict = iota // something that is not ours to replace, or nothing where the apikey is asked for
	swapped                // the apikey, and no other credential
	bare                   // nothing, where nothing is asked for
)

// judge finds out what a call brings. Several apikeys are swapped only if all are
// the one.
func (a *Agent) judge(r *http.Request) verdict {
	p := a.Reader.Read(r.Header, r.URL.RawQuery)
	none := p.Count == 0 && p.TokenScheme == "" && len(r.Header["Authorization"]) == 0
	switch {
	case a.Swap.IsZero() && none:
		return bare
	case a.Swap.IsZero(), p.Count == 0, p.TokenScheme != "", p.Oversize, p.Count > apikey.MaxValues:
		return foreign
	}
	for _, found := range p.Found() {
		if !secret.HashOf(found.Value.Reveal()).Equal(a.swap) {
			return foreign
		}
	}
	return swapped
}

func (a *Agent) notSwapped() string {
	if a.Swap.IsZero() {
		return "The call has a credential of its own. The agent puts its token on calls that have none."
	}
	return "The call does not have the API key that this agent stands for, or not it alone."
}

// find is the API that a call is for.
func (a *Agent) find(r *http.Request) *outlet {
	host := hostOf(r.Host)
	for _, o := range a.apis {
		if (o.Host == "" || strings.EqualFold(o.Host, host)) && hasPrefix(r.URL.EscapedPath(), o.Prefix) {
			return o
		}
	}
	return nil
}

// hasPrefix reports whether a path is prefix or below it.
func hasPrefix(path, prefix string) bool {
	rest, ok := strings.CutPrefix(path, strings.TrimSuffix(prefix, "/"))
	return ok && (rest == "" || rest[0] == '/')
}

// aim makes the request that the API gets.
func (o *outlet) aim(p *httputil.ProxyRequest) {
	out := p.Out
	path := strings.TrimPrefix(p.In.URL.EscapedPath(), strings.TrimSuffix(o.Prefix, "/"))
	if path == "" {
		path = "/"
	}
	out.URL.Scheme, out.URL.Host = o.URL.Scheme, o.URL.Host
	out.URL.RawPath = path
	out.URL.Path, _ = url.PathUnescape(path) // net/http has parsed it
	out.URL.RawQuery = p.In.URL.RawQuery
	out.Host = o.URL.Host
	for _, name := range [...]string{"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto"} {
		if v := p.In.Header[name]; v != nil {
			out.Header[name] = v // the program's own affair
		}
	}
}

// hostOf is the name in a Host.
func hostOf(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	return strings.Trim(host, "[]")
}
