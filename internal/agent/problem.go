package agent

import (
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
)

// refuse answers a call that is not sent on (RFC 9457 §3).
func refuse(w http.ResponseWriter, status int, code, detail string) {
	body, _ := json.Marshal(map[string]any{ // of strings alone: it cannot fail
		"title": "offkey agent: " + http.StatusText(status), "status": status, "code": code, "detail": detail,
	})
	h := w.Header()
	h.Set("Content-Type", "application/problem+json")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n'))
}

// failed answers a call that the API did not.
func (a *Agent) failed(w http.ResponseWriter, r *http.Request, err error) {
	if r.Context().Err() != nil {
		return // the program is gone
	}
	code, detail := "api_unreachable", "The API did not answer."
	var without *noToken
	if errors.As(err, &without) {
		code, detail = "no_token", "The agent has no token for this call: its log says why."
	}
	a.Log.LogAttrs(r.Context(), slog.LevelWarn, "a call was not answered", slog.String("method", r.Method), slog.String("code", code), slog.String("error", err.Error()))
	refuse(w, http.StatusBadGateway, code, detail)
}
