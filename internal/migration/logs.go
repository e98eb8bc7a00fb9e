package migration

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/offkey/offkey/internal/apikey"
	"github.com/offkey/offkey/internal/traffic"
	"github.com/offkey/offkey/internal/traffic/accesslog"
)

// LogStore keeps how far logs were read.
type LogStore interface {
	LogPositions(ctx context.Context, start string) ([]traffic.LogPosition, error)
	// AddLogTraffic adds rows and moves the position of the log from an offset,
	// in one step, or fails with traffic.ErrLogMoved.
	AddLogTraffic(ctx context.Context, rows []traffic.Row, p traffic.LogPosition, from int64) error
}

// LogHead is how much of the beginning of a log tells it from others, in bytes.
const LogHead = 4096

// logMark is how much of what stands before the position must still be there.
const logMark = 256

// LogPlace is where reading of a log goes on.
type LogPlace struct {
	ID       string    `json:"id"`
	Start    string    `json:"start"`
	Head     int64     `json:"head"`
	Position int64     `json:"position"`
	Line     int64     `json:"line"`
	Before   int64     `json:"before"` // bytes before the position that come again with the next batch
	Report   LogReport `json:"report"` // on all lines up to there
}

// Errors of reading logs.
var (
	// ErrLogChanged is a log that no longer holds what was read of it.
	ErrLogChanged = errors.New("the log does not hold any more what was read of it")
	// ErrLogFormat is a format that is none.
	ErrLogFormat = errors.New("format of a log")
	// ErrNoCarriers is asked of an offkey that does not know where apikeys travel.
	ErrNoCarriers = errors.New("where apikeys travel is not configured")
)

// placeOf finds the place in a log that begins with head: that where it was left,
// or its beginning. head are its first LogHead bytes, or all there are.
func placeOf(head []byte, hash func([]byte) string, positions func(start string) ([]traffic.LogPosition, error)) (LogPlace, error) {
	if len(head) > LogHead {
		head = head[:LogHead]
	}
	first, _, whole := bytes.Cut(head, []byte("\n"))
	if !whole && len(head) < LogHead {
		return LogPlace{}, nil // nothing to read yet
	}
	at := LogPlace{Start: hash(first), Report: newLogReport()}
	known, err := positions(at.Start)
	if err != nil {
		return LogPlace{}, err
	}
	for _, p := range known {
		if p.Head > int64(len(head)) || hash(head[:p.Head]) != p.ID || p.Head < at.Head {
			continue
		}
		at.ID, at.Head, at.Position, at.Line, at.Before = p.ID, p.Head, p.Offset, p.Line, p.Before
		at.Report = newLogReport()
		if err := json.Unmarshal(p.Report, &at.Report); err != nil {
			return LogPlace{}, fmt.Errorf("report on a log: %w", err)
		}
	}
	if at.ID == "" {
		if end := bytes.LastIndexByte(head, '\n'); end >= 0 {
			head = head[:end+1]
		}
		at.ID, at.Head = hash(head), int64(len(head))
	}
	return at, nil
}

// LogReader reads access logs, so that no line counts twice. It is safe for
// concurrent use.
type LogReader struct {
	store  LogStore
	hash   func(part []byte) string // of a part of a log, which may hold secrets
	known  func() knownAPIKeys
	reader func() *apikey.Reader
	now    func() time.Time
	kept   time.Duration                // how long rows are kept; 0 is for ever
	rows   int                          // how many make a transaction
	each   func(o *traffic.Observation) // is told of every call; nil is nobody
	// inventory counts calls in place of rows, where there is one.
	inventory *LogInventory

	mu   sync.Mutex
	open map[string]*logSession
}

// knownAPIKeys are the apikeys that lines are attributed to.
type knownAPIKeys interface {
	accesslog.Known
	begin(ctx context.Context) // a batch begins
}

func (r *Road) newLogReader() *LogReader {
	return &LogReader{
		store: r.Store, now: r.Now, reader: r.Reader, kept: traffic.Kept, rows: maxLogRows,
		hash: func(part []byte) string { return r.Pepper.Fingerprint("log " + string(part)).String() },
		known: func() knownAPIKeys {
			return &storedAPIKeys{road: r, a: maphash.MakeSeed(), b: maphash.MakeSeed(), tried: map[digest]struct{}{}}
		},
	}
}

