package main

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode"
)

// stranger is a text of a stranger: it clears the screen, in two ways, begins a
// line of its own and turns the text around.
const stranger = "a\x1b[2J\u009b2Jb\r\n[done] all is well\u202etxt"

// moves reports what in a text would do more than show.
func moves(text string) bool {
	return strings.ContainsFunc(text, func(r rune) bool {
		return r != '\n' && !unicode.IsPrint(r) || unicode.Is(unicode.Bidi_Control, r)
	})
}

func TestWordsOfStrangersOnlyShow(t *testing.T) {
	quoted, err := json.Marshal(stranger)
	if err != nil {
		t.Fatal(err)
	}
	q := string(quoted)
	for _, c := range []struct {
		name, answer string
		status       int
		args         []string
	}{
		{"in a problem", `{"code":"ambiguous","detail":` + q + `,"fix":` + q + `}`, 409, []string{"clients", "show", "x"}},
		{"in CSV", `{"apikeys":[{"id":"ak_1","label":` + q + `,"user_agents":[` + q + `],"routes":[{"template":` + q + `}]}],"next":null}`, 200, []string{"apikeys", "list", "--csv"}},
		{"in a table", `{"apikeys":[{"id":"ak_1","owner":` + q + `,"risks":[` + q + `]}],"next":null}`, 200, []string{"apikeys", "list"}},
		{"in one apikey", `{"id":"ak_1","label":` + q + `,"user_agents":[` + q + `],"programs":[{"name":` + q + `}]}`, 200, []string{"apikeys", "show", "ak_1"}},
		{"in a plan", `{"callers":[{"id":` + q + `,"route":` + q + `,"reason":` + q + `,"fix":` + q + `}],"undecided":[],"not_covered":[` + q + `]}`, 200, []string{"plan", "retired"}},
		{"in the audit", `{"entries":[{"seq":1,"actor":` + q + `,"object":` + q + `,"detail":{"name":` + q + `}}],"next":null}`, 200, []string{"audit", "list"}},
		{"in routes", `{"routes":[{"match":` + q + `,"scopes":[` + q + `]}],"next":null}`, 200, []string{"routes", "list"}},
		{"in a route set", `{"match":` + q + `,"warnings":[` + q + `]}`, 200, []string{"routes", "set", "GET /v1/x", "a"}},
		{"in a list of clients", `{"clients":[{"client_id":"cl_1","name":` + q + `,"owner":` + q + `}],"next":null}`, 200, []string{"clients", "list"}},
		{"in a client", `{"client_id":"cl_1","name":` + q + `,"pending_reason":` + q + `}`, 200, []string{"clients", "show", "cl_1"}},
		{"in a change", `{"client_id":"cl_1","name":` + q + `,"scopes":[` + q + `]}`, 200, []string{"clients", "approve", "cl_1"}},
		{"in the status", `{"stage":` + q + `,"next":` + q + `,"apikeys":{},"calls":{}}`, 200, []string{"status"}},
		{"in a stage set", `{"stage":` + q + `,"disabled_clients":[` + q + `]}`, 200, []string{"stage", "set", "warn", "--all"}},
		{"in doctor", `{"checks":[{"name":` + q + `,"detail":` + q + `,"fix":` + q + `,"status":` + q + `}]}`, 200, []string{"doctor"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := manage(t, says(c.status, c.answer)).run(t, c.args...)
			if moves(got.out) {
				t.Errorf("stdout is %q", got.out)
			}
			if moves(got.err) || strings.Contains(got.err, "\n[done] all is well") {
				t.Errorf("stderr is %q", got.err)
			}
		})
	}
}
