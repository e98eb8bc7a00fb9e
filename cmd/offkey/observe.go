package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/offkey/offkey/internal/apikey"
	"github.com/offkey/offkey/internal/app"
	"github.com/offkey/offkey/internal/traffic/accesslog"
)

// observeCmd reads access logs.
type observeCmd struct {
	operatorFlags
	Log      []string `required:"" sep:"none" placeholder:"FILE" help:"The access log; .gz is unpacked, - is standard input. Repeat for several."`
	Format   string   `enum:",combined,json,kong,envoy,alb,har" default:"" placeholder:"HOW" help:"combined (nginx, Apache), json (Caddy, Traefik, clouds), kong, envoy, alb or har. Default: told by the first line."`
	Tail     string   `placeholder:"FIELDS" help:"What fields behind the combined format are, in order: header:X-API-Key, query:NAME, cookie:NAME, name, address, agent, scheme, origin, or - to skip one. nginx's variables do too."`
	Since    string   `placeholder:"TIME" help:"Only calls since then, as in 30d or 2027-01-31."`
	Until    string   `placeholder:"TIME" help:"Only calls before then, as in 2027-03-01T08:00:00Z: when offkey itself began to count."`
	Offline  bool     `help:"Ask no running offkey: list what the apikeys in these logs do."`
	APIKeyIn []string `name:"apikey-in" sep:"none" placeholder:"PLACE" help:"With --offline: where apikeys travel. Default header:X-API-Key, query:api_key, query:apikey and query:key."`
	Out      string   `type:"path" placeholder:"FILE" help:"With --offline: write observations there, for plan and scopes with --traffic. Run again it goes on where it ended."`
}

func (observeCmd) Help() string {
	return `Examples:
  offkey observe --log /var/log/nginx/access.log
  offkey observe --log access.log --tail '$http_x_api_key' --until 2027-03-01
  offkey observe --log access.log.2.gz --log access.log.1 --log access.log
  offkey observe --log kong.json --offline --out observations.jsonl

Its calls are counted as if the gateway had seen them. Apikeys in it are never kept. A log is read on where it was left:
run it again after it was stopped, rotated or has grown, and no line counts twice.`
}

// logTarget is what logs are read into.
type logTarget interface {
	OpenLog(ctx context.Context, head []byte) (app.LogPlace, error)
	ReadLog(ctx context.Context, b app.LogBatch, in io.Reader) (app.LogPlace, error)
}

// readFile is what was read of one log.
type readFile struct {
	Name   string           `json:"name"`
	Format accesslog.Format `json:"format"`
	New    int64            `json:"new_lines"` // read this time
	app.LogReport
	Share float64 `json:"share"`
}

// Run reads.
func (c *observeCmd) Run(ctx context.Context, t *terminal) (err error) {
	batch := app.LogBatch{}
	batch.Tail = c.Tail
	if batch.Since, err = c.moment("since", c.Since, t.Now()); err != nil {
		return err
	}
	if batch.Until, err = c.moment("until", c.Until, t.Now()); err != nil {
		return err
	}
	var target logTarget = logServer{c.connect()}
	var alone *app.LogFiles
	if c.Offline || c.Out != "" {
		if alone, err = c.offline(t); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, alone.Close()) }()
		target = alone
	} else if len(c.APIKeyIn) > 0 {
		return wrongUsage("--apikey-in goes with --offline", "a running offkey knows where apikeys travel from its configuration")
	}
	var total app.LogReport
	var files []readFile
	for _, name := range c.Log {
		f, err := c.read(ctx, t, target, batch, name)
		if err != nil {
			return err
		}
		total.Add(f.LogReport)
		files = append(files, f)
	}
	return c.report(t, files, total, alone)
}

func (c *observeCmd) moment(flag, text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if length, err := parseLength(text); err == nil {
		return now.Add(-length), nil
	}
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if at, err := time.Parse(layout, text); err == nil {
			return at, nil
		}
	}
	return time.Time{}, wrongUsage(fmt.Sprintf("--%s %q is no time", flag, text), "write 30d, 2027-01-31 or 2027-01-31T08:00:00Z")
}

func (c *observeCmd) offline(t *terminal) (*app.LogFiles, error) {
	places := c.APIKeyIn
	if len(places) == 0 {
		places = []string{"header:X-API-Key", "query:api_key", "query:apikey", "query:key"}
	}
	var carriers []apikey.Carrier
	for _, place := range places {
		carrier, err := apikey.ParseCarrier(place)
		if err != nil {
			return nil, wrongUsage("--apikey-in: "+err.Error(), "")
		}
		carriers = append(carriers, carrier)
	}
	files, err := app.OpenLogFiles(carriers, c.Out, t.Now)
	if err != nil {
		return nil, wrongUsage(err.Error(), "")
	}
	return files, nil
}

