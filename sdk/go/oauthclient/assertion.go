package oauthclient

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"time"

	"github.com/offkey/offkey/internal/jose"
	"github.com/offkey/offkey/internal/oauth"
)

const (
	// assertionLife is the default time in which an assertion can be used.
	assertionLife = 60 * time.Second
	// jtiBytes of randomness name an assertion once and for all.
	jtiBytes = 20
	// keyFileLimit bounds what is read of a key file.
	keyFileLimit = 64 << 10
)

// Assertion makes a new client assertion (RFC 7523 §3): a JWT by which this
// client proves itself once, to this issuer, within a minute. It is made from
// the local key alone; nothing is sent.
func (c *Config) Assertion(context.Context) (string, error) {
	if c.ClientID == "" || c.audience() == "" {
		return "", &Error{Doing: "make an assertion", Code: "bad_config",
			Message: "a client id and an issuer are needed", Fix: "set ClientID, and Issuer or Audience"}
	}
	key, err := c.signingKey()
	if err != nil {
		return "", err
	}
	now := c.now()
	claims, err := json.Marshal(assertionClaims{
		Issuer: c.ClientID, Subject: c.ClientID, Audience: c.audience(), ID: newJTI(),
		IssuedAt: now.Unix(), Expires: now.Add(cmp.Or(c.AssertionLife, assertionLife)).Unix(),
	})
	if err != nil {
		return "", fmt.Errorf("oauthclient: encode the assertion: %w", err)
	}
	// The explicit type keeps it from being taken for another kind of JWT
	// (RFC 8725 §3.11).
	return key.Sign(oauth.TypClientAuthentication, claims)
}

// assertionClaims says who (iss and sub are both the client), to whom (one
// string), and from when to when (RFC 7523 §3).
type assertionClaims struct {
	Issuer   string `json:"iss"`
	Subject  string `json:"sub"`
	Audience string `json:"aud"`
	ID       string `json:"jti"`
	IssuedAt int64  `json:"iat"`
	Expires  int64  `json:"exp"`
}

// newJTI is 160 random bits. crypto/rand ends the program rather than fail.
func newJTI() string {
	b := make([]byte, jtiBytes)
	_, _ = rand.Read(b)
	return base64.RawURLEncoding.EncodeToString(b)
}

// signingKey is the client's key, from Signer or from KeyFile.
func (c *Config) signingKey() (*jose.SigningKey, error) {
	if c.Signer != nil {
		key, err := jose.NewSigningKey(c.Signer, c.KeyID, jose.Algorithm(c.Algorithm))
		if err != nil {
			return nil, &Error{Doing: "use the signer", Code: "bad_key", Message: err.Error(), Err: err,
				Fix: "use an ECDSA P-256, Ed25519 or RSA key (2048 bits or more), with its algorithm"}
		}
		return key, nil
	}
	data, err := readKeyFile(c.KeyFile)
	if err != nil {
		return nil, err
	}
	key, err := jose.ParseSigningKeyPEM(data, jose.Algorithm(c.Algorithm))
	if err == nil && c.KeyID != "" {
		key = key.WithID(c.KeyID)
	}
	if err != nil {
		return nil, &Error{Doing: "read the key file " + c.KeyFile, Code: "bad_key", Message: err.Error(), Err: err,
			Fix: "use an unencrypted private key in PEM form, as `offkey keygen` writes it"}
	}
	return key, nil
}

// PublicKeyID is the kid that the assertions carry.
func (c *Config) PublicKeyID() (string, error) {
	key, err := c.signingKey()
	if err != nil {
		return "", err
	}
	return key.ID(), nil
}

// readKeyFile reads a private key's file, unless others than its owner and
// group could read it too, or change it.
func readKeyFile(path string) ([]byte, error) {
	doing := "read the key file " + path
	info, err := os.Stat(path)
	if err != nil {
		return nil, &Error{Doing: doing, Code: "bad_key", Message: "it cannot be read: " + pathCause(err), Err: err, Fix: "check the path"}
	}
	switch {
	case !info.Mode().IsRegular():
		return nil, &Error{Doing: doing, Code: "bad_key", Message: "it is not a file", Fix: "give the path of a PEM file"}
	case info.Size() > keyFileLimit:
		return nil, &Error{Doing: doing, Code: "bad_key", Message: fmt.Sprintf("it has %d bytes: no private key is that long", info.Size()), Fix: "give the path of a PEM file"}
	}
	if err := checkKeyMode(path, info.Mode().Perm()); err != nil {
		return nil, err
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, &Error{Doing: doing, Code: "bad_key", Message: "it cannot be read: " + pathCause(err), Err: err, Fix: "run as the user who owns it"}
	}
	return data, nil
}

// checkKeyMode refuses a private key that other users of the machine can read,
// or that its group can replace. Windows keeps its rights elsewhere.
func checkKeyMode(path string, mode os.FileMode) error {
	if runtime.GOOS == "windows" || mode&0o027 == 0 {
		return nil
	}
	return &Error{Doing: "read the key file " + path, Code: "bad_key",
		Message: fmt.Sprintf("other users of this machine can get at the private key (mode %04o)", mode),
		Fix:     fmt.Sprintf("chmod 600 %s (in Kubernetes: defaultMode: 0440), and make a new key if someone may have read it", path)}
}
