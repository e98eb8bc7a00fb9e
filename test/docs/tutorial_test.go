package docs

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/offkey/offkey/test/binary"
)

func TestMain(m *testing.M) { binary.Main(m) }

// tutorials go on where the one before ends.
var tutorials = []string{
	"docs/tutorials/first-ten-minutes.md",
	"docs/tutorials/first-caller.md",
	"docs/tutorials/first-key-retired.md",
}

// patience bounds a whole session.
const patience = 5 * time.Minute

func TestTutorials(t *testing.T) {
	needs(t, "python3", "curl")
	folder, err := filepath.Glob(filepath.Join(root, "docs/tutorials/*.md"))
	if err != nil || len(folder) != len(tutorials) {
		t.Errorf("docs/tutorials has %d pages, and %d are run (%v)", len(folder), len(tutorials), err)
	}
	var blocks []block
	for _, page := range tutorials {
		blocks = append(blocks, blocksOf(t, page)...)
	}
	for i, b := range blocks {
		language := b.language()
		if !slices.Contains([]string{"sh", "text", "console"}, language) {
			t.Errorf("%s:%d: a tutorial has blocks of sh, which are run, text, which they print, and console, which are not run; not %q", b.page, b.line, b.info)
		}
		if language == "text" && (i == 0 || blocks[i-1].language() != "sh") {
			t.Errorf("%s:%d: a block of text shows what the block of sh before it prints; there is none", b.page, b.line)
		}
	}
	s := newSession(t)
	for _, name := range []string{"API", "GATEWAY", "ISSUER", "ADMIN", "OPS"} {
		s.env = append(s.env, name+"="+free(t))
	}
	s.run(blocks)
}

// needs skips where a program is missing, unless it was to be set up.
func needs(t *testing.T, programs ...string) {
	t.Helper()
	for _, program := range programs {
		if _, err := exec.LookPath(program); err == nil {
			continue
		}
		if os.Getenv("OFFKEY_TEST_EXTRAS") != "" {
			t.Fatalf("%s is not installed: `make setup` installs what the tests need", program)
		}
		t.Skipf("%s is not installed", program)
	}
}

// free is an address that nobody listens at.
func free(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// session is one shell in which the blocks of pages are run, one after the
// other, as a person would: what one sets, the next sees.
type session struct {
	*testing.T
	dir string
	env []string
}

func newSession(t *testing.T) *session {
	t.Helper()
	dir := binary.Dir(t)
	s := &session{T: t, dir: dir}
	for _, pair := range os.Environ() {
		if !strings.HasPrefix(pair, "OFFKEY_") && !strings.HasPrefix(pair, "HOME=") && !strings.HasPrefix(pair, "PATH=") {
			s.env = append(s.env, pair)
		}
	}
	s.env = append(s.env, "NO_COLOR=1", "GORACE=halt_on_error=1 exitcode=66", "HOME="+dir, "PATH="+filepath.Dir(binary.Path(t))+string(os.PathListSeparator)+os.Getenv("PATH"))
	return s
}

// mark stands in the output where a block begins.
const mark = "=== block "

var exitCode = regexp.MustCompile(`^sh exit=(\d+)$`)

// script is the blocks of sh as one script. It ends with the first that does not
// end as its page says.
func (s *session) script(blocks []block) string {
	var b strings.Builder
	b.WriteString("set -e\n")
	for i, block := range blocks {
		if block.language() != "sh" {
			continue
		}
		fmt.Fprintf(&b, "echo; echo '%s%d'\n", mark, i)
		m := exitCode.FindStringSubmatch(block.info)
		switch {
		case m != nil: // its last command ends so
			fmt.Fprintf(&b, "set +e\n%scode=$?\nset -e\n[ $code = %s ] || { echo \"exit code $code, not %s\"; exit 1; }\n", block.text, m[1], m[1])
		case block.info == "sh":
			b.WriteString(block.text)
		default:
			s.Errorf("%s:%d: %q is not `sh` or `sh exit=N`", block.page, block.line, block.info)
		}
	}
	b.WriteString("echo; echo '" + mark + "end'\n")
	return b.String()
}

// run runs the blocks and compares what they print with the blocks of text
// behind them. Whatever was started ends with the test.
func (s *session) run(blocks []block) {
	s.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	out, err := os.Create(filepath.Join(s.dir, "session.log"))
	if err != nil {
		s.Fatal(err)
	}
	defer out.Close()
	// The script is not read from a pipe: what it runs may read standard input.
	file := filepath.Join(s.dir, "session.sh")
	if err := os.WriteFile(file, []byte(s.script(blocks)), 0o600); err != nil {
		s.Fatal(err)
	}
	cmd := exec.CommandContext(ctx, "sh", file)
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = s.dir, s.env, out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	if err := cmd.Start(); err != nil {
		s.Fatal(err)
	}
	defer func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }() // what pages leave running
	failed := cmd.Wait()
	raw, err := os.ReadFile(out.Name())
	if err != nil {
		s.Fatal(err)
	}
	printed := map[int]string{}
	last := -1
	for _, part := range strings.Split(string(raw), "\n"+mark)[1:] {
		number, text, _ := strings.Cut(part, "\n")
		if i, err := strconv.Atoi(number); err == nil {
			printed[i], last = text, i
		}
	}
	if failed != nil {
		s.Fatalf("%s:%d: %v\n%s\nprinted\n%s", blocks[last].page, blocks[last].line, failed, blocks[last].text, printed[last])
	}
	for i, b := range blocks {
		if b.language() == "text" && i > 0 && blocks[i-1].language() == "sh" {
			if missing := shows(printed[i-1], b.text); missing != "" {
				s.Errorf("%s:%d: not printed, or not there:\n%s\nprinted\n%s", b.page, b.line, missing, printed[i-1])
			}
		}
	}
}
