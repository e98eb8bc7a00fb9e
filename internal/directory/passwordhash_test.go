package directory

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"golang.org/x/crypto/argon2"
	"golang.org/x/crypto/bcrypt"
)

func TestHashesOfOtherProgramsAreChecked(t *testing.T) {
	for _, tc := range []struct{ name, hash, password string }{
		// RFC 9106 has vectors with a secret and associated data, which password
		// hashes do not use; these are of the reference implementation's test suite.
		{"argon2id of the reference implementation", "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc", "password"},
		{"argon2id with two lanes", "$argon2id$v=19$m=256,t=2,p=2$c29tZXNhbHQ$bQk8UB/VmZZF4Oo79iDXuL5/0ttZwg2f/5U52iv1cDc", "password"},
		{"argon2i of the reference implementation", "$argon2i$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$wWKIMhR9lyDFvRz9YTZweHKfbftvj+qf+YFY4NeBbtA", "password"},
		{"argon2i of another password", "$argon2i$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$FK6NoBr+qHAMI1jc73xTWNkCEoK9iGY6RWL1n7dNIu4", "differentpassword"},
		// From the bcrypt test vectors of OpenBSD's and jBCrypt's suites.
		{"bcrypt $2a$ of a letter", "$2a$06$m0CrhHm10qJ3lXRY.5zDGO3rS2KdeeWLuGmsfGlMfOxih58VYVfxe", "a"},
		{"bcrypt $2b$ of a letter, which is the same", "$2b$06$m0CrhHm10qJ3lXRY.5zDGO3rS2KdeeWLuGmsfGlMfOxih58VYVfxe", "a"},
		{"bcrypt $2y$ of a letter, which is the same", "$2y$06$m0CrhHm10qJ3lXRY.5zDGO3rS2KdeeWLuGmsfGlMfOxih58VYVfxe", "a"},
		{"bcrypt of the alphabet", "$2a$08$aTsUwsyowQuzRrDqFflhgekJ8d9/7Z3GV3UcgvzQW3J5zMyrTvlz.", "abcdefghijklmnopqrstuvwxyz"},
		{"bcrypt of signs", "$2a$06$fPIsBO8qRqkjj273rfaOI.HtSV9jLDpTbZn782DC6/t7qT67P6FfO", "~!@#$%^&*()      ~!@#$%^&*()PNBFRD"},
		{"bcrypt as Django writes it", "bcrypt$$2a$06$m0CrhHm10qJ3lXRY.5zDGO3rS2KdeeWLuGmsfGlMfOxih58VYVfxe", "a"},
		// RFC 7914 §11 has PBKDF2-HMAC-SHA-256; the others are made with Python's
		// hashlib.pbkdf2_hmac.
		{"PBKDF2-SHA256 of RFC 7914 §11, one round", pbkdf2Of("sha256", 1, "salt", "55ac046e56e3089fec1691c22544b605f94185216dde0465e68b9d57c20dacbc49ca9cccf179b645991664b39d77ef317c71b845b1e30bd509112041d3a19783"), "passwd"},
		{"PBKDF2-SHA256 of Django", "pbkdf2_sha256$1000$seasalt$mQnueSakb748zqBAC1tmWVZsZbi2zPGZarEzTGdfmso=", "correct horse"},
		{"PBKDF2-SHA512 of Django", "pbkdf2_sha512$1000$seasalt$CBx2rkpvjyEAoopNVuRZWOOxTTRwoV6JjrHARZAmWoRGf7Bll/+N6ttV/4gWvtd16NJ94OpVpZHm44IdMrFULg==", "correct horse"},
		{"PBKDF2-SHA256 of passlib", "$pbkdf2-sha256$1000$....................eA$FsAZlkb/sXOg5SWi6PGacdN76CNT6ZCdbZMmDg0Sc4o", "correct horse"},
		{"PBKDF2-SHA512 as Keycloak derives it, in PHC form with padding", "$pbkdf2-sha512$i=1000,l=64$Af4B/gH+Af4B/gH+Af4B/g==$qDVZs8XEXZJYbyKYxt5JRaURQPBx8MMcmGdSpFQ1KRRu43a0qW32lWfgi1j+WK2Ukkh5SOaJytnseOYIJ6ftBw==", "correct horse"},
		{"PBKDF2-SHA256 with the long sum of Keycloak", "$pbkdf2-sha256$i=1000$Af4B/gH+Af4B/gH+Af4B/g$Z1DUb9RzFGNDGxh6dWsBt0iJ/f4/o2Y5WnFFWFR9NWiWxqyZf5Vff/AaG8tphApmHgz2s/zgF3ohu8mS6KErXA", "correct horse"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			h, err := ParsePasswordHash(tc.hash)
			if err != nil {
				t.Fatal(err)
			}
			if !h.matches(tc.password) {
				t.Error("the password does not match")
			}
			if h.matches(tc.password + "x") {
				t.Error("another password matches")
			}
			if !h.Outdated() {
				t.Error("it is not made anew at sign-in")
			}
		})
	}
}

