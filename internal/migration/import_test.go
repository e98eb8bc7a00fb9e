package migration

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/offkey/offkey/internal/apikey"
)

const (
	keyA = "live_aaaabbbbccccdddd1"
	keyB = "live_eeeeffffgggghhhh2"
	keyC = "live_iiiijjjjkkkkllll3"
)

func TestImportReads(t *testing.T) {
	tests := []struct {
		name string
		file ImportFile
		text string
		want string // last4 label owner contact, of each apikey
	}{
		{"an apikey on each line", ImportFile{}, keyA + "\n# a comment\n\n  " + keyB + " \r\n", "ddd1   ; hhh2   "},
		{"CSV", ImportFile{}, "key,label,owner,contact\n" + keyA + ",orders,Acme,ops@acme.example\n" + keyB + ",,,\n", "ddd1 orders Acme ops@acme.example; hhh2   "},
		{"CSV of an API gateway, in any order and case", ImportFile{}, "Name,Description,Enabled,UsagePlanIds,Key\n\"Acme, Inc\",x,true,\"a,b\"," + keyA + "\n", "ddd1 Acme, Inc  "},
		{"CSV with a byte order mark", ImportFile{}, "\ufeffkey,owner\r\n" + keyA + ",Acme\r\n", "ddd1  Acme "},
		{"CSV with columns named", ImportFile{Format: FormatCSV, Columns: map[string]string{"key": "x", "owner": "y"}}, "y,x\nAcme," + keyA + "\n", "ddd1  Acme "},
		{"CSV with short rows", ImportFile{}, "key,owner,label\n" + keyA + "\n", "ddd1   "},
		{"JSONL", ImportFile{}, fmt.Sprintf("{\"key\":%q,\"owner\":\"Acme\",\"n\":7}\n\n{\"api_key\":%q,\"email\":\"a@b.c\"}\n", keyA, keyB), "ddd1  Acme ; hhh2   a@b.c"},
		{"JSONL with members named", ImportFile{Columns: map[string]string{"key": "credential"}}, fmt.Sprintf("{\"credential\":%q,\"key\":\"not this\"}", keyA), "ddd1   "},
		{"the last of several lines counts", ImportFile{}, "key,label\n" + keyA + ",old\n" + keyB + ",b\n" + keyA + ",new\n", "ddd1 new  ; hhh2 b  "},
		{"what is not enabled stays out", ImportFile{}, "key,enabled\n" + keyA + ",false\n" + keyB + ",yes\n", "hhh2   "},
		{"nothing", ImportFile{}, "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			if _, err := w.Import(w.ctx, tt.file, strings.NewReader(tt.text), "os:0", false); err != nil {
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
	dry, err := w.Import(w.ctx, ImportFile{}, strings.NewReader(text), "os:0", true)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(w.keys()); n != 0 || len(w.audited()) != 0 {
		t.Errorf("a dry run took in %d apikeys", n)
	}
	done, err := w.Import(w.ctx, ImportFile{}, strings.NewReader(text), "os:0", false)
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
	again, err := w.Import(w.ctx, ImportFile{}, strings.NewReader(text), "os:0", false)
	if err != nil || again.Added != 0 || again.Updated != 0 || again.Unchanged != 3 {
		t.Errorf("again: %+v, %v", again, err)
	}
	n := len(w.audited())
	dry, err = w.Import(w.ctx, ImportFile{}, strings.NewReader("key,owner\n"+keyA+",Other\n"), "os:0", true)
	if err != nil || dry.Updated != 1 {
		t.Errorf("another owner, dry: %+v, %v", dry, err)
	}
	if done, err = w.Import(w.ctx, ImportFile{}, strings.NewReader("key,owner\n"+keyA+",Other\n"), "os:0", false); err != nil || done.Updated != 1 || len(w.audited()) != n+1 {
		t.Errorf("another owner: %+v, %v", done, err)
	}
}

func TestAnImportVouchesForALearntAPIKey(t *testing.T) {
	w := newWorld(t)
	k := w.learnt(keyA, func(k *apikey.Key) { k.Suspended, k.Stage = true, apikey.Warn })
	dry, err := w.Import(w.ctx, ImportFile{}, strings.NewReader(keyA), "os:0", true)
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
		file ImportFile
		text string
		want string
	}{
		{"hashes", ImportFile{}, "owner,hash\nAcme,ab12\n", "hashes of apikeys"},
		{"hashes asked for", ImportFile{Columns: map[string]string{"hash": "x"}}, "x\nab12\n", "hashes of apikeys"},
		{"no column with apikeys", ImportFile{Format: FormatCSV}, "a,b\n1,2\n", "no column holds the apikeys"},
		{"a column that is not there", ImportFile{Format: FormatCSV, Columns: map[string]string{"key": "x"}}, "key\n" + keyA, "no column holds the apikeys"},
		{"another format", ImportFile{Format: "kong"}, "", `format "kong" is not read`},
		{"a field that there is not", ImportFile{Columns: map[string]string{"rate": "x"}}, "", `there is no field "rate"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			_, err := w.Import(w.ctx, tt.file, strings.NewReader(tt.text), "os:0", false)
			if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "ab12") {
				t.Errorf("error %v", err)
			}
		})
	}
	t.Run("CSV without a header does not show its first apikey", func(t *testing.T) {
		_, err := newWorld(t).Import(t.Context(), ImportFile{Format: FormatCSV}, strings.NewReader(keyA+",Acme\n"), "os:0", false)
		if err == nil || strings.Contains(err.Error(), keyA) {
			t.Errorf("error %v", err)
		}
	})
	t.Run("a hash on a line of JSONL", func(t *testing.T) {
		r, err := newWorld(t).Import(t.Context(), ImportFile{}, strings.NewReader(`{"hash":"ab12"}`), "os:0", false)
		if err != nil || r.Rejected != 1 || !strings.Contains(r.Problems[0].Problem, "hashes of apikeys") {
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

func FuzzImportFile(f *testing.F) {
	f.Add("", "key,owner\n"+keyA+",Acme\n")
	f.Add("jsonl", `{"key":"a","owner":"b"}`)
	f.Add("lines", keyA+"\n#\n")
	f.Add("csv", "key\n\"a\n")
	f.Fuzz(func(t *testing.T, format, text string) {
		lines := 0
		_ = ImportFile{Format: format}.read(strings.NewReader(text), func(l importedLine, problem error) error {
			lines++
			if problem != nil && len(l.key) > 0 {
				t.Fatalf("line %d has a problem and an apikey", l.number)
			}
			return nil
		})
		if lines > strings.Count(text, "\n")+strings.Count(text, "\r")+1 {
			t.Fatalf("%d lines in %q", lines, text)
		}
	})
}
