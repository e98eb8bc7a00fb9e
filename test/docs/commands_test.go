package docs

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/offkey/offkey/test/binary"
)

const commandsPage = "docs/reference/commands.md"

// documented are the commands of the page, with what it says about --json.
func documented(t *testing.T) map[string]string {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(root, commandsPage))
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string]string{}
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z -]+)` \\| [^|]+ \\| (.*) \\|$").FindAllStringSubmatch(string(raw), -1) {
		if _, twice := rows[m[1]]; twice {
			t.Errorf("%s has two rows for %s", commandsPage, m[1])
		}
		rows[m[1]] = m[2]
	}
	return rows
}

var listed = regexp.MustCompile(`(?m)^  ([a-z][a-z -]*[a-z])(?:  +|\n {6})[A-Z]`) // what a long name is for stands below it

// commandsListed are the commands that --help lists; those of a group are listed
// by the group's own.
func commandsListed(t *testing.T) (found []string) {
	t.Helper()
	var list func(command string)
	list = func(command string) {
		below := listed.FindAllStringSubmatch(binary.Run(t, nil, append(strings.Fields(command), "--help")...).Out, -1)
		for _, child := range below {
			list(child[1])
		}
		if len(below) == 0 {
			found = append(found, command)
		}
	}
	list("")
	return found
}

func TestTheReferenceHasEveryCommand(t *testing.T) {
	rows := documented(t)
	commands := commandsListed(t)
	if len(commands) < 40 {
		t.Fatalf("--help lists only %q", commands)
	}
	for _, command := range commands {
		if _, ok := rows[command]; !ok {
			t.Errorf("%s has no row for %s", commandsPage, command)
		}
		delete(rows, command)
	}
	delete(rows, "audit --verify") // a flag that prints another document
	for _, row := range slices.Sorted(maps.Keys(rows)) {
		t.Errorf("%s has a row for %s, which is no command", commandsPage, row)
	}
}

// shape is what a document may have: members by name, those of a list's items
// as of the list itself.
type shape struct {
	members  map[string]*shape
	optional bool
	any      bool // {…}: names that vary
}

// readShape reads `{a b[] c?{d e} f{…}}`.
func readShape(t *testing.T, text string) *shape {
	t.Helper()
	tokens := regexp.MustCompile(`[a-z0-9_]+|\[\]|\?|\{…\}|\{|\}|\S`).FindAllString(text, -1)
	at := 0
	var read func() *shape
	read = func() *shape {
		s := &shape{members: map[string]*shape{}}
		var last *shape
		for ; at < len(tokens); at++ {
			switch token := tokens[at]; token {
			case "}":
				return s
			case "[]":
			case "?":
				last.optional = true
			case "{…}":
				last.any = true
			case "{":
				at++
				last.members = read().members
			default:
				if !regexp.MustCompile(`^[a-z0-9_]+$`).MatchString(token) {
					t.Fatalf("%q in the shape %s", token, text)
				}
				last = &shape{}
				s.members[token] = last
			}
		}
		return s
	}
	if len(tokens) == 0 || tokens[0] != "{" {
		t.Fatalf("no shape: %s", text)
	}
	at++
	return read()
}

// differs says how a document is not of the shape, "" if it is.
func (s *shape) differs(v any, at string) []string {
	switch v := v.(type) {
	case []any:
		var found []string
		for _, item := range v {
			found = append(found, s.differs(item, at+"[]")...)
		}
		return found
	case map[string]any:
		if s.any || s.members == nil && len(v) == 0 {
			return nil
		}
		var found []string
		for name, value := range v {
			if below := s.members[name]; below == nil {
				found = append(found, at+"."+name+" is printed, and not documented")
			} else {
				found = append(found, below.differs(value, at+"."+name)...)
			}
		}
		for name, below := range s.members {
			if _, ok := v[name]; !ok && !below.optional {
				found = append(found, at+"."+name+" is documented, and not printed")
			}
		}
		return found
	case nil:
		return nil
	}
	if s.members != nil && !s.any {
		return []string{fmt.Sprintf("%s is documented as an object, and is %v", at, v)}
	}
	return nil
}

func TestShapes(t *testing.T) {
	s := readShape(t, "{a b[]{c d?} e{…} f?{g}}")
	for document, want := range map[string]int{
		`{"a":1,"b":[{"c":1},{"c":1,"d":2}],"e":{"x":1}}`:               0,
		`{"a":1,"b":[],"e":{},"f":{"g":1}}`:                             0,
		`{"a":1,"b":[],"e":null,"f":{"h":1}}`:                           2,
		`{"b":[{"d":1}],"e":{}}`:                                        2,
		`{"a":1,"b":[],"e":{},"z":1}`:                                   1,
		`{"a":1,"b":"no","e":{}}`:                                       1,
		`{"a":{"not":"documented"},"b":[{"c":{"nor":"this"}}],"e":{} }`: 2,
	} {
		var v any
		if err := json.Unmarshal([]byte(document), &v); err != nil {
			t.Fatal(err)
		}
		if got := s.differs(v, ""); len(got) != want {
			t.Errorf("%s: %q, want %d", document, got, want)
		}
	}
}

// withShape finds the shape of a command's row. A row that says "the same", or
// "one of those", is about the item of a list before.
func withShape(t *testing.T, rows map[string]string, command string) *shape {
	t.Helper()
	own := regexp.MustCompile("`(\\{[^`]*\\})`").FindStringSubmatch(rows[command])
	base, item := "", ""
	switch words := strings.Fields(command); {
	case command == "apikeys show":
		base, item = "apikeys list", "apikeys"
	case command == "apikeys extend":
		base = "apikeys map"
	case command == "apikeys block":
		base = "apikeys revoke"
	case command == "leak show", command == "leak close":
		base = "leak open"
	case command == "serve":
		base = "up"
	case command == "people reset-password":
		base, item = "people list", "people"
		own = regexp.MustCompile("`(\\{[^`]*\\})`").FindStringSubmatch(rows["people invite"])
	case slices.Contains([]string{"people show", "people invite", "people create", "people set", "people disable", "people enable", "people delete", "people reset-mfa"}, command):
		base, item = "people list", "people"
	case command == "people groups set", command == "people groups delete":
		base, item = "people groups list", "groups"
	case command == "whoami":
		return withShape(t, rows, "login")
	case command == "clients revoke":
		return readShape(t, own[1])
	case strings.HasPrefix(command, "clients registration-token ") && words[2] != "list":
		base, item = "clients registration-token list", "registration_tokens"
	case command == "clients registration-token list":
		return readShape(t, own[1])
	case words[0] == "clients" && words[1] != "list" && words[1] != "widen":
		base, item = "clients list", "clients"
	case words[0] == "trust" && words[1] != "list" && words[1] != "test":
		base, item = "trust list", "trust"
	case command == "routes set", command == "routes unset":
		base, item = "routes list", "routes"
	case command == "signing rotate", command == "signing drop":
		base, item = "signing list", "keys"
	case own == nil:
		t.Fatalf("%s says no shape for %s: %s", commandsPage, command, rows[command])
	default:
		return readShape(t, own[1])
	}
	s := withShape(t, rows, base)
	if item != "" {
		s = s.members[item]
	}
	extra := "{dry_run? client_secret?}"
	if own != nil {
		extra = own[1]
	}
	merged := &shape{members: maps.Clone(s.members)}
	maps.Copy(merged.members, readShape(t, extra).members)
	if _, ok := merged.members["dry_run"]; !ok && command != "apikeys show" {
		merged.members["dry_run"] = &shape{optional: true}
	}
	return merged
}

// keyedAPI is an API that wants one of two keys, wherever keys may travel. One
// that reads headers believes offkey about who calls.
func keyedAPI(t *testing.T, readsHeaders bool) (url string, shop, report string) {
	t.Helper()
	random := make([]byte, 24)
	rand.Read(random) // never fails
	shop, report = "sk_shop_"+hex.EncodeToString(random[:12]), "sk_report_"+hex.EncodeToString(random[12:])
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		sent := []string{r.Header.Get("X-API-Key"), r.URL.Query().Get("api_key"), strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")}
		told := readsHeaders && r.Header.Get("X-Offkey-Client") != ""
		if !told && !slices.Contains(sent, shop) && !slices.Contains(sent, report) {
			http.Error(w, "no key, or a wrong one", http.StatusUnauthorized)
			return
		}
		fmt.Fprintln(w, `{"id": 7}`)
	}))
	t.Cleanup(api.Close)
	return api.URL, shop, report
}

