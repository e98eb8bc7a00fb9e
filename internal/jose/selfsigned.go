package jose

import (
	"encoding/base64"
	stdjson "encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/go-jose/go-jose/v4/json"
)

// SelfSigned is a JWT whose signature was checked with the key that its own
// header brings. It proves that whoever made it holds that key, and nothing of
// who that is.
type SelfSigned struct {
	Header Header
	Key    PublicKey
	Claims []byte // a JSON object without duplicate members: read it with DecodeClaims
}

// VerifySelfSigned reads a JWT signed by one of allowed with the key in its
// header member jwk (RFC 7515 §4.1.3). A private or symmetric key is refused,
// and so is a key of a kind or size that ParseKeySet would refuse. What the key
// itself names as its alg must be that of the header.
func VerifySelfSigned(raw string, allowed ...Algorithm) (SelfSigned, error) {
	if len(raw) > MaxTokenSize {
		return SelfSigned{}, fmt.Errorf("%w: %d bytes, at most %d are read", ErrMalformed, len(raw), MaxTokenSize)
	}
	key, err := headerKey(raw) // before the library reads it, which is less exact about what is wrong
	if err != nil {
		return SelfSigned{}, err
	}
	jwt, err := Parse(raw, allowed...)
	if err != nil {
		return SelfSigned{}, err
	}
	claims, err := jwt.Verify(key)
	if err != nil {
		return SelfSigned{}, err
	}
	return SelfSigned{Header: jwt.Header(), Key: key, Claims: claims}, nil
}

// headerKey is the jwk of the protected header.
func headerKey(raw string) (PublicKey, error) {
	part, _, _ := strings.Cut(raw, ".")
	text, err := base64.RawURLEncoding.DecodeString(part)
	if err != nil {
		return PublicKey{}, fmt.Errorf("%w: part 1 is not base64url without padding", ErrMalformed)
	}
	var header struct {
		JWK json.RawMessage `json:"jwk"`
	}
	if err := decodeObject(text, &header); err != nil {
		return PublicKey{}, fmt.Errorf("%w: header: %v", ErrMalformed, err)
	}
	if header.JWK == nil {
		return PublicKey{}, fmt.Errorf("%w: the header has no jwk", ErrNoKey)
	}
	key, err := ParsePublicKey(header.JWK)
	if err != nil {
		return PublicKey{}, errors.Join(ErrNoKey, err)
	}
	return key, nil
}

// SignSelfSigned returns the JWT of claims with the public key in its header, as
// VerifySelfSigned reads it: a DPoP proof (RFC 9449 §4.2).
func (k *SigningKey) SignSelfSigned(typ string, claims []byte) (string, error) {
	public := PublicKey{Key: k.public.Key} // the bare key: nobody needs its kid
	raw, err := stdjson.Marshal(struct {
		Typ string    `json:"typ"`
		Alg Algorithm `json:"alg"`
		JWK PublicKey `json:"jwk"`
	}{typ, k.Alg(), public})
	if err != nil {
		return "", fmt.Errorf("encode JWT header: %w", err)
	}
	return k.join(base64.RawURLEncoding.EncodeToString(raw), claims)
}
