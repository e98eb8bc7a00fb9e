package migration

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/offkey/offkey/internal/apikey"
	"github.com/offkey/offkey/internal/audit"
	"github.com/offkey/offkey/internal/migration/importfile"
	"github.com/offkey/offkey/internal/secret"
)

const (
	keyA = "live_aaaabbbbccccdddd1"
	keyB = "live_eeeeffffgggghhhh2"
	keyC = "live_iiiijjjjkkkkllll3"
)

func TestImportReads(t *testing.T) {
	tests := []struct {
		name string
		file importfile.File
		text string
		want string // last4 label owner contact, of each apikey
	}{
		{"an apikey on each line", importfile.File{}, keyA + "\n# a comment\n\n  " + keyB + " \r\n", "ddd1   ; hhh2   "},
		{"CSV", importfile.File{}, "key,label,owner,contact\n" + keyA + ",orders,Acme,ops@acme.example\n" + keyB + ",,,\n", "ddd1 orders Acme ops@acme.example; hhh2   "},
		{"CSV of an API gateway, in any order and case", importfile.File{}, "Name,Description,Enabled,UsagePlanIds,Key\n\"Acme, Inc\",x,true,\"a,b\"," + keyA + "\n", "ddd1 Acme, Inc  "},
		{"CSV with a byte order mark", importfile.File{}, "\ufeffkey,owner\r\n" + keyA + ",Acme\r\n", "ddd1  Acme "},
		{"CSV with columns named", importfile.File{Format: importfile.CSV, Columns: map[string]string{"key": "x", "owner": "y"}}, "y,x\nAcme," + keyA + "\n", "ddd1  Acme "},
		{"CSV with short rows", importfile.File{}, "key,owner,label\n" + keyA + "\n", "ddd1   "},
		{"JSONL", importfile.File{}, fmt.Sprintf("{\"key\":%q,\"owner\":\"Acme\",\"n\":7}\n\n{\"api_key\":%q,\"email\":\"a@b.c\"}\n", keyA, keyB), "ddd1  Acme ; hhh2   a@b.c"},
		{"JSONL with members named", importfile.File{Columns: map[string]string{"key": "credential"}}, fmt.Sprintf("{\"credential\":%q,\"key\":\"not this\"}", keyA), "ddd1   "},
		{"the last of several lines counts", importfile.File{}, "key,label\n" + keyA + ",old\n" + keyB + ",b\n" + keyA + ",new\n", "ddd1 new  ; hhh2 b  "},
		{"what is not enabled stays out", importfile.File{}, "key,enabled\n" + keyA + ",false\n" + keyB + ",yes\n", "hhh2   "},
		{"nothing", importfile.File{}, "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			if _, err := w.importFile(tt.file, tt.text, false); err != nil {
				t.Fatal(err)
			}
			var got []string
			if err := w.eachAPIKey(w.ctx, func(k *apikey.Key) error {
				got = append(got, strings.Join([]string{k.Last4, k.Label, k.Owner, k.Contact}, " "))
				if k.KnownBy != apikey.KnownByImport || k.Stage != apikey.Inherit || !k.Created.Equal(noon) {
					t.Errorf("%+v", k)
				}
				return nil
			}); err != nil {
				t.Fatal(err)
			}
			if s := strings.Join(got, "; "); s != tt.want {
				t.Errorf("got %q, want %q", s, tt.want)
			}
		})
	}
}

func TestImportReport(t *testing.T) {
	text := strings.Join([]string{
		"key,owner,enabled",
		keyA + ",Acme,true",
		keyA + ",,true",                        // a duplicate
		keyB + ",Acme,true",                    // a conflict with line 5
		keyB + ",Globex,true",                  // its other owner
		keyC + ",Initech,false",                // disabled
		",Acme,true",                           // without an apikey
		"with space,Acme,true",                 // no apikey
		"tiny77,Acme,true",                     // weak
		strings.Repeat("a", 40) + ",Acme,true", // weak
		`"broken`,
	}, "\n")
	w := newWorld(t)
	dry, err := w.importFile(importfile.File{}, text, true)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(w.keys()); n != 0 || len(w.audited()) != 0 {
		t.Errorf("a dry run took in %d apikeys", n)
	}
	done, err := w.importFile(importfile.File{}, text, false)
	if err != nil {
		t.Fatal(err)
	}
	for name, r := range map[string]ImportReport{"dry run": dry, "import": done} {
		if r.Lines != 10 || r.Added != 3 || r.Updated != 0 || r.Unchanged != 0 || r.Duplicates != 1 || r.Conflicts != 2 || r.Disabled != 1 || r.Rejected != 3 || r.Weak != 2 {
			t.Errorf("%s: %+v", name, r)
		}
		raw, err := json.Marshal(r)
		if err != nil || strings.Contains(string(raw), "live_") || strings.Contains(string(raw), "with space") || strings.Contains(string(raw), "tiny77") {
			t.Errorf("%s tells apikeys: %s", name, raw)
		}
	}
	if !strings.Contains(fmt.Sprint(done.Problems), "another owner on line 4") {
		t.Errorf("problems %v", done.Problems)
	}
	again, err := w.importFile(importfile.File{}, text, false)
	if err != nil || again.Added != 0 || again.Updated != 0 || again.Unchanged != 3 {
		t.Errorf("again: %+v, %v", again, err)
	}
	n := len(w.audited())
	dry, err = w.importFile(importfile.File{}, "key,owner\n"+keyA+",Other\n", true)
	if err != nil || dry.Updated != 1 {
		t.Errorf("another owner, dry: %+v, %v", dry, err)
	}
	if done, err = w.importFile(importfile.File{}, "key,owner\n"+keyA+",Other\n", false); err != nil || done.Updated != 1 || len(w.audited()) != n+1 {
		t.Errorf("another owner: %+v, %v", done, err)
	}
}

