package store

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// dataFile is the file that all data lies in, by its absolute path. Beside it
// lie SQLite's -wal and -shm, and .lock.
type dataFile struct{ path string }

func parseDataFile(rest string) (engine, error) {
	if rest == "" || strings.HasSuffix(rest, "/") || strings.HasPrefix(rest, ":memory:") {
		return nil, errors.New("storage needs the path of a file, as in sqlite:///var/lib/offkey/offkey.db")
	}
	path, err := filepath.Abs(rest)
	if err != nil {
		return nil, fmt.Errorf("storage %s: %w", rest, err)
	}
	return dataFile{path: path}, nil
}

func (f dataFile) steps() ([]schemaStep, error) { return schemaSteps() }

// takeDir makes the directory if it is missing, so that nobody else can read
// it, and follows links: whichever way a process comes to the file, it meets
// the same lock.
func (f dataFile) takeDir() (dataFile, error) {
	dir, name := filepath.Split(f.path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return f, f.explainFile(err)
	}
	path, err := filepath.EvalSymlinks(f.path)
	if errors.Is(err, fs.ErrNotExist) {
		if dir, err = filepath.EvalSymlinks(dir); err == nil {
			path = filepath.Join(dir, name)
		}
	}
	if err != nil {
		return f, f.explainFile(err)
	}
	return dataFile{path: path}, nil
}

// takeFile makes the file if it is missing, and closes it to everybody else.
// SQLite gives -wal and -shm the same permissions. It is called under the lock
// only: closing a file takes from SQLite the locks that it has on it.
func (f dataFile) takeFile() error {
	file, err := os.OpenFile(f.path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return f.explainFile(err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	if info.Mode().Perm()&0o077 != 0 {
		if err := file.Chmod(0o600); err != nil {
			return fmt.Errorf("others can read the data file: chmod 600 %s: %w", f.path, err)
		}
	}
	return nil
}

// explainFile says what to do about a file that cannot be opened or made.
func (f dataFile) explainFile(err error) error {
	var cause *fs.PathError
	if !errors.As(err, &cause) {
		return err
	}
	if info, statErr := os.Stat(f.path); statErr == nil && info.IsDir() {
		return errors.New("this is a directory: name the file in it, as in " + filepath.Join(f.path, "offkey.db"))
	}
	return fmt.Errorf("the data directory is not writable (%s: %w): run offkey as the user that owns %s, or name another directory",
		cause.Path, cause.Err, filepath.Dir(f.path))
}

// lock keeps other processes from opening the same data: two writers would each
// trust a head of the audit chain that the other moves on. The lock goes with
// the process, however it ends; the file stays.
func (f dataFile) lock() (*os.File, error) {
	path := f.path + ".lock"
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, f.explainFile(err)
	}
	taken, err := tryLock(file)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", path, err), file.Close())
	}
	if !taken {
		holder, _ := io.ReadAll(io.LimitReader(file, 20))
		return nil, errors.Join(fmt.Errorf("%w by process %s: stop that one, or name another data directory", ErrInUse, orUnknown(holder)), file.Close())
	}
	if err := file.Truncate(0); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	if _, err := fmt.Fprintf(file, "%d\n", os.Getpid()); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}

// orUnknown is the process number in a lock file, if there is one.
func orUnknown(holder []byte) string {
	if pid := strings.TrimSpace(string(holder)); pid != "" && strings.Trim(pid, "0123456789") == "" {
		return pid
	}
	return "unknown"
}
