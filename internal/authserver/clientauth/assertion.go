package clientauth

import (
	"context"
	"errors"
	"slices"

	"github.com/offkey/offkey/internal/client"
	"github.com/offkey/offkey/internal/jose"
	"github.com/offkey/offkey/internal/oauth"
)

// assertionAttempt is private_key_jwt: a JWT signed by the client (RFC 7523
// §2.2).
type assertionAttempt struct {
	id       string
	jwt      *jose.Unverified
	endpoint string
}

func (s *assertionAttempt) claimed() string { return s.id }
func (s *assertionAttempt) method() string  { return oauth.AuthPrivateKeyJWT }

// readAssertion reads what can be judged without knowing the client.
func readAssertion(r Request, federated bool) (attempt, error) {
	kind := r.Form.Value("client_assertion_type")
	if kind != oauth.AssertionTypeJWTBearer && !(federated && kind == oauth.AssertionTypeJWTSPIFFE) {
		return nil, refusal(CauseType, "client_assertion_type must be "+oauth.AssertionTypeJWTBearer)
	}
	raw := r.Form.Value("client_assertion")
	if raw == "" {
		return nil, refusal(CauseMalformed, "client_assertion is missing beside client_assertion_type")
	}
	jwt, err := jose.Parse(raw, jose.ClientAlgorithms...)
	switch {
	case errors.Is(err, jose.ErrAlgorithm): // RFC 8725 §3.1
		return nil, refusal(CauseAlgorithm, "alg of the client assertion must be ES256, EdDSA, PS256 or RS256")
	case err != nil:
		return nil, &failure{cause: CauseMalformed, answer: oauth.InvalidClient("client_assertion is not a JWT in compact form that can be read").WithCause(err)}
	}
	if federated && isFederated(r.Form, jwt) {
		return &federatedAttempt{token: raw, sent: r.Form.Value("client_id")}, nil
	}
	if f := checkType(jwt.Header().Type); f != nil {
		return nil, f
	}
	id, f := readSubject(jwt)
	if f != nil {
		return nil, f
	}
	if err := checkSameClient(r.Form, id); err != nil {
		return nil, err
	}
	return &assertionAttempt{id: id, jwt: jwt, endpoint: r.Endpoint}, nil
}

// checkType refuses a JWT that was made for something else. Assertions made for
// us say so, say JWT or say nothing (RFC 7523 §3 as updated, RFC 8725 §3.11).
func checkType(typ string) *failure {
	if typ == "" || typ == "jwt" || typ == oauth.TypClientAuthentication {
		return nil
	}
	return refusal(CauseType, "typ of the client assertion names another kind of token: use "+oauth.TypClientAuthentication+", JWT or none")
}

// readSubject returns the client id, which both iss and sub are (RFC 7523 §3).
// Nothing is proved by it.
func readSubject(jwt *jose.Unverified) (string, *failure) {
	var c struct {
		Issuer  string `json:"iss"`
		Subject string `json:"sub"`
	}
	if err := jwt.Peek(&c); err != nil {
		return "", &failure{cause: CauseMalformed, answer: oauth.InvalidClient("the claims of the client assertion are not a JSON object that can be read").WithCause(err)}
	}
	if c.Issuer == "" || c.Issuer != c.Subject {
		return "", refusal(CauseMalformed, "iss and sub of the client assertion must both be there, and both be the client id")
	}
	return c.Subject, nil
}

// unprovedAssertion is all that anyone learns who does not have the key.
const unprovedAssertion = "client authentication failed: there is no such client, it is registered for another authentication method, none of its keys has the kid and alg of the assertion, its jwks_uri cannot be read, or the signature is wrong"

// prove checks the signature, then the claims, and last of all spends the jti:
// what a stranger sends writes nothing.
func (s *assertionAttempt) prove(ctx context.Context, a *Authenticator, c *client.Client) (string, error) {
	keys, f := a.keysFor(ctx, c, s.jwt.Header())
	if f == nil && len(keys) == 0 {
		f = unproved(unprovedAssertion)
	}
	if f != nil {
		keys = []jose.PublicKey{a.decoy.keys[s.jwt.Header().Alg]}
	}
	a.observe("verify")
	claims, err := s.jwt.Verify(keys...)
	switch {
	case f != nil:
		return "", f
	case err != nil:
		f = unproved(unprovedAssertion)
		f.answer = f.answer.WithCause(err)
		return "", f
	}
	if f := checkStatus(c); f != nil {
		return "", f
	}
	if err := a.checkClaims(ctx, c, claims, s.endpoint); err != nil {
		return "", err
	}
	return credentialOf(c, s.jwt.Header(), keys), nil
}

// keysFor finds the keys that may have signed: those registered, or those at
// the jwks_uri, of which an unknown kid has a newer copy fetched once (OIDC Core
// §10.1.1).
func (a *Authenticator) keysFor(ctx context.Context, c *client.Client, h jose.Header) ([]jose.PublicKey, *failure) {
	switch {
	case c == nil || c.AuthMethod != oauth.AuthPrivateKeyJWT: // RFC 7591 §2
		return nil, nil
	case c.SigningAlg != "" && c.SigningAlg != h.Alg: // RFC 8725 §3.1
		return nil, nil
	}
	keys, err := a.SigningKeys(ctx, c, h)
	if err != nil {
		return nil, unfetched(err)
	}
	return keys, nil
}

// SigningKeys are the keys of a client that may have signed what has this
// header, in whatever way the client proves itself: for its request objects too.
func (a *Authenticator) SigningKeys(ctx context.Context, c *client.Client, h jose.Header) ([]jose.PublicKey, error) {
	switch {
	case c.JWKSURI == "":
		return candidates(c.Keys(a.options.Now()), h), nil
	case a.options.KeySets == nil:
		return nil, errors.New("fetching is not configured")
	}
	set, err := a.options.KeySets.KeySet(ctx, c.JWKSURI)
	if err != nil {
		return nil, err
	}
	if found := candidates(set, h); len(found) > 0 {
		return found, nil
	}
	if set, err = a.options.KeySets.Refresh(ctx, c.JWKSURI); err != nil {
		return nil, err
	}
	return candidates(set, h), nil
}

// unfetched says the same as any other failure, and is not held against the
// source: the client may be right.
func unfetched(err error) *failure {
	return &failure{cause: CauseNotConfigured, answer: oauth.InvalidClient(unprovedAssertion).WithCause(err)}
}

// candidates are the keys of that kid; a key that was registered without a kid
// may have any.
func candidates(set jose.KeySet, h jose.Header) []jose.PublicKey {
	found := set.Candidates(h.KeyID, h.Alg)
	if h.KeyID == "" {
		return found
	}
	for _, k := range set.Keys {
		if k.ID == "" && k.UsableWith(h.Alg) {
			found = append(found, k)
		}
	}
	return found
}

// credentialOf is the id of the registered key that a signature was checked
// with, where there was only one that it could be.
func credentialOf(c *client.Client, h jose.Header, keys []jose.PublicKey) string {
	if len(keys) != 1 {
		return ""
	}
	i := slices.IndexFunc(c.Credentials, func(cr client.Credential) bool {
		return cr.Kind == client.KindJWK && cr.Key != nil && cr.Key.ID == keys[0].ID && cr.Key.UsableWith(h.Alg)
	})
	if i < 0 {
		return ""
	}
	return c.Credentials[i].ID
}
