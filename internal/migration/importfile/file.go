// Package importfile reads the lists of apikeys that other systems write: their
// configuration, their exports, a table. It turns bytes into Entries and knows
// nothing of what becomes of them. All of it is pure, bounded, and says what is
// wrong with an entry without repeating what may be a secret.
package importfile

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/offkey/offkey/internal/apikey"
)

// The formats that are read.
const (
	Auto     = ""         // by what the file begins with
	CSV      = "csv"      // with a header
	JSONL    = "jsonl"    // an object on each line
	Lines    = "lines"    // an apikey on each line
	Kong     = "kong"     // declarative configuration, deck, or KongConsumer and its Secret
	Tyk      = "tyk"      // sessions by apikey
	APISIX   = "apisix"   // consumers and credentials
	Nginx    = "nginx"    // a map of a header, parameter or cookie
	Envoy    = "envoy"    // api_key_auth, or "client: key" lines
	AWS      = "aws"      // API Gateway, CSV or JSON
	Unkey    = "unkey"    // the list of an API, or a request to migrate
	Htpasswd = "htpasswd" // name:hash
)

// Formats are the names of all formats.
var Formats = []string{CSV, JSONL, Lines, Kong, Tyk, APISIX, Nginx, Envoy, AWS, Unkey, Htpasswd}

// Limits of what is read. A document is held as a whole, lists are not.
const (
	maxLine     = 64 << 10
	maxDocument = 64 << 20
	maxDepth    = 40
	maxNodes    = 4_000_000
	maxAliased  = 100_000 // values reached through aliases
	maxText     = 512     // bytes of a label, an owner, a contact
	maxScopes   = 100     // of one apikey
)

// File says how a list is read.
type File struct {
	Format string
	// Columns names the column or member of each field, of CSV and JSONL, where
	// it is not one of the usual names: "key" is called "token", and so on.
	Columns map[string]string
	Hash    HashForm
}

// Entry is one apikey as a list has it: itself, or a hash of it.
type Entry struct {
	Line     int
	Key      string
	Hash     *apikey.Hashed
	Label    string
	Owner    string
	Contact  string
	Scopes   []string
	Created  time.Time
	Expires  time.Time
	Disabled bool
}

// Found is what a list says beside its entries.
type Found struct {
	Format   string   `json:"format"`
	Carriers []string `json:"carriers"` // where apikeys travel, as apikeys.where wants it
	Notes    []string `json:"notes"`    // what was seen and not read
}

// ErrUnresolved is an entry that stands for an apikey which is not in the list.
var ErrUnresolved = errors.New("unresolved")

func unresolved(format string, a ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrUnresolved}, a...)...)
}

// Yield takes an entry, or what is wrong with it. Its own error ends the
// reading.
type Yield func(Entry, error) error

// Read calls yield for every entry. An error is about the list as a whole.
func (f File) Read(r io.Reader, yield Yield) (Found, error) {
	found := Found{Format: f.Format, Carriers: []string{}, Notes: []string{}}
	if err := f.check(); err != nil {
		return found, err
	}
	in := bufio.NewReaderSize(r, maxLine)
	if bom, _ := in.Peek(3); bytes.Equal(bom, []byte("\ufeff")) {
		_, _ = in.Discard(3)
	}
	if f.Format == Auto {
		found.Format = detect(in)
	}
	entries := 0
	err := f.read(in, &found, func(e Entry, problem error) error {
		entries++
		if problem != nil {
			e.Key = ""
		}
		return yield(e.bounded(), problem)
	})
	if err == nil && entries == 0 && !slices.Contains([]string{CSV, JSONL, Lines}, found.Format) {
		err = fmt.Errorf("it has no apikey where %s has them: is it of another --format?", found.Format)
	}
	return found, err
}

func (f File) read(in *bufio.Reader, found *Found, yield Yield) error {
	switch found.Format {
	case CSV:
		return f.readCSV(in, yield)
	case JSONL:
		return f.readJSONL(in, yield)
	case Lines:
		return readLines(in, yield)
	case Htpasswd:
		return readHtpasswd(in, yield)
	case AWS:
		if start, _ := in.Peek(maxLine); !bytes.HasPrefix(bytes.TrimSpace(start), []byte("{")) {
			return f.readCSV(in, yield)
		}
	case Nginx:
		return readText(in, func(text string) error { return readNginx(text, found, yield) })
	}
	read := map[string]func([]node, *Found, Yield) error{Kong: readKong, Tyk: readTyk, APISIX: readAPISIX, Envoy: readEnvoy, AWS: readAWS, Unkey: readUnkey}[found.Format]
	return readText(in, func(text string) error {
		if found.Format == Envoy && isClientLines(text) {
			return readClientLines(text, yield)
		}
		documents, err := parseDocuments(text)
		if err != nil {
			return err
		}
		return read(documents, found, yield)
	})
}

