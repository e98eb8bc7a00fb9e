package migration

import (
	"strings"
	"unicode"
)

// wordsOf are the words of a name, small and in the singular: "SSH Keys",
// "ssh_keys" and "sshKeys" are ssh, key.
func wordsOf(name string) []string {
	var words []string
	var b strings.Builder
	end := func() {
		if b.Len() > 0 {
			words = append(words, singular(b.String()))
			b.Reset()
		}
	}
	runes := []rune(name)
	for i, c := range runes {
		switch {
		case !unicode.IsLetter(c) && !unicode.IsDigit(c):
			end()
			continue
		case unicode.IsUpper(c) && i > 0 && (unicode.IsLower(runes[i-1]) || unicode.IsDigit(runes[i-1])):
			end()
		case unicode.IsUpper(c) && i > 0 && unicode.IsUpper(runes[i-1]) && i+1 < len(runes) && unicode.IsLower(runes[i+1]) && runes[i+1] != 's':
			end() // the last capital of UISchema begins the next word
		}
		b.WriteRune(unicode.ToLower(c))
	}
	end()
	return words
}

// singular is the word for one of many, as far as its spelling tells.
func singular(word string) string {
	switch {
	case len(word) > 4 && strings.HasSuffix(word, "ies"):
		return word[:len(word)-3] + "y"
	case len(word) > 4 && hasAnySuffix(word, "sses", "shes", "ches", "xes"):
		return word[:len(word)-2]
	case len(word) > 2 && strings.HasSuffix(word, "s") && !hasAnySuffix(word, "ss", "us", "is"):
		return word[:len(word)-1]
	}
	return word
}

func hasAnySuffix(s string, suffixes ...string) bool {
	for _, suffix := range suffixes {
		if strings.HasSuffix(s, suffix) {
			return true
		}
	}
	return false
}

// plain is a name as it is compared with others: its words without what stands
// between them.
func plain(name string) string { return strings.Join(wordsOf(name), "") }

// beginsWith reports whether the words begin with those of a name, which may be
// abbreviated: "application grants" begins with apps, "identity provider" with
// idps.
func beginsWith(words []string, name string) bool {
	want := plain(name)
	if want == "" || len(words) == 0 {
		return false
	}
	joined := ""
	for _, w := range words {
		if joined += w; joined == want {
			return true
		}
	}
	return len(want) >= 3 && isAbbreviation(want, words)
}

// isAbbreviation reports whether short is made of the beginnings of the first
// words, one letter of each at least.
func isAbbreviation(short string, words []string) bool {
	if short == "" {
		return true
	}
	if len(words) == 0 {
		return false
	}
	for n := min(len(short), len(words[0])); n > 0; n-- {
		if short[:n] == words[0][:n] && isAbbreviation(short[n:], words[1:]) {
			return true
		}
	}
	return false
}

// endsWith reports whether the words end with those of a name.
func endsWith(words []string, name string) bool {
	want, joined := plain(name), ""
	for i := len(words) - 1; i >= 0 && want != ""; i-- {
		if joined = words[i] + joined; joined == want {
			return true
		}
	}
	return false
}
