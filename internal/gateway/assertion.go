package gateway

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"strconv"

	"github.com/offkey/offkey/internal/jose"
	"github.com/offkey/offkey/internal/token"
)

// Assertions are the keys that the gateway signs with what it says to an API about
// a call. They are no keys of the authorization server: what is said to an API is
// no token, anywhere.
type Assertions interface {
	Signer() (*jose.SigningKey, error)
	Published() (jose.KeySet, error)
}

// headerAssertion is where an API with token_call: jwt finds who calls, signed.
const headerAssertion = "X-Offkey-Assertion"

// assertionKeysPath is where the API finds the keys, at whichever of our names it
// asks: from inside it hardly asks at the public one.
const assertionKeysPath = reservedPrefix + "jwks"

// asserted is the target that an assertion is for: the bytes that the API gets.
func (c *call) asserted(rawQuery string) string {
	target := c.target.RawPath
	if target == "" {
		target = "/"
	}
	if rawQuery != "" || c.target.HasQuery && c.target.RawQuery == "" {
		target += "?" + rawQuery
	}
	return target
}

// assert signs the identity that the header has, for this call and no other.
func (c *call) assert(h http.Header, rawQuery string) {
	client := h[headerClient]
	if c.upstream.TokenCall != SendJWT || len(client) == 0 {
		return
	}
	said := token.Call{
		Issuer: c.g.metadata.origin + "/_offkey", Audience: c.upstream.audience, ClientID: client[0], Subject: h.Get(headerSubject),
		Credential: h.Get(headerCredential), Method: c.r.Method, Target: c.asserted(rawQuery), IssuedAt: c.at,
	}
	if c.token != nil {
		said.Scope = c.token.Scope()
	} else {
		said.Scope = c.minted.Scope
	}
	signer, err := c.g.Assertions.Signer()
	if err == nil {
		var raw string
		if raw, err = said.Sign(signer); err == nil {
			h[headerAssertion] = []string{raw}
		}
	}
	if err != nil { // the API refuses the call, as it does every one without
		c.g.Log.LogAttrs(c.r.Context(), slog.LevelError, "what the API is told is not signed", slog.Any("error", err))
	}
}

// serveAssertionKeys answers an API that asks for the keys (RFC 7517 §5).
func (c *call) serveAssertionKeys() {
	h := c.w.Header()
	if c.g.Assertions == nil || (c.r.Method != http.MethodGet && c.r.Method != http.MethodHead) {
		c.refuse(codeNotFound)
		return
	}
	keys, err := c.g.Assertions.Published()
	if err != nil {
		c.g.Log.LogAttrs(c.r.Context(), slog.LevelError, "keys of assertions", slog.Any("error", err))
		c.refuse(codeCredentialUnavailable)
		return
	}
	body, _ := json.Marshal(keys) // of public keys alone: it cannot fail
	h["Content-Type"] = []string{"application/jwk-set+json"}
	h["Cache-Control"] = []string{"public, max-age=" + strconv.Itoa(metadataAge)}
	h["Content-Length"] = []string{strconv.Itoa(len(body))}
	_, _ = c.w.Write(body)
}
