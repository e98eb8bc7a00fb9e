package scan

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
)

// gitCommand runs the git that is installed. A pure reader would have to know
// packs, alternates, worktrees, promisors and two hash functions; git does, and
// whoever has a history to scan has it. Nothing that the repository configures is
// run, nothing is fetched.
func (s *Scanner) gitCommand(ctx context.Context, dir string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, s.Git, append([]string{"-C", dir, "-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null"}, args...)...)
	cmd.Env = append(os.Environ(), "GIT_NO_LAZY_FETCH=1", "GIT_OPTIONAL_LOCKS=0", "GIT_TERMINAL_PROMPT=0", "GIT_PAGER=cat", "LC_ALL=C")
	return cmd
}

// history reads every object that any reference leads to, each once.
func (s *Scanner) history(ctx context.Context, dir string) error {
	if s.Git == "" {
		s.result.History = "git is not installed"
		return nil
	}
	if out, err := s.gitCommand(ctx, dir, "rev-parse", "--is-inside-work-tree").CombinedOutput(); err != nil || strings.TrimSpace(string(out)) != "true" {
		if bytes.Contains(out, []byte("dubious ownership")) {
			s.result.History = "git refuses: the repository belongs to somebody else (safe.directory)"
		}
		return ctx.Err()
	}
	if err := s.objects(ctx, dir); err != nil {
		return fmt.Errorf("read the history: %w", err)
	}
	s.result.History = "read"
	return s.firstCommits(ctx, dir)
}

// objects has git list all objects and print them, side by side.
func (s *Scanner) objects(ctx context.Context, dir string) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	list := s.gitCommand(ctx, dir, "rev-list", "--objects", "--all", "--full-history", "--", ".")
	show := s.gitCommand(ctx, dir, "cat-file", "--batch", "--buffer")
	listed, err := list.StdoutPipe()
	if err != nil {
		return err
	}
	wanted, err := show.StdinPipe()
	if err != nil {
		return err
	}
	shown, err := show.StdoutPipe()
	if err != nil {
		return err
	}
	if err := list.Start(); err != nil {
		return err
	}
	if err := show.Start(); err != nil {
		cancel()
		return errors.Join(err, list.Wait())
	}
	names := make(chan string, 4096) // of the objects under way, in order
	go func() {
		defer close(names)
		defer wanted.Close()
		lines := bufio.NewScanner(listed)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			id, name, _ := strings.Cut(lines.Text(), " ")
			select {
			case names <- name:
			case <-ctx.Done():
				return
			}
			if _, err := io.WriteString(wanted, id+"\n"); err != nil {
				return
			}
		}
	}()
	err = s.readObjects(ctx, bufio.NewReaderSize(shown, 256<<10), names)
	cancel()
	for range names { // let the writer go
	}
	listErr, showErr := list.Wait(), show.Wait()
	if err != nil {
		return err
	}
	_ = listErr // both may have been stopped by us after the last object
	_ = showErr
	return nil
}

// readObjects reads what cat-file prints: a line with name, type and size, the
// content, a line end.
func (s *Scanner) readObjects(ctx context.Context, in *bufio.Reader, names <-chan string) error {
	for name := range names {
		head, err := in.ReadString('\n')
		if err != nil {
			return fmt.Errorf("git ended early: %w", err)
		}
		fields := strings.Fields(head)
		if len(fields) == 2 && fields[1] == "missing" {
			continue // of a partial clone
		}
		if len(fields) != 3 {
			return fmt.Errorf("git said %q", strings.TrimSpace(head))
		}
		size, err := strconv.ParseInt(fields[2], 10, 64)
		if err != nil {
			return fmt.Errorf("git said %q", strings.TrimSpace(head))
		}
		content := io.LimitReader(in, size)
		switch fields[1] {
		case "blob":
			s.result.Blobs++
			err = s.text(ctx, content, source{path: name, blob: fields[0]})
		case "commit", "tag":
			err = s.text(ctx, content, source{path: "(" + fields[1] + " message)", blob: fields[0]})
		}
		if err != nil && (ctx.Err() != nil || errors.Is(err, errAsk)) {
			return err
		}
		if err != nil { // a packed file that is broken, say
			s.unread(name, err)
		}
		if _, err := io.Copy(io.Discard, content); err != nil {
			return err
		}
		if _, err := in.Discard(1); err != nil {
			return err
		}
		if s.Progress != nil {
			s.Progress(s.result.Files+s.result.Blobs, s.result.Bytes)
		}
	}
	return nil
}

// maxLookups bounds for how many findings the commit is looked up.
const maxLookups = 200

// firstCommits names the commit that brought each finding, where so far the blob
// is noted.
func (s *Scanner) firstCommits(ctx context.Context, dir string) error {
	if err := s.askWaiting(ctx); err != nil {
		return err
	}
	commits := map[string]string{}
	for i := range s.result.Findings {
		f := &s.result.Findings[i]
		blob := f.Commit
		if blob == "" || strings.HasPrefix(f.Path, "(") {
			continue
		}
		commit, known := commits[blob]
		if !known && len(commits) < maxLookups {
			out, err := s.gitCommand(ctx, dir, "log", "--all", "--reverse", "--format=%H", "--find-object="+blob).Output()
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if err == nil {
				commit, _, _ = strings.Cut(string(out), "\n")
			}
			commits[blob] = commit
		}
		f.Commit = commit
	}
	return nil
}
