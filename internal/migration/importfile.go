package migration

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/offkey/offkey/internal/apikey"
)

// The formats that apikeys are imported from.
const (
	FormatAuto  = ""      // by what the file begins with
	FormatCSV   = "csv"   // with a header
	FormatJSONL = "jsonl" // an object on each line
	FormatLines = "lines" // an apikey on each line
)

// ImportFile says how a file of apikeys is read.
type ImportFile struct {
	Format string
	// Columns names the column or member of each field, where it is not one of
	// the usual names: "key" is called "token", and so on. The fields are key,
	// label, owner, contact and enabled.
	Columns map[string]string
}

// usualColumns are the names by which a field is found, without letter case.
var usualColumns = map[string][]string{
	"key":     {"key", "apikey", "api_key", "api-key", "value", "secret", "token"},
	"label":   {"label", "name", "description"},
	"owner":   {"owner", "customer", "team", "organization", "organisation", "org", "account", "consumer"},
	"contact": {"contact", "mail", "email", "e-mail"},
	"enabled": {"enabled", "active"},
	"hash":    {"hash", "key_hash", "hashed_key", "sha256", "digest"},
}

// importedLine is one apikey as a file has it.
type importedLine struct {
	number   int
	key      string
	label    string
	owner    string
	contact  string
	disabled bool
}

// What is wrong with a file as a whole.
var (
	errHashes   = errors.New("it holds hashes of apikeys, which this release cannot look up: import the apikeys themselves, of which only a keyed hash is kept")
	errNoColumn = errors.New("no column holds the apikeys")
)

const maxImportLine = 64 << 10

// read calls yield for every line with an apikey, or with what is wrong with
// the line. No problem holds an apikey.
func (f ImportFile) read(r io.Reader, yield func(importedLine, error) error) error {
	if err := f.check(); err != nil {
		return err
	}
	in := bufio.NewReaderSize(r, maxImportLine)
	if bom, _ := in.Peek(3); bytes.Equal(bom, []byte("\ufeff")) {
		_, _ = in.Discard(3)
	}
	format := f.Format
	if format == FormatAuto {
		format = detect(in)
	}
	switch format {
	case FormatCSV:
		return f.readCSV(in, yield)
	case FormatJSONL:
		return f.readJSONL(in, yield)
	}
	return readLines(in, yield)
}

func (f ImportFile) check() error {
	if !slices.Contains([]string{FormatAuto, FormatCSV, FormatJSONL, FormatLines}, f.Format) {
		return fmt.Errorf("format %q is not read: it is csv, jsonl or lines", f.Format)
	}
	for field := range f.Columns {
		if field == "hash" {
			return errHashes
		}
		if usualColumns[field] == nil {
			return fmt.Errorf("columns: there is no field %q: they are key, label, owner, contact and enabled", field)
		}
	}
	return nil
}

// detect looks at the first line: an object is JSONL, several columns of which
// one has a usual name are CSV, anything else is an apikey on each line.
func detect(in *bufio.Reader) string {
	start, _ := in.Peek(maxImportLine)
	line, _, _ := bytes.Cut(bytes.TrimSpace(start), []byte("\n"))
	if bytes.HasPrefix(line, []byte("{")) {
		return FormatJSONL
	}
	for name := range strings.SplitSeq(string(line), ",") {
		name = strings.ToLower(strings.Trim(strings.TrimSpace(name), `"`))
		if slices.Contains(usualColumns["key"], name) || slices.Contains(usualColumns["hash"], name) {
			return FormatCSV
		}
	}
	return FormatLines
}

// field finds the name that a file has for a field, "" if it has none.
func (f ImportFile) field(field string, names []string) string {
	usual := usualColumns[field]
	if c := f.Columns[field]; c != "" {
		usual = []string{c}
	}
	for _, want := range usual {
		for _, have := range names {
			if strings.EqualFold(strings.TrimSpace(have), want) {
				return have
			}
		}
	}
	return ""
}

