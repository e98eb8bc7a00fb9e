package signin

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// catalogue is the messages of one language. What it lacks is said in English;
// a test holds every language to all keys.
type catalogue struct {
	language string
	messages map[string]string
}

// catalogues are all languages, the default first.
var catalogues = []*catalogue{
	{"en", english},
	{"de", german},
}

// text is a message. What is put into it is plain text: templates escape it.
func (c *catalogue) text(key string, args ...any) string {
	text, ok := c.messages[key]
	if !ok {
		text, ok = english[key]
	}
	if !ok {
		return key
	}
	if len(args) == 0 {
		return text
	}
	return fmt.Sprintf(text, args...)
}

// prefer changes to the first language of ui_locales that there is (OIDC Core
// §3.1.2.1).
func (v visit) prefer(locales []string) {
	if c := firstOf(locales); c != nil {
		*v.t = *c
	}
}

// pickLanguage chooses by Accept-Language, in the order that it is written in:
// that is how browsers send it.
func pickLanguage(r *http.Request) *catalogue {
	var wanted []string
	for part := range strings.SplitSeq(r.Header.Get("Accept-Language"), ",") {
		tag, weight, _ := strings.Cut(part, ";")
		if weight = strings.ReplaceAll(weight, " ", ""); weight != "q=0" && weight != "q=0.0" {
			wanted = append(wanted, strings.TrimSpace(tag))
		}
		if len(wanted) == 10 {
			break
		}
	}
	chosen := firstOf(wanted)
	if chosen == nil {
		chosen = catalogues[0]
	}
	own := *chosen
	return &own
}

// firstOf finds a language by the first part of its tag (RFC 4647 §3.4), nil if
// there is none.
func firstOf(tags []string) *catalogue {
	for _, tag := range tags {
		primary, _, _ := strings.Cut(strings.ToLower(tag), "-")
		if i := slices.IndexFunc(catalogues, func(c *catalogue) bool { return c.language == primary }); i >= 0 {
			return catalogues[i]
		}
	}
	return nil
}
