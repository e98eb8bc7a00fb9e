package gateway

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/offkey/offkey/internal/apikey"
	"github.com/offkey/offkey/internal/client/snippet"
	"github.com/offkey/offkey/internal/oauth"
	"github.com/offkey/offkey/internal/policy"
	"github.com/offkey/offkey/internal/secret"
)

// Codes of refusals that are the gateway's own; those of the rules are package
// policy's. All are stable, and each has a page in docs/errors.
const (
	codePreflight             = "preflight" // allowed
	codeNotFound              = "not_found"
	codeHostUnknown           = "host_unknown"
	codeMethodRefused         = "method_refused"
	codeTargetRefused         = "target_refused"
	codeRateLimited           = "rate_limited"
	codeUpstreamUnavailable   = "upstream_unavailable"
	codeUpstreamTimeout       = "upstream_timeout"
	codeCredentialUnavailable = "credential_unavailable"
)

const defaultDocsURL = "https://github.com/offkey/offkey/blob/main/docs/errors/"

// problem is the body of a refusal (RFC 9457 §3).
type problem struct {
	Type    string     `json:"type"` // the documentation page of the code
	Title   string     `json:"title"`
	Status  int        `json:"status"`
	Detail  string     `json:"detail"`
	Code    string     `json:"code"`
	Last4   string     `json:"last4,omitempty"` // of the apikey
	Since   *time.Time `json:"since,omitempty"`
	Until   *time.Time `json:"until,omitempty"`
	Scope   string     `json:"scope,omitempty"`   // that is needed
	Command string     `json:"command,omitempty"` // that fixes it
	Page    string     `json:"page,omitempty"`    // about the move, for people
}

// refusal is what is always said with a code.
type refusal struct {
	status        int // 0: the Decision's
	title, detail string
}

var refusals = map[string]refusal{
	policy.CodeAPIKeyBrownout:    {0, "API keys are refused for a while", "This is an announced test of the end of API keys: the API key works again after it, and stops for good later."},
	policy.CodeAPIKeyUpgradeOnly: {0, "This API key only opens the upgrade", "The API key is no longer accepted by the API. It can still be traded for an OAuth client."},
	policy.CodeAPIKeyRetired:     {0, "This API key is retired", "The API key is no longer accepted. Ask whoever runs the API for an OAuth client."},
	policy.CodeAPIKeyBlocked:     {0, "This API key is blocked", "The API key was blocked, because it may be in the wrong hands. Ask whoever runs the API for an OAuth client."},
	policy.CodeAPIKeyNew:         {0, "New API keys are not accepted any more", "The API key came up after new ones were announced to be refused. It can be traded for an OAuth client."},
	policy.CodeAPIKeyUnknown:     {0, "This API key is not known", "The API key is none that is accepted here. Check that it is complete, or get an access token."},
	policy.CodeCredentialMissing: {0, "A credential is needed", "The call has no access token."},
	policy.CodeCredentialConflict: {0, "Two credentials that contradict each other",
		"Beside the access token there is an API key that does not belong to the same client. Send the access token alone."},
	policy.CodeCredentialDuplicate: {0, "A credential was sent twice", "The call has more than one credential, so it cannot be told which is meant. Send one."},
	policy.CodeInvalidToken:        {0, "The access token does not hold", ""},
	policy.CodeInvalidProof:        {0, "The DPoP proof does not hold", ""},
	policy.CodeUseNonce:            {0, "The DPoP proof needs a nonce", ""},
	policy.CodeDPoPRequired:        {0, "A token bound to a key is needed", "This route takes tokens that are bound to a DPoP key alone. Ask the authorization server for one with a DPoP proof, and send it under the scheme DPoP."},
	policy.CodeStepUp:              {0, "The person has to sign in again", "The access token is good. This route wants its person to have signed in more strongly, or more recently."},
	policy.CodeForeignToken:        {0, "The token is of another issuer", "The bearer token was not made by the authorization server of this API. Get one there."},
	policy.CodeInsufficientScope:   {0, "The access token lacks a scope", "The access token is good, and does not cover what this call needs."},
	policy.CodeUnknownRoute:        {0, "There is no such route", "No rule lets anybody call this method and path."},
	policy.CodeAmbiguousRequest:    {0, "The request can be read in two ways", ""},

	codeNotFound:      {http.StatusNotFound, "Nothing is here", "Paths under /_offkey/ are reserved and never reach the API."},
	codeHostUnknown:   {http.StatusMisdirectedRequest, "This host is not served here", "No API is configured for the Host of the request."},
	codeMethodRefused: {http.StatusMethodNotAllowed, "The method is refused", "TRACE and CONNECT are never passed on, and the gateway's own pages are only read."},
	codeTargetRefused: {http.StatusBadRequest, "The request target is refused", "The request line names no path of this API: send the path alone, and the host as Host."},
	codeAmbiguousFraming: {http.StatusBadRequest, "The request can be read in two ways",
		"The body of the request breaks off, or its chunks are wrong: send the length that Content-Length says, or chunks as RFC 9112 §7.1 has them."},
	codeRateLimited: {http.StatusTooManyRequests, "Too many calls", "The client has used up its calls for now. Wait as long as Retry-After says."},
	codeProxyUntrusted: {http.StatusForbidden, "This proxy is not trusted",
		"Only proxies that offkey was told to trust may ask about the calls of others: their networks are listed in trusted_proxies, which is empty by default."},
	codeOriginalMissing: {http.StatusBadRequest, "The call that this is about is not named",
		"The proxy has to say the method, the target and the host of the call that it asks about, each exactly once."},
	codeUpstreamTimeout: {http.StatusGatewayTimeout, "The API took too long", "The API did not begin to answer in time. The call may have been carried out."},
	codeUpstreamUnavailable: {http.StatusBadGateway, "The API cannot be reached",
		"The API did not answer. This is no verdict on the credential: try again later."},
	codeCredentialUnavailable: {http.StatusServiceUnavailable, "The credential for the API cannot be read",
		"The call is allowed, and what the API needs to see with it cannot be read now. Try again later."},
}

