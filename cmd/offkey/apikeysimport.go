package main

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/offkey/offkey/internal/app"
)

type apikeysImportCmd struct {
	operatorFlags
	File   string            `arg:"" optional:"" type:"path" help:"The list; - is standard input."`
	Format string            `placeholder:"FORMAT" enum:",csv,jsonl,lines,kong,tyk,apisix,nginx,envoy,aws,unkey,htpasswd" default:"" help:"csv, jsonl, lines, kong, tyk, apisix, nginx, envoy, aws, unkey or htpasswd. Default: whichever it is."`
	Map    map[string]string `name:"map" aliases:"column" mapsep:"," placeholder:"FIELD=COLUMN,…" help:"Where your list names a column otherwise, as in key=token,owner=tenant. Fields: key, hash, label, owner, contact, scopes, created, expires, enabled, algorithm, salt, prefix, last4, length."`

	SQL        string `name:"sql" placeholder:"QUERY" help:"Read the rows of this query instead of a list."`
	SQLDSNFile string `name:"sql-dsn-file" type:"path" placeholder:"FILE" help:"Where it is asked: a file with postgres://… or sqlite:///path. Default: OFFKEY_SQL_DSN."`

	Algorithm  string `placeholder:"NAME" help:"What the column hash holds, where it does not say so itself: sha256, sha512, sha384, sha1, md5, or one of them after hmac-. Default: by its form."`
	SaltFile   string `type:"path" placeholder:"FILE" help:"The salt of all hashes; one for each goes into the column salt."`
	SaltLast   bool   `help:"The salt follows the apikey; otherwise it comes before it."`
	PepperFile string `type:"path" placeholder:"FILE" help:"The secret of an hmac- algorithm. It is kept sealed."`

	Follow string `placeholder:"NAME" help:"This is the whole list of that name: apikeys that it had at an earlier import and has no more are suspended, those that are back resumed."`
	Force  bool   `help:"With --follow: however many are gone."`
	DryRun bool   `help:"Change nothing, only count and check."`
}

func (apikeysImportCmd) Help() string {
	return `Examples:
  offkey apikeys import keys.csv --dry-run
  offkey apikeys import kong.yaml --dry-run
  offkey apikeys import --sql "select key, name, owner, email from api_keys" --sql-dsn-file dsn
  offkey apikeys import export.csv --map key=token,owner=tenant
  offkey apikeys import hashes.csv --map hash=digest --algorithm hmac-sha256 --pepper-file pepper.key
  offkey apikeys import keys.csv --follow crm

A CSV list starts with its column names: key or hash, and where you have them label, owner, contact (a mail address),
scopes, created, expires and enabled. A JSON Lines list has one object with these members in each line, a plain list
one apikey in each. The apikeys go to the running offkey over its socket and are kept as keyed hashes with their last
four characters; one of which only a hash is known is recognised at its first call. The same list again changes nothing.`
}

type importDoc struct {
	Format                                                                                           string
	Lines, Added, Updated, Unchanged, Duplicates, Conflicts, Disabled, Expired, Unresolved, Rejected int
	Weak, Examples, Hashed, Slow, Gone                                                               int
	Carriers, Notes                                                                                  []string
	Problems                                                                                         []struct {
		Line    int
		Problem string
	}
}

