package main

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/offkey/offkey/internal/traffic"
)

// The kinds of value that a parameter is filled with. None of them is told to
// the product, and the lists of words are the generator's own.
var kinds = []struct {
	name   string
	weight int // in usual traffic
	hard   int // where half of the identifiers are words
	draw   func(r *rand.Rand) string
}{
	{"number", 42, 24, func(r *rand.Rand) string { return fmt.Sprint(1 + r.IntN(99_999)) }},
	{"uuid", 24, 18, func(r *rand.Rand) string {
		b := bytesOf(r, 16)
		return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
	}},
	{"prefixed", 4, 10, func(r *rand.Rand) string { return pick(r, "ord", "cus", "usr", "app") + "_" + base36(r, 14) }},
	{"hex", 12, 8, func(r *rand.Rand) string { return hex.EncodeToString(bytesOf(r, 8)) }},
	{"slug", 4, 14, func(r *rand.Rand) string { return pick(r, adjectives...) + "-" + pick(r, things...) }},
	{"name", 3, 8, func(r *rand.Rand) string { return pick(r, people...) }},
	{"numbered", 2, 4, func(r *rand.Rand) string { return fmt.Sprintf("%s-%d", pick(r, things...), 1+r.IntN(40)) }},
	{"mail", 3, 5, func(r *rand.Rand) string { return pick(r, people...) + "." + pick(r, things...) + "@example.com" }},
	{"date", 4, 4, func(r *rand.Rand) string {
		return time.Date(2026, 1, 1+r.IntN(300), 0, 0, 0, 0, time.UTC).Format(time.DateOnly)
	}},
	{"base64", 2, 5, func(r *rand.Rand) string { return base64.RawURLEncoding.EncodeToString(bytesOf(r, 9)) }},
}

var (
	adjectives = strings.Fields("blue quick silent old summer great tiny bright lazy north happy spring golden inner lost calm")
	things     = strings.Fields("otter river sale launch guide market bakery invoice garden harbour rocket planet letter window mirror forest")
	people     = strings.Fields("ana ben chloe dario emil fatima greta hugo ines jonas kira luis mona nils olga pavel rosa sven tara uwe vera wim yara zoe acme globex initech umbrella hooli")
)

func pick(r *rand.Rand, from ...string) string { return from[r.IntN(len(from))] }

