package jose

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"strings"
	"testing"

	gojose "github.com/go-jose/go-jose/v4"
)

// jwks writes a set of public keys with the use given to each.
func jwks(t *testing.T, keys map[string]any) []byte {
	t.Helper()
	var set gojose.JSONWebKeySet
	for kidAndUse, key := range keys {
		kid, use, _ := strings.Cut(kidAndUse, " ")
		set.Keys = append(set.Keys, gojose.JSONWebKey{Key: key, KeyID: kid, Use: use})
	}
	raw, err := json.Marshal(set)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func ecKey(t *testing.T, curve elliptic.Curve) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func TestKeysOfOthersAreTakenByTheirUse(t *testing.T) {
	raw := jwks(t, map[string]any{
		"svid jwt-svid": ecKey(t, elliptic.P256()).Public(), "x509 x509-svid": ecKey(t, elliptic.P256()).Public(), "plain": ecKey(t, elliptic.P256()).Public(),
		"sig sig": ecKey(t, elliptic.P256()).Public(), "enc enc": ecKey(t, elliptic.P256()).Public(), "large sig": ecKey(t, elliptic.P384()).Public(), "large2 jwt-svid": ecKey(t, elliptic.P521()).Public(),
	})
	for want, parse := range map[string]func([]byte) (KeySet, error){"plain sig": ParseIssuerKeySet, "plain svid": ParseBundle} {
		set, err := parse(raw)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, k := range set.Keys {
			got = append(got, k.ID)
			if !k.UsableWith(ES256) {
				t.Errorf("%s cannot be used", k.ID)
			}
		}
		names := strings.Fields(want)
		if len(got) != 2 || !(strings.Contains(want, got[0]) && strings.Contains(want, got[1])) {
			t.Errorf("took %v, want %v", got, names)
		}
	}
}

func TestAnIssuersSecretsAreNoReasonToTrustIt(t *testing.T) {
	private := ecKey(t, elliptic.P256())
	for name, raw := range map[string][]byte{
		"a private key":   jwks(t, map[string]any{"a sig": private}),
		"a symmetric key": []byte(`{"keys":[{"kty":"oct","k":"AAAA"}]}`),
		"nothing usable":  jwks(t, map[string]any{"a sig": ecKey(t, elliptic.P384()).Public()}),
		"no keys":         []byte(`{"keys":[]}`),
		"no object":       []byte(`[]`),
		"too many":        []byte(`{"keys":[` + strings.Repeat(`{},`, maxForeignKeys) + `{}]}`),
	} {
		if set, err := ParseIssuerKeySet(raw); err == nil {
			t.Errorf("%s: read as %d keys", name, len(set.Keys))
		}
	}
}
