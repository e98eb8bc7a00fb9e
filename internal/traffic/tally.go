package traffic

import (
	"hash/maphash"
	"net/netip"
	"strings"
	"sync"
	"time"
)

// Limits of what one hour of traffic may hold. Calls beyond them are counted
// in one row per credential with template `/**`, so that no count is lost and
// nobody's made-up paths or agents grow a table.
const (
	maxRowsPerCredential = 2_000
	maxRowsPerHour       = 500_000
	maxField             = 256 // bytes kept of an agent, a path or a method
)

// cell is what makes two calls of an hour look the same.
type cell struct {
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
	calls       int64
	first, last time.Time
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
	hour time.Time
	// seen are the rows of this hour by hash, so that the limits hold over
	// many drains; per counts them by credential.
	seen map[uint64]struct{}
	per  map[Credential]int
}

// NewTally makes an empty Tally.
func NewTally() *Tally { return &Tally{seed: maphash.MakeSeed()} }

// Add counts one call. Calls without a known credential are counted without
// agent and source, and with their route only: known says that template names
// a route of the rules or one that a known credential has used.
func (t *Tally) Add(o Observation, template string, known bool) {
	c := cell{
		credential: o.Credential, method: clip(o.Method), template: clip(template), status: o.Status,
		agent: clip(o.UserAgent), source: o.Source, carrier: o.Carrier, outcome: o.Outcome,
	}
	if !o.Credential.Known() {
		c.agent, c.source = "", netip.Prefix{}
		if !known {
			c.template = "/**"
		}
	}
	hash := maphash.Comparable(t.seed, c)
	shard := &t.shards[maphash.Comparable(t.seed, c.credential)%tallyShards]
	shard.mu.Lock()
	defer shard.mu.Unlock()
	n := shard.rows[c]
	if n == nil {
		c = shard.admit(c, hash, o.At)
		if n = shard.rows[c]; n == nil {
			n = &count{first: o.At}
			shard.put(c, n)
		}
	}
	n.calls++
	n.first, n.last = earliest(n.first, o.At), latest(n.last, o.At)
}

// admit holds the limits of an hour: it returns c, or the row that c is folded
// into once its credential or the hour is full.
func (s *tallyShard) admit(c cell, hash uint64, at time.Time) cell {
	if hour := at.Truncate(time.Hour); !hour.Equal(s.hour) || s.seen == nil {
		s.hour, s.seen, s.per = hour, map[uint64]struct{}{}, map[Credential]int{}
	}
	if _, ok := s.seen[hash]; ok {
		return c
	}
	if s.per[c.credential] >= maxRowsPerCredential || len(s.seen) >= maxRowsPerHour/tallyShards {
		return cell{credential: c.credential, method: "*", template: "/**", status: c.status / 100 * 100, outcome: c.outcome}
	}
	s.seen[hash] = struct{}{}
	s.per[c.credential]++
	return c
}

// put adds a row; its strings are copied, so that no request buffer is kept
// alive by them.
func (s *tallyShard) put(c cell, n *count) {
	if s.rows == nil {
		s.rows = map[cell]*count{}
	}
	c.method, c.template, c.agent = strings.Clone(c.method), strings.Clone(c.template), strings.Clone(c.agent)
	s.rows[c] = n
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
			rows = append(rows, Row{
				Hour: n.last.UTC().Truncate(time.Hour), Credential: c.credential,
				Method: c.method, Template: c.template, Status: c.status, UserAgent: c.agent,
				Source: c.source, Carrier: c.carrier, Outcome: c.outcome,
				Calls: n.calls, First: n.first, Last: n.last,
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
			credential: r.Credential, method: r.Method, template: r.Template, status: r.Status,
			agent: r.UserAgent, source: r.Source, carrier: r.Carrier, outcome: r.Outcome,
		}
		shard := &t.shards[maphash.Comparable(t.seed, c.credential)%tallyShards]
		shard.mu.Lock()
		if n := shard.rows[c]; n != nil {
			n.calls += r.Calls
			n.first, n.last = earliest(n.first, r.First), latest(n.last, r.Last)
		} else {
			shard.put(c, &count{calls: r.Calls, first: r.First, last: r.Last})
		}
		shard.mu.Unlock()
	}
}

func clip(s string) string {
	if len(s) > maxField {
		return s[:maxField]
	}
	return s
}

func earliest(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

func latest(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
