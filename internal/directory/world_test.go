package directory_test

import (
	"crypto/sha1"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/offkey/offkey/internal/audit"
	"github.com/offkey/offkey/internal/directory"
	"github.com/offkey/offkey/internal/secret"
	"github.com/offkey/offkey/internal/store"
)

// world is a Directory over a real store, kept informed of changes as the
// process does it.
type world struct {
	*directory.Directory
	t  *testing.T
	db *store.DB
	mu sync.Mutex
	at time.Time
}

func (w *world) now() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.at
}

func (w *world) pass(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.at = w.at.Add(d)
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, at: time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)}
	var err error
	if w.db, err = store.Open(t.Context(), store.Options{DSN: filepath.Join(t.TempDir(), "offkey.db"), Now: w.now}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.db.Close() })
	raw, err := secret.GenerateMasterKey()
	w.ok(err)
	master, err := secret.NewMasterKey(raw)
	w.ok(err)
	w.Directory = directory.New(directory.Options{Store: w.db, Master: master, Now: w.now})
	w.db.Subscribe(func(changes []store.Change) {
		for _, c := range changes {
			switch c.Kind {
			case store.ChangePerson:
				w.Forget(c.ID)
			case store.ChangeGroup:
				w.ForgetAll()
			}
		}
	})
	return w
}

func (w *world) ok(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func did(action string) audit.Event { return audit.Event{Actor: "os:0", Action: action, Object: "it"} }

const anasPassword = "paper boats in the harbour"

// person makes somebody with that name, a password if it is not "", and what
// change adds.
func (w *world) person(name, password string, change ...func(*directory.Account)) *directory.Person {
	w.t.Helper()
	a := &directory.Account{Person: &directory.Person{ID: directory.NewID(), Name: name, Email: name + "@example.com", Status: directory.Active, Source: directory.SourceAPI, Created: w.now()}}
	if password != "" {
		var err error
		a.Password, err = w.Hasher.Hash(w.t.Context(), password)
		w.ok(err)
	}
	for _, c := range change {
		c(a)
	}
	w.ok(w.db.CreateAccount(w.t.Context(), a, did("person.created")))
	return a.Person
}

// totp gives a person an authenticator app, and returns its codes.
func (w *world) totp(id string) (code func() string) {
	w.t.Helper()
	key := directory.NewTOTPSecret()
	code = func() string { return directory.Code(sha1.New, key, w.now()) }
	w.ok(w.SetTOTP(w.t.Context(), id, w.SealTOTP(id, key), code()))
	w.pass(time.Minute)
	return code
}

func (w *world) link(purpose directory.Purpose, id string) string {
	w.t.Helper()
	raw, _, err := w.NewLink(w.t.Context(), purpose, id, did("link.made"))
	w.ok(err)
	return raw.Reveal()
}
