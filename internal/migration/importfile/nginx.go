package importfile

import (
	"errors"
	"strings"
)

var errNoMap = errors.New("no map of a header, parameter or cookie whose name says that it holds apikeys: $http_apikey, $http_x_api_key, $arg_api_key and the like")

// readNginx reads the maps of a configuration that turn an apikey into the name
// of its client. Entries that are files or regular expressions are named and
// left.
func readNginx(text string, found *Found, yield Yield) error {
	words := nginxWords{text: text, line: 1}
	seen := false
	for {
		w, ok := words.next()
		if !ok {
			break
		}
		if w.quoted || w.text != "map" {
			continue
		}
		from, _ := words.next()
		_, _ = words.next() // the variable that is set
		open, ok := words.next()
		if !ok || open.quoted || open.text != "{" {
			continue
		}
		kind, name, holds := nginxCarrier(from.text)
		if holds {
			seen = true
			found.carrier(kind, name)
		}
		if err := words.readMap(holds, yield); err != nil {
			return err
		}
	}
	if !seen {
		return errNoMap
	}
	return nil
}

// nginxCarrier is where a variable comes from, and whether its name says that
// it holds an apikey.
func nginxCarrier(variable string) (kind, name string, holds bool) {
	variable = strings.ToLower(strings.Trim(strings.TrimPrefix(variable, "$"), "{}"))
	for prefix, of := range map[string]string{"http_": "header", "arg_": "query", "cookie_": "cookie"} {
		rest, is := strings.CutPrefix(variable, prefix)
		if !is {
			continue
		}
		for _, word := range []string{"key", "token", "auth", "secret", "cred"} {
			holds = holds || strings.Contains(rest, word)
		}
		if of == "header" {
			rest = strings.ReplaceAll(rest, "_", "-")
		}
		return of, rest, holds
	}
	return "", "", false
}

// readMap reads the entries of a map up to its closing brace.
func (w *nginxWords) readMap(holds bool, yield Yield) error {
	for {
		key, ok := w.next()
		if !ok || !key.quoted && key.text == "}" {
			return nil
		}
		if !key.quoted && key.text == ";" {
			continue
		}
		value, ok := w.next()
		if !ok || !value.quoted && value.text == "}" {
			return nil
		}
		flag := !value.quoted && value.text == ";" // hostnames; volatile;
		for end := value; ok && !flag && (end.quoted || end.text != ";"); {
			if end, ok = w.next(); ok && !end.quoted && end.text == "}" {
				return nil
			}
		}
		if !holds || flag || !key.quoted && key.text == "default" {
			continue
		}
		e := Entry{Line: key.line, Key: key.text, Owner: value.text, Disabled: value.text == "" || value.text == "0"}
		if value.text == "1" {
			e.Owner = "" // it says that the apikey is good, and not whose it is
		}
		var problem error
		switch {
		case !key.quoted && key.text == "include":
			e.Key, problem = "", unresolved("it includes %s: import that file as a map of its own", line(value.text))
			e.Owner = ""
		case strings.HasPrefix(key.text, "~"):
			e.Key, problem = "", unresolved("it is a regular expression, which stands for more than one apikey")
		case key.text == "" || strings.Contains(key.text, "$"):
			continue // a call without an apikey
		}
		if err := yield(e, problem); err != nil {
			return err
		}
	}
}

// nginxWords takes a configuration apart into words.
type nginxWords struct {
	text string
	line int
}

type nginxWord struct {
	text   string
	quoted bool
	line   int
}

// next is the next word; braces and semicolons are words of their own.
func (w *nginxWords) next() (nginxWord, bool) {
	for w.text != "" {
		switch c := w.text[0]; {
		case c == '\n':
			w.line++
			w.text = w.text[1:]
		case c == ' ' || c == '\t' || c == '\r':
			w.text = w.text[1:]
		case c == '#':
			_, rest, _ := strings.Cut(w.text, "\n")
			w.text, w.line = rest, w.line+1
		case c == '{' || c == '}' || c == ';':
			w.text = w.text[1:]
			return nginxWord{text: string(c), line: w.line}, true
		case c == '"' || c == '\'':
			return w.quotedWord(c), true
		default:
			end := strings.IndexAny(w.text, " \t\r\n;{}")
			for end > 0 && w.text[end-1] == '$' && w.text[end] == '{' { // ${name}
				next := strings.IndexAny(w.text[end:], " \t\r\n;")
				if next < 0 {
					end = -1
					break
				}
				end += next
			}
			if end < 0 {
				end = len(w.text)
			}
			word := nginxWord{text: strings.TrimPrefix(w.text[:end], `\`), line: w.line}
			w.text = w.text[end:]
			return word, true
		}
	}
	return nginxWord{}, false
}

func (w *nginxWords) quotedWord(quote byte) nginxWord {
	word := nginxWord{quoted: true, line: w.line}
	var b strings.Builder
	i := 1
	for ; i < len(w.text) && w.text[i] != quote; i++ {
		if w.text[i] == '\\' && i+1 < len(w.text) {
			i++
		}
		if w.text[i] == '\n' {
			w.line++
		}
		b.WriteByte(w.text[i])
	}
	w.text = w.text[min(i+1, len(w.text)):]
	word.text = b.String()
	return word
}
