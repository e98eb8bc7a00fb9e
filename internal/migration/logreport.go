package migration

import (
	"errors"
	"time"

	"github.com/offkey/offkey/internal/traffic"
	"github.com/offkey/offkey/internal/traffic/accesslog"
)

// LogReport says what the lines of an access log were. Nothing in it is of a
// line but its number. Attributed, those not attributed, NoRequest, Malformed
// and Outside add up to Lines.
type LogReport struct {
	Lines         int64                      `json:"lines"`
	Attributed    int64                      `json:"attributed"` // to an apikey
	NotAttributed map[accesslog.Reason]int64 `json:"not_attributed"`
	NoRequest     int64                      `json:"no_request"` // about no HTTP request
	Malformed     int64                      `json:"malformed"`
	Outside       int64                      `json:"outside"` // of the times asked for
	TooOld        int64                      `json:"too_old"` // of those counted: their rows are not kept any more
	BadLines      []BadLine                  `json:"bad_lines"`
	From          *time.Time                 `json:"from"`
	To            *time.Time                 `json:"to"`
}

// maxBadLogLines is how many unreadable lines of a log are named.
const maxBadLogLines = 10

func newLogReport() LogReport {
	return LogReport{NotAttributed: map[accesslog.Reason]int64{}, BadLines: []BadLine{}}
}

// Share is the share of calls that could be attributed to an apikey.
func (r *LogReport) Share() float64 {
	calls := r.Attributed
	for _, n := range r.NotAttributed {
		calls += n
	}
	if calls == 0 {
		return 0
	}
	return float64(r.Attributed) / float64(calls)
}

// Add joins the report on another log.
func (r *LogReport) Add(o LogReport) {
	r.Lines += o.Lines
	r.Attributed += o.Attributed
	for reason, n := range o.NotAttributed {
		r.reason(reason, n)
	}
	r.NoRequest += o.NoRequest
	r.Malformed += o.Malformed
	r.Outside += o.Outside
	r.TooOld += o.TooOld
	for _, at := range []*time.Time{o.From, o.To} {
		if at != nil {
			r.seen(*at)
		}
	}
}

func (r *LogReport) reason(reason accesslog.Reason, n int64) {
	if r.NotAttributed == nil { // the sum of several begins without
		r.NotAttributed = map[accesslog.Reason]int64{}
	}
	r.NotAttributed[reason] += n
}

func (r *LogReport) seen(at time.Time) {
	if r.From == nil || at.Before(*r.From) {
		from := at.UTC()
		r.From = &from
	}
	if r.To == nil || at.After(*r.To) {
		to := at.UTC()
		r.To = &to
	}
}

// bad counts a line that says nothing of a call.
func (r *LogReport) bad(number int64, problem error) {
	if errors.Is(problem, accesslog.ErrNoRequest) {
		r.NoRequest++
		return
	}
	r.Malformed++
	if len(r.BadLines) < maxBadLogLines {
		r.BadLines = append(r.BadLines, BadLine{int(number), problem.Error()})
	}
}

// LogFormat says how a log is written, and which of its calls count.
type LogFormat struct {
	Format       accesslog.Format
	Tail         string    // what fields behind the combined format are
	Since, Until time.Time // zero is no bound
}

// logReading turns the lines of one log into rows. It is not safe for
// concurrent use.
type logReading struct {
	LogFormat
	parser     *accesslog.Parser
	attributor *accesslog.Attributor
	tally      *traffic.Tally
	inventory  *LogInventory   // counts in place of the tally, if there is one
	templates  map[string]bool // that were answered with success
	floor      time.Time       // calls before it are too old to be kept
	old        map[oldCalls]*traffic.Row
	report     LogReport
	entry      accesslog.Entry
	waiting    int // lines since the tally was looked at
}

// maxLogTemplates bounds the templates of a log that are told apart where
// nobody known has called them.
const maxLogTemplates = 10_000

// maxLogRows is how many rows of a log are stored in one transaction, so that
// nothing else waits for long.
const maxLogRows = 1000

func newLogReading(f LogFormat, a *accesslog.Attributor) (*logReading, error) {
	p, err := accesslog.NewParser(f.Format, f.Tail)
	if err != nil {
		return nil, err
	}
	return &logReading{LogFormat: f, parser: p, attributor: a, tally: traffic.NewTally(), templates: map[string]bool{}}, nil
}

// add counts a line, or what was wrong with it. ok is false where it is no
// call, or none of those asked for.
func (l *logReading) add(line string, number int64, problem error) (o traffic.Observation, ok bool) {
	if line == "" && problem == nil {
		return o, false
	}
	l.report.Lines++
	l.waiting++
	if problem == nil {
		problem = l.parser.Parse(line, &l.entry)
	}
	if problem == nil && (!l.Since.IsZero() && l.entry.At.Before(l.Since) || !l.Until.IsZero() && !l.entry.At.Before(l.Until)) {
		l.report.Outside++
		return o, false
	}
	var reason accesslog.Reason
	if problem == nil {
		o, reason, problem = l.attributor.Observe(&l.entry)
	}
	if problem != nil {
		l.report.bad(number, problem)
		return o, false
	}
	if reason == "" {
		l.report.Attributed++
	} else {
		l.report.reason(reason, 1)
	}
	l.report.seen(o.At)
	if o.At.Before(l.floor) {
		l.report.TooOld++
		l.addOld(&o)
		return o, true
	}
	template := l.tally.Templates.Of(o.Path)
	if l.inventory != nil {
		l.inventory.Add(&o, template)
		return o, true
	}
	l.tally.Add(o, template, o.Credential.Known() || l.known(template, o.Status))
	return o, true
}

// oldCalls are calls of a day that are too old to be kept: what is noted of them
// is when their apikey was used, and how many there were.
type oldCalls struct {
	day        int64
	credential traffic.Credential
	carrier    string
	ok         bool
}

func (l *logReading) addOld(o *traffic.Observation) {
	row := traffic.Row{
		Hour: o.At.UTC().Truncate(24 * time.Hour), Credential: o.Credential, Method: "*", Template: "/**", Status: o.Status / 100 * 100, Carrier: o.Carrier, First: o.At, Last: o.At,
	}
	key := oldCalls{row.Hour.Unix(), o.Credential, o.Carrier, row.OK()}
	r := l.old[key]
	if r == nil {
		if l.old == nil {
			l.old = map[oldCalls]*traffic.Row{}
		}
		r = &row
		l.old[key] = r
	}
	r.Calls++
	r.First, r.Last = earliest(r.First, o.At), latest(r.Last, o.At)
	r.Browser, r.Plain = r.Browser || o.Browser, r.Plain || o.Plain
}

// drain empties what was counted.
func (l *logReading) drain() []traffic.Row {
	rows := l.tally.Drain()
	for _, r := range l.old {
		rows = append(rows, *r)
	}
	l.old = nil
	return rows
}

// known reports whether a template may be kept for somebody unknown: the API
// has answered it with success. Those who try every door get none.
func (l *logReading) known(template string, status int) bool {
	if l.templates[template] {
		return true
	}
	if status < 200 || status > 299 || len(l.templates) >= maxLogTemplates {
		return false
	}
	l.templates[template] = true
	return true
}

// isFull reports whether what was counted is enough for a transaction of so
// many rows. It looks only now and then, since looking costs.
func (l *logReading) isFull(rows int) bool {
	if l.waiting < rows/8 {
		return false
	}
	l.waiting = 0
	return l.tally.Len()+len(l.old) >= rows-rows/8
}
