package main

import (
	"go/ast"
	"go/token"
	"slices"
	"strings"
)

// suite is the test files of one folder. A check may be named in a table or a
// helper that several tests use, so names are followed from declaration to
// declaration until they reach a Test or Fuzz function.
type suite struct {
	folder string
	decls  map[string]*declaration
}

// declaration is one name at the top level of a test file.
type declaration struct {
	test           bool
	numbers, gates []string
	cites          []citation
	uses           []string
}

func newSuite(folder string) *suite {
	return &suite{folder, map[string]*declaration{}}
}

func (s *suite) add(file *ast.File) {
	for _, decl := range file.Decls {
		switch d := decl.(type) {
		case *ast.FuncDecl:
			name := funcName(d)
			found := s.declare(name, d)
			found.test = d.Recv == nil && (strings.HasPrefix(name, "Test") && name != "TestMain" || strings.HasPrefix(name, "Fuzz"))
			found.numbers = append(found.numbers, matches(checklistName, name, "")...)
			found.gates = append(found.gates, matches(gateFunc, name, "G-")...)
			found.cites = append(found.cites, citations(d.Doc.Text())...)
			for _, group := range file.Comments {
				if d.Pos() <= group.Pos() && group.End() <= d.End() {
					found.cites = append(found.cites, citations(group.Text())...)
					found.numbers = append(found.numbers, matches(checklistName, group.Text(), "")...)
				}
			}
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				if v, ok := spec.(*ast.ValueSpec); ok {
					for _, name := range v.Names {
						s.declare(name.Name, v)
					}
				}
			}
		}
	}
}

// declare notes what the text and the identifiers of a declaration say.
func (s *suite) declare(name string, node ast.Node) *declaration {
	d := &declaration{}
	ast.Inspect(node, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.BasicLit:
			if n.Kind == token.STRING {
				d.numbers = append(d.numbers, matches(checklistName, n.Value, "")...)
				d.gates = append(d.gates, matches(gateName, n.Value, "G-")...)
				d.cites = append(d.cites, citations(n.Value)...)
			}
		case *ast.Ident:
			d.uses = append(d.uses, n.Name)
		}
		return true
	})
	s.decls[name] = d
	return d
}

// tests returns the Test and Fuzz functions with all that they reach.
func (s *suite) tests() []test {
	var tests []test
	for name, d := range s.decls {
		if !d.test {
			continue
		}
		t := test{place: place{folder: s.folder, name: name, cites: slices.Clone(d.cites)}}
		seen := map[string]bool{}
		s.reach(name, seen, func(d *declaration) {
			t.numbers = append(t.numbers, d.numbers...)
			t.gates = append(t.gates, d.gates...)
		})
		tests = append(tests, t)
	}
	slices.SortFunc(tests, func(a, b test) int { return strings.Compare(a.name, b.name) })
	return tests
}

// reach visits a declaration and those it uses, tests apart.
func (s *suite) reach(name string, seen map[string]bool, visit func(*declaration)) {
	d, ok := s.decls[name]
	if !ok || seen[name] || d.test && len(seen) > 0 {
		return
	}
	seen[name] = true
	visit(d)
	for _, use := range d.uses {
		s.reach(use, seen, visit)
	}
}
