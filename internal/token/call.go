package token

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/offkey/offkey/internal/jose"
	"github.com/offkey/offkey/internal/oauth"
	"github.com/offkey/offkey/internal/secret"
)

// TypCall is the typ of what a gateway says to an API about one call. No access
// token, ID token or proof has it.
const TypCall = "offkey-call+jwt"

// CallLife is how long it holds: for one call, on its way.
const CallLife = time.Minute

// callSkew is how far the clocks of a gateway and its API may be apart.
const callSkew = 30 * time.Second

// Call is what a gateway says to an API about one call that it passes on: who
// makes it, and that it is this one.
type Call struct {
	Issuer     string // the gateway
	Audience   string // the API, as the gateway reaches it
	ClientID   string
	Subject    string
	Scope      oauth.Scope
	Credential string // "token:jti" or "apikey:id"
	Method     string
	Target     string // as the API gets it, the query included; only its hash is said
	IssuedAt   time.Time
}

// callClaims is a Call as it travels.
type callClaims struct {
	Issuer     string           `json:"iss"`
	Audience   jose.Audience    `json:"aud"`
	Subject    string           `json:"sub"`
	ClientID   string           `json:"client_id"`
	Scope      string           `json:"scope,omitempty"`
	Credential string           `json:"credential"`
	Method     string           `json:"htm"`
	Target     string           `json:"target_s256"`
	IssuedAt   jose.NumericDate `json:"iat"`
	Expires    jose.NumericDate `json:"exp"`
}

// targetHash is what is said of a target: it may hold what nobody should log.
func targetHash(target string) string {
	sum := sha256.Sum256([]byte(target))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// Sign writes the Call as a JWT.
func (c Call) Sign(key *jose.SigningKey) (string, error) {
	claims, err := json.Marshal(callClaims{
		Issuer: c.Issuer, Audience: jose.Audience{Values: []string{c.Audience}}, Subject: c.Subject, ClientID: c.ClientID,
		Scope: c.Scope.String(), Credential: c.Credential, Method: c.Method, Target: targetHash(c.Target),
		IssuedAt: jose.NewNumericDate(c.IssuedAt), Expires: jose.NewNumericDate(c.IssuedAt.Add(CallLife)),
	})
	if err != nil {
		return "", fmt.Errorf("sign what is said of a call: %w", err)
	}
	return key.Sign(TypCall, claims)
}

// CheckCall reads what a gateway said of a call, and holds it against that call:
// want names the issuer and audience, method and target that it must be for. keys
// finds the public keys of the gateway by kid.
func CheckCall(raw string, want Call, keys func(kid string) []jose.PublicKey, now time.Time) (Call, error) {
	parsed, err := jose.Parse(raw, jose.ES256)
	if err != nil {
		return Call{}, fmt.Errorf("it is no JWT of a gateway: %w", err)
	}
	if parsed.Header().Type != TypCall {
		return Call{}, errors.New("its typ is not " + TypCall)
	}
	payload, err := parsed.Verify(keys(parsed.Header().KeyID)...)
	if err != nil {
		return Call{}, fmt.Errorf("its signature is of none of the gateway's keys: %w", err)
	}
	var c callClaims
	if err := jose.DecodeClaims(payload, &c); err != nil {
		return Call{}, err
	}
	switch issued, expires := c.IssuedAt.Time(), c.Expires.Time(); {
	case c.Issuer != want.Issuer:
		return Call{}, errors.New("it is of another gateway")
	case c.Audience.WasArray || len(c.Audience.Values) != 1 || c.Audience.Values[0] != want.Audience:
		return Call{}, errors.New("it is for another API")
	case c.ClientID == "" || c.Subject == "":
		return Call{}, errors.New("it names nobody")
	case c.Method != want.Method || !secret.Same(c.Target, targetHash(want.Target)):
		return Call{}, errors.New("it is for another call: method and target must be those that the gateway sent")
	case !now.Before(expires.Add(callSkew)) || expires.Sub(issued) > CallLife || issued.After(now.Add(callSkew)):
		return Call{}, errors.New("it is not of now")
	}
	return Call{
		Issuer: c.Issuer, Audience: want.Audience, ClientID: c.ClientID, Subject: c.Subject, Scope: strings.Fields(c.Scope),
		Credential: c.Credential, Method: c.Method, Target: want.Target, IssuedAt: c.IssuedAt.Time(),
	}, nil
}
