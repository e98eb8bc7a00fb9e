package importfile

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/offkey/offkey/internal/apikey"
	"github.com/offkey/offkey/internal/directory"
)

// HashForm says how the hashes of a list are read where they do not say it
// themselves.
type HashForm struct {
	Algorithm string // sha256, hmac-sha256 and so on; "": by their form and length
	Salt      string // of all; a column can have one for each
	SaltLast  bool   // it follows the apikey
	Pepper    string // the name of the secret of an HMAC
}

// Check reports an algorithm that is not known.
func (f HashForm) Check() error {
	bare := strings.TrimPrefix(f.Algorithm, "hmac-")
	if f.Algorithm != "" && apikey.DigestSize(bare) == 0 {
		return fmt.Errorf("algorithm %q is not known: it is sha256, sha512, sha384, sha1 or md5, or one of them with hmac- before it; hashes that name theirs need none", f.Algorithm)
	}
	if strings.HasPrefix(f.Algorithm, "hmac-") && f.Pepper == "" {
		return errors.New("an HMAC needs its secret")
	}
	return nil
}

// What is wrong with a hash. None repeats it.
var (
	errHashForm   = errors.New("its hash has no form that is known")
	errForgeable  = errors.New("its hash is a murmur, for which anybody can make a string that has it: export the apikeys, or let them be learnt")
	errCryptForms = errors.New("of crypt hashes only bcrypt and $apr1$ are checked: let it be learnt instead")
)

// parseHash reads a hash in the form of its program:
//
//	64 hex digits, base64 or base64url of 32 bytes   SHA-256; other lengths by algorithm
//	sha256:…  sha256$…  sha256_…  {SHA}…  {SSHA}…    a digest that names itself
//	sha1$salt$hex                                    Django, salt first
//	pbkdf2_sha256$iterations$salt$base64             Django
//	scrypt$N$salt$r$p$base64, scrypt:N:r:p$salt$hex  Django, Werkzeug
//	pbkdf2:sha256:iterations$salt$hex                Werkzeug
//	$pbkdf2-sha256$…, $scrypt$ln=…,r=…,p=…$salt$sum  passlib
//	$2b$…, $argon2id$…, bcrypt_sha256$…, argon2$…    as passwords are hashed
//	$apr1$salt$sum                                   htpasswd
//	PREFIX.HASH                                      any of them, of an apikey that begins with PREFIX.
func parseHash(text string, f HashForm) (apikey.Hashed, error) {
	h, err := readHash(text, f)
	if err != nil {
		prefix, rest, dotted := strings.Cut(text, ".")
		if !dotted || prefix == "" || len(prefix) > 64 || strings.ContainsAny(prefix, "$:{") {
			return apikey.Hashed{}, err
		}
		if h, err = readHash(rest, f); err != nil {
			return apikey.Hashed{}, err
		}
		h.Prefix = prefix + "."
		h.Dotted = apikey.DigestSize(h.Scheme) > 0
	}
	if err := h.Check(); err != nil {
		return apikey.Hashed{}, err
	}
	return h, nil
}

func readHash(text string, f HashForm) (apikey.Hashed, error) {
	switch {
	case text == "":
		return apikey.Hashed{}, errHashForm
	case strings.HasPrefix(text, "{"):
		return readLDAP(text)
	case strings.HasPrefix(text, "$apr1$"):
		salt, sum, _ := strings.Cut(text[len("$apr1$"):], "$")
		return apikey.Hashed{Scheme: apikey.SchemeAPR1, Salt: []byte(salt), Sum: apikey.ParseAPR1(sum)}, nil
	case strings.HasPrefix(text, "$scrypt$"):
		return readPasslibScrypt(text)
	case strings.HasPrefix(text, "scrypt$"), strings.HasPrefix(text, "scrypt:"):
		return readScrypt(text)
	case strings.HasPrefix(text, "pbkdf2:"), strings.HasPrefix(text, "pbkdf2_sha1$"):
		return readPBKDF2(text)
	}
	if h, ok := readNamedDigest(text, f); ok {
		return h, nil
	}
	if h, ok := readBareDigest(text, f); ok {
		return h, nil
	}
	if strings.Contains(text, "$") {
		if _, err := directory.ParsePasswordHash(text); err == nil {
			return apikey.Hashed{Scheme: apikey.SchemePassword, Text: text}, nil
		}
		if strings.HasPrefix(text, "$1$") || strings.HasPrefix(text, "$5$") || strings.HasPrefix(text, "$6$") || strings.HasPrefix(text, "$y$") {
			return apikey.Hashed{}, errCryptForms
		}
	}
	return apikey.Hashed{}, errHashForm
}

