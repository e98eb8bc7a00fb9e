package directory

import (
	"hash"
	"time"

	"github.com/offkey/offkey/internal/secret"
)

// Code is what an authenticator app shows.
func Code(digest func() hash.Hash, key secret.Text, at time.Time) string {
	return hotp(digest, []byte(key.Reveal()), uint64(totpStep(at)), totpDigits)
}

// Held is how many people are in memory.
func (d *Directory) Held() int { return d.cache.len() }
