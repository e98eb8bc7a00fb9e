package migration

import (
	"cmp"
	"slices"
)

// coverLimit bounds the steps of one search. Callers need far fewer; one that
// needs more gets the best that was found, and is told that it is not proved.
const coverLimit = 10_000

// leastCover chooses scopes of the least weight that open every operation: for
// each, all scopes of one of its alternatives. It is exact, by branch and
// bound, unless it says otherwise. Alternatives are sets of indexes into weight.
func leastCover(operations [][][]int, weight []float64) (chosen []int, exact bool) {
	c := &cover{weight: weight, left: coverLimit}
	have := make([]bool, len(weight))
	rest := c.reduce(operations, have)
	exact = true
	for _, part := range components(rest) {
		best, proved := c.search(part, have)
		exact = exact && proved
		for _, s := range best {
			have[s] = true
		}
	}
	for s, in := range have {
		if in {
			chosen = append(chosen, s)
		}
	}
	return chosen, exact
}

type cover struct {
	weight []float64
	left   int
}

// reduce takes what must be taken, and leaves the operations with a choice, each
// choice once. have is what is taken already, and becomes more.
func (c *cover) reduce(operations [][][]int, have []bool) [][][]int {
	for {
		var rest [][][]int
		forced := false
		for _, op := range operations {
			choices := remaining(op, have)
			switch {
			case choices == nil: // open already, or with nothing that opens it
			case len(choices) == 1:
				for _, s := range choices[0] {
					have[s] = true
				}
				forced = true
			default:
				rest = append(rest, choices)
			}
		}
		if operations = rest; !forced {
			return withoutImplied(rest)
		}
	}
}

// remaining are the alternatives of an operation without what is taken: nil if
// it is open. An alternative that holds another is none.
func remaining(op [][]int, have []bool) [][]int {
	var out [][]int
	for _, alternative := range op {
		var need []int
		for _, s := range alternative {
			if !have[s] {
				need = append(need, s)
			}
		}
		if len(need) == 0 {
			return nil
		}
		slices.Sort(need)
		out = append(out, slices.Compact(need))
	}
	slices.SortFunc(out, func(a, b []int) int { return cmp.Or(cmp.Compare(len(a), len(b)), slices.Compare(a, b)) })
	var minimal [][]int
	for _, a := range out {
		if !slices.ContainsFunc(minimal, func(m []int) bool { return subset(m, a) }) {
			minimal = append(minimal, a)
		}
	}
	return minimal
}

// subset reports whether all of a, sorted, are in b, sorted.
func subset(a, b []int) bool {
	for _, s := range a {
		if _, in := slices.BinarySearch(b, s); !in {
			return false
		}
	}
	return true
}

// withoutImplied drops operations that are open whenever another is: all
// alternatives of the other hold one of theirs.
func withoutImplied(operations [][][]int) [][][]int {
	slices.SortFunc(operations, func(a, b [][]int) int {
		return cmp.Or(cmp.Compare(len(a), len(b)), slices.CompareFunc(a, b, slices.Compare))
	})
	var out [][][]int
	for _, op := range operations {
		implied := slices.ContainsFunc(out, func(other [][]int) bool {
			for _, alternative := range other {
				if !slices.ContainsFunc(op, func(mine []int) bool { return subset(mine, alternative) }) {
					return false
				}
			}
			return true
		})
		if !implied {
			out = append(out, op)
		}
	}
	return out
}

// components splits operations into parts that share no scope, each of which
// can be solved by itself.
func components(operations [][][]int) [][][][]int {
	owner := map[int]int{} // of a scope, the part
	parts := map[int][][][]int{}
	next := 0
	for _, op := range operations {
		into := next
		next++
		parts[into] = [][][]int{op}
		for _, alternative := range op {
			for _, s := range alternative {
				other, seen := owner[s]
				if seen && other != into {
					for _, moved := range parts[other] {
						for _, a := range moved {
							for _, t := range a {
								owner[t] = into
							}
						}
					}
					parts[into] = append(parts[into], parts[other]...)
					delete(parts, other)
				}
				owner[s] = into
			}
		}
	}
	var out [][][][]int
	for i := range next {
		if p, ok := parts[i]; ok {
			out = append(out, p)
		}
	}
	return out
}

