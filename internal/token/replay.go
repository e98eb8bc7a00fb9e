package token

import (
	"crypto/sha256"
	"sync"
	"time"
)

// Replays remembers in memory which DPoP proofs a gateway has seen, each until it
// is too old to be accepted (RFC 9449 §11.1). Another process does not know of
// them: where several serve one API, nonces tell their proofs apart. Safe for
// concurrent use.
type Replays struct {
	shards [replayShards]replayShard
	most   int // of one generation of one shard
}

const replayShards = 16

// replayShard holds two generations. The older one is dropped once everything in
// it is too old, and the younger takes its place.
type replayShard struct {
	mu         sync.Mutex
	young, old map[proofKey]struct{}
	turned     time.Time // when young began
}

// proofKey is half of the SHA-256 of thumbprint and jti.
type proofKey [16]byte

// maxReplays bounds the proofs that are remembered: 160 MB. Only those that came
// with a good token that is bound to their key are.
const maxReplays = 4 << 20

// NewReplays makes an empty memory.
func NewReplays() *Replays { return &Replays{most: maxReplays / replayShards / 2} }

// replayLife is how long a proof may be accepted after it was seen first.
const replayLife = ProofAge + proofSkew

// Spend notes a proof and reports whether it is the first to come with its key
// and jti. Where there is no room it is none that can be told from a second:
// room is false, and the proof is not to be accepted.
func (r *Replays) Spend(p Proof, now time.Time) (fresh, room bool) {
	var input [64 + maxProofID]byte
	b := append(append(append(input[:0], p.JKT...), ' '), p.ID...) // a thumbprint has no space
	sum := sha256.Sum256(b)
	key := proofKey(sum[:16])
	s := &r.shards[key[0]%replayShards]
	s.mu.Lock()
	defer s.mu.Unlock()
	if since := now.Sub(s.turned); since > replayLife || s.young == nil {
		if s.old = s.young; since > 2*replayLife {
			s.old = nil
		}
		s.young, s.turned = make(map[proofKey]struct{}), now
	}
	if _, seen := s.young[key]; seen {
		return false, true
	}
	if _, seen := s.old[key]; seen {
		return false, true
	}
	if len(s.young) >= r.most {
		return false, false
	}
	s.young[key] = struct{}{}
	return true, true
}
