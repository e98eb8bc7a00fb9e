package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/offkey/offkey/internal/audit"
)

// A commit costs one flush of the disk however many transitions are in it, so
// the writer takes all that are waiting, up to maxBatch; as many again may
// queue before callers wait to be let in.
const (
	maxBatch = 256
	maxQueue = 1024
)

// writer runs transitions, one at a time, on its own goroutine.
type writer struct {
	session *session
	engine  engine
	now     func() time.Time
	life    time.Duration // of the longest-lived token
	log     *slog.Logger

	queue   chan *transition
	closing chan struct{} // closed: no new transitions
	stopped chan struct{} // closed: the goroutine has ended
	stop    func()

	subscribing sync.Mutex
	subscribers []func([]Change)
	publishing  sync.Mutex

	*shared // of the engine that several processes write to, or nil

	head      audit.Head // of the last commit
	headKnown bool       // false: read it again
	away      bool       // nobody answered lately
	words     words
	spent     spent
}

func newWriter(s *session, engine engine, o Options) *writer {
	w := &writer{
		session: s, engine: engine, now: o.Now, life: o.TokenLife, log: o.Log,
		queue: make(chan *transition, maxQueue), closing: make(chan struct{}), stopped: make(chan struct{}),
		spent: spent{most: maxSpent},
	}
	if s.words().shared {
		w.shared = newShared()
	}
	w.stop = sync.OnceFunc(func() {
		close(w.closing)
		<-w.stopped
	})
	return w
}

// transition is one change of the data, all of it or none.
type transition struct {
	run func(*tx) error
	// inMemory says that run makes no statement of its own, so that it needs no
	// savepoint to fail alone.
	inMemory bool

	state   atomic.Int32
	err     error
	changes []Change
	then    []func()
	done    chan struct{}
}

// The states of a transition. Whoever moves it out of waiting decides.
const (
	waiting int32 = iota
	running
	givenUp
)

// tx is what a transition works with while it runs.
type tx struct {
	*session
	w       *writer
	now     time.Time
	head    audit.Head
	changes []Change
	// onCommit is what becomes true in memory once the transition is on the
	// disk.
	onCommit []func()
}

// change runs a transition and returns when it is on the disk or has failed.
// Once ctx is done a transition that has not begun never will; one that has
// begun is waited for, so that the answer is always what has happened. run may
// be called a second time, when the first attempt was rolled back with others
// in its commit: it starts from its arguments each time.
func (db *DB) change(ctx context.Context, run func(*tx) error) error {
	return db.writer.do(ctx, &transition{run: run})
}

// changeInMemory is change for a run that makes no statement: it leaves
// something to be written with the commit.
func (db *DB) changeInMemory(ctx context.Context, run func(*tx) error) error {
	return db.writer.do(ctx, &transition{run: run, inMemory: true})
}

func (w *writer) do(ctx context.Context, t *transition) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case <-w.closing:
		return ErrClosed
	default:
	}
	t.done = make(chan struct{})
	select {
	case w.queue <- t:
	case <-ctx.Done():
		return busy(ctx)
	case <-w.closing:
		return ErrClosed
	}
	select {
	case <-t.done:
		return t.err
	case <-ctx.Done():
		if t.state.CompareAndSwap(waiting, givenUp) {
			return busy(ctx)
		}
	case <-w.stopped:
		if t.state.CompareAndSwap(waiting, givenUp) {
			return ErrClosed
		}
	}
	<-t.done
	return t.err
}

// busy is the error of a transition whose context ended before it began.
func busy(ctx context.Context) error {
	return fmt.Errorf("%w: given up before it began: %w", ErrBusy, context.Cause(ctx))
}

// work takes batches until the writer is stopped and nothing waits any more.
func (w *writer) work() {
	defer close(w.stopped)
	batch := make([]*transition, 0, maxBatch)
	for {
		batch = w.take(batch[:0])
		if len(batch) == 0 {
			return
		}
		w.settle(batch)
		clear(batch)
		runtime.Gosched() // whoever was answered may come again, and share the next flush
	}
}

// take waits for a transition and brings along all that are there too. Those
// whose callers have given up are left out.
func (w *writer) take(batch []*transition) []*transition {
	for {
		var next *transition
		select {
		case next = <-w.queue:
		default:
			if len(batch) > 0 {
				return batch
			}
			select {
			case next = <-w.queue:
			case <-w.closing:
				select {
				case next = <-w.queue:
				default:
					return batch
				}
			}
		}
		if next.state.CompareAndSwap(waiting, running) {
			batch = append(batch, next)
		}
		if len(batch) == maxBatch {
			return batch
		}
	}
}

