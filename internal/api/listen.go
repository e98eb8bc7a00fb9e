//go:build unix

package api

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// maxSocketPath is how many bytes the path of a socket may have: one less than
// the address holds, for the zero at its end.
const maxSocketPath = len(unix.RawSockaddrUnix{}.Path) - 1

// answerTimeout is how long a socket that is there may take to be answered.
const answerTimeout = 2 * time.Second

// Listen makes the socket that operators' commands speak to, mode 0600, in a
// directory that nobody else may enter. A socket left behind by a process that
// was killed is replaced; one that somebody answers is not.
func Listen(path string) (net.Listener, error) {
	if len(path) > maxSocketPath {
		return nil, fmt.Errorf("the path of the operator socket has %d bytes, at most %d are possible here: %s; choose a shorter one with --socket", len(path), maxSocketPath, path)
	}
	dir := filepath.Dir(path)
	if err := checkPrivate(dir); err != nil {
		return nil, err
	}
	unlock, err := lockDir(dir)
	if err != nil {
		return nil, fmt.Errorf("operator socket %s: %w", path, err)
	}
	defer unlock()
	if err := removeStale(path); err != nil {
		return nil, err
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("operator socket: %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, fmt.Errorf("operator socket: %w", errors.Join(err, l.Close()))
	}
	return l, nil
}

// checkPrivate holds the directory to 0700 and to our own user: between bind
// and chmod it alone keeps others away from the socket.
func checkPrivate(dir string) error {
	info, err := os.Stat(dir)
	if err != nil {
		return fmt.Errorf("directory of the operator socket: %w", err)
	}
	if !info.IsDir() {
		return fmt.Errorf("directory of the operator socket: %s is no directory", dir)
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return fmt.Errorf("directory %s has mode %04o, others could reach the operator socket in it; run `chmod 700 %s`", dir, mode, dir)
	}
	if owner, ok := info.Sys().(*syscall.Stat_t); ok && int(owner.Uid) != os.Geteuid() && os.Geteuid() != 0 {
		return fmt.Errorf("directory %s belongs to user %d, and this process runs as %d; run it as that user, or choose a directory of your own with --socket", dir, owner.Uid, os.Geteuid())
	}
	return nil
}

// lockDir makes looking for a stale socket, removing it and binding one step:
// of two processes started together one would else remove the other's.
func lockDir(dir string) (unlock func(), err error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return func() { f.Close() }, nil
}

func removeStale(path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("operator socket: %w", err)
	case info.Mode().Type() != fs.ModeSocket:
		return fmt.Errorf("operator socket: %s is there and is no socket; move it away, or choose another path with --socket", path)
	}
	conn, err := net.DialTimeout("unix", path, answerTimeout)
	if err == nil {
		conn.Close()
		return fmt.Errorf("an offkey that is running answers at %s; stop it, or choose another data directory with --data", path)
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("operator socket: whether somebody answers at %s cannot be told: %w", path, err)
	}
	if err := os.Remove(path); err != nil {
		return fmt.Errorf("operator socket: %w", err)
	}
	return nil
}
