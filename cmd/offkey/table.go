package main

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// listFlags are those of every list.
type listFlags struct {
	CSV   bool   `name:"csv" xor:"form" help:"Print CSV with a heading."`
	JSONL bool   `name:"jsonl" xor:"form" help:"Print one JSON object per line."`
	Limit int    `default:"100" placeholder:"N" help:"The most to list; 0 lists all. Default 100."`
	After string `placeholder:"CURSOR" help:"Go on after the \"next\" of the page before."`
}

// show writes a listing in the form that was asked for; people writes the table.
func (f listFlags) show(t *terminal, things string, found listing, members []string, people func() error) error {
	switch {
	case f.JSONL:
		for _, item := range found.items {
			if _, err := fmt.Fprintf(t.Out, "%s\n", item); err != nil {
				return err
			}
		}
		return nil
	case f.CSV:
		return writeCSV(t.Out, found.items, members)
	case t.JSON:
		if found.items == nil {
			found.items = []json.RawMessage{}
		}
		return t.document(map[string]any{things: found.items, "next": found.next})
	}
	if err := people(); err != nil {
		return err
	}
	if found.next != nil {
		t.say("There are more: --limit 0 lists all, --after %s goes on.", shellQuote(*found.next))
	}
	return nil
}

// writeCSV writes the members of each item that the heading names.
func writeCSV(w io.Writer, items []json.RawMessage, members []string) error {
	out := csv.NewWriter(w)
	if err := out.Write(members); err != nil {
		return err
	}
	row := make([]string, len(members))
	for _, item := range items {
		var object map[string]json.RawMessage
		if err := json.Unmarshal(item, &object); err != nil {
			return err
		}
		for i, member := range members {
			row[i] = csvCell(object[member])
		}
		if err := out.Write(row); err != nil {
			return err
		}
	}
	out.Flush()
	return out.Error()
}

// writeRowsCSV writes rows of text under a heading, safe for spreadsheets.
func writeRowsCSV(w io.Writer, heading []string, rows [][]string) error {
	out := csv.NewWriter(w)
	if err := out.Write(heading); err != nil {
		return err
	}
	for _, row := range rows {
		safe := make([]string, len(row))
		for i, cell := range row {
			raw, err := json.Marshal(cell)
			if err != nil {
				return err
			}
			safe[i] = csvCell(raw)
		}
		if err := out.Write(safe); err != nil {
			return err
		}
	}
	out.Flush()
	return out.Error()
}

// csvCell writes a JSON value as a cell, without what a terminal would obey. Text that a spreadsheet would take for a formula gets an apostrophe
// before it: labels and agents are strangers' words.
func csvCell(raw json.RawMessage) string {
	var text string
	var texts []string
	switch {
	case len(raw) == 0 || string(raw) == "null":
		return ""
	case json.Unmarshal(raw, &text) == nil:
	case json.Unmarshal(raw, &texts) == nil:
		text = strings.Join(texts, " ")
	case raw[0] == '{' || raw[0] == '[':
		text = string(raw)
	default:
		return string(raw) // a number or a boolean
	}
	if text != "" && strings.ContainsRune("=+-@\t\r\n|", rune(text[0])) {
		text = "'" + text
	}
	return strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' { // a cell may have them
			return r
		}
		return printableRune(r)
	}, text)
}

// column is one of a table.
type column struct {
	head  string
	right bool // numbers
}

