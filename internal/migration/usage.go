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

	same  caller
	fold  *callerFold
	known map[operation]knownOperation
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
		fold: newCallerFold(&s.room), known: map[operation]knownOperation{},
	}
}

// add folds a row in.
func (u *usage) add(r traffic.Row) {
	u.calls += r.Calls
	u.first, u.last = earliest(u.first, r.First), latest(u.last, r.Last)
	tallyIn(u.space, u.routes, operation{r.Method, r.Template}, operation{"*", "/**"}, maxRoutes, r.Calls)
	if same := &u.same; !same.is(r) {
		u.settle()
		*same = caller{agent: r.UserAgent, source: r.Source, carrier: r.Carrier}
		if r.UserAgent != "" || r.Source.IsValid() { // else it is a row beyond the limits of traffic: it says nothing about who
			same.program = u.program(r)
			same.cell = u.fold.cell(r.UserAgent, r.Source)
		}
	}
	u.same.calls += r.Calls
	u.page, u.plain = u.page || r.Browser, u.plain || r.Plain
	u.query = u.query || strings.HasPrefix(r.Carrier, "query:")
	if isBrowser(r.UserAgent) {
		u.browser += r.Calls
	}
	op := u.operation(r)
	if r.MayBeOK() {
		u.admin = u.admin || op.admin
		if op.write {
			u.writes += r.Calls
		}
	}
	if p := u.same.program; p != nil {
		p.calls += r.Calls
		p.first, p.last = earliest(p.first, r.First), latest(p.last, r.Last)
	}
	if c := u.same.cell; c != nil {
		u.fold.count(c, op.number, r.Calls, r.First, r.Last)
		c.note(r.First, r.Last, r.Browser, r.Calls)
	}
}

// caller is what came last with the apikey: the next call is mostly like it, and
// then nothing is looked up.
type caller struct {
	agent, carrier string
	source         netip.Prefix
	calls          int64 // that are not counted under these yet
	program        *program
	cell           *cell
}

func (c *caller) is(r traffic.Row) bool {
	return c.calls > 0 && c.agent == r.UserAgent && c.source == r.Source && c.carrier == r.Carrier
}

// settle counts what came last under its agent, its network and its carrier.
func (u *usage) settle() {
	c, n := &u.same, u.same.calls
	c.calls = 0
	if n == 0 {
		return
	}
	if c.carrier != "" {
		tallyIn(u.space, u.carriers, c.carrier, "", maxSources, n)
	}
	if c.agent != "" {
		tallyIn(u.space, u.agents, c.agent, "", maxAgents, n)
	}
	if c.source.IsValid() {
		tallyIn(u.space, u.sources, c.source, netip.Prefix{}, maxSources, n)
	}
}

// knownOperation is what an operation is, by its name.
type knownOperation struct {
	number       int // for the fold; -1 for one beyond the limits
	admin, write bool
}

func (u *usage) operation(r traffic.Row) knownOperation {
	name := operation{r.Method, r.Template}
	op, known := u.known[name]
	if !known {
		op = knownOperation{-1, isAdminTemplate(r.Template), isWrite(r.Method, r.Template)}
		if len(u.known) < maxRoutes && u.space.left > 0 {
			u.space.left--
			op.number = len(u.known)
			u.known[name] = op
		}
	}
	return op
}

// program is the one that a row is of, nil where there are too many.
func (u *usage) program(r traffic.Row) *program {
	name := u.space.agent(r.UserAgent).program
	p := u.programs[name]
	if p == nil {
		if len(u.programs) >= maxPrograms || u.space.left <= 0 {
			return nil
		}
		u.space.left--
		p = &program{sources: map[netip.Prefix]struct{}{}}
		u.programs[name] = p
	}
	if _, seen := p.sources[r.Source]; !seen && r.Source.IsValid() && len(p.sources) < maxSources && u.space.left > 0 {
		u.space.left--
		p.sources[r.Source] = struct{}{}
	}
	return p
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
	if n, ok := counts[name]; ok {
		counts[name] = n + calls
		return
	}
	if len(counts) < limit {
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
