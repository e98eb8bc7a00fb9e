package jose

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	stdjson "encoding/json"
	"fmt"
	"math/big"
	"reflect"
	"strings"
	"testing"

	gojose "github.com/go-jose/go-jose/v4"
)

// rfc7638 is the key of RFC 7638 §3.1.
const rfc7638 = `{"kty":"RSA","n":"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw","e":"AQAB","alg":"RS256","kid":"2011-04-29"}`

func TestALargeKeyOfACertificateChecksNoSignature(t *testing.T) {
	set, err := ParseCertificateKeySet([]byte(keys(rsaJWK(4096, `,"kid":"large"`), rsaJWK(3072, `,"kid":"usual"`))))
	if err != nil || len(set.Keys) != 2 {
		t.Fatalf("%v %v", set, err)
	}
	for _, alg := range ClientAlgorithms {
		if got := set.Candidates("large", alg); len(got) > 0 {
			t.Errorf("%s is checked with %v", alg, got)
		}
	}
	if len(set.Candidates("usual", PS256)) != 1 || set.Keys[0].Thumbprint() == "" {
		t.Errorf("%v", set)
	}
	for what, sent := range map[string]string{"4097 bits": rsaJWK(4097, ""), "2047 bits": rsaJWK(2047, ""), "an EC key of P-384": `{"kty":"EC","crv":"P-384","x":"AA","y":"AA"}`} {
		if _, err := ParseCertificateKeySet([]byte(keys(sent))); err == nil {
			t.Errorf("%s is taken", what)
		}
	}
	if _, err := ParseKeySet([]byte(keys(rsaJWK(4096, "")))); err == nil {
		t.Error("4096 bits are taken for signatures")
	}
}

func TestThumbprint(t *testing.T) {
	for _, tc := range []struct{ name, jwk, want string }{
		{"example of RFC 7638 section 3.1", rfc7638, "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"},
		{"example of RFC 8037 appendix A.3", `{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}`, "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"},
	} {
		key, err := ParsePublicKey([]byte(tc.jwk))
		if err != nil {
			t.Fatal(err)
		}
		if got := key.Thumbprint(); got != tc.want {
			t.Errorf("%s: got %s", tc.name, got)
		}
	}
	t.Run("as the library makes it", func(t *testing.T) {
		for _, alg := range ClientAlgorithms {
			key := testKey(t, alg).Public()
			want, err := (&gojose.JSONWebKey{Key: key.Key}).Thumbprint(5) // crypto.SHA256
			if err != nil {
				t.Fatal(err)
			}
			if got := key.Thumbprint(); got != base64.RawURLEncoding.EncodeToString(want) {
				t.Errorf("%s: got %s", alg, got)
			}
		}
		short := &rsa.PublicKey{N: new(big.Int).Lsh(big.NewInt(1), 2047), E: 3}
		want, err := (&gojose.JSONWebKey{Key: short}).Thumbprint(5)
		if err != nil {
			t.Fatal(err)
		}
		if got := (PublicKey{Key: short}).Thumbprint(); got != base64.RawURLEncoding.EncodeToString(want) {
			t.Errorf("exponent 3: got %s", got)
		}
	})
	t.Run("of nothing is empty", func(t *testing.T) {
		for _, key := range []any{nil, []byte("secret"), "x"} {
			if got := (PublicKey{Key: key}).Thumbprint(); got != "" {
				t.Errorf("%v has thumbprint %q", key, got)
			}
		}
	})
}

func TestThumbprintAllocatesLittle(t *testing.T) {
	for _, alg := range ClientAlgorithms {
		key := testKey(t, alg).Public()
		if allocs := testing.AllocsPerRun(50, func() { key.Thumbprint() }); allocs > 5 {
			t.Errorf("%s: %v allocations", alg, allocs)
		}
	}
}

