package notify

import (
	"context"
	"fmt"
	"net/mail"
	"strings"
	"time"

	"github.com/offkey/offkey/internal/apikey"
	"github.com/offkey/offkey/internal/migration"
)

// Write implements migration.Postman.
func (o *Outbox) Write(b migration.Bundle) migration.Message {
	m, to, why := o.roadMessage(b)
	return written(m, to, why, b)
}

// Send implements migration.Postman. What owners are told of the road fills no
// more than half of the outbox: what cannot wait has room.
func (o *Outbox) Send(_ context.Context, b migration.Bundle) (migration.Message, error) {
	if o.halfFull() {
		return migration.Message{}, migration.ErrPostFull
	}
	m, to, why := o.roadMessage(b)
	if err := o.hook(b, m.at); err != nil {
		return migration.Message{}, err
	}
	if err := o.post(m, to); err != nil {
		o.count(lost)
		return migration.Message{}, err
	}
	return written(m, to, why, b), nil
}

func written(m message, to []mail.Address, why string, b migration.Bundle) migration.Message {
	out := migration.Message{To: []string{}, Why: why, Subject: m.subject, Text: m.text, APIKeys: keysIn(b), Notices: len(b.Notices)}
	for _, a := range to {
		out.To = append(out.To, a.Address)
	}
	return out
}

func keysIn(b migration.Bundle) int {
	ids := map[string]bool{}
	for _, n := range b.Notices {
		ids[n.APIKeyID] = true
	}
	return len(ids)
}

func (o *Outbox) roadMessage(b migration.Bundle) (m message, to []mail.Address, why string) {
	s, now := o.settings.Load(), o.Now()
	to, why = recipients(&apikey.Key{Contact: b.Contact}, s.Admins)
	first := b.Notices[0]
	return message{
		from: s.From, at: now, id: fmt.Sprintf("road-%s-%s-%d", first.APIKeyID, atomOf(first.Occasion), now.Unix()),
		subject: roadSubject(b, now), text: roadText(b, s, now),
	}, to, why
}

// roadSubject says what is most urgent.
func roadSubject(b migration.Bundle, now time.Time) string {
	what := "Your API key " + nameOf(b.Notices[0].Key)
	is, ends := "is", "stops"
	if n := keysIn(b); n > 1 {
		what, is, ends = fmt.Sprintf("%d API keys of yours", n), "are", "stop"
	}
	var soonest migration.Notice
	for _, n := range b.Notices {
		if n.Kind() == migration.OccasionEnd && (soonest.Key == nil || n.Until.Before(soonest.Until)) {
			soonest = n
		}
	}
	switch {
	case soonest.Key != nil:
		return fmt.Sprintf("%s %s working on %s", what, ends, soonest.Until.UTC().Format("2 January 2006"))
	case b.Notices[0].Kind() == migration.OccasionBrownout:
		return fmt.Sprintf("%s %s refused for a test on %s", what, is, b.Notices[0].Window.From.UTC().Format("2 January 2006, 15:04 MST"))
	}
	return fmt.Sprintf("%s %s on the way out", what, is)
}

func roadText(b migration.Bundle, s *Settings, now time.Time) string {
	var t strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&t, format+"\n", args...) }
	row := func(name, value string) {
		if value != "" {
			line("  %-12s %s", name, value)
		}
	}
	line("The API at %s is moving from API keys to OAuth 2.0. This is about", s.API)
	line("programs that still send an API key of yours.")
	for i, n := range b.Notices {
		if i == 0 || n.APIKeyID != b.Notices[i-1].APIKeyID {
			line("")
			row("API key", nameOf(n.Key))
			row("its owner", oneLine(n.Key.Owner, longestName))
			row("state", stageWords(n))
		}
		if n.Window != nil {
			row("test", fmt.Sprintf("refused from %s to %s; it works again after that", moment(n.Window.From), moment(n.Window.To)))
		}
		if n.Program != "" && (i == 0 || n.APIKeyID != b.Notices[i-1].APIKeyID || n.Program != b.Notices[i-1].Program) {
			row("program", fmt.Sprintf("%s, %d calls in 30 days, mostly %s", oneLine(n.Program, longestName), n.Calls, oneLine(n.Route, longestReason)))
		}
	}
	line("")
	line("What to do: whoever runs the program trades its API key for a client, with one")
	line("command. Both work meanwhile.")
	line("")
	line("  offkey upgrade --api %s --apikey-stdin", s.API)
	line("")
	if s.Upgrade != "" {
		line("Or in a browser: %s", s.Upgrade)
		line("")
	}
	t.WriteString(signature(s))
	return t.String()
}

func stageWords(n migration.Notice) string {
	until := ""
	if !n.Until.IsZero() {
		until = " until " + n.Until.UTC().Format("2 January 2006")
	}
	switch {
	case n.Stage == apikey.UpgradeOnly:
		return "refused by the API, and can still be traded" + until
	case until != "":
		return "works" + until
	}
	return "works, and is on its way out; no date is set yet"
}

func moment(at time.Time) string { return at.UTC().Format("2006-01-02 15:04 MST") }

var _ migration.Postman = (*Outbox)(nil)
