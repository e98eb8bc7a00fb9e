package main

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestACellOfCSVIsNeverAFormula(t *testing.T) {
	for _, tt := range []struct{ name, value, want string }{
		{"plain text", `"Acme Ltd"`, "Acme Ltd"},
		{"a formula", `"=HYPERLINK(\"http://evil.example\")"`, `'=HYPERLINK("http://evil.example")`},
		{"a sum", `"+1+1"`, "'+1+1"},
		{"a minus", `"-2"`, "'-2"},
		{"an at sign", `"@SUM(A1)"`, "'@SUM(A1)"},
		{"a tab before it", `"\t=1"`, "'\t=1"},
		{"a pipe to a command", `"|calc"`, "'|calc"},
		{"a list that begins with one", `["=1","b"]`, "'=1 b"},
		{"a number", `48120`, "48120"},
		{"a negative number", `-5`, "-5"},
		{"a boolean", `true`, "true"},
		{"null", `null`, ""},
		{"no member at all", ``, ""},
		{"an empty text", `""`, ""},
		{"a list of names", `["a","b"]`, "a b"},
		{"a list of objects", `[{"a":1}]`, `[{"a":1}]`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := csvCell(json.RawMessage(tt.value)); got != tt.want {
				t.Errorf("%s is %q, want %q", tt.value, got, tt.want)
			}
		})
	}
}

func TestCSVIsReadAsItWasWritten(t *testing.T) {
	items := []json.RawMessage{[]byte(`{"label":"a, \"b\"\nc","calls":3,"extra":1}`), []byte(`{"calls":0}`)}
	var out bytes.Buffer
	if err := writeCSV(&out, items, []string{"label", "calls", "risks"}); err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(&out).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	if got, want := fmt.Sprintf("%q", rows), `[["label" "calls" "risks"] ["a, \"b\"\nc" "3" ""] ["" "0" ""]]`; got != want {
		t.Errorf("rows are %s, want %s", got, want)
	}
}

func TestATableIsAlignedAndShowsNoControlCharacters(t *testing.T) {
	var out bytes.Buffer
	err := writeTable(&out, []column{{head: "NAME"}, {head: "CALLS", right: true}, {head: "WHERE"}}, [][]string{
		{"Zoë", "5", "header:X-API-Key"}, {"evil\x1b[2Jname\u202e\n", "48,120", ""},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := "NAME             CALLS  WHERE\n" +
		"Zoë                  5  header:X-API-Key\n" +
		"evil?[2Jname??  48,120\n"
	if out.String() != want {
		t.Errorf("the table is\n%s\nwant\n%s", out.String(), want)
	}
}

func TestNumbersAndTimesAreWrittenForPeople(t *testing.T) {
	now := time.Date(2027, 3, 10, 12, 0, 0, 0, time.UTC)
	for got, want := range map[string]string{
		thousands(0):                        "0",
		thousands(999):                      "999",
		thousands(1000):                     "1,000",
		thousands(1234567):                  "1,234,567",
		thousands(-1234):                    "-1,234",
		count(1, "apikey"):                  "1 apikey",
		count(2, "apikey"):                  "2 apikeys",
		count(int64(1500), "call"):          "1,500 calls",
		ago(now, time.Time{}):               "never",
		ago(now, now.Add(-30*time.Second)):  "just now",
		ago(now, now.Add(-2*time.Minute)):   "2 min ago",
		ago(now, now.Add(-3*time.Hour)):     "3 h ago",
		ago(now, now.Add(-61*24*time.Hour)): "61 d ago",
		ago(now, now.Add(48*time.Hour)):     "2027-03-12",
		"[" + day(time.Time{}) + "]":        "[]",
		day(now.Truncate(24 * time.Hour)):   "2027-03-10",
		day(now):                            "2027-03-10 12:00 UTC",
		bar(0, 0):                           "",
		bar(1, 4):                           "[#######.......................] 25.0 %",
		bar(4, 4):                           "[##############################] 100.0 %",
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestIdsAreShortenedToWhatTellsThemApart(t *testing.T) {
	ids := []string{"ak_019ab-1-x", "ak_019ab-1-y", "ak_019ac-2-z", "short", "short"}
	got := shorten(ids, true)
	for id, want := range map[string]string{"ak_019ab-1-x": "ak_019ab-1-x", "ak_019ab-1-y": "ak_019ab-1-y", "ak_019ac-2-z": "ak_019ac-2-", "short": "short"} {
		if got[id] != want {
			t.Errorf("%s is shown as %q, want %q", id, got[id], want)
		}
		if n := count(len(matching(ids, got[id])), "id"); id != "short" && n != "1 id" {
			t.Errorf("%q means %s", got[id], n)
		}
	}
	if got := shorten(ids, false); got["ak_019ac-2-z"] != "ak_019ac-2-z" {
		t.Errorf("where there are more ids than listed one is cut to %q", got["ak_019ac-2-z"])
	}
}

func matching(ids []string, prefix string) (found []string) {
	for _, id := range ids {
		if strings.HasPrefix(id, prefix) {
			found = append(found, id)
		}
	}
	return found
}
