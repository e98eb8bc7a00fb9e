package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/offkey/offkey/internal/migration"
)

// declaredDesign is the vendor's own vocabulary, as its document declares it.
func declaredDesign(v vocabulary) migration.Design {
	var in []migration.APIOperation
	for _, op := range v.operations {
		in = append(in, migration.APIOperation{Method: op.method, Template: op.template, Declared: op.anyOf, Open: len(op.anyOf) == 0})
	}
	return migration.DesignScopes(in, migration.ActionsAuto)
}

// opens counts the operations that a set of scopes opens.
func (v vocabulary) opens(scopes map[string]bool) int {
	n := 0
	for _, op := range v.operations {
		if len(op.anyOf) > 0 && op.openedBy(scopes) {
			n++
		}
	}
	return n
}

func (op operation) openedBy(scopes map[string]bool) bool {
	return len(op.anyOf) == 0 || op.servedBy(scopes, nil)
}

// servedBy reports whether one of the alternatives, those that are allowed, is
// granted in full.
func (op operation) servedBy(scopes map[string]bool, allowed []string) bool {
	return slices.ContainsFunc(op.anyOf, func(alternative []string) bool {
		if allowed != nil && !slices.Contains(allowed, strings.Join(alternative, "+")) {
			return false
		}
		return !slices.ContainsFunc(alternative, func(s string) bool { return !scopes[s] })
	})
}

// simpleCover is the baseline: for every operation the alternative whose scopes
// open the fewest operations.
func simpleCover(ops []operation, fewest map[string]int) map[string]bool {
	scopes := map[string]bool{}
	for _, op := range ops {
		if len(op.anyOf) == 0 {
			continue
		}
		best := slices.MinFunc(op.anyOf, func(a, b []string) int { return sumOf(a, fewest) - sumOf(b, fewest) })
		for _, s := range best {
			scopes[s] = true
		}
	}
	return scopes
}

func sumOf(scopes []string, n map[string]int) (sum int) {
	for _, s := range scopes {
		sum += n[s]
	}
	return sum
}

func (v vocabulary) opensEach() map[string]int {
	n := map[string]int{}
	for _, op := range v.operations {
		for _, alternative := range op.anyOf {
			for _, s := range alternative {
				n[s]++
			}
		}
	}
	return n
}

type inferScore struct {
	choices, least         int     // operations with a choice, and those that a least scope serves
	refused, requests      float64 // next month
	refusedPairs, pairs    int
	opened, optimum        int
	callers, exact, beyond int
}

func (s *inferScore) refusedRequests() float64 { return 100 * s.refused / max(s.requests, 1) }
func (s *inferScore) refusedOf() float64       { return 100 * ratio(s.refusedPairs, s.pairs) }
func (s *inferScore) more() float64 {
	return 100 * (float64(s.opened)/float64(max(s.optimum, 1)) - 1)
}

// nextMonth is what a caller does later: what it did, and now and then
// something new of the same area, as programs grow.
func (w *world) nextMonth(jobs []job) []job {
	areas := map[string][]int{}
	for i, op := range w.ops {
		areas[areaOf(op.template)] = append(areas[areaOf(op.template)], i)
	}
	out := make([]job, len(jobs))
	for i, j := range jobs {
		out[i] = j
		out[i].ops, out[i].weight = slices.Clone(j.ops), slices.Clone(j.weight)
		if w.r.IntN(100) < 12 {
			area := areas[areaOf(w.ops[j.ops[w.r.IntN(len(j.ops))]].template)]
			op := area[w.r.IntN(len(area))]
			if !slices.Contains(out[i].ops, op) {
				out[i].ops = append(out[i].ops, op)
				out[i].weight = append(out[i].weight, pow10(w.r.Float64()*2.5))
			}
		}
	}
	return out
}

