package migration

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/offkey/offkey/internal/apikey"
	"github.com/offkey/offkey/internal/audit"
	"github.com/offkey/offkey/internal/migration/importfile"
	"github.com/offkey/offkey/internal/secret"
)

// ImportOptions say how a list of apikeys is brought in.
type ImportOptions struct {
	File   importfile.File
	Pepper []byte // the secret of HMACs in it, nil for none
	// Follow names the list: apikeys that an earlier one of that name had and
	// this one has not are suspended, those that are back resumed. "": none is.
	Follow string
	// Force takes out however many are gone.
	Force  bool
	DryRun bool
	Actor  string
}

// ImportReport says what an import did, or with DryRun would do. Entries are told
// by their lines only: nothing in it holds an apikey.
type ImportReport struct {
	DryRun     bool      `json:"dry_run"`
	Format     string    `json:"format"`
	Lines      int       `json:"lines"` // entries: Added … Rejected add up to it
	Added      int       `json:"added"`
	Updated    int       `json:"updated"`
	Unchanged  int       `json:"unchanged"`
	Duplicates int       `json:"duplicates"` // with an apikey that a later one has too
	Conflicts  int       `json:"conflicts"`  // with an apikey that has two owners in the list: not taken in
	Disabled   int       `json:"disabled"`   // that say so: not taken in
	Expired    int       `json:"expired"`    // whose end has passed: not taken in
	Unresolved int       `json:"unresolved"` // that stand for an apikey which is not in the list
	Rejected   int       `json:"rejected"`   // that cannot be read
	Weak       int       `json:"weak"`       // apikeys taken in that can be guessed
	Examples   int       `json:"examples"`   // apikeys taken in that documentation has as examples
	Hashed     int       `json:"hashed"`     // taken in as hashes: known at their first call
	Slow       int       `json:"slow"`       // of these, with a hash that takes long to check
	Gone       int       `json:"gone"`       // of a followed list: suspended, for it has them no more
	Carriers   []string  `json:"carriers"`   // where the list says that apikeys travel
	Notes      []string  `json:"notes"`      // what was seen in it and not read
	Problems   []BadLine `json:"problems"`   // the first hundred
}

// Left is how many entries were left out for what is wrong with them.
func (r ImportReport) Left() int { return r.Conflicts + r.Unresolved + r.Rejected }

const (
	maxImport     = 1_000_000 // apikeys in one list
	importChunk   = 500       // taken in with one transaction
	maxSourceName = 64
)

// Import takes in apikeys from a list, with an owner each where it has them.
// Only their fingerprints and last characters are kept, or the hash where the
// list has no more. The same list again changes nothing. Of an apikey on
// several lines the last counts, unless they name different owners: then it is
// left out, and named.
func (r *Road) Import(ctx context.Context, o ImportOptions, in io.Reader) (ImportReport, error) {
	report := ImportReport{DryRun: o.DryRun, Problems: []BadLine{}}
	if len(o.Follow) > maxSourceName || strings.ContainsFunc(o.Follow, func(c rune) bool { return c < ' ' }) {
		return ImportReport{}, fmt.Errorf("import: the name of a followed list has at most %d characters", maxSourceName)
	}
	if err := r.takePepper(ctx, &o); err != nil {
		return ImportReport{}, fmt.Errorf("import: %w", err)
	}
	lines, err := r.readImport(o, in, &report)
	if err != nil {
		return report, fmt.Errorf("import: %w", err)
	}
	keys := report.sort(lines, r, o.Follow)
	gone, err := r.goneFrom(ctx, o, lines)
	if err != nil {
		return report, err
	}
	for chunk := range slices.Chunk(keys, importChunk) {
		var done apikey.ImportResult
		if o.DryRun {
			done, err = r.wouldImport(ctx, chunk)
		} else {
			done, err = r.Store.ImportAPIKeys(ctx, chunk, audit.Event{Actor: o.Actor, Action: "apikey.imported", Object: fmt.Sprintf("%d apikeys", len(chunk))})
		}
		if err != nil {
			return report, fmt.Errorf("import: %w", err)
		}
		report.Added += done.Added
		report.Updated += done.Updated
		report.Unchanged += done.Unchanged
	}
	report.Gone = len(gone)
	if o.DryRun {
		return report, nil
	}
	return report, r.suspendGone(ctx, o, gone)
}

