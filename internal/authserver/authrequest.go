package authserver

import (
	"cmp"
	"encoding/base64"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/offkey/offkey/internal/authserver/grant"
	"github.com/offkey/offkey/internal/client"
	"github.com/offkey/offkey/internal/oauth"
	"github.com/offkey/offkey/internal/secret"
	"github.com/offkey/offkey/internal/session"
	"github.com/offkey/offkey/internal/token"
)

// The bounds of what is kept of an authorization request and given back.
const (
	maxState     = 4 << 10 // bytes
	maxNonce     = 2 << 10
	maxLoginHint = 256
	maxLocales   = 10
	maxACRValues = 10
	maxMaxAge    = 10 * 365 * 24 * 3600 // seconds
)

// authRequest is an authorization request that was found good. It waits as it is
// for the answer of a person, or for the browser that brings its request_uri.
type authRequest struct {
	ClientID    string          `json:"client_id"`
	RedirectURI string          `json:"redirect_uri"`
	Mode        string          `json:"mode,omitempty"`
	State       string          `json:"state,omitempty"`
	Nonce       string          `json:"nonce,omitempty"`
	Scope       oauth.Scope     `json:"scope,omitempty"`
	Resources   []string        `json:"resources,omitempty"`
	Challenge   string          `json:"code_challenge,omitempty"`
	JKT         string          `json:"dpop_jkt,omitempty"`
	Prompt      []string        `json:"prompt,omitempty"`
	MaxAge      *int64          `json:"max_age,omitempty"`
	ACR         acrWish         `json:"acr,omitzero"`
	LoginHint   string          `json:"login_hint,omitempty"`
	Locales     []string        `json:"ui_locales,omitempty"`
	Claims      claimsWish      `json:"claims,omitzero"`
	Hint        string          `json:"hint,omitempty"` // the sub of id_token_hint
	Pushed      secret.Hash     `json:"pushed,omitzero"`
	Demand      *session.Demand `json:"demand,omitempty"` // as it was when the person was asked
}

// acrWish is how strong the sign-in should be (OIDC Core §3.1.2.1), or must be
// (OIDC Core §5.5.1.1).
type acrWish struct {
	Values    []string `json:"values,omitempty"`
	Essential bool     `json:"essential,omitempty"`
}

// destination is where the answer to an authorization request goes. It is known
// before anything else of the request is judged.
type destination struct {
	client      *client.Client
	redirectURI string
	mode        string
	state       string
}

// source says by which way an authorization request came.
type source struct {
	pushed bool // to the PAR endpoint
	signed bool // in a request object
}

// readAuthRequest judges the parameters of a request of c by what the
// specifications say of each, the first refusal answers. Client and redirect URI
// are known to be good.
func (s *Server) readAuthRequest(d destination, p oauth.Params, from source) (authRequest, error) {
	c := d.client
	q := authRequest{
		ClientID: c.ID, RedirectURI: d.redirectURI, Mode: d.mode, State: d.state, Nonce: p.Value("nonce"),
		Challenge: p.Value("code_challenge"), JKT: p.Value("dpop_jkt"), LoginHint: p.Value("login_hint"),
		Prompt: strings.Fields(p.Value("prompt")), Locales: firstFew(strings.Fields(p.Value("ui_locales")), maxLocales),
	}
	if err := cmp.Or(
		checkMayAuthorize(c),
		checkWay(c, from, s.options.RequirePAR),
		checkResponseType(p.Value("response_type")),
		checkMode(p.Value("response_mode")),
		checkLengths(q, p),
		checkPrompt(q.Prompt),
		checkJKT(q.JKT),
	); err != nil {
		return authRequest{}, err
	}
	var err error
	if q.Scope, err = grant.ChooseScope(c, p.Value("scope")); err != nil {
		return authRequest{}, err
	}
	if err := checkChallenge(c, q, p.Value("code_challenge_method")); err != nil {
		return authRequest{}, err
	}
	if q.Scope.Has("openid") {
		s.options.WantKey(token.IDTokenAlg(c)) // it is there by the time that the person has signed in
		if c.UserinfoAlg != "" {
			s.options.WantKey(c.UserinfoAlg)
		}
	}
	if q.Resources, err = s.targets.Choose(c.Resources, p.Values("resource")); err != nil {
		return authRequest{}, err
	}
	if q.MaxAge, err = readMaxAge(p.Value("max_age"), c.DefaultMaxAge); err != nil {
		return authRequest{}, err
	}
	if q.Claims, err = readClaims(p.Value("claims")); err != nil {
		return authRequest{}, err
	}
	if q.ACR, err = chooseACR(p.Value("acr_values"), q.Claims); err != nil {
		return authRequest{}, err
	}
	if q.Hint, err = s.readHint(c, p.Value("id_token_hint"), q.Claims); err != nil {
		return authRequest{}, err
	}
	return q, nil
}

