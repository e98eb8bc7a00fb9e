package migration

import (
	"cmp"
	"hash/fnv"
	"math"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/offkey/offkey/internal/traffic"
)

// Limits of what is kept to tell apart the callers behind one credential.
const (
	maxCells       = 300  // pairs of agent and network
	maxCellOps     = 400  // operations told apart in a pair
	maxCredentials = 5000 // credentials whose callers are told apart
	maxCellsInAll  = 60_000
	maxOpsInAll    = 1_000_000
)

// room is what is left of the limits over all credentials.
type room struct{ cells, ops int }

// cell is what came with one User-Agent from one network. Whoever calls has one
// or several of them: programs are upgraded, and addresses move.
type cell struct {
	agent       string
	source      netip.Prefix
	calls       int64
	ops         map[int]int64 // by number of the operation
	first, last time.Time
	// What tells a person from a program, where it is asked for.
	page  int64 // calls from pages in browsers
	hours uint32
	days  map[int64]struct{}
	hour  int64 // noted last
}

// maxCellDays bounds the days that are told apart in a cell.
const maxCellDays = 31

// note takes the times of calls down.
func (c *cell) note(first, last time.Time, page bool, calls int64) {
	if page {
		c.page += calls
	}
	// A row is of an hour or of a day: there were calls between its ends.
	from, to := first.Unix()/3600, last.Unix()/3600
	if from == c.hour && to == c.hour {
		return
	}
	c.hour = to
	for hour := from; hour <= to && hour < from+24; hour++ {
		c.hours |= 1 << (hour % 24)
	}
	for _, day := range [2]int64{from / 24, to / 24} {
		if _, known := c.days[day]; !known && len(c.days) < maxCellDays {
			if c.days == nil {
				c.days = map[int64]struct{}{}
			}
			c.days[day] = struct{}{}
		}
	}
}

type cellKey struct {
	agent  string
	source netip.Prefix
}

// callerFold gathers the calls of one credential.
type callerFold struct {
	cells map[cellKey]*cell
	room  *room
}

func newCallerFold(r *room) *callerFold { return &callerFold{map[cellKey]*cell{}, r} }

func (f *callerFold) add(agent string, source netip.Prefix, op int, calls int64, first, last time.Time) {
	f.count(f.cell(agent, source), op, calls, first, last)
}

// cell is that of an agent in a network, or that of all for which there is no
// room.
func (f *callerFold) cell(agent string, source netip.Prefix) *cell {
	key := cellKey{agent, source}
	if c := f.cells[key]; c != nil {
		return c
	}
	key.agent = clipped(agent)
	c := f.cells[key]
	if c == nil {
		if len(f.cells) >= maxCells || f.room.cells <= 0 { // strangers cannot make up more: theirs are one
			key = cellKey{}
			c = f.cells[key]
		}
		if c == nil {
			c = &cell{agent: key.agent, source: key.source, ops: map[int]int64{}}
			f.cells[key] = c
			f.room.cells--
		}
	}
	return c
}

func (f *callerFold) count(c *cell, op int, calls int64, first, last time.Time) {
	c.calls += calls
	c.first, c.last = earliest(c.first, first), latest(c.last, last)
	n, known := c.ops[op]
	if !known && (len(c.ops) >= maxCellOps || f.room.ops <= 0) {
		return
	}
	if !known {
		f.room.ops--
	}
	c.ops[op] = n + calls
}

// maxText bounds an agent or a path that is kept, in bytes.
const maxText = 256

func clipped(s string) string {
	if len(s) > maxText {
		s = s[:maxText]
	}
	return strings.ToValidUTF8(strings.Clone(s), "")
}

// callerGroup is one caller: cells that belong together.
type callerGroup struct {
	cells       []*cell
	programs    map[string]bool
	sources     map[netip.Prefix]bool
	ops         map[int]int64
	calls       int64
	first, last time.Time
}

func newCallerGroup(c *cell) *callerGroup {
	g := &callerGroup{programs: map[string]bool{}, sources: map[netip.Prefix]bool{}, ops: map[int]int64{}}
	g.take(c)
	return g
}

func (g *callerGroup) take(c *cell) {
	g.cells = append(g.cells, c)
	g.programs[ProgramOf(c.agent)] = true
	g.sources[c.source] = true
	for op, n := range c.ops {
		g.ops[op] += n
	}
	g.calls += c.calls
	g.first, g.last = earliest(g.first, c.first), latest(g.last, c.last)
}

// What makes two of one.
const (
	alike      = 0.55 // share of the calls of the smaller that the larger makes too
	alikeMoved = 0.35 // where one begins when the other ends
	alikeOther = 0.80 // where the program is another one, and the other has ended
	tooFew     = 4    // calls that show nothing about what a caller does
	handover   = 36 * time.Hour
)

