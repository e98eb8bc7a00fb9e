package main

import (
	"bytes"
	"fmt"
	"strings"
)

const heading = `# Settings

Made from the code by ` + "`go run ./test/settingsdoc`" + `. ` + "`offkey config schema`" + ` prints the same as a JSON Schema, for editors;
` + "`offkey config show --origin`" + ` what is in force, and where each value comes from.

- A value comes from a flag, else from a variable, else from the file, else it is the default below. The variable of
  ` + "`tokens.access.ttl`" + ` is ` + "`OFFKEY_TOKENS_ACCESS_TTL`" + `; what stands below ` + "`NAME`" + ` or ` + "`[]`" + ` has none. A list takes values separated by commas.
- In the file ` + "`${VAR}`" + ` is the variable VAR and ` + "`${file:PATH}`" + ` the contents of a file; ` + "`$$`" + ` is a dollar sign. Paths are relative to
  the file.
- Unknown settings are errors. Only ` + "`issuer`" + ` and the URL of one upstream are required.
- Durations are written as 90s, 15m, 24h or 30d, dates as 2027-09-30, rates as 100/s, 5/m or 1000/h.
- Changes take effect with ` + "`offkey config reload`" + ` or SIGHUP; those marked **start** at the next start.
`

// render writes the page.
func render(all []setting) []byte {
	var b bytes.Buffer
	b.WriteString(heading)
	fields := declared(all)
	fmt.Fprintf(&b, "\n%d settings; below `[]` %d fields of what lives in the database and may be declared in the file.\n", len(all)-fields, fields)
	section := ""
	for _, s := range all {
		if s.section() != section {
			section = s.section()
			fmt.Fprintf(&b, "\n## %s\n\n| Setting | Type | Default | Meaning |\n|---|---|---|---|\n", section)
		}
		doc := s.doc
		if s.boot {
			doc = strings.TrimSpace(doc + " **start**")
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", code(s.path), cell(s.kind), code(s.initial), cell(doc))
	}
	return b.Bytes()
}

// declared counts the fields of objects (decision 0049).
func declared(all []setting) int {
	n := 0
	for _, s := range all {
		if strings.Contains(s.path, "[]") {
			n++
		}
	}
	return n
}

func code(s string) string {
	if s == "" {
		return ""
	}
	return "`" + cell(s) + "`"
}

// cell keeps a text within its cell.
func cell(s string) string { return strings.ReplaceAll(s, "|", `\|`) }
