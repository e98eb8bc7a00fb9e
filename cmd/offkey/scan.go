package main

import (
	"bufio"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/offkey/offkey/internal/scan"
)

// scanCmd looks for leaked credentials in files.
type scanCmd struct {
	operatorFlags
	Path        string `arg:"" optional:"" help:"A folder, with its git history where it has one; a file; - is standard input."`
	NoHistory   bool   `name:"no-history" help:"Leave the git history out."`
	Known       string `type:"path" placeholder:"FILE" help:"A list of apikeys to derive their form from: one a line, or CSV with a column key. It is read here and sent nowhere."`
	Offline     bool   `help:"Ask no running offkey."`
	FailOn      string `name:"fail-on" enum:",found,live" default:"" placeholder:"WHAT" help:"Exit with 6 if anything is found, or if anything is found that still works: found, live."`
	ExportRules string `name:"export-rules" enum:",gitleaks,trufflehog,github" default:"" placeholder:"SCANNER" help:"Print rules for another scanner instead: gitleaks, trufflehog, github."`
	CSV         bool   `name:"csv" xor:"form" help:"Print CSV with a heading."`
	JSONL       bool   `name:"jsonl" xor:"form" help:"Print one JSON object per line."`
}

func (scanCmd) Help() string {
	return `Examples:
  offkey scan .
  offkey scan . --fail-on found --offline          # in CI
  offkey scan /var/log/nginx --no-history
  offkey scan . --known keys.csv
  offkey scan --known keys.csv --export-rules gitleaks > gitleaks.toml

Found are secrets that offkey makes (their checksum says so), what looks like the list of --known, and for certain what a
running offkey knows: words that end like one of its apikeys are asked about over its socket. Binary files are left out,
packed ones (.gz) are read. Nothing found is printed but its last characters.`
}

// Run scans, or prints rules.
func (c *scanCmd) Run(ctx context.Context, t *terminal) error {
	detectors := []scan.Detector{scan.Issued()}
	if c.Known != "" {
		keys, err := readKnown(c.Known)
		if err != nil {
			return err
		}
		derived := scan.Derive(keys)
		for _, d := range derived {
			t.say("form: %s, %d of %d apikeys; something else looks like it %s", d.Name, d.Keys, len(keys), d.Collides)
		}
		if len(derived) == 0 {
			t.warn("the %d apikeys of %s have no form in common", len(keys), c.Known)
		}
		detectors = append(detectors, derived...)
	}
	if c.ExportRules != "" {
		text, err := scan.Rules(c.ExportRules, detectors)
		if err != nil {
			return err
		}
		_, err = fmt.Fprint(t.Out, text)
		return err
	}
	if c.Path == "" {
		return wrongUsage("what is to be scanned?", "name a folder or a file, or - for standard input")
	}
	s := &scan.Scanner{Detectors: detectors}
	s.Git, _ = exec.LookPath("git") // without it there is no history
	if err := c.ask(ctx, t, s); err != nil {
		return err
	}
	if isTerminal(t.Err) && !t.JSON {
		s.Progress = t.scanProgress()
	}
	found, err := c.scan(ctx, t, s)
	if err != nil {
		return err
	}
	if err := c.print(t, found); err != nil {
		return err
	}
	return c.judge(found)
}

func (c *scanCmd) scan(ctx context.Context, t *terminal, s *scan.Scanner) (*scan.Result, error) {
	if c.Path == "-" {
		return s.Stream(ctx, t.In, "-")
	}
	found, err := s.Path(ctx, c.Path, !c.NoHistory)
	if errors.Is(err, os.ErrNotExist) {
		return nil, wrongUsage(c.Path+" is not there", "check the path")
	}
	return found, err
}

// scanProgress says how far it has come, on one line.
func (t *terminal) scanProgress() func(files int, bytes int64) {
	last := t.Now()
	return func(files int, bytes int64) {
		if now := t.Now(); now.Sub(last) > time.Second {
			last = now
			fmt.Fprintf(t.Err, "\r%s files, %s MiB ", thousands(int64(files)), thousands(bytes>>20))
		}
	}
}

// ask finds out whether an offkey can be asked.
func (c *scanCmd) ask(ctx context.Context, t *terminal, s *scan.Scanner) error {
	if c.Offline {
		if c.FailOn == "live" {
			return wrongUsage("--fail-on live asks a running offkey what still works", "leave --offline out")
		}
		return nil
	}
	o := c.connect()
	var ends struct {
		Last4 []string `json:"last4"`
	}
	err := o.get(ctx, "/scan", nil, &ends)
	var f *failure
	if errors.As(err, &f) && f.code == "no_server" && c.FailOn != "live" {
		t.say("No offkey is running here to be asked: found is what has the form of a credential. --data DIR names one.")
		return nil
	}
	if err != nil {
		return err
	}
	asker := &runningAsker{o: o, ends: make(map[string]bool, len(ends.Last4))}
	for _, end := range ends.Last4 {
		asker.ends[end] = end != ""
	}
	s.Ask = asker
	return nil
}

// runningAsker asks the offkey that runs.
type runningAsker struct {
	o    *operator
	ends map[string]bool
}

func (a *runningAsker) Ends(last4 string) bool { return a.ends[last4] }

func (a *runningAsker) Identify(ctx context.Context, candidates []string) (map[int]scan.Known, error) {
	var answer struct {
		Known []struct {
			Index  int    `json:"index"`
			Kind   string `json:"kind"`
			ID     string `json:"id"`
			Stage  string `json:"stage"`
			Status string `json:"status"`
			Owner  string `json:"owner"`
		} `json:"known"`
	}
	if err := a.o.send(ctx, "POST", "/scan", nil, map[string]any{"candidates": candidates}, &answer); err != nil {
		return nil, err
	}
	found := make(map[int]scan.Known, len(answer.Known))
	for _, k := range answer.Known {
		status := k.Status
		if k.Kind == "apikey" {
			status = k.Stage
		}
		found[k.Index] = scan.Known{Kind: k.Kind, ID: k.ID, Status: status, Owner: k.Owner}
	}
	return found, nil
}

