package token

import (
	"cmp"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"time"

	"github.com/offkey/offkey/internal/jose"
	"github.com/offkey/offkey/internal/oauth"
	"github.com/offkey/offkey/internal/secret"
)

// The bounds of a DPoP proof. Both times are from the reader's clock: a proof
// older than ProofAge is refused, and clocks may be half a minute apart.
const (
	ProofAge  = 60 * time.Second
	proofSkew = 30 * time.Second

	maxProof   = 8 << 10 // bytes; a 3072-bit RSA key and signature take two thousand
	maxProofID = 256     // bytes of jti
)

// ProofRequest is the request that a proof must have been made for.
type ProofRequest struct {
	Method string
	// URL is where the request went, as the caller saw it. Its query and
	// fragment count for nothing.
	URL string
	// Alias is another URL of the same place; optional.
	Alias string
	// AccessToken is what is sent along, "" where none is: at a token endpoint.
	AccessToken string
	// JKT is the thumbprint that the access token is bound to.
	JKT string
	At  time.Time
}

// Proof is a DPoP proof that has been checked (RFC 9449 §4.3), but for two rules
// that need a memory: whether its jti was used before, and its nonce.
type Proof struct {
	JKT     string // thumbprint of the key that made it
	Alg     jose.Algorithm
	ID      string    // jti
	Nonce   string    // "" if it has none
	Expires time.Time // when it is too old to be accepted by any clock that is right
}

// proofClaims is what a proof says (RFC 9449 §4.2).
type proofClaims struct {
	ID              string           `json:"jti"`
	Method          string           `json:"htm"`
	URL             string           `json:"htu"`
	IssuedAt        jose.NumericDate `json:"iat"`
	AccessTokenHash string           `json:"ath"`
	Nonce           string           `json:"nonce"`
}

// CheckProof checks the proof of a request: headers are all its DPoP headers.
// The error is an *oauth.Error invalid_dpop_proof.
func CheckProof(headers []string, r ProofRequest) (Proof, error) {
	raw, err := oneProof(headers)
	if err != nil {
		return Proof{}, err
	}
	signed, err := verifyProof(raw)
	if err != nil {
		return Proof{}, err
	}
	var c proofClaims
	if err := jose.DecodeClaims(signed.Claims, &c); err != nil {
		return Proof{}, oauth.InvalidDPoPProof("a claim of the DPoP proof has the wrong type: iat is a number of seconds, jti, htm, htu, ath and nonce are strings").WithCause(err)
	}
	jkt := signed.Key.Thumbprint()
	if err := cmp.Or(
		checkProofClaims(c),
		checkProofMethod(c.Method, r.Method),
		checkProofURL(c.URL, r.URL, r.Alias),
		checkProofTime(c.IssuedAt.Time(), r.At),
		checkProofToken(c.AccessTokenHash, r.AccessToken),
		checkProofKey(jkt, r.JKT),
	); err != nil {
		return Proof{}, err
	}
	return Proof{JKT: jkt, Alg: signed.Header.Alg, ID: c.ID, Nonce: c.Nonce, Expires: c.IssuedAt.Time().Add(ProofAge + proofSkew)}, nil
}

// oneProof: there is one DPoP header, and one proof in it (RFC 9449 §4.3 item 1).
func oneProof(headers []string) (string, error) {
	switch {
	case len(headers) == 0:
		return "", oauth.InvalidDPoPProof("a DPoP proof is needed: send one in the header DPoP")
	case len(headers) > 1:
		return "", oauth.InvalidDPoPProof("the header DPoP was sent more than once")
	case len(headers[0]) > maxProof:
		return "", oauth.InvalidDPoPProof(fmt.Sprintf("the DPoP proof is longer than %d bytes", maxProof))
	}
	return headers[0], nil
}

