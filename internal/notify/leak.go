package notify

import (
	"cmp"
	"context"
	"fmt"
	"net/mail"
	"slices"
	"strings"
	"time"

	"github.com/offkey/offkey/internal/apikey"
	"github.com/offkey/offkey/internal/client"
	"github.com/offkey/offkey/internal/leak"
)

// LeakFound tells the owner of what leaked and the admins. When it returns the
// messages are on disk; told says to whom they go, "" for nobody: then the
// message waits in the outbox for whoever reads it.
func (o *Outbox) LeakFound(_ context.Context, r *leak.Record, k *apikey.Key, c *client.Client) (told string, err error) {
	s := o.settings.Load()
	to, why := leakRecipients(k, c, s.Admins)
	now := o.Now()
	m := message{
		from: s.From, at: now, id: fmt.Sprintf("leak-%s-%d", r.ID, now.Unix()),
		subject: leakSubject(r, k, c), text: leakText(r, k, c, s, now),
	}
	if err := o.post(m, to); err != nil {
		o.count(lost)
		return "", err
	}
	return why, nil
}

// leakRecipients are the owner, where there is an address, and the admins.
func leakRecipients(k *apikey.Key, c *client.Client, admins []mail.Address) (to []mail.Address, why string) {
	contacts, words := []string{}, []string{}
	if k != nil {
		contacts = append(contacts, k.Contact)
	}
	if c != nil {
		contacts = append(contacts, c.Contacts...)
	}
	for _, contact := range contacts[:min(len(contacts), mostContacts)] {
		if a, err := ParseAddress(contact); err == nil {
			to = append(to, mail.Address{Address: a.Address})
		}
	}
	if len(to) > 0 {
		words = append(words, "its owner")
	}
	for _, a := range admins {
		if !slices.ContainsFunc(to, func(b mail.Address) bool { return b.Address == a.Address }) {
			to = append(to, a)
		}
	}
	if len(admins) > 0 {
		words = append(words, "the admins")
	}
	return to, strings.Join(words, " and ")
}

// mostContacts bounds who is told of one leak.
const mostContacts = 5

func leakSubject(r *leak.Record, k *apikey.Key, c *client.Client) string {
	what := "A token of client " + r.Subject.ID
	switch {
	case k != nil:
		what = "The API key " + nameOf(k)
	case r.Subject.Kind == leak.KindClient && c != nil:
		what = "The secret of client " + c.ID
	}
	if r.ContainedAt.IsZero() {
		return what + " has leaked and still works"
	}
	return what + " has leaked and was stopped"
}

func leakText(r *leak.Record, k *apikey.Key, c *client.Client, s *Settings, now time.Time) string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	row := func(name, value string) {
		if value != "" {
			line("  %-12s %s", name, value)
		}
	}
	switch {
	case k != nil:
		line("An API key of yours is where others can read it.")
	case r.Subject.Kind == leak.KindClient:
		line("The secret of a client of yours is where others can read it.")
	default:
		line("A token of a client of yours is where others can read it.")
	}
	line("")
	row("API", s.API)
	if k != nil {
		row("API key", nameOf(k))
		row("its id", k.ID)
	}
	if c != nil {
		row("client", c.ID)
		row("its name", oneLine(c.Name, longestName))
	}
	row("its owner", oneLine(r.Owner, longestName))
	row("said by", map[string]string{leak.ByOperator: "an operator", leak.ByReport: "somebody outside", leak.ByGitHub: "GitHub secret scanning"}[r.By])
	row("found at", oneLine(r.Where, longestReason))
	row("when", now.UTC().Format("2006-01-02 15:04:05 MST"))
	line("")
	if r.ContainedAt.IsZero() {
		line("It still works. To stop it, an operator of the API runs:")
		line("")
		line("  offkey leak --id %s --contain", cmp.Or(r.Subject.ID, r.ID))
	} else {
		line("It is refused since %s.", r.ContainedAt.UTC().Format("2006-01-02 15:04:05 MST"))
		if len(r.Disabled) > 0 && k != nil {
			line("Stopped with it, because they were made with it since: %s", strings.Join(r.Disabled[:min(len(r.Disabled), mostScopes)], " "))
		}
		line("Programs of yours that use it need something else: ask the operator of the")
		line("API for a client of your own, and take the leaked one out of where it lies.")
		line("If it was a mistake, an operator takes it back:")
		line("")
		line("  offkey leak close %s --restore", r.ID)
	}
	line("")
	b.WriteString(signature(s))
	return b.String()
}
