package secret

import (
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"hash/crc32"
	"strconv"
	"strings"
)

// The kinds of secret that offkey generates. The kind is readable in the secret,
// so that whoever finds one knows what it opens.
const (
	KindClientSecret       = "cs"
	KindRegistrationToken  = "rt" // lets a client register
	KindRegistrationAccess = "ra" // lets a client change its registration
	KindDeviceCode         = "dc"
	KindCode               = "ac" // an authorization code
	KindRefreshToken       = "rf"
)

// What a scanner goes by: every generated secret begins with GeneratedPrefix, and ends
// with GeneratedTail base62 characters, the last of which are a checksum.
const (
	GeneratedPrefix = prefix
	GeneratedTail   = bodyLen + checksumLen
)

const (
	prefix      = "offkey_"
	maxKindLen  = 8
	bodyLen     = 43 // 62^43 > 2^256
	checksumLen = 6  // 62^6 > 2^32
	base62      = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
)

// Generate returns a new secret "offkey_<kind>_<body><checksum>": 43 random
// base62 characters, which are 256 bits, and a CRC-32 of them in six. Scanners
// find it by the prefix and do without a look-up by the checksum; "_" makes a
// double click select all of it. It panics for a kind that is not one to eight
// lower-case letters or digits, since kinds are constants of the program.
func Generate(kind string) Text {
	return generate(kind, func(block []byte, _ int) { _, _ = rand.Read(block) }) // never fails, crypto/rand
}

// generate makes a secret of what fill puts into its n-th block.
func generate(kind string, fill func(block []byte, n int)) Text {
	if !isKind(kind) {
		panic("secret: kind must be one to eight of a-z, 0-9")
	}
	var b strings.Builder
	b.Grow(len(prefix) + len(kind) + 1 + bodyLen + checksumLen)
	b.WriteString(prefix)
	b.WriteString(kind)
	b.WriteByte('_')
	body := randomBase62(fill)
	sum := checksum(string(body[:]))
	b.Write(body[:])
	b.Write(sum[:])
	return NewText(b.String())
}

// WellFormed reports whether s has the shape and the checksum of a generated
// secret. A false answer spares the look-up; a true one proves nothing.
func WellFormed(s string) bool {
	rest, ok := strings.CutPrefix(s, prefix)
	if !ok {
		return false
	}
	at := len(rest) - bodyLen - checksumLen - 1
	if at < 1 || rest[at] != '_' || !isKind(rest[:at]) {
		return false
	}
	body, sum := rest[at+1:at+1+bodyLen], rest[at+1+bodyLen:]
	for i := range len(body) {
		if strings.IndexByte(base62, body[i]) < 0 {
			return false
		}
	}
	want := checksum(body)
	return sum == string(want[:])
}

// isKind reports whether s is one to eight lower-case letters or digits.
func isKind(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			return false
		}
	}
	return len(s) >= 1 && len(s) <= maxKindLen
}

// checksum is the CRC-32 (IEEE) of body in base62, padded with "0" on the left:
// the scheme that secret scanners know from GitHub's tokens.
func checksum(body string) [checksumLen]byte {
	crc := ^uint32(0)
	for i := range len(body) {
		crc = crc32.IEEETable[byte(crc)^body[i]] ^ crc>>8
	}
	crc = ^crc
	var out [checksumLen]byte
	for i := checksumLen - 1; i >= 0; i-- {
		out[i] = base62[crc%62]
		crc /= 62
	}
	return out
}

// randomBase62 draws every character alike: a random byte of 248 or more would
// favour the first eight characters and is drawn again.
func randomBase62(fill func(block []byte, n int)) [bodyLen]byte {
	var out [bodyLen]byte
	var random [bodyLen + 8]byte
	for n, round := 0, 0; n < bodyLen; round++ {
		fill(random[:], round)
		for _, c := range random {
			if c < 248 && n < bodyLen {
				out[n] = base62[c%62]
				n++
			}
		}
	}
	return out
}

// From is Generate with its random bits taken from seed, a secret itself: the
// same text for the same seed.
func From(kind string, seed []byte) Text {
	return generate(kind, func(block []byte, n int) {
		stream, err := hkdf.Key(sha256.New, seed, nil, "offkey secret "+strconv.Itoa(n), len(block))
		if err != nil {
			panic("secret: hkdf: " + err.Error()) // only for a length beyond 255 hashes
		}
		copy(block, stream)
	})
}