// call makes a call that must be answered with success.
func call(t *testing.T, url string, set func(*http.Request)) {
	t.Helper()
	r, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("User-Agent", "shop/2.1")
	set(r)
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("GET %s: %s", url, resp.Status)
	}
}

// known waits until an offkey knows so many apikeys, each with calls, and
// returns their ids.
func known(t *testing.T, s *binary.Server, want int) (ids []string) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		var list struct {
			APIKeys []struct {
				ID    string
				Calls int
			}
		}
		s.CLI(t, &list, "apikeys", "list", "--sort", "id")
		ids = ids[:0]
		for _, k := range list.APIKeys {
			if k.Calls > 0 {
				ids = append(ids, k.ID)
			}
		}
		if len(ids) == want {
			return ids
		}
	}
	t.Fatalf("%d apikeys are known, not %d", len(ids), want)
	return nil
}

// What scripts read: each command prints the members that the page names, and
// no others.
func TestTheReferenceNamesWhatIsPrinted(t *testing.T) {
	rows := documented(t)
	api, shop, report := keyedAPI(t, true)
	server := binary.Up(t, api)
	for i := range 3 {
		for _, key := range []string{shop, report} {
			call(t, fmt.Sprintf("%s/v1/orders/%d", server.Gateway, i), func(r *http.Request) { r.Header.Set("X-API-Key", key) })
		}
	}
	id := known(t, server, 2)[0]
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	for name, text := range map[string]string{"shop.apikey": shop + "\n", "people.csv": "name,email\nbob,bob@example.com\n", "keys.csv": "key,label,owner\n" + shop + ",shop,Acme\n" + report + ",report,\n"} {
		if err := os.WriteFile(in(name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	operator := []string{"--data", server.Data}
	caller := []string{"--dir", in("callers")}
	kid := func() string {
		var list struct{ Keys []struct{ KID, State string } }
		server.CLI(t, &list, "signing", "list")
		return list.Keys[0].KID
	}
	seen := map[string]bool{}
	run := func(args []string, flags ...string) {
		t.Helper()
		command := ""
		for n := min(len(args), 3); command == ""; n-- {
			if words := strings.Join(args[:n], " "); rows[words] != "" {
				command = words
			}
		}
		seen[command] = true
		said := binary.Run(t, nil, append(slices.Concat(args, flags), "--json")...)
		var document any
		if err := json.Unmarshal([]byte(said.Out), &document); err != nil || said.Code != 0 {
			t.Errorf("%q: exit %d, %v\n%s%s", args, said.Code, err, said.Out, said.Err)
			return
		}
		for _, difference := range withShape(t, rows, command).differs(document, command) {
			t.Errorf("%s: %s", commandsPage, difference)
		}
	}
	const document = "openapi: 3.0.3\ninfo: {title: Shop, version: '1'}\npaths: {/v1/orders: {get: {responses: {'200': {description: ok}}}}}\n"
	if err := os.WriteFile(in("openapi.yaml"), []byte(document), 0o600); err != nil {
		t.Fatal(err)
	}
	run([]string{"version"})
	run([]string{"init", "--out", in("offkey.yaml")})
	run([]string{"config", "validate", in("offkey.yaml")})
	for _, args := range [][]string{
		{"status"}, {"doctor"}, {"config", "show"},
		{"apikeys", "list"}, {"apikeys", "show", id}, {"apikeys", "import", in("keys.csv")},
		{"routes", "list"}, {"routes", "set", "GET /v1/orders/{id}", "read:orders"}, {"routes", "list"}, {"routes", "enforce", "shadow"},
		{"clients", "create", "--name", "job", "--auth", "client_secret_basic", "--scopes", "read:orders"}, {"clients", "show", "job"},
		{"clients", "update", "job", "--owner", "Acme"}, {"clients", "rotate", "job"}, {"clients", "disable", "job"}, {"clients", "enable", "job"},
		{"routes", "test", "GET", "/v1/orders/1", "--client", "job"}, {"routes", "test", "GET", "/v1/orders/1", "--apikey", id}, {"routes", "test", "GET", "/v1/orders/1"},
		{"apikeys", "set", id, "--owner", "Acme"}, {"apikeys", "map", id, "--client", "job"}, {"apikeys", "extend", id, "--until", "2033-01-31", "--reason", "agreed"},
		{"scopes", "design"}, {"scopes", "infer"}, {"plan", "retired"}, {"plan", "observe", "--enforce", "on"}, {"stage", "set", "warn", "--apikey", id}, {"stage", "set", "warn", "--all", "--dry-run"},
		{"stage", "cohorts", "set", "partners", "--owner", "Acme", "--share", "50%"}, {"stage", "cohorts", "set", "quiet", "--unused", "30d", "--dry-run"}, {"stage", "cohorts", "list"},
		{"stage", "set", "warn", "--cohort", "partners", "--at", "2098-01-01"}, {"stage", "cohorts", "list"}, {"plan", "--at", "2098-01-02", "--cohort", "partners"}, {"stage", "cohorts", "delete", "partners"},
		{"stage", "set", "brownout", "--apikey", id}, {"brownout", "now", "--for", "1m", "--dry-run"}, {"brownout", "now", "--for", "1m"}, {"brownout", "schedule", "--at", "2098-01-01", "--for", "1m"}, {"brownout", "list"}, {"brownout", "cancel", "--all"},
		{"stage", "set", "warn", "--all", "--at", "2098-01-01"}, {"stage", "calendar"}, {"notify", "preview", "--stage", "warn"}, {"notify", "send"}, {"stage", "pause", "--back", "1h"}, {"stage", "calendar"}, {"stage", "resume"}, {"stage", "guards", "refused > 5"}, {"stage", "freeze", "--off"},
		{"stage", "self-extension", "30d"}, {"stage", "exceptions"}, {"clients", "widen", "job", "--scopes", "read:users", "--for", "1d", "--reason", "x"}, {"stage", "exceptions"}, {"stage", "calendar"},
		{"clients", "list"}, {"clients", "revoke", "job"}, {"clients", "delete", "job", "--yes"},
		{"people", "groups", "set", "buyers", "--scopes", "read:orders", "--mfa", "any"}, {"people", "groups", "list"},
		{"scopes", "describe", "read:orders", "see your orders"}, {"people", "service-name", "Harbour Boats"}, {"people", "service-name"},
		{"people", "invite", "ana", "--email", "ana@example.com", "--groups", "buyers", "--claim", "given_name=Ana"}, {"people", "set", "ana", "--add-group", "admins"},
		{"people", "list"}, {"people", "reset-password", "ana"}, {"people", "reset-mfa", "ana", "--yes"}, {"people", "sessions", "ana"}, {"people", "revoke", "ana"},
		{"people", "disable", "ana"}, {"people", "show", "ana"}, {"people", "enable", "ana"}, {"people", "import", in("people.csv")}, {"people", "groups", "delete", "buyers", "--yes"},
		{"people", "delete", "ana", "--yes"}, {"people", "list"}, {"revoke", "--all", "--dry-run"},
		{"clients", "create", "--name", "deploy", "--auth", "federated_jwt"}, {"trust", "add", "--client", "deploy", "--github", "acme/shop"}, {"trust", "list"}, {"clients", "registration-token", "create", "--name", "acme"}, {"clients", "registration-token", "list"},
		{"clients", "registration-token", "revoke", "acme"}, {"trust", "show", "github:acme/shop"},
		{"trust", "disable", "github:acme/shop"}, {"trust", "enable", "github:acme/shop"}, {"trust", "remove", "github:acme/shop", "--yes"},
	} {
		run(args, operator...)
	}
	run([]string{"upgrade", "--api", server.Gateway, "--apikey-file", in("shop.apikey"), "--name", "shop"}, caller...)
	run([]string{"token"}, caller...)
	run([]string{"call", "GET", server.Gateway + "/v1/orders/1"}, caller...)
	run([]string{"assertion"}, caller...)
	run([]string{"whoami"}, caller...)
	run([]string{"logout"}, caller...)
	run([]string{"keygen", "--out", in("key.pem")})
	log := `203.0.113.7 - - [23/Nov/2026:12:30:05 +0000] "GET /v1/orders?api_key=topsecret1 HTTP/1.1" 200 512 "-" "curl/8.7.1"` + "\n"
	if err := os.WriteFile(in("access.log"), []byte(log+"no line\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	run([]string{"observe", "--offline", "--log", in("access.log")})
	run([]string{"openapi", "rewrite", in("openapi.yaml"), "--out", in("openapi.new.yaml")})
	for _, args := range [][]string{
		{"clients", "list"}, {"clients", "show", "shop"}, {"apikeys", "revoke", id, "--dry-run"}, {"apikeys", "revoke", id, "--yes"}, {"apikeys", "block", id, "--yes"},
		{"stage", "set", "blocked", "--apikey", id}, {"routes", "unset", "GET /v1/orders/{id}"}, {"signing", "list"}, {"signing", "rotate"}, {"signing", "drop", kid(), "--yes"}, {"signing", "list"},
		{"audit"}, {"audit", "--verify"}, {"status"},
		{"leak", "open", "--apikey-file", in("shop.apikey"), "--contain", "--notify", "--yes"}, {"leak", "open", "--id", id, "--since", "1h", "--dry-run"}, {"leak", "list"},
		{"calls", "--since", "1h"}, {"scan", dir}, {"report", "make", "--out", in("report.html")},
	} {
		run(args, operator...)
	}
	run([]string{"report", "verify", in("report.html")})
	var calendar struct{ Steps []struct{ ID string } }
	server.CLI(t, nil, "stage", "set", "warn", "--all", "--at", "2099-01-01")
	server.CLI(t, &calendar, "stage", "calendar")
	run([]string{"stage", "cancel", calendar.Steps[0].ID}, operator...)
	var leaks struct{ Leaks []struct{ ID string } }
	server.CLI(t, &leaks, "leak", "list")
	run([]string{"leak", "show", leaks.Leaks[0].ID}, operator...)
	run([]string{"leak", "close", leaks.Leaks[0].ID, "--restore", "--yes"}, operator...)
	// Those that stay, want a file in force or a client that waits are run by
	// others: cmd/offkey's scripts.
	for _, command := range []string{"up", "serve", "demo", "agent", "db copy", "config diff", "config reload", "config schema", "clients approve", "trust test", "people create", "login"} {
		seen[command] = true
	}
	for _, command := range slices.Sorted(maps.Keys(rows)) {
		if !seen[command] {
			t.Errorf("%s was not run", command)
		}
	}
}
