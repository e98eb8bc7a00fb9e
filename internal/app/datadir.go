package app

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/offkey/offkey/internal/config"
	"github.com/offkey/offkey/internal/secret"
)

// dataDir is the folder of the database, where that is a file, the socket and, unless configured
// elsewhere, the two secrets that are kept outside of the database.
type dataDir struct {
	path   string
	master *secret.MasterKey
	pepper *secret.Pepper
	// pepperID tells one pepper from another without telling anything of it.
	pepperID string
}

// openDataDir makes the folder and the secrets where they are missing. Secrets
// are never made beside a database that exists: they would open nothing in it.
func openDataDir(cfg *config.Loaded) (*dataDir, error) {
	path, err := cfg.DataDir()
	if err != nil {
		return nil, fmt.Errorf("storage.dsn %w", err)
	}
	if path, err = filepath.Abs(path); err != nil {
		return nil, fmt.Errorf("data directory: %w", err)
	}
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, fmt.Errorf("data directory cannot be made: %w; choose another with --data, or make it writable for this user", err)
	}
	if err := checkWritable(path); err != nil {
		return nil, err
	}
	used := "the database beside it was made with it; put it back from your backup"
	if file, ok := strings.CutPrefix(cfg.StorageDSN(), "sqlite://"); cfg.InPostgreSQL() {
		used = "with PostgreSQL every node needs the same, so that none is made; make it once, as `openssl rand -base64 32 > FILE` does, give it to every node"
	} else if _, err := os.Stat(file); ok && err != nil {
		used = ""
	}
	d := &dataDir{path: path}
	master, err := loadSecret(cfg.Secrets.MasterKey, "secrets.master_key", filepath.Join(path, "master.key"), used)
	if err != nil {
		return nil, err
	}
	if d.master, err = secret.NewMasterKey(master); err != nil {
		return nil, fmt.Errorf("secrets.master_key: %w", err)
	}
	pepper, err := loadSecret(cfg.Secrets.Pepper, "secrets.pepper", filepath.Join(path, "pepper.key"), used)
	if err != nil {
		return nil, err
	}
	if d.pepper, err = secret.NewPepper(pepper); err != nil {
		return nil, fmt.Errorf("secrets.pepper: %w", err)
	}
	d.pepperID = d.pepper.Fingerprint("offkey: which pepper is this?").String()[:16]
	return d, nil
}

// checkWritable makes and removes a file, which is what mode bits only promise.
func checkWritable(path string) error {
	f, err := os.CreateTemp(path, ".writable-*")
	if err != nil {
		return fmt.Errorf("data directory %s is not writable: %w; choose another with --data, or make it writable for this user", path, unwrapPath(err))
	}
	return errors.Join(f.Close(), os.Remove(f.Name()))
}

func unwrapPath(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}

// loadSecret returns 32 bytes from the configuration, else from file, which is
// made unless used says why it must be there.
func loadSecret(configured secret.Text, setting, file, used string) ([]byte, error) {
	if !configured.IsZero() {
		return decodeSecret(configured.Reveal(), setting)
	}
	raw, err := os.ReadFile(file)
	switch {
	case err == nil:
		return decodeSecret(string(raw), file)
	case !errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("%s: %w", setting, err)
	case used != "":
		return nil, fmt.Errorf("%s is missing, but %s, or set %s", file, used, setting)
	}
	made := make([]byte, 32)
	rand.Read(made) // never fails
	err = writeSecret(file, made)
	if errors.Is(err, fs.ErrExist) { // another process was first: its secret is the one
		if raw, err = os.ReadFile(file); err == nil {
			return decodeSecret(string(raw), file)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("make %s: %w", file, err)
	}
	return made, nil
}

func decodeSecret(text, where string) ([]byte, error) {
	raw, err := base64.StdEncoding.DecodeString(strings.TrimSpace(text))
	if err != nil || len(raw) != 32 {
		return nil, fmt.Errorf("%s is not 32 bytes in base64; make one with `openssl rand -base64 32`", where)
	}
	return raw, nil
}

// writeSecret writes the file so that it is there wholly or not at all, and
// stays after a power cut. One that is there already is fs.ErrExist.
func writeSecret(file string, value []byte) error {
	f, err := os.CreateTemp(filepath.Dir(file), ".secret-*") // for its owner alone
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.WriteString(base64.StdEncoding.EncodeToString(value) + "\n")
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Link(f.Name(), file); err != nil { // a rename would replace another process's
		return err
	}
	dir, err := os.Open(filepath.Dir(file))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
