package directory

import (
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"strconv"
	"strings"

	"github.com/offkey/offkey/internal/secret"
	"golang.org/x/crypto/argon2"
	"golang.org/x/crypto/bcrypt"
)

// PasswordHash is what is kept in place of a password. It does not print. The
// zero PasswordHash is of no password.
//
// Ours are argon2id, of 19 MiB in two passes. Those of other programs are taken
// where a check of them costs no more than a second or so: bcrypt, PBKDF2 and
// argon2 of other parameters. They are made anew at the next sign-in.
type PasswordHash struct {
	text    secret.Text
	matches func(password string) bool
	ours    bool
}

// The parameters of our own hashes: the first choice of OWASP, 33 ms and 19 MiB
// each (LIBRARIES: one core). Larger ones would make a sign-in a means to keep
// the cores busy.
const (
	argonMemory = 19 << 10 // KiB
	argonPasses = 2
	argonSalt   = 16
	argonSum    = 32
)

// What a hash of another program may cost at most.
const (
	mostArgonMemory   = 256 << 10 // KiB
	mostArgonWork     = 1 << 20   // KiB times passes
	mostArgonLanes    = 16
	mostBcryptCost    = 14
	mostPBKDF2Rounds  = 2_000_000
	longestHash       = 512 // characters
	shortestSum       = 16  // bytes
	longestSum        = 64
	shortestSalt      = 4 // of a hash that somebody else made: better a short one than the password in the clear
	longestSalt       = 128
	longestPassphrase = 1024 // bytes
)

// errHash is a hash in a form that is not taken. It never repeats the hash.
var errHash = errors.New("no password hash that offkey can check: it takes bcrypt, PBKDF2 with SHA-256 or SHA-512, argon2id and argon2i")

func badHash(why string) error { return fmt.Errorf("%w: %s", errHash, why) }

// ParsePasswordHash reads a hash in the form of its program:
//
//	$argon2id$v=19$m=19456,t=2,p=1$SALT$SUM      PHC; argon2i too; argon2$argon2id$… of Django
//	$2b$12$…                                     bcrypt, $2a$ and $2y$ too; bcrypt$… and bcrypt_sha256$… of Django
//	$pbkdf2-sha256$i=600000$SALT$SUM             PHC; $pbkdf2-sha256$600000$SALT$SUM of passlib
//	pbkdf2_sha256$600000$salt$SUM                Django
func ParsePasswordHash(s string) (PasswordHash, error) {
	if len(s) > longestHash {
		return PasswordHash{}, badHash("it is longer than any")
	}
	h := PasswordHash{text: secret.NewText(strings.Clone(s))}
	var err error
	switch scheme, rest, _ := strings.Cut(strings.TrimPrefix(s, "$"), "$"); scheme {
	case "argon2id", "argon2i":
		h.matches, h.ours, err = parseArgon2(scheme, rest)
	case "argon2d":
		err = badHash("argon2d is not for passwords (RFC 9106 §4)")
	case "argon2": // Django
		inner, _, _ := strings.Cut(rest, "$")
		h.matches, _, err = parseArgon2(inner, strings.TrimPrefix(rest, inner+"$"))
	case "2a", "2b", "2y":
		h.matches, err = parseBcrypt(s, false)
	case "bcrypt": // Django
		h.matches, err = parseBcrypt(rest, false)
	case "bcrypt_sha256": // Django
		h.matches, err = parseBcrypt(rest, true)
	case "pbkdf2-sha256", "pbkdf2-sha512", "pbkdf2_sha256", "pbkdf2_sha512":
		h.matches, err = parsePBKDF2(scheme, rest)
	default:
		err = badHash("its form is unknown")
	}
	if err != nil {
		return PasswordHash{}, err
	}
	return h, nil
}

// Reveal returns the hash as text, for the store alone.
func (h PasswordHash) Reveal() string { return h.text.Reveal() }

// IsZero reports whether there is no password.
func (h PasswordHash) IsZero() bool { return h.text.IsZero() }

// Format keeps the hash out of logs, whatever the verb.
func (h PasswordHash) Format(f fmt.State, c rune) { h.text.Format(f, c) }

// MarshalText keeps the hash out of documents.
func (h PasswordHash) MarshalText() ([]byte, error) { return h.text.MarshalText() }

// hashPassword makes a hash of ours.
func hashPassword(password string) PasswordHash {
	salt := make([]byte, argonSalt)
	_, _ = rand.Read(salt) // never fails, crypto/rand
	sum := argon2.IDKey([]byte(password), salt, argonPasses, argonMemory, 1, argonSum)
	h, err := ParsePasswordHash(fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=1$%s$%s", argon2.Version, argonMemory, argonPasses,
		base64.RawStdEncoding.EncodeToString(salt), base64.RawStdEncoding.EncodeToString(sum)))
	if err != nil {
		panic("directory: " + err.Error()) // our own form
	}
	return h
}

