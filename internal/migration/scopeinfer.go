package migration

import (
	"cmp"
	"maps"
	"net/http"
	"net/netip"
	"slices"
	"time"

	"github.com/offkey/offkey/internal/traffic"
)

// Inference is which scopes every caller needs, by what it called.
type Inference struct {
	Callers []InferredCaller `json:"callers"`
	Window  Window           `json:"window"`
	// Dropped counts calls that were not told apart because there were too
	// many callers, operations or paths.
	Dropped   int64     `json:"dropped"`
	Lines     int       `json:"lines"`
	Malformed int       `json:"malformed"`
	BadLines  []BadLine `json:"bad_lines"`
}

// InferredCaller is one caller with the least set of scopes that opens what it
// called, and what is proposed beyond that.
type InferredCaller struct {
	ID         string `json:"id"`
	Kind       string `json:"kind"`
	Credential string `json:"credential"`
	// Scopes are all that are proposed; those of Beyond are among them.
	Scopes []string `json:"scopes"`
	Exact  bool     `json:"exact"` // no lesser set opens what was called
	// Explained is the share of successful calls that the scopes open.
	Explained   float64         `json:"explained"`
	Calls       int64           `json:"calls"`
	Window      Window          `json:"window"`
	Unexplained []Unexplained   `json:"unexplained"`
	OpensUnused int             `json:"opens_unused"`
	Evidence    []ScopeEvidence `json:"evidence"`
	Beyond      []BeyondGrant   `json:"beyond"`
	// Narrower are scopes among Scopes that the least set could do without: they
	// open next to nothing more, and let a token for one purpose hold less.
	Narrower   []string       `json:"narrower"`
	NotSeen    []string       `json:"not_seen"`
	UserAgents []string       `json:"user_agents"`
	Sources    []string       `json:"sources"`
	Operations []OperationUse `json:"operations"`
}

// OperationUse is an operation that a caller used with success.
type OperationUse struct {
	Method   string `json:"method"`
	Template string `json:"template"`
	Calls    int64  `json:"calls"`
}

// Unexplained are calls that no scope accounts for.
type Unexplained struct {
	Method string `json:"method"`
	Path   string `json:"path"`
	Calls  int64  `json:"calls"`
	Why    string `json:"why"`
}

// ScopeEvidence says what a scope is needed for.
type ScopeEvidence struct {
	Scope      string `json:"scope"`
	Class      Class  `json:"class"`
	Calls      int64  `json:"calls"`
	Operations int    `json:"operations"` // used
	Opens      int    `json:"opens"`      // in all
}

// BeyondGrant is a scope that nothing observed needed, and why it is proposed.
type BeyondGrant struct {
	Scope string `json:"scope"`
	Why   string `json:"why"`
	Opens int    `json:"opens"` // operations that nothing else opened
}

// InferOptions say how to infer.
type InferOptions struct {
	Window Window
	Only   []string // ids of credentials; none is all
	Strict bool     // nothing beyond what was observed
}

// Limits of what is kept while traffic is read.
const (
	maxUnexplained = 50
	maxListed      = 20
)

// inferFold reads calls and keeps what every caller did.
type inferFold struct {
	options  InferOptions
	table    *operationTable
	folds    map[traffic.Credential]*callerFold
	unknown  map[traffic.Credential]map[operation]int64
	coverage map[traffic.Credential]*coverage
	whole    coverage
	dropped  int64
	room     room
}

func newInferFold(table *operationTable, o InferOptions) *inferFold {
	return &inferFold{
		options: o, table: table, folds: map[traffic.Credential]*callerFold{},
		unknown: map[traffic.Credential]map[operation]int64{}, coverage: map[traffic.Credential]*coverage{}, room: room{maxCellsInAll, maxOpsInAll},
	}
}

// seenCalls is what a fold takes: an observation, or a row of many.
type seenCalls struct {
	credential  traffic.Credential
	method      string
	path        string
	status      int
	agent       string
	source      netip.Prefix
	calls       int64
	first, last time.Time
}

