package apikey

import (
	"encoding/base64"
	"net/http"
	"strings"

	"github.com/offkey/offkey/internal/secret"
)

// Many servers are lenient about what they were never meant to read: code that
// splits Authorization at spaces takes one word of it, decoders of base64 skip
// what is none, parsers of cookies cut quotes off without looking for both. An
// apikey that is refused, or that shall not be learnt under a second name, must
// be recognised in such a spelling too.

// isLoose reports whether a line of Authorization, parsed as a, can be read in
// another way by a lenient server.
func (r *Reader) isLoose(line string, a authorization) bool {
	switch {
	case a.other:
		return r.basic != noCarrier && isBasic(line) && !isBase64(trimOWS(line)[len("Basic "):])
	case a.carrier == r.basic && a.carrier != noCarrier:
		return false
	case a.carrier != noCarrier, a.tokenScheme == "Bearer" && r.scheme("bearer") != nil:
		return strings.ContainsAny(a.value, " \t,")
	}
	return false
}

// isHalfQuoted reports whether a cookie's value has one quotation mark of two.
func isHalfQuoted(value string) bool {
	return value != "" && (value[0] == '"') != (len(value) > 1 && value[len(value)-1] == '"')
}

// OtherReadings are the apikeys that lenient servers read where Spelling is set.
// They are guesses: only one that is known means something.
func (r *Reader) OtherReadings(h http.Header) []Found {
	var found []Found
	add := func(carrier int, value string) {
		if value = strings.TrimFunc(value, isBlank); value != "" && len(value) <= MaxLength {
			found = append(found, Found{Carrier: carrier, Value: secret.NewText(value)})
		}
	}
	for _, line := range h["Authorization"] {
		words := strings.FieldsFunc(line, func(c rune) bool { return isBlank(c) || c == ',' })
		if len(words) == 0 {
			continue
		}
		if at := r.scheme(words[0]); at != nil && len(words) > 1 {
			add(at.index, words[1])
			add(at.index, words[len(words)-1])
		}
		if r.basic != noCarrier && isBasic(line) {
			for _, user := range looseBasicUsers(trimOWS(line)[len("Basic"):]) {
				add(r.basic, user)
			}
		}
	}
	for _, line := range h["Cookie"] {
		for crumb := range strings.SplitSeq(line, ";") {
			name, value := splitCrumb(crumb)
			if at := findNamed(r.cookies, name); at != nil && isHalfQuoted(value) && len(value) > 1 {
				add(at.index, cookieDecode(strings.Trim(value, `"`)))
				add(at.index, cookieDecode(value[1:len(value)-1]))
			}
		}
	}
	return found
}

func isBasic(line string) bool {
	line = trimOWS(line)
	return len(line) > len("Basic") && strings.EqualFold(line[:len("Basic")], "Basic") && isBlank(rune(line[len("Basic")]))
}

// isBase64 reports whether s is base64 that every decoder reads alike, its
// padding aside.
func isBase64(s string) bool {
	_, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(trimOWS(s), "="))
	return err == nil
}

// looseBasicUsers are the user names that decoders find which skip what is not
// base64 (PHP, Python), which take the other alphabet too (Node), and which stop
// at the padding.
func looseBasicUsers(encoded string) []string {
	beforePadding, _, _ := strings.Cut(encoded, "=")
	otherAlphabet := strings.NewReplacer("-", "+", "_", "/")
	var users []string
	for _, s := range []string{encoded, beforePadding, otherAlphabet.Replace(encoded), otherAlphabet.Replace(beforePadding)} {
		s = strings.Map(func(c rune) rune {
			if 'a' <= c|0x20 && c|0x20 <= 'z' && c < 0x80 || '0' <= c && c <= '9' || c == '+' || c == '/' {
				return c
			}
			return -1
		}, s)
		if len(s)%4 == 1 {
			s = s[:len(s)-1] // six bits are no byte
		}
		b, err := base64.RawStdEncoding.DecodeString(s)
		if err != nil {
			continue
		}
		user, _, _ := strings.Cut(string(b), ":")
		users = append(users, user)
	}
	return users
}
