package main

import (
	"bufio"
	"embed"
	"fmt"
	"regexp"
	"strings"

	"compress/gzip"
)

//go:embed testdata/*.tsv testdata/*.gz
var tables embed.FS

// operation is one row of a vocabulary: what may be called, and what opens it.
type operation struct {
	method, template string
	anyOf            [][]string // of the vendor; empty if it names none
	least            []string   // the alternatives that the vendor calls least
	tag, summary     string
}

// vocabulary is the published table of one API.
type vocabulary struct {
	name       string
	operations []operation
	privilege  map[string]int // the vendor's hint of how sensitive a scope is; the product is not told
}

// readTable reads a vocabulary of testdata.
func readTable(name string) (vocabulary, error) {
	v := vocabulary{name: name, privilege: map[string]int{}}
	err := eachLine(name+".tsv", func(f []string) {
		op := operation{method: f[0], template: f[1], tag: f[4], summary: f[5], least: alternatives(f[3])}
		for _, alternative := range alternatives(f[2]) {
			op.anyOf = append(op.anyOf, strings.Split(alternative, "+"))
		}
		v.operations = append(v.operations, op)
	})
	return v, err
}

func alternatives(s string) []string {
	if s == "" {
		return nil
	}
	return strings.Split(s, "|")
}

// eachLine calls yield with the fields of every row; a large table is packed.
func eachLine(name string, yield func(fields []string)) error {
	file, err := tables.Open("testdata/" + name)
	if err != nil {
		if file, err = tables.Open("testdata/" + name + ".gz"); err != nil {
			return err
		}
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	if info, err := file.Stat(); err == nil && strings.HasSuffix(info.Name(), ".gz") {
		plain, err := gzip.NewReader(file)
		if err != nil {
			return err
		}
		lines = bufio.NewScanner(plain)
	}
	lines.Buffer(nil, 1<<20)
	for row := 0; lines.Scan(); row++ {
		fields := strings.Split(lines.Text(), "\t")
		if row == 0 {
			continue
		}
		for len(fields) < 6 {
			fields = append(fields, "")
		}
		yield(fields)
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// scoped are the operations for which the vendor names a scope.
func (v vocabulary) scoped() []operation {
	var out []operation
	for _, op := range v.operations {
		if len(op.anyOf) > 0 {
			out = append(out, op)
		}
	}
	return out
}

var parameter = regexp.MustCompile(`\{[^{}]*\}`)

// shape is a template without the names of its parameters.
func shape(template string) string {
	return strings.TrimSuffix(parameter.ReplaceAllString(template, "{}"), "/")
}
