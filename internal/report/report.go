// Package report writes evidence down for people and their spreadsheets: one HTML
// file that asks nobody for anything, CSV, JSON. What the evidence says is
// package migration's. Names, labels and paths in it may be a stranger's words:
// in HTML they are escaped, in CSV they are no formula.
package report

import (
	"bytes"
	_ "embed"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"html/template"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/offkey/offkey/internal/migration"
)

// Formats are those that Write knows.
var Formats = []string{"html", "csv", "json"}

//go:embed page.html
var pageText string

var page = template.Must(template.New("page").Funcs(template.FuncMap{
	"date": date, "moment": moment, "number": number, "percent": func(share float64) string { return fmt.Sprintf("%.1f %%", 100*share) },
	"chart": chart, "visible": visible, "detail": func(raw json.RawMessage) string { return visible(string(raw)) },
	"short": func(s string) string { return s[:min(len(s), 16)] },
}).Parse(pageText))

// Write writes evidence in a format.
func Write(format string, e *migration.Evidence) ([]byte, error) {
	switch format {
	case "html":
		var b bytes.Buffer
		if err := page.Execute(&b, e); err != nil {
			return nil, fmt.Errorf("write the report: %w", err)
		}
		return b.Bytes(), nil
	case "csv":
		return writeCSV(e)
	case "json":
		raw, err := json.MarshalIndent(e, "", "  ")
		return append(raw, '\n'), err
	}
	return nil, fmt.Errorf("a report is %s, not %q", strings.Join(Formats, ", "), format)
}

// writeCSV writes the inventory, a line for each apikey.
func writeCSV(e *migration.Evidence) ([]byte, error) {
	var b bytes.Buffer
	out := csv.NewWriter(&b)
	rows := [][]string{{"as_of", "id", "last4", "label", "owner", "state", "stage", "known_by", "created", "last_used", "calls_30d", "client_id", "until", "sealed_copies"}}
	for _, k := range e.APIKeys {
		rows = append(rows, []string{
			e.AsOf.Format(time.RFC3339), k.ID, k.Last4, k.Label, k.Owner, k.State, k.Stage.String(), k.KnownBy, k.Created.UTC().Format(time.RFC3339), instant(k.LastUsed),
			strconv.FormatInt(k.Calls, 10), k.ClientID, instant(k.Until), strconv.Itoa(k.Sealed),
		})
	}
	for i, row := range rows {
		if i > 0 {
			for j := range row {
				row[j] = cell(row[j])
			}
		}
		if err := out.Write(row); err != nil {
			return nil, err
		}
	}
	out.Flush()
	return b.Bytes(), out.Error()
}

// cell is a text that no spreadsheet takes for a formula, and that moves no
// cursor.
func cell(s string) string {
	s = visible(s)
	if s != "" && strings.ContainsRune("=+-@|", rune(s[0])) {
		return "'" + s
	}
	return s
}

// visible takes out what would not show, or turn the text around.
func visible(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) || unicode.Is(unicode.Bidi_Control, r) || r == unicode.ReplacementChar {
			return '?'
		}
		return r
	}, s)
}

func instant(t *time.Time) string {
	if t == nil || t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

// date and moment take a time or a pointer to one.
func date(v any) string { return written(v, time.DateOnly) }

func moment(v any) string { return written(v, "2006-01-02 15:04 UTC") }

func written(v any, layout string) string {
	t, ok := v.(time.Time)
	if p, isPointer := v.(*time.Time); isPointer && p != nil {
		t, ok = *p, true
	}
	if !ok || t.IsZero() {
		return "–"
	}
	return t.UTC().Format(layout)
}

// number writes 48120 as 48,120.
func number(v any) string {
	s := fmt.Sprint(v)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// bar is a day of the chart; heights are shares of 100.
type bar struct {
	X, APIKey, Token float64
	Title            string
}

// drawing is the burn-down as the page draws it.
type drawing struct {
	Width float64
	Bars  []bar
}

// chart draws days as bars that are stacked to their whole: what came with an
// apikey at the bottom.
func chart(b migration.BurnDown) drawing {
	d := drawing{}
	for i, day := range b.Days {
		var credentialed int64
		for j, kind := range b.Kinds {
			if strings.HasPrefix(kind, "apikey:") || strings.HasPrefix(kind, "client:") {
				credentialed += day.Calls[j]
			}
		}
		x := float64(8 * i)
		d.Width = x + 8
		if credentialed == 0 {
			continue
		}
		d.Bars = append(d.Bars, bar{X: x, APIKey: 100 * day.APIKey, Token: 100 - 100*day.APIKey, Title: fmt.Sprintf("%s: %.1f %% of %s calls by apikey", day.Day, 100*day.APIKey, number(credentialed))})
	}
	return d
}
