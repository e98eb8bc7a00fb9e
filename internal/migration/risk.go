package migration

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/offkey/offkey/internal/apikey"
)

// The risks that an apikey is flagged with.
const (
	RiskQuery     = "query"      // it travels in URLs, and so into logs
	RiskBrowser   = "browser"    // browsers send it: whoever opens the page has it
	RiskShared    = "shared"     // several callers on networks of their own
	RiskAdmin     = "admin"      // it opens routes of administration
	RiskWrite     = "write"      // it changes things
	RiskNetworks  = "networks"   // it comes from many networks
	RiskNoTLS     = "no_tls"     // it travels in plain text
	RiskUnused    = "unused"     // no call for 30 days
	RiskUnused90d = "unused_90d" // nor for 90
	RiskNoOwner   = "no_owner"   // nobody to ask
	RiskNoContact = "no_contact" // an owner, and no way to ask
	RiskDeadOwner = "dead_owner" // whoever could be asked is gone
)

// manyNetworks is from how many networks an apikey comes that is in many hands,
// or in a program that many people run.
const manyNetworks = 20

// longUnused is after how long an apikey is unused whatever it is for: a job
// that runs each quarter would have run.
const longUnused = 92 * 24 * time.Hour

// standing is what is known of an apikey when its risks are asked for.
type standing struct {
	key       *apikey.Key
	usage     *usage
	use       apikey.Use // with what the traffic says
	callers   []*callerGroup
	ownerGone bool
	now       time.Time
}

// risks are the rules in the order in which they are told. Each says why, or ""
// where it does not hold. They look at nothing but what they are given.
var risks = []struct {
	name string
	why  func(s standing) string
}{
	{RiskQuery, func(s standing) string {
		return when(s.usage.query, "it travels in the query, which logs, histories and Referer headers keep")
	}},
	{RiskBrowser, func(s standing) string {
		switch page := s.now.Sub(s.use.LastBrowser) < inventoryWindow; {
		case s.usage.browser > 0:
			return fmt.Sprintf("%d of %d calls come from browsers: whoever opens the page can read it", s.usage.browser, s.usage.calls)
		default:
			return when(s.usage.page || page, "a page in a browser sends it (Origin or Sec-Fetch headers): whoever opens the page can read it")
		}
	}},
	{RiskShared, func(s standing) string {
		n := apart(s.callers)
		if n < 2 && !s.usage.shared() {
			return ""
		}
		return fmt.Sprintf("%d callers use it on networks of their own", max(n, 2))
	}},
	{RiskAdmin, func(s standing) string { return when(s.usage.admin, "it opens routes of administration") }},
	{RiskWrite, func(s standing) string {
		return when(s.usage.writes > 0, fmt.Sprintf("%d calls changed something", s.usage.writes))
	}},
	{RiskNetworks, func(s standing) string {
		n := len(s.usage.sources)
		return when(n >= manyNetworks, fmt.Sprintf("it comes from %d networks", n))
	}},
	{RiskNoTLS, func(s standing) string {
		return when(s.usage.plain || s.now.Sub(s.use.LastPlain) < inventoryWindow, "it came without TLS: whoever is on the way can read it")
	}},
	{RiskUnused, func(s standing) string {
		idle := s.now.Sub(latest(s.use.Last, s.key.Created))
		return when(idle >= inventoryWindow, fmt.Sprintf("no call for %d days", int(idle.Hours()/24)))
	}},
	{RiskUnused90d, func(s standing) string {
		return when(s.now.Sub(latest(s.use.Last, s.key.Created)) >= longUnused, "not even a job that runs each quarter has used it")
	}},
	{RiskNoOwner, func(s standing) string { return when(s.key.Owner == "", "nobody is named who could be asked") }},
	{RiskNoContact, func(s standing) string {
		return when(s.key.Owner != "" && s.key.Contact == "", "its owner cannot be told: there is no mail address")
	}},
	{RiskDeadOwner, func(s standing) string {
		return when(s.ownerGone, "the person behind its mail address has left")
	}},
}

func when(holds bool, why string) string {
	if holds {
		return why
	}
	return ""
}

// risksOf flags an apikey: names in the order of the rules, and why by name.
func risksOf(s standing) (names []string, why map[string]string) {
	s.usage.settle()
	names, why = []string{}, map[string]string{}
	for _, r := range risks {
		if text := r.why(s); text != "" {
			names = append(names, r.name)
			why[r.name] = text
		}
	}
	return names, why
}

// doubtful are the risks under which an apikey may be in other hands than its
// owner's.
func doubtful(risks []string) []string {
	return slices.DeleteFunc(slices.Clone(risks), func(risk string) bool {
		return risk != RiskQuery && risk != RiskBrowser && risk != RiskShared
	})
}

// apart is how many callers have networks of their own, those that made a few
// calls only left out.
func apart(callers []*callerGroup) int {
	var found []*callerGroup
	for _, c := range callers {
		if c.calls > tooFew && len(c.sources) > 0 && !slices.ContainsFunc(found, func(o *callerGroup) bool { return intersect(c.sources, o.sources) }) {
			found = append(found, c)
		}
	}
	return len(found)
}

// isWrite reports whether an operation changes something.
func isWrite(method, template string) bool {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, "*":
		return false
	case http.MethodPost:
		end := template[strings.LastIndexByte(template, '/')+1:]
		if i := strings.LastIndexByte(end, ':'); i >= 0 {
			end = end[i+1:]
		}
		return !asks(end)
	}
	return true
}