func bytesOf(r *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

func base36(r *rand.Rand, n int) string {
	const alphabet = "0123456789abcdefghijklmnopqrstuvwxyz"
	b := make([]byte, n)
	for i := range b {
		b[i] = alphabet[r.IntN(len(alphabet))]
	}
	return string(b)
}

// world is an API with its callers, drawn from a seed.
type world struct {
	r       *rand.Rand
	ops     []operation
	pools   map[string][]string // values of a parameter, by what stands before it
	kindOf  map[string]int      // by the template before the parameter
	shown   map[string]map[string]struct{}
	called  map[string]bool // templates with a successful call
	hard    bool
	lastOps []int // the operations of the calls that were spread last
	opOf    []int // of all calls of lives
}

func newWorld(ops []operation, seed uint64) *world {
	return &world{r: rand.New(rand.NewPCG(seed, 77)), ops: ops, pools: map[string][]string{}, kindOf: map[string]int{}, shown: map[string]map[string]struct{}{}, called: map[string]bool{}}
}

// path fills the parameters of a template. Every parameter has one kind of
// value; some have their own values below every parent, as orders of customers
// have.
func (w *world) path(template string) string {
	filled, rest := "", template
	for {
		at := parameter.FindStringIndex(rest)
		if at == nil {
			return filled + rest
		}
		filled += rest[:at[0]]
		before := shape(template[:len(template)-len(rest)+at[0]] + "{}")
		value := w.value(before, filled)
		seen := w.shown[before]
		if seen == nil {
			seen = map[string]struct{}{}
			w.shown[before] = seen
		}
		seen[value] = struct{}{}
		filled += value
		rest = rest[at[1]:]
	}
}

func (w *world) value(before, filled string) string {
	kind, ok := w.kindOf[before]
	if !ok {
		kind = w.drawKind()
		w.kindOf[before] = kind
	}
	pool := before
	if kind%2 == 0 { // values below every parent are its own
		pool = filled
	}
	values := w.pools[pool]
	if values == nil {
		for range 2 + w.r.IntN(30) {
			values = append(values, kinds[kind].draw(w.r))
		}
		w.pools[pool] = values
	}
	// some things are called for more than others
	i := min(w.r.IntN(len(values)), w.r.IntN(len(values)))
	return values[i]
}

func (w *world) drawKind() int {
	sum := 0
	for i := range kinds {
		sum += w.weight(i)
	}
	n := w.r.IntN(sum)
	for i := range kinds {
		if n -= w.weight(i); n < 0 {
			return i
		}
	}
	return 0
}

func (w *world) weight(kind int) int {
	if w.hard {
		return kinds[kind].hard
	}
	return kinds[kind].weight
}

// showed reports whether every parameter of a template showed n values.
func (w *world) showed(template string, n int) bool {
	for _, at := range parameter.FindAllStringIndex(template, -1) {
		if len(w.shown[shape(template[:at[0]]+"{}")]) < n {
			return false
		}
	}
	return true
}

// job is what one caller does: operations with how often it does each in a
// month.
type job struct {
	id     string
	ops    []int
	weight []float64
	agent  string
	source netip.Prefix
}

// jobs draws callers. A caller has a few areas of the API, and in each a few
// operations: some every minute, some once a month.
func (w *world) jobs(n int) []job {
	areas := map[string][]int{}
	for i, op := range w.ops {
		name := areaOf(op.template)
		areas[name] = append(areas[name], i)
	}
	names := make([]string, 0, len(areas))
	for name := range areas {
		names = append(names, name)
	}
	slices.Sort(names)
	out := make([]job, n)
	for i := range out {
		j := job{id: fmt.Sprintf("ak_%03d", i), agent: w.agent(), source: w.network()}
		for range 1 + w.r.IntN(3) {
			area := areas[names[w.r.IntN(len(names))]]
			if w.r.IntN(2) == 0 { // large areas have more callers
				op := w.r.IntN(len(w.ops))
				area = areas[areaOf(w.ops[op].template)]
			}
			for range min(len(area), 2+w.r.IntN(9)) {
				op := area[w.r.IntN(len(area))]
				if !slices.Contains(j.ops, op) {
					j.ops = append(j.ops, op)
					// from a call a month to thousands
					j.weight = append(j.weight, pow10(w.r.Float64()*3.6))
				}
			}
		}
		out[i] = j
	}
	return out
}

func pow10(x float64) float64 {
	n := 1.0
	for ; x >= 1; x-- {
		n *= 10
	}
	return n * (1 + 9*x)
}

// areaOf is the part of an API that an operation is of.
func areaOf(template string) string {
	literals := literalsOf(template)
	return strings.Join(literals[:min(len(literals), 2)], "/")
}

func literalsOf(template string) []string {
	var out []string
	for s := range strings.SplitSeq(strings.Trim(template, "/"), "/") {
		if s != "" && !strings.HasPrefix(s, "{") && !version.MatchString(s) && s != "api" {
			out = append(out, s)
		}
	}
	return out
}

func (w *world) agent() string {
	return fmt.Sprintf("%s/%d.%d.%d", pick(w.r, "python-requests", "axios", "Go-http-client", "okhttp", "acme-sync", "billing", "curl", "Java-http-client", "orders-worker", "node-fetch"),
		1+w.r.IntN(4), w.r.IntN(30), w.r.IntN(9))
}

func (w *world) network() netip.Prefix {
	p, _ := netip.AddrFrom4([4]byte{byte(1 + w.r.IntN(220)), byte(w.r.IntN(256)), byte(w.r.IntN(256)), 0}).Prefix(24)
	return p
}

// spread makes n calls of the jobs between from and to, in the order of time.
func (w *world) spread(jobs []job, n int, from time.Time, length time.Duration) []traffic.Observation {
	type choice struct{ job, op int }
	var choices []choice
	var sums []float64
	sum := 0.0
	for i, j := range jobs {
		for k := range j.ops {
			sum += j.weight[k]
			choices, sums = append(choices, choice{i, j.ops[k]}), append(sums, sum)
		}
	}
	out := make([]traffic.Observation, n)
	w.lastOps = make([]int, n)
	for i := range out {
		at, _ := slices.BinarySearch(sums, w.r.Float64()*sum)
		c := choices[min(at, len(choices)-1)]
		j, op := jobs[c.job], w.ops[c.op]
		w.lastOps[i] = c.op
		out[i] = traffic.Observation{
			At: from.Add(time.Duration(float64(length) * (float64(i) + w.r.Float64()) / float64(n))), Credential: traffic.Credential{Kind: traffic.KindAPIKey, ID: j.id},
			Method: op.method, Path: w.path(op.template), Status: w.status(op.method), UserAgent: j.agent, Source: j.source, Carrier: "header:X-API-Key",
		}
		if out[i].Status < 300 {
			w.called[op.template] = true
		}
	}
	return out
}

func (w *world) status(method string) int {
	if w.r.IntN(50) == 0 {
		return []int{400, 404, 409, 429, 500}[w.r.IntN(5)]
	}
	switch method {
	case "POST":
		return 201
	case "DELETE":
		return 204
	}
	return 200
}

// kindsOf are the kinds of value that the parameters of a template have.
func (w *world) kindsOf(template string) (names []string) {
	for _, at := range parameter.FindAllStringIndex(template, -1) {
		names = append(names, kinds[w.kindOf[shape(template[:at[0]]+"{}")]].name)
	}
	return names
}
