package directory

import (
	"crypto/sha256"
	_ "embed"
	"errors"
	"fmt"
	"slices"
	"sort"
	"strings"
	"sync"
	"unicode/utf8"
)

// The length of a password, in characters.
const (
	ShortestPassword = 10
	LongestPassword  = 256
)

//go:embed commonpasswords.txt
var commonPasswords string

// common are passwords that guessing begins with and that no list of leaked ones
// has as we compare them, in lower case.
var common = sync.OnceValue(func() map[string]bool {
	all := map[string]bool{}
	for line := range strings.Lines(commonPasswords) {
		if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
			all[line] = true
		}
	}
	return all
})

// leaked are the marks of the passwords that are found most often among leaked
// ones, sorted: test/passwordlist makes them. They are searched where the program
// lies in memory, and nothing is read beforehand.
//
//go:embed commonpasswords.bin
var leaked string

// markLength makes one password in ten million be taken for another.
const markLength = 5

// PasswordMark is what is kept of a password that guessing begins with, as
// PlainPassword writes it.
func PasswordMark(plain string) []byte {
	sum := sha256.Sum256([]byte(plain))
	return sum[:markLength]
}

// isCommon reports whether guessing begins with a password.
func isCommon(plain string) bool {
	if common()[plain] {
		return true
	}
	mark := string(PasswordMark(plain))
	at := func(i int) string { return leaked[i*markLength : (i+1)*markLength] }
	n := len(leaked) / markLength
	i := sort.Search(n, func(i int) bool { return at(i) >= mark })
	return i < n && at(i) == mark
}

// ErrPassword is why a password may not be chosen. What is joined to it is for
// whoever chose it.
var ErrPassword = errors.New("choose another password")

// CheckPassword holds a new password to the policy: length, and no word that
// guessing begins with (NIST SP 800-63B §5.1.1.2). It asks for no kinds of
// characters. The error never repeats the password.
func CheckPassword(p *Person, password string) error {
	length := utf8.RuneCountInString(password)
	plain := PlainPassword(password)
	switch {
	case !utf8.ValidString(password) || strings.ContainsRune(password, 0):
		return fmt.Errorf("%w: it has a character that is none", ErrPassword)
	case length < ShortestPassword:
		return fmt.Errorf("%w: it needs at least %d characters", ErrPassword, ShortestPassword)
	case length > LongestPassword || len(password) > longestPassphrase:
		return fmt.Errorf("%w: it has more than %d characters", ErrPassword, LongestPassword)
	case isOwn(p, plain):
		return fmt.Errorf("%w: it is your name or email address", ErrPassword)
	case isCommon(plain) || isRow(plain):
		return fmt.Errorf("%w: it is one of those that are guessed first", ErrPassword)
	}
	return nil
}

// CheckNew is CheckPassword for somebody here: no password is made of the words of
// this place, which are what people sign in to and where.
func (d *Directory) CheckNew(p *Person, password string) error {
	if err := CheckPassword(p, password); err != nil || d.Words == nil {
		return err
	}
	plain := PlainPassword(password)
	for _, word := range d.Words() {
		word = LoginOf(word)
		if isMadeOf(plain, word, strings.ReplaceAll(word, " ", "")) {
			return fmt.Errorf("%w: it is the name of what you sign in to", ErrPassword)
		}
	}
	return nil
}

// PlainPassword is a password as guesses are compared: in lower case, without
// what is put at the end to please a policy.
func PlainPassword(password string) string {
	plain := strings.ToLower(normal(password))
	if cut := strings.TrimRight(plain, "!?.,*#$@ "); cut != "" {
		return cut
	}
	return plain
}

// isOwn reports whether a password is what everybody knows of the person: the
// name, the address, the part before the @, also twice or with digits after it.
func isOwn(p *Person, plain string) bool {
	if p == nil {
		return false
	}
	local, _, _ := strings.Cut(LoginOf(p.Email), "@")
	return isMadeOf(plain, LoginOf(p.Name), LoginOf(p.Email), local)
}

// isMadeOf reports whether a password is one of those words, also twice or with
// digits after it.
func isMadeOf(plain string, words ...string) bool {
	for _, own := range words {
		after, begins := strings.CutPrefix(plain, own)
		if own != "" && begins && (after == "" || after == own || len(own) >= 3 && strings.Trim(after, "0123456789") == "") {
			return true
		}
	}
	return false
}

// isRow reports whether a password is one character again and again, a short
// piece repeated, or characters in a row, as in abcdefghij or 9876543210.
func isRow(plain string) bool {
	runes := []rune(plain)
	for piece := 1; piece <= 3; piece++ {
		repeated := len(runes) > piece
		for i := piece; i < len(runes); i++ {
			repeated = repeated && runes[i] == runes[i-piece]
		}
		if repeated {
			return true
		}
	}
	for _, row := range []string{"01234567890123456789", "abcdefghijklmnopqrstuvwxyz", "qwertyuiopasdfghjklzxcvbnm", "qwertzuiopasdfghjklyxcvbnm", "azertyuiopqsdfghjklmwxcvbn"} {
		if backwards := []rune(row); strings.Contains(row, plain) || strings.Contains(string(reversed(backwards)), plain) {
			return true
		}
	}
	return false
}

func reversed(r []rune) []rune {
	slices.Reverse(r)
	return r
}
