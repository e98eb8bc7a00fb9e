package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"time"
)

// Targets of a process that has nothing to do.
const (
	readyLimit = 300 * time.Millisecond
	idleLimit  = 40 << 20
	// settle is how long a process is left alone before it counts as idle.
	settle = 5 * time.Second
)

// benchStart takes the time from start to ready, for a new data directory and
// for one that is there, and the memory of an offkey that nobody calls.
func benchStart(ctx context.Context, o options, dir string, out io.Writer) (kept bool, err error) {
	var first, again []time.Duration
	var idle []int64
	for i := range o.rounds {
		data, err := os.MkdirTemp(dir, "data-*")
		if err != nil {
			return false, err
		}
		for _, times := range []*[]time.Duration{&first, &again} {
			s, err := startOffkeyIn(ctx, dir, data, "http://127.0.0.1:9")
			if err != nil {
				return false, err
			}
			*times = append(*times, s.ready)
			if i == 0 {
				time.Sleep(settle)
				rss, err := s.process().RSS()
				if err != nil {
					return false, err
				}
				idle = append(idle, rss)
			}
			if err := s.stop(); err != nil {
				return false, fmt.Errorf("offkey did not end well: %w\n%s", err, s.log)
			}
		}
	}
	slices.Sort(first)
	slices.Sort(again)
	slices.Sort(idle)
	rss, slowest := idle[len(idle)-1], max(median(first), median(again))
	kept = slowest <= readyLimit && rss <= idleLimit
	fmt.Fprintf(out, "\nStart and rest\n")
	fmt.Fprintf(out, "  %s: ready after %d ms with a new data directory, %d ms with one that is there; the limit is %d ms\n",
		verdict(slowest <= readyLimit), median(first).Milliseconds(), median(again).Milliseconds(), readyLimit.Milliseconds())
	fmt.Fprintf(out, "  %s: %.1f MB resident after %v without a call; the limit is %d MB\n", verdict(rss <= idleLimit), float64(rss)/(1<<20), settle, idleLimit>>20)
	return kept, nil
}