// refuse answers a call that is not passed on.
func (c *call) refuse(code string) {
	r := refusals[code]
	status := r.status
	if status == 0 {
		status = c.decision.Status
	}
	p := problem{
		Type: c.g.DocsURL + code + ".md", Title: r.title, Status: status, Detail: r.detail, Code: code,
		Page: c.g.Notice.Page,
	}
	switch code {
	case policy.CodeInvalidToken, policy.CodeInvalidProof, policy.CodeUseNonce:
		p.Detail = capital(c.badToken.Description) + "."
	case policy.CodeAmbiguousRequest:
		p.Detail = "It is refused as " + string(c.problem) + ": " + why(c.problem) + "."
	case policy.CodeInsufficientScope:
		p.Scope = c.decision.Route.Scopes.String()
	}
	c.describeAPIKey(&p)
	p.Command = c.command(code)
	h := c.w.Header()
	if challenge := c.challenge(status, code); challenge != "" {
		h["Www-Authenticate"] = []string{challenge}
	}
	c.renewNonce(h)
	c.letPageRead(h)
	c.write(p)
	c.decision.Code = code
	c.observe(status, outcomes[code].denied)
}

// refuseLimited answers a client that calls too often (RFC 6585 §4). It is the
// only refusal that asks to be tried again soon.
func (c *call) refuseLimited(wait time.Duration) {
	c.w.Header()["Retry-After"] = []string{strconv.FormatInt(secondsUp(wait), 10)}
	c.refuse(codeRateLimited)
}

// secondsUp is a wait as Retry-After has it (RFC 9110 §10.2.3): whole seconds, one
// at least.
func secondsUp(wait time.Duration) int64 {
	return max(int64((wait+time.Second-1)/time.Second), 1)
}

// write sends the problem. A HEAD gets the same without the body (net/http sees
// to that).
func (c *call) write(p problem) {
	h := c.w.Header()
	c.asker.suits(h, &p)
	body := p.document()
	h["Content-Type"] = []string{"application/problem+json"}
	h["Cache-Control"] = []string{"no-store"}
	h["X-Content-Type-Options"] = []string{"nosniff"}
	h["Content-Length"] = []string{strconv.Itoa(len(body))}
	c.w.WriteHeader(p.Status)
	_, _ = c.w.Write(body)
}

// document is the problem in JSON, on one line.
func (p *problem) document() []byte {
	var body bytes.Buffer
	encoder := json.NewEncoder(&body)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(p) // of strings and times alone: it cannot fail
	return body.Bytes()
}

