package importfile

import (
	"bufio"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/offkey/offkey/internal/apikey"
)

// Fields are what a column of a table can hold.
var Fields = []string{"key", "hash", "label", "owner", "contact", "scopes", "created", "expires", "enabled", "algorithm", "salt", "prefix", "last4", "length"}

// usualColumns are the names by which a field is found, without letter case.
var usualColumns = map[string][]string{
	"key":       {"key", "apikey", "api_key", "api-key", "value", "secret", "token"},
	"hash":      {"hash", "key_hash", "hashed_key", "keyhash", "token_hash", "sha256", "digest"},
	"label":     {"label", "name", "description"},
	"owner":     {"owner", "customer", "team", "organization", "organisation", "org", "account", "consumer"},
	"contact":   {"contact", "mail", "email", "e-mail"},
	"scopes":    {"scopes", "scope", "permissions"},
	"created":   {"created", "created_at", "createdat", "createddate"},
	"expires":   {"expires", "expires_at", "expiresat", "expiry", "valid_until"},
	"enabled":   {"enabled", "active", "is_active"},
	"algorithm": {"algorithm", "hash_algorithm"},
	"salt":      {"salt"},
	"prefix":    {"prefix", "key_prefix"},
	"last4":     {"last4", "last_four", "suffix"},
	"length":    {"length", "key_length"},
}

var errNoColumn = errors.New("no column holds the apikeys")

// field finds the name that a table has for a field, "" if it has none.
func (f File) field(field string, names []string) string {
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

// entryOf takes the fields of a row by the names that the table has for them.
func (f File) entryOf(line int, names []string, value func(name string) string) (Entry, error) {
	get := func(field string) string {
		if name := f.field(field, names); name != "" {
			return strings.TrimSpace(value(name))
		}
		return ""
	}
	if f.field("key", names) == "" && f.field("hash", names) == "" {
		return Entry{}, errNoColumn
	}
	e := Entry{
		Line: line, Key: get("key"), Label: get("label"), Owner: get("owner"), Contact: get("contact"), Scopes: scopesIn(get("scopes")),
		Created: moment(get("created")), Expires: moment(get("expires")), Disabled: isFalse(get("enabled")),
	}
	if e.Key == "" && get("hash") != "" {
		h, err := f.hashOf(get)
		if err != nil {
			return e, err
		}
		e.Hash = h
	}
	return e, reference(e.Key)
}

// About is what a row says about an apikey that is known otherwise, by the usual
// names.
func About(row map[string]string) Entry {
	names := make([]string, 0, len(row))
	for name := range row {
		names = append(names, name)
	}
	slices.Sort(names)
	f := File{}
	get := func(field string) string { return strings.TrimSpace(row[f.field(field, names)]) }
	return Entry{
		Label: get("label"), Owner: get("owner"), Contact: get("contact"), Scopes: scopesIn(get("scopes")), Disabled: isFalse(get("enabled")),
	}.bounded()
}

// hashOf is the hash of a row, with what its columns say about the apikey.
func (f File) hashOf(get func(field string) string) (*apikey.Hashed, error) {
	form := f.Hash
	if name := strings.ToLower(get("algorithm")); name != "" {
		if strings.HasPrefix(name, "murmur") {
			return nil, unresolvedHash(errForgeable)
		}
		form.Algorithm = strings.ReplaceAll(strings.TrimSuffix(strings.TrimSuffix(name, "_base64"), "_hex"), "sha-", "sha")
	}
	if salt := get("salt"); salt != "" {
		form.Salt = salt
	}
	if err := form.Check(); err != nil {
		return nil, err
	}
	h, err := parseHash(get("hash"), form)
	if err != nil {
		return nil, unresolvedHash(err)
	}
	if prefix := get("prefix"); prefix != "" {
		h.Prefix = prefix
	}
	h.End = get("last4")
	h.Length, _ = strconv.Atoi(get("length"))
	return &h, h.Check()
}

// unresolvedHash is a hash by which no apikey can be found.
func unresolvedHash(err error) error { return unresolved("%v", err) }

// scopesIn reads a list of scopes: JSON, or names between spaces or commas.
func scopesIn(text string) (scopes []string) {
	if strings.HasPrefix(text, "[") && json.Unmarshal([]byte(text), &scopes) == nil {
		return scopes
	}
	return strings.FieldsFunc(strings.Trim(text, "{}[]"), func(c rune) bool { return c == ' ' || c == ',' || c == ';' })
}

func (f File) readCSV(in io.Reader, yield Yield) error {
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
	if _, err := f.entryOf(1, names, func(string) string { return "" }); err != nil {
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
			if err := yield(Entry{Line: broken.StartLine}, withoutContent(err)); err != nil {
				return err
			}
			continue
		case err != nil:
			return err
		}
		line, _ := rows.FieldPos(0)
		e, err := f.entryOf(line, names, func(name string) string {
			if i := slices.Index(names, name); i < len(row) {
				return row[i]
			}
			return ""
		})
		if err := yield(e, err); err != nil {
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

func (f File) readJSONL(in *bufio.Reader, yield Yield) error {
	return eachLine(in, func(number int, text string, problem error) error {
		if problem != nil {
			return yield(Entry{Line: number}, problem)
		}
		object, err := parseJSON(text)
		if err != nil || object.kind != kindMap {
			return yield(Entry{Line: number}, errors.New("not a JSON object"))
		}
		names := make([]string, 0, len(object.members))
		for _, m := range object.members {
			names = append(names, m.name)
		}
		slices.Sort(names)
		e, err := f.entryOf(number, names, func(name string) string {
			v := object.get(name)
			if v.kind == kindList {
				return strings.Join(v.texts(), " ")
			}
			return v.text
		})
		return yield(e, err)
	})
}

func readLines(in *bufio.Reader, yield Yield) error {
	return eachLine(in, func(number int, text string, problem error) error {
		if strings.HasPrefix(text, "#") {
			return nil
		}
		if problem == nil {
			problem = reference(text)
		}
		return yield(Entry{Line: number, Key: text}, problem)
	})
}

// eachLine visits the lines that are not empty, without the space around them.
func eachLine(in *bufio.Reader, visit func(number int, text string, problem error) error) error {
	for number := 1; ; number++ {
		line, err := in.ReadSlice('\n')
		var problem error
		for errors.Is(err, bufio.ErrBufferFull) {
			problem = fmt.Errorf("longer than %d bytes", maxLine)
			_, err = in.ReadSlice('\n')
		}
		if err != nil && err != io.EOF {
			return err
		}
		if text := strings.TrimSpace(string(line)); text != "" || problem != nil {
			if problem != nil {
				text = ""
			}
			if err := visit(number, text, problem); err != nil {
				return err
			}
		}
		if err == io.EOF {
			return nil
		}
	}
}
