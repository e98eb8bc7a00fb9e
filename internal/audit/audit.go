// Package audit says who changed what. An Event is handed to the store with
// the change itself and written in the same transaction; the store turns it
// into an Entry, and each Entry carries the hash of the one before, so that a
// removed, reordered or edited row is found offline by Verifier. What the chain
// cannot show by itself is that its newest rows were cut off, or that all of it
// was written anew: for that its Head is compared with one noted elsewhere.
//
// Calls through the gateway are not audit: they are package traffic.
package audit

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"time"

	"github.com/offkey/offkey/internal/secret"
)

// Event is one change as the code that makes it describes it. Detail is
// marshalled to JSON and must not hold a secret.
type Event struct {
	Actor  string // "os:1000", "client:cl_…", "apikey:ak_…", "system"
	Action string // "client.created", "apikey.stage_set", …
	Object string // the id of what changed
	Detail any
}

// Entry is an Event as kept.
type Entry struct {
	Seq    int64           `json:"seq"`
	At     time.Time       `json:"at"`
	Actor  string          `json:"actor"`
	Action string          `json:"action"`
	Object string          `json:"object"`
	Detail json.RawMessage `json:"detail,omitempty"`
	Prev   secret.Hash     `json:"prev"`
	Hash   secret.Hash     `json:"hash"`
}

// Head is the last link of the chain: what the next Entry is hung on. The zero
// Head is an empty chain.
type Head struct {
	Seq  int64
	Hash secret.Hash
}

// Append makes the Entry that follows head. Times are kept to the microsecond,
// so that the hash can be made again from the stored row.
func (head Head) Append(e Event, at time.Time) (Entry, error) {
	var detail json.RawMessage
	if e.Detail != nil {
		raw, err := json.Marshal(e.Detail)
		if err != nil {
			return Entry{}, fmt.Errorf("audit detail of %s: %w", e.Action, err)
		}
		detail = raw
	}
	entry := Entry{
		Seq: head.Seq + 1, At: at.UTC().Truncate(time.Microsecond),
		Actor: e.Actor, Action: e.Action, Object: e.Object, Detail: detail, Prev: head.Hash,
	}
	entry.Hash = entry.digest()
	return entry, nil
}

// Head is the chain's end after this Entry.
func (e Entry) Head() Head { return Head{Seq: e.Seq, Hash: e.Hash} }

// digest hashes every field with its length before it, so that no two
// different entries share their bytes.
func (e Entry) digest() secret.Hash {
	h := sha256.New()
	var n [8]byte
	number := func(v int64) {
		binary.BigEndian.PutUint64(n[:], uint64(v))
		h.Write(n[:])
	}
	field := func(b []byte) {
		number(int64(len(b)))
		h.Write(b)
	}
	number(e.Seq)
	number(e.At.UnixMicro())
	field([]byte(e.Actor))
	field([]byte(e.Action))
	field([]byte(e.Object))
	field(e.Detail)
	h.Write(e.Prev[:])
	return secret.Hash(h.Sum(nil))
}

// Verifier checks a chain entry by entry, oldest first. Its zero value starts
// at the beginning of the log; set Start to check from a later head.
type Verifier struct {
	Start   Head
	head    Head
	started bool
	entries int64
}

// Add checks the next entry. The error names the first entry that does not fit
// and what about it is wrong; after an error the Verifier must not be used.
func (v *Verifier) Add(e Entry) error {
	if !v.started {
		v.head, v.started = v.Start, true
	}
	switch {
	case e.Seq <= v.head.Seq:
		return fmt.Errorf("audit entry %d is out of order: it comes after entry %d", e.Seq, v.head.Seq)
	case e.Seq != v.head.Seq+1:
		return fmt.Errorf("audit entry %d is missing: entry %d follows entry %d", v.head.Seq+1, e.Seq, v.head.Seq)
	case !e.Prev.Equal(v.head.Hash):
		return fmt.Errorf("audit entry %d does not continue entry %d: its prev hash differs", e.Seq, v.head.Seq)
	case !e.Hash.Equal(e.digest()):
		return fmt.Errorf("audit entry %d was changed after it was written: its hash differs", e.Seq)
	}
	v.head = e.Head()
	v.entries++
	return nil
}

// Entries is how many entries were checked.
func (v *Verifier) Entries() int64 { return v.entries }

// Head is the end of what was checked.
func (v *Verifier) Head() Head {
	if !v.started {
		return v.Start
	}
	return v.head
}
