package docs

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// root is the repository.
const root = "../.."

// block is one fenced block of a page.
type block struct {
	page string // "docs/tutorials/first-caller.md"
	line int    // of the fence
	info string // "sh exit=6"
	text string
}

func (b block) language() string {
	language, _, _ := strings.Cut(b.info, " ")
	return language
}

var fence = regexp.MustCompile("(?ms)^```([^\n]*)\n(.*?)^```$")

// blocksOf are the fenced blocks of a page, in order.
func blocksOf(t testing.TB, page string) (blocks []block) {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(root, page))
	if err != nil {
		t.Fatal(err)
	}
	text := string(raw)
	for _, m := range fence.FindAllStringSubmatchIndex(text, -1) {
		blocks = append(blocks, block{
			page: page, line: strings.Count(text[:m[0]], "\n") + 1,
			info: strings.TrimSpace(text[m[2]:m[3]]), text: text[m[4]:m[5]],
		})
	}
	if len(blocks) == 0 {
		t.Fatalf("%s has no fenced block", page)
	}
	return blocks
}

// shows reports which line of a page's text is not in what was printed. Lines
// come in the order of the page, others may lie between them; `…` stands for
// anything, and spaces for any number of them.
func shows(printed, text string) (missing string) {
	lines := strings.Split(strings.ReplaceAll(printed, "\r", ""), "\n")
	for _, want := range strings.Split(text, "\n") {
		if want = plain(want); want == "" {
			continue
		}
		parts := strings.Split(want, "…")
		for i, part := range parts {
			parts[i] = regexp.QuoteMeta(part)
		}
		pattern := regexp.MustCompile("^" + strings.Join(parts, ".*") + "$")
		at := 0
		for at < len(lines) && !pattern.MatchString(plain(lines[at])) {
			at++
		}
		if at == len(lines) {
			return want
		}
		lines = lines[at+1:]
	}
	return ""
}

// plain is a line without the width of its columns.
func plain(line string) string { return strings.Join(strings.Fields(line), " ") }

func TestShows(t *testing.T) {
	const printed = "ID       STAGE\r\nak_1234  observe\nak_5678  warn\n"
	for text, missing := range map[string]string{
		"ID STAGE\nak_… observe\n": "",
		"ak_…   warn\n":            "",
		"ak_… warn\nak_… observe":  "ak_… observe", // not in this order
		"ak_…":                     "",
		"observe":                  "observe", // lines are whole
		"ak_… retired":             "ak_… retired",
		"ak.1234 observe":          "ak.1234 observe",
		"":                         "",
	} {
		if got := shows(printed, text); got != missing {
			t.Errorf("%q: missing %q, want %q", text, got, missing)
		}
	}
}
