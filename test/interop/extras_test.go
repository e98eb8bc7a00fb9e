package interop

import (
	"bufio"
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/offkey/offkey/test/binary"
)

func TestMain(m *testing.M) { binary.Main(m) }

// need ends a test for which something is missing: it fails where the set-up
// must have been done, and is skipped elsewhere.
func need(t *testing.T, missing string) {
	t.Helper()
	if os.Getenv("OFFKEY_TEST_EXTRAS") == "1" {
		t.Fatalf("%s: run `make setup`", missing)
	}
	t.Skipf("%s: run `make setup`, then this test runs too", missing)
}

// nodeScript is a command that runs a script of node/.
func nodeScript(t *testing.T, name string, args ...string) *exec.Cmd {
	t.Helper()
	if _, err := exec.LookPath("node"); err != nil {
		need(t, "node is missing")
	}
	for _, packageName := range []string{"jose", "oauth4webapi", "openid-client", "oidc-provider", "express-oauth2-jwt-bearer", "@modelcontextprotocol/sdk"} {
		if _, err := os.Stat(filepath.Join("node", "node_modules", packageName)); err != nil {
			need(t, "the npm package "+packageName+" is missing")
		}
	}
	cmd := exec.Command("node", append([]string{name}, args...)...)
	cmd.Dir = "node"
	return cmd
}

// background runs a script that serves until its input ends, and reads its
// first line.
func background(t *testing.T, cmd *exec.Cmd, input, v any) {
	t.Helper()
	raw, err := json.Marshal(input)
	if err != nil {
		t.Fatal(err)
	}
	var errOut bytes.Buffer
	cmd.Stderr = &errOut
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	late := time.AfterFunc(time.Minute, func() { _ = cmd.Process.Kill() })
	t.Cleanup(func() {
		_ = in.Close()
		_ = cmd.Wait()
		late.Stop()
	})
	if _, err := in.Write(append(raw, '\n')); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, v)
	}
	if err != nil {
		t.Fatalf("%s: %v in %q\n%s", strings.Join(cmd.Args[1:], " "), err, line, errOut.String())
	}
}
