package apikey

import (
	"crypto/hmac"
	"crypto/md5"
	"crypto/pbkdf2"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"slices"
	"strings"

	"github.com/offkey/offkey/internal/secret"
	"golang.org/x/crypto/scrypt"
)

// Hashed is an apikey of which only a hash is known, as another system kept it.
// It never reaches a call as it is: it tells which apikey a string is, once,
// and from then on our own fingerprint does.
type Hashed struct {
	Scheme string `json:"scheme"`
	Sum    []byte `json:"sum,omitempty"`
	Salt   []byte `json:"salt,omitempty"`
	// SaltLast: the salt follows the apikey. Otherwise it comes before it.
	SaltLast bool `json:"salt_last,omitempty"`
	// Pepper names the secret of an HMAC, which is kept elsewhere and sealed.
	Pepper string `json:"pepper,omitempty"`
	// Cost is what the scheme asks for: the rounds of PBKDF2; N, r and p of scrypt.
	Cost []int `json:"cost,omitempty"`
	// Text is a password hash as its program wrote it, of SchemePassword.
	Text string `json:"text,omitempty"`
	// Dotted: the hash may also be of what follows the last dot of the apikey.
	Dotted bool `json:"dotted,omitempty"`

	// What is known of the apikey itself: it spares most strings the work.
	Prefix string `json:"prefix,omitempty"`
	End    string `json:"end,omitempty"`
	Length int    `json:"length,omitempty"`
}

// The schemes beside plain digests, HMACs and PBKDF2, which are named by their
// digest: sha256, hmac-sha256, pbkdf2-sha256 and so on.
const (
	SchemeScrypt   = "scrypt"
	SchemeAPR1     = "apr1"
	SchemePassword = "password" // bcrypt and argon2, checked by who checks passwords
)

var digests = map[string]func() hash.Hash{"md5": md5.New, "sha1": sha1.New, "sha256": sha256.New, "sha384": sha512.New384, "sha512": sha512.New}

// DigestSize is the length of a digest in bytes, 0 of an unknown one.
func DigestSize(name string) int {
	if made := digests[name]; made != nil {
		return made().Size()
	}
	return 0
}

// split takes "hmac-sha256" apart.
func (h *Hashed) split() (kind string, digest func() hash.Hash) {
	kind, name, two := strings.Cut(h.Scheme, "-")
	if !two {
		kind, name = "", h.Scheme
	}
	return kind, digests[name]
}

// What checking a hash may cost at most: about a second, and a tenth of a
// gigabyte.
const (
	mostPBKDF2Rounds = 2_000_000
	mostScryptMemory = 128 << 20
	mostScryptWork   = 4 * mostScryptMemory
	longestSalt      = 256
	longestText      = 512
)

var errHashed = errors.New("no hash of an apikey that offkey can check")

// Check reports what makes a hash one that no string could match, or that costs
// too much.
func (h *Hashed) Check() error {
	bad := func(why string) error { return fmt.Errorf("%w: %s", errHashed, why) }
	if len(h.Salt) > longestSalt || len(h.Text) > longestText || len(h.Prefix)+len(h.End) > MaxLength || h.Length < 0 {
		return bad("it is longer than any")
	}
	kind, digest := h.split()
	switch {
	case h.Scheme == SchemePassword:
		if h.Text == "" {
			return bad("it is empty")
		}
	case h.Scheme == SchemeAPR1:
		if len(h.Sum) != md5.Size || len(h.Salt) == 0 || len(h.Salt) > 8 {
			return bad("its form is damaged")
		}
	case h.Scheme == SchemeScrypt:
		if len(h.Cost) != 3 || len(h.Sum) < 16 || len(h.Sum) > 128 {
			return bad("its form is damaged")
		}
		n, r, p := h.Cost[0], h.Cost[1], h.Cost[2]
		if n < 2 || n > 1<<20 || n&(n-1) != 0 || r < 1 || r > 64 || p < 1 || p > 16 || 128*n*r > mostScryptMemory || 128*n*r*p > mostScryptWork {
			return bad("its scrypt parameters are wrong, or checking it would take too much")
		}
	case kind == "pbkdf2" && digest != nil:
		if len(h.Cost) != 1 || h.Cost[0] < 1 || h.Cost[0] > mostPBKDF2Rounds || len(h.Sum) < 16 || len(h.Sum) > 64 {
			return bad(fmt.Sprintf("its form is damaged, or it has more than %d rounds", mostPBKDF2Rounds))
		}
	case (kind == "" || kind == "hmac") && digest != nil:
		if size := digest().Size(); len(h.Sum) != size {
			return bad(fmt.Sprintf("it has %d bytes, and %s has %d", len(h.Sum), h.Scheme, size))
		}
		if (kind == "hmac") != (h.Pepper != "") {
			return bad("an HMAC and its secret come together")
		}
	default:
		return bad("its scheme is unknown")
	}
	return nil
}

