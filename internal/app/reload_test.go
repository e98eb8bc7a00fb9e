package app

import (
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/offkey/offkey/internal/audit"
	"github.com/offkey/offkey/internal/client"
)

// declared is a client of the file.
func declared(id string) string {
	return "  - {id: " + id + ", auth: client_secret_basic, secret: \"" + strings.Repeat(id+"-", 16) + "\", scopes: [read:orders]}\n"
}

func TestAReloadThatFailsChangesNothing(t *testing.T) {
	for _, c := range []struct {
		name, settings string
	}{
		{"a client of the file has the id of another", "clients:\n" + declared("alpha") + declared("billing")},
		{"a secret_file is missing", "clients:\n" + declared("alpha") + "  - {id: beta, auth: client_secret_basic, secret_file: nowhere}\n"},
		{"an apikey cannot travel there", "clients:\n" + declared("alpha") + "apikeys: {where: [{in: header, name: X-A}, {in: header, name: x-a}]}\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := runProcess(t, "clients:\n"+declared("old"))
			p.makeClient("billing")
			p.write(c.settings)
			if err := p.Reload(t.Context()); err == nil {
				t.Fatal("reloaded")
			}
			if _, err := p.db.Client(t.Context(), "alpha"); !errors.Is(err, client.ErrNotFound) {
				t.Errorf("alpha, of the file that was refused: %v", err)
			}
			if _, err := p.db.Client(t.Context(), "old"); err != nil {
				t.Errorf("old, of the file in force: %v", err)
			}
		})
	}
}

func TestAReloadThatFailsKeepsTheCounts(t *testing.T) {
	p := runProcess(t, "")
	call := func() {
		t.Helper()
		resp, err := http.Get(p.Addresses().Gateway + "/v1/orders")
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
	}
	calls := func() (line string) {
		t.Helper()
		resp, err := http.Get(p.Addresses().Ops + "/metrics")
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		for l := range strings.Lines(string(text)) {
			if strings.HasPrefix(l, "offkey_requests_total{") {
				line += l
			}
		}
		return line
	}
	call()
	before := calls()
	p.write("clients:\n  - {id: beta, auth: client_secret_basic, secret_file: nowhere}\n")
	if err := p.Reload(t.Context()); err == nil {
		t.Fatal("reloaded")
	}
	if after := calls(); before == "" || after != before {
		t.Errorf("before the reload %q, after it %q", before, after)
	}
	p.write("telemetry: {level: error}\n")
	if err := p.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	call()
	if after := calls(); !strings.HasSuffix(strings.TrimSpace(after), " 2") {
		t.Errorf("two calls, one before and one after a reload, are counted as %q", after)
	}
}

func TestAReloadIsInTheAudit(t *testing.T) {
	p := runProcess(t, "")
	secretFile := filepath.Join(filepath.Dir(p.file), "shop.secret")
	if err := os.WriteFile(secretFile, []byte(strings.Repeat("s3cr3t-", 8)), 0o600); err != nil {
		t.Fatal(err)
	}
	p.write("migration: {stage: warn}\nclients:\n  - {id: shop, auth: client_secret_basic, secret: \"${file:shop.secret}\"}\n")
	if err := p.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	entries, err := p.db.AuditEntries(t.Context(), 0, 100)
	if err != nil {
		t.Fatal(err)
	}
	found := false
	for _, e := range entries {
		if strings.Contains(string(e.Detail), "s3cr3t") {
			t.Errorf("entry %d has a secret in it", e.Seq)
		}
		if e.Action == "config.reloaded" && e.Actor == "system" {
			found = strings.Contains(string(e.Detail), "migration.stage") && strings.Contains(string(e.Detail), "warn")
		}
	}
	if !found {
		t.Errorf("no entry says that migration.stage became warn: %+v", entries)
	}
}

func TestWhatAReloadDoesNotChangeIsSaid(t *testing.T) {
	p := runProcess(t, "")
	p.write("signing: {alg: EdDSA, rotate_every: 60d}\ntelemetry: {level: debug, logs: text, access: true}\n")
	for range 2 { // the second time it is still to come
		changes, err := configuration{p.App}.Reload(t.Context(), false, audit.Event{Actor: "os:0", Action: "config.reloaded"})
		if err != nil {
			t.Fatal(err)
		}
		restart := map[string]bool{}
		for _, c := range changes {
			restart[c.Setting] = c.Restart
		}
		for _, setting := range []string{"signing.alg", "signing.rotate_every", "telemetry.level", "telemetry.logs"} {
			if needed, changed := restart[setting]; !needed || !changed {
				t.Errorf("%s: changed %v, needs a restart %v", setting, changed, needed)
			}
		}
	}
}
