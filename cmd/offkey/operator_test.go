package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// managed is a management API that answers as it is told, on a socket.
type managed struct {
	socket string
	mu     sync.Mutex
	asked  []string // "METHOD path?query body"
}

func manage(t *testing.T, answer http.HandlerFunc) *managed {
	t.Helper()
	dir, err := os.MkdirTemp("", "offkey") // short: the path of a socket is
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	m := &managed{socket: filepath.Join(dir, "offkey.sock")}
	l, err := net.Listen("unix", m.socket)
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var body json.RawMessage
		_ = json.NewDecoder(r.Body).Decode(&body) // lists are not JSON
		m.mu.Lock()
		m.asked = append(m.asked, strings.TrimSpace(r.Method+" "+r.URL.RequestURI()+" "+string(body)))
		m.mu.Unlock()
		answer(w, r)
	})}
	go s.Serve(l)
	t.Cleanup(func() { s.Close() })
	return m
}

// last is what was asked last, times how often it was asked.
func (m *managed) last() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.asked[len(m.asked)-1]
}

func (m *managed) times() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.asked)
}

// says answers every request with a document.
func says(status int, document string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		fmt.Fprint(w, document)
	}
}

// run runs a command against the management API.
func (m *managed) run(t *testing.T, args ...string) ran {
	t.Helper()
	return offkey(t, append(args, "--socket", m.socket)...)
}

func TestWithoutAServerACommandSaysSoAndHowToStartOne(t *testing.T) {
	dir := t.TempDir()
	killed := filepath.Join(dir, "killed.sock")
	if len(killed) < 100 {
		l, err := net.ListenUnix("unix", &net.UnixAddr{Name: killed, Net: "unix"})
		if err != nil {
			t.Fatal(err)
		}
		l.SetUnlinkOnClose(false)
		l.Close()
	}
	for name, tt := range map[string]struct {
		args []string
		code string
		says []string
	}{
		"no data directory":       {[]string{"--data", filepath.Join(dir, "none")}, "no_server", []string{filepath.Join(dir, "none", "offkey.sock"), "offkey up", "--data"}},
		"a socket left behind":    {[]string{"--socket", killed}, "no_server", []string{killed, "offkey up"}},
		"a path that is too long": {[]string{"--socket", "/" + strings.Repeat("x", 200)}, "bad_socket", []string{"--socket", "201 bytes"}},
	} {
		t.Run(name, func(t *testing.T) {
			offkey(t, append([]string{"status"}, tt.args...)...).want(t, exitFailed, tt.says...)
			r := offkey(t, append([]string{"status", "--json"}, tt.args...)...)
			r.want(t, exitFailed)
			if f := failureOf(t, r); f.Code != tt.code || f.Fix == "" {
				t.Errorf("the error is %+v, want code %s and a fix", f, tt.code)
			}
			if r.out != "" {
				t.Errorf("stdout has %q", r.out)
			}
		})
	}
}

func TestAProblemOfTheServerIsShownWithItsFix(t *testing.T) {
	for name, tt := range map[string]struct {
		status   int
		document string
		exit     int
		code     string
		says     []string
	}{
		"a problem":            {409, `{"code":"declared_in_file","detail":"it is declared in the file","fix":"change it there"}`, exitFailed, "declared_in_file", []string{"declared in the file", "change it there"}},
		"what cannot be meant": {400, `{"code":"invalid_request","detail":"no such stage"}`, exitUsage, "invalid_request", []string{"no such stage"}},
		"no problem document":  {502, `<html>`, exitFailed, "bad_answer", []string{"502"}},
		"no JSON":              {200, `<html>`, exitFailed, "bad_answer", []string{"same release"}},
	} {
		t.Run(name, func(t *testing.T) {
			m := manage(t, says(tt.status, tt.document))
			m.run(t, "status").want(t, tt.exit, tt.says...)
			if f := failureOf(t, m.run(t, "status", "--json")); f.Code != tt.code {
				t.Errorf("code is %q, want %q", f.Code, tt.code)
			}
		})
	}
}