// maxKnown bounds a list of apikeys.
const maxKnown = 64 << 20

// readKnown reads a list of apikeys: the column key of a CSV list, or a line
// each.
func readKnown(path string) ([]string, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, wrongUsage("the file "+path+" cannot be read: "+fileCause(err), "check the path")
	}
	defer file.Close()
	raw, err := readUpTo(file, path, maxKnown)
	if err != nil {
		return nil, err
	}
	text := strings.TrimPrefix(string(raw), "\ufeff")
	first, _, _ := strings.Cut(text, "\n")
	if at := keyColumn(first); at >= 0 {
		rows := csv.NewReader(strings.NewReader(text))
		rows.FieldsPerRecord, rows.LazyQuotes = -1, true
		all, err := rows.ReadAll()
		if err != nil {
			return nil, failed("bad_list", path+" is no CSV list: line numbers and quotes do not fit", "", nil) // the error may quote an apikey
		}
		var keys []string
		for _, row := range all[1:] {
			if at < len(row) && row[at] != "" {
				keys = append(keys, row[at])
			}
		}
		return keys, nil
	}
	var keys []string
	lines := bufio.NewScanner(strings.NewReader(text))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		line := strings.TrimSpace(lines.Text())
		if line != "" && !strings.ContainsAny(line, " \t,;") {
			keys = append(keys, line)
		}
	}
	return keys, lines.Err()
}

// keyColumn is where the heading of a CSV list has the apikeys, -1 if it has no
// such column.
func keyColumn(heading string) int {
	return slices.IndexFunc(strings.Split(strings.TrimSpace(heading), ","), func(name string) bool {
		return slices.Contains([]string{"key", "apikey", "api_key"}, strings.ToLower(strings.Trim(strings.TrimSpace(name), `"`)))
	})
}

var scanMembers = []string{"detector", "last4", "path", "line", "commit", "in_tree", "certain", "kind", "id", "status", "owner"}

func (c *scanCmd) print(t *terminal, r *scan.Result) error {
	switch {
	case t.JSON:
		return t.document(r)
	case c.JSONL:
		for _, f := range r.Findings {
			raw, err := json.Marshal(f)
			if err != nil {
				return err
			}
			if _, err := fmt.Fprintf(t.Out, "%s\n", raw); err != nil {
				return err
			}
		}
		return nil
	}
	rows := make([][]string, len(r.Findings))
	for i, f := range r.Findings {
		known := scan.Known{}
		if f.Known != nil {
			known = *f.Known
		}
		rows[i] = []string{f.Detector, f.Last4, f.Path, strconv.Itoa(f.Line), f.Commit, strconv.FormatBool(f.InTree), strconv.FormatBool(f.Certain), known.Kind, known.ID, known.Status, known.Owner}
	}
	if c.CSV {
		return writeRowsCSV(t.Out, scanMembers, rows)
	}
	return t.scanTable(r, rows)
}

// scanTable is the result for people.
func (t *terminal) scanTable(r *scan.Result, rows [][]string) error {
	if len(rows) > 0 {
		shown := make([][]string, len(rows))
		for i, f := range r.Findings {
			what := f.Detector
			if f.Known != nil {
				what = f.Known.Kind + " " + f.Known.ID + ", " + f.Known.Status
			}
			commit := "-"
			if f.Commit != "" {
				commit = f.Commit[:min(12, len(f.Commit))]
			}
			sure := "looks like it"
			switch {
			case f.Known.Live():
				sure = "LIVE"
			case f.Certain:
				sure = "certain"
			}
			where := f.Path + ":" + strconv.Itoa(f.Line)
			if !f.InTree {
				where += " (history)"
			}
			shown[i] = []string{"..." + f.Last4, sure, what, commit, where}
		}
		if err := writeTable(t.Out, []column{{head: "FOUND"}, {head: ""}, {head: "WHAT"}, {head: "COMMIT"}, {head: "WHERE"}}, shown); err != nil {
			return err
		}
	}
	t.say("%s found in %s and %s of the history (%s MiB); %s left out as binary", count(len(r.Findings)+r.More, "credential"), count(r.Files, "file"), count(r.Blobs, "object"), thousands(r.Bytes>>20), count(r.Binary, "file"))
	if r.More > 0 {
		t.warn("%s more than are listed", thousands(int64(r.More)))
	}
	if r.History != "read" && r.History != "none" {
		t.warn("history not read: %s", r.History)
	}
	for _, u := range r.Unread[:min(len(r.Unread), 10)] {
		t.warn("not read: %s", u)
	}
	if len(r.Findings) > 0 {
		t.say("What is live: `offkey leak --id ID --contain`. What is in a history is out, whatever is committed on top of it.")
	}
	return nil
}

// judge is whether the condition that was asked for is met.
func (c *scanCmd) judge(r *scan.Result) error {
	live := 0
	for _, f := range r.Findings {
		if f.Known.Live() {
			live++
		}
	}
	found := len(r.Findings) + r.More
	switch {
	case c.FailOn == "found" && found > 0:
		return &failure{exit: exitUnmet, code: "condition_not_met", message: count(found, "credential") + " found", fix: "stop what still works with `offkey leak`, and take it out of where it lies"}
	case c.FailOn == "live" && live > 0:
		return &failure{exit: exitUnmet, code: "condition_not_met", message: count(live, "credential") + " found that still works", fix: "stop it with `offkey leak --id ID --contain`"}
	}
	return nil
}
