package traffic

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

// maxLine is the longest line of a traffic file that is read, in bytes.
const maxLine = 64 << 10

// ReadObservations reads a traffic file: one Observation as JSON on each line,
// empty lines left out. It calls yield for every other line, with its number
// from 1 and either what it says or what is wrong with it, and stops with
// yield's error. Its own errors are those of reading. Its memory does not grow
// with the file.
func ReadObservations(r io.Reader, yield func(line int, o Observation, problem error) error) error {
	lines := bufio.NewReaderSize(r, maxLine)
	for number := 1; ; number++ {
		line, err := lines.ReadSlice('\n')
		long := errors.Is(err, bufio.ErrBufferFull)
		for errors.Is(err, bufio.ErrBufferFull) {
			_, err = lines.ReadSlice('\n')
		}
		if err != nil && err != io.EOF {
			return fmt.Errorf("line %d: %w", number, err)
		}
		if number == 1 {
			line = bytes.TrimPrefix(line, []byte("\ufeff"))
		}
		if line = bytes.TrimSpace(line); len(line) > 0 || long {
			var o Observation
			problem := fmt.Errorf("longer than %d bytes", maxLine)
			if !long {
				o, problem = parseObservation(line)
			}
			if err := yield(number, o, problem); err != nil {
				return err
			}
		}
		if err == io.EOF {
			return nil
		}
	}
}

func parseObservation(line []byte) (Observation, error) {
	var o Observation
	if err := json.Unmarshal(line, &o); err != nil {
		return Observation{}, fmt.Errorf("not an observation: %w", err)
	}
	return o, o.check()
}

// check reports what is missing in an observation that somebody else wrote.
func (o Observation) check() error {
	switch kind := o.Credential.Kind; {
	case o.At.IsZero():
		return errors.New(`"at" is missing: the time of the call as RFC 3339`)
	case kind != KindAPIKey && kind != KindClient && kind != KindNone && kind != KindUnknown:
		return fmt.Errorf(`"credential.kind" is %q: it is apikey, client, none or unknown`, kind)
	case (kind == KindAPIKey || kind == KindClient) && o.Credential.ID == "":
		return fmt.Errorf(`"credential.id" is missing: every %s has one`, kind)
	case o.Method == "":
		return errors.New(`"method" is missing`)
	case !strings.HasPrefix(o.Path, "/"):
		return fmt.Errorf(`"path" is %q: it starts with /`, clip(o.Path))
	case o.Status < 100 || o.Status > 599:
		return fmt.Errorf(`"status" is %d: it is 100 to 599`, o.Status)
	}
	return nil
}
