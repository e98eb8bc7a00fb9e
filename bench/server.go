package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"github.com/offkey/offkey/bench/load"
)

// The two cores: what is measured, and everything else.
const (
	serverCore = "0"
	loadCore   = "1"
)

// server is a process that has said it is ready.
type server struct {
	cmd   *exec.Cmd
	said  string        // its first line
	ready time.Duration // how long that took
	log   *bytes.Buffer
}

// patience bounds how long a server may take to start or to end.
const patience = 30 * time.Second

// newServer is a program that is to run on one core.
func newServer(ctx context.Context, core, program string, args ...string) *server {
	s := &server{log: &bytes.Buffer{}}
	s.cmd = exec.CommandContext(ctx, "taskset", append([]string{"-c", core, program}, args...)...)
	s.cmd.Env = append(os.Environ(), "GOMAXPROCS=1")
	s.cmd.Stderr = s.log
	s.cmd.Cancel = func() error { return s.cmd.Process.Signal(syscall.SIGTERM) }
	s.cmd.WaitDelay = patience
	return s
}

// start runs a program on one core and waits for the first line it prints.
func start(ctx context.Context, core, program string, args ...string) (*server, error) {
	s := newServer(ctx, core, program, args...)
	stdout, err := s.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	began := time.Now()
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	late := time.AfterFunc(patience, func() { _ = s.cmd.Process.Kill() })
	in := bufio.NewReader(stdout)
	line, err := in.ReadString('\n')
	late.Stop()
	s.said, s.ready = strings.TrimSpace(line), time.Since(began)
	if err != nil {
		_ = s.stop()
		return nil, fmt.Errorf("%s said nothing: %w\n%s", program, err, s.log)
	}
	go func() { _, _ = io.Copy(io.Discard, in) }()
	return s, nil
}

func (s *server) process() load.Process { return load.Process(s.cmd.Process.Pid) }

// stop ends the process, kindly first.
func (s *server) stop() error {
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	late := time.AfterFunc(patience, func() { _ = s.cmd.Process.Kill() })
	defer late.Stop()
	err := s.cmd.Wait()
	var ended *exec.ExitError
	if errors.As(err, &ended) && ended.Sys().(syscall.WaitStatus).Signal() == syscall.SIGTERM {
		return nil // it has no handler, so that is how it ends
	}
	return err
}
