package signin

import (
	"strings"
	"unicode"
)

// shortAgent is a user agent as kept: what prints of it, and not more than a
// line.
func shortAgent(agent string) string {
	const most = 160 // characters
	kept := strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) && r != unicode.ReplacementChar {
			return r
		}
		return -1
	}, strings.ToValidUTF8(agent, ""))
	if runes := []rune(kept); len(runes) > most {
		return string(runes[:most])
	}
	return kept
}

// programs are what a user agent is called by, the more special first: browsers
// claim to be one another.
var programs = []struct{ mark, name string }{
	{"Edg/", "Edge"}, {"OPR/", "Opera"}, {"Vivaldi/", "Vivaldi"}, {"Firefox/", "Firefox"}, {"SamsungBrowser/", "Samsung Internet"},
	{"Chrome/", "Chrome"}, {"CriOS/", "Chrome"}, {"FxiOS/", "Firefox"}, {"Safari/", "Safari"}, {"curl/", "curl"},
}

var systems = []struct{ mark, name string }{
	{"iPhone", "iPhone"}, {"iPad", "iPad"}, {"Android", "Android"}, {"CrOS", "ChromeOS"}, {"Windows", "Windows"}, {"Macintosh", "macOS"}, {"Linux", "Linux"},
}

// friendlyAgent is a user agent as its owner would call it, "" if we do not
// know.
func friendlyAgent(agent string) string {
	var words []string
	for _, list := range [][]struct{ mark, name string }{programs, systems} {
		for _, one := range list {
			if strings.Contains(agent, one.mark) {
				words = append(words, one.name)
				break
			}
		}
	}
	return strings.Join(words, ", ")
}
