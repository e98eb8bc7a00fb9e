package proxies

import (
	"encoding/json"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

type question struct {
	Method, Path, Host, Source, Certificate string
	Headers                                 map[string]string
	Raw                                     [][2]string
}

type option struct{ Name, Value, Action string }

type verdict struct {
	Code     int      `json:"code"`
	Status   int      `json:"status"`
	Body     string   `json:"body"`
	ToAPI    []option `json:"to_api"`
	ToCaller []option `json:"to_caller"`
	Remove   []string `json:"remove"`
	Error    string   `json:"error"`
}

func of(list []option, name string) string {
	for _, o := range list {
		if o.Name == name {
			return o.Value
		}
	}
	return ""
}

// client is the program of ./envoy, which `make setup` builds.
func client(t *testing.T) string {
	t.Helper()
	path, err := filepath.Abs("../../.setup/proxies-envoy")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err == nil {
		return path
	}
	if os.Getenv("OFFKEY_TEST_EXTRAS") == "1" {
		t.Fatal("the gRPC client is not built: run `make setup`")
	}
	t.Skip("the gRPC client is not built: run `make setup`, then this test runs too")
	return ""
}

// ask puts questions with Envoy's messages by gRPC's own client.
func (w *world) ask(t *testing.T, program string, questions ...question) []verdict {
	t.Helper()
	var in strings.Builder
	for _, q := range questions {
		if q.Host == "" {
			q.Host = w.proxy
		}
		if q.Source == "" {
			q.Source = "203.0.113.7"
		}
		line, err := json.Marshal(q)
		if err != nil {
			t.Fatal(err)
		}
		in.Write(append(line, '\n'))
	}
	cmd := exec.Command(program, address(t, w.Gateway))
	cmd.Stdin = strings.NewReader(in.String())
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	var verdicts []verdict
	for decoder := json.NewDecoder(strings.NewReader(string(out))); decoder.More(); {
		var v verdict
		if err := decoder.Decode(&v); err != nil {
			t.Fatal(err)
		}
		verdicts = append(verdicts, v)
	}
	if len(verdicts) != len(questions) {
		t.Fatalf("%d answers to %d questions: %s", len(verdicts), len(questions), out)
	}
	return verdicts
}

// TestEnvoyAsksByGRPC takes the calls of the other proxies through ext_authz.
func TestEnvoyAsksByGRPC(t *testing.T) {
	program := client(t)
	w := newWorld(t)
	get := func(path string, headers map[string]string) question {
		return question{Method: "GET", Path: path, Headers: headers}
	}
	got := w.ask(t, program, get("/v1/orders/7?x=%zz;y", map[string]string{"x-api-key": key}))
	if got[0].Code != 0 || got[0].Status != 200 || len(got[0].ToAPI)+len(got[0].ToCaller) != 0 || !slices.Contains(got[0].Remove, "x-offkey-client") {
		t.Errorf("observe: %+v", got[0])
	}
	w.CLI(t, nil, "stage", "set", "warn", "--all")
	got = w.ask(t, program, get("/v1/orders/7", map[string]string{"x-api-key": key}))
	if got[0].Status != 200 || !strings.HasPrefix(of(got[0].ToCaller, "deprecation"), "@") {
		t.Errorf("warn: %+v", got[0])
	}
	bearer := "Bearer " + w.token(t, "read:orders")
	w.CLI(t, nil, "routes", "enforce", "on")
	with := func(more ...string) map[string]string {
		h := map[string]string{"authorization": bearer, "x-forwarded-proto": "https"}
		for i := 0; i < len(more); i += 2 {
			h[more[i]] = more[i+1]
		}
		return h
	}
	got = w.ask(t, program,
		get("/v1/orders/7", with("x-offkey-client", "admin", "x_offkey_scopes", "admin:all")),
		question{Method: "POST", Path: "/v1/orders", Headers: with()},
		get("/v1/orders/7", nil),
		// G-08: what a caller sends about another call says nothing
		get("/admin/users", with("x-original-uri", "/v1/orders/7", "x-forwarded-uri", "/v1/orders/7", "x-envoy-original-path", "/v1/orders/7", ":path", "/v1/orders/7")),
		// G-14: both lines are seen
		question{Method: "GET", Path: "/v1/orders/7", Raw: [][2]string{{"authorization", bearer}, {"x-api-key", "a"}, {"x-api-key", key}}},
		question{Method: "GET", Path: "/v1/orders/7", Raw: [][2]string{{"authorization", bearer}}},
		question{Method: "GET", Path: "", Headers: with()},
	)
	if a := got[0]; a.Status != 200 || of(a.ToAPI, "x-offkey-scopes") != "read:orders" || !strings.HasPrefix(of(a.ToAPI, "x-offkey-client"), "cl_") ||
		a.ToAPI[0].Action != "OVERWRITE_IF_EXISTS_OR_ADD" || !slices.Contains(a.Remove, "x_offkey_scopes") || !slices.Contains(a.Remove, "authorization") || slices.Contains(a.Remove, "x-offkey-client") {
		t.Errorf("with a token: %+v", a)
	}
	if a := got[1]; a.Code != 7 || a.Status != 403 || !strings.Contains(a.Body, `"insufficient_scope"`) || !strings.Contains(of(a.ToCaller, "www-authenticate"), `scope="create:orders"`) || of(a.ToCaller, "content-type") != "application/problem+json" {
		t.Errorf("without the scope: %+v", a)
	}
	if a := got[2]; a.Code != 16 || a.Status != 401 || !strings.Contains(of(a.ToCaller, "www-authenticate"), "resource_metadata=") {
		t.Errorf("without a credential: %+v", a)
	}
	for i, want := range map[int]int{3: 403, 4: 401, 5: 200, 6: 400} {
		if got[i].Status != want {
			t.Errorf("question %d: %+v, want %d", i, got[i], want)
		}
	}
	for _, path := range []string{"/v1/orders/../../admin/users", "/v1/orders/%2e%2e/x", "//admin/users", "/v1/orders/..;/admin", "/v1/orders/a%2fb", "/admin/users#/v1/orders/7", "*", "http://x/v1/orders/7"} {
		if a := w.ask(t, program, get(path, with()))[0]; a.Status < 400 || a.Status > 499 {
			t.Errorf("G-01 to G-07, %s: %+v", path, a)
		}
	}
	if _, err := net.Dial("tcp", address(t, w.Gateway)); err != nil {
		t.Error("the gateway is gone")
	}
}