func callOf(o traffic.Observation) seenCalls {
	return seenCalls{o.Credential, o.Method, o.Path, o.Status, o.UserAgent, o.Source, 1, o.At, o.At}
}

func callsOf(r traffic.Row) seenCalls {
	return seenCalls{r.Credential, r.Method, r.Template, r.Status, r.UserAgent, r.Source, r.Calls, r.First, r.Last}
}

// needed reports whether calls say something about what their caller needs: they
// came with a credential of its own, and the API answered with success.
func (s seenCalls) needed() bool {
	return s.credential.Known() && s.method != http.MethodOptions && s.method != "*" && traffic.MayBeOK(s.status)
}

func (f *inferFold) add(s seenCalls) {
	w := f.options.Window
	if !s.needed() || s.last.Before(w.From) || !w.To.IsZero() && !s.first.Before(w.To) || len(f.options.Only) > 0 && !slices.Contains(f.options.Only, s.credential.ID) {
		return
	}
	fold := f.folds[s.credential]
	if fold == nil {
		if len(f.folds) >= maxCredentials {
			f.dropped += s.calls
			return
		}
		fold = newCallerFold(&f.room)
		f.folds[s.credential] = fold
		f.coverage[s.credential] = &coverage{}
	}
	f.whole.add(s.first, s.last)
	f.coverage[s.credential].add(s.first, s.last)
	n, ok := f.table.find(s.method, s.path)
	if !ok {
		n = -1
		seen := f.unknown[s.credential]
		if seen == nil {
			seen = map[operation]int64{}
			f.unknown[s.credential] = seen
		}
		tally(seen, operation{clipped(s.method), clipped(s.path)}, operation{"*", "/**"}, maxUnexplained, s.calls)
	}
	fold.add(s.agent, s.source, n, s.calls, s.first, s.last)
}

// result infers.
func (f *inferFold) result() Inference {
	out := Inference{Callers: []InferredCaller{}, Dropped: f.dropped, BadLines: []BadLine{}, Window: f.window()}
	vocabulary := newVocabulary(f.table)
	var callers []*inferring
	for _, credential := range slices.SortedFunc(maps.Keys(f.folds), func(a, b traffic.Credential) int {
		return cmp.Or(cmp.Compare(a.ID, b.ID), cmp.Compare(a.Kind, b.Kind))
	}) {
		groups := f.folds[credential].callers()
		for _, g := range groups {
			c := &inferring{credential: credential, group: g, id: credential.ID}
			if len(groups) > 1 {
				c.id = g.idOf(credential)
			}
			c.cover(vocabulary)
			callers = append(callers, c)
		}
	}
	if !f.options.Strict {
		generalise(vocabulary, callers)
	}
	for _, c := range callers {
		out.Callers = append(out.Callers, f.describe(c, vocabulary))
	}
	return out
}

func (f *inferFold) window() Window {
	w := f.options.Window
	if w.From.IsZero() {
		w.From = f.whole.first
	}
	if w.To.IsZero() && !f.whole.last.IsZero() {
		w.To = f.whole.last.Add(time.Microsecond)
	}
	return w
}

// vocabulary is all scopes with what each opens.
type vocabulary struct {
	table  *operationTable
	names  []string
	number map[string]int
	weight []float64
	opens  [][]int // operations that a scope opens by itself or with others
	anyOf  [][][]int

	class    []Class
	resource []string
	action   []float64        // weight of the words for what is done
	family   map[string][]int // scopes of one resource
}

