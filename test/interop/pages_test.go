package interop

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var javaBlock = regexp.MustCompile("(?ms)^```java\n(.*?)^```")

// What a page shows is what runs: each block of the Spring page is in the
// project, but for its indentation.
func TestTheSpringPageShowsTheCodeThatRuns(t *testing.T) {
	page, err := os.ReadFile("../../docs/recipes/spring.md")
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("java/src/main/java/example/*.java")
	if err != nil {
		t.Fatal(err)
	}
	var code strings.Builder
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		code.Write(text)
	}
	blocks := javaBlock.FindAllStringSubmatch(string(page), -1)
	if len(blocks) < 4 {
		t.Fatalf("%d blocks found: this test reads the page wrongly", len(blocks))
	}
	for _, block := range blocks {
		if !strings.Contains(unindented(code.String()), unindented(block[1])) {
			t.Errorf("docs/recipes/spring.md shows what the project does not have:\n%s", block[1])
		}
	}
}

// unindented is text without the white space that lines begin with.
func unindented(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		b.WriteString(strings.TrimLeft(line, " "))
	}
	return b.String()
}
