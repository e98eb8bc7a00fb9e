package report

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/offkey/offkey/internal/apikey"
	"github.com/offkey/offkey/internal/client"
	"github.com/offkey/offkey/internal/leak"
	"github.com/offkey/offkey/internal/migration"
)

var noon = time.Date(2027, 3, 31, 12, 0, 0, 0, time.UTC)

// hostile are strangers' words.
var hostile = []string{
	`<script>alert(1)</script>`, `"><img src=x onerror=alert(1)>`, `=cmd|' /C calc'!A0`, `+1+1`, `-2`, `@SUM(A1)`, "\t=1", "\r\nSet-Cookie: x", `javascript:alert(1)`,
	"\x1b[2Jgone", "\u202eexe.gpj", `{{.Issuer}}`, `</td></table><h1>x`, `' onmouseover='x`, "|calc",
}

// evidence has such words wherever there may be any.
func evidence(words string) *migration.Evidence {
	e := &migration.Evidence{
		Made: noon, AsOf: noon, Issuer: words, Resource: words, Version: words, Summary: migration.EvidenceSummary{APIKeys: 2, Accepted: 1, Refused: 1},
		APIKeys: []migration.EvidenceKey{
			{ID: "ak_1", Last4: words, Label: words, Owner: words, State: migration.StateAccepted, Stage: apikey.Warn, KnownBy: "imported", Created: noon, LastUsed: &noon, Calls: 48120, ClientID: "cl_1", Until: &noon},
			{ID: "ak_2", State: migration.StateSealed, Stage: apikey.Retired, Sealed: 1},
		},
		Exceptions: []migration.Exception{{Kind: "extension", ID: words, Owner: words, Until: noon, By: words, Reason: words}},
		Clients:    []migration.EvidenceUse{{ID: words, Name: words, Owner: words, Auth: "private_key_jwt", Status: client.Active, Scopes: words}},
		Access:     []migration.RouteAccess{{Method: words, Template: words, APIKeys: 1, ByAPIKey: 7}},
		Leaks:      []migration.LeakReport{{Record: &leak.Record{ID: "lk_1", Owner: words, Where: words, Subject: leak.Subject{Kind: "apikey", Last4: words}, Opened: noon}, Status: leak.Open}},
		Actions:    []migration.AdminAction{{Seq: 1, At: noon, Actor: words, Action: "x", Object: words}},
		BurnDown: migration.BurnDown{Kinds: []string{"apikey:header", "client:private_key_jwt"}, Days: []migration.BurnDay{
			{Day: "2027-03-30", Calls: []int64{90, 10}, Refused: []int64{0, 0}, APIKey: 0.9}, {Day: "2027-03-31", Calls: []int64{0, 0}, Refused: []int64{0, 0}},
		}, Forecast: migration.Forecast{At: &noon}},
		Audit: migration.AuditState{Entries: 3, OK: false, Problem: words}, Limits: []string{"nothing"},
	}
	e.Actions[0].Detail, _ = json.Marshal(map[string]string{"reason": words})
	return e
}

var (
	tags   = regexp.MustCompile(`<(/?[a-zA-Z!][^\s>]*)`)
	active = regexp.MustCompile(`(?i)<[^>]*\s(on[a-z]+|src|action|formaction)\s*=|href="[^#]`)
)

func TestStrangersWordsAreInertInHTML(t *testing.T) {
	plain, err := Write("html", evidence("plain"))
	if err != nil {
		t.Fatal(err)
	}
	want := len(tags.FindAll(plain, -1))
	for _, words := range hostile {
		page, err := Write("html", evidence(words))
		if err != nil {
			t.Fatal(err)
		}
		if got := len(tags.FindAll(page, -1)); got != want {
			t.Errorf("%q: %d tags, without it %d", words, got, want)
		}
		if found := active.Find(page); found != nil {
			t.Errorf("%q: %s", words, found)
		}
		if bytes.ContainsAny(page, "\x1b\u202e\r") {
			t.Errorf("%q: what does not print is in it", words)
		}
	}
	for _, outside := range []string{"http://", "https://", "url(", "@import", "<script", "<link", "<iframe"} {
		if bytes.Contains(plain, []byte(outside)) {
			t.Errorf("the page has %q: it asks somebody", outside)
		}
	}
}

func TestStrangersWordsAreNoFormulasInCSV(t *testing.T) {
	for _, words := range hostile {
		raw, err := Write("csv", evidence(words))
		if err != nil {
			t.Fatal(err)
		}
		rows, err := csv.NewReader(bytes.NewReader(raw)).ReadAll()
		if err != nil || len(rows) != 3 {
			t.Fatalf("%q: %d rows, %v", words, len(rows), err)
		}
		for _, row := range rows {
			for _, c := range row {
				if c != "" && strings.ContainsRune("=+-@|\t\r", rune(c[0])) {
					t.Errorf("%q: cell %q", words, c)
				}
			}
		}
	}
}

func TestAReportSaysWhatIsAskedFirst(t *testing.T) {
	page, err := Write("html", evidence("Example"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"2027-03-31 12:00 UTC", "48,120", "a sealed copy is alive", "The log is broken", `<html lang="en">`, `scope="col"`, `aria-label="Share of calls`, "prefers-color-scheme: dark", "no call has an API key from 2027-03-31"} {
		if !bytes.Contains(page, []byte(want)) {
			t.Errorf("%q is not on the page", want)
		}
	}
	empty, err := Write("html", &migration.Evidence{Made: noon, AsOf: noon, Audit: migration.AuditState{OK: true}})
	if err != nil || !bytes.Contains(empty, []byte("No API keys are known")) {
		t.Errorf("without anything: %v", err)
	}
	if path := os.Getenv("OFFKEY_REPORT_OUT"); path != "" { // to be looked at
		if err := os.WriteFile(path, page, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := Write("pdf", evidence("x")); err == nil {
		t.Error("a format that there is not")
	}
}