// challenge is the WWW-Authenticate of a refusal. Every 401 has one; it says
// what is wrong only to a caller who sent a token (RFC 6750 §3.1), where to
// get one always (RFC 9728 §5.1), and what for where a token is all that is wanted.
func (c *call) challenge(status int, code string) string {
	ch := oauth.Challenge{Scheme: c.challengeScheme(code), ResourceMetadata: c.g.metadata.url}
	if ch.Scheme == oauth.TokenTypeDPoP {
		ch.Extra = []oauth.Attribute{{Name: "algs", Value: strings.Join(proofAlgorithms, " ")}}
	}
	if wantsToken(code) && c.decision.Route != nil {
		ch.Scope = c.decision.Route.Scopes
	}
	switch {
	case isBadToken(code):
		ch.Error, ch.Description = c.badToken.Code, c.badToken.Description
	case code == policy.CodeDPoPRequired:
		ch.Error, ch.Description = oauth.CodeInvalidToken, "this route takes tokens that are bound to a DPoP key alone"
	case code == policy.CodeStepUp:
		c.challengeStepUp(&ch)
	case code == policy.CodeInsufficientScope:
		ch.Error = oauth.CodeInsufficientScope
	case code == policy.CodeCredentialDuplicate:
		ch.Error = oauth.CodeInvalidRequest
	case code == policy.CodeForeignToken, code == policy.CodeCredentialConflict:
		ch.Error = oauth.CodeInvalidToken
	case status != http.StatusUnauthorized:
		return ""
	}
	return ch.String()
}

// letPageRead lets a page of a declared origin read why it is refused and what it
// needs (Fetch Standard, CORS check). Answers of the API say so themselves.
func (c *call) letPageRead(h http.Header) {
	if origin := c.r.Header["Origin"]; len(origin) == 1 && c.g.origins[origin[0]] {
		h["Access-Control-Allow-Origin"] = origin
		h["Access-Control-Expose-Headers"] = []string{"WWW-Authenticate, Retry-After, DPoP-Nonce"}
		h["Vary"] = append(h["Vary"], "Origin")
	}
}

// wantsToken reports whether a refusal is met by another token: its challenge
// names all scopes that the call needs (RFC 6750 §3), so that a client that knows
// nothing of the API can ask for them and for no more.
func wantsToken(code string) bool {
	switch code {
	case policy.CodeCredentialMissing, policy.CodeInvalidToken, policy.CodeForeignToken, policy.CodeDPoPRequired, policy.CodeStepUp, policy.CodeInsufficientScope:
		return true
	}
	return false
}

// challengeStepUp asks for another sign-in by the names that the authorization
// server knows it by (RFC 9470 §3).
func (c *call) challengeStepUp(ch *oauth.Challenge) {
	demands := c.decision.Route.Demands
	ch.Error, ch.Description = policy.CodeStepUp, "the person has to sign in more strongly, or more recently"
	if len(demands.ACR) > 0 {
		ch.Extra = append(ch.Extra, oauth.Attribute{Name: "acr_values", Value: strings.Join(demands.ACR, " ")})
	}
	if demands.MaxAge > 0 {
		ch.Extra = append(ch.Extra, oauth.Attribute{Name: "max_age", Value: strconv.FormatInt(demands.MaxAge, 10)})
	}
}

// describeAPIKey says which apikey it is about and how long its state holds.
func (c *call) describeAPIKey(p *problem) {
	if !strings.HasPrefix(p.Code, "apikey_") {
		return
	}
	standing := c.rules.StandingOf(c.apikey, c.at)
	since, until := standing.Since, standing.Sunset
	if until.IsZero() {
		until = c.g.Notice.Sunset
	}
	if k := c.apikey; k != nil {
		p.Last4 = k.Last4
	} else if found := c.presented.Found(); len(found) > 0 {
		p.Last4 = secret.Last4(found[0].Value.Reveal())
	}
	switch w, ok := c.rules.WindowOf(c.apikey, c.at); {
	case c.decision.Code == policy.CodeAPIKeyNew:
		since = c.rules.Freeze
	case ok && c.decision.Stage == apikey.Brownout:
		since, until = w.From, w.To
		c.w.Header()["Retry-After"] = []string{strconv.FormatInt(secondsUp(w.To.Sub(c.at)), 10)}
	}
	if !since.IsZero() {
		p.Since = &since
	}
	if !until.IsZero() && until.After(c.at) {
		p.Until = &until
	}
}

// command is what the caller can type to get out of it.
func (c *call) command(code string) string {
	api := snippet.ShellQuote(c.g.Resource)
	switch code {
	case policy.CodeAPIKeyBrownout, policy.CodeAPIKeyUpgradeOnly, policy.CodeAPIKeyNew, policy.CodeCredentialMissing, policy.CodeForeignToken:
		return "offkey upgrade --api " + api
	case policy.CodeInvalidToken:
		if c.challengeScheme(code) == oauth.TokenTypeDPoP && c.presented.TokenScheme != oauth.TokenTypeDPoP {
			return "offkey token --dpop"
		}
		return "offkey token --no-cache"
	case policy.CodeDPoPRequired:
		return "offkey token --dpop"
	case policy.CodeInsufficientScope:
		return "offkey token --scope " + snippet.ShellQuote(c.decision.Route.Scopes.String())
	}
	return ""
}

func capital(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}
