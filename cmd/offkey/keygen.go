package main

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/offkey/offkey/internal/jose"
)

// keygenCmd makes a key pair for any issuer: the private half into a file, the
// public half to stdout.
type keygenCmd struct {
	Alg   string `default:"ES256" placeholder:"ALG" help:"ES256 or EdDSA; PS256 or RS256 for an issuer that knows no other. Default ES256."`
	Out   string `type:"path" default:"key.pem" placeholder:"FILE" help:"Where the private key goes (PEM, mode 0600). Default key.pem."`
	JWKS  string `name:"jwks" type:"path" placeholder:"FILE" help:"Write the public key set to this file too."`
	Force bool   `help:"Replace files that exist."`
}

func (keygenCmd) Help() string {
	return `Examples:
  offkey keygen
  offkey keygen --alg EdDSA --out billing.pem --jwks billing.jwks

The public half goes to standard output, as a JWK set to register with an issuer.`
}

// Run makes the pair.
func (c *keygenCmd) Run(_ context.Context, t *terminal) error {
	alg, err := clientAlgorithm(c.Alg)
	if err != nil {
		return err
	}
	if !c.Force {
		for _, path := range []string{c.Out, c.JWKS} {
			if _, err := os.Lstat(path); path != "" && !errors.Is(err, fs.ErrNotExist) {
				return failed("file_exists", path+" exists, and a private key that is overwritten is gone", "choose another file with --out, or add --force", nil)
			}
		}
	}
	key, err := jose.GenerateSigningKey(alg)
	if err != nil {
		return err
	}
	if err := writeKey(c.Out, key); err != nil {
		return err
	}
	set := jose.KeySet{Keys: []jose.PublicKey{key.Public()}}
	if c.JWKS != "" {
		if err := writeJSONFile(c.JWKS, set); err != nil {
			return err
		}
		t.done("public key set in %s", c.JWKS)
	}
	t.done("private key in %s, for its owner alone (0600); it is never sent", absolute(c.Out))
	t.say("Register the public key set below, kid %s, with the issuer.", key.ID())
	return t.document(set)
}

// writeKey writes the private half (PKCS#8, 0600).
func writeKey(path string, key *jose.SigningKey) error {
	pem, err := key.PEM()
	if err != nil {
		return err
	}
	return writeFile(path, pem)
}

func absolute(path string) string {
	if whole, err := filepath.Abs(path); err == nil {
		return whole
	}
	return path
}
