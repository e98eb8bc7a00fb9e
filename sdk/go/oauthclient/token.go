package oauthclient

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"golang.org/x/oauth2"

	"github.com/offkey/offkey/internal/oauth"
)

// clockTolerance is how far two clocks may differ before it is worth saying.
const clockTolerance = 30 * time.Second

// requestToken makes one client_credentials request (RFC 6749 §4.4.2).
func (c *Config) requestToken(ctx context.Context, endpoint string) (*oauth2.Token, error) {
	form := url.Values{"grant_type": {oauth.GrantClientCredentials}}
	c.ask(form)
	return c.post(ctx, endpoint, form, "get a token from "+printable(endpoint))
}

// ask adds to a form which tokens are wanted.
func (c *Config) ask(form url.Values) {
	if len(c.Scopes) > 0 {
		form.Set("scope", strings.Join(c.Scopes, " "))
	}
	if c.Resource != "" {
		form.Set("resource", c.Resource)
	}
}

// post makes one request for a token.
func (c *Config) post(ctx context.Context, endpoint string, form url.Values, doing string) (*oauth2.Token, error) {
	a, err := c.submit(ctx, endpoint, form, doing)
	if err != nil {
		return nil, err
	}
	return c.readToken(doing, a, strings.Fields(form.Get("scope")))
}

// submit sends a form with the client's proof of itself. An answer that is not
// 200 is an error. An issuer that wants a nonce in the DPoP proof says so once:
// everything that is good once is then made anew (RFC 9449 §8).
func (c *Config) submit(ctx context.Context, endpoint string, form url.Values, doing string) (*answer, error) {
	a, again, err := c.trySubmit(ctx, endpoint, form, doing)
	if again {
		a, _, err = c.trySubmit(ctx, endpoint, form, doing)
	}
	return a, err
}

func (c *Config) trySubmit(ctx context.Context, endpoint string, form url.Values, doing string) (a *answer, wantsNonce bool, err error) {
	form = maps.Clone(form)
	header := http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}
	if c.UserAgent != "" {
		header.Set("User-Agent", c.UserAgent)
	}
	if err := c.prove(ctx, form, header); err != nil {
		return nil, false, err
	}
	if err := c.proveKey(http.MethodPost, endpoint, header); err != nil {
		return nil, false, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, endpoint, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, false, &Error{Doing: doing, Code: "bad_config", Message: "the endpoint is not a URL"}
	}
	req.Header = header
	// A proof is good once: net/http must not send it again by itself.
	req.GetBody = nil

	if a, err = send(ctx, c.client(), c.now, doing, req); err != nil {
		return nil, false, err
	}
	if err := a.redirected(doing, req.URL); err != nil {
		return nil, false, err
	}
	noted := c.noteNonce(req.URL, true, a.header)
	if a.status != http.StatusOK {
		e := c.refusal(doing, a)
		var refused *Error
		return nil, noted && errors.As(e, &refused) && refused.Code == oauth.CodeUseDPoPNonce, e
	}
	return a, false, nil
}

// prove adds the client's one proof of itself to a request.
func (c *Config) prove(ctx context.Context, form url.Values, header http.Header) error {
	switch c.authMethod() {
	case ClientSecretBasic:
		header.Set("Authorization", oauth.FormatBasic(c.ClientID, string(c.Secret)))
	case ClientSecretPost:
		form.Set("client_id", c.ClientID)
		form.Set("client_secret", string(c.Secret))
	case TLSClientAuth, SelfSignedTLSClientAuth, None:
		form.Set("client_id", c.ClientID) // RFC 8705 §2; RFC 6749 §3.2.1
	default:
		assertion, err := c.Assertion(ctx)
		if err != nil {
			return err
		}
		form.Set("client_id", c.ClientID)
		form.Set("client_assertion_type", oauth.AssertionTypeJWTBearer)
		form.Set("client_assertion", assertion)
	}
	return nil
}

// readToken reads a successful answer (RFC 6749 §5.1).
func (c *Config) readToken(doing string, a *answer, asked []string) (*oauth2.Token, error) {
	kind := oauth.TokenTypeBearer
	if c.usesDPoP() {
		kind = oauth.TokenTypeDPoP
	}
	bad := func(message string) error {
		return &Error{Doing: doing, Code: "bad_response", Status: a.status, Message: message, Fix: "check that this is the issuer's token endpoint"}
	}
	var body struct {
		AccessToken  string      `json:"access_token"`
		TokenType    string      `json:"token_type"`
		ExpiresIn    json.Number `json:"expires_in"` // some servers send a string
		Scope        *string     `json:"scope"`
		RefreshToken string      `json:"refresh_token"`
		IDToken      string      `json:"id_token"`
	}
	if err := json.Unmarshal(a.body, &body); err != nil {
		return nil, bad("the answer is not the JSON of a token response")
	}
	switch {
	case body.AccessToken == "":
		return nil, bad("the answer holds no access_token")
	case strings.ContainsFunc(body.AccessToken, func(r rune) bool { return r <= 0x20 || r > 0x7e }):
		return nil, bad("the access_token holds characters that no token may have")
	case !strings.EqualFold(body.TokenType, kind):
		e := &Error{Doing: doing, Code: "not_supported", Status: a.status,
			Message: fmt.Sprintf("the token's type is %q, and %s was asked for", printable(body.TokenType), kind)}
		switch {
		case c.usesDPoP():
			e.Fix = "the issuer does not bind tokens to a key: ask its operator, or set no DPoP key"
		case strings.EqualFold(body.TokenType, oauth.TokenTypeDPoP):
			e.Fix = "set a DPoP key: the issuer binds the tokens of this client to one"
		}
		return nil, e
	}
	// What was granted is left out when it is what was asked (RFC 6749 §5.1).
	scope := strings.Join(asked, " ")
	if body.Scope != nil {
		scope = printable(*body.Scope)
	}
	token := &oauth2.Token{AccessToken: body.AccessToken, TokenType: kind, RefreshToken: body.RefreshToken}
	if seconds, err := strconv.ParseFloat(body.ExpiresIn.String(), 64); err == nil && seconds >= 1 {
		token.ExpiresIn = int64(min(seconds, 10*365*24*3600))
		token.Expiry = a.sent.Add(time.Duration(token.ExpiresIn) * time.Second)
	}
	extra := map[string]any{"scope": scope}
	if body.IDToken != "" {
		extra["id_token"] = body.IDToken
	}
	return token.WithExtra(extra), nil
}

