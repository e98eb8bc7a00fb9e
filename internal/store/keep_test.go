package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/offkey/offkey/internal/client"
	"github.com/offkey/offkey/internal/policy"
)

const mayChangeAudit = `DROP TRIGGER audit_entry_stays; DROP TRIGGER audit_entry_remains;`

func TestAuditEntriesAreNeitherChangedNorDeleted(t *testing.T) {
	db := openNew(t)
	create(t, db, "cl_1")
	for _, statement := range []string{`UPDATE audit_entry SET actor = 'nobody'`, `DELETE FROM audit_entry`} {
		err := db.change(t.Context(), func(x *tx) error { _, err := x.exec(statement); return err })
		if err == nil || !strings.Contains(err.Error(), "never") {
			t.Errorf("%s: %v", statement, err)
		}
	}
}

func TestWhoeverChangesTheAuditLogPastTheStoreIsFound(t *testing.T) {
	tests := []struct {
		name, statement, verify string
		check                   bool // seen by Check already
	}{
		{"an entry edited", `UPDATE audit_entry SET actor = 'nobody' WHERE seq = 3`, "entry 3 was changed", false},
		{"a detail edited", `UPDATE audit_entry SET detail = '{}' WHERE seq = 2`, "entry 2 was changed", false},
		{"a time edited", `UPDATE audit_entry SET at = at + 1 WHERE seq = 2`, "entry 2 was changed", false},
		{"an entry removed", `DELETE FROM audit_entry WHERE seq = 3`, "entry 3 is missing", false},
		{"the first removed", `DELETE FROM audit_entry WHERE seq = 1`, "entry 1 is missing", false},
		{"the last removed", `DELETE FROM audit_entry WHERE seq = 5`, "entries 5 to 5 are missing at the end", true},
		{"all removed", `DELETE FROM audit_entry`, "entries 1 to 5 are missing at the end", true},
		{"the last edited", `UPDATE audit_entry SET actor = 'nobody' WHERE seq = 5`, "entry 5 was changed", true},
		{"a hash cut short", `UPDATE audit_entry SET hash = x'00' WHERE seq = 2`, "entry 2: hash has 1 bytes", false},
		{"the head moved", `UPDATE meta SET value = '5 ' || substr(value, 3, 60) || 'beef' WHERE name = 'audit_head'`, "not the one that was noted", true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "offkey.db")
			db := openAt(t, path)
			for _, id := range []string{"cl_1", "cl_2", "cl_3", "cl_4", "cl_5"} {
				create(t, db, id)
			}
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
			byHand(t, path, mayChangeAudit, tt.statement)
			db = openAt(t, path)
			if _, _, err := db.VerifyAudit(t.Context()); err == nil || !strings.Contains(err.Error(), tt.verify) {
				t.Errorf("verified: %v, want %q", err, tt.verify)
			}
			if err := db.Check(t.Context()); (err != nil) != tt.check {
				t.Errorf("checked: %v", err)
			}
			create(t, db, "cl_6") // the store goes on, and stays found out
			if _, _, err := db.VerifyAudit(t.Context()); err == nil {
				t.Error("verified after another entry")
			}
		})
	}
}

func TestCheckFindsDamage(t *testing.T) {
	t.Run("in the file", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "offkey.db")
		db := openAt(t, path)
		for i := range 8 {
			create(t, db, fmt.Sprint("cl_", i, strings.Repeat("x", 1000))) // more than one page
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		raw, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		at := strings.Index(string(raw), "cl_4xxxx") &^ 4095 // the page that it is on
		copy(raw[at:], "this was the head of a page")
		if err := os.WriteFile(path, raw, 0o600); err != nil {
			t.Fatal(err)
		}
		db = openAt(t, path)
		if err := db.Check(t.Context()); err == nil || !strings.Contains(err.Error(), "damaged: restore a backup") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("between rows", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "offkey.db")
		db := openAt(t, path)
		byHand(t, path, `INSERT INTO sealed_apikey VALUES ('cl_gone', 'api', 'ak_gone', x'00', 0)`)
		if err := db.Check(t.Context()); err == nil || !strings.Contains(err.Error(), "refers to a row") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("of the schema", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "offkey.db")
		db := openAt(t, path)
		byHand(t, path, `UPDATE meta SET value = '99' WHERE name = 'schema'`)
		if err := db.Check(t.Context()); err == nil || !strings.Contains(err.Error(), "version 99") {
			t.Errorf("got %v", err)
		}
	})
}

func TestABackupIsADataFile(t *testing.T) {
	db := openNew(t)
	create(t, db, "cl_1")
	if _, err := db.SpendAssertion(t.Context(), "cl_1", "a", time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "it's a backup.db")
	if err := db.Backup(t.Context(), path); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	create(t, db, "cl_2")
	restored := openAt(t, path)
	if err := restored.Check(t.Context()); err != nil {
		t.Error(err)
	}
	if n, _, err := restored.VerifyAudit(t.Context()); err != nil || n != 1 {
		t.Errorf("%d audit entries, %v", n, err)
	}
	if _, err := restored.Client(t.Context(), "cl_1"); err != nil {
		t.Error(err)
	}
	if _, err := restored.Client(t.Context(), "cl_2"); !errors.Is(err, client.ErrNotFound) {
		t.Errorf("it has what came later: %v", err)
	}
	if fresh, err := restored.SpendAssertion(t.Context(), "cl_1", "a", time.Now().Add(time.Hour)); err != nil || fresh {
		t.Errorf("fresh %v, %v", fresh, err)
	}
	create(t, restored, "cl_3")
}

func TestABackupThatFailsLeavesNothing(t *testing.T) {
	db := openNew(t)
	dir := t.TempDir()
	taken := filepath.Join(dir, "taken")
	if err := os.WriteFile(taken, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := db.Backup(t.Context(), taken); err == nil || !strings.Contains(err.Error(), taken) {
		t.Errorf("got %v", err)
	}
	if raw, err := os.ReadFile(taken); err != nil || string(raw) != "mine" {
		t.Errorf("the file that was there is now %q, %v", raw, err)
	}
	if err := db.Backup(t.Context(), filepath.Join(dir, "none", "b.db")); err == nil {
		t.Error("no error")
	}
	damaged := filepath.Join(dir, "b.db")
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if err := db.Backup(t.Context(), damaged); err == nil {
		t.Error("a closed store was backed up")
	}
	if _, err := os.Stat(damaged); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a part of it is left: %v", err)
	}
}

func TestSettingsOfANewerOffkeyStay(t *testing.T) {
	path := filepath.Join(t.TempDir(), "offkey.db")
	db := openAt(t, path)
	byHand(t, path, `INSERT INTO setting VALUES ('of_tomorrow', '{"a":1}')`)
	for _, enforce := range []policy.Enforce{policy.On, policy.Off} {
		got, err := db.UpdateSettings(t.Context(), func(s *policy.Settings) error { s.Enforce = enforce; return nil }, did("x"))
		if err != nil || got.Enforce != enforce {
			t.Fatalf("%+v, %v", got, err)
		}
	}
	var value string
	if err := db.change(t.Context(), func(x *tx) error {
		return x.one(`SELECT value FROM setting WHERE name = 'of_tomorrow'`, nil, &value)
	}); err != nil || value != `{"a":1}` {
		t.Errorf("it is %q, %v", value, err)
	}
}
