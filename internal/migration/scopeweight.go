package migration

import (
	"cmp"
	"math"
	"slices"
	"strings"
)

// scopeWeight is how much it is to give a scope to somebody, so that of two that
// open the same the lesser is given. It goes by what everybody can read: the
// words of the name, and how many operations it opens. Counting operations
// alone would give away what changes little but opens secrets, and scopes over
// everything because few operations are known.
func scopeWeight(name string, opens int, guarded bool) float64 {
	words := nameWords(name)
	weight := actionOfScope(name)
	for _, w := range words {
		switch {
		case narrowWords[w]:
			weight *= 0.7
		case sensitiveWords[w]:
			weight *= 1.4
		}
	}
	if wideWords[last(words)] {
		weight *= 1.1
	}
	if guarded {
		weight *= 1.6
	}
	return weight * (1 + 3*math.Log1p(float64(opens)))
}

// actionOfScope is what the strongest word for what is done weighs. A name that
// says nothing may do anything.
func actionOfScope(name string) (weight float64) {
	for _, w := range nameWords(name) {
		weight = max(weight, actionWeight[w])
	}
	return cmp.Or(weight, actionWeight["write"])
}

// sensitiveWords are of resources that give power over others, or hold secrets.
var sensitiveWords = map[string]bool{
	"rbac": true, "role": true, "permission": true, "grant": true, "credential": true, "secret": true, "password": true, "key": true, "token": true,
	"privileged": true, "consent": true, "directory": true, "authentication": true, "authorization": true, "billing": true, "payment": true, "iam": true,
}

// guardedResources are those for which the vocabulary has a scope of the
// strongest kind: what has privileged operations wants guarding in its lesser
// scopes too.
func guardedResources(names []string) map[string]bool {
	guarded := map[string]bool{}
	for _, name := range names {
		for _, w := range nameWords(name) {
			if actionWeight[w] > actionWeight["manage"] {
				guarded[resourceOfScope(name)] = true
			}
		}
	}
	return guarded
}

// resourceOfScope is the name of a scope without the words for what is done.
func resourceOfScope(name string) string {
	var words []string
	for _, w := range nameWords(name) {
		if actionWeight[w] == 0 && !wideWords[w] && !narrowWords[w] && w != "operation" {
			words = append(words, w)
		}
	}
	return strings.Join(words, " ")
}

// actionWeight is what the words for what is done weigh.
var actionWeight = map[string]float64{
	"read": 1, "view": 1, "list": 1, "get": 1, "search": 1, "query": 1, "readonly": 1, "basic": 0.7,
	"write": 2.2, "create": 2, "update": 2, "edit": 2.2, "modify": 2.2, "add": 2, "send": 2, "delete": 2.2, "remove": 2.2,
	"manage": 3, "full": 3.5, "fullcontrol": 3.5, "control": 3, "admin": 3.5, "privileged": 3.5, "impersonate": 3.5, "sudo": 3.5, "owner": 3.5,
}

// narrowWords limit a scope to some of the things, wideWords say that it is for
// all of them.
var (
	narrowWords = map[string]bool{"owned": true, "own": true, "self": true, "selected": true, "mine": true, "me": true, "basic": true, "limited": true}
	wideWords   = map[string]bool{"all": true, "any": true, "full": true, "global": true}
)

func nameWords(name string) []string {
	var out []string
	for part := range strings.FieldsFuncSeq(name, func(c rune) bool { return strings.ContainsRune(":./_- ", c) }) {
		out = append(out, wordsOf(part)...)
	}
	return out
}

// named is by how much a scope weighs less that is named for what is called.
const named = 0.2

// weightFor is what scopes weigh for a caller: those that are named for what it
// calls weigh less than those that open it besides.
func (v *vocabulary) weightFor(ops map[int]int64) []float64 {
	weight := slices.Clone(v.weight)
	fit, served := make([]float64, len(weight)), make([]float64, len(weight))
	for n := range ops {
		if n < 0 {
			continue
		}
		for s := range v.scopesOf(n) {
			fit[s] += v.affinity(s, n)
			served[s]++
		}
	}
	for s := range weight {
		if served[s] > 0 {
			weight[s] *= 1 - named*fit[s]/served[s]
		}
	}
	return weight
}

func (v *vocabulary) scopesOf(n int) map[int]bool {
	set := map[int]bool{}
	for _, alternative := range v.anyOf[n] {
		for _, s := range alternative {
			set[s] = true
		}
	}
	return set
}

// affinity is the share of the words of a scope's resource that are in the path
// of an operation.
func (v *vocabulary) affinity(s, n int) float64 {
	path := strings.ToLower(v.table.operations[n].Template)
	found, all := 0, 0
	for _, w := range nameWords(v.names[s]) {
		if actionWeight[w] > 0 || wideWords[w] || narrowWords[w] {
			continue
		}
		all++
		if strings.Contains(path, w) {
			found++
		}
	}
	if all == 0 {
		return 0
	}
	return float64(found) / float64(all)
}
