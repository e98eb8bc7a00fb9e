package accesslog

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
)

// Format is how the lines of a log are written.
type Format string

// The formats that are read.
const (
	Combined Format = "combined" // of nginx and Apache, and the common format
	JSON     Format = "json"     // a JSON object a line: Caddy, Traefik, nginx, clouds
	Kong     Format = "kong"     // Kong's file-log and http-log
	Envoy    Format = "envoy"    // Envoy's default, and Istio's
	ALB      Format = "alb"      // AWS's application load balancer
	HAR      Format = "har"      // HTTP archive, by entry
)

// Formats are all formats, for messages.
const Formats = "combined, json, kong, envoy, alb or har"

var parsers = map[Format]func(s string, e *Entry, tail []tailField) error{
	Combined: parseCombined, JSON: parseJSON, Kong: parseKong, Envoy: parseEnvoy, ALB: parseALB, HAR: parseHAR,
}

// Parser reads the lines of one log. It is not safe for concurrent use.
type Parser struct {
	parse func(s string, e *Entry, tail []tailField) error
	tail  []tailField
}

// NewParser makes a Parser. The tail says what the fields behind the combined
// format are, "" where there are none.
func NewParser(f Format, tail string) (*Parser, error) {
	parse, ok := parsers[f]
	if !ok {
		return nil, fmt.Errorf("%q is no format: it is %s", f, Formats)
	}
	fields, err := parseTail(tail)
	if err != nil {
		return nil, err
	}
	if len(fields) > 0 && f != Combined {
		return nil, fmt.Errorf("--tail is for the combined format: a line of %s says what its fields are", f)
	}
	return &Parser{parse, fields}, nil
}

// Parse reads a line into e, whatever was in it before. The error says what is
// wrong with the line without quoting it.
func (p *Parser) Parse(line string, e *Entry) error {
	*e = Entry{}
	return p.parse(line, e, p.tail)
}

// Detect tells the format from the beginning of a log; ok is false where that
// is not certain.
func Detect(head []byte) (f Format, ok bool) {
	head = bytes.TrimLeft(bytes.TrimPrefix(head, []byte("\ufeff")), " \t\r\n")
	line, _, whole := bytes.Cut(head, []byte("\n"))
	text := strings.TrimRight(string(line), "\r")
	switch {
	case text == "":
		return "", false
	case text[0] == '{':
		return detectJSON(head, line, whole)
	}
	var e Entry
	for _, f := range []Format{Envoy, ALB, Combined} {
		e = Entry{}
		if err := parsers[f](text, &e, nil); err == nil || err == ErrNoRequest && !e.At.IsZero() {
			return f, true
		}
	}
	return "", false
}

func detectJSON(head, line []byte, whole bool) (Format, bool) {
	var object map[string]json.RawMessage
	if !whole || json.Unmarshal(line, &object) != nil || object["log"] != nil {
		compact := strings.Join(strings.Fields(string(head[:min(len(head), 512)])), "")
		isArchive := strings.HasPrefix(compact, `{"log":{`) && (strings.Contains(compact, `"creator"`) || strings.Contains(compact, `"entries"`) || strings.Contains(compact, `"version"`))
		return HAR, isArchive
	}
	has := func(names ...string) bool {
		for _, name := range names {
			if object[name] == nil {
				return false
			}
		}
		return true
	}
	if has("request", "response", "client_ip") && (has("latencies") || has("started_at")) {
		return Kong, true
	}
	var e Entry
	return JSON, parseJSON(string(line), &e, nil) == nil
}
