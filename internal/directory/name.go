package directory

import (
	"errors"
	"fmt"
	"net/mail"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// The longest that strangers and operators may write, in bytes.
const (
	longestName   = 128
	longestEmail  = 254 // RFC 5321 §4.5.3.1.3
	longestClaims = 16 << 10
)

// LoginOf is a name or an email address as it is compared: without regard to
// letter case, composition and surrounding space. Names and addresses share
// one space, so that neither can be taken for another's.
func LoginOf(s string) string {
	return strings.ToLower(norm.NFKC.String(strings.TrimSpace(s)))
}

// CheckName holds a name to what is typed to sign in.
func CheckName(name string) error {
	switch {
	case name == "":
		return errors.New("the name is missing")
	case len(name) > longestName:
		return fmt.Errorf("the name has more than %d bytes", longestName)
	case !utf8.ValidString(name):
		return errors.New("the name is not UTF-8")
	case strings.HasPrefix(name, "pe_"):
		return fmt.Errorf("the name %q looks like the id of a person", name)
	}
	for _, c := range name {
		if unicode.IsSpace(c) || !unicode.IsPrint(c) || strings.ContainsRune(`"'<>\`, c) {
			return fmt.Errorf("the name %q has a character that names may not have: no spaces, quotes or brackets", name)
		}
	}
	return nil
}

// CheckEmail holds an address to a plain one, as in ana@example.com.
func CheckEmail(email string) error {
	parsed, err := mail.ParseAddress(email)
	if err != nil || parsed.Address != email || len(email) > longestEmail || strings.ContainsFunc(email, unicode.IsSpace) {
		return fmt.Errorf("the email address %q is none: write it as ana@example.com", email)
	}
	return nil
}

// CheckGroupName holds the name of a group to what fits into lists and claims.
func CheckGroupName(name string) error {
	if name == "" || len(name) > 64 || strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._:-") != "" {
		return fmt.Errorf("the group name %q is none: use up to 64 letters, digits and . _ : -", name)
	}
	return nil
}

// Check reports the first thing that is wrong with a person.
func (p *Person) Check() error {
	if err := CheckName(p.Name); err != nil {
		return err
	}
	if strings.Contains(p.Name, "@") && LoginOf(p.Name) != LoginOf(p.Email) {
		return fmt.Errorf("the name %q is an email address, and not the one of this person", p.Name)
	}
	if p.Email != "" {
		if err := CheckEmail(p.Email); err != nil {
			return err
		}
	}
	size := 0
	for name, value := range p.Claims {
		size += len(name) + len(value)
		if err := checkClaim(name, value); err != nil {
			return err
		}
	}
	if size > longestClaims {
		return fmt.Errorf("the claims have more than %d bytes", longestClaims)
	}
	return nil
}
