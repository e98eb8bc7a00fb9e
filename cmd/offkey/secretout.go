package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// secretFile is a new file that a secret is written to. It is there before the
// secret is made, so that none is made that cannot be kept.
type secretFile struct {
	file *os.File
	kept bool
}

// newSecretFile makes the file, nil without a path or where nothing is to be
// made. One that is there is left alone: it may hold a secret that is in use.
func newSecretFile(path string, dryRun bool) (*secretFile, error) {
	if path == "" || dryRun {
		return nil, nil
	}
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil, wrongUsage(path+" is there already", "name another file, or move that one away: it may hold a secret that is in use")
	}
	if err != nil {
		return nil, unwritable(path, err)
	}
	return &secretFile{file: file}, nil
}

// take writes the secret of an answer, alone on its line, and returns the answer
// without it.
func (s *secretFile) take(raw json.RawMessage) (json.RawMessage, error) {
	var answer map[string]json.RawMessage
	var secret string
	if err := json.Unmarshal(raw, &answer); err != nil {
		return nil, err
	}
	if err := json.Unmarshal(answer["client_secret"], &secret); err != nil || secret == "" {
		return nil, errors.New("the answer holds no secret")
	}
	_, err := fmt.Fprintln(s.file, secret)
	if err == nil {
		err = s.file.Sync()
	}
	if err != nil {
		return nil, unwritable(s.file.Name(), err)
	}
	s.kept = true
	delete(answer, "client_secret")
	return json.Marshal(answer)
}

// discard closes the file, and removes it where nothing was kept in it.
func (s *secretFile) discard() {
	if s == nil {
		return
	}
	_ = s.file.Close() // it was synced
	if !s.kept {
		_ = os.Remove(s.file.Name())
	}
}