// checkMayAuthorize: the client is active and registered for the flow (RFC 6749
// §4.1.2.1).
func checkMayAuthorize(c *client.Client) error {
	switch {
	case c.Status == client.Pending:
		return oauth.UnauthorizedClient("this client waits for the approval of an operator: " + cmp.Or(c.PendingReason, "nothing needs to be changed, ask again later"))
	case !c.Allows(oauth.GrantAuthorizationCode):
		return oauth.UnauthorizedClient("this client is not registered for authorization_code")
	}
	return nil
}

// checkWay: a client that must push or sign its requests did (RFC 9126 §5, §6,
// RFC 9101 §10.5, FAPI 2.0 §5.3.2.2).
func checkWay(c *client.Client, from source, all bool) error {
	switch {
	case !from.pushed && (c.RequirePAR || all || c.Profile == client.ProfileFAPI2):
		return oauth.InvalidRequest("this request must be pushed first: send it to the pushed_authorization_request_endpoint, and bring the request_uri here")
	case !from.signed && c.RequestAlg != "":
		return oauth.InvalidRequest("this client must send its request as a signed request object, in the parameter request")
	case c.Profile == client.ProfileFAPI2 && !fapi2Method(c.AuthMethod):
		return oauth.UnauthorizedClient("a client held to FAPI 2.0 authenticates by private_key_jwt or mutual TLS: this one is registered for something else")
	}
	return nil
}

// fapi2Method reports whether a client proves itself as FAPI 2.0 §5.3.2.1 wants.
func fapi2Method(method string) bool {
	return method == oauth.AuthPrivateKeyJWT || method == oauth.AuthTLSClient || method == oauth.AuthSelfSignedTLSClient
}

// checkResponseType: code is the only one (RFC 6749 §3.1.1, RFC 9700 §2.1.2).
func checkResponseType(sent string) error {
	switch sent {
	case "code":
		return nil
	case "":
		return oauth.InvalidRequest("response_type is missing: it is code")
	}
	return oauth.AuthorizationError(oauth.CodeUnsupportedResponseType, "response_type must be code: tokens are not put into URLs here")
}

// checkMode: a code goes into the query or a form. In a fragment it would be
// left to scripts.
func checkMode(sent string) error {
	if sent == "" || sent == oauth.ModeQuery || sent == oauth.ModeFormPost {
		return nil
	}
	return oauth.InvalidRequest("response_mode must be query or form_post")
}

// checkLengths bounds what is kept and given back.
func checkLengths(q authRequest, p oauth.Params) error {
	switch {
	case len(q.Nonce) > maxNonce:
		return oauth.InvalidRequest(fmt.Sprintf("nonce is longer than %d bytes", maxNonce))
	case len(p.Value("state")) > maxState:
		return oauth.InvalidRequest(fmt.Sprintf("state is longer than %d bytes", maxState))
	case len(q.LoginHint) > maxLoginHint:
		return oauth.InvalidRequest(fmt.Sprintf("login_hint is longer than %d bytes", maxLoginHint))
	}
	return nil
}

// checkPrompt (OIDC Core §3.1.2.1).
func checkPrompt(prompt []string) error {
	for _, p := range prompt {
		switch p {
		case oauth.PromptLogin, oauth.PromptConsent, oauth.PromptSelectAccount:
		case oauth.PromptNone:
			if len(prompt) > 1 {
				return oauth.InvalidRequest("prompt=none stands alone")
			}
		default:
			return oauth.InvalidRequest("prompt must be of none, login, consent and select_account")
		}
	}
	return nil
}

// checkJKT (RFC 9449 §10).
func checkJKT(jkt string) error {
	if jkt != "" && !isSHA256(jkt) {
		return oauth.InvalidRequest("dpop_jkt must be the SHA-256 thumbprint of a key, 43 characters of base64url")
	}
	return nil
}

// isSHA256 reports whether s is a SHA-256 in base64url.
func isSHA256(s string) bool {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(s)
	return err == nil && len(raw) == 32 && len(s) == 43
}