// Run imports. Lines that were left out make it fail, after the others are in.
func (c *apikeysImportCmd) Run(ctx context.Context, t *terminal) error {
	in, closeIn, err := c.open(ctx, t)
	if err != nil {
		return err
	}
	defer closeIn()
	query := parameters("format", c.Format, "dry_run", whenTrue(c.DryRun), "follow", c.Follow, "force", whenTrue(c.Force),
		"algorithm", c.Algorithm, "salt_last", whenTrue(c.SaltLast))
	for field, name := range c.Map {
		query.Set("column."+field, name)
	}
	headers := map[string]string{}
	for name, file := range map[string]string{"Import-Salt": c.SaltFile, "Import-Pepper": c.PepperFile} {
		if file == "" {
			continue
		}
		text, err := t.readSecretFile(file)
		if err != nil {
			return err
		}
		headers[name] = base64.StdEncoding.EncodeToString([]byte(text))
	}
	var raw json.RawMessage
	if err := c.connect().with(headers).stream(ctx, "POST", "/apikeys/import", query, "application/octet-stream", in, &raw); err != nil {
		var f *failure
		if errors.As(err, &f) && f.code == "too_many_gone" {
			f.exit = exitUnmet
		}
		return err
	}
	var d importDoc
	if err := json.Unmarshal(raw, &d); err != nil {
		return err
	}
	if t.JSON {
		if err := t.document(raw); err != nil {
			return err
		}
	} else {
		d.print(t, c.DryRun)
	}
	if left := d.Conflicts + d.Unresolved + d.Rejected; left > 0 {
		return failed("lines_left_out", fmt.Sprintf("%s of %d left out", count(left, "line"), d.Lines), "correct them and import the list again: what is in already does not change", nil)
	}
	return nil
}

// open opens the list, or the rows of a query as one.
func (c *apikeysImportCmd) open(ctx context.Context, t *terminal) (io.Reader, func() error, error) {
	switch {
	case c.SQL == "" && c.File == "":
		return nil, nil, wrongUsage("which list?", "name a file, - for standard input, or a query with --sql")
	case c.SQL == "":
		return t.openInput(c.File)
	case c.File != "":
		return nil, nil, wrongUsage("both a list and a query are given", "give one of them")
	}
	dsn := os.Getenv("OFFKEY_SQL_DSN")
	if c.SQLDSNFile != "" {
		text, err := t.readSecretFile(c.SQLDSNFile)
		if err != nil {
			return nil, nil, err
		}
		dsn = text
	}
	if dsn == "" {
		return nil, nil, wrongUsage("where is the query asked?", "put postgres://… or sqlite:///path into a file and name it with --sql-dsn-file, or set OFFKEY_SQL_DSN")
	}
	c.Format = "jsonl"
	out, in := io.Pipe()
	go func() { in.CloseWithError(app.WriteTable(ctx, dsn, c.SQL, in)) }()
	// The first bytes say whether the database answers, before anything is sent.
	rows := bufio.NewReaderSize(out, 64<<10)
	if _, err := rows.Peek(1); err != nil && !errors.Is(err, io.EOF) {
		return nil, nil, failed("sql_failed", "the query cannot be read: "+err.Error(), "try it with psql or sqlite3", nil)
	}
	return rows, out.Close, nil
}

func (d importDoc) print(t *terminal, dryRun bool) {
	for _, p := range d.Problems {
		t.warn("line %d: %s", p.Line, printable(p.Problem))
	}
	for _, note := range d.Notes {
		t.warn("%s", printable(note))
	}
	words := fmt.Sprintf("%s: %d new, %d changed, %d as they were", count(d.Lines, "line"), d.Added, d.Updated, d.Unchanged)
	for _, part := range []struct {
		n    int
		what string
	}{
		{d.Gone, "gone and suspended"}, {d.Duplicates, "repeated"}, {d.Disabled, "disabled"}, {d.Expired, "expired"}, {d.Conflicts, "with two owners"},
		{d.Unresolved, "unresolved"}, {d.Rejected, "unreadable"}, {d.Weak, "weak"}, {d.Examples, "from documentation"}, {d.Hashed, "by their hash"},
	} {
		if part.n > 0 {
			words += fmt.Sprintf(", %d %s", part.n, part.what)
		}
	}
	if d.Slow > 0 {
		t.say("%d of these hashes take long to check: such an apikey is looked for after the API has accepted a call with it.", d.Slow)
	}
	if len(d.Carriers) > 0 {
		t.say("They travel in %s: apikeys.where should name that.", printable(strings.Join(d.Carriers, ", ")))
	}
	if dryRun {
		t.say("%s. Nothing was changed.", words)
		return
	}
	t.done("%s", words)
}
