package binary

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience bounds how long an offkey may take to start or to end.
const patience = 60 * time.Second

// Server is a running `offkey up` or `offkey serve`.
type Server struct {
	Gateway, Issuer, Console, Ops, Data, Setup string

	cmd   *exec.Cmd
	log   *locked
	ended chan struct{} // closed when the process is gone
}

// Dir is a new folder for an offkey's data, with a path that is short enough
// for a socket. It goes with the test.
func Dir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "offkey-*")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// Up starts `offkey up` for an API, on ports that are free, with data of its
// own. It is stopped with the test.
func Up(t testing.TB, upstream string, args ...string) *Server {
	t.Helper()
	return UpWith(t, nil, upstream, args...)
}

// UpWith is Up with variables such as OFFKEY_TOKENS_ACCESS_TTL=1s.
func UpWith(t testing.TB, env []string, upstream string, args ...string) *Server {
	t.Helper()
	s, err := Start(t, env, append([]string{"up", "--upstream", upstream, "--data", Dir(t), "--gateway", Free, "--issuer", Free, "--admin", Free, "--ops", Free}, args...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Stop(t) })
	return s
}

// Free lets a listener take any port.
const Free = "127.0.0.1:0"

// Start runs a command that stays, with --json, and waits for the line that
// says it is ready.
func Start(t testing.TB, env []string, args ...string) (*Server, error) {
	t.Helper()
	s := &Server{cmd: exec.Command(Path(t), append(args, "--json")...), log: &locked{}, ended: make(chan struct{})}
	s.cmd.Stderr, s.cmd.Env = s.log, append(environment(), env...)
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	late := time.AfterFunc(patience, func() { _ = s.cmd.Process.Kill() })
	in := bufio.NewReader(out)
	line, err := in.ReadBytes('\n')
	late.Stop()
	go func() {
		_, _ = io.Copy(io.Discard, in)
		_ = s.cmd.Wait()
		close(s.ended)
	}()
	if err == nil {
		err = json.Unmarshal(line, s)
	}
	if err != nil {
		s.Kill()
		return nil, fmt.Errorf("offkey is not ready: %w\n%s", err, s.log)
	}
	return s, nil
}

// CLI runs an operator command against this server; it must succeed.
func (s *Server) CLI(t testing.TB, v any, args ...string) {
	t.Helper()
	JSON(t, v, append(args, "--data", s.Data)...)
}

// Kill ends the process as a power cut would (SIGKILL), and waits until it is
// gone.
func (s *Server) Kill() {
	_ = s.cmd.Process.Kill()
	<-s.ended
}

// Stop asks the process to end, and wants it to have gone well. It does nothing
// for one that is gone.
func (s *Server) Stop(t testing.TB) {
	t.Helper()
	select {
	case <-s.ended:
		return
	default:
	}
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-s.ended:
	case <-time.After(patience):
		s.Kill()
		t.Errorf("offkey did not end within %v of SIGTERM\n%s", patience, s.log)
		return
	}
	if code := s.cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("offkey ended with %d\n%s", code, s.log)
	}
}

// Log is what the process has written to its standard error.
func (s *Server) Log() string { return s.log.String() }

// locked is a buffer that is read while it is written.
type locked struct {
	mu  sync.Mutex
	all bytes.Buffer
}

func (l *locked) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all.Write(b)
}

func (l *locked) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all.String()
}
