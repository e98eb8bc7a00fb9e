// Package binary builds the offkey command and runs it, for tests that want
// what a user has: the real program, its sockets, its files, its exit codes.
// Where the tests run under the race detector, so does the program.
package binary

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

var build struct {
	once sync.Once
	path string
	err  error
}

// Path builds the program, once for all tests of a package, and says where it
// is.
func Path(t testing.TB) string {
	t.Helper()
	build.once.Do(func() { build.path, build.err = compile() })
	if build.err != nil {
		t.Fatal(build.err)
	}
	return build.path
}

func compile() (string, error) {
	dir, err := os.MkdirTemp("", "offkey-binary-*")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "offkey")
	args := []string{"build", "-o", path}
	if underRace {
		args = append(args, "-race")
	}
	if said, err := exec.Command("go", append(args, "github.com/offkey/offkey/cmd/offkey")...).CombinedOutput(); err != nil {
		return "", errors.Join(fmt.Errorf("build offkey: %w\n%s", err, said), os.RemoveAll(dir))
	}
	return path, nil
}

// Main runs a package's tests and takes the program away again.
func Main(m *testing.M) {
	code := m.Run()
	if build.path != "" {
		_ = os.RemoveAll(filepath.Dir(build.path))
	}
	os.Exit(code)
}

// Said is what a command printed and how it ended.
type Said struct {
	Out, Err string
	Code     int
}

// Run runs one command to its end. input may be nil.
func Run(t testing.TB, input []byte, args ...string) Said {
	t.Helper()
	cmd := exec.Command(Path(t), args...)
	var out, errOut bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(input), &out, &errOut
	cmd.Env = environment()
	err := cmd.Run()
	var ended *exec.ExitError
	if err != nil && !errors.As(err, &ended) {
		t.Fatalf("offkey %s: %v", strings.Join(args, " "), err)
	}
	return Said{out.String(), errOut.String(), cmd.ProcessState.ExitCode()}
}

// JSON runs a command that must succeed, with --json, and reads its document
// into v (nil to drop it).
func JSON(t testing.TB, v any, args ...string) {
	t.Helper()
	said := Run(t, nil, append(args, "--json")...)
	if said.Code != 0 {
		t.Fatalf("offkey %s: exit %d\n%s", strings.Join(args, " "), said.Code, said.Err)
	}
	if v == nil {
		return
	}
	if err := json.Unmarshal([]byte(said.Out), v); err != nil {
		t.Fatalf("offkey %s: %v in %q", strings.Join(args, " "), err, said.Out)
	}
}

// environment is this process's, without settings of an offkey that the person
// who runs the tests may have.
func environment() []string {
	var kept []string
	for _, pair := range os.Environ() {
		if !strings.HasPrefix(pair, "OFFKEY_") {
			kept = append(kept, pair)
		}
	}
	return append(kept, "GORACE=halt_on_error=1 exitcode=66 atexit_sleep_ms=0", "NO_COLOR=1")
}