// verifyProof: the proof is a JWT of the right type, signed by an asymmetric
// algorithm that is accepted, with the public key in its header (RFC 9449 §4.3
// items 2 and 4 to 7).
func verifyProof(raw string) (jose.SelfSigned, error) {
	signed, err := jose.VerifySelfSigned(raw, jose.ProofAlgorithms...)
	switch {
	case errors.Is(err, jose.ErrAlgorithm):
		return signed, oauth.InvalidDPoPProof("the alg of the DPoP proof must be ES256, EdDSA, PS256 or RS256").WithCause(err)
	case errors.Is(err, jose.ErrNoKey):
		return signed, oauth.InvalidDPoPProof("the jwk of the DPoP proof must be a public key that fits its alg: EC P-256, Ed25519, or RSA of 2048 to 3072 bits, without private members").WithCause(err)
	case errors.Is(err, jose.ErrSignature):
		return signed, oauth.InvalidDPoPProof("the signature of the DPoP proof is wrong: it must be made with the key in its jwk").WithCause(err)
	case err != nil:
		return signed, oauth.InvalidDPoPProof("the DPoP proof is not a JWT in compact form that can be read").WithCause(err)
	case signed.Header.Type != oauth.TypDPoPProof:
		return signed, oauth.InvalidDPoPProof("the typ of the DPoP proof must be " + oauth.TypDPoPProof)
	}
	return signed, nil
}

// checkProofClaims: every required claim is there (RFC 9449 §4.3 item 3).
func checkProofClaims(c proofClaims) error {
	switch {
	case c.Method == "" || c.URL == "" || c.IssuedAt.IsZero():
		return oauth.InvalidDPoPProof("the DPoP proof lacks one of htm, htu and iat")
	case c.ID == "" || len(c.ID) > maxProofID:
		return oauth.InvalidDPoPProof("the jti of the DPoP proof is missing or longer than 256 bytes: it must be new for each request, such as a random UUID")
	}
	return nil
}

// checkProofMethod: htm is the method (RFC 9449 §4.3 item 8), letter case
// included (RFC 9110 §9.1).
func checkProofMethod(htm, method string) error {
	if htm != method {
		return oauth.InvalidDPoPProof("the htm of the DPoP proof is not the method of this request")
	}
	return nil
}

// checkProofURL: htu is the URL without query and fragment (RFC 9449 §4.3 item
// 9), compared as RFC 3986 §6.2.2 and §6.2.3 have it.
func checkProofURL(htu, url, alias string) error {
	if sameProofURL(htu, url) || alias != "" && sameProofURL(htu, alias) {
		return nil
	}
	return oauth.InvalidDPoPProof("the htu of the DPoP proof is not the URL of this request, which is " + withoutQuery(url))
}

// checkProofTime: the proof was made about now (RFC 9449 §4.3 item 11, §11.1).
func checkProofTime(issued, now time.Time) error {
	switch age := now.Sub(issued); {
	case age > ProofAge:
		return oauth.InvalidDPoPProof(fmt.Sprintf("the DPoP proof was made %d s ago, at most %d s are accepted: make a new one for each request, and check the clock. By this server's clock it is %s", int64(age.Seconds()), int64(ProofAge.Seconds()), now.UTC().Format(time.RFC3339)))
	case age < -proofSkew:
		return oauth.InvalidDPoPProof(fmt.Sprintf("the iat of the DPoP proof is %d s in the future: the clock of the client is fast. By this server's clock it is %s", int64(-age.Seconds()), now.UTC().Format(time.RFC3339)))
	}
	return nil
}

// checkProofToken: ath is the hash of the access token that is sent along
// (RFC 9449 §4.3 item 12).
func checkProofToken(ath, accessToken string) error {
	if accessToken == "" {
		return nil
	}
	sum := sha256.Sum256([]byte(accessToken))
	if !secret.Same(ath, base64.RawURLEncoding.EncodeToString(sum[:])) {
		return oauth.InvalidDPoPProof("the ath of the DPoP proof must be the base64url SHA-256 of the access token that is sent with it")
	}
	return nil
}

// checkProofKey: the proof is made with the key that the access token is bound
// to (RFC 9449 §4.3 item 12, §7.1).
func checkProofKey(jkt, bound string) error {
	if bound != "" && jkt != bound {
		return oauth.InvalidDPoPProof("the DPoP proof is made with another key than the one that the access token is bound to")
	}
	return nil
}
