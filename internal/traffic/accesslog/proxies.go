package accesslog

import (
	"strings"
	"time"
)

// parseEnvoy reads Envoy's default format, and Istio's, which says more between
// the flags and the sizes:
//
//	[2016-04-15T20:17:00.310Z] "POST /v1/x HTTP/2" 204 - 154 0 226 100 "10.0.35.28" "agent" "request-id" "authority" "upstream"
func parseEnvoy(s string, e *Entry, _ []tailField) error {
	if s == "" || s[0] != '[' {
		return errShape
	}
	end := strings.IndexByte(s, ']')
	if end < 0 {
		return errTime
	}
	var ok bool
	if e.At, ok = isoTime(s[1:end]); !ok {
		return errTime
	}
	request, s, err := quoted(s[end+1:])
	if err != nil {
		return err
	}
	status, s := word(s)
	if status == "0" { // the caller left before there was one
		return ErrNoRequest
	}
	if err := e.status(status); err != nil {
		return err
	}
	noRequest := e.requestLine(request)
	_, s = word(s) // flags
	istio := s != "" && (s[0] < '0' || s[0] > '9')
	texts := 0
	for s != "" {
		if s[0] != '"' {
			_, s = word(s)
			continue
		}
		var text string
		if text, s, err = quoted(s); err != nil {
			return err
		}
		if texts++; isAbsent(text) {
			continue
		}
		field := texts
		if istio {
			field-- // the first says why the upstream failed
		}
		switch field {
		case 1:
			e.Address, _, _ = strings.Cut(text, ",")
		case 2:
			e.UserAgent = text
		}
	}
	if texts < 2 {
		return errShape
	}
	return noRequest
}

// parseALB reads the access log of AWS's application load balancer:
//
//	type time elb client:port target:port t t t elb_status target_status rx tx "METHOD URL PROTO" "agent" …
func parseALB(s string, e *Entry, _ []tailField) error {
	var fields [12]string
	for i := range fields {
		fields[i], s = word(s)
	}
	if s == "" {
		return errShape
	}
	var ok bool
	if e.At, ok = isoTime(fields[1]); !ok {
		return errTime
	}
	e.Plain = fields[0] == "http" || fields[0] == "ws"
	e.Address = fields[3]
	request, s, err := quoted(s)
	if err != nil {
		return err
	}
	agent, _, err := quoted(s)
	if err != nil {
		return err
	}
	if !isAbsent(agent) {
		e.UserAgent = agent
	}
	if err := e.status(fields[8]); err != nil {
		return err
	}
	return e.requestLine(request)
}

// isoTime reads RFC 3339, with or without a fraction; a zone without a colon
// and none at all, which is UTC, are understood too.
func isoTime(s string) (time.Time, bool) {
	for _, layout := range [...]string{time.RFC3339, "2006-01-02T15:04:05-0700", "2006-01-02T15:04:05", "2006-01-02 15:04:05-07:00", "2006-01-02 15:04:05"} {
		if at, err := time.Parse(layout, s); err == nil {
			return at.UTC(), at.Year() >= 1970 && at.Year() < 2200
		}
	}
	return time.Time{}, false
}
