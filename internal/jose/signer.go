package jose

import (
	"crypto"
	"crypto/rand"
	"errors"
	"fmt"
)

// NewSigningKey takes a key that is held elsewhere, in a hardware token or a
// key service, or in memory. An empty kid stands for the thumbprint, an empty
// alg for the usual one of the key's type.
func NewSigningKey(signer crypto.Signer, kid string, alg Algorithm) (*SigningKey, error) {
	if signer == nil {
		return nil, errors.New("no signer")
	}
	public := PublicKey{ID: kid, Alg: alg, Use: "sig", Key: signer.Public()}
	if err := checkKeyUpTo(public.Key, maxOwnRSABits); err != nil {
		return nil, err
	}
	if alg == "" {
		public.Alg = usualAlgorithm(public.Key)
	}
	if !fits(public.Key, public.Alg) {
		return nil, fmt.Errorf("%w: %q with a key of type %T", ErrAlgorithm, string(public.Alg), public.Key)
	}
	if public.ID == "" {
		public.ID = public.Thumbprint()
	}
	return &SigningKey{public: public, signer: signer}, nil
}

// WithID returns the same key under another kid.
func (k *SigningKey) WithID(kid string) *SigningKey {
	public := k.public
	public.ID = kid
	return &SigningKey{public: public, signer: k.signer}
}

// signElsewhere asks whatever holds the key for a signature.
func (k *SigningKey) signElsewhere(input, digest []byte) ([]byte, error) {
	switch k.Alg() {
	case EdDSA:
		return k.signer.Sign(rand.Reader, input, crypto.Hash(0))
	case ES256:
		der, err := k.signer.Sign(rand.Reader, digest, crypto.SHA256)
		if err != nil {
			return nil, err
		}
		return rawSignature(der)
	case PS256:
		return k.signer.Sign(rand.Reader, digest, &pssOptions)
	default:
		return k.signer.Sign(rand.Reader, digest, crypto.SHA256)
	}
}