// How often a transaction is tried that meets others, and for how long one whose
// connection is lost: a database that restarts, or another that takes its place,
// is back by then or the callers are told.
const (
	maxTries = 10
	patience = 5 * time.Second
)

// settle commits a batch, tells the subscribers and answers the callers. Where
// the batch cannot be committed as a whole, its transitions are tried one by
// one, so that none fails for what another did.
func (w *writer) settle(batch []*transition) {
	if err := w.commitAgain(batch); err != nil {
		for i, t := range batch {
			if t.err = err; len(batch) > 1 && !w.away {
				t.err = w.commitAgain(batch[i : i+1])
			}
		}
	}
	var changes []Change
	for _, t := range batch {
		if t.err == nil {
			changes = append(changes, t.changes...)
		}
	}
	if len(changes) > 0 {
		w.publish(changes)
	}
	for _, t := range batch {
		if t.err != nil {
			t.err = w.engine.explain(t.err)
		}
		close(t.done)
	}
}

// commit runs the transitions of a batch in one transaction. A transition that
// fails by itself has its error in err and is rolled back alone; an error
// returned is the whole batch's, which must be abandoned.
func (w *writer) commit(batch []*transition) error {
	if happened, err := w.begin(); happened || err != nil {
		if err == nil {
			w.settled(batch, w.head)
		}
		return err
	}
	head := w.head
	for _, t := range batch {
		next := tx{session: w.session, w: w, now: w.now(), head: head}
		if err := w.attempt(t, &next, len(batch) == 1); err != nil {
			return err
		}
		if t.err == nil {
			head, t.changes, t.then = next.head, next.changes, next.onCommit
		}
	}
	if err := w.spent.flush(w.session); err != nil {
		return err
	}
	if head != w.head {
		if err := noteHead(w.session, head); err != nil {
			return err
		}
	}
	if err := w.finish(batch); err != nil {
		return err
	}
	w.settled(batch, head)
	return nil
}

// settled makes true in memory what is on the disk.
func (w *writer) settled(batch []*transition, head audit.Head) {
	w.head, w.away = head, false
	w.spent.committed()
	for _, t := range batch {
		if t.err == nil {
			for _, then := range t.then {
				then()
			}
		}
	}
}

// attempt runs one transition of a batch. It returns an error if the whole
// batch has to be abandoned: for a transition that is alone in it, that is any.
func (w *writer) attempt(t *transition, x *tx, alone bool) error {
	t.err = nil
	switch {
	case alone:
		return guarded(t, x)
	case t.inMemory:
		t.err = guarded(t, x)
		return nil
	}
	if err := w.session.later("SAVEPOINT transition"); err != nil {
		return err
	}
	if t.err = guarded(t, x); t.err == nil {
		return w.session.later("RELEASE transition")
	}
	w.words.forget()
	if w.engine.endsTransaction(t.err) {
		return t.err
	}
	if _, err := w.session.exec("ROLLBACK TO transition"); err != nil {
		return err
	}
	return w.session.later("RELEASE transition")
}

// errPanic is a defect of offkey, found in a transition.
var errPanic = errors.New("a defect in offkey stopped this transition, nothing of it has happened")

// guarded runs a transition; a panic in it is its error.
func guarded(t *transition, x *tx) (err error) {
	defer func() {
		if p := recover(); p != nil {
			x.w.log.Error("panic in a transition", "panic", p, "stack", string(debug.Stack()))
			err = fmt.Errorf("%w: %v", errPanic, p)
		}
	}()
	return t.run(x)
}

// abandon rolls back what is left of a transaction and forgets what was learnt
// in it. There may be none left: SQLite ends it itself after some errors.
func (w *writer) abandon() {
	_, _ = w.session.exec("ROLLBACK")
	w.words.forget()
	w.spent.rolledBack()
	w.headKnown = false
}

// publish tells every subscriber. One that panics is logged: the commit stands
// and its callers are owed their answer.
func (w *writer) publish(changes []Change) {
	w.publishing.Lock()
	defer w.publishing.Unlock()
	w.subscribing.Lock()
	subscribers := w.subscribers
	w.subscribing.Unlock()
	for _, told := range subscribers {
		func() {
			defer func() {
				if p := recover(); p != nil {
					w.log.Error("panic in a subscriber of changes", "panic", p, "stack", string(debug.Stack()))
				}
			}()
			told(changes)
		}()
	}
}
