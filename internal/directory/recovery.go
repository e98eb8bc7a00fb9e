package directory

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"strings"

	"github.com/offkey/offkey/internal/secret"
)

// RecoveryCodes is how many codes a person is given at a time.
const RecoveryCodes = 10

// Codes are written without the letters that are taken for others.
const (
	recoveryLetters = "0123456789abcdefghjkmnpqrstvwxyz" // 5 bits each
	recoveryGroups  = 3
	recoveryGroup   = 4
)

// newRecoveryCode makes a code of 60 random bits, as in x7k2-9mqt-4bwd.
func newRecoveryCode() string {
	random := make([]byte, recoveryGroups*recoveryGroup)
	_, _ = rand.Read(random) // never fails, crypto/rand
	var b strings.Builder
	for i, c := range random {
		if i > 0 && i%recoveryGroup == 0 {
			b.WriteByte('-')
		}
		b.WriteByte(recoveryLetters[c&31])
	}
	return b.String()
}

// plainRecoveryCode is a code as it is compared, however it was typed.
func plainRecoveryCode(code string) string {
	return strings.NewReplacer("-", "", " ", "", "o", "0", "i", "1", "l", "1", "\t", "").Replace(strings.ToLower(code))
}

// hashRecoveryCode is what is kept of a code. 60 bits could be found from a
// plain hash of a stolen database; without the master key's part they cannot.
func hashRecoveryCode(m *secret.MasterKey, personID, code string) secret.Hash {
	mac := hmac.New(sha256.New, m.Derive("recovery codes"))
	mac.Write([]byte(personID + " " + plainRecoveryCode(code)))
	return secret.Hash(mac.Sum(nil))
}
