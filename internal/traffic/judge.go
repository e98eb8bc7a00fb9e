package traffic

import (
	"slices"
	"strings"
)

// Weights of the evidence that a segment is a value and not a word of the API.
// Each is a statement about how APIs are written, not about one of them; what
// adds up to enough is joined.
const (
	enough = 1.0
	sure   = 2.0

	spelledApart   = 1.5  // with hyphens, in an API that writes no words with hyphens
	spelledSeldom  = 0.75 // in one that writes few so
	spelledAlike   = -2.5 // as the API writes its words of two parts
	isCompound     = -1.0 // a long word without parts
	hasDigits      = 1.0  // few words of an API have any
	isLong         = 1.0  // longer than words are
	underOneParent = 2.0  // though there are many
	underAll       = -1.5 // words are met under every parent
	alikeFew       = 2.5  // three siblings lead to the same places
	alikeMany      = 3.5
	leadsElsewhere = -2.0 // siblings lead to places, and it to others
	hasItems       = -2.5 // it is followed by identifiers itself: a collection
	adjacent       = 2.0  // so are all below a plural: two parameters
	amongThose     = -1.5 // its siblings are
	isLeafFew      = 0.25 // a leaf among three that are never called by POST
	isLeaf         = 0.5  // among five
	isLeafMany     = 1.0  // among eight
	isItem         = 0.5  // below something that is called itself
	isChanged      = 0.75 // and with PUT, PATCH or DELETE
	isAction       = -2.0 // a leaf that is called by POST
	isPosted       = -0.5 // one of many below a plural
	atRoot         = -1.0 // few APIs begin with a parameter
	behindItem     = -1.0 // identifiers seldom follow one another
	inCollection   = 0.5  // below a plural
	isHot          = -1.5 // called far more often than its siblings
	manySiblings   = 1.0
	someSiblings   = 0.5
	fewSiblings    = -3.0 // fewer than three values show nothing
	likeItems      = 2.0  // leads where the identifiers beside it lead
	unlikeItems    = -2.5 // and where they do not
	fewBesideItems = -1.0
	isWordInS      = -0.5
	besideValues   = 1.5  // others here are values that do not look like it
	looksRandom    = 1.5  // letters as if drawn
	wordElsewhere  = -1.0 // met behind other words of the API too
)

// resolve joins what are values of one parameter: first, from the leaves, what
// shows by itself, so that collections are known as such; then from the root,
// since below a joined parameter more is known than below each of its values.
func (r *Recovery) resolve() {
	j := &judge{behind: map[string]map[string]struct{}{}}
	j.read(r.root, "")
	r.resolveUp(r.root, "", j)
	r.resolveDown(r.root, "", j)
}

func (r *Recovery) resolveUp(at *place, name string, j *judge) {
	for n, p := range at.below {
		r.resolveUp(p, n, j)
	}
	r.joinAll(at, name, j, sure)
}

// joinAll joins values until no more are found: one that is known makes others
// likely.
func (r *Recovery) joinAll(at *place, name string, j *judge, limit float64) {
	for {
		values := j.values(at, name, limit)
		if len(values) == 0 {
			return
		}
		r.join(at, values)
	}
}

func (r *Recovery) resolveDown(at *place, name string, j *judge) {
	r.joinAll(at, name, j, enough)
	for n, p := range at.below {
		r.resolveDown(p, n, j)
	}
}

// judge knows how an API writes its words.
type judge struct {
	behind        map[string]map[string]struct{} // of a segment, what it stands behind
	hyphens, rest float64                        // words of two parts, by how they are written
}

// read learns the spelling of the API from what is met behind many parents.
func (j *judge) read(at *place, name string) {
	for n, p := range at.below {
		if !strings.Contains(n, "{}") {
			if len(j.behind) < maxPlaces {
				if j.behind[n] == nil {
					j.behind[n] = map[string]struct{}{}
				}
				j.behind[n][name] = struct{}{}
			}
			if distinct(p.parents) >= 3 {
				switch {
				case strings.Contains(n, "-"):
					j.hyphens++
				case strings.Contains(n, "_") || isCamel(n):
					j.rest++
				}
			}
		}
		j.read(p, n)
	}
}

// isPlural reports whether a word looks like one for many things.
func isPlural(s string) bool {
	return len(s) > 3 && strings.HasSuffix(s, "s") && !strings.HasSuffix(s, "ss")
}

// isPreamble reports whether a segment says nothing of what is called.
func isPreamble(s string) bool { return s == "api" || s == "rest" || isVersion(s) }

// seemsRandom reports whether a segment changes between small letters, capitals
// and digits more often than words do.
func seemsRandom(s string) bool {
	changes := 0
	for i := 1; i < len(s); i++ {
		if kindOf(s[i]) != kindOf(s[i-1]) {
			changes++
		}
	}
	return len(s) >= 8 && 5*changes >= 2*len(s)
}

func isCamel(s string) bool {
	for i := 1; i < len(s); i++ {
		if kindOf(s[i]) == 1 && kindOf(s[i-1]) == 0 {
			return true
		}
	}
	return false
}

// around is what the siblings at a place have in common.
type around struct {
	name     string
	plural   bool // name is a word for many things
	at       *place
	siblings []string       // that are no patterns
	leads    map[string]int // siblings that lead to a segment
	leaves   int            // that are called as items are
	posted   int            // of these, by POST
	inner    int            // that lead somewhere
	parents  int
	median   int64
	items    *place // identifiers beside them
	changed  bool   // some leaf is changed or deleted
	withIDs  int    // that lead to identifiers
}

