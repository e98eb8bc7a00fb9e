package migration

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/offkey/offkey/internal/traffic"
)

// Limits of what is kept about one apikey while its traffic is read. What is
// beyond them is counted, and not told apart.
const (
	maxRoutes   = 500
	maxAgents   = 100
	maxSources  = 200
	maxPrograms = 50
)

// RouteUse is how often an operation was called.
type RouteUse struct {
	Method   string `json:"method"`
	Template string `json:"template"`
	Calls    int64  `json:"calls"`
}

// ProgramUse is what one program did with an apikey.
type ProgramUse struct {
	Name      string    `json:"name"`
	Calls     int64     `json:"calls"`
	Sources   []string  `json:"sources"`
	FirstSeen time.Time `json:"first_used"`
	LastSeen  time.Time `json:"last_used"`
}

// maxUsage is how much is kept about all apikeys that are looked at together,
// in entries of such lists.
const maxUsage = 400_000

// space is what is left of a limit over several apikeys, and what is known of
// all of them.
type space struct {
	left   int
	agents map[string]knownAgent // by User-Agent
	room   room                  // for telling callers apart
}

// knownAgent is a User-Agent with a text of its own, and its program.
type knownAgent struct{ agent, program string }

// maxKnownAgents bounds the User-Agents whose programs are remembered.
const maxKnownAgents = 2000

// What is kept to tell apart the callers of all apikeys of an inventory: less
// than where their scopes are asked for, since more is kept beside it.
const (
	maxInventoryCells = 30_000
	maxInventoryOps   = 300_000
)

func newSpace() *space {
	return &space{left: maxUsage, agents: map[string]knownAgent{}, room: room{maxInventoryCells, maxInventoryOps}}
}

// agent remembers a User-Agent, which may be a part of a longer text, and what
// ProgramOf says of it.
func (s *space) agent(agent string) knownAgent {
	known, ok := s.agents[agent]
	if !ok {
		known = knownAgent{clipped(agent), ProgramOf(agent)}
		if len(s.agents) >= maxKnownAgents {
			clear(s.agents)
		}
		s.agents[strings.Clone(agent)] = known
	}
	return known
}

// usage is the traffic of one credential, folded.
type usage struct {
	space       *space
	calls       int64
	first, last time.Time
	routes      map[operation]int64
	carriers    map[string]int64
	agents      map[string]int64
	sources     map[netip.Prefix]int64
	programs    map[string]*program
	query       bool
	browser     int64 // calls
	admin       bool
	writes      int64 // calls that changed something
	page, plain bool  // a page in a browser made a call, one came without TLS

	fold    *callerFold
	numbers map[operation]int // of operations, for the fold
}

type operation struct{ method, template string }

type program struct {
	calls       int64
	first, last time.Time
	sources     map[netip.Prefix]struct{}
}

func newUsage(s *space) *usage {
	return &usage{
		space: s, routes: map[operation]int64{}, carriers: map[string]int64{}, agents: map[string]int64{},
		sources: map[netip.Prefix]int64{}, programs: map[string]*program{},
		fold: newCallerFold(&s.room), numbers: map[operation]int{},
	}
}

// add folds a row in.
func (u *usage) add(r traffic.Row) {
	u.calls += r.Calls
	u.first, u.last = earliest(u.first, r.First), latest(u.last, r.Last)
	tallyIn(u.space, u.routes, operation{r.Method, r.Template}, operation{"*", "/**"}, maxRoutes, r.Calls)
	if r.Carrier != "" {
		tallyIn(u.space, u.carriers, r.Carrier, "", maxSources, r.Calls)
	}
	if r.UserAgent != "" {
		tallyIn(u.space, u.agents, r.UserAgent, "", maxAgents, r.Calls)
	}
	if r.Source.IsValid() {
		tallyIn(u.space, u.sources, r.Source, netip.Prefix{}, maxSources, r.Calls)
	}
	u.page, u.plain = u.page || r.Browser, u.plain || r.Plain
	u.query = u.query || strings.HasPrefix(r.Carrier, "query:")
	if isBrowser(r.UserAgent) {
		u.browser += r.Calls
	}
	if r.MayBeOK() {
		u.admin = u.admin || isAdminTemplate(r.Template)
		if isWrite(r.Method, r.Template) {
			u.writes += r.Calls
		}
	}
	u.addProgram(r)
	u.addCaller(r)
}

