package directory

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha1"
	"encoding/base32"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"net/url"
	"strings"
	"time"

	"github.com/offkey/offkey/internal/secret"
)

// What every authenticator app does without being told (RFC 6238 §1.2, §4).
const (
	totpPeriod = 30 // seconds
	totpDigits = 6
	totpSecret = 20 // bytes, as long as the hash (RFC 4226 §4 R6)
	totpSkew   = 1  // steps before and after that are taken (RFC 6238 §5.2)
)

// TOTP is an authenticator app as kept: its secret under the master key, and
// the last step whose code was used. The zero TOTP is none.
type TOTP struct {
	Sealed  []byte
	Step    int64 // codes of this step and earlier ones are spent
	Created time.Time
}

// IsZero reports whether there is no authenticator app.
func (t TOTP) IsZero() bool { return len(t.Sealed) == 0 }

// NewTOTPSecret makes a secret for an authenticator app.
func NewTOTPSecret() secret.Text {
	raw := make([]byte, totpSecret)
	_, _ = rand.Read(raw) // never fails, crypto/rand
	return secret.NewText(string(raw))
}

// ParseTOTPSecret reads a secret in base32, as apps show it: in groups or not,
// of either letter case, padded or not.
func ParseTOTPSecret(text string) (secret.Text, error) {
	raw, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(strings.ToUpper(strings.TrimRight(strings.Join(strings.Fields(text), ""), "=")))
	if err != nil {
		return secret.Text{}, errors.New("it is no base32, which secrets of authenticator apps are written in") // the library's error would show where
	}
	if len(raw) < 10 || len(raw) > 64 {
		return secret.Text{}, fmt.Errorf("it has %d bytes: secrets of authenticator apps have 10 to 64, and should have %d", len(raw), totpSecret)
	}
	return secret.NewText(string(raw)), nil
}

// TOTPText is a secret in base32, to be typed into an app.
func TOTPText(s secret.Text) string {
	return base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString([]byte(s.Reveal()))
}

// TOTPURI is what an app reads from a QR code. issuer is shown above the name.
func TOTPURI(s secret.Text, issuer, name string) string {
	q := url.Values{"secret": {TOTPText(s)}, "issuer": {issuer}}
	return "otpauth://totp/" + url.PathEscape(issuer+":"+name) + "?" + strings.ReplaceAll(q.Encode(), "+", "%20")
}

// totpStep is the number of the step that a time is in (RFC 6238 §4.2).
func totpStep(at time.Time) int64 { return at.Unix() / totpPeriod }

// matchTOTP returns the step that a code is of, among those near now that are
// not spent. The earliest that fits is the one that is spent.
func matchTOTP(s secret.Text, code string, now time.Time, spent int64) (step int64, ok bool) {
	code = strings.Join(strings.Fields(code), "") // apps show two groups
	if len(code) != totpDigits {
		return 0, false
	}
	for i := totpStep(now) - totpSkew; i <= totpStep(now)+totpSkew; i++ {
		if secret.Same(hotp(sha1.New, []byte(s.Reveal()), uint64(i), totpDigits), code) && i > spent && !ok {
			step, ok = i, true
		}
	}
	return step, ok
}

// hotp is the code of a counter (RFC 4226 §5.3).
func hotp(digest func() hash.Hash, key []byte, counter uint64, digits int) string {
	mac := hmac.New(digest, key)
	var message [8]byte
	binary.BigEndian.PutUint64(message[:], counter)
	mac.Write(message[:])
	sum := mac.Sum(nil)
	at := sum[len(sum)-1] & 0x0f
	number := binary.BigEndian.Uint32(sum[at:]) & 0x7fff_ffff
	modulus := uint32(1)
	for range digits {
		modulus *= 10
	}
	return fmt.Sprintf("%0*d", digits, number%modulus)
}
