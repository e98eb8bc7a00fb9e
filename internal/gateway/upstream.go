package gateway

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/offkey/offkey/internal/apikey"
	"github.com/offkey/offkey/internal/gateway/lean"
	"github.com/offkey/offkey/internal/oauth"
	"github.com/offkey/offkey/internal/secret"
)

// Upstream is one API behind the gateway.
type Upstream struct {
	Name  string
	Hosts []string // names that callers use, with a port where it matters; empty: every host
	// URL is scheme, host and port. It has no path: nothing is put before or
	// taken from the path of a call, so that the one judged is the one sent.
	URL *url.URL
	// OwnHost sends the host of URL as Host in place of the caller's.
	OwnHost bool
	// TokenCall is what the API receives for a call with a token; In is where
	// SendSecret and SendAPIKey put it, Secret what SendSecret puts there.
	TokenCall TokenCall
	In        apikey.Carrier
	Secret    secret.Text
	// APIKeyCall is what it receives for a call with an apikey.
	APIKeyCall APIKeyCall
	// StripQuery takes an apikey out of the query once it is mapped to a
	// client; the API then reads who calls from the identity headers.
	StripQuery bool
	// HTTP2 says that the API takes HTTP/2 for every call that came in it, and
	// not for gRPC alone. Without TLS that is by prior knowledge.
	HTTP2   bool
	RootCAs *x509.CertPool // nil: the system's
	// AnswerTimeout is how long the API may take to begin its answer; 0: as
	// long as the caller waits.
	AnswerTimeout time.Duration
}

// TokenCall is what an API receives for a call with an access token.
type TokenCall uint8

const (
	// SendHeaders sends the identity headers alone.
	SendHeaders TokenCall = iota
	// SendBearer also passes the token itself on.
	SendBearer
	// SendSecret also sends one secret that all calls share.
	SendSecret
	// SendAPIKey also sends the caller's own former apikey.
	SendAPIKey
	// SendJWT also sends what the headers say signed, for this call alone.
	SendJWT
)

var tokenCallNames = [...]string{"headers", "bearer", "secret", "apikey", "jwt"}

func (t TokenCall) String() string { return tokenCallNames[t] }

// ParseTokenCall reads a setting; "" is headers.
func ParseTokenCall(s string) (TokenCall, error) {
	if i := slices.Index(tokenCallNames[:], s); i >= 0 {
		return TokenCall(i), nil
	}
	if s == "" {
		return SendHeaders, nil
	}
	return 0, fmt.Errorf("token_call is %q: it is one of %s", s, strings.Join(tokenCallNames[:], ", "))
}

// upstream is an Upstream with its connections.
type upstream struct {
	Upstream
	in       carrier
	audience string // of assertions: scheme, host and port of URL
	http1    *http.Transport
	// fresh is http1 for calls that cannot be sent again: it reuses connections
	// only within moments, because an API may close one that is idle just as a
	// call is sent on it, and who can tell then whether it was carried out.
	fresh *http.Transport
	http2 *http.Transport
	exact *exactTransport
	// lean carries what is usual; nil: nothing.
	lean *lean.Client
	// private is a connection that nobody else can read: TLS or loopback.
	private bool
}

// upstreams finds an API by the Host of a call.
type upstreams struct {
	byHost   map[string]*upstream
	fallback *upstream // takes every host
}

func newUpstreams(with Options) (upstreams, error) {
	all := upstreams{byHost: map[string]*upstream{}}
	list := with.Upstreams
	if len(list) == 0 {
		return all, errors.New("gateway: there is no upstream")
	}
	for _, o := range list {
		if err := o.check(&with); err != nil {
			return all, fmt.Errorf("upstream %s: %w", o.Name, err)
		}
		u := newUpstream(o)
		if len(o.Hosts) == 0 {
			if all.fallback != nil {
				return all, fmt.Errorf("upstreams %s and %s both take every host: give one of them hosts", all.fallback.Name, o.Name)
			}
			all.fallback = u
		}
		for _, host := range o.Hosts {
			host = strings.ToLower(host)
			if other := all.byHost[host]; other != nil {
				return all, fmt.Errorf("upstreams %s and %s both have the host %s", other.Name, o.Name, host)
			}
			all.byHost[host] = u
		}
	}
	return all, nil
}

func (o *Upstream) check(with *Options) error {
	switch u := o.URL; {
	case u == nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https"):
		return errors.New("the url is not of the form http://host:port or https://host")
	case u.Path != "" && u.Path != "/", u.RawQuery != "", u.Fragment != "", u.User != nil:
		return fmt.Errorf("the url may only name scheme, host and port: paths are passed on as they come, so that the path judged is the path sent; write %s://%s", u.Scheme, u.Host)
	case o.TokenCall == SendSecret && o.Secret.IsZero():
		return errors.New("token_call: secret needs the secret")
	case (o.TokenCall == SendSecret || o.TokenCall == SendAPIKey) && o.In.Kind == "":
		return fmt.Errorf("token_call: %s needs the place where it travels, as in header:X-API-Key", o.TokenCall)
	case o.TokenCall == SendJWT && with.Assertions == nil:
		return errors.New("token_call: jwt needs keys to sign with")
	case o.APIKeyCall == SendToken && with.Minter == nil:
		return errors.New("apikey_call: token needs something that makes tokens")
	case o.TokenCall == SendAPIKey && with.Unsealer == nil:
		return errors.New("token_call: apikey needs sealed apikeys, and there is no store of them")
	case o.TokenCall == SendAPIKey && !isPrivate(u):
		return errors.New("token_call: apikey needs https, or an upstream on loopback: apikeys are not sent in the clear")
	}
	return nil
}