// jwk writes a key with members added or replaced.
func jwk(t testing.TB, key PublicKey, more ...string) string {
	t.Helper()
	raw, err := key.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	members := map[string]stdjson.RawMessage{}
	if err := stdjson.Unmarshal(raw, &members); err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(more); i += 2 {
		if more[i+1] == "" {
			delete(members, more[i])
			continue
		}
		members[more[i]] = stdjson.RawMessage(more[i+1])
	}
	out, err := stdjson.Marshal(members)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// rsaJWK writes a key whose modulus has that many bits. It is no product of two
// primes, which nobody can see.
func rsaJWK(bits int, more string) string {
	n := new(big.Int).SetBit(new(big.Int).Lsh(big.NewInt(1), uint(bits-1)), 0, 1)
	return `{"kty":"RSA","e":"AQAB","n":"` + base64.RawURLEncoding.EncodeToString(n.Bytes()) + `"` + more + `}`
}

func ecJWK(t testing.TB, curve elliptic.Curve) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := gojose.JSONWebKey{Key: &key.PublicKey}.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

func keys(jwks ...string) string { return `{"keys":[` + strings.Join(jwks, ",") + `]}` }

func TestParseKeySetRefuses(t *testing.T) {
	ec, ed := testKey(t, ES256).Public(), testKey(t, EdDSA).Public()
	good := jwk(t, ec)
	many := make([]string, MaxKeys+1)
	for i := range many {
		many[i] = jwk(t, ed, "kid", fmt.Sprintf(`"k%d"`, i))
	}
	for _, tc := range []struct{ name, set, cause string }{
		{"nothing", ``, "not a JSON object"},
		{"an array", `[]`, "not a JSON object"},
		{"a single key", good, `no member "keys"`},
		{"keys null", `{"keys":null}`, `no member "keys"`},
		{"no keys", `{"keys":[]}`, "none of them"},
		{"keys twice", `{"keys":[],"keys":[` + good + `]}`, "duplicate"},
		{"a key that is no object", keys(`7`), "not a JSON object"},
		{"EC private key", keys(good, jwk(t, ec, "d", `"AAAA"`)), "private key"},
		{"RSA private key by its prime", keys(rsaJWK(2048, `,"p":"AAAA"`)), "private key"},
		{"RSA private key by dp, dq, qi, oth", keys(rsaJWK(2048, `,"dp":"","dq":null,"qi":1,"oth":[]`)), "private key"},
		{"private member of an unknown kind of key", keys(good, `{"kty":"AKP","alg":"ML-DSA-44","priv":"AAAA"}`), "private key"},
		{"private key that is meant for encryption", keys(good, jwk(t, ec, "use", `"enc"`, "d", `"AAAA"`)), "private key"},
		{"symmetric key", keys(good, `{"kty":"oct","k":"c2VjcmV0"}`), "symmetric"},
		{"symmetric key without its value", keys(good, `{"kty":"oct"}`), "symmetric"},
		{"k on another key", keys(jwk(t, ec, "k", `"c2VjcmV0"`)), "symmetric"},
		{"checklist_216 RSA of 1024 bits", keys(good, rsaJWK(1024, "")), "1024 bits"},
		{"RSA of 2047 bits", keys(rsaJWK(2047, "")), "2047 bits"},
		{"RSA of 3073 bits", keys(rsaJWK(3073, "")), "3073 bits"},
		{"RSA of 16384 bits", keys(rsaJWK(16384, "")), "too large"},
		{"RSA with exponent 1", keys(strings.Replace(rsaJWK(2048, ""), "AQAB", "AQ", 1)), "bad e value"},
		{"RSA with an even exponent", keys(strings.Replace(rsaJWK(2048, ""), "AQAB", "BA", 1)), "exponent 4"},
		{"RSA with an enormous exponent", keys(strings.Replace(rsaJWK(2048, ""), "AQAB", "AQAAAAAB", 1)), "exponent"},
		{"RSA without modulus", keys(`{"kty":"RSA","e":"AQAB"}`), "missing n/e"},
		{"EC on P-384", keys(good, ecJWK(t, elliptic.P384())), "not on P-256"},
		{"EC on P-521", keys(ecJWK(t, elliptic.P521())), "not on P-256"},
		{"EC point that is not on the curve", keys(jwk(t, ec, "x", `"`+strings.Repeat("A", 43)+`"`)), "not on declared curve"},
		{"EC point cut short", keys(jwk(t, ec, "x", `"AAAA"`)), "wrong length"},
		{"Ed25519 key cut short", keys(jwk(t, ed, "x", `"AAAA"`)), "key"},
		{"alg of another type of key", keys(jwk(t, ec, "alg", `"RS256"`)), "does not go with"},
		{"two keys with one kid", keys(jwk(t, ec, "kid", `"a"`), jwk(t, ed, "kid", `"a"`)), "used twice"},
		{"a member twice in a key", keys(`{"kty":"OKP","kty":"EC"}`), "duplicate"},
		{"kid that is a number", keys(jwk(t, ec, "kid", `7`)), "number"},
		{"kid of 300 bytes", keys(jwk(t, ec, "kid", `"`+strings.Repeat("k", 300)+`"`)), "longer than"},
		{"more keys than are read", keys(many...), "21 keys"},
		{"more bytes than are read", `{"keys":[` + good + `],"x":"` + strings.Repeat("A", MaxKeySetSize) + `"}`, "bytes"},
		{"only keys that are not for signatures", keys(jwk(t, ec, "use", `"enc"`), `{"kty":"OKP","crv":"X25519","x":"AAAA"}`), "none of them"},
		{"x5c that is not a certificate", keys(jwk(t, ec, "x5c", `["AAAA"]`)), "x5c"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			set, err := ParseKeySet([]byte(tc.set))
			if err == nil {
				t.Fatalf("accepted as %+v", set)
			}
			if !strings.Contains(err.Error(), tc.cause) {
				t.Errorf("%q does not say %q", err, tc.cause)
			}
			if strings.Contains(err.Error(), "go-jose") || strings.Contains(err.Error(), "c2VjcmV0") {
				t.Errorf("%q names the library or shows the key", err)
			}
		})
	}
}

