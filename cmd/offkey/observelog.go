package main

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/offkey/offkey/internal/app"
	"github.com/offkey/offkey/internal/traffic/accesslog"
)

// openedLog is a log that is read. Places in it are those of its text, unpacked
// and with a line for each call.
type openedLog struct {
	format accesslog.Format
	head   []byte // its first bytes, read already
	in     io.Reader
	file   *os.File // that can be gone about in, nil where in must be read through
	ended  func() bool
	close  func()
}

// openLog opens a log and tells its format, where none is given.
func openLog(t *terminal, name string, format accesslog.Format) (*openedLog, error) {
	in, closeIn, err := t.openInput(name)
	if err != nil {
		return nil, err
	}
	log := &openedLog{format: format, in: in, ended: func() bool { return true }, close: func() { _ = closeIn() }} // it was only read
	if file, ok := in.(*os.File); ok && name != "-" {
		info, err := file.Stat()
		if err == nil && info.IsDir() {
			err = errors.New("it is a directory")
		}
		if err != nil {
			log.close()
			return nil, wrongUsage("the file "+name+" cannot be read: "+fileCause(err), "check the path")
		}
		if info.Mode().IsRegular() {
			log.file = file
			log.ended = func() bool { return isSettled(file, t.Now()) }
		}
	}
	if err := log.unpack(name); err != nil {
		log.close()
		return nil, failed("log_not_read", name+": "+err.Error(), "is it packed with gzip?", err)
	}
	if err := log.begin(name); err != nil {
		log.close()
		return nil, err
	}
	return log, nil
}

// isSettled reports whether nobody has written to a file for a minute, so that
// what its last line lacks will not come.
func isSettled(file *os.File, now time.Time) bool {
	info, err := file.Stat()
	return err == nil && now.Sub(info.ModTime()) > time.Minute
}

// unpack reads through gzip where the name says so.
func (l *openedLog) unpack(name string) error {
	if !strings.HasSuffix(name, ".gz") {
		return nil
	}
	unpacked, err := gzip.NewReader(bufio.NewReaderSize(l.in, 1<<20))
	if err != nil {
		return err
	}
	l.in, l.file, l.ended = unpacked, nil, func() bool { return true }
	return nil
}

// begin reads the head and tells the format.
func (l *openedLog) begin(name string) error {
	head, err := readHead(l.in)
	if err != nil {
		return failed("log_not_read", name+": "+err.Error(), "", err)
	}
	if l.format == "" && len(bytes.TrimSpace(head)) > 0 {
		found, ok := accesslog.Detect(head)
		if !ok {
			return wrongUsage("the first line of "+name+" does not say for certain which format it is of", "give --format "+strings.ReplaceAll(accesslog.Formats, ", ", "|"))
		}
		l.format = found
	}
	l.in = io.MultiReader(bytes.NewReader(head), l.in)
	if l.format == accesslog.HAR {
		l.in, l.file, l.ended = accesslog.NewArchive(l.in), nil, func() bool { return true }
		if head, err = readHead(l.in); err != nil {
			return failed("log_not_read", name+": "+err.Error(), "", err)
		}
		l.in = io.MultiReader(bytes.NewReader(head), l.in)
	}
	l.head = head
	return nil
}

func readHead(in io.Reader) ([]byte, error) {
	head := make([]byte, app.LogHead)
	n, err := io.ReadFull(in, head)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = nil
	}
	return head[:n], err
}

// skip goes to a place in the log.
func (l *openedLog) skip(to int64) error {
	if l.file == nil {
		n, err := io.CopyN(io.Discard, l.in, to)
		if err != nil && n < to {
			return fmt.Errorf("it ends at byte %d: %w", n, err)
		}
		return nil
	}
	info, err := l.file.Stat()
	if err != nil {
		return err
	}
	if info.Size() < to {
		return fmt.Errorf("it ends at byte %d", info.Size())
	}
	_, err = l.file.Seek(to, io.SeekStart)
	l.in = l.file
	return err
}
