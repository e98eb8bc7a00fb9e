// Command bench measures offkey beside what it is to be compared with, on this
// machine and in one run: token issue against the least that a server can do
// (bench/floor), the gateway against the standard library's reverse proxy
// (bench/proxy), nginx, and no gateway at all.
//
// Every server that is measured has one core to itself; the load and what
// stands behind a gateway have another. The figure is the CPU time that the
// server used for a request, by /proc, because on a machine that is shared it
// is the one that repeats. Rounds alternate between the subjects and ratios
// are taken within a round, so that a slow minute hits all alike.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
)

// options are the flags.
type options struct {
	rounds      int
	tokens      int
	calls       int
	flows       int
	connections int
	only        string
	strict      bool
}

func main() {
	var o options
	flag.IntVar(&o.rounds, "rounds", 5, "alternating runs of each subject; the median counts")
	flag.IntVar(&o.tokens, "tokens", 15000, "token requests in a run")
	flag.IntVar(&o.calls, "calls", 40000, "calls through a gateway in a run")
	flag.IntVar(&o.flows, "flows", 2000, "flows of people in a run")
	flag.IntVar(&o.connections, "c", 64, "connections")
	flag.StringVar(&o.only, "only", "start,tokens,people,gateway", "which parts")
	flag.BoolVar(&o.strict, "strict", false, "exit with 1 if a target is missed")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	met, err := run(ctx, o, os.Stdout)
	stop()
	switch {
	case err != nil:
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	case o.strict && !met:
		os.Exit(1)
	}
}

// run builds everything, measures, and reports whether all targets were met.
func run(ctx context.Context, o options, out io.Writer) (met bool, err error) {
	dir, err := os.MkdirTemp("", "offkey-bench-*")
	if err != nil {
		return false, err
	}
	defer os.RemoveAll(dir)
	if err := prepare(ctx, dir); err != nil {
		return false, err
	}
	fmt.Fprintf(out, "%s, %d CPUs, %s. Server on core %s alone, load and upstream on core %s.\n", cpuModel(), runtime.NumCPU(), runtime.Version(), serverCore, loadCore)
	fmt.Fprintf(out, "Medians of %d alternating rounds, %d connections; %d token requests, %d calls or %d flows of people in each.\n", o.rounds, o.connections, o.tokens, o.calls, o.flows)
	met = true
	for _, part := range []struct {
		name string
		run  func(context.Context, options, string, io.Writer) (bool, error)
	}{{"start", benchStart}, {"tokens", benchTokens}, {"people", benchPeople}, {"gateway", benchGateway}} {
		if !slices.Contains(strings.Split(o.only, ","), part.name) {
			continue
		}
		ok, err := part.run(ctx, o, dir, out)
		if err != nil {
			return false, err
		}
		met = met && ok
	}
	return met, nil
}

// prepare builds the servers and moves this process to its core.
func prepare(ctx context.Context, dir string) error {
	if _, err := exec.LookPath("taskset"); err != nil || runtime.NumCPU() < 2 {
		return errors.New("two cores and taskset (util-linux) are needed, so that a server has a core to itself")
	}
	for name, pkg := range map[string]string{"offkey": "./cmd/offkey", "floor": "./bench/floor", "proxy": "./bench/proxy", "upstream": "./bench/upstream"} {
		build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", filepath.Join(dir, name), pkg)
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if said, err := build.CombinedOutput(); err != nil {
			return fmt.Errorf("build %s: %w\n%s", pkg, err, said)
		}
	}
	pin := exec.CommandContext(ctx, "taskset", "-a", "-c", "-p", loadCore, strconv.Itoa(os.Getpid()))
	if said, err := pin.CombinedOutput(); err != nil {
		return fmt.Errorf("move the load to core %s: %w: %s", loadCore, err, said)
	}
	return nil
}
