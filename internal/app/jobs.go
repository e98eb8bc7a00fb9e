package app

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/offkey/offkey/internal/store"
	"github.com/offkey/offkey/internal/traffic"
)

// job is work that returns at an interval. Its errors are logged, once per kind
// of failure until it succeeds again.
type job struct {
	name  string
	every time.Duration
	run   func(context.Context) error
}

// jobs run side by side until they are stopped.
type jobs struct {
	log    *slog.Logger
	cancel context.CancelFunc
	wait   sync.WaitGroup
}

func startJobs(log *slog.Logger, list ...job) *jobs {
	ctx, cancel := context.WithCancel(context.Background())
	js := &jobs{log: log, cancel: cancel}
	for _, j := range list {
		js.wait.Go(func() { js.repeat(ctx, j) })
	}
	return js
}

func (js *jobs) repeat(ctx context.Context, j job) {
	tick := time.NewTicker(j.every)
	defer tick.Stop()
	failing := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		err := j.run(ctx)
		switch {
		case err != nil && ctx.Err() == nil && !failing:
			js.log.Error("background job fails and is tried again", "job", j.name, "error", err)
		case err == nil && failing:
			js.log.Info("background job works again", "job", j.name)
		}
		failing = err != nil
	}
}

// stop ends the jobs and waits for those at work.
func (js *jobs) stop() {
	js.cancel()
	js.wait.Wait()
}

// leaseTime is how long a process that stops without a word keeps others from
// its work.
const leaseTime = 15 * time.Second

// leading has one of the processes that share a database do the work: the one that
// has its lease. What such work does is a transition that asks whether it is done
// already, so that one who lost the lease unknowingly does no harm.
func (a *App) leading(name string, run func(context.Context) error) func(context.Context) error {
	return func(ctx context.Context) error {
		if _, leads, err := a.db.Lead(ctx, name, leaseTime); err != nil || !leads {
			return err
		}
		return run(ctx)
	}
}

// recorder moves counted calls from memory to the store.
type recorder struct {
	mu    sync.Mutex // one flush at a time, so that Flush means what it says
	tally *traffic.Tally
	db    *store.DB
	count func([]traffic.Row) // is told what was stored
}

// Flush stores what was counted so far. Where that fails the counts return to
// memory and are stored with the next flush.
func (r *recorder) Flush(ctx context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	rows := r.tally.Drain()
	if len(rows) == 0 {
		return nil
	}
	if err := r.db.AddTraffic(ctx, rows); err != nil {
		r.tally.Restore(rows)
		return err
	}
	if r.count != nil {
		r.count(rows)
	}
	return nil
}