// writeTable aligns rows under their heads. The last column is not padded.
func writeTable(w io.Writer, columns []column, rows [][]string) error {
	width := make([]int, len(columns))
	for i, c := range columns {
		width[i] = utf8.RuneCountInString(c.head)
	}
	for _, row := range rows {
		for i, cell := range row {
			row[i] = printable(cell)
			width[i] = max(width[i], utf8.RuneCountInString(row[i]))
		}
	}
	heads := make([]string, len(columns))
	for i, c := range columns {
		heads[i] = c.head
	}
	for _, row := range append([][]string{heads}, rows...) {
		var line strings.Builder
		for i, cell := range row {
			pad := strings.Repeat(" ", width[i]-utf8.RuneCountInString(cell))
			switch {
			case columns[i].right:
				line.WriteString(pad + cell)
			case i == len(row)-1:
				line.WriteString(cell)
			default:
				line.WriteString(cell + pad)
			}
			if i < len(row)-1 {
				line.WriteString("  ")
			}
		}
		if _, err := fmt.Fprintln(w, strings.TrimRight(line.String(), " ")); err != nil {
			return err
		}
	}
	return nil
}

// writePairs aligns names and values; what has no value is left out.
func writePairs(w io.Writer, pairs [][2]string) error {
	width := 0
	for _, p := range pairs {
		if p[1] != "" {
			width = max(width, utf8.RuneCountInString(p[0]))
		}
	}
	for _, p := range pairs {
		if p[1] == "" {
			continue
		}
		if _, err := fmt.Fprintf(w, "%-*s  %s\n", width, p[0], printable(p[1])); err != nil {
			return err
		}
	}
	return nil
}

// readUpTo reads all of r, but never more than most bytes.
func readUpTo(r io.Reader, from string, most int64) ([]byte, error) {
	raw, err := io.ReadAll(io.LimitReader(r, most+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", from, err)
	}
	if int64(len(raw)) > most {
		return nil, wrongUsage(fmt.Sprintf("%s has more than %d bytes", from, most), "")
	}
	return raw, nil
}

// printable takes out what would move the cursor or turn the text around.
func printable(s string) string { return strings.Map(printableRune, s) }

func printableRune(r rune) rune {
	if !unicode.IsPrint(r) && r != ' ' || unicode.Is(unicode.Bidi_Control, r) || r == utf8.RuneError {
		return '?'
	}
	return r
}

// orDash shows that there is nothing.
func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// thousands writes 48120 as 48,120.
func thousands(n int64) string {
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// count writes a number of things: 1 apikey, 2 apikeys.
func count[N int | int64](n N, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return thousands(int64(n)) + " " + thing + "s"
}

// ago writes how long a time lies back, as people say it.
func ago(now, then time.Time) string {
	if then.IsZero() {
		return "never"
	}
	d := now.Sub(then)
	switch {
	case d < 0:
		return then.UTC().Format(time.DateOnly)
	case d < time.Minute:
		return "just now"
	case d < time.Hour:
		return fmt.Sprintf("%d min ago", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h ago", int(d.Hours()))
	}
	return fmt.Sprintf("%d d ago", int(d.Hours()/24))
}

// day writes a date, or a moment where the time of day matters.
func day(t time.Time) string {
	switch {
	case t.IsZero():
		return ""
	case t.UTC().Equal(t.UTC().Truncate(24 * time.Hour)):
		return t.UTC().Format(time.DateOnly)
	}
	return t.UTC().Format("2006-01-02 15:04 UTC")
}

// minPrefix is the least of an id that is shown: all of it until the random part
// or the time differs.
const minPrefix = 11

// shorten cuts ids to their shortest beginnings that tell them apart. Where
// some ids are not in the list it leaves them whole, for it cannot know.
func shorten(ids []string, complete bool) map[string]string {
	sorted := slices.Sorted(slices.Values(ids))
	short := make(map[string]string, len(ids))
	for i, id := range sorted {
		n := len(id)
		if complete {
			n = min(minPrefix, n)
			if i > 0 {
				n = max(n, min(commonPrefix(id, sorted[i-1])+1, len(id)))
			}
			if i+1 < len(sorted) {
				n = max(n, min(commonPrefix(id, sorted[i+1])+1, len(id)))
			}
		}
		short[id] = id[:n]
	}
	return short
}

func commonPrefix(a, b string) int {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return n
}