func newVocabulary(t *operationTable) *vocabulary {
	v := &vocabulary{table: t, number: map[string]int{}, anyOf: make([][][]int, len(t.operations))}
	set := map[string]bool{}
	for _, op := range t.operations {
		for _, alternative := range op.AnyOf {
			for _, name := range alternative {
				set[name] = true
			}
		}
	}
	v.names = slices.Sorted(maps.Keys(set))
	for i, name := range v.names {
		v.number[name] = i
	}
	v.opens = make([][]int, len(v.names))
	for n, op := range t.operations {
		for _, alternative := range op.AnyOf {
			var numbers []int
			for _, name := range alternative {
				i := v.number[name]
				numbers = append(numbers, i)
				if len(v.opens[i]) == 0 || v.opens[i][len(v.opens[i])-1] != n {
					v.opens[i] = append(v.opens[i], n)
				}
			}
			v.anyOf[n] = append(v.anyOf[n], numbers)
		}
	}
	guarded := guardedResources(v.names)
	v.family = map[string][]int{}
	for i, name := range v.names {
		resource := resourceOfScope(name)
		v.class, v.resource, v.action = append(v.class, ClassOf(name)), append(v.resource, resource), append(v.action, actionOfScope(name))
		v.family[resource] = append(v.family[resource], i)
		v.weight = append(v.weight, scopeWeight(name, len(v.opens[i]), guarded[resource]))
	}
	return v
}

// opened are the operations that scopes open, open ones left out.
func (v *vocabulary) opened(scopes []int) map[int]bool {
	have := make([]bool, len(v.names))
	for _, s := range scopes {
		have[s] = true
	}
	out := map[int]bool{}
	for _, s := range scopes {
		for _, n := range v.opens[s] {
			if remaining(v.anyOf[n], have) == nil {
				out[n] = true
			}
		}
	}
	return out
}

// inferring is a caller on its way to its scopes.
type inferring struct {
	id         string
	credential traffic.Credential
	group      *callerGroup
	least      []int // the cover of what was observed
	exact      bool
	narrow     []int // lesser scopes that open nothing more
	beyond     []beyond
}

type beyond struct {
	scope int
	why   string
}

// cover finds the least set of scopes for what the caller did.
func (c *inferring) cover(v *vocabulary) {
	var operations [][][]int
	for n := range c.group.ops {
		if n >= 0 && len(v.anyOf[n]) > 0 {
			operations = append(operations, v.anyOf[n])
		}
	}
	weight := v.weightFor(c.group.ops)
	c.least, c.exact = leastCover(operations, weight)
	c.narrower(v, weight)
}

// littleMore is the share of what a narrower scope opens that nothing opened
// before: vocabularies are not so tidy that there is always nothing.
const littleMore = 0.3

// narrower adds scopes that open next to nothing more than the cover does, so
// that a token for one purpose need not hold the heavier scope that another
// needs: whoever reads and writes may ask for a token that only reads.
func (c *inferring) narrower(v *vocabulary, weight []float64) {
	opened := v.opened(c.least)
	cost := cover{weight: weight}
	for _, n := range slices.Sorted(maps.Keys(c.group.ops)) {
		if n < 0 || len(v.anyOf[n]) < 2 {
			continue
		}
		lightest := slices.MinFunc(v.anyOf[n], func(a, b []int) int { return cmp.Compare(cost.sum(a), cost.sum(b)) })
		for _, s := range lightest {
			if slices.Contains(c.least, s) || slices.Contains(c.narrow, s) {
				continue
			}
			if more := v.more(opened, append(c.scopes(), s)); float64(more) <= littleMore*float64(len(v.opens[s])) {
				c.narrow = append(c.narrow, s)
			}
		}
	}
}

// more is how many operations scopes open that were not opened before.
func (v *vocabulary) more(before map[int]bool, scopes []int) (more int) {
	for n := range v.opened(scopes) {
		if !before[n] {
			more++
		}
	}
	return more
}

func (c *inferring) scopes() []int {
	all := append(slices.Clone(c.least), c.narrow...)
	for _, b := range c.beyond {
		all = append(all, b.scope)
	}
	return all
}