func measureInfer(out io.Writer, v vocabulary, seeds int, verbose bool) {
	var base, product, strict inferScore
	design := declaredDesign(v)
	fewest := v.opensEach()
	for seed := range uint64(seeds) {
		w := newWorld(v.operations, seed+100)
		jobs := w.jobs(120)
		from := time.Date(2026, 9, 1, 0, 0, 0, 0, time.UTC)
		month := 30 * 24 * time.Hour
		calls := w.spread(jobs, 60_000, from, month)
		later := w.spread(w.nextMonth(jobs), 60_000, from.Add(month), month)
		byOp := map[string]operation{}
		for _, op := range v.operations {
			byOp[op.method+" "+op.template] = op
		}
		inferrer, plain := migration.NewInferrer(design, migration.InferOptions{}), migration.NewInferrer(design, migration.InferOptions{Strict: true})
		for _, c := range calls {
			inferrer.Add(c)
			plain.Add(c)
		}
		for i, r := range []migration.Inference{plain.Result(), inferrer.Result()} {
			score := []*inferScore{&strict, &product}[i]
			granted := map[string]map[string]bool{}
			simple := map[string]map[string]bool{}
			least := map[string]map[string]bool{}
			for _, c := range r.Callers {
				score.callers++
				if c.Exact {
					score.exact++
				}
				score.beyond += len(c.Beyond)
				scopes := setOf(c.Scopes)
				if granted[c.Credential] == nil {
					granted[c.Credential], least[c.Credential] = map[string]bool{}, map[string]bool{}
				}
				for s := range scopes {
					granted[c.Credential][s], least[c.Credential][s] = true, true
				}
				for _, n := range c.Narrower {
					delete(least[c.Credential], n)
				}
				for _, b := range c.Beyond {
					delete(least[c.Credential], b.Scope)
				}
				var ops []operation
				for _, u := range c.Operations {
					op := byOp[u.Method+" "+u.Template]
					ops = append(ops, op)
				}
				s := simpleCover(ops, fewest)
				if simple[c.Credential] == nil {
					simple[c.Credential] = map[string]bool{}
				}
				for x := range s {
					simple[c.Credential][x] = true
				}
				for _, op := range ops {
					if len(op.anyOf) < 2 || len(op.least) == 0 {
						continue
					}
					score.choices++
					if op.servedBy(scopes, op.least) {
						score.least++
					} else if i == 0 && seed == 0 && verbose {
						fmt.Fprintln(out, "  least", c.ID, op.method, op.template, op.least, "got", served(op, scopes))
					}
					if i == 0 {
						base.choices++
						if op.servedBy(s, op.least) {
							base.least++
						}
					}
				}
			}
			for id := range granted {
				best := v.opens(least[id])
				score.optimum += best
				score.opened += v.opens(granted[id])
				if i == 0 {
					base.optimum += best
					base.opened += v.opens(simple[id])
				}
			}
			type pair struct {
				id string
				op int
			}
			seen := map[pair]bool{}
			for k, c := range later {
				op := w.ops[w.lastOps[k]]
				if c.Status >= 300 || granted[c.Credential.ID] == nil {
					continue // a caller that was not seen is asked, not inferred
				}
				for at, s := range []*inferScore{score, &base} {
					if at == 1 && i == 1 {
						continue
					}
					have := granted[c.Credential.ID]
					if at == 1 {
						have = simple[c.Credential.ID]
					}
					refused := !op.openedBy(have)
					s.requests++
					if refused {
						s.refused++
					}
					p := pair{c.Credential.ID, w.lastOps[k]*2 + at}
					if !seen[p] {
						seen[p] = true
						s.pairs++
						if refused {
							s.refusedPairs++
						}
					}
				}
			}
		}
	}
	if base.choices > 0 {
		line(out, "infer: choices served by a least scope", ratio(base.least, base.choices), ratio(product.least, product.choices), fmt.Sprintf("of %d, strict %.3f", base.choices, ratio(strict.least, strict.choices)))
	}
	line(out, "infer: proved to be the least cover", 0, ratio(product.exact, product.callers), fmt.Sprintf("of %d callers", product.callers))
	line(out, "infer: next month's requests refused, %", base.refusedRequests(), product.refusedRequests(), fmt.Sprintf("strict %.3f", strict.refusedRequests()))
	line(out, "infer: next month's caller-operation pairs refused, %", base.refusedOf(), product.refusedOf(), fmt.Sprintf("strict %.3f", strict.refusedOf()))
	line(out, "infer: operations opened beyond the cover, %", base.more(), product.more(), fmt.Sprintf("strict %.3f, %d scopes beyond", strict.more(), product.beyond))
}

func setOf(names []string) map[string]bool {
	set := map[string]bool{}
	for _, n := range names {
		set[n] = true
	}
	return set
}

func served(op operation, scopes map[string]bool) (got []string) {
	for _, a := range op.anyOf {
		if op.servedBy(scopes, []string{strings.Join(a, "+")}) {
			got = append(got, strings.Join(a, "+"))
		}
	}
	return got
}
