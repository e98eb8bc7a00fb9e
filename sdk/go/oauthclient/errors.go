package oauthclient

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Error is why something could not be done: what was tried, the cause, and,
// where it is known, the fix. It never holds a credential.
type Error struct {
	// Doing is what was being tried, as in "get a token from https://…".
	Doing string
	// Code is the server's error code (RFC 6749 §5.2), or one of ours:
	// bad_config, bad_key, bad_metadata, bad_response, clock_off, insecure_url,
	// no_client, not_supported, unreachable.
	Code string
	// Message is the cause, for a person.
	Message string
	// Fix is what to do about it; it may be empty.
	Fix string
	// Status is the HTTP status, or 0 if there was no answer.
	Status int
	// RetryAfter is how long the server asks to wait, or 0.
	RetryAfter time.Duration
	// Scopes are those that a refused call needs, where the API names them.
	Scopes []string
	// Err is the error below, if there is one.
	Err error
}

func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString("oauthclient: ")
	if e.Doing != "" {
		fmt.Fprintf(&b, "%s: ", e.Doing)
	}
	fmt.Fprintf(&b, "%s: %s", e.Code, e.Message)
	if e.Fix != "" {
		fmt.Fprintf(&b, "; fix: %s", e.Fix)
	}
	return b.String()
}

func (e *Error) Unwrap() error { return e.Err }

// PendingError says that a registration was understood and waits for a person's
// approval at the API, and that there is no client yet.
type PendingError struct {
	// Message is what the server said.
	Message string
	// Fix is what the server said to do, if it did.
	Fix string
}

func (e *PendingError) Error() string {
	return "oauthclient: upgrade_needs_approval: " + e.Message
}

// printable makes words of a stranger safe to show on a terminal: control
// characters become spaces and the length is bounded.
func printable(s string) string {
	const most = 600
	s = strings.Map(func(r rune) rune {
		if r < 0x20 || r >= 0x7f && r < 0xa0 || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 || r == '\ufffd' {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, " "))
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + " …"
	}
	return strings.TrimSpace(s)
}

// retryAfter reads both forms of Retry-After (RFC 9110 §10.2.3), at most a day.
func retryAfter(h http.Header, now time.Time) time.Duration {
	value := h.Get("Retry-After")
	if seconds, err := strconv.Atoi(value); err == nil {
		return min(max(0, time.Duration(seconds)*time.Second), 24*time.Hour)
	}
	if at, err := http.ParseTime(value); err == nil {
		return min(max(0, at.Sub(now)), 24*time.Hour)
	}
	return 0
}
