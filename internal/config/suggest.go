package config

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// suggest says what was probably meant by an unknown setting: a close name in
// the same section, else the same name in another section, else what there is.
func suggest(name, setting string, section reflect.Type) string {
	here := names(section)
	if best := closest(name, here); best != "" {
		return fmt.Sprintf("did you mean %s?", join(setting, best))
	}
	for _, path := range Settings() {
		if strings.HasSuffix(path, "."+name) {
			return fmt.Sprintf("did you mean %s?", path)
		}
	}
	return fmt.Sprintf("%s has %s", orTop(setting), strings.Join(here, ", "))
}

func names(section reflect.Type) []string {
	var out []string
	for _, f := range reflect.VisibleFields(section) {
		if name := f.Tag.Get("yaml"); name != "" {
			out = append(out, name)
		}
	}
	return out
}

// Settings lists every setting by its path, in the order of the struct. `*` is
// any name of a map, `[]` any element of a list.
func Settings() []string {
	var out []string
	walk(reflect.TypeFor[Config](), "", func(path string, f reflect.StructField) { out = append(out, path) })
	return out
}

// walk visits the plain settings below t.
func walk(t reflect.Type, path string, visit func(string, reflect.StructField)) {
	for _, f := range reflect.VisibleFields(t) {
		name := f.Tag.Get("yaml")
		if name == "" {
			continue
		}
		below, p := f.Type, join(path, name)
		switch below.Kind() {
		case reflect.Map:
			below, p = below.Elem(), p+".*"
		case reflect.Slice:
			if below.Elem().Kind() == reflect.Struct && isSection(reflect.New(below.Elem()).Elem()) {
				below, p = below.Elem(), p+"[]"
			}
		}
		if below.Kind() == reflect.Struct && isSection(reflect.New(below).Elem()) {
			walk(below, p, visit)
			continue
		}
		visit(p, f)
	}
}

// closest is the candidate that name is a likely slip of, or "".
func closest(name string, candidates []string) string {
	best, distance := "", 1+len(name)/3
	for _, c := range slices.Sorted(slices.Values(candidates)) {
		if d := editDistance(strings.ToLower(name), c); d <= distance && d < len(c) {
			if best == "" || d < distance {
				best, distance = c, d
			}
		}
	}
	return best
}

// editDistance is the Levenshtein distance in bytes.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(diagonal+cost, row[j+1]+1, row[j]+1)
		}
	}
	return row[len(b)]
}