// checkChallenge: PKCE with S256 is required of every client (OAuth 2.1 §4.1.1,
// §7.5.1), but a confidential client of OpenID Connect that is registered
// without, or that registered itself and sends a nonce, which does the same for
// it: OpenID Connect Registration has no way to say more. A method that is left
// out means plain (RFC 7636 §4.3), which is not offered: whoever sees the request
// could redeem the code.
func checkChallenge(c *client.Client, q authRequest, method string) error {
	challenge := q.Challenge
	without := c.Confidential() && c.Profile == "" && q.Scope.Has("openid") && (c.PKCEOptional || c.Source == client.SourceRegistration && q.Nonce != "")
	switch {
	case challenge == "" && method == "" && without:
		return nil
	case challenge == "":
		return oauth.InvalidRequest("code_challenge is missing: PKCE with S256 is required")
	case method != "S256":
		return oauth.InvalidRequest("code_challenge_method must be S256")
	case !isSHA256(challenge):
		return oauth.InvalidRequest("code_challenge must be a SHA-256 in base64url, 43 characters")
	}
	return nil
}

// readMaxAge reads max_age, or the client's default_max_age (OIDC Core §3.1.2.1,
// OIDC Registration §2).
func readMaxAge(sent string, otherwise *int64) (*int64, error) {
	if sent == "" {
		return otherwise, nil
	}
	n, err := strconv.ParseInt(sent, 10, 64)
	if err != nil || n < 0 {
		return nil, oauth.InvalidRequest("max_age must be a number of seconds")
	}
	n = min(n, maxMaxAge)
	return &n, nil
}

// chooseACR says how strong the sign-in should be. Classes that are not known
// here are passed over, unless one of them is essential and no other is (OIDC
// Core §5.5.1.1, RFC 9470 §5).
func chooseACR(acrValues string, claims claimsWish) (acrWish, error) {
	wish := acrWish{Values: strings.Fields(acrValues)}
	if claims.ACR.Essential && len(claims.ACR.Values) > 0 || len(wish.Values) == 0 {
		wish = claims.ACR
	}
	if len(wish.Values) == 0 {
		return acrWish{}, nil
	}
	wish.Values = slices.DeleteFunc(slices.Clone(wish.Values), func(v string) bool { return !slices.Contains(session.ACRValues, v) })
	wish.Values = firstFew(wish.Values, maxACRValues)
	if len(wish.Values) == 0 && wish.Essential {
		return acrWish{}, oauth.AuthorizationError(oauth.CodeUnmetAuthentication, "none of the acr that must be reached is known here: see acr_values_supported")
	}
	return wish, nil
}

func firstFew(list []string, most int) []string { return list[:min(len(list), most)] }

// demand is what the sign-in must be at now.
func (q authRequest) demand(now time.Time) session.Demand {
	d := session.Demand{
		Prompt: q.Prompt, ACRValues: q.ACR.Values, Essential: q.ACR.Essential, LoginHint: q.LoginHint, Locales: q.Locales,
	}
	if q.MaxAge != nil {
		d.Since = now.Add(-time.Duration(*q.MaxAge) * time.Second) // not truncated, as auth_time is: a client that reckons with that finds the same
		if *q.MaxAge == 0 && !slices.Contains(q.Prompt, oauth.PromptNone) && !slices.Contains(q.Prompt, oauth.PromptLogin) {
			d.Prompt = append(slices.Clone(d.Prompt), oauth.PromptLogin) // OIDC Core §3.1.2.1
		}
	}
	if d.Prompts(oauth.PromptLogin) {
		d.Since = now.Truncate(time.Second)
	}
	return d
}

// ask is what the person is asked to allow: the scope, and that of claims which
// the client asks for by name, unless nothing may be asked.
func (q authRequest) ask(c *client.Client) session.Ask {
	scope := q.Scope
	if !slices.Contains(q.Prompt, oauth.PromptNone) {
		scope = scope.Union(scopesOf(q.Claims, c.Scopes))
	}
	a := session.Ask{Scope: scope, Resources: q.Resources, RedirectHost: oauth.HostOf(q.RedirectURI)}
	if scheme, _, _ := strings.Cut(q.RedirectURI, ":"); scheme != "https" {
		a.RedirectScheme = strings.ToLower(scheme)
	}
	return a
}

// grant is what the person allowed by the answer. It was allowed when they said
// so: what was revoked since takes it along.
func (q authRequest) grant(c *client.Client, a *session.Answer) token.Grant {
	return token.Grant{
		ID: token.NewGrantID(), ClientID: q.ClientID, Scope: a.Scope.Intersect(q.Scope), Resources: q.Resources, Nonce: q.Nonce,
		Login: token.Login{
			PersonID: a.PersonID, Session: a.SessionID, AuthTime: a.Login.AuthTime.UTC().Truncate(time.Second), ACR: a.Login.ACR, AMR: a.Login.AMR,
			Pairwise: c.SubjectType == client.SubjectPairwise,
		},
		Claims: allowedClaims(q.Claims.requested(), a.Scope), Created: a.At,
	}
}