// Slow reports whether checking a string takes so long that it is never done
// while a call waits its turn with others.
func (h *Hashed) Slow() bool {
	kind, _ := h.split()
	return kind == "pbkdf2" || h.Scheme == SchemeScrypt || h.Scheme == SchemeAPR1 || h.Scheme == SchemePassword
}

// Fits reports whether a string can be the apikey, by what is known of that.
func (h *Hashed) Fits(value string) bool {
	return strings.HasPrefix(value, h.Prefix) && strings.HasSuffix(value, h.End) && (h.Length == 0 || len(value) == h.Length)
}

// Matches reports whether the hash is of value. Whoever asks about
// SchemePassword has to check Text itself.
func (h *Hashed) Matches(value string, pepper []byte) bool {
	if !h.Fits(value) {
		return false
	}
	same := func(value string) bool {
		got := h.sum(value, pepper)
		return got != nil && secret.Same(string(got), string(h.Sum))
	}
	return same(value) || h.Dotted && same(afterDot(value))
}

func afterDot(value string) string { return value[strings.LastIndexByte(value, '.')+1:] }

// sum is the hash of value under the parameters of h, nil where there is none.
func (h *Hashed) sum(value string, pepper []byte) []byte {
	kind, digest := h.split()
	switch {
	case h.Scheme == SchemeScrypt:
		got, _ := scrypt.Key([]byte(value), h.Salt, h.Cost[0], h.Cost[1], h.Cost[2], len(h.Sum)) // its parameters were checked
		return got
	case h.Scheme == SchemeAPR1:
		return apr1(value, string(h.Salt))
	case digest == nil:
		return nil
	case kind == "pbkdf2":
		got, _ := pbkdf2.Key(digest, value, h.Salt, h.Cost[0], len(h.Sum))
		return got
	case kind == "hmac":
		if len(pepper) == 0 {
			return nil
		}
		return saltedSum(hmac.New(digest, pepper), value, h.Salt, h.SaltLast)
	}
	return saltedSum(digest(), value, h.Salt, h.SaltLast)
}

func saltedSum(d hash.Hash, value string, salt []byte, last bool) []byte {
	if !last {
		d.Write(salt)
	}
	d.Write([]byte(value))
	if last {
		d.Write(salt)
	}
	return d.Sum(nil)
}

// Mark is the identity of the hash: the same list again finds the same marks.
// What is only known about the apikey is not part of it.
func (h *Hashed) Mark() secret.Hash {
	bare := *h
	bare.Prefix, bare.End, bare.Length = "", "", 0
	raw, err := json.Marshal(bare)
	if err != nil {
		panic("apikey: " + err.Error()) // bytes, numbers and strings
	}
	return secret.HashOf("offkey hash of an apikey\x00" + string(raw))
}

// apr1 is the MD5 crypt of Apache's htpasswd: a thousand rounds whose order
// depends on the number of the round.
func apr1(password, salt string) []byte {
	const magic = "$apr1$"
	round := func(parts ...string) []byte {
		d := md5.New()
		for _, p := range parts {
			d.Write([]byte(p))
		}
		return d.Sum(nil)
	}
	mixed := string(round(password, salt, password))
	first := password + magic + salt
	for left := len(password); left > 0; left -= md5.Size {
		first += mixed[:min(left, md5.Size)]
	}
	for n := len(password); n > 0; n >>= 1 {
		if n&1 == 1 {
			first += "\x00"
		} else {
			first += password[:1]
		}
	}
	sum := round(first)
	for i := range 1000 {
		var parts []string
		if i&1 == 1 {
			parts = append(parts, password)
		} else {
			parts = append(parts, string(sum))
		}
		if i%3 != 0 {
			parts = append(parts, salt)
		}
		if i%7 != 0 {
			parts = append(parts, password)
		}
		if i&1 == 1 {
			parts = append(parts, string(sum))
		} else {
			parts = append(parts, password)
		}
		sum = round(parts...)
	}
	return sum
}

