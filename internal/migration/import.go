package migration

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/offkey/offkey/internal/apikey"
	"github.com/offkey/offkey/internal/audit"
	"github.com/offkey/offkey/internal/secret"
)

// ImportReport says what an import did, or with DryRun would do. Lines are told
// by number only: nothing in it holds an apikey.
type ImportReport struct {
	DryRun     bool      `json:"dry_run"`
	Lines      int       `json:"lines"` // Added, Updated, Unchanged, Duplicates, Conflicts, Disabled and Rejected add up to it
	Added      int       `json:"added"`
	Updated    int       `json:"updated"`
	Unchanged  int       `json:"unchanged"`
	Duplicates int       `json:"duplicates"` // lines with an apikey that a later line has too
	Conflicts  int       `json:"conflicts"`  // lines with an apikey that has two owners in the file: not taken in
	Disabled   int       `json:"disabled"`   // lines that say so: not taken in
	Rejected   int       `json:"rejected"`   // lines that cannot be read: not taken in
	Weak       int       `json:"weak"`       // apikeys taken in that can be guessed
	Problems   []BadLine `json:"problems"`   // the first hundred
}

// maxImport bounds how many apikeys one file may hold.
const maxImport = 1_000_000

// importChunk is how many apikeys are taken in with one transaction.
const importChunk = 500

// Import takes in apikeys from a file, with an owner each where it has them.
// Only their fingerprints and last characters are kept. The same file again
// changes nothing. Of an apikey on several lines the last counts, unless they
// name different owners: then it is left out, and named.
func (r *Road) Import(ctx context.Context, f ImportFile, in io.Reader, actor string, dryRun bool) (ImportReport, error) {
	report := ImportReport{DryRun: dryRun, Problems: []BadLine{}}
	lines, err := r.readImport(f, in, &report)
	if err != nil {
		return ImportReport{}, fmt.Errorf("import: %w", err)
	}
	keys := report.sort(lines, r)
	for chunk := range slices.Chunk(keys, importChunk) {
		var done apikey.ImportResult
		if dryRun {
			done, err = r.wouldImport(ctx, chunk)
		} else {
			done, err = r.Store.ImportAPIKeys(ctx, chunk, audit.Event{Actor: actor, Action: "apikey.imported", Object: fmt.Sprintf("%d apikeys", len(chunk))})
		}
		if err != nil {
			return report, fmt.Errorf("import: %w", err)
		}
		report.Added += done.Added
		report.Updated += done.Updated
		report.Unchanged += done.Unchanged
	}
	return report, nil
}

// importedKey is a line by the fingerprint of its apikey, which is gone.
type importedKey struct {
	line  importedLine // without the apikey
	print secret.Hash
	last4 string
	weak  bool
}

func (r *Road) readImport(f ImportFile, in io.Reader, report *ImportReport) (lines []importedKey, err error) {
	err = f.read(in, func(l importedLine, problem error) error {
		if report.Lines++; report.Lines > maxImport {
			return fmt.Errorf("more than %d lines: split the file", maxImport)
		}
		if problem == nil {
			problem = checkImported(l)
		}
		switch {
		case problem != nil:
			report.Rejected++
			report.problem(l.number, problem.Error())
			return nil
		case l.disabled:
			report.Disabled++
			return nil
		}
		k := importedKey{line: l, print: r.Pepper.Fingerprint(l.key), last4: secret.Last4(l.key), weak: isWeak(l.key)}
		k.line.key = ""
		lines = append(lines, k)
		return nil
	})
	return lines, err
}

// sort leaves one line of each apikey, and none of those with two owners.
func (report *ImportReport) sort(lines []importedKey, r *Road) []*apikey.Key {
	byPrint := make(map[secret.Hash][]importedKey, len(lines))
	for _, k := range lines {
		byPrint[k.print] = append(byPrint[k.print], k)
	}
	var keys []*apikey.Key
	now := r.Now()
	for _, k := range lines {
		same := byPrint[k.print]
		if same == nil {
			continue // counted with the first of its lines
		}
		delete(byPrint, k.print)
		if first, other, two := twoOwners(same); two {
			report.Conflicts += len(same)
			report.problem(other, fmt.Sprintf("its apikey (...%s) has another owner on line %d", k.last4, first))
			continue
		}
		last := same[len(same)-1]
		report.Duplicates += len(same) - 1
		if last.weak {
			report.Weak++
			report.problem(last.line.number, fmt.Sprintf("its apikey (...%s) can be guessed: it is short, or has few different characters", last.last4))
		}
		keys = append(keys, &apikey.Key{
			ID: apikey.NewID(), Fingerprint: last.print, Last4: last.last4, Label: last.line.label, Owner: last.line.owner, Contact: last.line.contact,
			KnownBy: apikey.KnownByImport, Created: now,
		})
	}
	return keys
}

// twoOwners finds lines of one apikey that name different owners.
func twoOwners(same []importedKey) (first, other int, two bool) {
	owner, line := "", 0
	for _, k := range same {
		switch {
		case k.line.owner == "" || k.line.owner == owner:
		case owner == "":
			owner, line = k.line.owner, k.line.number
		default:
			return line, k.line.number, true
		}
	}
	return 0, 0, false
}

func (report *ImportReport) problem(line int, problem string) {
	if len(report.Problems) < maxBadLines {
		report.Problems = append(report.Problems, BadLine{line, problem})
	}
}

// wouldImport is what ImportAPIKeys would answer.
func (r *Road) wouldImport(ctx context.Context, keys []*apikey.Key) (res apikey.ImportResult, err error) {
	for _, k := range keys {
		known, err := r.Store.APIKeyByFingerprint(ctx, k.Fingerprint)
		switch {
		case errors.Is(err, apikey.ErrNotFound):
			res.Added++
		case err != nil:
			return res, err
		case known.KnownBy == apikey.KnownByImport && keeps(known.Label, k.Label) && keeps(known.Owner, k.Owner) && keeps(known.Contact, k.Contact) && keeps(known.Last4, k.Last4):
			res.Unchanged++
		default:
			res.Updated++
		}
	}
	return res, nil
}

// keeps reports whether an import leaves a value as it is: it has none, or the
// same.
func keeps(is, imported string) bool { return imported == "" || imported == is }
