package architecture

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestEachRuleNamesTheFileTheImportAndItself(t *testing.T) {
	tests := []struct {
		name, file, imports string
		rule                string // "" where the import is fine
	}{
		{"words import earlier words", "internal/secret/a.go", module + "internal/oauth", ""},
		{"words do not import later words", "internal/oauth/a.go", module + "internal/secret", "imports what is listed before it"},
		{"nouns import words", "internal/token/a.go", module + "internal/jose", ""},
		{"words do not import nouns", "internal/jose/a.go", module + "internal/keyring", "imports what is listed before it"},
		{"order inside the nouns counts", "internal/client/a.go", module + "internal/apikey", "imports what is listed before it"},
		{"a flow imports nouns", "internal/gateway/a.go", module + "internal/policy", ""},
		{"a flow never imports a flow", "internal/migration/a.go", module + "internal/gateway", "a flow never imports a flow"},
		{"a flow's subfolder is the flow", "internal/authserver/grant/a.go", module + "internal/authserver/clientauth", ""},
		{"a flow's subfolder is no way to another flow", "internal/signin/a.go", module + "internal/authserver/grant", "a flow never imports a flow"},
		{"edges import flows", "internal/store/a.go", module + "internal/authserver", ""},
		{"an edge does not import the store", "internal/api/a.go", module + "internal/store", "only app imports store"},
		{"a flow does not import the store", "internal/gateway/a.go", module + "internal/store", "only app imports store"},
		{"the command does not import the store", "cmd/offkey/a.go", module + "internal/store", "only app imports store"},
		{"app imports the store", "internal/app/a.go", module + "internal/store", ""},
		{"config comes before app", "internal/config/a.go", module + "internal/app", "only cmd/offkey imports app"},
		{"the command imports app", "cmd/offkey/a.go", module + "internal/app", ""},
		{"the command imports nouns", "cmd/offkey/a.go", module + "internal/policy", ""},
		{"the command imports the agent", "cmd/offkey/a.go", module + "internal/agent", ""},
		{"the command imports the sdk", "cmd/offkey/a.go", module + "sdk/go/oauthclient", ""},
		{"the command does not import a server's flow", "cmd/offkey/a.go", module + "internal/authserver", "cmd/offkey may import"},
		{"the client sdk imports words", "sdk/go/oauthclient/a.go", module + "internal/jose", ""},
		{"the client sdk does not import token", "sdk/go/oauthclient/a.go", module + "internal/token", "sdk/go/oauthclient may import"},
		{"the resource server sdk imports token", "sdk/go/resourceserver/a.go", module + "internal/token", ""},
		{"the sdk imports x/oauth2", "sdk/go/oauthclient/a.go", "golang.org/x/oauth2", ""},
		{"the sdk imports no other module", "sdk/go/oauthclient/a.go", "github.com/google/uuid", "golang.org/x/oauth2 alone"},
		{"internal does not import the sdk", "internal/agent/a.go", module + "sdk/go/oauthclient", "nothing of this module outside internal"},
		{"jose imports the JOSE library", "internal/jose/a.go", "github.com/go-jose/go-jose/v4", ""},
		{"nobody else imports a JOSE library", "internal/token/a.go", "github.com/go-jose/go-jose/v4/jwt", "only internal/jose imports"},
		{"nobody else imports a database driver", "internal/app/a.go", "modernc.org/sqlite", "only internal/store imports"},
		{"a new command is refused", "cmd/other/a.go", module + "internal/oauth", "cmd/other may import"},
		{"tests are free", "internal/gateway/a_test.go", module + "internal/store", ""},
		{"bench is free", "bench/a.go", module + "internal/store", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			root := t.TempDir()
			path := filepath.Join(root, filepath.FromSlash(tt.file))
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte("package p\n\nimport _ \""+tt.imports+"\"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			found, _, err := violations(root)
			if err != nil {
				t.Fatal(err)
			}
			got := strings.Join(found, "\n")
			switch {
			case tt.rule == "" && got != "":
				t.Errorf("refused: %s", got)
			case tt.rule != "" && (!strings.Contains(got, tt.rule) || !strings.Contains(got, tt.file+":3 imports "+tt.imports)):
				t.Errorf("got %q, want the file, the import and %q", got, tt.rule)
			}
		})
	}
}

func TestAPackageInNoRingIsRefusedEvenIfItImportsNothing(t *testing.T) {
	root := t.TempDir()
	if err := os.MkdirAll(filepath.Join(root, "internal", "util"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "internal", "util", "a.go"), []byte("package util\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	found, _, err := violations(root)
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(found, "\n"); !strings.Contains(got, "internal/util/a.go") || !strings.Contains(got, "internal/util is in no ring") {
		t.Errorf("got %q", got)
	}
}
