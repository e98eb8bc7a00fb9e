package signin

import (
	"context"
	"sync"
	"time"
)

// later is what no answer waits for: so that how long an answer takes says
// nothing about what is done, or whether anything is. It is done one at a time,
// in order. The zero value is ready to use.
type later struct {
	mu      sync.Mutex
	waiting []func(context.Context)
	running bool
}

const (
	mostLater = 1000
	// afterTheAnswer is waited first, so that the answer does not share the
	// machine with what it must not tell of.
	afterTheAnswer = 200 * time.Millisecond
	longestLater   = 10 * time.Second
)

// do queues f, and reports whether there was room for it.
func (s *Service) do(f func(context.Context)) bool {
	l := &s.later
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.waiting) >= mostLater {
		return false
	}
	l.waiting = append(l.waiting, f)
	if !l.running {
		l.running = true
		s.options.Later(l.run)
	}
	return true
}

// run does what waits until nothing does.
func (l *later) run() {
	for {
		time.Sleep(afterTheAnswer)
		l.mu.Lock()
		batch := l.waiting
		l.waiting, l.running = nil, len(batch) > 0
		l.mu.Unlock()
		if len(batch) == 0 {
			return
		}
		for _, f := range batch {
			ctx, cancel := context.WithTimeout(context.Background(), longestLater)
			f(ctx)
			cancel()
		}
	}
}
