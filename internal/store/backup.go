package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
)

// Backup writes a copy of the data, as it is at one moment, to a new file that
// only its owner can read. Others go on meanwhile. The copy is a data file
// itself: restoring is putting it in place. It holds hashes of secrets, and
// signing keys sealed under the master key, which it does not hold.
func (db *DB) Backup(ctx context.Context, path string) error {
	if err := db.engine.backup(ctx, db, path); err != nil {
		return fmt.Errorf("back up to %s: %w", path, err)
	}
	return nil
}

func (f dataFile) backup(ctx context.Context, db *DB, path string) (err error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600) // VACUUM INTO takes a file that is empty
	if err != nil {
		return err
	}
	defer func() {
		err = errors.Join(err, file.Close())
		if err != nil {
			err = errors.Join(err, os.Remove(path))
		}
	}()
	conn, err := db.pool.writers.Conn(ctx) // a connection of its own: those that read may not write elsewhere either
	if err != nil {
		return f.explain(err)
	}
	defer conn.Close()
	if _, err := conn.ExecContext(ctx, `VACUUM INTO ?`, path); err != nil {
		return f.explain(err)
	}
	if err := file.Sync(); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// syncDir makes a new file's name last.
func syncDir(dir string) error {
	if runtime.GOOS == "windows" { // which has no such thing
		return nil
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
