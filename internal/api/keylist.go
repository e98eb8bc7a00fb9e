package api

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/mail"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/offkey/offkey/internal/apikey"
	"github.com/offkey/offkey/internal/secret"
)

// The bounds of a list of apikeys that is brought in.
const (
	maxImportBytes = 512 << 20
	maxImportRows  = 1_000_000
	maxAPIKey      = 8 << 10 // bytes
	maxLine        = 64 << 10
	shortAPIKey    = 16 // characters; fewer can be guessed
)

// keyList is a list of apikeys as it is read. It holds fingerprints, never the
// apikeys themselves, and its errors name lines, never their contents.
type keyList struct {
	fingerprint func(string) secret.Hash
	now         time.Time

	keys    []*apikey.Key
	byPrint map[secret.Hash]int // index in keys
	ignored []string            // columns that mean nothing here

	rows, duplicates, short int
	conflicts               []int // lines that give an apikey to another owner
}

// The names under which lists have the columns that are read.
var (
	keyColumns     = []string{"key", "apikey", "api_key", "api-key", "value", "token"}
	hashColumns    = []string{"hash", "sha256", "key_hash", "hashed_key", "digest"}
	labelColumns   = []string{"label", "name"}
	ownerColumns   = []string{"owner", "customer", "team", "organization", "organisation"}
	contactColumns = []string{"contact", "email", "mail"}
)

// readKeyList reads a list in the format csv or jsonl, "" for whichever it is.
func readKeyList(r io.Reader, format string, now time.Time, fingerprint func(string) secret.Hash) (*keyList, error) {
	l := &keyList{fingerprint: fingerprint, now: now, byPrint: map[secret.Hash]int{}}
	in := bufio.NewReaderSize(r, maxLine)
	if mark, _ := in.Peek(3); bytes.Equal(mark, []byte("\xef\xbb\xbf")) {
		_, _ = in.Discard(3) // they have just been seen
	}
	first, err := in.Peek(1)
	switch {
	case errors.Is(err, io.EOF):
		return nil, badRequest("give a list with a heading that names a column `key`", "the list is empty")
	case err != nil:
		return nil, err
	case format == "" && first[0] == '{', format == "jsonl":
		err = l.readJSONL(in)
	case format == "" || format == "csv":
		err = l.readCSV(in)
	default:
		return nil, badRequest("", "format is %q: it is csv or jsonl", format)
	}
	if err != nil {
		return nil, err
	}
	if l.rows == 0 {
		return nil, badRequest("", "the list has no apikeys")
	}
	return l, nil
}

// columns are where in a row the values are; -1 where they are not.
type columns struct{ key, label, owner, contact int }

// readHeading finds the columns. It never repeats a heading: a list without one
// has an apikey there.
func (l *keyList) readHeading(names []string) (columns, error) {
	c := columns{-1, -1, -1, -1}
	hashed := false
	for i, name := range names {
		name = strings.ToLower(strings.TrimSpace(name))
		switch {
		case slices.Contains(keyColumns, name) && c.key < 0:
			c.key = i
		case slices.Contains(labelColumns, name) && c.label < 0:
			c.label = i
		case slices.Contains(ownerColumns, name) && c.owner < 0:
			c.owner = i
		case slices.Contains(contactColumns, name) && c.contact < 0:
			c.contact = i
		default:
			hashed = hashed || slices.Contains(hashColumns, name)
			l.ignored = append(l.ignored, name)
		}
	}
	switch {
	case c.key >= 0:
		return c, nil
	case hashed:
		return c, badRequest("export the apikeys themselves, or leave it to offkey to learn them from your API's answers",
			"the list has hashes only, and an apikey in a call cannot be recognised by another system's hash")
	}
	return c, badRequest("start it with a line such as `key,label,owner,contact`", "the first line of the list names no column `key`")
}

func (l *keyList) readCSV(in *bufio.Reader) error {
	r := csv.NewReader(in)
	r.ReuseRecord = true
	r.TrimLeadingSpace = true
	heading, err := in.Peek(maxLine)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, bufio.ErrBufferFull) {
		return err
	}
	heading, _, _ = bytes.Cut(heading, []byte("\n"))
	for _, comma := range ",;\t" {
		if bytes.ContainsRune(heading, comma) {
			r.Comma = comma
			break
		}
	}
	names, err := r.Read()
	if err != nil {
		return csvProblem(err)
	}
	c, err := l.readHeading(names)
	if err != nil {
		l.ignored = nil
		return err
	}
	value := func(row []string, i int) string {
		if i < 0 {
			return ""
		}
		return row[i]
	}
	for {
		row, err := r.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return csvProblem(err)
		}
		line, _ := r.FieldPos(0)
		if err := l.add(line, value(row, c.key), value(row, c.label), value(row, c.owner), value(row, c.contact)); err != nil {
			return err
		}
	}
}

