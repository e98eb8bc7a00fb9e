package directory

import (
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"hash"
	"strings"
	"testing"
	"time"

	"github.com/offkey/offkey/internal/secret"
)

func TestHOTPOfRFC4226(t *testing.T) { // RFC 4226, appendix D
	for counter, want := range []string{"755224", "287082", "359152", "969429", "338314", "254676", "287922", "162583", "399871", "520489"} {
		if got := hotp(sha1.New, []byte("12345678901234567890"), uint64(counter), 6); got != want {
			t.Errorf("%d: %s, want %s", counter, got, want)
		}
	}
}

func TestTOTPOfRFC6238(t *testing.T) { // RFC 6238, appendix B
	digests := map[string]func() hash.Hash{"SHA1": sha1.New, "SHA256": sha256.New, "SHA512": sha512.New}
	keys := map[string]string{"SHA1": "12345678901234567890", "SHA256": "12345678901234567890123456789012", "SHA512": strings.Repeat("1234567890", 6) + "1234"}
	for _, tc := range []struct {
		at   int64
		want map[string]string
	}{
		{59, map[string]string{"SHA1": "94287082", "SHA256": "46119246", "SHA512": "90693936"}},
		{1111111109, map[string]string{"SHA1": "07081804", "SHA256": "68084774", "SHA512": "25091201"}},
		{1111111111, map[string]string{"SHA1": "14050471", "SHA256": "67062674", "SHA512": "99943326"}},
		{1234567890, map[string]string{"SHA1": "89005924", "SHA256": "91819424", "SHA512": "93441116"}},
		{2000000000, map[string]string{"SHA1": "69279037", "SHA256": "90698825", "SHA512": "38618901"}},
		{20000000000, map[string]string{"SHA1": "65353130", "SHA256": "77737706", "SHA512": "47863826"}},
	} {
		for name, want := range tc.want {
			if got := hotp(digests[name], []byte(keys[name]), uint64(totpStep(time.Unix(tc.at, 0))), 8); got != want {
				t.Errorf("%s at %d: %s, want %s", name, tc.at, got, want)
			}
		}
	}
}

func TestCodesNearNowAreTakenAndSpentOnesAreNot(t *testing.T) {
	key := secret.NewText("12345678901234567890")
	now := time.Unix(1111111111, 0)
	step := totpStep(now)
	code := func(offset int64) string {
		return hotp(sha1.New, []byte(key.Reveal()), uint64(step+offset), totpDigits)
	}
	for _, tc := range []struct {
		name, code string
		spent      int64
		want       int64
	}{
		{"of now", code(0), 0, step},
		{"in two groups", code(0)[:3] + " " + code(0)[3:], 0, step},
		{"of the step before", code(-1), 0, step - 1},
		{"of the step after", code(1), 0, step + 1},
		{"of two steps before", code(-2), 0, 0},
		{"of two steps after", code(2), 0, 0},
		{"spent", code(0), step, 0},
		{"before one that is spent", code(-1), step, 0},
		{"after one that is spent", code(1), step, step + 1},
		{"too short", code(0)[:5], 0, 0},
		{"too long", code(0) + "0", 0, 0},
		{"empty", "", 0, 0},
		{"no digits", "abcdef", 0, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got, ok := matchTOTP(key, tc.code, now, tc.spent); got != tc.want || ok != (tc.want != 0) {
				t.Errorf("%d, %v", got, ok)
			}
		})
	}
}

func TestSecretsOfAuthenticatorApps(t *testing.T) {
	made := NewTOTPSecret()
	if again, err := ParseTOTPSecret(TOTPText(made)); err != nil || again.Reveal() != made.Reveal() || len(made.Reveal()) != 20 {
		t.Errorf("does not read back: %v", err)
	}
	for text, want := range map[string]string{
		"JBSWY3DPEHPK3PXP":                 "Hello!\xde\xad\xbe\xef",
		"jbsw y3dp ehpk 3pxp\n":            "Hello!\xde\xad\xbe\xef",
		"GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ": "12345678901234567890",
		"GEZDGNBVGY3TQOJQGEZDGNBVGY======": "1234567890123456",
		"GEZDGNBV":                         "",
		"0189":                             "",
		"":                                 "",
	} {
		got, err := ParseTOTPSecret(text)
		if want == "" && err == nil || want != "" && (err != nil || got.Reveal() != want) {
			t.Errorf("%q: %v", text, err)
		}
		if err != nil && len(text) > 8 && strings.Contains(err.Error(), text[:8]) {
			t.Errorf("the error repeats the secret: %v", err)
		}
	}
	uri := TOTPURI(secret.NewText("12345678901234567890"), "auth.example.com", "ana b")
	if want := "otpauth://totp/auth.example.com:ana%20b?issuer=auth.example.com&secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"; uri != want {
		t.Errorf("got %s, want %s", uri, want)
	}
}

func FuzzParseTOTPSecret(f *testing.F) {
	f.Add("JBSW Y3DP EHPK 3PXP")
	f.Add("========")
	f.Fuzz(func(t *testing.T, text string) {
		key, err := ParseTOTPSecret(text)
		if err != nil {
			return
		}
		if again, err := ParseTOTPSecret(TOTPText(key)); err != nil || again.Reveal() != key.Reveal() {
			t.Errorf("%q does not read back: %v", text, err)
		}
	})
}
