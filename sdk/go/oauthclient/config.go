package oauthclient

import (
	"cmp"
	"context"
	"crypto"
	"crypto/tls"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"golang.org/x/oauth2"

	"github.com/offkey/offkey/internal/oauth"
)

// AuthMethod is how a client proves itself at the token endpoint, spelled as
// in `token_endpoint_auth_method` (RFC 7591 §2).
type AuthMethod string

// The methods spoken here. PrivateKeyJWT is the one to choose: nothing that is
// sent can be used again.
const (
	PrivateKeyJWT     AuthMethod = oauth.AuthPrivateKeyJWT
	ClientSecretBasic AuthMethod = oauth.AuthClientSecretBasic
	ClientSecretPost  AuthMethod = oauth.AuthClientSecretPost
	// TLSClientAuth and SelfSignedTLSClientAuth prove the client by the certificate
	// of Config.TLS (RFC 8705 §2).
	TLSClientAuth           AuthMethod = oauth.AuthTLSClient
	SelfSignedTLSClientAuth AuthMethod = oauth.AuthSelfSignedTLSClient
	// None is of a public client, which proves nothing: a person signs in with
	// it, by [Config.StartDevice].
	None AuthMethod = oauth.AuthNone
)

// Config says who the program is, at which issuer, and which tokens it wants.
// The zero value of every field but ClientID, Issuer and the credential is a
// working default. Set the fields before first use and do not copy a Config.
type Config struct {
	// Issuer is the authorization server's identifier, exactly as its metadata
	// states it. Without TokenURL the token endpoint is found there.
	Issuer string
	// TokenURL is the token endpoint, if it is not to be discovered.
	TokenURL string
	// ClientID is the name under which the issuer knows this program.
	ClientID string

	// Signer holds the private half of the registered key pair: ECDSA P-256,
	// Ed25519 or RSA of 2048 to 3072 bits. It may live in hardware.
	Signer crypto.Signer
	// KeyFile is a PEM file (PKCS#8, SEC 1 or PKCS#1) to use instead of
	// Signer. It is read for every assertion, so it can be replaced in place.
	KeyFile string
	// KeyID is the `kid` of the registered public key; default is its SHA-256
	// thumbprint (RFC 7638 §3).
	KeyID string
	// Algorithm is the JWS algorithm; default ES256, EdDSA or PS256 by the
	// key's kind. It needs to be set only to choose RS256.
	Algorithm string
	// Secret is the client secret, for the two methods that use one.
	Secret Secret
	// AuthMethod is, by default, private_key_jwt with a key and
	// client_secret_basic with a secret.
	AuthMethod AuthMethod

	// DPoPKey binds the tokens to a key, so that nobody else can use them
	// (RFC 9449): every request carries a proof made with it. It need not be
	// registered, and may be new for every process (see [NewDPoPKey]).
	DPoPKey crypto.Signer
	// DPoPKeyFile is a PEM file to use instead.
	DPoPKeyFile string
	// TLS is how connections are made to the issuer, and by Transport(nil) to the
	// API. With a certificate in it the client can prove itself by that, at the
	// issuer's mtls_endpoint_aliases, and have tokens bound to it (RFC 8705).
	TLS *tls.Config

	// Scopes are asked for in every token request. With none, none is asked.
	Scopes []string
	// Resource is the API that the tokens are for (RFC 8707 §2); tokens are
	// sent to its origin and no other.
	Resource string
	// Origins are further places (scheme://host:port) that may see the tokens.
	Origins []string
	// Audience of the assertions; default is Issuer, as the specs now require.
	// Some older servers expect their token endpoint here.
	Audience string
	// AssertionLife is how long an assertion can be used; default 60 s.
	AssertionLife time.Duration

	// UserAgent names the program to the issuer, which shows it to whoever signs
	// in for a device; default is offkey-oauthclient.
	UserAgent string
	// HTTPClient makes the requests to the issuer; default is one with a
	// timeout of 30 s. Redirects are never followed with a credential.
	HTTPClient *http.Client
	// Now is the clock; default time.Now.
	Now func() time.Time

	mu         sync.Mutex
	discovered string            // the token endpoint from metadata, once known
	nonces     map[string]string // DPoP nonces, by who handed them out
	secured    *http.Client      // of TLS, made once
}

// Secret is a client secret or an apikey. It does not print, in any verb or
// encoding.
type Secret string

const hidden = "[hidden]"

// String hides the value.
func (Secret) String() string { return hidden }

