package main

import (
	"cmp"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// A citation is one section of one specification; without a section it is
// the specification as a whole.
type citation struct{ spec, section string }

func (c citation) String() string {
	if c.section == "" {
		return c.spec
	}
	return c.spec + " §" + c.section
}

var (
	specName    = regexp.MustCompile(`\b(RFC [0-9]{3,5}|OAuth 2\.1|OIDC [A-Z][a-z]+|FAPI 2\.0|draft-[a-z0-9]+(?:-[a-z0-9]+)+)\b`)
	sectionList = regexp.MustCompile(`^(?: |, | and |, and | or )§([0-9A-Z]+(?:\.[0-9]+)*)`)
)

// citations finds what a text cites. `RFC 6749 §3.1, §3.2` are two. A bare
// `RFC 6749` beside one of its sections adds nothing and is left out.
func citations(text string) []citation {
	text = strings.Join(strings.Fields(text), " ")
	var found, bare []citation
	for _, at := range specName.FindAllStringIndex(text, -1) {
		spec, rest := text[at[0]:at[1]], text[at[1]:]
		sections := 0
		for m := sectionList.FindStringSubmatchIndex(rest); m != nil; m = sectionList.FindStringSubmatchIndex(rest) {
			found = append(found, citation{spec, rest[m[2]:m[3]]})
			rest = rest[m[1]:]
			sections++
		}
		if sections == 0 {
			bare = append(bare, citation{spec: spec})
		}
	}
	for _, b := range bare {
		if !slices.ContainsFunc(found, func(c citation) bool { return c.spec == b.spec }) {
			found = append(found, b)
		}
	}
	slices.SortFunc(found, compareCitations)
	return slices.Compact(found)
}

// compareCitations orders by specification and section, numbers as numbers:
// RFC 6749 §4.2 comes before RFC 6749 §4.10 and RFC 10027.
func compareCitations(a, b citation) int {
	return cmp.Or(compareNumbers(a.spec, b.spec), compareNumbers(a.section, b.section))
}

func compareNumbers(a, b string) int {
	split := func(r rune) bool { return r == ' ' || r == '.' || r == '-' }
	return slices.CompareFunc(strings.FieldsFunc(a, split), strings.FieldsFunc(b, split), func(x, y string) int {
		i, errX := strconv.Atoi(x)
		j, errY := strconv.Atoi(y)
		if errX == nil && errY == nil {
			return cmp.Compare(i, j)
		}
		return cmp.Compare(x, y)
	})
}

// A line is one row of a list of checks: `21` or `G-13`, the section of the
// list if it has any, what must hold, and what that cites.
type line struct {
	number, section, text string
	cites                 []citation
}

// readList reads a tab-separated file whose first row names the columns:
// number, perhaps section, text.
func readList(path string) ([]line, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var lines []line
	for i, row := range strings.Split(strings.TrimSuffix(string(data), "\n"), "\n") {
		columns := strings.Split(row, "\t")
		if i == 0 {
			continue
		}
		if len(columns) < 2 || len(columns) > 3 {
			return nil, fmt.Errorf("%s:%d has %d columns, not number, section, text", path, i+1, len(columns))
		}
		l := line{number: columns[0], text: columns[len(columns)-1]}
		if len(columns) == 3 {
			l.section = columns[1]
		}
		l.cites = citations(l.text)
		lines = append(lines, l)
	}
	return lines, nil
}