func pbkdf2Of(digest string, rounds int, salt, sumHex string) string {
	var sum []byte
	for i := 0; i+1 < len(sumHex); i += 2 {
		var c byte
		_, _ = fmt.Sscanf(sumHex[i:i+2], "%02x", &c)
		sum = append(sum, c)
	}
	return fmt.Sprintf("$pbkdf2-%s$i=%d$%s$%s", digest, rounds, base64.RawStdEncoding.EncodeToString([]byte(salt)), base64.RawStdEncoding.EncodeToString(sum))
}

func TestHashesThatAreNotTaken(t *testing.T) {
	const salt, sum = "c29tZXNhbHQ", "CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc"
	argon := func(params string) string { return "$argon2id$v=19$" + params + "$" + salt + "$" + sum }
	for name, hash := range map[string]string{
		"nothing":                           "",
		"a password in the clear":           "correct horse battery",
		"md5 crypt":                         "$1$abcd$xxxxxxxxxxxxxxxxxxxxxx",
		"sha512 crypt":                      "$6$abcd$xxxxxxxxxxxxxxxxxxxxxx",
		"plain SHA-1 of Django":             "sha1$abc$0123456789012345678901234567890123456789",
		"argon2d":                           "$argon2d$v=19$m=65536,t=2,p=1$" + salt + "$" + sum,
		"argon2 of the version before":      "$argon2id$v=16$m=65536,t=2,p=1$" + salt + "$" + sum,
		"argon2 without a version":          "$argon2id$m=65536,t=2,p=1$" + salt + "$" + sum,
		"argon2 of 1 GiB":                   argon("m=1048576,t=1,p=1"),
		"argon2 of many passes":             argon("m=65536,t=17,p=1"),
		"argon2 of no passes":               argon("m=65536,t=0,p=1"),
		"argon2 of no lanes":                argon("m=65536,t=1,p=0"),
		"argon2 of 255 lanes":               argon("m=65536,t=1,p=255"),
		"argon2 of less memory than lanes":  argon("m=7,t=1,p=1"),
		"argon2 with a number that is none": argon("m=6553x,t=1,p=1"),
		"argon2 with a huge number":         argon("m=99999999999999999999,t=1,p=1"),
		"argon2 with a parameter twice":     argon("m=65536,m=8,t=1,p=1"),
		"argon2 with one too many":          argon("m=65536,t=1,p=1,keyid=x"),
		"argon2 with one missing":           argon("m=65536,t=1"),
		"argon2 with a short sum":           "$argon2id$v=19$m=65536,t=2,p=1$" + salt + "$AAAA",
		"argon2 with a short salt":          "$argon2id$v=19$m=65536,t=2,p=1$AA$" + sum,
		"argon2 that is no base64":          "$argon2id$v=19$m=65536,t=2,p=1$" + salt + "$" + strings.Repeat("*", 43),
		"argon2 with something behind":      argon("m=65536,t=2,p=1") + "$x",
		"bcrypt of cost 15":                 "$2a$15$m0CrhHm10qJ3lXRY.5zDGO3rS2KdeeWLuGmsfGlMfOxih58VYVfxe",
		"bcrypt of cost 31":                 "$2a$31$m0CrhHm10qJ3lXRY.5zDGO3rS2KdeeWLuGmsfGlMfOxih58VYVfxe",
		"bcrypt cut short":                  "$2a$06$m0CrhHm10qJ3lXRY.5zDGO3rS2KdeeWLuGmsfGlMfOxih58VYVfx",
		"bcrypt of the broken kind":         "$2x$06$m0CrhHm10qJ3lXRY.5zDGO3rS2KdeeWLuGmsfGlMfOxih58VYVfxe",
		"bcrypt with a space":               "$2a$06$m0CrhHm10qJ3lXRY.5zDGO3rS2KdeeWLuGmsfGlMfOxih58VYVfx ",
		"PBKDF2 with SHA-1":                 "$pbkdf2$i=1000$" + salt + "$" + sum,
		"PBKDF2 of no rounds":               "$pbkdf2-sha256$i=0$" + salt + "$" + sum,
		"PBKDF2 of too many rounds":         "$pbkdf2-sha256$i=2000001$" + salt + "$" + sum,
		"PBKDF2 of another length":          "$pbkdf2-sha256$i=1000,l=31$" + salt + "$" + sum,
		"PBKDF2 of Django, cut short":       "pbkdf2_sha256$1000$seasalt",
		"too long":                          "$argon2id$v=19$m=65536,t=2,p=1$" + salt + "$" + strings.Repeat("A", 600),
	} {
		t.Run(name, func(t *testing.T) {
			h, err := ParsePasswordHash(hash)
			if err == nil || !h.IsZero() {
				t.Fatalf("taken: %v", err)
			}
			if len(hash) > 20 && strings.Contains(err.Error(), hash[len(hash)-10:]) {
				t.Errorf("the error repeats the hash: %v", err)
			}
		})
	}
}

