package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// A place is a declaration that cites something.
type place struct {
	folder, name string // "internal/token", "Issuer.Issue"
	cites        []citation
}

// label is how the page writes the place: package and name.
func (p place) label() string {
	folder := strings.TrimPrefix(p.folder, "internal/")
	if p.name == wholePackage {
		return folder
	}
	return folder + "." + p.name
}

// wholePackage is the name of the place of a package comment, or of any that
// stands between declarations.
const wholePackage = ""

// A test is a Test or Fuzz function, or a script, with the checks it names.
type test struct {
	place
	numbers []string // of the checklist: "21"
	gates   []string // of the gateway checks: "G-13"
}

// code is everything found in a repository, in the order of its paths.
type code struct {
	places []place
	tests  []test
}

var (
	checklistName = regexp.MustCompile(`checklist_([0-9]+)`)
	gateName      = regexp.MustCompile(`\bG-([0-9]{2})\b`)
	gateFunc      = regexp.MustCompile(`G_?([0-9]{2})(?:[^0-9]|$)`) // a Go name has no hyphen: TestG13…
)

// scan reads the Go files and the scripts under root.
func scan(root string) (*code, error) {
	found := &code{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		switch {
		case d.IsDir() && rel != "." && strings.HasPrefix(d.Name(), "."), rel == "test/specdoc", d.Name() == "node_modules":
			return fs.SkipDir
		case d.IsDir() && !strings.Contains(rel+"/", "/testdata/"):
			return found.folder(path, rel)
		case strings.HasSuffix(rel, ".txtar"):
			return found.script(path, rel)
		}
		return nil
	})
	return found, err
}

// folder reads the Go files that lie directly in dir.
func (c *code) folder(dir, rel string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	suite := newSuite(rel)
	var places []place
	for _, e := range entries {
		if e.IsDir() || !strings.HasSuffix(e.Name(), ".go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(dir, e.Name()), nil, parser.ParseComments)
		if err != nil {
			return err
		}
		if strings.HasSuffix(e.Name(), "_test.go") {
			suite.add(file)
			continue
		}
		places = append(places, cited(file, rel)...)
	}
	c.places = append(c.places, merge(places)...)
	c.tests = append(c.tests, suite.tests()...)
	return nil
}

// cited returns the declarations of a file with what their comments cite,
// those inside a function among them.
func cited(file *ast.File, folder string) []place {
	var places []place
	for _, group := range file.Comments {
		if cites := citations(group.Text()); len(cites) > 0 {
			places = append(places, place{folder, owner(file, group), cites})
		}
	}
	return places
}

// merge joins the entries of one declaration, keeping the first one's place.
func merge(places []place) []place {
	var merged []place
	for _, p := range places {
		i := slices.IndexFunc(merged, func(m place) bool { return m.name == p.name })
		if i < 0 {
			merged = append(merged, p)
			continue
		}
		merged[i].cites = append(merged[i].cites, p.cites...)
	}
	return merged
}

// owner names the declaration that a comment documents or lies in.
func owner(file *ast.File, comment *ast.CommentGroup) string {
	within := func(n ast.Node, doc, trailing *ast.CommentGroup) bool {
		return doc == comment || trailing == comment || n.Pos() <= comment.Pos() && comment.End() <= n.End()
	}
	for _, decl := range file.Decls {
		switch d := decl.(type) {
		case *ast.FuncDecl:
			if within(d, d.Doc, nil) {
				return funcName(d)
			}
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				switch s := spec.(type) {
				case *ast.TypeSpec:
					if within(s, s.Doc, s.Comment) || d.Doc == comment {
						return s.Name.Name
					}
				case *ast.ValueSpec:
					if within(s, s.Doc, s.Comment) || d.Doc == comment {
						return s.Names[0].Name
					}
				}
			}
		}
	}
	return wholePackage
}

// funcName writes a method as Type.Method, whatever its receiver looks like.
func funcName(d *ast.FuncDecl) string {
	if d.Recv == nil || len(d.Recv.List) == 0 {
		return d.Name.Name
	}
	receiver := d.Recv.List[0].Type
	for {
		switch r := receiver.(type) {
		case *ast.StarExpr:
			receiver = r.X
		case *ast.IndexExpr:
			receiver = r.X
		case *ast.IndexListExpr:
			receiver = r.X
		case *ast.Ident:
			return r.Name + "." + d.Name.Name
		default:
			return d.Name.Name
		}
	}
}

// script reads a testscript: what its comments name counts as its name.
func (c *code) script(path, rel string) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	folder, _, _ := strings.Cut(rel, "/testdata/")
	t := test{place: place{folder: folder, name: strings.TrimSuffix(filepath.Base(path), ".txtar") + " (script)"}}
	for row := range strings.Lines(string(data)) {
		if comment, ok := strings.CutPrefix(row, "#"); ok {
			t.numbers = append(t.numbers, matches(checklistName, comment, "")...)
			t.gates = append(t.gates, matches(gateName, comment, "G-")...)
		}
	}
	if len(t.numbers)+len(t.gates) > 0 {
		c.tests = append(c.tests, t)
	}
	return nil
}

func matches(re *regexp.Regexp, text, prefix string) []string {
	var found []string
	for _, m := range re.FindAllStringSubmatch(text, -1) {
		found = append(found, prefix+m[1])
	}
	return found
}

// knows fails for a test that names a check which is in no list.
func (c *code) knows(lines, gates []line) error {
	listed := map[string]bool{}
	for _, l := range slices.Concat(lines, gates) {
		listed[l.number] = true
	}
	for _, t := range c.tests {
		for _, n := range slices.Concat(t.numbers, t.gates) {
			if !listed[n] {
				return fmt.Errorf("%s names check %s, which is in neither docs/checklist.tsv nor docs/gateway-checks.tsv", t.label(), n)
			}
		}
	}
	return nil
}
