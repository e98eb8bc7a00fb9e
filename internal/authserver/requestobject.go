package authserver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/offkey/offkey/internal/client"
	"github.com/offkey/offkey/internal/jose"
	"github.com/offkey/offkey/internal/oauth"
)

// How far the times of a request object may lie apart from ours, for all and for
// clients held to FAPI 2.0 (FAPI 2.0 Message Signing §5.3.1).
const (
	objectSkew    = 30 * time.Second
	objectMaxLife = 60 * time.Minute
)

// readRequestObject reads an authorization request that its client has signed
// (RFC 9101 §6.3). What it returns are all parameters of the request: none from
// outside of it counts.
func (s *Server) readRequestObject(ctx context.Context, c *client.Client, raw string) (oauth.Params, error) {
	claims, err := s.verifyRequestObject(ctx, c, raw)
	if err != nil {
		return oauth.Params{}, err
	}
	if err := checkObjectClaims(c, claims, s.options.Issuer, s.options.Now()); err != nil {
		return oauth.Params{}, err
	}
	var members map[string]json.RawMessage
	if err := jose.DecodeClaims(claims, &members); err != nil {
		return oauth.Params{}, badObject("it is no JSON object").WithCause(err)
	}
	return objectParams(members)
}

// badObject refuses a request object (RFC 9101 §6.2).
func badObject(why string) *oauth.Error {
	return oauth.AuthorizationError(oauth.CodeInvalidRequestObject, "the request object is not accepted: "+why)
}

// verifyRequestObject checks who signed (RFC 9101 §6.2): by an algorithm of the
// list and the client's own, with one of its keys.
func (s *Server) verifyRequestObject(ctx context.Context, c *client.Client, raw string) ([]byte, error) {
	allowed := jose.ClientAlgorithms
	switch {
	case c.RequestAlg != "":
		allowed = []jose.Algorithm{c.RequestAlg}
	case c.Profile == client.ProfileFAPI2:
		allowed = fapiAlgorithms
	}
	jwt, err := jose.Parse(raw, allowed...)
	switch {
	case errors.Is(err, jose.ErrAlgorithm):
		return nil, badObject(fmt.Sprintf("its alg must be one of %v", jose.Names(allowed))).WithCause(err)
	case err != nil:
		return nil, badObject("it is not a signed JWT in compact form").WithCause(err)
	}
	if typ := jwt.Header().Type; typ != "" && typ != "jwt" && typ != oauth.TypRequestObject { // RFC 9101 §10.8
		return nil, badObject("its typ names another kind of token: use " + oauth.TypRequestObject)
	}
	keys, err := s.auth.SigningKeys(ctx, c, jwt.Header())
	if err != nil {
		return nil, badObject("the keys of the client cannot be read").WithCause(err)
	}
	claims, err := jwt.Verify(keys...)
	if err != nil {
		return nil, badObject("none of the client's keys made its signature").WithCause(err)
	}
	return claims, nil
}

// checkObjectClaims: the object is this client's and for us, and its time has
// not passed (RFC 9101 §4, §6.3, §10.8).
func checkObjectClaims(c *client.Client, raw []byte, issuer string, now time.Time) error {
	var claims struct {
		Issuer     string           `json:"iss"`
		Subject    string           `json:"sub"`
		ClientID   string           `json:"client_id"`
		Audience   jose.Audience    `json:"aud"`
		Expires    jose.NumericDate `json:"exp"`
		NotBefore  jose.NumericDate `json:"nbf"`
		IssuedAt   jose.NumericDate `json:"iat"`
		Request    json.RawMessage  `json:"request"`
		RequestURI json.RawMessage  `json:"request_uri"`
	}
	if err := jose.DecodeClaims(raw, &claims); err != nil {
		return badObject("a claim has the wrong type").WithCause(err)
	}
	expires, notBefore := claims.Expires.Time(), claims.NotBefore.Time()
	strict := c.Profile == client.ProfileFAPI2
	switch {
	case claims.ClientID != c.ID:
		return badObject("its client_id is missing, or is not the one beside it")
	case claims.Request != nil || claims.RequestURI != nil:
		return badObject("it holds another request or request_uri")
	case claims.Subject == c.ID:
		return badObject("its sub is the client: that would make it a client assertion")
	case claims.Issuer != "" && claims.Issuer != c.ID:
		return badObject("its iss is not the client")
	case !claims.Audience.IsZero() && !claims.Audience.Has(issuer), strict && claims.Audience.IsZero():
		return badObject("its aud must be " + issuer)
	case !expires.IsZero() && !now.Before(expires.Add(objectSkew)):
		return badObject("it has expired")
	case notBefore.After(now.Add(objectSkew)), claims.IssuedAt.Time().After(now.Add(objectSkew)):
		return badObject("its nbf or iat is in the future")
	case strict && (expires.IsZero() || notBefore.IsZero()):
		return badObject("exp and nbf are missing")
	case strict && (expires.After(now.Add(objectMaxLife)) || notBefore.Before(now.Add(-objectMaxLife))):
		return badObject("exp or nbf is more than an hour away")
	}
	return nil
}

// notParams are members of a request object that are about the object.
var notParams = []string{"iss", "sub", "aud", "exp", "nbf", "iat", "jti", "request", "request_uri"}

// objectParams are the members of a request object as parameters: strings as
// they are, numbers as they are written, and the claims as JSON (OIDC Core §6.1).
func objectParams(members map[string]json.RawMessage) (oauth.Params, error) {
	var pairs [][2]string
	for name, raw := range members {
		if slices.Contains(notParams, name) {
			continue
		}
		values, ok := objectValues(name, raw)
		if !ok {
			return oauth.Params{}, badObject("a parameter is neither a string nor a number")
		}
		for _, v := range values {
			pairs = append(pairs, [2]string{name, v})
		}
	}
	return oauth.ParamsOf(pairs), nil
}

func objectValues(name string, raw json.RawMessage) ([]string, bool) {
	var text string
	var number int64
	var list []string
	switch {
	case string(raw) == "null":
		return nil, true
	case json.Unmarshal(raw, &text) == nil:
		return []string{text}, true
	case json.Unmarshal(raw, &number) == nil:
		return []string{strconv.FormatInt(number, 10)}, true
	case name == "resource" && json.Unmarshal(raw, &list) == nil:
		return list, true
	case name == "claims":
		return []string{string(raw)}, true
	}
	return nil, !slices.Contains(knownParams, name) // what nobody asks for is ignored (RFC 6749 §3.1)
}

// knownParams are the parameters of an authorization request that are read here.
var knownParams = []string{
	"response_type", "response_mode", "client_id", "redirect_uri", "scope", "state", "nonce", "code_challenge", "code_challenge_method",
	"resource", "prompt", "max_age", "acr_values", "claims", "login_hint", "id_token_hint", "ui_locales", "dpop_jkt",
}
