package api_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/offkey/offkey/internal/secret"
)

func TestRegistrationTokens(t *testing.T) {
	w := newWorld(t)
	w.run(t, "what cannot be is refused", func(*testing.T) {
		for says, body := range map[string]map[string]any{
			"name": {}, "uses": {"name": "x", "uses": -1}, "life": {"name": "x", "life": "400d"}, "life:": {"name": "x", "life": "soon"}, "scope": {"name": "x", "scopes": []string{"a\"b"}},
		} {
			w.refused(http.StatusBadRequest, "POST", "/registration-tokens", body, says)
		}
	})
	w.ask(http.StatusOK, "POST", "/registration-tokens?dry_run=true", map[string]any{"name": "acme"})
	made := w.ask(http.StatusCreated, "POST", "/registration-tokens", map[string]any{"name": "acme", "uses": 3, "life": "30d", "scopes": []string{"read:orders"}})
	if !secret.WellFormed(made.text("token")) || made.number("uses_left") != 3 {
		t.Errorf("%v", made)
	}
	list := w.ask(http.StatusOK, "GET", "/registration-tokens", nil)
	if one := list.list("registration_tokens"); len(one) != 1 || one[0].text("token") != "" || one[0].text("id") != made.text("id") {
		t.Errorf("%v", list)
	}
	entries, err := w.db.AuditEntries(t.Context(), 0, 100)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if strings.Contains(string(e.Detail), made.text("token")) {
			t.Error("the token is in the audit")
		}
	}
	w.ask(http.StatusOK, "DELETE", "/registration-tokens/acme?dry_run=true", nil)
	w.ask(http.StatusOK, "DELETE", "/registration-tokens/acme", nil)
	w.refused(http.StatusNotFound, "DELETE", "/registration-tokens/acme", nil)
}
