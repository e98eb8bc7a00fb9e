package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/offkey/offkey/sdk/go/oauthclient"
	"golang.org/x/oauth2"
)

// callCmd calls an API with a token: curl, and the reason why it was refused.
type callCmd struct {
	identityFlags
	scopeFlags
	Header  []string      `short:"H" name:"header" sep:"none" placeholder:"NAME: VALUE" help:"A header to send; may be repeated."`
	Data    string        `short:"d" name:"data" placeholder:"DATA" help:"The body; @FILE reads it from a file, @- or - from standard input."`
	Timeout time.Duration `default:"60s" help:"How long the call may take."`
	NoCache bool          `name:"no-cache" help:"Ask the issuer for a new token."`
	Method  string        `arg:"" help:"GET, POST, …; it comes before the URL."`
	URL     string        `arg:"" help:"What to call."`
}

func (callCmd) Help() string {
	return `Examples:
  offkey call GET https://api.example.com/v1/orders
  offkey call POST https://api.example.com/v1/orders -d '{"item":7}' -H "Content-Type: application/json"
  offkey call GET https://api.example.com/v1/orders --scope read:orders --json
  offkey call GET https://api.example.com/v1/orders --dpop

The body goes to standard output, status and reasons to standard error. Exit code 1 for an answer of 400 and above.`
}

// jsonBodyLimit bounds the body that --json holds in memory.
const jsonBodyLimit = 64 << 20

// Run makes the call. A token that the API refuses as invalid is renewed once.
func (c *callCmd) Run(ctx context.Context, t *terminal) error {
	id, err := c.identity(t, c.scopeFlags)
	if err != nil {
		return err
	}
	config := id.config
	call, err := c.prepare(t, config)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	token, kept, err := id.token(ctx, c.NoCache)
	if err != nil {
		return err
	}
	resp, err := call.send(ctx, config, token)
	if err == nil && kept && invalidToken(config, resp) {
		_ = resp.Body.Close()
		if token, _, err = id.token(ctx, true); err != nil {
			return err
		}
		resp, err = call.send(ctx, config, token)
	}
	if err != nil {
		return unreachable(call.url, err)
	}
	defer resp.Body.Close()
	return c.show(t, id, token, resp)
}

// prepared is a call that can be made twice.
type prepared struct {
	method string
	url    *url.URL
	header http.Header
	body   []byte
}

// prepare checks everything before a token is asked for.
func (c *callCmd) prepare(t *terminal, config *oauthclient.Config) (*prepared, error) {
	u, err := url.Parse(c.URL)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, wrongUsage(fmt.Sprintf("%q is not the URL of an API", c.URL), "write it in full, as in https://api.example.com/v1/orders")
	}
	if err := mayReceive(config, u); err != nil {
		return nil, err
	}
	call := &prepared{method: c.Method, url: u, header: http.Header{"User-Agent": {"offkey"}}}
	for _, line := range c.Header {
		name, value, ok := strings.Cut(line, ":")
		if name = http.CanonicalHeaderKey(strings.TrimSpace(name)); !ok || name == "" {
			return nil, wrongUsage("a header is not written as 'Name: value'", "quote it whole: -H 'Accept: application/json'")
		}
		if name == "Authorization" {
			return nil, wrongUsage("the Authorization header carries the token", "leave out -H 'Authorization: …'")
		}
		call.header.Add(name, strings.TrimSpace(value))
	}
	if call.body, err = c.body(t); err != nil {
		return nil, err
	}
	return call, nil
}

// mayReceive stops a token from going to a place that it is not for: another
// host than the client's API, or over a connection that others can read.
func mayReceive(config *oauthclient.Config, u *url.URL) error {
	if config.Resource == "" && len(config.Origins) == 0 {
		config.Origins = []string{u.Scheme + "://" + u.Host} // the user names the place
	}
	may, err := config.MaySend(u)
	if err != nil || may {
		return err
	}
	return wrongUsage(fmt.Sprintf("the tokens of client %q are for %s, and %s://%s is another place", config.ClientID, config.Resource, u.Scheme, u.Host),
		"check the URL; name the API with --resource, or another client with --client or --dir")
}

func (c *callCmd) body(t *terminal) ([]byte, error) {
	switch {
	case c.Data == "-" || c.Data == "@-":
		return io.ReadAll(t.In)
	case strings.HasPrefix(c.Data, "@"):
		data, err := os.ReadFile(c.Data[1:])
		if err != nil {
			return nil, wrongUsage("the file "+c.Data[1:]+" cannot be read: "+fileCause(err), "check the path after -d @")
		}
		return data, nil
	}
	return []byte(c.Data), nil
}

// send makes the call, once more where the API wants a nonce in the proof.
func (p *prepared) send(ctx context.Context, config *oauthclient.Config, token cachedToken) (*http.Response, error) {
	resp, err := p.try(ctx, config, token)
	if err == nil && config.WantsNonce(resp) {
		_ = resp.Body.Close()
		resp, err = p.try(ctx, config, token)
	}
	return resp, err
}

