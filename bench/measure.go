package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/offkey/offkey/bench/load"
)

// subject is one server under one kind of load.
type subject struct {
	name    string
	process load.Process
	// load makes n requests anew: some may be sent only once.
	load func(n int) (load.Load, error)
	// flow, instead, goes through n flows of several requests each.
	flow func(ctx context.Context, n int) (load.Result, error)
}

// prepare makes what n requests or flows need before the clock starts.
func (s subject) prepare(n int) (func(context.Context) (load.Result, error), error) {
	if s.flow != nil {
		return func(ctx context.Context) (load.Result, error) { return s.flow(ctx, n) }, nil
	}
	l, err := s.load(n)
	return l.Run, err
}

// sample is one run of a subject.
type sample struct {
	cpu, p50, p99 time.Duration
	rss           int64
}

// limit says how far a subject may be from another.
type limit struct {
	subject, baseline string
	ratio             float64
}

// suite is what is measured together.
type suite struct {
	title    string
	subjects []subject
	baseline string
	limits   []limit
	requests int
}

// run takes the rounds and writes the table. It reports whether the limits
// were kept.
func (s suite) run(ctx context.Context, rounds int, out io.Writer) (kept bool, err error) {
	samples := make(map[string][]sample)
	for range rounds {
		for _, subject := range s.subjects {
			one, err := subject.measure(ctx, s.requests)
			if err != nil {
				return false, fmt.Errorf("%s: %s: %w", s.title, subject.name, err)
			}
			samples[subject.name] = append(samples[subject.name], one)
		}
	}
	s.table(out, samples)
	kept = true
	for _, l := range s.limits {
		r := ratio(samples[l.subject], samples[l.baseline])
		fmt.Fprintf(out, "  %s: %s is %.2f × %s, the limit is %.2f ×\n", verdict(r <= l.ratio), l.subject, r, l.baseline, l.ratio)
		kept = kept && r <= l.ratio
	}
	return kept, nil
}

func verdict(kept bool) string {
	if kept {
		return "kept"
	}
	return "MISSED"
}

// measure warms up with a tenth of the requests, then takes the time.
func (s subject) measure(ctx context.Context, requests int) (sample, error) {
	warm, err := s.prepare(requests / 10)
	if err != nil {
		return sample{}, err
	}
	full, err := s.prepare(requests)
	if err != nil {
		return sample{}, err
	}
	if _, err := warm(ctx); err != nil {
		return sample{}, err
	}
	before, err := s.process.CPU()
	if err != nil {
		return sample{}, err
	}
	result, err := full(ctx)
	if err != nil {
		return sample{}, err
	}
	after, err := s.process.CPU()
	if err != nil {
		return sample{}, err
	}
	rss, err := s.process.RSS()
	return sample{cpu: (after - before) / time.Duration(result.Requests), p50: result.P50, p99: result.P99, rss: rss}, err
}

func (s suite) table(out io.Writer, samples map[string][]sample) {
	fmt.Fprintf(out, "\n%s\n", s.title)
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(w, "\tCPU µs\tmin–max\t× %s\tp50 ms\tp99 ms\tRSS MB\t\n", s.baseline)
	for _, subject := range s.subjects {
		all := samples[subject.name]
		cpu := func(s sample) time.Duration { return s.cpu }
		times := sorted(all, cpu)
		fmt.Fprintf(w, "%s\t%.1f\t%.0f–%.0f\t%.2f\t%.2f\t%.2f\t%.1f\t\n", subject.name,
			micros(median(times)), micros(times[0]), micros(times[len(times)-1]), ratio(all, samples[s.baseline]),
			micros(median(sorted(all, func(s sample) time.Duration { return s.p50 })))/1000,
			micros(median(sorted(all, func(s sample) time.Duration { return s.p99 })))/1000,
			float64(median(sorted(all, func(s sample) int64 { return s.rss })))/(1<<20))
	}
	_ = w.Flush()
}

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

// ratio is the median of the ratios within each round.
func ratio(of, to []sample) float64 {
	each := make([]float64, len(of))
	for i := range of {
		each[i] = float64(of[i].cpu) / float64(to[i].cpu)
	}
	slices.Sort(each)
	return median(each)
}

// sorted takes one value of each sample, smallest first.
func sorted[V cmp.Ordered](all []sample, value func(sample) V) []V {
	values := make([]V, len(all))
	for i, one := range all {
		values[i] = value(one)
	}
	slices.Sort(values)
	return values
}

// median takes the middle one; of an even number, the lower.
func median[V any](sorted []V) V { return sorted[(len(sorted)-1)/2] }

// cpuModel is what the machine calls its processor.
func cpuModel() string {
	raw, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(raw)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return "processor unknown"
}
