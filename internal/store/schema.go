package store

import (
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"time"
)

// steps are the numbered steps of the schema, 0001_….sql first. A step only
// adds, so that the release before it still works with its result; a step that
// was released is never edited. Numbers may be left out: they are given to
// people who work side by side. None that lies below a released one is filled
// in later, for files that have had that one would never get it.
//
//go:embed schema/*.sql
var steps embed.FS

// schemaStep is one of them; it leads to the version of its number.
type schemaStep struct {
	number int
	text   string
}

// schemaSteps returns the steps in order.
func schemaSteps() ([]schemaStep, error) {
	names, err := fs.Glob(steps, "schema/*.sql") // sorted
	if err != nil {
		return nil, err
	}
	all, last := make([]schemaStep, len(names)), 0
	for i, name := range names {
		digits, _, _ := strings.Cut(strings.TrimPrefix(name, "schema/"), "_")
		number, err := strconv.Atoi(digits)
		if err != nil || len(digits) != 4 || number <= last {
			return nil, fmt.Errorf("schema step %s: its name begins with four digits, and a number that no other has", name)
		}
		text, err := steps.ReadFile(name)
		if err != nil {
			return nil, err
		}
		all[i], last = schemaStep{number, string(text)}, number
	}
	return all, nil
}

// schemaNewest is the version that this offkey works with.
func schemaNewest(all []schemaStep) int { return all[len(all)-1].number }

// raiseSchema takes the steps that the data has not had, each in a transaction.
// Where several processes begin at one moment, one of them takes a step and the
// others see that it is taken.
func raiseSchema(e engine, s *session) (err error) {
	for range 50 {
		if err = takeSteps(e, s); err == nil || !e.takenByOther(err) {
			return err
		}
		time.Sleep(100 * time.Millisecond)
	}
	return err
}

func takeSteps(e engine, s *session) error {
	all, err := e.steps()
	if err != nil {
		return err
	}
	version, err := schemaVersion(s)
	if err != nil {
		return err
	}
	if version > schemaNewest(all) {
		return fmt.Errorf("%w: its schema is version %d, this offkey knows versions up to %d: start the newer release again, or restore the backup made before the upgrade",
			ErrNewer, version, schemaNewest(all))
	}
	for _, step := range all {
		if step.number <= version {
			continue
		}
		if err := takeStep(s, step.number, step.text); err != nil {
			return fmt.Errorf("schema step %d: %w", step.number, err)
		}
	}
	return nil
}

// schemaVersion is the last step that the file has had, 0 for a new file.
func schemaVersion(s *session) (int, error) {
	var tables, ours int
	err := s.one(s.words().tables, nil, &tables, &ours)
	switch {
	case err != nil:
		return 0, err
	case tables == 0:
		return 0, nil
	case ours == 0:
		return 0, errors.New("this is the database of another program: name another one")
	}
	var value string
	err = s.one(`SELECT value FROM meta WHERE name = 'schema'`, nil, &value)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, errors.New("this is the database of another program: name another one")
	}
	if err != nil {
		return 0, err
	}
	version, err := strconv.Atoi(value)
	if err != nil {
		return 0, fmt.Errorf("its schema is version %q, which is no number: restore a backup", value)
	}
	return version, nil
}

// takeStep runs the statements of a step and notes its number.
func takeStep(s *session, number int, text string) (err error) {
	script := func(text string) {
		if err == nil {
			err = s.script(text)
		}
	}
	script(s.words().begin)
	script(s.words().meta)
	if taken, takenErr := s.tookStep(number, err); taken || takenErr != nil {
		return errors.Join(takenErr, s.script(`ROLLBACK`))
	}
	script(text)
	if err == nil {
		_, err = s.exec(`INSERT INTO meta (name, value) VALUES ('schema', ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value`, strconv.Itoa(number))
	}
	script(`COMMIT`)
	if err != nil {
		err = errors.Join(err, s.script(`ROLLBACK`))
	}
	return err
}

// tookStep reports whether another process has taken a step meanwhile. Who asks
// holds the row of the version from then on.
func (s *session) tookStep(number int, before error) (taken bool, err error) {
	if before != nil || !s.words().shared {
		return false, nil
	}
	var value string
	err = s.one(`SELECT value FROM meta WHERE name = 'schema' FOR UPDATE`, nil, &value)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	version, _ := strconv.Atoi(value)
	return version >= number, err
}
