package scan

import (
	"bytes"
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/offkey/offkey/internal/secret"
)

// Detector knows one format of credentials.
type Detector struct {
	Name   string `json:"name"`
	Prefix string `json:"prefix"`
	// What follows the prefix: between Min and Max characters of the Alphabet.
	Min      int      `json:"min"`
	Max      int      `json:"max"`
	Alphabet Alphabet `json:"alphabet"`
	Issued   bool     `json:"issued"` // made by offkey: it has a checksum
	Keys     int      `json:"keys"`   // of the list that it was derived from
	// Collides says in words how often something else looks like it.
	Collides string `json:"collides"`
}

// Alphabet is what a format is made of.
type Alphabet string

// The alphabets that are told apart, the narrowest first.
const (
	Digits    Alphabet = "digits"
	HexLower  Alphabet = "hex"
	HexUpper  Alphabet = "HEX"
	Base36    Alphabet = "base36"
	Base62    Alphabet = "base62"
	Base64URL Alphabet = "base64url"
	Base64    Alphabet = "base64"
)

var alphabets = []struct {
	name    Alphabet
	pattern string // of a regular expression's class
	bits    float64
}{
	{Digits, "0-9", 3.3}, {HexLower, "0-9a-f", 4}, {HexUpper, "0-9A-F", 4}, {Base36, "0-9a-z", 5.2},
	{Base62, "0-9A-Za-z", 5.95}, {Base64URL, "0-9A-Za-z_-", 6}, {Base64, "0-9A-Za-z+/=_.~-", 6.1},
}

// contains reports whether all of s is of the alphabet.
func (a Alphabet) contains(s string) bool {
	for i := range len(s) {
		c := s[i]
		var ok bool
		switch a {
		case Digits:
			ok = c >= '0' && c <= '9'
		case HexLower:
			ok = c >= '0' && c <= '9' || c >= 'a' && c <= 'f'
		case HexUpper:
			ok = c >= '0' && c <= '9' || c >= 'A' && c <= 'F'
		case Base36:
			ok = c >= '0' && c <= '9' || c >= 'a' && c <= 'z'
		case Base62:
			ok = classOf[c] == plainByte && c != '_' && c != '-'
		case Base64URL:
			ok = classOf[c] == plainByte
		case Base64:
			ok = classOf[c] != 0
		}
		if !ok {
			return false
		}
	}
	return true
}

// alphabetOf is the narrowest alphabet of s, "" if it has other characters.
func alphabetOf(s string) Alphabet {
	for _, a := range alphabets {
		if a.name.contains(s) {
			return a.name
		}
	}
	return ""
}

func (a Alphabet) about() (pattern string, bits float64) {
	for _, x := range alphabets {
		if x.name == a {
			return x.pattern, x.bits
		}
	}
	return "", 0
}

// Issued is what offkey itself makes, whatever its kind.
func Issued() Detector {
	return Detector{
		Name: "offkey", Prefix: secret.GeneratedPrefix, Min: secret.GeneratedTail + 2, Max: secret.GeneratedTail + 9, Alphabet: Base64URL, Issued: true,
		Collides: "not at all: one in four billion others of the form has its checksum",
	}
}

// Derive makes detectors of a list of apikeys, one for each form of at least two
// keys, or of one that has a prefix: the characters, how many, and what all begin
// with.
func Derive(keys []string) []Detector {
	type form struct {
		prefix   string
		alphabet Alphabet
		length   int
	}
	counts := map[form]int{}
	for _, k := range keys {
		prefix, rest := splitPrefix(k)
		if a := alphabetOf(rest); a != "" && len(rest) >= minWord {
			counts[form{prefix, a, len(rest)}]++
		}
	}
	// Random keys of one alphabet may happen to fit a narrower one.
	widest := map[string]Alphabet{}
	for f := range counts {
		id := fmt.Sprint(f.prefix, " ", f.length)
		if order(f.alphabet) > order(widest[id]) {
			widest[id] = f.alphabet
		}
	}
	sums := map[form]int{}
	for f, n := range counts {
		f.alphabet = widest[fmt.Sprint(f.prefix, " ", f.length)]
		sums[f] += n
	}
	var out []Detector
	for f, n := range sums {
		if n < 2 && len(strings.Trim(f.prefix, "_-.")) < 3 {
			continue // one key is no form
		}
		d := Detector{Prefix: f.prefix, Min: f.length, Max: f.length, Alphabet: f.alphabet, Keys: n}
		d.Name = "apikey " + cmp.Or(strings.TrimRight(f.prefix, "_-."), fmt.Sprint(f.length, " ", f.alphabet))
		d.Collides = d.collides()
		out = append(out, d)
	}
	slices.SortFunc(out, func(a, b Detector) int {
		return cmp.Or(cmp.Compare(b.Keys, a.Keys), strings.Compare(a.Prefix, b.Prefix), cmp.Compare(a.Min, b.Min))
	})
	return mergeLengths(out)
}

