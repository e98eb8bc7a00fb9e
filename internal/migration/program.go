package migration

import (
	"strings"
	"unicode"
)

// maxProgram bounds a program's name, in characters.
const maxProgram = 64

// browsers are the product tokens that tell one browser from another, most
// telling first: Edge also says Chrome, and Chrome also says Safari.
var browsers = []struct{ token, name string }{
	{"Edg/", "Edge"}, {"EdgA/", "Edge"}, {"EdgiOS/", "Edge"}, {"OPR/", "Opera"}, {"Firefox/", "Firefox"}, {"FxiOS/", "Firefox"},
	{"CriOS/", "Chrome"}, {"Chrome/", "Chrome"}, {"Version/", "Safari"},
}

// ProgramOf is the program that sends a User-Agent: the name of its first
// product, without version and comment (RFC 9110 §10.1.5), "python-requests" of
// "python-requests/2.32.3". For a browser, which calls itself Mozilla, it is the
// browser's own name. Without a User-Agent it is "unknown".
func ProgramOf(userAgent string) string {
	if name, ok := browserOf(userAgent); ok {
		return name
	}
	rest := strings.TrimSpace(userAgent)
	if after, ok := strings.CutPrefix(rest, "Mozilla/"); ok {
		rest = behindMozilla(after)
	}
	if i := strings.IndexAny(rest, "/(;,"); i >= 0 {
		rest = rest[:i]
	}
	var name []string
	for _, word := range strings.Fields(rest) {
		if len(name) > 0 && isVersionWord(word) {
			break
		}
		name = append(name, word)
	}
	return printable(strings.Join(name, " "))
}

// behindMozilla finds the name of a program that pretends to be a browser, as
// robots and PowerShell do: the first product in its comment or after it.
func behindMozilla(rest string) string {
	_, comment, ok := strings.Cut(rest, "(")
	if !ok {
		return "Mozilla"
	}
	if after, ok := strings.CutPrefix(comment, "compatible;"); ok {
		return strings.TrimSpace(after)
	}
	_, after, _ := strings.Cut(comment, ")")
	if after = strings.TrimSpace(after); after == "" {
		return "Mozilla"
	}
	return after
}

// browserOf names the browser whose User-Agent it is. Automated ones count as
// browsers: they run the same pages.
func browserOf(userAgent string) (name string, ok bool) {
	if !strings.HasPrefix(userAgent, "Mozilla/5.0 (") || strings.Contains(userAgent, "(compatible;") || strings.Contains(userAgent, "PowerShell/") {
		return "", false
	}
	for _, b := range browsers {
		if strings.Contains(userAgent, b.token) {
			return b.name, true
		}
	}
	return "", false
}

func isBrowser(userAgent string) bool {
	_, ok := browserOf(userAgent)
	return ok
}

// isVersionWord reports whether a word is a version: 2.1, v3.
func isVersionWord(word string) bool {
	word = strings.TrimLeft(word, "vV")
	return word != "" && word[0] >= '0' && word[0] <= '9'
}

// printable keeps what may be shown of a name that a stranger chose.
func printable(s string) string {
	var b strings.Builder
	n := 0
	for _, c := range s {
		if n++; n > maxProgram {
			break
		}
		if !unicode.IsPrint(c) {
			c = '?'
		}
		b.WriteRune(c)
	}
	if b.Len() == 0 {
		return "unknown"
	}
	return b.String()
}
