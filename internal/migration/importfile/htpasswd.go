package importfile

import (
	"bufio"
	"errors"
	"strings"
)

var (
	errClientLine = errors.New("it is not written as client: key")
	errNameLine   = errors.New("it is not written as name:hash")
)

// readHtpasswd reads lines of name:hash. What is no hash is the apikey itself,
// as old files have it. The name is its owner: of a user, or of a key.
func readHtpasswd(in *bufio.Reader, yield Yield) error {
	return eachLine(in, func(number int, text string, problem error) error {
		if strings.HasPrefix(text, "#") {
			return nil
		}
		name, value, two := strings.Cut(text, ":")
		e := Entry{Line: number, Label: name, Owner: name, Contact: contactIn(name)}
		switch {
		case problem != nil:
			return yield(Entry{Line: number}, problem)
		case !two || name == "" || value == "":
			return yield(Entry{Line: number}, errNameLine)
		case !strings.HasPrefix(value, "$") && !strings.HasPrefix(value, "{"):
			e.Key = value
			return yield(e, nil)
		}
		h, err := parseHash(value, HashForm{})
		if err != nil {
			return yield(e, unresolvedHash(err))
		}
		e.Hash = &h
		return yield(e, nil)
	})
}
