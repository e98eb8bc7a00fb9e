package jose

import (
	"bytes"
	"encoding/base64"
	stdjson "encoding/json"
	"errors"
	"strings"
	"sync"
	"testing"

	gojose "github.com/go-jose/go-jose/v4"
)

// testKeys are made once: RSA takes a while.
var testKeys = sync.OnceValue(func() map[Algorithm]*SigningKey {
	keys := make(map[Algorithm]*SigningKey)
	for _, alg := range ClientAlgorithms {
		key, err := GenerateSigningKey(alg)
		if err != nil {
			panic(err)
		}
		keys[alg] = key
	}
	return keys
})

func testKey(t testing.TB, alg Algorithm) *SigningKey {
	t.Helper()
	return testKeys()[alg]
}

func b64(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

// forge signs whatever header and payload, as a hostile client would.
func forge(t testing.TB, key *SigningKey, header, payload string) string {
	t.Helper()
	input := b64(header) + "." + b64(payload)
	signature, err := key.sign([]byte(input))
	if err != nil {
		t.Fatal(err)
	}
	return input + "." + base64.RawURLEncoding.EncodeToString(signature)
}

func TestRFC7515ExampleA3Verifies(t *testing.T) {
	const token = "eyJhbGciOiJFUzI1NiJ9." +
		"eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ." +
		"DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q"
	key, err := ParsePublicKey([]byte(`{"kty":"EC","crv":"P-256",
		"x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}`))
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := Parse(token, ES256)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := parsed.Verify(key)
	if err != nil {
		t.Fatal(err)
	}
	var claims struct {
		Iss string      `json:"iss"`
		Exp NumericDate `json:"exp"`
	}
	if err := DecodeClaims(raw, &claims); err != nil {
		t.Fatal(err)
	}
	if claims.Iss != "joe" || claims.Exp.Time().Unix() != 1300819380 {
		t.Errorf("got %+v", claims)
	}
}

func TestRFC8037ExampleA4IsSignedButHoldsNoClaims(t *testing.T) {
	const token = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc." +
		"hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"
	key, err := ParsePublicKey([]byte(`{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}`))
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := Parse(token, EdDSA)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := parsed.Verify(key); !errors.Is(err, ErrMalformed) {
		t.Errorf("got %v, want a good signature and ErrMalformed for what is no JSON", err)
	}
}

func TestSignedTokensAreReadByTheLibraryAndBack(t *testing.T) {
	const claims = `{"sub":"cl_1","aud":"https://issuer.example"}`
	for _, alg := range ClientAlgorithms {
		t.Run(string(alg), func(t *testing.T) {
			key := testKey(t, alg)
			token, err := key.Sign("at+jwt", []byte(claims))
			if err != nil {
				t.Fatal(err)
			}
			theirs, err := gojose.ParseSignedCompact(token, []gojose.SignatureAlgorithm{gojose.SignatureAlgorithm(alg)})
			if err != nil {
				t.Fatal(err)
			}
			payload, err := theirs.Verify(key.Public().Key)
			if err != nil || string(payload) != claims {
				t.Errorf("library read %q, %v", payload, err)
			}
			if kid := theirs.Signatures[0].Protected.KeyID; kid != key.ID() {
				t.Errorf("kid %q, want %q", kid, key.ID())
			}

			signer, err := gojose.NewSigner(gojose.SigningKey{Algorithm: gojose.SignatureAlgorithm(alg), Key: key.signer},
				(&gojose.SignerOptions{}).WithType("JWT").WithHeader("kid", "k1"))
			if err != nil {
				t.Fatal(err)
			}
			jws, err := signer.Sign([]byte(claims))
			if err != nil {
				t.Fatal(err)
			}
			compact, err := jws.CompactSerialize()
			if err != nil {
				t.Fatal(err)
			}
			ours, err := Parse(compact, ClientAlgorithms...)
			if err != nil {
				t.Fatal(err)
			}
			if want := (Header{Alg: alg, KeyID: "k1", Type: "jwt"}); ours.Header() != want {
				t.Errorf("header %+v, want %+v", ours.Header(), want)
			}
			got, err := ours.Verify(key.Public())
			if err != nil || string(got) != claims {
				t.Errorf("we read %q, %v", got, err)
			}
		})
	}
}

func TestParseRefuses(t *testing.T) {
	key := testKey(t, ES256)
	good, err := key.Sign("", []byte(`{"sub":"a"}`))
	if err != nil {
		t.Fatal(err)
	}
	part := strings.Split(good, ".")
	hs256 := func() string { // signed with the bytes of a public key as if they were a secret
		signer, err := gojose.NewSigner(gojose.SigningKey{Algorithm: gojose.HS256, Key: bytes.Repeat([]byte{4}, 65)}, nil)
		if err != nil {
			t.Fatal(err)
		}
		jws, err := signer.Sign([]byte(`{"sub":"a"}`))
		if err != nil {
			t.Fatal(err)
		}
		compact, err := jws.CompactSerialize()
		if err != nil {
			t.Fatal(err)
		}
		return compact
	}()
	// The last character of a 64-byte signature carries four spare bits.
	spare := part[2][:85] + string("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"[strings.IndexByte(
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_", part[2][85])|1])
	for _, tc := range []struct {
		name, token string
		want        error
	}{
		{"checklist_26 alg none without signature", b64(`{"alg":"none"}`) + "." + part[1] + ".", ErrMalformed},
		{"checklist_26 alg none with a signature", b64(`{"alg":"none"}`) + "." + part[1] + "." + part[2], ErrAlgorithm},
		{"checklist_26 alg None in another letter case", b64(`{"alg":"nOnE"}`) + "." + part[1] + "." + part[2], ErrAlgorithm},
		{"checklist_26 alg HS256", hs256, ErrAlgorithm},
		{"checklist_26 alg missing", forge(t, key, `{}`, `{}`), ErrAlgorithm},
		{"checklist_26 alg not of the allow-list", forge(t, key, `{"alg":"RS256"}`, `{}`), ErrAlgorithm},
		{"checklist_26 alg that is known to nobody", forge(t, key, `{"alg":"ES256K"}`, `{}`), ErrAlgorithm},
		{"checklist_26 alg in another letter case", forge(t, key, `{"alg":"es256"}`, `{}`), ErrAlgorithm},
		{"checklist_26 unknown crit", forge(t, key, `{"alg":"ES256","crit":["exp"],"exp":1}`, `{}`), ErrMalformed},
		{"checklist_26 crit b64", forge(t, key, `{"alg":"ES256","crit":["b64"],"b64":false}`, `{}`), ErrMalformed},
		{"checklist_26 empty crit", forge(t, key, `{"alg":"ES256","crit":[]}`, `{}`), ErrMalformed},
		{"b64 without crit", forge(t, key, `{"alg":"ES256","b64":false}`, `{}`), ErrMalformed},
		{"header member twice", forge(t, key, `{"alg":"ES256","kid":"a","kid":"b"}`, `{}`), ErrMalformed},
		{"alg twice", forge(t, key, `{"alg":"none","alg":"ES256"}`, `{}`), ErrMalformed},
		{"private jwk in the header", forge(t, key, `{"alg":"ES256","jwk":{"kty":"oct","k":"AAAA"}}`, `{}`), ErrMalformed},
		{"kid not a string", forge(t, key, `{"alg":"ES256","kid":7}`, `{}`), ErrMalformed},
		{"typ not a string", forge(t, key, `{"alg":"ES256","typ":["at+jwt"]}`, `{}`), ErrMalformed},
		{"header not an object", forge(t, key, `"ES256"`, `{}`), ErrMalformed},
		{"header with more after it", forge(t, key, `{"alg":"ES256"} {}`, `{}`), ErrMalformed},
		{"empty", "", ErrMalformed},
		{"two parts", part[0] + "." + part[1], ErrMalformed},
		{"four parts", good + ".AAAA", ErrMalformed},
		{"five parts, which is encrypted", good + ".AAAA.AAAA", ErrMalformed},
		{"no payload", part[0] + ".." + part[2], ErrMalformed},
		{"no signature", part[0] + "." + part[1] + ".", ErrMalformed},
		{"JSON serialization", `{"protected":"` + part[0] + `","payload":"` + part[1] + `","signature":"` + part[2] + `"}`, ErrMalformed},
		{"leading space", " " + good, ErrMalformed},
		{"line break in the payload, which a decoder skips", part[0] + "." + part[1][:4] + "\r\n" + part[1][4:] + "." + part[2], ErrMalformed},
		{"padding", good + "==", ErrMalformed},
		{"base64 of the other alphabet", part[0] + "." + part[1] + ".+/" + part[2][2:], ErrMalformed},
		{"spare bits set, a second spelling of the same signature", part[0] + "." + part[1] + "." + spare, ErrMalformed},
		{"too long", good + strings.Repeat("A", MaxTokenSize), ErrMalformed},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if _, err := Parse(tc.token, ES256, EdDSA); !errors.Is(err, tc.want) {
				t.Errorf("got %v, want %v", err, tc.want)
			}
		})
	}
	t.Run("checklist_26 everything if nothing is allowed", func(t *testing.T) {
		if _, err := Parse(good); err == nil {
			t.Error("accepted")
		}
	})
	t.Run("checklist_26 HS256 and none even if someone allows them", func(t *testing.T) {
		for _, token := range []string{hs256, b64(`{"alg":"none"}`) + "." + part[1] + "." + part[2]} {
			if _, err := Parse(token, "HS256", "none", ES256); !errors.Is(err, ErrAlgorithm) {
				t.Errorf("got %v", err)
			}
		}
	})
	t.Run("the untouched token passes", func(t *testing.T) {
		if _, err := Parse(good, ES256); err != nil {
			t.Error(err)
		}
	})
}

func TestRefusalsNameTheCause(t *testing.T) {
	key := testKey(t, ES256)
	_, err := Parse(forge(t, key, `{"alg":"RS512"}`, `{}`), ES256, EdDSA)
	if err == nil || !strings.Contains(err.Error(), `"RS512"`) || !strings.Contains(err.Error(), "ES256, EdDSA") {
		t.Errorf("got %v, want both what came and what is accepted", err)
	}
	_, err = Parse(forge(t, key, `{"alg":"ES256","kid":"a","kid":"a"}`, `{}`), ES256)
	if err == nil || strings.Contains(err.Error(), "go-jose") || !strings.Contains(err.Error(), "duplicate") {
		t.Errorf("got %v", err)
	}
}

func TestHeaderTypeIsComparedAsRFC7515Says(t *testing.T) {
	key := testKey(t, ES256)
	for header, want := range map[string]string{
		`{"alg":"ES256"}`:                               "",
		`{"alg":"ES256","typ":null}`:                    "",
		`{"alg":"ES256","typ":"JWT"}`:                   "jwt",
		`{"alg":"ES256","typ":"at+jwt"}`:                "at+jwt",
		`{"alg":"ES256","typ":"application/at+jwt"}`:    "at+jwt",
		`{"alg":"ES256","typ":"Application/AT+JWT"}`:    "at+jwt",
		`{"alg":"ES256","typ":"text/application/jwt"}`:  "text/application/jwt",
		`{"alg":"ES256","typ":" at+jwt"}`:               " at+jwt",
		`{"alg":"ES256","typ":"application/dpop+jwt"}`:  "dpop+jwt",
		`{"alg":"ES256","typ":"application/x/y","x":1}`: "x/y",
	} {
		parsed, err := Parse(forge(t, key, header, `{}`), ES256)
		if err != nil {
			t.Errorf("%s: %v", header, err)
			continue
		}
		if got := parsed.Header().Type; got != want {
			t.Errorf("%s: type %q, want %q", header, got, want)
		}
	}
}

func TestVerify(t *testing.T) {
	es, rs := testKey(t, ES256), testKey(t, RS256)
	other, err := GenerateSigningKey(ES256)
	if err != nil {
		t.Fatal(err)
	}
	with := func(k PublicKey, change func(*PublicKey)) PublicKey { change(&k); return k }
	anyRSA := with(rs.Public(), func(k *PublicKey) { k.Alg = "" })
	esToken := forge(t, es, `{"alg":"ES256"}`, `{"sub":"a"}`)
	part := strings.Split(esToken, ".")
	for _, tc := range []struct {
		name  string
		token string
		keys  []PublicKey
		want  error
	}{
		{"the right key", esToken, []PublicKey{es.Public()}, nil},
		{"the right key among others", esToken, []PublicKey{rs.Public(), other.Public(), es.Public()}, nil},
		{"a key without alg", forge(t, rs, `{"alg":"RS256"}`, `{}`), []PublicKey{anyRSA}, nil},
		{"no keys", esToken, nil, ErrNoKey},
		{"keys of other types only", esToken, []PublicKey{rs.Public(), testKey(t, EdDSA).Public()}, ErrNoKey},
		{"a zero key", esToken, []PublicKey{{}}, ErrNoKey},
		{"checklist_27 a key for encryption", esToken, []PublicKey{with(es.Public(), func(k *PublicKey) { k.Use = "enc" })}, ErrNoKey},
		{"checklist_26 an RSA key pinned to PS256", forge(t, rs, `{"alg":"RS256"}`, `{}`), []PublicKey{with(rs.Public(), func(k *PublicKey) { k.Alg = PS256 })}, ErrNoKey},
		{"checklist_26 a PS256 header over an RS256 signature", forge(t, rs, `{"alg":"PS256"}`, `{}`), []PublicKey{anyRSA}, ErrSignature},
		{"another key", esToken, []PublicKey{other.Public()}, ErrSignature},
		{"changed claims", part[0] + "." + b64(`{"sub":"b"}`) + "." + part[2], []PublicKey{es.Public()}, ErrSignature},
		{"changed header", b64(`{"alg":"ES256","kid":"x"}`) + "." + part[1] + "." + part[2], []PublicKey{es.Public()}, ErrSignature},
		{"signature cut short", part[0] + "." + part[1] + "." + part[2][:84], []PublicKey{es.Public()}, ErrSignature},
		{"signature of zeros", part[0] + "." + part[1] + "." + strings.Repeat("A", 86), []PublicKey{es.Public()}, ErrSignature},
		{"claim twice", forge(t, es, `{"alg":"ES256"}`, `{"sub":"a","sub":"b"}`), []PublicKey{es.Public()}, ErrMalformed},
		{"claim twice, once escaped", forge(t, es, `{"alg":"ES256"}`, `{"sub":"a","\u0073ub":"b"}`), []PublicKey{es.Public()}, ErrMalformed},
		{"claims an array", forge(t, es, `{"alg":"ES256"}`, `[]`), []PublicKey{es.Public()}, ErrMalformed},
		{"claims null", forge(t, es, `{"alg":"ES256"}`, `null`), []PublicKey{es.Public()}, ErrMalformed},
		{"claims with more after them", forge(t, es, `{"alg":"ES256"}`, `{}{}`), []PublicKey{es.Public()}, ErrMalformed},
		{"claims not UTF-8", forge(t, es, `{"alg":"ES256"}`, "{\"sub\":\"\xff\"}"), []PublicKey{es.Public()}, ErrMalformed},
	} {
		t.Run(tc.name, func(t *testing.T) {
			parsed, err := Parse(tc.token, ClientAlgorithms...)
			if err != nil {
				t.Fatal(err)
			}
			claims, err := parsed.Verify(tc.keys...)
			if !errors.Is(err, tc.want) {
				t.Errorf("got %v, want %v", err, tc.want)
			}
			if tc.want != nil && claims != nil {
				t.Errorf("claims %q beside an error", claims)
			}
		})
	}
}

func TestPeekReadsWithoutProof(t *testing.T) {
	token := forge(t, testKey(t, ES256), `{"alg":"ES256"}`, `{"iss":"cl_1"}`)
	parsed, err := Parse(token[:strings.LastIndexByte(token, '.')]+"."+strings.Repeat("A", 86), ES256)
	if err != nil {
		t.Fatal(err)
	}
	var claims struct {
		Iss string `json:"iss"`
	}
	if err := parsed.Peek(&claims); err != nil || claims.Iss != "cl_1" {
		t.Errorf("got %+v, %v", claims, err)
	}
	twice, err := Parse(forge(t, testKey(t, ES256), `{"alg":"ES256"}`, `{"iss":"a","iss":"b"}`), ES256)
	if err != nil {
		t.Fatal(err)
	}
	if err := twice.Peek(&claims); !errors.Is(err, ErrMalformed) {
		t.Errorf("got %v, want ErrMalformed for two issuers", err)
	}
}

func FuzzParse(f *testing.F) {
	key := testKey(f, ES256)
	good, err := key.Sign("at+jwt", []byte(`{"sub":"a","aud":["x"],"exp":1.5}`))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add(forge(f, key, `{"alg":"ES256","crit":["b64"],"b64":false}`, `{}`))
	f.Add(forge(f, key, `{"alg":"ES256","alg":"none"}`, `{"a":1,"a":2}`))
	f.Add(forge(f, key, `{"alg":"ES256","jwk":{"kty":"RSA","n":"AQ","e":"Aw"},"x5c":["AA"]}`, `{}`))
	f.Add(renamed(f, testKey(f, EdDSA), `{"sub":"a"}`))
	f.Add("..")
	f.Add("e30.e30.")
	f.Fuzz(func(t *testing.T, raw string) {
		parsed, err := Parse(raw, ES256, RS256, EdDSA)
		if err != nil {
			if parsed != nil {
				t.Fatal("a token beside an error")
			}
			return
		}
		if alg := parsed.Header().Alg; alg != ES256 && alg != RS256 && alg != EdDSA {
			t.Fatalf("alg %q got through", alg)
		}
		for i, part := range strings.Split(raw, ".") {
			bytes, err := base64.RawURLEncoding.Strict().DecodeString(part)
			if err != nil || base64.RawURLEncoding.EncodeToString(bytes) != part || i > 2 {
				t.Fatalf("part %d has another spelling", i)
			}
		}
		_ = parsed.Peek(&struct{}{})
		claims, err := parsed.Verify(key.Public(), testKey(t, EdDSA).Public())
		if err != nil {
			return
		}
		if raw != good && !strings.HasPrefix(raw, good[:strings.LastIndexByte(good, '.')]) {
			// Only the seeds are signed with this key.
			var members map[string]any
			if stdjson.Unmarshal(claims, &members) != nil {
				t.Fatalf("claims %q are not an object", claims)
			}
		}
	})
}

func BenchmarkParseAndVerify(b *testing.B) {
	claims := []byte(benchClaims)
	for _, alg := range ClientAlgorithms {
		key := testKey(b, alg)
		token, err := key.Sign("at+jwt", claims)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(string(alg), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				parsed, err := Parse(token, ClientAlgorithms...)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := parsed.Verify(key.Public()); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
