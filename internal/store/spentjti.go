package store

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// spender spends jti where several processes write: in a table keyed by them, as
// many in one statement as have come together. Exactly one insertion of a row
// succeeds, at whichever process. It does not wait for transitions.
type spender struct {
	session *session
	engine  engine
	queue   chan *spendingJTI
	closing chan struct{}
	stopped chan struct{}
}

// spendingJTI is a jti whose sender waits.
type spendingJTI struct {
	spending
	done  chan struct{}
	fresh bool
	err   error
}

func newSpender(s *session, e engine) *spender {
	return &spender{session: s, engine: e, queue: make(chan *spendingJTI, maxQueue), closing: make(chan struct{}), stopped: make(chan struct{})}
}

// spend has the promise of SpendAssertion. Where the answer of the database was
// lost the error says so, and the jti is spent or not: nobody was let in.
func (s *spender) spend(ctx context.Context, p spending) (fresh bool, err error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	select {
	case <-s.closing:
		return false, ErrClosed
	default:
	}
	j := &spendingJTI{spending: p, done: make(chan struct{})}
	select {
	case s.queue <- j:
	case <-ctx.Done():
		return false, busy(ctx)
	case <-s.closing:
		return false, ErrClosed
	}
	select {
	case <-j.done:
		return j.fresh && j.err == nil, j.err
	case <-ctx.Done():
		return false, fmt.Errorf("%w: %w", ErrBusy, context.Cause(ctx))
	case <-s.stopped:
		select {
		case <-j.done:
			return j.fresh && j.err == nil, j.err
		default:
			return false, ErrClosed
		}
	}
}

// stop answers what waits. Without a spender there is nothing to stop.
func (s *spender) stop() error {
	if s == nil {
		return nil
	}
	close(s.closing)
	<-s.stopped
	return s.session.close()
}

// work spends what waits until the spender is stopped.
func (s *spender) work() {
	defer close(s.stopped)
	for {
		var batch []*spendingJTI
		select {
		case j := <-s.queue:
			batch = append(batch, j)
		case <-s.closing:
			select {
			case j := <-s.queue:
				batch = append(batch, j)
			default:
				return
			}
		}
		for more := true; more && len(batch) < maxBatch; {
			select {
			case j := <-s.queue:
				batch = append(batch, j)
			default:
				more = false
			}
		}
		s.settle(batch)
	}
}

// spendSizes are how many rows a statement inserts. One that has fewer repeats
// its last, which conflicts with itself and is left out.
var spendSizes = []int{1, 8, 32, maxBatch}

var spendTexts = func() (texts []string) {
	for _, n := range spendSizes {
		texts = append(texts, `INSERT INTO spent_jti (id, expires) VALUES `+strings.Repeat(`(?, ?), `, n-1)+`(?, ?) ON CONFLICT DO NOTHING RETURNING id`)
	}
	return texts
}()

// settle spends a batch in one statement and answers it. Of those that are alike
// in it the first is fresh, if any is.
func (s *spender) settle(batch []*spendingJTI) {
	first := make(map[assertion]*spendingJTI, len(batch))
	var values args
	for _, j := range batch {
		if first[j.id] == nil {
			first[j.id] = j
			values = append(values, j.id[:], j.expires)
		}
	}
	size := 0
	for spendSizes[size] < len(first) {
		size++
	}
	for last := values[len(values)-2:]; len(values) < 2*spendSizes[size]; {
		values = append(values, last...)
	}
	err := s.insert(spendTexts[size], values, first)
	for _, j := range batch {
		j.err = s.engine.explain(err)
		close(j.done)
	}
}

func (s *spender) insert(text string, values args, first map[assertion]*spendingJTI) (err error) {
	for try := range maxTries {
		err = s.session.each(text, values, func(scan func(...any) error) error {
			var raw []byte
			if err := scan(&raw); err != nil {
				return err
			}
			if len(raw) != len(assertion{}) || first[assertion(raw)] == nil {
				return fmt.Errorf("spent jti: a row of %d bytes came back", len(raw))
			}
			first[assertion(raw)].fresh = true
			return nil
		})
		if !conflicted(err) {
			return err
		}
		time.Sleep(time.Duration(try) * 5 * time.Millisecond)
	}
	return err
}

// cleanSpentJTI forgets up to limit jti that have expired at now.
func (x *tx) cleanSpentJTI(now time.Time, limit int) (int, error) {
	n, err := x.exec(`DELETE FROM spent_jti WHERE id IN (SELECT id FROM spent_jti WHERE expires < ? ORDER BY expires LIMIT ?)`, micros(now), limit)
	return int(n), err
}