func order(a Alphabet) int {
	return slices.IndexFunc(alphabets, func(x struct {
		name    Alphabet
		pattern string
		bits    float64
	}) bool {
		return x.name == a
	})
}

// mergeLengths makes one of detectors that differ in length alone, where there
// is a prefix to tell by.
func mergeLengths(all []Detector) []Detector {
	var out []Detector
	for _, d := range all {
		i := slices.IndexFunc(out, func(o Detector) bool { return d.Prefix != "" && o.Prefix == d.Prefix })
		if i < 0 {
			out = append(out, d)
			continue
		}
		o := &out[i]
		o.Min, o.Max, o.Keys = min(o.Min, d.Min), max(o.Max, d.Max), o.Keys+d.Keys
		if order(d.Alphabet) > order(o.Alphabet) {
			o.Alphabet = d.Alphabet
		}
		o.Collides = o.collides()
	}
	return out
}

// splitPrefix cuts off what the keys of a maker begin with, up to the last
// separator among the first characters: sk_live_.
func splitPrefix(k string) (prefix, rest string) {
	const longest = 16
	head := k[:min(len(k), longest)]
	at := strings.LastIndexAny(head, "_-.")
	if at < 1 || len(k)-at-1 < minWord {
		return "", k
	}
	if strings.IndexFunc(k[:at], func(r rune) bool { return r >= '0' && r <= '9' }) >= 0 && !strings.Contains(k[:at], "_") {
		return "", k // rather a part of an identifier: 550e8400-e29b-…
	}
	return k[:at+1], k[at+1:]
}

// collides says how likely something else looks like this.
func (d Detector) collides() string {
	_, bits := d.Alphabet.about()
	switch letters := len(strings.Trim(d.Prefix, "_-.")); {
	case letters >= 4:
		return "hardly: the prefix is telling"
	case letters >= 2:
		return "seldom: the prefix is short, other makers may use it"
	case d.Alphabet == HexLower && slices.Contains([]int{32, 40, 64}, d.Min):
		return "often: every digest of that length looks like it (" + map[int]string{32: "MD5", 40: "SHA-1, git commits", 64: "SHA-256"}[d.Min] + ")"
	case float64(d.Min)*bits < 64:
		return "often: it is short"
	}
	return "at times: it has no prefix, and is told by its length alone"
}

// minEntropy is how mixed a word without a prefix must be, in bits for each
// character: words and paths of that length are less.
func (d Detector) minEntropy() float64 {
	switch d.Alphabet {
	case Digits:
		return 2
	case HexLower, HexUpper:
		return 2.8
	}
	return 3.2
}

// may reports whether it is worth to look at a word: most are not.
func (d *Detector) may(word []byte) bool {
	if d.Prefix == "" {
		return len(word) >= d.Min && len(word) <= d.Max
	}
	return len(word) >= len(d.Prefix)+d.Min && bytes.Contains(word, []byte(d.Prefix))
}

// find looks for the format in a word. It returns each place where it is.
func (d Detector) find(word string) (found []string) {
	if d.Prefix == "" {
		if len(word) >= d.Min && len(word) <= d.Max && d.Alphabet.contains(word) && entropy(word) >= d.minEntropy() {
			return []string{word}
		}
		return nil
	}
	for at := 0; ; {
		i := strings.Index(word[at:], d.Prefix)
		if i < 0 {
			return found
		}
		at += i
		if text, ok := d.from(word[at:]); ok {
			found = append(found, text)
		}
		at += len(d.Prefix)
	}
}

// from is the credential that begins with the prefix that text begins with.
func (d Detector) from(text string) (string, bool) {
	rest := text[len(d.Prefix):]
	if d.Issued {
		kind, tail, ok := strings.Cut(rest, "_")
		if !ok || len(tail) < secret.GeneratedTail {
			return "", false
		}
		text = d.Prefix + kind + "_" + tail[:secret.GeneratedTail]
		return text, secret.WellFormed(text)
	}
	end := 0
	for end < len(rest) && d.Alphabet.contains(rest[end:end+1]) {
		end++
	}
	if end < d.Min || end > d.Max {
		return "", false
	}
	return text[:len(d.Prefix)+end], true
}

// entropy is Shannon's, in bits for each character.
func entropy(s string) float64 {
	var counts [256]int
	for i := range len(s) {
		counts[s[i]]++
	}
	bits := 0.0
	for _, n := range counts {
		if n > 0 {
			p := float64(n) / float64(len(s))
			bits -= p * math.Log2(p)
		}
	}
	return bits
}
