package resourceserver

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"

	"github.com/offkey/offkey/internal/jose"
	"github.com/offkey/offkey/internal/oauth"
	"github.com/offkey/offkey/internal/token"
)

// headerAssertion is where a gateway says who calls, signed.
const headerAssertion = "X-Offkey-Assertion"

// fromGateway believes what the gateway has signed for this request and no other.
func (a *API) fromGateway(r *http.Request) (*Caller, error) {
	lines := r.Header[headerAssertion]
	if len(lines) != 1 {
		return nil, oauth.InvalidRequest("the request has more than one assertion of a gateway")
	}
	parsed, err := jose.Parse(lines[0], jose.ES256)
	if err != nil {
		return nil, errAssertion.WithCause(err)
	}
	found, err := a.gateway.find(r.Context(), parsed.Header().KeyID, jose.ES256)
	if err != nil {
		return nil, err
	}
	g := a.config.Gateway
	said, err := token.CheckCall(lines[0], token.Call{Issuer: g.Issuer, Audience: g.Audience, Method: r.Method, Target: r.RequestURI},
		func(string) []jose.PublicKey { return found }, a.config.Now())
	if err != nil {
		return nil, errAssertion.WithCause(err)
	}
	return &Caller{ClientID: said.ClientID, Subject: said.Subject, Scopes: said.Scope, Credential: said.Credential}, nil
}

var errAssertion = oauth.InvalidToken("what the gateway says of this request does not hold")

// fromOffkey asks an offkey about a request with an API key that is good, as a proxy
// would: it judges by stages and routes, counts the call, and says what the caller is
// to be told. A refusal is passed on as it is; then there is no Caller.
func (a *API) fromOffkey(w http.ResponseWriter, r *http.Request) (*Caller, error) {
	ctx, cancel := context.WithTimeout(r.Context(), fetchTime)
	defer cancel()
	ask, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(a.config.Offkey, "/")+"/_offkey/auth/traefik", nil)
	if err != nil {
		return nil, err
	}
	for name, lines := range r.Header {
		switch name {
		case "Connection", "Content-Length", "Transfer-Encoding", "Te", "Trailer", "Upgrade", "Expect", "Accept-Encoding":
		default:
			ask.Header[name] = lines
		}
	}
	if r.Header.Get("User-Agent") == "" {
		ask.Header["User-Agent"] = []string{""}
	}
	scheme := "http"
	if r.TLS != nil {
		scheme = "https"
	}
	for name, value := range map[string]string{
		"X-Forwarded-Method": r.Method, "X-Forwarded-Uri": r.RequestURI, "X-Forwarded-Host": r.Host, "X-Forwarded-Proto": scheme,
	} {
		ask.Header[name] = []string{value}
	}
	if host, _, err := net.SplitHostPort(r.RemoteAddr); err == nil {
		before := strings.Join(r.Header["X-Forwarded-For"], ", ")
		if before != "" {
			before += ", "
		}
		ask.Header["X-Forwarded-For"] = []string{before + host}
	}
	resp, err := a.client.Do(ask)
	if err != nil {
		return nil, errors.Join(errors.New("offkey does not answer"), err)
	}
	defer resp.Body.Close()
	said, err := io.ReadAll(io.LimitReader(resp.Body, maxBytes))
	if err != nil {
		return nil, err
	}
	h := w.Header()
	if resp.StatusCode == http.StatusOK {
		for _, name := range [...]string{"Deprecation", "Sunset", "Link", "Cache-Control"} {
			if v := resp.Header[name]; len(v) > 0 {
				h[name] = v
			}
		}
		c := &Caller{ClientID: resp.Header.Get("X-Offkey-Client"), Subject: resp.Header.Get("X-Offkey-Subject"), Credential: ofAPIKey}
		if said := resp.Header.Get("X-Offkey-Credential"); strings.HasPrefix(said, ofAPIKey+":") {
			c.Credential = said
		}
		return c, nil
	}
	if code := resp.StatusCode; code != http.StatusUnauthorized && code != http.StatusForbidden && code != http.StatusBadRequest && code != http.StatusTooManyRequests {
		return nil, errors.New("offkey answered " + resp.Status)
	}
	for _, name := range [...]string{"Www-Authenticate", "Content-Type", "Cache-Control", "Retry-After", "Dpop-Nonce"} {
		if v := resp.Header[name]; len(v) > 0 {
			h[name] = v
		}
	}
	w.WriteHeader(resp.StatusCode)
	_, _ = w.Write(said)
	return nil, nil
}
