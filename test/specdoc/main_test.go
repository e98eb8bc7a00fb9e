package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// tree is a small repository: one rule of each kind and one test of each kind.
var tree = map[string]string{
	"docs/checklist.tsv": "number\tsection\ttext\n" +
		"21\t1 Client authentication\t! `iss` is `sub` (RFC 7523 §3)\n" +
		"22\t1 Client authentication\taudience a|b\n" +
		"37\t2 Authorization endpoint\texact redirect URI (OAuth 2.1 §2.3.1)\n",
	"docs/gateway-checks.tsv": "number\ttext\nG-01\tone path\nG-13\tfixed table\n",
	"internal/proof/proof.go": `// Package proof is for the test. It follows RFC 8725.
package proof

// checkIssuer holds RFC 7523
// §3, and more.
func checkIssuer() {}

// A Proof is one.
type Proof[T any] struct {
	Nonce T // RFC 9449 §8, §9
}

// Match compares.
func (p *Proof[T]) Match() bool {
	return true // RFC 7636 §4.6
}
`,
	"internal/proof/proof_test.go": `package proof

import "testing"

var issuers = []struct{ name string }{{"checklist_21 iss must equal sub"}}

// TestIssuer goes through the table.
func TestIssuer(t *testing.T) {
	for _, tt := range issuers {
		t.Run(tt.name, func(t *testing.T) {})
	}
}

// TestNonce holds RFC 9449 §9.
func TestNonce(t *testing.T) {}

func TestG13FixedTable(t *testing.T) {}

func TestNamesNothing(t *testing.T) {}

func TestTellsInAComment(t *testing.T) {
	// checklist_22, and more
}
`,
	"cmd/offkey/testdata/script/path.txtar": "# G-01 a dotted path is refused\nexec offkey version\n",
}

func plant(t *testing.T, files map[string]string) (root string) {
	t.Helper()
	root = t.TempDir()
	for name, text := range files {
		path := filepath.Join(root, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func TestThePageJoinsRequirementFunctionAndTest(t *testing.T) {
	root := plant(t, tree)
	if err := run(root, false); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(filepath.Join(root, page))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"5 requirements cited · 2 of 3 checklist lines have a test · 2 of 2 gateway checks have a test",
		"| RFC 7523 §3 | `proof.checkIssuer` | `proof.TestIssuer` |",
		"| RFC 7636 §4.6 | `proof.Proof.Match` |  |",
		"| RFC 8725 | `proof` |  |",
		"| RFC 9449 §8 | `proof.Proof` |  |",
		"| RFC 9449 §9 | `proof.Proof` | `proof.TestNonce` |",
		"| 21 | ! `iss` is `sub` (RFC 7523 §3) | `proof.TestIssuer` |",
		"| 22 | audience a\\|b | `proof.TestTellsInAComment` |",
		"| 37 | exact redirect URI (OAuth 2.1 §2.3.1) | not built yet |",
		"| G-01 | one path | `cmd/offkey.path (script)` |",
		"| G-13 | fixed table | `proof.TestG13FixedTable` |",
	} {
		if !strings.Contains(string(got), want+"\n") {
			t.Errorf("the page lacks the line\n%s", want)
		}
	}
	if strings.Contains(string(got), "TestNamesNothing") {
		t.Error("a test that names nothing is on the page")
	}
	if t.Failed() {
		t.Logf("the page:\n%s", got)
	}
}

func TestCheckFailsUntilThePageIsMadeAgain(t *testing.T) {
	root := plant(t, tree)
	if err := run(root, true); err == nil || !strings.Contains(err.Error(), "go run ./test/specdoc") {
		t.Errorf("without a page: %v", err)
	}
	if err := run(root, false); err != nil {
		t.Fatal(err)
	}
	for range 20 { // the order of maps must not show
		if err := run(root, true); err != nil {
			t.Fatalf("just made: %v", err)
		}
	}
	code := filepath.Join(root, "internal/proof/more.go")
	if err := os.WriteFile(code, []byte("package proof\n\n// more is RFC 6749 §5.1.\nfunc more() {}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := run(root, true); err == nil || !strings.Contains(err.Error(), "out of date from line 7: run `go run ./test/specdoc`") {
		t.Errorf("after a change: %v", err)
	}
}

func TestACheckThatIsInNoListIsRefused(t *testing.T) {
	for _, name := range []string{"checklist_99", "G-77"} {
		root := plant(t, tree)
		script := filepath.Join(root, "cmd/offkey/testdata/script/path.txtar")
		if err := os.WriteFile(script, []byte("# "+name+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		number := strings.TrimPrefix(name, "checklist_")
		if err := run(root, false); err == nil || !strings.Contains(err.Error(), "path (script) names check "+number) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestCitations(t *testing.T) {
	tests := []struct{ text, want string }{
		{"(RFC 7636 §4.6)", "RFC 7636 §4.6"},
		{"RFC 7636 §4.6. Then", "RFC 7636 §4.6"},
		{"RFC 9449 §8, §9 and §10.1", "RFC 9449 §8; RFC 9449 §9; RFC 9449 §10.1"},
		{"RFC 6749 §3.1; RFC 6749 §2.3", "RFC 6749 §2.3; RFC 6749 §3.1"},
		{"RFC 6749 says in RFC 6749 §5.2", "RFC 6749 §5.2"},
		{"RFC 10070 and RFC 9700", "RFC 9700; RFC 10070"},
		{"RFC 7636 §B", "RFC 7636 §B"},
		{"OAuth 2.1 §4.1.3", "OAuth 2.1 §4.1.3"},
		{"OIDC Core §3.1.2.1 and FAPI 2.0 §5.4", "FAPI 2.0 §5.4; OIDC Core §3.1.2.1"},
		{"draft-ietf-oauth-client-id-metadata-document §3", "draft-ietf-oauth-client-id-metadata-document §3"},
		{"RFC 6749 §4.10 RFC 6749 §4.2", "RFC 6749 §4.2; RFC 6749 §4.10"},
		{"RFC3339, rfc 6749, section 4", ""},
	}
	for _, tt := range tests {
		var got []string
		for _, c := range citations(tt.text) {
			got = append(got, c.String())
		}
		if s := strings.Join(got, "; "); s != tt.want {
			t.Errorf("%q cites %q, want %q", tt.text, s, tt.want)
		}
	}
}
