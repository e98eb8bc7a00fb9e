package migration

import (
	"cmp"
	"fmt"
	"slices"
)

// What may be proposed beyond what was observed. A month does not show all that
// a program does, and a call that is refused is worse than a scope that only
// reads what its holder changes anyway.
const (
	beyondShare   = 0.09 // of all operations that the covers open, narrower scopes included
	likelyShare   = 0.5  // of the callers with the same scope have it too
	likelySupport = 3    // such callers
)

// candidate is a scope that a caller may come to need.
type candidate struct {
	caller *inferring
	scope  int
	likely float64
	more   int
	why    string
}

// generalise proposes scopes that were not needed yet: those that read what the
// caller changes, and those that most callers with the same scopes have. The
// likeliest for what they open come first, within a budget. Nothing that
// changes something is proposed unless most of the callers alike do it.
func generalise(v *vocabulary, callers []*inferring) {
	with := make([][]*inferring, len(v.names)) // callers that have a scope
	opened, spent := 0, 0
	for _, c := range callers {
		for _, s := range c.least {
			with[s] = append(with[s], c)
		}
		least := v.opened(c.least)
		opened += len(least)
		spent += v.more(least, c.scopes())
	}
	var all []candidate
	for _, c := range callers {
		all = append(all, c.candidates(v, with)...)
	}
	slices.SortFunc(all, func(a, b candidate) int {
		return cmp.Or(cmp.Compare(b.likely/float64(b.more), a.likely/float64(a.more)), cmp.Compare(a.caller.id, b.caller.id), cmp.Compare(a.scope, b.scope))
	})
	left := int(beyondShare*float64(opened)) - spent
	for _, x := range all {
		if x.more > left {
			continue
		}
		left -= x.more
		x.caller.beyond = append(x.caller.beyond, beyond{x.scope, x.why})
	}
}

func (c *inferring) candidates(v *vocabulary, with [][]*inferring) (out []candidate) {
	before := v.opened(c.scopes())
	best := map[int]candidate{}
	propose := func(s int, likely float64, why string) {
		if slices.Contains(c.scopes(), s) || best[s].likely >= likely {
			return
		}
		if more := v.more(before, append(c.scopes(), s)); more > 0 {
			best[s] = candidate{c, s, likely, more, why}
		}
	}
	for _, t := range c.least {
		if v.class[t] != ClassRead {
			for _, s := range v.family[v.resource[t]] {
				switch {
				case v.class[s] == ClassRead:
					propose(s, 0.5, "it has "+v.names[t]+", and who changes a thing reads it")
				case v.class[s] == ClassWrite && v.action[s] <= v.action[t]:
					propose(s, 0.25, "it has "+v.names[t]+", which changes the same things no less")
				}
			}
		}
		if len(with[t]) <= likelySupport {
			continue
		}
		together := map[int]int{}
		for _, other := range with[t] {
			if other != c {
				for _, s := range other.least {
					together[s]++
				}
			}
		}
		for s, n := range together {
			if share := float64(n) / float64(len(with[t])-1); n >= likelySupport && share >= likelyShare {
				propose(s, share, fmt.Sprintf("%d of %d other callers with %s have it", n, len(with[t])-1, v.names[t]))
			}
		}
	}
	for _, x := range best {
		out = append(out, x)
	}
	return out
}
