package jose

import (
	"encoding/base64"
	"errors"
	"slices"
	"strings"
	"testing"
)

// renamed signs as Node's openid-client 6 and others do, under the name of
// RFC 9864 §2.2.
func renamed(t testing.TB, key *SigningKey, payload string) string {
	t.Helper()
	return forge(t, key, `{"alg":"Ed25519","kid":"k1","typ":"JWT"}`, payload)
}

func TestEd25519IsAnotherNameOfEdDSA(t *testing.T) {
	const claims = `{"sub":"cl_1"}`
	key := testKey(t, EdDSA)
	parsed, err := Parse(renamed(t, key, claims), ClientAlgorithms...)
	if err != nil {
		t.Fatal(err)
	}
	if want := (Header{Alg: EdDSA, KeyID: "k1", Type: "jwt"}); parsed.Header() != want {
		t.Errorf("header %+v, want %+v", parsed.Header(), want)
	}
	var peeked struct {
		Sub string `json:"sub"`
	}
	if err := parsed.Peek(&peeked); err != nil || peeked.Sub != "cl_1" {
		t.Errorf("peeked %+v, %v", peeked, err)
	}
	bare := key.Public()
	bare.Alg = ""
	for name, k := range map[string]PublicKey{"key registered for EdDSA": key.Public(), "key registered for no algorithm": bare} {
		if got, err := parsed.Verify(testKey(t, ES256).Public(), k); err != nil || string(got) != claims {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	t.Run("a key published under either name verifies both", func(t *testing.T) {
		raw, err := key.Public().MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		theirs, err := ParsePublicKey([]byte(strings.Replace(string(raw), `"EdDSA"`, `"Ed25519"`, 1)))
		if err != nil || theirs.Alg != EdDSA {
			t.Fatalf("%v, %v", theirs.Alg, err)
		}
		usual, err := key.Sign("JWT", []byte(claims))
		if err != nil {
			t.Fatal(err)
		}
		for _, token := range []string{usual, renamed(t, key, claims)} {
			parsed, err := Parse(token, EdDSA)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := parsed.Verify(theirs); err != nil {
				t.Error(err)
			}
		}
	})
}

func TestEd25519IsReadAsStrictlyAsEdDSA(t *testing.T) {
	key := testKey(t, EdDSA)
	good := renamed(t, key, `{"sub":"a"}`)
	for name, token := range map[string]string{
		"checklist_26 crit": forge(t, key, `{"alg":"Ed25519","crit":["exp"],"exp":1}`, `{}`),
		"b64":               forge(t, key, `{"alg":"Ed25519","b64":false}`, `{}`),
		"alg twice":         forge(t, key, `{"alg":"Ed25519","alg":"EdDSA"}`, `{}`),
		"no signature":      good[:strings.LastIndexByte(good, '.')+1],
		"padding":           good + "==",
	} {
		if _, err := Parse(token, EdDSA); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: got %v, want ErrMalformed", name, err)
		}
	}
	for name, token := range map[string]string{
		"checklist_26 in another letter case": forge(t, key, `{"alg":"ed25519"}`, `{}`),
		"checklist_26 the other curve":        forge(t, key, `{"alg":"Ed448"}`, `{}`),
	} {
		if _, err := Parse(token, EdDSA); !errors.Is(err, ErrAlgorithm) {
			t.Errorf("%s: got %v, want ErrAlgorithm", name, err)
		}
	}
	t.Run("checklist_26 only where EdDSA is allowed", func(t *testing.T) {
		if _, err := Parse(good, ES256, RS256, PS256); !errors.Is(err, ErrAlgorithm) {
			t.Errorf("got %v", err)
		}
		if _, err := Parse(good, ed25519Name); err == nil {
			t.Error("the name alone lets it in: settings say EdDSA")
		}
	})
	t.Run("claims that are no object, or hold a member twice", func(t *testing.T) {
		for _, payload := range []string{`[]`, `{"sub":"a","sub":"b"}`} {
			parsed, err := Parse(renamed(t, key, payload), EdDSA)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := parsed.Verify(key.Public()); !errors.Is(err, ErrMalformed) {
				t.Errorf("%s: got %v", payload, err)
			}
		}
	})
}

func TestEd25519SignaturesThatAreWrong(t *testing.T) {
	key := testKey(t, EdDSA)
	other, err := GenerateSigningKey(EdDSA)
	if err != nil {
		t.Fatal(err)
	}
	good := renamed(t, key, `{"sub":"a"}`)
	part := strings.Split(good, ".")
	wrong := func(token string, want error, keys ...PublicKey) {
		t.Helper()
		parsed, err := Parse(token, EdDSA)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := parsed.Verify(keys...); !errors.Is(err, want) {
			t.Errorf("got %v, want %v", err, want)
		}
	}
	wrong(good, ErrSignature, other.Public())
	wrong(part[0]+"."+b64(`{"sub":"b"}`)+"."+part[2], ErrSignature, key.Public())
	wrong(b64(`{"alg":"Ed25519","kid":"k2"}`)+"."+part[1]+"."+part[2], ErrSignature, key.Public())
	wrong(part[0]+"."+part[1]+"."+part[2][:84], ErrSignature, key.Public()) // 63 bytes
	wrong(good, ErrNoKey)
	wrong(good, ErrNoKey, testKey(t, ES256).Public(), testKey(t, PS256).Public())

	// The name is signed too: a signature does not pass under the other one.
	usual, err := key.Sign("", []byte(`{"sub":"a"}`))
	if err != nil {
		t.Fatal(err)
	}
	wrong(b64(`{"alg":"Ed25519"}`)+usual[strings.IndexByte(usual, '.'):], ErrSignature, key.Public())
	raw, err := base64.RawURLEncoding.DecodeString(part[2])
	if err != nil || len(raw) != 64 {
		t.Fatalf("%d bytes, %v", len(raw), err)
	}
}

func TestNamesAreWhatMayBeSent(t *testing.T) {
	if got := Names(ClientAlgorithms); !slices.Equal(got, []string{"ES256", "EdDSA", "Ed25519", "RS256", "PS256"}) {
		t.Errorf("got %v", got)
	}
	if got := Names([]Algorithm{ES256}); !slices.Equal(got, []string{"ES256"}) {
		t.Errorf("got %v", got)
	}
	for _, name := range Names(ClientAlgorithms) {
		if alg := AlgorithmNamed(name); !alg.known() {
			t.Errorf("%s is %q", name, alg)
		}
	}
	if got := AlgorithmNamed("ed25519"); got.known() {
		t.Errorf("letter case is not folded: %s", got)
	}
}
