package gateway

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"

	"github.com/offkey/offkey/internal/apikey"
	"github.com/offkey/offkey/internal/oauth"
	"github.com/offkey/offkey/internal/secret"
)

// APIKeyCall is what an API receives for a call with an apikey that offkey knows.
// One that it does not know is always passed on: it is the API's to judge.
type APIKeyCall uint8

const (
	// SendOriginal passes the apikey on.
	SendOriginal APIKeyCall = iota
	// SendNothing takes it out: the API reads who calls from the identity headers.
	SendNothing
	// SendToken puts a token of the client in its place that the apikey is mapped
	// to.
	SendToken
)

var apikeyCallNames = [...]string{"original", "drop", "token"}

func (a APIKeyCall) String() string { return apikeyCallNames[a] }

// ParseAPIKeyCall reads a setting; "" is original.
func ParseAPIKeyCall(s string) (APIKeyCall, error) {
	if i := slices.Index(apikeyCallNames[:], s); i >= 0 {
		return APIKeyCall(i), nil
	}
	if s == "" {
		return SendOriginal, nil
	}
	return 0, fmt.Errorf("apikey_call is %q: it is one of %s", s, strings.Join(apikeyCallNames[:], ", "))
}

// Minter makes tokens for callers that still send an apikey.
type Minter interface {
	// TokenOf returns a token of the client that an apikey is mapped to: of no more
	// scopes than the client has, and one that falls with the apikey. It is zero
	// where the client may have none.
	TokenOf(ctx context.Context, k *apikey.Key) (Minted, error)
}

// Minted is a token that its caller never sees.
type Minted struct {
	Token secret.Text
	Scope oauth.Scope
}

// replacesAPIKey reports whether the API gets something else than the apikey of
// this call, or nothing.
func (c *call) replacesAPIKey() bool {
	return c.upstream.APIKeyCall != SendOriginal && c.token == nil && c.apikey != nil && c.presented.Count > 0
}

// mint fetches the token that takes the place of the apikey, before anything is
// sent to the API.
func (c *call) mint() (code string) {
	if c.upstream.APIKeyCall != SendToken || !c.replacesAPIKey() || c.apikey.ClientID == "" || c.asker != nil {
		return ""
	}
	var err error
	if c.minted, err = c.g.Minter.TokenOf(c.r.Context(), c.apikey); err != nil {
		c.g.Log.LogAttrs(c.r.Context(), slog.LevelError, "token for an apikey", slog.String("apikey", c.apikey.ID), slog.Any("error", err))
		return codeCredentialUnavailable
	}
	return ""
}

// replaceAPIKey takes the apikey out of what the API gets, tells who calls if that
// is known, and puts the token there that was minted. It returns the query to send.
func (c *call) replaceAPIKey(h http.Header, rawQuery string) string {
	c.replaced = true
	left := c.g.Reader.Remove(h, rawQuery)
	if len(left) != len(rawQuery) {
		c.redactReferer(h)
	}
	if c.apikey.ClientID == "" {
		return left
	}
	c.setAPIKeyIdentity(h)
	if c.minted.Token.IsZero() {
		return left
	}
	h[headerScopes] = []string{c.minted.Scope.String()}
	if len(h["Authorization"]) == 0 { // another credential of the caller is not ours to replace
		h["Authorization"] = []string{"Bearer " + c.minted.Token.Reveal()}
	}
	return left
}

// setAPIKeyIdentity tells the API which client an apikey is mapped to.
func (c *call) setAPIKeyIdentity(h http.Header) {
	h[headerClient] = []string{c.apikey.ClientID}
	h[headerSubject] = []string{c.apikey.ClientID}
	h[headerCredential] = []string{"apikey:" + c.apikey.ID}
}