// takePepper keeps the secret of HMACs, and names it.
func (r *Road) takePepper(ctx context.Context, o *ImportOptions) error {
	if len(o.Pepper) == 0 {
		return nil
	}
	sum := sha256.Sum256(append([]byte("offkey name of a pepper\x00"), o.Pepper...))
	name := hex.EncodeToString(sum[:8])
	o.File.Hash.Pepper = name
	if o.DryRun {
		return nil
	}
	return r.KeepPepper(ctx, name, o.Pepper, o.Actor)
}

// importedKey is an entry by the fingerprint of its apikey, which is gone.
type importedKey struct {
	entry   importfile.Entry // without the apikey
	print   secret.Hash
	last4   string
	prefix  string
	weak    bool
	example bool
}

func (r *Road) readImport(o ImportOptions, in io.Reader, report *ImportReport) (lines []importedKey, err error) {
	now := r.Now()
	found, err := o.File.Read(in, func(e importfile.Entry, problem error) error {
		if report.Lines++; report.Lines > maxImport {
			return fmt.Errorf("more than %d lines: split the file", maxImport)
		}
		switch {
		case errors.Is(problem, importfile.ErrUnresolved):
			report.Unresolved++
			report.problem(e.Line, strings.TrimPrefix(problem.Error(), importfile.ErrUnresolved.Error()+": "))
			return nil
		case problem != nil:
			report.Rejected++
			report.problem(e.Line, problem.Error())
			return nil
		case e.Disabled:
			report.Disabled++
			return nil
		case !e.Expires.IsZero() && !e.Expires.After(now):
			report.Expired++
			return nil
		}
		if problem := checkImported(e); problem != nil {
			report.Rejected++
			report.problem(e.Line, problem.Error())
			return nil
		}
		k := importedKey{entry: e}
		if e.Hash != nil {
			k.print, k.last4 = e.Hash.Mark(), e.Hash.End
		} else {
			k.print, k.last4, k.prefix, k.weak, k.example = r.Pepper.Fingerprint(e.Key), secret.Last4(e.Key), secret.Prefix(e.Key), isWeak(e.Key), isExample(e.Key)
		}
		k.entry.Key = ""
		lines = append(lines, k)
		return nil
	})
	report.Format, report.Carriers, report.Notes = found.Format, found.Carriers, found.Notes
	return lines, err
}

// sort leaves one line of each apikey, and none of those with two owners.
func (report *ImportReport) sort(lines []importedKey, r *Road, source string) []*apikey.Key {
	byPrint := make(map[secret.Hash][]importedKey, len(lines))
	for _, k := range lines {
		byPrint[k.print] = append(byPrint[k.print], k)
	}
	var keys []*apikey.Key
	for _, k := range lines {
		same := byPrint[k.print]
		if same == nil {
			continue // counted with the first of its lines
		}
		delete(byPrint, k.print)
		if first, other, two := twoOwners(same); two {
			report.Conflicts += len(same)
			report.problem(other, fmt.Sprintf("its apikey%s has another owner on line %d", shown(k.last4), first))
			continue
		}
		last := same[len(same)-1]
		report.Duplicates += len(same) - 1
		report.judge(last)
		keys = append(keys, last.apikey(r, source))
	}
	return keys
}

// judge counts what is to be known about an apikey that is taken in.
func (report *ImportReport) judge(k importedKey) {
	switch {
	case k.entry.Hash != nil && k.entry.Hash.Slow():
		report.Hashed++
		report.Slow++
	case k.entry.Hash != nil:
		report.Hashed++
	case k.example:
		report.Examples++
		report.problem(k.entry.Line, fmt.Sprintf("its apikey%s is one that documentation has as an example: everybody knows it", shown(k.last4)))
	case k.weak:
		report.Weak++
		report.problem(k.entry.Line, fmt.Sprintf("its apikey%s can be guessed: it is short, or has few different characters", shown(k.last4)))
	}
}

