// Command specdoc writes docs/spec.md: which function keeps which requirement
// of which specification, and which test holds it there.
//
// It reads three things and invents none: citations in the comments of the
// code, written exactly `RFC 7636 §4.6`; names of tests that hold a line of
// docs/checklist.tsv (`checklist_21`) or of docs/gateway-checks.tsv (`G-13`);
// and those two lists. Whether a test is any good is left to its reader.
package main

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
)

const page = "docs/spec.md"

func main() {
	check := flag.Bool("check", false, "write nothing; fail if "+page+" is not what would be written")
	root := flag.String("root", ".", "the repository")
	flag.Parse()
	if err := run(*root, *check); err != nil {
		fmt.Fprintln(os.Stderr, "specdoc:", err)
		os.Exit(1)
	}
}

// run writes the page of the repository at root or, with check, compares it.
func run(root string, check bool) error {
	lines, err := readList(filepath.Join(root, "docs/checklist.tsv"))
	if err != nil {
		return err
	}
	gates, err := readList(filepath.Join(root, "docs/gateway-checks.tsv"))
	if err != nil {
		return err
	}
	code, err := scan(root)
	if err != nil {
		return err
	}
	if err := code.knows(lines, gates); err != nil {
		return err
	}
	want := render(code, lines, gates)
	file := filepath.Join(root, page)
	if !check {
		return os.WriteFile(file, want, 0o644)
	}
	have, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("%w: make it with `go run ./test/specdoc`", err)
	}
	if line, same := firstDifference(have, want); !same {
		return fmt.Errorf("%s is out of date from line %d: run `go run ./test/specdoc` and commit it", page, line)
	}
	return nil
}

// firstDifference returns the number of the first line that differs.
func firstDifference(a, b []byte) (line int, same bool) {
	as, bs := bytes.Split(a, []byte("\n")), bytes.Split(b, []byte("\n"))
	for i := range min(len(as), len(bs)) {
		if !bytes.Equal(as[i], bs[i]) {
			return i + 1, false
		}
	}
	return min(len(as), len(bs)) + 1, len(as) == len(bs)
}