// Format hides the value whatever the verb.
func (Secret) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(hidden)) }

// MarshalText hides the value; it also covers JSON and log/slog.
func (Secret) MarshalText() ([]byte, error) { return []byte(hidden), nil }

// String names the client and the issuer, and nothing else.
func (c *Config) String() string {
	return fmt.Sprintf("client %q at %s", c.ClientID, cmp.Or(c.Issuer, c.TokenURL))
}

// NewToken asks the issuer for one token, now, whatever is cached elsewhere.
// The token's "scope" (see [oauth2.Token.Extra]) is what was granted.
func (c *Config) NewToken(ctx context.Context) (*oauth2.Token, error) {
	if err := c.validate(); err != nil {
		return nil, err
	}
	endpoint, err := c.tokenEndpoint(ctx)
	if err != nil {
		return nil, err
	}
	return c.requestToken(ctx, endpoint)
}

// TokenSource gives tokens that are kept until 80 % of their life has passed.
// Callers that come together make one request; errors are never kept; a token
// that is still good is used if its early renewal fails. Requests are made
// with ctx.
func (c *Config) TokenSource(ctx context.Context) oauth2.TokenSource {
	return boundSource{ctx: ctx, source: newSource(c)}
}

func (c *Config) now() time.Time {
	if c.Now != nil {
		return c.Now()
	}
	return time.Now()
}

func (c *Config) audience() string { return cmp.Or(c.Audience, c.Issuer) }

func (c *Config) authMethod() AuthMethod {
	if c.AuthMethod == "" && c.Secret != "" {
		return ClientSecretBasic
	}
	if c.AuthMethod == "" && c.Signer == nil && c.KeyFile == "" && c.hasCertificate() {
		return TLSClientAuth // or self-signed: the request is the same
	}
	return cmp.Or(c.AuthMethod, PrivateKeyJWT)
}

// validate finds what would fail later with a less helpful text.
func (c *Config) validate() error {
	bad := func(message, fix string) error {
		return &Error{Doing: "use this client", Code: "bad_config", Message: message, Fix: fix}
	}
	switch c.authMethod() {
	case PrivateKeyJWT, ClientSecretBasic, ClientSecretPost, TLSClientAuth, SelfSignedTLSClientAuth, None:
	default:
		return bad(fmt.Sprintf("%q is not an authentication method spoken here", c.AuthMethod),
			"use private_key_jwt, client_secret_basic, client_secret_post, tls_client_auth or self_signed_tls_client_auth")
	}
	hasKey := c.Signer != nil || c.KeyFile != ""
	switch {
	case c.ClientID == "":
		return bad("no client id is set", "set ClientID to the id that the issuer registered")
	case c.Issuer == "" && c.TokenURL == "":
		return bad("neither an issuer nor a token endpoint is set", "set Issuer to the authorization server's URL")
	case hasKey && c.Secret != "":
		return bad("both a key and a secret are set, and a request may carry one proof only (RFC 6749 §2.3)", "set one of them")
	case c.authMethod() == None:
		if hasKey || c.Secret != "" {
			return bad("a key or a secret is set for a public client", "leave it out, or choose another method")
		}
	case c.authMethod() == PrivateKeyJWT && !hasKey:
		return bad("no key is set", "set Signer or KeyFile, or Secret for a client that has a secret")
	case c.byCertificate() && (hasKey || c.Secret != ""):
		return bad("a key or a secret is set beside a certificate that proves the client", "leave it out, or choose another AuthMethod")
	case c.byCertificate() && !c.hasCertificate():
		return bad(fmt.Sprintf("%s needs a certificate and none is set", c.authMethod()), "set TLS with a certificate in it")
	case c.byCertificate():
	case c.authMethod() != PrivateKeyJWT && c.Secret == "":
		return bad(fmt.Sprintf("%s needs a secret and none is set", c.authMethod()), "set Secret")
	}
	for _, scope := range c.Scopes {
		if !oauth.IsScopeName(scope) {
			return bad(fmt.Sprintf("%q is not one scope", scope), "give each scope as its own entry, without spaces, quotes or backslashes")
		}
	}
	if c.TokenURL != "" {
		if err := requireSecureURL("token endpoint", c.TokenURL); err != nil {
			return err
		}
	}
	return nil
}

// isVisible reports whether s can be a client id (RFC 6749 Appendix A.1).
func isVisible(s string) bool {
	return s != "" && strings.IndexFunc(s, func(r rune) bool { return r < 0x20 || r > 0x7e }) < 0
}
