package importfile

import (
	"bufio"
	"strings"
)

// readEnvoy reads the filter api_key_auth wherever it stands in a configuration:
// its credentials as a list of key and client, or as lines of "client: key" in a
// data source.
func readEnvoy(documents []node, found *Found, yield Yield) (err error) {
	for _, d := range documents {
		d.walk(func(n node) {
			if err == nil {
				err = envoyFilter(n, found, yield)
			}
		})
	}
	return err
}

func envoyFilter(n node, found *Found, yield Yield) error {
	for _, source := range n.get("key_sources").list {
		for _, kind := range []string{"header", "query", "cookie"} {
			if name := source.get(kind).text; kind == "header" && strings.EqualFold(name, "Authorization") {
				found.carrier("authorization", "Bearer") // the filter takes what follows the scheme
			} else {
				found.carrier(kind, name)
			}
		}
	}
	credentials := n.get("credentials")
	for _, c := range credentials.items() {
		if c.get("key").kind == kindText && c.get("client").kind == kindText {
			e := Entry{Line: c.line, Key: c.first("key"), Owner: c.first("client")}
			if err := yield(e, reference(e.Key)); err != nil {
				return err
			}
		}
	}
	if text := credentials.get("inline_string").text; text != "" {
		return readClientLines(text, yield)
	}
	if file := credentials.get("filename").text; file != "" {
		return yield(Entry{Line: credentials.line}, unresolved("its apikeys are in the file %s: import that", line(file)))
	}
	return nil
}

// isClientLines reports whether a text is lines of "client: key" and nothing
// else.
func isClientLines(text string) bool {
	lines := 0
	for l := range strings.Lines(text) {
		if l = strings.TrimSpace(l); l == "" || strings.HasPrefix(l, "#") {
			continue
		}
		client, key, two := strings.Cut(l, ":")
		key = strings.TrimSpace(key)
		if !two || client == "" || key == "" || strings.ContainsAny(key, " {}[]&*|>") || strings.ContainsAny(client, " -{[\"") && strings.HasPrefix(client, "-") {
			return false
		}
		lines++
	}
	return lines > 0
}

func readClientLines(text string, yield Yield) error {
	return eachLine(bufio.NewReaderSize(strings.NewReader(text), maxLine), func(number int, l string, problem error) error {
		if strings.HasPrefix(l, "#") {
			return nil
		}
		client, key, two := strings.Cut(l, ":")
		e := Entry{Line: number, Owner: strings.Trim(strings.TrimSpace(client), `"'`), Key: strings.Trim(strings.TrimSpace(key), `"'`)}
		switch {
		case problem != nil:
		case !two:
			problem = errClientLine
			e.Key, e.Owner = "", ""
		default:
			problem = reference(e.Key)
		}
		return yield(e, problem)
	})
}
