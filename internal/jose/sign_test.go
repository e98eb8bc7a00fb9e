package jose

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"sync"
	"testing"
)

// benchClaims is an access token of the usual size.
const benchClaims = `{"iss":"https://auth.example.com","sub":"cl_0199f2a3-7c1e-7d22-9b1f-6a2f0c1d9e77","aud":"https://api.example.com",` +
	`"client_id":"cl_0199f2a3-7c1e-7d22-9b1f-6a2f0c1d9e77","iat":1790000000,"exp":1790000600,"jti":"4f1oYkq3nVZkq0m1t2u3vw",` +
	`"scope":"read:orders create:orders read:customers","cnf":{"jkt":"NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"}}`

func TestHeaderOfSignedToken(t *testing.T) {
	key := testKey(t, ES256)
	for typ, want := range map[string]Header{
		"at+jwt": {Alg: ES256, KeyID: key.ID(), Type: "at+jwt"},
		"":       {Alg: ES256, KeyID: key.ID(), Type: ""},
		`a"b\`:   {Alg: ES256, KeyID: key.ID(), Type: `a"b\`},
	} {
		for range 2 { // made, then remembered
			token, err := key.Sign(typ, []byte(`{}`))
			if err != nil {
				t.Fatal(err)
			}
			parsed, err := Parse(token, ES256)
			if err != nil {
				t.Fatal(err)
			}
			if parsed.Header() != want {
				t.Errorf("typ %q: got %+v", typ, parsed.Header())
			}
		}
	}
}

func TestSigningFromManyGoroutines(t *testing.T) {
	key, err := GenerateSigningKey(EdDSA)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 60 {
				typ := fmt.Sprintf("t%d", i)
				claims := fmt.Sprintf(`{"g":%d,"i":%d}`, g, i)
				token, err := key.Sign(typ, []byte(claims))
				if err != nil {
					t.Error(err)
					return
				}
				parsed, err := Parse(token, EdDSA)
				if err != nil {
					t.Error(err)
					return
				}
				got, err := parsed.Verify(key.Public())
				if err != nil || string(got) != claims || parsed.Header().Type != typ {
					t.Errorf("got %q of type %q, %v", got, parsed.Header().Type, err)
				}
			}
		})
	}
	wg.Wait()
	if n := len(*key.headers.Load()); n > maxHeaders {
		t.Errorf("%d headers are remembered, at most %d should be", n, maxHeaders)
	}
}

func TestRawSignatureIsWhatECDSAVerifies(t *testing.T) {
	key := testKey(t, ES256).signer.(*ecdsa.PrivateKey)
	short := 0
	for i := range 1500 { // about six of them have an r below 2^248
		digest := sha256.Sum256(big.NewInt(int64(i)).Bytes())
		der, err := ecdsa.SignASN1(rand.Reader, key, digest[:])
		if err != nil {
			t.Fatal(err)
		}
		raw, err := rawSignature(der)
		if err != nil {
			t.Fatal(err)
		}
		if raw[0] == 0 || raw[32] == 0 {
			short++
		}
		if !ecdsa.Verify(&key.PublicKey, digest[:], new(big.Int).SetBytes(raw[:32]), new(big.Int).SetBytes(raw[32:])) {
			t.Fatalf("signature %d does not verify", i)
		}
	}
	if short == 0 {
		t.Error("no signature had a short half: the test proves less than it says")
	}
}

func TestRawSignatureRefusesWhatIsNotDER(t *testing.T) {
	long := append([]byte{0x02, 33, 1}, make([]byte, 32)...)
	for name, der := range map[string][]byte{
		"empty":            {},
		"not a sequence":   {0x31, 0},
		"wrong length":     {0x30, 7, 2, 1, 1, 2, 1, 1},
		"one integer":      {0x30, 3, 2, 1, 1},
		"integer overruns": {0x30, 6, 2, 9, 1, 2, 1, 1},
		"not integers":     {0x30, 6, 4, 1, 1, 4, 1, 1},
		"three integers":   {0x30, 9, 2, 1, 1, 2, 1, 1, 2, 1, 1},
		"33 bytes":         append([]byte{0x30, byte(len(long) + 3)}, append(long, 2, 1, 1)...),
	} {
		if raw, err := rawSignature(der); err == nil {
			t.Errorf("%s: got %x", name, raw)
		}
	}
}

func TestSigningKeysSurviveStorage(t *testing.T) {
	for _, alg := range ClientAlgorithms {
		t.Run(string(alg), func(t *testing.T) {
			key := testKey(t, alg)
			if key.ID() != key.Public().Thumbprint() || key.Alg() != alg || key.Public().Use != "sig" {
				t.Errorf("key %q of %s, use %q", key.ID(), key.Alg(), key.Public().Use)
			}
			der, err := key.MarshalPKCS8()
			if err != nil {
				t.Fatal(err)
			}
			again, err := ParseSigningKey(der, "kid-7", alg)
			if err != nil {
				t.Fatal(err)
			}
			if again.ID() != "kid-7" || again.Public().Thumbprint() != key.ID() {
				t.Errorf("came back as %s", again)
			}
			text, err := key.PEM()
			if err != nil {
				t.Fatal(err)
			}
			fromPEM, err := ParseSigningKeyPEM(text, alg)
			if err != nil {
				t.Fatal(err)
			}
			if fromPEM.ID() != key.ID() || fromPEM.Alg() != alg {
				t.Errorf("came back from PEM as %s", fromPEM)
			}
		})
	}
}

