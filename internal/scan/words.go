package scan

import (
	"context"
	"io"
)

// The classes of a byte: what credentials are made of in most places, what some
// have besides, and everything else.
const (
	plainByte = 1 // letters, digits, _ and -
	wideByte  = 2 // . + / = ~ too
)

var classOf = func() (class [256]byte) {
	for c := range class {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '_', c == '-':
			class[c] = plainByte
		case c == '.', c == '+', c == '/', c == '=', c == '~':
			class[c] = wideByte
		}
	}
	return class
}()

// Words shorter or longer are no credentials.
const (
	minWord = 8
	maxWord = 2048
)

// words cuts a stream into words and looks at each: runs of wide bytes, and the
// runs of plain bytes in them. It holds one buffer, whatever the stream: a run
// that does not fit is none.
func (s *Scanner) words(ctx context.Context, in io.Reader, from source) error {
	buffer := make([]byte, 256<<10)
	kept, line := 0, 1
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := in.Read(buffer[kept:])
		s.result.Bytes += int64(n)
		text := buffer[:kept+n]
		used, lines, lookErr := s.cut(ctx, text, line, err != nil, from)
		if lookErr != nil {
			return lookErr
		}
		line += lines
		kept = copy(buffer, text[used:])
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// cut looks at the words of text that are complete, and returns how much of it
// is done with and how many lines that is. The word at its end may go on, unless
// it is the last of all.
func (s *Scanner) cut(ctx context.Context, text []byte, line int, last bool, from source) (used, lines int, err error) {
	start := -1
	for i := 0; i <= len(text); i++ {
		if i < len(text) && classOf[text[i]] != 0 {
			if start < 0 {
				start = i
			}
			continue
		}
		if start >= 0 {
			switch {
			case i == len(text) && !last && i-start <= maxWord:
				return start, lines, nil // it may go on
			case i-start >= minWord && i-start <= maxWord:
				if err := s.look(ctx, text[start:i], line+lines, from); err != nil {
					return 0, 0, err
				}
			}
			start = -1
		}
		if i < len(text) && text[i] == '\n' {
			lines++
		}
	}
	return len(text), lines, nil
}

// look tries a wide run, and the plain runs in it.
func (s *Scanner) look(ctx context.Context, run []byte, line int, from source) error {
	start, parts := 0, 0
	for i := 0; i <= len(run); i++ {
		if i < len(run) && classOf[run[i]] == plainByte {
			continue
		}
		if i-start >= minWord {
			if err := s.judge(ctx, run[start:i], line, from); err != nil {
				return err
			}
		}
		parts++
		start = i + 1
	}
	if parts == 1 {
		return nil // it was plain as a whole
	}
	return s.judge(ctx, run, line, from)
}
