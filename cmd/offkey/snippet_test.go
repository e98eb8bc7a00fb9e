package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/offkey/offkey/sdk/go/oauthclient"
	"github.com/offkey/offkey/test/farside"
)

// extras reports whether tests that need more than Go must run: without
// `make setup` they are skipped.
func extras(t *testing.T, need string) {
	t.Helper()
	if _, err := os.Stat(need); err == nil {
		return
	}
	if os.Getenv("OFFKEY_TEST_EXTRAS") == "1" {
		t.Fatalf("%s is missing, which the set-up installs", need)
	}
	t.Skipf("%s is missing; `make setup` installs it", need)
}

// linesFor is what upgrade prints for a language, and the far side that they
// are to work with.
func linesFor(t *testing.T, lang string, more ...string) (*farside.World, string) {
	t.Helper()
	world, dir, _ := upgraded(t, more...)
	r := offkey(t, "upgrade", "--api", world.APIURL, "--dir", dir, "--lang", lang)
	r.want(t, exitOK)
	return world, r.out
}

// works runs a program with the lines in it and expects its call to arrive.
func works(t *testing.T, world *farside.World, command *exec.Cmd) {
	t.Helper()
	out, err := command.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	calls := world.Calls()
	if len(calls) == 0 || !strings.Contains(string(out), "STATUS 200") {
		t.Fatalf("%d calls arrived; the program said %s", len(calls), out)
	}
	requests := world.Requests()
	if last := requests[len(requests)-1]; !last.Granted || last.Scope != "read:orders create:orders" || last.Resource != world.APIURL || !last.Claims.Audience.Has(world.IssuerURL) {
		t.Errorf("its token request was %+v", last)
	}
}

func write(t *testing.T, path, content string) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestLinesForGoWork(t *testing.T) {
	world, lines := linesFor(t, "go")
	imports, body, ok := strings.Cut(lines, "\n\n")
	if !ok {
		t.Fatalf("no blank line after the imports: %s", lines)
	}
	program := fmt.Sprintf("package main\n\n%s\nimport (\"fmt\"; \"log\")\n\nfunc main() {\n%s\nresp, err := client.Get(%q)\nif err != nil { log.Fatal(err) }\nfmt.Println(\"STATUS\", resp.StatusCode)\n}\n", imports, body, world.APIURL+"/v1/orders")
	works(t, world, exec.Command("go", "run", "-overlay", overlay(t, "lines/main.go", program), "./lines"))
}

// overlay makes a file of this module that exists for one go command alone: it
// can import the module's packages, and nobody else sees it.
func overlay(t *testing.T, name, content string) string {
	t.Helper()
	real := write(t, filepath.Join(t.TempDir(), "content"), content)
	document, err := json.Marshal(map[string]any{"Replace": map[string]string{absolute(name): real}})
	if err != nil {
		t.Fatal(err)
	}
	return write(t, filepath.Join(t.TempDir(), "overlay.json"), string(document))
}

func TestLinesForCurlWork(t *testing.T) {
	world, lines := linesFor(t, "curl")
	works(t, world, exec.Command("sh", "-c", strings.TrimSpace(lines)+"/v1/orders -sS -o /dev/null -w 'STATUS %{http_code}'"))
}

func TestLinesForNodeWork(t *testing.T) {
	extras(t, "../../test/interop/node/node_modules/openid-client")
	for _, alg := range []string{"ES256", "EdDSA"} {
		t.Run(alg, func(t *testing.T) {
			world, lines := linesFor(t, "node", "--alg", alg)
			program := lines + fmt.Sprintf("\nconst r = await fetch(%q, { headers: { Authorization: `Bearer ${token.access_token}` } })\nconsole.log('STATUS', r.status)\n", world.APIURL+"/v1/orders")
			command := exec.Command("node", "--input-type=module", "-")
			command.Dir = "../../test/interop/node"
			command.Stdin = strings.NewReader(program)
			works(t, world, command)
		})
	}
}

func TestLinesForPythonWork(t *testing.T) {
	extras(t, "../../.setup/python/bin/python")
	for _, alg := range []string{"ES256", "EdDSA"} {
		t.Run(alg, func(t *testing.T) {
			world, lines := linesFor(t, "python", "--alg", alg)
			program := lines + fmt.Sprintf("\nprint('STATUS', requests.get(%q, auth=auth).status_code)\n", world.APIURL+"/v1/orders")
			works(t, world, exec.Command("../../.setup/python/bin/python", write(t, filepath.Join(t.TempDir(), "main.py"), program)))
		})
	}
}

// hostile is a client whose values are what a server could send to run code
// where the lines are pasted.
var hostile = &oauthclient.Client{
	ClientID: `a"; evil("x'); $(evil) ` + "`evil`" + ` ${evil}\`, Issuer: "https://i.example", TokenURL: "https://i.example/token", Resource: "https://a.example",
	Scopes: []string{`'evil`}, KeyFile: "/k.pem", KeyID: "k", Algorithm: "ES256", Dir: "/tmp/it's a $(evil) dir",
}

func TestLinesQuoteEveryValue(t *testing.T) {
	for _, lang := range []string{"go", "node", "python", "java", "dotnet", "curl"} {
		lines, err := linesToChange(lang, "https://a.example/", hostile)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(lines, `a"; evil(`) {
			t.Errorf("%s: a quote in the client id ends the string:\n%s", lang, lines)
		}
		if lang == "curl" && !strings.Contains(lines, `'/tmp/it'\''s a $(evil) dir'`) {
			t.Errorf("%s", lines)
		}
	}
}

func TestLanguageIsGuessedFromTheFolder(t *testing.T) {
	for file, want := range map[string]string{"go.mod": "go", "package.json": "node", "requirements.txt": "python", "pom.xml": "java", "Shop.csproj": "dotnet", "README": "curl"} {
		t.Chdir(t.TempDir())
		write(t, file, "")
		if got := languageHere(); got != want {
			t.Errorf("%s: %s, want %s", file, got, want)
		}
	}
}