// OpenLog finds where reading of a log goes on.
func (l *LogReader) OpenLog(ctx context.Context, head []byte) (LogPlace, error) {
	l.forget()
	return placeOf(head, l.hash, func(start string) ([]traffic.LogPosition, error) { return l.store.LogPositions(ctx, start) })
}

// OpenLog is LogReader.OpenLog.
func (r *Road) OpenLog(ctx context.Context, head []byte) (LogPlace, error) {
	return r.logs.OpenLog(ctx, head)
}

// ReadLog is LogReader.ReadLog.
func (r *Road) ReadLog(ctx context.Context, b LogBatch, in io.Reader) (LogPlace, error) {
	return r.logs.ReadLog(ctx, b, in)
}

// LogBatch is the next part of a log: lines from Place on, after the bytes
// before it that Place wants to see again.
type LogBatch struct {
	LogFormat
	Place LogPlace // as OpenLog or the batch before gave it; Report is not looked at
	Name  string
	// Whole says that the log ends with the batch, its last line with or without
	// an end.
	Whole bool
}

// ReadLog counts a part of a log and returns where the next one begins. It
// stores what it counts as it goes: after an error, or when it was stopped,
// OpenLog says how far it came. No line counts twice, whoever reads it.
func (l *LogReader) ReadLog(ctx context.Context, b LogBatch, in io.Reader) (LogPlace, error) {
	session, err := l.session(b)
	if err != nil {
		return LogPlace{}, err
	}
	session.mu.Lock()
	defer session.mu.Unlock()
	session.known.begin(ctx)
	at, mark, err := l.position(ctx, b.Place)
	if err != nil {
		return LogPlace{}, err
	}
	if at.Position != b.Place.Position {
		return at, traffic.ErrLogMoved
	}
	before := make([]byte, at.Before)
	if _, err := io.ReadFull(in, before); err != nil || at.Before > 0 && l.hash(before) != mark {
		return at, ErrLogChanged
	}
	session.reading.report = at.Report
	if l.kept > 0 {
		session.reading.floor = l.now().Add(-l.kept)
	}
	lines := accesslog.NewLines(in)
	lines.Whole = b.Whole
	return l.readLines(ctx, b, at, session.reading, lines)
}

// position is where the log is now, and the hash of what stands before.
func (l *LogReader) position(ctx context.Context, at LogPlace) (now LogPlace, mark string, err error) {
	positions, err := l.store.LogPositions(ctx, at.Start)
	if err != nil {
		return LogPlace{}, "", err
	}
	now = LogPlace{ID: at.ID, Start: at.Start, Head: at.Head, Report: newLogReport()}
	for _, p := range positions {
		if p.ID != at.ID {
			continue
		}
		now.Position, now.Line, now.Before, mark = p.Offset, p.Line, p.Before, p.Mark
		if err := json.Unmarshal(p.Report, &now.Report); err != nil {
			return LogPlace{}, "", fmt.Errorf("report on a log: %w", err)
		}
	}
	return now, mark, nil
}

// readLines counts and stores until the part ends. What could not be stored is
// dropped: its lines are read again.
func (l *LogReader) readLines(ctx context.Context, b LogBatch, at LogPlace, reading *logReading, lines *accesslog.Lines) (LogPlace, error) {
	start, startLine := at.Position, at.Line
	store := func() error {
		rows := reading.drain()
		next, mark := at, lines.Mark(logMark)
		next.Position, next.Line, next.Before, next.Report = start+lines.Offset, startLine+lines.Number, int64(len(mark)), reading.report
		if next.Position == at.Position {
			return nil
		}
		report, err := json.Marshal(next.Report)
		if err != nil {
			return err
		}
		err = l.store.AddLogTraffic(ctx, rows, traffic.LogPosition{
			ID: at.ID, Start: at.Start, Head: at.Head, Name: b.Name, Format: string(b.Format),
			Offset: next.Position, Line: next.Line, Before: next.Before, Mark: l.hash([]byte(mark)), Report: report,
		}, at.Position)
		if err == nil {
			at = next
		}
		return err
	}
	for {
		line, err := lines.Next()
		switch {
		case errors.Is(err, io.EOF):
			err := store()
			return at, err
		case err != nil && !errors.Is(err, accesslog.ErrLong):
			err = errors.Join(fmt.Errorf("read the log: %w", err), store())
			return at, err
		}
		if o, ok := reading.add(line, startLine+lines.Number, err); ok && l.each != nil {
			l.each(&o)
		}
		if reading.isFull(l.rows) {
			if err := store(); err != nil {
				return at, err
			}
		}
	}
}

