package notify

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/mail"
	"strings"

	"github.com/offkey/offkey/internal/directory"
)

// PersonLink puts a message with a one-time link to its person into the outbox,
// in that language; "" leaves it to what is known of the person. When it returns
// nil the message is on disk. Unlike other messages it holds a secret: whoever
// reads it is the person until the link is used, or is too old.
func (o *Outbox) PersonLink(ctx context.Context, p *directory.Person, l directory.Link, url, language string) error {
	t := textsFor(p, language)
	words, known := t.links[l.Purpose]
	to, err := ParseAddress(cmp.Or(l.Email, p.Email))
	if err != nil || !known {
		return fmt.Errorf("a message for %s cannot be sent to the address of %s", l.Purpose, p.ID)
	}
	s, now := o.settings.Load(), o.Now()
	m := message{
		from: s.From, at: now, id: fmt.Sprintf("%s-%s-%d", l.Purpose, p.ID, now.Unix()),
		subject: fmt.Sprintf(words.subject, s.Issuer), text: linkText(t, words, p, l, url, s),
	}
	if err := o.post(m, []mail.Address{{Address: to.Address}}); err != nil {
		o.count(lost)
		return fmt.Errorf("the outbox cannot be written: %w", err)
	}
	o.Log.LogAttrs(ctx, slog.LevelInfo, "a message with a one-time link is in the outbox", slog.String("person", p.ID), slog.String("purpose", string(l.Purpose)))
	return nil
}

func linkText(t *texts, words linkWords, p *directory.Person, l directory.Link, url string, s *Settings) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n\n", words.why)
	t.rows(&b, row{t.where, s.Issuer}, row{t.name, oneLine(p.Name, longestName)})
	fmt.Fprintf(&b, t.once+"\n\n  %s\n\n", words.what, l.Expires.UTC().Format("2006-01-02 15:04 MST"), url)
	fmt.Fprintf(&b, "%s\n%s\n\n"+t.sent+"\n", t.keep, words.ignore, s.Issuer)
	return b.String()
}

// textsFor are those in a language, or in the one that is known of the person, or
// English.
func textsFor(p *directory.Person, language string) *texts {
	if language == "" {
		_ = json.Unmarshal(p.Claims["locale"], &language) // of what is no text nothing is known
	}
	primary, _, _ := strings.Cut(strings.ToLower(strings.ReplaceAll(language, "_", "-")), "-")
	if t := languages[primary]; t != nil {
		return t
	}
	return languages["en"]
}

type row struct{ name, value string }

// rows writes what a message is about, a line each.
func (t *texts) rows(b *strings.Builder, rows ...row) {
	width := 8
	for _, r := range rows {
		width = max(width, len([]rune(r.name)))
	}
	for _, r := range rows {
		if r.value != "" {
			fmt.Fprintf(b, "  %-*s %s\n", width, r.name, r.value)
		}
	}
	b.WriteString("\n")
}