// values are the segments below a place that are values of one parameter.
func (j *judge) values(at *place, name string, limit float64) []string {
	a := j.around(at, name)
	var found []string
	for _, n := range a.siblings {
		if j.weigh(n, at.below[n], a) >= limit {
			found = append(found, n)
		}
	}
	if len(found) < 3 && a.items == nil {
		return nil
	}
	return found
}

func (j *judge) around(at *place, name string) *around {
	a := &around{name: name, at: at, leads: map[string]int{}, items: at.below["{}"], plural: isPlural(name)}
	var calls []int64
	var parents uint64
	for n, p := range at.below {
		parents |= p.parents
		if strings.Contains(n, "{}") {
			continue
		}
		a.siblings = append(a.siblings, n)
		calls = append(calls, p.calls)
		for b := range p.below {
			if !isPreamble(b) {
				a.leads[b]++
			}
		}
		if p.below["{}"] != nil {
			a.withIDs++
		}
		switch {
		case len(p.below) > 0:
			a.inner++
		case p.ends["POST"] == 0 || a.plural:
			a.leaves++
			if p.ends["POST"] > 0 {
				a.posted++
			}
			a.changed = a.changed || p.ends["PUT"]+p.ends["PATCH"]+p.ends["DELETE"] > 0
		}
	}
	slices.Sort(calls)
	if len(calls) > 0 {
		a.median = calls[len(calls)/2]
	}
	a.parents = distinct(parents)
	return a
}

// weigh adds up the evidence that a segment is a value.
func (j *judge) weigh(n string, p *place, a *around) float64 {
	return j.spelling(n) + a.surroundings(p) + a.structure(p) + j.place(n, a)
}

func (j *judge) spelling(n string) (w float64) {
	if two := j.hyphens + j.rest; strings.Contains(n, "-") {
		switch {
		case 5*j.hyphens <= two:
			w += spelledApart
		case 2*j.hyphens <= two:
			w += spelledSeldom
		}
	} else if seemsRandom(n) {
		w += looksRandom
	} else if strings.Contains(n, "_") || isCamel(n) {
		w += spelledAlike
	} else if len(n) > 14 {
		w += isCompound
	}
	if strings.ContainsAny(n, "0123456789") && !isVersion(n) {
		w += hasDigits
	}
	if len(n) > 32 && strings.Contains(n, "-") {
		w += isLong
	}
	if isPlural(n) && !strings.Contains(n, "-") {
		w += isWordInS
	}
	if len(j.behind[n]) >= 3 {
		w += wordElsewhere
	}
	return w
}

// surroundings looks at how often it is met, and behind what.
func (a *around) surroundings(p *place) (w float64) {
	if a.parents >= 3 && p.calls >= 2 {
		expected := 0.0 // parents that a word would have been met behind
		for range min(p.calls, 500) {
			expected += (float64(a.parents) - expected) / float64(a.parents)
		}
		switch ratio := float64(distinct(p.parents)) / expected; {
		case ratio >= 0.6 && a.plural && len(a.siblings) >= 5: // as are values that all share
			w += underAll * min(1, expected/6) / 3
		case ratio >= 0.6:
			w += underAll * min(1, expected/6)
		case ratio <= 0.35:
			w += underOneParent
		}
	}
	if len(a.siblings) >= 4 && p.calls > 8*a.median {
		w += isHot
	}
	return w
}

// structure looks at where it leads.
func (a *around) structure(p *place) (w float64) {
	if len(p.below) > 0 {
		shared, most, words, asItems := 0, 0, 0, 0
		for b := range p.below {
			if b == "{}" {
				continue
			}
			words++
			if n := a.leads[b]; n >= 3 {
				shared++
				most = max(most, n)
			}
			if a.items != nil && a.items.below[b] != nil {
				asItems++
			}
		}
		switch {
		case words > 0 && 5*shared >= 3*words && most >= 5:
			w += alikeMany
		case words > 0 && 5*shared >= 3*words:
			w += alikeFew
		case 5*shared < words && a.inner >= 3:
			w += leadsElsewhere
		}
		if a.plural && len(a.siblings) >= 5 && 5*a.withIDs >= 4*len(a.siblings) {
			w += adjacent
		} else if p.below["{}"] != nil {
			w += hasItems
		} else if a.withIDs >= 2 && 3*a.withIDs >= a.inner {
			w += amongThose
		}
		if a.items != nil && words > 0 {
			if 5*asItems >= 3*words {
				w += likeItems
			} else if asItems == 0 {
				w += unlikeItems
			}
		}
		return w
	}
	if p.ends["POST"] > 0 {
		if (!a.plural || a.leaves < 5) && len(a.siblings) < 12 || 2*a.posted < a.leaves {
			return isAction
		}
		w += isPosted
	}
	switch {
	case a.leaves >= 8:
		w += isLeafMany
	case a.leaves >= 5:
		w += isLeaf
	case a.leaves >= 3:
		w += isLeafFew
	}
	if a.name != "{}" && len(a.at.ends) > 0 && a.leaves >= 3 {
		w += isItem
	}
	if a.changed && a.leaves >= 3 {
		w += isChanged
	}
	if a.withIDs >= 2 && 2*a.withIDs >= a.inner && a.withIDs*3 >= len(a.siblings) {
		w += amongThose
	}
	return w
}

// place looks at where it stands.
func (j *judge) place(n string, a *around) (w float64) {
	switch k := len(a.siblings); {
	case k >= 30:
		w += manySiblings
	case k >= 8:
		w += someSiblings
	case k < 3 && a.items == nil:
		w += fewSiblings
	case k < 3:
		w += fewBesideItems
	}
	if a.items != nil && a.items.grown > 0 {
		w += besideValues
	}
	switch {
	case a.name == "{}":
		w += behindItem
	case a.name == "":
		w += atRoot
	case a.plural:
		w += inCollection
	}
	return w
}
