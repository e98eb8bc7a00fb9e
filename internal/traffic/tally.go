package traffic

import (
	"hash/maphash"
	"net/netip"
	"strings"
	"sync"
	"time"
)

// Limits of what one hour of traffic may hold. Calls beyond them are counted in
// one row per credential, status class and outcome with method `*` and template
// `/**`, so that no count is lost and nobody's made-up paths or agents grow a
// table.
const (
	maxRowsPerCredential = 2_000
	maxRowsPerHour       = 500_000
	maxField             = 256 // bytes kept of an agent, a path or a method
)

// cell is what makes two calls look the same.
type cell struct {
	hour       int64 // Unix time of its start; 0 for a row beyond the limits
	credential Credential
	method     string
	template   string
	status     int
	agent      string
	source     netip.Prefix
	carrier    string
	outcome    string
}

type count struct {
	calls          int64
	first, last    time.Time
	browser, plain bool
}

const tallyShards = 16

// Tally folds observations into rows in memory until they are drained. It is
// safe for concurrent use; counting a call that looks like one before it costs
// no allocation.
type Tally struct {
	Templates Templates
	shards    [tallyShards]tallyShard
	seed      maphash.Seed
}

type tallyShard struct {
	mu   sync.Mutex
	rows map[cell]*count
	// seen are the rows of the newest hour by hash, so that the limits hold
	// over many drains; per counts them by credential.
	hour int64
	seen map[uint64]struct{}
	per  map[Credential]int
}

// NewTally makes an empty Tally.
func NewTally() *Tally { return &Tally{seed: maphash.MakeSeed()} }

// Add counts one call. The template is Templates.Of its path, never the pattern
// of a route, since later rules may tell apart what the route of today does
// not. Calls without a known credential are counted without agent and source,
// with a usual method, and with their template only if known says that a known
// credential has used it or that the path has a route.
func (t *Tally) Add(o Observation, template string, known bool) {
	t.add(o, template, known, 1)
}

// Reassign counts a call, which Add has counted, under another credential: the
// apikey that it came with has become known since.
func (t *Tally) Reassign(o Observation, template string, known bool, to Credential) {
	t.add(o, template, known, -1)
	o.Credential = to
	t.add(o, template, true, 1)
}

func (t *Tally) add(o Observation, template string, known bool, calls int64) {
	c := cell{
		hour: hourOf(o.At), credential: o.Credential, method: clip(o.Method), template: template, status: o.Status,
		agent: clip(o.UserAgent), source: o.Source, carrier: o.Carrier, outcome: o.Outcome,
	}
	if !o.Credential.Known() {
		c.method, c.agent, c.source = usualMethod(o.Method), "", netip.Prefix{}
		if !known {
			c.template = "/**"
		}
	}
	if len(template) > maxField { // part of a template would be another one
		c.template = "/**"
	}
	shard := t.shard(c.credential)
	shard.mu.Lock()
	defer shard.mu.Unlock()
	n := shard.rows[c]
	if n == nil {
		n = shard.row(shard.admit(c, t.seed))
	}
	n.add(calls, o.At, o.At)
	n.browser, n.plain = n.browser || o.Browser, n.plain || o.Plain
}

// Len is how many rows wait for a drain.
func (t *Tally) Len() (n int) {
	for i := range t.shards {
		shard := &t.shards[i]
		shard.mu.Lock()
		n += len(shard.rows)
		shard.mu.Unlock()
	}
	return n
}

func (t *Tally) shard(c Credential) *tallyShard {
	return &t.shards[maphash.Comparable(t.seed, c)%tallyShards]
}