// describe says what was found about a caller.
func (f *inferFold) describe(c *inferring, v *vocabulary) InferredCaller {
	g := c.group
	out := InferredCaller{
		ID: c.id, Kind: c.credential.Kind, Credential: c.credential.ID, Exact: c.exact, Calls: g.calls, Window: Window{g.first, g.last},
		Scopes: []string{}, Unexplained: []Unexplained{}, Evidence: []ScopeEvidence{}, Beyond: []BeyondGrant{}, Narrower: []string{}, UserAgents: []string{}, Sources: []string{}, Operations: []OperationUse{},
		NotSeen: f.coverage[c.credential].missing(f.window()),
	}
	scopes := c.scopes()
	opened := v.opened(scopes)
	for _, s := range scopes {
		out.Scopes = append(out.Scopes, v.names[s])
	}
	slices.Sort(out.Scopes)
	var explained int64
	for n, calls := range g.ops {
		if n < 0 {
			continue
		}
		op := f.table.operations[n]
		out.Operations = append(out.Operations, OperationUse{op.Method, op.Template, calls})
		explained += calls
		delete(opened, n)
	}
	out.OpensUnused = len(opened)
	if g.calls > 0 {
		out.Explained = float64(explained) / float64(g.calls)
	}
	slices.SortFunc(out.Operations, func(a, b OperationUse) int {
		return cmp.Or(cmp.Compare(b.Calls, a.Calls), cmp.Compare(a.Template, b.Template), cmp.Compare(a.Method, b.Method))
	})
	if g.ops[-1] > 0 { // the paths are of the credential: whose of its callers they are is not kept
		for op, calls := range f.unknown[c.credential] {
			out.Unexplained = append(out.Unexplained, Unexplained{op.method, op.template, calls, "no operation or route is known for it"})
		}
		slices.SortFunc(out.Unexplained, func(a, b Unexplained) int {
			return cmp.Or(cmp.Compare(b.Calls, a.Calls), cmp.Compare(a.Path, b.Path), cmp.Compare(a.Method, b.Method))
		})
		out.Unexplained = out.Unexplained[:min(len(out.Unexplained), maxListed)]
	}
	for _, s := range c.narrow {
		out.Narrower = append(out.Narrower, v.names[s])
	}
	out.Evidence = c.evidence(v)
	granted := v.opened(c.least)
	for _, b := range c.beyond {
		out.Beyond = append(out.Beyond, BeyondGrant{v.names[b.scope], b.why, v.more(granted, append(slices.Clone(c.least), b.scope))})
	}
	agents, sources := map[string]bool{}, map[string]bool{}
	for _, cell := range g.cells {
		if cell.agent != "" {
			agents[cell.agent] = true
		}
		if cell.source.IsValid() {
			sources[cell.source.String()] = true
		}
	}
	out.UserAgents = append(out.UserAgents, slices.Sorted(maps.Keys(agents))...)
	out.Sources = append(out.Sources, slices.Sorted(maps.Keys(sources))...)
	return out
}

// evidence says for every scope of the cover which calls needed it.
func (c *inferring) evidence(v *vocabulary) []ScopeEvidence {
	out := []ScopeEvidence{}
	have := make([]bool, len(v.names))
	for _, s := range c.least {
		have[s] = true
	}
	for _, s := range c.least {
		e := ScopeEvidence{Scope: v.names[s], Class: ClassOf(v.names[s]), Opens: len(v.opens[s])}
		for n, calls := range c.group.ops {
			if n < 0 {
				continue
			}
			serves := slices.ContainsFunc(v.anyOf[n], func(alternative []int) bool {
				return slices.Contains(alternative, s) && !slices.ContainsFunc(alternative, func(other int) bool { return !have[other] })
			})
			if serves {
				e.Calls += calls
				e.Operations++
			}
		}
		out = append(out, e)
	}
	return out
}

// Inferrer infers scopes from calls that are given to it one by one.
type Inferrer struct{ fold *inferFold }

// NewInferrer makes an Inferrer for the operations of a design.
func NewInferrer(d Design, o InferOptions) *Inferrer {
	return &Inferrer{newInferFold(newOperationTable(d), o)}
}

// Add takes a call.
func (i *Inferrer) Add(o traffic.Observation) { i.fold.add(callOf(o)) }

// Result infers from what was added.
func (i *Inferrer) Result() Inference { return i.fold.result() }
