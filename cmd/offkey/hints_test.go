package main

import (
	"errors"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

// leaves are all commands that do something, as they are typed.
func leaves(t *testing.T) (commands [][]string) {
	t.Helper()
	parser, err := kong.New(&cli{})
	if err != nil {
		t.Fatal(err)
	}
	var walk func(n *kong.Node, typed []string)
	walk = func(n *kong.Node, typed []string) {
		for _, child := range n.Children {
			if child.Type == kong.CommandNode {
				walk(child, append(typed[:len(typed):len(typed)], child.Name))
			}
		}
		if len(n.Children) == 0 {
			commands = append(commands, typed)
		}
	}
	walk(parser.Model.Node, nil)
	if len(commands) < 30 {
		t.Fatalf("found %d commands", len(commands))
	}
	return commands
}

func TestEveryCommandShowsExamples(t *testing.T) {
	for _, command := range leaves(t) {
		r := offkey(t, append(command, "--help")...)
		r.want(t, exitOK, "\nExamples:\n", "    offkey ")
		for _, curly := range []string{"”", "“"} { // what the formatter makes of '' and ``
			if strings.Contains(r.out, curly) {
				t.Errorf("%v: --help has %s", command, curly)
			}
		}
	}
}

func TestAListInAHelpTextKeepsItsLines(t *testing.T) {
	r := offkey(t, "stage", "set", "--help")
	r.want(t, exitOK, "\n    observe       calls pass, and are recorded\n", "\n    blocked       for a leak")
}

func TestAMistypedSubcommandIsAnsweredWithThoseThatExist(t *testing.T) {
	r := offkey(t, "clients", "lst-0123456789")
	r.want(t, exitUsage, "`offkey clients` goes on with list, show, create", "see `offkey clients --help`")
	if strings.Contains(r.out+r.err, "0123456789") {
		t.Errorf("what was typed is repeated: %s", r.err)
	}
	offkey(t, "clients", "list", "stray").want(t, exitUsage, "fix: see `offkey clients list --help`")
}

func TestAnUpgradeAtAWrongURLMakesNothing(t *testing.T) {
	world, dir := keyWorld(t)
	for _, api := range []string{"127.0.0.1:8484", "http://127.0.0.1:1", world.IssuerURL + "/elsewhere"} {
		r := invocation{stdin: testAPIKey}.offkey(t, "upgrade", "--api", api, "--apikey-stdin", "--dir", dir)
		r.want(t, exitFailed+boolInt(!strings.Contains(api, "://")), "error:", "fix:")
		if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %s was made (%v)", api, dir, err)
		}
	}
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

func TestA401ThatAsksForNoTokenIsTheAPIsOwn(t *testing.T) {
	for name, tc := range map[string]struct {
		status    int
		challenge []string
		hint      bool
	}{
		"no challenge":           {http.StatusUnauthorized, nil, true},
		"a challenge of its own": {http.StatusUnauthorized, []string{`Basic realm="api"`}, false},
		"another refusal":        {http.StatusForbidden, nil, false},
	} {
		fix := ownRefusal(&http.Response{StatusCode: tc.status, Header: http.Header{"Www-Authenticate": tc.challenge}})
		if strings.Contains(fix, "token_call") != tc.hint {
			t.Errorf("%s: %q", name, fix)
		}
	}
}

func TestAMappingSaysWhereTo(t *testing.T) {
	m := manage(t, says(http.StatusOK, `{"last4":"4b06","client_id":""}`))
	offkey(t, "apikeys", "map", "ak_1", "--socket", m.socket).want(t, exitUsage, "--client CLIENT, or --none")
	m.run(t, "apikeys", "map", "ak_1", "--none").want(t, exitOK, "mapped to no client")
	m.run(t, "apikeys", "map", "ak_1", "--none", "--client", "c").want(t, exitUsage, "can't be used together")
}

func TestAReloadSaysWhatWaitsForTheNextStart(t *testing.T) {
	const now, later = `{"setting":"a","from":"1","to":"2"}`, `{"setting":"b","from":"1","to":"2","restart":true}`
	for changes, want := range map[string]string{
		now:               "f.yaml is in force\n",
		now + "," + later: "f.yaml is in force, but for what takes effect at the next start\n",
		later:             "nothing of that takes effect before the next start\n",
	} {
		m := manage(t, says(http.StatusOK, `{"file":"f.yaml","changes":[`+changes+`]}`))
		m.run(t, "config", "reload").want(t, exitOK, want)
	}
}

func TestASecondUpIsToldThatTheFirstRuns(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	m := manage(t, says(http.StatusOK, `{}`))
	up := []string{"up", "--upstream", "http://127.0.0.1:1", "--gateway", taken.Addr().String(), "--data", filepath.Dir(m.socket)}
	offkey(t, up...).want(t, exitFailed, "the gateway cannot listen", "fix: an offkey with the data directory "+filepath.Dir(m.socket)+" runs already")
	up[len(up)-1] = t.TempDir()
	r := offkey(t, up...)
	r.want(t, exitFailed, "the gateway cannot listen")
	if strings.Contains(r.err, "runs already") {
		t.Errorf("it names one that is not there: %s", r.err)
	}
}

func TestEnforcingSaysHowManyCallsItWouldHaveRefused(t *testing.T) {
	const plan = `{"calls":12,"would_deny":9,"callers":[
		{"id":"ak_1","route":"GET /a","calls":4,"reason":"unknown_route"},
		{"id":"cl_1","route":"GET /b","calls":2,"reason":"insufficient_scope"},
		{"id":"ak_2","route":"GET /b","calls":3,"reason":"apikey_retired"}]}`
	answers := map[string]string{"/api/v1/plan": plan, "/api/v1/routes/enforce": `{"enforce":"on"}`}
	m := manage(t, func(w http.ResponseWriter, r *http.Request) { says(http.StatusOK, answers[r.URL.Path])(w, r) })
	const warning = "[warn] of 12 recorded calls in 14 days 6 would have been refused by it: `offkey plan observe --enforce on` says whose"
	m.run(t, "routes", "enforce", "on").want(t, exitOK, "[done] enforcement of all routes", warning)
	m.run(t, "routes", "enforce", "on", "--dry-run").want(t, exitOK, "Nothing was changed", warning)
	for _, args := range [][]string{{"shadow"}, {"off"}, {"on", "--client", "c"}, {"on", "--json"}} {
		if r := m.run(t, append([]string{"routes", "enforce"}, args...)...); strings.Contains(r.err, "[warn]") {
			t.Errorf("%q: %s", args, r.err)
		}
	}
	answers["/api/v1/plan"] = `{"calls":12,"callers":[]}`
	if r := m.run(t, "routes", "enforce", "on"); strings.Contains(r.err, "[warn]") {
		t.Errorf("nobody would be refused: %s", r.err)
	}
}
