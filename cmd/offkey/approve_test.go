package main

import (
	"strings"
	"testing"
)

func TestNoScopesAreNotAllScopes(t *testing.T) {
	m := manage(t, says(200, `{"client_id":"cl_1"}`))
	m.run(t, "clients", "approve", "cl_1", "--scopes", "")
	if !strings.Contains(m.last(), `"scopes":[]`) {
		t.Errorf("approve with no scopes asks %s", m.last())
	}
	m.run(t, "clients", "approve", "cl_1")
	if strings.Contains(m.last(), "scopes") {
		t.Errorf("approve without --scopes asks %s", m.last())
	}
}
