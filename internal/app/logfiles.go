package app

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/offkey/offkey/internal/apikey"
	"github.com/offkey/offkey/internal/migration"
	"github.com/offkey/offkey/internal/secret"
	"github.com/offkey/offkey/internal/traffic"
)

// What reading access logs asks and answers.
type (
	// LogPlace is where reading of a log goes on.
	LogPlace = migration.LogPlace
	// LogBatch is the next part of a log.
	LogBatch = migration.LogBatch
	// LogReport says what the lines of a log were.
	LogReport = migration.LogReport
	// Item is one apikey and what it does.
	Item = migration.Item
)

// LogHead is how much of the beginning of a log tells it from others, in bytes.
const LogHead = migration.LogHead

// LogFiles reads access logs without a running offkey: into an inventory in
// memory and, where that is wanted, into a file of observations, with a second
// file beside it that says how far each log was read.
type LogFiles struct {
	*migration.LogReader
	inventory *migration.LogInventory
	state     logState
	out       *os.File
	waiting   []byte // observations of the transaction that is open
}

// logState is the file beside the observations. The key makes the same ids of
// the same apikeys in the next run; it is worth as much as a pepper.
type logState struct {
	Key       []byte                `json:"key"`
	Size      int64                 `json:"size"` // of the observations that count
	Positions []traffic.LogPosition `json:"positions"`
}

// stateOf is the name of the file beside the observations.
func stateOf(out string) string { return out + ".state" }

// OpenLogFiles begins, or goes on where the file of observations ends; out is ""
// for none. Apikeys are looked for where carriers say.
func OpenLogFiles(carriers []apikey.Carrier, out string, now func() time.Time) (*LogFiles, error) {
	reader, err := apikey.NewReader(carriers)
	if err != nil {
		return nil, err
	}
	f := &LogFiles{state: logState{Key: make([]byte, 32)}}
	if _, err := rand.Read(f.state.Key); err != nil {
		return nil, err
	}
	if out != "" {
		if err := f.open(out); err != nil {
			return nil, err
		}
	}
	pepper, err := secret.NewPepper(f.state.Key)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", stateOf(out), err)
	}
	f.inventory = migration.NewLogInventory(pepper)
	var each func(*traffic.Observation)
	if f.out != nil {
		each = f.write
		if err := f.recall(); err != nil {
			return nil, errors.Join(err, f.out.Close())
		}
	}
	f.LogReader = f.inventory.NewReader(f, reader, now, each)
	return f, nil
}

// open opens both files. What the observations hold beyond what was noted is
// from a run that was killed: its lines are read again.
func (f *LogFiles) open(out string) (err error) {
	raw, err := os.ReadFile(stateOf(out))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if info, err := os.Stat(out); err == nil && info.Size() > 0 {
			return fmt.Errorf("%s is there already, without its %s: name another file", out, stateOf(out))
		}
	case err != nil:
		return err
	default:
		if err := json.Unmarshal(raw, &f.state); err != nil {
			return fmt.Errorf("%s: %w", stateOf(out), err)
		}
	}
	if f.out, err = os.OpenFile(out, os.O_RDWR|os.O_CREATE, 0o600); err != nil {
		return err
	}
	if info, err := f.out.Stat(); err == nil && info.Size() < f.state.Size {
		return errors.Join(fmt.Errorf("%s is shorter than %s says: name another file", out, stateOf(out)), f.out.Close())
	}
	if err := f.out.Truncate(f.state.Size); err != nil {
		return errors.Join(err, f.out.Close())
	}
	return nil
}

// recall counts what was observed in earlier runs.
func (f *LogFiles) recall() error {
	var templates traffic.Templates
	return traffic.ReadObservations(io.NewSectionReader(f.out, 0, f.state.Size), func(_ int, o traffic.Observation, problem error) error {
		if problem == nil {
			f.inventory.Add(&o, templates.Of(o.Path))
		}
		return nil
	})
}

// Items lists the apikeys that were seen.
func (f *LogFiles) Items() []Item { return f.inventory.Items() }

// Close closes the file of observations.
func (f *LogFiles) Close() error {
	if f.out == nil {
		return nil
	}
	return f.out.Close()
}

// write takes an observation into the transaction.
func (f *LogFiles) write(o *traffic.Observation) {
	f.waiting = o.AppendJSON(f.waiting)
	f.waiting = append(f.waiting, '\n')
}

// LogPositions implements migration.LogStore.
func (f *LogFiles) LogPositions(_ context.Context, start string) (found []traffic.LogPosition, err error) {
	for _, p := range f.state.Positions {
		if p.Start == start {
			found = append(found, p)
		}
	}
	return found, nil
}

// AddLogTraffic implements migration.LogStore. The observations are written
// first, and count once the state says so.
func (f *LogFiles) AddLogTraffic(_ context.Context, _ []traffic.Row, p traffic.LogPosition, from int64) error {
	i := slices.IndexFunc(f.state.Positions, func(old traffic.LogPosition) bool { return old.ID == p.ID })
	switch {
	case i < 0 && from != 0, i >= 0 && f.state.Positions[i].Offset != from:
		return traffic.ErrLogMoved
	}
	next := f.state
	next.Positions = slices.Clone(f.state.Positions)
	if i < 0 {
		next.Positions = append(next.Positions, p)
	} else {
		p.Batches = next.Positions[i].Batches + 1
		next.Positions[i] = p
	}
	if f.out != nil {
		if err := f.commit(&next); err != nil {
			return err
		}
	}
	f.state, f.waiting = next, f.waiting[:0]
	return nil
}

func (f *LogFiles) commit(next *logState) error {
	if _, err := f.out.WriteAt(f.waiting, f.state.Size); err != nil {
		return err
	}
	if err := f.out.Sync(); err != nil {
		return err
	}
	next.Size += int64(len(f.waiting))
	raw, err := json.Marshal(next)
	if err != nil {
		return err
	}
	return replaceFile(stateOf(f.out.Name()), raw)
}

// replaceFile writes a file so that there is the old one or the new one.
func replaceFile(path string, raw []byte) error {
	temporary, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	_, err = temporary.Write(raw)
	err = errors.Join(err, temporary.Sync(), temporary.Close())
	if err == nil {
		err = os.Rename(temporary.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(temporary.Name()))
	}
	return nil
}
