package notify

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/offkey/offkey/internal/apikey"
	"github.com/offkey/offkey/internal/client"
	"github.com/offkey/offkey/internal/oauth"
)

// registered says that a client was registered with an apikey.
type registered struct {
	apikey  *apikey.Key
	client  *client.Client
	network netip.Prefix
	s       *Settings
}

// Bounds of what a message repeats.
const (
	mostScopes    = 40
	longestReason = 300
)

func (r registered) message(now time.Time) message {
	subject := "A client was registered with the API key " + nameOf(r.apikey)
	if r.client.Status == client.Pending {
		subject = "A client waits for approval: registered with the API key " + nameOf(r.apikey)
	}
	return message{from: r.s.From, at: now, id: "registered-" + r.client.ID, subject: subject, text: r.text()}
}

// nameOf is an apikey as its owner knows it.
func nameOf(k *apikey.Key) string {
	name := k.ID
	if k.Last4 != "" {
		name = "ending in " + oneLine(k.Last4, 4)
	}
	if k.Label != "" {
		name += " (" + oneLine(k.Label, longestName) + ")"
	}
	return name
}

func (r registered) text() string {
	k, c := r.apikey, r.client
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	row := func(name, value string) { line("  %-12s %s", name, value) }

	line("Somebody who holds an API key registered a client with it.")
	line("")
	row("API", r.s.API)
	row("API key", nameOf(k))
	row("its id", k.ID)
	if k.Owner != "" {
		row("its owner", oneLine(k.Owner, longestName))
	}
	row("client", c.ID)
	row("calls itself", fmt.Sprintf("%q", oneLine(c.Name, longestName)))
	row("when", c.Created.UTC().Format("2006-01-02 15:04:05 MST"))
	row("from", networkWords(r.network))
	row("scopes", scopeWords(c.Scopes))
	if !c.PendingScopes.IsZero() {
		row("held back", scopeWords(c.PendingScopes))
	}
	if c.Status == client.Pending {
		row("state", "waits for approval, gets no token before")
	} else {
		row("state", string(c.Status))
	}
	if waits(c) && c.PendingReason != "" {
		row("because", oneLine(c.PendingReason, longestReason))
	}
	line("")
	if waits(c) {
		line("To approve it, an operator of the API runs:")
		line("")
		line("  offkey clients approve %s", c.ID)
		line("")
	}
	line("If you know of this, nothing is to be done. The API key goes on working.")
	line("")
	line("If this was not you, your API key is in somebody else's hands: tell the")
	line("operator of the API at once. Refused are the API key, and all that was")
	line("made with it, after:")
	line("")
	line("  offkey apikeys block %s", k.ID)
	line("")
	b.WriteString(signature(r.s))
	return b.String()
}

// waits reports whether anything of a client needs an approval.
func waits(c *client.Client) bool { return c.Status == client.Pending || !c.PendingScopes.IsZero() }

func networkWords(p netip.Prefix) string {
	if !p.IsValid() {
		return "an unknown network"
	}
	return "network " + p.String()
}

func scopeWords(scopes oauth.Scope) string {
	if len(scopes) == 0 {
		return "none"
	}
	shown := make([]string, 0, mostScopes+1)
	for i, name := range scopes {
		if i == mostScopes {
			shown = append(shown, fmt.Sprintf("and %d more", len(scopes)-mostScopes))
			break
		}
		shown = append(shown, oneLine(name, longestName))
	}
	return strings.Join(shown, " ")
}

// moreRegistered says once in a day that an apikey makes more clients than its
// owner is told of one by one.
func moreRegistered(k *apikey.Key, s *Settings, now time.Time) message {
	var b strings.Builder
	fmt.Fprintf(&b, "More than %d clients were registered today with an API key. For the rest\nof the day no further message is sent about it.\n\n  API      %s\n  API key  %s\n\n", mostPerDay, s.API, nameOf(k))
	fmt.Fprintf(&b, "An operator of the API sees all of them:\n\n  offkey clients list\n\n")
	fmt.Fprintf(&b, "If this was not you, the API key and all that was made with it are refused\nafter:\n\n  offkey apikeys block %s\n\n", k.ID)
	b.WriteString(signature(s))
	return message{
		from: s.From, at: now, id: fmt.Sprintf("more-%s-%d", k.ID, now.Unix()), text: b.String(),
		subject: fmt.Sprintf("More than %d clients were registered today with the API key %s", mostPerDay, nameOf(k)),
	}
}

func signature(s *Settings) string {
	return "Sent by offkey at " + s.Issuer + "\nA message like this never holds an API key in full, nor asks for one.\n"
}