// readLDAP reads the forms of RFC 2307 userPassword that htpasswd has too:
// {SHA}, {SSHA} with the salt behind the sum, and their SHA-2 kin.
func readLDAP(text string) (apikey.Hashed, error) {
	name, body, _ := strings.Cut(strings.TrimPrefix(text, "{"), "}")
	scheme, salted := strings.ToLower(name), false
	if scheme, salted = strings.CutPrefix(scheme, "ssha"); !salted {
		scheme = strings.TrimPrefix(scheme, "sha")
	}
	if scheme == "" {
		scheme = "1"
	}
	size := apikey.DigestSize("sha" + scheme)
	raw, err := base64.StdEncoding.DecodeString(body)
	if err != nil || size == 0 || len(raw) < size || salted != (len(raw) > size) {
		return apikey.Hashed{}, errHashForm
	}
	return apikey.Hashed{Scheme: "sha" + scheme, Sum: raw[:size], Salt: raw[size:], SaltLast: salted}, nil
}

// readNamedDigest reads sha256:…, sha256$…, sha256_…, and what Django writes:
// sha1$salt$hex, sha512$$hex.
func readNamedDigest(text string, f HashForm) (apikey.Hashed, bool) {
	for _, name := range []string{"sha256", "sha512", "sha384", "sha1", "md5"} {
		rest, named := strings.CutPrefix(text, name)
		if !named || rest == "" || !strings.ContainsRune(":$_-", rune(rest[0])) {
			continue
		}
		salt, rest := f.Salt, rest[1:]
		if django, sum, two := strings.Cut(rest, "$"); two {
			salt, rest = django, sum
		}
		sum := decode(rest, apikey.DigestSize(name))
		if sum == nil {
			return apikey.Hashed{}, false
		}
		return apikey.Hashed{Scheme: name, Sum: sum, Salt: []byte(salt), SaltLast: f.SaltLast && salt != ""}, true
	}
	return apikey.Hashed{}, false
}

// readBareDigest reads a sum alone, of the algorithm that is named, else of the
// one that its length says. 16 bytes say nothing: they may be anything.
func readBareDigest(text string, f HashForm) (apikey.Hashed, bool) {
	names := []string{"sha256", "sha512", "sha384", "sha1"}
	if f.Algorithm != "" {
		names = []string{strings.TrimPrefix(f.Algorithm, "hmac-")}
	}
	for _, name := range names {
		if sum := decode(text, apikey.DigestSize(name)); sum != nil {
			h := apikey.Hashed{Scheme: name, Sum: sum, Salt: []byte(f.Salt), SaltLast: f.SaltLast && f.Salt != ""}
			if strings.HasPrefix(f.Algorithm, "hmac-") {
				h.Scheme, h.Pepper = f.Algorithm, f.Pepper
			}
			return h, true
		}
	}
	return apikey.Hashed{}, false
}

// decode reads size bytes written in hex, base64 or base64url, nil if text is
// none of these.
func decode(text string, size int) []byte {
	if size == 0 {
		return nil
	}
	if len(text) == hex.EncodedLen(size) {
		if raw, err := hex.DecodeString(text); err == nil {
			return raw
		}
	}
	bare := strings.TrimRight(text, "=")
	if len(bare) != base64.RawStdEncoding.EncodedLen(size) {
		return nil
	}
	for _, e := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
		if raw, err := e.DecodeString(bare); err == nil {
			return raw
		}
	}
	return nil
}