// callers tells apart who shares the credential. The cells with most calls come
// first, since what they do is known best.
func (f *callerFold) callers() []*callerGroup {
	cells := make([]*cell, 0, len(f.cells))
	for _, c := range f.cells {
		cells = append(cells, c)
	}
	slices.SortFunc(cells, func(a, b *cell) int {
		return cmp.Or(cmp.Compare(b.calls, a.calls), cmp.Compare(a.agent, b.agent), cmp.Compare(a.source.String(), b.source.String()))
	})
	var groups []*callerGroup
	for _, c := range cells {
		var best *callerGroup
		fit := 0.0
		for _, g := range groups {
			if s := g.fits(c); s > fit {
				fit, best = s, g
			}
		}
		if best == nil {
			groups = append(groups, newCallerGroup(c))
			continue
		}
		best.take(c)
	}
	return joinGroups(groups)
}

// fits is how well a cell belongs to a group, 0 if it does not.
func (g *callerGroup) fits(c *cell) float64 {
	if !g.programs[ProgramOf(c.agent)] {
		return 0
	}
	common := g.common(c.ops, c.calls)
	switch {
	case g.sources[c.source] && (common >= alikeMoved || c.calls <= tooFew):
		return 1 + common // the same program in the same network
	case common >= alike:
		return common
	case common >= alikeMoved && g.handsOver(c.first, c.last):
		return common
	case c.calls <= tooFew && common > 0:
		return common / 2
	}
	return 0
}

// common is the share of calls to operations that the group makes too, as
// often: a call to what the group hardly calls counts less.
func (g *callerGroup) common(ops map[int]int64, calls int64) float64 {
	if calls == 0 {
		return 0
	}
	dot, a, b := 0.0, 0.0, 0.0
	for op, n := range ops {
		x := math.Log1p(float64(n))
		dot += x * math.Log1p(float64(g.ops[op]))
		a += x * x
	}
	for _, n := range g.ops {
		y := math.Log1p(float64(n))
		b += y * y
	}
	cosine := dot / math.Sqrt(max(a*b, 1e-12))
	held := int64(0)
	for op, n := range ops {
		if g.ops[op] > 0 {
			held += n
		}
	}
	return max(cosine, (float64(held)/float64(calls)+cosine)/2)
}

// handsOver reports whether the group and the span follow one another.
func (g *callerGroup) handsOver(first, last time.Time) bool {
	return !first.Before(g.last.Add(-handover)) || !last.After(g.first.Add(handover))
}

// joinGroups joins what turned out to be one only when more was known of each,
// those that fit best first.
func joinGroups(groups []*callerGroup) []*callerGroup {
	fits := make([][]float64, len(groups))
	for a := range groups {
		fits[a] = make([]float64, a)
		for b := range a {
			fits[a][b] = groups[a].joins(groups[b])
		}
	}
	for {
		bestA, bestB, fit := -1, -1, 0.0
		for a := range groups {
			for b, s := range fits[a] {
				if s > fit {
					bestA, bestB, fit = a, b, s
				}
			}
		}
		if bestA < 0 {
			return slices.DeleteFunc(groups, func(g *callerGroup) bool { return g == nil })
		}
		for _, c := range groups[bestA].cells {
			groups[bestB].take(c)
		}
		groups[bestA] = nil
		clear(fits[bestA])
		for o, g := range groups {
			if o > bestA {
				fits[o][bestA] = 0
			}
			switch {
			case g == nil || o == bestB:
			case o > bestB:
				fits[o][bestB] = g.joins(groups[bestB])
			default:
				fits[bestB][o] = groups[bestB].joins(g)
			}
		}
	}
}

func (g *callerGroup) joins(o *callerGroup) float64 {
	if g.calls > o.calls {
		g, o = o, g
	}
	program, follows := intersect(g.programs, o.programs), o.handsOver(g.first, g.last)
	if !program && !follows {
		return 0
	}
	common, source := o.common(g.ops, g.calls), intersect(g.sources, o.sources)
	switch {
	case program && (common >= alike || follows && common >= alikeMoved || source && common >= alikeMoved):
		return common
	case program && source && follows && g.calls <= 4*tooFew:
		return 0.1 + common
	case !program && follows && common >= alikeOther, !program && source && follows && common >= alike:
		return common // rewritten in another language
	}
	return 0
}

func intersect[K comparable](a, b map[K]bool) bool {
	for k := range a {
		if b[k] {
			return true
		}
	}
	return false
}

// idOf names a caller among those of its credential, the same at every look as
// long as its first agent and network are.
func (g *callerGroup) idOf(credential traffic.Credential) string {
	first := slices.MinFunc(g.cells, func(a, b *cell) int {
		return cmp.Or(a.first.Compare(b.first), cmp.Compare(a.agent, b.agent), cmp.Compare(a.source.String(), b.source.String()))
	})
	h := fnv.New32a()
	_, _ = h.Write([]byte(first.agent + " " + first.source.String()))
	const alphabet = "abcdefghijkmnpqrstuvwxyz23456789"
	var tail [4]byte
	for i, n := 0, h.Sum32(); i < len(tail); i, n = i+1, n/32 {
		tail[i] = alphabet[n%32]
	}
	return credential.ID + "." + string(tail[:])
}