// refusal makes an error with cause and fix out of an answer that is not a
// token.
func (c *Config) refusal(doing string, a *answer) error {
	e := readRefusal(doing, a)
	e.RetryAfter = retryAfter(a.header, a.received)
	if e.Fix == "" {
		e.Fix = c.fixFor(e, a.status)
	}
	off, known := clockOff(a)
	if known && c.authMethod() == PrivateKeyJWT && a.status < 500 && off.Abs() > clockTolerance {
		e.Message = fmt.Sprintf("this machine's clock is %s the issuer's, so a proof made here is not valid there (here it is %s, there %s). The issuer said %s: %s",
			inWords(off), a.received.UTC().Format(time.RFC3339), a.received.Add(-off).UTC().Format(time.RFC3339), e.Code, e.Message)
		e.Code = "clock_off"
		e.Fix = "set this machine's clock (for instance `timedatectl set-ntp true`), then try again"
	}
	return e
}

// clockOff compares this machine's clock with the answer's Date. Positive means
// that this machine is ahead. The time that the request took is allowed for.
func clockOff(a *answer) (off time.Duration, known bool) {
	date, err := http.ParseTime(a.header.Get("Date"))
	if err != nil {
		return 0, false
	}
	switch {
	case a.sent.After(date):
		// Date was cut to a whole second somewhere between sent and received.
		return max(0, a.sent.Sub(date)-time.Second), true
	case a.received.Before(date):
		return a.received.Sub(date), true
	}
	return 0, true
}

func inWords(off time.Duration) string {
	if off < 0 {
		return off.Abs().Round(time.Second).String() + " behind"
	}
	return off.Round(time.Second).String() + " ahead of"
}

// readRefusal reads an error in the form of OAuth (RFC 6749 §5.2) or of
// problem details (RFC 9457 §3.1), or makes do with the status.
func readRefusal(doing string, a *answer) *Error {
	var body struct {
		Error       string `json:"error"`
		Description string `json:"error_description"`
		Code        string `json:"code"`
		Title       string `json:"title"`
		Detail      string `json:"detail"`
		Fix         string `json:"fix"`
	}
	e := &Error{Doing: doing, Status: a.status}
	if json.Unmarshal(a.body, &body) == nil {
		e.Code, e.Fix = printable(cmp.Or(body.Error, body.Code)), printable(body.Fix)
		e.Message = printable(cmp.Or(body.Description, body.Detail, body.Title))
	}
	if e.Code == "" {
		e.Code = "bad_response"
		if a.status >= 500 || a.status == http.StatusTooManyRequests {
			e.Code = "unreachable"
		}
	}
	if e.Message == "" {
		e.Message = fmt.Sprintf("it answered %d %s", a.status, http.StatusText(a.status))
	}
	return e
}

// fixFor says what usually helps.
func (c *Config) fixFor(e *Error, status int) string {
	switch e.Code {
	case "invalid_client":
		if c.authMethod() == PrivateKeyJWT {
			kid, _ := c.PublicKeyID()
			return fmt.Sprintf("check that the issuer has a client %q with the public key of kid %q, and takes %q as the audience of its assertions", c.ClientID, kid, c.audience())
		}
		if c.authMethod() == None {
			return fmt.Sprintf("check that the issuer has a public client %q", c.ClientID)
		}
		if c.byCertificate() {
			return fmt.Sprintf("check that the issuer has a client %q with this certificate, and that the request went to its mtls_endpoint_aliases", c.ClientID)
		}
		return fmt.Sprintf("check that the issuer has a client %q, with this secret and the method %s", c.ClientID, c.authMethod())
	case "invalid_scope":
		return fmt.Sprintf("ask for scopes that the client is registered for (asked: %q)", strings.Join(c.Scopes, " "))
	case "invalid_target":
		return fmt.Sprintf("ask for a resource that the issuer knows (asked: %q)", c.Resource)
	case "unauthorized_client":
		return fmt.Sprintf("have client_credentials allowed for client %q at the issuer", c.ClientID)
	case "unsupported_grant_type":
		return "use an issuer that offers client_credentials"
	}
	switch {
	case status == http.StatusNotFound || status == http.StatusMethodNotAllowed:
		return "check the token endpoint's URL; leave it out to have it discovered from the issuer"
	case e.RetryAfter > 0:
		return fmt.Sprintf("try again in %s", e.RetryAfter)
	case status >= 500 || status == http.StatusTooManyRequests:
		return "try again later"
	}
	return ""
}
