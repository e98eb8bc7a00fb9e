package migration

import (
	"slices"
	"strings"
)

// apiShape is what the templates of an API have in common, so that each can be
// named in the light of the others.
type apiShape struct {
	operations []*shapedOperation
	tops       map[string]string // first literals, by their plain form, as spelled
	size       map[string]int    // operations below a first literal
	entity     map[string]bool   // first literals that an identifier follows
	items      map[string]bool   // templates, without names, that an identifier follows
	parents    map[string]map[string]struct{}
	leads      map[string]bool // plain forms of literals that anything follows
	second     map[[2]string]int
	below      map[[2]string]map[string]struct{} // of first and third literal, the seconds between them
	tagged     bool
}

// shapedOperation is an operation taken apart.
type shapedOperation struct {
	APIOperation
	segments []string // without what is before the API's own words
	literals []string
	tag      []string // the words of its first tag
	resource string
}

// large is how many operations one resource may have before it is split by
// what is below it: a scope for more is a key to the house.
const large = 120

func newAPIShape(operations []APIOperation) *apiShape {
	a := &apiShape{
		tops: map[string]string{}, size: map[string]int{}, entity: map[string]bool{}, items: map[string]bool{},
		parents: map[string]map[string]struct{}{}, leads: map[string]bool{}, second: map[[2]string]int{}, below: map[[2]string]map[string]struct{}{},
	}
	for _, op := range operations {
		a.operations = append(a.operations, &shapedOperation{APIOperation: op, segments: segmentsOf(op.Template)})
	}
	slices.SortFunc(a.operations, byTemplate)
	a.dropServiceName()
	for _, op := range a.operations {
		a.learn(op)
	}
	return a
}

// segmentsOf are the segments of a template behind what whole APIs begin with:
// everything up to a version, api and rest.
func segmentsOf(template string) []string {
	all := strings.FieldsFunc(template, func(c rune) bool { return c == '/' })
	from := 0
	for i, s := range all {
		if i+1 == len(all) || strings.HasPrefix(s, "{") || i > 3 {
			break
		}
		if isVersion(s) || s == "api" || s == "rest" {
			from = i + 1
		}
	}
	return all[from:]
}

// dropServiceName leaves out first segments that say nothing because nearly all
// operations have them: the name of the service.
func (a *apiShape) dropServiceName() {
	for range 3 {
		first, behind, named := map[string]int{}, map[string]map[string]struct{}{}, 0
		for _, op := range a.operations {
			if len(op.segments) > 0 && !strings.HasPrefix(op.segments[0], "{") {
				first[op.segments[0]]++
				named++
				if behind[op.segments[0]] == nil {
					behind[op.segments[0]] = map[string]struct{}{}
				}
				if len(op.segments) > 1 {
					behind[op.segments[0]][op.segments[1]] = struct{}{}
				}
			}
		}
		dropped := false
		for name, n := range first {
			if n*10 < named*9 || len(behind[name]) < 3 || hasParameter(behind[name]) {
				continue
			}
			for _, op := range a.operations {
				if len(op.segments) > 1 && op.segments[0] == name {
					op.segments, dropped = op.segments[1:], true
					op.segments = withoutPreamble(op.segments)
				}
			}
		}
		if !dropped {
			return
		}
	}
}

func withoutPreamble(segments []string) []string {
	for len(segments) > 1 && !strings.HasPrefix(segments[0], "{") && (isVersion(segments[0]) || segments[0] == "api" || segments[0] == "rest") {
		segments = segments[1:]
	}
	return segments
}

func hasParameter(segments map[string]struct{}) bool {
	for s := range segments {
		if strings.HasPrefix(s, "{") {
			return true
		}
	}
	return false
}

// literal is a segment without its parameters and its verb: "orders" of
// orders:batchGet and of orders(id={id}).
func literal(segment string) string {
	segment, _, _ = strings.Cut(segment, "(")
	segment, _, _ = strings.Cut(segment, ":")
	return segment
}

func (a *apiShape) learn(op *shapedOperation) {
	form := ""
	for i, s := range op.segments {
		if strings.HasPrefix(s, "{") {
			a.items[form] = true
			form += "/{}"
			continue
		}
		form += "/" + s
		l := literal(s)
		if l == "" || strings.Contains(l, "{") {
			continue
		}
		if i+1 < len(op.segments) || strings.Contains(s, "(") {
			a.leads[plain(l)] = true
		}
		op.literals = append(op.literals, l)
	}
	if len(op.Tags) > 0 {
		op.tag, a.tagged = wordsOf(op.Tags[0]), true
	}
	if len(op.literals) == 0 {
		return
	}
	first := op.literals[0]
	a.size[plain(first)]++
	if _, known := a.tops[plain(first)]; !known {
		a.tops[plain(first)] = first
	}
	if len(op.segments) > 1 && strings.HasPrefix(op.segments[1], "{") || strings.Contains(op.segments[0], "(") {
		a.entity[plain(first)] = true
	}
	if len(op.literals) > 1 {
		second := plain(op.literals[1])
		add(a.parents, second, plain(first))
		a.second[[2]string{plain(first), second}]++
		for _, l := range op.literals[2:] {
			at := [2]string{plain(first), plain(l)}
			if a.below[at] == nil {
				a.below[at] = map[string]struct{}{}
			}
			a.below[at][second] = struct{}{}
		}
	}
}

