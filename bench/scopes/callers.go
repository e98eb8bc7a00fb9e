package main

import (
	"fmt"
	"io"
	"net/netip"
	"slices"
	"time"

	"github.com/offkey/offkey/internal/migration"
	"github.com/offkey/offkey/internal/traffic"
)

// life is one caller behind an apikey over a month: its program is upgraded and
// its addresses move.
type life struct {
	job     job
	program string
	version [3]int
	sources []netip.Prefix
}

var programs = []string{"python-requests", "axios", "Go-http-client", "okhttp", "acme-sync", "billing", "curl", "Java-http-client", "orders-worker", "node-fetch"}

// measureCallers tells apart the callers behind apikeys, half of which are
// shared by two to four, of the same customer: a part of what they call is the
// same, and one in four runs a program that another runs too.
// With same all of them run one program, and more of what they call is the same.
func measureCallers(out io.Writer, v vocabulary, seeds int, same bool) {
	var base, product callerScore
	for seed := range uint64(seeds) {
		w := newWorld(v.operations, seed+500)
		var calls []traffic.Observation
		var truth []string
		count := map[string]int{}
		from := time.Date(2026, 9, 1, 0, 0, 0, 0, time.UTC)
		for k := range 30 {
			id := fmt.Sprintf("ak_%02d", k)
			n := 1
			if k%2 == 0 {
				n = 2 + w.r.IntN(3)
			}
			count[id] = n
			used := map[string]bool{}
			common := w.jobs(1)[0]
			for c := range n {
				l := life{job: w.sharing(w.jobs(1)[0], common, same), program: pick(w.r, programs...), version: [3]int{1 + w.r.IntN(3), w.r.IntN(20), w.r.IntN(9)}}
				for used[l.program] && w.r.IntN(4) > 0 && !same {
					l.program = pick(w.r, programs...)
				}
				if same {
					l.program = programs[0]
				}
				used[l.program] = true
				for _, o := range w.live(l, from, 20+w.r.IntN(400)) {
					o.Credential.ID = id
					calls, truth = append(calls, o), append(truth, fmt.Sprint(id, "/", c))
				}
			}
		}
		inferrer := migration.NewInferrer(declaredDesign(v), migration.InferOptions{Strict: true})
		for _, c := range calls {
			inferrer.Add(c)
		}
		callers := inferrer.Result().Callers
		var found, simple []string
		simpleCount, foundCount := map[string]map[string]bool{}, map[string]int{}
		for _, c := range callers {
			foundCount[c.Credential]++
		}
		for i, c := range calls {
			name := c.Credential.ID + " " + c.UserAgent + " " + c.Source.String()
			simple = append(simple, name)
			if simpleCount[c.Credential.ID] == nil {
				simpleCount[c.Credential.ID] = map[string]bool{}
			}
			simpleCount[c.Credential.ID][name] = true
			found = append(found, w.ownerOf(callers, c, i))
		}
		base.v += vMeasure(truth, simple) / float64(seeds)
		product.v += vMeasure(truth, found) / float64(seeds)
		for id, n := range count {
			base.add(n, len(simpleCount[id]))
			product.add(n, foundCount[id])
		}
	}
	kind := "callers"
	if same {
		kind = "callers with one program"
	}
	line(out, kind+" behind apikeys, V-measure", base.v, product.v, "")
	line(out, kind+": right number for shared apikeys", ratio(base.right[1], base.all[1]), ratio(product.right[1], product.all[1]), fmt.Sprintf("of %d", base.all[1]))
	line(out, kind+": right number for unshared apikeys", ratio(base.right[0], base.all[0]), ratio(product.right[0], product.all[0]), fmt.Sprintf("of %d", base.all[0]))
}

// sharing is a job with some of the operations of another, done as often as
// its own.
func (w *world) sharing(j, common job, much bool) job {
	share := 2
	if much {
		share = 3
	}
	for i, op := range common.ops {
		if w.r.IntN(5) < share && !slices.Contains(j.ops, op) {
			j.ops, j.weight = append(j.ops, op), append(j.weight, common.weight[i])
		}
	}
	return j
}

type callerScore struct {
	v          float64
	right, all [2]int
}

func (s *callerScore) add(truth, found int) {
	shared := 0
	if truth > 1 {
		shared = 1
	}
	s.all[shared]++
	if truth == found {
		s.right[shared]++
	}
}

// ownerOf finds the caller that a call is of, by what the answer says: agent,
// network and, where two have both, the operation.
func (w *world) ownerOf(callers []migration.InferredCaller, o traffic.Observation, i int) string {
	best := ""
	for _, c := range callers {
		if c.Credential != o.Credential.ID || !slices.Contains(c.UserAgents, o.UserAgent) || !slices.Contains(c.Sources, o.Source.String()) {
			continue
		}
		if best == "" {
			best = c.ID
		}
		op := w.ops[w.opOf[i]]
		if slices.ContainsFunc(c.Operations, func(u migration.OperationUse) bool { return u.Method == op.method && u.Template == op.template }) {
			return c.ID
		}
	}
	if best == "" {
		return "none " + o.Credential.ID
	}
	return best
}

// live makes the calls of a caller over 30 days.
func (w *world) live(l life, from time.Time, n int) []traffic.Observation {
	networks := 1 + w.r.IntN(2)
	for range networks {
		l.sources = append(l.sources, w.network())
	}
	calls := w.spread([]job{l.job}, n, from, 30*24*time.Hour)
	upgrade, move := n/(1+w.r.IntN(4))+1, n/(1+w.r.IntN(3))+1
	for i := range calls {
		if i > 0 && i%upgrade == 0 {
			l.version[1]++
		}
		if i > 0 && i%move == 0 {
			l.sources[w.r.IntN(len(l.sources))] = w.network()
		}
		calls[i].UserAgent = fmt.Sprintf("%s/%d.%d.%d", l.program, l.version[0], l.version[1], l.version[2])
		calls[i].Source = l.sources[w.r.IntN(len(l.sources))]
		calls[i].Status = 200
		w.opOf = append(w.opOf, w.lastOps[i])
	}
	return calls
}
