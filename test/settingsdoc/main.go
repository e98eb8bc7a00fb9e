// Command settingsdoc writes docs/reference/settings.md: every setting of the
// configuration file with its type, its default and its meaning. All of it is
// read from the struct that the file is read into; nothing is invented here.
package main

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
)

const page = "docs/reference/settings.md"

func main() {
	check := flag.Bool("check", false, "write nothing; fail if "+page+" is not what would be written")
	root := flag.String("root", ".", "the repository")
	flag.Parse()
	if err := run(*root, *check); err != nil {
		fmt.Fprintln(os.Stderr, "settingsdoc:", err)
		os.Exit(1)
	}
}

// run writes the page of the repository at root or, with check, compares it.
func run(root string, check bool) error {
	file, want := filepath.Join(root, page), render(settings())
	if !check {
		return os.WriteFile(file, want, 0o644)
	}
	have, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("%w: make it with `go run ./test/settingsdoc`", err)
	}
	if !bytes.Equal(have, want) {
		return fmt.Errorf("%s is out of date: run `go run ./test/settingsdoc` and commit it", page)
	}
	return nil
}