// lineOf takes the fields of a line by the names that the file has for them.
func (f ImportFile) lineOf(number int, names []string, value func(name string) string) (importedLine, error) {
	get := func(field string) string {
		if name := f.field(field, names); name != "" {
			return strings.TrimSpace(value(name))
		}
		return ""
	}
	if f.field("key", names) == "" {
		if f.field("hash", names) != "" {
			return importedLine{}, errHashes
		}
		return importedLine{}, errNoColumn
	}
	l := importedLine{number: number, key: get("key"), label: get("label"), owner: get("owner"), contact: get("contact")}
	switch strings.ToLower(get("enabled")) {
	case "false", "0", "no", "disabled", "inactive":
		l.disabled = true
	}
	return l, nil
}

func (f ImportFile) readCSV(in io.Reader, yield func(importedLine, error) error) error {
	rows := csv.NewReader(in)
	rows.FieldsPerRecord = -1
	rows.ReuseRecord = true
	header, err := rows.Read()
	if err == io.EOF {
		return nil
	}
	if err != nil {
		return fmt.Errorf("header: %w", withoutContent(err))
	}
	names := slices.Clone(header)
	if _, err := f.lineOf(1, names, func(string) string { return "" }); err != nil {
		return err // without the names: a list without a header has an apikey there
	}
	for {
		row, err := rows.Read()
		if err == io.EOF {
			return nil
		}
		var broken *csv.ParseError
		switch {
		case errors.As(err, &broken):
			if err := yield(importedLine{number: broken.StartLine}, withoutContent(err)); err != nil {
				return err
			}
			continue
		case err != nil:
			return err
		}
		number, _ := rows.FieldPos(0)
		l, err := f.lineOf(number, names, func(name string) string {
			if i := slices.Index(names, name); i < len(row) {
				return row[i]
			}
			return ""
		})
		if err := yield(l, err); err != nil {
			return err
		}
	}
}

// withoutContent says what is wrong with CSV without the line itself.
func withoutContent(err error) error {
	var broken *csv.ParseError
	if errors.As(err, &broken) {
		return broken.Err
	}
	return err
}

func (f ImportFile) readJSONL(in *bufio.Reader, yield func(importedLine, error) error) error {
	return eachLine(in, func(number int, line string, problem error) error {
		if problem != nil {
			return yield(importedLine{number: number}, problem)
		}
		var object map[string]any
		if err := json.Unmarshal([]byte(line), &object); err != nil {
			return yield(importedLine{number: number}, errors.New("not a JSON object"))
		}
		names := make([]string, 0, len(object))
		for name := range object {
			names = append(names, name)
		}
		slices.Sort(names)
		l, err := f.lineOf(number, names, func(name string) string {
			switch v := object[name].(type) {
			case string:
				return v
			case bool:
				return fmt.Sprint(v)
			}
			return ""
		})
		l.number = number
		return yield(l, err)
	})
}

func readLines(in *bufio.Reader, yield func(importedLine, error) error) error {
	return eachLine(in, func(number int, line string, problem error) error {
		if problem == nil && strings.HasPrefix(line, "#") {
			return nil
		}
		return yield(importedLine{number: number, key: line}, problem)
	})
}

// eachLine visits the lines that are not empty, without the space around them.
func eachLine(in *bufio.Reader, visit func(number int, line string, problem error) error) error {
	for number := 1; ; number++ {
		line, err := in.ReadSlice('\n')
		var problem error
		for errors.Is(err, bufio.ErrBufferFull) {
			problem = fmt.Errorf("longer than %d bytes", maxImportLine)
			_, err = in.ReadSlice('\n')
		}
		if err != nil && err != io.EOF {
			return err
		}
		if text := strings.TrimSpace(string(line)); text != "" || problem != nil {
			if err := visit(number, text, problem); err != nil {
				return err
			}
		}
		if err == io.EOF {
			return nil
		}
	}
}

// checkImported reports what makes a line no apikey that a caller could send.
func checkImported(l importedLine) error {
	switch {
	case l.key == "":
		return errors.New("it has no apikey")
	case len(l.key) > apikey.MaxLength:
		return fmt.Errorf("its apikey is longer than %d bytes", apikey.MaxLength)
	case strings.ContainsFunc(l.key, func(c rune) bool { return c <= ' ' || c == 0x7f }):
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
