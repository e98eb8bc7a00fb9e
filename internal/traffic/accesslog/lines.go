package accesslog

import (
	"bytes"
	"errors"
	"io"
	"strings"
)

// MaxLine is the longest line of a log that is read, in bytes.
const MaxLine = 256 << 10

// chunk is how much of a log is taken at once. Lines are parts of one text per
// chunk, so that reading costs no garbage a line.
const chunk = 256 << 10

// Lines cuts a log into lines.
type Lines struct {
	in   io.Reader
	buf  []byte // what begins a line that is not whole yet
	text string // whole lines, not given out yet
	full string // text as it was read
	cut  bool   // its first line is too long: not all of it is there
	end  error  // of reading

	// Offset is where the line after the last one given begins, in bytes from
	// where reading began; Number is how many were given, too long ones included.
	Offset int64
	Number int64
	// Whole says that the log ends with the reader, and its last line with it.
	// Where it is still written to, a last line without an end is left.
	Whole bool
}

// NewLines reads lines from in.
func NewLines(in io.Reader) *Lines { return &Lines{in: in, buf: make([]byte, 0, chunk)} }

// Next returns the next line without its end. A line that is too long is given
// as one that is cut, with ErrLong. At the end it returns io.EOF.
func (l *Lines) Next() (string, error) {
	if l.text == "" {
		if err := l.fill(); err != nil {
			return "", err
		}
	}
	line, rest, found := strings.Cut(l.text, "\n")
	l.text = rest
	l.Offset += int64(len(line))
	if found {
		l.Offset++
	}
	l.Number++
	if n := len(line); n > 0 && line[n-1] == '\r' {
		line = line[:n-1]
	}
	if len(line) > MaxLine {
		return line[:MaxLine], ErrLong
	}
	return line, nil
}

// Mark is what stands before Offset: up to limit bytes of it, at least one once
// a line was given.
func (l *Lines) Mark(limit int) string {
	given := l.full[:len(l.full)-len(l.text)]
	if l.cut {
		limit = 1
	}
	return given[max(len(given)-limit, 0):]
}

// fill reads until there is a whole line.
func (l *Lines) fill() error {
	skipped := int64(0) // of a line that is too long
	for {
		if end := bytes.LastIndexByte(l.buf, '\n'); end >= 0 {
			l.text = string(l.buf[:end+1])
			l.full, l.cut = l.text, skipped > 0
			l.buf = append(l.buf[:0], l.buf[end+1:]...)
			l.Offset += skipped
			return nil
		}
		if l.end != nil {
			if !errors.Is(l.end, io.EOF) || len(l.buf) == 0 || !l.Whole {
				return l.end
			}
			l.text = string(l.buf)
			l.full, l.cut = l.text, skipped > 0
			l.buf = l.buf[:0]
			l.Offset += skipped
			return nil
		}
		if len(l.buf) > MaxLine+chunk { // what was read of it is enough to say so
			skipped += int64(len(l.buf) - MaxLine - 1)
			l.buf = l.buf[:MaxLine+1]
		}
		if cap(l.buf)-len(l.buf) < chunk {
			l.buf = append(make([]byte, 0, 2*cap(l.buf)), l.buf...)
		}
		n, err := l.in.Read(l.buf[len(l.buf) : len(l.buf)+chunk])
		l.buf, l.end = l.buf[:len(l.buf)+n], err
	}
}
