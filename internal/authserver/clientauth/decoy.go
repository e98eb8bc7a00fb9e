package clientauth

import (
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	"math/big"

	"github.com/offkey/offkey/internal/client"
	"github.com/offkey/offkey/internal/jose"
	"github.com/offkey/offkey/internal/secret"
)

// decoy stands in for a client that is not there, so that an unknown client
// costs as much as a wrong secret or signature. Nobody knows its secret or its
// private keys.
type decoy struct {
	credentials []client.Credential
	keys        map[jose.Algorithm]jose.PublicKey
}

func newDecoy() (decoy, error) {
	d := decoy{keys: make(map[jose.Algorithm]jose.PublicKey)}
	d.credentials = []client.Credential{{Kind: client.KindSecret, Hash: secret.HashOf(secret.Generate(secret.KindClientSecret).Reveal())}}
	for _, alg := range []jose.Algorithm{jose.ES256, jose.EdDSA} {
		signer, err := jose.GenerateSigningKey(alg)
		if err != nil {
			return decoy{}, fmt.Errorf("client authentication: %w", err)
		}
		d.keys[alg] = signer.Public()
	}
	for _, alg := range []jose.Algorithm{jose.RS256, jose.PS256} {
		d.keys[alg] = jose.PublicKey{Alg: alg, Key: &rsa.PublicKey{N: modulus(), E: 65537}}
	}
	return d, nil
}

// modulus is a random odd number of 2048 bits: to verify with it costs what a
// real modulus costs, and making it takes no time at the start.
func modulus() *big.Int {
	var b [256]byte
	_, _ = rand.Read(b[:]) // never fails, crypto/rand
	b[0] |= 0x80
	b[255] |= 1
	return new(big.Int).SetBytes(b[:])
}
