package secret

import "strings"

// What of a credential may be kept as its prefix: words that say what kind it is,
// as in sk_live_. What follows must still be too long to guess.
const (
	longestPrefix = 16
	leastUnkept   = 16
)

// Prefix is what a credential begins with, as far as that says only what kind it
// is: words of lower-case letters, each followed by _ or -. It is "" where there
// are none, or where too little would be left to be secret.
func Prefix(value string) string {
	end := 0
	for i := 0; i < len(value) && i < longestPrefix; i++ {
		switch c := value[i]; {
		case c == '_' || c == '-':
			if i == end {
				return kept(value, end)
			}
			end = i + 1
		case c < 'a' || c > 'z':
			return kept(value, end)
		}
	}
	return kept(value, end)
}

func kept(value string, end int) string {
	if len(value)-end < leastUnkept {
		return ""
	}
	return strings.Clone(value[:end])
}
