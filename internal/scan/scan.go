// Package scan looks for leaked credentials where they should not be: in a tree,
// in the history of a git repository, in logs, packed ones too. It reads streams
// piece by piece, and what it finds it tells by the last characters and the
// place, never by the credential.
//
// Which credentials it knows is said by detectors: those that offkey makes, by
// their prefix and checksum, those like a list of apikeys, by their shape; and an
// offkey that runs says for certain which candidates it knows.
package scan

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Finding is one place of one credential.
type Finding struct {
	Detector string `json:"detector"`
	Last4    string `json:"last4"`
	Path     string `json:"path"`
	Line     int    `json:"line"`
	Commit   string `json:"commit,omitempty"` // the first that had it there
	InTree   bool   `json:"in_tree"`          // it is there now, not in the history alone
	// Certain is one whose checksum fits, or that an offkey knows.
	Certain bool   `json:"certain"`
	Known   *Known `json:"known,omitempty"`
}

// Known is what an offkey says about a candidate.
type Known struct {
	Kind   string `json:"kind"`
	ID     string `json:"id"`
	Status string `json:"status"` // stage of an apikey, status of a client
	Owner  string `json:"owner"`
}

// Live reports whether what was found still opens something.
func (k *Known) Live() bool {
	return k != nil && !slices.Contains([]string{"retired", "blocked", "disabled"}, k.Status)
}

// Asker says which of some candidates an offkey knows.
type Asker interface {
	// Ends reports whether any credential that is known ends with it.
	Ends(last4 string) bool
	// Identify answers by the index of the candidate.
	Identify(ctx context.Context, candidates []string) (map[int]Known, error)
}

// Result is what a scan found.
type Result struct {
	Findings []Finding `json:"findings"`
	More     int       `json:"more"` // findings beyond those that are listed
	Files    int       `json:"files"`
	Blobs    int       `json:"blobs"` // of the history
	Bytes    int64     `json:"bytes"`
	Binary   int       `json:"binary"` // left out
	Unread   []string  `json:"unread"` // could not be read, the first of them
	History  string    `json:"history"`
}

// Bounds of a scan.
const (
	maxFindings = 10_000
	maxUnread   = 100
	maxUnpacked = 4 << 30 // bytes of one packed file
	sniffed     = 8000    // bytes in which a NUL says that a file is binary
	askAtOnce   = 500
	maxAsked    = 2_000_000 // candidates remembered, not to ask twice
)

// Scanner scans. It is for one goroutine.
type Scanner struct {
	Detectors []Detector
	Ask       Asker // nil: nobody is asked
	Git       string
	// Progress is told of the files read so far; nil: nobody is.
	Progress func(files int, bytes int64)

	result  Result
	seen    map[place]int // finding, by credential and path
	waiting []candidate
	asked   map[[16]byte]struct{}
}

// Path scans a file, or a folder with its git history where it has one.
func (s *Scanner) Path(ctx context.Context, path string, history bool) (*Result, error) {
	s.seen, s.asked = map[place]int{}, map[[16]byte]struct{}{}
	s.result = Result{Findings: []Finding{}, Unread: []string{}, History: "none"}
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		if err := s.file(ctx, path, filepath.Base(path)); err != nil {
			return nil, err
		}
		return s.done(ctx)
	}
	if err := s.tree(ctx, path); err != nil {
		return nil, err
	}
	if history {
		if err := s.history(ctx, path); err != nil {
			return nil, err
		}
	}
	return s.done(ctx)
}

// Stream scans what comes in, a log from standard input.
func (s *Scanner) Stream(ctx context.Context, in io.Reader, name string) (*Result, error) {
	s.seen, s.asked = map[place]int{}, map[[16]byte]struct{}{}
	s.result = Result{Findings: []Finding{}, Unread: []string{}, History: "none"}
	if err := s.text(ctx, in, source{path: name, inTree: true}); err != nil {
		return nil, err
	}
	s.result.Files++
	return s.done(ctx)
}

func (s *Scanner) done(ctx context.Context) (*Result, error) {
	if err := s.askWaiting(ctx); err != nil {
		return nil, err
	}
	slices.SortStableFunc(s.result.Findings, func(a, b Finding) int {
		return cmp.Or(strings.Compare(a.Path, b.Path), cmp.Compare(a.Line, b.Line), strings.Compare(a.Commit, b.Commit))
	})
	return &s.result, nil
}

// tree reads the files of a folder. Links are not followed: they may lead
// anywhere.
func (s *Scanner) tree(ctx context.Context, root string) error {
	return filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		name, relErr := filepath.Rel(root, path)
		if relErr != nil {
			name = path
		}
		switch {
		case err != nil:
			s.unread(name, err)
			if d != nil && d.IsDir() {
				return fs.SkipDir
			}
			return nil
		case d.IsDir() && d.Name() == ".git":
			return fs.SkipDir // its objects are read through git
		case !d.Type().IsRegular():
			return nil
		}
		return s.file(ctx, path, filepath.ToSlash(name))
	})
}

// file reads one file; one that cannot be read is noted, and the scan goes on.
func (s *Scanner) file(ctx context.Context, path, name string) error {
	f, err := os.Open(path)
	if err != nil {
		s.unread(name, err)
		return nil
	}
	defer f.Close()
	s.result.Files++
	if s.Progress != nil {
		s.Progress(s.result.Files, s.result.Bytes)
	}
	err = s.text(ctx, f, source{path: name, inTree: true})
	if err != nil && ctx.Err() == nil && !errors.Is(err, errAsk) {
		s.unread(name, err)
		return nil
	}
	return err
}

func (s *Scanner) unread(name string, err error) {
	if len(s.result.Unread) < maxUnread {
		var p *fs.PathError
		if errors.As(err, &p) {
			err = p.Err
		}
		s.result.Unread = append(s.result.Unread, name+": "+err.Error())
	}
}

// source is where text comes from.
type source struct {
	path   string
	blob   string // of the history
	inTree bool
}

// text reads a stream, unpacks it where it is packed, and leaves out what is
// binary.
func (s *Scanner) text(ctx context.Context, in io.Reader, from source) error {
	head := make([]byte, sniffed)
	n, err := io.ReadFull(in, head)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return err
	}
	head = head[:n]
	rest := io.MultiReader(bytes.NewReader(head), in)
	if bytes.HasPrefix(head, []byte{0x1f, 0x8b}) {
		packed, err := gzip.NewReader(rest)
		if err != nil {
			return err
		}
		unpacked := io.LimitReader(packed, maxUnpacked)
		if n, err = io.ReadFull(unpacked, head[:cap(head)]); err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			return err
		}
		head = head[:n]
		rest = io.MultiReader(bytes.NewReader(bytes.Clone(head)), unpacked)
	}
	if bytes.IndexByte(head, 0) >= 0 {
		s.result.Binary++
		return nil
	}
	return s.words(ctx, rest, from)
}