func TestParseKeySetLeavesOutWhatItDoesNotKnow(t *testing.T) {
	ec, rs := testKey(t, ES256).Public(), testKey(t, RS256).Public()
	for _, tc := range []struct{ name, jwk string }{
		{"checklist_27 a key for encryption", jwk(t, rs, "use", `"enc"`, "kid", `"other"`)},
		{"a key for encryption with the kid of the signing key", jwk(t, rs, "use", `"enc"`, "kid", `"`+ec.ID+`"`)},
		{"a small key for encryption", rsaJWK(1024, `,"use":"enc"`)},
		{"a key that may only sign", jwk(t, rs, "key_ops", `["sign"]`, "use", "")},
		{"an unknown kty", `{"kty":"AKP","alg":"ML-DSA-44","pub":"AAAA"}`},
		{"kty missing", `{"kid":"x"}`},
		{"an unknown curve", `{"kty":"EC","crv":"secp256k1","x":"AA","y":"AA"}`},
		{"a key agreement curve", `{"kty":"OKP","crv":"X25519","x":"AAAA"}`},
		{"Ed448", `{"kty":"OKP","crv":"Ed448","x":"AAAA"}`},
		{"an RSA key for an algorithm that is not accepted", jwk(t, rs, "alg", `"RS512"`)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			set, err := ParseKeySet([]byte(keys(tc.jwk, jwk(t, ec))))
			if err != nil {
				t.Fatal(err)
			}
			if len(set.Keys) != 1 || set.Keys[0].ID != ec.ID {
				t.Errorf("got %+v", set)
			}
			if key, err := ParsePublicKey([]byte(tc.jwk)); err == nil {
				t.Errorf("alone it is accepted as %+v", key)
			}
		})
	}
}

func TestParseKeySetAccepts(t *testing.T) {
	ec, ed := testKey(t, ES256).Public(), testKey(t, EdDSA).Public()
	for _, tc := range []struct {
		name, jwk string
		alg       Algorithm // that the key can be used with
	}{
		{"EC without use, alg and kid", jwk(t, ec, "use", "", "alg", "", "kid", ""), ES256},
		{"EC with unknown members", jwk(t, ec, "ext", `true`, "exp", `1`), ES256},
		{"key_ops verify", jwk(t, ec, "key_ops", `["verify"]`, "use", ""), ES256},
		{"Ed25519 under the name of RFC 9864", jwk(t, ed, "alg", `"Ed25519"`), EdDSA},
		{"RSA without alg for RS256", rsaJWK(2048, ""), RS256},
		{"RSA without alg for PS256", rsaJWK(2048, ""), PS256},
		{"RSA of 3072 bits", rsaJWK(3072, `,"alg":"PS256"`), PS256},
		{"example of RFC 7638", rfc7638, RS256},
	} {
		t.Run(tc.name, func(t *testing.T) {
			set, err := ParseKeySet([]byte(keys(tc.jwk)))
			if err != nil {
				t.Fatal(err)
			}
			if got := set.Candidates("", tc.alg); len(got) != 1 {
				t.Errorf("%d candidates for %s", len(got), tc.alg)
			}
		})
	}
}