// addCaller takes a row down for telling callers apart.
func (u *usage) addCaller(r traffic.Row) {
	if r.UserAgent == "" && !r.Source.IsValid() {
		return // as in addProgram
	}
	op := operation{r.Method, r.Template}
	n, known := u.numbers[op]
	if !known {
		n = -1
		if len(u.numbers) < maxRoutes && u.space.left > 0 {
			u.space.left--
			n = len(u.numbers)
			u.numbers[op] = n
		}
	}
	u.fold.add(r.UserAgent, r.Source, n, r.Calls, r.First, r.Last).note(r.First, r.Last, r.Browser, r.Calls)
}

func (u *usage) addProgram(r traffic.Row) {
	if r.UserAgent == "" && !r.Source.IsValid() {
		return // a row beyond the limits of traffic: it says nothing about who
	}
	name := u.space.agent(r.UserAgent).program
	p := u.programs[name]
	if p == nil {
		if len(u.programs) >= maxPrograms || u.space.left <= 0 {
			return
		}
		u.space.left--
		p = &program{sources: map[netip.Prefix]struct{}{}}
		u.programs[name] = p
	}
	p.calls += r.Calls
	p.first, p.last = earliest(p.first, r.First), latest(p.last, r.Last)
	if _, seen := p.sources[r.Source]; !seen && r.Source.IsValid() && len(p.sources) < maxSources && u.space.left > 0 {
		u.space.left--
		p.sources[r.Source] = struct{}{}
	}
}

// shared reports whether two programs use the apikey from networks of which
// they have none in common: then they are two callers.
func (u *usage) shared() bool {
	all := slices.Collect(maps.Values(u.programs))
	for i, a := range all {
		for _, b := range all[:i] {
			if len(a.sources) > 0 && len(b.sources) > 0 && disjoint(a.sources, b.sources) {
				return true
			}
		}
	}
	return false
}

func disjoint(a, b map[netip.Prefix]struct{}) bool {
	for p := range a {
		if _, ok := b[p]; ok {
			return false
		}
	}
	return true
}

func (u *usage) routeList() []RouteUse {
	out := make([]RouteUse, 0, len(u.routes))
	for op, calls := range u.routes {
		out = append(out, RouteUse{op.method, op.template, calls})
	}
	slices.SortFunc(out, func(a, b RouteUse) int {
		return cmp.Or(cmp.Compare(b.Calls, a.Calls), cmp.Compare(a.Template, b.Template), cmp.Compare(a.Method, b.Method))
	})
	return out
}

func (u *usage) programList() []ProgramUse {
	out := make([]ProgramUse, 0, len(u.programs))
	for name, p := range u.programs {
		sources := []string{}
		for s := range p.sources {
			sources = append(sources, s.String())
		}
		slices.Sort(sources)
		out = append(out, ProgramUse{name, p.calls, sources, p.first, p.last})
	}
	slices.SortFunc(out, func(a, b ProgramUse) int { return cmp.Or(cmp.Compare(b.Calls, a.Calls), cmp.Compare(a.Name, b.Name)) })
	return out
}

// tally counts under name, or under beyond once there are limit names.
func tally[K comparable](counts map[K]int64, name, beyond K, limit int, calls int64) {
	if _, ok := counts[name]; !ok && len(counts) >= limit {
		name = beyond
	}
	counts[name] += calls
}

// tallyIn is tally where there is space left, too.
func tallyIn[K comparable](s *space, counts map[K]int64, name, beyond K, limit int, calls int64) {
	if _, ok := counts[name]; !ok && len(counts) < limit {
		if s.left <= 0 {
			limit = 0
		} else {
			s.left--
		}
	}
	tally(counts, name, beyond, limit, calls)
}

// byCalls lists the names that were counted, most calls first, without what was
// beyond the limit.
func byCalls[K comparable](counts map[K]int64, write func(K) string) []string {
	var none K
	names := make([]string, 0, len(counts))
	calls := make(map[string]int64, len(counts))
	for k, n := range counts {
		if k == none {
			continue
		}
		name := write(k)
		names = append(names, name)
		calls[name] = n
	}
	slices.SortFunc(names, func(a, b string) int { return cmp.Or(cmp.Compare(calls[b], calls[a]), cmp.Compare(a, b)) })
	return names
}

// earliest and latest take the zero time for none.
func earliest(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

func latest(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
