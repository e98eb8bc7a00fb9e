package oauthclient

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"

	"golang.org/x/oauth2"
)

// Transport puts a token on every request to the API, and on no other: a
// request to an origin that is neither Resource nor among Origins, such as the
// target of a redirect, passes as it is. base makes the calls; nil means
// [http.DefaultTransport].
//
// When the API refuses a token as invalid (RFC 6750 §3.1), because it was
// revoked or the signing keys changed, the call is made once more with a new
// one, if its body can be sent again ([http.Request.GetBody]).
func (c *Config) Transport(base http.RoundTripper) http.RoundTripper {
	if base == nil {
		base = http.DefaultTransport
		if c.TLS != nil {
			base = c.secureTransport()
		}
	}
	return &transport{config: c, base: base, source: newSource(c)}
}

// Client is an http.Client that uses [Config.Transport].
func (c *Config) Client() *http.Client { return &http.Client{Transport: c.Transport(nil)} }

type transport struct {
	config *Config
	base   http.RoundTripper
	source *source
}

// RoundTrip implements [http.RoundTripper].
func (t *transport) RoundTrip(req *http.Request) (*http.Response, error) {
	mine, err := t.config.MaySend(req.URL)
	if err != nil {
		closeBody(req)
		return nil, err
	}
	if !mine {
		return t.base.RoundTrip(req)
	}
	token, err := t.source.token(req.Context())
	if err != nil {
		closeBody(req)
		return nil, err
	}
	resp, err := t.send(req, token)
	if err == nil && t.config.WantsNonce(resp) {
		again, ok := replay(req)
		if !ok {
			return resp, nil
		}
		discardBody(resp)
		req = again
		if resp, err = t.send(req, token); err == nil {
			t.config.WantsNonce(resp) // another one may follow at once
		}
	}
	if err != nil || !refusesToken(resp) {
		return resp, err
	}
	// Renew for those who come next, even where this call cannot be repeated.
	t.source.discard(token.AccessToken)
	again, ok := replay(req)
	if !ok {
		return resp, nil
	}
	fresh, err := t.source.token(req.Context())
	if err != nil || fresh.AccessToken == token.AccessToken {
		closeBody(again)
		return resp, nil // the refusal says more than the failed renewal
	}
	discardBody(resp)
	return t.send(again, fresh)
}

// send makes the call with the token as its one authorization, on a copy: a
// RoundTripper may not change the request that it was given.
func (t *transport) send(req *http.Request, token *oauth2.Token) (*http.Response, error) {
	out := req.Clone(req.Context())
	if err := t.config.Authorize(out, token); err != nil {
		closeBody(req)
		return nil, err
	}
	resp, err := t.base.RoundTrip(out)
	if err == nil && resp.Request == nil {
		resp.Request = out
	}
	return resp, err
}

// MaySend reports whether a token may go to u: the origin of Resource or one of
// Origins. It is an error if none is set, or if the token would travel in the
// clear.
func (c *Config) MaySend(u *url.URL) (bool, error) {
	allowed := slices.Clone(c.Origins)
	if c.Resource != "" {
		allowed = append(allowed, c.Resource)
	}
	if len(allowed) == 0 {
		return false, &Error{Doing: "call " + origin(u), Code: "bad_config",
			Message: "it is not known which API the tokens are for", Fix: "set Resource, or Origins, to the API's URL"}
	}
	for _, place := range allowed {
		p, err := url.Parse(place)
		if err != nil || p.Host == "" {
			return false, &Error{Doing: "call " + origin(u), Code: "bad_config", Message: fmt.Sprintf("%q in Resource or Origins is not a URL", printable(place)), Fix: "write it as https://api.example.com"}
		}
		if origin(p) == origin(u) {
			return true, requireSecureURL("API", origin(u))
		}
	}
	return false, nil
}

// refusesToken reports whether the API says that the token itself is no good
// (RFC 6750 §3.1). A missing scope is another matter: a new token would not
// have it either.
func refusesToken(resp *http.Response) bool {
	if resp.StatusCode != http.StatusUnauthorized {
		return false
	}
	params, ok := tokenChallenge(resp.Header.Values("WWW-Authenticate"))
	return ok && params["error"] == "invalid_token"
}

// replay is req as it was before its body was read, if that can be had.
func replay(req *http.Request) (*http.Request, bool) {
	if req.Body == nil || req.Body == http.NoBody {
		return req, true
	}
	if req.GetBody == nil {
		return nil, false
	}
	body, err := req.GetBody()
	if err != nil {
		return nil, false
	}
	out := req.Clone(req.Context())
	out.Body = body
	return out, true
}

func closeBody(req *http.Request) {
	if req.Body != nil {
		_ = req.Body.Close()
	}
}

// discardBody reads what little remains, so that the connection can be reused.
func discardBody(resp *http.Response) {
	_, _ = io.CopyN(io.Discard, resp.Body, 64<<10)
	_ = resp.Body.Close()
}