// logBatch is how much of a log is counted with one request, in bytes. A line
// that is longer than the most is cut, and counts as one that cannot be read.
const (
	logBatch     = 4 << 20
	mostLogBatch = 24 << 20
)

// read reads one log to its end.
func (c *observeCmd) read(ctx context.Context, t *terminal, target logTarget, b app.LogBatch, name string) (readFile, error) {
	log, err := openLog(t, name, accesslog.Format(c.Format))
	if err != nil {
		return readFile{}, err
	}
	defer log.close()
	f := readFile{Name: name, Format: log.format}
	if len(log.head) == 0 {
		t.skip("%s is empty", name)
		return f, nil
	}
	b.Name, b.Format = name, log.format
	if b.Place, err = target.OpenLog(ctx, log.head); err != nil {
		return f, err
	}
	if b.Place.ID == "" {
		t.skip("%s has no whole line yet", name)
		return f, nil
	}
	began := b.Place.Line
	if err := log.skip(b.Place.Position - b.Place.Before); err != nil {
		return f, failed("log_changed", fmt.Sprintf("%s is shorter than what was read of it, which ended at byte %d", name, b.Place.Position),
			"was it cut? Give the file as it was, or what is new of it in a file of its own", err)
	}
	if b.Place, err = c.batches(ctx, target, b, log); err != nil {
		if interrupted := ctx.Err(); interrupted != nil {
			return f, interrupted
		}
		return f, c.failure(name, err)
	}
	f.New, f.LogReport, f.Share = b.Place.Line-began, b.Place.Report, b.Place.Report.Share()
	if f.New == 0 {
		t.skip("%s: nothing new behind line %d", name, b.Place.Line)
	} else {
		t.done("%s: %s of %s, %s", name, count64(f.New, "new line"), string(log.format), percent(f.Share)+" of all calls in it attributed to an apikey")
	}
	return f, nil
}

// batches sends a log part by part. What a part ends with, a line that is not
// whole, comes again with the next.
func (c *observeCmd) batches(ctx context.Context, target logTarget, b app.LogBatch, log *openedLog) (app.LogPlace, error) {
	var part []byte
	size, ended := logBatch, false
	for {
		var err error
		if part, err = fill(log.in, part, size); err != nil && !errors.Is(err, io.EOF) {
			return b.Place, err
		}
		ended = ended || errors.Is(err, io.EOF)
		b.Whole = ended && log.ended() || size == mostLogBatch
		before := b.Place
		if b.Place, err = target.ReadLog(ctx, b, bytes.NewReader(part)); err != nil {
			return before, err
		}
		read := b.Place.Position - before.Position
		part = part[before.Before+read-b.Place.Before:]
		switch {
		case read > 0:
			size = logBatch
		case !ended:
			size = min(2*size, mostLogBatch)
		}
		if ended && (read == 0 || int64(len(part)) == b.Place.Before) {
			return b.Place, nil
		}
	}
}

// fill reads until there are size bytes.
func fill(in io.Reader, part []byte, size int) ([]byte, error) {
	if len(part) >= size {
		return part, nil
	}
	full := make([]byte, size)
	n := copy(full, part)
	read, err := io.ReadFull(in, full[n:])
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = io.EOF
	}
	return full[:n+read], err
}

// failure names the log in what went wrong.
func (c *observeCmd) failure(name string, err error) error {
	var f *failure
	if errors.As(err, &f) {
		f.message = name + ": " + f.message
		return f
	}
	return failed("log_not_read", name+": "+err.Error(), "what was counted before stays, and is not counted again when you run it again", err)
}