func shown(last4 string) string {
	if last4 == "" {
		return ""
	}
	return " (..." + last4 + ")"
}

func (k importedKey) apikey(r *Road, source string) *apikey.Key {
	now, e := r.Now(), k.entry
	created := e.Created
	if created.IsZero() || created.After(now) {
		created = now
	}
	return &apikey.Key{
		ID: apikey.NewID(), Fingerprint: k.print, Hash: e.Hash, Last4: k.last4, Prefix: k.prefix, Label: e.Label, Owner: e.Owner, Contact: e.Contact,
		Scopes: strings.Join(e.Scopes, " "), Expires: e.Expires, Source: source, KnownBy: apikey.KnownByImport, Created: created,
	}
}

// twoOwners finds lines of one apikey that name different owners.
func twoOwners(same []importedKey) (first, other int, two bool) {
	owner, line := "", 0
	for _, k := range same {
		switch {
		case k.entry.Owner == "" || k.entry.Owner == owner:
		case owner == "":
			owner, line = k.entry.Owner, k.entry.Line
		default:
			return line, k.entry.Line, true
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
		known, err := r.Store.ImportedAPIKey(ctx, k)
		switch {
		case errors.Is(err, apikey.ErrNotFound):
			res.Added++
		case err != nil:
			return res, err
		case apikey.Merged(*known, *k) == *known:
			res.Unchanged++
		default:
			res.Updated++
		}
	}
	return res, nil
}

// checkImported reports what makes an entry no apikey that a caller could send.
func checkImported(e importfile.Entry) error {
	switch {
	case e.Hash != nil:
		return nil
	case e.Key == "":
		return errors.New("it has no apikey")
	case len(e.Key) > apikey.MaxLength:
		return fmt.Errorf("its apikey is longer than %d bytes", apikey.MaxLength)
	case strings.ContainsFunc(e.Key, func(c rune) bool { return c <= ' ' || c == 0x7f }):
		return errors.New("its apikey has spaces or control characters")
	}
	return nil
}

// isWeak reports whether an apikey can be guessed: short, or made of few
// different characters.
func isWeak(key string) bool {
	different := map[rune]struct{}{}
	for _, c := range key {
		different[c] = struct{}{}
	}
	return len(key) < 16 || len(different) < 8
}

// exampleWords are in what people put where an apikey goes, without case and
// punctuation.
var exampleWords = []string{"yourapikey", "yourkey", "yoursecret", "yourtoken", "changeme", "replaceme", "apikeyhere", "examplekey", "keyexample", "exampleapikey", "iosfodnn7example", "xxxxxxxxxx", "mysecretkey", "superdupersecret"}

// knownExamples are SHA-256 of apikeys that the documentation of gateways and
// providers has; their own text would keep scanners of repositories busy.
var knownExamples = map[string]bool{
	"477a2767fa27931db11a3581100a4124b5720f6b6468ddd64062170cec157185": true, // administrator of APISIX
	"228ab1b6080ec4178302ba76f9fa4af4f2dc14fc105a364b324bdb9045af03a1": true, // viewer of APISIX
	"4b8cbd96c8530f054ac66e320aa1ed728a7ff66ca5f588456cc5dd9a842e03da": true, // Stripe's documentation
	"f2d6ca16515033e5dce14eba840b979d27b5cbae24bb3e5bf484339667f86397": true, // Stripe's documentation, older
}

// isExample reports whether an apikey is one that documentation shows.
func isExample(key string) bool {
	bare := strings.Map(func(c rune) rune {
		switch {
		case c >= 'A' && c <= 'Z':
			return c + 'a' - 'A'
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9':
			return c
		}
		return -1
	}, key)
	if slices.ContainsFunc(exampleWords, func(word string) bool { return strings.Contains(bare, word) }) {
		return true
	}
	return knownExamples[secret.HashOf(key).String()]
}
