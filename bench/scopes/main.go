// Command scopes measures how well scopes are designed and inferred, beside a
// simple script: the first segment of the path and whether it reads, a regular
// expression for identifiers, the scope that opens the fewest operations, and a
// caller for every agent and network. The truth are published vocabularies
// (testdata/README.md has sources and licences) and a traffic generator of its
// own, whose kinds of identifiers and lists of words the product is not told.
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
)

func main() {
	seeds := flag.Int("seeds", 10, "worlds to draw for each vocabulary")
	only := flag.String("only", "design,infer,templates,callers", "which parts")
	verbose := flag.Bool("v", false, "name what is missed")
	flag.Parse()
	if err := run(os.Stdout, *seeds, *only, *verbose); err != nil {
		fmt.Fprintln(os.Stderr, "scopes:", err)
		os.Exit(1)
	}
}

func run(out io.Writer, seeds int, only string, verbose bool) error {
	for _, name := range []string{"okta", "digitalocean", "graph"} {
		v, err := readTable(name)
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "%s, %d operations\n", name, len(v.operations))
		if strings.Contains(only, "design") {
			measureDesign(out, v, verbose)
		}
		if strings.Contains(only, "infer") {
			measureInfer(out, v, seeds, verbose)
		}
		if strings.Contains(only, "templates") {
			for _, hard := range []bool{false, true} {
				measureTemplates(out, v, seeds, hard, verbose)
			}
		}
		if strings.Contains(only, "callers") {
			measureCallers(out, v, seeds, false)
			measureCallers(out, v, seeds, true)
		}
	}
	return nil
}

// line prints one measurement: what a simple script reaches, and the product.
func line(out io.Writer, what string, base, product float64, note string) {
	fmt.Fprintf(out, "  %-52s %8.3f %8.3f  %s\n", what, base, product, note)
}