func add(sets map[string]map[string]struct{}, name, member string) {
	if sets[name] == nil {
		sets[name] = map[string]struct{}{}
	}
	sets[name][member] = struct{}{}
}

// isCollection reports whether an operation is on something that identifiers
// follow.
func (a *apiShape) isCollection(op *shapedOperation) bool {
	form := ""
	for _, s := range op.segments {
		if strings.HasPrefix(s, "{") {
			s = "{}"
		}
		form += "/" + s
	}
	return a.items[form]
}

// underThing reports whether a literal at the end follows an identifier, at
// whatever distance.
func (op *shapedOperation) underThing() bool {
	for _, s := range op.segments[:len(op.segments)-1] {
		if strings.HasPrefix(s, "{") {
			return true
		}
	}
	return strings.Contains(last(op.segments), ":") || strings.Contains(last(op.segments), ")")
}

// resource names what an operation is about. The first literal of the path
// says it, unless the author's own tag points to another resource, or the
// first literal is so large that what is below it must be told apart.
func (a *apiShape) resource(op *shapedOperation) string {
	if len(op.literals) == 0 {
		if len(op.tag) > 0 {
			return strings.Join(op.tag, "_")
		}
		return "root"
	}
	first := op.literals[0]
	if name := a.byTag(op); name != "" {
		return name
	}
	if len(op.literals) > 1 && !a.tagged {
		return a.bySize(op)
	}
	return first
}

// byTag is the resource that the tag of an operation points to, "" where it
// agrees with the path or says nothing that the path knows.
func (a *apiShape) byTag(op *shapedOperation) string {
	first := op.literals[0]
	if len(op.tag) == 0 || beginsWith(op.tag, first) {
		return ""
	}
	standsAlone := a.entity[plain(first)]
	whole := strings.Join(op.tag, "")
	if top, ok := a.tops[whole]; ok { // the tag is the name of another resource
		return top
	}
	if !standsAlone {
		for i, l := range op.literals[1:] {
			if plain(l) == whole {
				return l // below something that is no thing by itself
			}
			if i+2 < len(op.literals) && plain(op.literals[i+2])+plain(l) == whole {
				return plural(op.tag) // types/user are user types
			}
		}
	}
	for _, l := range op.literals[1:] {
		if top, ok := a.tops[plain(l)]; ok && beginsWith(op.tag, l) {
			return top // "role assignments" of a user are about roles
		}
	}
	if endsWith(op.tag, first) {
		return ""
	}
	if !standsAlone {
		for n := len(op.tag) - 1; n > 0; n-- {
			if top, ok := a.tops[strings.Join(op.tag[:n], "")]; ok {
				return top
			}
		}
	}
	if len(op.literals) < 2 || !endsWith(op.tag, op.literals[1]) {
		return ""
	}
	if top, ok := a.tops[plain(op.literals[1])]; ok {
		return top
	}
	if !standsAlone {
		return plural(op.tag) // the word alone would say too little: keys, of which kind?
	}
	return ""
}

// plural is a name of words for many things.
func plural(words []string) string {
	name := strings.Join(words, "_")
	switch {
	case strings.HasSuffix(name, "y") && len(name) > 1 && !strings.ContainsRune("aeiou", rune(name[len(name)-2])):
		return name[:len(name)-1] + "ies"
	case hasAnySuffix(name, "s", "x", "sh", "ch"):
		return name + "es"
	}
	return name + "s"
}

// bySize splits what is large: a sub-resource that several large ones share is
// one of its own, and so is a part that has little in common with the others.
func (a *apiShape) bySize(op *shapedOperation) string {
	first, second := op.literals[0], op.literals[1]
	f, s := plain(first), plain(second)
	if len(a.parents[s]) >= 2 && a.leads[s] {
		for p := range a.parents[s] {
			if a.size[p] > large {
				return second
			}
		}
	}
	if a.size[f] > large && !a.entity[f] && a.second[[2]string{f, s}] >= 8 && a.inCommon(f, s) <= 0.1 {
		return first + "." + second
	}
	return first
}

// inCommon is the share of the words below a part that are below its siblings
// too. A part that ends there has all in common.
func (a *apiShape) inCommon(first, second string) float64 {
	shared, all := 0, 0
	for at, seconds := range a.below {
		if _, ok := seconds[second]; !ok || at[0] != first {
			continue
		}
		all++
		if len(seconds) > 1 {
			shared++
		}
	}
	if all == 0 {
		return 1
	}
	return float64(shared) / float64(all)
}