func TestHashesThatHaveOtherParameters(t *testing.T) {
	salt, password := []byte("0123456789abcdef"), "correct horse"
	for _, tc := range []struct {
		memory, passes uint32
		lanes          uint8
		sum            uint32
		outdated       bool
	}{{argonMemory, argonPasses, 1, 32, false}, {argonMemory, argonPasses, 1, 16, true}, {7 << 10, 5, 1, 32, true}, {argonMemory, 3, 1, 32, true}, {argonMemory, argonPasses, 2, 32, true}, {256 << 10, 4, 4, 64, true}} {
		sum := argon2.IDKey([]byte(password), salt, tc.passes, tc.memory, tc.lanes, tc.sum)
		h, err := ParsePasswordHash(fmt.Sprintf("$argon2id$v=19$m=%d,t=%d,p=%d$%s$%s", tc.memory, tc.passes, tc.lanes, base64.RawStdEncoding.EncodeToString(salt), base64.RawStdEncoding.EncodeToString(sum)))
		if err != nil {
			t.Fatalf("%+v: %v", tc, err)
		}
		if !h.matches(password) || h.Outdated() != tc.outdated {
			t.Errorf("%+v: matches %v, outdated %v", tc, h.matches(password), h.Outdated())
		}
	}
}

func TestDjangosBcryptOfASHA256(t *testing.T) {
	password := strings.Repeat("long ", 30) // bcrypt alone would look at 72 bytes of it
	sum := sha256.Sum256([]byte(password))
	raw, err := bcrypt.GenerateFromPassword([]byte(hex.EncodeToString(sum[:])), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	h, err := ParsePasswordHash("bcrypt_sha256$" + string(raw))
	if err != nil || !h.matches(password) || h.matches(password[:80]) {
		t.Errorf("%v, %v, %v", err, h.matches(password), h.matches(password[:80]))
	}
}

func TestOurHashesAreFreshAndDoNotPrint(t *testing.T) {
	a, b := hashPassword("correct horse"), hashPassword("correct horse")
	if a.Reveal() == b.Reveal() || a.Outdated() || !a.matches("correct horse") || a.matches("Correct horse") {
		t.Error("not a salted hash of ours")
	}
	if !strings.HasPrefix(a.Reveal(), "$argon2id$v=19$m=19456,t=2,p=1$") {
		t.Errorf("written as %s", a.Reveal()[:30])
	}
	var account = Account{Person: &Person{}, Password: a}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x"} {
		for _, what := range []any{a, account, &account} {
			if got := fmt.Sprintf(verb, what); strings.Contains(got, "argon2id") || strings.Contains(got, fmt.Sprintf("%x", "argon2id")) {
				t.Errorf("%s shows %s", verb, got)
			}
		}
	}
	if raw, err := json.Marshal(account); err != nil || strings.Contains(string(raw), "argon2") {
		t.Errorf("%s, %v", raw, err)
	}
}

func FuzzParsePasswordHash(f *testing.F) {
	for _, s := range []string{
		hashPassword("x").Reveal(), "$2a$06$m0CrhHm10qJ3lXRY.5zDGO3rS2KdeeWLuGmsfGlMfOxih58VYVfxe", "bcrypt_sha256$$2b$04$", "pbkdf2_sha256$1000$seasalt$mQnueSakb748zqBAC1tmWVZsZbi2zPGZarEzTGdfmso=",
		"$pbkdf2-sha512$i=1,l=64$$", "argon2$argon2i$v=19$m=8,t=1,p=1$c29tZXNhbHQ$c29tZXNhbHRzb21lc2FsdA", "$$$$$",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		h, err := ParsePasswordHash(s)
		if err != nil {
			last := s[strings.LastIndex(s, "$")+1:]
			if !h.IsZero() || len(last) > 20 && strings.Contains(err.Error(), last) {
				t.Errorf("%q: %v", s, err)
			}
			return
		}
		if again, err := ParsePasswordHash(h.Reveal()); err != nil || again.Reveal() != s || again.ours != h.ours {
			t.Errorf("%q does not read back: %v", s, err)
		}
	})
}
