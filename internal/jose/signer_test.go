package jose

import (
	"crypto"
	"io"
	"testing"
)

// elsewhere hides the type of a key, as a hardware token does.
type elsewhere struct{ key crypto.Signer }

func (e elsewhere) Public() crypto.PublicKey { return e.key.Public() }
func (e elsewhere) Sign(r io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	return e.key.Sign(r, digest, opts)
}

func TestKeyHeldElsewhereSigns(t *testing.T) {
	for _, alg := range ClientAlgorithms {
		t.Run(string(alg), func(t *testing.T) {
			local, err := GenerateSigningKey(alg)
			if err != nil {
				t.Fatal(err)
			}
			key, err := NewSigningKey(elsewhere{local.signer}, "", alg)
			if err != nil {
				t.Fatal(err)
			}
			if key.ID() != local.ID() {
				t.Errorf("kid %s, want the thumbprint %s", key.ID(), local.ID())
			}
			for range 20 { // a short r or s comes once in about 128 signatures
				jwt, err := key.WithID("mine").Sign("x+jwt", []byte(`{"a":1}`))
				if err != nil {
					t.Fatal(err)
				}
				parsed, err := Parse(jwt, alg)
				if err != nil {
					t.Fatal(err)
				}
				if got := parsed.Header().KeyID; got != "mine" {
					t.Errorf("kid %q, want the one given", got)
				}
				public := local.Public()
				public.ID = "mine"
				if _, err := parsed.Verify(KeySet{Keys: []PublicKey{public}}.Candidates("mine", alg)...); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

func TestKeyHeldElsewhereIsRefused(t *testing.T) {
	local, err := GenerateSigningKey(ES256)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := NewSigningKey(elsewhere{local.signer}, "", EdDSA); err == nil {
		t.Error("an EC key signs EdDSA")
	}
	if _, err := NewSigningKey(nil, "", ES256); err == nil {
		t.Error("no key signs")
	}
}
