package architecture

import (
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var (
	link    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading = regexp.MustCompile(`(?m)^#+ +(.+)$`)
	fence   = regexp.MustCompile("(?ms)^```.*?^```")
)

// anchor is what a heading is called in a link, as GitHub writes it.
func anchor(heading string) string {
	kept := strings.Map(func(r rune) rune {
		switch {
		case r == ' ' || r == '-':
			return '-'
		case strings.ContainsRune("`.,:;!?()[]{}'\"/*+=<>@#$%^&|~…", r):
			return -1
		}
		return r
	}, strings.ToLower(strings.TrimSpace(heading)))
	return kept
}

// deadLinks follows the relative links of every page under root that can be
// reached from README.md. It returns those that lead nowhere, and the pages
// reached.
func deadLinks(root string) (dead []string, reached map[string]bool, err error) {
	reached = map[string]bool{}
	queue := []string{"README.md"}
	for len(queue) > 0 {
		page := queue[0]
		queue = queue[1:]
		if reached[page] {
			continue
		}
		reached[page] = true
		text, err := os.ReadFile(filepath.Join(root, page))
		if err != nil {
			return nil, nil, err
		}
		for _, m := range link.FindAllStringSubmatch(fence.ReplaceAllString(string(text), ""), -1) {
			target, fragment, _ := strings.Cut(m[1], "#")
			if strings.Contains(target, ":") {
				continue // another site
			}
			to := page
			if target != "" {
				to = filepath.Join(filepath.Dir(page), target)
			}
			info, err := os.Stat(filepath.Join(root, to))
			switch {
			case err != nil:
				dead = append(dead, page+" links to "+m[1]+", which does not exist")
			case info.IsDir() || filepath.Ext(to) != ".md":
			default:
				queue = append(queue, to)
				if fragment != "" && !hasAnchor(filepath.Join(root, to), fragment) {
					dead = append(dead, page+" links to "+m[1]+", but the page has no such heading")
				}
			}
		}
	}
	return dead, reached, nil
}

func hasAnchor(page, fragment string) bool {
	text, err := os.ReadFile(page)
	if err != nil {
		return false
	}
	for _, m := range heading.FindAllStringSubmatch(fence.ReplaceAllString(string(text), ""), -1) {
		if anchor(m[1]) == fragment {
			return true
		}
	}
	return false
}

func TestEveryLinkLeadsToAPageThatExists(t *testing.T) {
	dead, _, err := deadLinks("../..")
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range dead {
		t.Error(d)
	}
}

func TestEveryPageOfDocsIsReachedFromTheReadme(t *testing.T) {
	_, reached, err := deadLinks("../..")
	if err != nil {
		t.Fatal(err)
	}
	err = filepath.WalkDir("../../docs", func(path string, d fs.DirEntry, err error) error {
		if err == nil && filepath.Ext(path) == ".md" {
			if page, _ := filepath.Rel("../..", path); !reached[page] {
				t.Errorf("%s is linked from no page: add it to docs/README.md or to the index of its folder", page)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestDeadLinksAreFound(t *testing.T) {
	root := t.TempDir()
	for name, text := range map[string]string{
		"README.md": "[a](a.md) [gone](gone.md) [site](https://example.com/x) [h](a.md#one-two) [i](a.md#three)\n```\n[code](no.md)\n```\n",
		"a.md":      "# One: `two`\n[back](README.md)\n",
		"lonely.md": "# Nobody comes here\n",
	} {
		if err := os.WriteFile(filepath.Join(root, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	dead, reached, err := deadLinks(root)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"README.md links to gone.md, which does not exist",
		"README.md links to a.md#three, but the page has no such heading",
	}
	if !slices.Equal(dead, want) {
		t.Errorf("got %q, want %q", dead, want)
	}
	if pages := slices.Sorted(maps.Keys(reached)); !slices.Equal(pages, []string{"README.md", "a.md"}) {
		t.Errorf("reached %q", pages)
	}
}
