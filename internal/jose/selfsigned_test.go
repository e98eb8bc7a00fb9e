package jose

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"
)

func TestASelfSignedJWTIsCheckedWithTheKeyThatItBrings(t *testing.T) {
	for _, alg := range ProofAlgorithms {
		key, err := GenerateSigningKey(alg)
		if err != nil {
			t.Fatal(err)
		}
		raw, err := key.SignSelfSigned("dpop+jwt", []byte(`{"jti":"1"}`))
		if err != nil {
			t.Fatal(alg, err)
		}
		got, err := VerifySelfSigned(raw, ProofAlgorithms...)
		if err != nil {
			t.Fatal(alg, err)
		}
		if got.Header.Type != "dpop+jwt" || got.Header.Alg != alg || string(got.Claims) != `{"jti":"1"}` || got.Key.Thumbprint() != key.Public().Thumbprint() {
			t.Errorf("%s: %+v", alg, got)
		}
		if _, err := VerifySelfSigned(raw[:len(raw)-4]+"AAAA", ProofAlgorithms...); !errors.Is(err, ErrSignature) {
			t.Errorf("%s: another signature: %v", alg, err)
		}
	}
}

func TestWhichKeysOfAHeaderAreRefused(t *testing.T) {
	// checklist_144
	const point = `"crv":"P-256","x":"l8tFrhx-34tV3hRICRDY9zCkDlpBhF42UQUfWVAWBFs","y":"9VE4jf_Ok_o64zbTTlcuNJajHmt6v9TDVrU0CdvGRDA"`
	for name, header := range map[string]string{
		"no jwk":           `{"typ":"dpop+jwt","alg":"ES256"}`,
		"null":             `{"typ":"dpop+jwt","alg":"ES256","jwk":null}`,
		"a private key":    `{"typ":"dpop+jwt","alg":"ES256","jwk":{"kty":"EC",` + point + `,"d":"AAAA"}}`,
		"a symmetric key":  `{"typ":"dpop+jwt","alg":"HS256","jwk":{"kty":"oct","k":"AAAA"}}`,
		"another curve":    `{"typ":"dpop+jwt","alg":"ES256","jwk":{"kty":"EC","crv":"P-384","x":"AA","y":"AA"}}`,
		"not on the curve": `{"typ":"dpop+jwt","alg":"ES256","jwk":{"kty":"EC","crv":"P-256","x":"l8tFrhx-34tV3hRICRDY9zCkDlpBhF42UQUfWVAWBFs","y":"l8tFrhx-34tV3hRICRDY9zCkDlpBhF42UQUfWVAWBFs"}}`,
		"for encryption":   `{"typ":"dpop+jwt","alg":"ES256","jwk":{"kty":"EC",` + point + `,"use":"enc"}}`,
		"of another alg":   `{"typ":"dpop+jwt","alg":"EdDSA","jwk":{"kty":"EC",` + point + `}}`,
		"a text":           `{"typ":"dpop+jwt","alg":"ES256","jwk":"x"}`,
		"two keys":         `{"typ":"dpop+jwt","alg":"ES256","jwk":{"kty":"EC",` + point + `},"jwk":{"kty":"EC",` + point + `}}`,
		"alg none":         `{"typ":"dpop+jwt","alg":"none","jwk":{"kty":"EC",` + point + `}}`,
		"crit":             `{"typ":"dpop+jwt","alg":"ES256","crit":["x"],"x":1,"jwk":{"kty":"EC",` + point + `}}`,
	} {
		raw := base64.RawURLEncoding.EncodeToString([]byte(header)) + ".e30." + strings.Repeat("A", 86)
		_, err := VerifySelfSigned(raw, ProofAlgorithms...)
		if err == nil || errors.Is(err, ErrSignature) {
			t.Errorf("%s: %v", name, err)
		}
		if name == "a private key" && !strings.Contains(fmt.Sprint(err), "private") {
			t.Errorf("a private key: %v does not say so", err)
		}
	}
}
