package oauthclient

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"

	"golang.org/x/oauth2"

	"github.com/offkey/offkey/internal/jose"
	"github.com/offkey/offkey/internal/oauth"
)

// Proof makes the DPoP proof of one request (RFC 9449 §4.2): that whoever makes
// it holds the key of DPoPKey or DPoPKeyFile. accessToken is what the request
// carries, "" for a request for a token. The nonce is the last one that the
// origin of target has handed out.
func (c *Config) Proof(method, target, accessToken string) (string, error) {
	key, err := c.proofKey()
	if err != nil {
		return "", err
	}
	u, err := url.Parse(target)
	if err != nil || u.Host == "" {
		return "", &Error{Doing: "make a DPoP proof", Code: "bad_config", Message: fmt.Sprintf("%q is not a URL", printable(target)), Fix: "write it as https://api.example.com/v1/orders"}
	}
	claims := proofClaims{ID: newJTI(), Method: method, URL: withoutQuery(u), IssuedAt: c.now().Unix(), Nonce: c.nonceOf(u, accessToken == "")}
	if accessToken != "" {
		sum := sha256.Sum256([]byte(accessToken))
		claims.AccessTokenHash = base64.RawURLEncoding.EncodeToString(sum[:])
	}
	raw, err := json.Marshal(claims)
	if err != nil {
		return "", fmt.Errorf("oauthclient: encode the proof: %w", err)
	}
	return key.SignSelfSigned(oauth.TypDPoPProof, raw)
}

// proofClaims says for which request a proof was made (RFC 9449 §4.2).
type proofClaims struct {
	ID              string `json:"jti"`
	Method          string `json:"htm"`
	URL             string `json:"htu"`
	IssuedAt        int64  `json:"iat"`
	AccessTokenHash string `json:"ath,omitempty"`
	Nonce           string `json:"nonce,omitempty"`
}

// withoutQuery is htu: neither query nor fragment are part of it.
func withoutQuery(u *url.URL) string {
	bare := *u
	bare.RawQuery, bare.ForceQuery, bare.Fragment, bare.RawFragment, bare.User = "", false, "", "", nil
	return bare.String()
}

// usesDPoP reports whether tokens are to be bound to a key.
func (c *Config) usesDPoP() bool { return c.DPoPKey != nil || c.DPoPKeyFile != "" }

// proofKey is the key that tokens are bound to.
func (c *Config) proofKey() (*jose.SigningKey, error) {
	if c.DPoPKey != nil {
		key, err := jose.NewSigningKey(c.DPoPKey, "", "")
		if err != nil {
			return nil, &Error{Doing: "use the DPoP key", Code: "bad_key", Message: err.Error(), Err: err, Fix: "use an ECDSA P-256, Ed25519 or RSA key (2048 bits or more)"}
		}
		return key, nil
	}
	if c.DPoPKeyFile == "" {
		return nil, &Error{Doing: "make a DPoP proof", Code: "bad_config", Message: "no DPoP key is set", Fix: "set DPoPKey or DPoPKeyFile"}
	}
	data, err := readKeyFile(c.DPoPKeyFile)
	if err != nil {
		return nil, err
	}
	key, err := jose.ParseSigningKeyPEM(data)
	if err != nil {
		return nil, &Error{Doing: "read the key file " + c.DPoPKeyFile, Code: "bad_key", Message: err.Error(), Err: err,
			Fix: "use an unencrypted private key in PEM form, as `offkey keygen` writes it"}
	}
	return key, nil
}

// DPoPThumbprint is that of the key that tokens are bound to (RFC 7638 §3), ""
// without one.
func (c *Config) DPoPThumbprint() (string, error) {
	if !c.usesDPoP() {
		return "", nil
	}
	key, err := c.proofKey()
	if err != nil {
		return "", err
	}
	return key.Public().Thumbprint(), nil
}

// NewDPoPKey makes a key for DPoPKey. It may be new for every process: tokens are
// asked for again.
func NewDPoPKey() (crypto.Signer, error) { return ecdsa.GenerateKey(elliptic.P256(), rand.Reader) }

// Authorize puts the token on a request, with a proof for it if the token is bound
// to a key. It changes the request.
func (c *Config) Authorize(req *http.Request, token *oauth2.Token) error {
	if token.TokenType != oauth.TokenTypeDPoP {
		req.Header.Set("Authorization", oauth.TokenTypeBearer+" "+token.AccessToken)
		return nil
	}
	proof, err := c.Proof(req.Method, seenURL(req), token.AccessToken)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", oauth.TokenTypeDPoP+" "+token.AccessToken)
	req.Header.Set("DPoP", proof)
	return nil
}

// seenURL is where a request goes as its server sees it.
func seenURL(req *http.Request) string {
	u := *req.URL
	if req.Host != "" {
		u.Host = req.Host
	}
	return u.String()
}

// WantsNonce notes the DPoP nonce that an answer brings, and reports whether the
// request was refused for want of it: then it is to be made again, once, with a
// new proof (RFC 9449 §8, §9).
func (c *Config) WantsNonce(resp *http.Response) bool {
	if resp.Request == nil || !c.noteNonce(resp.Request.URL, false, resp.Header) || resp.StatusCode != http.StatusUnauthorized {
		return false
	}
	for _, ch := range parseChallenges(resp.Header.Values("WWW-Authenticate")) {
		if ch.scheme == "dpop" && ch.params["error"] == oauth.CodeUseDPoPNonce {
			return true
		}
	}
	return false
}

// maxNonces bounds the origins whose nonces are remembered, maxNonce a nonce.
const (
	maxNonces = 64
	maxNonce  = 1024
)

// noteNonce remembers the nonce of an answer, if it brings one. An issuer and an
// API at one origin have nonces of their own (RFC 9449 §9).
func (c *Config) noteNonce(u *url.URL, issuer bool, h http.Header) bool {
	nonce := h.Get("DPoP-Nonce")
	if nonce == "" || len(nonce) > maxNonce {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.nonces == nil {
		c.nonces = make(map[string]string)
	}
	for old := range c.nonces {
		if len(c.nonces) < maxNonces {
			break
		}
		delete(c.nonces, old) // some entry: maps start anywhere
	}
	c.nonces[nonceName(u, issuer)] = nonce
	return true
}

func (c *Config) nonceOf(u *url.URL, issuer bool) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.nonces[nonceName(u, issuer)]
}

func nonceName(u *url.URL, issuer bool) string {
	if issuer {
		return "issuer " + origin(u)
	}
	return origin(u)
}

// proveKey adds the proof of a request for a token.
func (c *Config) proveKey(method, target string, header http.Header) error {
	if !c.usesDPoP() {
		return nil
	}
	proof, err := c.Proof(method, target, "")
	if err != nil {
		return err
	}
	header.Set("DPoP", proof)
	return nil
}
