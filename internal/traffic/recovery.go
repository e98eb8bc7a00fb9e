package traffic

import (
	"cmp"
	"hash/fnv"
	"math/bits"
	"slices"
	"strings"
)

// Recovery learns the templates of an API from the calls that it answered. A
// number or a UUID shows by itself that it is a parameter; a name or a slug does
// not, and is told from a word of the API by what stands around it: whether many
// siblings lead to the same places, whether it is met under every parent or
// under one, whether it spells like the rest of the API.
//
// It is a tree of segments. Its memory is bounded: a tree that is full first
// joins what it takes for values of one parameter, and then drops what was seen
// least. What it has once joined stays a parameter. It is not safe for
// concurrent use.
type Recovery struct {
	root   *place
	places int
	// Lost is how many calls were seen at places that were dropped.
	Lost int64
}

// Limits of Recovery.
const (
	maxPlaces   = 60_000
	maxSiblings = 1_000 // more segments than that behind one another are values
	maxSegment  = 200   // bytes of a segment
	maxDepth    = 24
)

// place is one segment deep in the tree.
type place struct {
	calls   int64
	ends    map[string]int64  // calls that end here, by method
	below   map[string]*place // by segment, or by pattern
	parents uint64            // sketch of the different paths that led here
	callers uint64            // sketch of who called
	values  uint64            // sketch of the values, of a pattern
	one     string            // a value of a pattern, "" once there are two
	grown   int               // siblings that joined a parameter
}

// NewRecovery makes an empty Recovery.
func NewRecovery() *Recovery { return &Recovery{root: &place{}, places: 1} }

// Add learns from calls that the API answered with success. The path is
// canonical, or a template of Templates.
func (r *Recovery) Add(method, path, caller string, calls int64) {
	if calls <= 0 || !strings.HasPrefix(path, "/") || strings.HasSuffix(path, "/**") {
		return
	}
	if r.places >= maxPlaces {
		r.shrink()
	}
	who := bit(sum(0, caller))
	at, path := r.root, strings.TrimRight(path[1:], "/")
	at.calls += calls
	var prefix uint64
	for depth := 0; path != ""; depth++ {
		var segment string
		segment, path, _ = strings.Cut(path, "/")
		if depth >= maxDepth || len(segment) > maxSegment {
			return
		}
		next := r.step(at, segment)
		next.calls += calls
		next.parents |= bit(prefix)
		next.callers |= who
		prefix = sum(prefix, segment)
		at = next
	}
	if at.ends == nil {
		at.ends = map[string]int64{}
	}
	at.ends[usualMethod(method)] += calls
}

// step finds or makes the place of a segment.
func (r *Recovery) step(at *place, segment string) *place {
	key := segment
	if at.below[segment] == nil {
		if key = shapeOf(segment); key == "" {
			if key = segment; len(at.below) >= maxSiblings {
				r.joinRare(at)
				key = "{}"
			}
		}
	}
	next := at.below[key]
	if next == nil {
		next = &place{one: segment}
		if at.below == nil {
			at.below = map[string]*place{}
		}
		at.below[strings.Clone(key)] = next
		r.places++
	}
	if key != segment {
		next.values |= bit(sum(0, segment))
		if next.one != segment {
			next.one = ""
		}
	}
	return next
}

// joinRare makes a parameter of the least used segments of a place that has too
// many to be words.
func (r *Recovery) joinRare(at *place) {
	names := sortedByCalls(at.below)
	var rare []string
	for _, name := range names[min(len(names), maxSiblings/8):] {
		if !strings.Contains(name, "{}") {
			rare = append(rare, name)
		}
	}
	r.join(at, rare)
}

// join makes one parameter of segments.
func (r *Recovery) join(at *place, names []string) {
	into := at.below["{}"]
	if into == nil {
		into = &place{}
		at.below["{}"] = into
		r.places++
	}
	for _, name := range names {
		from := at.below[name]
		delete(at.below, name)
		into.values |= bit(sum(0, name))
		into.grown++
		into.one = ""
		r.merge(into, from)
	}
}

// merge adds from to into; from is used up.
func (r *Recovery) merge(into, from *place) {
	r.places--
	into.calls += from.calls
	into.parents |= from.parents
	into.callers |= from.callers
	into.values |= from.values
	if into.one != from.one {
		into.one = ""
	}
	if into.ends == nil {
		into.ends = from.ends
	} else {
		for method, n := range from.ends {
			into.ends[method] += n
		}
	}
	if into.below == nil {
		into.below = from.below
		return
	}
	for name, f := range from.below {
		if i := into.below[name]; i != nil {
			r.merge(i, f)
		} else {
			into.below[name] = f
		}
	}
}

// shrink makes room: what is a parameter is joined, then what was seen least is
// dropped.
func (r *Recovery) shrink() {
	r.resolve()
	for least := int64(1); r.places > maxPlaces/2; least *= 2 {
		r.drop(r.root, least)
	}
}

func (r *Recovery) drop(at *place, least int64) {
	for name, p := range at.below {
		if p.calls <= least {
			r.Lost += p.calls
			r.places -= size(p)
			delete(at.below, name)
			continue
		}
		r.drop(p, least)
	}
}

func size(p *place) int {
	n := 1
	for _, b := range p.below {
		n += size(b)
	}
	return n
}

// Recovered is a template with what was seen of it.
type Recovered struct {
	Method   string
	Template string // parameters are {id}
	Calls    int64
}

// Operations lists what was called, by template and method.
func (r *Recovery) Operations() []Recovered {
	r.resolve()
	var out []Recovered
	var walk func(p *place, template string)
	walk = func(p *place, template string) {
		for method, n := range p.ends {
			out = append(out, Recovered{method, cmp.Or(template, "/"), n})
		}
		for name, b := range p.below {
			walk(b, template+"/"+written(name, b))
		}
	}
	walk(r.root, "")
	slices.SortFunc(out, func(a, b Recovered) int {
		return cmp.Or(cmp.Compare(a.Template, b.Template), cmp.Compare(a.Method, b.Method))
	})
	return out
}

// written is a segment of a template.
func written(name string, p *place) string {
	if name == "{}" && p.one != "" && isDated(p.one) && p.calls >= 20 {
		return p.one // an API version that is a date
	}
	return strings.ReplaceAll(name, "{}", "{id}")
}

// isDated reports whether a segment is a month or a day: 2026-01, 2026-01-31.
func isDated(s string) bool {
	return (len(s) == 7 || len(s) == 10) && s[4] == '-' && strings.Trim(s, "0123456789-") == "" && strings.HasPrefix(s, "20")
}

func sortedByCalls(below map[string]*place) []string {
	names := make([]string, 0, len(below))
	for name := range below {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int {
		return cmp.Or(cmp.Compare(below[b].calls, below[a].calls), cmp.Compare(a, b))
	})
	return names
}

// sum hashes a segment behind those before it.
func sum(before uint64, segment string) uint64 {
	h := fnv.New64a()
	var b [8]byte
	for i := range b {
		b[i] = byte(before >> (8 * i))
	}
	_, _ = h.Write(b[:])
	_, _ = h.Write([]byte(segment))
	return h.Sum64()
}

// bit is the place of a hash in a sketch; distinct counts them.
func bit(hash uint64) uint64 { return 1 << ((hash ^ hash>>29 ^ hash>>47) & 63) }

func distinct(sketch uint64) int { return bits.OnesCount64(sketch) }