// try makes the call without following redirects: the token is for this URL.
func (p *prepared) try(ctx context.Context, config *oauthclient.Config, token cachedToken) (*http.Response, error) {
	var body io.Reader
	if len(p.body) > 0 {
		body = bytes.NewReader(p.body)
	}
	req, err := http.NewRequestWithContext(ctx, p.method, p.url.String(), body)
	if err != nil {
		return nil, wrongUsage(fmt.Sprintf("%q is not an HTTP method", p.method), "write GET, POST, PUT, PATCH, DELETE, HEAD or OPTIONS")
	}
	req.Header = p.header.Clone()
	if host := req.Header.Get("Host"); host != "" {
		req.Host = host
	}
	if err := config.Authorize(req, &oauth2.Token{AccessToken: token.AccessToken, TokenType: token.TokenType}); err != nil {
		return nil, err
	}
	client := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	if config.TLS != nil {
		transport := http.DefaultTransport.(*http.Transport).Clone()
		transport.TLSClientConfig = config.TLS.Clone()
		client.Transport = transport
	}
	return client.Do(req)
}

func invalidToken(config *oauthclient.Config, resp *http.Response) bool {
	why, ok := config.Explain(resp)
	return ok && resp.StatusCode == http.StatusUnauthorized && why.Code == "invalid_token"
}

// show prints the answer, and for a refusal what it means.
func (c *callCmd) show(t *terminal, id *identity, token cachedToken, resp *http.Response) error {
	if t.JSON {
		if err := documentOf(t, resp); err != nil {
			return err
		}
	} else {
		t.say("%s %s", resp.Proto, resp.Status)
		if _, err := io.Copy(t.Out, resp.Body); err != nil {
			return failed("unreachable", "the answer broke off: "+err.Error(), "try again", err)
		}
	}
	if resp.StatusCode < http.StatusBadRequest {
		return nil
	}
	if why, ok := id.config.Explain(resp); ok {
		if id.login != nil && len(why.Scopes) > 0 {
			why.Message, why.Fix = lacking(strings.Fields(token.Scope), why.Scopes)
		}
		return failed(why.Code, fmt.Sprintf("the API answered %d: %s", resp.StatusCode, why.Message), why.Fix, nil)
	}
	return failed("http_error", "the API answered "+resp.Status, ownRefusal(resp), nil)
}

// lacking says which scopes the sign-in of a person does not have, and how they
// get them.
func lacking(has, needs []string) (message, fix string) {
	lacks := slices.DeleteFunc(slices.Clone(needs), func(scope string) bool { return slices.Contains(has, scope) })
	if len(lacks) == 0 {
		lacks = needs // its API counts otherwise than we do
	}
	want := strings.Join(append(slices.Clone(has), lacks...), " ")
	return fmt.Sprintf("the call needs the scope %q, which your sign-in does not have: it has %q", strings.Join(lacks, " "), strings.Join(has, " ")),
		fmt.Sprintf("sign in again with it (`offkey login … --scope %q`); if it is not granted then, the API's operator gives it to the client and to a group of yours", want)
}

// ownRefusal is what may be done about a 401 that asks for no token: it comes
// from an API that has no idea of tokens, behind a gateway that took this one.
func ownRefusal(resp *http.Response) string {
	if resp.StatusCode != http.StatusUnauthorized || len(resp.Header.Values("WWW-Authenticate")) > 0 {
		return ""
	}
	return "the answer does not ask for a token: if this API understands apikeys only, its operator says with token_call what it receives instead"
}

// documentOf writes status, headers and body as one document. A body that is
// JSON stays JSON, other text is a string, anything else base64.
func documentOf(t *terminal, resp *http.Response) error {
	raw, err := io.ReadAll(io.LimitReader(resp.Body, jsonBodyLimit+1))
	if err != nil {
		return failed("unreachable", "the answer broke off: "+err.Error(), "try again", err)
	}
	if len(raw) > jsonBodyLimit {
		return failed("too_long", fmt.Sprintf("the answer is longer than %d MiB", jsonBodyLimit>>20), "leave out --json to have it streamed", nil)
	}
	document := struct {
		Status     int             `json:"status"`
		Headers    http.Header     `json:"headers"`
		Body       json.RawMessage `json:"body"`
		BodyBase64 string          `json:"body_base64,omitempty"`
	}{Status: resp.StatusCode, Headers: resp.Header, Body: json.RawMessage("null")}
	switch {
	case json.Valid(raw):
		document.Body = raw
	case utf8.Valid(raw):
		text, err := json.Marshal(string(raw))
		if err != nil {
			return fmt.Errorf("write the answer as JSON: %w", err)
		}
		document.Body = text
	default:
		document.BodyBase64 = base64.StdEncoding.EncodeToString(raw)
	}
	return t.document(document)
}

// unreachable says why there was no answer, once and without the method.
func unreachable(u *url.URL, err error) error {
	var own *failure
	if errors.As(err, &own) || errors.Is(err, context.Canceled) {
		return err
	}
	cause := err
	if wrapped, ok := err.(*url.Error); ok {
		cause = wrapped.Err
	}
	return failed("unreachable", fmt.Sprintf("no answer from %s: %v", u.Host, cause), "check the URL and that the API is running", err)
}
