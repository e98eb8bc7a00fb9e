package policy

import "strings"

// node is one segment deep in the tree that all routes are found in. A route
// that is tried earlier has the smaller order, and the smallest order of those
// that match wins, as if every route had been tried in turn.
type node struct {
	literal  map[string]*node
	wildcard *node
	ends     []ordered // patterns that end here
	tails    []ordered // patterns that go on with **
	first    int       // smallest order here and below
}

type ordered struct {
	order int
	*Route
}

// plant adds the route that is tried as number order; numbers only grow.
func (n *node) plant(order int, r *Route) {
	at := n
	for _, s := range r.segments {
		if s == "**" {
			at.tails = append(at.tails, ordered{order, r})
			return
		}
		at = at.child(s, order)
	}
	at.ends = append(at.ends, ordered{order, r})
}

func (n *node) child(segment string, order int) *node {
	if isWildcard(segment) {
		if n.wildcard == nil {
			n.wildcard = &node{first: order}
		}
		return n.wildcard
	}
	if n.literal == nil {
		n.literal = map[string]*node{}
	}
	c := n.literal[segment]
	if c == nil {
		c = &node{first: order}
		n.literal[segment] = c
	}
	return c
}

// find is the better of best and the first route for the method and the rest of
// the path below n; more is false at the end of the path.
func (n *node) find(method, rest string, more bool, best ordered) ordered {
	if n == nil || best.Route != nil && best.order < n.first {
		return best
	}
	best = pick(n.tails, method, best)
	if !more {
		return pick(n.ends, method, best)
	}
	segment, rest, more := strings.Cut(rest, "/")
	best = n.literal[segment].find(method, rest, more, best)
	if segment != "" {
		best = n.wildcard.find(method, rest, more, best)
	}
	return best
}

func pick(routes []ordered, method string, best ordered) ordered {
	for _, r := range routes {
		if best.Route != nil && best.order < r.order {
			break
		}
		if r.takesMethod(method) {
			return r
		}
	}
	return best
}
