package store

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"
)

// maxSpent bounds the jti that are remembered at one time: 160 MB. Only clients
// that have proved themselves, or redeem what a person allowed, can bring new
// ones.
const maxSpent = 4 << 20

// errSpentFull is answered, and nobody let in, beyond maxSpent.
var errSpentFull = errors.New("too many client assertions and proofs at one time: none is accepted until some have expired")

// spent is every jti that was used and may come again. Whether one is fresh is
// asked of memory, where only the writer's goroutine looks; a commit puts all
// that came with it into the file as one row, so that it dirties one page and
// not one for each. That the lock lets one process alone open the file is what
// makes this right.
type spent struct {
	live map[assertion]struct{}
	most int        // live at one time
	now  []spending // by the transaction that runs
}

// assertion is half of the SHA-256 of client id and jti, or of key and jti.
type assertion [16]byte

type spending struct {
	id      assertion
	expires int64 // rounded up to the minute
}

// assertionOf has the length of the client id before it, so that no two pairs
// share their bytes.
func assertionOf(clientID, jti string) assertion {
	b := binary.AppendUvarint(make([]byte, 0, 256), uint64(len(clientID)))
	sum := sha256.Sum256(append(append(b, clientID...), jti...))
	return assertion(sum[:16])
}

// proofOf is the same for a proof. It begins with a length that no client id has,
// so that no proof is taken for an assertion.
func proofOf(jkt, jti string) assertion {
	b := binary.AppendUvarint(make([]byte, 0, 256), 1<<40)
	b = binary.AppendUvarint(b, uint64(len(jkt)))
	sum := sha256.Sum256(append(append(b, jkt...), jti...))
	return assertion(sum[:16])
}

// SpendAssertion notes that a client has used the jti of an assertion, and
// reports whether it is the first to come with it. Of any number that arrive
// together exactly one is fresh, and stays so over a crash. The jti may be
// forgotten after expires.
func (db *DB) SpendAssertion(ctx context.Context, clientID, jti string, expires time.Time) (fresh bool, err error) {
	return db.spend(ctx, assertionOf(clientID, jti), expires)
}

// SpendProof is SpendAssertion for the jti of a DPoP proof made with the key of
// that thumbprint (RFC 9449 §11.1).
func (db *DB) SpendProof(ctx context.Context, jkt, jti string, expires time.Time) (fresh bool, err error) {
	return db.spend(ctx, proofOf(jkt, jti), expires)
}

func (db *DB) spend(ctx context.Context, id assertion, expires time.Time) (fresh bool, err error) {
	if db.spender != nil {
		return db.spender.spend(ctx, spending{id, wholeMinute(expires)})
	}
	err = db.changeInMemory(ctx, func(x *tx) (err error) {
		fresh, err = x.w.spent.spend(id, expires)
		return err
	})
	return fresh && err == nil, err
}

func (s *spent) spend(id assertion, expires time.Time) (fresh bool, err error) {
	if _, used := s.live[id]; used {
		return false, nil
	}
	if len(s.live) >= s.most {
		return false, fmt.Errorf("%w: %d are live", errSpentFull, len(s.live))
	}
	s.live[id] = struct{}{}
	s.now = append(s.now, spending{id, wholeMinute(expires)})
	return true, nil
}

// wholeMinute is the next, so that many expire together.
func wholeMinute(expires time.Time) int64 {
	return micros(expires.Truncate(time.Minute).Add(time.Minute))
}

// flush writes what the transaction has spent.
func (s *spent) flush(to *session) error {
	slices.SortStableFunc(s.now, func(a, b spending) int { return cmp.Compare(a.expires, b.expires) })
	for rest := s.now; len(rest) > 0; {
		var ids []byte
		expires := rest[0].expires
		for len(rest) > 0 && rest[0].expires == expires {
			ids = append(ids, rest[0].id[:]...)
			rest = rest[1:]
		}
		if _, err := to.exec(`INSERT INTO spent_assertion (expires, ids) VALUES (?, ?)`, expires, ids); err != nil {
			return fmt.Errorf("spend assertions: %w", err)
		}
	}
	return nil
}

// committed keeps what the transaction has spent, rolledBack takes it back.
func (s *spent) committed() { s.now = s.now[:0] }

func (s *spent) rolledBack() {
	for _, p := range s.now {
		delete(s.live, p.id)
	}
	s.now = s.now[:0]
}

// load reads what was spent before the file was opened.
func (s *spent) load(from *session) error {
	s.live = map[assertion]struct{}{}
	return from.each(`SELECT ids FROM spent_assertion`, nil, func(scan func(...any) error) error {
		ids, err := scanAssertions(scan)
		for _, id := range ids {
			s.live[id] = struct{}{}
		}
		return err
	})
}

// scanAssertions reads the ids of a row, and what else it has.
func scanAssertions(scan func(...any) error, others ...any) (ids []assertion, err error) {
	var raw []byte
	if err := scan(append(others, &raw)...); err != nil {
		return nil, err
	}
	if len(raw)%len(assertion{}) != 0 {
		return nil, errors.New("spent assertions: a row is cut off")
	}
	for ; len(raw) > 0; raw = raw[len(assertion{}):] {
		ids = append(ids, assertion(raw))
	}
	return ids, nil
}

// cleanSpent forgets about limit jti that have expired at now, and returns how
// many.
func (x *tx) cleanSpent(now time.Time, limit int) (deleted int, err error) {
	if x.w.shared != nil {
		return x.cleanSpentJTI(now, limit)
	}
	type row struct {
		seq int64
		ids []assertion
	}
	var gone []row
	if err := x.each(`SELECT seq, ids FROM spent_assertion WHERE expires < ? ORDER BY expires, seq LIMIT ?`, args{micros(now), limit},
		func(scan func(...any) error) error {
			var r row
			if r.ids, err = scanAssertions(scan, &r.seq); err != nil || deleted >= limit {
				return err
			}
			deleted += len(r.ids)
			gone = append(gone, r)
			return nil
		}); err != nil {
		return 0, err
	}
	for _, r := range gone {
		if _, err := x.exec(`DELETE FROM spent_assertion WHERE seq = ?`, r.seq); err != nil {
			return 0, err
		}
	}
	x.onCommit = append(x.onCommit, func() {
		for _, r := range gone {
			for _, id := range r.ids {
				delete(x.w.spent.live, id)
			}
		}
	})
	return deleted, nil
}
