// Package accesslog reads the access logs of servers and proxies: a line
// becomes an Entry, and an Entry a traffic.Observation, under the apikey that
// the line shows or names. What a line holds beyond that, secrets first, is
// never kept, and what is wrong with a line is said without quoting it.
//
// Where a log was read up to, and what the calls are counted into, is
// migration's.
package accesslog

import (
	"errors"
	"net/http"
	"strings"
	"time"
)

// Entry is what one line of a log says about one call. Its texts are parts of
// the line wherever the line needs no decoding.
type Entry struct {
	At        time.Time
	Method    string
	Target    string // path and query, or a URL
	Status    int
	UserAgent string
	Address   string // of the caller, with or without a port
	User      string // name of the user that the server knows
	// Names are what the server calls the caller, most telling first: the id of
	// a credential, a consumer.
	Names [maxNames]string
	// Values are what stands in places that the reader of the log named.
	Values [maxTail]Value
	Header http.Header // of formats that have it; values as logged
	Plain  bool        // it came over plain HTTP, as the line says
	Script bool        // it came from a page in a browser, as its headers say

	values int
}

const maxNames = 4

// Value is an apikey as logged, with the place where it travelled.
type Value struct{ Carrier, Text string }

func (e *Entry) addValue(carrier, text string) {
	if e.values < len(e.Values) && !isAbsent(text) {
		e.Values[e.values] = Value{carrier, text}
		e.values++
	}
}

func (e *Entry) addName(name string) {
	if isAbsent(name) {
		return
	}
	for i := range e.Names {
		if e.Names[i] == "" {
			e.Names[i] = name
			return
		}
	}
}

// isAbsent reports whether a field is how logs write that there is nothing.
func isAbsent(s string) bool { return s == "" || s == "-" }

// What is wrong with a line. No error holds anything of the line: it may be a
// secret.
var (
	errShape   = errors.New("it is not of this format")
	errTime    = errors.New("its time cannot be read")
	errStatus  = errors.New("its status is no number from 100 to 599")
	errQuote   = errors.New("a quoted field does not end")
	errTail    = errors.New("it has fewer fields at its end than --tail names")
	errMissing = errors.New("it lacks the time, the method, the path or the status")
	errJSON    = errors.New("it is no JSON object")
	// ErrLong is a line that is longer than MaxLine.
	ErrLong = errors.New("it is too long")
	// ErrNoRequest is a line that is well formed, about something that was no
	// HTTP request: a port scan, a connection that sent nothing.
	ErrNoRequest = errors.New("it is about no HTTP request")
)

// requestLine splits `METHOD target PROTOCOL`. Targets may hold spaces where
// the server let them through.
func (e *Entry) requestLine(s string) error {
	method, target, _ := strings.Cut(s, " ")
	if !isMethodName(method) {
		return ErrNoRequest
	}
	e.Method, s = method, target
	e.Target = s
	if n := len(s); n > 9 && s[n-9] == ' ' && s[n-8:n-3] == "HTTP/" { // HTTP/1.1
		e.Target = s[:n-9]
	} else if n > 7 && s[n-7] == ' ' && s[n-6:n-1] == "HTTP/" { // HTTP/2
		e.Target = s[:n-7]
	}
	if e.Target == "" || e.Target == "-" {
		return ErrNoRequest
	}
	return nil
}

// isMethodName reports whether a word is a method as programs send them.
func isMethodName(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < 'A' || c > 'Z') && (i == 0 || c != '-' && c != '_') {
			return false
		}
	}
	return s != "" && len(s) <= 32
}

// status reads three digits.
func (e *Entry) status(s string) error {
	if len(s) != 3 || s[0] < '1' || s[0] > '5' || s[1]-'0' > 9 || s[2]-'0' > 9 {
		return errStatus
	}
	e.Status = int(s[0]-'0')*100 + int(s[1]-'0')*10 + int(s[2]-'0')
	return nil
}
