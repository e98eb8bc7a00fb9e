package accesslog

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// archive gives the entries of an HTTP archive as lines, with what is read of
// them and no more: the bodies stay behind.
type archive struct {
	decoder *json.Decoder
	begun   bool
	left    []byte
	err     error
}

// NewArchive makes lines of the HTTP archive in, one for each entry.
func NewArchive(in io.Reader) io.Reader { return &archive{decoder: json.NewDecoder(in)} }

// Read implements io.Reader.
func (a *archive) Read(p []byte) (int, error) {
	if !a.begun {
		a.begun = true
		a.err = a.open()
	}
	for len(a.left) == 0 {
		if a.err != nil {
			return 0, a.err
		}
		a.left, a.err = a.entry()
	}
	n := copy(p, a.left)
	a.left = a.left[n:]
	return n, nil
}

// open goes to the list of entries.
func (a *archive) open() error {
	for _, member := range []string{"log", "entries"} {
		if err := a.expect('{'); err != nil {
			return err
		}
		if err := a.find(member); err != nil {
			return err
		}
	}
	return a.expect('[')
}

func (a *archive) expect(want json.Delim) error {
	token, err := a.decoder.Token()
	if err != nil {
		return archiveError(err)
	}
	if token != want {
		return errors.New("it is no HTTP archive: it has no log.entries")
	}
	return nil
}

// find skips the members before the one that is looked for.
func (a *archive) find(member string) error {
	for a.decoder.More() {
		token, err := a.decoder.Token()
		if err != nil {
			return archiveError(err)
		}
		if token == member {
			return nil
		}
		var skipped json.RawMessage
		if err := a.decoder.Decode(&skipped); err != nil {
			return archiveError(err)
		}
	}
	return errors.New("it is no HTTP archive: it has no log.entries")
}

// entry is the next entry as a line. One that is not what an entry is becomes a
// line that cannot be read.
func (a *archive) entry() ([]byte, error) {
	if !a.decoder.More() {
		return nil, io.EOF
	}
	var raw json.RawMessage
	if err := a.decoder.Decode(&raw); err != nil {
		return nil, archiveError(err)
	}
	var e harEntry
	if json.Unmarshal(raw, &e) != nil {
		return []byte("no entry\n"), nil
	}
	line, err := json.Marshal(e)
	return append(line, '\n'), err
}

// archiveError leaves out what the decoder quotes of the file.
func archiveError(err error) error {
	var syntax *json.SyntaxError
	switch {
	case errors.As(err, &syntax):
		return fmt.Errorf("the archive is no JSON behind byte %d", syntax.Offset)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return errors.New("the archive ends in the middle")
	}
	return err
}
