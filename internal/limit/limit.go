// Package limit holds rates: how often something named may happen. It is used
// in two ways: Allow takes one from the rate of a name, and Check with Fail
// counts failures only, so that those who prove themselves are never slowed.
//
// What is limited, by which name, and what a refusal looks like is the business
// of whoever asks.
package limit

import (
	"hash/maphash"
	"math"
	"sync"
	"time"
)

// Limiter is a rate for each of many names, by the generic cell rate algorithm:
// one time per name, and no clock of its own. A Limiter never holds more than
// its capacity. Names are kept as 64-bit hashes under a random seed, so that a
// stranger's long name takes no more room than a short one.
// Safe for concurrent use.
type Limiter struct {
	interval time.Duration // one event costs this much time
	window   time.Duration // a name may be this far ahead of now
	capacity int           // of one shard
	seed     maphash.Seed
	shards   [shardCount]shard
}

const (
	shardCount = 16
	sweep      = 16 // entries looked at for eviction when a shard is full

	// longest is the most that an event may cost, and a burst: so far ahead of
	// any clock nanoseconds can be counted.
	longest = 100 * 365 * 24 * time.Hour
)

// shard maps names to the time at which all that was taken is paid for. A name
// whose time has passed is the same as one that is not there.
type shard struct {
	mu       sync.Mutex
	paid     map[uint64]int64 // Unix nanoseconds
	overflow int64            // shared by the names that found the shard full
	window   int64            // of the Limiter
	_        [32]byte         // keeps neighbours off each other's cache line
}

// New makes a Limiter that lets burst events of a name pass at once and rate
// more in every second. It holds about capacity names; the names that come
// while it is full of others share one rate per shard, so that a flood of
// names slows newcomers, and grows nothing. It panics for a rate, burst or
// capacity that is not positive, since those are settings already checked.
func New(rate float64, burst, capacity int) *Limiter {
	if !(rate > 0) || math.IsInf(rate, 1) || burst < 1 || capacity < 1 {
		panic("limit: rate, burst and capacity must be positive")
	}
	interval := max(bounded(float64(time.Second)/rate), 1)
	l := &Limiter{
		interval: interval, window: max(bounded(float64(interval)*float64(burst)), interval),
		capacity: max(capacity/shardCount, 1), seed: maphash.MakeSeed(),
	}
	for i := range l.shards {
		l.shards[i].paid, l.shards[i].window = make(map[uint64]int64), int64(l.window)
	}
	return l
}

// bounded is a number of nanoseconds up to longest.
func bounded(nanoseconds float64) time.Duration {
	return time.Duration(min(nanoseconds, float64(longest)))
}

// Allow takes one event of name at now. When there is none left, ok is false,
// nothing is taken, and retryAfter is how long until there is.
func (l *Limiter) Allow(name string, now time.Time) (ok bool, retryAfter time.Duration) {
	s, h := l.shard(name)
	s.mu.Lock()
	defer s.mu.Unlock()
	paid := s.paidFor(h, l.capacity, now.UnixNano())
	if retryAfter = l.wait(paid, now); retryAfter > 0 {
		return false, retryAfter
	}
	s.pay(h, l.capacity, max(paid, now.UnixNano())+int64(l.interval), now.UnixNano())
	return true, 0
}

// Check answers as Allow would and takes nothing. Ask it before looking at a
// credential, and call Fail when the credential was bad.
func (l *Limiter) Check(name string, now time.Time) (ok bool, retryAfter time.Duration) {
	s, h := l.shard(name)
	s.mu.Lock()
	defer s.mu.Unlock()
	retryAfter = l.wait(s.paidFor(h, l.capacity, now.UnixNano()), now)
	return retryAfter == 0, retryAfter
}

// Fail takes one event of name whether there is one left or not. What is owed
// never grows beyond the burst, so that the wait is bounded however many
// failures arrive together.
func (l *Limiter) Fail(name string, now time.Time) {
	s, h := l.shard(name)
	s.mu.Lock()
	defer s.mu.Unlock()
	at := now.UnixNano()
	paid := max(s.paidFor(h, l.capacity, at), at) + int64(l.interval)
	s.pay(h, l.capacity, min(paid, at+int64(l.window)), at)
}

// Back returns one event of name that Allow took: it was none of those that are
// limited. Take before a credential is looked at and give back when it was good,
// where guesses that arrive together must not all be looked at.
func (l *Limiter) Back(name string, now time.Time) {
	s, h := l.shard(name)
	s.mu.Lock()
	defer s.mu.Unlock()
	at := now.UnixNano()
	if paid := s.paidFor(h, l.capacity, at); paid != 0 {
		s.pay(h, l.capacity, max(paid-int64(l.interval), at), at)
	}
}

// Len is how many names are held.
func (l *Limiter) Len() int {
	n := 0
	for i := range l.shards {
		s := &l.shards[i]
		s.mu.Lock()
		n += len(s.paid)
		s.mu.Unlock()
	}
	return n
}

// wait is how long until one more event fits; 0 if it fits now.
func (l *Limiter) wait(paid int64, now time.Time) time.Duration {
	ahead := time.Duration(max(paid-now.UnixNano(), 0))
	return max(ahead+l.interval-l.window, 0)
}

func (l *Limiter) shard(name string) (*shard, uint64) {
	h := maphash.String(l.seed, name)
	return &l.shards[h%shardCount], h
}

// paidFor finds what a name has taken; a name that has no room is answered by
// the rate that all such names share.
func (s *shard) paidFor(h uint64, capacity int, now int64) int64 {
	paid, there := s.paid[h]
	if !there && s.full(capacity, now) {
		paid = s.overflow
	}
	if s.isOver(paid, now) {
		return 0
	}
	return paid
}

// isOver reports whether nothing is owed any more. Nobody ever owes more than
// the window: what is further ahead is left from before the clock was put back,
// and must not lock a name out until it has caught up.
func (s *shard) isOver(paid, now int64) bool { return paid <= now || paid-now > s.window }

func (s *shard) pay(h uint64, capacity int, paid, now int64) {
	if _, there := s.paid[h]; !there && s.full(capacity, now) {
		s.overflow = paid
		return
	}
	s.paid[h] = paid
}

// full reports whether there is no room for another name, after forgetting a
// few of those that owe nothing any more.
func (s *shard) full(capacity int, now int64) bool {
	if len(s.paid) < capacity {
		return false
	}
	looked := 0
	for h, paid := range s.paid { // starts somewhere else each time
		if s.isOver(paid, now) {
			delete(s.paid, h)
		}
		if looked++; looked == sweep {
			break
		}
	}
	return len(s.paid) >= capacity
}