func TestCandidates(t *testing.T) {
	named := func(kid string, key PublicKey, alg Algorithm, use string) PublicKey {
		key.ID, key.Alg, key.Use = kid, alg, use
		return key
	}
	ec, rs := testKey(t, ES256).Public(), testKey(t, RS256).Public()
	set := KeySet{Keys: []PublicKey{
		named("ec", ec, ES256, "sig"),
		named("rs", rs, RS256, ""),
		named("any", rs, "", ""),
		named("enc", rs, "", "enc"),
		named("", ec, "", ""),
		{ID: "small", Key: &rsa.PublicKey{N: big.NewInt(15), E: 3}},
	}}
	for _, tc := range []struct {
		name, kid string
		alg       Algorithm
		want      []string
	}{
		{"by kid", "ec", ES256, []string{"ec"}},
		{"kid of a key for another algorithm", "ec", RS256, nil},
		{"kid unknown", "nobody", ES256, nil},
		{"without kid, all that fit", "", ES256, []string{"ec", ""}},
		{"without kid, an algorithm pinned elsewhere", "", PS256, []string{"any"}},
		{"without kid, pinned and open", "", RS256, []string{"rs", "any"}},
		{"checklist_27 kid of an encryption key", "enc", RS256, nil},
		{"kid of a key too small", "small", RS256, nil},
		{"checklist_26 alg none", "", "none", nil},
		{"checklist_26 alg HS256", "rs", "HS256", nil},
		{"alg empty", "", "", nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var got []string
			for _, k := range set.Candidates(tc.kid, tc.alg) {
				got = append(got, k.ID)
			}
			if !reflect.DeepEqual(got, tc.want) {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

func TestKeySetMarshalsPublicMembersOnly(t *testing.T) {
	set := KeySet{}
	for _, alg := range ClientAlgorithms {
		set.Keys = append(set.Keys, testKey(t, alg).Public())
	}
	raw, err := stdjson.Marshal(set)
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Keys []map[string]string `json:"keys"`
	}
	if err := stdjson.Unmarshal(raw, &doc); err != nil {
		t.Fatal(err)
	}
	allowed := map[string]bool{"kty": true, "kid": true, "alg": true, "use": true, "crv": true, "x": true, "y": true, "n": true, "e": true}
	for i, k := range doc.Keys {
		for name := range k {
			if !allowed[name] {
				t.Errorf("key %d has member %q", i, name)
			}
		}
		if k["kid"] != set.Keys[i].ID || k["alg"] != string(set.Keys[i].Alg) || k["use"] != "sig" {
			t.Errorf("checklist_117 key %d is written as kid %q alg %q use %q", i, k["kid"], k["alg"], k["use"])
		}
	}
	again, err := ParseKeySet(raw)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(again, set) {
		t.Error("the set does not come back as it was")
	}
	if raw, err := stdjson.Marshal(KeySet{}); err != nil || string(raw) != `{"keys":[]}` {
		t.Errorf("empty set: %s, %v", raw, err)
	}
	for name, key := range map[string]any{
		"private EC":      testKey(t, ES256).signer,
		"private Ed25519": testKey(t, EdDSA).signer,
		"symmetric":       []byte("0123456789abcdef"),
		"nil":             nil,
		"nil RSA":         (*rsa.PublicKey)(nil),
		"short Ed25519":   ed25519.PublicKey{1},
	} {
		if raw, err := stdjson.Marshal(KeySet{Keys: []PublicKey{{Key: key}}}); err == nil {
			t.Errorf("%s key is written: %s", name, raw)
		}
	}
}

func FuzzParseKeySet(f *testing.F) {
	f.Add([]byte(keys(rfc7638, jwk(f, testKey(f, ES256).Public()), jwk(f, testKey(f, EdDSA).Public()))))
	f.Add([]byte(keys(`{"kty":"oct","k":"AAAA"}`)))
	f.Add([]byte(keys(rsaJWK(1024, ""), rsaJWK(3072, `,"use":"enc","key_ops":["verify"]`))))
	f.Add([]byte(`{"keys":[{"kty":"EC","crv":"P-256","x":"","y":"","x5c":[""],"x5t":"AA"}]}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		set, err := ParseKeySet(raw)
		if err != nil {
			if set.Keys != nil {
				t.Fatal("keys beside an error")
			}
			return
		}
		if len(set.Keys) == 0 || len(set.Keys) > MaxKeys {
			t.Fatalf("%d keys", len(set.Keys))
		}
		for _, k := range set.Keys {
			if !k.UsableWith(ES256) && !k.UsableWith(EdDSA) && !k.UsableWith(RS256) && !k.UsableWith(PS256) {
				t.Fatalf("key %q can be used for nothing", k.ID)
			}
			if len(k.Thumbprint()) != 43 {
				t.Fatalf("key %q has no thumbprint", k.ID)
			}
		}
		out, err := set.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		again, err := ParseKeySet(out)
		if err != nil || !reflect.DeepEqual(again, set) {
			t.Fatalf("came back as %+v, %v", again, err)
		}
		if bytes.Contains(out, []byte(`"d"`)) && !bytes.Contains(raw, []byte(`"d"`)) {
			t.Fatal("a private member appeared")
		}
	})
}