// apr1Order is in which order the bytes of the sum are written, three at a time.
var apr1Order = [...]int{0, 6, 12, 1, 7, 13, 2, 8, 14, 3, 9, 15, 4, 10, 5, 11}

const apr1Alphabet = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

// ParseAPR1 reads the 22 characters behind the salt of an $apr1$ hash, nil if
// they are none.
func ParseAPR1(text string) []byte {
	if len(text) != 22 {
		return nil
	}
	sum := make([]byte, md5.Size)
	for at := 0; at < len(text); at += 4 {
		part := text[at:min(at+4, len(text))]
		bits := 0
		for i, c := range []byte(part) {
			v := strings.IndexByte(apr1Alphabet, c)
			if v < 0 {
				return nil
			}
			bits |= v << (6 * i)
		}
		if len(part) == 2 { // the last byte stands alone
			sum[apr1Order[15]] = byte(bits)
			if bits > 0xff {
				return nil
			}
			break
		}
		group := at / 4 * 3
		for i := range 3 {
			sum[apr1Order[group+i]] = byte(bits >> (8 * (2 - i)))
		}
	}
	return sum
}

// recipe is what two hashes have in common if one computation serves both.
type recipe struct {
	scheme, salt, pepper string
	saltLast, afterDot   bool
}

// recipes are the computations by which the hash is found.
func (h *Hashed) recipes() []recipe {
	r := recipe{scheme: h.Scheme, salt: string(h.Salt), pepper: h.Pepper, saltLast: h.SaltLast}
	if !h.Dotted {
		return []recipe{r}
	}
	of := r
	of.afterDot = true
	return []recipe{r, of}
}

// hashes finds apikeys by hashes that others made of them. It is guarded by the
// Index that holds it.
type hashes struct {
	fast    map[recipe]map[string]*Key // by sum
	order   []recipe
	slow    map[string]*Key // by id: one computation for each
	peppers map[string][]byte
}

// maxRecipes is how many fast hashes one unknown string costs a call: about 20
// µs. A table that salts every apikey for itself has as many as it has rows.
const maxRecipes = 64

func (x *hashes) put(k *Key) {
	if x.fast == nil {
		x.fast, x.slow = map[recipe]map[string]*Key{}, map[string]*Key{}
	}
	for _, r := range k.Hash.recipes() {
		_, known := x.fast[r]
		if k.Hash.Slow() || !known && len(x.order) >= maxRecipes {
			x.slow[k.ID] = k
			return
		}
		if !known {
			x.fast[r] = map[string]*Key{}
			x.order = append(x.order, r)
		}
		x.fast[r][string(k.Hash.Sum)] = k
	}
}

func (x *hashes) forget(k *Key) {
	delete(x.slow, k.ID)
	for _, r := range k.Hash.recipes() {
		of := x.fast[r]
		if of[string(k.Hash.Sum)] != k {
			continue
		}
		if delete(of, string(k.Hash.Sum)); len(of) == 0 {
			delete(x.fast, r)
			x.order = slices.DeleteFunc(x.order, func(o recipe) bool { return o == r })
		}
	}
}

// find is the apikey that value is by a fast hash, nil if there is none.
func (x *hashes) find(value string) *Key {
	for _, r := range x.order {
		h, of := Hashed{Scheme: r.scheme, Salt: []byte(r.salt), SaltLast: r.saltLast}, value
		if r.afterDot {
			of = afterDot(value)
		}
		if k := x.fast[r][string(h.sum(of, x.peppers[r.pepper]))]; k != nil && k.Hash.Fits(value) {
			return k
		}
	}
	return nil
}
