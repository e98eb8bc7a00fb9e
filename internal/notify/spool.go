package notify

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"
)

// Bounds of the folder.
const (
	mostWaiting    = 1000    // messages in it, and as many in failed
	longestMessage = 1 << 20 // bytes of a file that is read; ours have a few thousand
)

// spool is a folder of messages, each a file that is there wholly or not at all.
// Names begin with the time, so that they sort by age. Nothing about it is kept
// in memory: files may be taken out or put back by hand.
type spool struct {
	folder, failed string
	most           int
	mu             sync.Mutex // over names given and the number of files
	last           time.Time
}

const (
	suffix     = ".eml"
	nameLayout = "20060102T150405.000000000Z"
)

// openSpool makes the folder where it is missing and clears away what a process
// that was killed had begun to write: nobody was told that it is there.
func openSpool(folder string, most int) (*spool, error) {
	s := &spool{folder: folder, failed: filepath.Join(folder, "failed"), most: most}
	for _, f := range []string{s.folder, s.failed} {
		if err := errors.Join(os.MkdirAll(f, 0o700), os.Chmod(f, 0o700)); err != nil {
			return nil, fmt.Errorf("make the outbox: %w", err)
		}
	}
	begun, err := filepath.Glob(filepath.Join(folder, ".*"+suffix))
	if err != nil {
		return nil, fmt.Errorf("open the outbox: %w", err)
	}
	for _, f := range begun {
		if err := os.Remove(f); err != nil {
			return nil, fmt.Errorf("open the outbox: %w", err)
		}
	}
	return s, nil
}

// write keeps a message. It is on disk when write returns.
func (s *spool) write(raw []byte, now time.Time) error {
	name := s.name(now)
	begun := filepath.Join(s.folder, "."+name)
	err := writeSynced(begun, raw)
	if err == nil {
		err = os.Rename(begun, filepath.Join(s.folder, name))
	}
	if err != nil {
		_ = os.Remove(begun) // else the next start does
		return fmt.Errorf("write to the outbox: %w", err)
	}
	if err := syncFolder(s.folder); err != nil {
		return fmt.Errorf("write to the outbox: %w", err)
	}
	return nil
}

// name makes a name that sorts after those made before.
func (s *spool) name(now time.Time) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !now.After(s.last) {
		now = s.last.Add(1)
	}
	s.last = now
	var unique [4]byte
	rand.Read(unique[:]) // never fails
	return now.UTC().Format(nameLayout) + "-" + hex.EncodeToString(unique[:]) + suffix
}

// trim drops the oldest messages where there are too many, and names them.
func (s *spool) trim() (dropped []string, err error) {
	for _, folder := range []string{s.folder, s.failed} {
		names, err := s.trimFolder(folder)
		dropped = append(dropped, names...)
		if err != nil {
			return dropped, fmt.Errorf("make room in the outbox: %w", err)
		}
	}
	return dropped, nil
}

func (s *spool) trimFolder(folder string) (dropped []string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	names, err := messagesIn(folder)
	if err != nil || len(names) <= s.most {
		return nil, err
	}
	for _, name := range names[:len(names)-s.most] {
		switch err := os.Remove(filepath.Join(folder, name)); {
		case err == nil:
			dropped = append(dropped, name)
		case !errors.Is(err, fs.ErrNotExist): // delivered meanwhile
			return dropped, err
		}
	}
	return dropped, nil
}

// waiting are the names of the messages, oldest first.
func (s *spool) waiting() ([]string, error) { return messagesIn(s.folder) }

func messagesIn(folder string) (names []string, err error) {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil, fmt.Errorf("read the outbox: %w", err)
	}
	for _, e := range entries {
		if n := e.Name(); e.Type().IsRegular() && strings.HasSuffix(n, suffix) && n[0] != '.' {
			names = append(names, n)
		}
	}
	slices.Sort(names)
	return names, nil
}

func (s *spool) read(name string) ([]byte, error) {
	f, err := os.Open(filepath.Join(s.folder, name))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, longestMessage+1))
	if err == nil && len(raw) > longestMessage {
		err = fmt.Errorf("is longer than %d bytes", longestMessage)
	}
	return raw, err
}

// remove takes out a message, which may be gone already.
func (s *spool) remove(name string) error {
	if err := os.Remove(filepath.Join(s.folder, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("take out of the outbox: %w", err)
	}
	return nil
}

// putAside moves a message to the folder of those that nobody could be given.
func (s *spool) putAside(name string) error {
	if err := os.Rename(filepath.Join(s.folder, name), filepath.Join(s.failed, name)); err != nil {
		return fmt.Errorf("put aside a message: %w", err)
	}
	return nil
}

// writtenAt is when the message of that name was written, as far as the name
// says; long ago where it says nothing.
func writtenAt(name string) time.Time {
	at, err := time.Parse(nameLayout, name[:min(len(name), len(nameLayout))])
	if err != nil {
		return time.Time{}
	}
	return at
}

func writeSynced(path string, raw []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(raw)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// syncFolder makes a rename survive a power cut. Windows does so itself and
// cannot be asked to.
func syncFolder(folder string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	f, err := os.Open(folder)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
