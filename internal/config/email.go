package config

import (
	"fmt"
	"net/mail"
	"net/netip"
	"net/url"
	"regexp"

	"github.com/offkey/offkey/internal/notify"
	"github.com/offkey/offkey/internal/oauth"
)

// mostAdmins bounds email.to_admins: each gets a message of its own.
const mostAdmins = 10

var hostName = regexp.MustCompile(`^[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?$`)

func (c *checker) email() {
	e := c.l.Email
	if e.From != "" {
		c.address("email.from", e.From, "write it as offkey@example.com or offkey <offkey@example.com>")
	}
	for i, to := range e.ToAdmins {
		c.address(fmt.Sprintf("email.to_admins[%d]", i), to, "write it as ops@example.com")
	}
	if len(e.ToAdmins) > mostAdmins {
		c.add("email.to_admins", fmt.Sprintf("has more than %d addresses", mostAdmins), "name a mailing list")
	}
	s := e.SMTP
	if s.Host == "" {
		if s.Port != 0 || s.User != "" || !s.Password.IsZero() {
			c.add("email.smtp.host", "is missing", "name the mail server, or leave email.smtp out")
		}
		return
	}
	if e.From == "" {
		c.add("email.from", "is missing", "mail servers take mail from an address of yours only, as in offkey@example.com")
	}
	if len(e.ToAdmins) == 0 {
		c.add("email.to_admins", "is empty", "say who is told where an apikey has no contact")
	}
	if _, err := netip.ParseAddr(s.Host); err != nil && !hostName.MatchString(s.Host) {
		c.add("email.smtp.host", fmt.Sprintf("is %q, which is no host name", s.Host), "write smtp.example.com, and its port as email.smtp.port")
	}
	if s.Port < 0 || s.Port > 65535 {
		c.add("email.smtp.port", fmt.Sprintf("is %d", s.Port), "leave it out for the usual one")
	}
	if s.User == "" != s.Password.IsZero() {
		c.add("email.smtp", "has one of user and password", "set both, or none")
	}
	if s.TLS == string(notify.NoTLS) {
		c.withoutTLS(s)
	}
}

func (c *checker) withoutTLS(s SMTP) {
	if !oauth.IsLoopback(s.Host) {
		c.add("email.smtp.tls", "is none on a host that is not loopback", "use starttls or implicit: mail would travel in the clear")
	}
	if s.User != "" {
		c.add("email.smtp.tls", "is none and a password is set", "use starttls or implicit: passwords are not sent in the clear")
	}
}

func (c *checker) address(setting, value, fix string) {
	if _, err := notify.ParseAddress(value); err != nil {
		c.add(setting, fmt.Sprintf("is %q, which %v", value, err), fix)
	}
}

// Sender is email.from, or where it is not set an address at the issuer's host.
func (c *Config) Sender() (mail.Address, error) {
	if c.Email.From != "" {
		return notify.ParseAddress(c.Email.From)
	}
	if issuer, err := url.Parse(c.Issuer); err == nil {
		if _, numeric := netip.ParseAddr(issuer.Hostname()); numeric != nil {
			if from, err := notify.ParseAddress("offkey@" + issuer.Hostname()); err == nil {
				return from, nil
			}
		}
	}
	return notify.ParseAddress("offkey@localhost")
}

// Admins are those of email.to_admins.
func (e Email) Admins() ([]mail.Address, error) {
	admins := make([]mail.Address, 0, len(e.ToAdmins))
	for _, to := range e.ToAdmins {
		admin, err := notify.ParseAddress(to)
		if err != nil {
			return nil, err
		}
		admins = append(admins, admin)
	}
	return admins, nil
}
