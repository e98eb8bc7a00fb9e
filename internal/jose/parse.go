package jose

import (
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	gojose "github.com/go-jose/go-jose/v4"
)

// What Parse and Verify can find wrong, for errors.Is.
var (
	ErrMalformed = errors.New("malformed JWT")
	ErrAlgorithm = errors.New("signature algorithm not accepted")
	ErrNoKey     = errors.New("no key fits the JWT")
	ErrSignature = errors.New("JWT signature is wrong")
)

// MaxTokenSize is the longest JWT read, in bytes.
const MaxTokenSize = 16 << 10

// Header is what the protected header says. Nothing of it is proved before
// Verify.
type Header struct {
	Alg   Algorithm // EdDSA under either of its names
	KeyID string    // empty if there is none
	Type  string    // typ in lower case, without "application/"
}

// Unverified is a JWT whose signature has not been checked.
type Unverified struct {
	jws     *gojose.JSONWebSignature
	header  Header
	renamed string // the signed bytes, where the header says Ed25519
}

// Parse reads a JWT in compact form (RFC 7515 §7.1) signed with one of allowed.
// It refuses what two readers could understand differently: whitespace and
// non-canonical base64url, duplicate header members, and every crit, since no
// extension is understood here (RFC 7515 §4.1.11). It trusts no key that the
// header itself brings.
func Parse(raw string, allowed ...Algorithm) (*Unverified, error) {
	if len(raw) > MaxTokenSize {
		return nil, fmt.Errorf("%w: %d bytes, at most %d are read", ErrMalformed, len(raw), MaxTokenSize)
	}
	if err := checkCompact(raw); err != nil {
		return nil, err
	}
	jws, err := gojose.ParseSignedCompact(raw, gojoseAlgorithms(allowed))
	var wrongAlg *gojose.ErrUnexpectedSignatureAlgorithm
	switch {
	case errors.As(err, &wrongAlg):
		return nil, fmt.Errorf("%w: alg is %q, accepted: %s", ErrAlgorithm, string(wrongAlg.Got), list(allowed))
	case err != nil:
		return nil, fmt.Errorf("%w: %v", ErrMalformed, headerCause(raw, err))
	}
	protected := jws.Signatures[0].Protected
	for _, name := range []gojose.HeaderKey{"crit", "b64"} {
		if _, there := protected.ExtraHeaders[name]; there {
			return nil, fmt.Errorf("%w: header member %q is not understood", ErrMalformed, name)
		}
	}
	typ, err := headerType(protected)
	if err != nil {
		return nil, err
	}
	u := &Unverified{jws: jws, header: Header{Alg: AlgorithmNamed(protected.Algorithm), KeyID: protected.KeyID, Type: typ}}
	if protected.Algorithm == ed25519Name {
		u.renamed = raw[:strings.LastIndexByte(raw, '.')] // RFC 7515 §5.2
	}
	return u, nil
}

// headerCause finds what is wrong with the header, of which the library says
// only that something is.
func headerCause(raw string, err error) error {
	part, _, _ := strings.Cut(raw, ".")
	header, decodeErr := base64.RawURLEncoding.DecodeString(part)
	if decodeErr == nil {
		if cause := checkObject(header); cause != nil {
			return fmt.Errorf("header: %w", cause)
		}
	}
	return plain(err)
}

// checkCompact allows exactly three parts of canonical base64url. The decoder
// would skip line breaks and ignore spare bits, so that one signature had many
// spellings, and a list of refused or spent tokens could be walked around.
func checkCompact(raw string) error {
	if raw == "" {
		return fmt.Errorf("%w: empty", ErrMalformed)
	}
	parts := 0
	for part := range strings.SplitSeq(raw, ".") {
		if parts++; part == "" || !isCanonicalBase64URL(part) {
			return fmt.Errorf("%w: part %d is not base64url without padding", ErrMalformed, parts)
		}
	}
	if parts != 3 {
		return fmt.Errorf("%w: %d parts, want 3", ErrMalformed, parts)
	}
	return nil
}

// isCanonicalBase64URL reports whether s is the only spelling of its bytes
// (RFC 4648 §3.5).
func isCanonicalBase64URL(s string) bool {
	last := 0
	for i := range len(s) {
		switch c := s[i]; {
		case c >= 'A' && c <= 'Z':
			last = int(c - 'A')
		case c >= 'a' && c <= 'z':
			last = int(c-'a') + 26
		case c >= '0' && c <= '9':
			last = int(c-'0') + 52
		case c == '-':
			last = 62
		case c == '_':
			last = 63
		default:
			return false
		}
	}
	switch len(s) % 4 {
	case 1:
		return false
	case 2:
		return last&15 == 0
	case 3:
		return last&3 == 0
	}
	return true
}

// headerType reads typ as RFC 7515 §4.1.9 compares it.
func headerType(h gojose.Header) (string, error) {
	value, there := h.ExtraHeaders[gojose.HeaderType]
	if !there {
		return "", nil
	}
	typ, ok := value.(string)
	if !ok {
		return "", fmt.Errorf("%w: typ is not a string", ErrMalformed)
	}
	return strings.TrimPrefix(strings.ToLower(typ), "application/"), nil
}

// Header returns the header, to choose a key by.
func (u *Unverified) Header() Header { return u.header }

// Peek reads the claims WITHOUT ANY PROOF of who wrote them, to find whose keys
// Verify needs. Nothing else may be decided by them.
func (u *Unverified) Peek(dst any) error {
	if err := DecodeClaims(u.jws.UnsafePayloadWithoutVerification(), dst); err != nil {
		return fmt.Errorf("%w: claims: %v", ErrMalformed, err)
	}
	return nil
}

// Verify checks the signature with those of keys that fit the header's alg and
// returns the claims, a JSON object without duplicate members: read it with
// DecodeClaims. The error is ErrNoKey if none fits, ErrSignature if none of
// those that fit made it.
func (u *Unverified) Verify(keys ...PublicKey) (claims []byte, err error) {
	fits := 0
	for _, k := range keys {
		if !k.UsableWith(u.header.Alg) {
			continue
		}
		fits++
		claims, err := u.verify(k)
		if err != nil {
			continue
		}
		if err := checkObject(claims); err != nil {
			return nil, fmt.Errorf("%w: claims: %v", ErrMalformed, err)
		}
		return claims, nil
	}
	if fits == 0 {
		return nil, fmt.Errorf("%w: alg %s, kid %q", ErrNoKey, u.header.Alg, u.header.KeyID)
	}
	return nil, ErrSignature
}

// verify checks the signature with one key that fits alg.
func (u *Unverified) verify(k PublicKey) (claims []byte, err error) {
	if u.renamed == "" {
		return u.jws.Verify(k.Key)
	}
	return u.verifyRenamed(k)
}

// verifyRenamed checks a signature whose header names EdDSA as RFC 9864 §2.2
// does, which the library does not know. All else was judged by Parse, as
// strictly as any other JWT.
func (u *Unverified) verifyRenamed(k PublicKey) (claims []byte, err error) {
	key, ok := k.Key.(ed25519.PublicKey)
	if !ok || !ed25519.Verify(key, []byte(u.renamed), u.jws.Signatures[0].Signature) {
		return nil, ErrSignature
	}
	return u.jws.UnsafePayloadWithoutVerification(), nil
}