// parseArgon2 reads "v=19$m=19456,t=2,p=1$SALT$SUM".
func parseArgon2(kind, rest string) (matches func(string) bool, ours bool, err error) {
	derive := argon2.IDKey
	switch kind {
	case "argon2id":
	case "argon2i":
		derive = argon2.Key
	default:
		return nil, false, badHash("of argon2 it takes argon2id and argon2i")
	}
	parts := strings.Split(rest, "$")
	if len(parts) != 4 || parts[0] != "v=19" {
		return nil, false, badHash("of argon2 it takes version 19, written as $argon2id$v=19$m=…,t=…,p=…$salt$hash")
	}
	cost, err := parameters(parts[1], "m", "t", "p")
	if err != nil {
		return nil, false, err
	}
	memory, passes, lanes := cost["m"], cost["t"], cost["p"]
	switch {
	case memory < 8*lanes || passes < 1 || lanes < 1: // RFC 9106 §3.1
		return nil, false, badHash("its argon2 parameters are too small")
	case memory > mostArgonMemory || lanes > mostArgonLanes || memory*passes > mostArgonWork:
		return nil, false, badHash("checking it would take too much time or memory: 256 MiB, 16 lanes and 1 GiB in all passes are the most")
	}
	salt, sum, err := saltAndSum(parts[2], parts[3])
	if err != nil {
		return nil, false, err
	}
	ours = kind == "argon2id" && memory == argonMemory && passes == argonPasses && lanes == 1 && len(salt) >= argonSalt && len(sum) == argonSum
	return func(password string) bool {
		got := derive([]byte(password), salt, uint32(passes), uint32(memory), uint8(lanes), uint32(len(sum)))
		return same(got, sum)
	}, ours, nil
}

// parseBcrypt reads "$2b$12$…". Where the password was hashed first, its hex is
// what bcrypt was given.
func parseBcrypt(s string, hashedFirst bool) (func(string) bool, error) {
	cost, err := bcrypt.Cost([]byte(s))
	switch {
	case err != nil || len(s) != 60:
		return nil, badHash("its bcrypt form is damaged")
	case !strings.HasPrefix(s, "$2a$") && !strings.HasPrefix(s, "$2b$") && !strings.HasPrefix(s, "$2y$"):
		return nil, badHash("of bcrypt it takes $2a$, $2b$ and $2y$")
	case cost > mostBcryptCost:
		return nil, badHash(fmt.Sprintf("checking it would take too long: bcrypt of cost %d is the most", mostBcryptCost))
	case strings.Trim(s[7:], "./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789") != "":
		return nil, badHash("its bcrypt form is damaged")
	}
	return func(password string) bool {
		if hashedFirst {
			sum := sha256.Sum256([]byte(password))
			password = hex.EncodeToString(sum[:])
		}
		given := []byte(password)
		return bcrypt.CompareHashAndPassword([]byte(s), given[:min(len(given), 72)]) == nil // more than 72 bytes never mattered
	}, nil
}

// parsePBKDF2 reads "i=600000,l=32$SALT$SUM", or "600000$SALT$SUM" where the
// scheme is written as Django does, with its salt as it is.
func parsePBKDF2(scheme, rest string) (func(string) bool, error) {
	django := strings.Contains(scheme, "_")
	parts := strings.Split(rest, "$")
	if len(parts) != 3 {
		return nil, badHash("its PBKDF2 form is damaged")
	}
	text := parts[0]
	if !strings.HasPrefix(text, "i=") {
		text = "i=" + text
	}
	cost, err := parameters(text, "i", "l?")
	if err != nil {
		return nil, err
	}
	salt, sum, err := saltAndSum(parts[1], parts[2])
	if django {
		salt = []byte(parts[1])
		if sum, err = base64.StdEncoding.DecodeString(parts[2]); err == nil {
			err = checkLengths(salt, sum)
		}
	}
	switch {
	case err != nil:
		return nil, badHash("its salt or hash is damaged")
	case cost["l"] != 0 && cost["l"] != len(sum):
		return nil, badHash("its length is not the one that it says")
	case cost["i"] < 1 || cost["i"] > mostPBKDF2Rounds:
		return nil, badHash(fmt.Sprintf("its rounds are none, or more than %d", mostPBKDF2Rounds))
	}
	var digest func() hash.Hash = sha256.New
	if strings.HasSuffix(scheme, "512") {
		digest = sha512.New
	}
	return func(password string) bool {
		got, err := pbkdf2.Key(digest, password, salt, cost["i"], len(sum))
		return err == nil && same(got, sum)
	}, nil
}

// parameters reads "m=19456,t=2,p=1": each name once, nothing else. A name with
// a question mark may be missing.
func parameters(s string, names ...string) (map[string]int, error) {
	values := map[string]int{}
	for part := range strings.SplitSeq(s, ",") {
		name, text, _ := strings.Cut(part, "=")
		n, err := strconv.ParseUint(text, 10, 31)
		if _, twice := values[name]; err != nil || twice {
			return nil, badHash("its parameters are damaged")
		}
		values[name] = int(n)
	}
	known := 0
	for _, name := range names {
		bare, optional := strings.CutSuffix(name, "?")
		if _, there := values[bare]; there {
			known++
		} else if !optional {
			return nil, badHash("its parameters are not all there")
		}
	}
	if known != len(values) {
		return nil, badHash("it has a parameter that is not known")
	}
	return values, nil
}

// saltAndSum reads base64 as PHC writes it, without padding; that of passlib has
// "." for "+".
func saltAndSum(saltText, sumText string) (salt, sum []byte, err error) {
	read := func(s string) ([]byte, error) {
		return base64.RawStdEncoding.DecodeString(strings.ReplaceAll(strings.TrimRight(s, "="), ".", "+"))
	}
	if salt, err = read(saltText); err == nil {
		sum, err = read(sumText)
	}
	if err != nil {
		return nil, nil, badHash("its salt or hash is no base64")
	}
	return salt, sum, checkLengths(salt, sum)
}

func checkLengths(salt, sum []byte) error {
	if len(salt) < shortestSalt || len(salt) > longestSalt || len(sum) < shortestSum || len(sum) > longestSum {
		return badHash("its salt or hash is too short or too long")
	}
	return nil
}

func same(a, b []byte) bool { return secret.Same(string(a), string(b)) }
