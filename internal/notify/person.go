package notify

import (
	"context"
	"fmt"
	"log/slog"
	"net/mail"
	"strings"

	"github.com/offkey/offkey/internal/directory"
)

// linkWords are what a message about a one-time link says, by its purpose.
var linkWords = map[directory.Purpose]struct{ subject, why, what, ignore string }{
	directory.ForInvite: {
		"You are invited to sign in at ", "You have an account there now.", "Choose how you sign in",
		"If you do not know of this, nothing is to be done: without the link the\naccount cannot be used.",
	},
	directory.ForReset: {
		"Choose another password at ", "You, or an administrator for you, asked for another password.", "Choose it",
		"If you did not ask for it, nothing is to be done: your password stays as it is.",
	},
	directory.ForEmail: {
		"Is this your address at ", "This address was given for an account there.", "Say that it is yours",
		"If it is not your account, nothing is to be done.",
	},
}

// PersonLink puts a message with a one-time link to its person into the outbox.
// When it returns nil the message is on disk. Unlike other messages it holds a
// secret: whoever reads it is the person until the link is used, or is too old.
func (o *Outbox) PersonLink(ctx context.Context, p *directory.Person, l directory.Link, url string) error {
	words, known := linkWords[l.Purpose]
	to, err := ParseAddress(p.Email)
	if err != nil || !known {
		return fmt.Errorf("a message for %s cannot be sent to the address of %s", l.Purpose, p.ID)
	}
	s, now := o.settings.Load(), o.Now()
	m := message{
		from: s.From, at: now, id: fmt.Sprintf("%s-%s-%d", l.Purpose, p.ID, now.Unix()),
		subject: words.subject + s.Issuer, text: linkText(words.why, words.what, words.ignore, p, l, url, s),
	}
	if err := o.post(m, []mail.Address{{Address: to.Address}}); err != nil {
		o.count(lost)
		return fmt.Errorf("the outbox cannot be written: %w", err)
	}
	o.Log.LogAttrs(ctx, slog.LevelInfo, "a message with a one-time link is in the outbox", slog.String("person", p.ID), slog.String("purpose", string(l.Purpose)))
	return nil
}

func linkText(why, what, ignore string, p *directory.Person, l directory.Link, url string, s *Settings) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n\n", why)
	fmt.Fprintf(&b, "  %-8s %s\n  %-8s %s\n\n", "where", s.Issuer, "name", oneLine(p.Name, longestName))
	fmt.Fprintf(&b, "%s, once, until %s:\n\n  %s\n\n", what, l.Expires.UTC().Format("2006-01-02 15:04 MST"), url)
	fmt.Fprintf(&b, "Whoever has this link can use it in your place: do not pass it on.\n%s\n\n", ignore)
	fmt.Fprintf(&b, "Sent by offkey at %s\n", s.Issuer)
	return b.String()
}