func TestAListIsReadPageByPage(t *testing.T) {
	all := []string{"a", "b", "c", "d", "e"}
	m := manage(t, func(w http.ResponseWriter, r *http.Request) {
		var limit int
		fmt.Sscan(r.URL.Query().Get("limit"), &limit)
		from := 0
		for i, id := range all {
			if id == r.URL.Query().Get("after") {
				from = i + 1
			}
		}
		to := min(from+min(limit, 2), len(all)) // the server gives fewer than asked for
		page := map[string]any{"clients": []any{}, "next": nil}
		for _, id := range all[from:to] {
			page["clients"] = append(page["clients"].([]any), map[string]string{"client_id": id, "name": "=" + id})
		}
		if to < len(all) {
			page["next"] = all[to-1]
		}
		_ = json.NewEncoder(w).Encode(page)
	})
	type list struct {
		Clients []struct {
			ID string `json:"client_id"`
		}
		Next *string
	}
	ids := func(l list) string {
		var out []string
		for _, c := range l.Clients {
			out = append(out, c.ID)
		}
		return strings.Join(out, "")
	}
	for args, want := range map[string]string{"": "abcde", "--limit 3": "abc", "--limit 0": "abcde", "--after c": "de", "--after b --limit 1": "c"} {
		r := m.run(t, append([]string{"clients", "list", "--json"}, strings.Fields(args)...)...)
		r.want(t, exitOK)
		l := decode[list](t, r)
		if ids(l) != want {
			t.Errorf("%q lists %s, want %s", args, ids(l), want)
		}
		if more := want[len(want)-1] != 'e'; more != (l.Next != nil) {
			t.Errorf("%q: next is %v", args, l.Next)
		}
	}
	if r := m.run(t, "clients", "list", "--jsonl"); strings.Count(r.out, "\n") != 5 || !strings.HasPrefix(r.out, `{"client_id":"a"`) {
		t.Errorf("JSON Lines are %s", r.out)
	}
	if r := m.run(t, "clients", "list", "--csv"); !strings.HasPrefix(r.out, "client_id,name,") || !strings.Contains(r.out, "\na,'=a,") {
		t.Errorf("CSV is %s", r.out)
	}
	m.run(t, "clients", "list", "--limit", "2").want(t, exitOK, "CLIENT", "--after b")
	m.run(t, "clients", "list", "--csv", "--jsonl").want(t, exitUsage)
}

func TestIdsOfPeopleStayOneSegmentOfThePath(t *testing.T) {
	m := manage(t, says(404, `{"code":"not_found","detail":"there is none"}`))
	for id, want := range map[string]string{
		"plain":    "GET /api/v1/clients/plain",
		"a b":      "GET /api/v1/clients/a%20b",
		"a/b":      "GET /api/v1/clients/a%2Fb",
		"../audit": "GET /api/v1/clients/..%2Faudit",
		"..":       "GET /api/v1/clients/%28..%29",
		"a?b=c":    "GET /api/v1/clients/a%3Fb=c",
		"50%":      "GET /api/v1/clients/50%25",
	} {
		offkey(t, "clients", "show", "--socket", m.socket, id).want(t, exitFailed, "there is none")
		if got := m.last(); got != want {
			t.Errorf("%q asks %s, want %s", id, got, want)
		}
	}
}

func TestWhatCannotBeTakenBackNeedsAYes(t *testing.T) {
	m := manage(t, says(200, `{"client_id":"cl_1","name":"billing","kid":"k","last4":"abcd"}`))
	for _, args := range [][]string{
		{"clients", "delete", "billing"}, {"apikeys", "revoke", "ak_1"}, {"apikeys", "block", "ak_1"}, {"signing", "drop", "k"},
	} {
		t.Run(strings.Join(args, " "), func(t *testing.T) {
			before := m.times()
			r := m.run(t, append(args, "--json")...)
			r.want(t, exitUsage)
			if f := failureOf(t, r); !strings.Contains(f.Fix, "--yes") {
				t.Errorf("the fix is %q", f.Fix)
			}
			if m.times() != before {
				t.Errorf("the server was asked %s", m.last())
			}
			m.run(t, append(args, "--yes")...).want(t, exitOK)
			m.run(t, append(args, "--dry-run")...).want(t, exitOK)
			if last := m.last(); !strings.Contains(last, "dry_run=true") {
				t.Errorf("a dry run asks %s", last)
			}
		})
	}
}

func TestEveryChangeCanBeTriedFirst(t *testing.T) {
	m := manage(t, says(200, `{}`))
	for _, args := range []string{
		"apikeys map ak_1 --client c", "apikeys extend ak_1 --until 2027-12-31 --reason r", "apikeys revoke ak_1", "apikeys block ak_1",
		"clients create --name n --auth client_secret_basic", "clients update c --name n", "clients rotate c", "clients rotate c --drop cr_1",
		"clients approve c", "clients disable c", "clients enable c", "clients delete c",
		"routes unset /a", "routes enforce on", "stage set warn --all", "stage cohorts set c --share 5%", "stage cohorts delete c", "stage cancel s", "stage pause", "stage resume", "brownout now --for 1m", "brownout schedule --for 1m --at 2099-01-01", "brownout cancel --all",
		"clients widen c --for 1d --reason r", "signing rotate", "signing drop k", "config reload",
	} {
		t.Run(args, func(t *testing.T) {
			m.run(t, append(strings.Fields(args), "--dry-run", "--json")...).want(t, exitOK)
			if last := m.last(); !strings.Contains(last, "dry_run=true") {
				t.Errorf("it asks %s", last)
			}
		})
	}
}

