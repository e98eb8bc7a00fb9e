package migration

import (
	"cmp"
	"net/netip"
	"slices"
	"time"

	"github.com/offkey/offkey/internal/client"
	"github.com/offkey/offkey/internal/oauth"
	"github.com/offkey/offkey/internal/policy"
	"github.com/offkey/offkey/internal/traffic"
)

// Radius is how far a leak reaches: what was done with a credential, and with
// what was made with it, since it may have got out.
type Radius struct {
	Since    *time.Time   `json:"since"`    // null: nobody knows, all that is recorded counts
	Recorded *time.Time   `json:"recorded"` // the first call on record
	Calls    int64        `json:"calls"`
	Refused  int64        `json:"refused"` // of these, by offkey
	Routes   []RouteUse   `json:"routes"`
	Scopes   []ScopeUse   `json:"scopes"` // that the successful ones opened
	Programs []SuspectUse `json:"programs"`
	Networks []SuspectUse `json:"networks"`
	Clients  []ClientUse  `json:"clients"` // made with the apikey
	Limits   []string     `json:"limits"`  // what this does not know

	wanted oauth.Scope // that its owner needed, as far as the calls before the leak say
}

// SuspectUse is a program or a network. New is one that was not on record before
// the leak.
type SuspectUse struct {
	Name      string    `json:"name"`
	Calls     int64     `json:"calls"`
	FirstSeen time.Time `json:"first_used"`
	LastSeen  time.Time `json:"last_used"`
	New       bool      `json:"new"`
}

// ClientUse is a client that was made with the apikey.
type ClientUse struct {
	ID      string        `json:"client_id"`
	Name    string        `json:"name"`
	Status  client.Status `json:"status"`
	Created time.Time     `json:"created"`
	Since   bool          `json:"since"` // made since the leak
	Calls   int64         `json:"calls"` // since the leak
}

// radiusFold gathers a Radius. Rows are of whole hours: the hour in which the
// leak may have begun counts as after it where a call of it does.
type radiusFold struct {
	since              time.Time
	first              time.Time
	calls, refused     int64
	routes             map[operation]int64
	scopes, wanted     *scopeFold
	programs, networks map[string]*SuspectUse
	before             map[string]bool // programs and networks known before
	overflow           bool
}

func newRadiusFold(since time.Time, rules *policy.Ruleset) *radiusFold {
	return &radiusFold{
		since: since, routes: map[operation]int64{}, scopes: newScopeFold(rules), wanted: newScopeFold(rules),
		programs: map[string]*SuspectUse{}, networks: map[string]*SuspectUse{}, before: map[string]bool{},
	}
}

func (f *radiusFold) add(r traffic.Row) {
	f.first = earliest(f.first, r.First)
	program, network := ProgramOf(r.UserAgent), ""
	if r.Source.IsValid() {
		network = r.Source.String()
	}
	if r.First.Before(f.since) && len(f.before) < 4*maxSources {
		f.before["program "+program], f.before["network "+network] = true, true
	}
	if r.Last.Before(f.since) {
		f.wanted.add(r)
		return
	}
	f.calls += r.Calls
	if r.Denied() {
		f.refused += r.Calls
	}
	tally(f.routes, operation{r.Method, r.Template}, operation{"*", "/**"}, maxRoutes, r.Calls)
	f.scopes.add(r)
	f.suspect(f.programs, program, r, maxPrograms)
	f.suspect(f.networks, network, r, maxSources)
}

func (f *radiusFold) suspect(in map[string]*SuspectUse, name string, r traffic.Row, limit int) {
	if name == "" {
		return
	}
	use := in[name]
	if use == nil {
		if len(in) >= limit {
			f.overflow = true
			return
		}
		use = &SuspectUse{Name: name}
		in[name] = use
	}
	use.Calls += r.Calls
	use.FirstSeen, use.LastSeen = earliest(use.FirstSeen, r.First), latest(use.LastSeen, r.Last)
}

// radius is what was gathered. floor is the oldest hour that is kept at all.
func (f *radiusFold) radius(floor time.Time) Radius {
	out := Radius{
		Since: instant(f.since), Recorded: instant(f.first), Calls: f.calls, Refused: f.refused,
		Routes: (&usage{routes: f.routes}).routeList(), Scopes: f.scopes.list(),
		Programs: f.suspects("program ", f.programs), Networks: f.suspects("network ", f.networks), Clients: []ClientUse{}, Limits: []string{},
	}
	if out.wanted = namesOf(f.wanted.list()); out.wanted.IsZero() {
		out.wanted = namesOf(out.Scopes)
	}
	switch {
	case f.since.IsZero():
		out.Limits = append(out.Limits, "since when is not known: all calls on record count, and no network or program can be told to be new")
	case !floor.Before(f.since):
		out.Limits = append(out.Limits, "nothing from before the leak is on record: every network and program looks new")
	}
	if f.overflow {
		out.Limits = append(out.Limits, "there are more programs or networks than are told apart")
	}
	if !floor.IsZero() {
		out.Limits = append(out.Limits, "calls that do not pass offkey are not seen")
	}
	return out
}

func (f *radiusFold) suspects(prefix string, in map[string]*SuspectUse) []SuspectUse {
	out := make([]SuspectUse, 0, len(in))
	for name, use := range in {
		use.New = !f.since.IsZero() && !f.before[prefix+name]
		out = append(out, *use)
	}
	slices.SortFunc(out, func(a, b SuspectUse) int {
		if a.New != b.New { // the suspicious first
			return cmp.Compare(b2i(b.New), b2i(a.New))
		}
		return cmp.Or(cmp.Compare(b.Calls, a.Calls), cmp.Compare(a.Name, b.Name))
	})
	return out
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

// networkOf is an address as it is recorded, for a reporter's own.
func networkOf(a netip.Addr) string {
	if p := traffic.SourceOf(a); p.IsValid() {
		return p.String()
	}
	return "an unknown network"
}