func TestPEMOfOtherTools(t *testing.T) {
	ec := testKey(t, ES256).signer.(*ecdsa.PrivateKey)
	rsaKey := testKey(t, RS256).signer.(*rsa.PrivateKey)
	ed := testKey(t, EdDSA).signer.(ed25519.PrivateKey)
	sec1, err := x509.MarshalECPrivateKey(ec)
	if err != nil {
		t.Fatal(err)
	}
	edDER, err := x509.MarshalPKCS8PrivateKey(ed)
	if err != nil {
		t.Fatal(err)
	}
	block := func(typ string, der []byte) []byte {
		return pem.EncodeToMemory(&pem.Block{Type: typ, Bytes: der})
	}
	for _, tc := range []struct {
		name string
		pem  []byte
		alg  []Algorithm
		want Algorithm
	}{
		{"SEC 1", block("EC PRIVATE KEY", sec1), nil, ES256},
		{"SEC 1 after its parameters", append(block("EC PARAMETERS", []byte{6, 8}), block("EC PRIVATE KEY", sec1)...), nil, ES256},
		{"PKCS #1", block("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(rsaKey)), nil, PS256},
		{"PKCS #1 for RS256", block("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(rsaKey)), []Algorithm{RS256}, RS256},
		{"PKCS #1, algorithm left open", block("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(rsaKey)), []Algorithm{""}, PS256},
		{"PKCS #8 Ed25519 behind a comment", append([]byte("my key\n"), block("PRIVATE KEY", edDER)...), nil, EdDSA},
	} {
		t.Run(tc.name, func(t *testing.T) {
			key, err := ParseSigningKeyPEM(tc.pem, tc.alg...)
			if err != nil {
				t.Fatal(err)
			}
			if key.Alg() != tc.want {
				t.Errorf("algorithm %s, want %s", key.Alg(), tc.want)
			}
		})
	}
	for name, data := range map[string][]byte{
		"empty":              nil,
		"not PEM":            []byte("hello"),
		"a certificate":      block("CERTIFICATE", []byte{1}),
		"a public key":       block("PUBLIC KEY", []byte{1}),
		"encrypted":          block("ENCRYPTED PRIVATE KEY", []byte{1}),
		"OpenSSH":            block("OPENSSH PRIVATE KEY", []byte{1}),
		"damaged PKCS #8":    block("PRIVATE KEY", edDER[:20]),
		"SEC 1 under PKCS 8": block("PRIVATE KEY", sec1),
	} {
		if _, err := ParseSigningKeyPEM(data); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if _, err := ParseSigningKeyPEM(block("EC PRIVATE KEY", sec1), RS256); !errors.Is(err, ErrAlgorithm) {
		t.Errorf("EC key for RS256: got %v", err)
	}
	if _, err := ParseSigningKey([]byte("junk"), "", ES256); err == nil {
		t.Error("junk is a signing key")
	}
	if _, err := GenerateSigningKey("ES384"); !errors.Is(err, ErrAlgorithm) {
		t.Errorf("ES384: got %v", err)
	}
}

func TestSigningKeyDoesNotPrint(t *testing.T) {
	for _, alg := range []Algorithm{ES256, EdDSA} {
		key := testKey(t, alg)
		want := string(alg) + " signing key " + key.ID()
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			if got := fmt.Sprintf(verb, key); got != want {
				t.Errorf("%s shows %q", verb, got)
			}
		}
	}
}

func TestSigningAllocatesLittleMoreThanTheSignature(t *testing.T) {
	key := testKey(t, EdDSA)
	claims := []byte(benchClaims)
	if _, err := key.Sign("at+jwt", claims); err != nil {
		t.Fatal(err)
	}
	allocs := testing.AllocsPerRun(100, func() {
		if _, err := key.Sign("at+jwt", claims); err != nil {
			t.Fatal(err)
		}
	})
	if allocs > 3 {
		t.Errorf("%v allocations, want the token, the signature and at most one more", allocs)
	}
}

func BenchmarkSign(b *testing.B) {
	for _, alg := range ClientAlgorithms {
		key := testKey(b, alg)
		b.Run(string(alg), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := key.Sign("at+jwt", []byte(benchClaims)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkSignFloor is the bare signature that BenchmarkSign cannot get below.
func BenchmarkSignFloor(b *testing.B) {
	b.Run("ES256", func(b *testing.B) {
		key := testKey(b, ES256).signer.(*ecdsa.PrivateKey)
		digest := sha256.Sum256([]byte(benchClaims))
		b.ReportAllocs()
		for b.Loop() {
			if _, err := ecdsa.SignASN1(rand.Reader, key, digest[:]); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("EdDSA", func(b *testing.B) {
		key := testKey(b, EdDSA).signer.(ed25519.PrivateKey)
		b.ReportAllocs()
		for b.Loop() {
			ed25519.Sign(key, []byte(benchClaims))
		}
	})
}

func TestAKeyIDIsNotTakenForAFlag(t *testing.T) {
	for range 300 { // one thumbprint in 64 begins with a dash
		k, err := GenerateSigningKey(EdDSA)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(k.ID(), "-") || k.ID() != k.Public().Thumbprint() {
			t.Fatalf("kid %s", k.ID())
		}
	}
}