// report shows what the lines were.
func (c *observeCmd) report(t *terminal, files []readFile, total app.LogReport, alone *app.LogFiles) error {
	reasons := reasonsOf(total)
	if t.JSON {
		doc := map[string]any{
			"files": files, "lines": total.Lines, "attributed": total.Attributed, "share": total.Share(), "not_attributed": reasons,
			"no_request": total.NoRequest, "malformed": total.Malformed, "outside": total.Outside, "too_old": total.TooOld, "from": total.From, "to": total.To,
		}
		if alone != nil {
			doc["apikeys"] = alone.Items()
		}
		return t.document(doc)
	}
	fmt.Fprintf(t.Out, "%s lines, %s", thousands(total.Lines), percent(total.Share())+" of their calls attributed to an apikey")
	if total.From != nil {
		fmt.Fprintf(t.Out, ", %s to %s", day(*total.From), day(*total.To))
	}
	fmt.Fprintln(t.Out)
	var rows [][]string
	for _, r := range reasons {
		rows = append(rows, []string{r.Reason, thousands(r.Lines), r.Fix})
	}
	for _, r := range []struct {
		n    int64
		what string
		why  string
	}{
		{total.NoRequest, "no_request", "nothing: scans and empty connections"}, {total.Malformed, "malformed", "see the first of them below; is it the right --format?"},
		{total.Outside, "outside", "nothing: not within --since and --until"}, {total.TooOld, "too_old", "nothing: counted, but only first and last use are kept"},
	} {
		if r.n > 0 {
			rows = append(rows, []string{r.what, thousands(r.n), r.why})
		}
	}
	if len(rows) > 0 {
		fmt.Fprintln(t.Out)
		if err := writeTable(t.Out, []column{{head: "NOT ATTRIBUTED"}, {head: "LINES", right: true}, {head: "FIX"}}, rows); err != nil {
			return err
		}
	}
	for _, f := range files {
		for _, bad := range f.BadLines {
			t.warn("%s: line %d: %s", f.Name, bad.Line, bad.Problem)
		}
	}
	if alone == nil {
		t.say("See them with `offkey apikeys list`.")
		return nil
	}
	return c.inventory(t, alone.Items())
}

// inventory lists what the apikeys of a log do.
func (c *observeCmd) inventory(t *terminal, items []app.Item) error {
	const most = 50
	var rows [][]string
	for _, i := range items[:min(len(items), most)] {
		name := i.ID
		if i.Last4 != "" {
			name = "..." + i.Last4
		}
		rows = append(rows, []string{i.ID, name, thousands(i.Calls), fmt.Sprint(i.Callers), fmt.Sprint(len(i.Routes)), orDash(strings.Join(i.Carriers, " ")), i.Flow, orDash(strings.Join(i.Risks, " "))})
	}
	if len(rows) == 0 {
		return nil
	}
	fmt.Fprintln(t.Out)
	err := writeTable(t.Out, []column{{head: "ID"}, {head: "APIKEY"}, {head: "CALLS", right: true}, {head: "CALLERS", right: true}, {head: "ROUTES", right: true}, {head: "WHERE"}, {head: "FLOW"}, {head: "RISKS"}}, rows)
	if more := len(items) - most; more > 0 {
		t.say("and %d more; --json has all", more)
	}
	return err
}

// reasonCount is why lines could not be attributed.
type reasonCount struct {
	Reason string `json:"reason"`
	Lines  int64  `json:"lines"`
	Fix    string `json:"fix"`
}

func reasonsOf(r app.LogReport) []reasonCount {
	out := []reasonCount{}
	for _, known := range accesslog.Reasons {
		if n := r.NotAttributed[known.Reason]; n > 0 {
			out = append(out, reasonCount{string(known.Reason), n, known.Fix})
		}
	}
	slices.SortStableFunc(out, func(a, b reasonCount) int { return cmp.Compare(b.Lines, a.Lines) })
	return out
}

func percent(share float64) string { return strconv.FormatFloat(100*share, 'f', 1, 64) + " %" }

func count64(n int64, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return thousands(n) + " " + what + "s"
}

// logServer reads into a running offkey.
type logServer struct{ *operator }

// OpenLog implements logTarget.
func (s logServer) OpenLog(ctx context.Context, head []byte) (place app.LogPlace, err error) {
	err = s.stream(ctx, "POST", "/observe/open", nil, "application/octet-stream", bytes.NewReader(head), &place)
	return place, err
}

// ReadLog implements logTarget.
func (s logServer) ReadLog(ctx context.Context, b app.LogBatch, in io.Reader) (place app.LogPlace, err error) {
	query := parameters("id", b.Place.ID, "start", b.Place.Start, "head", strconv.FormatInt(b.Place.Head, 10), "position", strconv.FormatInt(b.Place.Position, 10),
		"name", b.Name, "format", string(b.Format), "tail", b.Tail, "whole", whenTrue(b.Whole))
	for name, at := range map[string]time.Time{"since": b.Since, "until": b.Until} {
		if !at.IsZero() {
			query.Set(name, at.UTC().Format(time.RFC3339))
		}
	}
	err = s.stream(ctx, "POST", "/observe/read", query, "application/octet-stream", in, &place)
	return place, err
}
