package oauthclient

import "strings"

// challenge is one entry of WWW-Authenticate: a scheme in lower case and its
// parameters, names in lower case.
type challenge struct {
	scheme string
	params map[string]string
}

// challengeLimit bounds what is read of one header line.
const challengeLimit = 8 << 10

// parseChallenges reads WWW-Authenticate (RFC 9110 §11.6.1): several lines,
// several challenges in a line, quoted strings with commas in them. What it
// does not understand it skips; of a parameter given twice the first counts.
func parseChallenges(lines []string) []challenge {
	var all []challenge
	for _, line := range lines {
		if len(line) > challengeLimit {
			continue
		}
		all = append(all, parseChallengeLine(line)...)
	}
	return all
}

func parseChallengeLine(line string) []challenge {
	var found []challenge
	rest := line
	for {
		rest = strings.TrimLeft(rest, " \t,")
		word, after := cutToken(rest)
		if word == "" {
			if rest == "" {
				return found
			}
			rest = rest[1:]
			continue
		}
		name, value := strings.ToLower(word), ""
		after = strings.TrimLeft(after, " \t")
		if !strings.HasPrefix(after, "=") {
			found = append(found, challenge{scheme: name, params: map[string]string{}})
			rest = after
			continue
		}
		value, rest = cutValue(strings.TrimLeft(strings.TrimLeft(after, "="), " \t"))
		if len(found) == 0 {
			continue
		}
		if params := found[len(found)-1].params; params[name] == "" {
			params[name] = value
		}
	}
}

// cutToken splits off a token (RFC 9110 §5.6.2).
func cutToken(s string) (token, rest string) {
	const marks = "!#$%&'*+-.^_`|~"
	end := strings.IndexFunc(s, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune(marks, r))
	})
	if end < 0 {
		end = len(s)
	}
	return s[:end], s[end:]
}

// cutValue splits off a token or a quoted string, unquoted.
func cutValue(s string) (value, rest string) {
	if !strings.HasPrefix(s, `"`) {
		end := strings.IndexAny(s, ", \t")
		if end < 0 {
			end = len(s)
		}
		return s[:end], s[end:]
	}
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '"':
			return b.String(), s[i+1:]
		case '\\':
			if i++; i == len(s) {
				return b.String(), ""
			}
		}
		b.WriteByte(s[i])
	}
	return b.String(), ""
}

// tokenChallenge returns the parameters of the first challenge that asks for an
// access token: Bearer (RFC 6750 §3) or DPoP (RFC 9449 §7.1).
func tokenChallenge(lines []string) (params map[string]string, ok bool) {
	for _, c := range parseChallenges(lines) {
		if c.scheme == "bearer" || c.scheme == "dpop" {
			return c.params, true
		}
	}
	return nil, false
}
