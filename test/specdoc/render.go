package main

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"
)

const head = `# Specification, code and tests

Made by ` + "`go run ./test/specdoc`" + ` from the citations in the code and the names of the tests: do not edit it.
A requirement stands where the function that keeps it cites it. A test stands where its name, or a comment
in it, holds the number of the check. "not built yet" is a section that no test names, "no test" a line without one.

`

// render writes the page; the same tree gives the same bytes.
func render(c *code, lines, gates []line) []byte {
	var b bytes.Buffer
	b.WriteString(head)
	requirements := c.requirements()
	tested := func(ls []line) (n int) {
		for _, l := range ls {
			if len(c.naming(l.number)) > 0 {
				n++
			}
		}
		return n
	}
	fmt.Fprintf(&b, "%d requirements cited · %d of %d checklist lines have a test · %d of %d gateway checks have a test\n",
		len(requirements), tested(lines), len(lines), tested(gates), len(gates))

	b.WriteString("\n## Requirement, function, test\n\n")
	b.WriteString("Tests of the function's own package that cite the same section or name a checklist line that does.\n\n")
	b.WriteString("| Requirement | Function | Tests |\n|---|---|---|\n")
	for _, r := range requirements {
		for _, p := range c.keeping(r) {
			row(&b, r.String(), "`"+p.label()+"`", names(c.beside(p.folder, r, lines), ""))
		}
	}

	b.WriteString("\n## The checklist\n\nLines that start with ! are those where a mistake is a hole, not a nuisance.\n")
	for section := range chunk(lines) {
		fmt.Fprintf(&b, "\n### %s\n\n| # | Must hold | Tests |\n|---|---|---|\n", section[0].section)
		missing := "no test"
		if tested(section) == 0 {
			missing = "not built yet"
		}
		for _, l := range section {
			row(&b, l.number, l.text, names(c.naming(l.number), missing))
		}
	}

	b.WriteString("\n## Gateway checks\n\n| # | Must hold | Tests |\n|---|---|---|\n")
	missing := "no test"
	if tested(gates) == 0 {
		missing = "not built yet"
	}
	for _, l := range gates {
		row(&b, l.number, l.text, names(c.naming(l.number), missing))
	}
	return b.Bytes()
}

// row writes one row of a table; a bar inside a cell does not end it.
func row(b *bytes.Buffer, cells ...string) {
	for _, cell := range cells {
		b.WriteString("| " + strings.ReplaceAll(cell, "|", `\|`) + " ")
	}
	b.WriteString("|\n")
}

// names lists tests by package and name, or says what is missing.
func names(tests []test, missing string) string {
	if len(tests) == 0 {
		return missing
	}
	var labels []string
	for _, t := range tests {
		labels = append(labels, "`"+t.label()+"`")
	}
	return strings.Join(labels, ", ")
}

// requirements returns every citation of the code once, in order.
func (c *code) requirements() []citation {
	all := map[citation]bool{}
	for _, p := range c.places {
		for _, r := range p.cites {
			all[r] = true
		}
	}
	return slices.SortedFunc(maps.Keys(all), compareCitations)
}

// keeping returns the declarations that cite r.
func (c *code) keeping(r citation) (places []place) {
	for _, p := range c.places {
		if slices.Contains(p.cites, r) {
			places = append(places, p)
		}
	}
	return places
}

// naming returns the tests that name a check.
func (c *code) naming(number string) (tests []test) {
	for _, t := range c.tests {
		if slices.Contains(t.numbers, number) || slices.Contains(t.gates, number) {
			tests = append(tests, t)
		}
	}
	return tests
}

// beside returns the tests of a folder that hold r: they cite it, or name a
// line of the checklist that does.
func (c *code) beside(folder string, r citation, lines []line) (tests []test) {
	for _, t := range c.tests {
		if t.folder != folder {
			continue
		}
		holds := slices.Contains(t.cites, r) || slices.ContainsFunc(lines, func(l line) bool {
			return slices.Contains(l.cites, r) && slices.Contains(t.numbers, l.number)
		})
		if holds {
			tests = append(tests, t)
		}
	}
	return tests
}

// chunk yields the lines section by section.
func chunk(lines []line) func(yield func([]line) bool) {
	return func(yield func([]line) bool) {
		for len(lines) > 0 {
			n := slices.IndexFunc(lines, func(l line) bool { return l.section != lines[0].section })
			if n < 0 {
				n = len(lines)
			}
			if !yield(lines[:n]) {
				return
			}
			lines = lines[n:]
		}
	}
}
