package gateway

import (
	"errors"

	"github.com/offkey/offkey/internal/apikey"
	"github.com/offkey/offkey/internal/oauth"
	"github.com/offkey/offkey/internal/policy"
	"github.com/offkey/offkey/internal/token"
)

// What a call presents of each kind, as the table below names it.
type (
	apikeyPart uint8
	tokenPart  uint8
)

const (
	noAPIKey      apikeyPart = iota
	goodAPIKey               // one that offkey knows
	unknownAPIKey            // one that it does not
	twoAPIKeys               // several; the one furthest along the road decides
)

const (
	noToken      tokenPart = iota
	goodToken              // of our issuer, and it holds
	badToken               // of our issuer, and it does not
	foreignToken           // of nobody we know
)

// verdict says which credential decides a call.
type verdict uint8

const (
	byNobody verdict = iota
	byAPIKey
	byToken
	byBadToken
	byForeignToken
)

// verdicts is the fixed table. A token of ours that does not hold is always
// answered as such and never falls back to the apikey beside it, since the
// caller has to learn that its token is bad; a foreign token is the API's own
// business, so the apikey beside it decides. A good token decides; an apikey
// beside it that is not its client's own is a conflict, whatever else it is
// (see beside).
var verdicts = [4][4]verdict{
	//               no token  good     bad         foreign
	noAPIKey:      {byNobody, byToken, byBadToken, byForeignToken},
	goodAPIKey:    {byAPIKey, byToken, byBadToken, byAPIKey},
	unknownAPIKey: {byAPIKey, byToken, byBadToken, byAPIKey},
	twoAPIKeys:    {byAPIKey, byToken, byBadToken, byAPIKey},
}

// identify finds out who makes the call.
func (c *call) identify() {
	keys := c.lookUpAPIKeys()
	tokens := c.lookUpToken()
	switch verdicts[keys][tokens] {
	case byNobody:
		c.principal = policy.Principal{Kind: policy.Nobody}
	case byAPIKey:
		c.principal = policy.OfAPIKey(c.apikey)
	case byToken:
		id := c.token.ClientID()
		c.principal = policy.Principal{Kind: policy.TokenClient, ID: id, ClientID: id, Scope: c.token.Scope()}
		if from := c.token.Claims().APIKeyID; from != "" {
			c.principal = policy.OfExchangedToken(id, c.token.Scope(), c.g.Index.ByID(from))
		}
		login := c.token.Login()
		c.principal.DPoP, c.principal.ACR, c.principal.AuthTime = c.token.Confirmation().JKT != "", login.ACR, login.AuthTime
	case byBadToken:
		c.principal = policy.Principal{Kind: policy.BadToken, Bad: badTokenCode(c.badToken)}
	case byForeignToken:
		c.principal = policy.Principal{Kind: policy.ForeignToken}
	}
	c.principal.Fault = c.fault(tokens)
}

// lookUpAPIKeys finds the apikeys presented. Of several the one furthest along
// the road is kept, so that a blocked apikey is refused whatever is beside it.
func (c *call) lookUpAPIKeys() apikeyPart {
	part := noAPIKey
	for i, found := range c.presented.Found() {
		known := c.g.recogniser.lookUp(c.g.Pepper.Fingerprint(found.Value.Reveal()), found.Value, c.at)
		switch {
		case i > 0:
			part = twoAPIKeys
		case known != nil:
			part = goodAPIKey
		default:
			part, c.carrier = unknownAPIKey, c.g.carriers[found.Carrier].name
		}
		if known != nil {
			c.keepFurthest(known, found.Carrier)
		}
	}
	if c.presented.Lookalike && c.judgeLookalikes() {
		part = max(part, goodAPIKey)
	}
	if c.presented.Spelling && c.keepKnown(c.g.Reader.OtherReadings(c.r.Header)) {
		part = max(part, goodAPIKey)
	}
	return part
}

// lookUpToken verifies the token presented, and that whoever presents it holds
// what it is bound to.
func (c *call) lookUpToken() tokenPart {
	if c.presented.TokenScheme == "" {
		return noToken
	}
	verified, err := c.g.verify(c.r.Context(), c.presented.Token.Reveal())
	switch {
	case errors.Is(err, token.ErrForeign):
		return foreignToken
	case err != nil:
		if !errors.As(err, &c.badToken) {
			c.badToken = oauth.InvalidToken("the access token cannot be verified now").WithCause(err)
		}
		return badToken
	case !c.outlives(verified.Claims().APIKeyID):
		c.badToken = errAPIKeyEnded
		return badToken
	}
	if c.badToken = c.checkHolder(verified.Confirmation()); c.badToken != nil {
		return badToken
	}
	c.token = verified
	return goodToken
}

// outlives reports whether a token that an apikey was exchanged for still holds:
// it ends with the apikey.
func (c *call) outlives(apikeyID string) bool {
	if apikeyID == "" {
		return true
	}
	k := c.g.Index.ByID(apikeyID)
	return k != nil && !k.Suspended && c.rules.StageOf(k, c.at).OpensUpgrade() // as policy.OfExchangedToken has it
}

var errAPIKeyEnded = oauth.InvalidToken("the access token was exchanged for an API key that is no longer accepted")

// fault is the rule that the credentials break together: RFC 6750 §2 allows one
// method in a request, and the API might look at the other one.
func (c *call) fault(t tokenPart) string {
	switch {
	case t == goodToken && !c.besideOwnToken():
		return policy.CodeCredentialConflict
	case c.presented.Duplicate || c.presented.Count > 1:
		return policy.CodeCredentialDuplicate
	}
	return ""
}

// besideOwnToken reports whether every apikey beside the token is one that the
// token's own client came from. Nothing else may travel under its name.
func (c *call) besideOwnToken() bool {
	if c.presented.Count > apikey.MaxValues || c.presented.Oversize || c.presented.Lookalike || c.presented.Spelling {
		return false
	}
	for _, found := range c.presented.Found() {
		known := c.g.Index.Lookup(c.g.Pepper.Fingerprint(found.Value.Reveal()))
		if known == nil || known.ClientID != c.token.ClientID() {
			return false
		}
	}
	return true
}
