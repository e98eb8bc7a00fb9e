package secret

import "unicode"

// Last4 returns the end of a credential for display: four characters, but never
// more than a third of it, so that "abc" shows nothing but its last character
// and twelve characters are needed to show four. What does not print reads "?".
func Last4(s string) string {
	r := []rune(s)
	shown := r[len(r)-min(4, len(r)/3):]
	for i, c := range shown {
		if !unicode.IsGraphic(c) || c == unicode.ReplacementChar {
			shown[i] = '?'
		}
	}
	return string(shown)
}
