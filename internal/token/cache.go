package token

import (
	"crypto/sha256"
	"hash"
	"sync"
	"sync/atomic"

	"github.com/offkey/offkey/internal/secret"
)

// cache remembers verified tokens by the SHA-256 of all their bytes. Only
// tokens that passed every check are put in, so nothing that a stranger makes
// up takes room. It holds two generations of at most half its size: what is not
// asked for during one whole generation is forgotten.
type cache struct {
	shards [cacheShards]cacheShard
	half   int // entries of one generation of one shard
}

const cacheShards = 16

type cacheShard struct {
	mu         sync.RWMutex
	young, old map[secret.Hash]*entry
}

// entry is a verified token and the generation of revocations that it was last
// held against.
type entry struct {
	verified   *Verified
	generation atomic.Uint64
}

// newCache makes a cache of about size entries, or none for 0.
func newCache(size int) *cache {
	if size <= 0 {
		return nil
	}
	c := &cache{half: max(size/cacheShards/2, 1)}
	for i := range c.shards {
		c.shards[i].young = make(map[secret.Hash]*entry)
	}
	return c
}

// find returns the entry of that digest, or nil.
func (c *cache) find(sum secret.Hash) *entry {
	s := &c.shards[sum[0]%cacheShards]
	s.mu.RLock()
	e, aged := s.young[sum], false
	if e == nil {
		e = s.old[sum]
		aged = e != nil
	}
	s.mu.RUnlock()
	if aged {
		s.put(sum, e, c.half)
	}
	return e
}

// put remembers v as checked against that generation of revocations.
func (c *cache) put(sum secret.Hash, v *Verified, generation uint64) {
	e := &entry{verified: v}
	e.generation.Store(generation)
	c.shards[sum[0]%cacheShards].put(sum, e, c.half)
}

func (s *cacheShard) put(sum secret.Hash, e *entry, half int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.young) >= half {
		s.old, s.young = s.young, make(map[secret.Hash]*entry, half)
	}
	s.young[sum] = e
}

// len counts the entries of both generations.
func (c *cache) len() int {
	n := 0
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.RLock()
		n += len(s.young) + len(s.old)
		s.mu.RUnlock()
	}
	return n
}

// digestState is a SHA-256 with room for its input, so that hashing a token
// needs no memory.
type digestState struct {
	hash hash.Hash
	in   [1024]byte
	out  [sha256.Size]byte
}

var digestStates = sync.Pool{New: func() any { return &digestState{hash: sha256.New()} }}

// digest is the SHA-256 of raw, without allocating.
func digest(raw string) secret.Hash {
	s := digestStates.Get().(*digestState)
	s.hash.Reset()
	for len(raw) > 0 {
		n := copy(s.in[:], raw)
		s.hash.Write(s.in[:n])
		raw = raw[n:]
	}
	s.hash.Sum(s.out[:0])
	sum := secret.Hash(s.out)
	digestStates.Put(s)
	return sum
}
