package notify

import (
	"context"
	"fmt"
	"log/slog"
	"net/mail"
	"strings"

	"github.com/offkey/offkey/internal/directory"
)

// Tell puts a message about their account into the outbox for a person, and one
// for the address that they had before where that is another. It implements
// directory.Teller: when it returns the message is on disk, and a failure is
// logged and counted.
//
// Of changes and of sign-ins a person is told so often a day each: whoever makes
// many of the one cannot hide one of the other. Together they fill no more than
// half of the outbox.
func (o *Outbox) Tell(ctx context.Context, n directory.Notice) {
	counted := &o.changes
	if k := n.Events[0].Kind; k == directory.NewBrowser || k == directory.SecondNotReached {
		counted = &o.signIns
	}
	one := fmt.Sprintf("%s-%d", n.Events[0].Kind, n.At.UnixNano())
	verdict := counted.next(n.Person.ID, one, n.At)
	if verdict == tooMany || verdict == toldBefore || o.halfFull() {
		o.count(withheld)
		o.Log.LogAttrs(ctx, slog.LevelWarn, "a person is not told of what happened to their account: too many messages", slog.String("person", n.Person.ID), slog.String("what", string(n.Events[0].Kind)))
		return
	}
	s := o.settings.Load()
	t := textsFor(n.Person, n.Language)
	m := message{
		from: s.From, at: n.At, id: fmt.Sprintf("notice-%s-%s", one, n.Person.ID),
		subject: fmt.Sprintf(t.events[n.Events[0].Kind].subject, s.Issuer), text: noticeText(t, n, verdict == tellMore, s),
	}
	var to []mail.Address
	for _, email := range []string{n.Person.Email, n.Before} {
		if address, err := ParseAddress(email); err == nil {
			to = append(to, mail.Address{Address: address.Address})
		}
	}
	if len(to) == 0 {
		return // nobody else is to read it
	}
	if err := o.post(m, to); err != nil {
		counted.forget(n.Person.ID, one)
		o.count(lost)
		o.Log.LogAttrs(ctx, slog.LevelError, "a person could not be told of what happened to their account: the outbox cannot be written", slog.String("person", n.Person.ID), slog.Any("error", err))
	}
}

// halfFull reports whether what waits is as much as notices may add to. A folder
// that cannot be read is found out about when it is written to.
func (o *Outbox) halfFull() bool {
	names, err := o.spool.waiting()
	return err == nil && len(names) >= o.spool.most/2
}

func noticeText(t *texts, n directory.Notice, last bool, s *Settings) string {
	var b strings.Builder
	for _, e := range n.Events {
		fmt.Fprintf(&b, "%s\n", t.events[e.Kind].say(e.Detail))
	}
	by := ""
	if n.By != "" && n.By != "person:"+n.Person.ID {
		by = t.operator
	}
	b.WriteString("\n")
	t.rows(&b,
		row{t.where, s.Issuer}, row{t.name, oneLine(n.Person.Name, longestName)}, row{t.when, n.At.UTC().Format("2006-01-02 15:04:05 MST")},
		row{t.by, by}, row{t.program, oneLine(n.Program, longestName)}, row{t.network, n.Network},
	)
	fmt.Fprintf(&b, t.notYou+"\n\n", strings.TrimSuffix(s.Issuer, "/")+"/account")
	if last {
		fmt.Fprintf(&b, "%s\n\n", t.noMore)
	}
	fmt.Fprintf(&b, t.sent+"\n", s.Issuer)
	return b.String()
}

// eventWords are what is said of one thing that happened. text has a %s where
// there is something more to say.
type eventWords struct{ subject, text string }

func (w eventWords) say(detail string) string {
	if !strings.Contains(w.text, "%s") {
		return w.text
	}
	return fmt.Sprintf(w.text, oneLine(detail, longestName))
}

var _ directory.Teller = (*Outbox)(nil)