func TestSecretsReachTheServerInTheBodyAlone(t *testing.T) {
	const value = "sk_live_0123456789abcdef"
	m := manage(t, says(200, `{"id":"ak_1","last4":"cdef"}`))
	for _, args := range []string{"apikeys show --apikey-stdin", "routes test GET /x --apikey-stdin", "routes test GET /x --token-stdin"} {
		t.Run(args, func(t *testing.T) {
			r := invocation{stdin: value + "\n"}.offkey(t, append(strings.Fields(args), "--socket", m.socket)...)
			r.want(t, exitOK)
			last := m.last()
			head, body, _ := strings.Cut(last, "{")
			if strings.Contains(head, value) || !strings.Contains(body, value) {
				t.Errorf("it asks %s", last)
			}
			if strings.Contains(r.out+r.err, value) {
				t.Errorf("it repeats the secret: %s%s", r.out, r.err)
			}
		})
	}
	m.run(t, "apikeys", "show").want(t, exitUsage, "--apikey-stdin")
	m.run(t, "apikeys", "show", "ak_1", "--apikey-stdin").want(t, exitUsage, "one of them")
}

// within runs a command until ctx ends.
func within(ctx context.Context, args ...string) ran {
	var out, errOut bytes.Buffer
	code := run(ctx, args, strings.NewReader(""), &out, &errOut, func(string) string { return "" })
	return ran{code, out.String(), errOut.String()}
}

// eventually waits for a condition.
func eventually(t *testing.T, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !holds(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it did not come to that within 20 seconds")
		}
	}
}

func TestAWatchThatIsInterruptedEndsWell(t *testing.T) {
	m := manage(t, says(200, `{"stage":"observe","entries":[],"next":null}`))
	for _, args := range [][]string{{"status", "--watch", "--every", "1ms", "--json"}, {"audit", "--follow", "--every", "1ms", "--jsonl"}} {
		t.Run(args[0], func(t *testing.T) {
			before := m.times()
			done := make(chan ran, 1)
			ctx, cancel := context.WithCancel(t.Context())
			go func() { done <- within(ctx, append(args, "--socket", m.socket)...) }()
			eventually(t, func() bool { return m.times() >= before+2 })
			cancel()
			select {
			case r := <-done:
				r.want(t, exitOK)
			case <-time.After(10 * time.Second):
				t.Fatal("it goes on")
			}
		})
	}
}

func TestAConditionThatIsNotMetIsExitCode6(t *testing.T) {
	m := manage(t, says(200, `{"stage":"retired","calls":10,"would_deny":4,"undecidable":1,"allowed":5}`))
	for condition, code := range map[string]int{
		"would_deny=0": exitUnmet, "would_deny=4": exitOK, "would_deny<=4": exitOK, "would_deny<4": exitUnmet, "undecidable=0": exitUnmet,
		"allowed>=5": exitOK, "calls>10": exitUnmet, "would_deny <= 10": exitOK, "would_deny": exitUsage, "denied=0": exitUsage, "would_deny=x": exitUsage,
		"would_deny=99999999999999999999": exitUsage,
	} {
		t.Run(condition, func(t *testing.T) {
			r := m.run(t, "plan", "retired", "--fail-on", condition, "--json")
			r.want(t, code)
			if code == exitUnmet && !strings.Contains(r.out, `"would_deny": 4`) {
				t.Errorf("the plan itself is missing: %s", r.out)
			}
		})
	}
	bad := manage(t, says(200, `{"entries":3,"ok":false,"problem":"audit entry 4 was changed","head":{"seq":3}}`))
	bad.run(t, "audit", "--verify").want(t, exitUnmet, "audit entry 4 was changed")
	sick := manage(t, says(200, `{"ok":false,"findings":[{"check":"clock","status":"failure","message":"it differs","fix":"NTP"}]}`))
	sick.run(t, "doctor").want(t, exitUnmet, "[failure] clock: it differs", "fix: NTP", "[ok] server")
}

func TestEveryHelpPageFitsAndBeginsWithExamples(t *testing.T) {
	for _, command := range []string{
		"apikeys list", "apikeys show", "apikeys import", "apikeys map", "apikeys extend", "apikeys revoke", "apikeys block", "status",
		"routes list", "routes set", "routes unset", "routes enforce", "routes test", "plan", "stage set", "stage cohorts list", "stage cohorts set", "stage cohorts delete", "stage calendar", "stage cancel", "stage pause", "stage resume", "stage guards", "stage freeze", "stage self-extension", "stage exceptions",
		"brownout now", "brownout schedule", "brownout list", "brownout cancel", "clients widen", "clients list", "clients show", "clients create",
		"clients update", "clients rotate", "clients approve", "clients disable", "clients enable", "clients delete", "signing list", "signing rotate", "signing drop",
		"audit", "init", "config validate", "config show", "config diff", "config schema", "config reload", "doctor", "version", "up", "serve",
	} {
		t.Run(command, func(t *testing.T) {
			r := offkey(t, append(strings.Fields(command), "--help")...)
			r.want(t, exitOK, "Examples:", "offkey "+command)
			if n := strings.Count(r.out, "\n"); n >= 60 {
				t.Errorf("it has %d lines", n)
			}
			if before, _, _ := strings.Cut(r.out, "Flags:"); !strings.Contains(before, "Examples:") {
				t.Error("the examples are not before the flags")
			}
		})
	}
	r := offkey(t, "--help")
	r.want(t, exitOK, "apikeys", "Callers")
	if n := strings.Count(r.out, "\n"); n >= 60 {
		t.Errorf("the first page has %d lines", n)
	}
}
