package signin

import (
	"io/fs"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
)

func TestEveryLanguageHasEveryMessage(t *testing.T) {
	for _, c := range catalogues {
		for key, text := range c.messages {
			if english[key] == "" {
				t.Errorf("%s: %s is in no page", c.language, key)
			}
			if strings.Count(text, "%s") != strings.Count(english[key], "%s") || strings.Count(text, "%d") != strings.Count(english[key], "%d") {
				t.Errorf("%s: %s puts in other things than in English", c.language, key)
			}
		}
		for key := range english {
			if c.messages[key] == "" {
				t.Errorf("%s lacks %s", c.language, key)
			}
		}
	}
}

func TestEveryMessageOfAPageIsThere(t *testing.T) {
	used := map[string]bool{}
	key := regexp.MustCompile(`\.T "([a-z_.]+)"`)
	err := fs.WalkDir(pageFiles, "pages", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		raw, err := fs.ReadFile(pageFiles, name)
		for _, m := range key.FindAllStringSubmatch(string(raw), -1) {
			used[m[1]] = true
			if english[m[1]] == "" {
				t.Errorf("%s: no message %s", name, m[1])
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(used) < 50 {
		t.Errorf("only %d messages were found in pages", len(used))
	}
}

func TestPickLanguage(t *testing.T) {
	for accept, want := range map[string]string{
		"": "en", "de": "de", "de-AT,de;q=0.9,en;q=0.5": "de", "fr, de;q=0.7": "de", "fr": "en", "en-GB, de": "en", "de;q=0, en": "en", "DE": "de", strings.Repeat("xx,", 50) + "de": "en",
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r.Header.Set("Accept-Language", accept)
		if got := pickLanguage(r).language; got != want {
			t.Errorf("%q gives %s, want %s", accept, got, want)
		}
	}
	c := pickLanguage(httptest.NewRequest("GET", "/", nil))
	visit{t: c}.prefer([]string{"xx", "de-CH"})
	if c.language != "de" || catalogues[0].language != "en" {
		t.Errorf("ui_locales gives %s, and the default is %s", c.language, catalogues[0].language)
	}
}