// logSession is a log that is being read: the limits of what an hour may hold
// are kept over its batches.
type logSession struct {
	mu      sync.Mutex
	reading *logReading
	known   knownAPIKeys
	used    time.Time
}

// maxLogSessions is how many logs are read side by side.
const maxLogSessions = 4

// forget ends the sessions that nobody goes on with, so that what is known is
// looked up anew.
func (l *LogReader) forget() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for key, session := range l.open {
		if session.mu.TryLock() {
			delete(l.open, key)
			session.mu.Unlock()
		}
	}
}

func (l *LogReader) session(b LogBatch) (*logSession, error) {
	key := fmt.Sprintf("%s %s %q %d %d", b.Place.ID, b.Format, b.Tail, b.Since.Unix(), b.Until.Unix())
	l.mu.Lock()
	defer l.mu.Unlock()
	if session := l.open[key]; session != nil {
		session.used = l.now()
		return session, nil
	}
	if l.reader == nil {
		return nil, ErrNoCarriers
	}
	known := l.known()
	reading, err := newLogReading(b.LogFormat, accesslog.NewAttributor(l.reader(), known))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrLogFormat, err)
	}
	reading.attributor.QueryNames, reading.inventory = l.each != nil, l.inventory
	for len(l.open) >= maxLogSessions {
		oldest := ""
		for key, session := range l.open {
			if oldest == "" || session.used.Before(l.open[oldest].used) {
				oldest = key
			}
		}
		delete(l.open, oldest)
	}
	if l.open == nil {
		l.open = map[string]*logSession{}
	}
	session := &logSession{reading: reading, known: known, used: l.now()}
	l.open[key] = session
	return session, nil
}

// storedAPIKeys are the apikeys of the store.
// Fingerprints cost more than all the rest of a line, so answers are remembered
// for one batch, by a hash that means nothing outside of it.
type storedAPIKeys struct {
	road   *Road
	ctx    context.Context
	a, b   maphash.Seed
	values map[digest]string
	tried  map[digest]struct{} // by what is known of them as hashes only
	names  map[string]string   // "" where a name means several
}

type digest struct{ a, b uint64 }

// maxTried is how many unknown apikeys of a log are tried against hashes, which
// are made to be slow. Those that come after it are unknown until they are
// recognised elsewhere.
const maxTried = 100

// maxRemembered bounds the apikeys whose ids are remembered.
const maxRemembered = 20_000

func (k *storedAPIKeys) begin(ctx context.Context) { k.ctx, k.values = ctx, map[digest]string{} }

// ByValue implements accesslog.Known.
func (k *storedAPIKeys) ByValue(value string) (id string, ok bool) {
	d := digest{maphash.String(k.a, value), maphash.String(k.b, value)}
	id, remembered := k.values[d]
	if !remembered {
		if len(k.values) >= maxRemembered {
			clear(k.values)
		}
		if found, err := k.road.Store.APIKeyByFingerprint(k.ctx, k.road.Pepper.Fingerprint(value)); err == nil {
			id = found.ID
		} else if !errors.Is(err, apikey.ErrNotFound) {
			return "", false // of this line it is not known; it is not remembered
		} else if _, tried := k.tried[d]; !tried && k.road.Recognise != nil && len(k.tried) < maxTried {
			k.tried[d] = struct{}{}
			if found := k.road.Recognise(k.ctx, value); found != nil {
				id = found.ID
			}
		}
		k.values[d] = id
	}
	return id, id != ""
}

// ByName implements accesslog.Known: an apikey is meant by its id, its label,
// or its owner where that has no other.
func (k *storedAPIKeys) ByName(name string) (id string, ok bool) {
	if k.names == nil {
		k.names = map[string]string{}
		owners := map[string]string{}
		if err := k.road.eachAPIKey(k.ctx, func(key *apikey.Key) error {
			k.names[key.ID] = key.ID
			note(k.names, key.Label, key.ID)
			note(owners, key.Owner, key.ID)
			return nil
		}); err != nil {
			k.names = nil
			return "", false
		}
		for owner, id := range owners {
			if _, labelled := k.names[owner]; !labelled {
				k.names[owner] = id
			}
		}
	}
	id = k.names[name]
	return id, id != ""
}

func note(names map[string]string, name, id string) {
	if name = strings.TrimSpace(name); name == "" {
		return
	}
	if other, taken := names[name]; taken && other != id {
		id = ""
	}
	names[name] = id
}
