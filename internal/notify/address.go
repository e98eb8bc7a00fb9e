package notify

import (
	"errors"
	"net/mail"
	"regexp"
	"strings"
)

// mailbox is an address that needs no quoting in a header or an SMTP command:
// atoms and dots in ASCII (RFC 5321 §4.1.2, Mailbox without Quoted-string).
var mailbox = regexp.MustCompile("^[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*@" +
	`[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)*$`)

// longestAddress bounds an address, in bytes (RFC 5321 §4.5.3.1.3, a path with
// its brackets), and longestLocal what is before the @ (RFC 5321 §4.5.3.1.1).
const (
	longestAddress = 254
	longestLocal   = 64
)

// ParseAddress reads one mail address, with or without a name: ops@example.com
// or Ops <ops@example.com>. Addresses that would have to be quoted, or are not
// ASCII, are refused: what is between quotes can look like a command.
func ParseAddress(s string) (mail.Address, error) {
	if len(s) > 4*longestAddress {
		return mail.Address{}, errors.New("is too long for a mail address")
	}
	parsed, err := mail.ParseAddress(s)
	if err != nil {
		return mail.Address{}, errors.New("is no mail address")
	}
	local, _, _ := strings.Cut(parsed.Address, "@")
	if len(parsed.Address) > longestAddress || len(local) > longestLocal || !mailbox.MatchString(parsed.Address) {
		return mail.Address{}, errors.New("is no mail address of plain ASCII letters, digits and dots")
	}
	return mail.Address{Name: oneLine(parsed.Name, longestName), Address: parsed.Address}, nil
}

// domainOf is what is after the @ of an address.
func domainOf(a mail.Address) string {
	return a.Address[strings.LastIndexByte(a.Address, '@')+1:]
}