func TestAnImportVouchesForALearntAPIKey(t *testing.T) {
	w := newWorld(t)
	k := w.learnt(keyA, func(k *apikey.Key) { k.Suspended, k.Stage = true, apikey.Warn })
	dry, err := w.importFile(importfile.File{}, keyA, true)
	if err != nil || dry.Updated != 1 {
		t.Errorf("dry: %+v, %v", dry, err)
	}
	w.imported(keyA)
	if k = w.key(k.ID); k.KnownBy != apikey.KnownByImport || k.Stage != apikey.Warn || k.Owner != "Acme" {
		t.Errorf("%+v", k)
	}
}

func TestFilesThatAreNotImported(t *testing.T) {
	tests := []struct {
		name string
		file importfile.File
		text string
		want string
	}{
		{"an HMAC without its secret", importfile.File{Hash: importfile.HashForm{Algorithm: "hmac-sha256"}}, "owner,hash\nAcme,ab12\n", "needs its secret"},
		{"no column with apikeys", importfile.File{Format: importfile.CSV}, "a,b\n1,2\n", "no column holds the apikeys"},
		{"a column that is not there", importfile.File{Format: importfile.CSV, Columns: map[string]string{"key": "x"}}, "key\n" + keyA, "no column holds the apikeys"},
		{"another format", importfile.File{Format: "xml"}, "", `format "xml" is not read`},
		{"a document without apikeys", importfile.File{Format: importfile.Kong}, "services: []\n", "no apikey"},
		{"a field that there is not", importfile.File{Columns: map[string]string{"rate": "x"}}, "", `there is no field "rate"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			_, err := w.importFile(tt.file, tt.text, false)
			if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "ab12") {
				t.Errorf("error %v", err)
			}
		})
	}
	t.Run("CSV without a header does not show its first apikey", func(t *testing.T) {
		_, err := newWorld(t).importFile(importfile.File{Format: importfile.CSV}, keyA+",Acme\n", false)
		if err == nil || strings.Contains(err.Error(), keyA) {
			t.Errorf("error %v", err)
		}
	})
	t.Run("a hash on a line of JSONL", func(t *testing.T) {
		r, err := newWorld(t).importFile(importfile.File{}, `{"hash":"ab12"}`, false)
		if err != nil || r.Unresolved != 1 || !strings.Contains(r.Problems[0].Problem, "no form that is known") {
			t.Errorf("%+v, %v", r, err)
		}
	})
}

func (w *world) keys() (keys []*apikey.Key) {
	w.Helper()
	if err := w.eachAPIKey(w.ctx, func(k *apikey.Key) error { keys = append(keys, k); return nil }); err != nil {
		w.Fatal(err)
	}
	return keys
}

func TestAListOfHashes(t *testing.T) {
	w := newWorld(t)
	of := func(key string) string { return secret.HashOf(key).String() }
	list := "hash,owner,prefix,scopes\n" + of(keyA) + ",Acme,live_,read:orders\n" + of(keyB) + ",Globex,,\nmurmur,Hooli,,\n"
	dry, err := w.importFile(importfile.File{}, list, true)
	if err != nil || dry.Added != 2 || dry.Hashed != 2 || dry.Slow != 0 || dry.Unresolved != 1 {
		t.Errorf("%+v, %v", dry, err)
	}
	for i, want := range []ImportReport{{Added: 2}, {Unchanged: 2}} {
		got, err := w.importFile(importfile.File{}, list, false)
		if err != nil || got.Added != want.Added || got.Unchanged != want.Unchanged {
			t.Errorf("%d: %+v, %v", i, got, err)
		}
	}
	for _, k := range w.keys() {
		if k.Hash == nil || k.Scopes != map[string]string{"Acme": "read:orders", "Globex": ""}[k.Owner] {
			t.Errorf("%+v", k)
		}
	}
	if r, err := w.importFile(importfile.File{Hash: importfile.HashForm{Algorithm: "sha256"}}, "hash,owner\n"+of(keyA)+",Other\n"+of(keyA)+",Acme\n", false); err != nil || r.Conflicts != 2 {
		t.Errorf("one hash of two owners: %+v, %v", r, err)
	}
}

func TestWhatAnImportSaysAboutItsApikeys(t *testing.T) {
	w := newWorld(t)
	r, err := w.importFile(importfile.File{}, strings.Join([]string{
		"key,owner,expires,created",
		keyA + ",Acme,2020-01-01,",             // has ended
		keyB + ",Acme,2099-01-01,2024-07-01",   // goes on
		"YOUR-API-KEY-goes-here-0001,Acme,,",   // of documentation
		"AKIA-IOSFODNN7EXAMPLE-0123456,Acme,,", // of documentation
		"${ACME_KEY},Acme,,",                   // elsewhere
	}, "\n"), false)
	if err != nil || r.Expired != 1 || r.Added != 3 || r.Examples != 2 || r.Unresolved != 1 {
		t.Errorf("%+v, %v", r, err)
	}
	if k, err := w.db.APIKeyByFingerprint(w.ctx, w.Pepper.Fingerprint(keyB)); err != nil || k.Expires.Year() != 2099 || k.Created.Year() != 2024 {
		t.Errorf("%+v, %v", k, err)
	}
}

func TestAFollowedListThatShrinks(t *testing.T) {
	w := newWorld(t)
	follow := func(force bool, n ...int) (ImportReport, error) {
		text := "key\n"
		for _, i := range n {
			text += fmt.Sprintf("live_followed_key_%04d\n", i)
		}
		return w.Import(w.ctx, ImportOptions{Follow: "crm", Force: force, Actor: "os:0"}, strings.NewReader(text))
	}
	suspended := func() (n int) {
		for _, k := range w.keys() {
			if k.Suspended {
				n++
			}
		}
		return n
	}
	all := make([]int, 40)
	for i := range all {
		all[i] = i
	}
	w.imported(keyA) // of no list: never gone
	if _, err := follow(false, all...); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name  string
		n     []int
		force bool
		gone  int // -1: refused
		now   int
	}{
		{"three are gone", all[3:], false, 3, 3},
		{"the same again", all[3:], false, 0, 3},
		{"an empty list", nil, false, -1, 3},
		{"a third of them", all[15:], false, -1, 3},
		{"and that was meant", all[15:], true, 12, 15},
		{"all are back", all, false, 0, 0},
	} {
		got, err := follow(tt.force, tt.n...)
		if refused := errors.Is(err, ErrTooManyGone); refused != (tt.gone < 0) || !refused && (err != nil || got.Gone != tt.gone) || suspended() != tt.now {
			t.Errorf("%s: %+v, %v, %d suspended", tt.name, got, err, suspended())
		}
	}
}

func TestAnApikeyThatIsTradedBeforeItIsUsedIsRecognisedByItsHash(t *testing.T) {
	w := newWorld(t)
	if _, err := w.importFile(importfile.File{}, "hash,owner\n"+secret.HashOf(keyA).String()+",Acme\n", false); err != nil {
		t.Fatal(err)
	}
	if _, err := w.upgradable(w.ctx, keyA); err == nil {
		t.Error("found without anybody who recognises it")
	}
	asked := 0
	w.Road.Recognise = func(_ context.Context, value string) *apikey.Key {
		asked++
		if value != keyA {
			return nil
		}
		k, err := w.db.PinAPIKey(w.ctx, w.keys()[0].ID, w.Pepper.Fingerprint(value), "ddd1", "live_", audit.Event{Actor: "system", Action: "apikey.recognised"})
		if err != nil {
			t.Error(err)
		}
		return k
	}
	for range 2 {
		if k, err := w.upgradable(w.ctx, keyA); err != nil || k.Owner != "Acme" || k.Hash != nil {
			t.Errorf("%+v, %v", k, err)
		}
	}
	if _, err := w.upgradable(w.ctx, keyB); err == nil {
		t.Error("a stranger's string is traded")
	}
	if asked != 2 {
		t.Errorf("asked %d times: one that is known by its fingerprint needs no hash", asked)
	}
}
