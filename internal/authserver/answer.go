package authserver

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"strconv"
	"time"

	"github.com/offkey/offkey/internal/authserver/clientauth"
	"github.com/offkey/offkey/internal/oauth"
)

// maxBody bounds every request body, in bytes.
const maxBody = 64 << 10

// readForm reads the parameters of a POST. Those of the query string are not
// looked at: URLs end up in logs (RFC 6749 §2.3.1).
func readForm(w http.ResponseWriter, r *http.Request, repeatable ...string) (oauth.Params, error) {
	if mediaType(r) != "application/x-www-form-urlencoded" {
		return oauth.Params{}, oauth.InvalidRequest("the body must be application/x-www-form-urlencoded, and Content-Type must say so")
	}
	body, err := readBody(w, r)
	if err != nil {
		return oauth.Params{}, err
	}
	return oauth.ParseParams(string(body), repeatable...)
}

func readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return nil, oauth.InvalidRequest("the body is longer than 64 KiB").WithStatus(http.StatusRequestEntityTooLarge)
	case err != nil:
		return nil, oauth.InvalidRequest("the body was not sent completely").WithCause(err)
	}
	return body, nil
}

func mediaType(r *http.Request) string {
	contentType := r.Header.Get("Content-Type")
	if contentType == "application/x-www-form-urlencoded" || contentType == "application/json" {
		return contentType
	}
	t, _, err := mime.ParseMediaType(contentType)
	if err != nil {
		return ""
	}
	return t
}

// writeSecret answers with what nobody on the way may keep (RFC 6749 §5.1).
func writeSecret(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Pragma", "no-cache")
	writeJSON(w, status, v)
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	raw, err := json.Marshal(v)
	if err != nil { // none of our answers can fail to encode
		status, raw = http.StatusInternalServerError, []byte(`{"error":"server_error"}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(raw)
}

// writeError is the one place where an error becomes an OAuth answer.
func (s *Server) writeError(w http.ResponseWriter, r *http.Request, err error) {
	answer, named := asOAuth(err)
	if !named {
		answer = oauth.ServerError(err)
	}
	var limited *clientauth.Limited
	switch {
	case errors.As(err, &limited):
		w.Header().Set("Retry-After", strconv.Itoa(int(limited.After/time.Second)))
	case answer.Status == http.StatusServiceUnavailable:
		w.Header().Set("Retry-After", "1")
	}
	s.logError(r, err, answer)
	if answer.Status == http.StatusUnauthorized || answer.Code == oauth.CodeInsufficientScope { // RFC 6750 §3
		w.Header().Set("WWW-Authenticate", challenge(answer))
	}
	status := answer.Status
	if status == 0 {
		status = http.StatusBadRequest
	}
	writeSecret(w, status, oauth.ErrorResponse{
		Error: answer.Code, Description: oauth.CleanDescription(answer.Description),
	})
}

// challenge names the scheme that was tried (RFC 6749 §5.2), or one that is
// taken here: a 401 has a challenge (RFC 9110 §15.5.2).
func challenge(e *oauth.Error) string {
	switch {
	case e == errNoApikey, e == errNoToken: // nothing was wrong with what was not sent
		return oauth.Challenge{Scheme: "Bearer"}.String()
	case e.Scheme != "":
		return senderChallenge(oauth.ChallengeFor(e.Scheme, e))
	case e.Code == oauth.CodeInvalidClient:
		return oauth.ChallengeFor("Basic", e).String()
	}
	return oauth.ChallengeFor("Bearer", e).String()
}

// logError logs what is our fault, and at debug what is not. A caller that has
// gone away is nobody's fault.
func (s *Server) logError(r *http.Request, err error, answer *oauth.Error) {
	switch {
	case errors.Is(err, context.Canceled) && r.Context().Err() != nil:
	case answer.Status >= http.StatusInternalServerError:
		s.options.Log.ErrorContext(r.Context(), "request failed", "path", r.URL.Path, "error", err)
	default:
		s.options.Log.DebugContext(r.Context(), "request refused", "path", r.URL.Path, "error", err)
	}
}

// asOAuth finds the answer that a specification names.
func asOAuth(err error) (*oauth.Error, bool) {
	var e *oauth.Error
	return e, errors.As(err, &e)
}

// isBadCredential reports whether err refuses a credential, and not what was
// asked for with it.
func isBadCredential(err error) bool {
	e, named := asOAuth(err)
	if !named {
		return false
	}
	switch e.Code {
	case oauth.CodeInvalidToken, oauth.CodeInvalidGrant, oauth.CodeInvalidRequest, oauth.CodeInvalidClient:
		return e.Status != http.StatusServiceUnavailable
	}
	return false
}
