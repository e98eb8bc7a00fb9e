package gateway

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/offkey/offkey/internal/policy"
)

// Notice is what is announced to callers who still use an apikey.
type Notice struct {
	Deprecated time.Time // zero: when the stage was set
	Sunset     time.Time // zero: not known yet
	Page       string    // about the move, for people; "": none
}

// announce tells the caller, in the answer to a call that passes, that apikeys
// end; and keeps an answer that a credential was needed for out of shared
// caches. In observe it does nothing at all.
func (c *call) announce(h http.Header) {
	switch {
	case c.decision.Announce:
		deprecated, sunset := c.dates()
		announceDeprecation(h, deprecated)
		announceSunset(h, deprecated, sunset)
		announcePage(h, c.g.Notice.Page)
		keepPrivate(h)
	case c.decision.Code == policy.CodeToken, c.decision.Code == policy.CodeAPIKey:
		keepPrivate(h) // RFC 9111 §3.5 protects Authorization only
	}
}

// dates are those of the calendar, else those of the notice.
func (c *call) dates() (deprecated, sunset time.Time) {
	standing := c.rules.StandingOf(c.apikey, c.at)
	deprecated, sunset = c.g.Notice.Deprecated, c.g.Notice.Sunset
	if !standing.Sunset.IsZero() {
		sunset = standing.Sunset
	}
	if deprecated.IsZero() {
		deprecated = standing.Deprecated
	}
	return deprecated, sunset
}

// announceDeprecation says since when, or from when, the apikey is deprecated
// (RFC 9745 §2.1). What the API says of itself stays.
func announceDeprecation(h http.Header, at time.Time) {
	if len(h["Deprecation"]) == 0 && !at.IsZero() {
		h["Deprecation"] = []string{"@" + strconv.FormatInt(at.Unix(), 10)}
	}
}

// announceSunset says when apikeys stop working (RFC 8594 §3). That is never
// before they are deprecated (RFC 9745 §4).
func announceSunset(h http.Header, deprecated, sunset time.Time) {
	if len(h["Sunset"]) == 0 && !sunset.IsZero() && !sunset.Before(deprecated) {
		h["Sunset"] = []string{sunset.UTC().Format(http.TimeFormat)}
	}
}

// announcePage links the page for people (RFC 9745 §3, RFC 8594 §6).
func announcePage(h http.Header, page string) {
	if page == "" {
		return
	}
	h["Link"] = append(h["Link"],
		"<"+page+`>; rel="deprecation"; type="text/html"`,
		"<"+page+`>; rel="sunset"; type="text/html"`)
}

// keepPrivate keeps an answer out of shared caches (RFC 9111 §5.2.2.7). What the
// API said about caching stays, but for `public`, which says the contrary.
func keepPrivate(h http.Header) {
	lines := h["Cache-Control"]
	var kept []string
	for _, line := range lines {
		for directive := range splitDirectives(line) {
			name, _, qualified := strings.Cut(directive, "=")
			switch name = strings.ToLower(strings.TrimSpace(name)); {
			case name == "no-store", name == "private" && !qualified:
				return
			case name == "public":
				continue
			}
			kept = append(kept, directive)
		}
	}
	if len(kept) == 0 {
		h["Cache-Control"] = onlyPrivate
		return
	}
	h["Cache-Control"] = []string{strings.Join(append(kept, "private"), ", ")}
}

// onlyPrivate is shared by answers, whose headers are copied and not changed.
var onlyPrivate = []string{"private"}

// splitDirectives cuts a list at its commas, but not inside quotes.
func splitDirectives(line string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		start, quoted := 0, false
		for i := 0; i <= len(line); i++ {
			if i < len(line) && line[i] == '"' {
				quoted = !quoted
			}
			if i < len(line) && (line[i] != ',' || quoted) {
				continue
			}
			if directive := strings.TrimSpace(line[start:i]); directive != "" && !yield(directive) {
				return
			}
			start = i + 1
		}
	}
}