func csvProblem(err error) error {
	var p *csv.ParseError
	if !errors.As(err, &p) {
		return err
	}
	if errors.Is(err, csv.ErrFieldCount) {
		return badRequest("", "line %d of the list has not as many columns as its heading", p.Line)
	}
	return badRequest("put values with quotes or commas into quotes", "line %d of the list is no CSV: %v", p.Line, p.Err)
}

func (l *keyList) readJSONL(in *bufio.Reader) error {
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, maxLine)
	for n := 1; lines.Scan(); n++ {
		if len(bytes.TrimSpace(lines.Bytes())) == 0 {
			continue
		}
		var object map[string]any
		if json.Unmarshal(lines.Bytes(), &object) != nil {
			return badRequest("write one object in each line, such as {\"key\":\"…\",\"owner\":\"…\"}", "line %d of the list is no JSON object", n)
		}
		names, values := make([]string, 0, len(object)), make([]string, 0, len(object))
		for _, name := range slices.Sorted(maps.Keys(object)) {
			text, _ := object[name].(string) // numbers and objects are in columns that are ignored
			names, values = append(names, name), append(values, text)
		}
		c, err := l.readHeading(names)
		if err != nil {
			return badRequest("each object needs a member `key`", "line %d of the list has none that is an apikey", n)
		}
		value := func(i int) string {
			if i < 0 {
				return ""
			}
			return values[i]
		}
		if err := l.add(n, value(c.key), value(c.label), value(c.owner), value(c.contact)); err != nil {
			return err
		}
		l.ignored = slices.Compact(slices.Sorted(slices.Values(l.ignored)))
	}
	if errors.Is(lines.Err(), bufio.ErrTooLong) {
		return badRequest("", "a line of the list has more than %d bytes", maxLine)
	}
	return lines.Err()
}

// add takes one row in.
func (l *keyList) add(line int, key, label, owner, contact string) error {
	if l.rows++; l.rows > maxImportRows {
		return badRequest("bring it in in parts", "the list has more than %d apikeys", maxImportRows)
	}
	key = strings.TrimSpace(key)
	switch {
	case key == "":
		return badRequest("", "line %d of the list has no apikey", line)
	case len(key) > maxAPIKey:
		return badRequest("", "the apikey in line %d of the list has more than %d bytes", line, maxAPIKey)
	case strings.ContainsFunc(key, unicode.IsControl) || !utf8.ValidString(key):
		return badRequest("", "the apikey in line %d of the list has a character that no request could carry", line)
	}
	for _, field := range []struct {
		name  string
		value *string
	}{{"label", &label}, {"owner", &owner}, {"contact", &contact}} {
		*field.value = strings.TrimSpace(*field.value)
		if err := checkLine(fmt.Sprintf("the %s in line %d of the list", field.name, line), *field.value, false); err != nil {
			return err
		}
	}
	if contact != "" {
		if _, err := mail.ParseAddress(contact); err != nil {
			return badRequest("leave it empty where there is none", "the contact in line %d of the list is no mail address", line)
		}
	}
	k := &apikey.Key{
		ID: apikey.NewID(), Fingerprint: l.fingerprint(key), Last4: secret.Last4(key), Label: label, Owner: owner, Contact: contact,
		KnownBy: apikey.KnownByImport, Created: l.now,
	}
	before, twice := l.byPrint[k.Fingerprint]
	if !twice {
		if utf8.RuneCountInString(key) < shortAPIKey {
			l.short++
		}
		l.byPrint[k.Fingerprint] = len(l.keys)
		l.keys = append(l.keys, k)
		return nil
	}
	l.duplicates++ // the last one counts
	k.ID = l.keys[before].ID
	if old := l.keys[before].Owner; old != owner && old != "" && owner != "" {
		l.conflicts = append(l.conflicts, line)
	}
	l.keys[before] = k
	return nil
}

// warnings are what an operator should look at before going on.
func (l *keyList) warnings() []string {
	var w []string
	if l.duplicates > 0 {
		w = append(w, fmt.Sprintf("apikeys that repeat one of a line before: %d; the last line counts", l.duplicates))
	}
	if n := len(l.conflicts); n > 0 {
		w = append(w, fmt.Sprintf("lines that give an apikey to another owner than a line before: %d, the first is line %d", n, l.conflicts[0]))
	}
	if l.short > 0 {
		w = append(w, fmt.Sprintf("apikeys with fewer than %d characters, which could be guessed: %d", shortAPIKey, l.short))
	}
	if len(l.ignored) > 0 {
		w = append(w, fmt.Sprintf("columns that mean nothing here and were left out: %s", strings.Join(l.ignored[:min(len(l.ignored), 10)], ", ")))
	}
	return w
}
