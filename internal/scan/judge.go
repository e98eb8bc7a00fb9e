package scan

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/offkey/offkey/internal/secret"
)

// place is a credential, by a hash that lives as long as the scan, in a file.
type place struct {
	hash [16]byte
	path string
}

// candidate is a word that an offkey is still to be asked about.
type candidate struct {
	text     string
	detector string // that found it too, "" for none
	certain  bool
	line     int
	from     source
}

// errAsk is a question that was not answered: the scan ends with it.
var errAsk = errors.New("the running offkey does not answer")

func hashOf(text string) [16]byte {
	sum := sha256.Sum256([]byte(text))
	return [16]byte(sum[:16])
}

// judge has every detector look at a word.
func (s *Scanner) judge(ctx context.Context, word []byte, line int, from source) error {
	taken := false
	for i := range s.Detectors {
		d := &s.Detectors[i]
		if !d.may(word) {
			continue
		}
		text := string(word)
		for _, found := range d.find(text) {
			taken = taken || found == text
			if err := s.take(ctx, candidate{found, d.Name, d.Issued, line, from}); err != nil {
				return err
			}
		}
	}
	if taken || s.Ask == nil || len(word) > maxAskedWord {
		return nil
	}
	token := word[0] == 'e' && bytes.HasPrefix(word, []byte("eyJ")) && bytes.Count(word, []byte(".")) == 2
	if token || s.Ask.Ends(endOf(word)) {
		return s.take(ctx, candidate{string(word), "", false, line, from})
	}
	return nil
}

// endOf is secret.Last4, without its work where a word is long and plain as all
// are here.
func endOf(word []byte) string {
	if len(word) >= 12 {
		return string(word[len(word)-4:])
	}
	return secret.Last4(string(word))
}

// maxAskedWord is the longest that an offkey is asked about.
const maxAskedWord = 2000

// take keeps what was found, or asks about it first.
func (s *Scanner) take(ctx context.Context, c candidate) error {
	if s.Ask == nil {
		s.keep(c, nil)
		return nil
	}
	if i, known := s.seen[place{hashOf(c.text), c.from.path}]; known {
		s.again(i, c)
		return nil
	}
	if c.detector == "" { // most are nobody's: not asked twice
		hash := hashOf(c.text + "\x00" + c.from.path)
		if _, asked := s.asked[hash]; asked {
			return nil
		}
		if len(s.asked) < maxAsked {
			s.asked[hash] = struct{}{}
		}
	}
	if s.waiting = append(s.waiting, c); len(s.waiting) < askAtOnce {
		return nil
	}
	return s.askWaiting(ctx)
}

// askWaiting asks about all candidates that wait.
func (s *Scanner) askWaiting(ctx context.Context) error {
	if len(s.waiting) == 0 {
		return nil
	}
	texts := make([]string, len(s.waiting))
	for i, c := range s.waiting {
		texts[i] = c.text
	}
	known, err := s.Ask.Identify(ctx, texts)
	if err != nil {
		return fmt.Errorf("%w: %w", errAsk, err)
	}
	for i, c := range s.waiting {
		if k, ok := known[i]; ok {
			s.keep(c, &k)
		} else if c.detector != "" {
			s.keep(c, nil)
		}
	}
	clear(s.waiting)
	s.waiting = s.waiting[:0]
	return nil
}

// keep notes a finding. Of one credential in one file there is one.
func (s *Scanner) keep(c candidate, known *Known) {
	at := place{hashOf(c.text), c.from.path}
	if i, there := s.seen[at]; there {
		s.again(i, c)
		return
	}
	if len(s.result.Findings) >= maxFindings {
		s.result.More++
		return
	}
	f := Finding{Detector: c.detector, Last4: secret.Last4(c.text), Path: c.from.path, Line: c.line, InTree: c.from.inTree, Certain: c.certain || known != nil, Known: known, Commit: c.from.blob}
	if f.Detector == "" {
		f.Detector = "known to offkey"
	}
	s.seen[at] = len(s.result.Findings)
	s.result.Findings = append(s.result.Findings, f)
}

// again is a credential that was found in this file before: in the tree, say,
// and now in the history.
func (s *Scanner) again(i int, c candidate) {
	f := &s.result.Findings[i]
	if f.Commit == "" {
		f.Commit = c.from.blob
	}
}