// search finds the least weight for one part by trying the alternatives of an
// operation in turn, and leaving off where the weight so far and a bound for
// the rest are no better than what was found.
func (c *cover) search(part [][][]int, have []bool) (best []int, exact bool) {
	taken := slices.Clone(have)
	best = c.greedy(part, taken)
	least := c.sum(best)
	var path []int
	var try func(operations [][][]int, spent float64) bool
	try = func(operations [][][]int, spent float64) bool {
		if c.left--; c.left < 0 {
			return false
		}
		var open [][][]int
		for _, op := range operations {
			if choices := remaining(op, taken); choices != nil {
				open = append(open, choices)
			}
		}
		if len(open) == 0 {
			if spent < least-1e-9 {
				least, best = spent, slices.Clone(path)
			}
			return true
		}
		if spent+c.bound(open) >= least-1e-9 {
			return true
		}
		op := slices.MinFunc(open, func(a, b [][]int) int { return cmp.Compare(len(a), len(b)) })
		slices.SortStableFunc(op, func(a, b []int) int { return cmp.Compare(c.sum(a), c.sum(b)) })
		for _, alternative := range op {
			before := len(path)
			for _, s := range alternative {
				taken[s] = true
				path = append(path, s)
			}
			complete := try(open, spent+c.sum(alternative))
			for _, s := range path[before:] {
				taken[s] = false
			}
			if path = path[:before]; !complete {
				return false
			}
		}
		return true
	}
	copy(taken, have)
	exact = try(part, 0)
	return best, exact
}

// bound is less than or equal to what the operations will cost: those that
// share no scope have to be paid for one by one, each by its cheapest
// alternative.
func (c *cover) bound(open [][][]int) float64 {
	used := map[int]bool{}
	cheapest := make([]float64, len(open))
	order := make([]int, len(open))
	for i, op := range open {
		order[i], cheapest[i] = i, c.sum(op[0])
		for _, alternative := range op[1:] {
			cheapest[i] = min(cheapest[i], c.sum(alternative))
		}
	}
	slices.SortFunc(order, func(a, b int) int {
		return cmp.Or(cmp.Compare(len(open[a]), len(open[b])), cmp.Compare(cheapest[b], cheapest[a]))
	})
	sum := 0.0
	for _, i := range order {
		free := true
		for _, alternative := range open[i] {
			free = free && !slices.ContainsFunc(alternative, func(s int) bool { return used[s] })
		}
		if !free {
			continue
		}
		sum += cheapest[i]
		for _, alternative := range open[i] {
			for _, s := range alternative {
				used[s] = true
			}
		}
	}
	return sum
}

// greedy is a first answer: again and again the alternative that opens most for
// its weight, and in the end without what turns out to be needless.
func (c *cover) greedy(part [][][]int, taken []bool) []int {
	var path []int
	open := part
	for {
		var rest [][][]int
		for _, op := range open {
			if choices := remaining(op, taken); choices != nil {
				rest = append(rest, choices)
			}
		}
		if open = rest; len(open) == 0 {
			break
		}
		opens := map[int]int{}
		for _, op := range open {
			for _, alternative := range op {
				if len(alternative) == 1 {
					opens[alternative[0]]++
				}
			}
		}
		var pick []int
		worth := -1.0
		for _, op := range open {
			for _, alternative := range op {
				n := 1
				if len(alternative) == 1 {
					n = opens[alternative[0]]
				}
				if w := float64(n) / max(c.sum(alternative), 1e-9); w > worth {
					worth, pick = w, alternative
				}
			}
		}
		for _, s := range pick {
			taken[s] = true
			path = append(path, s)
		}
	}
	return c.withoutNeedless(part, path, taken)
}

// withoutNeedless leaves out, heaviest first, what nothing needs.
func (c *cover) withoutNeedless(part [][][]int, path []int, taken []bool) []int {
	slices.SortFunc(path, func(a, b int) int { return cmp.Or(cmp.Compare(c.weight[b], c.weight[a]), cmp.Compare(a, b)) })
	return slices.DeleteFunc(path, func(s int) bool {
		taken[s] = false
		for _, op := range part {
			if remaining(op, taken) != nil {
				taken[s] = true
				return false
			}
		}
		return true
	})
}

func (c *cover) sum(scopes []int) (w float64) {
	for _, s := range scopes {
		w += c.weight[s]
	}
	return w
}
