package api

import (
	"net/http"
	"slices"
	"strings"

	"github.com/offkey/offkey/internal/oauth"
)

// subjects are what is managed, by the first segment of a path where that does
// not say it already.
var subjects = map[string]string{
	"groups": "people", "registration-tokens": "clients", "revoke-all": "clients", "scan": "leaks", "burn-down": "status",
}

// readers are requests that change nothing although their method could.
var readers = []string{
	"POST /apikeys/lookup", "POST /trust/test", "POST /routes/test", "POST /scopes/design", "POST /scopes/infer", "POST /plan", "POST /scan",
}

// scopeOf is the scope that a token needs for an endpoint, as in
// read:offkey.apikeys: what it does to what.
func scopeOf(pattern string) string {
	method, path, _ := strings.Cut(pattern, " ")
	segments := strings.Split(strings.TrimPrefix(path, "/"), "/")
	subject := segments[0]
	if other, ok := subjects[subject]; ok {
		subject = other
	}
	action := "update"
	switch {
	case method == http.MethodGet, slices.Contains(readers, pattern):
		action = "read"
	case method == http.MethodDelete:
		action = "delete"
	case method == http.MethodPost && len(segments) == 1 && strings.HasSuffix(segments[0], "s"):
		action = "create" // of a collection
	}
	return action + ":offkey." + subject
}

// Scopes are all that tokens for the management API can have. A group that
// carries some of them is a narrow administrator's role; a service account with
// some of them is a narrow administrator.
func Scopes() oauth.Scope {
	var all oauth.Scope
	for _, e := range (*Server)(nil).endpoints() { // its methods are named here, and not called
		all = append(all, scopeOf(e.pattern))
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// needsFresh are the acts that a person must have signed in for lately, though
// their session is older: whoever finds an open browser must not be able to do
// them. Reading never is one.
func needsFresh(pattern string) bool {
	scope := scopeOf(pattern)
	if strings.HasPrefix(scope, "read:") {
		return false
	}
	for _, subject := range []string{"people", "trust", "signing", "config"} {
		if strings.HasSuffix(scope, ":offkey."+subject) {
			return true
		}
	}
	return strings.HasPrefix(scope, "delete:") || slices.Contains([]string{
		"POST /apikeys/{id}/revoke", "POST /apikeys/{id}/block", "POST /clients", "POST /clients/{id}/rotate", "POST /clients/{id}/keys", "POST /stage", "POST /brownouts", "POST /calendar/resume", "POST /revoke-all", "POST /leaks/{id}/close",
	}, pattern)
}