func (f File) check() error {
	if f.Format != Auto && !slices.Contains(Formats, f.Format) {
		return fmt.Errorf("format %q is not read: it is %s", f.Format, strings.Join(Formats, ", "))
	}
	for field := range f.Columns {
		if usualColumns[field] == nil {
			return fmt.Errorf("columns: there is no field %q: they are %s", field, strings.Join(Fields, ", "))
		}
	}
	return f.Hash.Check()
}

// readText reads all of a document.
func readText(in io.Reader, read func(string) error) error {
	raw, err := io.ReadAll(io.LimitReader(in, maxDocument+1))
	if err != nil {
		return err
	}
	if len(raw) > maxDocument {
		return fmt.Errorf("it is longer than %d MiB: split it", maxDocument>>20)
	}
	return read(string(raw))
}

// bounded cuts what a list says about an apikey to what is kept.
func (e Entry) bounded() Entry {
	for _, text := range []*string{&e.Label, &e.Owner, &e.Contact} {
		*text = line(*text)
	}
	e.Scopes = slices.DeleteFunc(slices.Clone(e.Scopes), func(s string) bool { return s == "" || strings.ContainsFunc(s, notOfScope) })
	slices.Sort(e.Scopes)
	e.Scopes = slices.Compact(e.Scopes)
	e.Scopes = e.Scopes[:min(len(e.Scopes), maxScopes)]
	return e
}

// line is text that fits a line: without control characters, and not endless.
func line(s string) string {
	s = strings.ToValidUTF8(s, "?")
	s = strings.Map(func(c rune) rune {
		if c < ' ' || c == 0x7f {
			return ' '
		}
		return c
	}, s)
	if len(s) > maxText {
		s = strings.ToValidUTF8(s[:maxText], "")
	}
	return strings.TrimSpace(s)
}

// notOfScope: RFC 6749 §3.3 allows printable ASCII without space, quote and
// backslash.
func notOfScope(c rune) bool { return c <= ' ' || c >= 0x7f || c == '"' || c == '\\' }

// Contact finds a mail address among what a list says.
func contactIn(texts ...string) string {
	for _, t := range texts {
		if at := strings.IndexByte(t, '@'); at > 0 && strings.Contains(t[at:], ".") && !strings.ContainsAny(t, " /<>") && len(t) <= 254 {
			return t
		}
	}
	return ""
}

// moment reads seconds, milliseconds or microseconds since 1970, or RFC 3339. What is no time, or
// says never, is zero.
func moment(text string) time.Time {
	if text == "" {
		return time.Time{}
	}
	if n, err := strconv.ParseFloat(text, 64); err == nil {
		for n > 1e11 && n < 1e20 { // after the year 5000 in seconds: it is a smaller unit
			n /= 1000
		}
		if !(n > 0 && n < 1e20) {
			return time.Time{}
		}
		return time.UnixMicro(int64(n * 1e6)).UTC()
	}
	for _, layout := range []string{time.RFC3339, "2006-01-02 15:04:05.999999999-07", "2006-01-02 15:04:05.999999999Z07:00", "2006-01-02T15:04:05", time.DateTime, time.DateOnly} {
		if t, err := time.Parse(layout, text); err == nil && t.Year() > 1970 && t.Year() < 10000 {
			return t.UTC()
		}
	}
	return time.Time{}
}

// isFalse reads what lists write for no.
func isFalse(text string) bool {
	switch strings.ToLower(text) {
	case "false", "f", "0", "no", "off", "disabled", "inactive", "revoked":
		return true
	}
	return false
}

// reference reports a value that stands for an apikey kept elsewhere.
func reference(value string) error {
	lower := strings.ToLower(value)
	for prefix, what := range map[string]string{"$env://": "an environment variable of APISIX", "$secret://": "a secret manager of APISIX", "{vault://": "a vault of Kong", "${{": "a variable of deck", "${": "a variable"} {
		if strings.HasPrefix(lower, prefix) {
			return unresolved("its apikey is in %s: resolve it and import the result", what)
		}
	}
	return nil
}