// admit holds the limits of an hour: it returns c, or the row that c is folded
// into once its credential or the hour is full.
func (s *tallyShard) admit(c cell, seed maphash.Seed) cell {
	if c.hour > s.hour || s.seen == nil {
		s.hour, s.seen, s.per = c.hour, map[uint64]struct{}{}, map[Credential]int{}
	}
	hash := maphash.Comparable(seed, c)
	if _, ok := s.seen[hash]; ok {
		return s.fold(c)
	}
	if s.per[c.credential] >= maxRowsPerCredential || len(s.seen) >= maxRowsPerHour/tallyShards {
		return c.beyond()
	}
	c = s.fold(c)
	if c.hour != 0 {
		s.seen[hash] = struct{}{}
		s.per[clone(c.credential)]++
	}
	return c
}

// fold bounds the rows that wait for a drain, should the store be gone for long.
func (s *tallyShard) fold(c cell) cell {
	if len(s.rows) >= maxRowsPerHour/tallyShards && s.rows[c] == nil {
		return c.beyond()
	}
	return c
}

// beyond is the row that holds the calls of c beyond the limits.
func (c cell) beyond() cell {
	return cell{credential: c.credential, method: "*", template: "/**", status: c.status / 100 * 100, outcome: c.outcome}
}

// row returns the count of c, a new one if there is none. Its strings are
// copied, so that no request buffer is kept alive by them.
func (s *tallyShard) row(c cell) *count {
	n := s.rows[c]
	if n != nil {
		return n
	}
	if s.rows == nil {
		s.rows = map[cell]*count{}
	}
	c.credential, c.method, c.template, c.agent = clone(c.credential), strings.Clone(c.method), strings.Clone(c.template), strings.Clone(c.agent)
	n = &count{}
	s.rows[c] = n
	return n
}

// Drain empties the tally and returns what it held.
func (t *Tally) Drain() []Row {
	var rows []Row
	for i := range t.shards {
		shard := &t.shards[i]
		shard.mu.Lock()
		full := shard.rows
		shard.rows = nil
		shard.mu.Unlock()
		for c, n := range full {
			if n.calls == 0 {
				continue // counted and reassigned since the last drain
			}
			hour := c.hour
			if hour == 0 {
				hour = hourOf(n.last)
			}
			rows = append(rows, Row{
				Hour: time.Unix(hour, 0).UTC(), Credential: c.credential,
				Method: c.method, Template: c.template, Status: c.status, UserAgent: c.agent,
				Source: c.source, Carrier: c.carrier, Outcome: c.outcome,
				Calls: n.calls, First: n.first, Last: n.last, Browser: n.browser, Plain: n.plain,
			})
		}
	}
	return rows
}

// Restore puts rows back that could not be stored, so that they are counted
// with the next drain.
func (t *Tally) Restore(rows []Row) {
	for _, r := range rows {
		c := cell{
			hour: r.Hour.Unix(), credential: r.Credential, method: r.Method, template: r.Template, status: r.Status,
			agent: r.UserAgent, source: r.Source, carrier: r.Carrier, outcome: r.Outcome,
		}
		if c.method == "*" && c.template == "/**" {
			c = c.beyond()
		}
		shard := t.shard(c.credential)
		shard.mu.Lock()
		n := shard.row(shard.fold(c))
		n.add(r.Calls, r.First, r.Last)
		n.browser, n.plain = n.browser || r.Browser, n.plain || r.Plain
		shard.mu.Unlock()
	}
}

func (n *count) add(calls int64, first, last time.Time) {
	if n.first.IsZero() || first.Before(n.first) {
		n.first = first
	}
	if last.After(n.last) {
		n.last = last
	}
	n.calls += calls
}

// hourOf is the Unix time at which the hour of at began.
func hourOf(at time.Time) int64 {
	unix := at.Unix()
	return unix - unix%3600
}

func clone(c Credential) Credential {
	return Credential{Kind: strings.Clone(c.Kind), ID: strings.Clone(c.ID)}
}

// clip keeps the beginning of s, cut between characters.
func clip(s string) string {
	if len(s) <= maxField {
		return s
	}
	return strings.ToValidUTF8(s[:maxField], "")
}

// usualMethod is the method if it is a usual one, else `*`: others could be
// made up without end.
func usualMethod(method string) string {
	switch method {
	case "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS":
		return method
	}
	return "*"
}
