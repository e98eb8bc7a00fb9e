package migration

import (
	"cmp"
	"slices"
	"strings"

	"github.com/offkey/offkey/internal/policy"
	"github.com/offkey/offkey/internal/traffic"
)

// operationTable finds the operation that a call was for, among those of a
// document, a file of routes, or recovered templates.
type operationTable struct {
	operations []tableOperation
	root       *tableNode
	rules      *policy.Ruleset // tried first; nil if there are none
	ruled      map[string]int  // operations made of rules, by match
}

// tableOperation is an operation and what opens it: any of the alternatives,
// nothing if there are none.
type tableOperation struct {
	Method   string
	Template string
	AnyOf    [][]string
	Open     bool
}

type tableNode struct {
	literal  map[string]*tableNode
	partial  []partialNode // segments that hold a parameter and more
	wildcard *tableNode
	ends     map[string]int // by method
}

type partialNode struct {
	pattern string
	*tableNode
}

// newOperationTable indexes the operations of a design.
func newOperationTable(d Design) *operationTable {
	t := &operationTable{root: &tableNode{}, ruled: map[string]int{}}
	for _, op := range d.Operations {
		t.add(tableOperation{op.Method, op.Template, op.AnyOf, len(op.AnyOf) == 0})
	}
	return t
}

func (t *operationTable) add(op tableOperation) int {
	at := t.root
	for s := range strings.SplitSeq(strings.Trim(op.Template, "/"), "/") {
		if s != "" {
			at = at.child(s)
		}
	}
	if at.ends == nil {
		at.ends = map[string]int{}
	}
	if n, twice := at.ends[op.Method]; twice { // they differ in the names of parameters
		t.operations[n].AnyOf = append(t.operations[n].AnyOf, op.AnyOf...)
		return n
	}
	at.ends[op.Method] = len(t.operations)
	t.operations = append(t.operations, op)
	return len(t.operations) - 1
}

func (n *tableNode) child(segment string) *tableNode {
	switch {
	case strings.HasPrefix(segment, "{") && strings.IndexByte(segment, '}') == len(segment)-1 || segment == "*":
		if n.wildcard == nil {
			n.wildcard = &tableNode{}
		}
		return n.wildcard
	case strings.Contains(segment, "{"):
		pattern := parameterNames(segment)
		for _, p := range n.partial {
			if p.pattern == pattern {
				return p.tableNode
			}
		}
		p := partialNode{pattern, &tableNode{}}
		n.partial = append(n.partial, p)
		// the one with most letters of its own is the closest
		slices.SortStableFunc(n.partial, func(a, b partialNode) int { return cmp.Compare(len(b.pattern), len(a.pattern)) })
		return p.tableNode
	}
	if n.literal == nil {
		n.literal = map[string]*tableNode{}
	}
	if n.literal[segment] == nil {
		n.literal[segment] = &tableNode{}
	}
	return n.literal[segment]
}

// parameterNames leaves out the names of parameters: {id}.json is {}.json.
func parameterNames(segment string) string {
	var b strings.Builder
	for {
		before, rest, found := strings.Cut(segment, "{")
		b.WriteString(before)
		if !found {
			return b.String()
		}
		b.WriteString("{}")
		if _, segment, found = strings.Cut(rest, "}"); !found {
			return b.String()
		}
	}
}

// maxPartial bounds a segment in which parameters are looked for, in bytes.
const maxPartial = 300

// matchesPartial reports whether a segment has the form of a pattern, with at
// least one character for every parameter.
func matchesPartial(pattern, segment string) bool {
	if len(segment) > maxPartial {
		return false
	}
	before, rest, found := strings.Cut(pattern, "{}")
	if !found {
		return pattern == segment
	}
	after, ok := strings.CutPrefix(segment, before)
	if !ok || after == "" {
		return false
	}
	for i := 1; i <= len(after); i++ {
		if matchesPartial(rest, after[i:]) {
			return true
		}
	}
	return false
}

// find is the number of the operation that a call is for; ok is false if it is
// for none.
func (t *operationTable) find(method, path string) (n int, ok bool) {
	if t.rules != nil {
		if n, ok = t.byRule(method, path); ok {
			return n, ok
		}
	}
	n = t.root.find(method, strings.Trim(path, "/"))
	if n < 0 && method == "HEAD" {
		n = t.root.find("GET", strings.Trim(path, "/"))
	}
	return n, n >= 0
}

func (n *tableNode) find(method, rest string) int {
	if rest == "" {
		if op, ok := n.ends[method]; ok {
			return op
		}
		return -1
	}
	segment, rest, _ := strings.Cut(rest, "/")
	if next := n.literal[segment]; next != nil {
		if op := next.find(method, rest); op >= 0 {
			return op
		}
	}
	for _, p := range n.partial {
		if matchesPartial(p.pattern, segment) {
			if op := p.find(method, rest); op >= 0 {
				return op
			}
		}
	}
	if n.wildcard != nil && segment != "" {
		return n.wildcard.find(method, rest)
	}
	return -1
}

// byRule finds the rule that a call is for. Each rule is one operation for each
// method that it was called with.
func (t *operationTable) byRule(method, path string) (int, bool) {
	route := t.rules.Match(method, path)
	if strings.Contains(path, "{id}") { // a recorded template: it may leave open which rule it was
		candidates := t.rules.Candidates(method, path, traffic.IsIdentifier)
		if route = candidates[0]; len(candidates) > 1 {
			return 0, false
		}
	}
	if route == nil {
		return 0, false
	}
	name := cmp.Or(route.Method, method) + " " + route.Template
	n, known := t.ruled[name]
	if !known {
		op := tableOperation{Method: cmp.Or(route.Method, method), Template: route.Template, Open: route.Open || len(route.Scopes) == 0}
		if len(route.Scopes) > 0 && !route.Open {
			op.AnyOf = [][]string{route.Scopes}
		}
		n = len(t.operations)
		t.operations = append(t.operations, op)
		t.ruled[name] = n
	}
	return n, true
}