// readPasslibScrypt reads "$scrypt$ln=16,r=8,p=1$SALT$SUM".
func readPasslibScrypt(text string) (apikey.Hashed, error) {
	parts := strings.Split(text, "$")
	if len(parts) != 5 {
		return apikey.Hashed{}, errHashForm
	}
	cost := map[string]int{}
	for part := range strings.SplitSeq(parts[2], ",") {
		name, value, _ := strings.Cut(part, "=")
		n, err := strconv.Atoi(value)
		if err != nil {
			return apikey.Hashed{}, errHashForm
		}
		cost[name] = n
	}
	salt, err := base64.RawStdEncoding.DecodeString(strings.ReplaceAll(strings.TrimRight(parts[3], "="), ".", "+"))
	sum, err2 := base64.RawStdEncoding.DecodeString(strings.ReplaceAll(strings.TrimRight(parts[4], "="), ".", "+"))
	if err != nil || err2 != nil || cost["ln"] < 1 || cost["ln"] > 20 {
		return apikey.Hashed{}, errHashForm
	}
	return apikey.Hashed{Scheme: apikey.SchemeScrypt, Cost: []int{1 << cost["ln"], cost["r"], cost["p"]}, Salt: salt, Sum: sum}, nil
}

// readScrypt reads "scrypt$N$salt$r$p$base64" of Django and
// "scrypt:N:r:p$salt$hex" of Werkzeug. Both take the salt as it is written.
func readScrypt(text string) (apikey.Hashed, error) {
	h := apikey.Hashed{Scheme: apikey.SchemeScrypt}
	var cost []string
	var err error
	if parts := strings.Split(text, "$"); strings.HasPrefix(text, "scrypt$") && len(parts) == 6 {
		cost, h.Salt = []string{parts[1], parts[3], parts[4]}, []byte(parts[2])
		h.Sum, err = base64.StdEncoding.DecodeString(parts[5])
	} else if len(parts) == 3 {
		cost, h.Salt = strings.Split(parts[0], ":")[1:], []byte(parts[1])
		h.Sum, err = hex.DecodeString(parts[2])
	}
	if err != nil || len(cost) != 3 {
		return apikey.Hashed{}, errHashForm
	}
	for _, c := range cost {
		n, err := strconv.Atoi(c)
		if err != nil {
			return apikey.Hashed{}, errHashForm
		}
		h.Cost = append(h.Cost, n)
	}
	return h, nil
}

// readPBKDF2 reads "pbkdf2:sha256:600000$salt$hex" of Werkzeug and
// "pbkdf2_sha1$iterations$salt$base64" of Django. Others are read as passwords
// are.
func readPBKDF2(text string) (apikey.Hashed, error) {
	parts := strings.Split(text, "$")
	h, rounds := apikey.Hashed{}, ""
	var err error
	switch {
	case strings.HasPrefix(text, "pbkdf2:") && len(parts) == 3:
		head := strings.Split(parts[0], ":")
		if len(head) != 3 || !slices.Contains([]string{"sha1", "sha256", "sha512"}, head[1]) {
			return apikey.Hashed{}, errHashForm
		}
		h.Scheme, rounds, h.Salt = "pbkdf2-"+head[1], head[2], []byte(parts[1])
		h.Sum, err = hex.DecodeString(parts[2])
	case len(parts) == 4:
		h.Scheme, rounds, h.Salt = "pbkdf2-sha1", parts[1], []byte(parts[2])
		h.Sum, err = base64.StdEncoding.DecodeString(parts[3])
	default:
		return apikey.Hashed{}, errHashForm
	}
	n, err2 := strconv.Atoi(rounds)
	if err != nil || err2 != nil {
		return apikey.Hashed{}, errHashForm
	}
	h.Cost = []int{n}
	return h, nil
}
