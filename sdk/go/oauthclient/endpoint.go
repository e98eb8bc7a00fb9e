package oauthclient

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"golang.org/x/oauth2"

	"github.com/offkey/offkey/internal/oauth"
)

const (
	// bodyLimit bounds what is read of an issuer's answer.
	bodyLimit = 1 << 20
	// requestTime bounds a request of the default client.
	requestTime = 30 * time.Second
)

// defaultAgent is what requests to issuers are made by, unless a program says.
const defaultAgent = "offkey-oauthclient"

var defaultClient = &http.Client{Timeout: requestTime}

// answer is an HTTP response read to its end, with the times around it.
type answer struct {
	status   int
	header   http.Header
	body     []byte
	sent     time.Time
	received time.Time
}

// send makes one request with the right client and without following
// redirects: a redirect would carry a credential to a place that nobody chose.
func send(ctx context.Context, client *http.Client, now func() time.Time, doing string, req *http.Request) (*answer, error) {
	if client == nil {
		client, _ = ctx.Value(oauth2.HTTPClient).(*http.Client)
	}
	if client == nil {
		client = defaultClient
	}
	straight := *client
	straight.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	req.Header.Set("Accept", "application/json")
	if req.Header.Get("User-Agent") == "" {
		req.Header.Set("User-Agent", defaultAgent)
	}

	sent := now()
	resp, err := straight.Do(req)
	if err != nil {
		return nil, unreachable(doing, req.URL, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, bodyLimit+1))
	if err != nil {
		return nil, unreachable(doing, req.URL, err)
	}
	if len(body) > bodyLimit {
		return nil, &Error{Doing: doing, Code: "bad_response", Status: resp.StatusCode,
			Message: fmt.Sprintf("%s answered with more than %d bytes", origin(req.URL), bodyLimit)}
	}
	return &answer{status: resp.StatusCode, header: resp.Header, body: body, sent: sent, received: now()}, nil
}

// redirected explains an answer that points elsewhere.
func (a *answer) redirected(doing string, from *url.URL) error {
	if a.status < 300 || a.status > 399 {
		return nil
	}
	return &Error{Doing: doing, Code: "bad_response", Status: a.status,
		Message: fmt.Sprintf("%s redirects to %q, and a credential is not sent after a redirect", from, printable(a.header.Get("Location"))),
		Fix:     "use the URL that it redirects to, if you trust it"}
}

// unreachable says in a person's words why there was no answer. The error of
// net/http is unwrapped once because it repeats the URL.
func unreachable(doing string, u *url.URL, err error) error {
	if errors.Is(err, context.Canceled) {
		return fmt.Errorf("oauthclient: %s: %w", doing, context.Canceled)
	}
	cause := err
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		cause = wrapped.Err
	}
	e := &Error{Doing: doing, Code: "unreachable", Err: err, Message: fmt.Sprintf("no answer from %s: %s", origin(u), printable(cause.Error()))}
	var dns *net.DNSError
	var timeout net.Error
	switch {
	case errors.As(err, &dns):
		e.Fix = "check the host name, and that this machine can resolve it"
	case errors.As(err, &timeout) && timeout.Timeout():
		e.Fix = "check that a firewall or proxy lets this machine reach it (HTTPS_PROXY is honoured)"
	case strings.Contains(cause.Error(), "certificate"):
		e.Fix = "check the URL and that this machine trusts the server's certificate authority (SSL_CERT_FILE is honoured)"
	case strings.Contains(cause.Error(), "connection refused"):
		e.Fix = "check the URL and that the server is running"
	}
	return e
}

// requireSecureURL refuses what would carry a credential in the clear: only
// https, or http that stays on this machine (RFC 6749 §3.2).
func requireSecureURL(what, raw string) error {
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" || u.Opaque != "" {
		return &Error{Doing: "use the " + what, Code: "bad_config",
			Message: fmt.Sprintf("%q is not a URL", printable(raw)), Fix: "write it in full, as in https://auth.example.com"}
	}
	switch {
	case u.User != nil:
		return &Error{Doing: "use the " + what, Code: "bad_config", Message: "the URL holds a user name or password", Fix: "leave them out"}
	case u.Fragment != "" || strings.Contains(raw, "#"):
		return &Error{Doing: "use the " + what, Code: "bad_config", Message: fmt.Sprintf("%q has a fragment", printable(raw)), Fix: "leave out '#' and what follows"}
	case u.Scheme == "https", u.Scheme == "http" && oauth.IsLoopback(u.Hostname()):
		return nil
	}
	return &Error{Doing: "use the " + what, Code: "insecure_url",
		Message: fmt.Sprintf("%s is not https, so anybody on the way could read the credential", printable(raw)),
		Fix:     "use https (http is accepted for this machine only: 127.0.0.1, ::1, localhost)"}
}

// origin is scheme, host and port in one comparable form, the default port
// left out.
func origin(u *url.URL) string {
	scheme, host, port := strings.ToLower(u.Scheme), strings.ToLower(u.Hostname()), u.Port()
	if scheme == "https" && port == "443" || scheme == "http" && port == "80" {
		port = ""
	}
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	if port != "" {
		host += ":" + port
	}
	return scheme + "://" + host
}
