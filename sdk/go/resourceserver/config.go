package resourceserver

import (
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/offkey/offkey/internal/jose"
	"github.com/offkey/offkey/internal/oauth"
	"github.com/offkey/offkey/internal/token"
)

// Config says whose tokens open the API. Resource and Issuer are required.
type Config struct {
	// Resource is what the API calls itself: the audience of its tokens.
	Resource string
	// Issuer is the authorization server, exactly as its metadata states it.
	Issuer string
	// JWKSURL is where its keys are, if that is not to be found in its metadata.
	JWKSURL string
	// LaxTokens takes tokens of issuers that do not follow RFC 9068: of any type but
	// ID tokens, with the client in azp, cid or appid and the scope in scp too.
	LaxTokens bool
	// RequireDPoP refuses bearer tokens.
	RequireDPoP bool
	// Scopes are listed in the metadata.
	Scopes []string
	// Name and Documentation of the API, for people, in the metadata.
	Name, Documentation string

	// Certificates are those of the caller, its own first, in DER, where a proxy ends
	// its TLS. Default: those of the connection.
	Certificates func(*http.Request) [][]byte
	// APIKeys is the check of API keys that the API had before, while callers still
	// have some: it reports whether a request without a token brings a good one. nil:
	// such requests are refused.
	APIKeys func(*http.Request) bool
	// Offkey is the URL of an offkey gateway that is asked about requests whose API key
	// is good, so that its stages and records hold for them: its `trusted_proxies` must
	// have this API's address. Empty: nobody is asked.
	Offkey string
	// Gateway is the offkey gateway in front of this API, if what it says of calls is
	// to be believed (token_call: jwt).
	Gateway Gateway

	// HTTPClient asks issuer and offkey; default is one with a timeout of 10 s.
	HTTPClient *http.Client
	// Now is the clock; default time.Now.
	Now func() time.Time
}

// Gateway is an offkey gateway that signs who calls.
type Gateway struct {
	// Issuer is the gateway's public URL with /_offkey behind it.
	Issuer string
	// JWKSURL is where its keys are, as this API reaches them: /_offkey/jwks.
	JWKSURL string
	// Audience is this API as the gateway reaches it: scheme, host and port of the
	// upstream's url.
	Audience string
}

// API checks the requests of one API. Safe for concurrent use.
type API struct {
	config   Config
	origin   string // of Resource
	metadata string // where the metadata is
	verifier *token.RemoteVerifier
	gateway  *keys // nil: none is believed
	replays  *token.Replays
	client   *http.Client
}

// New checks c. It asks nobody: keys are fetched when the first token comes.
func New(c Config) (*API, error) {
	resource, err := checkURL("Resource", c.Resource)
	if err != nil {
		return nil, err
	}
	if _, err := checkURL("Issuer", c.Issuer); err != nil {
		return nil, err
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	api := &API{
		config: c, origin: resource.Scheme + "://" + resource.Host, replays: token.NewReplays(),
		metadata: oauth.WellKnownURL(c.Resource, oauth.SuffixProtectedResource), client: c.HTTPClient,
	}
	if api.client == nil {
		api.client = &http.Client{Timeout: 10 * time.Second}
	}
	issuerKeys := &keys{client: api.client, now: c.Now, issuer: c.Issuer, url: c.JWKSURL}
	if c.JWKSURL != "" {
		if _, err := checkURL("JWKSURL", c.JWKSURL); err != nil {
			return nil, err
		}
	}
	options := token.RemoteOptions{Issuer: c.Issuer, Audience: c.Resource, Keys: issuerKeys.find, Now: c.Now, CacheSize: 10_000}
	if c.LaxTokens {
		options.Claims = &token.ForeignClaims{}
	}
	api.verifier = token.NewRemoteVerifier(options)
	if g := c.Gateway; g != (Gateway{}) {
		if g.Issuer == "" || g.Audience == "" || g.JWKSURL == "" {
			return nil, errors.New("resourceserver: Gateway needs Issuer, JWKSURL and Audience")
		}
		api.gateway = &keys{client: api.client, now: c.Now, url: g.JWKSURL}
	}
	if c.Offkey != "" && c.APIKeys == nil {
		return nil, errors.New("resourceserver: Offkey needs APIKeys: in observe it lets everybody pass, and who is good is for this API to say")
	}
	if c.Offkey != "" {
		if u, err := url.Parse(c.Offkey); err != nil || u.Host == "" {
			return nil, fmt.Errorf("resourceserver: Offkey %q is no URL", c.Offkey)
		}
	}
	return api, nil
}

// checkURL holds an identifier to what RFC 8414 §2 and RFC 8707 §2 ask: https, or
// http on this machine.
func checkURL(name, raw string) (*url.URL, error) {
	u, err := url.Parse(raw)
	switch {
	case raw == "":
		return nil, fmt.Errorf("resourceserver: %s is not set", name)
	case err != nil || u.Host == "" || u.Fragment != "" || u.User != nil:
		return nil, fmt.Errorf("resourceserver: %s %q is not an absolute URL without fragment and user", name, raw)
	case u.Scheme == "https" || u.Scheme == "http" && isLoopback(u.Hostname()):
		return u, nil
	}
	return nil, fmt.Errorf("resourceserver: %s %q is not https", name, raw)
}

func isLoopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return strings.EqualFold(host, "localhost") || err == nil && addr.IsLoopback()
}

// proofAlgorithms are those of DPoP proofs (RFC 9449 §7.1).
var proofAlgorithms = jose.Names(jose.ProofAlgorithms)