// isPrivate reports whether what is sent to the URL can be read by nobody else.
func isPrivate(u *url.URL) bool {
	return u.Scheme == "https" || oauth.IsLoopback(u.Hostname())
}

// How connections to an API are kept.
const (
	maxIdlePerHost = 1024
	maxOpenPerHost = 16 << 10 // of the lean client: more than streams need, less than there are ports
	idleTimeout    = 90 * time.Second
	freshTimeout   = time.Second // less than any server's keep-alive time
	dialTimeout    = 10 * time.Second
	bufferSize     = 16 << 10
)

func newUpstream(o Upstream) *upstream {
	dialer := &net.Dialer{Timeout: dialTimeout, KeepAlive: 30 * time.Second}
	tlsConfig := &tls.Config{RootCAs: o.RootCAs, MinVersion: tls.VersionTLS12}
	transport := func(p *http.Protocols) *http.Transport {
		return &http.Transport{
			Proxy:       nil, // the environment must not send calls elsewhere
			DialContext: dialer.DialContext, TLSClientConfig: tlsConfig.Clone(),
			TLSHandshakeTimeout: dialTimeout, ResponseHeaderTimeout: o.AnswerTimeout,
			ExpectContinueTimeout: time.Second,
			MaxIdleConnsPerHost:   maxIdlePerHost, IdleConnTimeout: idleTimeout,
			DisableCompression: true, // bodies pass as they are
			WriteBufferSize:    bufferSize, ReadBufferSize: bufferSize,
			Protocols: p,
		}
	}
	var http1, http2 http.Protocols
	http1.SetHTTP1(true)
	http2.SetHTTP2(o.URL.Scheme == "https")
	http2.SetUnencryptedHTTP2(o.URL.Scheme == "http")
	u := &upstream{Upstream: o, audience: o.URL.Scheme + "://" + o.URL.Host, in: newCarrier(o.In), private: isPrivate(o.URL)}
	u.http1, u.http2, u.fresh = transport(&http1), transport(&http2), transport(&http1)
	u.fresh.IdleConnTimeout = freshTimeout
	u.exact = &exactTransport{dial: u.http1.DialContext, tls: tlsConfig}
	u.lean = lean.New(lean.Options{
		URL: o.URL, Dial: dialer.DialContext, TLS: tlsConfig, HandshakeTimeout: dialTimeout, AnswerTimeout: o.AnswerTimeout,
		IdleTimeout: idleTimeout, FreshTimeout: freshTimeout, MaxIdle: maxIdlePerHost, MaxOpen: maxOpenPerHost,
	})
	return u
}

// of finds the API that a call is for, by the host with its port or without.
func (us *upstreams) of(host string) *upstream {
	if len(us.byHost) > 0 {
		if u := us.find(host); u != nil {
			return u
		}
	}
	return us.fallback
}

// named reports whether the host was configured by name.
func (us *upstreams) named(host string) bool { return us.find(host) != nil }

func (us *upstreams) find(host string) *upstream {
	host = strings.ToLower(host) // allocates only if it changes something
	if u := us.byHost[host]; u != nil {
		return u
	}
	if i := strings.LastIndexByte(host, ':'); i > 0 && !strings.HasSuffix(host, "]") {
		host = host[:i]
	}
	return us.byHost[strings.TrimSuffix(host, ".")]
}

func (us *upstreams) closeIdle() {
	closed := map[*upstream]bool{}
	for _, u := range us.byHost {
		closed[u] = true
	}
	if us.fallback != nil {
		closed[us.fallback] = true
	}
	for u := range closed {
		u.http1.CloseIdleConnections()
		u.fresh.CloseIdleConnections()
		u.http2.CloseIdleConnections()
		if u.lean != nil {
			u.lean.CloseIdleConnections()
		}
	}
}

// transport chooses how a call is sent on: HTTP/1.1, unless it came in HTTP/2
// and needs it, as gRPC does, or the API is said to take it.
func (u *upstream) transport(r *http.Request, exact bool) http.RoundTripper {
	switch {
	case r.ProtoMajor == 2 && (u.HTTP2 || isGRPC(r.Header)):
		return u.http2
	case !exact:
		return u.exact
	case !isRepeatable(r):
		return u.fresh
	}
	return u.http1
}

// isRepeatable reports whether http.Transport sends a request again when its
// connection turns out to be closed: without a body, by a method that changes
// nothing (RFC 9110 §9.2.2).
func isRepeatable(r *http.Request) bool {
	return r.ContentLength == 0 && (isSafe(r.Method) || r.Method == http.MethodOptions)
}

func isGRPC(h http.Header) bool {
	v := h["Content-Type"]
	return len(v) > 0 && strings.HasPrefix(v[0], "application/grpc")
}

type dialFunc = func(ctx context.Context, network, address string) (net.Conn, error)
