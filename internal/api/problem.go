package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"github.com/offkey/offkey/internal/apikey"
	"github.com/offkey/offkey/internal/client"
	"github.com/offkey/offkey/internal/directory"
	"github.com/offkey/offkey/internal/keyring"
	"github.com/offkey/offkey/internal/leak"
	"github.com/offkey/offkey/internal/oauth"
	"github.com/offkey/offkey/internal/policy"
)

// Problem is an answer that says no, and how to get a yes (RFC 9457 §3).
type Problem struct {
	Title  string `json:"title"`
	Status int    `json:"status"`
	Code   string `json:"code"` // stable, for scripts
	Detail string `json:"detail"`
	Fix    string `json:"fix,omitempty"`

	challenge  string        // WWW-Authenticate
	retryAfter time.Duration // 0: not said
}

func (p *Problem) Error() string {
	if p.Fix == "" {
		return p.Detail
	}
	return p.Detail + "; " + p.Fix
}

// problem makes a Problem; fix may be empty.
func problem(status int, code, fix, format string, args ...any) *Problem {
	return &Problem{Title: http.StatusText(status), Status: status, Code: code, Detail: fmt.Sprintf(format, args...), Fix: fix}
}

func badRequest(fix, format string, args ...any) *Problem {
	return problem(http.StatusBadRequest, "invalid_request", fix, format, args...)
}

// problemOf is the one place where an error becomes an answer. Whoever asks
// runs as the same user as the server, so that causes are told as they are.
func problemOf(err error) *Problem {
	var p *Problem
	var rule *oauth.Error
	var tooLong *http.MaxBytesError
	switch {
	case errors.As(err, &p):
		return p
	case errors.As(err, &rule):
		if rule.Code == oauth.CodeServerError {
			break
		}
		return problem(http.StatusBadRequest, rule.Code, "", "%s", rule.Description)
	case errors.As(err, &tooLong):
		return problem(http.StatusRequestEntityTooLarge, "too_large", "send it in several parts", "the request has more than %d bytes", tooLong.Limit)
	case errors.Is(err, client.ErrNotFound), errors.Is(err, apikey.ErrNotFound), errors.Is(err, policy.ErrNotFound), errors.Is(err, keyring.ErrNotFound), errors.Is(err, client.ErrNoTrust),
		errors.Is(err, directory.ErrNotFound), errors.Is(err, leak.ErrNotFound):
		return problem(http.StatusNotFound, "not_found", "", "%v", err)
	case errors.Is(err, directory.ErrNoGroup):
		return problem(http.StatusNotFound, "not_found", "see `offkey people groups list`; `offkey people groups set NAME` makes one", "%v", err)
	case errors.Is(err, client.ErrExists), errors.Is(err, client.ErrTrustExists), errors.Is(err, keyring.ErrExists), errors.Is(err, directory.ErrExists):
		return problem(http.StatusConflict, "exists", "", "%v", err)
	case errors.Is(err, directory.ErrPassword), errors.Is(err, directory.ErrInvalid):
		return badRequest("", "%v", err)
	case errors.Is(err, directory.ErrDisabled), errors.Is(err, directory.ErrForbidden):
		return problem(http.StatusConflict, "shut", "", "%v", err)
	case errors.Is(err, directory.ErrBusy):
		return problem(http.StatusServiceUnavailable, "busy", "", "%v", err)
	case errors.Is(err, context.DeadlineExceeded):
		return problem(http.StatusServiceUnavailable, "timeout", "try again", "the server did not finish in time")
	}
	return problem(http.StatusInternalServerError, "server_error", "the server's log has the request", "%v", err)
}

func (s *Server) writeProblem(w http.ResponseWriter, r *http.Request, err error) {
	p := problemOf(err)
	if p.Status >= http.StatusInternalServerError && r.Context().Err() == nil {
		s.log.LogAttrs(r.Context(), slog.LevelError, "management request failed",
			slog.String("method", r.Method), slog.String("path", r.URL.Path), slog.Any("error", err))
		if c, err := callerOf(r.Context()); err != nil || !c.all {
			p = problem(p.Status, p.Code, "see the log of the server", "the server could not do it") // causes are for the machine's own
		}
	}
	if p.challenge != "" {
		w.Header().Set("WWW-Authenticate", p.challenge)
	}
	if p.retryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int((p.retryAfter+time.Second-1)/time.Second)))
	}
	write(w, "application/problem+json", p.Status, p)
}

func write(w http.ResponseWriter, contentType string, status int, body any) {
	raw, err := json.Marshal(body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = w.Write(append(raw, '\n')) // whoever asked may have gone
}
